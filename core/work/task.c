#include "work/task.h"

#include "base/clock.h"

#include <assert.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_INSTRUCTIONS 10000
#define UNYIELDING_MS      200
#define KIND_MAX           32
#define MESSAGE_MAX        1024

struct hob_task {
    struct hob_scheduler *scheduler;
    lua_State *co;
    int ref;
    struct hob_task *next, *prev; /* of all tasks */
    struct hob_task *next_ready;
    bool ready;
    bool waiting;
    struct hob_task_wait wait;
    struct hob_task_wait spent;  /* its op is still to be freed */
    hob_task_push_fn *call_push; /* of hob_task_call: pushes the arguments */
    void *call_op;
    void (*call_op_free)(void *op);
    bool engine; /* an engine error is to be raised, or was */
    char kind[KIND_MAX];
    /* Of the engine error; NULL if memory was short. Not an array: tasks are made by the thousand,
     * and the C library tidies all its small chunks for each one over 1 KB. */
    char *message;
    hob_task_done_fn *done;
    void *user;
};

struct hob_scheduler {
    struct hob_loop *loop;
    lua_State *L;
    void *user;
    struct hob_task *tasks;
    struct hob_task *ready_head, *ready_tail;
    bool turn_pending;
    bool freed; /* waits only for the turn that is pending */
    struct hob_task *current;
    bool passing;            /* a yield of ours is on its way up through the script's coroutines */
    bool chain_yieldable;    /* every coroutine below the running one can yield */
    bool stuck;              /* the hook found that it cannot yield, */
    uint64_t stuck_since_ms; /* at this processor time */
    char ended_kind[KIND_MAX];
    char ended_message[MESSAGE_MAX];
    void (*on_error)(void *user, const char *message);
    void *on_error_user;
};

/* The value of an engine error: its address is known to this file alone. */
static const char engine_token;

/* ---- where things are ---- */

/* Lua copies a state's extra space to each new thread, so every coroutine finds its scheduler. The
 * lowest bit marks a coroutine that a passing yield has left suspended: only its own resumer may go
 * on with it. */
static uintptr_t *extra(lua_State *L)
{
    return (uintptr_t *)lua_getextraspace(L);
}

static bool is_busy(lua_State *co)
{
    return (*extra(co) & 1u) != 0;
}

static void set_busy(lua_State *co, bool busy)
{
    *extra(co) = (*extra(co) & ~(uintptr_t)1u) | (busy ? 1u : 0u);
}

struct hob_scheduler *hob_scheduler_of(lua_State *L)
{
    return (struct hob_scheduler *)(*extra(L) & ~(uintptr_t)1u);
}

void *hob_scheduler_user(lua_State *L)
{
    return hob_scheduler_of(L)->user;
}

struct hob_loop *hob_scheduler_loop(lua_State *L)
{
    const struct hob_scheduler *scheduler = hob_scheduler_of(L);
    if (scheduler->freed) {
        luaL_error(L, "the script has ended: nothing can be started any more");
    }
    return scheduler->loop;
}

void hob_scheduler_on_error(struct hob_scheduler *scheduler,
                            void (*fn)(void *user, const char *message), void *user)
{
    scheduler->on_error = fn;
    scheduler->on_error_user = user;
}

const char *hob_task_waiting_in(const struct hob_task *task)
{
    return task->waiting ? task->wait.name : "";
}

/* ---- engine errors ---- */

static bool is_token(lua_State *L, int index)
{
    return lua_touserdata(L, index) == (const void *)&engine_token;
}

static int raise_token(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&engine_token);
    return lua_error(L);
}

/* An engine error is on its way through this task. */
static bool is_ending(lua_State *L)
{
    const struct hob_task *task = hob_scheduler_of(L)->current;
    return task && task->engine;
}

static void set_engine(struct hob_task *task, const char *kind, const char *message)
{
    if (task->engine) {
        return; /* the first reason stands */
    }
    task->engine = true;
    snprintf(task->kind, sizeof task->kind, "%s", kind);
    task->message = strndup(message, MESSAGE_MAX - 1);
}

static const char *engine_message(const struct hob_task *task)
{
    return task->message ? task->message : "out of memory";
}

