/* hob_units.store: core/work/store for specs. Failures are nil, message, "CODE".
 *
 * store.child(fn) runs fn in a forked process that then waits to be killed: what a power cut or a
 * second process looks like to the file. Open no store in this process before.
 */
#include "units.h"

#include "work/store.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define STORE_NAME "hob_units.store"
#define CHILD_NAME "hob_units.child"

static const char *const state_names[] = {"claiming", "running", "ended", "told", NULL};

struct handle {
    struct hob_store *store;
    struct hob_log *log;
};

static int result(lua_State *L, int rc, const struct hob_error *err)
{
    if (rc >= 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, err->message);
    lua_pushstring(L, hob_error_name(rc));
    return 3;
}

static struct hob_store *check(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, STORE_NAME);
    luaL_argcheck(L, handle->store, 1, "the store is closed");
    return handle->store;
}

/** (path, log_path or nil) */
static int store_open(lua_State *L)
{
    struct hob_error err = {0};
    struct hob_log_options log = {.format = HOB_LOG_JSON, .target = luaL_optstring(L, 2, NULL)};
    struct hob_store_options options = {.path = luaL_checkstring(L, 1)};
    struct handle *handle = lua_newuserdatauv(L, sizeof(*handle), 0);
    *handle = (struct handle){0};
    luaL_setmetatable(L, STORE_NAME);
    int rc = log.target ? hob_log_open(&log, &handle->log, &err) : 0;
    if (rc == 0)
        rc = hob_store_open(handle->log, &options, &handle->store, &err);
    return rc < 0 ? result(L, rc, &err) : 1;
}

static int store_close(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, STORE_NAME);
    hob_store_close(handle->store);
    hob_log_close(handle->log);
    *handle = (struct handle){0};
    return 0;
}

static int64_t opt_integer(lua_State *L, int index, const char *name, int64_t fallback)
{
    lua_getfield(L, index, name);
    int64_t value = luaL_optinteger(L, -1, fallback);
    lua_pop(L, 1);
    return value;
}

/** The string stays on the stack. */
static const char *opt_string(lua_State *L, int index, const char *name, size_t *len)
{
    lua_getfield(L, index, name);
    return luaL_optlstring(L, -1, NULL, len);
}

static int store_add(lua_State *L)
{
    struct hob_error err;
    struct hob_store *store = check(L);
    luaL_checkstack(L, 2 * LUA_MINSTACK, NULL);
    lua_getfield(L, 2, "state");
    int state = luaL_checkoption(L, -1, "claiming", state_names);
    struct hob_store_execution e = {
        .state = (enum hob_store_state)state,
        .execution_number = opt_integer(L, 2, "execution_number", 1),
        .queued_at = opt_integer(L, 2, "queued_at", 1700000000),
        .version = opt_integer(L, 2, "version", 1),
        .runs = (int)opt_integer(L, 2, "runs", 0),
        .interrupted = (int)opt_integer(L, 2, "interrupted", 0),
        .deaths = (int)opt_integer(L, 2, "deaths", 0),
        .elapsed_ms = opt_integer(L, 2, "elapsed_ms", 0),
        .resume_at_s = opt_integer(L, 2, "resume_at_s", 0),
        .wait_s = opt_integer(L, 2, "wait_s", 0),
        .retries = (int)opt_integer(L, 2, "retries", 0),
        .cleanups = (int)opt_integer(L, 2, "cleanups", 0),
        .ended_at_s = opt_integer(L, 2, "ended_at_s", 0),
        .told_at_s = opt_integer(L, 2, "told_at_s", 0),
        .boot = opt_string(L, 2, "boot", NULL),
        .ending_status = opt_string(L, 2, "ending_status", NULL),
        .ending_kind = opt_string(L, 2, "ending_kind", NULL),
        .ending_details = opt_string(L, 2, "ending_details", NULL),
        .theirs = opt_string(L, 2, "theirs", NULL),
        .thing = opt_string(L, 2, "thing", NULL),
        .job_id = opt_string(L, 2, "job_id", NULL),
        .handler = opt_string(L, 2, "handler", NULL),
        .handler_digest = opt_string(L, 2, "handler_digest", NULL),
        .status = opt_string(L, 2, "status", NULL),
        .details = opt_string(L, 2, "details", NULL),
        .told = opt_string(L, 2, "told", NULL),
    };
    e.document = opt_string(L, 2, "document", &e.document_len);
    if (!e.document)
        e.document_len = 0;
    int64_t row = hob_store_add(store, &e, &err);
    if (row < 0)
        return result(L, (int)row, &err);
    lua_pushinteger(L, row);
    return 1;
}

