#include "work/job.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "work/debug.h"
#include "work/job_parts.h"
#include "work/job_plain.h"
#include "work/journal.h"
#include "work/modules.h"
#include "work/sandbox.h"
#include "work/sandbox_kit.h"

#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>

#define HELD_LOOK_MS 50

/* ---- the source: the one that it was begun with ---- */

struct source { /* borrowed from the handler or the store */
    const char *path, *text;
    size_t len;
    struct hob_script *script; /* NULL: the store's */
};

static void set_identity(struct hob_job *job, const char *handler, const char *digest)
{
    snprintf(job->handler, sizeof job->handler, "%s", handler);
    snprintf(job->digest, sizeof job->digest, "%s", digest);
    snprintf(job->label, sizeof job->label, "%s@%.12s", job->handler, job->digest);
}

static int pinned_source(struct hob_job *job, struct source *source, struct hob_error *err)
{
    struct hob_store_execution known;
    int rc = hob_store_get(job->options.store, job->options.row, &known, err);
    if (rc) {
        return rc;
    }
    char name[HOB_HANDLER_NAME_MAX + 1], digest[HOB_SHA256_HEX_MAX];
    snprintf(name, sizeof name, "%s", known.handler); /* borrowed until the next call */
    rc = hob_journal_source(job->journal, "", &source->path, &source->text, &source->len, err);
    if (rc == 0) {
        set_identity(job, name, hob_sha256_of(source->text, source->len, digest));
        job->pinned = true;
    }
    return rc;
}

static int own_source(struct hob_job *job, struct source *source, struct hob_error *err)
{
    const struct hob_handlers_entry *handler = job->options.handler;
    if (!handler) {
        return hob_error_set(err, HOB_EHANDLER,
                             "its handler is gone, and the store has no copy of it");
    }
    if (handler->error.code) {
        return hob_error_set(err, HOB_EHANDLER, "%s", handler->error.message);
    }
    set_identity(job, handler->name, handler->digest);
    hob_sandbox_set_modules(job->sandbox, handler->modules);
    *source = (struct source){handler->path, handler->source, handler->source_len, handler->script};
    if (hob_journal_add_source(job->journal, "", source->path, source->text, source->len)) {
        return hob_error_set(err, HOB_ENOMEM, "job %s: out of memory", job->job_id);
    }
    return 0;
}

static int find_source(struct hob_job *job, struct source *source, struct hob_error *err)
{
    int rc = job->options.row > 0 ? pinned_source(job, source, err) : HOB_ENOENT;
    return rc == HOB_ENOENT ? own_source(job, source, err) : rc;
}

static int find_module(void *user, const char *name, const char **path, const char **text,
                       size_t *len, struct hob_error *err)
{
    struct hob_job *job = user;
    int rc = hob_journal_source(job->journal, name, path, text, len, err);
    if (rc == 0 || rc == HOB_ENOENT) {
        *text = rc ? NULL : *text;
        return 0;
    }
    job->source_failed = rc; /* what the one on disk is by now must not take its place */
    return rc;
}

/* One that is required on the way is committed at once: the next run must find what this one has
 * used. If that fails, the next step says so. */
static void keep_module(void *user, const char *name, const char *path, const char *text,
                        size_t len)
{
    struct hob_job *job = user;
    struct hob_error err = {0};
    hob_journal_add_source(job->journal, name, path, text, len);
    if (job->task && hob_journal_save_sources(job->journal, &err) == 0) {
        hob_store_flush(job->options.store, &err);
    }
}

int hob_job_save_sources(struct hob_job *job, int64_t row, struct hob_error *err)
{
    hob_journal_set_row(job->journal, row);
    return hob_journal_save_sources(job->journal, err);
}

/* ---- preparing ---- */

struct preparation {
    struct hob_job *job;
    struct source source;
    bool rejected;
};

static int take_function(lua_State *L, int index)
{
    lua_pushvalue(L, index);
    return lua_isnil(L, -1) ? (lua_pop(L, 1), LUA_NOREF) : luaL_ref(L, LUA_REGISTRYINDEX);
}

static double number_member(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    double value = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return value;
}

/* On top: bytes and seconds, nil where the handler does not say. */
static void take_limits(lua_State *L, struct hob_job *job)
{
    lua_Integer memory = lua_tointeger(L, -2);
    if (memory > 0) {
        hob_sandbox_limit_memory(job->sandbox, (size_t)memory);
    }
    if (!lua_isnil(L, -1)) {
        job->options.cpu_ms = (uint64_t)(lua_tonumber(L, -1) * 1000);
    }
    lua_pop(L, 2);
}

