/* mqtt_words.h - what the log says of a connection. Internal to net/mqtt*.c.
 * Spec: spec/integration/mqtt_spec.lua
 */
#ifndef HOB_NET_MQTT_WORDS_H
#define HOB_NET_MQTT_WORDS_H

#include "net/mqtt.h"

/** "host:8883", "[::1]:8883". @return out */
const char *hob_mqtt_words_place(const struct hob_mqtt_options *options, char *out, size_t len);

/** conn.up; `how` describes the stream. */
void hob_mqtt_words_log_up(struct hob_log *log, const struct hob_mqtt_options *options,
                           uint64_t took_ms, const char *how);

/** conn.session_lost: the broker was to keep it, and did not. */
void hob_mqtt_words_log_session_lost(struct hob_log *log, const struct hob_mqtt_options *options);

/** conn.lost if it was up, else conn.refused; with what a person can do. */
void hob_mqtt_words_log_down(struct hob_log *log, const struct hob_mqtt_options *options,
                             const struct hob_error *why, bool was_up, uint64_t retry_ms);

/** Of a connection that is the product's: conn.up; conn.lost. */
void hob_mqtt_words_log_given_up(struct hob_log *log, const struct hob_mqtt_options *options,
                                 const char *description);
void hob_mqtt_words_log_given_down(struct hob_log *log, const struct hob_mqtt_options *options,
                                   const struct hob_error *why);

/** conn.clock_set: by so much; the next try comes at once. */
void hob_mqtt_words_log_clock(struct hob_log *log, const struct hob_mqtt_options *options,
                              int64_t by_ms);

/** conn.dropped: a message of `len` bytes, more than payload_max. */
void hob_mqtt_words_log_dropped(struct hob_log *log, const struct hob_mqtt_options *options,
                                const char *topic, size_t len);

#endif
