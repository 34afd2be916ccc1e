#include "work/slot.h"

#include "work/job.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define STORE_RETRY_MS 2000
#define PATH_BYTES     4096
#define DETAILS_LIMIT  (64 * 1024)

struct hob_slot {
    struct hob_slot_options options;
    struct hob_timer *store_retry;
    enum hob_slot_state state;
    int64_t row;
    char job_id[HOB_JOBS_ID_MAX + 1];
    int64_t execution_number, queued_at, version;
    int runs;
    struct hob_job *job;
    char broken[HOB_ERROR_MESSAGE_MAX]; /* why there is no job */
    char dir[PATH_BYTES];
    enum hob_jobs_status status; /* the outcome, while the store cannot take it */
    char *details;
};

/* ---- words ---- */

static struct hob_log_record record_of(const struct hob_slot *slot, enum hob_log_level level,
                                       const char *event)
{
    return (struct hob_log_record){.level = level,
                                   .event = event,
                                   .thing = slot->options.thing,
                                   .job = slot->job_id,
                                   .execution = slot->execution_number};
}

static void store_failed(const struct hob_slot *slot, const struct hob_error *err)
{
    struct hob_log_record record = record_of(slot, HOB_LOG_ERROR, "store.failed");
    record.code = hob_error_name(err->code);
    record.action = "no job is taken or ended until the store can be written again";
    hob_log_write(slot->options.log, &record, "%s", err->message);
}

/* ---- what it holds ---- */

enum hob_slot_state hob_slot_state(const struct hob_slot *slot)
{
    return slot->state;
}

bool hob_slot_holds(const struct hob_slot *slot, const struct hob_jobs_execution *execution)
{
    return slot->state != HOB_SLOT_FREE && strcmp(slot->job_id, execution->job_id) == 0 &&
           slot->execution_number == execution->execution_number &&
           slot->queued_at == execution->queued_at;
}

const char *hob_slot_job_id(const struct hob_slot *slot)
{
    return slot->job_id;
}

int64_t hob_slot_execution_number(const struct hob_slot *slot)
{
    return slot->execution_number;
}

int64_t hob_slot_version(const struct hob_slot *slot)
{
    return slot->version;
}

const char *hob_slot_step(const struct hob_slot *slot)
{
    return slot->job ? hob_job_step(slot->job) : "";
}

void hob_slot_take(struct hob_slot *slot, const struct hob_jobs_execution *execution)
{
    slot->state = HOB_SLOT_TAKEN;
    snprintf(slot->job_id, sizeof slot->job_id, "%s", execution->job_id);
    slot->execution_number = execution->execution_number;
    slot->queued_at = execution->queued_at;
    slot->version = execution->version_number;
}

void hob_slot_release(struct hob_slot *slot)
{
    hob_job_free(slot->job);
    free(slot->details);
    hob_timer_stop(slot->store_retry);
    struct hob_slot empty = {.options = slot->options, .store_retry = slot->store_retry};
    *slot = empty;
}

/* ---- its directory ---- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    return remove(path);
}

static void remove_dir(const struct hob_slot *slot)
{
    if (slot->dir[0]) {
        nftw(slot->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
}

static int own_directory(const char *path, struct hob_error *err)
{
    struct stat info;
    if (mkdir(path, 0700) == 0 ||
        (errno == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode))) {
        return 0;
    }
    return hob_error_set(err, hob_error_from_errno(errno), "work directory %s: %s", path,
                         strerror(errno));
}

static int make_dir(struct hob_slot *slot, struct hob_error *err)
{
    /* No thing's name has an @, so two things never share one. */
    snprintf(slot->dir, sizeof slot->dir, "%s/%s@%s-%lld-%lld", slot->options.work_dir,
             slot->options.thing, slot->job_id, (long long)slot->execution_number,
             (long long)slot->queued_at);
    return own_directory(slot->dir, err);
}

/* ---- the end ---- */

