#include "net/mqtt_parts.h"

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/clock_watch.h"
#include "base/spare.h"
#include "net/mqtt_options.h"
#include "net/mqtt_pump.h"
#include "net/mqtt_words.h"
#include "net/stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <stdio.h>
#include <string.h>

#define KEEP_ALIVE_LATE_MS 10
#define BACKOFF_FLOOR_MS   100
#define STABLE_MS          5000 /* a link that stood so long was a success: begin again with short waits */
#define SESSION_EXPIRY_S   86400
#define RECEIVE_MAX        1000 /* messages that a broker of MQTT 5 may send ahead of our PUBACKs */
#define DESCRIBE_MAX       160

enum state { IDLE, WAITING, CONNECTING, GREETING, UP, CLOSING };

/* One attempt to connect, and the link that it became. Lives until its stream has closed, which may
 * be after the next attempt has begun. */
struct link {
    struct line *mqtt;
    struct hob_tls_config *tls;
    struct hob_stream *stream;
    struct hob_mqtt_pump *pump;
    struct mosquitto *client;
    bool greeted; /* CONNACK came and is good */
    bool session_present;
    unsigned keep_alive_s; /* what the broker wants of it (MQTT 5), or else the option; 0: none */
    struct hob_error why;  /* what libmosquitto said at its end; code 0: nothing yet */
    bool cut;              /* the pump refused what the broker sends: `why` says it */
};

struct line {
    struct hob_mqtt front;
    enum state state;
    struct link *link; /* the present one; NULL while waiting */
    unsigned links;    /* with those whose stream is closing */
    struct hob_tls_ticket *ticket;
    struct hob_backoff backoff;
    struct hob_timer *timer;       /* the next attempt, or the end of patience for CONNACK */
    struct hob_timer *keeper;      /* the next keep-alive */
    struct hob_clock_watch *clock; /* after a refusal that the clock may be the cause of */
    uint64_t kept_ms, attempt_ms, up_ms, attempts;
    struct hob_error distrust; /* hob_mqtt_reconnect was called, and `timer` is due; code 0: no */
    bool had_session;          /* the broker was asked to keep it, by this process */
};

static void link_down(struct line *mqtt, const struct hob_error *why, bool at_once);

/* ---- a link and its end ---- */

static int code_from_mosq(int rc)
{
    switch (rc) {
    case MOSQ_ERR_SUCCESS:
        return 0;
    case MOSQ_ERR_NOMEM:
        return HOB_ENOMEM;
    case MOSQ_ERR_INVAL:
    case MOSQ_ERR_MALFORMED_UTF8:
        return HOB_EINVAL;
    case MOSQ_ERR_PAYLOAD_SIZE:
    case MOSQ_ERR_OVERSIZE_PACKET:
        return HOB_EMSGSIZE;
    case MOSQ_ERR_QOS_NOT_SUPPORTED:
    case MOSQ_ERR_RETAIN_NOT_SUPPORTED:
    case MOSQ_ERR_NOT_SUPPORTED:
        return HOB_EUNSUPPORTED;
    case MOSQ_ERR_PROTOCOL:
    case MOSQ_ERR_MALFORMED_PACKET:
        return HOB_EPROTO;
    default:
        return HOB_ENOTCONN;
    }
}

static void free_link(struct link *link)
{
    struct line *mqtt = link->mqtt;
    hob_tls_config_free(link->tls);
    hob_free(link);
    mqtt->links--;
    if (mqtt->state == CLOSING && mqtt->links == 0)
        hob_mqtt_front_closed(&mqtt->front);
}

static void count_bytes(const struct link *link, struct hob_mqtt_counts *counts)
{
    struct hob_mqtt_pump_stats stats;
    if (link->pump) {
        hob_mqtt_pump_get_stats(link->pump, &stats);
        counts->bytes_in += stats.bytes_in;
        counts->bytes_out += stats.bytes_out;
    }
}

/* The link is no longer the present one. Its stream still sends what it has and closes. */
static void drop_link(struct line *mqtt)
{
    struct link *link = mqtt->link;
    mqtt->link = NULL;
    hob_timer_stop(mqtt->keeper);
    count_bytes(link, &mqtt->front.counts);
    hob_mqtt_pump_free(link->pump);
    link->pump = NULL;
    if (link->client)
        mosquitto_destroy(link->client);
    link->client = NULL;
    if (link->stream)
        hob_stream_close(link->stream);
    else
        free_link(link);
}

