/* executor_cancel.c - a person here ends an execution: see hob_executor_cancel. */
#include "work/executor_parts.h"
#include "work/filter.h"
#include "work/job.h"

#include <stdio.h>
#include <string.h>

#define DETAILS_LIMIT (64 * 1024)
#define REASON_MAX    192

static bool is_meant(const struct hob_executor_identity *identity, const char *job_id,
                     int64_t number)
{
    return strcmp(identity->job_id, job_id) == 0 && (!number || identity->number == number);
}

static void reason_of(const char *who, char out[REASON_MAX])
{
    snprintf(out, REASON_MAX, "cancelled %s", who);
}

static int put_details(struct hob_buf *out, const char *who, const char *handler,
                       struct hob_error *err)
{
    char reason[REASON_MAX];
    reason_of(who, reason);
    int rc = hob_job_put_refusal(
        out, &(struct hob_job_refusal){
                 .reason = reason, .code = "CANCELLED", .handler = handler, .step = ""});
    return rc ? hob_error_set(err, rc, "cancelling: %s", hob_error_words(rc)) : 0;
}

static void say(const struct hob_executor *executor, const struct hob_executor_identity *identity,
                const char *who)
{
    char reason[REASON_MAX];
    reason_of(who, reason);
    hob_executor_say(executor, HOB_LOG_INFO, "job.cancelled", NULL, identity, reason);
}

/* ---- one that has a seat ---- */

static enum hob_executor_cancelled cancel_seat(struct hob_executor_seat *seat, const char *who)
{
    char reason[REASON_MAX];
    switch (hob_slot_state(seat->slot)) {
    case HOB_SLOT_ENDING:
        return HOB_EXECUTOR_CANCEL_ENDING;
    case HOB_SLOT_TAKEN:
        if (!seat->claimed) {
            reason_of(who, reason);
            say(seat->executor, &seat->identity, who);
            hob_slot_end(seat->slot, HOB_JOBS_REJECTED, reason, "CANCELLED");
            return HOB_EXECUTOR_CANCEL_REFUSED;
        }
        hob_slot_cancel(seat->slot, HOB_JOBS_IN_PROGRESS, who);
        return HOB_EXECUTOR_CANCEL_CLAIMING;
    default:
        hob_slot_cancel(seat->slot, HOB_JOBS_IN_PROGRESS, who);
        return HOB_EXECUTOR_CANCEL_ENDS;
    }
}

/* ---- one that an earlier process has begun, and that waits for its turn ---- */

static int cancel_row(struct hob_executor *executor, const struct hob_store_execution *known,
                      const char *who, struct hob_error *err)
{
    struct hob_buf details;
    struct hob_executor_identity identity = {.number = known->execution_number};
    char label[HOB_HANDLER_NAME_MAX + 16] = "";
    int64_t row = known->row;
    snprintf(identity.job_id, sizeof identity.job_id, "%s", known->job_id);
    if (known->handler[0]) {
        snprintf(label, sizeof label, "%s@%.12s", known->handler, known->handler_digest);
    }
    hob_buf_init(&details, DETAILS_LIMIT);
    int rc = put_details(&details, who, label, err);
    rc = rc ? rc
            : hob_store_put_ending(executor->options.store, row, "FAILED", HOB_JOB_CANCELLED,
                                   hob_buf_string(&details), err);
    hob_buf_free(&details);
    if (rc == HOB_EEXIST) {
        return HOB_EXECUTOR_CANCEL_ENDING;
    }
    if (rc == 0) {
        say(executor, &identity, who);
    }
    return rc ? rc : HOB_EXECUTOR_CANCEL_RESUMING;
}

static int find_row(struct hob_executor *executor, const char *job_id, int64_t number,
                    struct hob_store_execution *out)
{
    for (size_t i = 0; i < executor->resume.count; i++) {
        if (hob_store_get(executor->options.store, executor->resume.rows[i], out, NULL) == 0 &&
            strcmp(out->job_id, job_id) == 0 && (!number || out->execution_number == number)) {
            return 0;
        }
    }
    return HOB_ENOENT;
}

