/* lua_mqtt_wait.c - what was asked of a connection: an answer of the broker, or the connection
 * itself. A task waits for it, or a function is called with it. See lua_mqtt.h */
#include "base/alloc.h"
#include "lua_mqtt.h"

#include <string.h>

/* What a handler may have in flight on the gateway's own connection: the gateway's own requests
 * must find room beside them (HOB_MQTT_PENDING_MAX). */
#define AGENT_IN_FLIGHT_MAX 128

/* ---- operations ---- */

void hob_lua_mqtt_wait_release(void *user)
{
    struct hob_lua_mqtt_op *op = user;
    if (--op->holders > 0) {
        return;
    }
    hob_lua_mqtt_conn_release(op->owner);
    hob_free(op->granted);
    hob_free(op);
}

static struct hob_lua_mqtt_op *make(lua_State *L, struct hob_lua_mqtt_conn *conn, int holders,
                                    struct hob_task *task)
{
    struct hob_lua_mqtt_op *op = hob_calloc(1, sizeof *op);
    if (!op) {
        luaL_error(L, "out of memory");
    }
    op->holders = holders;
    op->owner = conn;
    op->task = task;
    op->callback = op->object = LUA_NOREF;
    conn->holders++;
    return op;
}

struct hob_lua_mqtt_op *hob_lua_mqtt_op_silent(lua_State *L, struct hob_lua_mqtt_conn *conn)
{
    struct hob_lua_mqtt_op *op = make(L, conn, 1, NULL);
    conn->in_flight++;
    return op;
}

struct hob_lua_mqtt_op *hob_lua_mqtt_op_new(lua_State *L, struct hob_lua_mqtt_conn *conn, int fn)
{
    if (!fn) {
        struct hob_lua_mqtt_op *op = make(L, conn, 2, hob_task_current(L));
        conn->in_flight++;
        return op;
    }
    lua_pushvalue(L, fn);
    int callback = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushvalue(L, 1); /* the object must not become garbage before the call */
    int object = luaL_ref(L, LUA_REGISTRYINDEX);
    struct hob_lua_mqtt_op *op = hob_lua_mqtt_op_silent(L, conn);
    op->callback = callback;
    op->object = object;
    return op;
}

int hob_lua_mqtt_room(const struct hob_lua_mqtt_conn *conn)
{
    return conn->agent_thing && conn->in_flight > AGENT_IN_FLIGHT_MAX ? HOB_EBUSY : 0;
}

static void forget_callback(struct hob_lua_mqtt_op *op)
{
    if (op->owner->L) {
        luaL_unref(op->owner->L, LUA_REGISTRYINDEX, op->callback);
        luaL_unref(op->owner->L, LUA_REGISTRYINDEX, op->object);
    }
    op->callback = op->object = LUA_NOREF;
}

/* The waker's hold ends here. */
static void op_wake(struct hob_lua_mqtt_op *op)
{
    if (op->callback != LUA_NOREF && op->owner->L && !(op->if_failed && op->status == 0)) {
        op->holders++;
        hob_task_call(op->owner->scheduler, op->callback, op->push, op, hob_lua_mqtt_wait_release);
    } else if (op->task) {
        hob_task_wake(op->task);
    }
    forget_callback(op); /* hob_task_call has taken the function */
    hob_lua_mqtt_wait_release(op);
}

static void op_answered(struct hob_lua_mqtt_op *op, int status)
{
    op->status = status;
    op->owner->in_flight--;
    op_wake(op);
}

static void cancel(void *user)
{
    ((struct hob_lua_mqtt_op *)user)->task = NULL;
}

/* No request is in flight: nobody will wake it. */
static void undo(struct hob_lua_mqtt_op *op)
{
    op->owner->in_flight--;
    forget_callback(op);
    op->holders = 1;
    hob_lua_mqtt_wait_release(op);
}

int hob_lua_mqtt_op_begun(lua_State *L, struct hob_lua_mqtt_op *op, int code, const char *name,
                          hob_task_push_fn *push)
{
    op->push = push;
    if (code < 0) {
        undo(op);
        return hob_lua_mqtt_fail(L, code);
    }
    if (code == HOB_MQTT_STILL_HELD && op->task) {
        undo(op);
    } else if (code == HOB_MQTT_STILL_HELD) {
        op_answered(op, 0);
    } else if (op->task) {
        return hob_task_suspend(L, &(struct hob_task_wait){.name = name,
                                                           .push = push,
                                                           .cancel = cancel,
                                                           .op_free = hob_lua_mqtt_wait_release,
                                                           .op = op});
    }
    lua_pushboolean(L, true);
    return 1;
}

