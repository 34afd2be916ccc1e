#include "work/job.h"

#include "work/modules.h"
#include "work/sandbox.h"

#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DETAILS_LIMIT (64 * 1024)
#define STEP_NAME_MAX 128

struct hob_job {
    struct hob_job_options options; /* its strings are those below */
    struct hob_sandbox *sandbox;
    struct hob_task *task;
    char *thing, *job_id, *document, *work_dir;
    char handler[HOB_HANDLER_NAME_MAX + 1];
    char digest[HOB_SHA256_HEX_MAX];
    char label[HOB_HANDLER_NAME_MAX + 16];
    int64_t row;
    int attempt;
    int drive; /* registry reference: the function that runs the handler */
    char step[STEP_NAME_MAX + 1];
    bool has_outcome;
    enum hob_jobs_status status;
    struct hob_buf details;
};

/* ---- preparing ---- */

struct preparation {
    struct hob_job *job;
    const struct hob_handler *handler;
    bool rejected;
};

/* hob.job's prepare(handler, primitive) gives the function to run, or nil and why this document can
 * never work. */
static int prepare(lua_State *L)
{
    struct preparation *prep = lua_touserdata(L, 1);
    char chunk[PATH_MAX + 2];
    snprintf(chunk, sizeof chunk, "@%s", prep->handler->path);
    hob_sandbox_require(L, "hob.job");
    lua_getfield(L, -1, "prepare");
    if (luaL_loadbufferx(L, prep->handler->source, prep->handler->source_len, chunk, "t")) {
        return lua_error(L);
    }
    lua_call(L, 0, 1);
    hob_modules_push_job(L, prep->job);
    lua_call(L, 2, 2);
    if (lua_isnil(L, -2)) {
        prep->rejected = true;
        return luaL_error(L, "%s", lua_tostring(L, -1));
    }
    lua_pop(L, 1);
    prep->job->drive = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int open_sandbox(struct hob_job *job, struct hob_error *err)
{
    struct preparation prep = {job, job->options.handler, false};
    struct hob_sandbox_options options = {.loop = job->options.loop,
                                          .log = job->options.log,
                                          .job = job,
                                          .agent = job->options.agent,
                                          .script_lib = job->options.script_lib,
                                          .lib = job->options.lib,
                                          .memory_bytes = job->options.memory_bytes};
    int rc = hob_sandbox_new(&options, &job->sandbox, err);
    if (rc) {
        return rc;
    }
    rc = hob_sandbox_call(job->sandbox, prepare, &prep, err);
    if (rc && prep.rejected) {
        rc = HOB_EREJECTED;
        if (err) {
            err->code = rc;
        }
    }
    return rc;
}

static int copy_options(struct hob_job *job, const struct hob_job_options *options)
{
    job->options = *options;
    job->thing = strdup(options->thing);
    job->job_id = strdup(options->job_id);
    job->document = malloc(options->document_len + 1);
    job->work_dir = strdup(options->work_dir ? options->work_dir : "");
    if (!job->thing || !job->job_id || !job->document || !job->work_dir) {
        return HOB_ENOMEM;
    }
    memcpy(job->document, options->document, options->document_len);
    job->document[options->document_len] = '\0';
    job->options.thing = job->thing;
    job->options.job_id = job->job_id;
    job->options.document = job->document;
    job->options.work_dir = job->work_dir;
    snprintf(job->handler, sizeof job->handler, "%s", options->handler->name);
    snprintf(job->digest, sizeof job->digest, "%s", options->handler->digest);
    snprintf(job->label, sizeof job->label, "%s@%.12s", job->handler, job->digest);
    return 0;
}

int hob_job_new(const struct hob_job_options *options, struct hob_job **out, struct hob_error *err)
{
    if (options->handler->error.code) {
        return hob_error_set(err, HOB_EHANDLER, "%s", options->handler->error.message);
    }
    struct hob_job *job = calloc(1, sizeof *job);
    if (!job) {
        return hob_error_set(err, HOB_ENOMEM, "job %s: out of memory", options->job_id);
    }
    hob_buf_init(&job->details, DETAILS_LIMIT);
    int rc = copy_options(job, options);
    if (rc) {
        hob_error_set(err, rc, "job %s: out of memory", options->job_id);
    }
    rc = rc ? rc : open_sandbox(job, err);
    job->options.handler = NULL; /* was borrowed for this call only */
    if (rc) {
        hob_job_free(job);
        return rc;
    }
    *out = job;
    return 0;
}

void hob_job_free(struct hob_job *job)
{
    if (!job) {
        return;
    }
    hob_sandbox_free(job->sandbox);
    hob_buf_free(&job->details);
    free(job->thing);
    free(job->job_id);
    free(job->document);
    free(job->work_dir);
    free(job);
}

/* ---- running ---- */

static void fail(struct hob_job *job, enum hob_jobs_status status, const char *reason,
                 const char *code)
{
    const char *label = job->label;
    struct hob_jobs_detail details[] = {
        {.key = "reason", .value = reason, .len = strlen(reason)},
        {.key = "code", .value = code, .len = strlen(code)},
        {.key = "handler", .value = label, .len = strlen(label)},
        {.key = "step", .value = job->step, .len = strlen(job->step)}};
    hob_job_set_outcome(job, status, details, job->step[0] ? 4 : 3);
}

/* An engine error ends run() however it was written. */
static void end_by_engine(struct hob_job *job, const char *kind, const char *message)
{
    if (strcmp(kind, "reject") == 0) {
        fail(job, HOB_JOBS_REJECTED, message, "REJECTED_BY_HANDLER");
    } else if (strcmp(kind, "memory") == 0) {
        char reason[128];
        size_t limit = job->options.memory_bytes ? job->options.memory_bytes : HOB_SANDBOX_MEMORY;
        snprintf(reason, sizeof reason,
                 "out of memory: a job may use %zu MB here (config key memory)", limit >> 20);
        fail(job, HOB_JOBS_FAILED, reason, "OUT_OF_MEMORY");
    } else if (strcmp(kind, "limit") == 0) {
        fail(job, HOB_JOBS_FAILED, message, "LIMIT");
    } else {
        fail(job, HOB_JOBS_FAILED, message, "CANCELLED");
    }
}

static void run_ended(void *user, lua_State *L, int status, int results)
{
    struct hob_job *job = user;
    const char *message = NULL;
    const char *kind = hob_task_engine_error(hob_sandbox_scheduler(job->sandbox), &message);
    job->task = NULL;
    if (kind) {
        end_by_engine(job, kind, message);
    } else if (status != LUA_OK || !job->has_outcome) {
        const char *reason = status != LUA_OK ? lua_tostring(L, -1) : NULL;
        fail(job, HOB_JOBS_FAILED, reason ? reason : "the handler ended without an outcome",
             "LUA_ERROR");
    }
    struct hob_job_outcome outcome = {job->status, HOB_JOB_FAILED, hob_buf_string(&job->details),
                                      0};
    job->options.on_end(job->options.user, &outcome); /* may free the job */
}

static int push_drive(lua_State *L)
{
    struct hob_job *job = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, job->drive);
    job->task = hob_task_start(L, 0, run_ended, job);
    return job->task ? 0 : luaL_error(L, "out of memory");
}

