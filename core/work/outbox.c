#include "work/outbox.h"

#include "base/backoff.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_GAP_MS 1000
#define BACKOFF_BASE_MS 1000
#define BACKOFF_CAP_MS  60000
#define BACKOFF_MIN_MS  50

struct entry {
    struct hob_outbox *outbox;
    struct entry *next;
    int64_t row;
    char job_id[HOB_JOBS_ID_MAX + 1];
    int64_t execution_number;
    int64_t queued_at;
    int64_t version;
    bool in_flight;
    bool unsure;        /* time went by: is it still the same execution? Ask before telling */
    bool sent_terminal; /* what is in flight is the outcome */
    char *progress;     /* waits to be sent */
    uint64_t progress_sent_ms;
    enum hob_jobs_status status; /* of the outcome; NONE: not ended yet */
    char *details;
    struct hob_backoff backoff;
    struct hob_timer *timer;
};

struct hob_outbox {
    struct hob_outbox_options options;
    char *thing;
    struct entry *entries;
    bool online;
};

static void send_entry(struct entry *entry);

/* ---- entries ---- */

static struct entry *find_entry(const struct hob_outbox *outbox, int64_t row)
{
    struct entry *entry = outbox->entries;
    while (entry && entry->row != row) {
        entry = entry->next;
    }
    return entry;
}

static void unlink_entry(struct entry *entry)
{
    for (struct entry **link = &entry->outbox->entries; *link; link = &(*link)->next) {
        if (*link == entry) {
            *link = entry->next;
            return;
        }
    }
}

/* It must be unlinked. */
static void free_entry(struct entry *entry)
{
    hob_jobs_client_forget(entry->outbox->options.client, entry);
    hob_timer_close(entry->timer);
    free(entry->progress);
    free(entry->details);
    free(entry);
}

static void on_timer(void *user)
{
    send_entry(user);
}

static struct entry *add_entry(struct hob_outbox *outbox,
                               const struct hob_store_execution *execution)
{
    struct entry *entry = calloc(1, sizeof *entry);
    struct hob_timer *timer = entry ? hob_timer_new(outbox->options.loop, on_timer, entry) : NULL;
    if (!timer) {
        free(entry);
        return NULL;
    }
    entry->outbox = outbox;
    entry->timer = timer;
    entry->row = execution->row;
    entry->execution_number = execution->execution_number;
    entry->queued_at = execution->queued_at;
    entry->version = execution->version;
    snprintf(entry->job_id, sizeof entry->job_id, "%s", execution->job_id);
    hob_backoff_init(&entry->backoff, outbox->options.backoff_base_ms,
                     outbox->options.backoff_cap_ms, BACKOFF_MIN_MS);
    entry->next = outbox->entries;
    outbox->entries = entry;
    return entry;
}

static struct hob_log_record record_of(const struct entry *entry, enum hob_log_level level)
{
    return (struct hob_log_record){.level = level,
                                   .thing = entry->outbox->thing,
                                   .job = entry->job_id,
                                   .execution = entry->execution_number};
}

/* ---- answers ---- */

static void save_failed(struct entry *entry, const struct hob_error *err)
{
    struct hob_log_record record = record_of(entry, HOB_LOG_ERROR);
    record.event = "store.failed";
    record.code = hob_error_name(err->code);
    hob_log_write(entry->outbox->options.log, &record, "%s", err->message);
}

static void told(struct entry *entry, const char *how)
{
    struct hob_outbox *outbox = entry->outbox;
    struct hob_error err = {0};
    int64_t row = entry->row;
    if (hob_store_mark_told(outbox->options.store, row, how, "", &err)) {
        save_failed(entry, &err); /* it will be sent once more after a restart, which is harmless */
    }
    unlink_entry(entry);
    free_entry(entry);
    if (outbox->options.on_told) {
        outbox->options.on_told(outbox->options.user, row);
    }
}

static void delivered(struct entry *entry)
{
    struct hob_log_record record = record_of(entry, HOB_LOG_INFO);
    record.event = "job.reported";
    record.code = hob_jobs_status_name(entry->status);
    hob_log_write(entry->outbox->options.log, &record, "the service has %s",
                  hob_jobs_status_name(entry->status));
    told(entry, "accepted");
}

