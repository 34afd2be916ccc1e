#include "work/executor.h"

#include "base/backoff.h"
#include "work/slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL_MS         900000
#define BACKOFF_BASE_MS 1000
#define BACKOFF_CAP_MS  60000
#define BACKOFF_MIN_MS  50

struct hob_executor {
    struct hob_executor_options options;
    char *thing, *work_dir;
    struct hob_json *json;
    struct hob_slot *slot;
    bool online, stopping;
    bool looking;
    bool claiming;   /* a claim is on its way */
    bool look_again; /* something came while the slot was taken */
    /* Jobs that no handler knows, left to another agent since the last look. */
    char passed[HOB_JOBS_PENDING_MAX][HOB_JOBS_ID_MAX + 1];
    size_t passed_count;
    struct hob_backoff backoff;
    struct hob_timer *retry; /* of a look or a claim */
    struct hob_timer *poll;
    struct hob_timer *stop_timer;
    void (*stopped)(void *user);
    void *stopped_user;
};

static void look(struct hob_executor *executor);
static void look_past(struct hob_executor *executor);
static void describe(struct hob_executor *executor, const char *job_id);
static void claim(struct hob_executor *executor);

/* ---- words ---- */

static void say(const struct hob_executor *executor, enum hob_log_level level, const char *event,
                const char *code, const char *job_id, int64_t execution, const char *text)
{
    struct hob_log_record record = {.level = level,
                                    .event = event,
                                    .thing = executor->thing,
                                    .job = job_id,
                                    .execution = execution,
                                    .code = code};
    hob_log_write(executor->options.log, &record, "%s", text);
}

static void say_of_slot(const struct hob_executor *executor, enum hob_log_level level,
                        const char *event, const char *code, const char *text)
{
    say(executor, level, event, code, hob_slot_job_id(executor->slot),
        hob_slot_execution_number(executor->slot), text);
}

static void retry_later(struct hob_executor *executor, const char *what, const char *why)
{
    uint64_t ms = hob_backoff_next_ms(&executor->backoff);
    char text[256];
    snprintf(text, sizeof text, "%s: %s, again in %.1f s", what, why, (double)ms / 1000);
    say(executor, HOB_LOG_WARN, "jobs.retry", why, NULL, 0, text);
    hob_timer_start(executor->retry, ms);
}

/* Without a link hob_executor_online asks again; cancelled: we are being closed. */
static void no_answer(struct hob_executor *executor, const char *what, int status)
{
    if (status != HOB_ENOTCONN && status != HOB_ECANCELED) {
        retry_later(executor, what, status == HOB_ETIMEDOUT ? "no answer" : hob_error_name(status));
    }
}

/* ---- running ---- */

static void run(struct hob_executor *executor, int64_t version)
{
    struct hob_error err = {0};
    if (hob_slot_run(executor->slot, version, &err)) {
        retry_later(executor, "starting the job", hob_error_name(err.code));
    }
}

static void on_slot_free(void *user)
{
    struct hob_executor *executor = user;
    if (executor->stopping) {
        hob_timer_start(executor->stop_timer, 0);
    }
}

/* ---- claiming ---- */

static void claimed(struct hob_executor *executor, int64_t version)
{
    char text[64];
    hob_backoff_reset(&executor->backoff);
    snprintf(text, sizeof text, "version %lld", (long long)version);
    say_of_slot(executor, HOB_LOG_INFO, "job.claimed", NULL, text);
    run(executor, version);
}

static void claim_refused(struct hob_executor *executor, const struct hob_jobs_answer *answer)
{
    int64_t expected = hob_slot_version(executor->slot) + 1;
    bool first_copy_arrived = answer->code == HOB_JOBS_VERSION_MISMATCH && answer->state.present &&
                              answer->state.status == HOB_JOBS_IN_PROGRESS &&
                              answer->state.version_number == expected;
    if (first_copy_arrived) {
        claimed(executor, expected);
    } else if (hob_jobs_code_retryable(answer->code)) {
        retry_later(executor, "claiming the job", answer->code_text);
    } else {
        say_of_slot(executor, HOB_LOG_INFO, "job.claim_refused", answer->code_text,
                    answer->message);
        hob_slot_drop(executor->slot);
        retry_later(executor, "claiming the job", answer->code_text);
    }
}

