/* job.h - one run of a handler for one execution, in a sandbox of its own.
 *
 * hob_job_new prepares: the document is decoded inside the sandbox, the handler compiled, its
 * `args` checked. Nothing has happened to the device yet, so a document that can never work is
 * refused before it is claimed. hob_job_start then runs `run(job, args)` as a task; its steps are
 * journalled in the store; on_end tells the outcome, which the slot stores before anybody hears of
 * it. hob_job_start_cleanup runs `cleanup(job, args, why)` instead: in a job made anew, after the
 * end of the one that ran.
 *
 * An execution that the store knows (`row` in the options) is prepared from the source that it was
 * begun with: handler and modules come from the store, whatever is on disk by now.
 *
 * Life: hob_job_new -> hob_job_start or hob_job_start_cleanup -> on_end -> hob_job_free;
 * hob_job_free before on_end ends what the handler waits for, and on_end is not called. Processes
 * that it started may outlive it for their grace: `children` tells when they are gone. Loop thread
 * only. Specs: spec/integration/job_spec.lua, spec/integration/steps_spec.lua
 */
#ifndef HOB_WORK_JOB_H
#define HOB_WORK_JOB_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "jobs/detail.h"
#include "jobs/protocol.h"
#include "work/handlers.h"
#include "work/store.h"

#include <stdint.h>

struct hob_bench;
struct hob_debugger;
struct hob_job;
struct hob_exec_set;
struct hob_journal;
struct hob_modules_agent;
struct hob_policy;
struct hob_requires;
struct hob_scripts_modules;
struct hob_task;
struct lua_State;

/* How a run came to its end: the first argument's `kind` of cleanup, and what decides the code. */
#define HOB_JOB_SUCCEEDED   "succeeded"
#define HOB_JOB_FAILED      "failed"      /* by its own word, or an error */
#define HOB_JOB_REJECTED    "rejected"    /* job:reject */
#define HOB_JOB_TIMED_OUT   "timed_out"   /* handler's timeout, or the service's */
#define HOB_JOB_CANCELLED   "cancelled"   /* by the service, or a person here */
#define HOB_JOB_LIMIT       "limit"       /* memory, processor */
#define HOB_JOB_INTERRUPTED "interrupted" /* a step too often */
#define HOB_JOB_CRASHED     "crashed"     /* the crash brake */
#define HOB_JOB_RETRY       "retry_later" /* not an end: it is to be run again */

struct hob_job_outcome {
    enum hob_jobs_status status; /* SUCCEEDED, FAILED or REJECTED; NONE: to be run again later */
    const char *kind;            /* one of those above */
    const char *details;         /* a JSON object that AWS will take; borrowed. NONE: the reason as
                                  * plain text */
    uint64_t retry_ms;           /* NONE: after this long */
    const char *limit; /* kind "limit": which, "memory", "cpu", or "held" (it held up the process);
                        * else NULL */
};

struct hob_job_options {
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_store *store;
    const struct hob_handlers_entry
        *handler;                        /* borrowed for hob_job_new; NULL: only the store has it */
    const struct hob_handlers *handlers; /* likewise: the others, for AWS's steps; NULL: none */
    int64_t row;                         /* in the store; 0: new, nothing of it is stored yet */
    const char *script_lib, *lib;        /* as sandbox.h */
    struct hob_scripts_modules *modules; /* as sandbox.h; a handler's own are used before these */
    const char *thing, *job_id;          /* copied */
    int64_t execution_number;
    const char *document; /* copied */
    size_t document_len;
    size_t memory_bytes;
    uint64_t cpu_ms;                 /* processor time of all runs together; 0: no limit */
    const struct hob_policy *policy; /* borrowed for its life; NULL: all is allowed */
    const char *work_dir;            /* where relative file names of the job belong; copied */
    /** It is about to be used for the first time: make it. */
    int (*on_dir)(void *user, struct hob_error *err);
    const struct hob_modules_agent *agent; /* borrowed for its life; NULL: none */
    struct hob_exec_set *children;         /* borrowed for its life */
    volatile int *executing;               /* see hob_scheduler_mark_executing */
    struct hob_bench *bench;               /* as sandbox.h */
    struct hob_debugger *debugger;         /* borrowed for its life; NULL: none */
    /** A person holds it (`where`: "FILE:LINE"), for at most so long; or not any more (NULL). */
    void (*on_hold)(void *user, const char *where);
    /** As hob_debug_target_options. */
    uint64_t (*hold_until_ms)(void *user, const char **why);
    void (*on_debug_cancel)(void *user, const char *who); /* as `hob cancel`; NULL: it just ends */
    void (*on_progress)(void *user, const char *text);    /* "42% unpacking" */
    /** A step begins (its name), or has ended (NULL). `once`: it may not be given up lightly. */
    void (*on_step)(void *user, const char *name, bool once);
    /** The handler asks for a reboot, or (`restart`) for a new process of Hob, named `key` within
     * the execution. @return 1: it has happened (a former run asked for it), go on; 0: it is under
     * way, the handler waits for ever (hob_job_cancel may end it); or a code with the reason */
    int (*on_reboot)(void *user, bool restart, const char *key, const char *reason,
                     struct hob_error *err);
    void (*on_end)(void *user, const struct hob_job_outcome *outcome);
    void *user;
};

