/* executor_watch.c - does the service still want what runs here? */
#include "base/clock.h"
#include "work/executor_parts.h"

#include <stdio.h>
#include <string.h>

#define SUSPECT_GAP_MS 2000
/* No execution has so many versions: asks for the present state, and can change nothing. */
#define NO_VERSION (INT64_C(1) << 30)

static bool at_work(const struct hob_executor_seat *seat)
{
    enum hob_slot_state state = hob_slot_state(seat->slot);
    return state == HOB_SLOT_TAKEN || state == HOB_SLOT_RUNNING || state == HOB_SLOT_WAITING;
}

void hob_executor_watch_gone(struct hob_executor_seat *seat, enum hob_jobs_status status,
                             const char *why)
{
    struct hob_executor *executor = seat->executor;
    const char *name = hob_jobs_status_name(status);
    if (!at_work(seat)) {
        return; /* its end is decided; the outbox will hear of it */
    }
    hob_timer_stop(seat->timer);
    seat->doubted = false;
    if (hob_slot_state(seat->slot) == HOB_SLOT_TAKEN && !seat->begun) {
        hob_executor_say(executor, HOB_LOG_INFO, "job.claim_refused", *name ? name : "DELETED",
                         &seat->identity, why);
        hob_slot_drop(seat->slot);
        hob_executor_clear(seat);
        return;
    }
    hob_executor_say(executor, HOB_LOG_INFO, "job.gone", *name ? name : "DELETED", &seat->identity,
                     why);
    hob_slot_cancel(seat->slot, status, "in the cloud");
}

/* ---- asking ---- */

static void no_answer(struct hob_executor_seat *seat, int status)
{
    /* Without a link hob_executor_online asks again; cancelled: we are being closed. */
    if (status != HOB_ENOTCONN && status != HOB_ECANCELED) {
        hob_executor_try_later(seat, "asking whether it is still ours",
                               status == HOB_ETIMEDOUT ? "no answer" : hob_error_name(status));
    }
}

/* "Over" came without how: a refused update tells. */
static void on_state(void *user, int status, const struct hob_jobs_answer *answer)
{
    struct hob_executor_seat *seat = user;
    seat->asking = false;
    if (status == 0 || (status == HOB_EREJECTED && answer->state.present &&
                        !hob_jobs_status_terminal(answer->state.status))) {
        hob_executor_watch_doubt(seat); /* it is not over after all: ask anew */
    } else if (status == HOB_EREJECTED && hob_jobs_code_retryable(answer->code)) {
        hob_executor_try_later(seat, "asking how it was ended", answer->code_text);
    } else if (status == HOB_EREJECTED) {
        hob_executor_watch_gone(seat, answer->state.status, "the service has ended it");
    } else {
        no_answer(seat, status);
    }
}

static void ask_state(struct hob_executor_seat *seat)
{
    struct hob_jobs_update update = {.job_id = seat->identity.job_id,
                                     .status = HOB_JOBS_IN_PROGRESS,
                                     .expected_version = NO_VERSION,
                                     .execution_number = seat->identity.number,
                                     .include_state = true};
    int rc = hob_jobs_update(seat->executor->options.client, &update, on_state, seat);
    seat->asking = rc == 0;
    if (rc) {
        no_answer(seat, rc);
    }
}

static void still_ours(struct hob_executor_seat *seat)
{
    seat->doubted = false;
    hob_backoff_reset(&seat->backoff);
    if (hob_slot_state(seat->slot) == HOB_SLOT_TAKEN && !seat->claiming) {
        hob_executor_claim(seat);
    }
}

static void on_described(struct hob_executor_seat *seat, const struct hob_jobs_execution *theirs)
{
    if (theirs->queued_at != seat->identity.queued_at ||
        theirs->execution_number != seat->identity.number) {
        hob_executor_watch_gone(seat, HOB_JOBS_STATUS_NONE,
                                "it was deleted; its job id belongs to another execution by now");
    } else if (hob_jobs_status_terminal(theirs->status)) {
        hob_executor_watch_gone(seat, theirs->status, "the service has ended it");
    } else {
        still_ours(seat);
    }
}

static void on_answer(void *user, int status, const struct hob_jobs_answer *answer)
{
    struct hob_executor_seat *seat = user;
    seat->asking = false;
    if (!at_work(seat)) {
        return;
    }
    if (status == 0 && answer->execution.present) {
        on_described(seat, &answer->execution);
    } else if (status == HOB_EREJECTED && answer->code == HOB_JOBS_RESOURCE_NOT_FOUND) {
        hob_executor_watch_gone(seat, HOB_JOBS_STATUS_NONE,
                                "the service does not know it any more");
    } else if (status == HOB_EREJECTED && answer->code == HOB_JOBS_TERMINAL_STATE_REACHED) {
        ask_state(seat);
    } else if (status == HOB_EREJECTED || status == 0) {
        hob_executor_try_later(seat, "asking whether it is still ours",
                               status ? answer->code_text : "an answer without an execution");
    } else {
        no_answer(seat, status);
    }
}

void hob_executor_watch_ask(struct hob_executor_seat *seat)
{
    struct hob_executor *executor = seat->executor;
    if (!seat->doubted || seat->asking || !executor->online || executor->stopping ||
        !at_work(seat)) {
        return;
    }
    int rc = hob_jobs_describe(executor->options.client, seat->identity.job_id,
                               seat->identity.number, on_answer, seat);
    seat->asking = rc == 0;
    seat->asked_ms = hob_clock_mono_ms();
    if (rc) {
        no_answer(seat, rc);
    }
}

void hob_executor_watch_doubt(struct hob_executor_seat *seat)
{
    if (at_work(seat)) {
        seat->doubted = true;
        hob_executor_watch_ask(seat);
    }
}

void hob_executor_watch_suspect(struct hob_executor_seat *seat)
{
    enum hob_slot_state state = hob_slot_state(seat->slot);
    uint64_t now = hob_clock_mono_ms(), next = seat->asked_ms + SUSPECT_GAP_MS;
    if (seat->doubted || (state != HOB_SLOT_RUNNING && state != HOB_SLOT_WAITING)) {
        return; /* a claim's own answer tells */
    }
    seat->doubted = true;
    if (seat->asked_ms && now < next) {
        hob_timer_start(seat->timer, next - now);
    } else {
        hob_executor_watch_ask(seat);
    }
}