/* On top, as requires.h reads it; nil: nothing. */
static void take_requires(lua_State *L, struct hob_job *job)
{
    if (lua_istable(L, -1)) {
        job->requires = hob_calloc(1, sizeof *job->requires);
        if (!job->requires) {
            luaL_error(L, "out of memory");
        }
        hob_requires_read(L, lua_gettop(L), job->requires);
    }
    lua_pop(L, 1);
}

static void push_chunk(lua_State *L, const struct source *source)
{
    if (source->script) {
        hob_sandbox_kit_load_script(L, source->script);
        return;
    }
    char chunk[PATH_MAX + 2];
    snprintf(chunk, sizeof chunk, "@%s", source->path);
    if (luaL_loadbufferx(L, source->text, source->len, chunk, "t")) {
        lua_error(L);
    }
}

/* The handler's table is at 2; push what run() gets, if all is plain, and two values in any case.
 */
static void push_plain(lua_State *L, const struct hob_job *job)
{
    if (!hob_job_plain_prepare(L, 2, job->document, job->options.document_len)) {
        lua_pushnil(L);
        lua_pushnil(L);
    }
}

/* hob.job's prepare(handler, primitive, document, args) gives the functions to run, or nil and why
 * this document can never work. */
static int prepare(lua_State *L)
{
    struct preparation *prep = lua_touserdata(L, 1);
    struct hob_job *job = prep->job;
    /* First: the text is borrowed from the store, which `require` may ask again. */
    push_chunk(L, &prep->source);
    hob_sandbox_require(L, "hob.job");
    lua_getfield(L, -1, "prepare");
    lua_pushvalue(L, 2);
    lua_call(L, 0, 1);
    lua_pushvalue(L, -1);
    lua_replace(L, 2); /* the handler's table */
    hob_modules_push_job(L, job);
    push_plain(L, job);
    lua_call(L, 4, 5);
    if (lua_isnil(L, -5)) {
        prep->rejected = true;
        return luaL_error(L, "%s", lua_tostring(L, -4));
    }
    take_limits(L, job);
    take_requires(L, job);
    job->run = take_function(L, -2);
    job->cleanup = take_function(L, -1);
    job->timeout_ms = (uint64_t)(number_member(L, 2, "timeout") * 1000);
    job->max_runs = (int)number_member(L, 2, "max_runs");
    return 0;
}

static int open_sandbox(struct hob_job *job, struct hob_error *err)
{
    struct preparation prep = {.job = job};
    struct hob_sandbox_options options = {.loop = job->options.loop,
                                          .log = job->options.log,
                                          .job = job,
                                          .agent = job->options.agent,
                                          .policy = job->options.policy,
                                          .children = job->options.children,
                                          .native = hob_handlers_native(job->options.handlers),
                                          .bench = job->options.bench,
                                          .find_source = find_module,
                                          .on_source = keep_module,
                                          .source_user = job,
                                          .modules = job->options.modules,
                                          .script_lib = job->options.script_lib,
                                          .lib = job->options.lib,
                                          .kit = hob_handlers_kit(job->options.handlers),
                                          .memory_bytes = job->options.memory_bytes};
    int rc = hob_sandbox_new(&options, &job->sandbox, err);
    if (rc) {
        return rc;
    }
    hob_scheduler_mark_executing(hob_sandbox_scheduler(job->sandbox), job->options.executing);
    rc = find_source(job, &prep.source, err);
    rc = rc ? rc : hob_sandbox_call(job->sandbox, prepare, &prep, err);
    if (rc && (prep.rejected || job->source_failed)) {
        rc = prep.rejected ? HOB_EREJECTED : job->source_failed;
        if (err) {
            err->code = rc;
        }
    }
    return rc;
}

static int copy_options(struct hob_job *job, const struct hob_job_options *options)
{
    job->options = *options;
    job->thing = hob_strdup(options->thing);
    job->job_id = hob_strdup(options->job_id);
    job->document = hob_malloc(options->document_len + 1);
    job->work_dir = hob_strdup(options->work_dir ? options->work_dir : "");
    job->journal = hob_journal_new(options->store, options->row);
    if (!job->thing || !job->job_id || !job->document || !job->work_dir || !job->journal) {
        return HOB_ENOMEM;
    }
    memcpy(job->document, options->document, options->document_len);
    job->document[options->document_len] = '\0';
    job->options.thing = job->thing;
    job->options.job_id = job->job_id;
    job->options.document = job->document;
    job->options.work_dir = job->work_dir;
    return 0;
}