static void on_claim(void *user, int status, const struct hob_jobs_answer *answer)
{
    struct hob_executor *executor = user;
    executor->claiming = false;
    if (status == 0) {
        claimed(executor, hob_slot_version(executor->slot) + 1);
    } else if (status == HOB_EREJECTED) {
        claim_refused(executor, answer);
    } else {
        no_answer(executor, "claiming the job", status);
    }
}

static void claim(struct hob_executor *executor)
{
    if (!executor->online || executor->claiming || executor->stopping) {
        return;
    }
    struct hob_jobs_update update = {.job_id = hob_slot_job_id(executor->slot),
                                     .status = HOB_JOBS_IN_PROGRESS,
                                     .expected_version = hob_slot_version(executor->slot),
                                     .execution_number = hob_slot_execution_number(executor->slot)};
    int rc = hob_jobs_update(executor->options.client, &update, on_claim, executor);
    executor->claiming = rc == 0;
    if (rc && rc != HOB_ENOTCONN) {
        retry_later(executor, "claiming the job", hob_error_name(rc));
    }
}

/* ---- a new execution ---- */

/* In the store first, then claimed. False: the store failed, it will be looked at again. */
static bool add(struct hob_executor *executor, const struct hob_jobs_execution *execution)
{
    struct hob_error err = {0};
    int rc = hob_slot_add(executor->slot, execution->document, execution->document_len, &err);
    if (rc) {
        retry_later(executor, "taking the job", hob_error_name(rc));
    }
    return rc == 0;
}

static void refuse(struct hob_executor *executor, const struct hob_jobs_execution *execution,
                   enum hob_jobs_status status, const char *reason, const char *code)
{
    if (add(executor, execution)) {
        hob_slot_end(executor->slot, status, reason, code);
    }
}

static bool is_passed(const struct hob_executor *executor, const char *job_id)
{
    for (size_t i = 0; i < executor->passed_count; i++) {
        if (strcmp(executor->passed[i], job_id) == 0) {
            return true;
        }
    }
    return false;
}

static void leave_alone(struct hob_executor *executor, const struct hob_jobs_execution *execution,
                        const char *reason)
{
    if (!is_passed(executor, execution->job_id) && executor->passed_count < HOB_JOBS_PENDING_MAX) {
        snprintf(executor->passed[executor->passed_count++], sizeof executor->passed[0], "%s",
                 execution->job_id);
        say(executor, HOB_LOG_INFO, "job.ignored", NULL, execution->job_id,
            execution->execution_number, reason);
    }
    look_past(executor);
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
    if (len == 0 || document[strspn(document, " \t\r\n")] != '{') {
        hob_error_set(err, HOB_EINVAL, "jobDocument: expected an object, got %.*s%s",
                      len < 40 ? (int)len : 40, document, len > 40 ? "..." : "");
        return NULL;
    }
    return hob_handlers_choose(executor->options.handlers, executor->json, err);
}

static void offer(struct hob_executor *executor, const struct hob_jobs_execution *execution)
{
    struct hob_error err = {0};
    const struct hob_handler *handler =
        choose(executor, execution->document, execution->document_len, &err);
    bool nobody_knows_it = !handler && err.code == HOB_ENOENT;
    if (nobody_knows_it && executor->options.unknown == HOB_EXECUTOR_IGNORE) {
        leave_alone(executor, execution, err.message);
        return;
    }
    hob_slot_take(executor->slot, execution);
    if (execution->status == HOB_JOBS_IN_PROGRESS) {
        refuse(executor, execution, HOB_JOBS_FAILED,
               "state lost: the job was begun, but this gateway's store does not know it (factory "
               "reset, or another agent's job)",
               "STATE_LOST");
    } else if (!handler) {
        refuse(executor, execution, HOB_JOBS_REJECTED, err.message,
               nobody_knows_it ? "NO_HANDLER" : "BAD_DOCUMENT");
    } else if (hob_slot_prepare(executor->slot, handler, execution->document,
                                execution->document_len, &err) == HOB_EREJECTED) {
        refuse(executor, execution, HOB_JOBS_REJECTED, err.message, "BAD_DOCUMENT");
    } else if (add(executor, execution)) {
        claim(executor);
    }
}

/* ---- one that the store knows ---- */

