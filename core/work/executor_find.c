/* executor_find.c - which jobs are there, and what becomes of each. */
#include "base/alloc.h"
#include "base/random.h"
#include "work/executor_parts.h"
#include "work/filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSED_FIRST 4
#define LIST_SHORT   10 /* a pending list of so many may have been cut */
/* A new front is announced by notify-next, too, with its document: the list waits for it. */
#define SOON_MS 250
#define ONCE_MS 20 /* for the rest of a burst */

static void walk(struct hob_executor *executor);

/* ---- what is not to be asked about ---- */

/* Most things never pass one. Without memory the oldest are forgotten earlier. */
static bool has_room(struct hob_executor_find *find)
{
    size_t room = find->passed_room ? 2 * find->passed_room : PASSED_FIRST;
    if (find->passed_count != find->passed_room || room > HOB_EXECUTOR_PASSED_MAX) {
        return find->passed_room > 0;
    }
    struct hob_executor_passed *passed = hob_realloc(find->passed, room * sizeof *passed);
    if (passed) {
        find->passed = passed;
        find->passed_room = room;
    }
    return find->passed_room > 0;
}

void hob_executor_find_pass(struct hob_executor *executor,
                            const struct hob_executor_identity *identity,
                            enum hob_executor_passing why)
{
    struct hob_executor_find *find = &executor->find;
    if (has_room(find)) {
        find->passed[find->passed_count++ % find->passed_room] =
            (struct hob_executor_passed){*identity, why};
    }
}

const struct hob_executor_passed *
hob_executor_find_passed(const struct hob_executor *executor,
                         const struct hob_executor_identity *identity)
{
    const struct hob_executor_find *find = &executor->find;
    size_t count = find->passed_count;
    count = count < find->passed_room ? count : find->passed_room;
    for (size_t i = 0; i < count; i++) {
        if (hob_executor_same(&find->passed[i].identity, identity)) {
            return &find->passed[i];
        }
    }
    return NULL;
}

int hob_executor_find_known(struct hob_executor *executor,
                            const struct hob_executor_identity *identity,
                            struct hob_store_execution *out, struct hob_error *err)
{
    return hob_store_find(executor->options.store, executor->thing, identity->job_id,
                          identity->number, identity->queued_at, out, err);
}

bool hob_executor_find_over(const struct hob_store_execution *known)
{
    return known->state == HOB_STORE_ENDED || known->state == HOB_STORE_TOLD;
}

/* An execution of a job that holds a seat waits: also another one of the same id. */
static bool is_settled(struct hob_executor *executor, const struct hob_jobs_execution *candidate)
{
    struct hob_executor_identity identity = hob_executor_identity_of(candidate);
    struct hob_store_execution known;
    if (hob_executor_seat_of(executor, identity.job_id) ||
        hob_executor_find_passed(executor, &identity) ||
        hob_executor_wait_holds(executor, &identity)) {
        return true;
    }
    int rc = hob_executor_find_known(executor, &identity, &known, NULL);
    if (rc == 0) {
        return hob_executor_find_over(&known) || hob_executor_resume_waits(executor, known.row);
    }
    return !hob_filter_takes_id(executor->options.filter, identity.job_id);
}

static const struct hob_jobs_execution *first_unsettled(struct hob_executor *executor)
{
    for (size_t i = 0; i < executor->find.count; i++) {
        if (!is_settled(executor, &executor->find.list[i])) {
            return &executor->find.list[i];
        }
    }
    return NULL;
}

/* ---- when ---- */

bool hob_executor_can_take(struct hob_executor *executor)
{
    return hob_executor_may_begin(executor) && hob_executor_free_seat(executor);
}

static bool can_look(struct hob_executor *executor)
{
    const struct hob_executor_find *find = &executor->find;
    return hob_executor_can_take(executor) && find->looking == HOB_EXECUTOR_CALM &&
           !hob_timer_active(find->retry);
}

