/* lua_bench.c - hob.bench: handlers at work without a cloud, for Hob's own commands; and
 * hob.bench.wire, the recorder's side of it, in the sandbox of a job on a bench. */
#include "base/alloc.h"
#include "bindings.h"

#include "device/policy.h"
#include "work/bench.h"
#include "work/debug.h"
#include "work/task.h"

#include <string.h>

#define BENCH_NAME "hob.bench.bench"
#define ANSWER_MAX (1u << 20)
#define STEPS      "hob/steps" /* the built-in handler is one like those of scripts */

enum uservalues { POLICY = 1, USERVALUES = 1 };

struct bench {
    struct hob_bench *bench; /* NULL: closed */
    struct hob_scheduler *scheduler;
    int sink; /* registry reference of the function that hears of everything */
    struct hob_policy policy;
    const char *const *lists; /* what policy points to; one block */
    struct hob_task *waiting;
    bool told; /* a state that nobody has asked for yet */
    enum hob_bench_state state;
};

static const char *const state_names[] = {[HOB_BENCH_ENDED] = "ended",
                                          [HOB_BENCH_CUT] = "cut",
                                          [HOB_BENCH_REBOOTED] = "rebooted",
                                          [HOB_BENCH_RESTARTED] = "restarted",
                                          [HOB_BENCH_WAITS] = "waits"};

static struct bench *check_bench(lua_State *L)
{
    struct bench *bench = luaL_checkudata(L, 1, BENCH_NAME);
    luaL_argcheck(L, bench->bench, 1, "the bench is closed");
    return bench;
}

/* ---- what the sink hears: sink(kind, text) -> answer or nil ---- */

struct news {
    struct bench *bench;
    const char *kind, *text;
    size_t len;
    struct hob_buf *answer; /* NULL: none is wanted */
};

static int call_sink(lua_State *L)
{
    const struct news *news = lua_touserdata(L, 1);
    size_t len;
    lua_rawgeti(L, LUA_REGISTRYINDEX, news->bench->sink);
    lua_pushstring(L, news->kind);
    lua_pushlstring(L, news->text, news->len);
    lua_call(L, 2, 1);
    const char *answer = lua_tolstring(L, -1, &len);
    if (answer && news->answer && hob_buf_append(news->answer, answer, len)) {
        return luaL_error(L, "hob.bench: the answer is larger than %d bytes", (int)ANSWER_MAX);
    }
    return 0;
}

static void tell_sink(struct news *news)
{
    struct hob_error err = {0};
    struct bench *bench = news->bench;
    if (bench->sink != LUA_NOREF && hob_scheduler_call(bench->scheduler, call_sink, news, &err)) {
        fprintf(stderr, "hob: %s\n", err.message);
    }
}

static void on_log(void *user, const char *line, size_t len)
{
    tell_sink(&(struct news){.bench = user, .kind = "log", .text = line, .len = len});
}

static void on_said(void *user, const char *text)
{
    tell_sink(&(struct news){.bench = user, .kind = "said", .text = text, .len = strlen(text)});
}

static void on_output(void *user, bool is_err, const char *text, size_t len)
{
    tell_sink(&(struct news){
        .bench = user, .kind = is_err ? "stderr" : "stdout", .text = text, .len = len});
}

static void on_tell(void *user, const char *text, size_t len, struct hob_buf *answer)
{
    tell_sink(
        &(struct news){.bench = user, .kind = "tell", .text = text, .len = len, .answer = answer});
}

static void on_state(void *user, enum hob_bench_state state)
{
    struct bench *bench = user;
    bench->told = true;
    bench->state = state;
    if (bench->waiting) {
        hob_task_wake(bench->waiting);
        bench->waiting = NULL;
    }
}

/* ---- new ---- */

static size_t count_list(lua_State *L, int index, const char *name)
{
    int type = lua_getfield(L, index, name);
    if (type != LUA_TNIL && type != LUA_TTABLE) {
        luaL_error(L, "policy.%s: expected a list, got %s", name, luaL_typename(L, -1));
    }
    size_t count = type == LUA_TTABLE ? lua_rawlen(L, -1) : 0;
    lua_pop(L, 1);
    return count;
}

