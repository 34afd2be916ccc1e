/* job_debug.c - what lets a person look into a job, and hold it; see debug.h */
#include "work/debug.h"
#include "work/job_parts.h"
#include "work/sandbox.h"

static void on_hold(struct hob_job *job, const char *where)
{
    if (job->options.on_hold) {
        job->options.on_hold(job->options.user, where);
    }
}

static uint64_t hold_until_ms(struct hob_job *job, const char **why)
{
    return job->options.hold_until_ms ? job->options.hold_until_ms(job->options.user, why) : 0;
}

static void cancel(struct hob_job *job, const char *who)
{
    if (job->options.on_debug_cancel) {
        job->options.on_debug_cancel(job->options.user, who);
    } else {
        hob_job_cancel(job, HOB_JOB_CANCELLED, who, "CANCELLED");
    }
}

void hob_job_open_debug(struct hob_job *job)
{
    struct hob_debug_target_options options = {.job = job,
                                               .L = hob_sandbox_lua(job->sandbox),
                                               .scheduler = hob_sandbox_scheduler(job->sandbox),
                                               .on_hold = on_hold,
                                               .hold_until_ms = hold_until_ms,
                                               .cancel = cancel};
    job->debug = hob_debug_register(job->options.debugger, &options);
    hob_debug_set_task(job->debug, job->task);
}

void hob_job_close_debug(struct hob_job *job)
{
    struct hob_debug_target *target = job->debug;
    job->debug = NULL;
    hob_debug_unregister(target);
}

void hob_job_let_go(struct hob_job *job, const char *why)
{
    hob_debug_let_go(job->debug, why);
}

bool hob_job_break_here(struct hob_job *job, struct lua_State *L, struct hob_task_wait *wait)
{
    return hob_debug_break_here(job->debug, L, wait);
}
