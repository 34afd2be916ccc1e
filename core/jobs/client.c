#include "jobs/client.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/random.h"
#include "jobs/subscribe.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_MAX        (128 * 1024) /* AWS's limit of a message */
#define TIMEOUT_DEFAULT_MS 10000
#define TEXT_MAX           1024
#define DOUBT_FIRST        2 /* requests without an answer, in a row */
#define DOUBT_MAX          64
#define ANY                (HOB_JOBS_OP_UPDATE + 1) /* operation */

/** A request. It lives until it has ended and its publish is done, whichever is later. */
struct request {
    struct hob_jobs_client *client; /* NULL: has ended */
    struct request *next;
    struct hob_timer *timer;
    enum hob_jobs_op op;
    char job_id[HOB_JOBS_ID_MAX + 1];
    char token[HOB_JOBS_TOKEN_MAX + 1];
    uint64_t number; /* of all requests, in order */
    char topic[HOB_JOBS_TOPIC_MAX];
    bool publishing; /* hob_mqtt will still call on_published */
    hob_jobs_answer_fn *done;
    void *user;
};

struct hob_jobs_decoder {
    struct hob_json *json;
    struct hob_jobs_answer answer; /* too large for a stack frame */
};

struct hob_jobs_client {
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_mqtt *mqtt;
    struct hob_jobs_client_options options;
    char thing[HOB_JOBS_THING_MAX + 1];
    struct hob_jobs_decoder *decoder, *own_decoder;
    struct hob_jobs_subscribe *subs;
    bool up;
    bool ready;
    struct request *requests; /* oldest first */
    uint64_t answered_ms;     /* when the service last answered; 0: never */
    char token_prefix[9];
    uint64_t token_count;
    /* Per operation, since each has a subscription of its own, and of all: how many requests in a
     * row had no answer, and the newest one that was sent when an answer came. */
    unsigned unanswered[ANY + 1];
    uint64_t answered[ANY + 1];
    unsigned doubt_after[ANY + 1]; /* so many in a row make the link doubtful */
};

#define ABOUT(owner, lvl, ...)                                                                     \
    (&(struct hob_log_record){.level = (lvl), .thing = (owner)->thing, __VA_ARGS__})

/* ---- the decoder ---- */

int hob_jobs_decoder_new(struct hob_jobs_decoder **out, struct hob_error *err)
{
    struct hob_jobs_decoder *decoder = hob_calloc(1, sizeof(*decoder));
    if (!decoder)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    int rc = hob_json_new(&decoder->json, err);
    if (rc) {
        hob_free(decoder);
        return rc;
    }
    *out = decoder;
    return 0;
}

void hob_jobs_decoder_free(struct hob_jobs_decoder *decoder)
{
    if (!decoder)
        return;
    hob_json_free(decoder->json);
    hob_free(decoder);
}

/* ---- requests ---- */

static void request_unlink(struct request *request)
{
    assert(request->client);
    struct request **at = &request->client->requests;
    while (*at && *at != request)
        at = &(*at)->next;
    assert(*at);
    *at = request->next;
    hob_timer_close(request->timer);
    request->timer = NULL;
    request->client = NULL;
}

/** Take it out, free what can be freed, and tell its owner, in this order: the owner may start
 * another one at once. */
static void request_end(struct request *request, int status, const struct hob_jobs_answer *answer)
{
    hob_jobs_answer_fn *done = request->done;
    void *user = request->user;
    request_unlink(request);
    if (!request->publishing)
        hob_free(request);
    if (done)
        done(user, status, answer);
}

/** A forbidden publish closes the connection on AWS, without a word. */
static void note_lost(const struct request *request, const char *why)
{
    char action[TEXT_MAX];
    snprintf(action, sizeof(action),
             "if this repeats: the policy of this certificate must allow iot:Publish on topic/%s",
             request->topic);
    hob_log_write(request->client->log,
                  ABOUT(request->client, request->publishing ? HOB_LOG_WARN : HOB_LOG_DEBUG,
                        .event = "jobs.request_lost", .job = request->job_id, .code = "ENOTCONN",
                        .action = action),
                  "the connection closed %s the request on %s: %s",
                  request->publishing ? "before the broker acknowledged"
                                      : "before the answer came to",
                  request->topic, why);
}

static void on_published(void *user, int status)
{
    struct request *request = user;
    if (!request->client) {
        hob_free(request);
        return;
    }
    if (status == HOB_ENOTCONN)
        note_lost(request, hob_error_words(status));
    request->publishing = false;
    if (status == HOB_EREFUSED)
        hob_log_write(
            request->client->log,
            ABOUT(request->client, HOB_LOG_WARN, .event = "jobs.publish_refused",
                  .code = "EREFUSED",
                  .action = "the policy of this certificate must allow iot:Publish on it"),
            "the broker refused the request on %s", request->topic);
    if (status < 0)
        request_end(request, status, NULL);
}

