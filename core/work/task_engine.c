#include "base/alloc.h"
#include "base/clock.h"
#include "work/task_internal.h"

#include <stdio.h>
#include <string.h>

#define CLOSE_BUDGET_MS 200
#define HELD_MS         1000
#define SLOW_MS         2   /* between two looks, */
#define SLOW_LOOKS      200 /* and so many are closer to one another after that */

/* The value of an engine error: its address is known to this file alone. */
static const char engine_token;

bool hob_task_is_token(lua_State *L, int index)
{
    return lua_touserdata(L, index) == (const void *)&engine_token;
}

bool hob_task_is_ending(const struct hob_task *task)
{
    return task && (task->engine || task->thrown || hob_task_within_is_due(task));
}

bool hob_task_is_closing(lua_State *L)
{
    const struct hob_task *task = hob_scheduler_of(L)->now.current;
    return task && task->thrown;
}

bool hob_task_is_unwinding(lua_State *L)
{
    const struct hob_scheduler *scheduler = hob_scheduler_of(L);
    return hob_task_is_closing(L) &&
           scheduler->now.depth <= scheduler->now.current->thrown_at_depth;
}

bool hob_task_is_overspent(struct hob_task *task)
{
    if (!task->overspent) {
        task->overspent = hob_clock_cpu_ms() - task->thrown_at_ms > CLOSE_BUDGET_MS;
    }
    return task->overspent;
}

int hob_task_throw(lua_State *L)
{
    struct hob_task *task = hob_scheduler_of(L)->now.current;
    int depth = hob_scheduler_of(L)->now.depth;
    if (!task->thrown || depth < task->thrown_at_depth) {
        task->thrown_at_depth = depth;
    }
    if (!task->thrown) {
        task->thrown = true;
        task->overspent = false;
        task->late = 0;
        task->thrown_at_ms = hob_clock_cpu_ms();
    }
    if (task->overspent) { /* what is left to close has a tick each, whoever threw */
        task->late++;
        hob_task_give_tick(L);
    } else {
        hob_task_set_pace(L);
    }
    lua_pushlightuserdata(L, (void *)&engine_token);
    return lua_error(L);
}

bool hob_task_is_due(lua_State *L)
{
    const struct hob_task *task = hob_scheduler_of(L)->now.current;
    return hob_task_is_ending(task) && !task->thrown;
}

void hob_task_check(lua_State *L)
{
    if (hob_task_is_due(L)) {
        hob_task_throw(L);
    }
}

static void set_reason(struct hob_task *task, const char *kind, const char *message)
{
    snprintf(task->kind, sizeof task->kind, "%s", kind);
    hob_free(task->message);
    task->message = hob_strndup(message, HOB_TASK_MESSAGE_MAX - 1);
}

/* The first reason stands, but a limit does not wait for the critical section that delays another.
 */
void hob_task_set_engine(struct hob_task *task, const char *kind, const char *message)
{
    if (!task->engine) {
        task->engine = true;
        task->delayed = false;
        set_reason(task, kind, message);
    }
}

void hob_task_delay(struct hob_task *task, const char *kind, const char *message)
{
    if (!task->delayed) {
        task->delayed = true;
        set_reason(task, kind, message);
    }
}

const char *hob_task_ending(const struct hob_task *task)
{
    if (task->engine) {
        return hob_task_engine_message(task);
    }
    return hob_task_is_ending(task) ? "its time is up" : NULL;
}

const char *hob_task_engine_message(const struct hob_task *task)
{
    return task->message ? task->message : "out of memory";
}

int hob_task_raise(lua_State *L, const char *kind, const char *message)
{
    struct hob_task *task = hob_scheduler_of(L)->now.current;
    if (!task) {
        return luaL_error(L, "%s", message);
    }
    hob_task_set_engine(task, kind, message);
    return hob_task_throw(L);
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

void hob_task_let_through(lua_State *L, int status, bool closing)
{
    struct hob_task *task = hob_scheduler_of(L)->now.current;
    if (status == LUA_ERRMEM && task) {
        hob_task_set_memory(task);
        hob_task_throw(L);
    }
    if (!hob_task_is_ending(task)) {
        if (HOB_TASK_WATCHER(hob_scheduler_of(L)) && task) {
            hob_task_set_pace(L); /* who looks on may want more by now */
        }
        return;
    }
    /* A <close> function may have put its own error before the token: the ending goes on. */
    if (!closing || hob_task_is_token(L, -1) || hob_task_is_overspent(task)) {
        hob_task_throw(L);
    }
}

/* Processor time: a slow disk, a busy machine or a debugger is not the script's fault. */
void hob_task_check_held(lua_State *L, int level)
{
    const struct hob_scheduler *scheduler = hob_scheduler_of(L);
    struct hob_task_now *now = &hob_scheduler_of(L)->now;
    uint64_t before = now->tick_ms;
    now->tick_ms = hob_clock_mono_ms();
    if (now->tick_ms - before >= SLOW_MS) {
        now->slow_looks = SLOW_LOOKS;
    } else if (now->slow_looks > 0) {
        now->slow_looks--;
    }
    if (now->tick_ms - before <= HELD_MS || scheduler->trusted ||
        hob_task_is_ending(now->current)) {
        return;
    }
    uint64_t held = (hob_clock_cpu_us() - now->slice_cpu_us) / 1000;
    if (held <= HELD_MS) {
        return;
    }
    luaL_where(L, level);
    lua_pushfstring(L,
                    "%sa call at or before this line took %d ms of processor time, in which all of "
                    "Hob waited for it (more than %d ms end a task)",
                    lua_tostring(L, -1), (int)held, HELD_MS);
    hob_task_raise(L, "limit", lua_tostring(L, -1));
}
