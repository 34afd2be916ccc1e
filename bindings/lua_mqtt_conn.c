/* lua_mqtt_conn.c - the connection object of hob.mqtt and its methods. See lua_mqtt.h
 *
 * The Lua object points to its `struct hob_lua_mqtt_conn` until it is garbage, also when it has
 * been closed: what is still on its way to a script must find out whether its state is there. */
#include "base/alloc.h"
#include "lua_mqtt.h"

#include "base/json.h"

#include <string.h>

#define FILTERS_MAX       64
#define DESCRIBE_MAX      160
#define AGENT_PAYLOAD_MAX (128 * 1024) /* AWS closes the connection on a larger one */

/* ---- the connection's events ---- */

static void on_up(void *user, bool session_present)
{
    struct hob_lua_mqtt_conn *conn = user;
    conn->last = (struct hob_error){0};
    if (!conn->of_cloud) {
        hob_lua_mqtt_end_waits(conn, 0, false);
    }
    hob_lua_mqtt_tell_up(conn, session_present);
}

static void on_ready(void *user)
{
    struct hob_lua_mqtt_conn *conn = user;
    if (conn->of_cloud) {
        hob_lua_mqtt_end_waits(conn, 0, false);
    }
}

static bool is_up(const struct hob_lua_mqtt_conn *conn)
{
    return conn->of_cloud ? hob_mqtt_share_is_ready(conn->share)
                          : hob_mqtt_is_up(hob_lua_mqtt_conn_core(conn));
}

static void on_down(void *user, const struct hob_error *why, uint64_t retry_ms)
{
    struct hob_lua_mqtt_conn *conn = user;
    conn->last = *why;
    hob_lua_mqtt_tell_down(conn, why, retry_ms);
}

/* ---- the object ---- */

struct hob_lua_mqtt_conn *hob_lua_mqtt_conn_at(lua_State *L)
{
    struct hob_lua_mqtt_conn *conn =
        *(struct hob_lua_mqtt_conn **)luaL_checkudata(L, 1, HOB_LUA_MQTT_CONN);
    if (!conn) { /* another object's __gc still has it */
        luaL_error(L, "the connection is garbage");
    }
    return conn;
}

struct hob_lua_mqtt_conn *hob_lua_mqtt_conn_check(lua_State *L)
{
    struct hob_lua_mqtt_conn *conn = hob_lua_mqtt_conn_at(L);
    if (conn->closed) {
        luaL_error(L, "the connection is closed");
    }
    return conn;
}

struct hob_mqtt *hob_lua_mqtt_conn_core(const struct hob_lua_mqtt_conn *conn)
{
    return hob_mqtt_share_mqtt(conn->share);
}

static lua_State *main_thread(lua_State *L)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua_State *main = lua_tothread(L, -1);
    lua_pop(L, 1);
    return main;
}

struct hob_lua_mqtt_conn *hob_lua_mqtt_conn_push(lua_State *L)
{
    struct hob_lua_mqtt_conn **object = lua_newuserdatauv(L, sizeof *object, 0);
    struct hob_lua_mqtt_conn *conn = *object = hob_calloc(1, sizeof *conn);
    if (!conn) {
        luaL_error(L, "out of memory");
    }
    conn->holders = 1;
    conn->closed = true;
    conn->scheduler = hob_scheduler_of(L);
    conn->L = main_thread(L);
    conn->deliver = LUA_NOREF;
    luaL_setmetatable(L, HOB_LUA_MQTT_CONN); /* from here on __gc releases it */
    lua_pushcfunction(L, hob_lua_mqtt_deliver);
    conn->deliver = luaL_ref(L, LUA_REGISTRYINDEX);
    return conn;
}

int hob_lua_mqtt_conn_open(struct hob_lua_mqtt_conn *conn, struct hob_mqtt_share *share)
{
    struct hob_mqtt_watch_options options = {
        .on_up = on_up, .on_down = on_down, .on_ready = on_ready, .user = conn};
    conn->watch = hob_mqtt_watch_new(share, &options);
    if (!conn->watch) {
        return HOB_ENOMEM;
    }
    conn->share = share;
    conn->closed = false;
    return 0;
}

