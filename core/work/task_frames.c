#include "base/alloc.h"
#include "base/clock.h"
#include "work/task_internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define SECONDS_MAX  1e9 /* 31 years: longer is no limit */
#define HELD_LOOK_MS 50

/* ---- frames ---- */

/* An expired `within` that no critical section inside it holds back; the outermost one, since that
 * ends those in it, too. */
static struct hob_task_frame *due_within(const struct hob_task *task)
{
    struct hob_task_frame *due = NULL;
    for (struct hob_task_frame *f = task->frames; f && !f->critical; f = f->outer) {
        due = f->expired ? f : due;
    }
    return due;
}

bool hob_task_within_is_due(const struct hob_task *task)
{
    return due_within(task) != NULL;
}

bool hob_task_in_critical(const struct hob_task *task)
{
    for (const struct hob_task_frame *f = task->frames; f; f = f->outer) {
        if (f->critical) {
            return true;
        }
    }
    return false;
}

static struct hob_task_frame *open_frame(lua_State *L, bool critical)
{
    struct hob_task *task = hob_scheduler_of(L)->now.current;
    struct hob_task_frame *frame = hob_calloc(1, sizeof *frame);
    if (!frame) {
        hob_task_raise(L, "memory", "out of memory");
        return NULL; /* never: it has raised */
    }
    frame->task = task;
    frame->L = L;
    frame->critical = critical;
    frame->outer = task->frames;
    task->frames = frame;
    return frame;
}

static void close_frame(struct hob_task_frame *frame)
{
    struct hob_task *task = frame->task;
    assert(task->frames == frame);
    task->frames = frame->outer;
    hob_timer_close(frame->timer);
    hob_free(frame);
    if (task->delayed && !hob_task_in_critical(task)) {
        task->delayed = false;
        task->engine = true;
    }
}

void hob_task_free_frames(struct hob_task *task)
{
    struct hob_task_frame *outer;
    for (struct hob_task_frame *frame = task->frames; frame; frame = outer) {
        outer = frame->outer;
        close_frame(frame);
    }
}

/* ---- critical ---- */

static int critical_ended(lua_State *L, int status, lua_KContext context)
{
    struct hob_task_frame *frame = (struct hob_task_frame *)context;
    if (status == LUA_ERRMEM) { /* a limit: before the cancel that becomes due now */
        hob_task_set_memory(frame->task);
    }
    close_frame(frame);
    if (status == LUA_OK || status == LUA_YIELD) {
        hob_task_check(L);
        return lua_gettop(L);
    }
    hob_task_let_through(L, status, false);
    return lua_error(L);
}

static int plain_call_ended(lua_State *L, int status, lua_KContext context)
{
    return lua_gettop(L);
}

int hob_task_critical(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    hob_task_check(L);
    if (!hob_scheduler_of(L)->now.current || hob_task_is_closing(L)) {
        /* In a <close> function of what is ending already: there is nothing left to delay. */
        lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, plain_call_ended);
        return plain_call_ended(L, LUA_OK, 0);
    }
    lua_KContext frame = (lua_KContext)open_frame(L, true);
    int status = lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, frame, critical_ended);
    return critical_ended(L, status, frame);
}

/* ---- within ---- */

static void time_is_up(void *user)
{
    struct hob_task_frame *frame = user;
    const struct hob_scheduler *scheduler = frame->task->scheduler;
    uint64_t now = hob_clock_mono_ms();
    uint64_t deadline = frame->deadline_ms + hob_scheduler_held_ms(scheduler) - frame->held_ms;
    bool held = hob_scheduler_is_held(scheduler) && !frame->task->aside;
    if (now < deadline || held) { /* while it is held, the deadline moves on */
        uint64_t left = now < deadline ? deadline - now : 0;
        hob_timer_start(frame->timer, held && left < HELD_LOOK_MS ? HELD_LOOK_MS : left);
        return;
    }
    frame->expired = true;
    if (due_within(frame->task)) {
        hob_task_interrupt(frame->task);
    }
}

static void start_timer(lua_State *L, struct hob_task_frame *frame, double seconds)
{
    if (seconds > SECONDS_MAX) {
        return;
    }
    frame->timer = hob_timer_new(frame->task->scheduler->loop, time_is_up, frame);
    if (!frame->timer) {
        close_frame(frame);
        hob_task_raise(L, "memory", "out of memory");
    }
    uint64_t ms = (uint64_t)ceil(seconds * 1000);
    frame->deadline_ms = hob_clock_mono_ms() + ms;
    frame->held_ms = hob_scheduler_held_ms(frame->task->scheduler);
    hob_timer_start(frame->timer, ms);
}

/* Stack: seconds, true, then results or one error. */
static int results_of_within(lua_State *L, int status, bool closing)
{
    if (status == LUA_OK || status == LUA_YIELD) {
        hob_task_check(L);
        return lua_gettop(L) - 1;
    }
    hob_task_let_through(L, status, closing);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static int within_ended(lua_State *L, int status, lua_KContext context)
{
    struct hob_task_frame *frame = (struct hob_task_frame *)context;
    struct hob_task *task = frame->task;
    bool caught =
        task->thrown && !task->engine && status != LUA_ERRMEM && due_within(task) == frame;
    close_frame(frame);
    if (!caught) {
        return results_of_within(L, status, false);
    }
    task->thrown = false;
    task->overspent = false;
    hob_task_set_pace(L);
    lua_pushnil(L);
    return 1;
}

static int within_while_closing(lua_State *L, int status, lua_KContext context)
{
    return results_of_within(L, status, true);
}

static double check_seconds(lua_State *L)
{
    double seconds = luaL_optnumber(L, 1, HUGE_VAL);
    luaL_argcheck(L, !isnan(seconds), 1, "expected seconds, got NaN");
    return seconds;
}

int hob_task_within(lua_State *L)
{
    double seconds = check_seconds(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    if (!hob_scheduler_of(L)->now.current) {
        return luaL_error(L, "a time limit works only in a task");
    }
    hob_task_check(L);
    if (seconds <= 0) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushboolean(L, 1);
    lua_insert(L, 2);
    if (hob_task_is_closing(L)) { /* its budget is the limit */
        int status = lua_pcallk(L, 0, LUA_MULTRET, 0, 0, within_while_closing);
        return within_while_closing(L, status, 0);
    }
    struct hob_task_frame *frame = open_frame(L, false);
    start_timer(L, frame, seconds);
    int status = lua_pcallk(L, 0, LUA_MULTRET, 0, (lua_KContext)frame, within_ended);
    return within_ended(L, status, (lua_KContext)frame);
}
