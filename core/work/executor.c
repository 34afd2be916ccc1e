/* executor.c - its life, its seats, the claims, and what the outside says. */
#include "base/alloc.h"
#include "base/clock.h"
#include "work/blackbox.h"
#include "work/executor_parts.h"

#include <stdio.h>
#include <string.h>

#define POLL_MS         1800000
#define BACKOFF_BASE_MS 1000
#define BACKOFF_CAP_MS  60000
#define BACKOFF_MIN_MS  50

/* ---- words ---- */

struct hob_executor_identity hob_executor_identity_of(const struct hob_jobs_execution *execution)
{
    struct hob_executor_identity identity = {.number = execution->execution_number,
                                             .queued_at = execution->queued_at};
    snprintf(identity.job_id, sizeof identity.job_id, "%s", execution->job_id);
    return identity;
}

bool hob_executor_same(const struct hob_executor_identity *a, const struct hob_executor_identity *b)
{
    return a->number == b->number && a->queued_at == b->queued_at &&
           strcmp(a->job_id, b->job_id) == 0;
}

void hob_executor_say(const struct hob_executor *executor, enum hob_log_level level,
                      const char *event, const char *code,
                      const struct hob_executor_identity *about, const char *text)
{
    struct hob_log_record record = {.level = level,
                                    .event = event,
                                    .thing = executor->thing,
                                    .job = about ? about->job_id : NULL,
                                    .execution = about ? about->number : 0,
                                    .code = code};
    hob_log_write(executor->options.log, &record, "%s", text);
}

void hob_executor_store_failed(const struct hob_executor *executor,
                               const struct hob_executor_identity *about,
                               const struct hob_error *err)
{
    hob_executor_say(executor, HOB_LOG_ERROR, "store.failed", hob_error_name(err->code), about,
                     err->message);
}

/* ---- seats ---- */

struct hob_executor_seat *hob_executor_free_seat(struct hob_executor *executor)
{
    for (size_t i = 0; i < executor->count; i++) {
        if (hob_slot_state(executor->seats[i].slot) == HOB_SLOT_FREE) {
            return &executor->seats[i];
        }
    }
    return NULL;
}

struct hob_executor_seat *hob_executor_seat_of(struct hob_executor *executor, const char *job_id)
{
    for (size_t i = 0; i < executor->count; i++) {
        struct hob_executor_seat *seat = &executor->seats[i];
        if (hob_slot_state(seat->slot) != HOB_SLOT_FREE &&
            strcmp(seat->identity.job_id, job_id) == 0) {
            return seat;
        }
    }
    return NULL;
}

bool hob_executor_reboots(const struct hob_executor *executor)
{
    for (size_t i = 0; i < executor->count; i++) {
        if (hob_slot_reboots(executor->seats[i].slot)) {
            return true;
        }
    }
    return false;
}

bool hob_executor_may_begin(const struct hob_executor *executor)
{
    const struct hob_executor_resume *resume = &executor->resume;
    return executor->online && !executor->stopping && !executor->draining && resume->ready &&
           resume->count == 0 && !hob_executor_resume_probation(executor) &&
           !hob_executor_reboots(executor);
}

void hob_executor_take(struct hob_executor_seat *seat, const struct hob_jobs_execution *execution)
{
    seat->identity = hob_executor_identity_of(execution);
    hob_executor_turn_take(seat);
    hob_slot_take(seat->slot, execution);
}

void hob_executor_clear(struct hob_executor_seat *seat)
{
    struct hob_executor *executor = seat->executor;
    hob_jobs_client_forget(executor->options.client, seat);
    hob_timer_stop(seat->timer);
    hob_backoff_reset(&seat->backoff);
    seat->claiming = seat->claimed = seat->asking = seat->doubted = seat->begun = false;
    seat->asked_ms = 0;
    hob_executor_turn_leave(seat);
    hob_executor_resume_sound(seat);
    hob_timer_start(executor->freed, 0);
}

static void on_slot_free(void *user)
{
    hob_executor_clear(user);
}

static void on_slot_sound(void *user)
{
    struct hob_executor_seat *seat = user;
    if (hob_slot_state(seat->slot) == HOB_SLOT_WAITING) {
        hob_executor_turn_leave(seat);
    }
    hob_executor_resume_sound(seat);
}

