/* mqtt_counts.h - what a connection has counted since it was made, over all its links.
 *
 * Why a link ended, or an attempt failed, is one of a few causes, so that a monitoring system may
 * keep one number for each.  Spec: spec/integration/metrics_spec.lua,
 * spec/integration/metrics_spec.lua
 */
#ifndef HOB_NET_MQTT_COUNTS_H
#define HOB_NET_MQTT_COUNTS_H

#include <stdbool.h>
#include <stdint.h>

enum hob_mqtt_cause {
    HOB_MQTT_CAUSE_RESOLVE,   /* the name has no address */
    HOB_MQTT_CAUSE_NETWORK,   /* no way, nobody listens, or the other side closed */
    HOB_MQTT_CAUSE_TLS,       /* certificates, the clock, or what the other side made of them */
    HOB_MQTT_CAUSE_REFUSED,   /* by the broker: client id, policy, password, taken over */
    HOB_MQTT_CAUSE_TIMEOUT,   /* to connect, or of the keep-alive */
    HOB_MQTT_CAUSE_NO_ANSWER, /* the broker is there, the service does not answer */
    HOB_MQTT_CAUSE_PROTOCOL,  /* what came was not MQTT, or too large */
    HOB_MQTT_CAUSE_LOCAL,     /* a file that cannot be read, out of memory */
    HOB_MQTT_CAUSES
};

struct hob_mqtt_counts {
    uint64_t connected; /* how often */
    uint64_t lost[HOB_MQTT_CAUSES], refused[HOB_MQTT_CAUSES];
    uint64_t messages_in, messages_out;
    uint64_t bytes_in, bytes_out; /* MQTT packets, before TLS */
};

/** "resolve", "network" ... @param cause  below HOB_MQTT_CAUSES */
const char *hob_mqtt_cause_name(enum hob_mqtt_cause cause);

/** Of a HOB_E* code. */
enum hob_mqtt_cause hob_mqtt_cause_of(int code);

/** A link that was up has ended, or an attempt failed.
 * @param distrusted  it was given up because of hob_mqtt_reconnect */
void hob_mqtt_counts_down(struct hob_mqtt_counts *counts, bool was_up, bool distrusted, int code);

#endif
