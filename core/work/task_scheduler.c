#include "base/alloc.h"
#include "work/task_internal.h"

/* ---- where things are ---- */

/* Lua copies a state's extra space to each new thread, so every coroutine finds its scheduler. The
 * lowest bit marks a coroutine that is busy. */
static uintptr_t *extra(lua_State *L)
{
    return (uintptr_t *)lua_getextraspace(L);
}

bool hob_task_is_busy(lua_State *co)
{
    return (*extra(co) & 1u) != 0;
}

void hob_task_set_busy(lua_State *co, bool busy)
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

/* ---- who is executing ---- */

static void show_executing(struct hob_scheduler *scheduler)
{
    if (scheduler->executing_flag) {
        *scheduler->executing_flag = scheduler->executing > 0 || scheduler->outside > 0;
    }
}

void hob_task_enter(struct hob_scheduler *scheduler)
{
    scheduler->executing++;
    show_executing(scheduler);
}

void hob_task_leave(struct hob_scheduler *scheduler)
{
    scheduler->executing--;
    show_executing(scheduler);
}

void hob_scheduler_begin_outside(struct hob_scheduler *scheduler)
{
    scheduler->outside++;
    show_executing(scheduler);
}

void hob_scheduler_end_outside(struct hob_scheduler *scheduler)
{
    scheduler->outside--;
    show_executing(scheduler);
}

void hob_scheduler_mark_executing(struct hob_scheduler *scheduler, volatile int *flag)
{
    if (scheduler->executing_flag) {
        *scheduler->executing_flag = 0;
    }
    scheduler->executing_flag = flag;
    show_executing(scheduler);
}

void hob_scheduler_join(struct hob_scheduler *scheduler, struct hob_fair_party *party)
{
    scheduler->party = party;
}

void hob_scheduler_trust(struct hob_scheduler *scheduler)
{
    scheduler->trusted = true;
}

void hob_task_watch_anew(lua_State *L)
{
    hob_scheduler_of(L)->now.stuck = false;
}

/* A task on the main thread, which cannot be suspended. */
static int run_at_once(lua_State *L, lua_CFunction fn, void *arg, struct hob_task *task,
                       struct hob_error *err)
{
    int top = lua_gettop(L);
    lua_pushcfunction(L, hob_task_add_message);
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, arg);
    int status = lua_pcall(L, 1, 0, top + 1), code = HOB_EHANDLER;
    if (status == LUA_ERRMEM) {
        code = task->scheduler->shortage[0] ? code : HOB_ENOMEM; /* its limit, or all there is */
        hob_task_set_memory(task);
    }
    if (status != LUA_OK) {
        hob_error_set(err, code, "%s",
                      task->engine ? hob_task_engine_message(task) : lua_tostring(L, -1));
    }
    lua_settop(L, top);
    return status == LUA_OK ? 0 : code;
}

int hob_scheduler_call(struct hob_scheduler *scheduler, lua_CFunction fn, void *arg,
                       struct hob_error *err)
{
    lua_State *L = scheduler->L;
    struct hob_task task = {.scheduler = scheduler, .co = L};
    struct hob_task_now before = scheduler->now;
    hob_task_enter(scheduler);
    scheduler->now = (struct hob_task_now){.current = &task, .running = L};
    hob_task_begin_slice(scheduler);
    hob_task_set_pace(L);
    int rc = run_at_once(L, fn, arg, &task, err);
    hob_task_free_frames(&task);
    hob_free(task.message);
    if (!before.current) { /* else it counts in the slice that it is a part of */
        hob_task_end_slice(scheduler);
    }
    scheduler->now = before;
    if (before.running != L) {
        lua_sethook(L, NULL, 0, 0);
    }
    hob_task_leave(scheduler);
    return rc;
}

/* ---- life ---- */

void hob_scheduler_install(lua_State *L)
{
    lua_pushcfunction(L, hob_task_pcall);
    lua_setglobal(L, "pcall");
    lua_pushcfunction(L, hob_task_xpcall);
    lua_setglobal(L, "xpcall");
    hob_task_open_coroutine(L);
    if (luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE)) {
        lua_pushvalue(L, -2);
        lua_setfield(L, -2, "coroutine");
    }
    lua_pop(L, 1);
    lua_setglobal(L, "coroutine");
}

static int install(lua_State *L)
{
    hob_scheduler_install(L);
    return 0;
}

struct hob_scheduler *hob_scheduler_new_in(struct hob_loop *loop, lua_State *L, void *user)
{
    struct hob_scheduler *scheduler = hob_calloc(1, sizeof *scheduler);
    if (!scheduler) {
        return NULL;
    }
    scheduler->loop = loop;
    scheduler->L = L;
    scheduler->user = user;
    scheduler->spare_ref = LUA_NOREF;
    scheduler->tick_instructions = HOB_TASK_TICK_INSTRUCTIONS;
    scheduler->slice_ticks = HOB_TASK_SLICE_TICKS;
    *extra(L) = (uintptr_t)scheduler;
    return scheduler;
}

struct hob_scheduler *hob_scheduler_new(struct hob_loop *loop, lua_State *L, void *user)
{
    struct hob_scheduler *scheduler = hob_scheduler_new_in(loop, L, user);
    lua_pushcfunction(L, install);
    if (scheduler && lua_pcall(L, 0, 0, 0) == LUA_OK) {
        return scheduler;
    }
    lua_pop(L, 1);
    *extra(L) = 0;
    hob_free(scheduler);
    return NULL;
}

void hob_scheduler_close(struct hob_scheduler *scheduler)
{
    struct hob_task *next;
    for (struct hob_task *task = scheduler->tasks; task; task = next) {
        next = task->next;
        hob_task_free(task);
    }
    scheduler->tasks = NULL;
    scheduler->ready_head = scheduler->ready_tail = NULL;
    scheduler->held_head = scheduler->held_tail = NULL;
    scheduler->parked_head = scheduler->parked_tail = NULL;
    scheduler->watcher = NULL;
    scheduler->freed = true;
    lua_close(scheduler->L); /* finalizers run, which call our pcall */
    if (!scheduler->turn_pending) {
        hob_free(scheduler);
    }
}
