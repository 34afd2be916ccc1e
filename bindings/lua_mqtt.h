/* lua_mqtt.h - what the files of hob.mqtt share.
 *
 *   lua_mqtt.c         the module: connect, agent
 *   lua_mqtt_conn.c    the connection object and its methods
 *   lua_mqtt_listen.c  what comes by itself: messages, up and down; each starts a task
 *   lua_mqtt_wait.c    what was asked for: a task that waits, or a function to call
 *
 * A connection is one of the script's own, or a view of the running gateway's, which is only
 * borrowed: it cannot be closed, and takes jobs topics of its thing only.
 * Counted by holders: the connection (the Lua object, the core's connection until it has closed,
 * requests in flight), an operation (the task that waits, whoever wakes it), a listener (its
 * connection, its Lua object, events on their way).
 */
#ifndef HOB_LUA_MQTT_H
#define HOB_LUA_MQTT_H

#include "bindings.h"

#include "net/mqtt.h"
#include "net/mqtt_share.h"
#include "work/task.h"

#define HOB_LUA_MQTT_CONN "hob.mqtt.connection"

struct hob_lua_mqtt_op;
struct hob_lua_mqtt_listener;
struct hob_lua_mqtt_expected;

struct hob_lua_mqtt_conn {
    int holders;
    bool closed;
    struct hob_mqtt_share *share; /* NULL once it is closed */
    struct hob_mqtt_watch *watch;
    const char *agent_thing; /* the gateway's own connection: its thing; borrowed. NULL: our own */
    bool of_cloud;           /* that of hob.cloud: other topics are its own, and to be up is to be
                                ready: see hob_mqtt_share_ready */
    unsigned in_flight;      /* requests on the gateway's connection */
    struct hob_scheduler *scheduler;
    lua_State *L; /* the main thread; NULL: the object is garbage, nothing is called any more */
    int deliver;  /* reference of the function that events are given to */
    struct hob_lua_mqtt_listener *listeners, *on_message, *on_up, *on_down;
    struct hob_lua_mqtt_op *waiting; /* in wait_up or close */
    struct hob_lua_mqtt_expected *expected;
    unsigned busy;         /* in events that are being told, */
    bool swept_later;      /* so that listeners were left to be closed after them, */
    bool garbage;          /* and all of it */
    struct hob_error last; /* why it is not up */
};

/* ---- lua_mqtt.c ---- */

/** Push the object of the running gateway's own connection that is kept in the registry under
 * `key`; it is made once a state. @return 1, or nil, message and the code that is given for "there
 * is none": 3 */
int hob_lua_mqtt_push_agent(lua_State *L, const char *key, bool of_cloud, int none);

/* ---- lua_cloud.c ---- */

/** May this handler use the topic or filter? @return 0, or nil, message, code: 3 */
int hob_lua_cloud_refuse(lua_State *L, const char *thing, const char *topic, bool is_filter);

/* ---- lua_mqtt_conn.c ---- */

/** Push a new object; `closed` until it is given a share. */
struct hob_lua_mqtt_conn *hob_lua_mqtt_conn_push(lua_State *L);
/** Use this connection from now on. @return 0 or HOB_ENOMEM */
int hob_lua_mqtt_conn_open(struct hob_lua_mqtt_conn *conn, struct hob_mqtt_share *share);
void hob_lua_mqtt_conn_release(void *conn);
/** The connection at index 1, which may be closed: who asks it for something is told ECANCELED
 * then, since another task may have closed it. */
struct hob_lua_mqtt_conn *hob_lua_mqtt_conn_at(lua_State *L);
/** The open connection at index 1; raises if it is closed. */
struct hob_lua_mqtt_conn *hob_lua_mqtt_conn_check(lua_State *L);
/** Around the telling of an event: it makes tasks, and so collects garbage, whose finalizers may
 * close what is just walked over. What they close meanwhile is closed when all is told. */
void hob_lua_mqtt_conn_enter(struct hob_lua_mqtt_conn *conn);
void hob_lua_mqtt_conn_leave(struct hob_lua_mqtt_conn *conn);
struct hob_mqtt *hob_lua_mqtt_conn_core(const struct hob_lua_mqtt_conn *conn);
void hob_lua_mqtt_conn_register(lua_State *L);

/* ---- lua_mqtt_listen.c ---- */

/** What each event's task runs: calls its first argument with the others. */
int hob_lua_mqtt_deliver(lua_State *L);
/** Take the callback that is a member of the options at index 1; NULL: there is none. */
struct hob_lua_mqtt_listener *
hob_lua_mqtt_opt_listener(lua_State *L, struct hob_lua_mqtt_conn *conn, const char *name);
int hob_lua_mqtt_listen(lua_State *L);   /* connection:listen(filter, fn) */
int hob_lua_mqtt_on_state(lua_State *L); /* connection:on_state(fn) */
void hob_lua_mqtt_tell_message(struct hob_lua_mqtt_listener *listener,
                               const struct hob_mqtt_message *message);
