/* lua_job.c - the primitive object behind a handler's `job`; lib/hob/job.lua makes the rest of it.
 */
#include "bindings.h"

#include "base/json.h"
#include "device/exec.h"
#include "work/job.h"
#include "work/job_plain.h"
#include "work/journal.h"
#include "work/task.h"

#include <string.h>

#define JOB_NAME     "hob.job.primitive"
#define DETAILS_MOST 32
#define NAMES_LIMIT  (4 << 20)

static struct hob_job *check_job(lua_State *L)
{
    return *(struct hob_job **)luaL_checkudata(L, 1, JOB_NAME);
}

static void set_text(lua_State *L, const char *name, const char *text)
{
    if (text && text[0]) {
        lua_pushstring(L, text);
        lua_setfield(L, -2, name);
    }
}

static void set_integer(lua_State *L, const char *name, lua_Integer number)
{
    lua_pushinteger(L, number);
    lua_setfield(L, -2, name);
}

/* Of the table on top. */
static void set_identity(lua_State *L, const struct hob_job_view *view)
{
    set_text(L, "id", view->id);
    set_text(L, "thing", view->thing);
    set_integer(L, "execution_number", view->execution_number);
    set_integer(L, "attempt", view->attempt);
}

/** facts() -> table of what is known of the execution; `step` is nil between steps. */
static int job_facts(lua_State *L)
{
    struct hob_job *job = check_job(L);
    struct hob_job_view view;
    hob_job_view(job, &view);
    lua_newtable(L);
    set_identity(L, &view);
    set_text(L, "step", hob_job_step(job));
    set_text(L, "handler", view.label);
    set_integer(L, "interrupted", view.interrupted);
    lua_pushlstring(L, view.document, view.document_len);
    lua_setfield(L, -2, "document");
    return 1;
}

/** describe(object) -> is_new: its members of the same names are set. */
static int job_describe(lua_State *L)
{
    struct hob_job *job = check_job(L);
    struct hob_job_view view;
    hob_job_view(job, &view);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    set_identity(L, &view);
    lua_pushboolean(L, hob_job_is_new(job));
    return 1;
}

/** interrupted() -> how many runs were since the last finished step */
static int job_interrupted(lua_State *L)
{
    struct hob_job_view view;
    hob_job_view(check_job(L), &view);
    lua_pushinteger(L, view.interrupted);
    return 1;
}

/** why() -> cleanup's third argument */
static int job_why(lua_State *L)
{
    const struct hob_job_why *why = hob_job_why(check_job(L));
    lua_newtable(L);
    set_text(L, "kind", why->kind);
    set_text(L, "reason", why->reason);
    set_text(L, "code", why->code);
    set_text(L, "step", why->step);
    return 1;
}

/** reported() -> the result that hob.exec keeps for `report = true`, or nil */
static int job_reported(lua_State *L)
{
    check_job(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "hob.exec.reported");
    return 1;
}

/** progress(text) */
static int job_progress(lua_State *L)
{
    hob_job_progress(check_job(L), luaL_checkstring(L, 2));
    return 0;
}

/* ---- engine errors ---- */

/** raise(kind, code, message): ends run(), whatever the handler catches. */
static int job_raise(lua_State *L)
{
    char engine[HOB_JOB_ENGINE_MAX];
    check_job(L);
    hob_job_engine_kind(luaL_checkstring(L, 2), luaL_checkstring(L, 3), engine);
    return hob_task_raise(L, engine, luaL_checkstring(L, 4));
}

/** retry_later(seconds, reason) */
static int job_retry_later(lua_State *L)
{
    struct hob_job *job = check_job(L);
    hob_job_set_retry(job, hob_lua_ms(L, luaL_checknumber(L, 2), "seconds"));
    return hob_task_raise(L, HOB_JOB_RETRY, luaL_checkstring(L, 3));
}

/* What was done cannot be remembered: to go on would be to do it twice some day. */
static int store_failed(lua_State *L, const char *what, const char *step,
                        const struct hob_error *err)
{
    char engine[HOB_JOB_ENGINE_MAX];
    hob_job_engine_kind(HOB_JOB_FAILED, "STORE_FAILED", engine);
    const char *words = lua_pushfstring(L, "%s '%s' cannot be saved: %s", what, step, err->message);
    return hob_task_raise(L, engine, words);
}