void hob_executor_find_later(struct hob_executor *executor, const char *what, const char *why)
{
    uint64_t ms = hob_backoff_next_ms(&executor->find.backoff);
    char text[256];
    snprintf(text, sizeof text, "%s: %s, again in %.1f s", what, why, (double)ms / 1000);
    hob_executor_say(executor, HOB_LOG_WARN, "jobs.retry", why, NULL, text);
    hob_timer_start(executor->find.retry, ms);
}

void hob_executor_find_hold(struct hob_executor *executor, const char *what, int code)
{
    executor->find.held = true;
    hob_executor_find_later(executor, what, hob_error_name(code));
}

bool hob_executor_find_is_held(const struct hob_executor *executor)
{
    return executor->find.held && hob_timer_active(executor->find.retry);
}

/* Without a link hob_executor_online asks again; cancelled: we are being closed. */
static void no_answer(struct hob_executor *executor, int status)
{
    if (status != HOB_ENOTCONN && status != HOB_ECANCELED) {
        hob_executor_find_later(executor, "looking for jobs",
                                status == HOB_ETIMEDOUT ? "no answer" : hob_error_name(status));
    }
}

/* Never later than it was to be: a flood of notifications does not put it off. */
static void start_soon(struct hob_executor *executor, uint64_t ms)
{
    struct hob_executor_find *find = &executor->find;
    if (!hob_timer_active(find->soon) || ms < find->soon_ms) {
        find->soon_ms = ms;
        hob_timer_start(find->soon, ms);
    }
}

bool hob_executor_find_waits_for_told(const struct hob_executor *executor)
{
    return executor->count == 1 && hob_outbox_depth(executor->options.outbox) > 0;
}

void hob_executor_find_soon(struct hob_executor *executor)
{
    struct hob_executor_find *find = &executor->find;
    struct hob_executor_identity due;
    if (!hob_executor_can_take(executor) || hob_executor_find_waits_for_told(executor)) {
        return;
    }
    if (find->claim_count > 0) {
        start_soon(executor, 0);
    } else if (!find->listed || find->missed || find->count >= LIST_SHORT ||
               first_unsettled(executor) || hob_executor_wait_due(executor, &due)) {
        start_soon(executor, SOON_MS);
    }
}

void hob_executor_find_now(struct hob_executor *executor)
{
    if (hob_executor_can_take(executor) && !hob_executor_find_waits_for_told(executor)) {
        start_soon(executor, 0);
    }
}

static void on_soon(void *user)
{
    struct hob_executor *executor = user;
    struct hob_executor_find *find = &executor->find;
    bool cut = find->count >= LIST_SHORT && !first_unsettled(executor);
    if (hob_executor_find_waits_for_told(executor)) {
        return;
    }
    if (find->claim_count == 0 && (!find->listed || find->missed || cut)) {
        find->listed = false;
        hob_executor_find_look(executor);
    } else {
        walk(executor);
    }
}

/* ---- looking ---- */

/* One that is full may have been cut. */
static void take_list(struct hob_executor *executor, const struct hob_jobs_execution *list,
                      size_t count)
{
    struct hob_executor_find *find = &executor->find;
    find->count = count < HOB_JOBS_PENDING_MAX ? count : HOB_JOBS_PENDING_MAX;
    if (find->count > 0) {
        memcpy(find->list, list, find->count * sizeof *list);
    }
    find->listed = true;
    if (count < LIST_SHORT) {
        hob_executor_wait_keep(executor, list, count);
    }
}

static void on_list(void *user, int status, const struct hob_jobs_answer *answer)
{
    struct hob_executor *executor = user;
    struct hob_executor_find *find = &executor->find;
    find->looking = HOB_EXECUTOR_CALM;
    if (status == HOB_EREJECTED) {
        hob_executor_find_later(executor, "looking for jobs", answer->code_text);
    } else if (status) {
        no_answer(executor, status);
    } else {
        take_list(executor, answer->pending, answer->pending_count);
        find->missed = false;
        walk(executor);
    }
}

