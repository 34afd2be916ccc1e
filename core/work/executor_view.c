/* executor_view.c - what a device has in hand, for people who look; see hob_executor_each. */
#include "work/executor_parts.h"
#include "work/filter.h"

#include <string.h>

static const char *why_claiming(const struct hob_executor_seat *seat)
{
    if (seat->executor->draining && !seat->claimed) {
        return "the gateway drains: it is claimed after `hob drain off`";
    }
    if (!seat->executor->online) {
        return "no connection to the service: it is claimed when there is one";
    }
    return seat->claiming ? "the service has not answered the claim yet"
                          : "the claim failed and is tried again";
}

static void view_seat(const struct hob_executor_seat *seat, hob_executor_view_fn *fn, void *user)
{
    struct hob_executor_view view;
    if (hob_slot_state(seat->slot) == HOB_SLOT_FREE) {
        return;
    }
    hob_slot_view(seat->slot, &view);
    if (hob_slot_state(seat->slot) == HOB_SLOT_TAKEN && !*view.why) {
        view.why = why_claiming(seat);
        view.waits_for = seat->executor->draining && !seat->claimed ? "drain"
                         : seat->executor->online                   ? "service"
                                                                    : "offline";
    }
    if (seat->wants_turn) {
        view.why = "its time has come; as many jobs run as max_running_jobs allows";
        view.waits_for = "max_running_jobs";
    }
    fn(user, &view);
}

/* Left by an earlier process, and not gone on with yet. */
static void view_row(const struct hob_executor *executor, int64_t row, hob_executor_view_fn *fn,
                     void *user)
{
    struct hob_error err;
    struct hob_store_execution known;
    if (hob_store_get(executor->options.store, row, &known, &err)) {
        return;
    }
    struct hob_executor_view view = {.job_id = known.job_id,
                                     .execution_number = known.execution_number,
                                     .queued_at = known.queued_at,
                                     .state = "resuming",
                                     .step = "",
                                     .handler = known.handler,
                                     .attempt = known.runs,
                                     .elapsed_ms = known.elapsed_ms,
                                     .resume_ms = -1,
                                     .waits_for = "job"};
    bool is_full = hob_executor_turn_waits(executor);
    view.waits_for = is_full ? "max_running_jobs" : view.waits_for;
    view.why = !executor->resume.ready      ? "programs of the process before are being ended"
               : is_full                    ? "as many jobs run as max_running_jobs allows"
               : executor->resume.probation ? "one of those that ran took Hob down: one at a time"
                                            : "another job is gone on with first";
    fn(user, &view);
}

void hob_executor_each(const struct hob_executor *executor, hob_executor_view_fn *fn, void *user)
{
    for (size_t i = 0; i < executor->count; i++) {
        view_seat(&executor->seats[i], fn, user);
    }
    for (size_t i = 0; i < executor->resume.count; i++) {
        view_row(executor, executor->resume.rows[i], fn, user);
    }
    hob_executor_wait_each(executor, fn, user);
}

/* ---- what the service has named, and no seat has ---- */

static void say(struct hob_executor_view *view, const char *waits_for, const char *why)
{
    view->waits_for = waits_for;
    view->why = why;
}

static bool is_full(const struct hob_executor *executor)
{
    for (size_t i = 0; i < executor->count; i++) {
        if (hob_slot_state(executor->seats[i].slot) == HOB_SLOT_FREE) {
            return false;
        }
    }
    return true;
}

