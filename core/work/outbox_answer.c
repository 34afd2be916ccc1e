/* outbox_answer.c - what the service's answer to an update means; see outbox.h */
#include "base/alloc.h"
#include "work/outbox_entry.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "work/product.h"

#include <stdio.h>
#include <string.h>

#define BACKOFF_MIN_MS 50
#define THROTTLE_TRIES 2 /* a throttled update begins at 4 x the base */
#define LIMIT_MAX      8

/* ---- what becomes of an entry ---- */

void hob_outbox_entry_later(struct hob_outbox_entry *entry, const char *why, bool throttled)
{
    struct hob_outbox *outbox = entry->outbox;
    struct hob_backoff backoff;
    hob_backoff_init(&backoff, outbox->options.backoff_base_ms, outbox->options.backoff_cap_ms,
                     BACKOFF_MIN_MS);
    hob_backoff_raise(&backoff,
                      throttled && entry->tries < THROTTLE_TRIES ? THROTTLE_TRIES : entry->tries);
    uint64_t ms = hob_backoff_next_ms(&backoff);
    entry->tries = backoff.tries;
    entry->throttled = throttled;
    snprintf(entry->why, sizeof entry->why, "%s", why);
    entry->due_ms = hob_clock_mono_ms() + ms;
    struct hob_log_record record = hob_outbox_record(entry, HOB_LOG_WARN, "job.report_delayed");
    record.code = why;
    hob_log_write(outbox->options.log, &record, "%s not accepted yet (%s), again in %.1f s",
                  entry->status == HOB_JOBS_STATUS_NONE ? "progress"
                                                        : hob_jobs_status_name(entry->status),
                  why, (double)ms / 1000);
    hob_outbox_wake(outbox);
}

void hob_outbox_entry_settle(struct hob_outbox_entry *entry, const char *how,
                             enum hob_jobs_status theirs)
{
    entry->theirs = theirs;
    entry->settled = hob_strdup(how);
    if (!entry->settled) {
        hob_outbox_entry_later(entry, "out of memory", false);
        return;
    }
    hob_outbox_wake(entry->outbox);
}

static void tell_accepted(const struct hob_outbox_entry *entry, const char *status)
{
    const struct hob_outbox *outbox = entry->outbox;
    hob_observers_tell_job(hob_product_observers(outbox->options.product), HOB_OBSERVERS_ACCEPTED,
                           &(struct hob_job_event){.thing = outbox->thing,
                                                   .job_id = entry->job_id,
                                                   .execution_number = entry->execution_number,
                                                   .status = status});
}

static void delivered(struct hob_outbox_entry *entry)
{
    const char *status = hob_jobs_status_name(entry->as_failed ? HOB_JOBS_FAILED : entry->status);
    struct hob_log_record record = hob_outbox_record(entry, HOB_LOG_INFO, "job.reported");
    record.code = status;
    hob_log_write(entry->outbox->options.log, &record, "the service has %s%s", status,
                  entry->bare ? ", without the details, which it refused" : "");
    tell_accepted(entry, status);
    if (entry->as_failed) {
        hob_outbox_entry_settle(entry, "accepted as FAILED", HOB_JOBS_FAILED);
    } else {
        hob_outbox_entry_settle(entry, entry->bare ? "accepted without details" : "accepted",
                                HOB_JOBS_STATUS_NONE);
    }
}

static void give_up(struct hob_outbox_entry *entry, const char *code, const char *message,
                    enum hob_jobs_status theirs)
{
    const char *status = hob_jobs_status_name(theirs);
    char how[256];
    snprintf(how, sizeof how, "%s: %.190s", code, message);
    struct hob_log_record record = hob_outbox_record(entry, HOB_LOG_WARN, "job.report_refused");
    record.code = code;
    record.action = "nothing to do here: the service's view stands, ours is in the store "
                    "(`hob jobs --history` shows both)";
    hob_log_write(entry->outbox->options.log, &record, "%s is not reported: %s%s%s",
                  hob_jobs_status_name(entry->status), how, *status ? "; the service has " : "",
                  status);
    hob_outbox_entry_settle(entry, how, theirs);
}