/* Nobody beside one on probation, and nothing is begun before a reboot. */
static bool on_slot_may_go_on(void *user)
{
    struct hob_executor_seat *seat = user;
    bool may = !hob_executor_resume_probation(seat->executor) &&
               !hob_executor_reboots(seat->executor) && hob_executor_turn_ask(seat->executor);
    seat->wants_turn = !may;
    if (may) {
        hob_executor_turn_take(seat);
    }
    return may;
}

static void on_slot_restart(void *user, const char *reason)
{
    struct hob_executor *executor = ((struct hob_executor_seat *)user)->executor;
    executor->options.on_restart(executor->options.user, reason);
}

static void on_freed(void *user)
{
    struct hob_executor *executor = user;
    hob_executor_resume_next(executor);
    if (hob_executor_turn_is_wanted(executor)) {
        return; /* a job that waits asks for it every second */
    }
    if (hob_executor_turn_is_granted(executor)) {
        hob_executor_find_now(executor);
    } else {
        hob_executor_find_soon(executor);
    }
}

/* ---- claiming ---- */

void hob_executor_try_later(struct hob_executor_seat *seat, const char *what, const char *why)
{
    uint64_t ms = hob_backoff_next_ms(&seat->backoff);
    char text[256];
    snprintf(text, sizeof text, "%s: %s, again in %.1f s", what, why, (double)ms / 1000);
    hob_executor_say(seat->executor, HOB_LOG_WARN, "jobs.retry", why, &seat->identity, text);
    hob_timer_start(seat->timer, ms);
}

int hob_executor_run(struct hob_executor_seat *seat, int64_t version)
{
    struct hob_error err = {0};
    int rc = hob_slot_run(seat->slot, version, &err);
    if (rc) {
        hob_executor_clear(seat);
        hob_executor_find_hold(seat->executor, "starting the job", rc);
    }
    return rc;
}

static void claimed(struct hob_executor_seat *seat, int64_t version)
{
    char text[64];
    hob_backoff_reset(&seat->backoff);
    hob_timer_stop(seat->timer);
    snprintf(text, sizeof text, "version %lld", (long long)version);
    hob_executor_say(seat->executor, HOB_LOG_INFO, "job.claimed", NULL, &seat->identity, text);
    hob_slot_was_told(seat->slot);
    hob_executor_run(seat, version);
}

static void not_ours(struct hob_executor_seat *seat, const struct hob_jobs_answer *answer)
{
    struct hob_executor *executor = seat->executor;
    hob_executor_say(executor, HOB_LOG_INFO, "job.claim_refused", answer->code_text,
                     &seat->identity, answer->message);
    hob_slot_drop(seat->slot);
    hob_executor_clear(seat);
    hob_executor_find_later(executor, "claiming the job", answer->code_text);
}

static void claim_refused(struct hob_executor_seat *seat, const struct hob_jobs_answer *answer)
{
    int64_t expected = hob_slot_version(seat->slot) + 1;
    bool first_copy_arrived = answer->code == HOB_JOBS_VERSION_MISMATCH && answer->state.present &&
                              answer->state.status == HOB_JOBS_IN_PROGRESS &&
                              answer->state.version_number == expected;
    if (first_copy_arrived) {
        claimed(seat, expected);
    } else if (hob_jobs_code_retryable(answer->code)) {
        hob_executor_try_later(seat, "claiming the job", answer->code_text);
    } else {
        not_ours(seat, answer);
    }
}

static void claim_failed(struct hob_executor_seat *seat, int status)
{
    /* Without a link hob_executor_online claims again; cancelled: we are being closed. */
    if (status != HOB_ENOTCONN && status != HOB_ECANCELED) {
        hob_executor_try_later(seat, "claiming the job",
                               status == HOB_ETIMEDOUT ? "no answer" : hob_error_name(status));
    }
}

static void on_claim(void *user, int status, const struct hob_jobs_answer *answer)
{
    struct hob_executor_seat *seat = user;
    seat->claiming = false;
    if (hob_slot_state(seat->slot) != HOB_SLOT_TAKEN) {
        return; /* its end was decided meanwhile */
    }
    if (status == 0) {
        claimed(seat, hob_slot_version(seat->slot) + 1);
    } else if (status == HOB_EREJECTED) {
        claim_refused(seat, answer);
    } else {
        claim_failed(seat, status);
    }
}