static void on_task_error(void *user, const char *message)
{
    struct hob_job *job = user;
    const char *why = NULL;
    const char *kind = hob_task_engine_error(hob_sandbox_scheduler(job->sandbox), &why);
    if (kind && job->task) {
        hob_task_cancel(job->task, kind, why); /* reject() in a callback ends the job, too */
        return;
    }
    struct hob_log_record record = {.level = HOB_LOG_ERROR,
                                    .event = "job.callback_failed",
                                    .thing = job->thing,
                                    .job = job->job_id,
                                    .execution = job->options.execution_number,
                                    .action = "mend the handler; the job itself goes on"};
    hob_log_write(job->options.log, &record, "%s", message);
}

int hob_job_start(struct hob_job *job, const struct hob_job_run *run, struct hob_error *err)
{
    job->row = run->row;
    job->attempt = run->attempt;
    hob_scheduler_on_error(hob_sandbox_scheduler(job->sandbox), on_task_error, job);
    return hob_sandbox_call(job->sandbox, push_drive, job, err);
}

/* ---- outcomes ---- */

void hob_job_set_outcome(struct hob_job *job, enum hob_jobs_status status,
                         const struct hob_jobs_detail *details, size_t count)
{
    hob_buf_clear(&job->details);
    job->has_outcome = true;
    job->status = status;
    if (hob_jobs_details_fit(&job->details, details, count) < 0) {
        hob_buf_clear(&job->details);
        hob_buf_append_string(&job->details, "{}");
    }
}

int hob_job_refusal(struct hob_buf *out, const char *reason, const char *code, const char *handler,
                    const char *step)
{
    struct hob_jobs_detail details[] = {
        {.key = "reason", .value = reason, .len = strlen(reason)},
        {.key = "code", .value = code, .len = strlen(code)},
        {.key = "handler", .value = handler, .len = strlen(handler)}};
    int rc = hob_jobs_details_fit(out, details, handler[0] ? 3 : 2);
    return rc < 0 ? rc : 0;
}

/* ---- for the binding ---- */

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
                                 .allowed_commands = job->options.allowed_commands,
                                 .log = job->options.log};
}

void hob_job_set_step(struct hob_job *job, const char *name)
{
    snprintf(job->step, sizeof job->step, "%s", name ? name : "");
}

void hob_job_progress(struct hob_job *job, const char *text)
{
    if (job->options.on_progress) {
        job->options.on_progress(job->options.user, text);
    }
}

int hob_job_saved_step(struct hob_job *job, const char *name, bool *failed, const char **result,
                       struct hob_error *err)
{
    return hob_store_get_step(job->options.store, job->row, name, failed, result, err);
}

int hob_job_save_step(struct hob_job *job, const char *name, bool failed, const char *result,
                      struct hob_error *err)
{
    return hob_store_put_step(job->options.store, job->row, name, failed, result, NULL, 0, err);
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

int hob_job_save_sources(struct hob_job *job, int64_t row, struct hob_error *err)
{
    return 0;
}

int hob_job_start_cleanup(struct hob_job *job, int64_t row, const struct hob_job_why *why,
                          uint64_t timeout_ms, struct hob_error *err)
{
    return HOB_EINVAL;
}

bool hob_job_cancel(struct hob_job *job, const char *kind, const char *reason, const char *code)
{
    return job->task ? hob_task_cancel(job->task, kind, reason) : false;
}

void hob_job_stop_at_step(struct hob_job *job, void (*stopped)(void *user)) {}

bool hob_job_is_delicate(const struct hob_job *job)
{
    return false;
}

bool hob_job_began_step(const struct hob_job *job)
{
    return false;
}

int64_t hob_job_elapsed_ms(const struct hob_job *job)
{
    return 0;
}

uint64_t hob_job_timeout_ms(const struct hob_job *job)
{
    return 0;
}

int hob_job_max_runs(const struct hob_job *job)
{
    return 0;
}

bool hob_job_has_cleanup(const struct hob_job *job)
{
    return false;
}
