#include "work/executor.h"

#include "base/backoff.h"
#include "work/job.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define POLL_MS         900000
#define BACKOFF_BASE_MS 1000
#define BACKOFF_CAP_MS  60000
#define BACKOFF_MIN_MS  50
#define STORE_RETRY_MS  2000
#define PATH_BYTES      4096
#define REASON_LIMIT    (16 * 1024)

/* The one execution that is being taken or run. */
struct active {
    bool used;
    int64_t row;
    char job_id[HOB_JOBS_ID_MAX + 1];
    int64_t execution_number, queued_at, version;
    struct hob_job *job;
    bool claiming; /* the claim is on its way */
    bool running;
    char broken[1024]; /* why there is no job: told as FAILED once claimed */
    int attempt;
    char *end_status; /* the outcome, while the store cannot take it */
    char *end_details;
    char dir[PATH_BYTES];
};

struct hob_executor {
    struct hob_executor_options options;
    char *thing, *work_dir;
    struct hob_json *json;
    struct active active;
    bool online, looking, look_again, stopping;
    char ignored[HOB_JOBS_ID_MAX + 1]; /* the foreign job that was logged last */
    struct hob_backoff backoff;
    struct hob_timer *retry; /* of a look or a claim */
    struct hob_timer *poll;
    struct hob_timer *store_retry;
    struct hob_timer *stop_timer;
    void (*stopped)(void *user);
    void *stopped_user;
};

static void look(struct hob_executor *executor);
static void claim(struct hob_executor *executor);
static void run_active(struct hob_executor *executor);

/* ---- words ---- */

static struct hob_log_record record_of(const struct hob_executor *executor, const char *job_id,
                                       int64_t execution, enum hob_log_level level,
                                       const char *event)
{
    return (struct hob_log_record){.level = level,
                                   .event = event,
                                   .thing = executor->thing,
                                   .job = job_id,
                                   .execution = execution};
}

static struct hob_log_record active_record(const struct hob_executor *executor,
                                           enum hob_log_level level, const char *event)
{
    return record_of(executor, executor->active.job_id, executor->active.execution_number, level,
                     event);
}

static void store_failed(struct hob_executor *executor, const char *job_id, int64_t execution,
                         const struct hob_error *err)
{
    struct hob_log_record record =
        record_of(executor, job_id, execution, HOB_LOG_ERROR, "store.failed");
    record.code = hob_error_name(err->code);
    record.action = "no job is taken or ended until the store can be written again";
    hob_log_write(executor->options.log, &record, "%s", err->message);
}

static void retry_later(struct hob_executor *executor, const char *what, const char *why)
{
    uint64_t ms = hob_backoff_next_ms(&executor->backoff);
    hob_log_write(
        executor->options.log,
        &(struct hob_log_record){
            .level = HOB_LOG_WARN, .event = "jobs.retry", .thing = executor->thing, .code = why},
        "%s: %s, again in %.1f s", what, why, (double)ms / 1000);
    hob_timer_start(executor->retry, ms);
}

/* ---- the slot ---- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    return remove(path);
}

static void remove_dir(const char *dir)
{
    if (dir[0]) {
        nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
}

static void free_slot(struct hob_executor *executor)
{
    struct active *active = &executor->active;
    hob_job_free(active->job);
    free(active->end_status);
    free(active->end_details);
    memset(active, 0, sizeof *active);
}

static void finish_stop(struct hob_executor *executor)
{
    if (!executor->stopped) {
        return;
    }
    void (*stopped)(void *user) = executor->stopped;
    executor->stopped = NULL;
    hob_timer_stop(executor->stop_timer);
    stopped(executor->stopped_user);
}

/* What was not looked into because the slot was taken. */
static void look_if_due(struct hob_executor *executor)
{
    if (executor->look_again && !executor->active.used) {
        executor->look_again = false;
        look(executor);
    }
}

/* ---- ending ---- */

static void push_outcome(struct hob_executor *executor, int64_t row)
{
    struct hob_error err = {0};
    if (hob_outbox_push(executor->options.outbox, row, &err)) {
        store_failed(executor, executor->active.job_id, executor->active.execution_number, &err);
    }
}

