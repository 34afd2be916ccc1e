/* lua_mqtt_listen.c - what comes from a connection by itself: messages, up, down, closed. Each
 * starts a task that calls the listener's function, in the order of arrival. See lua_mqtt.h */
#include "base/alloc.h"
#include "lua_mqtt.h"

#include <string.h>

#define LISTENER_NAME "hob.mqtt.listener"
/* Messages that have come for a listener and whose calls have not ended. Beyond that its function
 * is hung or hopelessly slow, and the rest would only fill the memory. */
#define WAITING_MAX   1000
#define WAITING_BYTES (4 * 1024 * 1024)

struct hob_lua_mqtt_listener {
    int holders;
    struct hob_lua_mqtt_conn *conn; /* NULL: the connection's object is garbage */
    struct hob_lua_mqtt_listener *next;
    struct hob_mqtt_listener *core; /* NULL: it hears of the state, or of every message */
    int fn;                         /* LUA_NOREF: closed */
    bool of_state;                  /* made by on_state */
    bool bounded;
    bool may_lose; /* a message that somebody expects */
    bool overrun;  /* said so already */
    unsigned waiting;
    size_t waiting_bytes;
};

enum kind { MESSAGE, UP, DOWN, CLOSED };

struct event {
    struct hob_lua_mqtt_listener *listener; /* held */
    enum kind kind;
    bool session_present;
    double retry_s;
    const char *code;
    int qos;
    bool retain;
    size_t len;
    char *payload; /* behind the text's NUL */
    char text[];   /* topic, or why it is down */
};

/* ---- life ---- */

static void release(struct hob_lua_mqtt_listener *listener)
{
    if (--listener->holders == 0) {
        hob_free(listener);
    }
}

static void forget_function(struct hob_lua_mqtt_listener *listener)
{
    if (listener->conn && listener->conn->L) {
        luaL_unref(listener->conn->L, LUA_REGISTRYINDEX, listener->fn);
    }
    listener->fn = LUA_NOREF;
}

static void free_event(void *user)
{
    struct event *event = user;
    if (event->kind == MESSAGE) {
        event->listener->waiting--;
        event->listener->waiting_bytes -= event->len;
    }
    release(event->listener);
    hob_free(event);
}

/* Takes the function on top of the stack. */
static struct hob_lua_mqtt_listener *add(lua_State *L, struct hob_lua_mqtt_conn *conn)
{
    struct hob_lua_mqtt_listener *listener = hob_calloc(1, sizeof *listener);
    if (!listener) {
        luaL_error(L, "out of memory");
    }
    listener->holders = 1;
    listener->conn = conn;
    listener->fn = LUA_NOREF;
    struct hob_lua_mqtt_listener **at = &conn->listeners;
    while (*at) {
        at = &(*at)->next; /* told in the order of their coming */
    }
    *at = listener;
    listener->fn = luaL_ref(L, LUA_REGISTRYINDEX);
    return listener;
}

static void take_down(struct hob_lua_mqtt_listener *listener)
{
    hob_mqtt_listener_close(listener->core);
    listener->core = NULL;
    struct hob_lua_mqtt_listener **at = &listener->conn->listeners;
    while (*at != listener) {
        at = &(*at)->next;
    }
    *at = listener->next;
    release(listener);
}

static void close_listener(struct hob_lua_mqtt_listener *listener)
{
    if (listener->fn == LUA_NOREF) {
        return;
    }
    forget_function(listener);
    if (listener->conn->busy) {
        listener->conn->swept_later = true;
    } else {
        take_down(listener);
    }
}

void hob_lua_mqtt_sweep_listeners(struct hob_lua_mqtt_conn *conn)
{
    for (struct hob_lua_mqtt_listener *one = conn->listeners, *next; one; one = next) {
        next = one->next;
        if (one->fn == LUA_NOREF) {
            take_down(one);
        }
    }
}

void hob_lua_mqtt_detach_listeners(struct hob_lua_mqtt_conn *conn)
{
    for (struct hob_lua_mqtt_listener *one = conn->listeners; one; one = one->next) {
        hob_mqtt_listener_close(one->core);
        one->core = NULL;
    }
}

void hob_lua_mqtt_drop_listeners(struct hob_lua_mqtt_conn *conn)
{
    while (conn->listeners) {
        struct hob_lua_mqtt_listener *one = conn->listeners;
        conn->listeners = one->next;
        hob_mqtt_listener_close(one->core);
        one->core = NULL;
        forget_function(one);
        one->conn = NULL;
        release(one);
    }
}