/* ---- words ---- */

int hob_lua_mqtt_fail_with(lua_State *L, int code, const char *message)
{
    lua_pushnil(L);
    lua_pushstring(L, message);
    lua_pushstring(L, hob_error_name(code));
    return 3;
}

static const char *words_for(int code)
{
    switch (code) {
    case HOB_ENOTCONN:
        return "not connected to the broker";
    case HOB_ECANCELED:
        return "the connection was closed";
    case HOB_EMSGSIZE:
        return "the message is larger than the connection's limit";
    case HOB_EINVAL:
        return "the broker's rules do not allow this topic, filter or QoS: a topic has no + or #, "
               "and QoS is 0 or 1";
    case HOB_EBUSY:
        return "too many messages wait for the broker's answer";
    case HOB_EREFUSED:
        return "the broker refused it";
    default:
        return hob_error_words(code);
    }
}

int hob_lua_mqtt_fail(lua_State *L, int code)
{
    return hob_lua_mqtt_fail_with(L, code, words_for(code));
}

/* ---- results ---- */

int hob_lua_mqtt_push_status(lua_State *L, void *user)
{
    const struct hob_lua_mqtt_op *op = user;
    if (op->status) {
        return hob_lua_mqtt_fail(L, op->status);
    }
    lua_pushboolean(L, true);
    return 1;
}

/* Another user of the filter may have asked for more. */
static int granted_qos(const struct hob_lua_mqtt_op *op, size_t i)
{
    bool more = op->granted[i] < 128 && op->granted[i] > op->asked_qos;
    return more ? op->asked_qos : op->granted[i];
}

int hob_lua_mqtt_push_granted(lua_State *L, void *user)
{
    const struct hob_lua_mqtt_op *op = user;
    if (op->status) {
        return hob_lua_mqtt_fail(L, op->status);
    }
    lua_createtable(L, (int)op->count, 0);
    for (size_t i = 0; i < op->count; i++) {
        lua_pushinteger(L, granted_qos(op, i));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

int hob_lua_mqtt_push_one_granted(lua_State *L, void *user)
{
    const struct hob_lua_mqtt_op *op = user;
    if (op->status || op->count == 0 || op->granted[0] >= 128) {
        return hob_lua_mqtt_fail(L, op->status ? op->status : HOB_EREFUSED);
    }
    lua_pushinteger(L, granted_qos(op, 0));
    return 1;
}

void hob_lua_mqtt_on_done(void *user, int status)
{
    op_answered(user, status);
}

void hob_lua_mqtt_on_subscribed(void *user, int status, const int *granted, size_t count)
{
    struct hob_lua_mqtt_op *op = user;
    if (status == 0 && count > 0) {
        op->granted = hob_calloc(count, sizeof *granted);
        if (op->granted) {
            memcpy(op->granted, granted, count * sizeof *granted);
            op->count = count;
        } else {
            status = HOB_ENOMEM;
        }
    }
    op_answered(op, status);
}

/* ---- waiting for the connection itself ---- */

static void leave(struct hob_lua_mqtt_op *op)
{
    for (struct hob_lua_mqtt_op **at = &op->conn->waiting; *at; at = &(*at)->next) {
        if (*at == op) {
            *at = op->next;
            break;
        }
    }
    hob_timer_close(op->timer);
    op->timer = NULL;
    op->conn = NULL;
}

static void end_wait(struct hob_lua_mqtt_op *op, int status)
{
    op->status = status;
    leave(op);
    op_wake(op);
}

void hob_lua_mqtt_wait_cancel(void *user)
{
    struct hob_lua_mqtt_op *op = user;
    op->task = NULL;
    if (op->conn) {
        leave(op);
        hob_lua_mqtt_wait_release(op);
    }
}

void hob_lua_mqtt_end_waits(struct hob_lua_mqtt_conn *conn, int status, bool for_close)
{
    for (struct hob_lua_mqtt_op *op = conn->waiting, *next; op; op = next) {
        next = op->next;
        if (op->for_close == for_close) {
            end_wait(op, status);
        }
    }
}

void hob_lua_mqtt_wait_is_over(void *user)
{
    end_wait(user, HOB_ETIMEDOUT);
}

struct hob_lua_mqtt_op *hob_lua_mqtt_wait_start(lua_State *L, struct hob_lua_mqtt_conn *conn,
                                                bool for_close)
{
    struct hob_lua_mqtt_op *op = make(L, conn, 2, hob_task_current(L));
    op->conn = conn;
    op->for_close = for_close;
    op->next = conn->waiting;
    conn->waiting = op;
    return op;
}
