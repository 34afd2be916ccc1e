#include "base/clock.h"
#include "work/task_internal.h"

#include <stdio.h>
#include <string.h>

/* A handler calls Hob's own functions, which call one another: not deeper than this. */
#define LEVELS_MAX 30
/* No stack is as large: LUAI_MAXSTACK values. */
#define STACK_BYTES_MAX (17u << 20)

/* ---- where ---- */

bool hob_scheduler_is_own(const struct hob_scheduler *scheduler, const char *source)
{
    const char *own = scheduler->own_files;
    size_t len = own ? strlen(own) : 0;
    return own && source[0] == '@' && strncmp(source + 1, own, len) == 0 && source[len + 1] == '/';
}

/* "FILE:LINE" of the innermost line that is not Hob's own, else of the innermost one. Allocates
 * nothing. */
static void describe_place(lua_State *L, int level, char out[HOB_TASK_WHERE_MAX])
{
    const struct hob_scheduler *scheduler = hob_scheduler_of(L);
    lua_Debug ar;
    out[0] = '\0';
    for (int last = level + LEVELS_MAX; level < last && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        bool own = hob_scheduler_is_own(scheduler, ar.source);
        if (ar.currentline > 0 && (!out[0] || !own)) {
            snprintf(out, HOB_TASK_WHERE_MAX, "%s:%d", ar.short_src, ar.currentline);
        }
        if (ar.currentline > 0 && !own) {
            return;
        }
    }
}

int hob_task_raise_limit(lua_State *L, int level, const char *words)
{
    char place[HOB_TASK_WHERE_MAX], message[HOB_TASK_WHERE_MAX + 256];
    describe_place(L, level, place);
    snprintf(message, sizeof message, "%s%s%s", words, place[0] ? ", at " : "", place);
    return hob_task_raise(L, "limit", message);
}

void hob_scheduler_own_files(struct hob_scheduler *scheduler, const char *directory)
{
    scheduler->own_files = directory;
}

/* ---- processor time ---- */

void hob_scheduler_limit_cpu(struct hob_scheduler *scheduler, uint64_t limit_us, uint64_t used_us)
{
    scheduler->cpu_limit_us = limit_us;
    scheduler->usage.cpu_us += used_us;
}

/* The clock that has been read already is never behind: only near the limit the other one, which is
 * dear, is asked. */
static bool is_used_up(const struct hob_scheduler *scheduler)
{
    const struct hob_task_now *now = &scheduler->now;
    uint64_t used = scheduler->usage.cpu_us, limit = scheduler->cpu_limit_us;
    if (!limit || used + (now->tick_ms - now->slice_ms + 1) * 1000 <= limit) {
        return false;
    }
    return used + (hob_clock_cpu_us() - now->slice_cpu_us) > limit;
}

static void check_aside(lua_State *L, const struct hob_scheduler *scheduler, int level)
{
    char words[96];
    uint64_t spent = scheduler->now.current->aside_us;
    if (spent + (hob_clock_cpu_us() - scheduler->now.slice_cpu_us) > HOB_TASK_ASIDE_MS * 1000) {
        snprintf(words, sizeof words, "the expression took more than %d s of processor time",
                 HOB_TASK_ASIDE_MS / 1000);
        hob_task_raise_limit(L, level, words);
    }
}

void hob_task_check_cpu(lua_State *L, int level)
{
    const struct hob_scheduler *scheduler = hob_scheduler_of(L);
    char words[64];
    if (hob_task_is_ending(scheduler->now.current)) {
        return;
    }
    if (scheduler->now.current->aside) {
        check_aside(L, scheduler, level);
        return;
    }
    if (!is_used_up(scheduler)) {
        return;
    }
    snprintf(words, sizeof words, "used more than %.10g s of processor time (cpu)",
             (double)scheduler->cpu_limit_us / 1e6);
    hob_task_raise_limit(L, level, words);
}

/* To ask for it is a system call; nobody asks what Hob's own commands took. */
bool hob_task_counts_cpu(const struct hob_scheduler *scheduler)
{
    return !scheduler->trusted || (scheduler->now.current && scheduler->now.current->aside);
}

void hob_task_end_slice(struct hob_scheduler *scheduler)
{
    static const unsigned spans_ms[HOB_SCHEDULER_SPANS - 1] = {1, 2, 5, 10, 20, 50, 100};
    if (!hob_task_counts_cpu(scheduler)) {
        return;
    }
    uint64_t spent = hob_clock_cpu_us() - scheduler->now.slice_cpu_us;
    struct hob_scheduler_usage *usage = &scheduler->usage;
    int span = 0;
    while (span < HOB_SCHEDULER_SPANS - 1 && spent >= spans_ms[span] * UINT64_C(1000)) {
        span++;
    }
    struct hob_task *task = scheduler->now.current;
    if (task && task->aside) {
        task->aside_us += spent;
    } else {
        usage->cpu_us += spent;
    }
    usage->longest_us = spent > usage->longest_us ? spent : usage->longest_us;
    usage->slices[span]++;
}

void hob_scheduler_set_slice(struct hob_scheduler *scheduler, int instructions, unsigned times)
{
    scheduler->tick_instructions = instructions;
    scheduler->slice_ticks = times;
}

void hob_scheduler_usage(const struct hob_scheduler *scheduler, struct hob_scheduler_usage *out)
{
    *out = scheduler->usage;
}

/* ---- memory ---- */

static void describe_size(size_t bytes, char *out, size_t len)
{
    if (bytes % (1u << 20) == 0) {
        snprintf(out, len, "%zu MB", bytes >> 20);
    } else if (bytes % 1024 == 0) {
        snprintf(out, len, "%zu KB", bytes >> 10);
    } else {
        snprintf(out, len, "%zu bytes", bytes);
    }
}

/* Lua 5.4.5 and later have no pointers into a stack while they make it larger. */
static bool may_look(bool grows, size_t wanted)
{
    return LUA_VERSION_RELEASE_NUM < 50405 || !grows || wanted > STACK_BYTES_MAX;
}

void hob_scheduler_refuse_memory(struct hob_scheduler *scheduler, size_t limit_bytes, bool grows,
                                 size_t wanted)
{
    char place[HOB_TASK_WHERE_MAX] = "", size[32];
    if (scheduler->now.running && may_look(grows, wanted)) {
        describe_place(scheduler->now.running, 0, place);
    }
    describe_size(limit_bytes, size, sizeof size);
    snprintf(scheduler->shortage, sizeof scheduler->shortage, "more than %s of memory (memory)%s%s",
             size, place[0] ? ", at " : "", place);
}

void hob_task_set_memory(struct hob_task *task)
{
    struct hob_scheduler *scheduler = task->scheduler;
    hob_task_set_engine(task, "memory",
                        scheduler->shortage[0] ? scheduler->shortage : "out of memory");
    scheduler->shortage[0] = '\0';
}