void hob_executor_claim(struct hob_executor_seat *seat)
{
    struct hob_executor *executor = seat->executor;
    if (!executor->online || seat->claiming || executor->stopping ||
        (executor->draining && !seat->claimed)) {
        return;
    }
    struct hob_jobs_update update = {.job_id = seat->identity.job_id,
                                     .status = HOB_JOBS_IN_PROGRESS,
                                     .expected_version = hob_slot_version(seat->slot),
                                     .execution_number = seat->identity.number,
                                     .step_timeout_minutes = hob_slot_step_minutes(seat->slot)};
    int rc = hob_jobs_update(executor->options.client, &update, on_claim, seat);
    seat->claiming = rc == 0;
    seat->claimed = seat->claimed || seat->claiming;
    if (rc) {
        claim_failed(seat, rc);
    }
}

static void on_seat_timer(void *user)
{
    struct hob_executor_seat *seat = user;
    if (seat->doubted) {
        hob_executor_watch_ask(seat);
    } else if (hob_slot_state(seat->slot) == HOB_SLOT_TAKEN) {
        hob_executor_claim(seat);
    }
}

/* ---- handlers ---- */

const struct hob_handlers_entry *hob_executor_choose(struct hob_executor *executor,
                                                     const char *document, size_t len,
                                                     struct hob_error *err)
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

int hob_executor_prepare(struct hob_executor_seat *seat, const struct hob_store_execution *known,
                         enum hob_slot_past past, const char *step, struct hob_error *err)
{
    struct hob_executor *executor = seat->executor;
    size_t len = known->document_len;
    char name[HOB_HANDLER_NAME_MAX + 1];
    char *document = hob_malloc(len + 1); /* the store's copy goes with its next call */
    seat->begun =
        known->state != HOB_STORE_CLAIMING || known->runs > 0 || past != HOB_SLOT_PAST_ORDER;
    snprintf(name, sizeof name, "%s", known->handler);
    if (document) {
        memcpy(document, known->document, len);
        document[len] = '\0';
    }
    hob_slot_known(seat->slot, known, past, step);
    if (!document) {
        hob_slot_break(seat->slot, "out of memory");
        return 0;
    }
    const struct hob_handlers_entry *handler =
        name[0] ? hob_handlers_find(executor->options.handlers, name) : NULL;
    handler = handler ? handler : hob_executor_choose(executor, document, len, err);
    int rc = HOB_EHANDLER;
    if (handler || seat->begun) { /* the store has what it was begun with */
        rc = hob_slot_prepare(seat->slot, handler, document, len, err);
    }
    hob_free(document);
    if (hob_slot_is_passing(rc)) {
        hob_slot_postpone(seat->slot, err);
    } else if (rc && (rc != HOB_EREJECTED || seat->begun)) {
        hob_slot_break(seat->slot, err->message);
        rc = 0;
    }
    return rc;
}

/* ---- what the outside says ---- */

void hob_executor_start(struct hob_executor *executor)
{
    hob_executor_resume_start(executor);
}

void hob_executor_online(struct hob_executor *executor)
{
    executor->online = true;
    for (size_t i = 0; i < executor->count; i++) {
        struct hob_executor_seat *seat = &executor->seats[i];
        hob_backoff_reset(&seat->backoff);
        hob_timer_stop(seat->timer);
        seat->claiming = seat->asking = false;
        hob_executor_watch_doubt(seat);
    }
    hob_executor_wait_ask_again(executor);
    hob_executor_find_afresh(executor);
}

void hob_executor_reconsider(struct hob_executor *executor)
{
    hob_executor_wait_ask_again(executor);
}

void hob_executor_drain(struct hob_executor *executor, bool on)
{
    executor->draining = on;
    if (on) {
        hob_executor_turn_give_up(executor);
        return;
    }
    for (size_t i = 0; i < executor->count; i++) {
        struct hob_executor_seat *seat = &executor->seats[i];
        if (hob_slot_state(seat->slot) == HOB_SLOT_TAKEN && !seat->claimed) {
            hob_executor_claim(seat);
        }
    }
    hob_executor_find_afresh(executor);
}

