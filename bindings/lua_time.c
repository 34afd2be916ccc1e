/* lua_time.c - hob.time: the clocks, sleeping, timers. */
#include "base/alloc.h"
#include "bindings.h"

#include "base/clock.h"
#include "work/task.h"

#define TIMER_NAME "hob.time.timer"

static int time_now(lua_State *L)
{
    lua_pushnumber(L, (double)hob_clock_wall_ms() / 1000);
    return 1;
}

static int time_mono(lua_State *L)
{
    lua_pushnumber(L, (double)hob_clock_mono_us() / 1000000);
    return 1;
}

static int time_text(lua_State *L)
{
    char text[HOB_CLOCK_TEXT_MAX];
    lua_pushstring(L, hob_clock_text((int64_t)(luaL_checknumber(L, 1) * 1000), text));
    return 1;
}

/* ---- sleep ---- */

struct sleep {
    struct hob_task *task;
    struct hob_timer *timer;
};

static void sleep_over(void *user)
{
    struct sleep *op = user;
    hob_task_wake(op->task);
}

static void sleep_free(void *user)
{
    struct sleep *op = user;
    hob_timer_close(op->timer);
    hob_free(op);
}

static int time_sleep(lua_State *L)
{
    uint64_t ms = hob_lua_ms(L, luaL_checknumber(L, 1), "seconds");
    struct hob_task *task = hob_task_current(L);
    struct sleep *op = hob_calloc(1, sizeof *op);
    if (op) {
        op->task = task;
        op->timer = hob_timer_new(hob_scheduler_loop(L), sleep_over, op);
    }
    if (!op || !op->timer) {
        hob_free(op);
        return luaL_error(L, "out of memory");
    }
    hob_timer_start(op->timer, ms);
    return hob_task_suspend(
        L, &(struct hob_task_wait){.name = "hob.time.sleep", .op_free = sleep_free, .op = op});
}

/* ---- after ---- */

struct after {
    struct hob_scheduler *scheduler;
    struct hob_timer *timer;
    lua_State *L; /* the main thread: for the references */
    int callback; /* LUA_NOREF once it ran or was cancelled */
    int self;     /* keeps the object while it may still call */
};

static void after_release(struct after *after)
{
    luaL_unref(after->L, LUA_REGISTRYINDEX, after->callback);
    luaL_unref(after->L, LUA_REGISTRYINDEX, after->self);
    after->callback = after->self = LUA_NOREF;
    if (after->timer) {
        hob_timer_close(after->timer);
        after->timer = NULL;
    }
}

static void after_fire(void *user)
{
    struct after *after = user;
    /* hob_task_call has taken the function when it returns. */
    hob_task_call(after->scheduler, after->callback, NULL, NULL, NULL);
    after_release(after);
}

static int after_cancel(lua_State *L)
{
    after_release(luaL_checkudata(L, 1, TIMER_NAME));
    return 0;
}

static lua_State *main_thread(lua_State *L)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua_State *main = lua_tothread(L, -1);
    lua_pop(L, 1);
    return main;
}

static const luaL_Reg timer_meta[] = {
    {"__gc", after_cancel}, {"__close", after_cancel}, {"__index", NULL}, {NULL, NULL}};
static const luaL_Reg timer_methods[] = {{"cancel", after_cancel}, {NULL, NULL}};

/* Made when first asked for: most jobs have no timer. */
static void push_timer_meta(lua_State *L)
{
    if (hob_lua_new_metatable(L, TIMER_NAME)) {
        luaL_setfuncs(L, timer_meta, 0);
        luaL_newlib(L, timer_methods);
        lua_setfield(L, -2, "__index");
    }
}

static int time_after(lua_State *L)
{
    uint64_t ms = hob_lua_ms(L, luaL_checknumber(L, 1), "seconds");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    struct hob_loop *loop = hob_scheduler_loop(L);
    struct after *after = lua_newuserdatauv(L, sizeof *after, 0);
    *after = (struct after){.scheduler = hob_scheduler_of(L),
                            .L = main_thread(L),
                            .callback = LUA_NOREF,
                            .self = LUA_NOREF};
    push_timer_meta(L);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, 2);
    after->callback = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushvalue(L, -1);
    after->self = luaL_ref(L, LUA_REGISTRYINDEX);
    after->timer = hob_timer_new(loop, after_fire, after);
    if (!after->timer) {
        after_release(after);
        return luaL_error(L, "out of memory");
    }
    hob_timer_start(after->timer, ms);
    return 1;
}

static const luaL_Reg functions[] = {{"now", time_now},     {"mono", time_mono},
                                     {"text", time_text},   {"sleep", time_sleep},
                                     {"after", time_after}, {NULL, NULL}};

int hob_lua_open_time(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
