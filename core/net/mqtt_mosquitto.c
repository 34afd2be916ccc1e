/* mqtt_mosquitto.c - libmosquitto behind the front: what the front asks, and the timers; see
 * mqtt_mosquitto_parts.h. */
#include "net/mqtt_mosquitto_parts.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/spare.h"
#include "net/mqtt_words.h"

#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <stdio.h>

#define KEEP_ALIVE_LATE_MS 10
#define BACKOFF_FLOOR_MS   100

/* ---- timers ---- */

/* Certificates are judged by the clock: what it refused may be right by now. */
static void on_clock_set(void *user, int64_t by_ms)
{
    struct hob_mqtt_line *mqtt = user;
    if (mqtt->state != HOB_MQTT_LINE_WAITING)
        return;
    hob_mqtt_words_log_clock(mqtt->front.log, &mqtt->front.options, by_ms);
    hob_backoff_reset(&mqtt->backoff);
    hob_timer_start(mqtt->timer, 0);
}

static void on_timer(void *user)
{
    struct hob_mqtt_line *mqtt = user;
    struct hob_error err;
    char place[300];
    if (mqtt->state == HOB_MQTT_LINE_CLOSING)
        return;
    hob_clock_watch_stop(mqtt->clock);
    if (mqtt->distrust.code) {
        hob_mqtt_link_down(mqtt, &mqtt->distrust, true);
    } else if (mqtt->state == HOB_MQTT_LINE_WAITING) {
        hob_mqtt_link_attempt(mqtt);
    } else if (mqtt->state == HOB_MQTT_LINE_GREETING) {
        hob_error_set(&err, HOB_ETIMEDOUT,
                      "%s: no answer to CONNECT within %g s: is it an MQTT broker?",
                      hob_mqtt_words_place(&mqtt->front.options, place, sizeof(place)),
                      (double)mqtt->front.options.connect_timeout_ms / 1000);
        hob_mqtt_link_down(mqtt, &err, false);
    }
}

/* libmosquitto pings when for keep_alive seconds nothing was sent, or nothing came. */
static uint64_t keep_alive_due(const struct hob_mqtt_line *mqtt)
{
    struct hob_mqtt_pump_stats stats;
    hob_mqtt_pump_get_stats(mqtt->link->pump, &stats);
    uint64_t quiet = stats.last_in_ms < stats.last_out_ms ? stats.last_in_ms : stats.last_out_ms;
    if (quiet < mqtt->kept_ms)
        quiet = mqtt->kept_ms;
    return quiet + (uint64_t)mqtt->link->keep_alive_s * 1000;
}

void hob_mqtt_line_keep_alive_later(struct hob_mqtt_line *mqtt)
{
    if (mqtt->link->keep_alive_s == 0)
        return;
    uint64_t now = hob_clock_mono_ms(), due = keep_alive_due(mqtt);
    hob_timer_start(mqtt->keeper, (due > now ? due - now : 0) + KEEP_ALIVE_LATE_MS);
}

static void on_keeper(void *user)
{
    struct hob_mqtt_line *mqtt = user;
    if (mqtt->state != HOB_MQTT_LINE_UP)
        return;
    struct hob_mqtt_link *link = mqtt->link;
    uint64_t now = hob_clock_mono_ms();
    if (keep_alive_due(mqtt) <= now) {
        mqtt->kept_ms = now;
        mosquitto_loop_misc(link->client);
        hob_mqtt_pump_turn(link->pump);
    }
    if (mqtt->state == HOB_MQTT_LINE_UP && mqtt->link == link)
        hob_mqtt_line_keep_alive_later(mqtt);
}

/* ---- what the front asks for ---- */

static struct hob_mqtt_line *line_of(struct hob_mqtt *mqtt)
{
    return (struct hob_mqtt_line *)mqtt;
}

static const struct hob_mqtt_line *const_line_of(const struct hob_mqtt *mqtt)
{
    return (const struct hob_mqtt_line *)mqtt;
}