/* The store first; only then may anybody hear of it. */
static void store_outcome(void *user)
{
    struct hob_slot *slot = user;
    struct hob_error err = {0};
    const char *status = hob_jobs_status_name(slot->status);
    int rc = hob_store_put_outcome(slot->options.store, slot->row, status, slot->details, &err);
    if (rc && rc != HOB_EEXIST) {
        store_failed(slot, &err);
        hob_timer_start(slot->store_retry, STORE_RETRY_MS);
        return;
    }
    struct hob_log_record record = record_of(slot, HOB_LOG_INFO, "job.finished");
    record.code = status;
    hob_log_write(slot->options.log, &record, "%s", slot->details);
    if (hob_outbox_push(slot->options.outbox, slot->row, &err)) {
        store_failed(slot, &err);
    }
    remove_dir(slot);
    hob_slot_release(slot);
    slot->options.on_free(slot->options.user);
}

static void end(struct hob_slot *slot, enum hob_jobs_status status, const char *details)
{
    slot->state = HOB_SLOT_ENDING;
    slot->status = status;
    slot->details = strdup(details ? details : "{}");
    hob_job_free(slot->job);
    slot->job = NULL;
    if (!slot->details) {
        hob_slot_release(slot); /* out of memory: the next process resumes it */
        return;
    }
    store_outcome(slot);
}

void hob_slot_end(struct hob_slot *slot, enum hob_jobs_status status, const char *reason,
                  const char *code)
{
    struct hob_buf details;
    hob_buf_init(&details, DETAILS_LIMIT);
    int rc = hob_job_refusal(&details, reason, code, slot->job ? hob_job_label(slot->job) : "", "");
    end(slot, status, rc ? NULL : hob_buf_string(&details));
    hob_buf_free(&details);
}

static void on_job_end(void *user, const struct hob_job_outcome *outcome)
{
    struct hob_slot *slot = user;
    struct hob_job *job = slot->job;
    slot->job = NULL; /* the outcome is its; freed below */
    end(slot, outcome->status, outcome->details);
    hob_job_free(job);
}

/* ---- running ---- */

static void on_job_progress(void *user, const char *text)
{
    struct hob_slot *slot = user;
    const char *label = hob_job_label(slot->job);
    const char *step = hob_job_step(slot->job);
    struct hob_jobs_detail details[] = {
        {.key = "progress", .value = text, .len = strlen(text)},
        {.key = "handler", .value = label, .len = strlen(label)},
        {.key = "step", .value = step, .len = strlen(step)},
    };
    struct hob_buf json;
    hob_buf_init(&json, DETAILS_LIMIT);
    if (hob_jobs_details_fit(&json, details, step[0] ? 3 : 2) == 0 && hob_buf_string(&json)) {
        hob_outbox_progress(slot->options.outbox, slot->row, hob_buf_string(&json), 0);
    }
    hob_buf_free(&json);
}

int hob_slot_prepare(struct hob_slot *slot, const struct hob_handler *handler, const char *document,
                     size_t len, struct hob_error *err)
{
    struct hob_job_options options = {.loop = slot->options.loop,
                                      .log = slot->options.log,
                                      .store = slot->options.store,
                                      .handler = handler,
                                      .script_lib = hob_handlers_script_lib(slot->options.handlers),
                                      .lib = hob_handlers_lib(slot->options.handlers),
                                      .thing = slot->options.thing,
                                      .job_id = slot->job_id,
                                      .execution_number = slot->execution_number,
                                      .document = document,
                                      .document_len = len,
                                      .memory_bytes = slot->options.memory_bytes,
                                      .allowed_commands = slot->options.allowed_commands,
                                      .agent = slot->options.agent,
                                      .on_progress = on_job_progress,
                                      .on_end = on_job_end,
                                      .user = slot};
    int rc = make_dir(slot, err);
    options.work_dir = slot->dir;
    rc = rc ? rc : hob_job_new(&options, &slot->job, err);
    if (rc && rc != HOB_EREJECTED) {
        hob_slot_break(slot, err->message);
    }
    return rc;
}

void hob_slot_break(struct hob_slot *slot, const char *why)
{
    snprintf(slot->broken, sizeof slot->broken, "%s", why);
}