/* ---- the journal ---- */

static bool append_name(void *user, const char *name, bool failed, const char *result)
{
    struct hob_buf *names = user;
    return hob_buf_append(names, name, strlen(name) + 1) == 0;
}

/** saved() -> the names of the finished steps, in their order */
static int job_saved(lua_State *L)
{
    struct hob_job *job = check_job(L);
    struct hob_error err = {0};
    struct hob_buf *names = hob_lua_push_buf(L, NAMES_LIMIT);
    if (hob_journal_each(hob_job_journal(job), append_name, names, &err)) {
        return luaL_error(L, "the saved steps cannot be read: %s", err.message);
    }
    const char *name = hob_buf_data(names), *end = name + hob_buf_len(names);
    lua_newtable(L);
    for (int i = 1; name < end; name += strlen(name) + 1) {
        lua_pushstring(L, name);
        lua_rawseti(L, -2, i++);
    }
    return 1;
}

/** saved_step(name) -> failed, value | nil */
static int job_saved_step(lua_State *L)
{
    struct hob_error err = {0};
    bool failed = false;
    const char *text = NULL;
    const char *name = luaL_checkstring(L, 2);
    int rc = hob_journal_get(hob_job_journal(check_job(L)), name, &failed, &text, &err);
    if (rc == HOB_ENOENT) {
        return 0;
    }
    lua_pushboolean(L, failed);
    rc = rc ? rc : hob_json_push(L, text, strlen(text), &err);
    return rc ? luaL_error(L, "step '%s' cannot be read: %s", name, err.message) : 2;
}

/** state() -> job.state as it was last saved */
static int job_state(lua_State *L)
{
    struct hob_error err = {0};
    const char *text = hob_journal_state(hob_job_journal(check_job(L)), &err);
    if (!text || hob_json_push(L, text, strlen(text), &err)) {
        return luaL_error(L, "job.state cannot be read: %s", err.message);
    }
    return 1;
}

/** unsaved_once(name) -> was it begun, and never ended? */
static int job_unsaved_once(lua_State *L)
{
    struct hob_error err = {0};
    const char *name = luaL_checkstring(L, 2);
    int rc = hob_journal_begun(hob_job_journal(check_job(L)), name, &err);
    if (rc < 0) {
        return luaL_error(L, "step '%s' cannot be read: %s", name, err.message);
    }
    lua_pushboolean(L, rc);
    return 1;
}

/** encode(value) -> JSON text | nil, message that names the path */
static int job_encode(lua_State *L)
{
    struct hob_error err = {0};
    luaL_checkany(L, 2);
    struct hob_buf *text = hob_lua_push_buf(L, HOB_JSON_TEXT_MAX);
    if (hob_json_encode(L, 2, text, &err)) {
        lua_pushnil(L);
        lua_pushstring(L, err.message);
        return 2;
    }
    lua_pushlstring(L, hob_buf_data(text), hob_buf_len(text));
    return 1;
}

static int find_method(lua_State *L);
static int job_succeed(lua_State *L);

static void save_now(lua_State *L, void *user)
{
    struct hob_job *job = user;
    struct hob_error err = {0};
    if (hob_journal_commit(hob_job_journal(job), &err)) {
        hob_job_set_step(job, hob_job_saved_step(job), false); /* which the outcome names */
        store_failed(L, "the end of step", hob_job_step(job), &err);
    }
}

/** save_step(name, failed, result, state): both as JSON; state may be nil. */
static int job_save_step(lua_State *L)
{
    static const hob_task_quiet_fn on_the_way_to_the_outcome[] = {find_method, job_succeed, NULL};
    struct hob_job *job = check_job(L);
    const char *name = luaL_checkstring(L, 2);
    bool failed = lua_toboolean(L, 3);
    bool waits = !failed && hob_job_may_save_late(job) && hob_task_sees_next(L);
    struct hob_error err = {0};
    if (hob_job_save_step(job, name, failed, luaL_checkstring(L, 4), luaL_optstring(L, 5, NULL),
                          !waits, &err)) {
        return store_failed(L, "the end of step", name, &err);
    }
    hob_job_set_step(job, NULL, false);
    if (waits) {
        hob_task_before_next(L, on_the_way_to_the_outcome, save_now, job);
    }
    return 0;
}