/* ---- events ---- */

static int delivered(lua_State *L, int status, lua_KContext context)
{
    return 0;
}

/* The function that each event's task runs: its arguments are the listener's function, and what
 * that is called with. Nothing: the listener has been closed since. */
int hob_lua_mqtt_deliver(lua_State *L)
{
    if (lua_gettop(L) > 0) {
        lua_callk(L, lua_gettop(L) - 1, 0, 0, delivered);
    }
    return 0;
}

static int push_message(lua_State *L, const struct event *event)
{
    lua_pushstring(L, event->text);
    lua_pushlstring(L, event->payload, event->len);
    lua_pushinteger(L, event->qos);
    lua_pushboolean(L, event->retain);
    return 4;
}

static int push_down(lua_State *L, const struct event *event)
{
    lua_pushstring(L, event->text);
    lua_pushstring(L, event->code);
    lua_pushnumber(L, event->retry_s);
    return 3;
}

static int push_event(lua_State *L, void *user)
{
    static const char *const names[] = {[UP] = "up", [DOWN] = "down", [CLOSED] = "closed"};
    const struct event *event = user;
    const struct hob_lua_mqtt_listener *listener = event->listener;
    if (listener->fn == LUA_NOREF) {
        return 0;
    }
    int count = 1;
    lua_rawgeti(L, LUA_REGISTRYINDEX, listener->fn);
    if (listener->of_state) {
        lua_pushstring(L, names[event->kind]);
        count++;
    }
    if (event->kind == MESSAGE) {
        count += push_message(L, event);
    } else if (event->kind == DOWN) {
        count += push_down(L, event);
    } else if (event->kind == UP) {
        lua_pushboolean(L, event->session_present);
        count++;
    }
    return count;
}

static struct event *make_event(struct hob_lua_mqtt_listener *listener, enum kind kind,
                                const char *text, size_t payload_len)
{
    size_t size = strlen(text) + 1;
    struct event *event = hob_calloc(1, sizeof *event + size + payload_len);
    if (!event) {
        const struct hob_modules_host *host = hob_scheduler_user(listener->conn->L);
        hob_log_event(host->log, HOB_LOG_ERROR, "lua.error", "out of memory: lost for a script: %s",
                      text);
        return NULL;
    }
    memcpy(event->text, text, size);
    event->payload = event->text + size;
    event->len = payload_len;
    event->kind = kind;
    event->listener = listener;
    listener->holders++;
    return event;
}

static void start_task(struct event *event)
{
    const struct hob_lua_mqtt_conn *conn = event->listener->conn;
    hob_task_call(conn->scheduler, conn->deliver, push_event, event, free_event);
}

static bool is_overrun(struct hob_lua_mqtt_listener *listener, const char *topic)
{
    bool has_room = listener->waiting < WAITING_MAX && listener->waiting_bytes < WAITING_BYTES;
    if (!listener->bounded || has_room) {
        listener->overrun = false;
        return false;
    }
    if (!listener->overrun) {
        const struct hob_modules_host *host = hob_scheduler_user(listener->conn->L);
        hob_log_event(host->log, HOB_LOG_WARN, "conn.overrun",
                      "%u messages (%zu bytes) wait for a script's function: what comes now is "
                      "dropped until it keeps up, the first one on %s",
                      listener->waiting, listener->waiting_bytes, topic);
    }
    listener->overrun = true;
    return true;
}

void hob_lua_mqtt_tell_message(struct hob_lua_mqtt_listener *listener,
                               const struct hob_mqtt_message *message)
{
    if (!listener || !listener->conn->L || listener->fn == LUA_NOREF) {
        return;
    }
    if (listener->may_lose && hob_lua_mqtt_take_expected(listener->conn, message)) {
        return;
    }
    if (is_overrun(listener, message->topic)) {
        return;
    }
    struct event *event = make_event(listener, MESSAGE, message->topic, message->len);
    if (!event) {
        return;
    }
    if (message->len > 0) {
        memcpy(event->payload, message->payload, message->len);
    }
    event->qos = message->qos;
    event->retain = message->retain;
    listener->waiting++;
    listener->waiting_bytes += event->len;
    start_task(event);
}