int hob_task_raise(lua_State *L, const char *kind, const char *message)
{
    struct hob_task *task = hob_scheduler_of(L)->current;
    if (!task) {
        return luaL_error(L, "%s", message);
    }
    set_engine(task, kind, message);
    return raise_token(L);
}

const char *hob_task_engine_error(const struct hob_scheduler *scheduler, const char **message)
{
    if (!scheduler->ended_kind[0]) {
        return NULL;
    }
    if (message) {
        *message = scheduler->ended_message;
    }
    return scheduler->ended_kind;
}

/* ---- pcall and xpcall that let engine errors through ---- */

static int finish_pcall(lua_State *L, int status, lua_KContext extra_values)
{
    if (status == LUA_OK || status == LUA_YIELD) {
        return lua_gettop(L) - (int)extra_values;
    }
    struct hob_task *task = hob_scheduler_of(L)->current;
    if (status == LUA_ERRMEM && task) {
        return hob_task_raise(L, "memory", "out of memory");
    }
    if (is_ending(L)) {
        return raise_token(L); /* also when a __close has put its own error before it */
    }
    lua_pushboolean(L, 0);
    lua_pushvalue(L, -2);
    return 2;
}

static int safe_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, finish_pcall);
    return finish_pcall(L, status, 0);
}

static int filter_message(lua_State *L)
{
    if (is_token(L, 1)) {
        return 1;
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

static int safe_xpcall(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, filter_message, 1);
    lua_replace(L, 2);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2); /* f, handler, true, f, args */
    int status = lua_pcallk(L, n - 2, LUA_MULTRET, 2, 2, finish_pcall);
    return finish_pcall(L, status, 2);
}

/* ---- the forced yield ---- */

static void on_count(lua_State *L, lua_Debug *ar)
{
    struct hob_scheduler *scheduler = hob_scheduler_of(L);
    struct hob_task *task = scheduler->current;
    if (!task) {
        return;
    }
    if (task->engine) {
        raise_token(L);
    }
    if (lua_isyieldable(L) && scheduler->chain_yieldable) {
        scheduler->stuck = false;
        scheduler->passing = true;
        lua_yield(L, 0);
    } else if (!scheduler->stuck) {
        scheduler->stuck = true;
        scheduler->stuck_since_ms = hob_clock_cpu_ms();
    } else if (hob_clock_cpu_ms() - scheduler->stuck_since_ms > UNYIELDING_MS) {
        luaL_where(L, 0);
        const char *where = lua_tostring(L, -1);
        lua_pushfstring(L, "%sran for over %d ms where it cannot be interrupted",
                        where ? where : "", UNYIELDING_MS);
        hob_task_raise(L, "limit", lua_tostring(L, -1));
    }
}

static void set_hook(lua_State *co)
{
    lua_sethook(co, on_count, LUA_MASKCOUNT, SLICE_INSTRUCTIONS);
}

/* ---- coroutines of the script's own, passed through by our yields ---- */

#define IS_WRAP 1

static int resume_again(lua_State *L, int status, lua_KContext mode);

static lua_State *resumer_target(lua_State *L, lua_KContext mode)
{
    return mode == IS_WRAP ? lua_tothread(L, lua_upvalueindex(1)) : lua_tothread(L, 1);
}

static int resume_failed(lua_State *L, lua_State *co, int status, lua_KContext mode)
{
    if (status == LUA_ERRMEM && hob_scheduler_of(L)->current) {
        return hob_task_raise(L, "memory", "out of memory");
    }
    if (is_ending(L)) {
        lua_pop(co, 1);
        return raise_token(L);
    }
    if (mode != IS_WRAP) {
        lua_pushboolean(L, 0);
        lua_xmove(co, L, 1);
        return 2;
    }
    lua_xmove(co, L, 1);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_resetthread(co); /* closes its pending to-be-closed variables */
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int resume_inner(lua_State *L, lua_State *co, int nargs, lua_KContext mode)
{
    struct hob_scheduler *scheduler = hob_scheduler_of(L);
    bool below = scheduler->chain_yieldable;
    scheduler->chain_yieldable = below && lua_isyieldable(L);
    set_hook(co);
    int results = 0;
    int status = lua_resume(co, L, nargs, &results);
    scheduler->chain_yieldable = below;
    if (status == LUA_YIELD && scheduler->passing) {
        set_busy(co, true);
        return lua_yieldk(L, 0, mode, resume_again);
    }
    if (status != LUA_OK && status != LUA_YIELD) {
        return resume_failed(L, co, status, mode);
    }
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        return luaL_error(L, "too many results to resume");
    }
    if (mode != IS_WRAP) {
        lua_pushboolean(L, 1);
    }
    lua_xmove(co, L, results);
    return results + (mode == IS_WRAP ? 0 : 1);
}

