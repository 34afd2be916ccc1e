/* lua_download.c - hob.http.core: one try of a download to a file, or of a request in memory. What
 * handlers see of it is lib/hob/http.lua, which checks the names of options. */
#include "base/alloc.h"
#include "lua_fs.h"

#include "device/download.h"
#include "device/files.h"
#include "device/policy.h"
#include "work/task.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define HEADERS_MAX 64
#define REASON_MAX  4096

struct op {
    struct hob_task *task;
    struct hob_scheduler *scheduler;
    struct hob_download *download; /* NULL once it is done */
    lua_State *L;                  /* the main thread: for the reference */
    int on_progress;
    char *path;                   /* NULL: in memory */
    struct hob_files_owner owner; /* of it */
    struct hob_download_result result;
    char *body, *headers, *content_type; /* the result's, ours */
    bool no_memory;
};

/* ---- options ---- */

static const char *check_url(lua_State *L)
{
    const char *url = hob_lua_opt_string(L, 1, "url", NULL);
    if (!url) {
        luaL_error(L, "url: expected string, got nil");
    }
    return url;
}

static const char *header_line(lua_State *L)
{
    if (lua_type(L, -2) != LUA_TSTRING || !lua_isstring(L, -1)) {
        luaL_error(L, "headers: expected { [\"Name\"] = \"value\" }");
    }
    luaL_tolstring(L, -1, NULL); /* lua_next's own value stays as it is */
    lua_pushfstring(L, "%s: %s", lua_tostring(L, -3), lua_tostring(L, -1));
    lua_remove(L, -2);
    return lua_tostring(L, -1);
}

/* The lines stay in a table on the stack, since the list borrows them. */
static const char *const *read_headers(lua_State *L, const char **list)
{
    int type = lua_getfield(L, 1, "headers"), n = 0;
    if (type == LUA_TNIL) {
        return NULL;
    }
    if (type != LUA_TTABLE) {
        luaL_error(L, "headers: expected table, got %s", luaL_typename(L, -1));
    }
    int table = lua_gettop(L);
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, table); lua_settop(L, table + 2)) {
        if (n == HEADERS_MAX) {
            luaL_error(L, "headers: more than %d", HEADERS_MAX);
        }
        list[n++] = header_line(L);
        lua_rawseti(L, table + 1, n);
    }
    list[n] = NULL;
    return list;
}

static uint64_t read_bytes(lua_State *L, const char *name)
{
    double bytes = hob_lua_opt_number(L, 1, name, 0);
    if (!(bytes >= 0) || bytes > 1e15) {
        luaL_error(L, "%s: expected a number of bytes, got %f", name, bytes);
    }
    return (uint64_t)bytes;
}

/* The gateway's own certificate. @return whether it has one */
static bool read_device(lua_State *L, struct hob_download_options *options, struct hob_error *err)
{
    const struct hob_modules_agent *agent = hob_bindings_host(L)->agent;
    if (!hob_lua_opt_boolean(L, 1, "device_certificate", false)) {
        return true;
    }
    if (!agent || !*agent->cert) {
        hob_error_set(err, HOB_EINVAL,
                      "device_certificate: no gateway runs here that has one (the config's keys "
                      "cert and key)");
        return false;
    }
    if (!*agent->key) {
        hob_error_set(err, HOB_EUNSUPPORTED,
                      "device_certificate: this gateway's key is with a key provider of the "
                      "product; only its own connection signs there");
        return false;
    }
    options->cert_file = agent->cert;
    options->key_file = agent->key;
    options->key_passphrase = *agent->key_passphrase ? agent->key_passphrase : NULL;
    options->ca_file = options->ca_file || !*agent->ca ? options->ca_file : agent->ca;
    return true;
}

static void read_signature(lua_State *L, struct hob_download_options *options)
{
    options->sign = hob_lua_opt_string(L, 1, "sign", NULL);
    options->sign_id = hob_lua_opt_string(L, 1, "sign_id", NULL);
    options->sign_secret = hob_lua_opt_string(L, 1, "sign_secret", NULL);
}

/* The path that is meant takes the option's place in the table, and so lives as long as that. */
static const char *read_path(lua_State *L, const char *name)
{
    const char *path = hob_lua_opt_string(L, 1, name, NULL);
    if (!path) {
        return NULL;
    }
    if (!*path) {
        luaL_error(L, "%s: expected the path of a file", name);
    }
    lua_pushstring(L, path);
    hob_lua_check_path(L, -1);
    lua_setfield(L, 1, name);
    return hob_lua_opt_string(L, 1, name, NULL);
}

/* Handlers read and write files within the same directories here as by hob.fs. */
static int check_place(lua_State *L, const char *path, struct hob_error *err)
{
    struct hob_files_place place = {hob_bindings_host(L)->policy, hob_lua_job_dir(L)};
    return path ? hob_files_check(&place, path, HOB_FILES_TARGET, err) : 0;
}

