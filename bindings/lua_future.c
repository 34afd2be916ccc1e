/* lua_future.c - hob.future: a result that is not there yet, for any number of tasks to wait for.
 *
 * hob.future.new() -> future
 * future:resolve(...)        the first call counts; -> true, or false if it was resolved before
 * future:done() -> boolean
 * future:result([seconds])   waits; -> what it was resolved with | nil, message, "ETIMEDOUT"
 * Spec: spec/unit/future_spec.lua
 */
#include "lua_future.h"
#include "base/alloc.h"
#include "bindings.h"

#include "work/task.h"

#include <stdio.h>
#include <string.h>

#define FUTURE_NAME "hob.future"
#define VALUES      1 /* the user value: a table of the results, nil until then */

struct waiter {
    struct hob_lua_future *future; /* NULL: it waits no more */
    struct waiter *next;
    struct hob_task *task;
    struct hob_timer *timer;
    double seconds;
};

struct hob_lua_future {
    bool done;
    struct waiter *waiters;
    char *text; /* what hob_lua_future_give was given; NULL: nothing */
    size_t len;
    const char *word;
    void (*on_end)(void *user);
    void *on_end_user;
};

static struct hob_lua_future *check_future(lua_State *L)
{
    return luaL_checkudata(L, 1, FUTURE_NAME);
}

static int push_values(lua_State *L)
{
    const struct hob_lua_future *future = check_future(L);
    if (future->text) {
        lua_pushlstring(L, future->text, future->len);
        lua_pushstring(L, future->word);
        return 2;
    }
    lua_getiuservalue(L, 1, VALUES);
    lua_getfield(L, -1, "n");
    int count = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    luaL_checkstack(L, count + 1, "results of a future");
    int table = lua_gettop(L);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, table, i);
    }
    return count;
}

static void leave(struct waiter *waiter)
{
    if (!waiter->future) {
        return;
    }
    struct waiter **at = &waiter->future->waiters;
    while (*at != waiter) {
        at = &(*at)->next;
    }
    *at = waiter->next;
    waiter->future = NULL;
}

static void wake(struct waiter *waiter)
{
    leave(waiter);
    hob_task_wake(waiter->task);
}

static void time_is_over(void *user)
{
    wake(user);
}

static void cancel_wait(void *user)
{
    leave(user);
}

static void free_waiter(void *user)
{
    struct waiter *waiter = user;
    leave(waiter);
    hob_timer_close(waiter->timer);
    hob_free(waiter);
}

static int push_result(lua_State *L, void *user)
{
    const struct waiter *waiter = user;
    if (check_future(L)->done) {
        return push_values(L);
    }
    char seconds[32]; /* Lua's own %f shows 5 as 5.0 */
    snprintf(seconds, sizeof seconds, "%g", waiter->seconds);
    lua_pushnil(L);
    lua_pushfstring(L, "there was no result within %s s", seconds);
    lua_pushstring(L, hob_error_name(HOB_ETIMEDOUT));
    return 3;
}

static struct waiter *make_waiter(lua_State *L, double seconds)
{
    uint64_t ms = seconds >= 0 ? hob_lua_ms(L, seconds, "timeout") : 0;
    struct hob_task *task = hob_task_current(L);
    struct waiter *waiter = hob_calloc(1, sizeof *waiter);
    if (waiter && seconds >= 0) {
        waiter->timer = hob_timer_new(hob_scheduler_loop(L), time_is_over, waiter);
    }
    if (!waiter || (seconds >= 0 && !waiter->timer)) {
        hob_free(waiter);
        luaL_error(L, "out of memory");
    }
    waiter->task = task;
    waiter->seconds = seconds;
    if (waiter->timer) {
        hob_timer_start(waiter->timer, ms);
    }
    return waiter;
}

