/* mqtt_share.h - several users of one MQTT connection: who hears what, and who still needs which
 * subscription.
 *
 * Glossary
 *   listener   hears the messages whose topic its filter matches. It may hold a subscription to
 *              that filter: it hears whatever the connection receives, also without one
 *   watch      hears of the connection itself
 *   kept       a filter that the connection's owner subscribes to by itself. What it covers is
 *              never subscribed to beside it (a broker may deliver such a message twice), and no
 *              user's going takes it away
 *
 * The broker knows a client's filter once, with one QoS: so a filter is unsubscribed from when its
 * last holder goes, and is subscribed to with the highest QoS that any of them wants. Holding is by
 * holder, not by call: to subscribe again, as everybody must who needs it after a reconnect (see
 * mqtt.h), changes nothing.
 *
 * The owner of the connection hands its events on: hob_mqtt_share_up/_down/_message. Callbacks run
 * inside these calls; nothing of this file may be called from them.
 * Life: hob_mqtt_share_new -> hob_mqtt_share_free, after every listener and watch has been closed,
 * before the connection is. Loop thread only.  Spec: spec/integration/mqtt_share_spec.lua
 */
#ifndef HOB_NET_MQTT_SHARE_H
#define HOB_NET_MQTT_SHARE_H

#include "net/mqtt.h"

struct hob_mqtt_share;
struct hob_mqtt_listener;
struct hob_mqtt_watch;

int hob_mqtt_share_new(struct hob_mqtt *mqtt, struct hob_mqtt_share **out, struct hob_error *err);
void hob_mqtt_share_free(struct hob_mqtt_share *share);             /* NULL is legal */
struct hob_mqtt *hob_mqtt_share_mqtt(struct hob_mqtt_share *share); /* borrowed */

/** Called for each message before and after the listeners are: for who must not act in between. */
struct hob_mqtt_router {
    void (*begin)(void *user, const struct hob_mqtt_message *message);
    void (*end)(void *user, const struct hob_mqtt_message *message);
    void *user;
};
/** @param router  copied; NULL: none any more */
void hob_mqtt_share_route(struct hob_mqtt_share *share, const struct hob_mqtt_router *router);

/** How many filters the broker knows of this connection, and to be told when there are more than
 * `limit`, each time that it is passed. */
size_t hob_mqtt_share_held(const struct hob_mqtt_share *share);
void hob_mqtt_share_limit(struct hob_mqtt_share *share, size_t limit,
                          void (*on_limit)(void *user, size_t held), void *user);
/** The connection is about to be closed: nothing is unsubscribed from any more. */
void hob_mqtt_share_leave(struct hob_mqtt_share *share);

/** Does every topic that `inner` matches match `outer`, too? Both are valid filters. */
bool hob_mqtt_filter_covers(const char *outer, const char *inner);

/** The owner subscribes to this filter itself, with this QoS. @return 0, HOB_EINVAL, HOB_ENOMEM */
int hob_mqtt_share_keep(struct hob_mqtt_share *share, const char *filter, int qos);

void hob_mqtt_share_up(struct hob_mqtt_share *share, bool session_present);
void hob_mqtt_share_down(struct hob_mqtt_share *share, const struct hob_error *why,
                         uint64_t retry_ms);
void hob_mqtt_share_message(struct hob_mqtt_share *share, const struct hob_mqtt_message *message);
/** The owner has all that it needs of the connection, until it is down. */
void hob_mqtt_share_ready(struct hob_mqtt_share *share);
bool hob_mqtt_share_is_ready(const struct hob_mqtt_share *share);

/* Subscriptions without a listener: one more holder, which all their users are together. As
 * hob_mqtt_subscribe; the granted QoS may be higher than was asked for. */
int hob_mqtt_share_subscribe(struct hob_mqtt_share *share, const char *const *filters, size_t count,
                             int qos, hob_mqtt_subscribed_fn *done, void *user);
/** Returned instead of 0: others still hold it, so there was nothing to send; `done` is not
 * called. */
#define HOB_MQTT_STILL_HELD 1
int hob_mqtt_share_unsubscribe(struct hob_mqtt_share *share, const char *const *filters,
                               size_t count, hob_mqtt_done_fn *done, void *user);

/** @return 0, HOB_EINVAL: not a topic filter, HOB_ENOMEM */
int hob_mqtt_listen(struct hob_mqtt_share *share, const char *filter,
                    void (*on_message)(void *user, const struct hob_mqtt_message *message),
                    void *user, struct hob_mqtt_listener **out);
/** As hob_mqtt_share_subscribe, for the listener's filter. */
int hob_mqtt_listener_subscribe(struct hob_mqtt_listener *listener, int qos,
                                hob_mqtt_subscribed_fn *done, void *user);
int hob_mqtt_listener_unsubscribe(struct hob_mqtt_listener *listener, hob_mqtt_done_fn *done,
                                  void *user);
#define HOB_MQTT_LISTENERS_MAX 8 /* filters in a packet that AWS takes */
/** The same for several of one share, in one packet. */
int hob_mqtt_listeners_subscribe(struct hob_mqtt_listener *const *listeners, size_t count, int qos,
                                 hob_mqtt_subscribed_fn *done, void *user);
int hob_mqtt_listeners_unsubscribe(struct hob_mqtt_listener *const *listeners, size_t count,
                                   hob_mqtt_done_fn *done, void *user);
/** Takes; lets go of its subscription without waiting. NULL is legal. */
void hob_mqtt_listener_close(struct hob_mqtt_listener *listener);
/** Takes, without a word to the broker: its subscription was lost with the link. */
void hob_mqtt_listener_forget(struct hob_mqtt_listener *listener);

/** Borrowed functions, as hob_mqtt_options has them. */
struct hob_mqtt_watch_options {
    void (*on_up)(void *user, bool session_present);
    void (*on_down)(void *user, const struct hob_error *why, uint64_t retry_ms);
    void (*on_ready)(void *user); /* see hob_mqtt_share_ready; NULL is legal */
    void *user;
};
/** @return NULL: out of memory */
struct hob_mqtt_watch *hob_mqtt_watch_new(struct hob_mqtt_share *share,
                                          const struct hob_mqtt_watch_options *options);
void hob_mqtt_watch_close(struct hob_mqtt_watch *watch); /* NULL is legal */

#endif