static int resume_again(lua_State *L, int status, lua_KContext mode)
{
    lua_State *co = resumer_target(L, mode);
    set_busy(co, false);
    return resume_inner(L, co, 0, mode);
}

static const char *not_resumable(lua_State *L, lua_State *co)
{
    if (co == L || is_busy(co)) {
        return "cannot resume non-suspended coroutine";
    }
    if (lua_status(co) == LUA_YIELD) {
        return NULL;
    }
    lua_Debug ar;
    if (lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar)) {
        return "cannot resume non-suspended coroutine"; /* it has resumed another */
    }
    bool dead = lua_status(co) != LUA_OK || lua_gettop(co) == 0;
    return dead ? "cannot resume dead coroutine" : NULL;
}

static int begin_resume(lua_State *L, lua_State *co, lua_KContext mode)
{
    int nargs = lua_gettop(L) - (mode == IS_WRAP ? 0 : 1);
    const char *why = not_resumable(L, co);
    if (!why && !lua_checkstack(co, nargs)) {
        why = "too many arguments to resume";
    }
    if (why && mode == IS_WRAP) {
        return luaL_error(L, "%s", why);
    }
    if (why) {
        lua_pushboolean(L, 0);
        lua_pushstring(L, why);
        return 2;
    }
    lua_xmove(L, co, nargs);
    return resume_inner(L, co, nargs, mode);
}

static lua_State *check_coroutine(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "coroutine");
    return co;
}

static int co_resume(lua_State *L)
{
    return begin_resume(L, check_coroutine(L), 0);
}

static int wrap_call(lua_State *L)
{
    return begin_resume(L, lua_tothread(L, lua_upvalueindex(1)), IS_WRAP);
}

static int co_create(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    set_busy(co, false); /* copied from the main thread, but said for sure */
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

static int co_wrap(lua_State *L)
{
    co_create(L);
    lua_pushcclosure(L, wrap_call, 1);
    return 1;
}

static bool is_base(lua_State *L)
{
    struct hob_task *task = hob_scheduler_of(L)->current;
    return !task || task->co == L;
}

static int co_yield (lua_State *L)
{
    if (is_base(L)) {
        return luaL_error(L, "attempt to yield from outside a coroutine");
    }
    return lua_yield(L, lua_gettop(L));
}

static int co_running(lua_State *L)
{
    lua_pushthread(L);
    lua_pushboolean(L, is_base(L));
    return 2;
}

static int co_isyieldable(lua_State *L)
{
    lua_State *co = lua_isnone(L, 1) ? L : check_coroutine(L);
    lua_pushboolean(L, !is_base(co) && lua_isyieldable(co));
    return 1;
}

static const char *co_state(lua_State *L, lua_State *co)
{
    if (co == L) {
        return "running";
    }
    if (is_busy(co)) {
        return "normal";
    }
    const char *why = not_resumable(L, co);
    if (!why) {
        return "suspended";
    }
    return strstr(why, "dead") ? "dead" : "normal";
}

static int co_status(lua_State *L)
{
    lua_pushstring(L, co_state(L, check_coroutine(L)));
    return 1;
}

static int co_close(lua_State *L)
{
    lua_State *co = check_coroutine(L);
    const char *state = co_state(L, co);
    if (strcmp(state, "suspended") != 0 && strcmp(state, "dead") != 0) {
        return luaL_error(L, "cannot close a %s coroutine", state);
    }
    if (lua_resetthread(co) == LUA_OK) {
        lua_pushboolean(L, 1);
        return 1;
    }
    if (is_ending(L)) {
        return raise_token(L);
    }
    lua_pushboolean(L, 0);
    lua_xmove(co, L, 1);
    return 2;
}

static const luaL_Reg coroutine_functions[] = {
    {"create", co_create}, {"resume", co_resume},           {"wrap", co_wrap},
    {"yield", co_yield },  {"status", co_status},           {"running", co_running},
    {"close", co_close},   {"isyieldable", co_isyieldable}, {NULL, NULL},
};

static void install(lua_State *L)
{
    lua_pushcfunction(L, safe_pcall);
    lua_setglobal(L, "pcall");
    lua_pushcfunction(L, safe_xpcall);
    lua_setglobal(L, "xpcall");
    luaL_newlib(L, coroutine_functions);
    if (luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE)) {
        lua_pushvalue(L, -2);
        lua_setfield(L, -2, "coroutine");
    }
    lua_pop(L, 1);
    lua_setglobal(L, "coroutine");
}