/* ---- one that is not begun ---- */

/* Its row: that of a claim by an earlier process, which may have arrived, or a new one. */
static int64_t row_of(struct hob_executor *executor, const struct hob_executor_identity *identity,
                      struct hob_error *err)
{
    struct hob_store_execution known;
    int rc = hob_executor_find_known(executor, identity, &known, err);
    if (rc != HOB_ENOENT) {
        return rc ? rc : known.row;
    }
    known = (struct hob_store_execution){.thing = executor->thing,
                                         .job_id = identity->job_id,
                                         .execution_number = identity->number,
                                         .queued_at = identity->queued_at,
                                         .state = HOB_STORE_CLAIMING,
                                         .document = "{}",
                                         .document_len = 2,
                                         .handler = "",
                                         .handler_digest = ""};
    return hob_store_add(executor->options.store, &known, err);
}

/* In the store, then told: it stays refused, also after a restart, and without a connection. */
static int refuse(struct hob_executor *executor, const struct hob_executor_identity *identity,
                  const char *who, struct hob_error *err)
{
    struct hob_buf details;
    hob_buf_init(&details, DETAILS_LIMIT);
    int64_t row = row_of(executor, identity, err);
    int rc = row < 0 ? (int)row : put_details(&details, who, "", err);
    rc = rc ? rc
            : hob_store_put_outcome(executor->options.store, row, "REJECTED",
                                    hob_buf_string(&details), err);
    hob_buf_free(&details);
    if (rc) {
        return rc;
    }
    say(executor, identity, who);
    hob_executor_say(executor, HOB_LOG_INFO, "job.finished", "REJECTED", identity,
                     "it was not begun");
    hob_executor_find_forget_claim(executor, row);
    hob_executor_wait_forget(executor, identity);
    rc = hob_outbox_push(executor->options.outbox, row, err);
    return rc ? rc : HOB_EXECUTOR_CANCEL_REFUSED;
}

static bool is_ours(struct hob_executor *executor, const struct hob_jobs_execution *execution,
                    const struct hob_executor_identity *identity)
{
    struct hob_store_execution known;
    const struct hob_executor_passed *passed = hob_executor_find_passed(executor, identity);
    return (!passed || passed->why == HOB_EXECUTOR_CROWDED) &&
           execution->status == HOB_JOBS_QUEUED &&
           hob_filter_takes_id(executor->options.filter, identity->job_id) &&
           !(hob_executor_find_known(executor, identity, &known, NULL) == 0 &&
             hob_executor_find_over(&known));
}

static bool find_pending(struct hob_executor *executor, const char *job_id, int64_t number,
                         struct hob_executor_identity *out)
{
    for (size_t i = 0; i < executor->wait.count; i++) {
        *out = executor->wait.list[i].identity;
        if (is_meant(out, job_id, number)) {
            return true;
        }
    }
    for (size_t i = 0; i < executor->find.count; i++) {
        *out = hob_executor_identity_of(&executor->find.list[i]);
        if (is_meant(out, job_id, number) && is_ours(executor, &executor->find.list[i], out)) {
            return true;
        }
    }
    return false;
}

int hob_executor_cancel(struct hob_executor *executor, const char *job_id, int64_t number,
                        const char *who, struct hob_error *err)
{
    struct hob_executor_identity identity;
    struct hob_store_execution known;
    struct hob_executor_seat *seat = hob_executor_seat_of(executor, job_id);
    if (seat && is_meant(&seat->identity, job_id, number)) {
        return cancel_seat(seat, who);
    }
    if (find_row(executor, job_id, number, &known) == 0) {
        return cancel_row(executor, &known, who, err);
    }
    return find_pending(executor, job_id, number, &identity) ? refuse(executor, &identity, who, err)
                                                             : HOB_EXECUTOR_CANCEL_NOT_HERE;
}