void hob_lua_mqtt_conn_release(void *user)
{
    struct hob_lua_mqtt_conn *conn = user;
    if (conn && --conn->holders == 0) {
        hob_free(conn);
    }
}

/* The core's connection has closed. */
static void on_closed(void *user)
{
    hob_lua_mqtt_end_waits(user, 0, true);
    hob_lua_mqtt_conn_release(user);
}

/* The gateway's own connection is let go of, never closed. */
static void close_conn(struct hob_lua_mqtt_conn *conn)
{
    if (conn->closed) {
        return;
    }
    struct hob_mqtt *mqtt = hob_lua_mqtt_conn_core(conn);
    conn->closed = true;
    hob_lua_mqtt_end_waits(conn, HOB_ECANCELED, false);
    hob_lua_mqtt_detach_listeners(conn);
    hob_mqtt_watch_close(conn->watch);
    conn->watch = NULL;
    if (!conn->agent_thing) {
        conn->holders++; /* until on_closed */
        hob_mqtt_share_free(conn->share);
        hob_mqtt_close(mqtt, on_closed, conn);
    }
    conn->share = NULL;
}

static void end_object(struct hob_lua_mqtt_conn *conn)
{
    close_conn(conn);
    hob_lua_mqtt_drop_expected(conn);
    hob_lua_mqtt_drop_listeners(conn);
    luaL_unref(conn->L, LUA_REGISTRYINDEX, conn->deliver);
    conn->L = NULL;
    hob_lua_mqtt_conn_release(conn);
}

void hob_lua_mqtt_conn_enter(struct hob_lua_mqtt_conn *conn)
{
    conn->busy++;
    conn->holders++;
}

void hob_lua_mqtt_conn_leave(struct hob_lua_mqtt_conn *conn)
{
    if (--conn->busy == 0 && conn->garbage) {
        end_object(conn);
    } else if (conn->busy == 0 && conn->swept_later) {
        conn->swept_later = false;
        hob_lua_mqtt_sweep_listeners(conn);
    }
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): one of the holders is conn_enter
    hob_lua_mqtt_conn_release(conn);
}

static int conn_gc(lua_State *L)
{
    struct hob_lua_mqtt_conn **object = luaL_checkudata(L, 1, HOB_LUA_MQTT_CONN);
    struct hob_lua_mqtt_conn *conn = *object;
    *object = NULL;
    if (conn && conn->busy) {
        conn->garbage = true;
    } else if (conn) {
        end_object(conn);
    }
    return 0;
}

static int conn_end_of_scope(lua_State *L)
{
    struct hob_lua_mqtt_conn *conn = hob_lua_mqtt_conn_at(L);
    if (!conn->agent_thing && !conn->closed && !conn->busy) {
        hob_lua_mqtt_tell_closed(conn);
        close_conn(conn);
    }
    return 0;
}

static int conn_tostring(lua_State *L)
{
    struct hob_lua_mqtt_conn *conn = hob_lua_mqtt_conn_at(L);
    char how[DESCRIBE_MAX] = "closed";
    if (!conn->closed) {
        hob_mqtt_describe(hob_lua_mqtt_conn_core(conn), how, sizeof how);
    }
    lua_pushfstring(L, "%s (%s)", HOB_LUA_MQTT_CONN, how);
    return 1;
}

/* ---- methods ---- */

static int conn_is_up(lua_State *L)
{
    struct hob_lua_mqtt_conn *conn = hob_lua_mqtt_conn_at(L);
    lua_pushboolean(L, !conn->closed && is_up(conn));
    return 1;
}

/** thing_name() -> the gateway's thing, nil for a connection of one's own */
static int conn_thing_name(lua_State *L)
{
    lua_pushstring(L, hob_lua_mqtt_conn_at(L)->agent_thing);
    return 1;
}

static int push_up_or_why(lua_State *L, void *user)
{
    const struct hob_lua_mqtt_op *op = user;
    if (op->status == 0) {
        lua_pushboolean(L, true);
        return 1;
    }
    struct hob_lua_mqtt_conn *conn = hob_lua_mqtt_conn_at(L); /* the method's own argument */
    if (op->status == HOB_ETIMEDOUT && conn->last.code) {
        return hob_lua_fail(L, &conn->last);
    }
    if (op->status == HOB_ETIMEDOUT) {
        return hob_lua_mqtt_fail_with(L, op->status, "no connection within the time given");
    }
    return hob_lua_mqtt_fail(L, op->status);
}