static void set_string(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, int64_t value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

static void push_execution(lua_State *L, const struct hob_store_execution *e)
{
    lua_newtable(L);
    set_integer(L, "row", e->row);
    set_string(L, "thing", e->thing);
    set_string(L, "job_id", e->job_id);
    set_integer(L, "execution_number", e->execution_number);
    set_integer(L, "queued_at", e->queued_at);
    set_integer(L, "version", e->version);
    set_string(L, "state", state_names[e->state]);
    set_string(L, "handler", e->handler);
    set_string(L, "handler_digest", e->handler_digest);
    set_integer(L, "runs", e->runs);
    set_string(L, "boot", e->boot);
    set_integer(L, "interrupted", e->interrupted);
    set_integer(L, "deaths", e->deaths);
    set_integer(L, "elapsed_ms", e->elapsed_ms);
    set_integer(L, "resume_at_s", e->resume_at_s);
    set_integer(L, "wait_s", e->wait_s);
    set_integer(L, "retries", e->retries);
    set_string(L, "ending_status", e->ending_status);
    set_string(L, "ending_kind", e->ending_kind);
    set_string(L, "ending_details", e->ending_details);
    set_integer(L, "cleanups", e->cleanups);
    set_integer(L, "ended_at_s", e->ended_at_s);
    set_string(L, "theirs", e->theirs);
    set_integer(L, "told_at_s", e->told_at_s);
    set_string(L, "status", e->status);
    set_string(L, "details", e->details);
    set_string(L, "told", e->told);
    if (e->document)
        lua_pushlstring(L, e->document, e->document_len);
    else
        lua_pushnil(L);
    lua_setfield(L, -2, "document");
}

static int found(lua_State *L, int rc, const struct hob_store_execution *e,
                 const struct hob_error *err)
{
    if (rc < 0)
        return result(L, rc, err);
    push_execution(L, e);
    return 1;
}

static int store_find(lua_State *L)
{
    struct hob_error err;
    struct hob_store_execution e;
    int rc = hob_store_find(check(L), luaL_checkstring(L, 2), luaL_checkstring(L, 3),
                            luaL_checkinteger(L, 4), luaL_checkinteger(L, 5), &e, &err);
    return found(L, rc, &e, &err);
}

static int store_get(lua_State *L)
{
    struct hob_error err;
    struct hob_store_execution e;
    int rc = hob_store_get(check(L), luaL_checkinteger(L, 2), &e, &err);
    return found(L, rc, &e, &err);
}

static int store_remove(lua_State *L)
{
    struct hob_error err;
    return result(L, hob_store_remove(check(L), luaL_checkinteger(L, 2), &err), &err);
}

/** (row, handler, digest, version, commits, boot, interrupted, deaths) */
static int store_begin_run(lua_State *L)
{
    struct hob_error err;
    struct hob_store_run run = {.handler = luaL_checkstring(L, 3),
                                .digest = luaL_checkstring(L, 4),
                                .version = luaL_checkinteger(L, 5),
                                .boot = luaL_optstring(L, 7, ""),
                                .interrupted = (int)luaL_optinteger(L, 8, 0),
                                .deaths = (int)luaL_optinteger(L, 9, 0)};
    int rc =
        hob_store_begin_run(check(L), luaL_checkinteger(L, 2), &run, lua_toboolean(L, 6), &err);
    return result(L, rc, &err);
}

static int store_expect_end(lua_State *L)
{
    struct hob_error err;
    return result(L, hob_store_expect_end(check(L), luaL_optstring(L, 2, NULL), &err), &err);
}

/** (row, resume_at_s, wait_s, elapsed_ms) */
static int store_put_wait(lua_State *L)
{
    struct hob_error err;
    int rc = hob_store_put_wait(check(L), luaL_checkinteger(L, 2), luaL_checkinteger(L, 3),
                                luaL_checkinteger(L, 4), luaL_checkinteger(L, 5), &err);
    return result(L, rc, &err);
}

/** (row, name, path, text, digest) */
static int store_put_source(lua_State *L)
{
    struct hob_error err;
    size_t len;
    const char *text = luaL_checklstring(L, 5, &len);
    int rc = hob_store_put_source(check(L), luaL_checkinteger(L, 2), luaL_checkstring(L, 3),
                                  luaL_checkstring(L, 4), text, len, luaL_checkstring(L, 6), &err);
    return result(L, rc, &err);
}

/** (row, name) -> text, path */
static int store_get_source(lua_State *L)
{
    struct hob_error err;
    const char *path, *text;
    size_t len;
    int rc = hob_store_get_source(check(L), luaL_checkinteger(L, 2), luaL_checkstring(L, 3), &path,
                                  &text, &len, &err);
    if (rc < 0)
        return result(L, rc, &err);
    lua_pushlstring(L, text, len);
    lua_pushstring(L, path);
    return 2;
}

/** (row, name, failed, result, state or nil, elapsed_ms, rides) */
static int store_put_step(lua_State *L)
{
    struct hob_error err;
    int rc =
        hob_store_put_step(check(L), luaL_checkinteger(L, 2), luaL_checkstring(L, 3),
                           lua_toboolean(L, 4), luaL_checkstring(L, 5), luaL_optstring(L, 6, NULL),
                           luaL_optinteger(L, 7, 0), !lua_toboolean(L, 8), &err);
    return result(L, rc, &err);
}

static int store_begin_step(lua_State *L)
{
    struct hob_error err;
    int rc = hob_store_begin_step(check(L), luaL_checkinteger(L, 2), luaL_checkstring(L, 3), &err);
    return result(L, rc, &err);
}

static int store_step_begun(lua_State *L)
{
    struct hob_error err;
    int rc = hob_store_step_begun(check(L), luaL_checkinteger(L, 2), luaL_checkstring(L, 3), &err);
    return result(L, rc, &err);
}

/** (row, name) -> result, failed */
static int store_get_step(lua_State *L)
{
    struct hob_error err;
    const char *text;
    bool failed;
    int rc = hob_store_get_step(check(L), luaL_checkinteger(L, 2), luaL_checkstring(L, 3), &failed,
                                &text, &err);
    if (rc < 0)
        return result(L, rc, &err);
    lua_pushstring(L, text);
    lua_pushboolean(L, failed);
    return 2;
}

static int store_get_state(lua_State *L)
{
    struct hob_error err;
    const char *text;
    int rc = hob_store_get_state(check(L), luaL_checkinteger(L, 2), &text, &err);
    if (rc < 0)
        return result(L, rc, &err);
    lua_pushstring(L, text);
    return 1;
}

/** (row, key, mark, tries) */
static int store_put_reboot(lua_State *L)
{
    struct hob_error err;
    int rc = hob_store_put_reboot(check(L), luaL_checkinteger(L, 2), luaL_checkstring(L, 3),
                                  luaL_checkstring(L, 4), (int)luaL_checkinteger(L, 5), &err);
    return result(L, rc, &err);
}

/** (row, key) -> mark, tries */
static int store_get_reboot(lua_State *L)
{
    struct hob_error err;
    const char *mark;
    int tries;
    int rc = hob_store_get_reboot(check(L), luaL_checkinteger(L, 2), luaL_checkstring(L, 3), &mark,
                                  &tries, &err);
    if (rc < 0)
        return result(L, rc, &err);
    lua_pushstring(L, mark);
    lua_pushinteger(L, tries);
    return 2;
}

/** (row, status, kind, details) */
static int store_put_ending(lua_State *L)
{
    struct hob_error err;
    int rc = hob_store_put_ending(check(L), luaL_checkinteger(L, 2), luaL_checkstring(L, 3),
                                  luaL_checkstring(L, 4), luaL_checkstring(L, 5), &err);
    return result(L, rc, &err);
}

static int store_begin_cleanup(lua_State *L)
{
    struct hob_error err;
    return result(L, hob_store_begin_cleanup(check(L), luaL_checkinteger(L, 2), &err), &err);
}

static int store_put_outcome(lua_State *L)
{
    struct hob_error err;
    int rc = hob_store_put_outcome(check(L), luaL_checkinteger(L, 2), luaL_checkstring(L, 3),
                                   luaL_optstring(L, 4, NULL), &err);
    return result(L, rc, &err);
}

static int store_put_version(lua_State *L)
{
    struct hob_error err;
    int rc =
        hob_store_put_version(check(L), luaL_checkinteger(L, 2), luaL_checkinteger(L, 3), &err);
    return result(L, rc, &err);
}

static int store_mark_told(lua_State *L)
{
    struct hob_error err;
    int rc = hob_store_mark_told(check(L), luaL_checkinteger(L, 2), luaL_checkstring(L, 3),
                                 luaL_optstring(L, 4, ""), &err);
    return result(L, rc, &err);
}

struct listing {
    lua_State *L;
    lua_Integer count, most;
};

static bool append_execution(void *user, const struct hob_store_execution *e)
{
    struct listing *listing = user;
    push_execution(listing->L, e);
    lua_rawseti(listing->L, -2, ++listing->count);
    return listing->count < listing->most;
}

/** (thing, state, most) -> list */
static int store_each(lua_State *L)
{
    struct hob_error err;
    struct hob_store *store = check(L);
    struct listing listing = {.L = L, .most = luaL_optinteger(L, 4, LUA_MAXINTEGER)};
    const char *thing = luaL_optstring(L, 2, NULL);
    int state = luaL_checkoption(L, 3, NULL, state_names);
    lua_newtable(L);
    int rc =
        hob_store_each(store, thing, (enum hob_store_state)state, append_execution, &listing, &err);
    return rc < 0 ? result(L, rc, &err) : 1;
}

static bool append_step(void *user, const char *name, bool failed, const char *text)
{
    struct listing *listing = user;
    lua_newtable(listing->L);
    lua_pushstring(listing->L, name);
    lua_setfield(listing->L, -2, "name");
    lua_pushboolean(listing->L, failed);
    lua_setfield(listing->L, -2, "failed");
    lua_pushstring(listing->L, text);
    lua_setfield(listing->L, -2, "result");
    lua_rawseti(listing->L, -2, ++listing->count);
    return listing->count < listing->most;
}

/** (row, most) -> list */
static int store_each_step(lua_State *L)
{
    struct hob_error err;
    struct hob_store *store = check(L);
    struct listing listing = {.L = L, .most = luaL_optinteger(L, 3, LUA_MAXINTEGER)};
    int64_t row = luaL_checkinteger(L, 2);
    lua_newtable(L);
    int rc = hob_store_each_step(store, row, append_step, &listing, &err);
    return rc < 0 ? result(L, rc, &err) : 1;
}

static int store_is_newer(lua_State *L)
{
    lua_pushboolean(L, hob_store_is_newer(check(L)));
    return 1;
}

static int store_is_damaged(lua_State *L)
{
    lua_pushboolean(L, hob_store_is_damaged(check(L)));
    return 1;
}

static int store_flush(lua_State *L)
{
    struct hob_error err;
    return result(L, hob_store_flush(check(L), &err), &err);
}

static int store_prune(lua_State *L)
{
    struct hob_error err;
    return result(L, hob_store_prune(check(L), (int)luaL_checkinteger(L, 2), &err), &err);
}

static int library_version(lua_State *L)
{
    lua_pushstring(L, hob_store_library_version());
    return 1;
}

/** No file of this process grows beyond `bytes` from now on; without: as far as they like. */
static int limit_files(lua_State *L)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = lua_isnoneornil(L, 1) ? limit.rlim_max : (rlim_t)luaL_checkinteger(L, 1);
    signal(SIGXFSZ, SIG_IGN); /* so that the write fails with EFBIG */
    setrlimit(RLIMIT_FSIZE, &limit);
    return 0;
}

