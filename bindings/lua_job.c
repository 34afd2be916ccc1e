/* lua_job.c - the primitive object behind a handler's `job`; lib/hob/job.lua makes the rest of it.
 */
#include "bindings.h"

#include "base/json.h"
#include "work/job.h"
#include "work/task.h"

#include <string.h>

#define JOB_NAME     "hob.job.primitive"
#define DETAILS_MOST 32

static struct hob_job *check_job(lua_State *L)
{
    return *(struct hob_job **)luaL_checkudata(L, 1, JOB_NAME);
}

/** facts() -> table of what is known of the execution; `step` is nil between steps. */
static int job_facts(lua_State *L)
{
    struct hob_job *job = check_job(L);
    struct hob_job_view view;
    hob_job_view(job, &view);
    lua_newtable(L);
    if (hob_job_step(job)[0]) {
        lua_pushstring(L, hob_job_step(job));
        lua_setfield(L, -2, "step");
    }
    lua_pushstring(L, view.id);
    lua_setfield(L, -2, "id");
    lua_pushstring(L, view.thing);
    lua_setfield(L, -2, "thing");
    lua_pushinteger(L, view.execution_number);
    lua_setfield(L, -2, "execution_number");
    lua_pushinteger(L, view.attempt);
    lua_setfield(L, -2, "attempt");
    lua_pushlstring(L, view.document, view.document_len);
    lua_setfield(L, -2, "document");
    lua_pushstring(L, view.label);
    lua_setfield(L, -2, "handler");
    lua_pushstring(L, view.work_dir);
    lua_setfield(L, -2, "work_dir");
    lua_newtable(L);
    for (int i = 0; view.allowed_commands && view.allowed_commands[i]; i++) {
        lua_pushstring(L, view.allowed_commands[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "allowed_commands");
    return 1;
}

/** set_step(name or nil) */
static int job_set_step(lua_State *L)
{
    hob_job_set_step(check_job(L), luaL_optstring(L, 2, NULL));
    return 0;
}

/** progress(text) */
static int job_progress(lua_State *L)
{
    hob_job_progress(check_job(L), luaL_checkstring(L, 2));
    return 0;
}

/** saved_step(name) -> found, failed, value */
static int job_saved_step(lua_State *L)
{
    struct hob_error err = {0};
    bool failed = false;
    const char *text = NULL;
    int rc = hob_job_saved_step(check_job(L), luaL_checkstring(L, 2), &failed, &text, &err);
    if (rc == HOB_ENOENT) {
        lua_pushboolean(L, 0);
        return 1;
    }
    if (rc) {
        return luaL_error(L, "%s", err.message);
    }
    lua_pushboolean(L, 1);
    lua_pushboolean(L, failed);
    if (hob_json_push(L, text, strlen(text), &err)) {
        return luaL_error(L, "%s", err.message);
    }
    return 3;
}

/** save_step(name, failed, value) -> the value as it will come back after a restart */
static int job_save_step(lua_State *L)
{
    struct hob_job *job = check_job(L);
    const char *name = luaL_checkstring(L, 2);
    bool failed = lua_toboolean(L, 3);
    struct hob_error err = {0};
    struct hob_buf *text = hob_lua_push_buf(L, HOB_JSON_TEXT_MAX);
    int rc = hob_json_encode(L, 4, text, &err);
    const char *string = rc ? NULL : hob_buf_string(text);
    if (!rc && !string) {
        return luaL_error(L, "step '%s': out of memory", name);
    }
    rc = rc ? rc : hob_job_save_step(job, name, failed, string, &err);
    if (rc) {
        return luaL_error(L, "step '%s': %s", name, err.message);
    }
    if (hob_json_push(L, hob_buf_data(text), hob_buf_len(text), &err)) {
        return luaL_error(L, "step '%s': %s", name, err.message);
    }
    return 1;
}

/** reject(reason): ends run(), whatever the handler catches. */
static int job_reject(lua_State *L)
{
    check_job(L);
    return hob_task_raise(L, "reject", luaL_checkstring(L, 2));
}

static enum hob_jobs_status check_status(lua_State *L, int index)
{
    enum hob_jobs_status status = hob_jobs_status_parse(luaL_checkstring(L, index));
    luaL_argcheck(L, hob_jobs_status_terminal(status), index, "a terminal status");
    return status;
}

/** outcome(status, list of {key, text}) */
static int job_outcome(lua_State *L)
{
    struct hob_job *job = check_job(L);
    enum hob_jobs_status status = check_status(L, 2);
    luaL_checktype(L, 3, LUA_TTABLE);
    luaL_checkstack(L, 3 * DETAILS_MOST, "details");
    struct hob_jobs_detail details[DETAILS_MOST];
    size_t count = 0;
    for (; count < DETAILS_MOST && lua_rawgeti(L, 3, (lua_Integer)count + 1) == LUA_TTABLE;
         count++) {
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        details[count].key = luaL_checkstring(L, -2);
        details[count].value = luaL_checklstring(L, -1, &details[count].len);
        details[count].keep_tail = false;
    }
    hob_job_set_outcome(job, status, details, count);
    return 0;
}

static enum hob_log_level check_level(lua_State *L, int index)
{
    enum hob_log_level level;
    luaL_argcheck(L, hob_log_level_parse(luaL_checkstring(L, index), &level) == 0, index,
                  "a level");
    return level;
}

/** log(level, event, text) */
static int job_log(lua_State *L)
{
    struct hob_job *job = check_job(L);
    struct hob_job_view view;
    hob_job_view(job, &view);
    const char *step = hob_job_step(job);
    struct hob_log_record record = {.level = check_level(L, 2),
                                    .event = luaL_checkstring(L, 3),
                                    .thing = view.thing,
                                    .job = view.id,
                                    .execution = view.execution_number,
                                    .step = step[0] ? step : NULL};
    hob_log_write(view.log, &record, "%s", luaL_checkstring(L, 4));
    return 0;
}

static const luaL_Reg methods[] = {{"facts", job_facts},
                                   {"set_step", job_set_step},
                                   {"progress", job_progress},
                                   {"saved_step", job_saved_step},
                                   {"save_step", job_save_step},
                                   {"reject", job_reject},
                                   {"outcome", job_outcome},
                                   {"log", job_log},
                                   {NULL, NULL}};

void hob_modules_push_job(lua_State *L, struct hob_job *job)
{
    struct hob_job **primitive = lua_newuserdatauv(L, sizeof *primitive, 0);
    *primitive = job;
    if (hob_lua_new_metatable(L, JOB_NAME)) {
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
    }
    lua_setmetatable(L, -2);
}
