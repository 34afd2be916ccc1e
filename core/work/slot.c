#include "work/slot.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "device/policy.h"
#include "work/blackbox.h"
#include "work/slot_parts.h"

#include <stdio.h>
#include <string.h>

#define DEATHS_MAX         3
#define STEP_MINUTES_MAX   10080
#define MINUTE_MS          60000
#define CLEANUP_TIMEOUT_MS 60000
#define PROGRESS_LOG_MS    10000

/* ---- words ---- */

struct hob_log_record hob_slot_record(const struct hob_slot *slot, enum hob_log_level level,
                                      const char *event)
{
    return (struct hob_log_record){.level = level,
                                   .event = event,
                                   .thing = slot->options.thing,
                                   .job = slot->job_id,
                                   .execution = slot->execution_number};
}

const char *hob_slot_shown_step(const struct hob_slot *slot, const char *step,
                                char out[HOB_SLOT_STEP_MAX + 16])
{
    snprintf(out, HOB_SLOT_STEP_MAX + 16, step[0] ? "in step '%s'" : "between two steps", step);
    return out;
}

/* What is kept of a job's events is not to be its progress. */
static void log_progress(struct hob_slot *slot, const char *progress, const char *step)
{
    uint64_t now = hob_clock_mono_ms();
    struct hob_log_record record = hob_slot_record(slot, HOB_LOG_INFO, "job.progress");
    if (slot->progress_logged_ms && now - slot->progress_logged_ms < PROGRESS_LOG_MS) {
        return;
    }
    slot->progress_logged_ms = now;
    record.step = step;
    hob_log_write(slot->options.log, &record, "%s", progress);
}

void hob_slot_say(struct hob_slot *slot, const char *progress)
{
    hob_slot_say_for(slot, progress, hob_slot_step_minutes(slot));
}

void hob_slot_say_for(struct hob_slot *slot, const char *progress, int step_minutes)
{
    const char *label = slot->job ? hob_job_label(slot->job) : slot->handler;
    const char *step = hob_slot_step(slot);
    struct hob_jobs_detail details[] = {
        {.key = "progress", .value = progress, .len = strlen(progress)},
        {.key = "handler", .value = label, .len = strlen(label)},
        {.key = "step", .value = step, .len = strlen(step)},
    };
    struct hob_buf json;
    if (slot->ended_there) {
        return; /* it is over for the service */
    }
    if (slot->options.on_said) {
        slot->options.on_said(slot->options.user, progress);
    } else {
        log_progress(slot, progress, step);
    }
    hob_slot_tell_progress(slot, progress);
    hob_buf_init(&json, HOB_SLOT_DETAILS);
    if (hob_jobs_details_fit(&json, details, step[0] ? 3 : 2) >= 0 && hob_buf_string(&json)) {
        hob_outbox_progress(slot->options.outbox, slot->row, hob_buf_string(&json), step_minutes);
    }
    hob_buf_free(&json);
}

/* ---- taking one ---- */

void hob_slot_take(struct hob_slot *slot, const struct hob_jobs_execution *execution)
{
    slot->state = HOB_SLOT_TAKEN;
    snprintf(slot->job_id, sizeof slot->job_id, "%s", execution->job_id);
    slot->execution_number = execution->execution_number;
    slot->queued_at = execution->queued_at;
    slot->version = execution->version_number;
    slot->progress_logged_ms = 0;
    slot->was_claimed = execution->status == HOB_JOBS_IN_PROGRESS;
}

int hob_slot_prepare(struct hob_slot *slot, const struct hob_handlers_entry *handler,
                     const char *document, size_t len, struct hob_error *err)
{
    int rc = hob_slot_new_job(slot, handler, document, len, err);
    if (rc && rc != HOB_EREJECTED) {
        hob_slot_break(slot, err->message);
    }
    return rc;
}

const char *hob_slot_why_broken(const struct hob_slot *slot)
{
    return slot->broken ? slot->broken : "out of memory";
}

bool hob_slot_is_passing(int code)
{
    return code == HOB_ESTORE || code == HOB_EIO || code == HOB_ENOSPC || code == HOB_EACCES;
}

