#include "work/task.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "work/task_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* The hook looks often, because a loop of slow calls in C has few instructions; that costs no more
 * than a rare look, since Lua counts each instruction anyway. */
#define TICK_INSTRUCTIONS HOB_TASK_TICK_INSTRUCTIONS
/* While a few of them take milliseconds: they call what is slow. */
#define SLOW_INSTRUCTIONS 3
#define SLICE_MS          4
#define SLICE_TRUSTED_MS  20 /* of Hob's own commands, beside which no job runs */
/* When the time of <close> functions is spent, so many have a tick each; those after them have one
 * instruction. */
#define LATE_CLOSES 1000
/* While no yield is possible: each time a different number, not to keep step with a loop and miss
 * the moments in which one is. */
#define STUCK_INSTRUCTIONS(look) (70 + (int)((look) % 61) * 37 % 61)
#define UNYIELDING_MS            200
#define DEPTH_MAX                20000

/* ---- the forced yield ---- */

static void end_stuck(lua_State *L)
{
    luaL_where(L, 0);
    lua_pushfstring(L, "%sran for over %d ms where it cannot be interrupted", lua_tostring(L, -1),
                    UNYIELDING_MS);
    hob_task_raise(L, "limit", lua_tostring(L, -1));
}

/* The processor time is dear to ask for, and never more than the time that has passed. */
static void look_at_stuck(lua_State *L, struct hob_task_now *now)
{
    if (!now->stuck) {
        now->stuck = true;
        now->stuck_at_ms = now->tick_ms;
        now->stuck_since_ms = hob_clock_cpu_ms();
    } else if (now->tick_ms - now->stuck_at_ms > UNYIELDING_MS &&
               hob_clock_cpu_ms() - now->stuck_since_ms > UNYIELDING_MS) {
        end_stuck(L);
    }
    now->stuck_looks++;
    hob_task_set_pace(L);
}

static void look_at_ending(lua_State *L, struct hob_task *task)
{
    if (!task->thrown || hob_task_is_overspent(task)) {
        hob_task_throw(L);
    }
    hob_task_set_pace(L);
}

/* Lua's own limit is so far away that the stack has 16 MB by then, and to move them takes longer
 * than anybody else should wait. An engine error: the message handler of an ordinary one would run
 * inside the hook, where nothing interrupts it. */
static void check_depth(lua_State *L)
{
    lua_Debug ar;
    char words[80];
    if (hob_scheduler_of(L)->trusted || !lua_getstack(L, DEPTH_MAX, &ar)) {
        return;
    }
    snprintf(words, sizeof words, "more than %d calls inside one another (recursion)", DEPTH_MAX);
    hob_task_raise_limit(L, 0, words);
}

/* Not of what a person evaluates. */
static bool sees_lines(const struct hob_scheduler *scheduler)
{
    const struct hob_task_watcher *watcher = HOB_TASK_WATCHER(scheduler);
    return watcher && watcher->lines && scheduler->now.current && !scheduler->now.current->aside;
}

/* ---- what waits for what comes next ---- */

bool hob_task_sees_next(lua_State *L)
{
    const struct hob_scheduler *scheduler = hob_scheduler_of(L);
    const struct hob_task *task = scheduler->now.current;
    return task && task->co == L && !task->aside && !HOB_TASK_WATCHER(scheduler);
}

void hob_task_before_next(lua_State *L, const hob_task_quiet_fn *quiet, hob_task_next_fn *fn,
                          void *user)
{
    struct hob_scheduler *scheduler = hob_scheduler_of(L);
    assert(hob_task_sees_next(L) && !scheduler->next.fn);
    scheduler->next = (struct hob_task_next){fn, quiet, user};
    hob_task_set_pace(L);
}

static void let_next(lua_State *L, struct hob_scheduler *scheduler)
{
    struct hob_task_next next = scheduler->next;
    if (next.fn) {
        scheduler->next.fn = NULL;
        hob_task_set_pace(L);
        next.fn(L, next.user);
    }
}