/* Its handler may be gone or broken by now. */
static void prepare_again(struct hob_executor *executor, const struct hob_store_execution *known)
{
    struct hob_error err = {0};
    size_t len = known->document_len;
    char *document = malloc(len + 1); /* the store's copy goes with its next call */
    if (!document) {
        hob_slot_break(executor->slot, "out of memory");
        return;
    }
    memcpy(document, known->document, len);
    document[len] = '\0';
    hob_slot_known(executor->slot, known, HOB_SLOT_PAST_ORDER, "");
    const struct hob_handler *handler = choose(executor, document, len, &err);
    if (!handler || hob_slot_prepare(executor->slot, handler, document, len, &err)) {
        hob_slot_break(executor->slot, err.message);
    }
    free(document);
}

static void tell_again(struct hob_executor *executor, int64_t row,
                       const struct hob_jobs_execution *execution)
{
    struct hob_error err = {0};
    if (hob_outbox_push(executor->options.outbox, row, &err)) {
        say(executor, HOB_LOG_ERROR, "store.failed", hob_error_name(err.code), execution->job_id,
            execution->execution_number, err.message);
    }
}

static void consider_known(struct hob_executor *executor,
                           const struct hob_jobs_execution *execution,
                           const struct hob_store_execution *known, bool asked)
{
    bool over = known->state == HOB_STORE_ENDED || known->state == HOB_STORE_TOLD;
    if (over) {
        if (known->state == HOB_STORE_ENDED || asked) {
            tell_again(executor, known->row, execution);
        }
        return;
    }
    hob_slot_take(executor->slot, execution);
    prepare_again(executor, known);
    if (execution->status == HOB_JOBS_IN_PROGRESS) {
        run(executor, execution->version_number);
    } else {
        claim(executor); /* ours was lost on its way */
    }
}

/* @param asked  it is the answer to our own question, hence not out of date */
static void consider(struct hob_executor *executor, const struct hob_jobs_execution *execution,
                     bool asked)
{
    bool open = execution->status == HOB_JOBS_QUEUED || execution->status == HOB_JOBS_IN_PROGRESS;
    if (!execution->present || !open || executor->stopping ||
        hob_slot_holds(executor->slot, execution)) {
        return;
    }
    if (hob_slot_state(executor->slot) != HOB_SLOT_FREE) {
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
        say(executor, HOB_LOG_ERROR, "store.failed", hob_error_name(rc), execution->job_id,
            execution->execution_number, err.message);
        retry_later(executor, "looking for jobs", hob_error_name(rc));
    }
}

/* ---- looking ---- */

static void on_look(void *user, int status, const struct hob_jobs_answer *answer)
{
    struct hob_executor *executor = user;
    executor->looking = false;
    if (status == HOB_EREJECTED) {
        retry_later(executor, "looking for jobs", answer->code_text);
    } else if (status) {
        no_answer(executor, "looking for jobs", status);
    } else if (answer->execution.present) {
        consider(executor, &answer->execution, true);
    } else {
        hob_backoff_reset(&executor->backoff);
    }
}

/* ---- past a job of somebody else ---- */

static void on_pending(void *user, int status, const struct hob_jobs_answer *answer)
{
    struct hob_executor *executor = user;
    executor->looking = false;
    for (size_t i = 0; status == 0 && i < answer->pending_count; i++) {
        if (!is_passed(executor, answer->pending[i].job_id)) {
            describe(executor, answer->pending[i].job_id);
            return;
        }
    }
    /* Else there is nothing for us, or the poll will ask again. */
}

/* The one at the front is not ours: is there another one behind it? */
static void look_past(struct hob_executor *executor)
{
    if (executor->looking || !executor->online || hob_slot_state(executor->slot) != HOB_SLOT_FREE) {
        return;
    }
    executor->looking = hob_jobs_get_pending(executor->options.client, on_pending, executor) == 0;
}

static void describe(struct hob_executor *executor, const char *job_id)
{
    int rc = hob_jobs_describe(executor->options.client, job_id, 0, on_look, executor);
    executor->looking = rc == 0;
    if (rc && rc != HOB_ENOTCONN) {
        retry_later(executor, "looking for jobs", hob_error_name(rc));
    }
}

