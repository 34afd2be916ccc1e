/* mqtt_requests.h - packets that wait for their answer, and their completion. Internal to
 * net/mqtt*.c.
 *
 * A request is added, given to the MQTT library, which writes its packet id, and then `sent`. While
 * it is with the library, completions are held: the library says that a QoS 0 message is sent while
 * we are still in the call that sends it, and no `done` may run inside a call.
 *
 *   add -> library(hob_mqtt_request_mid) -> sent -> ... complete(mid), or end
 *
 * Where there is no library, an answer is known by the request's token, which is never used again:
 * answer(token) in place of complete(mid), never inside a call.
 *
 * Spec: spec/integration/mqtt_spec.lua
 */
#ifndef HOB_NET_MQTT_REQUESTS_H
#define HOB_NET_MQTT_REQUESTS_H

#include "net/mqtt.h"

struct hob_mqtt_requests;
struct hob_mqtt_request;

struct hob_mqtt_requests *hob_mqtt_requests_new(void);           /* NULL: out of memory */
void hob_mqtt_requests_free(struct hob_mqtt_requests *requests); /* empty; NULL is legal */

/** One of `done` and `subscribed`, or none. @return 0, HOB_EBUSY (see HOB_MQTT_PENDING_*),
 * HOB_ENOMEM */
int hob_mqtt_requests_add(struct hob_mqtt_requests *requests, size_t bytes, hob_mqtt_done_fn *done,
                          hob_mqtt_subscribed_fn *subscribed, void *user,
                          struct hob_mqtt_request **out);
int *hob_mqtt_request_mid(struct hob_mqtt_request *request);
uint64_t hob_mqtt_request_token(const struct hob_mqtt_request *request); /* never 0 */
/** So many filters are to be granted or refused. */
void hob_mqtt_request_expect(struct hob_mqtt_request *request, size_t filters);

/** In place of HOB_MQTT_PENDING_*. */
void hob_mqtt_requests_limit(struct hob_mqtt_requests *requests, size_t count, size_t bytes);

/** Tokens go on after this one, of who had the connection before; the last one so far. */
void hob_mqtt_requests_go_on_after(struct hob_mqtt_requests *requests, uint64_t token);
uint64_t hob_mqtt_requests_last_token(const struct hob_mqtt_requests *requests);

/** The library has answered to the last added one. Not taken: it is freed, nothing is called. */
void hob_mqtt_requests_sent(struct hob_mqtt_requests *requests, struct hob_mqtt_request *request,
                            bool taken);

/** An answer came; one to no request of ours is ignored. */
void hob_mqtt_requests_complete(struct hob_mqtt_requests *requests, int mid, int status,
                                const int *granted, size_t count);

#define HOB_MQTT_NOT_GRANTED 128
/** The same by token, from somebody whose word is not to be relied on: a filter that is not spoken
 * of counts as refused; a SUBSCRIBE without a word about filters ends with HOB_EPROTO. */
void hob_mqtt_requests_answer(struct hob_mqtt_requests *requests, uint64_t token, int status,
                              const int *granted, size_t count);

/** Call those that were held. */
void hob_mqtt_requests_run_held(struct hob_mqtt_requests *requests);

/** Call those that were held, then all others with this status. */
void hob_mqtt_requests_end(struct hob_mqtt_requests *requests, int status);

size_t hob_mqtt_requests_count(const struct hob_mqtt_requests *requests);

#endif