void hob_slot_postpone(struct hob_slot *slot, const struct hob_error *err)
{
    hob_slot_store_failed(slot, err);
    hob_slot_release(slot);
}

void hob_slot_break(struct hob_slot *slot, const char *why)
{
    hob_free(slot->broken);
    slot->broken = hob_strdup(why);
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
                                      .boot = slot->options.boot_id ? slot->options.boot_id : "",
                                      .ending_status = "",
                                      .ending_kind = "",
                                      .ending_details = "",
                                      .status = "",
                                      .details = "",
                                      .told = "",
                                      .theirs = ""};
    int64_t added = hob_store_add(slot->options.store, &row, err);
    int rc = added > 0 ? 0 : (int)added;
    if (rc == 0) {
        slot->row = row.row = added;
        hob_slot_store_works(slot);
        rc = slot->job ? hob_job_save_sources(slot->job, added, err) : 0;
        return rc ? rc : hob_outbox_track(slot->options.outbox, &row);
    }
    hob_slot_store_failed(slot, err);
    hob_slot_remove_dir(slot);
    hob_slot_release(slot);
    return rc;
}

/* ---- one that an earlier process left ---- */

static char *copy_text(const char *text)
{
    return hob_strdup(text ? text : "");
}

static void known_ending(struct hob_slot *slot, const struct hob_store_execution *known)
{
    enum hob_jobs_status status = hob_jobs_status_parse(known->ending_status);
    if (status == HOB_JOBS_STATUS_NONE) {
        return;
    }
    slot->ending = true;
    slot->ended_there =
        status != HOB_JOBS_SUCCEEDED && status != HOB_JOBS_FAILED && status != HOB_JOBS_REJECTED;
    slot->theirs = slot->ended_there ? status : HOB_JOBS_STATUS_NONE;
    snprintf(slot->status, sizeof slot->status, "%s", known->ending_status);
    snprintf(slot->kind, sizeof slot->kind, "%s", known->ending_kind ? known->ending_kind : "");
    slot->details = copy_text(known->ending_details);
}

static void count_past(struct hob_slot *slot, const struct hob_store_execution *known,
                       enum hob_slot_past past)
{
    bool at_work = slot->runs > 0 && known->resume_at_s == 0 && !slot->ending;
    slot->past = at_work ? past : HOB_SLOT_PAST_ORDER;
    slot->interrupted = known->interrupted;
    slot->deaths = known->deaths;
    if (slot->past == HOB_SLOT_PAST_POWER) {
        slot->interrupted++;
        slot->deaths = 0; /* they count within one boot */
    } else if (slot->past == HOB_SLOT_PAST_GUILT) {
        slot->interrupted++;
        slot->deaths++;
    }
}

void hob_slot_known(struct hob_slot *slot, const struct hob_store_execution *known,
                    enum hob_slot_past past, const char *step)
{
    /* The beginning of a first run is lost with the commit that it was to ride on; after an end in
     * order it is not. */
    bool first_was_cut = known->runs == 0 && slot->was_claimed && past != HOB_SLOT_PAST_ORDER;
    slot->row = known->row;
    slot->runs = first_was_cut ? 1 : known->runs;
    slot->retries = known->retries;
    slot->cleanups = known->cleanups;
    slot->elapsed_ms = known->elapsed_ms;
    slot->resume_at_s = known->resume_at_s;
    slot->wait_s = known->wait_s;
    slot->known = true;
    snprintf(slot->handler, sizeof slot->handler, "%s", known->handler ? known->handler : "");
    snprintf(slot->past_step, sizeof slot->past_step, "%s", step ? step : "");
    known_ending(slot, known);
    count_past(slot, known, past);
    slot->began = slot->runs > 0;
    struct hob_store_execution execution = {.row = slot->row,
                                            .job_id = slot->job_id,
                                            .execution_number = slot->execution_number,
                                            .queued_at = slot->queued_at,
                                            .version = slot->version};
    hob_outbox_track(slot->options.outbox, &execution);
}

/* ---- running ---- */