static bool is_quiet(const hob_task_quiet_fn *quiet, lua_CFunction function)
{
    while (*quiet && *quiet != function) {
        quiet++;
    }
    return *quiet != NULL;
}

/* Lua functions do nothing but call others. */
static void on_call(lua_State *L, lua_Debug *ar)
{
    struct hob_scheduler *scheduler = hob_scheduler_of(L);
    if (!scheduler->next.fn) {
        return;
    }
    lua_getinfo(L, "f", ar);
    lua_CFunction function = lua_tocfunction(L, -1);
    lua_pop(L, 1);
    if (function && !is_quiet(scheduler->next.quiet, function)) {
        let_next(L, scheduler);
    }
}

static void look_at_slice(lua_State *L, struct hob_scheduler *scheduler, lua_Debug *ar)
{
    struct hob_task_now *now = &scheduler->now;
    uint64_t slice_ms = scheduler->trusted ? SLICE_TRUSTED_MS : SLICE_MS;
    now->stuck = false;
    hob_task_set_pace(L);
    if (++now->ticks >= scheduler->slice_ticks || now->tick_ms - now->slice_ms >= slice_ms) {
        hob_task_check_cpu(L, 0);
        check_depth(L);
        if (HOB_TASK_WATCHER(scheduler) && !now->current->aside) {
            HOB_TASK_WATCHER(scheduler)->on_tick(HOB_TASK_WATCHER(scheduler)->user, L, ar);
        }
        let_next(L, scheduler);
        scheduler->passing = true;
        lua_yield(L, 0);
    }
}

static void on_count(lua_State *L, lua_Debug *ar)
{
    struct hob_scheduler *scheduler = hob_scheduler_of(L);
    struct hob_task *task = scheduler->now.current;
    if (!task) {
        return;
    }
    if (hob_task_is_ending(task)) {
        look_at_ending(L, task);
        return;
    }
    hob_task_check_held(L, 0);
    if (lua_isyieldable(L) && scheduler->now.chain_yieldable) {
        look_at_slice(L, scheduler, ar);
    } else {
        look_at_stuck(L, &scheduler->now);
    }
}

/* The count hook may have made it yield at this very instruction: then that is what it does, and
 * the line is not told a second time. */
static void on_line(lua_State *L, lua_Debug *ar)
{
    struct hob_scheduler *scheduler = hob_scheduler_of(L);
    const struct hob_task_watcher *watcher = HOB_TASK_WATCHER(scheduler);
    if (!sees_lines(scheduler) || hob_task_is_ending(scheduler->now.current)) {
        return;
    }
    bool can_stop = lua_isyieldable(L) && scheduler->now.chain_yieldable;
    if (watcher->on_line(watcher->user, L, ar, can_stop) && can_stop) {
        scheduler->passing = true;
        lua_yield(L, 0);
    }
}

/* The one dispatcher, while there is more to see than limits. */
static void on_event(lua_State *L, lua_Debug *ar)
{
    if (ar->event == LUA_HOOKLINE) {
        on_line(L, ar);
    } else if (ar->event == LUA_HOOKCOUNT) {
        on_count(L, ar);
    } else {
        on_call(L, ar);
    }
}

static int wanted_pace(const struct hob_scheduler *scheduler)
{
    const struct hob_task *task = scheduler->now.current;
    if (!hob_task_is_ending(task)) {
        bool usual = scheduler->tick_instructions == TICK_INSTRUCTIONS;
        if (usual && scheduler->now.slow_looks > 0 && !scheduler->now.stuck) {
            return SLOW_INSTRUCTIONS;
        }
        return scheduler->now.stuck && usual ? STUCK_INSTRUCTIONS(scheduler->now.stuck_looks)
                                             : scheduler->tick_instructions;
    }
    return !task->thrown || task->late > LATE_CLOSES ? 1 : TICK_INSTRUCTIONS;
}

