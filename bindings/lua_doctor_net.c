/* lua_doctor_net.c - hob.doctor.core: one name looked up, one connection opened and closed.
 *
 * resolve(host, seconds) -> { "192.0.2.1", ... } | nil, message, code
 * connect{ host =, port =, timeout = [, ca =, cert =, key =, key_passphrase =, alpn =] }
 *   -> { seconds =, how = "TLSv1.2, ...", alpn = string or nil } | nil, message, code
 *   without `ca` plain TCP; else `host` is the name that the certificate must have
 */
#include "base/alloc.h"
#include "lua_doctor.h"

#include "base/clock.h"
#include "net/stream.h"
#include "work/task.h"

#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define ADDRESSES_MAX 32
#define HOW_MAX       160
#define ALPN_MAX      64

/* ---- resolve ---- */

struct resolve;

/* Outlives its wait: a look-up that runs in libuv's thread cannot be stopped. */
struct lookup {
    uv_getaddrinfo_t request;
    struct resolve *op; /* NULL: nobody waits any more */
};

struct resolve {
    struct hob_task *task;
    struct hob_timer *timer;
    struct lookup *lookup;
    struct hob_modules_host *host;
    int status;
    bool late;
    double seconds;
    struct addrinfo *found;
};

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct lookup *lookup = (struct lookup *)request;
    struct resolve *op = lookup->op;
    hob_free(lookup);
    if (!op) {
        uv_freeaddrinfo(found);
        return;
    }
    op->lookup = NULL;
    op->status = status;
    op->found = found;
    if (!op->late) {
        hob_task_wake(op->task);
    }
}

static void on_late(void *user)
{
    struct resolve *op = user;
    op->late = true;
    hob_task_wake(op->task);
}

static int push_addresses(lua_State *L, void *user)
{
    const struct resolve *op = user;
    struct hob_error err;
    if (op->late) {
        op->host->reading = 1; /* the process would wait for that thread at its end */
        hob_error_set(&err, HOB_ETIMEDOUT, "no answer within %g s", op->seconds);
        return hob_lua_fail(L, &err);
    }
    if (op->status < 0) {
        hob_error_set(&err, HOB_ERESOLVE, "%s", uv_strerror(op->status));
        return hob_lua_fail(L, &err);
    }
    lua_newtable(L);
    lua_Integer count = 0;
    for (const struct addrinfo *a = op->found; a && count < ADDRESSES_MAX; a = a->ai_next) {
        char text[INET6_ADDRSTRLEN] = "";
        if (a->ai_family == AF_INET) {
            uv_ip4_name((const struct sockaddr_in *)(const void *)a->ai_addr, text, sizeof text);
        } else if (a->ai_family == AF_INET6) {
            uv_ip6_name((const struct sockaddr_in6 *)(const void *)a->ai_addr, text, sizeof text);
        }
        if (text[0]) {
            lua_pushstring(L, text);
            lua_rawseti(L, -2, ++count);
        }
    }
    return 1;
}

static void resolve_free(void *user)
{
    struct resolve *op = user;
    if (op->lookup) {
        op->lookup->op = NULL;
    }
    hob_timer_close(op->timer);
    uv_freeaddrinfo(op->found);
    hob_free(op);
}

static int start_lookup(struct resolve *op, struct hob_loop *loop, const char *name)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct lookup *lookup = hob_calloc(1, sizeof *lookup);
    if (!lookup) {
        return UV_ENOMEM;
    }
    lookup->op = op;
    int status =
        uv_getaddrinfo(hob_loop_uv(loop), &lookup->request, on_resolved, name, NULL, &hints);
    if (status) {
        hob_free(lookup);
        return status;
    }
    op->lookup = lookup;
    return 0;
}

static int doctor_resolve(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    double seconds = luaL_checknumber(L, 2);
    uint64_t ms = hob_lua_ms(L, seconds, "seconds");
    struct hob_loop *loop = hob_scheduler_loop(L);
    struct hob_task *task = hob_task_current(L);
    struct resolve *op = hob_calloc(1, sizeof *op);
    if (op) {
        *op = (struct resolve){.task = task, .host = hob_bindings_host(L), .seconds = seconds};
        op->timer = hob_timer_new(loop, on_late, op);
    }
    if (!op || !op->timer) {
        hob_free(op);
        return luaL_error(L, "out of memory");
    }
    int status = start_lookup(op, loop, name);
    if (status) {
        struct hob_error err;
        resolve_free(op);
        hob_error_set(&err, HOB_ERESOLVE, "%s", uv_strerror(status));
        return hob_lua_fail(L, &err);
    }
    hob_timer_start(op->timer, ms);
    return hob_task_suspend(L, &(struct hob_task_wait){.name = "hob.doctor.resolve",
                                                       .push = push_addresses,
                                                       .op_free = resolve_free,
                                                       .op = op});
}