/* ---- the ready queue ---- */

static void run_turn(void *user);

static void need_turn(struct hob_scheduler *scheduler)
{
    if (!scheduler->turn_pending) {
        scheduler->turn_pending = true;
        hob_loop_defer(scheduler->loop, run_turn, scheduler);
    }
}

static void make_ready(struct hob_task *task)
{
    if (task->ready) {
        return;
    }
    struct hob_scheduler *scheduler = task->scheduler;
    task->ready = true;
    task->next_ready = NULL;
    if (scheduler->ready_tail) {
        scheduler->ready_tail->next_ready = task;
    } else {
        scheduler->ready_head = task;
    }
    scheduler->ready_tail = task;
    need_turn(scheduler);
}

static void free_spent(struct hob_task *task)
{
    if (task->spent.op_free) {
        task->spent.op_free(task->spent.op);
    }
    memset(&task->spent, 0, sizeof task->spent);
}

/* A task that was woken but not resumed yet has nothing to cancel, but still owns its op. */
static void drop_wait(struct hob_task *task)
{
    if (task->waiting && task->wait.cancel) {
        task->wait.cancel(task->wait.op);
    }
    task->waiting = false;
    if (task->wait.op_free) {
        task->wait.op_free(task->wait.op);
    }
    memset(&task->wait, 0, sizeof task->wait);
}

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
static void free_task(struct hob_task *task)
{
    drop_wait(task);
    free_spent(task);
    if (task->call_op_free) {
        task->call_op_free(task->call_op);
    }
    luaL_unref(task->scheduler->L, LUA_REGISTRYINDEX, task->ref);
    free(task->message);
    free(task);
}

static void report_error(struct hob_scheduler *scheduler, lua_State *co)
{
    const char *message =
        scheduler->ended_kind[0] ? scheduler->ended_message : lua_tostring(co, -1);
    if (scheduler->on_error) {
        scheduler->on_error(scheduler->on_error_user,
                            message ? message : "error without a message");
    }
}