/* ---- running a step ---- */

/** is_step_name(value) -> boolean */
static int job_is_step_name(lua_State *L)
{
    size_t len = 0;
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &len) : "";
    lua_pushboolean(L, hob_journal_is_step_name(name, len));
    return 1;
}

/* For ever: only hob_job_cancel, or the end of the process, ends it. */
static int park(lua_State *L, struct hob_job *job, const char *name)
{
    hob_job_park(job);
    return hob_task_suspend(L, &(struct hob_task_wait){.name = name});
}

/** in_run() -> boolean: not in a callback? Raises where nothing can wait. */
static int job_in_run(lua_State *L)
{
    struct hob_job *job = check_job(L);
    lua_pushboolean(L, hob_job_is_main(job, hob_task_current(L)));
    return 1;
}

/** begin_step(name, once, again): waits for ever if the job is to stop. `again`: another try. */
static int job_begin_step(lua_State *L)
{
    struct hob_job *job = check_job(L);
    const char *name = luaL_checkstring(L, 2);
    bool once = lua_toboolean(L, 3), again = lua_toboolean(L, 4);
    struct hob_error err = {0};
    /* Given up between two tries, a `once` step would count as interrupted. */
    if (hob_job_is_stopping(job) && !(once && again)) {
        return park(L, job, "job:step");
    }
    if (once && !again && hob_journal_begin(hob_job_journal(job), name, &err)) {
        return store_failed(L, "the beginning of step", name, &err);
    }
    hob_job_set_step(job, name, once);
    return 0;
}

/** set_step(name or nil): only what the outcome names. */
static int job_set_step(lua_State *L)
{
    hob_job_set_step(check_job(L), luaL_optstring(L, 2, NULL), false);
    return 0;
}

static void children_gone(void *user)
{
    hob_task_wake(user);
}

static void stop_waiting(void *user)
{
    hob_exec_set_when_gone(user, NULL, NULL);
}

/** end_children(): what the job has started is ended; returns when all of it is gone. */
static int job_end_children(lua_State *L)
{
    struct hob_job_view view;
    hob_job_view(check_job(L), &view);
    if (!view.children || hob_exec_set_count(view.children) == 0) {
        return 0;
    }
    struct hob_task *task = hob_task_current(L);
    hob_exec_set_end(view.children);
    hob_exec_set_when_gone(view.children, children_gone, task);
    return hob_task_suspend(
        L,
        &(struct hob_task_wait){.name = "job:step", .cancel = stop_waiting, .op = view.children});
}

/** reboot(restart, key, reason): returns once it has happened. */
static int job_reboot(lua_State *L)
{
    struct hob_job *job = check_job(L);
    bool restart = lua_toboolean(L, 2);
    const char *key = luaL_checkstring(L, 3), *reason = luaL_checkstring(L, 4);
    struct hob_error err = {0};
    if (hob_job_is_stopping(job)) {
        return park(L, job, "job:reboot");
    }
    hob_job_set_step(job, key, false);
    int rc = hob_job_reboot(job, restart, key, reason, &err);
    if (rc < 0) {
        char engine[HOB_JOB_ENGINE_MAX];
        hob_job_engine_kind(HOB_JOB_FAILED, "REBOOT_FAILED", engine);
        return hob_task_raise(L, engine, err.message);
    }
    return rc > 0 ? 0 : park(L, job, restart ? "job:restart_hob" : "job:reboot");
}

/** break_here(): returns once whoever looks lets it go on; at once if nobody does. */
static int job_break_here(lua_State *L)
{
    struct hob_task_wait wait;
    return hob_job_break_here(check_job(L), L, &wait) ? hob_task_suspend(L, &wait) : 0;
}

/* ---- the end ---- */

static enum hob_jobs_status check_status(lua_State *L, int index)
{
    enum hob_jobs_status status = hob_jobs_status_parse(luaL_checkstring(L, index));
    luaL_argcheck(L, hob_jobs_status_terminal(status), index, "a terminal status");
    return status;
}