static int conn_wait_up(lua_State *L)
{
    struct hob_lua_mqtt_conn *conn = hob_lua_mqtt_conn_at(L);
    bool limited = !lua_isnoneornil(L, 2);
    uint64_t ms = limited ? hob_lua_ms(L, luaL_checknumber(L, 2), "timeout") : 0;
    if (conn->closed) {
        return hob_lua_mqtt_fail(L, HOB_ECANCELED);
    }
    if (is_up(conn)) {
        lua_pushboolean(L, true);
        return 1;
    }
    struct hob_lua_mqtt_op *op = hob_lua_mqtt_wait_start(L, conn, false);
    if (limited) {
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
                                                       .op_free = hob_lua_mqtt_wait_release,
                                                       .op = op});
}

/* ---- publishing ---- */

struct publish_args {
    const char *topic, *payload;
    size_t len;
    int qos;
    bool retain;
    bool done_if_failed;
    int on_done; /* stack index; 0: none */
};

static void check_publish(lua_State *L, struct publish_args *args)
{
    static const char *const known[] = {"qos", "retain", "on_done", "done_if_failed", NULL};
    args->topic = luaL_checkstring(L, 2);
    args->payload = luaL_checklstring(L, 3, &args->len);
    args->qos = 1;
    args->retain = args->done_if_failed = false;
    args->on_done = 0;
    if (!lua_isnoneornil(L, 4)) {
        hob_lua_check_options(L, 4, known);
        args->qos = hob_lua_opt_number(L, 4, "qos", 1) == 0 ? 0 : 1;
        args->retain = hob_lua_opt_boolean(L, 4, "retain", false);
        args->done_if_failed = hob_lua_opt_boolean(L, 4, "done_if_failed", false);
        luaL_argcheck(L, hob_lua_opt_number(L, 4, "qos", 1) == args->qos, 4,
                      "qos: expected 0 or 1");
        int type = lua_getfield(L, 4, "on_done");
        luaL_argcheck(L, type == LUA_TNIL || type == LUA_TFUNCTION, 4,
                      "on_done: expected a function");
        args->on_done = type == LUA_TFUNCTION ? lua_gettop(L) : 0;
    }
}

