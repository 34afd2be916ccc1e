/* units_loop.c - log and loop for specs. */
#include "units.h"

#include "base/log.h"
#include "base/loop.h"

#include <stdlib.h>
#include <string.h>

#define LOG   "hob_units.log"
#define LOOP  "hob_units.loop"
#define TIMER "hob_units.timer"

/* ---- log ---- */

struct log {
    struct hob_log *log;
    struct hob_buf lines;
    struct hob_log_tap tap; /* tapped: each with a newline */
};

static struct log *to_log(lua_State *L)
{
    return luaL_checkudata(L, 1, LOG);
}

static const char *field(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    const char *value = lua_tostring(L, -1);
    lua_pop(L, 1); /* the table keeps it */
    return value;
}

static void tap(void *user, const struct hob_log_record *record, const char *line, size_t len)
{
    struct log *log = user;
    hob_buf_append(&log->lines, line, len);
    hob_buf_append(&log->lines, "\n", 1);
    hob_log_event(log->log, HOB_LOG_ERROR, "units.tap", "a tap that logs");
}

/* log.open{level=, json=, target=} */
static int log_open(lua_State *L)
{
    struct hob_error err;
    struct hob_log_options options = {.target = field(L, 1, "target")};
    const char *level = field(L, 1, "level");
    if (level && hob_log_level_parse(level, &options.level))
        return luaL_error(L, "level %s", level);
    lua_getfield(L, 1, "json");
    options.format = lua_toboolean(L, -1) ? HOB_LOG_JSON : HOB_LOG_TEXT;
    struct log *log = lua_newuserdatauv(L, sizeof *log, 0);
    log->log = NULL;
    hob_buf_init(&log->lines, 1024 * 1024);
    luaL_setmetatable(L, LOG);
    if (hob_log_open(&options, &log->log, &err))
        return hob_units_fail(L, &err);
    log->tap = (struct hob_log_tap){
        .fn = tap, .user = log, .level = options.level, .format = options.format};
    hob_log_tap(log->log, &log->tap);
    return 1;
}

static int log_close(lua_State *L)
{
    struct log *log = to_log(L);
    hob_log_close(log->log);
    log->log = NULL;
    hob_buf_free(&log->lines);
    return 0;
}

/* log:write(level, event, message [, fields]) */
static int log_write(lua_State *L)
{
    struct log *log = to_log(L);
    struct hob_log_record record = {.event = luaL_checkstring(L, 3)};
    if (hob_log_level_parse(luaL_checkstring(L, 2), &record.level))
        return luaL_error(L, "level");
    const char *message = luaL_checkstring(L, 4);
    if (lua_istable(L, 5)) {
        record.thing = field(L, 5, "thing");
        record.job = field(L, 5, "job");
        record.step = field(L, 5, "step");
        record.code = field(L, 5, "code");
        record.action = field(L, 5, "action");
        lua_getfield(L, 5, "execution");
        record.execution = lua_tointeger(L, -1);
    }
    hob_log_write(log->log, &record, "%s", message);
    return 0;
}

static int log_lines(lua_State *L)
{
    struct log *log = to_log(L);
    lua_pushlstring(L, hob_buf_data(&log->lines), hob_buf_len(&log->lines));
    hob_buf_clear(&log->lines);
    return 1;
}

static int log_reopen(lua_State *L)
{
    struct hob_error err;
    return hob_log_reopen(to_log(L)->log, &err) ? hob_units_fail(L, &err) : hob_units_result(L, 0);
}

static int log_level_parse(lua_State *L)
{
    enum hob_log_level level = HOB_LOG_OFF;
    int code = hob_log_level_parse(luaL_checkstring(L, 1), &level);
    if (code)
        return hob_units_result(L, code);
    lua_pushinteger(L, level);
    return 1;
}

static const luaL_Reg log_functions[] = {
    {"open", log_open}, {"level_parse", log_level_parse}, {NULL, NULL}};
static const luaL_Reg log_methods[] = {{"write", log_write},
                                       {"lines", log_lines},
                                       {"reopen", log_reopen},
                                       {"close", log_close},
                                       {NULL, NULL}};

/* ---- loop ---- */

struct loop {
    struct hob_loop *loop;
    lua_State *L; /* who called loop:run() */
    int error;    /* reference of the first error in a callback */
};

struct call { /* a Lua function that the loop calls, with its timer's handle if it has one */
    struct loop *loop;
    struct hob_timer *timer;
    struct hob_loop_soon soon;
    int fn;
};

static struct loop *to_loop(lua_State *L)
{
    struct loop *loop = luaL_checkudata(L, 1, LOOP);
    luaL_argcheck(L, loop->loop, 1, "freed");
    return loop;
}

static void call(struct call *call)
{
    struct loop *loop = call->loop;
    lua_rawgeti(loop->L, LUA_REGISTRYINDEX, call->fn);
    if (lua_pcall(loop->L, 0, 0, 0) == LUA_OK)
        return;
    loop->error = luaL_ref(loop->L, LUA_REGISTRYINDEX);
    hob_loop_stop(loop->loop);
}

