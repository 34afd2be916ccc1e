#include "net/mqtt_options.h"

#include "base/alloc.h"

#include <string.h>

#define KEEP_ALIVE_S       60
#define KEEP_ALIVE_MIN_S   5 /* libmosquitto takes no less */
#define CONNECT_TIMEOUT_MS 30000
#define BACKOFF_BASE_MS    1000
#define BACKOFF_CAP_MS     120000
#define PACKET_FACTOR      4            /* so far beyond payload_max a message is only dropped */
#define PACKET_HEAD        (128 * 1024) /* topic and properties, 64 KB each */

static bool copy_string(const char **string)
{
    if (!*string)
        return true;
    *string = hob_strdup(*string);
    return *string != NULL;
}

/* Every string among the options, so that copying and freeing cannot disagree. */
#define STRINGS(o)                                                                                 \
    {                                                                                              \
        &(o)->host, &(o)->client_id, &(o)->username, &(o)->password, &(o)->runtime_dir,            \
            &(o)->thing, &(o)->tls.ca_file, &(o)->tls.cert_file, &(o)->tls.key_file,               \
            &(o)->tls.key_passphrase, &(o)->tls.alpn                                               \
    }

static void set_defaults(struct hob_mqtt_options *o)
{
    if (o->protocol == 0)
        o->protocol = 4;
    if (o->keep_alive_s == 0)
        o->keep_alive_s = KEEP_ALIVE_S;
    if (o->payload_max == 0)
        o->payload_max = HOB_MQTT_PAYLOAD_MAX;
    if (o->connect_timeout_ms == 0)
        o->connect_timeout_ms = CONNECT_TIMEOUT_MS;
    if (o->backoff_base_ms == 0)
        o->backoff_base_ms = BACKOFF_BASE_MS;
    if (o->backoff_cap_ms == 0)
        o->backoff_cap_ms = BACKOFF_CAP_MS;
}

bool hob_mqtt_options_copy(struct hob_mqtt_options *o, const struct hob_mqtt_options *options)
{
    *o = *options;
    const char **strings[] = STRINGS(o);
    bool ok = true;
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
        ok = copy_string(strings[i]) && ok; /* go on: the rest must not stay borrowed */
    o->tls.thing = o->thing;
    set_defaults(o);
    return ok;
}

void hob_mqtt_options_free(struct hob_mqtt_options *o)
{
    const char **strings[] = STRINGS(o);
    if (o->password)
        explicit_bzero((char *)o->password, strlen(o->password));
    if (o->tls.key_passphrase)
        explicit_bzero((char *)o->tls.key_passphrase, strlen(o->tls.key_passphrase));
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
        hob_free((char *)*strings[i]);
}

int hob_mqtt_options_check(const struct hob_mqtt_options *o, struct hob_error *err)
{
    if (!o->host || !*o->host)
        return hob_error_set(err, HOB_EINVAL, "host: expected a name or an address");
    if (o->port < 1 || o->port > 65535)
        return hob_error_set(err, HOB_EINVAL, "port: expected 1 to 65535, got %d", o->port);
    if (!o->client_id || !*o->client_id)
        return hob_error_set(err, HOB_EINVAL, "client_id: expected a name");
    if (o->protocol != 0 && o->protocol != 4 && o->protocol != 5)
        return hob_error_set(err, HOB_EINVAL, "protocol: expected 4 (MQTT 3.1.1) or 5, got %d",
                             o->protocol);
    if (o->keep_alive_s != 0 && (o->keep_alive_s < KEEP_ALIVE_MIN_S || o->keep_alive_s > 65535))
        return hob_error_set(err, HOB_EINVAL, "keep_alive: expected %d to 65535 s, got %u",
                             KEEP_ALIVE_MIN_S, o->keep_alive_s);
    if (o->payload_max > HOB_MQTT_PENDING_SIZE)
        return hob_error_set(err, HOB_EINVAL, "payload_max: expected at most %d bytes",
                             HOB_MQTT_PENDING_SIZE);
    return 0;
}

size_t hob_mqtt_options_packet_max(const struct hob_mqtt_options *o)
{
    size_t max = PACKET_FACTOR * o->payload_max;
    return (max > HOB_MQTT_PACKET_MAX_LEAST ? max : HOB_MQTT_PACKET_MAX_LEAST) + PACKET_HEAD;
}
