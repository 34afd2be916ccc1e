/* mqtt_given.c - a connection that is the product's: struct hob_connection of hob.h.
 *
 * What the product tells is put down and read in a turn of the loop: so it may be told at any
 * moment, also inside what we ask of it. Nothing of it is relied on: answers that nobody waits for
 * are forgotten, and a product that had doubts told to it and does nothing is begun with afresh.
 */
#include "base/alloc.h"
#include "base/sized.h"
#include "net/mqtt_parts.h"
#include "net/mqtt_words.h"

#include <stdio.h>
#include <string.h>

#define HELD_MAX          HOB_MQTT_PENDING_SIZE /* bytes that messages take until their turn */
#define DOUBT_PATIENCE_MS 5000                  /* for the product to look after its link */
#define DESCRIPTION       "the product's"

enum kind { UP, DOWN, MESSAGE, DONE, SUBSCRIBED };

/* Something that the product told. */
struct event {
    struct event *next;
    enum kind kind;
    int code;  /* of DOWN, DONE, SUBSCRIBED */
    bool flag; /* session present; retained */
    int qos;
    uint64_t token;
    int *granted; /* NULL: it did not say */
    char *topic;
    size_t count, len; /* of granted; of bytes */
    char bytes[];      /* payload, or why; NUL-terminated */
};

struct given {
    struct hob_mqtt front;
    struct hob_connection *connection; /* NULL: it was freed */
    struct event *first, **end;
    size_t held;             /* bytes that the messages among them take */
    bool forgot;             /* there was no memory to put an event down */
    bool up;                 /* as has been told above */
    struct hob_timer *turn;  /* there are events */
    struct hob_timer *doubt; /* it was told of a doubt: until it must have acted */
    struct hob_error why;    /* of the doubt */
};

struct hob_connection {
    struct hob_connection_options options;
    char *description;
    bool up, session_present; /* as the product has told last */
    uint64_t last_token;      /* of those who had it: a late answer to them is for nobody */
    struct given *given;      /* NULL: nobody has it */
};

/* ---- what the product tells ---- */

static void free_event(struct event *event)
{
    hob_free(event->granted);
    hob_free(event->topic);
    hob_free(event);
}

/* @return NULL: nobody is to hear of it, or there is no memory, which is noted */
static struct event *new_event(struct hob_connection *connection, enum kind kind, const void *bytes,
                               size_t len)
{
    struct given *given = connection->given;
    if (!given || !given->front.started || given->front.closing)
        return NULL;
    struct event *event = hob_calloc(1, sizeof(*event) + len + 1);
    if (event) {
        event->kind = kind;
        event->len = len;
        if (len)
            memcpy(event->bytes, bytes, len);
    } else {
        given->forgot = given->forgot || kind != MESSAGE;
        hob_timer_start(given->turn, 0);
    }
    return event;
}

static void put_event(struct hob_connection *connection, struct event *event)
{
    struct given *given = connection->given;
    *given->end = event;
    given->end = &event->next;
    hob_timer_start(given->turn, 0);
}

void hob_connection_up(struct hob_connection *connection, bool session_present)
{
    connection->up = true;
    connection->session_present = session_present;
    struct event *event = new_event(connection, UP, NULL, 0);
    if (event) {
        event->flag = session_present;
        put_event(connection, event);
    }
}

/* The product's numbers are not relied on. */
static int error_of(int code, int otherwise)
{
    return code < 0 ? code : code > 0 ? HOB_EIO : otherwise;
}

void hob_connection_down(struct hob_connection *connection, int code, const char *why)
{
    code = error_of(code, HOB_ENOTCONN);
    if (!why || !*why)
        why = hob_error_words(code);
    connection->up = false;
    struct event *event = new_event(connection, DOWN, why, strlen(why));
    if (event) {
        event->code = code;
        put_event(connection, event);
    }
}

/* In memory, until its turn: many empty ones are much, too. */
static size_t size_of(const char *topic, size_t len)
{
    return sizeof(struct event) + strlen(topic) + len;
}