/* The store first; only then may anybody hear of it. */
static void store_outcome(void *user)
{
    struct hob_executor *executor = user;
    struct active *active = &executor->active;
    struct hob_error err = {0};
    int rc = hob_store_put_outcome(executor->options.store, active->row, active->end_status,
                                   active->end_details, &err);
    if (rc && rc != HOB_EEXIST) {
        store_failed(executor, active->job_id, active->execution_number, &err);
        hob_timer_start(executor->store_retry, STORE_RETRY_MS);
        return;
    }
    struct hob_log_record record = active_record(executor, HOB_LOG_INFO, "job.finished");
    record.code = active->end_status;
    hob_log_write(executor->options.log, &record, "%s %s", active->end_status, active->end_details);
    push_outcome(executor, active->row);
    remove_dir(active->dir);
    free_slot(executor);
    if (executor->stopping) {
        finish_stop(executor);
    }
}

static void end_active(struct hob_executor *executor, enum hob_jobs_status status,
                       const char *details)
{
    struct active *active = &executor->active;
    active->running = false;
    active->end_status = strdup(hob_jobs_status_name(status));
    active->end_details = strdup(details);
    hob_job_free(active->job);
    active->job = NULL;
    if (!active->end_status || !active->end_details) {
        free_slot(executor); /* out of memory: the next process resumes it */
        return;
    }
    store_outcome(executor);
}

static void end_with_reason(struct hob_executor *executor, enum hob_jobs_status status,
                            const char *reason, const char *code, const char *handler)
{
    struct hob_buf details;
    hob_buf_init(&details, REASON_LIMIT);
    int rc = hob_job_refusal(&details, reason, code, handler);
    const char *text = rc ? NULL : hob_buf_string(&details);
    end_active(executor, status, text ? text : "{}");
    hob_buf_free(&details);
}

static void on_job_end(void *user, const struct hob_job_outcome *outcome)
{
    struct hob_executor *executor = user;
    enum hob_jobs_status status = outcome->status;
    char *details = strdup(outcome->details ? outcome->details : "{}");
    end_active(executor, status, details ? details : "{}");
    free(details);
}

static void on_job_progress(void *user, const char *text)
{
    struct hob_executor *executor = user;
    struct active *active = &executor->active;
    char handler[HOB_HANDLER_NAME_MAX + 80];
    snprintf(handler, sizeof handler, "%s@%.12s", hob_job_handler(active->job),
             hob_job_digest(active->job));
    const char *step = hob_job_step(active->job);
    struct hob_jobs_detail details[] = {
        {.key = "progress", .value = text, .len = strlen(text)},
        {.key = "handler", .value = handler, .len = strlen(handler)},
        {.key = "step", .value = step, .len = strlen(step)}};
    struct hob_buf json;
    hob_buf_init(&json, REASON_LIMIT);
    if (hob_jobs_details_fit(&json, details, step[0] ? 3 : 2) == 0 && hob_buf_string(&json)) {
        hob_outbox_progress(executor->options.outbox, active->row, hob_buf_string(&json));
    }
    hob_buf_free(&json);
}

/* ---- preparing and running ---- */

static int make_dir(struct hob_executor *executor, struct active *active)
{
    snprintf(active->dir, sizeof active->dir, "%s/%s-%lld-%lld", executor->work_dir, active->job_id,
             (long long)active->execution_number, (long long)active->queued_at);
    return mkdir(active->dir, 0700) == 0 || errno == EEXIST ? 0 : hob_error_from_errno(errno);
}

static int prepare(struct hob_executor *executor, const struct hob_handler *handler,
                   const char *document, size_t len, struct hob_error *err)
{
    struct active *active = &executor->active;
    int rc = make_dir(executor, active);
    if (rc) {
        return hob_error_set(err, HOB_EHANDLER, "work directory %s: %s", active->dir,
                             hob_error_words(rc));
    }
    struct hob_job_options options = {.loop = executor->options.loop,
                                      .log = executor->options.log,
                                      .store = executor->options.store,
                                      .handler = handler,
                                      .script_lib =
                                          hob_handlers_script_lib(executor->options.handlers),
                                      .lib = hob_handlers_lib(executor->options.handlers),
                                      .thing = executor->thing,
                                      .job_id = active->job_id,
                                      .execution_number = active->execution_number,
                                      .document = document,
                                      .document_len = len,
                                      .memory_bytes = executor->options.memory_bytes,
                                      .allowed_commands = executor->options.allowed_commands,
                                      .work_dir = active->dir,
                                      .on_progress = on_job_progress,
                                      .on_end = on_job_end,
                                      .user = executor};
    return hob_job_new(&options, &active->job, err);
}

