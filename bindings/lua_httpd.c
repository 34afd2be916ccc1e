/* lua_httpd.c - hob.httpd: a small HTTP server, for `hob lua` only. */
#include "base/alloc.h"
#include "bindings.h"

#include "base/buf.h"
#include "base/mbed.h"
#include "net/httpd.h"
#include "work/task.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME     "hob.httpd.file"
#define SERVER_NAME   "hob.httpd.server"
#define HEADERS_MAX   64
#define READ_MAX      1048576
#define REQUEST_BYTES ((size_t)128 * 1024 * 1024)

static const char *const listen_options[] = {"address", "port", "limit", "on_request", NULL};

struct server {
    struct hob_httpd *httpd; /* NULL once it is closed */
    struct hob_scheduler *scheduler;
    struct hob_log *log;
    lua_State *L;          /* the main thread: for the references */
    int callback, handler; /* on_request, and `handle` below */
    int self;              /* keeps the object while it listens */
};

/* One request on its way through its task. What came is borrowed, so it is copied: a run of strings
 * each with its NUL (method, path, query pairs, header pairs), then the body. */
struct exchange {
    struct hob_httpd_request *request; /* NULL once it is answered */
    struct hob_log *log;
    int callback;
    struct hob_buf text;
    size_t query_count, headers_count;
};

/* ---- answers ---- */

static void answer_words(struct exchange *exchange, int status, const char *words)
{
    static const struct hob_httpd_header type = {"Content-Type", "text/plain; charset=utf-8"};
    struct hob_httpd_request *request = exchange->request;
    exchange->request = NULL;
    if (request) {
        hob_httpd_respond(request, status, &type, 1, words, strlen(words));
    }
}

static void free_exchange(void *user)
{
    struct exchange *exchange = user;
    answer_words(exchange, 500, "the request was given up\n"); /* its task was ended */
    hob_buf_free(&exchange->text);
    hob_free(exchange);
}

/* The strings stay in a table on the stack, since the list borrows them. */
static size_t read_headers(lua_State *L, int index, struct hob_httpd_header *list)
{
    size_t n = 0;
    if (lua_getfield(L, index, "headers") == LUA_TNIL) {
        return 0;
    }
    luaL_argexpected(L, lua_istable(L, -1), index, "headers = { [\"Name\"] = \"value\" }");
    int table = lua_gettop(L);
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, table); lua_settop(L, table + 2)) {
        if (n == HEADERS_MAX || lua_type(L, -2) != LUA_TSTRING || !lua_isstring(L, -1)) {
            luaL_error(L, "headers: expected at most %d of [\"Name\"] = \"value\"", HEADERS_MAX);
        }
        list[n].name = lua_tostring(L, -2);
        list[n].value = luaL_tolstring(L, -1, NULL);
        lua_rawseti(L, table + 1, (lua_Integer)++n);
    }
    return n;
}

static struct hob_httpd_file *check_file(lua_State *L, int index)
{
    struct hob_httpd_file *file = luaL_checkudata(L, index, FILE_NAME);
    luaL_argcheck(L, file->fd >= 0, index, "the file is closed");
    return file;
}

/* The file at the top of the stack, from `offset` on; it is taken over. */
static void answer_file(lua_State *L, int index, struct exchange *exchange, int status,
                        const struct hob_httpd_header *headers, size_t count)
{
    struct hob_httpd_file *file = check_file(L, lua_gettop(L));
    double offset = hob_lua_opt_number(L, index, "offset", 0);
    double length = hob_lua_opt_number(L, index, "length", (double)file->size - offset);
    if (!(offset >= 0 && length >= 0 && offset + length <= (double)file->size)) {
        luaL_error(L, "offset, length: expected a part of the file's %I bytes",
                   (LUAI_UACINT)file->size);
    }
    struct hob_httpd_request *request = exchange->request;
    int fd = file->fd;
    exchange->request = NULL;
    file->fd = -1;
    hob_httpd_respond_file(request, status, headers, count, fd, (uint64_t)offset, (uint64_t)length);
}