void hob_connection_message(struct hob_connection *connection, const char *topic,
                            const void *payload, size_t len, int qos, bool retain)
{
    struct given *given = connection->given;
    if (!topic || (len && !payload) || !hob_mqtt_topic_valid(topic) || !given)
        return;
    if (len > given->front.options.payload_max || size_of(topic, len) > HELD_MAX - given->held) {
        hob_mqtt_words_log_dropped(given->front.log, &given->front.options, topic, len);
        return;
    }
    struct event *event = new_event(connection, MESSAGE, payload, len);
    if (!event)
        return;
    event->topic = hob_strdup(topic);
    if (!event->topic) {
        free_event(event);
        return;
    }
    event->qos = qos == 0 ? 0 : 1;
    event->flag = retain;
    given->held += size_of(topic, len);
    put_event(connection, event);
}

void hob_connection_done(struct hob_connection *connection, uint64_t token, int status)
{
    struct event *event = new_event(connection, DONE, NULL, 0);
    if (event) {
        event->token = token;
        event->code = error_of(status, 0);
        put_event(connection, event);
    }
}

void hob_connection_subscribed(struct hob_connection *connection, uint64_t token, int status,
                               const int *granted, size_t count)
{
    struct event *event = new_event(connection, SUBSCRIBED, NULL, 0);
    if (!event)
        return;
    event->token = token;
    event->code = error_of(status, 0);
    if (event->code == 0 && granted && count <= HOB_MQTT_PENDING_MAX) {
        event->granted = hob_calloc(count ? count : 1, sizeof(*granted));
        event->count = count;
        if (event->granted)
            memcpy(event->granted, granted, count * sizeof(*granted));
    }
    put_event(connection, event);
}

/* ---- a turn: what was told is done ---- */

static bool given_is_up(const struct hob_mqtt *mqtt)
{
    const struct given *given = (const struct given *)mqtt;
    return given->up && given->connection && given->connection->up;
}

/* Whoever is told that the link is lost waits for the next one: which does not come as long as the
 * product does not say so. */
static int end_of(const struct given *given, int code)
{
    return code == HOB_ENOTCONN && given_is_up(&given->front) ? HOB_EIO : code;
}

static const char *description_of(const struct given *given)
{
    const struct hob_connection *connection = given->connection;
    return connection && connection->description ? connection->description : DESCRIPTION;
}

static void link_down(struct given *given, const struct hob_error *why, bool distrusted)
{
    struct hob_mqtt *mqtt = &given->front;
    if (!given->up)
        return;
    given->up = false;
    hob_timer_stop(given->doubt);
    hob_mqtt_counts_down(&mqtt->counts, true, distrusted, why->code);
    hob_mqtt_words_log_given_down(mqtt->log, &mqtt->options, why);
    hob_mqtt_requests_end(mqtt->requests, HOB_ENOTCONN);
    if (!mqtt->closing && mqtt->options.on_down)
        mqtt->options.on_down(mqtt->options.user, why, 0);
}

static void link_up(struct given *given, bool session_present)
{
    struct hob_mqtt *mqtt = &given->front;
    struct hob_error why;
    hob_error_set(&why, HOB_ENOTCONN, "it was made anew");
    link_down(given, &why, false);
    if (mqtt->closing)
        return;
    given->up = true;
    mqtt->counts.connected++;
    hob_mqtt_words_log_given_up(mqtt->log, &mqtt->options, description_of(given));
    if (mqtt->options.on_up)
        mqtt->options.on_up(mqtt->options.user, session_present);
}

static void hear(struct given *given, const struct event *event)
{
    struct hob_mqtt_message message = {.topic = event->topic,
                                       .payload = event->bytes,
                                       .len = event->len,
                                       .qos = event->qos,
                                       .retain = event->flag};
    given->held -= size_of(event->topic, event->len);
    if (given->up)
        hob_mqtt_front_message(&given->front, &message);
}