static int wanted_events(const struct hob_scheduler *scheduler)
{
    return LUA_MASKCOUNT | (sees_lines(scheduler) ? LUA_MASKLINE : 0) |
           (scheduler->next.fn ? LUA_MASKCALL : 0);
}

static void set_hook(lua_State *L, int events, int pace)
{
    lua_sethook(L, events == LUA_MASKCOUNT ? on_count : on_event, events, pace);
}

/* To set a hook takes time for each call on the stack, milliseconds for a deep recursion: that is
 * not what the script took. Not set anew each time: that would begin the count again, and cost a
 * hook that has yielded its next turn, which Lua takes for the second call of the same one. */
void hob_task_set_pace(lua_State *L)
{
    struct hob_scheduler *scheduler = hob_scheduler_of(L);
    int pace = wanted_pace(scheduler), events = wanted_events(scheduler);
    if (lua_gethookmask(L) != events || lua_gethookcount(L) != pace) {
        set_hook(L, events, pace);
        scheduler->now.tick_ms = hob_clock_mono_ms();
    }
}

void hob_task_give_tick(lua_State *L)
{
    struct hob_scheduler *scheduler = hob_scheduler_of(L);
    set_hook(L, wanted_events(scheduler), wanted_pace(scheduler));
}

/* ---- the only places that suspend and resume ---- */

int hob_task_resume(lua_State *co, lua_State *from, int nargs, int *results)
{
    struct hob_scheduler *scheduler = hob_scheduler_of(co);
    lua_State *outer = scheduler->now.running;
    scheduler->now.running = co;
    scheduler->now.depth++;
    hob_task_set_pace(co);
    int status = lua_resume(co, from, nargs, results);
    const struct hob_task_watcher *watcher = HOB_TASK_WATCHER(scheduler);
    if (watcher && status != LUA_YIELD && !scheduler->now.current->aside) {
        watcher->on_coroutine_end(watcher->user, co, from);
    }
    scheduler->now.depth--;
    scheduler->now.running = outer;
    return status;
}

int hob_task_pass_on(lua_State *L, lua_KContext context, lua_KFunction k)
{
    return lua_yieldk(L, 0, context, k);
}

int hob_task_yield(lua_State *L, int results)
{
    return lua_yield(L, results);
}

/* ---- the ready queue ---- */

static void run_turn(void *user);

static void need_turn(struct hob_scheduler *scheduler)
{
    if (!scheduler->turn_pending) {
        scheduler->turn_pending = true;
        if (scheduler->party) {
            hob_fair_want(scheduler->party, &scheduler->entry, run_turn, scheduler);
        } else {
            hob_loop_defer(scheduler->loop, &scheduler->turn, run_turn, scheduler);
        }
    }
}

static void append(struct hob_task **head, struct hob_task **tail, struct hob_task *task)
{
    task->ready = true;
    task->next_ready = NULL;
    if (*tail) {
        (*tail)->next_ready = task;
    } else {
        *head = task;
    }
    *tail = task;
}

void hob_task_make_ready(struct hob_task *task)
{
    if (!task->ready) {
        append(&task->scheduler->ready_head, &task->scheduler->ready_tail, task);
        need_turn(task->scheduler);
    }
}

static bool is_held(const struct hob_task *task)
{
    const struct hob_task *holder = task->scheduler->holder;
    return holder && holder != task && task->first_run;
}

/* To the head: what has become ready since came later. */
static void let_held_go(struct hob_scheduler *scheduler)
{
    scheduler->holder = NULL;
    if (!scheduler->held_head) {
        return;
    }
    scheduler->held_tail->next_ready = scheduler->ready_head;
    scheduler->ready_head = scheduler->held_head;
    if (!scheduler->ready_tail) {
        scheduler->ready_tail = scheduler->held_tail;
    }
    scheduler->held_head = scheduler->held_tail = NULL;
    need_turn(scheduler);
}