static uint64_t limit_ms(const struct hob_slot *slot)
{
    return slot->timeout_ms ? slot->timeout_ms : slot->options.timeout_ms;
}

static int begin_run(struct hob_slot *slot, struct hob_error *err)
{
    struct hob_store_run run = {.handler = hob_job_handler(slot->job),
                                .digest = hob_job_digest(slot->job),
                                .version = slot->version,
                                .boot = slot->options.boot_id ? slot->options.boot_id : "",
                                .interrupted = slot->interrupted,
                                .deaths = slot->deaths,
                                .former_runs = slot->runs};
    return hob_store_begin_run(slot->options.store, slot->row, &run, slot->known || slot->runs > 0,
                               err);
}

/* So that the cloud sees that it lives. A first run has just been claimed: no message for that. */
static void say_it_goes_on(struct hob_slot *slot)
{
    char text[HOB_SLOT_STEP_MAX + 96], where[HOB_SLOT_STEP_MAX + 16];
    if (!slot->known || !slot->began) {
        return;
    }
    hob_slot_shown_step(slot, slot->past_step, where);
    switch (slot->past) {
    case HOB_SLOT_PAST_POWER:
        snprintf(text, sizeof text, "goes on after a power cut or a reboot");
        break;
    case HOB_SLOT_PAST_GUILT:
        snprintf(text, sizeof text, "goes on after it took the runtime down %s", where);
        break;
    case HOB_SLOT_PAST_OTHER:
        snprintf(text, sizeof text, "goes on after a crash of the runtime");
        break;
    default:
        snprintf(text, sizeof text, "goes on");
    }
    hob_slot_say(slot, text);
}

static void start(struct hob_slot *slot)
{
    struct hob_error why = {0};
    slot->state = HOB_SLOT_RUNNING;
    slot->runs++;
    slot->job_ran = true;
    hob_slot_at_work(slot);
    struct hob_log_record record = hob_slot_record(slot, HOB_LOG_INFO, "job.started");
    hob_log_write(slot->options.log, &record, "handler %s, run %d", hob_job_label(slot->job),
                  slot->runs);
    hob_slot_tell_started(slot);
    say_it_goes_on(slot);
    slot->step_until_ms = hob_clock_mono_ms() + (uint64_t)hob_slot_step_minutes(slot) * MINUTE_MS;
    slot->known = false;
    struct hob_job_run run = {.row = slot->row,
                              .attempt = slot->runs,
                              .interrupted = slot->interrupted,
                              .elapsed_ms = slot->elapsed_ms,
                              .cpu_us = slot->cpu_us,
                              .timeout_ms = limit_ms(slot)};
    if (hob_job_start(slot->job, &run, &why)) {
        hob_slot_conclude_with(slot, HOB_JOB_FAILED, why.message, "OUT_OF_MEMORY", "");
    }
}

static void started_again(struct hob_slot *slot)
{
    char text[64];
    start(slot);
    if (slot->state == HOB_SLOT_RUNNING) {
        snprintf(text, sizeof text, "runs again, for the %s time",
                 slot->runs == 2   ? "second"
                 : slot->runs == 3 ? "third"
                                   : "next");
        hob_slot_say(slot, text);
    }
}

/* What the store has is tried again until it can be read; a broken handler stays broken. */
static int begin_anew(struct hob_slot *slot, struct hob_error *err)
{
    int rc = slot->job ? 0 : hob_slot_make_job(slot, err);
    if (rc && !hob_slot_is_passing(rc)) {
        hob_slot_break(slot, err->message);
        return 0;
    }
    return rc ? rc : begin_run(slot, err);
}

static void begun_anew(struct hob_slot *slot)
{
    if (slot->job) {
        started_again(slot);
    } else {
        hob_slot_conclude_with(slot, HOB_JOB_FAILED, hob_slot_why_broken(slot), "HANDLER_BROKEN",
                               "");
    }
}

void hob_slot_begin_again(struct hob_slot *slot)
{
    slot->resume_at_s = 0;
    hob_slot_commit(slot, begin_anew, begun_anew);
}

