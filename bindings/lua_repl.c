/* lua_repl.c - hob.repl.core: functions that run beside the caller and can be interrupted, for
 * lib/hob/repl. In a session's state and in Hob's own commands; never in a job's sandbox.
 *
 * core.start(fn) -> running       fn runs as a task of its own
 * running:wait() -> true          it has ended; what it came to is its own affair
 *                -> false, message, kind    an engine error ended it: "interrupted", "limit", ...
 * running:interrupt(message)      ends what it waits for, and then itself; no code can catch it
 * core.traceback(value [, level]) -> text
 * Spec: spec/unit/repl_server_spec.lua
 */
#include "bindings.h"

#include "work/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME        "hob.repl.running"
#define MESSAGE_MAX 512

struct running {
    lua_State *L; /* the main thread: for the reference */
    struct hob_scheduler *scheduler;
    struct hob_task *task;   /* NULL once it has ended */
    struct hob_task *waiter; /* NULL: nobody waits */
    int self;                /* keeps it until it has ended */
    char kind[32];           /* "": an ordinary end */
    char message[MESSAGE_MAX];
};

static struct running *check(lua_State *L)
{
    return luaL_checkudata(L, 1, NAME);
}

static void on_done(void *user, lua_State *L, int status, int results)
{
    struct running *running = user;
    const char *message = NULL;
    const char *kind = hob_task_engine_error(running->scheduler, &message);
    if (status != LUA_OK) {
        const char *value = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
        message = message ? message : value;
        snprintf(running->kind, sizeof running->kind, "%s", kind ? kind : "error");
        snprintf(running->message, sizeof running->message, "%s",
                 message ? message : "an error that is no text");
    }
    running->task = NULL;
    if (running->waiter) {
        hob_task_wake(running->waiter);
    }
    luaL_unref(running->L, LUA_REGISTRYINDEX, running->self);
}

/* ---- waiting ---- */

static int push_end(lua_State *L, void *op)
{
    struct running *running = op;
    running->waiter = NULL;
    lua_pushboolean(L, running->kind[0] == '\0');
    if (running->kind[0] == '\0') {
        return 1;
    }
    lua_pushstring(L, running->message);
    lua_pushstring(L, running->kind);
    return 3;
}

static void stop_waiting(void *op)
{
    ((struct running *)op)->waiter = NULL;
}

static int running_wait(lua_State *L)
{
    struct running *running = check(L);
    if (running->waiter) {
        return luaL_error(L, "another task waits for it");
    }
    if (!running->task) {
        return push_end(L, running);
    }
    running->waiter = hob_task_current(L);
    return hob_task_suspend(
        L, &(struct hob_task_wait){
               .name = "hob.repl.wait", .push = push_end, .cancel = stop_waiting, .op = running});
}

static int running_interrupt(lua_State *L)
{
    struct running *running = check(L);
    const char *message = luaL_optstring(L, 2, "interrupted");
    if (running->task) {
        hob_task_cancel(running->task, "interrupted", message);
    }
    return 0;
}

/* ---- starting ---- */

static lua_State *main_thread(lua_State *L)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua_State *main = lua_tothread(L, -1);
    lua_pop(L, 1);
    return main;
}

static int start(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    struct running *running = lua_newuserdatauv(L, sizeof *running, 0);
    *running = (struct running){.L = main_thread(L), .scheduler = hob_scheduler_of(L)};
    luaL_setmetatable(L, NAME);
    lua_pushvalue(L, 2);
    running->self = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushvalue(L, 1);
    running->task = hob_task_start(L, 0, on_done, running);
    if (!running->task) {
        luaL_unref(L, LUA_REGISTRYINDEX, running->self);
        return luaL_error(L, "out of memory");
    }
    return 1;
}

static int traceback(lua_State *L)
{
    const char *message = luaL_tolstring(L, 1, NULL);
    luaL_traceback(L, L, message, (int)luaL_optinteger(L, 2, 1));
    return 1;
}

static const luaL_Reg functions[] = {{"start", start}, {"traceback", traceback}, {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"wait", running_wait}, {"interrupt", running_interrupt}, {NULL, NULL}};

int hob_lua_open_repl(lua_State *L)
{
    hob_lua_new_metatable(L, NAME);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