static void take(struct given *given, const struct event *event)
{
    struct hob_error why;
    switch (event->kind) {
    case UP:
        link_up(given, event->flag);
        break;
    case DOWN:
        hob_error_set(&why, event->code, "%s", event->bytes);
        link_down(given, &why, false);
        break;
    case MESSAGE:
        hear(given, event);
        break;
    case DONE:
    case SUBSCRIBED:
        hob_mqtt_requests_answer(given->front.requests, event->token, end_of(given, event->code),
                                 event->granted, event->count);
        break;
    }
}

static struct event *take_all(struct given *given)
{
    struct event *first = given->first;
    given->first = NULL;
    given->end = &given->first;
    return first;
}

/* As if the product had made its link anew: whatever was lost is asked for again. */
static void begin_afresh(struct given *given, const struct hob_error *why)
{
    bool was_up = given->up;
    link_down(given, why, true);
    if (was_up && given->connection && given->connection->up)
        link_up(given, false);
}

static void on_turn(void *user)
{
    struct given *given = user;
    struct hob_error why;
    struct event *next;
    for (struct event *event = take_all(given); event; event = next) {
        next = event->next;
        if (!given->front.closing)
            take(given, event);
        free_event(event);
    }
    if (given->forgot && !given->front.closing) {
        given->forgot = false;
        hob_error_set(&why, HOB_ENOMEM, "there was no memory for what came");
        begin_afresh(given, &why);
    }
}

/* ---- what the front asks for ---- */

static struct given *given_of(struct hob_mqtt *mqtt)
{
    return (struct given *)mqtt;
}

/* The product's functions are called from here on; the runtime must not be freed by one of them. */
static const struct hob_connection_options *enter(struct hob_mqtt *mqtt)
{
    ++*mqtt->options.inside;
    return &given_of(mqtt)->connection->options;
}

static int leave(struct hob_mqtt *mqtt, int code)
{
    --*mqtt->options.inside;
    return end_of(given_of(mqtt), error_of(code, 0));
}

static int given_publish(struct hob_mqtt *mqtt, struct hob_mqtt_request *request,
                         const struct hob_mqtt_message *message)
{
    const struct hob_connection_options *o = enter(mqtt);
    return leave(mqtt, o->publish(o->user, message->topic, message->payload, message->len,
                                  message->qos, message->retain, hob_mqtt_request_token(request)));
}

static int given_subscribe(struct hob_mqtt *mqtt, struct hob_mqtt_request *request,
                           const char *const *filters, size_t count, int qos)
{
    const struct hob_connection_options *o = enter(mqtt);
    return leave(mqtt, o->subscribe(o->user, filters, count, qos, hob_mqtt_request_token(request)));
}

static int given_unsubscribe(struct hob_mqtt *mqtt, struct hob_mqtt_request *request,
                             const char *const *filters, size_t count)
{
    const struct hob_connection_options *o = enter(mqtt);
    return leave(mqtt, o->unsubscribe(o->user, filters, count, hob_mqtt_request_token(request)));
}

static void on_doubt_over(void *user)
{
    struct given *given = user;
    begin_afresh(given, &given->why);
}

static void given_reconnect(struct hob_mqtt *mqtt, const char *reason)
{
    struct given *given = given_of(mqtt);
    if (!given_is_up(mqtt) || hob_timer_active(given->doubt))
        return;
    const struct hob_connection_options *o = enter(mqtt);
    hob_error_set(&given->why, HOB_ENOTCONN, "%s", reason);
    hob_timer_start(given->doubt, o->doubt ? DOUBT_PATIENCE_MS : 0);
    if (o->doubt)
        o->doubt(o->user, reason);
    leave(mqtt, 0);
}

static void given_start(struct hob_mqtt *mqtt)
{
    struct given *given = given_of(mqtt);
    if (given->connection && given->connection->up)
        hob_connection_up(given->connection, given->connection->session_present);
}

/* ---- life ---- */

