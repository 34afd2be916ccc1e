/* executor_wait.c - executions whose handler wants something that is not so yet, or that a product
 * has put off: they stay QUEUED in the cloud and cost no message; what lies behind them goes first.
 *
 * Whether it is so by now is judged here, without the service: when a window begins, when the clock
 * is set, and once a minute. Only then is the service asked about the execution, and it goes the
 * way of any new one, its `requires` included. */
#include "base/alloc.h"
#include "base/clock.h"
#include "work/executor_parts.h"

#include <stdio.h>
#include <string.h>

#define LOOK_MS  60000
#define LIST_MAX 256

static void judge(const struct hob_executor *executor, const struct hob_executor_waiting *waiting,
                  struct hob_requires_judgement *out)
{
    hob_executor_judge(executor, &waiting->identity, &waiting->requires, out);
}

void hob_executor_judge(const struct hob_executor *executor,
                        const struct hob_executor_identity *identity,
                        const struct hob_requires *requires, struct hob_requires_judgement *out)
{
    struct hob_requires_facts facts = {.now_ms = hob_clock_wall_ms(),
                                       .queued_at_s = identity->queued_at,
                                       .directory = executor->work_dir};
    hob_requires_judge(requires, &facts, out);
}

static struct hob_executor_waiting *find(const struct hob_executor *executor,
                                         const struct hob_executor_identity *identity)
{
    for (size_t i = 0; i < executor->wait.count; i++) {
        if (hob_executor_same(&executor->wait.list[i].identity, identity)) {
            return &executor->wait.list[i];
        }
    }
    return NULL;
}

/* ---- when to look ---- */

static bool needs_clock(const struct hob_requires *requires)
{
    return requires->clock || requires->window || requires->max_age_s > 0;
}

static bool look_at(struct hob_executor *executor, struct hob_executor_waiting *waiting,
                    uint64_t *next_ms)
{
    struct hob_requires_judgement judgement;
    if (waiting->put_off) {
        return waiting->ask;
    }
    judge(executor, waiting, &judgement);
    if (judgement.until_ms >= 0 && (uint64_t)judgement.until_ms < *next_ms) {
        *next_ms = (uint64_t)judgement.until_ms + 1;
    }
    return judgement.verdict != HOB_REQUIRES_NOT_YET;
}

static void look(struct hob_executor *executor)
{
    struct hob_executor_wait *wait = &executor->wait;
    uint64_t next_ms = LOOK_MS;
    bool due = false, clock = false;
    for (size_t i = 0; i < wait->count; i++) {
        due = look_at(executor, &wait->list[i], &next_ms) || due;
        clock = clock || needs_clock(&wait->list[i].requires);
    }
    if (!clock) {
        hob_clock_watch_stop(wait->watch);
    }
    if (wait->count > 0) {
        hob_timer_start(wait->timer, next_ms);
    } else {
        hob_timer_stop(wait->timer);
    }
    if (due) {
        hob_executor_find_soon(executor);
    }
}

static void on_timer(void *user)
{
    look(user);
}

static void on_clock(void *user, int64_t by_ms)
{
    look(user);
}

/* ---- who waits ---- */

static struct hob_executor_waiting *add(struct hob_executor_wait *wait)
{
    if (wait->count == wait->capacity) {
        size_t capacity = wait->capacity ? wait->capacity * 2 : 4;
        struct hob_executor_waiting *list =
            capacity > LIST_MAX ? NULL : hob_realloc(wait->list, capacity * sizeof *list);
        if (!list) {
            return NULL;
        }
        wait->list = list;
        wait->capacity = capacity;
    }
    return &wait->list[wait->count++];
}

bool hob_executor_wait_add(struct hob_executor *executor,
                           const struct hob_executor_identity *identity, const char *handler,
                           const struct hob_requires *requires, const char *reason)
{
    struct hob_executor_wait *wait = &executor->wait;
    struct hob_executor_waiting *waiting = add(wait);
    if (!waiting) {
        return false;
    }
    *waiting = (struct hob_executor_waiting){.identity = *identity, .requires = *requires};
    snprintf(waiting->handler, sizeof waiting->handler, "%s", handler);
    hob_executor_say(executor, HOB_LOG_INFO, "job.waits", "NOT_MET", identity, reason);
    if (needs_clock(requires)) {
        hob_clock_watch_start(wait->watch);
    }
    look(executor);
    return true;
}

bool hob_executor_wait_put_off(struct hob_executor *executor,
                               const struct hob_executor_identity *identity, const char *handler,
                               const char *reason)
{
    char *copy = hob_strdup(reason);
    struct hob_executor_waiting *waiting = copy ? add(&executor->wait) : NULL;
    if (!waiting) {
        hob_free(copy);
        return false;
    }
    *waiting = (struct hob_executor_waiting){.identity = *identity, .put_off = copy};
    snprintf(waiting->handler, sizeof waiting->handler, "%s", handler);
    hob_executor_say(executor, HOB_LOG_INFO, "job.waits", "PUT_OFF", identity, reason);
    return true;
}