static void give_up(struct entry *entry, const char *code, const char *how)
{
    struct hob_log_record record = record_of(entry, HOB_LOG_WARN);
    record.event = "job.report_refused";
    record.code = code;
    record.action = "nothing to do here: the service's view stands, ours is in the store";
    hob_log_write(entry->outbox->options.log, &record, "%s is not reported: %s",
                  hob_jobs_status_name(entry->status), how);
    told(entry, how);
}

static void give_up_refused(struct entry *entry, const struct hob_jobs_answer *answer)
{
    char how[256];
    const char *theirs = hob_jobs_status_name(answer->state.status);
    snprintf(how, sizeof how, "%s: %.150s%s%s", answer->code_text, answer->message,
             *theirs ? "; the service has " : "", theirs);
    give_up(entry, answer->code_text, how);
}

/* A job id may be used again after a deletion; versions of one execution only grow. */
static void give_up_replaced(struct entry *entry)
{
    give_up(entry, "ResourceNotFound",
            "the job was deleted; its id belongs to another execution by now");
}

static void try_later(struct entry *entry, const char *why)
{
    uint64_t ms = hob_backoff_next_ms(&entry->backoff);
    struct hob_log_record record = record_of(entry, HOB_LOG_WARN);
    record.event = "job.report_delayed";
    record.code = why;
    hob_log_write(entry->outbox->options.log, &record,
                  "update not accepted yet (%s), again in %.1f s", why, (double)ms / 1000);
    hob_timer_start(entry->timer, ms);
}

static void on_accepted(struct entry *entry)
{
    entry->version++;
    hob_backoff_reset(&entry->backoff);
    if (entry->sent_terminal) {
        delivered(entry);
        return;
    }
    hob_store_put_version(entry->outbox->options.store, entry->row, entry->version, NULL);
    send_entry(entry);
}

/* The service's state decides: an open execution is still ours to end, an ended one is over. */
static void on_other_state(struct entry *entry, const struct hob_jobs_answer *answer)
{
    const struct hob_jobs_state *state = &answer->state;
    bool open = state->status == HOB_JOBS_IN_PROGRESS || state->status == HOB_JOBS_QUEUED;
    bool mismatch = answer->code == HOB_JOBS_VERSION_MISMATCH;
    if (entry->status == HOB_JOBS_STATUS_NONE && !open) {
        return; /* only progress was refused: the outcome will bring the states together */
    }
    if (state->status == entry->status) {
        delivered(entry);
    } else if (open && mismatch && state->version_number < entry->version) {
        give_up_replaced(entry);
    } else if (open && mismatch && state->version_number > entry->version) {
        entry->version = state->version_number;
        send_entry(entry);
    } else if (open && entry->status == HOB_JOBS_REJECTED && entry->sent_terminal) {
        entry->status = HOB_JOBS_FAILED; /* some services take REJECTED only from QUEUED */
        send_entry(entry);
    } else if (open && mismatch) {
        try_later(entry, answer->code_text); /* it contradicts itself: do not spin */
    } else if (entry->status != HOB_JOBS_STATUS_NONE) {
        give_up_refused(entry, answer);
    }
}

static void on_rejected(struct entry *entry, const struct hob_jobs_answer *answer)
{
    if (hob_jobs_code_retryable(answer->code) || answer->code == HOB_JOBS_CODE_NONE) {
        try_later(entry, answer->code_text);
    } else if (answer->state.present) {
        on_other_state(entry, answer);
    } else if (entry->status != HOB_JOBS_STATUS_NONE) {
        give_up_refused(entry, answer);
    }
}

/* @return whether there is an answer to deal with; if not, it is sent again in time */
static bool has_answer(struct entry *entry, int status)
{
    entry->in_flight = false;
    if (status == 0 || status == HOB_EREJECTED) {
        return true;
    }
    /* Without a link hob_outbox_online sends it again; cancelled: we are being closed. */
    if (status != HOB_ENOTCONN && status != HOB_ECANCELED) {
        try_later(entry, status == HOB_ETIMEDOUT ? "no answer" : hob_error_name(status));
    }
    return false;
}

