#include "host/own_connection.h"

#include "base/alloc.h"
#include "net/mqtt.h"
#include "net/mqtt_share.h"
#include "net/mqtt_trunk.h"

#include <string.h>

struct hob_own_connection {
    struct hob_log *log;
    struct hob_mqtt *mqtt;
    struct hob_mqtt_share *share;
    struct hob_mqtt_trunk *trunk;
    bool warned;
};

static void on_up(void *user, bool session_present)
{
    struct hob_own_connection *own = user;
    hob_mqtt_share_up(own->share, session_present);
    hob_mqtt_share_ready(own->share);
}

static void on_down(void *user, const struct hob_error *why, uint64_t retry_ms)
{
    struct hob_own_connection *own = user;
    hob_mqtt_share_down(own->share, why, retry_ms);
}

static void on_message(void *user, const struct hob_mqtt_message *message)
{
    struct hob_own_connection *own = user;
    hob_mqtt_share_message(own->share, message);
}

void hob_own_connection_say_many(struct hob_log *log, const char *thing, const char *place,
                                 size_t held)
{
    if (!strstr(place, ".amazonaws.com")) {
        return;
    }
    hob_log_write(log,
                  &(struct hob_log_record){
                      .level = HOB_LOG_WARN,
                      .event = "conn.many_subscriptions",
                      .thing = thing,
                      .action = "put fewer things on one connection (each needs 6), or have the "
                                "quota 'Subscriptions per connection' of AWS IoT Core raised"},
                  "this connection holds %zu subscriptions: AWS IoT allows %d unless more were "
                  "granted to the account, and refuses the rest",
                  held, HOB_AWS_SUBSCRIPTIONS);
}

static void on_many(void *user, size_t held)
{
    struct hob_own_connection *own = user;
    char place[200];
    if (!own->warned) {
        hob_mqtt_describe(own->mqtt, place, sizeof place);
        hob_own_connection_say_many(own->log, NULL, place, held);
        own->warned = true;
    }
}

int hob_own_connection_new(struct hob_loop *loop, struct hob_log *log,
                           struct hob_connection *connection, unsigned *inside,
                           struct hob_own_connection **out, struct hob_error *err)
{
    struct hob_own_connection *own = hob_calloc(1, sizeof *own);
    if (!own) {
        return hob_error_set(err, HOB_ENOMEM, "the product's own connection: out of memory");
    }
    struct hob_mqtt_options options = {.connection = connection,
                                       .inside = inside,
                                       .on_up = on_up,
                                       .on_down = on_down,
                                       .on_message = on_message,
                                       .user = own};
    own->log = log;
    int rc = hob_mqtt_new(loop, log, &options, &own->mqtt, err);
    rc = rc ? rc : hob_mqtt_share_new(own->mqtt, &own->share, err);
    if (rc == 0) {
        struct hob_mqtt_trunk_options trunk = {.loop = loop, .log = log, .share = own->share};
        hob_mqtt_share_limit(own->share, HOB_AWS_SUBSCRIPTIONS, on_many, own);
        rc = hob_mqtt_trunk_new(&trunk, &own->trunk, err);
    }
    if (rc) {
        hob_own_connection_close(own);
        return rc;
    }
    *out = own;
    return 0;
}

void hob_own_connection_start(struct hob_own_connection *own)
{
    hob_mqtt_start(own->mqtt);
}

struct hob_mqtt_trunk *hob_own_connection_trunk(struct hob_own_connection *own)
{
    return own->trunk;
}

void hob_own_connection_close(struct hob_own_connection *own)
{
    if (!own) {
        return;
    }
    hob_mqtt_trunk_close(own->trunk);
    hob_mqtt_share_free(own->share);
    if (own->mqtt) {
        hob_mqtt_close(own->mqtt, NULL, NULL);
    }
    hob_free(own);
}