static void brake(struct hob_slot *slot)
{
    char reason[HOB_SLOT_STEP_MAX + 96], where[HOB_SLOT_STEP_MAX + 16];
    snprintf(reason, sizeof reason, "took the runtime down %d times %s", slot->deaths,
             hob_slot_shown_step(slot, slot->past_step, where));
    struct hob_log_record record = hob_slot_record(slot, HOB_LOG_ERROR, "job.crash_brake");
    record.step = slot->past_step[0] ? slot->past_step : NULL;
    record.action = "it is not started again; look for the crash in what that step does";
    hob_log_write(slot->options.log, &record, "%s", reason);
    hob_slot_conclude_with(slot, HOB_JOB_CRASHED, reason, "CRASHED", slot->past_step);
}

int hob_slot_run(struct hob_slot *slot, int64_t version, struct hob_error *err)
{
    slot->version = version;
    hob_outbox_adopt(slot->options.outbox, slot->row, version);
    if (slot->ending) {
        hob_slot_resume_ending(slot);
    } else if (slot->cancel_waits) {
        hob_slot_cancel_now(slot);
    } else if (slot->deaths >= DEATHS_MAX) {
        brake(slot);
    } else if (!slot->job) {
        hob_slot_conclude_with(slot, HOB_JOB_FAILED, hob_slot_why_broken(slot), "HANDLER_BROKEN",
                               "");
    } else if (slot->resume_at_s) {
        hob_slot_resume_waiting(slot);
    } else {
        int rc = begin_run(slot, err);
        if (rc) {
            hob_slot_store_failed(slot, err);
            hob_slot_release(slot); /* the row stays, and is found again at the next look */
            return rc;
        }
        hob_slot_store_works(slot);
        start(slot);
    }
    return 0;
}

static int64_t ceil_minutes(int64_t ms)
{
    return (ms + MINUTE_MS - 1) / MINUTE_MS;
}

/* What is left of its time, what it waits, and room for its cleanup. */
int hob_slot_step_minutes(const struct hob_slot *slot)
{
    int64_t limit = (int64_t)limit_ms(slot);
    if (limit == 0) {
        return 0;
    }
    uint64_t cleanup =
        slot->options.cleanup_timeout_ms ? slot->options.cleanup_timeout_ms : CLEANUP_TIMEOUT_MS;
    int64_t left = limit - hob_slot_elapsed_ms(slot);
    left = (left > 0 ? left : 0) + hob_slot_wait_left_ms(slot);
    int64_t minutes = ceil_minutes(left) + ceil_minutes((int64_t)cleanup);
    return minutes < STEP_MINUTES_MAX ? (int)minutes : STEP_MINUTES_MAX;
}

/* ---- giving it back ---- */

void hob_slot_release(struct hob_slot *slot)
{
    hob_slot_uncommit(slot);
    hob_slot_forget_reboot(slot);
    hob_timer_stop(slot->wait_timer);
    hob_timer_stop(slot->hold_timer);
    hob_exec_set_when_gone(slot->children, NULL, NULL);
    hob_slot_end_job(slot);
    hob_slot_off_work(slot);
    hob_free(slot->details);
    hob_free(slot->wait_reason);
    hob_free(slot->dir);
    hob_free(slot->broken);
    hob_free(slot->reboot_problem);
    struct hob_slot empty = {.options = slot->options,
                             .children = slot->children,
                             .store_retry = slot->store_retry,
                             .wait_timer = slot->wait_timer,
                             .reboot_timer = slot->reboot_timer,
                             .stop_timer = slot->stop_timer,
                             .turn_timer = slot->turn_timer,
                             .hold_timer = slot->hold_timer,
                             .store_failing = slot->store_failing,
                             .stopped = slot->stopped,
                             .stopped_user = slot->stopped_user};
    *slot = empty;
    if (slot->stopped) {
        hob_timer_stop(slot->stop_timer);
        hob_timer_start(slot->turn_timer, 0);
    }
}

void hob_slot_is_free(struct hob_slot *slot)
{
    hob_slot_release(slot);
    slot->options.on_free(slot->options.user);
}