/* The table of the policy, a uservalue of the bench, keeps the strings. */
static const char *const *take_list(lua_State *L, int index, const char *name, const char ***next)
{
    const char **list = *next;
    size_t count = count_list(L, index, name);
    lua_getfield(L, index, name);
    for (size_t i = 0; i < count; i++) {
        if (lua_rawgeti(L, -1, (lua_Integer)i + 1) != LUA_TSTRING) {
            luaL_error(L, "policy.%s: expected a list of strings", name);
        }
        *(*next)++ = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    *(*next)++ = NULL;
    lua_pop(L, 1);
    return list;
}

static void read_policy(lua_State *L, struct bench *bench, int index)
{
    static const char *const names[] = {"privileged", "users",  "commands",
                                        "roots",      "topics", "signers"};
    size_t count = sizeof names / sizeof names[0];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        count += count_list(L, index, names[i]);
    }
    const char **next = hob_calloc(count, sizeof *next);
    bench->lists = next;
    if (!next) {
        luaL_error(L, "out of memory");
    }
    bench->policy =
        (struct hob_policy){.exec_user = hob_lua_opt_string(L, index, "exec_user", ""),
                            .handler_dir = hob_lua_opt_string(L, index, "handler_dir", ""),
                            .proxy = hob_lua_opt_string(L, index, "proxy", ""),
                            .privileged = take_list(L, index, "privileged", &next),
                            .users = take_list(L, index, "users", &next),
                            .commands = take_list(L, index, "commands", &next),
                            .roots = take_list(L, index, "roots", &next),
                            .topics = take_list(L, index, "topics", &next),
                            .signers = take_list(L, index, "signers", &next)};
}

static const char *required(lua_State *L, const char *name)
{
    const char *text = hob_lua_opt_string(L, 1, name, NULL);
    return text ? text : (luaL_error(L, "hob.bench: %s is missing", name), "");
}

static struct bench *push_bench(lua_State *L)
{
    struct bench *bench = lua_newuserdatauv(L, sizeof *bench, USERVALUES);
    memset(bench, 0, sizeof *bench);
    bench->sink = LUA_NOREF;
    bench->scheduler = hob_scheduler_of(L);
    luaL_setmetatable(L, BENCH_NAME);
    return bench;
}

/* Of the process' debugger, not only for this bench: a tool has one job at a time. */
static void limit_debugger(lua_State *L)
{
    struct hob_debugger *debugger = hob_bindings_host(L)->debugger;
    if (debugger) {
        uint64_t ms = hob_lua_ms(L, hob_lua_opt_number(L, 1, "debug_hold", 86400), "debug_hold");
        hob_debugger_limit(debugger, ms, hob_lua_opt_boolean(L, 1, "wait_debugger", false));
    }
}

/** new{ scripts=, lib=, data=, thing=, policy=, memory=, cpu=, timeout=, cleanup_timeout=, sink=,
 * debug_hold=, wait_debugger= }
 * -> bench | nil, message, code */