/* ---- a process that is going to be killed ---- */

static void child_main(lua_State *L, int report)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    lua_sethook(L, NULL, 0, 0); /* nobody waits for this process: it has no slices */
    int status = lua_pcall(L, 0, 0, 0);
    const char *message = status == LUA_OK ? "ok" : luaL_tolstring(L, -1, NULL);
    if (write(report, message, strlen(message)) < 0 || close(report) < 0)
        _exit(1);
    for (;;)
        pause();
}

static int child_start(lua_State *L)
{
    int ends[2];
    char message[1024];
    size_t len = 0;
    ssize_t got;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    if (pipe(ends) < 0)
        return luaL_error(L, "pipe failed");
    pid_t pid = fork();
    if (pid < 0)
        return luaL_error(L, "fork failed");
    if (pid == 0)
        child_main(L, ends[1]);
    close(ends[1]);
    while (len < sizeof(message) && (got = read(ends[0], message + len, sizeof(message) - len)) > 0)
        len += (size_t)got;
    close(ends[0]);
    pid_t *child = lua_newuserdatauv(L, sizeof(*child), 0);
    *child = pid;
    luaL_setmetatable(L, CHILD_NAME);
    if (len != 2 || memcmp(message, "ok", 2) != 0)
        return luaL_error(L, "in the child: %s", lua_pushlstring(L, message, len));
    return 1;
}

