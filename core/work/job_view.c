/* job_view.c - what is known of a job. */
#include "work/job_parts.h"

#include "base/clock.h"
#include "work/sandbox.h"

#include <lauxlib.h>

void hob_job_view(const struct hob_job *job, struct hob_job_view *out)
{
    *out = (struct hob_job_view){.id = job->job_id,
                                 .thing = job->thing,
                                 .document = job->document,
                                 .document_len = job->options.document_len,
                                 .label = job->label,
                                 .work_dir = job->work_dir,
                                 .execution_number = job->options.execution_number,
                                 .attempt = job->attempt,
                                 .interrupted = job->interrupted,
                                 .policy = job->options.policy,
                                 .children = job->options.children,
                                 .log = job->options.log};
}

int hob_job_use_dir(struct hob_job *job, const char **dir, struct hob_error *err)
{
    int rc = 0;
    if (!job->has_dir && job->options.on_dir) {
        rc = job->options.on_dir(job->options.user, err);
    }
    job->has_dir = rc == 0;
    *dir = job->work_dir;
    return rc;
}

const struct hob_job_why *hob_job_why(const struct hob_job *job)
{
    return &job->why.view;
}

struct hob_journal *hob_job_journal(struct hob_job *job)
{
    return job->journal;
}

bool hob_job_is_main(const struct hob_job *job, const struct hob_task *task)
{
    return job->task == task;
}

bool hob_job_is_new(const struct hob_job *job)
{
    return job->options.row == 0;
}

const char *hob_job_handler(const struct hob_job *job)
{
    return job->handler;
}

const char *hob_job_label(const struct hob_job *job)
{
    return job->label;
}

const char *hob_job_digest(const struct hob_job *job)
{
    return job->digest;
}

const char *hob_job_step(const struct hob_job *job)
{
    return job->step;
}

bool hob_job_began_step(const struct hob_job *job)
{
    return job->began_step;
}

int64_t hob_job_elapsed_ms(const struct hob_job *job)
{
    uint64_t held = hob_scheduler_held_ms(hob_sandbox_scheduler(job->sandbox));
    return job->former_ms +
           (job->started_ms ? (int64_t)(hob_clock_mono_ms() - job->started_ms - held) : 0);
}

uint64_t hob_job_cpu_us(const struct hob_job *job)
{
    struct hob_scheduler_usage usage;
    hob_scheduler_usage(hob_sandbox_scheduler(job->sandbox), &usage);
    return usage.cpu_us;
}

uint64_t hob_job_timeout_ms(const struct hob_job *job)
{
    return job->timeout_ms;
}

int hob_job_max_runs(const struct hob_job *job)
{
    return job->max_runs;
}

bool hob_job_has_cleanup(const struct hob_job *job)
{
    return job->cleanup != LUA_NOREF;
}

const struct hob_requires *hob_job_requires(const struct hob_job *job)
{
    return job->requires;
}
