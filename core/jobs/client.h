/* client.h - the jobs operations of one thing over one MQTT connection.
 *
 * Subscribes on every connect (batches of at most 8, every SUBACK checked), gives each request a
 * clientToken and finds its answer by it, ends a request that has none after request_timeout_ms,
 * and tells the two events. A filter that is refused - by SUBACK (jobs.subscribe_refused), or by
 * the broker closing the connection within the SUBSCRIBE's time-out, as AWS does
 * (jobs.subscribe_closed; the next connection then asks for one filter at a time, to find which it
 * was) - is named in the log together with the IoT policy action that is missing; it is tried again
 * with backoff while the rest works, never fatal. No SUBACK at all: the connection is made anew.
 * So it is when two requests in a row (or two of one operation) have no answer, for a broker may
 * have forgotten what was subscribed; if that does not help, after four, then eight, up to 64. A
 * request that was on its way together with one that was answered does not count: one answer was
 * lost, and the link is there.
 * Knows nothing of Lua, stores or handlers.
 *
 * The owner of the connection hands its events on: hob_jobs_client_up/_down/_message.
 * Life: hob_jobs_client_new -> hob_jobs_client_free (every waiting request ends with HOB_ECANCELED,
 * inside that call; not legal inside a callback of this file). Callbacks never run inside the call
 * that starts a request. Loop thread only.
 * Spec: spec/integration/client_spec.lua
 */
#ifndef HOB_JOBS_CLIENT_H
#define HOB_JOBS_CLIENT_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "jobs/protocol.h"
#include "net/mqtt.h"

struct hob_jobs_client;

/** What messages are decoded with, for as many clients as wanted: nothing stays in it. */
struct hob_jobs_decoder;
int hob_jobs_decoder_new(struct hob_jobs_decoder **out, struct hob_error *err);
void hob_jobs_decoder_free(struct hob_jobs_decoder *decoder); /* NULL is legal */

struct hob_jobs_client_options {
    const char *thing;                /* copied */
    struct hob_jobs_decoder *decoder; /* borrowed for its life; NULL: one of its own */
    uint64_t request_timeout_ms;      /* 0: 10,000; also the SUBSCRIBE's */
    int answer_qos;                   /* of the answers' subscriptions; default 0 */
    int event_qos;                    /* of the notifications'; default 0 */

    /** Subscribed: from now on nothing that is announced is missed, unless a filter was refused
     * (each one was granted or refused by now). Once per connection. */
    void (*on_ready)(void *user);
    /** notify-next; execution.present is false when nothing is pending. */
    void (*on_next)(void *user, const struct hob_jobs_execution *next);
    /** notify: the pending list (at most 10 or 15: never complete for sure). */
    void (*on_pending)(void *user, const struct hob_jobs_execution *list, size_t count);
    void *user;
};

/** @param status  0: `answer` was accepted; HOB_EREJECTED: answer->code and message say why;
 *                 HOB_ETIMEDOUT: no answer came; HOB_ENOTCONN: the link broke; HOB_ECANCELED;
 *                 HOB_EREFUSED: the broker refused the publish (MQTT 5)
 *  @param answer  borrowed; NULL unless status is 0 or HOB_EREJECTED */
typedef void hob_jobs_answer_fn(void *user, int status, const struct hob_jobs_answer *answer);

int hob_jobs_client_new(struct hob_loop *loop, struct hob_log *log, struct hob_mqtt *mqtt,
                        const struct hob_jobs_client_options *options, struct hob_jobs_client **out,
                        struct hob_error *err);
void hob_jobs_client_free(struct hob_jobs_client *client); /* NULL is legal */

void hob_jobs_client_up(struct hob_jobs_client *client);
void hob_jobs_client_down(struct hob_jobs_client *client, const struct hob_error *why);
void hob_jobs_client_message(struct hob_jobs_client *client,
                             const struct hob_mqtt_message *message);

bool hob_jobs_client_ready(const struct hob_jobs_client *client);
/** When the service last answered a request, on the monotonic clock; 0: never. */
uint64_t hob_jobs_client_answered_ms(const struct hob_jobs_client *client);
/** For people who look: each subscription, see hob_jobs_subscribe_state; NULL past the last. */
const char *hob_jobs_client_subscription(const struct hob_jobs_client *client, size_t index,
                                         const char **state);

/* Requests. @return 0, HOB_ENOTCONN (also before on_ready), HOB_EINVAL or HOB_EMSGSIZE (logged as
 * jobs.bad_request), HOB_ENOMEM; then `done` is never called. */
int hob_jobs_describe(struct hob_jobs_client *client, const char *job_id, int64_t execution_number,
                      hob_jobs_answer_fn *done, void *user); /* "$next" looks without claiming */
int hob_jobs_update(struct hob_jobs_client *client, const struct hob_jobs_update *update,
                    hob_jobs_answer_fn *done, void *user);
int hob_jobs_get_pending(struct hob_jobs_client *client, hob_jobs_answer_fn *done, void *user);
int hob_jobs_start_next(struct hob_jobs_client *client, hob_jobs_answer_fn *done, void *user);

/** Forget a waiting request: its `done` is not called. For an owner that goes away. */
void hob_jobs_client_forget(struct hob_jobs_client *client, void *user);

#endif
