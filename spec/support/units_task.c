/* hob_units.task: core/work/task in a Lua state and a loop of its own.
 *
 * task.plain(code) -> true and the results, or false and the message: in a state of Lua's own, in
 * which `pause` returns at once and `note` does nothing; what the same code must give as a task.
 * task.run{ code = , after = , ... } -> what became of it, and what it noted. `code` is run as the
 * main task; when it has ended, `after` is run as another task of the same scheduler. Besides the
 * standard library and debug, their globals are the functions at the end of this file. Nothing
 * depends on the clock but `within` and the length of a slice: on a busy machine any code may take
 * a turn more. So time is counted in turns of the loop, and how soon a task ends in
 * `turns_to_end`: from the one in which that was asked for, or from the first.
 */
#include "units.h"

#include "base/clock.h"
#include "base/loop.h"
#include "work/task.h"

#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#define NOTES_MAX   64
#define TEXT_MAX    256
#define RESULTS_MAX 8
#define TURNS_MAX   20000

struct outcome {
    bool ended;
    int status;
    char kind[32];
    char message[TEXT_MAX];
    char results[RESULTS_MAX][TEXT_MAX];
    int count;
    int turns, turns_max;
    int asked; /* the turn in which its end was asked for, or 0 */
    int notes; /* so many there were at its end */
};

struct bench {
    struct hob_loop *loop;
    lua_State *L;
    struct hob_scheduler *scheduler;
    struct hob_task *main;
    struct outcome *outcome; /* of the task that is run now */
    char notes[NOTES_MAX][TEXT_MAX];
    int note_count;
    volatile int executing;
    int executing_when_done;
    int ops;    /* of pauses, that were not freed */
    bool armed; /* allocations are counted, and fail as said */
    long fail_at, fail_for, allocations, failures;
};

static void note(struct bench *bench, const char *what, const char *name)
{
    if (bench->note_count < NOTES_MAX) {
        snprintf(bench->notes[bench->note_count++], TEXT_MAX, "%s%s%s", what, name[0] ? " " : "",
                 name);
    }
}

static void *allocate(void *user, void *block, size_t old_size, size_t new_size)
{
    struct bench *bench = user;
    if (new_size == 0) {
        free(block);
        return NULL;
    }
    if (bench->armed && (!block || new_size > old_size)) {
        long n = ++bench->allocations;
        if (bench->fail_at > 0 && n >= bench->fail_at && n < bench->fail_at + bench->fail_for) {
            bench->failures++;
            return NULL;
        }
    }
    return realloc(block, new_size);
}

static struct bench *bench_of(lua_State *L)
{
    return hob_scheduler_user(L);
}

/* ---- cancelling ---- */

struct later {
    struct hob_loop_soon soon;
    struct bench *bench;
    lua_Integer turns;
    char kind[32], message[64];
};

static void note_asked(struct bench *bench)
{
    if (!bench->outcome->asked) {
        bench->outcome->asked = bench->outcome->turns;
    }
}

static void cancel_main(struct bench *bench, const char *kind, const char *message)
{
    note_asked(bench);
    if (bench->main && hob_task_cancel(bench->main, kind, message)) {
        note(bench, "delayed", kind);
    }
}

static void later_turn(void *user)
{
    struct later *later = user;
    if (--later->turns > 0 && later->bench->main) {
        hob_loop_defer(later->bench->loop, &later->soon, later_turn, later);
        return;
    }
    cancel_main(later->bench, later->kind, later->message);
    free(later);
}

/** cancel(kind [, turns]): the main task, now or in so many turns of the loop */
static int bench_cancel(lua_State *L)
{
    const char *kind = luaL_optstring(L, 1, "cancelled");
    lua_Integer turns = luaL_optinteger(L, 2, 0);
    char message[64];
    snprintf(message, sizeof message, "%s by the spec", kind);
    if (turns <= 0) {
        cancel_main(bench_of(L), kind, message);
        return 0;
    }
    struct later *later = calloc(1, sizeof *later);
    *later = (struct later){.bench = bench_of(L), .turns = turns};
    snprintf(later->kind, sizeof later->kind, "%s", kind);
    snprintf(later->message, sizeof later->message, "%s", message);
    hob_loop_defer(later->bench->loop, &later->soon, later_turn, later);
    return 0;
}

