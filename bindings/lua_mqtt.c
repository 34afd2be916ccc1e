/* lua_mqtt.c - hob.mqtt: a connection to a broker, kept up in the background.
 *
 * `struct hob_lua_mqtt_conn` belongs to the core's connection and is freed when that has closed;
 * the Lua object points to it and lets go of it when it is closed or garbage. */
#include "lua_mqtt.h"

#include "work/task.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define CONN_NAME    "hob.mqtt.connection"
#define FILTERS_MAX  64
#define DESCRIBE_MAX 160

/* ---- callbacks, each a task of its own ---- */

struct event {
    bool session_present;
    struct hob_error why;
    double retry_s;
    int qos;
    bool retain;
    size_t len;
    char *payload; /* behind the topic's NUL */
    char topic[];
};

static void call(struct hob_lua_mqtt_conn *conn, int ref, hob_task_push_fn *push,
                 struct event *event)
{
    hob_task_call(conn->scheduler, ref, push, event, free);
}

static int push_up(lua_State *L, void *user)
{
    lua_pushboolean(L, ((struct event *)user)->session_present);
    return 1;
}

static void on_up(void *user, bool session_present)
{
    struct hob_lua_mqtt_conn *conn = user;
    conn->last = (struct hob_error){0};
    hob_lua_mqtt_end_waits(conn, 0, false);
    if (!conn->L || conn->on_up == LUA_NOREF) {
        return;
    }
    struct event *event = calloc(1, sizeof *event + 1);
    if (event) {
        event->session_present = session_present;
        call(conn, conn->on_up, push_up, event);
    }
}

static int push_down(lua_State *L, void *user)
{
    const struct event *event = user;
    lua_pushstring(L, event->why.message);
    lua_pushstring(L, hob_error_name(event->why.code));
    lua_pushnumber(L, event->retry_s);
    return 3;
}

static void on_down(void *user, const struct hob_error *why, uint64_t retry_ms)
{
    struct hob_lua_mqtt_conn *conn = user;
    conn->last = *why;
    if (!conn->L || conn->on_down == LUA_NOREF) {
        return;
    }
    struct event *event = calloc(1, sizeof *event + 1);
    if (event) {
        event->why = *why;
        event->retry_s = (double)retry_ms / 1000;
        call(conn, conn->on_down, push_down, event);
    }
}

static int push_message(lua_State *L, void *user)
{
    const struct event *event = user;
    lua_pushstring(L, event->topic);
    lua_pushlstring(L, event->payload, event->len);
    lua_pushinteger(L, event->qos);
    lua_pushboolean(L, event->retain);
    return 4;
}

static void on_message(void *user, const struct hob_mqtt_message *message)
{
    struct hob_lua_mqtt_conn *conn = user;
    size_t topic_size = strlen(message->topic) + 1;
    if (!conn->L || conn->on_message == LUA_NOREF) {
        return;
    }
    struct event *event = calloc(1, sizeof *event + topic_size + message->len);
    if (!event) {
        hob_log_event(((struct hob_modules_host *)hob_scheduler_user(conn->L))->log, HOB_LOG_ERROR,
                      "lua.error", "out of memory: a message on %s was lost", message->topic);
        return;
    }
    memcpy(event->topic, message->topic, topic_size);
    event->payload = event->topic + topic_size;
    if (message->len > 0) {
        memcpy(event->payload, message->payload, message->len);
    }
    event->len = message->len;
    event->qos = message->qos;
    event->retain = message->retain;
    call(conn, conn->on_message, push_message, event);
}

/* ---- the object ---- */

static void drop_callbacks(struct hob_lua_mqtt_conn *conn)
{
    if (!conn->L) {
        return;
    }
    luaL_unref(conn->L, LUA_REGISTRYINDEX, conn->on_up);
    luaL_unref(conn->L, LUA_REGISTRYINDEX, conn->on_down);
    luaL_unref(conn->L, LUA_REGISTRYINDEX, conn->on_message);
    conn->L = NULL;
}