void hob_executor_offline(struct hob_executor *executor)
{
    executor->online = false;
    hob_executor_turn_give_up(executor);
}

void hob_executor_gone(struct hob_executor *executor, int64_t row, enum hob_jobs_status status)
{
    for (size_t i = 0; i < executor->count; i++) {
        struct hob_executor_seat *seat = &executor->seats[i];
        if (hob_slot_state(seat->slot) != HOB_SLOT_FREE && hob_slot_row(seat->slot) == row) {
            hob_executor_watch_gone(seat, status, "the service refused an update of it");
        }
    }
}

/* ---- stopping ---- */

static bool all_stopped(const struct hob_executor *executor)
{
    for (size_t i = 0; i < executor->count; i++) {
        if (executor->seats[i].stopping) {
            return false;
        }
    }
    return true;
}

/* What was given up as it is ended in order: nobody is to blame. */
static void on_stop_timer(void *user)
{
    struct hob_executor *executor = user;
    struct hob_error err = {0};
    if (!executor->stopped || !all_stopped(executor)) {
        return;
    }
    const char *who = hob_executor_turn_all_stop(executor) ? NULL : executor->thing;
    if (hob_store_expect_end(executor->options.store, who, &err)) {
        hob_executor_store_failed(executor, NULL, &err);
    }
    void (*stopped)(void *) = executor->stopped;
    executor->stopped = NULL;
    stopped(executor->stopped_user);
}

static void on_slot_stopped(void *user)
{
    struct hob_executor_seat *seat = user;
    seat->stopping = false;
    hob_timer_start(seat->executor->stop_timer, 0);
}

/* A claim that is on its way is found again by the next process. */
static void stop_seat(struct hob_executor_seat *seat, uint64_t grace_ms, uint64_t limit_ms)
{
    enum hob_slot_state state = hob_slot_state(seat->slot);
    hob_jobs_client_forget(seat->executor->options.client, seat);
    hob_timer_stop(seat->timer);
    if (state == HOB_SLOT_TAKEN) {
        hob_slot_release(seat->slot);
    } else if (state != HOB_SLOT_FREE) {
        seat->stopping = true;
        hob_slot_stop(seat->slot, grace_ms, limit_ms, on_slot_stopped, seat);
    }
}

void hob_executor_stop(struct hob_executor *executor, uint64_t grace_ms, uint64_t limit_ms,
                       void (*stopped)(void *user), void *user)
{
    hob_executor_turn_stop(executor);
    executor->stopped = stopped;
    executor->stopped_user = user;
    hob_executor_find_end(executor);
    hob_executor_wait_end(executor);
    hob_executor_resume_end(executor);
    for (size_t i = 0; i < executor->count; i++) {
        stop_seat(&executor->seats[i], grace_ms, limit_ms);
    }
    hob_timer_start(executor->stop_timer, 0);
}

void hob_executor_hurry(struct hob_executor *executor)
{
    for (size_t i = 0; i < executor->count; i++) {
        if (executor->seats[i].stopping) {
            hob_slot_hurry(executor->seats[i].slot);
        }
    }
}

/* ---- life ---- */

static int make_seat(struct hob_executor *executor, struct hob_executor_seat *seat,
                     struct hob_error *err)
{
    const struct hob_executor_options *o = &executor->options;
    struct hob_slot_options options = {.loop = o->loop,
                                       .log = o->log,
                                       .store = o->store,
                                       .outbox = o->outbox,
                                       .handlers = o->handlers,
                                       .thing = executor->thing,
                                       .work_dir = executor->work_dir,
                                       .policy = o->policy,
                                       .agent = o->agent,
                                       .memory_bytes = o->memory_bytes,
                                       .cpu_ms = o->cpu_ms,
                                       .blackbox = o->blackbox,
                                       .outputs = o->outputs,
                                       .tally = o->tally,
                                       .debugger = o->debugger,
                                       .boot_id = o->boot_id,
                                       .process_id = o->process_id,
                                       .reboot_command = o->reboot_command,
                                       .product = o->product,
                                       .reboot_wait_ms = o->reboot_wait_ms,
                                       .timeout_ms = o->timeout_ms,
                                       .cleanup_timeout_ms = o->cleanup_timeout_ms,
                                       .on_free = on_slot_free,
                                       .on_sound = on_slot_sound,
                                       .may_go_on = on_slot_may_go_on,
                                       .on_restart = o->on_restart ? on_slot_restart : NULL,
                                       .user = seat};
    seat->executor = executor;
    hob_backoff_init(&seat->backoff, BACKOFF_BASE_MS, BACKOFF_CAP_MS, BACKOFF_MIN_MS);
    seat->timer = hob_timer_new(o->loop, on_seat_timer, seat);
    return seat->timer ? hob_slot_new(&options, &seat->slot, err)
                       : hob_error_set(err, HOB_ENOMEM, "executor: out of memory");
}

