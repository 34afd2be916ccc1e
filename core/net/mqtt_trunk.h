/* mqtt_trunk.h - several things on one connection.
 *
 * Glossary
 *   trunk    a connection that others use, too: that of a thing, or a product's own
 *   branch   a struct hob_mqtt (options.trunk) that has no connection of its own. `options.thing`
 *            is whose messages it gets: all on $aws/things/THING/, and those that match what it has
 *            subscribed to
 *   risky    a request that may make a broker close the connection, as AWS does with what a policy
 *            does not allow: a SUBSCRIBE, and a branch's publishes before one was acknowledged
 * since it came up
 *
 * Nobody shuts the others out: each branch has a queue of its own, and they take turns, at most
 * HOB_MQTT_INFLIGHT_MAX requests of them together being on their way. After a reconnect they come
 * up in portions. If the link is lost while risky requests of several are on their way, the next
 * link is careful: one such request at a time, until all are up. So it is known whose request it
 * was: that one comes up last, and if it happens again is left out for a while
 * (conn.branch_left_out), twice as long each time.
 * A branch that gets no answers is begun with afresh by itself; only if nobody else has heard
 * anything of this link either, the trunk connects anew. What is on its way for a branch that does
 * not wait for it any more counts no longer: its answer may never come.
 *
 * Life: hob_mqtt_trunk_new, branches come and go, hob_mqtt_trunk_close, then the share and the
 * connection. Loop thread only.  Spec: spec/unit/branch_spec.lua
 */
#ifndef HOB_NET_MQTT_TRUNK_H
#define HOB_NET_MQTT_TRUNK_H

#include "net/mqtt.h"
#include "net/mqtt_share.h"

struct hob_mqtt_trunk_options {
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_mqtt_share *share; /* borrowed; its events are handed on, see mqtt_share.h */
    const char *thing; /* copied; whose connection it is: "via gateway". NULL: the product's */
};

int hob_mqtt_trunk_new(const struct hob_mqtt_trunk_options *options, struct hob_mqtt_trunk **out,
                       struct hob_error *err);
/** All its branches have closed. NULL is legal. */
void hob_mqtt_trunk_close(struct hob_mqtt_trunk *trunk);

size_t hob_mqtt_trunk_count(const struct hob_mqtt_trunk *trunk); /* branches */

#endif