static int bench_new(lua_State *L)
{
    static const char *const known[] = {
        "scripts",    "lib",           "data",    "thing",           "policy",
        "memory",     "cpu",           "timeout", "cleanup_timeout", "sink",
        "debug_hold", "wait_debugger", NULL};
    struct hob_error err = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    hob_lua_check_options(L, 1, known);
    limit_debugger(L);
    struct hob_debugger *debugger = hob_lua_tool_debugger(L); /* first: it is to go last */
    struct bench *bench = push_bench(L);
    bool has_policy = lua_getfield(L, 1, "policy") == LUA_TTABLE;
    if (has_policy) {
        read_policy(L, bench, 3);
    }
    lua_setiuservalue(L, 2, POLICY);
    bench->sink = hob_lua_opt_function(L, 1, "sink");
    struct hob_bench_options options = {
        .loop = hob_scheduler_loop(L),
        .scripts = required(L, "scripts"),
        .lib = required(L, "lib"),
        .data = required(L, "data"),
        .thing = hob_lua_opt_string(L, 1, "thing", "bench"),
        .policy = has_policy ? &bench->policy : NULL,
        .memory_bytes = (size_t)hob_lua_opt_number(L, 1, "memory", 0),
        .cpu_ms = hob_lua_ms(L, hob_lua_opt_number(L, 1, "cpu", 0), "cpu"),
        .timeout_ms = hob_lua_ms(L, hob_lua_opt_number(L, 1, "timeout", 0), "timeout"),
        .cleanup_timeout_ms =
            hob_lua_ms(L, hob_lua_opt_number(L, 1, "cleanup_timeout", 0), "cleanup_timeout"),
        .debugger = debugger,
        .on_log = on_log,
        .on_said = on_said,
        .on_output = on_output,
        .on_tell = on_tell,
        .on_state = on_state,
        .user = bench};
    if (hob_bench_new(&options, &bench->bench, &err)) {
        return hob_lua_fail(L, &err);
    }
    lua_settop(L, 2);
    return 1;
}

static int bench_close(lua_State *L)
{
    struct bench *bench = luaL_checkudata(L, 1, BENCH_NAME);
    luaL_unref(L, LUA_REGISTRYINDEX, bench->sink);
    bench->sink = LUA_NOREF;
    hob_bench_free(bench->bench);
    bench->bench = NULL;
    hob_free((void *)bench->lists);
    bench->lists = NULL;
    return 0;
}

/* ---- at work ---- */

