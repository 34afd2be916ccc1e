/* mqtt_mosquitto_client.c - the struct mosquitto of a link: what it says, and what the pump asks of
 * it; see mqtt_mosquitto_parts.h. */
#include "net/mqtt_mosquitto_parts.h"

#include "base/spare.h"
#include "net/mqtt_options.h"
#include "net/mqtt_words.h"

#include <errno.h>
#include <fcntl.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <string.h>

#define SESSION_EXPIRY_S 86400
#define RECEIVE_MAX      1000 /* messages that a broker of MQTT 5 may send ahead of our PUBACKs */

int hob_mqtt_client_code(int rc)
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

/* ---- what libmosquitto says; all of this runs inside a turn ---- */

static void explain_refusal(struct hob_mqtt_link *link, int rc)
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
static unsigned wanted_keep_alive(const struct hob_mqtt_link *link,
                                  const mosquitto_property *properties)
{
    uint16_t seconds;
    if (mosquitto_property_read_int16(properties, MQTT_PROP_SERVER_KEEP_ALIVE, &seconds, false))
        return seconds;
    return link->mqtt->front.options.keep_alive_s;
}

static void on_connect(struct mosquitto *client, void *user, int rc, int flags,
                       const mosquitto_property *properties)
{
    struct hob_mqtt_link *link = user;
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
    struct hob_mqtt_link *link = user;
    struct hob_mqtt_line *mqtt = link->mqtt;
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
        hob_error_set(&link->why, hob_mqtt_client_code(rc), "%s: %s", place,
                      mosquitto_strerror(rc));
}

static void on_message(struct mosquitto *client, void *user,
                       const struct mosquitto_message *message)
{
    struct hob_mqtt_link *link = user;
    struct hob_mqtt_line *mqtt = link->mqtt;
    hob_mqtt_link_announce(link);
    if (mqtt->state != HOB_MQTT_LINE_UP)
        return;
    struct hob_mqtt_message view = {.topic = message->topic,
                                    .payload = message->payload,
                                    .len =
                                        message->payloadlen > 0 ? (size_t)message->payloadlen : 0,
                                    .qos = message->qos,
                                    .retain = message->retain};
    hob_mqtt_front_message(&mqtt->front, &view);
}

static void complete(struct hob_mqtt_link *link, int mid, int status, const int *granted,
                     size_t count)
{
    hob_mqtt_link_announce(link);
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

int hob_mqtt_client_fd(void *user)
{
    return mosquitto_socket(((struct hob_mqtt_link *)user)->client);
}

/* Failures come through on_disconnect, and show as a socket of -1. */
static void client_read(void *user)
{
    mosquitto_loop_read(((struct hob_mqtt_link *)user)->client, 1);
}

static bool client_write(void *user)
{
    struct mosquitto *client = ((struct hob_mqtt_link *)user)->client;
    if (!mosquitto_want_write(client))
        return false;
    mosquitto_loop_write(client, 1);
    return true;
}

static void client_refused(void *user, const struct hob_error *why)
{
    struct hob_mqtt_link *link = user;
    const struct hob_mqtt_options *o = &link->mqtt->front.options;
    char place[300];
    hob_error_set(&link->why, why->code, "%s: %s%s", hob_mqtt_words_place(o, place, sizeof(place)),
                  why->message, link->greeted ? "" : ": is it an MQTT broker?");
    link->cut = true;
}

static void client_turned(void *user)
{
    struct hob_mqtt_link *link = user;
    struct hob_mqtt_line *mqtt = link->mqtt;
    if (mqtt->state == HOB_MQTT_LINE_CLOSING)
        return;
    hob_mqtt_link_announce(link);
    hob_mqtt_requests_run_held(mqtt->front.requests);
    if (mqtt->state == HOB_MQTT_LINE_CLOSING || mqtt->link != link ||
        (hob_mqtt_client_fd(link) >= 0 && !link->cut))
        return;
    if (!link->why.code)
        hob_error_set(&link->why, HOB_ENOTCONN, "libmosquitto ended the session");
    hob_mqtt_link_down(mqtt, &link->why, false);
}

/* ---- making it ---- */

static int connect_client(struct hob_mqtt_link *link, struct hob_error *err)
{
    struct hob_mqtt_line *mqtt = link->mqtt;
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

static int make_client(struct hob_mqtt_link *link, struct hob_error *err)
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

int hob_mqtt_client_new(struct hob_mqtt_link *link, struct hob_error *err)
{
    static const struct hob_mqtt_pump_client calls = {.fd = hob_mqtt_client_fd,
                                                      .read = client_read,
                                                      .write = client_write,
                                                      .refused = client_refused,
                                                      .turned = client_turned};
    struct hob_mqtt_line *mqtt = link->mqtt;
    struct hob_mqtt_pump_client client = calls;
    client.user = link;
    int code = hob_mqtt_pump_new(mqtt->front.loop, link->stream, mqtt->front.options.runtime_dir,
                                 hob_mqtt_options_packet_max(&mqtt->front.options), &client,
                                 &link->pump, err);
    if (code == 0)
        code = make_client(link, err);
    if (code == 0)
        code = connect_client(link, err);
    return code;
}

void hob_mqtt_client_free(struct hob_mqtt_link *link)
{
    hob_mqtt_pump_free(link->pump);
    link->pump = NULL;
    if (link->client)
        mosquitto_destroy(link->client);
    link->client = NULL;
}
