/* mqtt_mosquitto_link.c - one attempt after the other, and the link that comes of it, to its end;
 * see mqtt_mosquitto_parts.h. Knows nothing of libmosquitto. */
#include "net/mqtt_mosquitto_parts.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "net/mqtt_words.h"

#define STABLE_MS    5000 /* a link that stood so long was a success: begin again with short waits */
#define DESCRIBE_MAX 160

/* ---- its end ---- */

static void free_link(struct hob_mqtt_link *link)
{
    struct hob_mqtt_line *mqtt = link->mqtt;
    hob_tls_config_free(link->tls);
    hob_free(link);
    mqtt->links--;
    if (mqtt->state == HOB_MQTT_LINE_CLOSING && mqtt->links == 0)
        hob_mqtt_front_closed(&mqtt->front);
}

void hob_mqtt_link_count_bytes(const struct hob_mqtt_link *link, struct hob_mqtt_counts *counts)
{
    struct hob_mqtt_pump_stats stats;
    if (link->pump) {
        hob_mqtt_pump_get_stats(link->pump, &stats);
        counts->bytes_in += stats.bytes_in;
        counts->bytes_out += stats.bytes_out;
    }
}

void hob_mqtt_link_drop(struct hob_mqtt_line *mqtt)
{
    struct hob_mqtt_link *link = mqtt->link;
    mqtt->link = NULL;
    hob_timer_stop(mqtt->keeper);
    hob_mqtt_link_count_bytes(link, &mqtt->front.counts);
    hob_mqtt_client_free(link);
    if (link->stream)
        hob_stream_close(link->stream);
    else
        free_link(link);
}

void hob_mqtt_link_down(struct hob_mqtt_line *mqtt, const struct hob_error *why, bool at_once)
{
    struct hob_error kept = *why; /* it may live in the link */
    bool was_up = mqtt->state == HOB_MQTT_LINE_UP;
    if (mqtt->link)
        hob_mqtt_link_drop(mqtt);
    if (mqtt->state == HOB_MQTT_LINE_CLOSING)
        return; /* it broke before close_now could run, which does the rest */
    hob_mqtt_counts_down(&mqtt->front.counts, was_up, why == &mqtt->distrust, kept.code);
    if (was_up && hob_clock_mono_ms() - mqtt->up_ms >= STABLE_MS)
        hob_backoff_reset(&mqtt->backoff);
    at_once = at_once || mqtt->distrust.code;
    mqtt->distrust.code = 0;
    uint64_t retry_ms = at_once ? 0 : hob_backoff_next_ms(&mqtt->backoff);
    mqtt->state = HOB_MQTT_LINE_WAITING;
    hob_timer_start(mqtt->timer, retry_ms);
    if (kept.code == HOB_ETLS)
        hob_clock_watch_start(mqtt->clock);
    hob_mqtt_words_log_down(mqtt->front.log, &mqtt->front.options, &kept, was_up, retry_ms);
    hob_mqtt_requests_end(mqtt->front.requests, HOB_ENOTCONN);
    if (mqtt->state != HOB_MQTT_LINE_CLOSING && mqtt->front.options.on_down)
        mqtt->front.options.on_down(mqtt->front.options.user, &kept, retry_ms);
}

/* ---- making a link ---- */

static void on_open(void *user)
{
    struct hob_mqtt_link *link = user;
    struct hob_mqtt_line *mqtt = link->mqtt;
    struct hob_error err;
    if (mqtt->link != link || mqtt->state == HOB_MQTT_LINE_CLOSING)
        return;
    if (hob_mqtt_client_new(link, &err) != 0) {
        hob_mqtt_link_down(mqtt, &err, false);
        return;
    }
    mqtt->state = HOB_MQTT_LINE_GREETING;
    uint64_t spent = hob_clock_mono_ms() - mqtt->attempt_ms;
    uint64_t patience = mqtt->front.options.connect_timeout_ms;
    if (!mqtt->distrust.code)
        hob_timer_start(mqtt->timer, spent < patience ? patience - spent : 1);
    hob_mqtt_pump_turn(link->pump);
}