static bool read_options(lua_State *L, struct hob_download_options *options, const char **headers,
                         struct hob_error *err)
{
    const struct hob_policy *policy = hob_bindings_host(L)->policy;
    options->url = check_url(L);
    options->ca_file = read_path(L, "ca");
    options->cert_file = read_path(L, "cert");
    options->key_file = read_path(L, "key");
    options->key_passphrase = hob_lua_opt_string(L, 1, "key_passphrase", NULL);
    options->proxy = hob_lua_opt_string(L, 1, "proxy", NULL);
    options->default_proxy = policy && *policy->proxy ? policy->proxy : NULL;
    options->allow_http = hob_lua_opt_boolean(L, 1, "allow_http", false);
    options->only_ok = hob_lua_opt_boolean(L, 1, "only_ok", false);
    options->limit_bytes = read_bytes(L, "limit");
    options->size_bytes = read_bytes(L, "size");
    options->send_limit_bytes = read_bytes(L, "send_limit");
    options->timeout_ms = hob_lua_ms(L, hob_lua_opt_number(L, 1, "timeout", 0), "timeout");
    options->stall_ms = hob_lua_ms(L, hob_lua_opt_number(L, 1, "stall", 0), "stall");
    options->headers = read_headers(L, headers);
    read_signature(L, options);
    return read_device(L, options, err);
}

/* ---- from the loop ---- */

struct progress {
    uint64_t bytes, total;
};

static int push_progress(lua_State *L, void *user)
{
    const struct progress *progress = user;
    lua_pushinteger(L, (lua_Integer)progress->bytes);
    lua_pushinteger(L, (lua_Integer)progress->total);
    return 2;
}

static void on_progress(void *user, uint64_t bytes, uint64_t total)
{
    struct op *op = user;
    struct progress *progress = hob_malloc(sizeof *progress);
    if (progress) {
        *progress = (struct progress){bytes, total};
        hob_task_call(op->scheduler, op->on_progress, push_progress, progress, hob_free);
    }
}

/* Of a failure only the beginning is kept: it is for a person. */
static char *copy_body(const struct hob_download_result *result, size_t *len)
{
    *len = result->body_len;
    if (result->error.code && *len > REASON_MAX) {
        *len = REASON_MAX;
    }
    char *body = hob_malloc(*len + 1);
    if (body) {
        memcpy(body, result->body, *len);
    }
    return body;
}

/* What a program of the job is to work with must belong to whom that runs as. */
static void give(struct op *op)
{
    if (op->path && op->owner.given && lchown(op->path, op->owner.uid, op->owner.gid)) {
        hob_error_set(&op->result.error, hob_error_from_errno(errno), "giving away %s: %s",
                      op->path, strerror(errno));
    }
}

static void on_done(void *user, const struct hob_download_result *result)
{
    struct op *op = user;
    op->download = NULL;
    op->result = *result;
    if (!result->error.code) {
        give(op);
    }
    op->content_type = hob_strdup(result->content_type);
    op->headers = hob_strdup(result->headers);
    op->body = copy_body(result, &op->result.body_len);
    op->no_memory = !op->content_type || !op->headers || !op->body;
    hob_task_wake(op->task);
}

/* ---- results ---- */