/* It runs here, and the service has ended it. */
static void gone(struct hob_outbox_entry *entry, enum hob_jobs_status theirs)
{
    hob_free(entry->progress);
    entry->progress = NULL;
    entry->gone = true;
    entry->theirs = theirs;
    hob_outbox_wake(entry->outbox);
}

/* The service has an end of its own, or none of this execution at all. */
static void over(struct hob_outbox_entry *entry, const char *code, const char *message,
                 enum hob_jobs_status theirs)
{
    if (entry->status == HOB_JOBS_STATUS_NONE) {
        gone(entry, theirs);
    } else {
        give_up(entry, code, message, theirs);
    }
}

/* A job id may be used again after a deletion; versions of one execution only grow. */
static void replaced(struct hob_outbox_entry *entry)
{
    over(entry, "ResourceNotFound",
         "the job was deleted; its id belongs to another execution by now", HOB_JOBS_STATUS_NONE);
}

/* Progress that is refused for good; what came since may fare better. */
static void drop_progress(struct hob_outbox_entry *entry)
{
    if (!entry->newer) {
        hob_free(entry->progress);
        entry->progress = NULL;
    }
    hob_outbox_wake(entry->outbox);
}

/* FAILED is only ever set by a device: where ours is REJECTED, it was us, before a restart. */
static bool is_ours(const struct hob_outbox_entry *entry, enum hob_jobs_status theirs)
{
    return theirs == entry->status ||
           (entry->status == HOB_JOBS_REJECTED && theirs == HOB_JOBS_FAILED);
}

static void ended_there(struct hob_outbox_entry *entry, const char *code, const char *message,
                        enum hob_jobs_status theirs)
{
    if (entry->status != HOB_JOBS_STATUS_NONE && is_ours(entry, theirs)) {
        entry->as_failed = theirs != entry->status;
        delivered(entry);
    } else {
        over(entry, code, message, theirs);
    }
}

/* ---- answers to an update ---- */

/* Less at once after a throttle, more again with each success. */
static void adapt(struct hob_outbox *outbox, bool throttled)
{
    if (throttled) {
        outbox->limit = outbox->limit > 1 ? outbox->limit / 2 : 1;
    } else if (outbox->limit < LIMIT_MAX) {
        outbox->limit++;
    }
}

static void on_accepted(struct hob_outbox_entry *entry)
{
    struct hob_outbox *outbox = entry->outbox;
    adapt(outbox, false);
    entry->tries = 0;
    entry->throttled = false;
    if (entry->version <= entry->sent_version) {
        entry->version = entry->sent_version + 1;
    }
    if (entry->outcome) {
        delivered(entry);
        return;
    }
    tell_accepted(entry, hob_jobs_status_name(HOB_JOBS_IN_PROGRESS));
    hob_store_put_version(outbox->options.store, entry->row, entry->version, NULL);
    entry->step_until_ms = entry->step_sent_ms ? entry->step_sent_ms : entry->step_until_ms;
    drop_progress(entry);
}

/* Whose version is that, and is it still the same execution? Describing it tells. */
static void look_first(struct hob_outbox_entry *entry, const char *code)
{
    entry->unsure = true;
    if (entry->tries++ == 0) {
        hob_outbox_wake(entry->outbox);
    } else {
        hob_outbox_entry_later(entry, code, false); /* somebody else keeps changing it */
    }
}

static void on_open_state(struct hob_outbox_entry *entry, const struct hob_jobs_answer *answer)
{
    bool mismatch = answer->code == HOB_JOBS_VERSION_MISMATCH;
    if (mismatch && answer->state.version_number < entry->version) {
        replaced(entry);
    } else if (mismatch && answer->state.version_number > entry->version) {
        look_first(entry, answer->code_text);
    } else if (mismatch) {
        hob_outbox_entry_later(entry, answer->code_text, false); /* it contradicts itself */
    } else if (!entry->outcome) {
        drop_progress(entry);
    } else if (entry->status == HOB_JOBS_REJECTED && !entry->as_failed) {
        entry->as_failed = true; /* some services take REJECTED only from QUEUED */
        hob_outbox_wake(entry->outbox);
    } else {
        give_up(entry, answer->code_text, answer->message, answer->state.status);
    }
}

