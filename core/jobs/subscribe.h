/* subscribe.h - the subscriptions of one thing, on every connect, until each is granted.
 *
 * Asks in batches of at most 8 and checks every SUBACK. What is refused is named in the log with
 * the policy action that is missing, and tried again with backoff; the rest works meanwhile. A
 * broker that closes the connection instead (as AWS does) is asked for one filter at a time, to
 * find which it was. Part of the jobs client, which alone uses it.
 * Life: hob_jobs_subscribe_new -> hob_jobs_subscribe_free. Loop thread only.
 * Spec: spec/integration/client_spec.lua
 */
#ifndef HOB_JOBS_SUBSCRIBE_H
#define HOB_JOBS_SUBSCRIBE_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "net/mqtt.h"

struct hob_jobs_subscribe;

struct hob_jobs_subscribe_options { /* borrowed for its life */
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_mqtt *mqtt;
    const char *thing;
    uint64_t timeout_ms; /* of a SUBACK; then the connection is made anew */
    int answer_qos, event_qos;
    /** Each filter was granted or refused. Once per connection, never inside _up. */
    void (*on_settled)(void *user);
    void *user;
};

int hob_jobs_subscribe_new(const struct hob_jobs_subscribe_options *options,
                           struct hob_jobs_subscribe **out, struct hob_error *err);
void hob_jobs_subscribe_free(struct hob_jobs_subscribe *subs); /* NULL is legal */

/** What the policy of the certificate must allow for a filter, in words: "iot:Subscribe on
 * topicfilter/... and iot:Receive on topic/...". @return out */
#define HOB_JOBS_SUBSCRIBE_NEEDS_MAX 600
const char *hob_jobs_subscribe_needs(const char *filter, char out[HOB_JOBS_SUBSCRIBE_NEEDS_MAX]);

/** For people who look: each filter, and "granted", "refused", "asked" or "wanted" (not yet asked
 * for on this connection). NULL past the last. */
const char *hob_jobs_subscribe_state(const struct hob_jobs_subscribe *subs, size_t index,
                                     const char **state);

void hob_jobs_subscribe_up(struct hob_jobs_subscribe *subs);
void hob_jobs_subscribe_down(struct hob_jobs_subscribe *subs, const char *why);

#endif