/* To the head, in their order. */
void hob_scheduler_go_on(struct hob_scheduler *scheduler)
{
    if (!scheduler->on_hold) {
        return;
    }
    scheduler->on_hold = false;
    scheduler->held_ms += hob_clock_mono_ms() - scheduler->hold_began_ms;
    if (scheduler->parked_head) {
        scheduler->parked_tail->next_ready = scheduler->ready_head;
        scheduler->ready_head = scheduler->parked_head;
        if (!scheduler->ready_tail) {
            scheduler->ready_tail = scheduler->parked_tail;
        }
        scheduler->parked_head = scheduler->parked_tail = NULL;
        need_turn(scheduler);
    }
}

void hob_task_free_spent(struct hob_task *task)
{
    if (task->spent.op_free) {
        task->spent.op_free(task->spent.op);
    }
    memset(&task->spent, 0, sizeof task->spent);
}

/* A task that was woken but not resumed yet has nothing to cancel, but still owns its op. */
void hob_task_drop_wait(struct hob_task *task)
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

void hob_task_interrupt(struct hob_task *task)
{
    struct hob_scheduler *scheduler = task->scheduler;
    if (task->waiting) {
        hob_task_drop_wait(task);
        hob_task_make_ready(task);
    }
    if (task == scheduler->now.current) {
        hob_task_set_pace(scheduler->now.running);
    }
}

void hob_task_begin_slice(struct hob_scheduler *scheduler)
{
    struct hob_task_now *now = &scheduler->now;
    now->stuck = false;
    now->ticks = 0;
    now->slice_cpu_us = hob_task_counts_cpu(scheduler) ? hob_clock_cpu_us() : 0;
    now->slice_ms = now->tick_ms = hob_clock_mono_ms();
}

static void resume_task(struct hob_task *task)
{
    struct hob_scheduler *scheduler = task->scheduler;
    if (!task->co && !hob_task_give_coroutine(task)) {
        hob_task_set_memory(task);
        hob_task_tell_end(task, LUA_ERRMEM, 0);
        return;
    }
    hob_task_enter(scheduler);
    scheduler->now.current = task;
    scheduler->now.chain_yieldable = true;
    task->resumed = ++scheduler->resumes;
    hob_task_begin_slice(scheduler);
    int results = 0;
    int nargs = lua_status(task->co) == LUA_YIELD ? 0 : lua_gettop(task->co) - 1;
    int status = hob_task_resume(task->co, NULL, nargs, &results);
    scheduler->passing = false;
    hob_task_end_slice(scheduler);
    scheduler->now.current = NULL;
    hob_task_leave(scheduler);
    if (status == LUA_YIELD && !task->waiting) { /* a forced yield */
        scheduler->holder = task->first_run ? task : scheduler->holder;
        scheduler->forced = true;
        hob_task_make_ready(task);
        return;
    }
    task->first_run = false;
    if (scheduler->holder == task) {
        let_held_go(scheduler);
    }
    if (status != LUA_YIELD) {
        hob_task_end(task, status, results);
    }
}

static void run_turn(void *user)
{
    struct hob_scheduler *scheduler = user;
    scheduler->turn_pending = false;
    if (scheduler->freed) {
        hob_free(scheduler);
        return;
    }
    /* Those that become ready meanwhile have their turn after the loop has looked at its I/O; so
     * have those that do not fit into one slice, be they thousands. */
    struct hob_task *last = scheduler->ready_tail;
    uint64_t until_ms = hob_clock_mono_ms() + SLICE_MS;
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
        if (HOB_TASK_ON_HOLD(scheduler) && !task->aside) {
            append(&scheduler->parked_head, &scheduler->parked_tail, task);
        } else if (is_held(task)) {
            append(&scheduler->held_head, &scheduler->held_tail, task);
        } else {
            resume_task(task);
        }
        if (is_last || scheduler->forced || hob_clock_mono_ms() >= until_ms) {
            break;
        }
    }
    scheduler->forced = false;
    scheduler->turn_pending = false;
    if (scheduler->freed || scheduler->ready_head) {
        need_turn(scheduler);
    }
}