void hob_lua_mqtt_tell_up(struct hob_lua_mqtt_conn *conn, bool session_present);
void hob_lua_mqtt_tell_down(struct hob_lua_mqtt_conn *conn, const struct hob_error *why,
                            uint64_t retry_ms);
void hob_lua_mqtt_tell_closed(struct hob_lua_mqtt_conn *conn);
/** The connection is closed: nothing comes any more. What has come is still told. */
void hob_lua_mqtt_detach_listeners(struct hob_lua_mqtt_conn *conn);
/** Those that were closed while the connection was busy. */
void hob_lua_mqtt_sweep_listeners(struct hob_lua_mqtt_conn *conn);
/** The object is garbage. */
void hob_lua_mqtt_drop_listeners(struct hob_lua_mqtt_conn *conn);
/** nil, message, "EACCES" if the gateway's own connection does not take this filter. @return 0 or 3
 */
int hob_lua_mqtt_refuse_filter(lua_State *L, const struct hob_lua_mqtt_conn *conn,
                               const char *filter);
void hob_lua_mqtt_listen_register(lua_State *L);

/* ---- lua_mqtt_expect.c ---- */

/** connection:expect(future, topic, token): the message on TOPIC/accepted or TOPIC/rejected that
 * bears the token is the future's result: its payload, and "accepted" or "rejected". Of the
 * listeners only those that gave their leave lose it: listener:may_lose() */
int hob_lua_mqtt_expect(lua_State *L);
/** @return whether a future took it */
bool hob_lua_mqtt_take_expected(struct hob_lua_mqtt_conn *conn,
                                const struct hob_mqtt_message *message);
/** The object is garbage: nothing is expected any more. */
void hob_lua_mqtt_drop_expected(struct hob_lua_mqtt_conn *conn);

/* ---- lua_mqtt_wait.c ---- */

/* What a task waits for, or a function is called with. */
struct hob_lua_mqtt_op {
    int holders;
    struct hob_lua_mqtt_conn *owner; /* held */
    struct hob_task *task;           /* NULL: cancelled, or nobody waits */
    int callback, object;            /* references; LUA_NOREF: a task waits, or nobody */
    hob_task_push_fn *push;          /* of the callback's arguments */
    int status;
    int *granted;
    size_t count;
    int asked_qos;
    bool if_failed; /* the callback is called only then */
    /* of wait_up and close */
    struct hob_lua_mqtt_op *next;
    struct hob_lua_mqtt_conn *conn;
    struct hob_timer *timer;
    bool for_close;
};

/** For a request that is about to be made. `fn` is the stack index of the function to call with its
 * outcome, 0: the running task will wait. Raises when that is not possible, or on no memory. */
struct hob_lua_mqtt_op *hob_lua_mqtt_op_new(lua_State *L, struct hob_lua_mqtt_conn *conn, int fn);
/** The same for a request whose outcome nobody asks for. */
struct hob_lua_mqtt_op *hob_lua_mqtt_op_silent(lua_State *L, struct hob_lua_mqtt_conn *conn);
/** Before the request of a new operation is made. @return 0, or HOB_EBUSY: a handler has too much
 * in flight on the gateway's own connection */
int hob_lua_mqtt_room(const struct hob_lua_mqtt_conn *conn);
/** The request was made (code 0), needs no answer (HOB_MQTT_STILL_HELD), or could not be made.
 * Ends the binding's function: waits if a task is to. */
int hob_lua_mqtt_op_begun(lua_State *L, struct hob_lua_mqtt_op *op, int code, const char *name,
                          hob_task_push_fn *push);

/* The callbacks of the core's requests. */
void hob_lua_mqtt_on_done(void *op, int status);
void hob_lua_mqtt_on_subscribed(void *op, int status, const int *granted, size_t count);

/* What the task is given: true, a list of QoS, or one QoS; nil, message, code. */
int hob_lua_mqtt_push_status(lua_State *L, void *op);
int hob_lua_mqtt_push_granted(lua_State *L, void *op);
int hob_lua_mqtt_push_one_granted(lua_State *L, void *op);
int hob_lua_mqtt_fail(lua_State *L, int code);
int hob_lua_mqtt_fail_with(lua_State *L, int code, const char *message);

/** Wait for the connection to be up, or closed. */
struct hob_lua_mqtt_op *hob_lua_mqtt_wait_start(lua_State *L, struct hob_lua_mqtt_conn *conn,
                                                bool for_close);
void hob_lua_mqtt_wait_release(void *op);
void hob_lua_mqtt_wait_cancel(void *op);
void hob_lua_mqtt_wait_is_over(void *op); /* its time is */
void hob_lua_mqtt_end_waits(struct hob_lua_mqtt_conn *conn, int status, bool for_close);

#endif