static void track(struct hob_executor *executor)
{
    struct active *active = &executor->active;
    struct hob_store_execution execution = {.row = active->row,
                                            .job_id = active->job_id,
                                            .execution_number = active->execution_number,
                                            .version = active->version};
    hob_outbox_track(executor->options.outbox, &execution);
}

/* It is ours. */
static void run_active(struct hob_executor *executor)
{
    struct active *active = &executor->active;
    active->claiming = false;
    track(executor);
    if (!active->job) {
        end_with_reason(executor, HOB_JOBS_FAILED, active->broken, "HANDLER_BROKEN", "");
        return;
    }
    struct hob_error err = {0};
    active->attempt++;
    if (hob_store_begin_run(executor->options.store, active->row, hob_job_handler(active->job),
                            hob_job_digest(active->job), active->version, active->attempt > 1,
                            &err)) {
        active->attempt--;
        store_failed(executor, active->job_id, active->execution_number, &err);
        free_slot(executor); /* the row stays: looked at again when the store is well */
        retry_later(executor, "starting the job", hob_error_name(err.code));
        return;
    }
    active->running = true;
    struct hob_log_record record = active_record(executor, HOB_LOG_INFO, "job.started");
    hob_log_write(executor->options.log, &record, "handler %s@%.12s, run %d",
                  hob_job_handler(active->job), hob_job_digest(active->job), active->attempt);
    hob_job_start(active->job, active->row, active->attempt);
}

/* ---- claiming ---- */

static void drop_claim(struct hob_executor *executor)
{
    struct active *active = &executor->active;
    struct hob_error err = {0};
    if (hob_store_remove(executor->options.store, active->row, &err)) {
        store_failed(executor, active->job_id, active->execution_number, &err);
    }
    remove_dir(active->dir);
    free_slot(executor);
    look(executor);
}

static void claimed(struct hob_executor *executor, int64_t version)
{
    executor->active.version = version;
    hob_backoff_reset(&executor->backoff);
    struct hob_log_record record = active_record(executor, HOB_LOG_INFO, "job.claimed");
    hob_log_write(executor->options.log, &record, "version %lld", (long long)version);
    run_active(executor);
}

static void claim_refused(struct hob_executor *executor, const struct hob_jobs_answer *answer)
{
    struct active *active = &executor->active;
    bool lost_answer = answer->code == HOB_JOBS_VERSION_MISMATCH && answer->state.present &&
                       answer->state.status == HOB_JOBS_IN_PROGRESS &&
                       answer->state.version_number == active->version + 1;
    if (lost_answer) {
        claimed(executor, answer->state.version_number); /* our first copy arrived */
        return;
    }
    if (hob_jobs_code_retryable(answer->code)) {
        retry_later(executor, "claiming the job", answer->code_text);
        return;
    }
    struct hob_log_record record = active_record(executor, HOB_LOG_INFO, "job.claim_refused");
    record.code = answer->code_text;
    hob_log_write(executor->options.log, &record, "not ours to run: %s", answer->message);
    drop_claim(executor);
}

static void on_claim(void *user, int status, const struct hob_jobs_answer *answer)
{
    struct hob_executor *executor = user;
    executor->active.claiming = false;
    if (status == 0) {
        claimed(executor, executor->active.version + 1);
    } else if (status == HOB_EREJECTED) {
        claim_refused(executor, answer);
    } else if (status == HOB_ETIMEDOUT) {
        retry_later(executor, "claiming the job", "no answer");
    }
    /* HOB_ENOTCONN: hob_executor_online claims again. */
}

static void claim(struct hob_executor *executor)
{
    struct active *active = &executor->active;
    if (!executor->online || active->claiming) {
        return;
    }
    struct hob_jobs_update update = {.job_id = active->job_id,
                                     .status = HOB_JOBS_IN_PROGRESS,
                                     .expected_version = active->version,
                                     .execution_number = active->execution_number};
    int rc = hob_jobs_update(executor->options.client, &update, on_claim, executor);
    active->claiming = rc == 0;
    if (rc && rc != HOB_ENOTCONN) {
        retry_later(executor, "claiming the job", hob_error_name(rc));
    }
}

/* ---- looking ---- */

static void take_slot(struct hob_executor *executor, const struct hob_jobs_execution *execution)
{
    struct active *active = &executor->active;
    memset(active, 0, sizeof *active);
    active->used = true;
    snprintf(active->job_id, sizeof active->job_id, "%s", execution->job_id);
    active->execution_number = execution->execution_number;
    active->queued_at = execution->queued_at;
    active->version = execution->version_number;
}

