/* executor_decide.c - what becomes of one execution that was found. */
#include "work/executor_parts.h"
#include "work/filter.h"
#include "work/offer.h"

#include <stdio.h>
#include <string.h>

/* ---- a new execution ---- */

/* In the store first, then claimed. False: the store failed, it will be looked at again. */
static bool add(struct hob_executor_seat *seat, const struct hob_jobs_execution *execution)
{
    struct hob_error err = {0};
    int rc = hob_slot_add(seat->slot, execution->document, execution->document_len, &err);
    if (rc) {
        hob_slot_release(seat->slot); /* whatever it got to */
        hob_executor_clear(seat);
        hob_executor_find_hold(seat->executor, "taking the job", rc);
    }
    return rc == 0;
}

static void refuse(struct hob_executor_seat *seat, const struct hob_jobs_execution *execution,
                   enum hob_jobs_status status, const char *reason, const char *code)
{
    if (add(seat, execution)) {
        hob_slot_end(seat->slot, status, reason, code);
    }
}

static void leave_alone_as(struct hob_executor *executor,
                           const struct hob_executor_identity *identity,
                           enum hob_executor_passing why, const char *reason)
{
    const char *event = why == HOB_EXECUTOR_CROWDED ? "job.waits" : "job.ignored";
    if (!hob_executor_find_passed(executor, identity)) {
        hob_executor_find_pass(executor, identity, why);
        hob_executor_say(executor, HOB_LOG_INFO, event, NULL, identity, reason);
    }
}

static void leave_alone(struct hob_executor *executor, const struct hob_jobs_execution *execution,
                        enum hob_executor_passing why, const char *reason)
{
    struct hob_executor_identity identity = hob_executor_identity_of(execution);
    leave_alone_as(executor, &identity, why, reason);
}

static void take_begun(struct hob_executor_seat *seat, const struct hob_jobs_execution *execution,
                       const struct hob_handlers_entry *handler)
{
    struct hob_error err = {0};
    if (!handler || !handler->rerun) {
        refuse(seat, execution, HOB_JOBS_FAILED,
               "state lost: the job was begun, but this gateway's store does not know it (factory "
               "reset, or another agent's job)",
               "STATE_LOST");
    } else if (hob_slot_prepare(seat->slot, handler, execution->document, execution->document_len,
                                &err) == HOB_EREJECTED) {
        refuse(seat, execution, HOB_JOBS_REJECTED, err.message, "BAD_DOCUMENT");
    } else if (add(seat, execution)) {
        hob_executor_say(seat->executor, HOB_LOG_INFO, "job.resumed", NULL, &seat->identity,
                         "it was begun, its state is lost, and its handler may run again");
        hob_executor_run(seat, execution->version_number);
    }
}

/* Nothing is known of it but that it is there: no seat, no row, no message. `claimed`: it has a
 * row, of a claim that never arrived. */
static void put_off(struct hob_executor_seat *seat, bool claimed, const char *reason)
{
    struct hob_executor *executor = seat->executor;
    struct hob_executor_identity identity = seat->identity;
    char handler[HOB_HANDLER_NAME_MAX + 16];
    struct hob_requires requires = *hob_slot_requires(seat->slot);
    snprintf(handler, sizeof handler, "%s", hob_slot_label(seat->slot));
    if (claimed) {
        hob_slot_drop(seat->slot);
    } else {
        hob_slot_put_back(seat->slot);
    }
    hob_executor_clear(seat);
    if (!hob_executor_wait_add(executor, &identity, handler, &requires, reason)) {
        leave_alone_as(executor, &identity, HOB_EXECUTOR_CROWDED, reason);
    }
}

/* ---- what a product says ---- */

static const char *label_of(const struct hob_handlers_entry *handler, char *out, size_t len)
{
    if (handler) {
        snprintf(out, len, "%s@%.*s", handler->name, HOB_HANDLER_DIGEST_TOLD, handler->digest);
    } else {
        out[0] = '\0';
    }
    return out;
}

