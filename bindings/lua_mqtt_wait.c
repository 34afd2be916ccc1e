/* lua_mqtt_wait.c - what a task waits for at a connection: an answer of the broker, or the
 * connection itself. See lua_mqtt.h */
#include "lua_mqtt.h"

#include "work/task.h"

#include <stdlib.h>
#include <string.h>

/* ---- operations ---- */

void hob_lua_mqtt_op_release(void *user)
{
    struct hob_lua_mqtt_op *op = user;
    if (--op->holders > 0) {
        return;
    }
    free(op->granted);
    free(op);
}

struct hob_lua_mqtt_op *hob_lua_mqtt_op_new(lua_State *L, int holders)
{
    struct hob_task *task = hob_task_current(L);
    struct hob_lua_mqtt_op *op = calloc(1, sizeof *op);
    if (!op) {
        luaL_error(L, "out of memory");
        abort(); /* not reached; luaL_error is not declared noreturn */
    }
    op->holders = holders;
    op->task = task;
    return op;
}

void hob_lua_mqtt_op_cancel(void *user)
{
    ((struct hob_lua_mqtt_op *)user)->task = NULL;
}

/* The waker's hold ends here. */
static void op_wake(struct hob_lua_mqtt_op *op)
{
    if (op->task) {
        hob_task_wake(op->task);
    }
    hob_lua_mqtt_op_release(op);
}

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

int hob_lua_mqtt_push_status(lua_State *L, void *user)
{
    const struct hob_lua_mqtt_op *op = user;
    if (op->status) {
        return hob_lua_mqtt_fail_with(L, op->status, words_for(op->status));
    }
    lua_pushboolean(L, true);
    return 1;
}

int hob_lua_mqtt_push_granted(lua_State *L, void *user)
{
    const struct hob_lua_mqtt_op *op = user;
    if (op->status) {
        return hob_lua_mqtt_fail_with(L, op->status, words_for(op->status));
    }
    lua_createtable(L, (int)op->count, 0);
    for (size_t i = 0; i < op->count; i++) {
        lua_pushinteger(L, op->granted[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

void hob_lua_mqtt_on_done(void *user, int status)
{
    struct hob_lua_mqtt_op *op = user;
    op->status = status;
    op_wake(op);
}

void hob_lua_mqtt_on_subscribed(void *user, int status, const int *granted, size_t count)
{
    struct hob_lua_mqtt_op *op = user;
    op->status = status;
    if (status == 0 && count > 0) {
        op->granted = calloc(count, sizeof *granted);
        if (op->granted) {
            memcpy(op->granted, granted, count * sizeof *granted);
            op->count = count;
        } else {
            op->status = HOB_ENOMEM;
        }
    }
    op_wake(op);
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
        hob_lua_mqtt_op_release(op);
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
    struct hob_lua_mqtt_op *op = hob_lua_mqtt_op_new(L, 2);
    op->conn = conn;
    op->for_close = for_close;
    op->next = conn->waiting;
    conn->waiting = op;
    return op;
}