static void ask_list(struct hob_executor *executor)
{
    struct hob_executor_find *find = &executor->find;
    int rc = hob_jobs_get_pending(executor->options.client, on_list, executor);
    find->looking = rc ? HOB_EXECUTOR_CALM : HOB_EXECUTOR_ASKED_LIST;
    if (rc) {
        no_answer(executor, rc);
    }
}

/* The one at the front is settled: which others are there? */
static void look_on(struct hob_executor *executor)
{
    struct hob_executor_find *find = &executor->find;
    if (!can_look(executor)) {
        return;
    }
    if (find->listed) {
        walk(executor);
    } else {
        ask_list(executor);
    }
}

static void on_next(void *user, int status, const struct hob_jobs_answer *answer)
{
    struct hob_executor *executor = user;
    struct hob_executor_find *find = &executor->find;
    find->looking = HOB_EXECUTOR_CALM;
    if (status == HOB_EREJECTED) {
        hob_executor_find_later(executor, "looking for jobs", answer->code_text);
        return;
    }
    if (status) {
        no_answer(executor, status);
        return;
    }
    if (!answer->execution.present) {
        hob_backoff_reset(&find->backoff);
        take_list(executor, NULL, 0);
        find->missed = false;
        hob_executor_turn_give_up(executor);
    } else if (hob_executor_decide(executor, &answer->execution, true)) {
        look_on(executor);
    }
}

/* What is there is still shown to people. */
static void look_only(struct hob_executor *executor)
{
    struct hob_executor_find *find = &executor->find;
    if (executor->online && !executor->stopping && find->looking == HOB_EXECUTOR_CALM &&
        !hob_timer_active(find->retry) && !find->listed) {
        ask_list(executor);
    }
}

void hob_executor_find_look(struct hob_executor *executor)
{
    struct hob_executor_find *find = &executor->find;
    if (executor->draining) {
        look_only(executor);
        return;
    }
    if (!can_look(executor)) {
        return; /* a free seat, or the answer, brings us here again */
    }
    if (find->claim_count > 0) {
        walk(executor);
        return;
    }
    int rc = hob_jobs_describe(executor->options.client, "$next", 0, on_next, executor);
    find->looking = rc ? HOB_EXECUTOR_CALM : HOB_EXECUTOR_ASKED_NEXT;
    if (rc) {
        no_answer(executor, rc);
    }
}

/* ---- one after the other ---- */

void hob_executor_find_forget_claim(struct hob_executor *executor, int64_t row)
{
    struct hob_executor_find *find = &executor->find;
    for (size_t i = 0; i < find->claim_count; i++) {
        if (find->claims[i].row == row) {
            find->claim_count--;
            memmove(&find->claims[i], &find->claims[i + 1],
                    (find->claim_count - i) * sizeof *find->claims);
            return;
        }
    }
}

/* The service does not offer it any more: it was over before it began here. */
static void asked_is_gone(struct hob_executor *executor)
{
    struct hob_executor_find *find = &executor->find;
    struct hob_error err = {0};
    hob_executor_find_pass(executor, &find->asked, HOB_EXECUTOR_OVER);
    hob_executor_wait_forget(executor, &find->asked);
    if (!find->asked_row) {
        return;
    }
    hob_executor_find_forget_claim(executor, find->asked_row);
    hob_executor_say(executor, HOB_LOG_INFO, "job.claim_refused", NULL, &find->asked,
                     "it was over before its claim was accepted: it never ran");
    hob_outbox_forget(executor->options.outbox, find->asked_row);
    if (hob_store_remove(executor->options.store, find->asked_row, &err)) {
        hob_executor_store_failed(executor, &find->asked, &err);
    }
}