static void look(struct hob_executor *executor)
{
    if (!executor->online || executor->looking || executor->stopping) {
        return;
    }
    executor->passed_count = 0;
    describe(executor, "$next");
    hob_timer_start(executor->poll, executor->options.poll_ms);
}

static void on_retry(void *user)
{
    struct hob_executor *executor = user;
    if (hob_slot_state(executor->slot) == HOB_SLOT_TAKEN) {
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
        say(executor, HOB_LOG_ERROR, "store.failed", hob_error_name(err.code), NULL, 0,
            err.message);
    } else if (first.found) {
        say(executor, HOB_LOG_INFO, "job.resumed", NULL, first.execution.job_id,
            first.execution.execution_number, "it was running when Hob ended");
        consider(executor, &first.execution, true);
    }
    hob_timer_start(executor->poll, executor->options.poll_ms);
}

void hob_executor_online(struct hob_executor *executor)
{
    executor->online = true;
    executor->looking = executor->claiming = false;
    hob_backoff_reset(&executor->backoff);
    hob_timer_stop(executor->retry);
    if (hob_slot_state(executor->slot) == HOB_SLOT_TAKEN) {
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

void hob_executor_changed(struct hob_executor *executor)
{
    if (executor->passed_count > 0 && hob_slot_state(executor->slot) == HOB_SLOT_FREE) {
        look(executor);
    }
}

void hob_executor_told(struct hob_executor *executor)
{
    if (executor->look_again && hob_slot_state(executor->slot) == HOB_SLOT_FREE) {
        executor->look_again = false;
        look(executor);
    }
}

/* Either nothing runs any more, or the grace is over. */
static void on_stop_timer(void *user)
{
    struct hob_executor *executor = user;
    if (hob_slot_state(executor->slot) == HOB_SLOT_RUNNING) {
        char text[256];
        snprintf(text, sizeof text, "stopped in step '%s'; it goes on when Hob starts again",
                 hob_slot_step(executor->slot));
        say_of_slot(executor, HOB_LOG_WARN, "job.suspended", NULL, text);
    }
    hob_slot_release(executor->slot);
    executor->stopped(executor->stopped_user);
}

void hob_executor_stop(struct hob_executor *executor, uint64_t grace_ms, uint64_t limit_ms,
                       void (*stopped)(void *user), void *user)
{
    executor->stopping = true;
    executor->stopped = stopped;
    executor->stopped_user = user;
    hob_timer_stop(executor->retry);
    hob_timer_stop(executor->poll);
    enum hob_slot_state state = hob_slot_state(executor->slot);
    bool busy = state == HOB_SLOT_RUNNING || state == HOB_SLOT_ENDING;
    hob_timer_start(executor->stop_timer, busy ? grace_ms : 0);
}

void hob_executor_gone(struct hob_executor *executor, int64_t row, enum hob_jobs_status status) {}

/* ---- life ---- */

static int make_slot(struct hob_executor *executor, struct hob_error *err)
{
    struct hob_slot_options options = {.loop = executor->options.loop,
                                       .log = executor->options.log,
                                       .store = executor->options.store,
                                       .outbox = executor->options.outbox,
                                       .handlers = executor->options.handlers,
                                       .thing = executor->thing,
                                       .work_dir = executor->work_dir,
                                       .allowed_commands = executor->options.allowed_commands,
                                       .agent = executor->options.agent,
                                       .memory_bytes = executor->options.memory_bytes,
                                       .on_free = on_slot_free,
                                       .user = executor};
    return hob_slot_new(&options, &executor->slot, err);
}

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
    executor->stop_timer = hob_timer_new(options->loop, on_stop_timer, executor);
    hob_backoff_init(&executor->backoff, BACKOFF_BASE_MS, BACKOFF_CAP_MS, BACKOFF_MIN_MS);
    bool whole = executor->thing && executor->work_dir && executor->retry && executor->poll &&
                 executor->stop_timer;
    int rc = whole ? hob_json_new(&executor->json, err)
                   : hob_error_set(err, HOB_ENOMEM, "executor: out of memory");
    rc = rc ? rc : make_slot(executor, err);
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
    hob_slot_free(executor->slot);
    close_timer(executor->retry);
    close_timer(executor->poll);
    close_timer(executor->stop_timer);
    hob_json_free(executor->json);
    free(executor->thing);
    free(executor->work_dir);
    free(executor);
}