/** @return whether so many in a row had no answer that the link is doubtful */
static bool count_unanswered(struct hob_jobs_client *client, int kind, uint64_t number)
{
    if (number <= client->answered[kind])
        return false; /* another one's answer came since: one was lost, the link is there */
    return ++client->unanswered[kind] >= client->doubt_after[kind];
}

static void doubt_later(unsigned *doubt_after)
{
    if (*doubt_after < DOUBT_MAX)
        *doubt_after *= 2;
}

/** The broker takes what is sent, and nothing comes back: it may have forgotten the subscriptions.
 * Less and less often, for a service that is silent is not helped by it. */
static void doubt_link(struct hob_jobs_client *client, enum hob_jobs_op op, uint64_t number)
{
    char reason[64];
    bool of_op = count_unanswered(client, op, number);
    bool of_any = count_unanswered(client, ANY, number);
    int kind = of_any ? ANY : (int)op;
    if (!of_op && !of_any)
        return;
    snprintf(reason, sizeof(reason), "no answer came to %u requests in a row",
             client->unanswered[kind]);
    memset(client->unanswered, 0, sizeof(client->unanswered));
    doubt_later(&client->doubt_after[op]);
    doubt_later(&client->doubt_after[ANY]);
    hob_mqtt_reconnect(client->mqtt, reason);
}

static void believe_link(struct hob_jobs_client *client, enum hob_jobs_op op)
{
    client->answered_ms = hob_clock_mono_ms();
    client->unanswered[op] = client->unanswered[ANY] = 0;
    client->answered[op] = client->answered[ANY] = client->token_count;
    client->doubt_after[op] = client->doubt_after[ANY] = DOUBT_FIRST;
}

static void on_no_answer(void *user)
{
    struct request *request = user;
    struct hob_jobs_client *client = request->client;
    enum hob_jobs_op op = request->op;
    uint64_t number = request->number;
    hob_log_write(request->client->log,
                  ABOUT(request->client, HOB_LOG_WARN, .event = "jobs.no_answer",
                        .job = request->job_id, .code = "ETIMEDOUT"),
                  "no answer within %" PRIu64 " ms to the request on %s",
                  request->client->options.request_timeout_ms, request->topic);
    request_end(request, HOB_ETIMEDOUT, NULL);
    doubt_link(client, op, number);
}

/** @return 0 and a request that is not sent yet, and in no list */
static int request_new(struct hob_jobs_client *client, enum hob_jobs_op op, const char *job_id,
                       struct request **out)
{
    if (!client->ready)
        return HOB_ENOTCONN;
    struct request *request = hob_calloc(1, sizeof(*request));
    if (!request)
        return HOB_ENOMEM;
    int rc = hob_jobs_topic_request(request->topic, client->thing, op, job_id);
    request->timer = rc == 0 ? hob_timer_new(client->loop, on_no_answer, request) : NULL;
    if (rc == 0 && !request->timer)
        rc = HOB_ENOMEM;
    if (rc < 0) {
        hob_free(request);
        return rc;
    }
    request->op = op;
    snprintf(request->job_id, sizeof(request->job_id), "%s", job_id ? job_id : "");
    request->number = ++client->token_count;
    snprintf(request->token, sizeof(request->token), "%s-%" PRIu64, client->token_prefix,
             request->number);
    *out = request;
    return 0;
}

/** Publish it and put it last in the list; a failure (also an earlier one, `rc`) frees it. */
static int request_send(struct hob_jobs_client *client, struct request *request, int rc,
                        struct hob_buf *payload, hob_jobs_answer_fn *done, void *user)
{
    struct request **at = &client->requests;
    request->done = done;
    request->user = user;
    request->publishing = true;
    if (rc == 0)
        rc = hob_mqtt_publish(client->mqtt, request->topic, hob_buf_data(payload),
                              hob_buf_len(payload), 1, false, on_published, request);
    hob_buf_free(payload);
    if (rc < 0) {
        hob_timer_close(request->timer);
        hob_free(request);
        return rc;
    }
    request->client = client;
    while (*at)
        at = &(*at)->next;
    *at = request;
    hob_timer_start(request->timer, client->options.request_timeout_ms);
    return 0;
}