static int sent(struct hob_mqtt_line *mqtt, int rc)
{
    if (rc == MOSQ_ERR_SUCCESS)
        hob_mqtt_pump_wake(mqtt->link->pump);
    return hob_mqtt_client_code(rc);
}

static bool line_is_up(const struct hob_mqtt *front)
{
    const struct hob_mqtt_line *mqtt = const_line_of(front);
    return mqtt->state == HOB_MQTT_LINE_UP && !mqtt->distrust.code &&
           hob_mqtt_client_fd(mqtt->link) >= 0;
}

static int line_publish(struct hob_mqtt *front, struct hob_mqtt_request *request,
                        const struct hob_mqtt_message *message)
{
    struct hob_mqtt_line *mqtt = line_of(front);
    return sent(mqtt, mosquitto_publish(mqtt->link->client, hob_mqtt_request_mid(request),
                                        message->topic, (int)message->len, message->payload,
                                        message->qos, message->retain));
}

static int line_subscribe(struct hob_mqtt *front, struct hob_mqtt_request *request,
                          const char *const *filters, size_t count, int qos)
{
    struct hob_mqtt_line *mqtt = line_of(front);
    return sent(mqtt,
                mosquitto_subscribe_multiple(mqtt->link->client, hob_mqtt_request_mid(request),
                                             (int)count, (char *const *)filters, qos,
                                             front->no_local ? MQTT_SUB_OPT_NO_LOCAL : 0, NULL));
}

static int line_unsubscribe(struct hob_mqtt *front, struct hob_mqtt_request *request,
                            const char *const *filters, size_t count)
{
    struct hob_mqtt_line *mqtt = line_of(front);
    return sent(mqtt,
                mosquitto_unsubscribe_multiple(mqtt->link->client, hob_mqtt_request_mid(request),
                                               (int)count, (char *const *)filters, NULL));
}

static void line_reconnect(struct hob_mqtt *front, const char *reason)
{
    struct hob_mqtt_line *mqtt = line_of(front);
    if (mqtt->state == HOB_MQTT_LINE_IDLE || mqtt->state == HOB_MQTT_LINE_CLOSING ||
        mqtt->distrust.code)
        return;
    if (mqtt->state != HOB_MQTT_LINE_WAITING)
        hob_error_set(&mqtt->distrust, HOB_ENOTCONN, "%s", reason);
    hob_timer_start(mqtt->timer, 0);
}

/* ---- life ---- */

static void line_start(struct hob_mqtt *front)
{
    struct hob_mqtt_line *mqtt = line_of(front);
    mqtt->state = HOB_MQTT_LINE_WAITING;
    hob_timer_start(mqtt->timer, 0);
}

static void line_leave(struct hob_mqtt *front)
{
    struct hob_mqtt_line *mqtt = line_of(front);
    mqtt->state = HOB_MQTT_LINE_CLOSING;
    mqtt->links++; /* for line_close */
    hob_timer_stop(mqtt->timer);
    hob_timer_stop(mqtt->keeper);
    hob_clock_watch_stop(mqtt->clock);
}

static void line_close(struct hob_mqtt *front)
{
    struct hob_mqtt_line *mqtt = line_of(front);
    struct hob_mqtt_link *link = mqtt->link;
    if (link) {
        if (link->greeted && hob_mqtt_client_fd(link) >= 0) {
            mosquitto_disconnect(link->client);
            hob_mqtt_pump_turn(link->pump);
        }
        hob_mqtt_link_drop(mqtt);
    }
    if (--mqtt->links == 0)
        hob_mqtt_front_closed(front);
}

static void line_free(struct hob_mqtt *front)
{
    struct hob_mqtt_line *mqtt = line_of(front);
    hob_timer_close(mqtt->timer);
    hob_timer_close(mqtt->keeper);
    hob_clock_watch_close(mqtt->clock);
    hob_tls_ticket_free(mqtt->ticket);
    hob_tls_cache_free(mqtt->tls_cache);
    hob_mqtt_front_free(front);
    hob_free(mqtt);
    struct hob_spare kept;
    hob_spare_begin(&kept);
    mosquitto_lib_cleanup();
    hob_spare_end(&kept);
}

