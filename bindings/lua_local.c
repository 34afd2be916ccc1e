/* lua_local.c - hob.local: Unix sockets of this machine, as a client: send text, read lines or
 * bytes. For `hob lua` and Hob's own commands, which talk to a running gateway. */
#include "base/alloc.h"
#include "bindings.h"

#include "net/local.h"
#include "work/task.h"

#include <string.h>
#include <unistd.h>

#define NAME       "hob.local.connection"
#define INPUT_MAX  (8 * 1024 * 1024)
#define SEND_MAX   (1024 * 1024)
#define READ_BYTES 65536

struct reader;

/* Outlives its Lua object by a turn of the loop, as uv wants it. */
struct connection {
    uv_pipe_t pipe;
    struct hob_loop *loop;
    struct hob_buf in;
    int status; /* 0; UV_EOF and the like: nothing more comes */
    bool closed;
    struct reader *reader;
    char chunk[READ_BYTES];
};

struct reader {
    struct connection *connection;
    struct hob_task *task;
    struct hob_timer *timer;
    bool late, raw;
};

struct piece {
    uv_write_t request;
    char bytes[];
};

static struct connection *check(lua_State *L)
{
    struct connection **place = luaL_checkudata(L, 1, NAME);
    if (!*place) {
        luaL_error(L, "the connection is closed");
    }
    return *place;
}

/* ---- reading ---- */

static void wake(struct connection *connection)
{
    if (connection->reader) {
        hob_task_wake(connection->reader->task);
    }
}

static bool has_line(const struct connection *connection)
{
    size_t len = hob_buf_len(&connection->in);
    return len && memchr(hob_buf_data(&connection->in), '\n', len);
}

static bool is_enough(const struct connection *connection, bool raw)
{
    return connection->status || has_line(connection) || (raw && hob_buf_len(&connection->in));
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct connection *connection = handle->data;
    *buf = uv_buf_init(connection->chunk, sizeof connection->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct connection *connection = stream->data;
    if (len > 0 && hob_buf_append(&connection->in, buf->base, (size_t)len)) {
        len = UV_E2BIG;
    }
    if (len < 0) {
        connection->status = (int)len;
        uv_read_stop(stream);
    }
    if (connection->reader && is_enough(connection, connection->reader->raw)) {
        wake(connection);
    }
}

static void on_late(void *user)
{
    struct reader *reader = user;
    reader->late = true;
    hob_task_wake(reader->task);
}

static int push_line(lua_State *L, void *op)
{
    const struct reader *reader = op;
    struct connection *connection = reader->connection;
    struct hob_error err;
    if (!connection) {
        hob_error_set(&err, HOB_ECANCELED, "the connection is closed");
        return hob_lua_fail(L, &err);
    }
    const char *data = hob_buf_data(&connection->in);
    size_t len = hob_buf_len(&connection->in);
    const char *end = len ? memchr(data, '\n', len) : NULL;
    if (reader->raw && len) {
        len = len < READ_BYTES ? len : READ_BYTES;
        lua_pushlstring(L, data, len);
        hob_buf_consume(&connection->in, len);
        return 1;
    } else if (end) {
        lua_pushlstring(L, data, (size_t)(end - data));
        hob_buf_consume(&connection->in, (size_t)(end - data) + 1);
        return 1;
    }
    if (connection->status == UV_EOF) {
        hob_error_set(&err, HOB_ECONNRESET, "the other end has closed the connection");
    } else if (connection->status) {
        hob_error_set(&err, hob_error_from_uv(connection->status), "%s",
                      uv_strerror(connection->status));
    } else {
        hob_error_set(&err, HOB_ETIMEDOUT, "%s came in time", reader->raw ? "nothing" : "no line");
    }
    return hob_lua_fail(L, &err);
}

static void reader_free(void *op)
{
    struct reader *reader = op;
    if (reader->connection) {
        reader->connection->reader = NULL;
    }
    hob_timer_close(reader->timer);
    hob_free(reader);
}

static int start_reading(lua_State *L, bool raw)
{
    struct connection *connection = check(L);
    uint64_t ms = hob_lua_ms(L, luaL_optnumber(L, 2, 10), "seconds");
    struct hob_task *task = hob_task_current(L);
    if (connection->reader) {
        return luaL_error(L, "another task reads from this connection");
    }
    if (is_enough(connection, raw)) {
        return push_line(L, &(struct reader){.connection = connection, .raw = raw});
    }
    struct reader *reader = hob_calloc(1, sizeof *reader);
    if (reader) {
        reader->timer = hob_timer_new(connection->loop, on_late, reader);
    }
    if (!reader || !reader->timer) {
        hob_free(reader);
        return luaL_error(L, "out of memory");
    }
    reader->connection = connection;
    reader->task = task;
    reader->raw = raw;
    connection->reader = reader;
    hob_timer_start(reader->timer, ms);
    return hob_task_suspend(
        L, &(struct hob_task_wait){"hob.local.read", push_line, NULL, reader_free, reader});
}

/** connection:read_line([seconds]) -> line without its end | nil, message, code */
static int read_line(lua_State *L)
{
    return start_reading(L, false);
}

/** connection:read([seconds]) -> what has come, at most 64 KB | nil, message, code */
static int read_some(lua_State *L)
{
    return start_reading(L, true);
}

/* ---- writing ---- */

static void on_written(uv_write_t *request, int status)
{
    hob_free(request);
}

/** connection:send(text) -> true | nil, message, code */
static int send_text(lua_State *L)
{
    struct connection *connection = check(L);
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    uv_stream_t *stream = (uv_stream_t *)&connection->pipe;
    struct hob_error err;
    struct piece *piece = NULL;
    int rc = uv_stream_get_write_queue_size(stream) + len > SEND_MAX ? UV_EMSGSIZE : 0;
    if (rc == 0) {
        piece = hob_malloc(sizeof *piece + len);
        rc = piece ? 0 : UV_ENOMEM;
    }
    if (rc == 0) {
        memcpy(piece->bytes, text, len);
        uv_buf_t buf = uv_buf_init(piece->bytes, (unsigned)len);
        rc = uv_write(&piece->request, stream, &buf, 1, on_written);
    }
    if (rc) {
        hob_free(piece);
        hob_error_set(&err, hob_error_from_uv(rc), "%s", uv_strerror(rc));
        return hob_lua_fail(L, &err);
    }
    lua_pushboolean(L, 1);
    return 1;
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    hob_free(request);
}

/** connection:peer() -> the process at the other end | nil: not known */
static int peer(lua_State *L)
{
    struct connection *connection = check(L);
    uv_os_fd_t fd;
    unsigned uid;
    int pid;
    if (uv_fileno((uv_handle_t *)&connection->pipe, &fd) || hob_local_peer(fd, &uid, &pid)) {
        lua_pushnil(L);
    } else {
        lua_pushinteger(L, pid);
    }
    return 1;
}

/** connection:finish(): nothing more will be sent; answers still come. */
static int finish(lua_State *L)
{
    struct connection *connection = check(L);
    uv_shutdown_t *request = hob_calloc(1, sizeof *request);
    if (!request || uv_shutdown(request, (uv_stream_t *)&connection->pipe, on_shutdown)) {
        hob_free(request);
    }
    return 0;
}

/* ---- life ---- */

static void on_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    hob_buf_free(&connection->in);
    hob_free(connection);
}