static void link_down(struct line *mqtt, const struct hob_error *why, bool at_once)
{
    struct hob_error kept = *why; /* it may live in the link */
    bool was_up = mqtt->state == UP;
    if (mqtt->link)
        drop_link(mqtt);
    if (mqtt->state == CLOSING)
        return; /* it broke before close_now could run, which does the rest */
    hob_mqtt_counts_down(&mqtt->front.counts, was_up, why == &mqtt->distrust, kept.code);
    if (was_up && hob_clock_mono_ms() - mqtt->up_ms >= STABLE_MS)
        hob_backoff_reset(&mqtt->backoff);
    at_once = at_once || mqtt->distrust.code;
    mqtt->distrust.code = 0;
    uint64_t retry_ms = at_once ? 0 : hob_backoff_next_ms(&mqtt->backoff);
    mqtt->state = WAITING;
    hob_timer_start(mqtt->timer, retry_ms);
    if (kept.code == HOB_ETLS)
        hob_clock_watch_start(mqtt->clock);
    hob_mqtt_words_log_down(mqtt->front.log, &mqtt->front.options, &kept, was_up, retry_ms);
    hob_mqtt_requests_end(mqtt->front.requests, HOB_ENOTCONN);
    if (mqtt->state != CLOSING && mqtt->front.options.on_down)
        mqtt->front.options.on_down(mqtt->front.options.user, &kept, retry_ms);
}

/* ---- what libmosquitto says; all of this runs inside a turn ---- */

static void explain_refusal(struct link *link, int rc)
{
    const struct hob_mqtt_options *o = &link->mqtt->front.options;
    char place[300];
    const char *words =
        o->protocol == 5 ? mosquitto_reason_string(rc) : mosquitto_connack_string(rc);
    const char *hint = "";
    if (rc == CONNACK_REFUSED_PROTOCOL_VERSION || rc == MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION)
        hint = ": the broker does not speak this version of MQTT";
    else if (rc == CONNACK_REFUSED_IDENTIFIER_REJECTED || rc == MQTT_RC_CLIENTID_NOT_VALID)
        hint = ": the broker does not take this client id";
    else if (rc == CONNACK_REFUSED_BAD_USERNAME_PASSWORD || rc == MQTT_RC_BAD_USERNAME_OR_PASSWORD)
        hint = ": check username and password";
    else if (rc == CONNACK_REFUSED_NOT_AUTHORIZED || rc == MQTT_RC_NOT_AUTHORIZED)
        hint = ": not authorised; the broker's policy does not let this client connect";
    hob_error_set(&link->why, HOB_EREFUSED,
                  "%s: the broker refused client id \"%s\" (code %d, %s)%s",
                  hob_mqtt_words_place(o, place, sizeof(place)), o->client_id, rc, words, hint);
}

/* libmosquitto goes by it too: both must count alike, or its ping comes when our timer looks. */
static unsigned wanted_keep_alive(const struct link *link, const mosquitto_property *properties)
{
    uint16_t seconds;
    if (mosquitto_property_read_int16(properties, MQTT_PROP_SERVER_KEEP_ALIVE, &seconds, false))
        return seconds;
    return link->mqtt->front.options.keep_alive_s;
}

static void on_connect(struct mosquitto *client, void *user, int rc, int flags,
                       const mosquitto_property *properties)
{
    struct link *link = user;
    link->session_present = (flags & 1) != 0;
    link->keep_alive_s = wanted_keep_alive(link, properties);
    if (rc == 0)
        link->greeted = true;
    else
        explain_refusal(link, rc);
}