/* Freed here, after the last callback: the Lua object has let go of it in close_conn, and those who
 * still wait are woken. */
static void on_closed(void *user)
{
    struct hob_lua_mqtt_conn *conn = user;
    hob_lua_mqtt_end_waits(conn, 0, true);
    free(conn);
}

static struct hob_lua_mqtt_conn **check_object(lua_State *L)
{
    return luaL_checkudata(L, 1, CONN_NAME);
}

static struct hob_lua_mqtt_conn *check_conn(lua_State *L)
{
    struct hob_lua_mqtt_conn *conn = *check_object(L);
    if (!conn) {
        luaL_error(L, "the connection is closed");
    }
    return conn;
}

static void close_conn(struct hob_lua_mqtt_conn **object)
{
    struct hob_lua_mqtt_conn *conn = *object;
    if (!conn) {
        return;
    }
    *object = NULL;
    drop_callbacks(conn);
    hob_lua_mqtt_end_waits(conn, HOB_ECANCELED, false);
    hob_mqtt_close(conn->mqtt, on_closed, conn);
}

static int conn_gc(lua_State *L)
{
    close_conn(check_object(L));
    return 0;
}

static int conn_tostring(lua_State *L)
{
    struct hob_lua_mqtt_conn *conn = *check_object(L);
    char how[DESCRIBE_MAX] = "closed";
    if (conn) {
        hob_mqtt_describe(conn->mqtt, how, sizeof how);
    }
    lua_pushfstring(L, "%s (%s)", CONN_NAME, how);
    return 1;
}

/* ---- methods ---- */

static int conn_is_up(lua_State *L)
{
    struct hob_lua_mqtt_conn *conn = *check_object(L);
    lua_pushboolean(L, conn && hob_mqtt_is_up(conn->mqtt));
    return 1;
}

static int push_up_or_why(lua_State *L, void *user)
{
    const struct hob_lua_mqtt_op *op = user;
    if (op->status == 0) {
        lua_pushboolean(L, true);
        return 1;
    }
    struct hob_lua_mqtt_conn *conn = *check_object(L); /* the method's own argument */
    if (op->status == HOB_ETIMEDOUT && conn && conn->last.code) {
        return hob_lua_fail(L, &conn->last);
    }
    if (op->status == HOB_ETIMEDOUT)
        return hob_lua_mqtt_fail_with(L, op->status, "no connection within the time given");
    return hob_lua_mqtt_fail(L, op->status);
}

static int conn_wait_up(lua_State *L)
{
    struct hob_lua_mqtt_conn *conn = check_conn(L);
    double seconds = luaL_optnumber(L, 2, -1);
    uint64_t ms = seconds >= 0 ? hob_lua_ms(L, seconds, "timeout") : 0;
    if (hob_mqtt_is_up(conn->mqtt)) {
        lua_pushboolean(L, true);
        return 1;
    }
    struct hob_lua_mqtt_op *op = hob_lua_mqtt_wait_start(L, conn, false);
    if (seconds >= 0) {
        op->timer = hob_timer_new(hob_scheduler_loop(L), hob_lua_mqtt_wait_is_over, op);
        if (!op->timer) {
            op->holders--;
            hob_lua_mqtt_wait_cancel(op);
            return luaL_error(L, "out of memory");
        }
        hob_timer_start(op->timer, ms);
    }
    return hob_task_suspend(L, &(struct hob_task_wait){.name = "hob.mqtt.wait_up",
                                                       .push = push_up_or_why,
                                                       .cancel = hob_lua_mqtt_wait_cancel,
                                                       .op_free = hob_lua_mqtt_op_release,
                                                       .op = op});
}

struct publish_args {
    const char *topic, *payload;
    size_t len;
    int qos;
    bool retain;
};

