#include "work/filter.h"

#include "base/alloc.h"
#include "base/json.h"
#include "work/sandbox.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>

#define MEMORY      ((size_t)8 << 20)
#define FAILED_KEPT 32

struct hob_filter {
    struct hob_loop *loop;
    struct hob_log *log;
    char *prefix, *source, *path, *lib;
    char failed[FAILED_KEPT][HOB_JOBS_ID_MAX + 1]; /* said already; the oldest go */
    size_t failed_count;
};

/* ---- the predicate, in a sandbox of its own ---- */

struct call {
    const struct hob_filter *filter;
    const struct hob_jobs_execution *execution; /* NULL: is the predicate there at all? */
    bool answer;
};

/* What the configuration's file may reach: the language, nothing of the machine. */
static void push_language(lua_State *L)
{
    static const char *const names[] = {
        "assert", "error",  "ipairs", "math",  "next", "pairs",    "pcall", "rawequal", "rawget",
        "rawlen", "select", "string", "table", "type", "tonumber", "utf8",  "tostring", NULL};
    lua_newtable(L);
    for (const char *const *name = names; *name; name++) {
        lua_getglobal(L, *name);
        lua_setfield(L, -2, *name);
    }
}

static void push_predicate(lua_State *L, const struct hob_filter *filter)
{
    char chunk[LUA_IDSIZE];
    const char *file = strrchr(filter->path, '/');
    snprintf(chunk, sizeof chunk, "=%s", file ? file + 1 : filter->path);
    if (luaL_loadbufferx(L, filter->source, strlen(filter->source), chunk, "t") != LUA_OK) {
        lua_error(L);
    }
    push_language(L);
    lua_setupvalue(L, -2, 1);
    lua_call(L, 0, 1);
    if (!lua_istable(L, -1) || lua_getfield(L, -1, "job_filter") != LUA_TFUNCTION) {
        luaL_error(L, "job_filter: expected a function, got %s", luaL_typename(L, -1));
    }
}

static void push_job(lua_State *L, const struct hob_jobs_execution *execution)
{
    struct hob_error err = {0};
    lua_createtable(L, 0, 3);
    lua_pushstring(L, execution->job_id);
    lua_setfield(L, -2, "id");
    lua_pushinteger(L, (lua_Integer)execution->execution_number);
    lua_setfield(L, -2, "execution_number");
    if (!execution->document) {
        return;
    }
    if (hob_json_push(L, execution->document, execution->document_len, &err)) {
        luaL_error(L, "the job's document: %s", err.message);
    }
    lua_setfield(L, -2, "document");
}

static int ask(lua_State *L)
{
    struct call *call = lua_touserdata(L, 1);
    push_predicate(L, call->filter);
    if (!call->execution) {
        return 0;
    }
    push_job(L, call->execution);
    lua_call(L, 1, 1);
    if (!lua_isboolean(L, -1)) {
        return luaL_error(L, "job_filter: expected true or false, got %s", luaL_typename(L, -1));
    }
    call->answer = lua_toboolean(L, -1);
    return 0;
}

static int run(const struct hob_filter *filter, struct call *call, struct hob_error *err)
{
    struct hob_sandbox *sandbox;
    struct hob_sandbox_options options = {
        .loop = filter->loop, .log = filter->log, .lib = filter->lib, .memory_bytes = MEMORY};
    int rc = hob_sandbox_new(&options, &sandbox, err);
    if (rc) {
        return rc;
    }
    rc = hob_sandbox_call(sandbox, ask, call, err);
    hob_sandbox_free(sandbox);
    return rc;
}

/* ---- asking it ---- */

static bool said_already(struct hob_filter *filter, const char *job_id)
{
    size_t count = filter->failed_count < FAILED_KEPT ? filter->failed_count : FAILED_KEPT;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(filter->failed[i], job_id) == 0) {
            return true;
        }
    }
    size_t at = filter->failed_count++ % FAILED_KEPT;
    snprintf(filter->failed[at], sizeof filter->failed[at], "%s", job_id);
    return false;
}

static void say_failed(struct hob_filter *filter, const struct hob_jobs_execution *execution,
                       const struct hob_error *err)
{
    if (said_already(filter, execution->job_id)) {
        return;
    }
    struct hob_log_record record = {
        .level = HOB_LOG_WARN,
        .event = "job.filter_failed",
        .job = execution->job_id,
        .execution = execution->execution_number,
        .code = hob_error_name(err->code),
        .action =
            "mend job_filter in the configuration and start Hob again; the job is left alone"};
    hob_log_write(filter->log, &record, "%s", err->message);
}

bool hob_filter_takes_id(const struct hob_filter *filter, const char *job_id)
{
    return !filter || !filter->prefix ||
           strncmp(job_id, filter->prefix, strlen(filter->prefix)) == 0;
}

bool hob_filter_takes(struct hob_filter *filter, const struct hob_jobs_execution *execution)
{
    struct hob_error err = {0};
    struct call call = {.filter = filter, .execution = execution};
    if (!hob_filter_takes_id(filter, execution->job_id)) {
        return false;
    }
    if (!filter || !filter->source) {
        return true;
    }
    if (run(filter, &call, &err)) {
        say_failed(filter, execution, &err);
        return false;
    }
    return call.answer;
}

/* ---- life ---- */

static bool copy(char **to, const char *from)
{
    *to = from && from[0] ? hob_strdup(from) : NULL;
    return *to || !from || !from[0];
}

int hob_filter_new(const struct hob_filter_options *options, struct hob_filter **out,
                   struct hob_error *err)
{
    struct hob_filter *filter = hob_calloc(1, sizeof *filter);
    if (!filter) {
        return hob_error_set(err, HOB_ENOMEM, "job_filter: out of memory");
    }
    filter->loop = options->loop;
    filter->log = options->log;
    bool whole = copy(&filter->prefix, options->prefix) && copy(&filter->source, options->source) &&
                 copy(&filter->path, options->path ? options->path : "config") &&
                 copy(&filter->lib, options->lib);
    int rc = whole ? 0 : hob_error_set(err, HOB_ENOMEM, "job_filter: out of memory");
    struct call call = {.filter = filter};
    if (rc == 0 && filter->source) {
        rc = run(filter, &call, err);
    }
    if (rc) {
        hob_filter_free(filter);
        return rc;
    }
    *out = filter;
    return 0;
}

void hob_filter_free(struct hob_filter *filter)
{
    if (!filter) {
        return;
    }
    hob_free(filter->prefix);
    hob_free(filter->source);
    hob_free(filter->path);
    hob_free(filter->lib);
    hob_free(filter);
}