static void on_disconnect(struct mosquitto *client, void *user, int rc,
                          const mosquitto_property *properties)
{
    struct link *link = user;
    struct line *mqtt = link->mqtt;
    char place[300];
    if (link->why.code)
        return;
    hob_mqtt_words_place(&mqtt->front.options, place, sizeof(place));
    if (rc == MOSQ_ERR_KEEPALIVE)
        hob_error_set(&link->why, HOB_ETIMEDOUT,
                      "%s: the broker did not answer a ping within %u s: the link is dead", place,
                      link->keep_alive_s);
    else if (mqtt->front.options.protocol == 5 && (rc == 0 || rc >= 128))
        hob_error_set(&link->why, HOB_EREFUSED, "%s: the broker ended the session: %s%s", place,
                      mosquitto_reason_string(rc),
                      rc == MQTT_RC_SESSION_TAKEN_OVER ? ": another client uses the same client id"
                                                       : "");
    else if (rc == MOSQ_ERR_PROTOCOL || rc == MOSQ_ERR_MALFORMED_PACKET)
        hob_error_set(&link->why, HOB_EPROTO,
                      "%s: the other side broke the MQTT protocol: is it an MQTT broker?", place);
    else
        hob_error_set(&link->why, code_from_mosq(rc), "%s: %s", place, mosquitto_strerror(rc));
}

static void keep_alive_later(struct line *mqtt);

/* CONNACK has been dealt with: libmosquitto is out of its own callback for it, which goes on to
 * change its state, so only now may anyone publish. */
static void announce(struct link *link)
{
    struct line *mqtt = link->mqtt;
    char how[DESCRIBE_MAX];
    if (mqtt->state != GREETING || !link->greeted || mqtt->distrust.code)
        return;
    mqtt->state = UP;
    mqtt->up_ms = mqtt->kept_ms = hob_clock_mono_ms();
    mqtt->front.counts.connected++;
    hob_tls_ticket_free(mqtt->ticket); /* with TLS 1.3 the new one came after the handshake */
    mqtt->ticket = hob_stream_ticket_new(link->stream);
    hob_timer_stop(mqtt->timer);
    keep_alive_later(mqtt);
    hob_mqtt_words_log_up(mqtt->front.log, &mqtt->front.options, mqtt->up_ms - mqtt->attempt_ms,
                          hob_stream_describe(link->stream, how, sizeof(how)));
    if (mqtt->had_session && !link->session_present)
        hob_mqtt_words_log_session_lost(mqtt->front.log, &mqtt->front.options);
    mqtt->had_session = mqtt->front.options.persistent_session;
    if (mqtt->front.options.on_up)
        mqtt->front.options.on_up(mqtt->front.options.user, link->session_present);
}

static void on_message(struct mosquitto *client, void *user,
                       const struct mosquitto_message *message)
{
    struct link *link = user;
    struct line *mqtt = link->mqtt;
    announce(link);
    if (mqtt->state != UP)
        return;
    struct hob_mqtt_message view = {.topic = message->topic,
                                    .payload = message->payload,
                                    .len =
                                        message->payloadlen > 0 ? (size_t)message->payloadlen : 0,
                                    .qos = message->qos,
                                    .retain = message->retain};
    hob_mqtt_front_message(&mqtt->front, &view);
}

static void complete(struct link *link, int mid, int status, const int *granted, size_t count)
{
    announce(link);
    hob_mqtt_requests_complete(link->mqtt->front.requests, mid, status, granted, count);
}

static void on_publish(struct mosquitto *client, void *user, int mid, int reason,
                       const mosquitto_property *properties)
{
    complete(user, mid, reason >= 128 ? HOB_EREFUSED : 0, NULL, 0);
}

static void on_subscribe(struct mosquitto *client, void *user, int mid, int count,
                         const int *granted)
{
    complete(user, mid, 0, granted, (size_t)count);
}

static void on_unsubscribe(struct mosquitto *client, void *user, int mid)
{
    complete(user, mid, 0, NULL, 0);
}

/* ---- what the pump asks of libmosquitto ---- */

static int client_fd(void *user)
{
    return mosquitto_socket(((struct link *)user)->client);
}

/* Failures come through on_disconnect, and show as a socket of -1. */
static void client_read(void *user)
{
    mosquitto_loop_read(((struct link *)user)->client, 1);
}

static void client_write(void *user)
{
    mosquitto_loop_write(((struct link *)user)->client, 1);
}

static void client_refused(void *user, const struct hob_error *why)
{
    struct link *link = user;
    const struct hob_mqtt_options *o = &link->mqtt->front.options;
    char place[300];
    hob_error_set(&link->why, why->code, "%s: %s%s", hob_mqtt_words_place(o, place, sizeof(place)),
                  why->message, link->greeted ? "" : ": is it an MQTT broker?");
    link->cut = true;
}