/* The details of an outcome must not cost the outcome. */
static bool about_details(const struct hob_outbox_entry *entry,
                          const struct hob_jobs_answer *answer)
{
    return entry->outcome && !entry->bare &&
           (answer->code == HOB_JOBS_INVALID_REQUEST || answer->code == HOB_JOBS_INVALID_JSON);
}

static void on_refused(struct hob_outbox_entry *entry, const struct hob_jobs_answer *answer)
{
    bool throttled = answer->code == HOB_JOBS_REQUEST_THROTTLED;
    enum hob_jobs_status theirs = answer->state.present ? answer->state.status : 0;
    if (throttled) {
        adapt(entry->outbox, true);
    }
    if (hob_jobs_code_retryable(answer->code) || answer->code == HOB_JOBS_CODE_NONE) {
        hob_outbox_entry_later(entry, answer->code_text, throttled);
    } else if (hob_jobs_status_terminal(theirs)) {
        ended_there(entry, answer->code_text, answer->message, theirs);
    } else if (theirs != HOB_JOBS_STATUS_NONE) {
        on_open_state(entry, answer);
    } else if (answer->code == HOB_JOBS_RESOURCE_NOT_FOUND) {
        over(entry, answer->code_text, answer->message, HOB_JOBS_STATUS_NONE);
    } else if (about_details(entry, answer)) {
        entry->bare = true;
        hob_outbox_entry_later(entry, answer->code_text, false);
    } else if (entry->outcome) {
        give_up(entry, answer->code_text, answer->message, HOB_JOBS_STATUS_NONE);
    } else {
        drop_progress(entry);
    }
}

/* @return whether there is an answer to deal with; if not, it is sent again in time */
static bool has_answer(struct hob_outbox_entry *entry, int status)
{
    entry->in_flight = false;
    entry->outbox->in_flight--;
    hob_outbox_wake(entry->outbox);
    if (status == 0 || status == HOB_EREJECTED) {
        return true;
    }
    /* Without a link hob_outbox_online sends it again; cancelled: we are being closed. */
    if (status != HOB_ENOTCONN && status != HOB_ECANCELED) {
        hob_outbox_entry_later(
            entry, status == HOB_ETIMEDOUT ? "no answer" : hob_error_name(status), false);
    }
    return false;
}

void hob_outbox_on_updated(void *user, int status, const struct hob_jobs_answer *answer)
{
    struct hob_outbox_entry *entry = user;
    if (!has_answer(entry, status)) {
        return;
    }
    if (status == 0) {
        on_accepted(entry);
    } else {
        on_refused(entry, answer);
    }
}

uint64_t hob_outbox_step_until_ms(const struct hob_outbox *outbox, int64_t row)
{
    const struct hob_outbox_entry *entry = outbox->entries;
    while (entry && entry->row != row) {
        entry = entry->next;
    }
    return entry ? entry->step_until_ms : 0;
}

bool hob_outbox_is_online(const struct hob_outbox *outbox)
{
    return outbox->online;
}

/* ---- answers to a description ---- */

static void on_look(struct hob_outbox_entry *entry, const struct hob_jobs_execution *theirs)
{
    if (theirs->queued_at != entry->queued_at) {
        replaced(entry);
    } else if (hob_jobs_status_terminal(theirs->status)) {
        ended_there(entry, "TerminalStateReached", "it has ended there meanwhile", theirs->status);
    } else {
        entry->version = theirs->version_number;
        entry->unsure = false;
    }
}

/* Anything but a clear "no" is settled by the update itself, whose answer brings the state. */
void hob_outbox_on_described(void *user, int status, const struct hob_jobs_answer *answer)
{
    struct hob_outbox_entry *entry = user;
    if (!has_answer(entry, status)) {
        return;
    }
    bool throttled = status && answer->code == HOB_JOBS_REQUEST_THROTTLED;
    adapt(entry->outbox, throttled);
    if (status && hob_jobs_code_retryable(answer->code)) {
        hob_outbox_entry_later(entry, answer->code_text, throttled);
    } else if (status && answer->code == HOB_JOBS_RESOURCE_NOT_FOUND) {
        over(entry, answer->code_text, answer->message, HOB_JOBS_STATUS_NONE);
    } else if (status == 0 && answer->execution.present) {
        on_look(entry, &answer->execution);
    } else {
        entry->unsure = false;
    }
}
