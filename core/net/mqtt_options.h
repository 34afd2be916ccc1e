/* mqtt_options.h - the options of a connection: checked, copied, completed. Internal to
 * net/mqtt*.c. Spec: spec/integration/mqtt_spec.lua
 */
#ifndef HOB_NET_MQTT_OPTIONS_H
#define HOB_NET_MQTT_OPTIONS_H

#include "net/mqtt.h"

/** @return 0, or HOB_EINVAL naming the option and what was expected */
int hob_mqtt_options_check(const struct hob_mqtt_options *options, struct hob_error *err);

/** Copy every string, and put the defaults where there is zero. @return false: out of memory; free
 * it all the same */
bool hob_mqtt_options_copy(struct hob_mqtt_options *out, const struct hob_mqtt_options *options);

/** Wipes the secrets. */
void hob_mqtt_options_free(struct hob_mqtt_options *options);

/** The largest packet that is taken in (see HOB_MQTT_PACKET_MAX_LEAST). */
size_t hob_mqtt_options_packet_max(const struct hob_mqtt_options *options);

#endif
