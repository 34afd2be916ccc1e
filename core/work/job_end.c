#include "base/alloc.h"
#include "base/clock.h"
#include "work/job_parts.h"

#include <lua.h>
#include <stdio.h>
#include <string.h>

/* ---- how it ended ---- */

const char *hob_job_engine_kind(const char *kind, const char *code, char out[HOB_JOB_ENGINE_MAX])
{
    snprintf(out, HOB_JOB_ENGINE_MAX, "%s/%s", kind, code);
    return out;
}

/* Hob's own five. */
struct report {
    struct hob_jobs_detail details[5];
    size_t count;
    char attempt[16];
};

static void add(struct report *report, const char *key, const char *value)
{
    report->details[report->count++] =
        (struct hob_jobs_detail){.key = key, .value = value, .len = strlen(value)};
}

static void add_if_any(struct report *report, const char *key, const char *value)
{
    if (value[0]) {
        add(report, key, value);
    }
}

static void fill(struct report *report, const struct hob_job_refusal *refusal)
{
    report->count = 0;
    snprintf(report->attempt, sizeof report->attempt, "%d", refusal->attempt);
    add(report, "reason", refusal->reason);
    add(report, "code", refusal->code);
    add_if_any(report, "handler", refusal->handler);
    add_if_any(report, "step", refusal->step);
    add_if_any(report, "attempt", refusal->attempt > 1 ? report->attempt : "");
}

static void keep_reason(struct hob_job *job, const char *reason)
{
    hob_free(job->reason);
    job->reason = hob_strndup(reason, HOB_JOB_REASON_MAX - 1);
}

static void fail(struct hob_job *job, const char *kind, const char *reason, const char *code)
{
    struct report report;
    fill(&report, &(struct hob_job_refusal){.reason = reason,
                                            .code = code,
                                            .handler = job->label,
                                            .step = job->step,
                                            .attempt = job->attempt});
    bool rejected = strcmp(kind, HOB_JOB_REJECTED) == 0;
    keep_reason(job, reason);
    hob_job_set_outcome(job, rejected ? HOB_JOBS_REJECTED : HOB_JOBS_FAILED, kind, report.details,
                        report.count);
}

/* A cancel that a critical section held up says so. */
static void fail_late(struct hob_job *job, const char *kind, const char *message, const char *code)
{
    if (!job->cancelled_ms) {
        fail(job, kind, message, code);
        return;
    }
    char reason[HOB_JOB_REASON_MAX];
    snprintf(reason, sizeof reason, "%s (%.1f s late: a critical section had to end first)",
             message, (double)(hob_clock_mono_ms() - job->cancelled_ms) / 1000);
    fail(job, kind, reason, code);
}

/* An engine error ends run() however it was written: "KIND/CODE", or one of task.h's own. */
static void end_by_engine(struct hob_job *job, const char *engine, const char *message)
{
    char kind[HOB_JOB_KIND_MAX];
    const char *code = strchr(engine, '/');
    snprintf(kind, sizeof kind, "%.*s", (int)strcspn(engine, "/"), engine);
    if (strcmp(kind, "memory") == 0) {
        fail(job, HOB_JOB_LIMIT, message, "OUT_OF_MEMORY");
    } else if (strcmp(kind, "limit") == 0 && !code) {
        fail(job, HOB_JOB_LIMIT, message, "LIMIT");
    } else if (strcmp(kind, HOB_JOB_RETRY) == 0) {
        job->has_outcome = true;
        job->status = HOB_JOBS_STATUS_NONE;
        snprintf(job->kind, sizeof job->kind, "%s", kind);
        keep_reason(job, message);
    } else {
        fail_late(job, kind, message, code ? code + 1 : "CANCELLED");
    }
}

/* All other limits of the engine are about time that everybody lost. */
static const char *limit_of(const struct hob_job *job, const char *engine)
{
    if (!engine || strcmp(job->kind, HOB_JOB_LIMIT) != 0) {
        return NULL;
    }
    uint64_t limit_us = job->options.cpu_ms * 1000;
    bool is_cpu = limit_us && hob_job_cpu_us(job) >= limit_us;
    return strcmp(engine, "memory") == 0 ? "memory" : is_cpu ? "cpu" : "held";
}

static void tell_end(struct hob_job *job, const char *limit)
{
    bool plain = job->cleaning || job->status == HOB_JOBS_STATUS_NONE;
    const char *reason = job->reason ? job->reason : "";
    struct hob_job_outcome outcome = {.status = job->status,
                                      .kind = job->kind,
                                      .details = plain ? reason : hob_buf_string(&job->details),
                                      .retry_ms = job->retry_ms,
                                      .limit = limit};
    job->options.on_end(job->options.user, &outcome); /* may free the job */
}

void hob_job_ended(void *user, lua_State *L, int status, int results)
{
    struct hob_job *job = user;
    const char *message = NULL;
    const char *kind = hob_task_engine_error(hob_sandbox_scheduler(job->sandbox), &message);
    job->task = NULL;
    hob_job_close_debug(job);
    hob_timer_stop(job->limit);
    hob_timer_stop(job->stop);
    if (kind) {
        end_by_engine(job, kind, message);
    } else if (status != LUA_OK || (!job->has_outcome && !job->cleaning)) {
        const char *reason = status != LUA_OK ? lua_tostring(L, -1) : NULL;
        fail(job, HOB_JOB_FAILED, reason ? reason : "the handler ended without an outcome",
             "LUA_ERROR");
    } else if (job->cleaning) {
        hob_job_set_outcome(job, HOB_JOBS_SUCCEEDED, HOB_JOB_SUCCEEDED, NULL, 0);
    }
    tell_end(job, limit_of(job, kind));
}

void hob_job_set_outcome(struct hob_job *job, enum hob_jobs_status status, const char *kind,
                         const struct hob_jobs_detail *details, size_t count)
{
    hob_buf_clear(&job->details);
    job->has_outcome = true;
    job->status = status;
    snprintf(job->kind, sizeof job->kind, "%s", kind);
    if (hob_jobs_details_fit(&job->details, details, count) < 0) {
        hob_buf_clear(&job->details);
        hob_buf_append_string(&job->details, "{}");
    }
}

void hob_job_set_retry(struct hob_job *job, uint64_t ms)
{
    job->retry_ms = ms;
}

int hob_job_put_refusal(struct hob_buf *out, const struct hob_job_refusal *refusal)
{
    struct report report;
    fill(&report, refusal);
    int rc = hob_jobs_details_fit(out, report.details, report.count);
    return rc < 0 ? rc : 0;
}