static void on_one(void *user, int status, const struct hob_jobs_answer *answer)
{
    struct hob_executor *executor = user;
    struct hob_executor_find *find = &executor->find;
    bool more = true;
    find->looking = HOB_EXECUTOR_CALM;
    if (status && status != HOB_EREJECTED) {
        no_answer(executor, status);
        return;
    }
    if (status == HOB_EREJECTED && hob_jobs_code_retryable(answer->code)) {
        hob_executor_find_later(executor, "looking for jobs", answer->code_text);
        return;
    }
    const struct hob_jobs_execution *theirs = &answer->execution;
    struct hob_executor_identity identity = hob_executor_identity_of(theirs);
    if (status || !theirs->present || !hob_executor_same(&identity, &find->asked) ||
        hob_jobs_status_terminal(theirs->status)) {
        asked_is_gone(executor);
    } else {
        more = hob_executor_decide(executor, theirs, true);
        if (more) {
            hob_executor_find_forget_claim(
                executor, find->asked_row); /* the list has it, if it was not taken */
        }
    }
    if (more && find->claim_count == 0 && !find->listed) {
        hob_executor_find_look(executor);
    } else if (more) {
        walk(executor);
    }
}

static void ask_one(struct hob_executor *executor, const struct hob_executor_identity *identity,
                    int64_t row)
{
    struct hob_executor_find *find = &executor->find;
    find->asked = *identity;
    find->asked_row = row;
    int rc = hob_jobs_describe(executor->options.client, identity->job_id, identity->number, on_one,
                               executor);
    find->looking = rc ? HOB_EXECUTOR_CALM : HOB_EXECUTOR_ASKED_ONE;
    if (rc) {
        no_answer(executor, rc);
    }
}

/* Claims of an earlier process first, then the list in the service's order. */
static void walk(struct hob_executor *executor)
{
    struct hob_executor_find *find = &executor->find;
    if (!can_look(executor)) {
        return;
    }
    if (find->claim_count > 0) {
        ask_one(executor, &find->claims[0].identity, find->claims[0].row);
        return;
    }
    struct hob_executor_identity identity;
    const struct hob_jobs_execution *candidate = first_unsettled(executor);
    if (candidate) {
        identity = hob_executor_identity_of(candidate);
    }
    if (candidate || hob_executor_wait_due(executor, &identity)) {
        ask_one(executor, &identity, 0);
    } else {
        hob_backoff_reset(&find->backoff);
        hob_executor_turn_give_up(executor);
    }
}

int hob_executor_find_add_claim(struct hob_executor *executor,
                                const struct hob_store_execution *known)
{
    struct hob_executor_find *find = &executor->find;
    if (find->claim_count == find->claim_capacity) {
        size_t capacity = find->claim_capacity ? find->claim_capacity * 2 : 8;
        struct hob_executor_claim *claims = hob_realloc(find->claims, capacity * sizeof *claims);
        if (!claims) {
            return HOB_ENOMEM;
        }
        find->claims = claims;
        find->claim_capacity = capacity;
    }
    struct hob_executor_claim *claim = &find->claims[find->claim_count++];
    *claim = (struct hob_executor_claim){
        known->row, {.number = known->execution_number, .queued_at = known->queued_at}};
    snprintf(claim->identity.job_id, sizeof claim->identity.job_id, "%s", known->job_id);
    return 0;
}

/* ---- what is announced ---- */

static bool is_named(const struct hob_executor_seat *seat, const struct hob_jobs_execution *list,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct hob_executor_identity identity = hob_executor_identity_of(&list[i]);
        if (hob_executor_same(&seat->identity, &identity)) {
            return true;
        }
    }
    return false;
}