/* Written before the claim is sent: whatever happens in between, it is known to be ours. */
static bool add_row(struct hob_executor *executor, const struct hob_jobs_execution *execution)
{
    struct active *active = &executor->active;
    struct hob_error err = {0};
    struct hob_store_execution row = {.thing = executor->thing,
                                      .job_id = active->job_id,
                                      .execution_number = active->execution_number,
                                      .queued_at = active->queued_at,
                                      .version = active->version,
                                      .state = HOB_STORE_CLAIMING,
                                      .document = execution->document ? execution->document : "",
                                      .document_len = execution->document_len,
                                      .handler = active->job ? hob_job_handler(active->job) : "",
                                      .handler_digest =
                                          active->job ? hob_job_digest(active->job) : "",
                                      .status = "",
                                      .details = "",
                                      .told = ""};
    active->row = hob_store_add(executor->options.store, &row, &err);
    if (active->row > 0) {
        return true;
    }
    store_failed(executor, active->job_id, active->execution_number, &err);
    remove_dir(active->dir);
    free_slot(executor);
    retry_later(executor, "taking the job", hob_error_name(err.code));
    return false;
}

static void refuse(struct hob_executor *executor, const struct hob_jobs_execution *execution,
                   enum hob_jobs_status status, const char *reason, const char *code)
{
    if (!add_row(executor, execution)) {
        return;
    }
    track(executor);
    end_with_reason(executor, status, reason, code, "");
}

static void ignore_foreign(struct hob_executor *executor,
                           const struct hob_jobs_execution *execution, const char *reason)
{
    if (strcmp(executor->ignored, execution->job_id) != 0) {
        snprintf(executor->ignored, sizeof executor->ignored, "%s", execution->job_id);
        struct hob_log_record record = record_of(
            executor, execution->job_id, execution->execution_number, HOB_LOG_INFO, "job.ignored");
        hob_log_write(executor->options.log, &record, "left alone (unknown_jobs = \"ignore\"): %s",
                      reason);
    }
    free_slot(executor);
}

/* The handler that a document asks for, or NULL with why this job cannot be done here. */
static const struct hob_handler *choose(struct hob_executor *executor, const char *document,
                                        size_t len, struct hob_error *err)
{
    if (!document) {
        hob_error_set(err, HOB_EINVAL, "the execution came without a jobDocument");
        return NULL;
    }
    if (hob_json_parse(executor->json, document, len, err)) {
        return NULL;
    }
    if (hob_json_type(executor->json, "") != HOB_JSON_OBJECT) {
        hob_error_set(err, HOB_EINVAL, "jobDocument: expected an object, got %.40s%s", document,
                      len > 40 ? "..." : "");
        return NULL;
    }
    return hob_handlers_choose(executor->options.handlers, executor->json, err);
}

static void offer(struct hob_executor *executor, const struct hob_jobs_execution *execution)
{
    struct hob_error err = {0};
    struct active *active = &executor->active;
    take_slot(executor, execution);
    const struct hob_handler *handler =
        choose(executor, execution->document, execution->document_len, &err);
    if (!handler && executor->options.unknown == HOB_EXECUTOR_IGNORE && err.code == HOB_ENOENT) {
        ignore_foreign(executor, execution, err.message);
        return;
    }
    if (execution->status == HOB_JOBS_IN_PROGRESS) {
        refuse(executor, execution, HOB_JOBS_FAILED,
               "state lost: the job was begun, but this gateway's store does not know it (factory "
               "reset, or another agent's job)",
               "STATE_LOST");
        return;
    }
    if (!handler) {
        refuse(executor, execution, HOB_JOBS_REJECTED, err.message,
               err.code == HOB_ENOENT ? "NO_HANDLER" : "BAD_DOCUMENT");
        return;
    }
    int rc = prepare(executor, handler, execution->document, execution->document_len, &err);
    if (rc == HOB_EREJECTED) {
        remove_dir(active->dir);
        refuse(executor, execution, HOB_JOBS_REJECTED, err.message, "BAD_DOCUMENT");
        return;
    }
    if (rc) {
        snprintf(active->broken, sizeof active->broken, "%s", err.message);
    }
    if (add_row(executor, execution)) {
        claim(executor);
    }
}