void hob_task_wake(struct hob_task *task)
{
    if (!task->waiting) {
        return;
    }
    task->waiting = false;
    hob_task_make_ready(task);
}

/* "limit", "limit/MORE" */
static bool is_limit(const char *kind)
{
    size_t len = strcspn(kind, "/");
    return (len == 5 && memcmp(kind, "limit", len) == 0) ||
           (len == 6 && memcmp(kind, "memory", len) == 0);
}

bool hob_task_cancel(struct hob_task *task, const char *kind, const char *message)
{
    if (task->engine) {
        return false;
    }
    if (!is_limit(kind) && hob_task_in_critical(task)) {
        hob_task_delay(task, kind, message);
        return true;
    }
    hob_task_set_engine(task, kind, message);
    hob_task_interrupt(task);
    return false;
}

const char *hob_task_waiting_in(const struct hob_task *task)
{
    return task->waiting ? task->wait.name : "";
}

/* ---- for bindings ---- */

bool hob_task_in_task(lua_State *L)
{
    const struct hob_scheduler *scheduler = hob_scheduler_of(L);
    return scheduler->now.current && scheduler->now.current->co != scheduler->L;
}

bool hob_task_can_wait(lua_State *L)
{
    const struct hob_scheduler *scheduler = hob_scheduler_of(L);
    const struct hob_task *task = scheduler->now.current;
    return task && !task->thrown && !task->aside && lua_isyieldable(L) &&
           scheduler->now.chain_yieldable;
}

struct hob_task *hob_task_current(lua_State *L)
{
    struct hob_scheduler *scheduler = hob_scheduler_of(L);
    struct hob_task *task = scheduler->now.current;
    if (!task) {
        luaL_error(L, "this call waits, so it works only in a task");
        return NULL; /* never: it has raised */
    }
    hob_task_check(L);
    hob_task_check_held(L, 1);
    if (task->aside) {
        luaL_error(L, "this call waits, which an expression that is looked at cannot");
    } else if (task->thrown) {
        luaL_error(L, "this call waits, which a <close> function of what is being ended cannot");
    } else if (!lua_isyieldable(L) || !scheduler->now.chain_yieldable) {
        luaL_error(L, "this call waits, which is not possible here (while a file is loaded, in "
                      "`args`, or inside a callback of a C function such as table.sort or "
                      "string.gsub)");
    }
    hob_task_check_cpu(L, 1);
    return task;
}

static int after_wait(lua_State *L, int status, lua_KContext context)
{
    struct hob_task *task = hob_scheduler_of(L)->now.current;
    hob_task_free_spent(task);
    task->spent = task->wait; /* freed even if push raises */
    memset(&task->wait, 0, sizeof task->wait);
    if (hob_task_is_ending(task)) {
        hob_task_free_spent(task);
        return hob_task_throw(L);
    }
    int results = task->spent.push ? task->spent.push(L, task->spent.op) : 0;
    hob_task_free_spent(task);
    return results;
}

int hob_task_suspend(lua_State *L, const struct hob_task_wait *wait)
{
    struct hob_scheduler *scheduler = hob_scheduler_of(L);
    struct hob_task *task = scheduler->now.current;
    assert(task && !task->waiting);
    task->wait = *wait;
    task->waiting = true;
    if (hob_task_is_ending(task)) { /* since hob_task_current, by what the operation began with */
        hob_task_drop_wait(task);
        return hob_task_throw(L);
    }
    scheduler->passing = true;
    return lua_yieldk(L, 0, 0, after_wait);
}