/** raise(kind, message): an engine error */
static int bench_raise(lua_State *L)
{
    note_asked(bench_of(L));
    return hob_task_raise(L, luaL_checkstring(L, 1), luaL_checkstring(L, 2));
}

/* ---- an operation that takes some turns of the loop, or for ever ---- */

struct pause {
    struct hob_loop_soon soon;
    struct bench *bench;
    struct hob_task *task;
    char name[32];
    lua_Integer turns;
    bool pending, dropped;
};

static void pause_turn(void *user)
{
    struct pause *op = user;
    op->pending = false;
    if (op->dropped) {
        free(op);
    } else if (--op->turns > 0) {
        op->pending = true;
        hob_loop_defer(op->bench->loop, &op->soon, pause_turn, op);
    } else {
        hob_task_wake(op->task);
    }
}

static int pause_push(lua_State *L, void *user)
{
    struct pause *op = user;
    note(op->bench, "pushed", op->name);
    lua_pushstring(L, op->name);
    return 1;
}

static void pause_cancel(void *user)
{
    struct pause *op = user;
    note(op->bench, "cancelled", op->name);
}

static void pause_free(void *user)
{
    struct pause *op = user;
    op->bench->ops--;
    if (op->pending) {
        op->dropped = true;
    } else {
        free(op);
    }
}

/** pause(turns [, name [, cancel]]): 0 turns: for ever; `cancel`: the task is, while it starts */
static int bench_pause(lua_State *L)
{
    lua_Integer turns = luaL_checkinteger(L, 1);
    const char *name = luaL_optstring(L, 2, "pause");
    struct hob_task *task = hob_task_current(L);
    struct pause *op = calloc(1, sizeof *op);
    *op = (struct pause){.bench = bench_of(L), .task = task, .turns = turns};
    snprintf(op->name, sizeof op->name, "%s", name);
    op->bench->ops++;
    if (turns > 0) {
        op->pending = true;
        hob_loop_defer(op->bench->loop, &op->soon, pause_turn, op);
    }
    if (lua_toboolean(L, 3)) {
        cancel_main(op->bench, "cancelled", "cancelled by its own operation");
    }
    return hob_task_suspend(L, &(struct hob_task_wait){.name = "pause",
                                                       .push = pause_push,
                                                       .cancel = pause_cancel,
                                                       .op_free = pause_free,
                                                       .op = op});
}

/* ---- the rest ---- */

static int bench_note(lua_State *L)
{
    char text[TEXT_MAX] = "";
    const char *given = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : NULL;
    if (given) {
        snprintf(text, sizeof text, "%s", given);
    } else if (lua_isinteger(L, 1)) {
        snprintf(text, sizeof text, "%lld", (long long)lua_tointeger(L, 1));
    } else {
        snprintf(text, sizeof text, "%s",
                 lua_isboolean(L, 1) && lua_toboolean(L, 1) ? "true" : luaL_typename(L, 1));
    }
    note(bench_of(L), text, "");
    return 0;
}

static int push_argument(lua_State *L, void *op)
{
    lua_pushstring(L, "argument");
    return 1;
}

static void note_freed(void *op)
{
    note(op, "freed", "");
}

/** go(fn): a callback from the loop; its reference is given up at once, as bindings do */
static int bench_go(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    hob_task_call(hob_scheduler_of(L), ref, push_argument, bench_of(L), note_freed);
    luaL_unref(L, LUA_REGISTRYINDEX, ref);
    return 0;
}

/** burn(ms): processor time in one call */
static int bench_burn(lua_State *L)
{
    uint64_t end = hob_clock_cpu_ms() + (uint64_t)luaL_checkinteger(L, 1);
    while (hob_clock_cpu_ms() < end) {
    }
    return 0;
}

/** swallow(fn) -> status: a function in C that knows nothing of engine errors */
static int bench_swallow(lua_State *L)
{
    lua_settop(L, 1);
    lua_pushinteger(L, lua_pcall(L, 0, 0, 0));
    return 1;
}

static int bench_executing(lua_State *L)
{
    lua_pushinteger(L, bench_of(L)->executing);
    return 1;
}