static void answer_body(lua_State *L, int index, struct exchange *exchange, int status,
                        const struct hob_httpd_header *headers, size_t count)
{
    size_t len = 0;
    hob_lua_opt_string(L, index, "body", NULL); /* of the right type */
    lua_getfield(L, index, "body");
    const char *body = lua_tolstring(L, -1, &len);
    struct hob_httpd_request *request = exchange->request;
    exchange->request = NULL;
    hob_httpd_respond(request, status, headers, count, body ? body : "", len);
}

static void answer_table(lua_State *L, int index, struct exchange *exchange)
{
    struct hob_httpd_header headers[HEADERS_MAX];
    if (!lua_istable(L, index)) {
        luaL_error(L, "on_request: expected { status =, headers =, body = }, got %s",
                   luaL_typename(L, index));
    }
    int status = (int)hob_lua_opt_number(L, index, "status", 200);
    size_t count = read_headers(L, index, headers);
    if (status < 200 || status > 599) {
        luaL_error(L, "status: expected 200 to 599, got %d", status);
    }
    if (lua_getfield(L, index, "file") == LUA_TNIL) {
        answer_body(L, index, exchange, status, headers, count);
    } else {
        answer_file(L, index, exchange, status, headers, count);
    }
}

/* ---- the task of a request ---- */

static void push_pairs(lua_State *L, const char **at, size_t count, bool lower)
{
    lua_createtable(L, 0, (int)count);
    for (size_t i = 0; i < count; i++) {
        const char *name = *at, *value = name + strlen(name) + 1;
        luaL_Buffer key;
        luaL_buffinit(L, &key);
        for (; *name; name++) {
            luaL_addchar(&key, lower ? (char)tolower((unsigned char)*name) : *name);
        }
        luaL_pushresult(&key);
        lua_pushstring(L, value);
        lua_rawset(L, -3);
        *at = value + strlen(value) + 1;
    }
}

static void push_request(lua_State *L, const struct exchange *exchange)
{
    const char *start = hob_buf_data(&exchange->text), *at = start;
    lua_createtable(L, 0, 5);
    lua_pushstring(L, at);
    lua_setfield(L, -2, "method");
    at += strlen(at) + 1;
    lua_pushstring(L, at);
    lua_setfield(L, -2, "path");
    at += strlen(at) + 1;
    push_pairs(L, &at, exchange->query_count, false);
    lua_setfield(L, -2, "query");
    push_pairs(L, &at, exchange->headers_count, true);
    lua_setfield(L, -2, "headers");
    lua_pushlstring(L, at, hob_buf_len(&exchange->text) - (size_t)(at - start));
    lua_setfield(L, -2, "body");
}

static int push_exchange(lua_State *L, void *user)
{
    lua_pushlightuserdata(L, user);
    return 1;
}

static int called(lua_State *L, int status, lua_KContext context)
{
    answer_table(L, lua_gettop(L), lua_touserdata(L, 1));
    return 0;
}

/* serve(exchange): protected by `handle`. */
static int serve(lua_State *L)
{
    const struct exchange *exchange = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, exchange->callback);
    push_request(L, exchange);
    lua_callk(L, 1, 1, 0, called);
    return called(L, LUA_OK, 0);
}

static int handled(lua_State *L, int status, lua_KContext context)
{
    struct exchange *exchange = lua_touserdata(L, 1);
    if (status == LUA_OK || status == LUA_YIELD) {
        return 0;
    }
    if (lua_type(L, -1) == LUA_TLIGHTUSERDATA) {
        return lua_error(L); /* an engine error goes its way */
    }
    const char *words = luaL_tolstring(L, -1, NULL);
    hob_log_event(exchange->log, HOB_LOG_ERROR, "httpd.error", "%s %s: %s",
                  hob_buf_data(&exchange->text),
                  hob_buf_data(&exchange->text) + strlen(hob_buf_data(&exchange->text)) + 1, words);
    answer_words(exchange, 500, words);
    return 0;
}

static int handle(lua_State *L)
{
    lua_pushcfunction(L, serve);
    lua_pushvalue(L, 1);
    return handled(L, lua_pcallk(L, 1, 0, 0, 0, handled), 0);
}

/* ---- from the loop ---- */

static int add_string(struct hob_buf *text, const char *string)
{
    return hob_buf_append(text, string, strlen(string) + 1);
}