static int child_kill(lua_State *L)
{
    pid_t *child = luaL_checkudata(L, 1, CHILD_NAME);
    if (*child > 0) {
        kill(*child, SIGKILL);
        waitpid(*child, NULL, 0);
    }
    *child = 0;
    return 0;
}

static int child_pid(lua_State *L)
{
    lua_pushinteger(L, *(pid_t *)luaL_checkudata(L, 1, CHILD_NAME));
    return 1;
}

static void new_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc)
{
    luaL_newmetatable(L, name);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

int hob_units_open_store(lua_State *L)
{
    static const luaL_Reg methods[] = {{"add", store_add},
                                       {"begin_cleanup", store_begin_cleanup},
                                       {"begin_run", store_begin_run},
                                       {"begin_step", store_begin_step},
                                       {"close", store_close},
                                       {"each", store_each},
                                       {"each_step", store_each_step},
                                       {"expect_end", store_expect_end},
                                       {"find", store_find},
                                       {"flush", store_flush},
                                       {"get", store_get},
                                       {"get_reboot", store_get_reboot},
                                       {"get_source", store_get_source},
                                       {"get_state", store_get_state},
                                       {"get_step", store_get_step},
                                       {"is_damaged", store_is_damaged},
                                       {"is_newer", store_is_newer},
                                       {"mark_told", store_mark_told},
                                       {"prune", store_prune},
                                       {"put_ending", store_put_ending},
                                       {"put_outcome", store_put_outcome},
                                       {"put_reboot", store_put_reboot},
                                       {"put_source", store_put_source},
                                       {"put_step", store_put_step},
                                       {"put_version", store_put_version},
                                       {"put_wait", store_put_wait},
                                       {"remove", store_remove},
                                       {"step_begun", store_step_begun},
                                       {NULL, NULL}};
    static const luaL_Reg child_methods[] = {
        {"kill", child_kill}, {"pid", child_pid}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"open", store_open},
                                         {"child", child_start},
                                         {"limit_files", limit_files},
                                         {"library_version", library_version},
                                         {NULL, NULL}};
    new_class(L, STORE_NAME, methods, store_close);
    new_class(L, CHILD_NAME, child_methods, child_kill);
    lua_newtable(L);
    luaL_newlib(L, functions);
    lua_setfield(L, -2, "store");
    return 1;
}