static void client_turned(void *user)
{
    struct link *link = user;
    struct line *mqtt = link->mqtt;
    if (mqtt->state == CLOSING)
        return;
    announce(link);
    hob_mqtt_requests_run_held(mqtt->front.requests);
    if (mqtt->state == CLOSING || mqtt->link != link || (client_fd(link) >= 0 && !link->cut))
        return;
    if (!link->why.code)
        hob_error_set(&link->why, HOB_ENOTCONN, "libmosquitto ended the session");
    link_down(mqtt, &link->why, false);
}

/* ---- making a link ---- */

static int connect_client(struct link *link, struct hob_error *err)
{
    struct line *mqtt = link->mqtt;
    mosquitto_property *properties = NULL;
    const char *path = hob_mqtt_pump_path(link->pump);
    bool is_v5 = mqtt->front.options.protocol == 5;
    if (is_v5 && mqtt->front.options.persistent_session)
        mosquitto_property_add_int32(&properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL,
                                     SESSION_EXPIRY_S);
    int keep_alive = (int)mqtt->front.options.keep_alive_s;
    /* Only this one takes properties; it blocks for a connect to our own pipe, which is instant. */
    int rc = is_v5 ? mosquitto_connect_bind_v5(link->client, path, 0, keep_alive, NULL, properties)
                   : mosquitto_connect_async(link->client, path, 0, keep_alive);
    if (mosquitto_socket(link->client) >= 0) /* its pair of sockets cannot be got at */
        fcntl(mosquitto_socket(link->client), F_SETFD, FD_CLOEXEC);
    mosquitto_property_free_all(&properties);
    if (rc == MOSQ_ERR_SUCCESS)
        return hob_mqtt_pump_accept(link->pump, err);
    return hob_error_set(err, HOB_EIO, "libmosquitto cannot use the socket %s: %s", path,
                         rc == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(rc));
}

static int make_client(struct link *link, struct hob_error *err)
{
    const struct hob_mqtt_options *o = &link->mqtt->front.options;
    struct hob_spare kept;
    hob_spare_begin(&kept);
    struct mosquitto *client = mosquitto_new(o->client_id, !o->persistent_session, link);
    hob_spare_end(&kept);
    if (!client)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    link->client = client;
    mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION,
                         o->protocol == 5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311);
    mosquitto_int_option(client, MOSQ_OPT_SEND_MAXIMUM, HOB_MQTT_INFLIGHT_MAX);
    mosquitto_int_option(client, MOSQ_OPT_RECEIVE_MAXIMUM, RECEIVE_MAX);
    if (o->username && mosquitto_username_pw_set(client, o->username, o->password) != 0)
        return hob_error_set(err, HOB_EINVAL, "username or password: not valid UTF-8");
    mosquitto_connect_v5_callback_set(client, on_connect);
    mosquitto_disconnect_v5_callback_set(client, on_disconnect);
    mosquitto_publish_v5_callback_set(client, on_publish);
    mosquitto_message_callback_set(client, on_message);
    mosquitto_subscribe_callback_set(client, on_subscribe);
    mosquitto_unsubscribe_callback_set(client, on_unsubscribe);
    return 0;
}

static void on_open(void *user)
{
    static const struct hob_mqtt_pump_client calls = {.fd = client_fd,
                                                      .read = client_read,
                                                      .write = client_write,
                                                      .refused = client_refused,
                                                      .turned = client_turned};
    struct link *link = user;
    struct line *mqtt = link->mqtt;
    struct hob_mqtt_pump_client client = calls;
    struct hob_error err;
    if (mqtt->link != link || mqtt->state == CLOSING)
        return;
    client.user = link;
    int code = hob_mqtt_pump_new(mqtt->front.loop, link->stream, mqtt->front.options.runtime_dir,
                                 hob_mqtt_options_packet_max(&mqtt->front.options), &client,
                                 &link->pump, &err);
    if (code == 0)
        code = make_client(link, &err);
    if (code == 0)
        code = connect_client(link, &err);
    if (code) {
        link_down(mqtt, &err, false);
        return;
    }
    mqtt->state = GREETING;
    uint64_t spent = hob_clock_mono_ms() - mqtt->attempt_ms;
    uint64_t patience = mqtt->front.options.connect_timeout_ms;
    if (!mqtt->distrust.code)
        hob_timer_start(mqtt->timer, spent < patience ? patience - spent : 1);
    hob_mqtt_pump_turn(link->pump);
}