static void time_is_up(void *user);
static void say_stopped(void *user);

static int make(struct hob_job *job, const struct hob_job_options *options, struct hob_error *err)
{
    hob_buf_init(&job->details, HOB_JOB_DETAILS);
    int rc = copy_options(job, options);
    job->limit = rc ? NULL : hob_timer_new(options->loop, time_is_up, job);
    job->stop = rc ? NULL : hob_timer_new(options->loop, say_stopped, job);
    if (!job->limit || !job->stop) {
        return hob_error_set(err, HOB_ENOMEM, "job %s: out of memory", options->job_id);
    }
    rc = open_sandbox(job, err);
    job->began_step = rc == 0 && hob_journal_has_steps(job->journal);
    return rc;
}

int hob_job_new(const struct hob_job_options *options, struct hob_job **out, struct hob_error *err)
{
    struct hob_job *job = hob_calloc(1, sizeof *job);
    if (!job) {
        return hob_error_set(err, HOB_ENOMEM, "job %s: out of memory", options->job_id);
    }
    int rc = make(job, options, err);
    job->options.handler = NULL; /* was borrowed for this call only */
    job->options.modules = NULL;
    job->options.handlers = NULL;
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
    hob_job_close_debug(job);
    hob_sandbox_free(job->sandbox);
    hob_timer_close(job->limit);
    hob_timer_close(job->stop);
    hob_journal_free(job->journal);
    hob_buf_free(&job->details);
    hob_free(job->reason);
    hob_free(job->requires);
    hob_free(job->why.kind);
    hob_free(job->why.reason);
    hob_free(job->why.code);
    hob_free(job->why.step);
    hob_free(job->thing);
    hob_free(job->job_id);
    hob_free(job->document);
    hob_free(job->work_dir);
    hob_free(job);
}

/* ---- running ---- */

static int push_task(lua_State *L)
{
    struct hob_job *job = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, job->cleaning ? job->cleanup : job->run);
    job->task = hob_task_start(L, 0, hob_job_ended, job);
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

static int start_task(struct hob_job *job, int64_t row, uint64_t limit_ms, struct hob_error *err)
{
    hob_journal_set_row(job->journal, row);
    hob_scheduler_on_error(hob_sandbox_scheduler(job->sandbox), on_task_error, job);
    hob_scheduler_limit_cpu(hob_sandbox_scheduler(job->sandbox), job->options.cpu_ms * 1000,
                            job->former_cpu_us);
    job->started_ms = hob_clock_mono_ms();
    job->limit_ms = limit_ms;
    int rc = hob_sandbox_call(job->sandbox, push_task, job, err);
    if (rc == 0 && limit_ms) {
        int64_t left = (int64_t)limit_ms - job->former_ms;
        hob_timer_start(job->limit, left > 0 ? (uint64_t)left : 0);
    }
    if (rc == 0) {
        hob_job_open_debug(job);
    }
    return rc;
}

int hob_job_start(struct hob_job *job, const struct hob_job_run *run, struct hob_error *err)
{
    job->attempt = run->attempt;
    job->interrupted = run->interrupted;
    job->former_ms = run->elapsed_ms;
    job->former_cpu_us = run->cpu_us;
    return start_task(job, run->row, run->timeout_ms, err);
}

static int copy_why(struct hob_job_why_copy *copy, const struct hob_job_why *why)
{
    copy->kind = hob_strdup(why->kind);
    copy->reason = hob_strdup(why->reason);
    copy->code = hob_strdup(why->code ? why->code : "");
    copy->step = hob_strdup(why->step ? why->step : "");
    copy->view = (struct hob_job_why){copy->kind, copy->reason, copy->code, copy->step};
    return copy->kind && copy->reason && copy->code && copy->step ? 0 : HOB_ENOMEM;
}

int hob_job_start_cleanup(struct hob_job *job, int64_t row, const struct hob_job_why *why,
                          uint64_t timeout_ms, struct hob_error *err)
{
    if (job->cleanup == LUA_NOREF) {
        return hob_error_set(err, HOB_EINVAL, "handler %s has no cleanup", job->handler);
    }
    if (copy_why(&job->why, why)) {
        return hob_error_set(err, HOB_ENOMEM, "job %s: out of memory", job->job_id);
    }
    job->cleaning = true;
    return start_task(job, row, timeout_ms, err);
}

void hob_job_mark_executing(struct hob_job *job, volatile int *flag)
{
    hob_scheduler_mark_executing(hob_sandbox_scheduler(job->sandbox), flag);
}