static void call_once(void *user)
{
    struct call *one = user;
    call(one);
    luaL_unref(one->loop->L, LUA_REGISTRYINDEX, one->fn);
    free(one);
}

static void call_timer(void *user)
{
    call(user);
}

static int loop_new(lua_State *L)
{
    struct hob_error err;
    struct loop *loop = lua_newuserdatauv(L, sizeof *loop, 0);
    *loop = (struct loop){.L = L, .error = LUA_NOREF};
    luaL_setmetatable(L, LOOP);
    return hob_loop_new(&loop->loop, &err) ? hob_units_fail(L, &err) : 1;
}

static int loop_free(lua_State *L)
{
    struct loop *loop = luaL_checkudata(L, 1, LOOP);
    loop->L = L;
    hob_loop_free(loop->loop);
    loop->loop = NULL;
    return 0;
}

static struct call *new_call(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TFUNCTION);
    lua_pushvalue(L, index);
    struct call *one = calloc(1, sizeof *one);
    one->loop = to_loop(L);
    one->fn = luaL_ref(L, LUA_REGISTRYINDEX);
    return one;
}

static int loop_defer(lua_State *L)
{
    struct call *one = new_call(L, 2);
    hob_loop_defer(one->loop->loop, &one->soon, call_once, one);
    return 0;
}

static int loop_run(lua_State *L)
{
    struct loop *loop = to_loop(L);
    loop->L = L;
    loop->error = LUA_NOREF;
    hob_loop_run(loop->loop);
    if (loop->error == LUA_NOREF)
        return 0;
    lua_rawgeti(L, LUA_REGISTRYINDEX, loop->error);
    luaL_unref(L, LUA_REGISTRYINDEX, loop->error);
    return lua_error(L);
}

static int loop_stop(lua_State *L)
{
    hob_loop_stop(to_loop(L)->loop);
    return 0;
}

static int loop_fd(lua_State *L)
{
    lua_pushinteger(L, hob_loop_fd(to_loop(L)->loop));
    return 1;
}

static int loop_timeout_ms(lua_State *L)
{
    lua_pushinteger(L, hob_loop_timeout_ms(to_loop(L)->loop));
    return 1;
}

static int loop_dispatch(lua_State *L)
{
    to_loop(L)->L = L;
    hob_loop_dispatch(to_loop(L)->loop);
    return 0;
}

static int loop_hold(lua_State *L)
{
    hob_loop_hold(to_loop(L)->loop);
    return 0;
}

static int loop_release(lua_State *L)
{
    hob_loop_release(to_loop(L)->loop);
    return 0;
}

/* loop:timer(fn) -> timer; close it before the loop is freed */
static int loop_timer(lua_State *L)
{
    struct call *one = new_call(L, 2);
    one->timer = hob_timer_new(one->loop->loop, call_timer, one);
    struct call **timer = lua_newuserdatauv(L, sizeof *timer, 1);
    *timer = one;
    luaL_setmetatable(L, TIMER);
    lua_pushvalue(L, 1); /* the loop lives as long */
    lua_setiuservalue(L, -2, 1);
    return 1;
}

static struct call *to_timer(lua_State *L)
{
    struct call *timer = *(struct call **)luaL_checkudata(L, 1, TIMER);
    luaL_argcheck(L, timer, 1, "closed");
    return timer;
}

static int timer_start(lua_State *L)
{
    hob_timer_start(to_timer(L)->timer, (uint64_t)luaL_checkinteger(L, 2));
    return 0;
}

static int timer_stop(lua_State *L)
{
    hob_timer_stop(to_timer(L)->timer);
    return 0;
}

static int timer_active(lua_State *L)
{
    lua_pushboolean(L, hob_timer_active(to_timer(L)->timer));
    return 1;
}

static int timer_close(lua_State *L)
{
    struct call **timer = luaL_checkudata(L, 1, TIMER);
    if (!*timer)
        return 0;
    hob_timer_close((*timer)->timer);
    luaL_unref(L, LUA_REGISTRYINDEX, (*timer)->fn);
    free(*timer);
    *timer = NULL;
    return 0;
}

static const luaL_Reg loop_functions[] = {{"new", loop_new}, {NULL, NULL}};
static const luaL_Reg loop_methods[] = {
    {"defer", loop_defer},       {"run", loop_run},   {"stop", loop_stop},
    {"timer", loop_timer},       {"hold", loop_hold}, {"release", loop_release},
    {"free", loop_free},         {"fd", loop_fd},     {"timeout_ms", loop_timeout_ms},
    {"dispatch", loop_dispatch}, {NULL, NULL}};
static const luaL_Reg timer_methods[] = {{"start", timer_start},
                                         {"stop", timer_stop},
                                         {"active", timer_active},
                                         {"close", timer_close},
                                         {NULL, NULL}};

int hob_units_open_loop(lua_State *L)
{
    hob_units_class(L, LOG, log_methods, log_close);
    hob_units_class(L, LOOP, loop_methods, loop_free);
    hob_units_class(L, TIMER, timer_methods, timer_close);
    lua_newtable(L);
    hob_units_unit(L, "log", log_functions);
    hob_units_unit(L, "loop", loop_functions);
    return 1;
}