static bool ends_in(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static bool is_request_of(lua_State *L, const char *thing, const struct publish_args *args)
{
    const char *own = lua_pushfstring(L, "$aws/things/%s/jobs/", thing);
    bool ours = strncmp(args->topic, own, strlen(own)) == 0;
    lua_pop(L, 1);
    return ours && !args->retain &&
           (ends_in(args->topic, "/get") || ends_in(args->topic, "/update") ||
            ends_in(args->topic, "/start-next"));
}

/* The service cannot say whose request it was that it could not read (its rejection has no token),
 * so the gateway might take it for an answer to its own. @return 0, or 3 values */
static int refuse_unreadable(lua_State *L, const struct publish_args *args)
{
    struct hob_error err = {0};
    int code = hob_json_push(L, args->payload, args->len, &err);
    if (code == 0) {
        lua_pop(L, 1);
        size_t blank = strspn(args->payload, " \t\r\n");
        if (args->payload[blank] == '{') {
            return 0;
        }
        hob_error_set(&err, HOB_EJSON, "not an object");
    }
    hob_error_prefix(&err, "%s: the payload of a jobs request: ", args->topic);
    return hob_lua_fail(L, &err);
}

/* On the gateway's own connection only what a device asks of AWS IoT Jobs: AWS closes a connection
 * that publishes what its policy does not allow, and so would the gateway be deaf. */
static int refuse_publish(lua_State *L, const struct hob_lua_mqtt_conn *conn,
                          const struct publish_args *args)
{
    if (conn->closed) {
        return hob_lua_mqtt_fail(L, HOB_ECANCELED);
    }
    if (!conn->agent_thing) {
        return 0;
    }
    if (args->len > AGENT_PAYLOAD_MAX) {
        return hob_lua_mqtt_fail_with(L, HOB_EMSGSIZE,
                                      "AWS IoT takes no message of more than 128 KB");
    }
    if (conn->of_cloud) {
        return hob_lua_cloud_refuse(L, conn->agent_thing, args->topic, false);
    }
    if (is_request_of(L, conn->agent_thing, args)) {
        return refuse_unreadable(L, args);
    }
    return hob_lua_mqtt_fail_with(
        L, HOB_EACCES,
        lua_pushfstring(L,
                        "%s: on the gateway's own connection only requests about the jobs of its "
                        "thing are published (get, update, start-next of $aws/things/%s/jobs/), "
                        "not retained",
                        args->topic, conn->agent_thing));
}

static int request_publish(struct hob_lua_mqtt_conn *conn, const struct publish_args *args,
                           hob_mqtt_done_fn *done, struct hob_lua_mqtt_op *op)
{
    int code = op ? hob_lua_mqtt_room(conn) : 0;
    return code ? code
                : hob_mqtt_publish(hob_lua_mqtt_conn_core(conn), args->topic, args->payload,
                                   args->len, args->qos, args->retain, done, op);
}

static int conn_publish(lua_State *L)
{
    struct publish_args args;
    struct hob_lua_mqtt_conn *conn = hob_lua_mqtt_conn_at(L);
    check_publish(L, &args);
    luaL_argcheck(L, !args.on_done, 4, "on_done: publish waits itself; post takes it");
    int refused = refuse_publish(L, conn, &args);
    if (refused) {
        return refused;
    }
    struct hob_lua_mqtt_op *op = hob_lua_mqtt_op_new(L, conn, 0);
    int code = request_publish(conn, &args, hob_lua_mqtt_on_done, op);
    return hob_lua_mqtt_op_begun(L, op, code, "hob.mqtt.publish", hob_lua_mqtt_push_status);
}

static int conn_post(lua_State *L)
{
    struct publish_args args;
    struct hob_lua_mqtt_conn *conn = hob_lua_mqtt_conn_at(L);
    check_publish(L, &args);
    int refused = refuse_publish(L, conn, &args);
    if (refused) {
        return refused;
    }
    struct hob_lua_mqtt_op *op = NULL;
    if (args.on_done) {
        op = hob_lua_mqtt_op_new(L, conn, args.on_done);
        op->if_failed = args.done_if_failed;
    } else if (conn->agent_thing) {
        op = hob_lua_mqtt_op_silent(L, conn);
    }
    int code = request_publish(conn, &args, op ? hob_lua_mqtt_on_done : NULL, op);
    if (op) {
        return hob_lua_mqtt_op_begun(L, op, code, NULL, hob_lua_mqtt_push_status);
    }
    if (code) {
        return hob_lua_mqtt_fail(L, code);
    }
    lua_pushboolean(L, true);
    return 1;
}

/* ---- subscribing ---- */

/* On the gateway's own connection each user is told apart by its listeners. */
static void check_may_subscribe(lua_State *L, const struct hob_lua_mqtt_conn *conn)
{
    if (conn->agent_thing) {
        luaL_error(L, "on the gateway's own connection it is a listener that subscribes: "
                      "connection:listen(filter, fn):subscribe()");
    }
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

/** subscribe(filters, qos, {no_local = true}): MQTT 5 only, from here on what this connection
 * publishes does not come back to it */
static int conn_subscribe(lua_State *L)
{
    static const char *const known[] = {"no_local", NULL};
    const char *filters[FILTERS_MAX];
    struct hob_lua_mqtt_conn *conn = hob_lua_mqtt_conn_at(L);
    size_t count = check_filters(L, filters);
    lua_Integer qos = luaL_optinteger(L, 3, 1);
    luaL_argcheck(L, qos == 0 || qos == 1, 3, "qos: expected 0 or 1");
    if (conn->closed) {
        return hob_lua_mqtt_fail(L, HOB_ECANCELED);
    }
    check_may_subscribe(L, conn);
    if (!lua_isnoneornil(L, 4)) {
        hob_lua_check_options(L, 4, known);
        if (hob_lua_opt_boolean(L, 4, "no_local", false)) {
            hob_mqtt_no_local(hob_lua_mqtt_conn_core(conn));
        }
    }
    struct hob_lua_mqtt_op *op = hob_lua_mqtt_op_new(L, conn, 0);
    op->asked_qos = (int)qos;
    int code = hob_mqtt_share_subscribe(conn->share, filters, count, (int)qos,
                                        hob_lua_mqtt_on_subscribed, op);
    return hob_lua_mqtt_op_begun(L, op, code, "hob.mqtt.subscribe", hob_lua_mqtt_push_granted);
}

static int conn_unsubscribe(lua_State *L)
{
    const char *filters[FILTERS_MAX];
    struct hob_lua_mqtt_conn *conn = hob_lua_mqtt_conn_at(L);
    size_t count = check_filters(L, filters);
    if (conn->closed) {
        return hob_lua_mqtt_fail(L, HOB_ECANCELED);
    }
    check_may_subscribe(L, conn);
    struct hob_lua_mqtt_op *op = hob_lua_mqtt_op_new(L, conn, 0);
    int code = hob_mqtt_share_unsubscribe(conn->share, filters, count, hob_lua_mqtt_on_done, op);
    return hob_lua_mqtt_op_begun(L, op, code, "hob.mqtt.unsubscribe", hob_lua_mqtt_push_status);
}

/* ---- ending it, and what it says of itself ---- */

static void check_own(lua_State *L, const struct hob_lua_mqtt_conn *conn, const char *what)
{
    if (conn->agent_thing) {
        luaL_error(L, "the gateway's own connection cannot be %s from here", what);
    }
}

static int conn_reconnect(lua_State *L)
{
    struct hob_lua_mqtt_conn *conn = hob_lua_mqtt_conn_check(L);
    const char *reason = luaL_optstring(L, 2, "asked to connect anew");
    check_own(L, conn, "reconnected");
    hob_mqtt_reconnect(hob_lua_mqtt_conn_core(conn), reason);
    return 0;
}

static int conn_close(lua_State *L)
{
    struct hob_lua_mqtt_conn *conn = hob_lua_mqtt_conn_at(L);
    check_own(L, conn, "closed");
    if (conn->closed) {
        lua_pushboolean(L, true);
        return 1;
    }
    struct hob_lua_mqtt_op *op = hob_lua_mqtt_wait_start(L, conn, true);
    hob_lua_mqtt_tell_closed(conn);
    close_conn(conn);
    return hob_task_suspend(L, &(struct hob_task_wait){.name = "hob.mqtt.close",
                                                       .push = hob_lua_mqtt_push_status,
                                                       .cancel = hob_lua_mqtt_wait_cancel,
                                                       .op_free = hob_lua_mqtt_wait_release,
                                                       .op = op});
}

static int conn_stats(lua_State *L)
{
    struct hob_mqtt_stats stats;
    hob_mqtt_get_stats(hob_lua_mqtt_conn_core(hob_lua_mqtt_conn_check(L)), &stats);
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
    lua_pushstring(
        L, hob_mqtt_describe(hob_lua_mqtt_conn_core(hob_lua_mqtt_conn_check(L)), how, sizeof how));
    return 1;
}

static const luaL_Reg meta[] = {{"__gc", conn_gc},
                                {"__close", conn_end_of_scope},
                                {"__tostring", conn_tostring},
                                {"__index", NULL},
                                {NULL, NULL}};

static const luaL_Reg methods[] = {{"wait_up", conn_wait_up},
                                   {"is_up", conn_is_up},
                                   {"publish", conn_publish},
                                   {"post", conn_post},
                                   {"subscribe", conn_subscribe},
                                   {"unsubscribe", conn_unsubscribe},
                                   {"listen", hob_lua_mqtt_listen},
                                   {"on_state", hob_lua_mqtt_on_state},
                                   {"reconnect", conn_reconnect},
                                   {"close", conn_close},
                                   {"stats", conn_stats},
                                   {"describe", conn_describe},
                                   {"thing_name", conn_thing_name},
                                   {"expect", hob_lua_mqtt_expect},
                                   {NULL, NULL}};

void hob_lua_mqtt_conn_register(lua_State *L)
{
    hob_lua_new_metatable(L, HOB_LUA_MQTT_CONN);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