static void on_answer(void *user, int status, const struct hob_jobs_answer *answer)
{
    struct entry *entry = user;
    if (!has_answer(entry, status)) {
        return;
    }
    if (status == 0) {
        on_accepted(entry);
    } else {
        on_rejected(entry, answer);
    }
}

/* Anything but a clear "no" is settled by the update itself, whose answer brings the state. */
static void on_described(void *user, int status, const struct hob_jobs_answer *answer)
{
    struct entry *entry = user;
    if (!has_answer(entry, status)) {
        return;
    }
    const struct hob_jobs_execution *theirs = &answer->execution;
    if (status == HOB_EREJECTED && hob_jobs_code_retryable(answer->code)) {
        try_later(entry, answer->code_text);
    } else if (status == HOB_EREJECTED && answer->code == HOB_JOBS_RESOURCE_NOT_FOUND) {
        give_up_refused(entry, answer);
    } else if (status == 0 && theirs->present && theirs->queued_at != entry->queued_at) {
        give_up_replaced(entry);
    } else {
        entry->unsure = false;
        send_entry(entry);
    }
}

/* ---- sending ---- */

static void send_update(struct entry *entry, enum hob_jobs_status status, const char *details)
{
    struct hob_jobs_update update = {.job_id = entry->job_id,
                                     .status = status,
                                     .details = details,
                                     .expected_version = entry->version,
                                     .execution_number = entry->execution_number};
    int rc = hob_jobs_update(entry->outbox->options.client, &update, on_answer, entry);
    entry->in_flight = rc == 0;
    if (rc && rc != HOB_ENOTCONN) {
        try_later(entry, hob_error_name(rc));
    }
}

static void ask_first(struct entry *entry)
{
    int rc = hob_jobs_describe(entry->outbox->options.client, entry->job_id,
                               entry->execution_number, on_described, entry);
    entry->in_flight = rc == 0;
    if (rc && rc != HOB_ENOTCONN) {
        try_later(entry, hob_error_name(rc));
    }
}

static void send_progress(struct entry *entry)
{
    uint64_t now = hob_clock_mono_ms();
    uint64_t next = entry->progress_sent_ms + entry->outbox->options.progress_gap_ms;
    if (entry->progress_sent_ms && now < next) {
        hob_timer_start(entry->timer, next - now);
        return;
    }
    char *details = entry->progress;
    entry->progress = NULL;
    entry->progress_sent_ms = now;
    entry->sent_terminal = false;
    send_update(entry, HOB_JOBS_IN_PROGRESS, details);
    free(details);
}

static void send_entry(struct entry *entry)
{
    if (entry->in_flight || !entry->outbox->online) {
        return;
    }
    if (entry->status != HOB_JOBS_STATUS_NONE && entry->unsure) {
        ask_first(entry);
    } else if (entry->status != HOB_JOBS_STATUS_NONE) {
        entry->sent_terminal = true;
        send_update(entry, entry->status, entry->details);
    } else if (entry->progress) {
        send_progress(entry);
    }
}

/* ---- the interface ---- */

int hob_outbox_track(struct hob_outbox *outbox, const struct hob_store_execution *execution)
{
    if (find_entry(outbox, execution->row)) {
        return 0;
    }
    return add_entry(outbox, execution) ? 0 : HOB_ENOMEM;
}

void hob_outbox_adopt(struct hob_outbox *outbox, int64_t row, int64_t version)
{
    struct entry *entry = find_entry(outbox, row);
    if (entry) {
        entry->version = version;
    }
}

void hob_outbox_forget(struct hob_outbox *outbox, int64_t row)
{
    struct entry *entry = find_entry(outbox, row);
    if (entry) {
        unlink_entry(entry);
        free_entry(entry);
    }
}

void hob_outbox_progress(struct hob_outbox *outbox, int64_t row, const char *details,
                         int step_minutes)
{
    struct entry *entry = find_entry(outbox, row);
    if (!entry || entry->status != HOB_JOBS_STATUS_NONE) {
        return;
    }
    free(entry->progress);
    entry->progress = strdup(details);
    if (!hob_timer_active(entry->timer)) {
        send_entry(entry);
    }
}