/** @return 0, HOB_EREJECTED (this document can never work here), HOB_EHANDLER (the handler is
 * broken: it may work once mended), HOB_ENOMEM, or what the store said; err has the reason as it is
 * to be reported */
int hob_job_new(const struct hob_job_options *options, struct hob_job **out, struct hob_error *err);

/** Put the source of the handler, and of the modules that it has required so far, into the store
 * (rides on the next commit); those that it requires later follow by themselves. For a new one,
 * once it has its row. */
int hob_job_save_sources(struct hob_job *job, int64_t row, struct hob_error *err);

struct hob_job_run {
    int64_t row;         /* of the execution in the store */
    int attempt;         /* 1 for the first run */
    int interrupted;     /* as in the store: at the cap, the next unfinished step ends the job */
    int64_t elapsed_ms;  /* of former runs */
    uint64_t cpu_us;     /* likewise, as far as it is known: of those in this process */
    uint64_t timeout_ms; /* of all runs together; 0: none */
};

/** @return 0 (on_end will come), or a code: out of memory, and on_end will not come */
int hob_job_start(struct hob_job *job, const struct hob_job_run *run, struct hob_error *err);

struct hob_job_why { /* `why` of cleanup(job, args, why) */
    const char *kind, *reason, *code, *step;
};

/** on_end's outcome is SUCCEEDED, or FAILED with the reason as plain text in `details`. */
int hob_job_start_cleanup(struct hob_job *job, int64_t row, const struct hob_job_why *why,
                          uint64_t timeout_ms, struct hob_error *err);

/** In place of `executing` of the options, for who learns it later (a new execution has no entry in
 * the black box before it has its row). NULL: nobody wants to know. */
void hob_job_mark_executing(struct hob_job *job, volatile int *flag);

/** End it: `kind` is one of those above, `reason` and `code` go into the details. At once, or when
 * its critical section ends. on_end comes later. @return whether it was delayed */
bool hob_job_cancel(struct hob_job *job, const char *kind, const char *reason, const char *code);

/** Do not begin another step: `stopped` is called, later, when the handler asks for one (it then
 * waits for ever) or asks for a reboot. on_end may come instead. */
void hob_job_stop_at_step(struct hob_job *job, void (*stopped)(void *user));

/** A person who holds it holds it no longer, and cannot again: it is to end. */
void hob_job_let_go(struct hob_job *job, const char *why);

/** In a critical section or a `once` step: stopping it now would break a promise. */
bool hob_job_is_delicate(const struct hob_job *job);

void hob_job_free(struct hob_job *job); /* NULL is legal */

const char *hob_job_handler(const struct hob_job *job);
const char *hob_job_label(const struct hob_job *job); /* "NAME@" and 12 digits of the digest */
const char *hob_job_digest(const struct hob_job *job);
const char *hob_job_step(const struct hob_job *job); /* "" between steps */
bool hob_job_began_step(const struct hob_job *job);  /* in this run, or a saved one of a former */
int64_t hob_job_elapsed_ms(const struct hob_job *job);
uint64_t hob_job_cpu_us(const struct hob_job *job); /* with that of former runs */
/* Of the handler's table; 0: it does not say. */
uint64_t hob_job_timeout_ms(const struct hob_job *job);
int hob_job_max_runs(const struct hob_job *job);
bool hob_job_has_cleanup(const struct hob_job *job);
const struct hob_requires *hob_job_requires(const struct hob_job *job); /* NULL: nothing */

