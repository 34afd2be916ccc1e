#include "base/alloc.h"
#include "work/slot.h"

#include "base/json.h"
#include "work/blackbox.h"
#include "work/slot_parts.h"
#include "work/tally.h"

#include <stdio.h>
#include <string.h>

#define CLEANUPS_MAX       3
#define CLEANUP_TIMEOUT_MS 60000

/* ---- how it ended, in the words of a report ---- */

static void details_of(const struct hob_slot *slot, struct hob_buf *out, const char *reason,
                       const char *code, const char *step)
{
    const char *label = slot->job ? hob_job_label(slot->job) : slot->handler;
    hob_buf_init(out, HOB_SLOT_DETAILS);
    hob_job_put_refusal(
        out,
        &(struct hob_job_refusal){
            .reason = reason, .code = code, .handler = label, .step = step, .attempt = slot->runs});
}

void hob_slot_conclude_with(struct hob_slot *slot, const char *kind, const char *reason,
                            const char *code, const char *step)
{
    struct hob_buf details;
    details_of(slot, &details, reason, code, step);
    hob_slot_conclude(slot, "FAILED", kind, hob_buf_string(&details));
    hob_buf_free(&details);
}

/* Hob's own pairs and a handler's four leave room for this tenth one. */
static void add_cleanup_error(struct hob_slot *slot, const char *message)
{
    struct hob_buf text, value;
    hob_buf_init(&text, HOB_SLOT_DETAILS);
    hob_buf_init(&value, HOB_SLOT_DETAILS);
    size_t len = strlen(slot->details);
    bool first = len <= 2;
    hob_buf_append(&text, slot->details, len - 1);
    hob_buf_append_string(&text, first ? "\"cleanup_error\":" : ",\"cleanup_error\":");
    int rc = hob_jobs_detail_fit(&value, message, strlen(message), false);
    rc = rc ? rc : hob_json_quote(&text, hob_buf_data(&value), hob_buf_len(&value));
    rc = rc ? rc : hob_buf_append_string(&text, "}");
    char *whole = rc || !hob_buf_string(&text) ? NULL : hob_strdup(hob_buf_string(&text));
    if (whole) {
        hob_free(slot->details);
        slot->details = whole;
    }
    hob_buf_free(&text);
    hob_buf_free(&value);
}

/* ---- the outcome: the store first; only then may anybody hear of it ---- */

static int put_outcome(struct hob_slot *slot, struct hob_error *err)
{
    return hob_store_put_outcome(slot->options.store, slot->row, slot->status, slot->details, err);
}

static void tell(void *user)
{
    struct hob_slot *slot = user;
    struct hob_error err = {0};
    /* What the service has ended the outbox does not send. */
    if (hob_outbox_push(slot->options.outbox, slot->row, &err)) {
        hob_slot_store_failed(slot, &err);
    }
    hob_slot_remove_dir(slot);
    hob_slot_is_free(slot);
}

/* Out of memory: the next look, or the next process, finds it as it is in the store. */
static void is_lost(void *user)
{
    hob_slot_is_free(user);
}

static void lose(struct hob_slot *slot)
{
    hob_slot_end_job(slot);
    hob_exec_set_when_gone(slot->children, is_lost, slot);
}

static void count_end(const struct hob_slot *slot, const char *kind)
{
    hob_tally_ended(slot->options.tally, slot->handler, slot->status, kind);
}

static void outcome_stored(struct hob_slot *slot)
{
    count_end(slot, slot->kind);
    struct hob_log_record record = hob_slot_record(slot, HOB_LOG_INFO, "job.finished");
    record.code = slot->status;
    hob_log_write(slot->options.log, &record, "%s", slot->details);
    hob_slot_tell_ended(slot);
    hob_exec_set_when_gone(slot->children, tell, slot);
}

static void store_outcome(struct hob_slot *slot)
{
    hob_slot_end_job(slot);
    hob_slot_commit(slot, put_outcome, outcome_stored);
}

static void refusal_stored(struct hob_slot *slot)
{
    bool rejected = strcmp(slot->status, hob_jobs_status_name(HOB_JOBS_REJECTED)) == 0;
    count_end(slot, rejected ? HOB_JOB_REJECTED : HOB_JOB_FAILED);
    struct hob_log_record record = hob_slot_record(slot, HOB_LOG_INFO, "job.finished");
    record.code = slot->status;
    hob_log_write(slot->options.log, &record, "%s", slot->details);
    hob_slot_tell_ended(slot);
    tell(slot);
}

/* Nothing of it ever ran in this process: there is nothing to wait for, nor to clean up. */
void hob_slot_end(struct hob_slot *slot, enum hob_jobs_status status, const char *reason,
                  const char *code)
{
    struct hob_buf details;
    details_of(slot, &details, reason, code, "");
    slot->state = HOB_SLOT_ENDING;
    slot->ending = true;
    snprintf(slot->status, sizeof slot->status, "%s", hob_jobs_status_name(status));
    hob_free(slot->details);
    slot->details = hob_strdup(hob_buf_string(&details) ? hob_buf_string(&details) : "{}");
    hob_buf_free(&details);
    hob_slot_end_job(slot);
    if (slot->details) {
        hob_slot_commit(slot, put_outcome, refusal_stored);
    } else {
        lose(slot);
    }
}