static int future_result(lua_State *L)
{
    struct hob_lua_future *future = check_future(L);
    double seconds = -1;
    if (!lua_isnoneornil(L, 2)) {
        seconds = luaL_checknumber(L, 2);
        hob_lua_ms(L, seconds, "timeout"); /* raises on a negative one */
    }
    if (future->done) {
        return push_values(L);
    }
    struct waiter *waiter = make_waiter(L, seconds);
    struct waiter **at = &future->waiters;
    while (*at) {
        at = &(*at)->next; /* first come, first woken */
    }
    *at = waiter;
    waiter->future = future;
    return hob_task_suspend(L, &(struct hob_task_wait){.name = "hob.future.result",
                                                       .push = push_result,
                                                       .cancel = cancel_wait,
                                                       .op_free = free_waiter,
                                                       .op = waiter});
}

/* ---- from C ---- */

struct hob_lua_future *hob_lua_future_check(lua_State *L, int index)
{
    return luaL_checkudata(L, index, FUTURE_NAME);
}

static void tell_end(struct hob_lua_future *future)
{
    void (*fn)(void *user) = future->on_end;
    future->on_end = NULL;
    if (fn) {
        fn(future->on_end_user);
    }
}

void hob_lua_future_on_end(struct hob_lua_future *future, void (*fn)(void *user), void *user)
{
    if (fn) {
        tell_end(future); /* whoever has asked before */
    }
    future->on_end = fn;
    future->on_end_user = user;
}

static void wake_all(struct hob_lua_future *future)
{
    future->done = true;
    while (future->waiters) {
        wake(future->waiters);
    }
    tell_end(future);
}

bool hob_lua_future_give(struct hob_lua_future *future, const char *text, size_t len,
                         const char *word)
{
    char *copy = future->done ? NULL : hob_malloc(len + 1);
    if (!copy) {
        return false;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    future->text = copy;
    future->len = len;
    future->word = word;
    wake_all(future);
    return true;
}

/* ---- methods ---- */

static int future_resolve(lua_State *L)
{
    struct hob_lua_future *future = check_future(L);
    if (future->done) {
        lua_pushboolean(L, 0);
        return 1;
    }
    int count = lua_gettop(L) - 1;
    lua_createtable(L, count, 1);
    for (int i = 1; i <= count; i++) {
        lua_pushvalue(L, i + 1);
        lua_rawseti(L, -2, i);
    }
    lua_pushinteger(L, count);
    lua_setfield(L, -2, "n");
    lua_setiuservalue(L, 1, VALUES);
    wake_all(future);
    lua_pushboolean(L, 1);
    return 1;
}

static int future_done(lua_State *L)
{
    lua_pushboolean(L, check_future(L)->done);
    return 1;
}

static int future_tostring(lua_State *L)
{
    lua_pushfstring(L, "%s (%s)", FUTURE_NAME, check_future(L)->done ? "done" : "not done");
    return 1;
}

/* Only when the state ends: whoever waits keeps it. */
static int future_gc(lua_State *L)
{
    struct hob_lua_future *future = check_future(L);
    while (future->waiters) {
        leave(future->waiters);
    }
    tell_end(future);
    hob_free(future->text);
    future->text = NULL;
    return 0;
}

static int future_new(lua_State *L)
{
    struct hob_lua_future *future = lua_newuserdatauv(L, sizeof *future, 1);
    *future = (struct hob_lua_future){0};
    luaL_setmetatable(L, FUTURE_NAME);
    return 1;
}

static const luaL_Reg future_meta[] = {
    {"__gc", future_gc}, {"__tostring", future_tostring}, {"__index", NULL}, {NULL, NULL}};
static const luaL_Reg future_methods[] = {
    {"done", future_done}, {"resolve", future_resolve}, {"result", future_result}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"new", future_new}, {NULL, NULL}};

int hob_lua_open_future(lua_State *L)
{
    hob_lua_new_metatable(L, FUTURE_NAME);
    luaL_setfuncs(L, future_meta, 0);
    luaL_newlib(L, future_methods);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