static int result(lua_State *L, int rc, const struct hob_error *err)
{
    if (rc) {
        return hob_lua_fail(L, err);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/** begin(handler, document) -> true | nil, message, code */
static int bench_begin(lua_State *L)
{
    struct bench *bench = check_bench(L);
    struct hob_error err = {0};
    size_t len;
    const char *document = luaL_checklstring(L, 3, &len);
    bench->told = false;
    return result(L, hob_bench_begin(bench->bench, luaL_checkstring(L, 2), document, len, &err),
                  &err);
}

/** choose(document) -> the handler's name | nil, message, code */
static int bench_choose(lua_State *L)
{
    struct bench *bench = check_bench(L);
    struct hob_error err = {0};
    size_t len;
    const char *document = luaL_checklstring(L, 2, &len);
    const char *name = hob_bench_choose(bench->bench, document, len, &err);
    return name ? (lua_pushstring(L, name), 1) : hob_lua_fail(L, &err);
}

/** go_on() -> true | nil, message, code: after anything but "ended" */
static int bench_go_on(lua_State *L)
{
    struct bench *bench = check_bench(L);
    struct hob_error err = {0};
    bench->told = false;
    return result(L, hob_bench_go_on(bench->bench, &err), &err);
}

/** cancel(who): "by a person" */
static int bench_cancel(lua_State *L)
{
    hob_bench_cancel(check_bench(L)->bench, luaL_checkstring(L, 2));
    return 0;
}

static int push_state(lua_State *L, void *op)
{
    struct bench *bench = op;
    bench->told = false;
    lua_pushstring(L, state_names[bench->state]);
    return 1;
}

static void stop_waiting(void *op)
{
    ((struct bench *)op)->waiting = NULL;
}

/** wait() -> "ended", "cut", "rebooted", "restarted" or "waits" */
static int bench_wait(lua_State *L)
{
    struct bench *bench = check_bench(L);
    struct hob_task *task = hob_task_current(L);
    if (bench->told) {
        return push_state(L, bench);
    }
    luaL_argcheck(L, !bench->waiting, 1, "somebody else waits for it");
    bench->waiting = task;
    return hob_task_suspend(
        L, &(struct hob_task_wait){
               .name = "hob.bench", .push = push_state, .cancel = stop_waiting, .op = bench});
}

static void set_number(lua_State *L, const char *name, int64_t value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

static void set_string(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

/** execution() -> table of the store's row | nil, message, code */
static int bench_execution(lua_State *L)
{
    struct hob_error err = {0};
    struct hob_store_execution row;
    if (hob_bench_execution(check_bench(L)->bench, &row, &err)) {
        return hob_lua_fail(L, &err);
    }
    lua_newtable(L);
    set_string(L, "job_id", row.job_id);
    set_string(L, "handler", row.handler);
    set_string(L, "status", row.status);
    set_string(L, "details", row.details);
    set_string(L, "ending_kind", row.ending_kind);
    set_number(L, "runs", row.runs);
    set_number(L, "retries", row.retries);
    set_number(L, "cleanups", row.cleanups);
    set_number(L, "elapsed_ms", row.elapsed_ms);
    set_number(L, "wait_s", row.wait_s);
    set_number(L, "queued_at", row.queued_at);
    return 1;
}

static const luaL_Reg bench_meta[] = {
    {"__gc", bench_close}, {"__close", bench_close}, {"__index", NULL}, {NULL, NULL}};
static const luaL_Reg bench_methods[] = {{"begin", bench_begin}, {"choose", bench_choose},
                                         {"go_on", bench_go_on}, {"cancel", bench_cancel},
                                         {"wait", bench_wait},   {"execution", bench_execution},
                                         {"close", bench_close}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"new", bench_new}, {NULL, NULL}};

int hob_lua_open_bench(lua_State *L)
{
    hob_lua_new_metatable(L, BENCH_NAME);
    luaL_setfuncs(L, bench_meta, 0);
    luaL_newlib(L, bench_methods);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}

/* ---- in the sandbox ---- */

/** tell(text) -> answer or nil */
static int wire_tell(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    struct hob_buf *answer = hob_lua_push_buf(L, ANSWER_MAX);
    hob_bench_tell(hob_bindings_host(L)->bench, text, len, answer);
    if (hob_buf_len(answer) == 0) {
        return 0;
    }
    lua_pushlstring(L, hob_buf_data(answer), hob_buf_len(answer));
    return 1;
}

/** cut(): the power goes; does not return. Raises where nothing can wait. */
static int wire_cut(lua_State *L)
{
    hob_task_current(L);
    hob_bench_cut(hob_bindings_host(L)->bench);
    return hob_task_suspend(L, &(struct hob_task_wait){.name = "hob.bench"});
}

static bool is_hobs(lua_State *L, const lua_Debug *frame)
{
    const char *lib = hob_bench_lib(hob_bindings_host(L)->bench);
    size_t len = strlen(lib);
    const char *path = frame->source + 1;
    return frame->source[0] == '@' && strncmp(path, lib, len) == 0 && path[len] == '/' &&
           strncmp(path + len + 1, STEPS, sizeof STEPS - 1) != 0;
}

/** where() -> "file:line" or nil, of the nearest function that is not Hob's own; and whether it is
 * the one that called the caller of this. What was called by `return f()` has left no line: then it
 * may be one of Hob's, which is told apart nowhere. */
static int wire_where(lua_State *L)
{
    lua_Debug frame;
    bool lost = lua_getstack(L, 1, &frame) && lua_getinfo(L, "t", &frame) && frame.istailcall;
    bool direct = true;
    for (int level = 2; lua_getstack(L, level, &frame) && lua_getinfo(L, "Sl", &frame); level++) {
        if (frame.what[0] == 'C') {
            continue;
        }
        if (!is_hobs(L, &frame)) {
            lua_pushfstring(L, "%s:%d", frame.short_src, frame.currentline);
            lua_pushboolean(L, direct);
            return 2;
        }
        direct = lost;
    }
    lua_pushnil(L);
    lua_pushboolean(L, direct);
    return 2;
}

/** report(result): of a program that did not run, for `report = true` */
static int wire_report(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, "hob.exec.reported");
    return 0;
}

static const luaL_Reg wire_functions[] = {{"report", wire_report},
                                          {"tell", wire_tell},
                                          {"cut", wire_cut},
                                          {"where", wire_where},
                                          {NULL, NULL}};

int hob_lua_open_bench_wire(lua_State *L)
{
    luaL_newlib(L, wire_functions);
    return 1;
}