int hob_slot_add(struct hob_slot *slot, const char *document, size_t len, struct hob_error *err)
{
    struct hob_store_execution row = {.thing = slot->options.thing,
                                      .job_id = slot->job_id,
                                      .execution_number = slot->execution_number,
                                      .queued_at = slot->queued_at,
                                      .version = slot->version,
                                      .state = HOB_STORE_CLAIMING,
                                      .document = document ? document : "",
                                      .document_len = document ? len : 0,
                                      .handler = slot->job ? hob_job_handler(slot->job) : "",
                                      .handler_digest = slot->job ? hob_job_digest(slot->job) : "",
                                      .status = "",
                                      .details = "",
                                      .told = ""};
    slot->row = hob_store_add(slot->options.store, &row, err);
    if (slot->row > 0) {
        row.row = slot->row;
        return hob_outbox_track(slot->options.outbox, &row);
    }
    int rc = (int)slot->row;
    store_failed(slot, err);
    remove_dir(slot);
    hob_slot_release(slot);
    return rc;
}

void hob_slot_known(struct hob_slot *slot, const struct hob_store_execution *known,
                    enum hob_slot_past past, const char *step)
{
    slot->row = known->row;
    slot->runs = known->runs;
    struct hob_store_execution execution = {.row = slot->row,
                                            .job_id = slot->job_id,
                                            .execution_number = slot->execution_number,
                                            .queued_at = slot->queued_at,
                                            .version = slot->version};
    hob_outbox_track(slot->options.outbox, &execution);
}

int hob_slot_run(struct hob_slot *slot, int64_t version, struct hob_error *err)
{
    slot->version = version;
    hob_outbox_adopt(slot->options.outbox, slot->row, version);
    if (!slot->job) {
        hob_slot_end(slot, HOB_JOBS_FAILED, slot->broken, "HANDLER_BROKEN");
        return 0;
    }
    struct hob_store_run run = {.handler = hob_job_handler(slot->job),
                                .digest = hob_job_digest(slot->job),
                                .version = version,
                                .boot = ""};
    int rc = hob_store_begin_run(slot->options.store, slot->row, &run, slot->runs > 0, err);
    if (rc) {
        store_failed(slot, err);
        hob_slot_release(slot); /* the row stays, and is found again at the next look */
        return rc;
    }
    slot->state = HOB_SLOT_RUNNING;
    slot->runs++;
    struct hob_log_record record = record_of(slot, HOB_LOG_INFO, "job.started");
    hob_log_write(slot->options.log, &record, "handler %s, run %d", hob_job_label(slot->job),
                  slot->runs);
    struct hob_error why = {0};
    if (hob_job_start(slot->job, &(struct hob_job_run){.row = slot->row, .attempt = slot->runs},
                      &why)) {
        hob_slot_end(slot, HOB_JOBS_FAILED, why.message, "OUT_OF_MEMORY");
    }
    return 0;
}

void hob_slot_drop(struct hob_slot *slot)
{
    struct hob_error err = {0};
    if (hob_store_remove(slot->options.store, slot->row, &err)) {
        store_failed(slot, &err);
    }
    hob_outbox_forget(slot->options.outbox, slot->row);
    remove_dir(slot);
    hob_slot_release(slot);
}

/* ---- life ---- */

int hob_slot_new(const struct hob_slot_options *options, struct hob_slot **out,
                 struct hob_error *err)
{
    struct hob_slot *slot = calloc(1, sizeof *slot);
    if (slot) {
        slot->options = *options;
        slot->store_retry = hob_timer_new(options->loop, store_outcome, slot);
    }
    if (!slot || !slot->store_retry) {
        free(slot);
        return hob_error_set(err, HOB_ENOMEM, "slot: out of memory");
    }
    int rc = own_directory(options->work_dir, err);
    if (rc) {
        hob_slot_free(slot);
        return rc;
    }
    *out = slot;
    return 0;
}

void hob_slot_free(struct hob_slot *slot)
{
    if (!slot) {
        return;
    }
    hob_slot_release(slot);
    hob_timer_close(slot->store_retry);
    free(slot);
}

void hob_slot_cancel(struct hob_slot *slot, enum hob_jobs_status status, const char *who) {}

void hob_slot_stop(struct hob_slot *slot, uint64_t grace_ms, uint64_t limit_ms,
                   void (*stopped)(void *user), void *user)
{
}

int hob_slot_step_minutes(const struct hob_slot *slot)
{
    return 0;
}

int64_t hob_slot_row(const struct hob_slot *slot)
{
    return slot->row;
}

const char *hob_slot_handler(const struct hob_slot *slot)
{
    return slot->job ? hob_job_handler(slot->job) : "";
}