/* In the order in which hob_executor_may_begin and hob_executor_find_soon refuse. */
void hob_executor_view_turn(const struct hob_executor *executor, struct hob_executor_view *view)
{
    if (executor->stopping) {
        say(view, "stop", "Hob is stopping: it is looked at after the next start");
    } else if (executor->draining) {
        say(view, "drain", "the gateway drains: no new job begins until `hob drain off`");
    } else if (!executor->online) {
        say(view, "offline", "no connection to the service: it is claimed when there is one");
    } else if (!executor->resume.ready || executor->resume.count > 0) {
        say(view, "job", "what ran before Hob's start goes on first");
    } else if (hob_executor_resume_probation(executor)) {
        say(view, "job", "one of those that ran took Hob down: one at a time until it is known");
    } else if (hob_executor_reboots(executor)) {
        say(view, "reboot", "another job asked for a reboot: it begins after that");
    } else if (is_full(executor)) {
        say(view, "job",
            executor->count == 1 ? "another job of this thing is in hand: one at a time"
                                 : "as many jobs are in hand as max_concurrent_jobs allows");
    } else if (hob_executor_turn_waits(executor)) {
        say(view, "max_running_jobs",
            "as many jobs run in this process as max_running_jobs allows: the thing that has "
            "waited longest is next");
    } else if (hob_executor_find_waits_for_told(executor)) {
        say(view, "outbox", "the end of the job before it is to be told first");
    } else if (hob_executor_find_is_held(executor)) {
        say(view, "store", "the store fails: nothing new is begun until it works again");
    } else if (hob_timer_active(executor->find.retry)) {
        say(view, "service", "the service did not answer well: it is asked again soon");
    } else {
        say(view, "turn", "its turn comes next");
    }
}

static void say_passed(enum hob_executor_passing why, struct hob_executor_view *view)
{
    view->state = why == HOB_EXECUTOR_CROWDED ? "pending" : "ignored";
    if (why == HOB_EXECUTOR_FOREIGN) {
        say(view, "filter", "not this gateway's: job_filter");
    } else if (why == HOB_EXECUTOR_NOBODYS) {
        say(view, "handler", "no handler here knows it (unknown_jobs is \"ignore\")");
    } else {
        say(view, "requires", "its handler's `requires` are not met, and too many others wait");
    }
}

static bool has_seat(const struct hob_executor *executor,
                     const struct hob_executor_identity *identity, struct hob_executor_view *view)
{
    for (size_t i = 0; i < executor->count; i++) {
        const struct hob_executor_seat *seat = &executor->seats[i];
        bool taken = hob_slot_state(seat->slot) != HOB_SLOT_FREE;
        if (taken && hob_executor_same(&seat->identity, identity)) {
            return true;
        }
        if (taken && strcmp(seat->identity.job_id, identity->job_id) == 0) {
            say(view, "job", "another execution of this job is in hand");
        }
    }
    return false;
}

/* Waiting for `requires`, left by an earlier process, or over: told of elsewhere. */
static bool is_elsewhere(const struct hob_executor *executor,
                         const struct hob_executor_identity *identity)
{
    struct hob_store_execution known;
    return hob_executor_wait_has(executor, identity) ||
           (hob_store_find(executor->options.store, executor->thing, identity->job_id,
                           identity->number, identity->queued_at, &known, NULL) == 0 &&
            (hob_executor_find_over(&known) || hob_executor_resume_waits(executor, known.row)));
}

static void view_pending(const struct hob_executor *executor,
                         const struct hob_jobs_execution *execution, hob_executor_view_fn *fn,
                         void *user)
{
    struct hob_executor_identity identity = hob_executor_identity_of(execution);
    const struct hob_executor_passed *passed = hob_executor_find_passed(executor, &identity);
    struct hob_executor_view view = {.job_id = identity.job_id,
                                     .execution_number = identity.number,
                                     .queued_at = identity.queued_at,
                                     .state = "pending",
                                     .step = "",
                                     .handler = "",
                                     .resume_ms = -1};
    if (has_seat(executor, &identity, &view) || is_elsewhere(executor, &identity) ||
        (passed && passed->why == HOB_EXECUTOR_OVER)) {
        return;
    }
    if (passed) {
        say_passed(passed->why, &view);
    } else if (!hob_filter_takes_id(executor->options.filter, identity.job_id)) {
        say_passed(HOB_EXECUTOR_FOREIGN, &view);
    } else if (!view.waits_for) {
        hob_executor_view_turn(executor, &view);
    }
    fn(user, &view);
}

void hob_executor_each_pending(const struct hob_executor *executor, hob_executor_view_fn *fn,
                               void *user)
{
    for (size_t i = 0; i < executor->find.count; i++) {
        view_pending(executor, &executor->find.list[i], fn, user);
    }
}