/* on_up and on_down of connect() are told only of their own kind. */
static bool hears(const struct hob_lua_mqtt_listener *listener, enum kind kind)
{
    const struct hob_lua_mqtt_conn *conn = listener->conn;
    return listener->of_state || (kind == UP && listener == conn->on_up) ||
           (kind == DOWN && listener == conn->on_down);
}

static void tell_state(struct hob_lua_mqtt_conn *conn, const struct event *what, const char *text)
{
    if (!conn->L) {
        return;
    }
    hob_lua_mqtt_conn_enter(conn);
    for (struct hob_lua_mqtt_listener *one = conn->listeners; one; one = one->next) {
        struct event *event = hears(one, what->kind) ? make_event(one, what->kind, text, 0) : NULL;
        if (event) {
            event->session_present = what->session_present;
            event->retry_s = what->retry_s;
            event->code = what->code;
            start_task(event);
        }
    }
    hob_lua_mqtt_conn_leave(conn);
}

void hob_lua_mqtt_tell_up(struct hob_lua_mqtt_conn *conn, bool session_present)
{
    tell_state(conn, &(struct event){.kind = UP, .session_present = session_present}, "");
}

void hob_lua_mqtt_tell_down(struct hob_lua_mqtt_conn *conn, const struct hob_error *why,
                            uint64_t retry_ms)
{
    struct event what = {
        .kind = DOWN, .code = hob_error_name(why->code), .retry_s = (double)retry_ms / 1000};
    tell_state(conn, &what, why->message);
}

void hob_lua_mqtt_tell_closed(struct hob_lua_mqtt_conn *conn)
{
    tell_state(conn, &(struct event){.kind = CLOSED}, "");
}

struct hob_lua_mqtt_listener *
hob_lua_mqtt_opt_listener(lua_State *L, struct hob_lua_mqtt_conn *conn, const char *name)
{
    int type = lua_getfield(L, 1, name);
    if (type == LUA_TNIL) {
        lua_pop(L, 1);
        return NULL;
    }
    if (type != LUA_TFUNCTION) {
        luaL_error(L, "%s: expected function, got %s", name, luaL_typename(L, -1));
    }
    return add(L, conn);
}

/* ---- the listener's object ---- */

static struct hob_lua_mqtt_listener *check_listener(lua_State *L)
{
    struct hob_lua_mqtt_listener *listener =
        *(struct hob_lua_mqtt_listener **)luaL_checkudata(L, 1, LISTENER_NAME);
    if (!listener) { /* another object's __gc still has it */
        luaL_error(L, "the listener is garbage");
    }
    return listener;
}

/* Its user value is the connection's object, so that it lives as long. */
static struct hob_lua_mqtt_listener **push_object(lua_State *L)
{
    struct hob_lua_mqtt_listener **object = lua_newuserdatauv(L, sizeof *object, 1);
    *object = NULL;
    luaL_setmetatable(L, LISTENER_NAME);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    return object;
}

static struct hob_lua_mqtt_listener *make_listener(lua_State *L, struct hob_lua_mqtt_conn *conn,
                                                   int fn)
{
    luaL_checktype(L, fn, LUA_TFUNCTION);
    struct hob_lua_mqtt_listener **object = push_object(L);
    lua_pushvalue(L, fn);
    *object = add(L, conn);
    (*object)->holders++;
    return *object;
}

int hob_lua_mqtt_refuse_filter(lua_State *L, const struct hob_lua_mqtt_conn *conn,
                               const char *filter)
{
    if (!conn->agent_thing) {
        return 0;
    }
    if (conn->of_cloud) {
        return hob_lua_cloud_refuse(L, conn->agent_thing, filter, true);
    }
    const char *own = lua_pushfstring(L, "$aws/things/%s/jobs/", conn->agent_thing);
    if (strncmp(filter, own, strlen(own)) == 0) {
        lua_pop(L, 1);
        return 0;
    }
    return hob_lua_mqtt_fail_with(
        L, HOB_EACCES,
        lua_pushfstring(L, "%s: on the gateway's own connection only %s... is heard", filter, own));
}

static void on_message(void *user, const struct hob_mqtt_message *message)
{
    hob_lua_mqtt_tell_message(user, message);
}