/* ---- ending it from outside ---- */

static void say_delayed(const struct hob_job *job, const char *reason)
{
    struct hob_log_record record = {.level = HOB_LOG_WARN,
                                    .event = "job.delayed",
                                    .thing = job->thing,
                                    .job = job->job_id,
                                    .execution = job->options.execution_number,
                                    .step = job->step[0] ? job->step : NULL,
                                    .action = "it ends when its critical section has ended"};
    hob_log_write(job->options.log, &record, "%s, in a critical section", reason);
}

bool hob_job_cancel(struct hob_job *job, const char *kind, const char *reason, const char *code)
{
    if (!job->task) {
        return false;
    }
    char engine[HOB_JOB_ENGINE_MAX];
    hob_job_let_go(job, reason);
    bool delayed = hob_task_cancel(job->task, hob_job_engine_kind(kind, code, engine), reason);
    if (delayed && !job->cancelled_ms) {
        job->cancelled_ms = hob_clock_mono_ms();
        say_delayed(job, reason);
    }
    return delayed;
}

static void time_is_up(void *user)
{
    struct hob_job *job = user;
    char reason[128];
    int64_t left = (int64_t)job->limit_ms - hob_job_elapsed_ms(job);
    bool held = hob_scheduler_is_held(hob_sandbox_scheduler(job->sandbox));
    if (left > 0 || held) { /* the time in which it is held does not count */
        hob_timer_start(job->limit, held && left < HELD_LOOK_MS ? HELD_LOOK_MS : (uint64_t)left);
        return;
    }
    bool own = job->cleaning || job->timeout_ms > 0;
    snprintf(reason, sizeof reason, "%stimed out after %.10g s%s", job->cleaning ? "cleanup " : "",
             (double)job->limit_ms / 1000,
             own ? "" : ": its handler has no timeout of its own (config key job_timeout)");
    hob_job_cancel(job, HOB_JOB_TIMED_OUT, reason, "TIMED_OUT");
}

static void say_stopped(void *user)
{
    struct hob_job *job = user;
    void (*stopped)(void *user) = job->stopped;
    job->stopped = NULL;
    if (stopped) {
        stopped(job->options.user); /* may free the job */
    }
}

void hob_job_stop_at_step(struct hob_job *job, void (*stopped)(void *user))
{
    hob_job_let_go(job, "Hob is stopping");
    job->stopped = stopped;
    if (job->parked) {
        hob_timer_start(job->stop, 0);
    }
}

bool hob_job_is_stopping(const struct hob_job *job)
{
    return job->stopped != NULL;
}

void hob_job_park(struct hob_job *job)
{
    job->parked = true;
    if (job->stopped) {
        hob_timer_start(job->stop, 0);
    }
}

bool hob_job_is_delicate(const struct hob_job *job)
{
    return job->task && ((job->step[0] && job->once) || hob_task_in_critical(job->task));
}

/* ---- steps ---- */

void hob_job_set_step(struct hob_job *job, const char *name, bool once)
{
    snprintf(job->step, sizeof job->step, "%s", name ? name : "");
    job->once = name && once;
    job->began_step = job->began_step || (name && !hob_journal_is_question(name));
    hob_debug_step_begins(job->debug, name);
    if (job->options.on_step) {
        job->options.on_step(job->options.user, name, job->once);
    }
}

bool hob_job_may_save_late(const struct hob_job *job)
{
    return !job->once && !job->cleaning;
}

const char *hob_job_saved_step(const struct hob_job *job)
{
    return job->saved_step;
}

int hob_job_save_step(struct hob_job *job, const char *name, bool failed, const char *result,
                      const char *state, bool commits, struct hob_error *err)
{
    int rc = hob_journal_put(job->journal, name, failed, result, state, hob_job_elapsed_ms(job),
                             commits, err);
    job->interrupted = rc ? job->interrupted : 0; /* as the store has it now */
    snprintf(job->saved_step, sizeof job->saved_step, "%s", name);
    return rc;
}

int hob_job_reboot(struct hob_job *job, bool restart, const char *key, const char *reason,
                   struct hob_error *err)
{
    if (!job->options.on_reboot) {
        return hob_error_set(err, HOB_EUNSUPPORTED, "nothing here can %s",
                             restart ? "restart Hob" : "reboot");
    }
    return job->options.on_reboot(job->options.user, restart, key, reason, err);
}

void hob_job_progress(struct hob_job *job, const char *text)
{
    if (job->options.on_progress) {
        job->options.on_progress(job->options.user, text);
    }
}