/** unmark(): nobody wants to know any more who is executing */
static int bench_unmark(lua_State *L)
{
    hob_scheduler_mark_executing(bench_of(L)->scheduler, NULL);
    return 0;
}

static int bench_trust(lua_State *L)
{
    hob_scheduler_trust(bench_of(L)->scheduler);
    return 0;
}

/** quiet(): nothing that before_next would wait for */
static int bench_quiet(lua_State *L)
{
    return 0;
}

static void note_next(lua_State *L, void *user)
{
    note(bench_of(L), "next", "");
    if (user) {
        hob_task_raise(L, "failed", "by the spec");
    }
}

/** before_next(raises): notes "next" before the next call in C, or a yield; false: cannot tell */
static int bench_before_next(lua_State *L)
{
    static const hob_task_quiet_fn quiet[] = {bench_quiet, NULL};
    bool sees = hob_task_sees_next(L);
    if (sees) {
        hob_task_before_next(L, quiet, note_next, lua_toboolean(L, 1) ? bench_of(L) : NULL);
    }
    lua_pushboolean(L, sees);
    return 1;
}

static int in_critical(lua_State *L)
{
    lua_pushboolean(L, bench_of(L)->main && hob_task_in_critical(bench_of(L)->main));
    return 1;
}

static int call_global(lua_State *L)
{
    lua_getglobal(L, lua_touserdata(L, 1));
    lua_call(L, 0, 0);
    return 0;
}

/** outside(name): the global function, in a hob_scheduler_call -> nil, or its message */
static int bench_outside(lua_State *L)
{
    struct hob_error err = {0};
    char name[64];
    snprintf(name, sizeof name, "%s", luaL_checkstring(L, 1));
    if (hob_scheduler_call(bench_of(L)->scheduler, call_global, name, &err) == 0) {
        return 0;
    }
    lua_pushstring(L, err.message);
    return 1;
}

static const luaL_Reg globals[] = {
    {"pause", bench_pause},
    {"cancel", bench_cancel},
    {"raise", bench_raise},
    {"note", bench_note},
    {"go", bench_go},
    {"burn", bench_burn},
    {"swallow", bench_swallow},
    {"executing", bench_executing},
    {"unmark", bench_unmark},
    {"trust", bench_trust},
    {"quiet", bench_quiet},
    {"before_next", bench_before_next},
    {"in_critical", in_critical},
    {"outside", bench_outside},
    {"critical", hob_task_critical},
    {"within", hob_task_within},
    {NULL, NULL},
};

/* ---- running ---- */

static void describe_value(lua_State *L, int index, char out[TEXT_MAX])
{
    if (lua_type(L, index) == LUA_TSTRING) {
        snprintf(out, TEXT_MAX, "%s", lua_tostring(L, index));
    } else if (lua_isinteger(L, index)) {
        snprintf(out, TEXT_MAX, "%lld", (long long)lua_tointeger(L, index));
    } else if (lua_isboolean(L, index)) {
        snprintf(out, TEXT_MAX, "%s", lua_toboolean(L, index) ? "true" : "false");
    } else {
        snprintf(out, TEXT_MAX, "%s", luaL_typename(L, index));
    }
}

static void main_done(void *user, lua_State *L, int status, int results)
{
    struct bench *bench = user;
    struct outcome *outcome = bench->outcome;
    const char *message = NULL;
    const char *kind = hob_task_engine_error(bench->scheduler, &message);
    bench->executing_when_done |= bench->executing;
    bench->main = NULL;
    outcome->ended = true;
    outcome->status = status;
    if (kind) {
        snprintf(outcome->kind, sizeof outcome->kind, "%s", kind);
        snprintf(outcome->message, TEXT_MAX, "%s", message);
    } else if (status != LUA_OK) {
        describe_value(L, -1, outcome->message);
    } else {
        for (int i = 0; i < results && i < RESULTS_MAX; i++) {
            describe_value(L, i - results, outcome->results[i]);
            outcome->count++;
        }
    }
}

static void on_error(void *user, const char *message)
{
    struct bench *bench = user;
    const char *kind = hob_task_engine_error(bench->scheduler, NULL);
    note(bench, kind ? kind : "error", message);
}