static void on_stream_moves(void *user)
{
    struct link *link = user;
    if (link->mqtt->link == link && link->pump)
        hob_mqtt_pump_turn(link->pump);
}

static void on_stream_closed(void *user, const struct hob_error *why)
{
    struct link *link = user;
    struct line *mqtt = link->mqtt;
    struct hob_error err = *why;
    link->stream = NULL;
    if (mqtt->link != link) {
        free_link(link);
        return;
    }
    if (mqtt->state == CONNECTING || err.code == HOB_ETLS) {
        hob_tls_ticket_free(mqtt->ticket); /* it may be the cause */
        mqtt->ticket = NULL;
    } else if (mqtt->state == GREETING) {
        hob_error_set(&err, err.code,
                      "%s before it answered CONNECT: does it take client id \"%s\"%s?",
                      why->message, mqtt->front.options.client_id,
                      link->tls ? ", and is our certificate active and allowed to connect" : "");
    }
    link_down(mqtt, &err, false);
}

static void attempt(struct line *mqtt)
{
    const struct hob_mqtt_options *o = &mqtt->front.options;
    struct hob_error err;
    struct link *link = hob_calloc(1, sizeof(*link));
    mqtt->attempts++;
    mqtt->attempt_ms = hob_clock_mono_ms();
    mqtt->state = CONNECTING;
    if (!link) {
        hob_error_set(&err, HOB_ENOMEM, "out of memory");
        link_down(mqtt, &err, false);
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
        link_down(mqtt, &err, false);
}

/* ---- timers ---- */

/* Certificates are judged by the clock: what it refused may be right by now. */
static void on_clock_set(void *user, int64_t by_ms)
{
    struct line *mqtt = user;
    if (mqtt->state != WAITING)
        return;
    hob_mqtt_words_log_clock(mqtt->front.log, &mqtt->front.options, by_ms);
    hob_backoff_reset(&mqtt->backoff);
    hob_timer_start(mqtt->timer, 0);
}

static void on_timer(void *user)
{
    struct line *mqtt = user;
    struct hob_error err;
    char place[300];
    if (mqtt->state == CLOSING)
        return;
    hob_clock_watch_stop(mqtt->clock);
    if (mqtt->distrust.code) {
        link_down(mqtt, &mqtt->distrust, true);
    } else if (mqtt->state == WAITING) {
        attempt(mqtt);
    } else if (mqtt->state == GREETING) {
        hob_error_set(&err, HOB_ETIMEDOUT,
                      "%s: no answer to CONNECT within %g s: is it an MQTT broker?",
                      hob_mqtt_words_place(&mqtt->front.options, place, sizeof(place)),
                      (double)mqtt->front.options.connect_timeout_ms / 1000);
        link_down(mqtt, &err, false);
    }
}

/* libmosquitto pings when for keep_alive seconds nothing was sent, or nothing came. */
static uint64_t keep_alive_due(const struct line *mqtt)
{
    struct hob_mqtt_pump_stats stats;
    hob_mqtt_pump_get_stats(mqtt->link->pump, &stats);
    uint64_t quiet = stats.last_in_ms < stats.last_out_ms ? stats.last_in_ms : stats.last_out_ms;
    if (quiet < mqtt->kept_ms)
        quiet = mqtt->kept_ms;
    return quiet + (uint64_t)mqtt->link->keep_alive_s * 1000;
}

static void keep_alive_later(struct line *mqtt)
{
    if (mqtt->link->keep_alive_s == 0)
        return;
    uint64_t now = hob_clock_mono_ms(), due = keep_alive_due(mqtt);
    hob_timer_start(mqtt->keeper, (due > now ? due - now : 0) + KEEP_ALIVE_LATE_MS);
}

static void on_keeper(void *user)
{
    struct line *mqtt = user;
    if (mqtt->state != UP)
        return;
    struct link *link = mqtt->link;
    uint64_t now = hob_clock_mono_ms();
    if (keep_alive_due(mqtt) <= now) {
        mqtt->kept_ms = now;
        mosquitto_loop_misc(link->client);
        hob_mqtt_pump_turn(link->pump);
    }
    if (mqtt->state == UP && mqtt->link == link)
        keep_alive_later(mqtt);
}

/* ---- what the front asks for ---- */

static struct line *line_of(struct hob_mqtt *mqtt)
{
    return (struct line *)mqtt;
}

static const struct line *const_line_of(const struct hob_mqtt *mqtt)
{
    return (const struct line *)mqtt;
}

static int sent(struct line *mqtt, int rc)
{
    if (rc == MOSQ_ERR_SUCCESS)
        hob_mqtt_pump_wake(mqtt->link->pump);
    return code_from_mosq(rc);
}

static bool line_is_up(const struct hob_mqtt *front)
{
    const struct line *mqtt = const_line_of(front);
    return mqtt->state == UP && !mqtt->distrust.code && client_fd(mqtt->link) >= 0;
}

static int line_publish(struct hob_mqtt *front, struct hob_mqtt_request *request,
                        const struct hob_mqtt_message *message)
{
    struct line *mqtt = line_of(front);
    return sent(mqtt, mosquitto_publish(mqtt->link->client, hob_mqtt_request_mid(request),
                                        message->topic, (int)message->len, message->payload,
                                        message->qos, message->retain));
}

static int line_subscribe(struct hob_mqtt *front, struct hob_mqtt_request *request,
                          const char *const *filters, size_t count, int qos)
{
    struct line *mqtt = line_of(front);
    return sent(mqtt,
                mosquitto_subscribe_multiple(mqtt->link->client, hob_mqtt_request_mid(request),
                                             (int)count, (char *const *)filters, qos,
                                             front->no_local ? MQTT_SUB_OPT_NO_LOCAL : 0, NULL));
}

static int line_unsubscribe(struct hob_mqtt *front, struct hob_mqtt_request *request,
                            const char *const *filters, size_t count)
{
    struct line *mqtt = line_of(front);
    return sent(mqtt,
                mosquitto_unsubscribe_multiple(mqtt->link->client, hob_mqtt_request_mid(request),
                                               (int)count, (char *const *)filters, NULL));
}

static void line_reconnect(struct hob_mqtt *front, const char *reason)
{
    struct line *mqtt = line_of(front);
    if (mqtt->state == IDLE || mqtt->state == CLOSING || mqtt->distrust.code)
        return;
    if (mqtt->state != WAITING)
        hob_error_set(&mqtt->distrust, HOB_ENOTCONN, "%s", reason);
    hob_timer_start(mqtt->timer, 0);
}

/* ---- life ---- */

static void line_start(struct hob_mqtt *front)
{
    struct line *mqtt = line_of(front);
    mqtt->state = WAITING;
    hob_timer_start(mqtt->timer, 0);
}

static void line_leave(struct hob_mqtt *front)
{
    struct line *mqtt = line_of(front);
    mqtt->state = CLOSING;
    mqtt->links++; /* for line_close */
    hob_timer_stop(mqtt->timer);
    hob_timer_stop(mqtt->keeper);
    hob_clock_watch_stop(mqtt->clock);
}

static void line_close(struct hob_mqtt *front)
{
    struct line *mqtt = line_of(front);
    struct link *link = mqtt->link;
    if (link) {
        if (link->greeted && client_fd(link) >= 0) {
            mosquitto_disconnect(link->client);
            hob_mqtt_pump_turn(link->pump);
        }
        drop_link(mqtt);
    }
    if (--mqtt->links == 0)
        hob_mqtt_front_closed(front);
}

static void line_free(struct hob_mqtt *front)
{
    struct line *mqtt = line_of(front);
    hob_timer_close(mqtt->timer);
    hob_timer_close(mqtt->keeper);
    hob_clock_watch_close(mqtt->clock);
    hob_tls_ticket_free(mqtt->ticket);
    hob_mqtt_front_free(front);
    hob_free(mqtt);
    mosquitto_lib_cleanup();
}

/* ---- what it says of itself ---- */

static void line_stats(const struct hob_mqtt *front, struct hob_mqtt_stats *out)
{
    const struct line *mqtt = const_line_of(front);
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
    const struct line *mqtt = const_line_of(front);
    if (mqtt->link)
        count_bytes(mqtt->link, out);
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
    struct line *mqtt = hob_calloc(1, sizeof(*mqtt));
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