static void note_unsendable(struct hob_jobs_client *client, const struct request *request, int rc,
                            const struct hob_error *err)
{
    if (rc < 0)
        hob_log_write(client->log,
                      ABOUT(client, HOB_LOG_WARN, .event = "jobs.bad_request",
                            .job = request->job_id, .code = hob_error_name(rc)),
                      "a request on %s cannot be made: %s", request->topic, err->message);
}

/* `expression` encodes into `payload` with `request->token` and `err`. */
#define START_REQUEST(op, id, expression)                                                          \
    struct request *request;                                                                       \
    struct hob_buf payload;                                                                        \
    struct hob_error err = {0};                                                                    \
    int rc = request_new(client, (op), (id), &request);                                            \
    if (rc < 0)                                                                                    \
        return rc;                                                                                 \
    hob_buf_init(&payload, REQUEST_MAX);                                                           \
    rc = (expression);                                                                             \
    note_unsendable(client, request, rc, &err);                                                    \
    return request_send(client, request, rc, &payload, done, user)

int hob_jobs_describe(struct hob_jobs_client *client, const char *job_id, int64_t execution_number,
                      hob_jobs_answer_fn *done, void *user)
{
    START_REQUEST(HOB_JOBS_OP_DESCRIBE, job_id,
                  hob_jobs_encode_describe(&payload, execution_number, true, request->token, &err));
}

int hob_jobs_update(struct hob_jobs_client *client, const struct hob_jobs_update *update,
                    hob_jobs_answer_fn *done, void *user)
{
    START_REQUEST(HOB_JOBS_OP_UPDATE, update->job_id,
                  hob_jobs_encode_update(&payload, update, request->token, &err));
}

int hob_jobs_get_pending(struct hob_jobs_client *client, hob_jobs_answer_fn *done, void *user)
{
    START_REQUEST(HOB_JOBS_OP_GET, NULL, hob_jobs_encode_get(&payload, request->token, &err));
}

int hob_jobs_start_next(struct hob_jobs_client *client, hob_jobs_answer_fn *done, void *user)
{
    START_REQUEST(HOB_JOBS_OP_START_NEXT, NULL,
                  hob_jobs_encode_start_next(&payload, NULL, 0, request->token, &err));
}

void hob_jobs_client_forget(struct hob_jobs_client *client, void *user)
{
    struct request *next;
    for (struct request *request = client->requests; request; request = next) {
        next = request->next;
        if (request->user != user)
            continue;
        request_unlink(request);
        if (!request->publishing)
            hob_free(request);
    }
}

/* ---- what comes in ---- */

static bool same_topic(const struct request *request, const struct hob_jobs_topic *topic)
{
    return request->op == topic->op && strcmp(request->job_id, topic->job_id) == 0;
}

static struct request *find_by_token(struct hob_jobs_client *client,
                                     const struct hob_jobs_topic *topic, const char *token)
{
    for (struct request *request = client->requests; request; request = request->next) {
        if (strcmp(request->token, token) == 0)
            return same_topic(request, topic) ? request : NULL;
    }
    return NULL;
}

/** Who sent what the service could not read: it cannot give the token back. */
static struct request *find_only(struct hob_jobs_client *client, const struct hob_jobs_topic *topic)
{
    struct request *found = NULL;
    for (struct request *request = client->requests; request; request = request->next) {
        if (!same_topic(request, topic))
            continue;
        if (found)
            return NULL;
        found = request;
    }
    return found;
}

static void on_answer(struct hob_jobs_client *client, const struct hob_jobs_topic *topic,
                      const char *name)
{
    const struct hob_jobs_answer *answer = &client->decoder->answer;
    bool rejected = topic->kind == HOB_JOBS_REJECTION;
    struct request *request = NULL;
    if (*answer->token)
        request = find_by_token(client, topic, answer->token);
    else if (rejected && answer->code == HOB_JOBS_INVALID_JSON)
        request = find_only(client, topic);
    if (request) {
        believe_link(client, topic->op);
        request_end(request, rejected ? HOB_EREJECTED : 0, answer);
    } else
        hob_log_write(
            client->log,
            ABOUT(client, HOB_LOG_DEBUG, .event = "jobs.unknown_answer", .job = topic->job_id),
            "an answer on %s that nothing here waits for (clientToken '%s')", name, answer->token);
}