/* ---- what it says of itself ---- */

static void line_stats(const struct hob_mqtt *front, struct hob_mqtt_stats *out)
{
    const struct hob_mqtt_line *mqtt = const_line_of(front);
    struct hob_mqtt_pump_stats pump;
    out->attempts = mqtt->attempts;
    if (!mqtt->link || !mqtt->link->pump)
        return;
    hob_mqtt_pump_get_stats(mqtt->link->pump, &pump);
    out->no_delay = mqtt->link->stream && hob_stream_no_delay(mqtt->link->stream);
    out->turns = pump.turns;
    out->bytes_in = pump.bytes_in;
    out->bytes_out = pump.bytes_out;
}

static void line_counts(const struct hob_mqtt *front, struct hob_mqtt_counts *out)
{
    const struct hob_mqtt_line *mqtt = const_line_of(front);
    if (mqtt->link)
        hob_mqtt_link_count_bytes(mqtt->link, out);
}

static const char *line_describe(const struct hob_mqtt *front, char *out, size_t len)
{
    return hob_stream_describe(const_line_of(front)->link->stream, out, len);
}

int hob_mqtt_mosquitto_new(struct hob_loop *loop, struct hob_log *log,
                           const struct hob_mqtt_options *options, struct hob_mqtt **out,
                           struct hob_error *err)
{
    static const struct hob_mqtt_backend backend = {.is_up = line_is_up,
                                                    .start = line_start,
                                                    .reconnect = line_reconnect,
                                                    .publish = line_publish,
                                                    .subscribe = line_subscribe,
                                                    .unsubscribe = line_unsubscribe,
                                                    .leave = line_leave,
                                                    .close = line_close,
                                                    .free = line_free,
                                                    .stats = line_stats,
                                                    .counts = line_counts,
                                                    .describe = line_describe};
    struct hob_mqtt_line *mqtt = hob_calloc(1, sizeof(*mqtt));
    if (!mqtt)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    struct hob_spare kept;
    hob_spare_begin(&kept);
    mosquitto_lib_init(); /* counted: each new goes with one cleanup */
    hob_spare_end(&kept);
    int code = hob_mqtt_front_open(&mqtt->front, &backend, loop, log, options);
    mqtt->timer = hob_timer_new(loop, on_timer, mqtt);
    mqtt->keeper = hob_timer_new(loop, on_keeper, mqtt);
    mqtt->clock = hob_clock_watch_new(loop, on_clock_set, mqtt);
    if (code || !mqtt->timer || !mqtt->keeper || !mqtt->clock) {
        line_free(&mqtt->front);
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    struct hob_tls_options *tls = &mqtt->front.options.tls;
    if (mqtt->front.options.use_tls && !tls->cache) /* without memory for it nothing is kept */
        tls->cache = mqtt->tls_cache = hob_tls_cache_new();
    uint64_t base = mqtt->front.options.backoff_base_ms;
    hob_backoff_init(&mqtt->backoff, base, mqtt->front.options.backoff_cap_ms,
                     base < BACKOFF_FLOOR_MS ? base : BACKOFF_FLOOR_MS);
    *out = &mqtt->front;
    return 0;
}

/* ---- what libmosquitto knows of MQTT ---- */

bool hob_mqtt_topic_valid(const char *topic)
{
    return *topic && mosquitto_pub_topic_check(topic) == MOSQ_ERR_SUCCESS;
}

bool hob_mqtt_filter_valid(const char *filter)
{
    return *filter && mosquitto_sub_topic_check(filter) == MOSQ_ERR_SUCCESS;
}

bool hob_mqtt_filter_matches(const char *filter, const char *topic)
{
    bool matches = false;
    return mosquitto_topic_matches_sub(filter, topic, &matches) == MOSQ_ERR_SUCCESS && matches;
}

const char *hob_mqtt_library_version(char *out, size_t len)
{
    int major, minor, revision;
    mosquitto_lib_version(&major, &minor, &revision);
    snprintf(out, len, "%d.%d.%d", major, minor, revision);
    return out;
}