/** Why an execution ended that its handler did not end. Texts are never NULL; "", and a first
 * attempt, are not told. */
struct hob_job_refusal {
    const char *reason, *code, *handler, *step;
    int attempt;
};

/** Its details: appends JSON. */
int hob_job_put_refusal(struct hob_buf *out, const struct hob_job_refusal *refusal);

/* ---- for bindings/lua_job.c: what lib/hob/job.lua stands on; the owner of both files adds here
 * what they need ---- */

struct hob_job_view {
    const char *id, *thing, *document, *label, *work_dir;
    size_t document_len;
    int64_t execution_number;
    int attempt;
    int interrupted; /* runs that were interrupted since the last finished step */
    const struct hob_policy *policy;
    struct hob_exec_set *children;
    struct hob_log *log;
};
void hob_job_view(const struct hob_job *job, struct hob_job_view *out);
/** The job's directory, which is made when it is first asked for: most short jobs have no files.
 * @return 0 with *dir (borrowed; "": it has none), or a code */
int hob_job_use_dir(struct hob_job *job, const char **dir, struct hob_error *err);
bool hob_job_is_new(const struct hob_job *job); /* no former run of it has stored anything */
const struct hob_job_why *hob_job_why(const struct hob_job *job); /* of cleanup */
struct hob_journal *hob_job_journal(struct hob_job *job);

struct hob_job_source { /* borrowed until the store is asked again */
    const char *path, *text;
    size_t len;
};
/** Another Lua handler, by its name or one of its others: as it was when the execution was begun.
 * Only while the job is made. @return 0, HOB_ENOENT, HOB_EHANDLER (it is broken), or a code */
int hob_job_other_handler(struct hob_job *job, const char *name, struct hob_job_source *out,
                          struct hob_error *err);
/** Likewise, once it is made, and only if it was begun with one of that name. */
int hob_job_begun_handler(struct hob_job *job, const char *name, struct hob_job_source *out,
                          struct hob_error *err);
bool hob_job_is_pinned(const struct hob_job *job); /* begun earlier: its sources are the store's */

/** Is this the task of run() (or cleanup), not that of a callback? */
bool hob_job_is_main(const struct hob_job *job, const struct hob_task *task);
/** The handler will wait for ever from now on; for hob_job_stop_at_step. */
void hob_job_park(struct hob_job *job);
bool hob_job_is_stopping(const struct hob_job *job);

struct hob_task_wait;
/** job:break_here(): as hob_debug_break_here. */
bool hob_job_break_here(struct hob_job *job, struct lua_State *L, struct hob_task_wait *wait);

/** A step begins; NULL: it has ended. */
void hob_job_set_step(struct hob_job *job, const char *name, bool once);
void hob_job_progress(struct hob_job *job, const char *text);
/** May the end of its present step wait for the next commit, if nothing happens in between? Not
 * that of a `once` step: it is never begun again. */
bool hob_job_may_save_late(const struct hob_job *job);
/** The step that was saved last. */
const char *hob_job_saved_step(const struct hob_job *job);
/** What the journal's `put` needs: see journal.h. A failure is of the store. */
int hob_job_save_step(struct hob_job *job, const char *name, bool failed, const char *result,
                      const char *state, bool commits, struct hob_error *err);
int hob_job_reboot(struct hob_job *job, bool restart, const char *key, const char *reason,
                   struct hob_error *err);
void hob_job_set_retry(struct hob_job *job, uint64_t ms);

/** For hob_task_raise: "KIND/CODE", which run()'s end takes apart again. @return out */
#define HOB_JOB_ENGINE_MAX 32
const char *hob_job_engine_kind(const char *kind, const char *code, char out[HOB_JOB_ENGINE_MAX]);

/** What run() came to; takes effect when the task ends. Details are fitted. */
void hob_job_set_outcome(struct hob_job *job, enum hob_jobs_status status, const char *kind,
                         const struct hob_jobs_detail *details, size_t count);

#endif