/* Prepare again what the store knows. Its handler may be gone or broken by now. */
static void prepare_known(struct hob_executor *executor, const struct hob_store_execution *known)
{
    struct active *active = &executor->active;
    struct hob_error err = {0};
    size_t len = known->document_len;
    char *document = malloc(len + 1);
    active->row = known->row;
    active->attempt = known->runs;
    if (!document) {
        snprintf(active->broken, sizeof active->broken, "out of memory");
        return;
    }
    memcpy(document, known->document, len);
    document[len] = '\0';
    const struct hob_handler *handler = choose(executor, document, len, &err);
    if (!handler || prepare(executor, handler, document, len, &err)) {
        snprintf(active->broken, sizeof active->broken, "%s", err.message);
    }
    free(document);
}

static void consider_known(struct hob_executor *executor,
                           const struct hob_jobs_execution *execution,
                           const struct hob_store_execution *known, bool asked)
{
    if (known->state == HOB_STORE_ENDED || (known->state == HOB_STORE_TOLD && asked)) {
        push_outcome(executor, known->row); /* delivered a second time: only tell again */
        return;
    }
    if (known->state == HOB_STORE_TOLD) {
        return;
    }
    take_slot(executor, execution);
    prepare_known(executor, known);
    if (execution->status == HOB_JOBS_IN_PROGRESS) {
        run_active(executor);
    } else {
        claim(executor); /* ours was lost on its way */
    }
}

static bool is_active(const struct hob_executor *executor,
                      const struct hob_jobs_execution *execution)
{
    const struct active *active = &executor->active;
    return active->used && strcmp(active->job_id, execution->job_id) == 0 &&
           active->execution_number == execution->execution_number &&
           active->queued_at == execution->queued_at;
}

/* @param asked  it is the answer to our own question, hence not out of date */
static void consider(struct hob_executor *executor, const struct hob_jobs_execution *execution,
                     bool asked)
{
    if (!execution->present || executor->stopping || is_active(executor, execution) ||
        (execution->status != HOB_JOBS_QUEUED && execution->status != HOB_JOBS_IN_PROGRESS)) {
        return;
    }
    if (executor->active.used) {
        executor->look_again = true; /* one at a time */
        return;
    }
    struct hob_error err = {0};
    struct hob_store_execution known;
    int rc = hob_store_find(executor->options.store, executor->thing, execution->job_id,
                            execution->execution_number, execution->queued_at, &known, &err);
    if (rc == 0) {
        consider_known(executor, execution, &known, asked);
    } else if (rc == HOB_ENOENT) {
        offer(executor, execution);
    } else {
        store_failed(executor, execution->job_id, execution->execution_number, &err);
        retry_later(executor, "looking for jobs", hob_error_name(rc));
    }
}

static void on_look(void *user, int status, const struct hob_jobs_answer *answer)
{
    struct hob_executor *executor = user;
    executor->looking = false;
    if (status == 0) {
        hob_backoff_reset(&executor->backoff);
        consider(executor, &answer->execution, true);
        return;
    }
    if (status == HOB_EREJECTED || status == HOB_ETIMEDOUT) {
        retry_later(executor, "looking for jobs",
                    status == HOB_ETIMEDOUT ? "no answer" : answer->code_text);
    }
}

static void look(struct hob_executor *executor)
{
    if (!executor->online || executor->looking || executor->stopping) {
        return;
    }
    int rc = hob_jobs_describe(executor->options.client, "$next", 0, on_look, executor);
    executor->looking = rc == 0;
    if (rc && rc != HOB_ENOTCONN) {
        retry_later(executor, "looking for jobs", hob_error_name(rc));
    }
    hob_timer_start(executor->poll, executor->options.poll_ms);
}

static void on_retry(void *user)
{
    struct hob_executor *executor = user;
    struct active *active = &executor->active;
    if (active->used && !active->running && !active->end_status) {
        claim(executor);
    } else {
        look(executor);
    }
}

static void on_poll(void *user)
{
    struct hob_executor *executor = user;
    look(executor);
    hob_timer_start(executor->poll, executor->options.poll_ms);
}

/* ---- the interface ---- */

struct first {
    bool found;
    struct hob_jobs_execution execution;
};

static bool take_first(void *user, const struct hob_store_execution *known)
{
    struct first *first = user;
    first->found = true;
    first->execution = (struct hob_jobs_execution){.present = true,
                                                   .status = HOB_JOBS_IN_PROGRESS,
                                                   .execution_number = known->execution_number,
                                                   .queued_at = known->queued_at,
                                                   .version_number = known->version};
    snprintf(first->execution.job_id, sizeof first->execution.job_id, "%s", known->job_id);
    return false;
}