/* The values on top of co: the status that task_main found, then its results or one error. */
static void end_task(struct hob_task *task, int resumed, int results)
{
    struct hob_scheduler *scheduler = task->scheduler;
    int status = resumed;
    if (resumed == LUA_OK) {
        status = (int)lua_tointeger(task->co, -results);
        results--;
    } else {
        results = 1;
    }
    scheduler->ended_kind[0] = '\0';
    if (task->engine) { /* however the script may have ended */
        status = LUA_ERRRUN;
        memcpy(scheduler->ended_kind, task->kind, sizeof scheduler->ended_kind);
        snprintf(scheduler->ended_message, sizeof scheduler->ended_message, "%s",
                 engine_message(task));
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
    free_task(task);
}

static void resume_task(struct hob_task *task)
{
    struct hob_scheduler *scheduler = task->scheduler;
    scheduler->current = task;
    scheduler->chain_yieldable = true;
    scheduler->stuck = false;
    set_hook(task->co);
    int results = 0;
    int status = lua_resume(
        task->co, NULL, lua_status(task->co) == LUA_YIELD ? 0 : lua_gettop(task->co) - 1, &results);
    scheduler->passing = false;
    scheduler->current = NULL;
    if (status != LUA_YIELD) {
        end_task(task, status, results);
    } else if (!task->waiting) {
        make_ready(task); /* a forced yield */
    }
}

static void run_turn(void *user)
{
    struct hob_scheduler *scheduler = user;
    scheduler->turn_pending = false;
    if (scheduler->freed) {
        free(scheduler);
        return;
    }
    /* Those that become ready meanwhile have their turn after the loop has looked at its I/O. */
    struct hob_task *last = scheduler->ready_tail;
    /* A task may end the scheduler's owner: held, so that it is freed by the next turn. */
    scheduler->turn_pending = true;
    while (scheduler->ready_head && !scheduler->freed) {
        struct hob_task *task = scheduler->ready_head;
        scheduler->ready_head = task->next_ready;
        if (!scheduler->ready_head) {
            scheduler->ready_tail = NULL;
        }
        task->ready = false;
        bool is_last = task == last;
        resume_task(task);
        if (is_last) {
            break;
        }
    }
    scheduler->turn_pending = false;
    if (scheduler->freed || scheduler->ready_head) {
        need_turn(scheduler);
    }
}

/* ---- tasks ---- */

static int add_message(lua_State *L)
{
    if (is_token(L, 1) || lua_type(L, 1) == LUA_TSTRING) {
        return 1;
    }
    if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING) {
        return 1;
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
    struct hob_task *task = hob_scheduler_of(L)->current;
    if (status == LUA_ERRMEM) {
        set_engine(task, "memory", "out of memory");
        lua_pushlightuserdata(L, (void *)&engine_token);
        lua_replace(L, -2);
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
    struct hob_task *task = hob_scheduler_of(L)->current;
    if (task->engine) {
        return raise_token(L);
    }
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
    lua_pushcfunction(L, add_message);
    lua_insert(L, 1);
    lua_pushinteger(L, 0);
    lua_insert(L, 2);
    lua_pushcfunction(L, task_body);
    lua_insert(L, 3);
    int status = lua_pcallk(L, nargs, LUA_MULTRET, 1, 0, task_end);
    return task_end(L, status, 0);
}

/* Protected: makes the coroutine. */
static int make_coroutine(lua_State *L)
{
    struct hob_task *task = lua_touserdata(L, 1);
    lua_State *co = lua_newthread(L);
    set_busy(co, false);
    lua_pushcfunction(co, task_main);
    task->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    task->co = co;
    return 0;
}

static struct hob_task *new_task(struct hob_scheduler *scheduler, lua_State *L)
{
    struct hob_task *task = scheduler->freed ? NULL : calloc(1, sizeof *task);
    if (!task) {
        return NULL;
    }
    lua_pushcfunction(L, make_coroutine);
    lua_pushlightuserdata(L, task);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        lua_pop(L, 1);
        free(task);
        return NULL;
    }
    task->scheduler = scheduler;
    task->next = scheduler->tasks;
    if (task->next) {
        task->next->prev = task;
    }
    scheduler->tasks = task;
    return task;
}

struct hob_task *hob_task_start(lua_State *L, int nargs, hob_task_done_fn *done, void *user)
{
    struct hob_task *task = new_task(hob_scheduler_of(L), L);
    if (!task || !lua_checkstack(task->co, nargs + 1)) {
        lua_pop(L, nargs + 1);
        return NULL;
    }
    lua_xmove(L, task->co, nargs + 1);
    task->done = done;
    task->user = user;
    make_ready(task);
    return task;
}

void hob_task_call(struct hob_scheduler *scheduler, int ref, hob_task_push_fn *push, void *op,
                   void (*op_free)(void *op))
{
    struct hob_task *task = new_task(scheduler, scheduler->L);
    if (!task) {
        if (scheduler->on_error && !scheduler->freed) {
            scheduler->on_error(scheduler->on_error_user, "out of memory");
        }
        if (op_free) {
            op_free(op);
        }
        return;
    }
    lua_rawgeti(task->co, LUA_REGISTRYINDEX, ref);
    task->call_push = push;
    task->call_op = op;
    task->call_op_free = op_free;
    make_ready(task);
}

int hob_scheduler_call(struct hob_scheduler *scheduler, lua_CFunction fn, void *arg,
                       struct hob_error *err)
{
    lua_State *L = scheduler->L;
    struct hob_task task = {.scheduler = scheduler, .co = L};
    struct hob_task *before = scheduler->current;
    bool yieldable_before = scheduler->chain_yieldable;
    scheduler->current = &task;
    scheduler->chain_yieldable = false;
    scheduler->stuck = false;
    int top = lua_gettop(L);
    set_hook(L);
    lua_pushcfunction(L, add_message);
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, arg);
    int status = lua_pcall(L, 1, 0, top + 1);
    if (status == LUA_ERRMEM) {
        set_engine(&task, "memory", "out of memory");
    }
    if (status != LUA_OK) {
        hob_error_set(err, HOB_EHANDLER, "%s",
                      task.engine ? engine_message(&task) : lua_tostring(L, -1));
    }
    free(task.message);
    lua_sethook(L, NULL, 0, 0);
    lua_settop(L, top);
    scheduler->current = before;
    scheduler->chain_yieldable = yieldable_before;
    return status == LUA_OK ? 0 : HOB_EHANDLER;
}