void hob_jobs_client_message(struct hob_jobs_client *client, const struct hob_mqtt_message *message)
{
    struct hob_error err;
    struct hob_jobs_answer *answer = &client->decoder->answer;
    struct hob_jobs_topic topic = hob_jobs_topic_parse(message->topic, client->thing);
    if (topic.kind == HOB_JOBS_FOREIGN)
        return;
    if (hob_jobs_decode(client->decoder->json, &topic, message->payload, message->len, answer,
                        &err) < 0) {
        hob_log_write(client->log,
                      ABOUT(client, HOB_LOG_WARN, .event = "jobs.bad_message", .job = topic.job_id,
                            .code = hob_error_name(err.code)),
                      "a message on %s was dropped: %s", message->topic, err.message);
        return;
    }
    if (topic.kind == HOB_JOBS_ACCEPTED || topic.kind == HOB_JOBS_REJECTION)
        on_answer(client, &topic, message->topic);
    else if (topic.kind == HOB_JOBS_NOTIFY && client->options.on_pending)
        client->options.on_pending(client->options.user, answer->pending, answer->pending_count);
    else if (topic.kind == HOB_JOBS_NOTIFY_NEXT && client->options.on_next)
        client->options.on_next(client->options.user, &answer->execution);
}

/* ---- life ---- */

static void on_settled(void *user)
{
    struct hob_jobs_client *client = user;
    client->ready = true;
    if (client->options.on_ready)
        client->options.on_ready(client->options.user);
}

static int client_init(struct hob_jobs_client *client, struct hob_error *err)
{
    struct hob_jobs_subscribe_options options = {.loop = client->loop,
                                                 .log = client->log,
                                                 .mqtt = client->mqtt,
                                                 .thing = client->thing,
                                                 .timeout_ms = client->options.request_timeout_ms,
                                                 .answer_qos = client->options.answer_qos,
                                                 .event_qos = client->options.event_qos,
                                                 .on_settled = on_settled,
                                                 .user = client};
    hob_random_hex(client->token_prefix, sizeof(client->token_prefix));
    int rc = hob_jobs_subscribe_new(&options, &client->subs, err);
    client->decoder = client->options.decoder;
    if (rc == 0 && !client->decoder) {
        rc = hob_jobs_decoder_new(&client->own_decoder, err);
        client->decoder = client->own_decoder;
    }
    return rc;
}

int hob_jobs_client_new(struct hob_loop *loop, struct hob_log *log, struct hob_mqtt *mqtt,
                        const struct hob_jobs_client_options *options, struct hob_jobs_client **out,
                        struct hob_error *err)
{
    if (!hob_jobs_thing_valid(options->thing))
        return hob_error_set(err, HOB_EINVAL,
                             "thing name: '%.140s', expected 1 to %d of a-z A-Z 0-9 : _ -",
                             options->thing ? options->thing : "", HOB_JOBS_THING_MAX);
    struct hob_jobs_client *client = hob_calloc(1, sizeof(*client));
    if (!client)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    client->loop = loop;
    client->log = log;
    client->mqtt = mqtt;
    client->options = *options;
    for (int kind = 0; kind <= ANY; kind++)
        client->doubt_after[kind] = DOUBT_FIRST;
    snprintf(client->thing, sizeof(client->thing), "%s", options->thing);
    client->options.thing = client->thing;
    if (!client->options.request_timeout_ms)
        client->options.request_timeout_ms = TIMEOUT_DEFAULT_MS;
    int rc = client_init(client, err);
    if (rc < 0) {
        hob_jobs_client_free(client);
        return rc;
    }
    *out = client;
    return 0;
}

static void end_all(struct hob_jobs_client *client, int status)
{
    while (client->requests)
        // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): request_end takes it out of the list
        request_end(client->requests, status, NULL);
}

void hob_jobs_client_free(struct hob_jobs_client *client)
{
    if (!client)
        return;
    client->up = client->ready = false;
    end_all(client, HOB_ECANCELED);
    hob_jobs_subscribe_free(client->subs);
    hob_jobs_decoder_free(client->own_decoder);
    hob_free(client);
}

void hob_jobs_client_up(struct hob_jobs_client *client)
{
    client->up = true;
    client->ready = false;
    hob_jobs_subscribe_up(client->subs);
}

void hob_jobs_client_down(struct hob_jobs_client *client, const struct hob_error *why)
{
    const char *reason = why && *why->message ? why->message : "closed";
    if (!client->up)
        return;
    client->up = client->ready = false;
    for (const struct request *request = client->requests; request; request = request->next)
        note_lost(request, reason);
    hob_jobs_subscribe_down(client->subs, reason);
    end_all(client, HOB_ENOTCONN);
}

bool hob_jobs_client_ready(const struct hob_jobs_client *client)
{
    return client->ready;
}

uint64_t hob_jobs_client_answered_ms(const struct hob_jobs_client *client)
{
    return client->answered_ms;
}

const char *hob_jobs_client_subscription(const struct hob_jobs_client *client, size_t index,
                                         const char **state)
{
    return hob_jobs_subscribe_state(client->subs, index, state);
}