static void given_leave(struct hob_mqtt *mqtt)
{
    struct given *given = given_of(mqtt);
    hob_timer_stop(given->turn);
    hob_timer_stop(given->doubt);
}

static void given_free(struct hob_mqtt *mqtt)
{
    struct given *given = given_of(mqtt);
    struct event *next;
    for (struct event *event = given->first; event; event = next) {
        next = event->next;
        free_event(event);
    }
    if (given->connection) {
        given->connection->last_token = hob_mqtt_requests_last_token(mqtt->requests);
        given->connection->given = NULL;
    }
    hob_timer_close(given->turn);
    hob_timer_close(given->doubt);
    hob_mqtt_front_free(mqtt);
    hob_free(given);
}

static void given_stats(const struct hob_mqtt *mqtt, struct hob_mqtt_stats *out)
{
    out->attempts = mqtt->counts.connected;
}

static const char *given_describe(const struct hob_mqtt *mqtt, char *out, size_t len)
{
    snprintf(out, len, "%s", description_of((const struct given *)mqtt));
    return out;
}

int hob_mqtt_given_new(struct hob_loop *loop, struct hob_log *log,
                       const struct hob_mqtt_options *options, struct hob_mqtt **out,
                       struct hob_error *err)
{
    static const struct hob_mqtt_backend backend = {.is_up = given_is_up,
                                                    .start = given_start,
                                                    .reconnect = given_reconnect,
                                                    .publish = given_publish,
                                                    .subscribe = given_subscribe,
                                                    .unsubscribe = given_unsubscribe,
                                                    .leave = given_leave,
                                                    .close = hob_mqtt_front_closed,
                                                    .free = given_free,
                                                    .stats = given_stats,
                                                    .describe = given_describe};
    if (options->connection->given)
        return hob_error_set(err, HOB_EBUSY, "the connection is in use by another runtime");
    struct given *given = hob_calloc(1, sizeof(*given));
    if (!given)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    given->end = &given->first;
    int code = hob_mqtt_front_open(&given->front, &backend, loop, log, options);
    given->turn = hob_timer_new(loop, on_turn, given);
    given->doubt = hob_timer_new(loop, on_doubt_over, given);
    if (code || !given->turn || !given->doubt) {
        given_free(&given->front);
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    given->connection = options->connection;
    given->connection->given = given;
    hob_mqtt_requests_go_on_after(given->front.requests, given->connection->last_token);
    *out = &given->front;
    return 0;
}

/* ---- the product's own object ---- */

int hob_connection_new(const struct hob_connection_options *options, struct hob_connection **out,
                       struct hob_error *err)
{
    struct hob_connection_options own;
    int rc = hob_sized_take(&own, sizeof(own), options, "hob_connection_options", err);
    if (rc || !out)
        return rc ? rc : hob_error_set(err, HOB_EINVAL, "hob_connection_new: out is missing");
    if (!own.publish || !own.subscribe || !own.unsubscribe)
        return hob_error_set(err, HOB_EINVAL, "hob_connection_new: %s is missing",
                             !own.publish     ? "publish"
                             : !own.subscribe ? "subscribe"
                                              : "unsubscribe");
    struct hob_connection *connection = hob_calloc(1, sizeof(*connection));
    char *description = own.description ? hob_strdup(own.description) : NULL;
    if (!connection || (own.description && !description)) {
        hob_free(description);
        hob_free(connection);
        return hob_error_set(err, HOB_ENOMEM, "hob_connection_new: out of memory");
    }
    connection->options = own;
    connection->description = description;
    connection->options.description = NULL; /* it was borrowed */
    *out = connection;
    return 0;
}

void hob_connection_free(struct hob_connection *connection)
{
    if (!connection)
        return;
    if (connection->given) { /* too early, but no reason to crash */
        hob_connection_down(connection, HOB_ESTALE, "the product has freed it");
        connection->given->connection = NULL;
    }
    hob_free(connection->description);
    hob_free(connection);
}