void hob_executor_wait_ask_again(struct hob_executor *executor)
{
    bool some = false;
    for (size_t i = 0; i < executor->wait.count; i++) {
        struct hob_executor_waiting *waiting = &executor->wait.list[i];
        waiting->ask = waiting->put_off != NULL;
        some = some || waiting->ask;
    }
    if (some) {
        hob_executor_find_soon(executor);
    }
}

bool hob_executor_wait_holds(const struct hob_executor *executor,
                             const struct hob_executor_identity *identity)
{
    struct hob_requires_judgement judgement;
    const struct hob_executor_waiting *waiting = find(executor, identity);
    if (!waiting || waiting->put_off) {
        return waiting && !waiting->ask;
    }
    judge(executor, waiting, &judgement);
    return judgement.verdict == HOB_REQUIRES_NOT_YET;
}

bool hob_executor_wait_has(const struct hob_executor *executor,
                           const struct hob_executor_identity *identity)
{
    return find(executor, identity) != NULL;
}

bool hob_executor_wait_due(struct hob_executor *executor, struct hob_executor_identity *identity)
{
    for (size_t i = 0; i < executor->wait.count; i++) {
        *identity = executor->wait.list[i].identity;
        if (!hob_executor_wait_holds(executor, identity) &&
            !hob_executor_seat_of(executor, identity->job_id)) {
            return true;
        }
    }
    return false;
}

static void take_out(struct hob_executor_wait *wait, size_t i)
{
    hob_free(wait->list[i].put_off);
    wait->count--;
    memmove(&wait->list[i], &wait->list[i + 1], (wait->count - i) * sizeof *wait->list);
}

void hob_executor_wait_forget(struct hob_executor *executor,
                              const struct hob_executor_identity *identity)
{
    const struct hob_executor_waiting *waiting = find(executor, identity);
    if (waiting) {
        take_out(&executor->wait, (size_t)(waiting - executor->wait.list));
    }
}

static bool is_in(const struct hob_executor_identity *identity,
                  const struct hob_jobs_execution *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct hob_executor_identity one = hob_executor_identity_of(&list[i]);
        if (hob_executor_same(identity, &one)) {
            return true;
        }
    }
    return false;
}

void hob_executor_wait_keep(struct hob_executor *executor, const struct hob_jobs_execution *list,
                            size_t count)
{
    for (size_t i = executor->wait.count; i > 0; i--) {
        if (!is_in(&executor->wait.list[i - 1].identity, list, count)) {
            take_out(&executor->wait, i - 1);
        }
    }
}

/* ---- for people ---- */

static const char *waits_for(enum hob_requires_kind kind)
{
    switch (kind) {
    case HOB_REQUIRES_COMMANDS_KIND:
        return "commands";
    case HOB_REQUIRES_CLOCK:
        return "clock";
    case HOB_REQUIRES_DISK:
        return "disk";
    case HOB_REQUIRES_WINDOW:
        return "window";
    default:
        return NULL;
    }
}

void hob_executor_wait_each(const struct hob_executor *executor, hob_executor_view_fn *fn,
                            void *user)
{
    for (size_t i = 0; i < executor->wait.count; i++) {
        const struct hob_executor_waiting *waiting = &executor->wait.list[i];
        struct hob_requires_judgement judgement = {.until_ms = -1};
        if (!waiting->put_off) {
            judge(executor, waiting, &judgement);
        }
        bool holds = waiting->put_off ? !waiting->ask : judgement.verdict == HOB_REQUIRES_NOT_YET;
        struct hob_executor_view view = {
            .job_id = waiting->identity.job_id,
            .execution_number = waiting->identity.number,
            .queued_at = waiting->identity.queued_at,
            .state = "waiting",
            .step = "",
            .handler = waiting->handler,
            .resume_ms = holds ? judgement.until_ms : -1,
            .why = waiting->put_off ? waiting->put_off : judgement.reason,
            .waits_for = waiting->put_off ? "decision" : waits_for(judgement.kind)};
        if (!holds) {
            hob_executor_view_turn(executor, &view);
        }
        fn(user, &view);
    }
}

/* ---- life ---- */

int hob_executor_wait_init(struct hob_executor *executor)
{
    struct hob_executor_wait *wait = &executor->wait;
    wait->timer = hob_timer_new(executor->options.loop, on_timer, executor);
    wait->watch = hob_clock_watch_new(executor->options.loop, on_clock, executor);
    return wait->timer && wait->watch ? 0 : HOB_ENOMEM;
}

void hob_executor_wait_end(struct hob_executor *executor)
{
    hob_timer_stop(executor->wait.timer);
    hob_clock_watch_stop(executor->wait.watch);
}

void hob_executor_wait_free(struct hob_executor *executor)
{
    hob_timer_close(executor->wait.timer);
    hob_clock_watch_close(executor->wait.watch);
    while (executor->wait.count > 0) {
        take_out(&executor->wait, executor->wait.count - 1);
    }
    hob_free(executor->wait.list);
}