static void check_publish(lua_State *L, struct publish_args *args)
{
    static const char *const known[] = {"qos", "retain", NULL};
    args->topic = luaL_checkstring(L, 2);
    args->payload = luaL_checklstring(L, 3, &args->len);
    args->qos = 1;
    args->retain = false;
    if (!lua_isnoneornil(L, 4)) {
        hob_lua_check_options(L, 4, known);
        args->qos = hob_lua_opt_number(L, 4, "qos", 1) == 0 ? 0 : 1;
        args->retain = hob_lua_opt_boolean(L, 4, "retain", false);
        luaL_argcheck(L, hob_lua_opt_number(L, 4, "qos", 1) == args->qos, 4,
                      "qos: expected 0 or 1");
    }
}

static int conn_publish(lua_State *L)
{
    struct publish_args args;
    struct hob_lua_mqtt_conn *conn = check_conn(L);
    check_publish(L, &args);
    struct hob_lua_mqtt_op *op = hob_lua_mqtt_op_new(L, 2);
    int code = hob_mqtt_publish(conn->mqtt, args.topic, args.payload, args.len, args.qos,
                                args.retain, hob_lua_mqtt_on_done, op);
    if (code) {
        free(op);
        return hob_lua_mqtt_fail(L, code);
    }
    return hob_task_suspend(L, &(struct hob_task_wait){.name = "hob.mqtt.publish",
                                                       .push = hob_lua_mqtt_push_status,
                                                       .cancel = hob_lua_mqtt_op_cancel,
                                                       .op_free = hob_lua_mqtt_op_release,
                                                       .op = op});
}

static int conn_post(lua_State *L)
{
    struct publish_args args;
    struct hob_lua_mqtt_conn *conn = check_conn(L);
    check_publish(L, &args);
    int code = hob_mqtt_publish(conn->mqtt, args.topic, args.payload, args.len, args.qos,
                                args.retain, NULL, NULL);
    if (code) {
        return hob_lua_mqtt_fail(L, code);
    }
    lua_pushboolean(L, true);
    return 1;
}