void hob_executor_start(struct hob_executor *executor)
{
    struct hob_error err = {0};
    struct first first = {0};
    if (hob_store_each(executor->options.store, executor->thing, HOB_STORE_RUNNING, take_first,
                       &first, &err)) {
        store_failed(executor, NULL, 0, &err);
    } else if (first.found) {
        struct hob_log_record record =
            record_of(executor, first.execution.job_id, first.execution.execution_number,
                      HOB_LOG_INFO, "job.resumed");
        hob_log_write(executor->options.log, &record, "it was running when Hob ended");
        consider(executor, &first.execution, true);
    }
    hob_timer_start(executor->poll, executor->options.poll_ms);
}

void hob_executor_online(struct hob_executor *executor)
{
    struct active *active = &executor->active;
    executor->online = true;
    executor->looking = false;
    hob_backoff_reset(&executor->backoff);
    hob_timer_stop(executor->retry);
    if (active->used && !active->running && !active->end_status) {
        claim(executor);
    } else {
        look(executor);
    }
}

void hob_executor_offline(struct hob_executor *executor)
{
    executor->online = false;
}

void hob_executor_next(struct hob_executor *executor, const struct hob_jobs_execution *next)
{
    consider(executor, next, false);
}

void hob_executor_told(struct hob_executor *executor)
{
    look_if_due(executor);
}

static void on_stop_timeout(void *user)
{
    struct hob_executor *executor = user;
    struct active *active = &executor->active;
    if (active->running) {
        struct hob_log_record record = active_record(executor, HOB_LOG_WARN, "job.suspended");
        record.action = "it goes on when Hob starts again";
        hob_log_write(executor->options.log, &record, "stopped in step '%s'",
                      hob_job_step(active->job));
    }
    free_slot(executor);
    finish_stop(executor);
}

void hob_executor_stop(struct hob_executor *executor, uint64_t grace_ms,
                       void (*stopped)(void *user), void *user)
{
    struct active *active = &executor->active;
    executor->stopping = true;
    executor->stopped = stopped;
    executor->stopped_user = user;
    hob_timer_stop(executor->retry);
    hob_timer_stop(executor->poll);
    bool busy = active->used && (active->running || active->end_status);
    hob_timer_start(executor->stop_timer, busy ? grace_ms : 0);
}

const char *hob_executor_running(const struct hob_executor *executor)
{
    return executor->active.used ? executor->active.job_id : "";
}

/* ---- life ---- */

int hob_executor_new(const struct hob_executor_options *options, struct hob_executor **out,
                     struct hob_error *err)
{
    struct hob_executor *executor = calloc(1, sizeof *executor);
    if (!executor) {
        return hob_error_set(err, HOB_ENOMEM, "executor: out of memory");
    }
    executor->options = *options;
    executor->options.poll_ms = options->poll_ms ? options->poll_ms : POLL_MS;
    executor->thing = strdup(options->thing);
    executor->work_dir = strdup(options->work_dir);
    executor->retry = hob_timer_new(options->loop, on_retry, executor);
    executor->poll = hob_timer_new(options->loop, on_poll, executor);
    executor->store_retry = hob_timer_new(options->loop, store_outcome, executor);
    executor->stop_timer = hob_timer_new(options->loop, on_stop_timeout, executor);
    hob_backoff_init(&executor->backoff, BACKOFF_BASE_MS, BACKOFF_CAP_MS, BACKOFF_MIN_MS);
    int rc = hob_json_new(&executor->json, err);
    if (!rc && mkdir(options->work_dir, 0700) && errno != EEXIST) {
        rc = hob_error_set(err, hob_error_from_errno(errno), "work directory %s: %s",
                           options->work_dir, strerror(errno));
    }
    if (!rc && !(executor->thing && executor->work_dir && executor->retry && executor->poll &&
                 executor->store_retry && executor->stop_timer)) {
        rc = hob_error_set(err, HOB_ENOMEM, "executor: out of memory");
    }
    if (rc) {
        hob_executor_free(executor);
        return rc;
    }
    *out = executor;
    return 0;
}

static void close_timer(struct hob_timer *timer)
{
    if (timer) {
        hob_timer_close(timer);
    }
}

void hob_executor_free(struct hob_executor *executor)
{
    if (!executor) {
        return;
    }
    hob_jobs_client_forget(executor->options.client, executor);
    free_slot(executor);
    close_timer(executor->retry);
    close_timer(executor->poll);
    close_timer(executor->store_retry);
    close_timer(executor->stop_timer);
    hob_json_free(executor->json);
    free(executor->thing);
    free(executor->work_dir);
    free(executor);
}