static void tell_offered(const struct hob_executor *executor,
                         const struct hob_jobs_execution *execution, const char *label)
{
    hob_observers_tell_job(hob_product_observers(executor->options.product), HOB_OBSERVERS_OFFERED,
                           &(struct hob_job_event){.thing = executor->thing,
                                                   .job_id = execution->job_id,
                                                   .execution_number = execution->execution_number,
                                                   .handler = label,
                                                   .status = "QUEUED"});
}

static enum hob_decision ask(const struct hob_executor *executor,
                             const struct hob_jobs_execution *execution, const char *label,
                             struct hob_offer *offer)
{
    *offer = (struct hob_offer){.thing = executor->thing,
                                .job_id = execution->job_id,
                                .document = execution->document,
                                .document_len = execution->document ? execution->document_len : 0,
                                .handler = label,
                                .execution_number = execution->execution_number};
    return hob_offer_ask(executor->options.product, offer);
}

static void put_off_by_product(struct hob_executor *executor,
                               const struct hob_executor_identity *identity, const char *label,
                               const char *reason)
{
    if (!hob_executor_wait_put_off(executor, identity, label, reason)) {
        leave_alone_as(executor, identity, HOB_EXECUTOR_CROWDED, reason);
    }
}

/* A new one, which has no seat yet. @return whether to go on with it */
static bool is_accepted(struct hob_executor_seat *seat, const struct hob_jobs_execution *execution,
                        const struct hob_handlers_entry *handler, bool again)
{
    struct hob_executor *executor = seat->executor;
    struct hob_executor_identity identity = hob_executor_identity_of(execution);
    char label[HOB_HANDLER_NAME_MAX + 16];
    struct hob_offer offer;
    label_of(handler, label, sizeof label);
    if (!again) {
        tell_offered(executor, execution, label);
    }
    if (execution->status != HOB_JOBS_QUEUED) {
        return true; /* it was begun: its handler says whether it goes on */
    }
    enum hob_decision decision = ask(executor, execution, label, &offer);
    if (decision == HOB_DEFER) {
        put_off_by_product(executor, &identity, label, offer.reason);
    } else if (decision == HOB_REFUSE) {
        hob_executor_take(seat, execution);
        refuse(seat, execution, HOB_JOBS_REJECTED, offer.reason, "REFUSED");
    }
    return decision != HOB_DEFER && decision != HOB_REFUSE;
}

/* One whose claim, by an earlier process, was lost on its way: it has a seat and a row. */
static bool is_still_accepted(struct hob_executor_seat *seat,
                              const struct hob_jobs_execution *execution)
{
    struct hob_executor *executor = seat->executor;
    struct hob_executor_identity identity = seat->identity;
    struct hob_offer offer;
    char label[HOB_HANDLER_NAME_MAX + 16];
    snprintf(label, sizeof label, "%s", hob_slot_label(seat->slot));
    enum hob_decision decision = ask(executor, execution, label, &offer);
    if (decision == HOB_DEFER) {
        hob_slot_drop(seat->slot);
        hob_executor_clear(seat);
        put_off_by_product(executor, &identity, label, offer.reason);
    } else if (decision == HOB_REFUSE) {
        hob_slot_end(seat->slot, HOB_JOBS_REJECTED, offer.reason, "REFUSED");
    }
    return decision != HOB_DEFER && decision != HOB_REFUSE;
}

/* ---- go on ---- */