static int open_state(lua_State *L)
{
    struct bench *bench = lua_touserdata(L, 1);
    luaL_openlibs(L);
    bench->scheduler = hob_scheduler_new(bench->loop, L, bench);
    if (!bench->scheduler) {
        return luaL_error(L, "out of memory");
    }
    lua_pushglobaltable(L);
    luaL_setfuncs(L, globals, 0);
    return 0;
}

struct start_arguments {
    struct bench *bench;
    const char *code;
    size_t len;
};

static int start_code(lua_State *L)
{
    struct start_arguments *arguments = lua_touserdata(L, 1);
    if (luaL_loadbufferx(L, arguments->code, arguments->len, "=code", "t")) {
        return lua_error(L);
    }
    arguments->bench->main = hob_task_start(L, 0, main_done, arguments->bench);
    return arguments->bench->main ? 0 : luaL_error(L, "out of memory");
}

static bool start(struct bench *bench, const char *code, size_t len, struct outcome *outcome)
{
    struct start_arguments arguments = {bench, code, len};
    struct hob_error err = {0};
    bench->outcome = outcome;
    if (hob_scheduler_call(bench->scheduler, start_code, &arguments, &err)) {
        outcome->status = -1;
        snprintf(outcome->message, TEXT_MAX, "%.*s", TEXT_MAX - 1, err.message);
        return false;
    }
    return true;
}

static void run_to_end(struct bench *bench, struct outcome *outcome)
{
    while (!outcome->ended && outcome->turns < outcome->turns_max) {
        outcome->turns++;
        if (!uv_run(hob_loop_uv(bench->loop), UV_RUN_ONCE) && !outcome->ended) {
            return; /* nothing is left that could wake it */
        }
    }
}

static void close_bench(struct bench *bench)
{
    bench->armed = false;
    bench->main = NULL;
    if (bench->scheduler) {
        hob_scheduler_close(bench->scheduler);
    } else if (bench->L) {
        lua_close(bench->L);
    }
    hob_loop_free(bench->loop);
}