/* One filter, or a list of them. The strings belong to the arguments. */
static size_t check_filters(lua_State *L, const char *filters[FILTERS_MAX])
{
    if (lua_type(L, 2) == LUA_TSTRING) {
        filters[0] = lua_tostring(L, 2);
        return 1;
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Unsigned count = lua_rawlen(L, 2);
    luaL_argcheck(L, count >= 1 && count <= FILTERS_MAX, 2, "expected 1 to 64 topic filters");
    for (lua_Unsigned i = 0; i < count; i++) {
        int type = lua_rawgeti(L, 2, (lua_Integer)i + 1);
        luaL_argcheck(L, type == LUA_TSTRING, 2, "expected a list of strings");
        filters[i] = lua_tostring(L, -1);
        lua_pop(L, 1); /* the list keeps the string */
    }
    return count;
}

static int conn_subscribe(lua_State *L)
{
    const char *filters[FILTERS_MAX];
    struct hob_lua_mqtt_conn *conn = check_conn(L);
    size_t count = check_filters(L, filters);
    lua_Integer qos = luaL_optinteger(L, 3, 1);
    luaL_argcheck(L, qos == 0 || qos == 1, 3, "qos: expected 0 or 1");
    struct hob_lua_mqtt_op *op = hob_lua_mqtt_op_new(L, 2);
    int code =
        hob_mqtt_subscribe(conn->mqtt, filters, count, (int)qos, hob_lua_mqtt_on_subscribed, op);
    if (code) {
        free(op);
        return hob_lua_mqtt_fail(L, code);
    }
    return hob_task_suspend(L, &(struct hob_task_wait){.name = "hob.mqtt.subscribe",
                                                       .push = hob_lua_mqtt_push_granted,
                                                       .cancel = hob_lua_mqtt_op_cancel,
                                                       .op_free = hob_lua_mqtt_op_release,
                                                       .op = op});
}

static int conn_unsubscribe(lua_State *L)
{
    const char *filters[FILTERS_MAX];
    struct hob_lua_mqtt_conn *conn = check_conn(L);
    size_t count = check_filters(L, filters);
    struct hob_lua_mqtt_op *op = hob_lua_mqtt_op_new(L, 2);
    int code = hob_mqtt_unsubscribe(conn->mqtt, filters, count, hob_lua_mqtt_on_done, op);
    if (code) {
        free(op);
        return hob_lua_mqtt_fail(L, code);
    }
    return hob_task_suspend(L, &(struct hob_task_wait){.name = "hob.mqtt.unsubscribe",
                                                       .push = hob_lua_mqtt_push_status,
                                                       .cancel = hob_lua_mqtt_op_cancel,
                                                       .op_free = hob_lua_mqtt_op_release,
                                                       .op = op});
}

static int conn_reconnect(lua_State *L)
{
    hob_mqtt_reconnect(check_conn(L)->mqtt, luaL_optstring(L, 2, "asked to connect anew"));
    return 0;
}

static int conn_close(lua_State *L)
{
    struct hob_lua_mqtt_conn **object = check_object(L);
    if (!*object) {
        lua_pushboolean(L, true);
        return 1;
    }
    struct hob_lua_mqtt_op *op = hob_lua_mqtt_wait_start(L, *object, true);
    close_conn(object);
    return hob_task_suspend(L, &(struct hob_task_wait){.name = "hob.mqtt.close",
                                                       .push = hob_lua_mqtt_push_status,
                                                       .cancel = hob_lua_mqtt_wait_cancel,
                                                       .op_free = hob_lua_mqtt_op_release,
                                                       .op = op});
}

static int conn_stats(lua_State *L)
{
    struct hob_mqtt_stats stats;
    hob_mqtt_get_stats(check_conn(L)->mqtt, &stats);
    const struct {
        const char *name;
        uint64_t value;
    } members[] = {{"attempts", stats.attempts},
                   {"turns", stats.turns},
                   {"bytes_in", stats.bytes_in},
                   {"bytes_out", stats.bytes_out},
                   {"pending", stats.pending}};
    lua_newtable(L);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        lua_pushinteger(L, (lua_Integer)members[i].value);
        lua_setfield(L, -2, members[i].name);
    }
    lua_pushboolean(L, stats.no_delay);
    lua_setfield(L, -2, "no_delay");
    return 1;
}

static int conn_describe(lua_State *L)
{
    char how[DESCRIBE_MAX];
    lua_pushstring(L, hob_mqtt_describe(check_conn(L)->mqtt, how, sizeof how));
    return 1;
}

/* ---- connect ---- */

static const char *const connect_options[] = {
    "host",         "port",        "client_id",   "tls",
    "ca",           "cert",        "key",         "key_passphrase",
    "alpn",         "username",    "password",    "protocol",
    "keep_alive",   "clean",       "runtime_dir", "connect_timeout",
    "backoff_base", "backoff_cap", "payload_max", "thing",
    "on_up",        "on_down",     "on_message",  NULL};

static int opt_int(lua_State *L, const char *name, int fallback)
{
    double value = hob_lua_opt_number(L, 1, name, fallback);
    if (!(value >= 0 && value <= INT_MAX) || value != (int)value) {
        luaL_error(L, "%s: expected a whole number", name);
    }
    return (int)value;
}

static uint64_t opt_ms(lua_State *L, const char *name)
{
    return hob_lua_ms(L, hob_lua_opt_number(L, 1, name, 0), name);
}

