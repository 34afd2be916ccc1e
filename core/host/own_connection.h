/* own_connection.h - the product's own connection (struct hob_connection), which all things of a
 * runtime use together: each is a branch of its trunk.
 *
 * Life: hob_own_connection_new -> hob_own_connection_start -> hob_own_connection_close, after its
 * things have stopped. Loop thread only.  Spec: spec/integration/embed_connection_spec.lua
 */
#ifndef HOB_HOST_OWN_CONNECTION_H
#define HOB_HOST_OWN_CONNECTION_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"

struct hob_mqtt_trunk;
struct hob_own_connection;

/** @param inside  counted up while the product's functions are called */
int hob_own_connection_new(struct hob_loop *loop, struct hob_log *log,
                           struct hob_connection *connection, unsigned *inside,
                           struct hob_own_connection **out, struct hob_error *err);
void hob_own_connection_start(struct hob_own_connection *own);
struct hob_mqtt_trunk *hob_own_connection_trunk(struct hob_own_connection *own); /* borrowed */
/** Takes; holds the loop until it is closed. NULL is legal. */
void hob_own_connection_close(struct hob_own_connection *own);

/* AWS's quota of a connection, which may be raised on request; how many there are is counted. */
#define HOB_AWS_SUBSCRIPTIONS 50

/** conn.many_subscriptions, if it is AWS's: a connection holds more than its quota.
 * @param place  what it is connected to */
void hob_own_connection_say_many(struct hob_log *log, const char *thing, const char *place,
                                 size_t held);

#endif