static void push_list(lua_State *L, char texts[][TEXT_MAX], int count, const char *name)
{
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        lua_pushstring(L, texts[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, name);
}

static void push_outcome(lua_State *L, struct outcome *outcome)
{
    lua_newtable(L);
    lua_pushboolean(L, outcome->ended);
    lua_setfield(L, -2, "ended");
    lua_pushboolean(L, outcome->ended && outcome->status == LUA_OK);
    lua_setfield(L, -2, "ok");
    lua_pushinteger(L, outcome->status);
    lua_setfield(L, -2, "status");
    if (outcome->kind[0]) {
        lua_pushstring(L, outcome->kind);
        lua_setfield(L, -2, "kind");
    }
    lua_pushstring(L, outcome->message);
    lua_setfield(L, -2, "message");
    lua_pushinteger(L, outcome->turns);
    lua_setfield(L, -2, "turns");
    lua_pushinteger(L, outcome->turns - (outcome->asked ? outcome->asked - 1 : 0));
    lua_setfield(L, -2, "turns_to_end");
    push_list(L, outcome->results, outcome->count, "results");
}

static int option_number(lua_State *L, const char *name, int otherwise)
{
    lua_getfield(L, 1, name);
    int value = (int)luaL_optinteger(L, -1, otherwise);
    lua_pop(L, 1);
    return value;
}

static void run_both(lua_State *L, struct bench *bench, struct outcome outcomes[2])
{
    static const char *const names[] = {"code", "after"};
    for (int i = 0; i < 2; i++) {
        size_t len = 0;
        outcomes[i].turns_max = option_number(L, "turns", TURNS_MAX);
        lua_getfield(L, 1, names[i]);
        const char *code = luaL_optlstring(L, -1, "", &len);
        if (start(bench, code, len, &outcomes[i])) {
            run_to_end(bench, &outcomes[i]);
        }
        lua_pop(L, 1);
        outcomes[i].notes = bench->note_count;
        if (!outcomes[i].ended && i == 0) {
            return;
        }
        bench->armed = false;
    }
}

static void push_usage(lua_State *L, const struct hob_scheduler_usage *usage)
{
    lua_pushinteger(L, (lua_Integer)usage->cpu_us);
    lua_setfield(L, -2, "cpu_us");
    lua_pushinteger(L, (lua_Integer)usage->longest_us);
    lua_setfield(L, -2, "longest_us");
    lua_newtable(L);
    for (int i = 0; i < HOB_SCHEDULER_SPANS; i++) {
        lua_pushinteger(L, (lua_Integer)usage->slices[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "slices");
}

static void set_limits(lua_State *L, struct bench *bench)
{
    int ticks = option_number(L, "yield_every", 0);
    if (ticks) {
        hob_scheduler_set_slice(bench->scheduler, ticks, 1);
    }
    hob_scheduler_limit_cpu(bench->scheduler, (uint64_t)option_number(L, "cpu_ms", 0) * 1000, 0);
}

/** run{ code, after, fail_at, fail_for (default: for ever), arm = "setup" | "code", turns (at
 * most), yield_every (instructions), cpu_ms } -> result */
static int task_run(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    struct outcome outcomes[2];
    struct bench *bench = calloc(1, sizeof *bench);
    memset(outcomes, 0, sizeof outcomes);
    bench->fail_at = option_number(L, "fail_at", 0);
    bench->fail_for = option_number(L, "fail_for", 1 << 30);
    lua_getfield(L, 1, "arm");
    bool from_setup = strcmp(luaL_optstring(L, -1, "code"), "setup") == 0;
    hob_loop_new(&bench->loop, NULL);
    bench->L = lua_newstate(allocate, bench);
    bench->armed = from_setup;
    lua_pushcfunction(bench->L, open_state);
    lua_pushlightuserdata(bench->L, bench);
    bool open = lua_pcall(bench->L, 1, 0, 0) == LUA_OK;
    bench->armed = open;
    if (open) {
        hob_scheduler_on_error(bench->scheduler, on_error, bench);
        hob_scheduler_mark_executing(bench->scheduler, &bench->executing);
        set_limits(L, bench);
        run_both(L, bench, outcomes);
    }
    int ops = bench->ops;
    struct hob_scheduler_usage usage = {0};
    if (bench->scheduler) {
        hob_scheduler_usage(bench->scheduler, &usage);
    }
    close_bench(bench);
    push_outcome(L, &outcomes[0]);
    push_outcome(L, &outcomes[1]);
    lua_setfield(L, -2, "after");
    push_list(L, bench->notes, outcomes[0].notes, "notes");
    lua_pushinteger(L, bench->allocations);
    lua_setfield(L, -2, "allocations");
    lua_pushinteger(L, bench->failures);
    lua_setfield(L, -2, "failures");
    lua_pushinteger(L, ops);
    lua_setfield(L, -2, "ops");
    lua_pushboolean(L, bench->executing_when_done || bench->executing);
    lua_setfield(L, -2, "executing");
    push_usage(L, &usage);
    free(bench);
    return 1;
}

static int plain_pause(lua_State *L)
{
    lua_pushstring(L, luaL_optstring(L, 2, "pause"));
    return 1;
}

static int plain_note(lua_State *L)
{
    return 0;
}

static int task_plain(lua_State *L)
{
    char text[TEXT_MAX];
    lua_State *plain = luaL_newstate();
    luaL_openlibs(plain);
    lua_register(plain, "pause", plain_pause);
    lua_register(plain, "note", plain_note);
    size_t len;
    const char *code = luaL_checklstring(L, 1, &len);
    bool ok = luaL_loadbufferx(plain, code, len, "=code", "t") == LUA_OK &&
              lua_pcall(plain, 0, LUA_MULTRET, 0) == LUA_OK;
    int count = lua_gettop(plain);
    lua_pushboolean(L, ok);
    luaL_checkstack(L, count, "too many results");
    for (int i = 1; i <= count; i++) {
        describe_value(plain, i, text);
        lua_pushstring(L, text);
    }
    lua_close(plain);
    return count + 1;
}

int hob_units_open_task(lua_State *L)
{
    static const luaL_Reg functions[] = {{"run", task_run}, {"plain", task_plain}, {NULL, NULL}};
    lua_newtable(L);
    hob_units_unit(L, "task", functions);
    return 1;
}