void hob_executor_pending(struct hob_executor *executor, const struct hob_jobs_execution *list,
                          size_t count)
{
    struct hob_executor_find *find = &executor->find;
    if (!executor->online || executor->stopping) {
        return;
    }
    take_list(executor, list, count);
    find->missed = find->missed && count >= LIST_SHORT;
    for (size_t i = 0; i < executor->count; i++) {
        if (!is_named(&executor->seats[i], list, count)) {
            hob_executor_watch_suspect(&executor->seats[i]);
        }
    }
    if (!hob_executor_can_take(executor) || hob_executor_find_waits_for_told(executor)) {
        return;
    }
    const struct hob_jobs_execution *first = first_unsettled(executor);
    if (first) {
        start_soon(executor, first == find->list ? SOON_MS : ONCE_MS);
    } else if (!find->missed && find->claim_count == 0) {
        hob_timer_stop(find->soon);
    }
}

/* What is IN_PROGRESS comes before what is QUEUED, the older one first: is it named where an
 * execution that runs here should be? */
static bool should_be_named(const struct hob_executor_seat *seat,
                            const struct hob_jobs_execution *next)
{
    struct hob_executor_identity identity = hob_executor_identity_of(next);
    if (!next->present) {
        return true;
    }
    return !hob_executor_same(&seat->identity, &identity) &&
           (next->status == HOB_JOBS_QUEUED || seat->identity.queued_at < identity.queued_at);
}

void hob_executor_next(struct hob_executor *executor, const struct hob_jobs_execution *next)
{
    if (!executor->online || executor->stopping) {
        return;
    }
    for (size_t i = 0; i < executor->count; i++) {
        if (should_be_named(&executor->seats[i], next)) {
            hob_executor_watch_suspect(&executor->seats[i]);
        }
    }
    if (next->present && executor->find.claim_count > 0) {
        executor->find.missed = true; /* what an earlier process had claimed goes first */
    } else if (next->present) {
        hob_executor_decide(executor, next, false);
    }
}

void hob_executor_reloaded(struct hob_executor *executor)
{
    bool some = executor->find.passed_count > 0 || executor->wait.count > 0;
    hob_executor_wait_keep(executor, NULL, 0); /* they may require something else now */
    if (some && executor->online) {
        hob_executor_find_afresh(executor);
    }
}

void hob_executor_told(struct hob_executor *executor)
{
    hob_executor_find_soon(executor);
}

/* ---- when nothing is announced ---- */

static void start_poll(struct hob_executor *executor)
{
    uint64_t ms = executor->options.poll_ms; /* not all gateways of a fleet at once */
    hob_timer_start(executor->find.poll, ms / 2 + hob_random_u64() % (ms - ms / 2 + 1));
}

void hob_executor_find_afresh(struct hob_executor *executor)
{
    struct hob_executor_find *find = &executor->find;
    find->passed_count = 0;
    find->listed = find->held = false;
    hob_backoff_reset(&find->backoff);
    hob_timer_stop(find->retry);
    hob_executor_find_look(executor);
    start_poll(executor);
}

/* What is being looked through is looked through to its end: begun anew each time, it would never
 * come to the last jobs where that takes longer than a poll. */
static void on_poll(void *user)
{
    struct hob_executor *executor = user;
    for (size_t i = 0; i < executor->count; i++) {
        hob_executor_watch_suspect(&executor->seats[i]);
    }
    if (executor->find.looking == HOB_EXECUTOR_CALM) {
        hob_executor_find_afresh(executor);
    } else {
        start_poll(executor);
    }
}

static void on_retry(void *user)
{
    struct hob_executor *executor = user;
    executor->find.held = false;
    hob_executor_find_look(executor);
}

int hob_executor_find_init(struct hob_executor *executor)
{
    struct hob_executor_find *find = &executor->find;
    struct hob_loop *loop = executor->options.loop;
    find->soon = hob_timer_new(loop, on_soon, executor);
    find->retry = hob_timer_new(loop, on_retry, executor);
    find->poll = hob_timer_new(loop, on_poll, executor);
    return find->soon && find->retry && find->poll ? 0 : HOB_ENOMEM;
}

void hob_executor_find_end(struct hob_executor *executor)
{
    hob_timer_stop(executor->find.soon);
    hob_timer_stop(executor->find.retry);
    hob_timer_stop(executor->find.poll);
}