static void set_integer(lua_State *L, const char *name, uint64_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

static int push_file(lua_State *L, struct op *op)
{
    lua_createtable(L, 0, 5);
    lua_pushstring(L, op->path);
    lua_setfield(L, -2, "path");
    lua_pushstring(L, op->result.sha256);
    lua_setfield(L, -2, "sha256");
    set_integer(L, "bytes", op->result.bytes);
    set_integer(L, "status", (uint64_t)op->result.status);
    set_integer(L, "resumed_from", op->result.resumed_from);
    return 1;
}

static int push_answer(lua_State *L, struct op *op)
{
    lua_createtable(L, 0, 4);
    set_integer(L, "status", (uint64_t)op->result.status);
    lua_pushlstring(L, op->body, op->result.body_len);
    lua_setfield(L, -2, "body");
    lua_pushstring(L, op->headers);
    lua_setfield(L, -2, "headers");
    lua_pushstring(L, op->content_type);
    lua_setfield(L, -2, "content_type");
    return 1;
}

static int push_failure(lua_State *L, struct op *op)
{
    hob_lua_fail(L, &op->result.error);
    if (op->no_memory) {
        return 3;
    }
    push_answer(L, op);
    set_integer(L, "bytes", op->result.bytes);
    set_integer(L, "resumed_from", op->result.resumed_from);
    return 4;
}

static int push_result(lua_State *L, void *user)
{
    struct op *op = user;
    if (op->result.error.code) {
        return push_failure(L, op);
    }
    if (op->no_memory) {
        return luaL_error(L, "out of memory for the answer");
    }
    int number = op->path ? hob_lua_fs_give(L, op->path) : 0;
    if (number) {
        return luaL_error(L, "giving %s to exec_user: %s", op->path, strerror(number));
    }
    return op->path ? push_file(L, op) : push_answer(L, op);
}

static void cancel(void *user)
{
    struct op *op = user;
    if (op->download) {
        hob_download_cancel(op->download);
    }
    op->download = NULL;
}

static void free_op(void *user)
{
    struct op *op = user;
    luaL_unref(op->L, LUA_REGISTRYINDEX, op->on_progress);
    hob_free(op->path);
    hob_free(op->body);
    hob_free(op->headers);
    hob_free(op->content_type);
    hob_free(op);
}

/* ---- the calls ---- */

static struct op *new_op(lua_State *L, const char *path)
{
    struct op *op = hob_calloc(1, sizeof *op);
    char *copy = path ? hob_strdup(path) : NULL;
    if (!op || (path && !copy)) {
        hob_free(op);
        luaL_error(L, "out of memory");
        return NULL;
    }
    struct hob_files_place place = {hob_bindings_host(L)->policy, hob_lua_job_dir(L)};
    if (path) {
        hob_files_default_owner(&place, path, &op->owner);
    }
    op->scheduler = hob_scheduler_of(L);
    op->path = copy;
    op->on_progress = LUA_NOREF;
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    op->L = lua_tothread(L, -1);
    lua_pop(L, 1);
    return op;
}

static int run(lua_State *L, struct hob_download_options *options, struct hob_task *task,
               int on_progress_ref, const char *name)
{
    struct hob_error err;
    struct op *op = new_op(L, options->to);
    op->task = task;
    op->on_progress = on_progress_ref;
    options->user = op;
    options->done = on_done;
    if (hob_download_start(hob_scheduler_loop(L), options, &op->download, &err)) {
        free_op(op);
        return hob_lua_fail(L, &err);
    }
    return hob_task_suspend(
        L, &(struct hob_task_wait){
               .name = name, .push = push_result, .cancel = cancel, .op_free = free_op, .op = op});
}

static int http_download(lua_State *L)
{
    const char *headers[HEADERS_MAX + 1];
    struct hob_download_options options = {0};
    struct hob_error err;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct hob_task *task = hob_task_current(L);
    options.to = read_path(L, "to");
    if (!options.to) {
        return luaL_error(L, "to: expected the path of the file to make");
    }
    int refused = hob_lua_fs_check(L, options.to, HOB_FILES_TARGET);
    if (refused) {
        return refused;
    }
    options.sha256 = hob_lua_opt_string(L, 1, "sha256", NULL);
    if (!read_options(L, &options, headers, &err) || check_place(L, options.to, &err)) {
        return hob_lua_fail(L, &err);
    }
    int ref = hob_lua_opt_function(L, 1, "on_progress");
    options.on_progress = ref == LUA_NOREF ? NULL : on_progress;
    return run(L, &options, task, ref, "hob.http.download");
}

static int http_request(lua_State *L)
{
    const char *headers[HEADERS_MAX + 1];
    struct hob_download_options options = {0};
    struct hob_error err;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct hob_task *task = hob_task_current(L);
    options.method = hob_lua_opt_string(L, 1, "method", NULL);
    options.file = read_path(L, "file");
    int refused = options.file ? hob_lua_fs_check(L, options.file, HOB_FILES_TARGET) : 0;
    if (refused) {
        return refused;
    }
    options.body = hob_lua_opt_string(L, 1, "body", NULL);
    if (options.body) {
        lua_getfield(L, 1, "body");
        options.body = lua_tolstring(L, -1, &options.body_len);
    }
    if (!read_options(L, &options, headers, &err) || check_place(L, options.file, &err)) {
        return hob_lua_fail(L, &err);
    }
    int ref = hob_lua_opt_function(L, 1, "on_progress");
    options.on_progress = ref == LUA_NOREF ? NULL : on_progress;
    return run(L, &options, task, ref, options.file ? "hob.http.put" : "hob.http.request");
}

/* hob.http.core.gateway() -> { thing =, credentials_endpoint = }; nil: no gateway runs here */
static int http_gateway(lua_State *L)
{
    const struct hob_modules_agent *agent = hob_bindings_host(L)->agent;
    if (!agent) {
        lua_pushnil(L);
        return 1;
    }
    lua_createtable(L, 0, 2);
    lua_pushstring(L, agent->thing);
    lua_setfield(L, -2, "thing");
    lua_pushstring(L, agent->credentials_endpoint);
    lua_setfield(L, -2, "credentials_endpoint");
    return 1;
}

static const luaL_Reg functions[] = {{"download", http_download},
                                     {"request", http_request},
                                     {"gateway", http_gateway},
                                     {NULL, NULL}};

int hob_lua_open_download(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