/* Prepared, and never begun: is the handler's `requires` met? */
static void take_ready(struct hob_executor_seat *seat, const struct hob_jobs_execution *execution,
                       bool claimed)
{
    struct hob_requires_judgement judgement = {.verdict = HOB_REQUIRES_MET};
    const struct hob_requires *requires = hob_slot_requires(seat->slot);
    if (requires) {
        hob_executor_judge(seat->executor, &seat->identity, requires, &judgement);
    }
    if (judgement.verdict == HOB_REQUIRES_NOT_YET) {
        put_off(seat, claimed, judgement.reason);
    } else if (!claimed && !add(seat, execution)) {
        return; /* the store failed */
    } else if (judgement.verdict == HOB_REQUIRES_MET) {
        hob_executor_claim(seat);
    } else {
        hob_slot_end(seat->slot, HOB_JOBS_REJECTED, judgement.reason,
                     judgement.verdict == HOB_REQUIRES_TOO_OLD ? "TOO_OLD" : "NOT_MET");
    }
}

static void take_queued(struct hob_executor_seat *seat, const struct hob_jobs_execution *execution,
                        const struct hob_handlers_entry *handler, const struct hob_error *why)
{
    struct hob_error err = {0};
    if (!handler) {
        refuse(seat, execution, HOB_JOBS_REJECTED, why->message,
               why->code == HOB_ENOENT ? "NO_HANDLER" : "BAD_DOCUMENT");
    } else if (hob_slot_prepare(seat->slot, handler, execution->document, execution->document_len,
                                &err) == HOB_EREJECTED) {
        refuse(seat, execution, HOB_JOBS_REJECTED, err.message, "BAD_DOCUMENT");
    } else {
        take_ready(seat, execution, false);
    }
}

static void offer(struct hob_executor *executor, struct hob_executor_seat *seat,
                  const struct hob_jobs_execution *execution, bool again)
{
    struct hob_error err = {0};
    if (!hob_filter_takes_id(executor->options.filter, execution->job_id) ||
        !hob_filter_takes(executor->options.filter, execution)) {
        leave_alone(executor, execution, HOB_EXECUTOR_FOREIGN, "not this gateway's: job_filter");
        return;
    }
    const struct hob_handlers_entry *handler =
        hob_executor_choose(executor, execution->document, execution->document_len, &err);
    bool unknown = !handler && (err.code == HOB_ENOENT || err.code == HOB_EINVAL);
    if (unknown && executor->options.unknown == HOB_EXECUTOR_IGNORE) {
        leave_alone(executor, execution, HOB_EXECUTOR_NOBODYS, err.message);
        return;
    }
    if (!is_accepted(seat, execution, handler, again)) {
        return;
    }
    hob_executor_take(seat, execution);
    if (execution->status == HOB_JOBS_IN_PROGRESS) {
        take_begun(seat, execution, handler);
    } else {
        take_queued(seat, execution, handler, &err);
    }
}

/* ---- one that the store knows ---- */

static void take_known(struct hob_executor_seat *seat, const struct hob_jobs_execution *execution,
                       const struct hob_store_execution *known)
{
    struct hob_error err = {0};
    const char *step;
    enum hob_slot_past past = hob_executor_resume_past(seat->executor, known, &step);
    if (known->state == HOB_STORE_CLAIMING && execution->status == HOB_JOBS_QUEUED) {
        past = HOB_SLOT_PAST_ORDER; /* what was never claimed did not run */
    }
    hob_executor_take(seat, execution);
    if (execution->status == HOB_JOBS_IN_PROGRESS) {
        hob_executor_say(seat->executor, HOB_LOG_INFO, "job.resumed", NULL, &seat->identity,
                         "its claim had been accepted when Hob ended");
    }
    int rc = hob_executor_prepare(seat, known, past, step, &err);
    if (rc && rc != HOB_EREJECTED) {
        hob_executor_clear(seat);
        hob_executor_find_hold(seat->executor, "starting the job", rc);
    } else if (rc) {
        hob_slot_end(seat->slot, HOB_JOBS_REJECTED, err.message, "BAD_DOCUMENT");
    } else if (execution->status == HOB_JOBS_IN_PROGRESS) {
        hob_executor_run(seat, execution->version_number);
    } else if (is_still_accepted(seat, execution)) {
        take_ready(seat, execution, true); /* our claim was lost on its way */
    }
}