void hob_task_wake(struct hob_task *task)
{
    if (!task->waiting) {
        return;
    }
    task->waiting = false;
    make_ready(task);
}

bool hob_task_cancel(struct hob_task *task, const char *kind, const char *message)
{
    set_engine(task, kind, message);
    if (task->waiting) {
        drop_wait(task);
        make_ready(task);
    }
    return false;
}

bool hob_task_in_critical(const struct hob_task *task)
{
    return false;
}

int hob_task_critical(lua_State *L)
{
    lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, task_body_k);
    return lua_gettop(L);
}

int hob_task_within(lua_State *L)
{
    return luaL_error(L, "within: not there yet");
}

void hob_scheduler_mark_executing(struct hob_scheduler *scheduler, volatile int *flag) {}

/* ---- for bindings ---- */

struct hob_task *hob_task_current(lua_State *L)
{
    struct hob_scheduler *scheduler = hob_scheduler_of(L);
    struct hob_task *task = scheduler->current;
    if (!task) {
        luaL_error(L, "this call waits, so it works only in a task");
    } else if (task->engine) {
        raise_token(L); /* on its way out: <close> functions may not wait again */
    } else if (!lua_isyieldable(L) || !scheduler->chain_yieldable) {
        luaL_error(L, "this call waits, which is not possible here (inside a callback of a C "
                      "function such as table.sort or string.gsub)");
    }
    return task;
}

static int after_wait(lua_State *L, int status, lua_KContext context)
{
    struct hob_task *task = hob_scheduler_of(L)->current;
    free_spent(task);
    task->spent = task->wait; /* freed even if push raises */
    memset(&task->wait, 0, sizeof task->wait);
    if (task->engine) {
        free_spent(task);
        return raise_token(L);
    }
    int results = task->spent.push ? task->spent.push(L, task->spent.op) : 0;
    free_spent(task);
    return results;
}

int hob_task_suspend(lua_State *L, const struct hob_task_wait *wait)
{
    struct hob_scheduler *scheduler = hob_scheduler_of(L);
    struct hob_task *task = scheduler->current;
    assert(task && !task->waiting);
    task->wait = *wait;
    task->waiting = true;
    scheduler->passing = true;
    return lua_yieldk(L, 0, 0, after_wait);
}

/* ---- life ---- */

struct hob_scheduler *hob_scheduler_new(struct hob_loop *loop, lua_State *L, void *user)
{
    struct hob_scheduler *scheduler = calloc(1, sizeof *scheduler);
    if (!scheduler) {
        return NULL;
    }
    scheduler->loop = loop;
    scheduler->L = L;
    scheduler->user = user;
    *extra(L) = (uintptr_t)scheduler;
    install(L);
    return scheduler;
}

void hob_scheduler_close(struct hob_scheduler *scheduler)
{
    struct hob_task *next;
    for (struct hob_task *task = scheduler->tasks; task; task = next) {
        next = task->next;
        free_task(task);
    }
    scheduler->tasks = NULL;
    scheduler->ready_head = scheduler->ready_tail = NULL;
    scheduler->freed = true;
    lua_close(scheduler->L); /* finalizers run, which call our pcall */
    if (!scheduler->turn_pending) {
        free(scheduler);
    }
}
