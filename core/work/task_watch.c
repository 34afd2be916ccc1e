#include "base/clock.h"
#include "work/task_internal.h"

/* A deeper recursion is told as one that nobody catches. */
#define LEVELS_MAX 1000

/* ---- looking on, and holding ---- */

void hob_scheduler_watch(struct hob_scheduler *scheduler, struct hob_task_watcher *watcher)
{
    scheduler->watcher = watcher;
    if (scheduler->now.current) {
        hob_task_set_pace(scheduler->now.running);
    }
}

void hob_scheduler_hold(struct hob_scheduler *scheduler)
{
    if (!scheduler->on_hold) {
        scheduler->on_hold = true;
        scheduler->hold_began_ms = hob_clock_mono_ms();
    }
}

bool hob_scheduler_is_held(const struct hob_scheduler *scheduler)
{
    return scheduler->on_hold;
}

uint64_t hob_scheduler_held_ms(const struct hob_scheduler *scheduler)
{
    return scheduler->held_ms +
           (scheduler->on_hold ? hob_clock_mono_ms() - scheduler->hold_began_ms : 0);
}

struct hob_task *hob_task_running(lua_State *L)
{
    return hob_scheduler_of(L)->now.current;
}

int hob_task_depth(lua_State *L)
{
    return hob_scheduler_of(L)->now.depth;
}

bool hob_task_is_waiting(const struct hob_task *task)
{
    return task->waiting;
}

/* ---- errors, where they are raised ---- */

enum verdict { NOBODY, SCRIPT, INTERNAL };

/* What stands between an error and the end of its task. */
struct search {
    const struct hob_scheduler *scheduler;
    bool in_script; /* it passes a line of the script's own */
    enum verdict verdict;
};

static bool is_scripts(const struct search *search, lua_State *L, lua_Debug *ar)
{
    lua_getinfo(L, "Sl", ar);
    return ar->currentline > 0 && !hob_scheduler_is_own(search->scheduler, ar->source);
}

static bool catches(lua_State *L, lua_Debug *ar)
{
    bool is_wrap = true;
    lua_getinfo(L, "f", ar);
    lua_CFunction fn = lua_tocfunction(L, -1);
    lua_pop(L, 1);
    if (fn == hob_task_pcall || fn == hob_task_xpcall) {
        return true;
    }
    bool resumes = hob_task_resumed_by(L, ar, &is_wrap) != NULL;
    lua_pop(L, 1);
    return resumes && !is_wrap;
}

/* Hob's own files catch what the script's functions raise only to hand it on; what they raise and
 * catch among themselves is nobody's business. @return whether it is decided */
static bool judge_catcher(struct search *search, lua_State *L, int level)
{
    lua_Debug caller;
    if (!lua_getstack(L, level + 1, &caller)) {
        return false;
    }
    if (is_scripts(search, L, &caller)) {
        search->verdict = SCRIPT;
        return true;
    }
    if (!search->in_script) {
        search->verdict = INTERNAL;
        return true;
    }
    return false;
}

static bool look_through(struct search *search, lua_State *L, int level)
{
    lua_Debug ar;
    for (int last = level + LEVELS_MAX; level < last && lua_getstack(L, level, &ar); level++) {
        if (catches(L, &ar) && judge_catcher(search, L, level)) {
            return true;
        }
        search->in_script = search->in_script || is_scripts(search, L, &ar);
    }
    return false;
}

/* Through the coroutine from `level` on, then those that it was resumed in. @return whether it is
 * decided */
static bool search_task(struct search *search, lua_State *L, int level)
{
    lua_State *chain[HOB_TASK_CHAIN_MAX];
    size_t count = hob_task_chain(search->scheduler->now.current, chain, HOB_TASK_CHAIN_MAX);
    if (look_through(search, L, level)) {
        return true;
    }
    while (count > 0 && chain[count - 1] != L) {
        count--;
    }
    while (count > 1) {
        if (look_through(search, chain[--count - 1], 0)) {
            return true;
        }
    }
    return false;
}

static enum verdict judge(lua_State *L)
{
    struct search search = {.scheduler = hob_scheduler_of(L)};
    return search_task(&search, L, 1) ? search.verdict : NOBODY;
}

/* At level 0 is the protected call that has caught it. Where it was raised is not known: if Hob's
 * own file has called that for the script, it may be among themselves; at the bottom of the task it
 * is the script's end. */
static enum verdict judge_late(lua_State *L)
{
    struct search search = {.scheduler = hob_scheduler_of(L)};
    lua_Debug caller;
    if (lua_getstack(L, 1, &caller) && is_scripts(&search, L, &caller)) {
        return SCRIPT;
    }
    return search_task(&search, L, 2) || search.in_script ? INTERNAL : NOBODY;
}

bool hob_task_watches_errors(lua_State *L)
{
    const struct hob_scheduler *scheduler = hob_scheduler_of(L);
    const struct hob_task_watcher *watcher = HOB_TASK_WATCHER(scheduler);
    return watcher && watcher->errors && scheduler->now.current && !scheduler->now.current->aside;
}

static void tell(lua_State *L, bool late)
{
    const struct hob_task_watcher *watcher = hob_scheduler_of(L)->watcher;
    enum verdict verdict = late ? judge_late(L) : judge(L);
    if (verdict != INTERNAL) {
        watcher->on_error(watcher->user, L, verdict == SCRIPT, late);
        hob_task_set_pace(L);
    }
}

/* Both push a few values, for which a message handler, and what a protected call leaves, have room.
 */
void hob_task_see_error(lua_State *L)
{
    if (hob_task_watches_errors(L) && !hob_task_is_token(L, 1) &&
        !hob_task_is_ending(hob_scheduler_of(L)->now.current) && lua_checkstack(L, 4)) {
        tell(L, false);
    }
}

int hob_task_on_error(lua_State *L)
{
    hob_task_see_error(L);
    lua_settop(L, 1);
    return 1;
}

void hob_task_see_late_error(lua_State *L)
{
    if (hob_task_watches_errors(L) && !hob_task_is_token(L, -1) &&
        !hob_task_is_ending(hob_scheduler_of(L)->now.current) && lua_checkstack(L, 4)) {
        tell(L, true);
    }
}