void hob_slot_drop(struct hob_slot *slot)
{
    struct hob_error err = {0};
    if (hob_store_remove(slot->options.store, slot->row, &err)) {
        hob_slot_store_failed(slot, &err);
    }
    hob_outbox_forget(slot->options.outbox, slot->row);
    hob_slot_remove_dir(slot);
    hob_slot_release(slot);
}

void hob_slot_put_back(struct hob_slot *slot)
{
    hob_slot_remove_dir(slot);
    hob_slot_release(slot);
}

const struct hob_requires *hob_slot_requires(const struct hob_slot *slot)
{
    return slot->job ? hob_job_requires(slot->job) : NULL;
}

/* What is told in a turn of its own. */
static void on_turn(void *user)
{
    struct hob_slot *slot = user;
    void (*stopped)(void *) = slot->state == HOB_SLOT_FREE ? slot->stopped : NULL;
    if (slot->sound) {
        slot->sound = false;
        slot->options.on_sound(slot->options.user);
    }
    if (stopped) {
        slot->stopped = NULL;
        stopped(slot->stopped_user);
    }
}

/* ---- life ---- */

int hob_slot_new(const struct hob_slot_options *options, struct hob_slot **out,
                 struct hob_error *err)
{
    struct hob_slot *slot = hob_calloc(1, sizeof *slot);
    if (!slot) {
        return hob_error_set(err, HOB_ENOMEM, "slot: out of memory");
    }
    slot->options = *options;
    slot->store_retry = hob_timer_new(options->loop, hob_slot_try_commit, slot);
    slot->wait_timer = hob_timer_new(options->loop, hob_slot_on_wait, slot);
    slot->reboot_timer = hob_timer_new(options->loop, hob_slot_on_reboot_timer, slot);
    slot->stop_timer = hob_timer_new(options->loop, hob_slot_on_stop_timer, slot);
    slot->turn_timer = hob_timer_new(options->loop, on_turn, slot);
    slot->hold_timer = hob_timer_new(options->loop, hob_slot_on_hold_timer, slot);
    struct hob_exec_set_options children = {.on_start = hob_slot_on_start,
                                            .on_child = hob_slot_on_child,
                                            .on_data = hob_slot_on_data,
                                            .on_wait = hob_slot_on_wait_for_children,
                                            .user = slot};
    slot->children = hob_exec_set_new(options->loop, &children);
    bool whole = slot->store_retry && slot->wait_timer && slot->reboot_timer && slot->stop_timer &&
                 slot->turn_timer && slot->hold_timer && slot->children;
    int rc = whole ? hob_slot_own_directory(options->work_dir, err)
                   : hob_error_set(err, HOB_ENOMEM, "slot: out of memory");
    rc = rc ? rc : hob_policy_open_way(options->policy, options->work_dir, err);
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
    if (slot->children) {
        hob_slot_release(slot);
    }
    hob_exec_set_free(slot->children);
    hob_timer_close(slot->store_retry);
    hob_timer_close(slot->wait_timer);
    hob_timer_close(slot->reboot_timer);
    hob_timer_close(slot->stop_timer);
    hob_timer_close(slot->turn_timer);
    hob_timer_close(slot->hold_timer);
    hob_free(slot);
}

/* ---- what it holds ---- */

enum hob_slot_state hob_slot_state(const struct hob_slot *slot)
{
    return slot->state;
}

const char *hob_slot_label(const struct hob_slot *slot)
{
    return slot->job ? hob_job_label(slot->job) : "";
}

int64_t hob_slot_row(const struct hob_slot *slot)
{
    return slot->row;
}

int64_t hob_slot_version(const struct hob_slot *slot)
{
    return slot->version;
}

const char *hob_slot_step(const struct hob_slot *slot)
{
    return slot->job ? hob_job_step(slot->job) : "";
}

int64_t hob_slot_elapsed_ms(const struct hob_slot *slot)
{
    return slot->job && slot->job_ran && !slot->ending ? hob_job_elapsed_ms(slot->job)
                                                       : slot->elapsed_ms;
}