int hob_lua_mqtt_listen(lua_State *L)
{
    struct hob_lua_mqtt_conn *conn = hob_lua_mqtt_conn_at(L);
    const char *filter = luaL_checkstring(L, 2);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    if (conn->closed) {
        return hob_lua_mqtt_fail(L, HOB_ECANCELED);
    }
    int refused = hob_lua_mqtt_refuse_filter(L, conn, filter);
    if (refused) {
        return refused;
    }
    luaL_argcheck(L, hob_mqtt_filter_valid(filter), 2, "expected an MQTT topic filter");
    struct hob_lua_mqtt_listener *listener = make_listener(L, conn, 3);
    listener->bounded = true;
    if (hob_mqtt_listen(conn->share, filter, on_message, listener, &listener->core)) {
        close_listener(listener);
        return luaL_error(L, "out of memory");
    }
    return 1;
}

int hob_lua_mqtt_on_state(lua_State *L)
{
    struct hob_lua_mqtt_conn *conn = hob_lua_mqtt_conn_at(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (conn->closed) {
        return hob_lua_mqtt_fail(L, HOB_ECANCELED);
    }
    make_listener(L, conn, 2)->of_state = true;
    return 1;
}

/* listener:subscribe([qos [, fn]]) and unsubscribe([fn]): with a function they do not wait. */

static int check_callback(lua_State *L, int index)
{
    if (lua_isnoneornil(L, index)) {
        return 0;
    }
    luaL_checktype(L, index, LUA_TFUNCTION);
    return index;
}

static bool is_open(const struct hob_lua_mqtt_listener *listener)
{
    return listener->core != NULL && listener->fn != LUA_NOREF;
}

static int fail_closed(lua_State *L, const struct hob_lua_mqtt_listener *listener)
{
    bool ours = listener->fn == LUA_NOREF && listener->conn && !listener->conn->closed;
    return hob_lua_mqtt_fail_with(L, HOB_ECANCELED,
                                  ours ? "the listener is closed" : "the connection was closed");
}

static int listener_subscribe(lua_State *L)
{
    struct hob_lua_mqtt_listener *listener = check_listener(L);
    lua_Integer qos = luaL_optinteger(L, 2, 1);
    luaL_argcheck(L, qos == 0 || qos == 1, 2, "qos: expected 0 or 1");
    int fn = check_callback(L, 3);
    if (!is_open(listener)) {
        return fail_closed(L, listener);
    }
    struct hob_lua_mqtt_op *op = hob_lua_mqtt_op_new(L, listener->conn, fn);
    op->asked_qos = (int)qos;
    int code = hob_lua_mqtt_room(op->owner);
    code = code ? code
                : hob_mqtt_listener_subscribe(listener->core, (int)qos, hob_lua_mqtt_on_subscribed,
                                              op);
    return hob_lua_mqtt_op_begun(L, op, code, "hob.mqtt.subscribe", hob_lua_mqtt_push_one_granted);
}

static int listener_unsubscribe(lua_State *L)
{
    struct hob_lua_mqtt_listener *listener = check_listener(L);
    int fn = check_callback(L, 2);
    if (!is_open(listener)) {
        return fail_closed(L, listener);
    }
    struct hob_lua_mqtt_op *op = hob_lua_mqtt_op_new(L, listener->conn, fn);
    int code = hob_mqtt_listener_unsubscribe(listener->core, hob_lua_mqtt_on_done, op);
    return hob_lua_mqtt_op_begun(L, op, code, "hob.mqtt.unsubscribe", hob_lua_mqtt_push_status);
}

static int listener_may_lose(lua_State *L)
{
    check_listener(L)->may_lose = true;
    return 0;
}

static int listener_close(lua_State *L)
{
    struct hob_lua_mqtt_listener **object = luaL_checkudata(L, 1, LISTENER_NAME);
    if (*object) {
        close_listener(*object);
    }
    return 0;
}

static int listener_gc(lua_State *L)
{
    struct hob_lua_mqtt_listener **object = luaL_checkudata(L, 1, LISTENER_NAME);
    if (*object) {
        release(*object);
        *object = NULL;
    }
    return 0;
}

static const luaL_Reg meta[] = {
    {"__gc", listener_gc}, {"__close", listener_close}, {"__index", NULL}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"close", listener_close},
                                   {"may_lose", listener_may_lose},
                                   {"subscribe", listener_subscribe},
                                   {"unsubscribe", listener_unsubscribe},
                                   {NULL, NULL}};

void hob_lua_mqtt_listen_register(lua_State *L)
{
    hob_lua_new_metatable(L, LISTENER_NAME);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