static void read_options(lua_State *L, struct hob_mqtt_options *o)
{
    hob_lua_check_options(L, 1, connect_options);
    o->host = hob_lua_opt_string(L, 1, "host", NULL);
    o->client_id = hob_lua_opt_string(L, 1, "client_id", NULL);
    o->username = hob_lua_opt_string(L, 1, "username", NULL);
    o->password = hob_lua_opt_string(L, 1, "password", NULL);
    o->use_tls = hob_lua_opt_boolean(L, 1, "tls", true);
    o->port = opt_int(L, "port", o->use_tls ? 8883 : 1883);
    o->tls.ca_file = hob_lua_opt_string(L, 1, "ca", NULL);
    o->tls.cert_file = hob_lua_opt_string(L, 1, "cert", NULL);
    o->tls.key_file = hob_lua_opt_string(L, 1, "key", NULL);
    o->tls.key_passphrase = hob_lua_opt_string(L, 1, "key_passphrase", NULL);
    o->tls.alpn = hob_lua_opt_string(L, 1, "alpn", NULL);
    o->runtime_dir = hob_lua_opt_string(L, 1, "runtime_dir", NULL);
    o->thing = hob_lua_opt_string(L, 1, "thing", NULL);
    o->protocol = opt_int(L, "protocol", 4);
    o->keep_alive_s = (unsigned)opt_int(L, "keep_alive", 0);
    o->persistent_session = !hob_lua_opt_boolean(L, 1, "clean", true);
    o->payload_max = (size_t)opt_int(L, "payload_max", 0);
    o->connect_timeout_ms = opt_ms(L, "connect_timeout");
    o->backoff_base_ms = opt_ms(L, "backoff_base");
    o->backoff_cap_ms = opt_ms(L, "backoff_cap");
}

static lua_State *main_thread(lua_State *L)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua_State *main = lua_tothread(L, -1);
    lua_pop(L, 1);
    return main;
}

static void take_callbacks(lua_State *L, struct hob_lua_mqtt_conn *conn)
{
    conn->L = main_thread(L);
    conn->on_up = hob_lua_opt_function(L, 1, "on_up");
    conn->on_down = hob_lua_opt_function(L, 1, "on_down");
    conn->on_message = hob_lua_opt_function(L, 1, "on_message");
}

static int mqtt_connect(lua_State *L)
{
    struct hob_mqtt_options options = {
        .on_up = on_up, .on_down = on_down, .on_message = on_message};
    struct hob_modules_host *host = hob_bindings_host(L);
    struct hob_error err = {0};
    read_options(L, &options);
    struct hob_lua_mqtt_conn **object = lua_newuserdatauv(L, sizeof *object, 0);
    *object = NULL;
    luaL_setmetatable(L, CONN_NAME);
    struct hob_lua_mqtt_conn *conn = calloc(1, sizeof *conn);
    if (!conn) {
        return luaL_error(L, "out of memory");
    }
    conn->scheduler = hob_scheduler_of(L);
    conn->on_up = conn->on_down = conn->on_message = LUA_NOREF;
    options.user = conn;
    if (hob_mqtt_new(host->loop, host->log, &options, &conn->mqtt, &err)) {
        free(conn);
        return luaL_error(L, "%s", err.message);
    }
    *object = conn; /* from here on __gc closes it, also if a callback's type raises */
    take_callbacks(L, conn);
    hob_mqtt_start(conn->mqtt);
    return 1;
}

static const luaL_Reg conn_meta[] = {{"__gc", conn_gc},
                                     {"__close", conn_gc},
                                     {"__tostring", conn_tostring},
                                     {"__index", NULL},
                                     {NULL, NULL}};

static const luaL_Reg conn_methods[] = {{"wait_up", conn_wait_up},
                                        {"is_up", conn_is_up},
                                        {"publish", conn_publish},
                                        {"post", conn_post},
                                        {"subscribe", conn_subscribe},
                                        {"unsubscribe", conn_unsubscribe},
                                        {"reconnect", conn_reconnect},
                                        {"close", conn_close},
                                        {"stats", conn_stats},
                                        {"describe", conn_describe},
                                        {NULL, NULL}};

static const luaL_Reg functions[] = {{"connect", mqtt_connect}, {NULL, NULL}};

int hob_lua_open_mqtt(lua_State *L)
{
    hob_lua_new_metatable(L, CONN_NAME);
    luaL_setfuncs(L, conn_meta, 0);
    luaL_newlib(L, conn_methods);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
