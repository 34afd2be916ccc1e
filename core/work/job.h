/* job.h - one run of a handler for one execution, in a sandbox of its own.
 *
 * hob_job_new prepares: the document is decoded inside the sandbox, the handler compiled, its
 * `args` checked. Nothing has happened to the device yet, so a document that can never work is
 * refused before it is claimed. hob_job_start then runs `run(job, args)` as a task; its steps are
 * journalled in the store; on_end tells the outcome, which the executor stores before anybody hears
 * of it.
 *
 * Life: hob_job_new -> hob_job_start -> on_end -> hob_job_free; hob_job_free before on_end ends
 * what the handler waits for, and on_end is not called. Loop thread only. Specs:
 * spec/integration/job_spec.lua
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

struct hob_job;
struct hob_modules_agent;
struct lua_State;

struct hob_job_outcome {
    enum hob_jobs_status status; /* SUCCEEDED, FAILED or REJECTED */
    const char *details;         /* a JSON object that AWS will take; borrowed */
};

struct hob_job_options {
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_store *store;
    const struct hob_handler *handler; /* borrowed for hob_job_new */
    const char *script_lib, *lib;      /* as sandbox.h */
    const char *thing, *job_id;        /* copied */
    int64_t execution_number;
    const char *document; /* copied */
    size_t document_len;
    size_t memory_bytes;
    const char *const
        *allowed_commands; /* NULL-terminated; for runCommand; borrowed for its life */
    const char *work_dir;  /* where relative file names of the job belong; copied */
    const struct hob_modules_agent *agent;             /* borrowed for its life; NULL: none */
    void (*on_progress)(void *user, const char *text); /* "42% unpacking" */
    void (*on_end)(void *user, const struct hob_job_outcome *outcome);
    void *user;
};

/** @return 0, HOB_EREJECTED (this document can never work here), HOB_EHANDLER (the handler is
 * broken: it may work once mended), or HOB_ENOMEM; err has the reason as it is to be reported */
int hob_job_new(const struct hob_job_options *options, struct hob_job **out, struct hob_error *err);

/** @param row  of the execution in the store. @param attempt  1 for the first run
 * @return 0 (on_end will come), or a code: out of memory, and on_end will not come */
int hob_job_start(struct hob_job *job, int64_t row, int attempt, struct hob_error *err);
void hob_job_free(struct hob_job *job); /* NULL is legal */

const char *hob_job_handler(const struct hob_job *job);
const char *hob_job_label(const struct hob_job *job); /* "NAME@" and 12 digits of the digest */
const char *hob_job_digest(const struct hob_job *job);
const char *hob_job_step(const struct hob_job *job); /* "" between steps */

/** Outcome details for an execution that never ran: {reason, code, handler}. Appends JSON. */
int hob_job_refusal(struct hob_buf *out, const char *reason, const char *code, const char *handler);

/* ---- for bindings/lua_job.c: what lib/hob/job.lua stands on ---- */

struct hob_job_view {
    const char *id, *thing, *document, *label, *work_dir;
    size_t document_len;
    int64_t execution_number;
    int attempt;
    const char *const *allowed_commands;
    struct hob_log *log;
};
void hob_job_view(const struct hob_job *job, struct hob_job_view *out);
void hob_job_set_step(struct hob_job *job, const char *name); /* NULL: none; copied */
void hob_job_progress(struct hob_job *job, const char *text);
int hob_job_saved_step(struct hob_job *job, const char *name, bool *failed, const char **result,
                       struct hob_error *err);
int hob_job_save_step(struct hob_job *job, const char *name, bool failed, const char *result,
                      struct hob_error *err);
/** What run() came to; takes effect when the task ends. Details are fitted. */
void hob_job_set_outcome(struct hob_job *job, enum hob_jobs_status status,
                         const struct hob_jobs_detail *details, size_t count);

#endif
