#include "net/mqtt.h"

#include "base/alloc.h"
#include "net/mqtt_options.h"
#include "net/mqtt_parts.h"
#include "net/mqtt_words.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- requests ---- */

/* What the backend does not take was never a request. */
static int sent(struct hob_mqtt *mqtt, struct hob_mqtt_request *request, int code)
{
    hob_mqtt_requests_sent(mqtt->requests, request, code == 0);
    return code;
}

bool hob_mqtt_is_up(const struct hob_mqtt *mqtt)
{
    return !mqtt->closing && mqtt->backend->is_up(mqtt);
}

int hob_mqtt_publish(struct hob_mqtt *mqtt, const char *topic, const void *payload, size_t len,
                     int qos, bool retain, hob_mqtt_done_fn *done, void *user)
{
    if (qos < 0 || qos > 1 || !hob_mqtt_topic_valid(topic))
        return HOB_EINVAL;
    if (len > mqtt->options.payload_max)
        return HOB_EMSGSIZE;
    if (!hob_mqtt_is_up(mqtt))
        return HOB_ENOTCONN;
    struct hob_mqtt_request *request;
    int code = hob_mqtt_requests_add(mqtt->requests, len, done, NULL, user, &request);
    if (code)
        return code;
    struct hob_mqtt_message message = {
        .topic = topic, .payload = payload, .len = len, .qos = qos, .retain = retain};
    code = sent(mqtt, request, mqtt->backend->publish(mqtt, request, &message));
    mqtt->counts.messages_out += code == 0;
    return code;
}

static int check_filters(const char *const *filters, size_t count, int qos)
{
    if (count == 0 || count > HOB_MQTT_PENDING_MAX || qos < 0 || qos > 1)
        return HOB_EINVAL;
    for (size_t i = 0; i < count; i++)
        if (!hob_mqtt_filter_valid(filters[i]))
            return HOB_EINVAL;
    return 0;
}

int hob_mqtt_subscribe(struct hob_mqtt *mqtt, const char *const *filters, size_t count, int qos,
                       hob_mqtt_subscribed_fn *done, void *user)
{
    int code = check_filters(filters, count, qos);
    if (code)
        return code;
    if (!hob_mqtt_is_up(mqtt))
        return HOB_ENOTCONN;
    struct hob_mqtt_request *request;
    code = hob_mqtt_requests_add(mqtt->requests, 0, NULL, done, user, &request);
    if (code)
        return code;
    hob_mqtt_request_expect(request, count);
    return sent(mqtt, request, mqtt->backend->subscribe(mqtt, request, filters, count, qos));
}

void hob_mqtt_no_local(struct hob_mqtt *mqtt)
{
    mqtt->no_local = mqtt->options.protocol == 5;
}

int hob_mqtt_unsubscribe(struct hob_mqtt *mqtt, const char *const *filters, size_t count,
                         hob_mqtt_done_fn *done, void *user)
{
    int code = check_filters(filters, count, 0);
    if (code)
        return code;
    if (!hob_mqtt_is_up(mqtt))
        return HOB_ENOTCONN;
    struct hob_mqtt_request *request;
    code = hob_mqtt_requests_add(mqtt->requests, 0, done, NULL, user, &request);
    if (code)
        return code;
    return sent(mqtt, request, mqtt->backend->unsubscribe(mqtt, request, filters, count));
}

void hob_mqtt_reconnect(struct hob_mqtt *mqtt, const char *reason)
{
    if (!mqtt->started || mqtt->closing)
        return;
    mqtt->doubted = mqtt->doubted || hob_mqtt_is_up(mqtt);
    mqtt->backend->reconnect(mqtt, reason);
}

bool hob_mqtt_is_suspect(const struct hob_mqtt *mqtt)
{
    return !mqtt->backend->is_suspect || mqtt->backend->is_suspect(mqtt);
}

/* ---- what comes in ---- */

void hob_mqtt_front_message(struct hob_mqtt *mqtt, const struct hob_mqtt_message *message)
{
    mqtt->counts.messages_in++;
    if (message->len > mqtt->options.payload_max)
        hob_mqtt_words_log_dropped(mqtt->log, &mqtt->options, message->topic, message->len);
    else if (mqtt->options.on_message)
        mqtt->options.on_message(mqtt->options.user, message);
}

/* ---- life ---- */

int hob_mqtt_front_open(struct hob_mqtt *mqtt, const struct hob_mqtt_backend *backend,
                        struct hob_loop *loop, struct hob_log *log,
                        const struct hob_mqtt_options *options)
{
    mqtt->backend = backend;
    mqtt->loop = loop;
    mqtt->log = log;
    bool copied = hob_mqtt_options_copy(&mqtt->options, options);
    mqtt->requests = hob_mqtt_requests_new();
    return copied && mqtt->requests ? 0 : HOB_ENOMEM;
}

void hob_mqtt_front_free(struct hob_mqtt *mqtt)
{
    hob_mqtt_options_free(&mqtt->options);
    hob_mqtt_requests_free(mqtt->requests);
}

int hob_mqtt_new(struct hob_loop *loop, struct hob_log *log, const struct hob_mqtt_options *options,
                 struct hob_mqtt **out, struct hob_error *err)
{
    if (options->trunk)
        return hob_mqtt_branch_new(loop, log, options, out, err);
    if (options->connection)
        return hob_mqtt_given_new(loop, log, options, out, err);
    int code = hob_mqtt_options_check(options, err);
    return code ? code : hob_mqtt_mosquitto_new(loop, log, options, out, err);
}

void hob_mqtt_start(struct hob_mqtt *mqtt)
{
    if (mqtt->started)
        return;
    mqtt->started = true;
    mqtt->backend->start(mqtt);
}

void hob_mqtt_front_closed(struct hob_mqtt *mqtt)
{
    void (*closed)(void *user) = mqtt->closed;
    void *user = mqtt->closed_user;
    struct hob_loop *loop = mqtt->loop;
    mqtt->backend->free(mqtt);
    if (closed)
        closed(user);
    hob_loop_release(loop);
}

static void close_now(void *user)
{
    struct hob_mqtt *mqtt = user;
    hob_mqtt_requests_end(mqtt->requests, HOB_ECANCELED);
    mqtt->backend->close(mqtt);
}

void hob_mqtt_close(struct hob_mqtt *mqtt, void (*closed)(void *user), void *user)
{
    assert(!mqtt->closing);
    mqtt->closing = true;
    mqtt->closed = closed;
    mqtt->closed_user = user;
    mqtt->backend->leave(mqtt);
    hob_loop_hold(mqtt->loop);
    hob_loop_defer(mqtt->loop, &mqtt->end, close_now, mqtt);
}

/* ---- what it says of itself ---- */

void hob_mqtt_get_stats(const struct hob_mqtt *mqtt, struct hob_mqtt_stats *out)
{
    *out = (struct hob_mqtt_stats){.pending = hob_mqtt_requests_count(mqtt->requests)};
    if (mqtt->backend->stats)
        mqtt->backend->stats(mqtt, out);
}

void hob_mqtt_get_counts(const struct hob_mqtt *mqtt, struct hob_mqtt_counts *out)
{
    *out = mqtt->counts;
    if (mqtt->backend->counts)
        mqtt->backend->counts(mqtt, out);
}

const char *hob_mqtt_describe(const struct hob_mqtt *mqtt, char *out, size_t len)
{
    if (!mqtt->closing && mqtt->backend->is_up(mqtt))
        return mqtt->backend->describe(mqtt, out, len);
    snprintf(out, len, "not connected");
    return out;
}