/* ---- cleanup ---- */

static void cleanup_failed(struct hob_slot *slot, const char *message)
{
    struct hob_log_record record = hob_slot_record(slot, HOB_LOG_ERROR, "job.cleanup_failed");
    record.action = "the outcome stands; look at what the job left behind";
    hob_log_write(slot->options.log, &record, "%s", message);
    add_cleanup_error(slot, message);
    store_outcome(slot);
}

void hob_slot_on_cleanup_end(struct hob_slot *slot, const struct hob_job_outcome *outcome)
{
    slot->cleaning = false;
    if (outcome->status == HOB_JOBS_SUCCEEDED) {
        store_outcome(slot);
    } else {
        cleanup_failed(slot, outcome->details && outcome->details[0] ? outcome->details
                                                                     : "cleanup failed");
    }
}

static int put_cleanup(struct hob_slot *slot, struct hob_error *err)
{
    return hob_store_begin_cleanup(slot->options.store, slot->row, err);
}

static const char *detail(struct hob_json *json, const char *key)
{
    const char *text = hob_json_string(json, key, NULL);
    return text ? text : "";
}

static int start_with_why(struct hob_slot *slot, struct hob_error *err)
{
    struct hob_json *json = NULL;
    uint64_t timeout_ms = slot->options.cleanup_timeout_ms;
    int rc = hob_json_new(&json, err);
    rc = rc ? rc : hob_json_parse(json, slot->details, strlen(slot->details), err);
    if (rc == 0) {
        struct hob_job_why why = {.kind = slot->kind,
                                  .reason = detail(json, "reason"),
                                  .code = detail(json, "code"),
                                  .step = detail(json, "step")};
        rc = hob_job_start_cleanup(slot->job, slot->row, &why,
                                   timeout_ms ? timeout_ms : CLEANUP_TIMEOUT_MS, err);
    }
    hob_json_free(json);
    return rc;
}

static void cleanup_begun(struct hob_slot *slot)
{
    struct hob_error err = {0};
    slot->cleanups++;
    slot->cleaning = true;
    slot->job_ran = true;
    hob_slot_at_work(slot);
    hob_blackbox_step(slot->entry, "cleanup");
    struct hob_log_record record = hob_slot_record(slot, HOB_LOG_INFO, "job.cleanup");
    hob_log_write(slot->options.log, &record, "after the end '%s', %s time", slot->kind,
                  slot->cleanups == 1 ? "for the first" : "another");
    if (start_with_why(slot, &err)) {
        slot->cleaning = false;
        cleanup_failed(slot, err.message);
    }
}

/* What the store has is tried again until it can be read; a broken handler stays broken. */
static int make_cleanup(struct hob_slot *slot, struct hob_error *err)
{
    int rc = slot->job ? 0 : hob_slot_make_job(slot, err);
    if (rc && !hob_slot_is_passing(rc)) {
        hob_slot_break(slot, err->message);
        return 0;
    }
    return rc || !hob_job_has_cleanup(slot->job) ? rc : put_cleanup(slot, err);
}

static void cleanup_made(struct hob_slot *slot)
{
    char message[HOB_ERROR_MESSAGE_MAX + 16];
    if (!slot->job) {
        snprintf(message, sizeof message, "not run: %s", hob_slot_why_broken(slot));
        cleanup_failed(slot, message);
    } else if (hob_job_has_cleanup(slot->job)) {
        cleanup_begun(slot);
    } else {
        store_outcome(slot);
    }
}

/* No process of the run is left. */
static void clean(void *user)
{
    struct hob_slot *slot = user;
    char message[64];
    if (slot->cleanups >= CLEANUPS_MAX) {
        snprintf(message, sizeof message, "interrupted %d times", slot->cleanups);
        cleanup_failed(slot, message);
    } else {
        hob_slot_commit(slot, make_cleanup, cleanup_made);
    }
}

static void ending_stored(struct hob_slot *slot)
{
    struct hob_log_record record = hob_slot_record(slot, HOB_LOG_INFO, "job.ending");
    record.code = slot->status;
    hob_log_write(slot->options.log, &record, "%s", slot->details);
    hob_exec_set_when_gone(slot->children, clean, slot);
}

/* ---- the end of a run ---- */

static int put_ending(struct hob_slot *slot, struct hob_error *err)
{
    return hob_store_put_ending(slot->options.store, slot->row, slot->status, slot->kind,
                                slot->details, err);
}

static bool needs_cleanup(const struct hob_slot *slot, const char *kind)
{
    bool began = slot->began || (slot->job && hob_job_began_step(slot->job));
    return began && strcmp(kind, HOB_JOB_SUCCEEDED) != 0 &&
           (!slot->job || hob_job_has_cleanup(slot->job));
}

