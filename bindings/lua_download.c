/* lua_download.c - hob.http: download to a file, request in memory. */
#include "bindings.h"

#include "device/download.h"
#include "work/task.h"

#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 64

static const char *const download_options[] = {
    "url", "sha256", "to", "ca", "headers", "limit", "timeout", "on_progress", "stall", NULL};
static const char *const request_options[] = {"url", "method", "body",  "headers", "timeout",
                                              "ca",  "limit",  "stall", NULL};

struct op {
    struct hob_task *task;
    struct hob_scheduler *scheduler;
    struct hob_download *download; /* NULL once it is done */
    lua_State *L;                  /* the main thread: for the reference */
    int on_progress;
    char *path; /* NULL: in memory */
    struct hob_download_result result;
    char *body, *content_type; /* the result's, ours */
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

static void read_options(lua_State *L, struct hob_download_options *options, const char **headers)
{
    options->url = check_url(L);
    options->ca_file = hob_lua_opt_string(L, 1, "ca", NULL);
    options->limit_bytes = read_bytes(L, "limit");
    options->timeout_ms = hob_lua_ms(L, hob_lua_opt_number(L, 1, "timeout", 0), "timeout");
    options->stall_ms = hob_lua_ms(L, hob_lua_opt_number(L, 1, "stall", 0), "stall");
    options->headers = read_headers(L, headers);
}

/* ---- from the loop ---- */

struct progress {
    uint64_t bytes, total;
};

static int push_progress(lua_State *L, void *user)
{
    const struct progress *progress = user;
    lua_pushinteger(L, (lua_Integer)progress->bytes);
    if (progress->total) {
        lua_pushinteger(L, (lua_Integer)progress->total);
    } else {
        lua_pushnil(L);
    }
    return 2;
}

static void on_progress(void *user, uint64_t bytes, uint64_t total)
{
    struct op *op = user;
    struct progress *progress = malloc(sizeof *progress);
    if (progress) {
        *progress = (struct progress){bytes, total};
        hob_task_call(op->scheduler, op->on_progress, push_progress, progress, free);
    }
}

static void on_done(void *user, const struct hob_download_result *result)
{
    struct op *op = user;
    op->download = NULL;
    op->result = *result;
    op->content_type = strdup(result->content_type);
    op->no_memory = !op->content_type;
    if (!op->path && result->error.code == 0) {
        op->body = malloc(result->body_len + 1);
        op->no_memory = op->no_memory || !op->body;
        if (op->body) {
            memcpy(op->body, result->body, result->body_len);
        }
    }
    hob_task_wake(op->task);
}

/* ---- results ---- */

static int push_file(lua_State *L, struct op *op)
{
    lua_createtable(L, 0, 5);
    lua_pushstring(L, op->path);
    lua_setfield(L, -2, "path");
    lua_pushinteger(L, (lua_Integer)op->result.bytes);
    lua_setfield(L, -2, "bytes");
    lua_pushstring(L, op->result.sha256);
    lua_setfield(L, -2, "sha256");
    lua_pushinteger(L, op->result.status);
    lua_setfield(L, -2, "status");
    lua_pushinteger(L, (lua_Integer)op->result.resumed_from);
    lua_setfield(L, -2, "resumed_from");
    return 1;
}

static int push_answer(lua_State *L, struct op *op)
{
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, op->result.status);
    lua_setfield(L, -2, "status");
    lua_pushlstring(L, op->body, op->result.body_len);
    lua_setfield(L, -2, "body");
    lua_pushstring(L, op->content_type);
    lua_setfield(L, -2, "content_type");
    return 1;
}

static int push_result(lua_State *L, void *user)
{
    struct op *op = user;
    if (op->result.error.code) {
        return hob_lua_fail(L, &op->result.error);
    }
    if (op->no_memory) {
        return luaL_error(L, "out of memory for the answer");
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
    free(op->path);
    free(op->body);
    free(op->content_type);
    free(op);
}

/* ---- the calls ---- */

static struct op *new_op(lua_State *L, const char *path)
{
    struct op *op = calloc(1, sizeof *op);
    char *copy = path ? strdup(path) : NULL;
    if (!op || (path && !copy)) {
        free(op);
        luaL_error(L, "out of memory");
        return NULL;
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
    hob_lua_check_options(L, 1, download_options);
    lua_settop(L, 1);
    struct hob_task *task = hob_task_current(L);
    read_options(L, &options, headers);
    const char *to = hob_lua_opt_string(L, 1, "to", NULL);
    options.sha256 = hob_lua_opt_string(L, 1, "sha256", NULL);
    if (!to || !*to) {
        return luaL_error(L, "to: expected the path of the file to make");
    }
    lua_pushstring(L, to);
    options.to = hob_lua_check_path(L, -1); /* stays on the stack until the task suspends */
    int ref = hob_lua_opt_function(L, 1, "on_progress");
    options.on_progress = ref == LUA_NOREF ? NULL : on_progress;
    return run(L, &options, task, ref, "hob.http.download");
}

static int http_request(lua_State *L)
{
    const char *headers[HEADERS_MAX + 1];
    struct hob_download_options options = {0};
    hob_lua_check_options(L, 1, request_options);
    lua_settop(L, 1);
    struct hob_task *task = hob_task_current(L);
    read_options(L, &options, headers);
    options.method = hob_lua_opt_string(L, 1, "method", NULL);
    options.body = hob_lua_opt_string(L, 1, "body", NULL);
    if (options.body) {
        lua_getfield(L, 1, "body");
        options.body = lua_tolstring(L, -1, &options.body_len);
    }
    return run(L, &options, task, LUA_NOREF, "hob.http.request");
}

static const luaL_Reg functions[] = {
    {"download", http_download}, {"request", http_request}, {NULL, NULL}};

int hob_lua_open_download(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
