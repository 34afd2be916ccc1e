#include "base/alloc.h"
#include "work/task_internal.h"

#include <string.h>

/* ---- what a task runs ---- */

int hob_task_add_message(lua_State *L)
{
    hob_task_see_error(L);
    if (hob_task_is_token(L, 1) || lua_type(L, 1) == LUA_TSTRING) {
        return 1;
    }
    if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING) {
        return 1;
    }
    if (lua_istable(L, 1)) {
        lua_pushliteral(L, "message");
        if (lua_rawget(L, 1) == LUA_TSTRING) {
            return 1;
        }
    }
    lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    return 1;
}

/* Stack: message handler, status, then results or one error. */
static int task_end(lua_State *L, int status, lua_KContext context)
{
    if (status == LUA_YIELD) {
        status = LUA_OK;
    }
    struct hob_task *task = hob_scheduler_of(L)->now.current;
    if (status == LUA_ERRMEM) {
        hob_task_set_memory(task);
    }
    lua_pushinteger(L, status);
    lua_replace(L, 2);
    return lua_gettop(L) - 1;
}

static int task_body_k(lua_State *L, int status, lua_KContext context)
{
    return lua_gettop(L);
}

static int task_body(lua_State *L)
{
    struct hob_task *task = hob_scheduler_of(L)->now.current;
    hob_task_check(L);
    int nargs = lua_gettop(L) - 1;
    if (task->call_push) {
        nargs += task->call_push(L, task->call_op);
    }
    lua_callk(L, nargs, LUA_MULTRET, 0, task_body_k);
    return lua_gettop(L);
}

static int task_main(lua_State *L)
{
    int nargs = lua_gettop(L);
    lua_pushcfunction(L, hob_task_add_message);
    lua_insert(L, 1);
    lua_pushinteger(L, 0);
    lua_insert(L, 2);
    lua_pushcfunction(L, task_body);
    lua_insert(L, 3);
    int status = lua_pcallk(L, nargs, LUA_MULTRET, 1, 0, task_end);
    return task_end(L, status, 0);
}

/* ---- making one ---- */

/* Protected, with the task; below the new coroutine's function. */
static lua_State *push_coroutine(lua_State *L)
{
    lua_State *co = lua_newthread(L);
    hob_task_set_busy(co, false);
    lua_pushcfunction(co, task_main);
    return co;
}

static int make_coroutine(lua_State *L)
{
    struct hob_task *task = lua_touserdata(L, 1);
    lua_State *co = push_coroutine(L);
    task->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    task->co = co;
    return 0;
}

/* The coroutine takes the function's place in the registry. */
static int make_coroutine_of_ref(lua_State *L)
{
    struct hob_task *task = lua_touserdata(L, 1);
    lua_State *co = push_coroutine(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->ref);
    lua_xmove(L, co, 1);
    lua_rawseti(L, LUA_REGISTRYINDEX, task->ref);
    task->co = co;
    return 0;
}

static int hold_function(lua_State *L)
{
    struct hob_task *task = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->ref);
    task->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static bool call_protected(lua_State *L, lua_CFunction fn, struct hob_task *task)
{
    /* Lua collects garbage where it makes a stack larger. */
    if (!lua_checkstack(L, LUA_MINSTACK + 3)) {
        return false;
    }
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, task);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        lua_pop(L, 1);
        return false;
    }
    return true;
}

/* Allocates nothing: there is room for two values on every stack. */
static void take_spare(struct hob_task *task)
{
    struct hob_scheduler *scheduler = task->scheduler;
    lua_State *L = scheduler->L, *co = scheduler->spare_co;
    lua_pushcfunction(co, task_main);
    lua_rawgeti(co, LUA_REGISTRYINDEX, task->ref);
    luaL_unref(L, LUA_REGISTRYINDEX, task->ref);
    task->ref = scheduler->spare_ref;
    task->co = co;
    scheduler->spare_co = NULL;
    scheduler->spare_ref = LUA_NOREF;
}

/* To make and to collect a coroutine takes longer than a short callback runs. One that has returned
 * can begin anew; whoever has kept it sees a running one. */
static void keep_spare(struct hob_task *task)
{
    struct hob_scheduler *scheduler = task->scheduler;
    if (scheduler->spare_co || scheduler->watcher || lua_status(task->co) != LUA_OK) {
        return;
    }
    lua_settop(task->co, 0);
    scheduler->spare_co = task->co;
    scheduler->spare_ref = task->ref;
    task->ref = LUA_NOREF;
}

bool hob_task_give_coroutine(struct hob_task *task)
{
    struct hob_scheduler *scheduler = task->scheduler;
    if (task->ref != LUA_NOREF && scheduler->spare_co) {
        take_spare(task);
        return true;
    }
    hob_task_enter(scheduler); /* making one may collect garbage */
    bool made = task->ref != LUA_NOREF && call_protected(scheduler->L, make_coroutine_of_ref, task);
    hob_task_leave(scheduler);
    return made;
}