static void on_stream_moves(void *user)
{
    struct hob_mqtt_link *link = user;
    if (link->mqtt->link == link && link->pump)
        hob_mqtt_pump_stream_moves(link->pump);
}

static void on_stream_closed(void *user, const struct hob_error *why)
{
    struct hob_mqtt_link *link = user;
    struct hob_mqtt_line *mqtt = link->mqtt;
    struct hob_error err = *why;
    link->stream = NULL;
    if (mqtt->link != link) {
        free_link(link);
        return;
    }
    if (mqtt->state == HOB_MQTT_LINE_CONNECTING || err.code == HOB_ETLS) {
        hob_tls_ticket_free(mqtt->ticket); /* it may be the cause */
        mqtt->ticket = NULL;
    } else if (mqtt->state == HOB_MQTT_LINE_GREETING) {
        hob_error_set(&err, err.code,
                      "%s before it answered CONNECT: does it take client id \"%s\"%s?",
                      why->message, mqtt->front.options.client_id,
                      link->tls ? ", and is our certificate active and allowed to connect" : "");
    }
    hob_mqtt_link_down(mqtt, &err, false);
}

void hob_mqtt_link_attempt(struct hob_mqtt_line *mqtt)
{
    const struct hob_mqtt_options *o = &mqtt->front.options;
    struct hob_error err;
    struct hob_mqtt_link *link = hob_calloc(1, sizeof(*link));
    mqtt->attempts++;
    mqtt->attempt_ms = hob_clock_mono_ms();
    mqtt->state = HOB_MQTT_LINE_CONNECTING;
    if (!link) {
        hob_error_set(&err, HOB_ENOMEM, "out of memory");
        hob_mqtt_link_down(mqtt, &err, false);
        return;
    }
    link->mqtt = mqtt;
    mqtt->link = link;
    mqtt->links++;
    int code = o->use_tls ? hob_tls_config_new(&o->tls, &link->tls, &err) : 0;
    if (code == 0) {
        struct hob_stream_options stream = {.host = o->host,
                                            .port = o->port,
                                            .tls = link->tls,
                                            .ticket = mqtt->ticket,
                                            .connect_timeout_ms = o->connect_timeout_ms,
                                            .on_open = on_open,
                                            .on_readable = on_stream_moves,
                                            .on_writable = on_stream_moves,
                                            .on_close = on_stream_closed,
                                            .user = link};
        code = hob_stream_connect(mqtt->front.loop, &stream, &link->stream, &err);
    }
    if (code)
        hob_mqtt_link_down(mqtt, &err, false);
}

/* CONNACK has been dealt with: libmosquitto is out of its own callback for it, which goes on to
 * change its state, so only now may anyone publish. */
void hob_mqtt_link_announce(struct hob_mqtt_link *link)
{
    struct hob_mqtt_line *mqtt = link->mqtt;
    char how[DESCRIBE_MAX];
    if (mqtt->state != HOB_MQTT_LINE_GREETING || !link->greeted || mqtt->distrust.code)
        return;
    mqtt->state = HOB_MQTT_LINE_UP;
    mqtt->up_ms = mqtt->kept_ms = hob_clock_mono_ms();
    mqtt->front.counts.connected++;
    hob_tls_ticket_free(mqtt->ticket); /* with TLS 1.3 the new one came after the handshake */
    mqtt->ticket = hob_stream_ticket_new(link->stream);
    hob_timer_stop(mqtt->timer);
    hob_mqtt_line_keep_alive_later(mqtt);
    hob_mqtt_words_log_up(mqtt->front.log, &mqtt->front.options, mqtt->up_ms - mqtt->attempt_ms,
                          hob_stream_describe(link->stream, how, sizeof(how)));
    if (mqtt->had_session && !link->session_present)
        hob_mqtt_words_log_session_lost(mqtt->front.log, &mqtt->front.options);
    mqtt->had_session = mqtt->front.options.persistent_session;
    if (mqtt->front.options.on_up)
        mqtt->front.options.on_up(mqtt->front.options.user, link->session_present);
}
