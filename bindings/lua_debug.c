/* lua_debug.c - hob.debug: who looks into running jobs, where they stop, and when they go on. For
 * the states of sessions and for Hob's own commands; never for handlers.
 *
 * What fails gives nil, message, code. A thread is the number of a job in this process. What is
 * seen of a job that waits or is held is in lua_debug_look.c. Spec: spec/unit/debug_look_spec.lua
 */
#include "lua_debug.h"

#include "base/alloc.h"
#include "work/task.h"

#include <string.h>

#define SESSION_NAME  "hob.debug.session"
#define DEBUGGER_NAME "hob.debug.debugger"

/* ---- shared with lua_debug_look.c ---- */

struct hob_lua_debug *hob_lua_debug_check(lua_State *L)
{
    struct hob_lua_debug *self = luaL_checkudata(L, 1, SESSION_NAME);
    luaL_argcheck(L, self->session, 1, "the session is closed");
    return self;
}

int hob_lua_debug_thread(lua_State *L, int index, bool may_be_nil)
{
    if (may_be_nil && lua_isnoneornil(L, index)) {
        return 0;
    }
    lua_Integer thread = luaL_checkinteger(L, index);
    luaL_argcheck(L, thread > 0 && thread <= INT32_MAX, index, "expected the number of a thread");
    return (int)thread;
}

int hob_lua_debug_result(lua_State *L, int rc, const struct hob_error *err)
{
    if (rc) {
        return hob_lua_fail(L, err);
    }
    lua_pushboolean(L, 1);
    return 1;
}