int hob_outbox_push(struct hob_outbox *outbox, int64_t row, struct hob_error *err)
{
    struct hob_store_execution execution;
    int rc = hob_store_get(outbox->options.store, row, &execution, err);
    if (rc) {
        return rc;
    }
    struct entry *entry = find_entry(outbox, row);
    entry = entry ? entry : add_entry(outbox, &execution);
    char *details = strdup(execution.details);
    if (!entry || !details) {
        free(details);
        return hob_error_set(err, HOB_ENOMEM, "outbox: out of memory");
    }
    free(entry->details);
    entry->details = details;
    entry->status = hob_jobs_status_parse(execution.status);
    free(entry->progress);
    entry->progress = NULL; /* overtaken */
    hob_timer_stop(entry->timer);
    send_entry(entry);
    return 0;
}

struct pending {
    int64_t *rows;
    size_t count, capacity;
};

static bool collect_row(void *user, const struct hob_store_execution *execution)
{
    struct pending *pending = user;
    if (pending->count == pending->capacity) {
        size_t capacity = pending->capacity ? pending->capacity * 2 : 16;
        int64_t *rows = realloc(pending->rows, capacity * sizeof *rows);
        if (!rows) {
            return false;
        }
        pending->rows = rows;
        pending->capacity = capacity;
    }
    pending->rows[pending->count++] = execution->row;
    return true;
}

/* What an earlier process stored and did not get told. */
static int load_pending(struct hob_outbox *outbox, struct hob_error *err)
{
    struct pending pending = {0};
    int rc = hob_store_each(outbox->options.store, outbox->thing, HOB_STORE_ENDED, collect_row,
                            &pending, err);
    for (size_t i = 0; i < pending.count && rc == 0; i++) {
        rc = hob_outbox_push(outbox, pending.rows[i], err);
    }
    free(pending.rows);
    return rc;
}

void hob_outbox_online(struct hob_outbox *outbox)
{
    outbox->online = true;
    struct entry *next;
    for (struct entry *entry = outbox->entries; entry; entry = next) {
        next = entry->next;
        hob_timer_stop(entry->timer);
        entry->unsure = entry->status != HOB_JOBS_STATUS_NONE;
        send_entry(entry);
    }
}

void hob_outbox_offline(struct hob_outbox *outbox)
{
    outbox->online = false;
}

size_t hob_outbox_depth(const struct hob_outbox *outbox)
{
    size_t depth = 0;
    for (const struct entry *entry = outbox->entries; entry; entry = entry->next) {
        depth += entry->status != HOB_JOBS_STATUS_NONE;
    }
    return depth;
}

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
    return value ? value : fallback;
}

int hob_outbox_new(const struct hob_outbox_options *options, struct hob_outbox **out,
                   struct hob_error *err)
{
    struct hob_outbox *outbox = calloc(1, sizeof *outbox);
    if (!outbox || !(outbox->thing = strdup(options->thing))) {
        free(outbox);
        return hob_error_set(err, HOB_ENOMEM, "outbox: out of memory");
    }
    outbox->options = *options;
    outbox->options.progress_gap_ms = or_default(options->progress_gap_ms, PROGRESS_GAP_MS);
    outbox->options.backoff_base_ms = or_default(options->backoff_base_ms, BACKOFF_BASE_MS);
    outbox->options.backoff_cap_ms = or_default(options->backoff_cap_ms, BACKOFF_CAP_MS);
    int rc = load_pending(outbox, err);
    if (rc) {
        hob_outbox_free(outbox);
        return rc;
    }
    *out = outbox;
    return 0;
}

void hob_outbox_free(struct hob_outbox *outbox)
{
    if (!outbox) {
        return;
    }
    struct entry *next;
    for (struct entry *entry = outbox->entries; entry; entry = next) {
        next = entry->next;
        free_entry(entry);
    }
    free(outbox->thing);
    free(outbox);
}

void hob_outbox_when_said(struct hob_outbox *outbox, int64_t row, uint64_t ms,
                          void (*done)(void *user), void *user)
{
    done(user);
}