static struct hob_task *new_task(struct hob_scheduler *scheduler)
{
    struct hob_task *task = scheduler->freed ? NULL : hob_calloc(1, sizeof *task);
    if (!task) {
        return NULL;
    }
    task->ref = LUA_NOREF;
    task->scheduler = scheduler;
    return task;
}

static void link_task(struct hob_task *task)
{
    task->next = task->scheduler->tasks;
    if (task->next) {
        task->next->prev = task;
    }
    task->scheduler->tasks = task;
}

struct hob_task *hob_task_start(lua_State *L, int nargs, hob_task_done_fn *done, void *user)
{
    struct hob_task *task = new_task(hob_scheduler_of(L));
    if (!task || !call_protected(L, make_coroutine, task) || !lua_checkstack(task->co, nargs + 1)) {
        if (task) {
            luaL_unref(L, LUA_REGISTRYINDEX, task->ref);
        }
        hob_free(task);
        lua_pop(L, nargs + 1);
        return NULL;
    }
    lua_xmove(L, task->co, nargs + 1);
    task->done = done;
    task->user = user;
    link_task(task);
    hob_task_make_ready(task);
    return task;
}

struct hob_task *hob_task_start_aside(lua_State *L, int nargs, hob_task_done_fn *done, void *user)
{
    struct hob_task *task = hob_task_start(L, nargs, done, user);
    if (task) {
        task->aside = true;
    }
    return task;
}

/* Without a coroutine yet: to make one may collect garbage, and so run finalizers, inside whatever
 * called this. */
void hob_task_call(struct hob_scheduler *scheduler, int ref, hob_task_push_fn *push, void *op,
                   void (*op_free)(void *op))
{
    struct hob_task *task = new_task(scheduler);
    if (!task) {
        if (scheduler->on_error && !scheduler->freed) {
            scheduler->on_error(scheduler->on_error_user, "out of memory");
        }
        if (op_free) {
            op_free(op);
        }
        return;
    }
    task->ref = ref;
    if (!call_protected(scheduler->L, hold_function, task)) {
        task->ref = LUA_NOREF; /* told in its turn */
    }
    task->call_push = push;
    task->call_op = op;
    task->call_op_free = op_free;
    task->first_run = task->called = true;
    link_task(task);
    hob_task_make_ready(task);
}

/* ---- its end ---- */

static void unlink_task(struct hob_task *task)
{
    struct hob_scheduler *scheduler = task->scheduler;
    if (task->prev) {
        task->prev->next = task->next;
    } else {
        scheduler->tasks = task->next;
    }
    if (task->next) {
        task->next->prev = task->prev;
    }
}

/* It must be unlinked. */
void hob_task_free(struct hob_task *task)
{
    hob_task_drop_wait(task);
    hob_task_free_spent(task);
    hob_task_free_frames(task);
    if (task->call_op_free) {
        task->call_op_free(task->call_op);
    }
    luaL_unref(task->scheduler->L, LUA_REGISTRYINDEX, task->ref);
    hob_free(task->message);
    hob_free(task);
}

static void report_error(struct hob_scheduler *scheduler, lua_State *co)
{
    const char *message = NULL;
    if (scheduler->ended_kind[0]) {
        message = scheduler->ended_message;
    } else if (lua_type(co, -1) == LUA_TSTRING) { /* a number would need memory to become one */
        message = lua_tostring(co, -1);
    }
    if (scheduler->on_error) {
        scheduler->on_error(scheduler->on_error_user,
                            message ? message : "error without a message");
    }
}

void hob_task_tell_end(struct hob_task *task, int status, int results)
{
    struct hob_scheduler *scheduler = task->scheduler;
    scheduler->ended_kind[0] = '\0';
    if (task->engine) { /* however the script may have ended */
        status = LUA_ERRRUN;
        memcpy(scheduler->ended_kind, task->kind, sizeof scheduler->ended_kind);
        scheduler->ended_message = hob_task_engine_message(task);
    }
    if (task->done) {
        task->done(task->user, task->co, status, results);
    } else if (status != LUA_OK) {
        report_error(scheduler, task->co);
    }
    if (scheduler->freed) {
        return; /* by `done`: the task went with it, and perhaps the Lua state */
    }
    scheduler->ended_kind[0] = '\0';
    unlink_task(task);
    if (status == LUA_OK && task->called && task->co) {
        keep_spare(task);
    }
    hob_task_free(task);
}

/* The values on top of co: the status that task_main found, then its results or one error. A
 * status of lua_resume itself: there was no memory for task_main. */
void hob_task_end(struct hob_task *task, int resumed, int results)
{
    task->scheduler->next.fn = NULL; /* only a task that runs can have left it */
    if (resumed != LUA_OK) {
        hob_task_set_memory(task);
        hob_task_tell_end(task, resumed, 1);
        return;
    }
    hob_task_tell_end(task, (int)lua_tointeger(task->co, -results), results - 1);
}