static int add_pairs(struct hob_buf *text, const struct hob_httpd_header *list, size_t count)
{
    int code = 0;
    for (size_t i = 0; i < count && !code; i++) {
        code = add_string(text, list[i].name);
        code = code ? code : add_string(text, list[i].value);
    }
    return code;
}

static struct exchange *new_exchange(struct hob_httpd_request *request,
                                     const struct hob_httpd_request_view *view)
{
    struct exchange *exchange = hob_calloc(1, sizeof *exchange);
    if (!exchange) {
        return NULL;
    }
    hob_buf_init(&exchange->text, REQUEST_BYTES);
    exchange->query_count = view->query_count;
    exchange->headers_count = view->headers_count;
    if (add_string(&exchange->text, view->method) || add_string(&exchange->text, view->path) ||
        add_pairs(&exchange->text, view->query, view->query_count) ||
        add_pairs(&exchange->text, view->headers, view->headers_count) ||
        hob_buf_append(&exchange->text, view->body, view->body_len)) {
        hob_buf_free(&exchange->text);
        hob_free(exchange);
        return NULL;
    }
    exchange->request = request;
    return exchange;
}

static void on_request(void *user, struct hob_httpd_request *request,
                       const struct hob_httpd_request_view *view)
{
    struct server *server = user;
    struct exchange *exchange = new_exchange(request, view);
    if (!exchange) {
        hob_httpd_respond(request, 503, NULL, 0, "out of memory\n", 14);
        return;
    }
    exchange->log = server->log;
    exchange->callback = server->callback;
    hob_task_call(server->scheduler, server->handler, push_exchange, exchange, free_exchange);
}

/* ---- the server object ---- */

static struct server *check_server(lua_State *L)
{
    return luaL_checkudata(L, 1, SERVER_NAME);
}

/* The callback stays for tasks that are under way. */
static int server_close(lua_State *L)
{
    struct server *server = check_server(L);
    if (server->httpd) {
        hob_httpd_stop(server->httpd);
        server->httpd = NULL;
        luaL_unref(server->L, LUA_REGISTRYINDEX, server->self);
    }
    return 0;
}

static int server_gc(lua_State *L)
{
    struct server *server = check_server(L);
    server_close(L);
    luaL_unref(server->L, LUA_REGISTRYINDEX, server->callback);
    luaL_unref(server->L, LUA_REGISTRYINDEX, server->handler);
    server->callback = server->handler = LUA_NOREF;
    return 0;
}

static int server_port(lua_State *L)
{
    struct server *server = check_server(L);
    luaL_argcheck(L, server->httpd, 1, "the server is closed");
    lua_pushinteger(L, hob_httpd_port(server->httpd));
    return 1;
}

static int server_tostring(lua_State *L)
{
    struct server *server = check_server(L);
    if (server->httpd) {
        lua_pushfstring(L, "hob.httpd.server (port %d)", hob_httpd_port(server->httpd));
    } else {
        lua_pushliteral(L, "hob.httpd.server (closed)");
    }
    return 1;
}

static struct server *new_server(lua_State *L)
{
    struct server *server = lua_newuserdatauv(L, sizeof *server, 0);
    *server = (struct server){.scheduler = hob_scheduler_of(L),
                              .log = hob_bindings_host(L)->log,
                              .callback = LUA_NOREF,
                              .handler = LUA_NOREF,
                              .self = LUA_NOREF};
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    server->L = lua_tothread(L, -1);
    lua_pop(L, 1);
    luaL_setmetatable(L, SERVER_NAME);
    return server;
}