static int close_connection(lua_State *L)
{
    struct connection **place = luaL_checkudata(L, 1, NAME);
    struct connection *connection = *place;
    if (connection && connection->reader) { /* of another task: it hears of it */
        wake(connection);
        connection->reader->connection = NULL;
    }
    if (connection) {
        uv_close((uv_handle_t *)&connection->pipe, on_closed);
        *place = NULL;
    }
    return 0;
}

static int open_pipe(struct connection *connection, int fd)
{
    int rc = uv_pipe_init(hob_loop_uv(connection->loop), &connection->pipe, 0);
    connection->pipe.data = connection;
    rc = rc ? rc : uv_pipe_open(&connection->pipe, fd);
    return rc ? rc : uv_read_start((uv_stream_t *)&connection->pipe, on_alloc, on_read);
}

/** connect(path) -> connection | nil, message, code */
static int connect_to(lua_State *L)
{
    const char *path = hob_lua_check_path(L, 1);
    struct hob_error err = {0};
    int fd;
    struct connection **place = lua_newuserdatauv(L, sizeof *place, 0);
    *place = NULL;
    luaL_setmetatable(L, NAME);
    if (hob_local_connect(path, &fd, &err)) {
        return hob_lua_fail(L, &err);
    }
    struct connection *connection = hob_calloc(1, sizeof *connection);
    if (!connection) {
        close(fd);
        return luaL_error(L, "out of memory");
    }
    connection->loop = hob_scheduler_loop(L);
    hob_buf_init(&connection->in, INPUT_MAX);
    *place = connection;
    int rc = open_pipe(connection, fd);
    if (rc) {
        hob_error_set(&err, hob_error_from_uv(rc), "%s: %s", path, uv_strerror(rc));
        return hob_lua_fail(L, &err);
    }
    return 1;
}

static const luaL_Reg functions[] = {{"connect", connect_to}, {NULL, NULL}};
static const luaL_Reg meta[] = {
    {"__gc", close_connection}, {"__close", close_connection}, {"__index", NULL}, {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"send", send_text}, {"read_line", read_line},    {"read", read_some}, {"finish", finish},
    {"peer", peer},      {"close", close_connection}, {NULL, NULL}};

int hob_lua_open_local(lua_State *L)
{
    hob_lua_new_metatable(L, NAME);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