static void tell_again(struct hob_executor *executor, const struct hob_store_execution *known)
{
    struct hob_error err = {0};
    if (hob_outbox_push(executor->options.outbox, known->row, &err)) {
        hob_executor_store_failed(executor, NULL, &err);
    }
}

/* Claimed by an earlier process, which was a newer Hob: it may have begun to run. */
static bool was_newer(const struct hob_executor *executor,
                      const struct hob_jobs_execution *execution, int64_t row)
{
    return row == executor->find.asked_row && execution->status == HOB_JOBS_IN_PROGRESS &&
           hob_store_is_newer(executor->options.store);
}

static bool decide_known(struct hob_executor *executor, const struct hob_jobs_execution *execution,
                         const struct hob_store_execution *known, bool asked)
{
    struct hob_error err = {0};
    bool ended = known->state == HOB_STORE_ENDED;
    if (hob_executor_find_over(known)) {
        if (asked) {
            tell_again(executor, known);
        }
        return !ended || executor->count > 1; /* one at a time: its end is to be told first */
    }
    if (!was_newer(executor, execution, known->row)) {
        take_known(hob_executor_free_seat(executor), execution, known);
        return true;
    }
    int rc = hob_executor_resume_end_downgraded(executor, known->row, &err);
    if (rc) {
        hob_executor_store_failed(executor, NULL, &err);
        hob_executor_find_hold(executor, "ending the job", rc);
    }
    return rc == 0;
}

static bool decide_new(struct hob_executor *executor, const struct hob_jobs_execution *execution,
                       bool asked, bool again)
{
    if (execution->status == HOB_JOBS_IN_PROGRESS && !asked) {
        executor->find.missed = true; /* by now it may be over: ask */
        hob_executor_find_soon(executor);
        return false;
    }
    offer(executor, hob_executor_free_seat(executor), execution, again);
    return true;
}

/* Nothing is to be done about it, at least now. */
static bool stands_back(struct hob_executor *executor, const struct hob_jobs_execution *execution,
                        const struct hob_executor_identity *identity)
{
    struct hob_executor_seat *holder = hob_executor_seat_of(executor, identity->job_id);
    if (execution->status != HOB_JOBS_QUEUED && execution->status != HOB_JOBS_IN_PROGRESS) {
        hob_executor_find_pass(executor, identity, HOB_EXECUTOR_OVER);
        return true;
    }
    if (holder && !hob_executor_same(&holder->identity, identity)) {
        hob_executor_watch_suspect(holder); /* its id was used again */
    }
    return holder || hob_executor_find_passed(executor, identity) ||
           hob_executor_wait_holds(executor, identity);
}

bool hob_executor_decide(struct hob_executor *executor, const struct hob_jobs_execution *execution,
                         bool asked)
{
    struct hob_error err = {0};
    struct hob_store_execution known;
    struct hob_executor_identity identity = hob_executor_identity_of(execution);
    if (stands_back(executor, execution, &identity)) {
        return true;
    }
    if (!hob_executor_can_take(executor) || (!asked && hob_executor_find_is_held(executor))) {
        executor->find.missed = true;
        return false;
    }
    bool again = hob_executor_wait_has(executor, &identity);
    if (!hob_executor_turn_ask(executor)) {
        executor->find.missed = true; /* it is asked about again when it is its turn */
        return false;
    }
    hob_executor_wait_forget(executor, &identity);
    int rc = hob_executor_find_known(executor, &identity, &known, &err);
    if (rc && rc != HOB_ENOENT) {
        hob_executor_store_failed(executor, &identity, &err);
        hob_executor_find_hold(executor, "looking for jobs", rc);
        return false;
    }
    bool more = rc == 0 ? decide_known(executor, execution, &known, asked)
                        : decide_new(executor, execution, asked, again);
    if (!hob_executor_free_seat(executor)) {
        hob_timer_stop(executor->find.soon); /* the end of one starts it again */
    }
    return more;
}