static int httpd_listen(lua_State *L)
{
    struct hob_error err;
    hob_lua_check_options(L, 1, listen_options);
    lua_settop(L, 1);
    struct server *server = new_server(L);
    server->callback = hob_lua_opt_function(L, 1, "on_request");
    if (server->callback == LUA_NOREF) {
        return luaL_error(L, "on_request: expected function, got nil");
    }
    lua_pushcfunction(L, handle);
    server->handler = luaL_ref(L, LUA_REGISTRYINDEX);
    struct hob_httpd_options options = {
        .address = hob_lua_opt_string(L, 1, "address", "127.0.0.1"),
        .port = (int)hob_lua_opt_number(L, 1, "port", 0),
        .limit_bytes = (size_t)hob_lua_opt_number(L, 1, "limit", 0),
        .on_request = on_request,
        .user = server,
    };
    if (hob_httpd_start(hob_scheduler_loop(L), &options, &server->httpd, &err)) {
        server->httpd = NULL;
        return hob_lua_fail(L, &err);
    }
    lua_pushvalue(L, -1);
    server->self = luaL_ref(L, LUA_REGISTRYINDEX);
    return 1;
}

static const luaL_Reg server_meta[] = {
    {"__gc", server_gc}, {"__close", server_close}, {"__tostring", server_tostring}, {NULL, NULL}};
static const luaL_Reg server_methods[] = {
    {"port", server_port}, {"close", server_close}, {NULL, NULL}};
/* ---- files that are served ---- */

static int httpd_open(lua_State *L)
{
    struct hob_error err;
    const char *root = luaL_checkstring(L, 1);
    size_t len;
    const char *name = luaL_checklstring(L, 2, &len);
    luaL_argcheck(L, strlen(name) == len, 2, "a file name holds no NUL");
    struct hob_httpd_file *file = lua_newuserdatauv(L, sizeof *file, 0);
    file->fd = -1;
    luaL_setmetatable(L, FILE_NAME);
    return hob_httpd_open_file(root, name, file, &err) ? hob_lua_fail(L, &err) : 1;
}

static int file_size(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check_file(L, 1)->size);
    return 1;
}

static int file_mtime(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)check_file(L, 1)->mtime_ns / 1e9);
    return 1;
}

static int file_read(lua_State *L)
{
    const struct hob_httpd_file *file = check_file(L, 1);
    lua_Integer limit = luaL_checkinteger(L, 2);
    luaL_argcheck(L, limit > 0 && limit <= READ_MAX, 2, "expected 1 to 1048576 bytes");
    luaL_Buffer text;
    char *at = luaL_buffinitsize(L, &text, (size_t)limit);
    ssize_t got = pread(file->fd, at, (size_t)limit, 0);
    if (got < 0) {
        struct hob_error err;
        hob_error_set(&err, hob_error_from_errno(errno), "reading: %s", strerror(errno));
        return hob_lua_fail(L, &err);
    }
    luaL_pushresultsize(&text, (size_t)got);
    return 1;
}

static int file_close(lua_State *L)
{
    struct hob_httpd_file *file = luaL_checkudata(L, 1, FILE_NAME);
    if (file->fd >= 0) {
        close(file->fd);
        file->fd = -1;
    }
    return 0;
}

/* hmac(key, text) -> HMAC-SHA-256 in hexadecimal digits */
static int httpd_hmac(lua_State *L)
{
    size_t key_len, len;
    const char *key = luaL_checklstring(L, 1, &key_len);
    const char *text = luaL_checklstring(L, 2, &len);
    char digest[HOB_SHA256_HEX_MAX];
    hob_hmac_sha256_of(key, key_len, text, len, digest);
    if (!digest[0]) {
        return luaL_error(L, "the digest could not be made");
    }
    lua_pushstring(L, digest);
    return 1;
}

static const luaL_Reg file_meta[] = {{"__gc", file_close}, {"__close", file_close}, {NULL, NULL}};
static const luaL_Reg file_methods[] = {{"size", file_size},
                                        {"mtime", file_mtime},
                                        {"read", file_read},
                                        {"close", file_close},
                                        {NULL, NULL}};
static const luaL_Reg functions[] = {
    {"listen", httpd_listen}, {"open", httpd_open}, {"hmac", httpd_hmac}, {NULL, NULL}};

int hob_lua_open_httpd(lua_State *L)
{
    hob_lua_new_metatable(L, SERVER_NAME);
    luaL_setfuncs(L, server_meta, 0);
    luaL_newlib(L, server_methods);
    lua_setfield(L, -2, "__index");
    hob_lua_new_metatable(L, FILE_NAME);
    luaL_setfuncs(L, file_meta, 0);
    luaL_newlib(L, file_methods);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