void hob_lua_debug_set_text(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

void hob_lua_debug_set_number(lua_State *L, const char *name, lua_Integer value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

static void set_if_any(lua_State *L, const char *name, const char *value)
{
    if (value && value[0]) {
        hob_lua_debug_set_text(L, name, value);
    }
}

static void set_left(lua_State *L, int64_t left_ms)
{
    if (left_ms >= 0) {
        lua_pushnumber(L, (lua_Number)left_ms / 1000);
        lua_setfield(L, -2, "holdLeft");
    }
}

/* ---- events ---- */

struct note { /* a copy, until its task runs; the texts follow it in the same block */
    struct hob_debug_event event;
    char texts[];
};

static char *put_text(char *at, const char **text)
{
    size_t len = *text ? strlen(*text) : 0;
    memcpy(at, *text ? *text : "", len);
    at[len] = '\0';
    *text = at;
    return at + len + 1;
}

static struct note *copy_event(const struct hob_debug_event *event)
{
    const char *texts[] = {event->event, event->job_id, event->reason, event->text, event->file};
    size_t size = event->breakpoint_count * sizeof(int);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size += (texts[i] ? strlen(texts[i]) : 0) + 1;
    }
    struct note *note = hob_malloc(sizeof *note + size);
    if (!note) {
        return NULL;
    }
    note->event = *event;
    char *at = note->texts;
    if (event->breakpoint_count) {
        memcpy(at, event->breakpoints, event->breakpoint_count * sizeof(int));
        note->event.breakpoints = (const int *)(const void *)at;
        at += event->breakpoint_count * sizeof(int);
    }
    at = put_text(at, &note->event.event);
    at = put_text(at, &note->event.job_id);
    at = put_text(at, &note->event.reason);
    at = put_text(at, &note->event.text);
    put_text(at, &note->event.file);
    return note;
}

static int push_event(lua_State *L, void *op)
{
    const struct hob_debug_event *event = &((struct note *)op)->event;
    lua_createtable(L, 0, 10);
    hob_lua_debug_set_text(L, "event", event->event);
    hob_lua_debug_set_number(L, "thread", event->thread);
    set_if_any(L, "jobId", event->job_id);
    set_if_any(L, "reason", event->reason);
    set_if_any(L, "text", event->text);
    set_if_any(L, "file", event->file);
    if (event->line > 0) {
        hob_lua_debug_set_number(L, "line", event->line);
    }
    if (event->breakpoint_count) {
        lua_createtable(L, (int)event->breakpoint_count, 0);
        for (size_t i = 0; i < event->breakpoint_count; i++) {
            lua_pushinteger(L, event->breakpoints[i]);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        lua_setfield(L, -2, "breakpoints");
    }
    set_left(L, event->hold_left_ms);
    return 1;
}

static void on_event(void *user, const struct hob_debug_event *event)
{
    struct hob_lua_debug *self = user;
    struct note *note = self->on_event == LUA_NOREF ? NULL : copy_event(event);
    if (note) {
        hob_task_call(self->scheduler, self->on_event, push_event, note, hob_free);
    }
}

/* ---- life ---- */

static int free_debugger(lua_State *L)
{
    struct hob_debugger **debugger = luaL_checkudata(L, 1, DEBUGGER_NAME);
    hob_debugger_free(*debugger);
    *debugger = NULL;
    hob_bindings_host(L)->debugger = NULL;
    return 0;
}

/* In the registry: it is collected when the state is closed, after all that was made later. */
static void make_debugger(lua_State *L)
{
    struct hob_modules_host *host = hob_bindings_host(L);
    struct hob_debugger **debugger = lua_newuserdatauv(L, sizeof *debugger, 0);
    *debugger = NULL;
    if (hob_lua_new_metatable(L, DEBUGGER_NAME)) {
        lua_pushcfunction(L, free_debugger);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, DEBUGGER_NAME);
    struct hob_debugger_options options = {.loop = host->loop, .log = host->log};
    lua_getfield(L, LUA_REGISTRYINDEX, DEBUGGER_NAME);
    *debugger = hob_debugger_new(&options);
    lua_pop(L, 1);
    if (!*debugger) {
        luaL_error(L, "out of memory");
    }
    host->debugger = *debugger;
}

struct hob_debugger *hob_lua_tool_debugger(lua_State *L)
{
    struct hob_modules_host *host = hob_bindings_host(L);
    if (!host->debugger && !host->job && !host->console && !host->bench) {
        make_debugger(L);
    }
    return host->debugger;
}

/** open{ on_event = fn, who = "process 4711 of root" } -> session | nil, message, code */
static int debug_open(lua_State *L)
{
    static const char *const known[] = {"on_event", "who", NULL};
    lua_settop(L, 1);
    if (lua_isnil(L, 1)) {
        lua_newtable(L);
        lua_replace(L, 1);
    }
    hob_lua_check_options(L, 1, known);
    struct hob_debugger *debugger = hob_lua_tool_debugger(L);
    struct hob_lua_debug *self = lua_newuserdatauv(L, sizeof *self, 0);
    *self = (struct hob_lua_debug){.scheduler = hob_scheduler_of(L), .on_event = LUA_NOREF};
    luaL_setmetatable(L, SESSION_NAME);
    if (!debugger) {
        struct hob_error err = {0};
        hob_error_set(&err, HOB_EUNSUPPORTED, "there is no debugger in this process");
        return hob_lua_fail(L, &err);
    }
    self->on_event = hob_lua_opt_function(L, 1, "on_event");
    struct hob_debug_session_options options = {
        .who = hob_lua_opt_string(L, 1, "who", "somebody"), .on_event = on_event, .user = self};
    self->session = hob_debug_open(debugger, &options);
    if (!self->session) {
        return luaL_error(L, "out of memory");
    }
    lua_settop(L, 2);
    return 1;
}

static int session_close(lua_State *L)
{
    struct hob_lua_debug *self = luaL_checkudata(L, 1, SESSION_NAME);
    hob_debug_close(self->session);
    self->session = NULL;
    luaL_unref(L, LUA_REGISTRYINDEX, self->on_event);
    self->on_event = LUA_NOREF;
    return 0;
}

/* ---- jobs ---- */

static void push_info(lua_State *L, const struct hob_debug_info *info)
{
    static const char *const states[] = {[HOB_DEBUG_RUNNING] = "running",
                                         [HOB_DEBUG_WAITING] = "waiting",
                                         [HOB_DEBUG_HELD] = "held"};
    lua_createtable(L, 0, 16);
    hob_lua_debug_set_number(L, "thread", info->thread);
    hob_lua_debug_set_number(L, "executionNumber", info->execution_number);
    set_if_any(L, "jobId", info->job_id);
    set_if_any(L, "thing", info->thing);
    set_if_any(L, "handler", info->handler);
    set_if_any(L, "step", info->step);
    hob_lua_debug_set_text(L, "state", states[info->state]);
    set_if_any(L, "waitingIn", info->waiting_in);
    set_if_any(L, "reason", info->reason);
    set_if_any(L, "file", info->file);
    set_if_any(L, "text", info->text);
    if (info->line > 0) {
        hob_lua_debug_set_number(L, "line", info->line);
    }
    lua_pushboolean(L, info->attached);
    lua_setfield(L, -2, "attached");
    set_left(L, info->hold_left_ms);
}

/* Which there are; each is asked for by itself, since to push it may raise. */
#define THREADS_MAX 256
struct threads {
    int list[THREADS_MAX];
    size_t count;
};

static void note_thread(void *user, const struct hob_debug_info *info)
{
    struct threads *threads = user;
    if (threads->count < THREADS_MAX) {
        threads->list[threads->count++] = info->thread;
    }
}

/** jobs() -> list of infos */
static int session_jobs(lua_State *L)
{
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct threads threads = {.count = 0};
    struct hob_debug_info info;
    hob_debug_each_job(self->session, note_thread, &threads);
    lua_createtable(L, (int)threads.count, 0);
    lua_Integer count = 0;
    for (size_t i = 0; i < threads.count; i++) {
        memset(&info, 0, sizeof info);
        if (hob_debug_info(self->session, threads.list[i], &info, NULL) == 0) {
            push_info(L, &info);
            lua_rawseti(L, -2, ++count);
        }
    }
    return 1;
}

/** info(thread) -> { thread, jobId, ..., reason, file, line, holdLeft } */
static int session_info(lua_State *L)
{
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct hob_error err = {0};
    struct hob_debug_info info = {0};
    if (hob_debug_info(self->session, hob_lua_debug_thread(L, 2, false), &info, &err)) {
        return hob_lua_fail(L, &err);
    }
    push_info(L, &info);
    return 1;
}

/** attach([thread]) -> info; of all jobs { all = true } */
static int session_attach(lua_State *L)
{
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct hob_error err = {0};
    struct hob_debug_info info = {0};
    int thread = hob_lua_debug_thread(L, 2, true);
    if (hob_debug_attach(self->session, thread, &info, &err)) {
        return hob_lua_fail(L, &err);
    }
    if (thread) {
        push_info(L, &info);
        return 1;
    }
    lua_createtable(L, 0, 1);
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "all");
    return 1;
}

/** detach([thread]) -> true */
static int session_detach(lua_State *L)
{
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct hob_error err = {0};
    int thread = hob_lua_debug_thread(L, 2, true);
    return hob_lua_debug_result(L, hob_debug_detach(self->session, thread, &err), &err);
}

/* ---- where to stop ---- */

static void read_break(lua_State *L, int index, bool of_lines, struct hob_debug_break *out)
{
    static const char *const of_file[] = {"line", "condition", "hit", "log", NULL};
    static const char *const of_step[] = {"name", "condition", "hit", "log", NULL};
    luaL_checktype(L, index, LUA_TTABLE);
    hob_lua_check_options(L, index, of_lines ? of_file : of_step);
    if (of_lines) {
        double line = hob_lua_opt_number(L, index, "line", 0);
        if (!(line >= 1 && line <= INT32_MAX)) {
            luaL_error(L, "line: expected the number of a line");
        }
        out->line = (int)line;
    } else {
        out->name = hob_lua_opt_string(L, index, "name", NULL);
        if (!out->name) {
            luaL_error(L, "name: expected the name of a step");
        }
    }
    out->condition = hob_lua_opt_string(L, index, "condition", NULL);
    out->hit = hob_lua_opt_string(L, index, "hit", NULL);
    out->log = hob_lua_opt_string(L, index, "log", NULL);
}

/* Arrays for `count` of them, which the collector frees. The strings belong to the tables. */
static struct hob_debug_break *read_breaks(lua_State *L, int list, bool of_lines, size_t *count)
{
    luaL_checktype(L, list, LUA_TTABLE);
    *count = lua_rawlen(L, list);
    luaL_argcheck(L, *count <= HOB_DEBUG_BREAKS_MAX, list, "too many breakpoints");
    struct hob_debug_break *breaks = lua_newuserdatauv(L, (*count + 1) * sizeof *breaks, 0);
    memset(breaks, 0, (*count + 1) * sizeof *breaks);
    for (size_t i = 0; i < *count; i++) {
        lua_rawgeti(L, list, (lua_Integer)i + 1);
        read_break(L, lua_gettop(L), of_lines, &breaks[i]);
        lua_pop(L, 1);
    }
    return breaks;
}

static int push_set_breaks(lua_State *L, const struct hob_debug_set_break *set, size_t count)
{
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        lua_createtable(L, 0, 4);
        hob_lua_debug_set_number(L, "id", set[i].id);
        lua_pushboolean(L, set[i].verified);
        lua_setfield(L, -2, "verified");
        if (set[i].line > 0) {
            hob_lua_debug_set_number(L, "line", set[i].line);
        }
        set_if_any(L, "message", set[i].message);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/** breakpoints(file, { { line =, condition =, hit =, log = }, ... }) -> { { id, verified, line,
 * message }, ... } */
static int session_breakpoints(lua_State *L)
{
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct hob_error err = {0};
    size_t count;
    const char *file = luaL_checkstring(L, 2);
    const struct hob_debug_break *breaks = read_breaks(L, 3, true, &count);
    struct hob_debug_set_break *set = lua_newuserdatauv(L, (count + 1) * sizeof *set, 0);
    memset(set, 0, (count + 1) * sizeof *set);
    if (hob_debug_breakpoints(self->session, file, breaks, count, set, &err)) {
        return hob_lua_fail(L, &err);
    }
    return push_set_breaks(L, set, count);
}

/** function_breakpoints{ { name =, condition =, hit = }, ... } -> as breakpoints */
static int session_function_breakpoints(lua_State *L)
{
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct hob_error err = {0};
    size_t count;
    const struct hob_debug_break *breaks = read_breaks(L, 2, false, &count);
    struct hob_debug_set_break *set = lua_newuserdatauv(L, (count + 1) * sizeof *set, 0);
    memset(set, 0, (count + 1) * sizeof *set);
    if (hob_debug_function_breakpoints(self->session, breaks, count, set, &err)) {
        return hob_lua_fail(L, &err);
    }
    return push_set_breaks(L, set, count);
}

/** exceptions{ raised = bool, uncaught = bool } */
static int session_exceptions(lua_State *L)
{
    static const char *const known[] = {"raised", "uncaught", NULL};
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    hob_lua_check_options(L, 2, known);
    hob_debug_exceptions(self->session, hob_lua_opt_boolean(L, 2, "raised", false),
                         hob_lua_opt_boolean(L, 2, "uncaught", false));
    return hob_lua_debug_result(L, 0, NULL);
}

/** entry(bool): stop at the first line of each job that begins from now on */
static int session_entry(lua_State *L)
{
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    luaL_checktype(L, 2, LUA_TBOOLEAN);
    hob_debug_entry(self->session, lua_toboolean(L, 2));
    return hob_lua_debug_result(L, 0, NULL);
}

/* ---- holding, and going on ---- */

static int session_pause(lua_State *L)
{
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct hob_error err = {0};
    int thread = hob_lua_debug_thread(L, 2, false);
    return hob_lua_debug_result(L, hob_debug_pause(self->session, thread, &err), &err);
}

static int session_continue(lua_State *L)
{
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct hob_error err = {0};
    int thread = hob_lua_debug_thread(L, 2, false);
    return hob_lua_debug_result(L, hob_debug_continue(self->session, thread, &err), &err);
}

/** step(thread, "in" | "over" | "out") -> true */
static int session_step(lua_State *L)
{
    static const char *const names[] = {"in", "over", "out", NULL};
    static const enum hob_debug_step steps[] = {HOB_DEBUG_IN, HOB_DEBUG_OVER, HOB_DEBUG_OUT};
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct hob_error err = {0};
    int thread = hob_lua_debug_thread(L, 2, false);
    enum hob_debug_step how = steps[luaL_checkoption(L, 3, "over", names)];
    return hob_lua_debug_result(L, hob_debug_step(self->session, thread, how, &err), &err);
}

static int session_cancel(lua_State *L)
{
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct hob_error err = {0};
    int thread = hob_lua_debug_thread(L, 2, false);
    return hob_lua_debug_result(L, hob_debug_cancel(self->session, thread, &err), &err);
}

/** write(bool) -> true: assignments are allowed, which the log says */
static int session_write(lua_State *L)
{
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    luaL_checktype(L, 2, LUA_TBOOLEAN);
    hob_debug_set_write(self->session, lua_toboolean(L, 2));
    return hob_lua_debug_result(L, 0, NULL);
}

/* ---- the module ---- */

static const luaL_Reg meta[] = {
    {"__gc", session_close}, {"__close", session_close}, {"__index", NULL}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"attach", session_attach},
                                   {"breakpoints", session_breakpoints},
                                   {"cancel", session_cancel},
                                   {"close", session_close},
                                   {"continue", session_continue},
                                   {"detach", session_detach},
                                   {"entry", session_entry},
                                   {"exceptions", session_exceptions},
                                   {"function_breakpoints", session_function_breakpoints},
                                   {"info", session_info},
                                   {"jobs", session_jobs},
                                   {"pause", session_pause},
                                   {"step", session_step},
                                   {"write", session_write},
                                   {NULL, NULL}};
static const luaL_Reg functions[] = {{"open", debug_open}, {NULL, NULL}};

int hob_lua_open_debug(lua_State *L)
{
    hob_lua_new_metatable(L, SESSION_NAME);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    luaL_setfuncs(L, hob_lua_debug_look_methods, 0);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