/* ---- connect ---- */

struct connect {
    struct hob_loop *loop;
    struct hob_task *task; /* NULL: cancelled */
    struct hob_tls_config *tls;
    struct hob_stream *stream;
    uint64_t begin_ms, took_ms;
    struct hob_error why;
    bool opened, closed, released;
    char how[HOW_MAX], alpn[ALPN_MAX];
};

static void connect_drop(struct connect *op)
{
    if (op->closed && op->released) {
        struct hob_loop *loop = op->loop;
        hob_tls_config_free(op->tls);
        hob_free(op);
        hob_loop_release(loop);
    }
}

static void on_open(void *user)
{
    struct connect *op = user;
    const char *alpn = hob_stream_alpn(op->stream);
    op->opened = true;
    op->took_ms = hob_clock_mono_ms() - op->begin_ms;
    hob_stream_describe(op->stream, op->how, sizeof op->how);
    snprintf(op->alpn, sizeof op->alpn, "%s", alpn ? alpn : "");
    hob_stream_close(op->stream);
}

static void on_nothing(void *user) {}

static void on_close(void *user, const struct hob_error *why)
{
    struct connect *op = user;
    op->closed = true;
    op->why = *why;
    if (op->task) {
        hob_task_wake(op->task);
    }
    connect_drop(op);
}

static int push_connection(lua_State *L, void *user)
{
    const struct connect *op = user;
    if (!op->opened) {
        return hob_lua_fail(L, &op->why);
    }
    lua_createtable(L, 0, 3);
    lua_pushnumber(L, (double)op->took_ms / 1000);
    lua_setfield(L, -2, "seconds");
    lua_pushstring(L, op->how);
    lua_setfield(L, -2, "how");
    if (op->alpn[0]) {
        lua_pushstring(L, op->alpn);
        lua_setfield(L, -2, "alpn");
    }
    return 1;
}

static void connect_cancel(void *user)
{
    struct connect *op = user;
    op->task = NULL;
    hob_stream_close(op->stream);
}

static void connect_release(void *user)
{
    struct connect *op = user;
    op->released = true;
    connect_drop(op);
}

static int start_stream(lua_State *L, struct connect *op, struct hob_stream_options *options,
                        struct hob_error *err)
{
    struct hob_tls_options tls = {
        .ca_file = hob_lua_opt_string(L, 1, "ca", NULL),
        .cert_file = hob_lua_opt_string(L, 1, "cert", NULL),
        .key_file = hob_lua_opt_string(L, 1, "key", NULL),
        .key_passphrase = hob_lua_opt_string(L, 1, "key_passphrase", NULL),
        .alpn = hob_lua_opt_string(L, 1, "alpn", NULL),
    };
    int rc = tls.ca_file ? hob_tls_config_new(&tls, &op->tls, err) : 0;
    options->tls = op->tls;
    return rc ? rc : hob_stream_connect(op->loop, options, &op->stream, err);
}

static int doctor_connect(lua_State *L)
{
    static const char *const known[] = {"host", "port",           "timeout", "ca", "cert",
                                        "key",  "key_passphrase", "alpn",    NULL};
    struct hob_error err = {0};
    hob_lua_check_options(L, 1, known);
    double port = hob_lua_opt_number(L, 1, "port", 0);
    luaL_argcheck(L, port >= 1 && port <= 65535, 1, "port: expected 1 to 65535");
    struct hob_stream_options options = {.host = hob_lua_opt_string(L, 1, "host", ""),
                                         .port = (int)port,
                                         .on_open = on_open,
                                         .on_readable = on_nothing,
                                         .on_writable = on_nothing,
                                         .on_close = on_close};
    options.connect_timeout_ms = hob_lua_ms(L, hob_lua_opt_number(L, 1, "timeout", 5), "timeout");
    struct hob_loop *loop = hob_scheduler_loop(L);
    struct hob_task *task = hob_task_current(L);
    struct connect *op = hob_calloc(1, sizeof *op);
    if (!op) {
        return luaL_error(L, "out of memory");
    }
    *op = (struct connect){.loop = loop, .task = task, .begin_ms = hob_clock_mono_ms()};
    options.user = op;
    if (start_stream(L, op, &options, &err)) {
        hob_tls_config_free(op->tls);
        hob_free(op);
        return hob_lua_fail(L, &err);
    }
    hob_loop_hold(loop);
    return hob_task_suspend(L, &(struct hob_task_wait){.name = "hob.doctor.connect",
                                                       .push = push_connection,
                                                       .cancel = connect_cancel,
                                                       .op_free = connect_release,
                                                       .op = op});
}

const luaL_Reg hob_lua_doctor_net[] = {
    {"resolve", doctor_resolve}, {"connect", doctor_connect}, {NULL, NULL}};
