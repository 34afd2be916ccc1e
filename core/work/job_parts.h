/* job_parts.h - internal to job*.c: what a job holds, and how its parts call each
 * other.
 */
#ifndef HOB_WORK_JOB_PARTS_H
#define HOB_WORK_JOB_PARTS_H

#include "work/job.h"
#include "work/requires.h"
#include "work/sandbox.h"

#define HOB_JOB_STEP_MAX   128
#define HOB_JOB_KIND_MAX   16
#define HOB_JOB_REASON_MAX 4096
#define HOB_JOB_DETAILS    (64 * 1024)

struct hob_job_why_copy { /* copies for hob_job_why */
    struct hob_job_why view;
    char *kind, *reason, *code, *step;
};

struct hob_job {
    struct hob_job_options options; /* its strings are those below */
    struct hob_sandbox *sandbox;
    struct hob_journal *journal;
    struct hob_task *task;
    struct hob_debug_target *debug; /* NULL: nobody can look into it */
    char *thing, *job_id, *document, *work_dir;
    char handler[HOB_HANDLER_NAME_MAX + 1];
    char digest[HOB_SHA256_HEX_MAX];
    char label[HOB_HANDLER_NAME_MAX + 16];
    /* What the handler's table says. */
    int run, cleanup; /* registry references of the functions to run as a task */
    uint64_t timeout_ms;
    int max_runs;
    struct hob_requires *requires; /* NULL: nothing */
    /* This run. */
    int attempt, interrupted;
    bool pinned;       /* its sources are those of the store */
    bool has_dir;      /* work_dir was asked for, and is there */
    int source_failed; /* the store's code: a module that it may have could not be read */
    bool cleaning;     /* it is that of cleanup */
    struct hob_job_why_copy why;
    uint64_t started_ms;
    int64_t former_ms;
    uint64_t former_cpu_us;
    struct hob_timer *limit;
    uint64_t limit_ms;      /* of all runs together */
    uint64_t cancelled_ms;  /* when it was, if a critical section delayed it; 0: it did not */
    struct hob_timer *stop; /* calls `stopped`, later */
    void (*stopped)(void *user);
    bool parked; /* waits for ever */
    char step[HOB_JOB_STEP_MAX + 1];
    bool once; /* of the step */
    char saved_step[HOB_JOB_STEP_MAX + 1];
    bool began_step;
    /* What it came to. */
    bool has_outcome;
    enum hob_jobs_status status;
    char kind[HOB_JOB_KIND_MAX];
    struct hob_buf details;
    char *reason; /* NULL: none, or there was no memory for it */
    uint64_t retry_ms;
};

/* ---- job_debug.c ---- */
void hob_job_open_debug(struct hob_job *job); /* it begins */
void hob_job_close_debug(struct hob_job *job);

/** hob_task_done_fn of run() and cleanup. */
void hob_job_ended(void *user, struct lua_State *L, int status, int results);

#endif