/* The service has ended it: was it that which ended the run? */
static bool is_theirs(const struct hob_slot *slot, const char *kind)
{
    const char *expected =
        slot->theirs == HOB_JOBS_TIMED_OUT ? HOB_JOB_TIMED_OUT : HOB_JOB_CANCELLED;
    return slot->ended_there && strcmp(kind, expected) == 0;
}

void hob_slot_conclude(struct hob_slot *slot, const char *status, const char *kind,
                       const char *details)
{
    bool cleans = needs_cleanup(slot, kind);
    if (is_theirs(slot, kind)) {
        status = slot->theirs ? hob_jobs_status_name(slot->theirs) : "REMOVED";
    }
    slot->elapsed_ms = hob_slot_elapsed_ms(slot);
    slot->state = HOB_SLOT_ENDING;
    slot->ending = true;
    snprintf(slot->status, sizeof slot->status, "%s", status);
    snprintf(slot->kind, sizeof slot->kind, "%s", kind);
    slot->details = hob_strdup(details && details[0] ? details : "{}");
    hob_slot_uncommit(slot);
    hob_slot_forget_reboot(slot);
    hob_timer_stop(slot->wait_timer);
    hob_exec_set_when_gone(slot->children, NULL, NULL); /* retry_later may wait for them */
    if (!slot->details) {
        lose(slot);
        return;
    }
    if (slot->job_ran || !cleans) {
        hob_slot_end_job(slot); /* cleanup gets a fresh one */
    }
    if (cleans) {
        hob_slot_commit(slot, put_ending, ending_stored);
    } else {
        store_outcome(slot);
    }
}

/* A process before this one decided it, and did not come to the end of cleanup. */
void hob_slot_resume_ending(struct hob_slot *slot)
{
    slot->state = HOB_SLOT_ENDING;
    if (!slot->details) {
        lose(slot);
    } else if (strcmp(slot->kind, HOB_JOB_SUCCEEDED) == 0) {
        store_outcome(slot);
    } else {
        ending_stored(slot);
    }
}

/* ---- cancelled ---- */

struct words {
    const char *kind, *code, *verb;
};

static struct words words_of(const struct hob_slot *slot)
{
    if (!slot->ended_there) {
        return (struct words){HOB_JOB_CANCELLED, "CANCELLED", "cancelled"};
    }
    switch (slot->theirs) {
    case HOB_JOBS_TIMED_OUT:
        return (struct words){HOB_JOB_TIMED_OUT, "TIMED_OUT", "timed out"};
    case HOB_JOBS_REMOVED:
        return (struct words){HOB_JOB_CANCELLED, "CANCELLED", "removed"};
    case HOB_JOBS_STATUS_NONE:
        return (struct words){HOB_JOB_CANCELLED, "CANCELLED", "deleted"};
    default:
        return (struct words){HOB_JOB_CANCELLED, "CANCELLED", "cancelled"};
    }
}

static void reason_of(const struct hob_slot *slot, char *out, size_t len)
{
    snprintf(out, len, "%s %s", words_of(slot).verb, slot->cancel_who);
}

void hob_slot_cancel_now(struct hob_slot *slot)
{
    char reason[HOB_SLOT_STEP_MAX + 32];
    struct words words = words_of(slot);
    reason_of(slot, reason, sizeof reason);
    hob_slot_conclude_with(slot, words.kind, reason, words.code, "");
}

static void cancel_run(struct hob_slot *slot)
{
    char reason[HOB_SLOT_STEP_MAX + 32];
    struct words words = words_of(slot);
    reason_of(slot, reason, sizeof reason);
    hob_job_cancel(slot->job, words.kind, reason, words.code);
}

static void say_cancelled(const struct hob_slot *slot)
{
    char reason[HOB_SLOT_STEP_MAX + 32];
    reason_of(slot, reason, sizeof reason);
    struct hob_log_record record = hob_slot_record(slot, HOB_LOG_INFO, "job.cancelled");
    record.step = hob_slot_step(slot)[0] ? hob_slot_step(slot) : NULL;
    hob_log_write(slot->options.log, &record, "%s%s", reason,
                  slot->state == HOB_SLOT_ENDING ? "; it was ending already" : "");
}

void hob_slot_cancel(struct hob_slot *slot, enum hob_jobs_status status, const char *who)
{
    bool theirs = status != HOB_JOBS_IN_PROGRESS;
    bool again = slot->cancel_who[0] && (!theirs || slot->ended_there);
    if (slot->state == HOB_SLOT_FREE || slot->given_up || again) {
        return;
    }
    if (theirs) {
        slot->ended_there = true;
        slot->theirs = status;
    }
    snprintf(slot->cancel_who, sizeof slot->cancel_who, "%s", who);
    if (!theirs) {
        say_cancelled(slot); /* else the executor has said how it learnt it */
    }
    if (slot->state == HOB_SLOT_RUNNING) {
        cancel_run(slot);
    } else if (slot->state == HOB_SLOT_WAITING || (slot->state == HOB_SLOT_TAKEN && slot->known)) {
        hob_slot_cancel_now(slot);
    } else if (slot->state == HOB_SLOT_TAKEN) {
        slot->cancel_waits = true; /* the answer to the claim says whether it was ours */
    }
}