/** outcome(status, kind, list of {key, text, keep_tail}) */
static int job_outcome(lua_State *L)
{
    struct hob_job *job = check_job(L);
    enum hob_jobs_status status = check_status(L, 2);
    const char *kind = luaL_checkstring(L, 3);
    luaL_checktype(L, 4, LUA_TTABLE);
    luaL_checkstack(L, 4 * DETAILS_MOST, "details");
    struct hob_jobs_detail details[DETAILS_MOST];
    size_t count = 0;
    for (; count < DETAILS_MOST && lua_rawgeti(L, 4, (lua_Integer)count + 1) == LUA_TTABLE;
         count++) {
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        lua_rawgeti(L, -3, 3);
        details[count].key = luaL_checkstring(L, -3);
        details[count].value = luaL_checklstring(L, -2, &details[count].len);
        details[count].keep_tail = lua_toboolean(L, -1);
    }
    hob_job_set_outcome(job, status, kind, details, count);
    return 0;
}

/** succeed(results of pcall...) -> boolean: false if it was no plain success, and nothing is done
 */
static int job_succeed(lua_State *L)
{
    struct hob_job *job = check_job(L);
    bool reports = lua_getfield(L, LUA_REGISTRYINDEX, "hob.exec.reported") != LUA_TNIL;
    lua_pop(L, 1);
    lua_pushboolean(L, !reports && hob_job_plain_succeed(L, 2, lua_gettop(L) - 1, job));
    return 1;
}

static enum hob_log_level check_level(lua_State *L, int index)
{
    enum hob_log_level level;
    luaL_argcheck(L, hob_log_level_parse(luaL_checkstring(L, index), &level) == 0, index,
                  "a level");
    return level;
}

/** log(level, event, text, step): the step, if it is not the present one */
static int job_log(lua_State *L)
{
    struct hob_job *job = check_job(L);
    struct hob_job_view view;
    hob_job_view(job, &view);
    const char *step = luaL_optstring(L, 5, hob_job_step(job));
    struct hob_log_record record = {.level = check_level(L, 2),
                                    .event = luaL_checkstring(L, 3),
                                    .thing = view.thing,
                                    .job = view.id,
                                    .execution = view.execution_number,
                                    .step = step[0] ? step : NULL};
    hob_log_write(view.log, &record, "%s", luaL_checkstring(L, 4));
    return 0;
}

/** dir() -> the job's directory, made by now; nil if it has none. */
static int job_dir(lua_State *L)
{
    const char *dir = hob_lua_job_dir(L);
    lua_pushstring(L, dir && dir[0] ? dir : NULL);
    return 1;
}

static const luaL_Reg methods[] = {{"facts", job_facts},
                                   {"describe", job_describe},
                                   {"interrupted", job_interrupted},
                                   {"is_step_name", job_is_step_name},
                                   {"succeed", job_succeed},
                                   {"dir", job_dir},
                                   {"why", job_why},
                                   {"reported", job_reported},
                                   {"progress", job_progress},
                                   {"raise", job_raise},
                                   {"retry_later", job_retry_later},
                                   {"saved", job_saved},
                                   {"saved_step", job_saved_step},
                                   {"state", job_state},
                                   {"unsaved_once", job_unsaved_once},
                                   {"encode", job_encode},
                                   {"save_step", job_save_step},
                                   {"in_run", job_in_run},
                                   {"begin_step", job_begin_step},
                                   {"set_step", job_set_step},
                                   {"end_children", job_end_children},
                                   {"reboot", job_reboot},
                                   {"break_here", job_break_here},
                                   {"outcome", job_outcome},
                                   {"log", job_log},
                                   {"critical", hob_task_critical},
                                   {"within", hob_task_within},
                                   {NULL, NULL}};

/* By name, out of the list above: a table of them would have to be made for each job. */
static int find_method(lua_State *L)
{
    const char *name = luaL_checkstring(L, 2);
    const luaL_Reg *method = methods;
    while (method->name && strcmp(method->name, name) != 0) {
        method++;
    }
    lua_pushcfunction(L, method->func);
    return method->func != NULL;
}

void hob_modules_push_job(lua_State *L, struct hob_job *job)
{
    struct hob_job **primitive = lua_newuserdatauv(L, sizeof *primitive, 0);
    *primitive = job;
    if (hob_lua_new_metatable(L, JOB_NAME)) {
        lua_pushcfunction(L, find_method);
        lua_setfield(L, -2, "__index");
    }
    lua_setmetatable(L, -2);
}