static int make_seats(struct hob_executor *executor, struct hob_error *err)
{
    size_t count = executor->options.slots ? executor->options.slots : 1;
    count = count < HOB_BLACKBOX_ENTRIES ? count : HOB_BLACKBOX_ENTRIES;
    executor->seats = hob_calloc(count, sizeof *executor->seats);
    if (!executor->seats) {
        return hob_error_set(err, HOB_ENOMEM, "executor: out of memory");
    }
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        executor->count = i + 1;
        rc = make_seat(executor, &executor->seats[i], err);
    }
    return rc;
}

static int fill(struct hob_executor *executor, struct hob_error *err)
{
    const struct hob_executor_options *o = &executor->options;
    executor->thing = hob_strdup(o->thing);
    executor->work_dir = hob_strdup(o->work_dir);
    executor->freed = hob_timer_new(o->loop, on_freed, executor);
    executor->stop_timer = hob_timer_new(o->loop, on_stop_timer, executor);
    hob_backoff_init(&executor->find.backoff, BACKOFF_BASE_MS, BACKOFF_CAP_MS, BACKOFF_MIN_MS);
    if (!executor->thing || !executor->work_dir || !executor->freed || !executor->stop_timer ||
        hob_executor_find_init(executor) || hob_executor_wait_init(executor) ||
        hob_executor_resume_init(executor)) {
        return hob_error_set(err, HOB_ENOMEM, "executor: out of memory");
    }
    int rc = o->json ? 0 : hob_json_new(&executor->own_json, err);
    executor->json = o->json ? o->json : executor->own_json;
    return rc ? rc : make_seats(executor, err);
}

int hob_executor_new(const struct hob_executor_options *options, struct hob_executor **out,
                     struct hob_error *err)
{
    struct hob_executor *executor = hob_calloc(1, sizeof *executor);
    if (!executor) {
        return hob_error_set(err, HOB_ENOMEM, "executor: out of memory");
    }
    executor->options = *options;
    executor->options.poll_ms = options->poll_ms ? options->poll_ms : POLL_MS;
    executor->turn = options->turn ? options->turn : &executor->own_turn;
    hob_executor_turn_join(executor);
    int rc = fill(executor, err);
    if (rc) {
        hob_executor_free(executor);
        return rc;
    }
    *out = executor;
    return 0;
}

void hob_executor_free(struct hob_executor *executor)
{
    if (!executor) {
        return;
    }
    hob_executor_turn_part(executor);
    hob_jobs_client_forget(executor->options.client, executor);
    for (size_t i = 0; i < executor->count; i++) {
        struct hob_executor_seat *seat = &executor->seats[i];
        hob_executor_turn_leave(seat);
        hob_jobs_client_forget(executor->options.client, seat);
        hob_slot_free(seat->slot);
        hob_timer_close(seat->timer);
    }
    hob_executor_resume_leave(executor);
    struct hob_timer *timers[] = {
        executor->freed,      executor->stop_timer, executor->grant_timer,    executor->find.soon,
        executor->find.retry, executor->find.poll,  executor->resume.children};
    for (size_t i = 0; i < sizeof timers / sizeof timers[0]; i++) {
        hob_timer_close(timers[i]);
    }
    hob_executor_wait_free(executor);
    hob_json_free(executor->own_json);
    hob_free(executor->seats);
    hob_free(executor->find.claims);
    hob_free(executor->find.passed);
    hob_free(executor->resume.rows);
    hob_free(executor->thing);
    hob_free(executor->work_dir);
    hob_free(executor);
}
