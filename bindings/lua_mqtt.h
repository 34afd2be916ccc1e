/* lua_mqtt.h - what lua_mqtt.c and lua_mqtt_wait.c share.
 *
 * An operation belongs to the task's wait and to whoever wakes it (two holders): a cancelled task
 * leaves it to the other.
 */
#ifndef HOB_LUA_MQTT_H
#define HOB_LUA_MQTT_H

#include "bindings.h"

#include "net/mqtt.h"

struct hob_lua_mqtt_op;

struct hob_lua_mqtt_conn {
    struct hob_mqtt *mqtt; /* NULL once it has closed */
    struct hob_scheduler *scheduler;
    lua_State *L; /* the main thread; NULL: no callbacks any more */
    int on_up, on_down, on_message;
    struct hob_lua_mqtt_op *waiting; /* in wait_up or close */
    struct hob_error last;           /* why it is not up */
};

/* What a task waits for. Held by the task's wait and by whoever wakes it. */
struct hob_lua_mqtt_op {
    int holders;
    struct hob_task *task; /* NULL: cancelled */
    int status;
    int *granted;
    size_t count;
    /* of wait_up and close */
    struct hob_lua_mqtt_op *next;
    struct hob_lua_mqtt_conn *conn;
    struct hob_timer *timer;
    bool for_close;
};

/** Raises when there is no memory. */
struct hob_lua_mqtt_op *hob_lua_mqtt_op_new(lua_State *L, int holders);
void hob_lua_mqtt_op_release(void *op);
void hob_lua_mqtt_op_cancel(void *op);

/* The callbacks of the core's requests; they wake the task. */
void hob_lua_mqtt_on_done(void *op, int status);
void hob_lua_mqtt_on_subscribed(void *op, int status, const int *granted, size_t count);

/* What the task is given: true or a list of QoS; nil, message, code. */
int hob_lua_mqtt_push_status(lua_State *L, void *op);
int hob_lua_mqtt_push_granted(lua_State *L, void *op);
int hob_lua_mqtt_fail(lua_State *L, int code);
int hob_lua_mqtt_fail_with(lua_State *L, int code, const char *message);

/** Wait for the connection to be up, or closed. */
struct hob_lua_mqtt_op *hob_lua_mqtt_wait_start(lua_State *L, struct hob_lua_mqtt_conn *conn,
                                                bool for_close);
void hob_lua_mqtt_wait_cancel(void *op);
void hob_lua_mqtt_wait_is_over(void *op); /* its time is */
void hob_lua_mqtt_end_waits(struct hob_lua_mqtt_conn *conn, int status, bool for_close);

#endif
