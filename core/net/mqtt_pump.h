/* mqtt_pump.h - carries bytes between a stream and an MQTT library that insists on a socket.
 *
 * Glossary
 *   client  whoever owns the library (mqtt.c); the pump reaches it only through `struct
 *           hob_mqtt_pump_client`
 *   pipe    an AF_UNIX connection inside this process: the library's end, and ours
 *   turn    everything moves as far as it can, both ways, in one go
 *
 * Nobody waits for the pipe: the library writes to it only inside a turn, or inside a call after
 * which the client says hob_mqtt_pump_wake. So the pipe costs no wake-up of the loop, and what is
 * full stays quiet until the stream has room again. docs/explanation/pump.md tells why.
 *
 * Life: hob_mqtt_pump_new -> client connects to hob_mqtt_pump_path -> hob_mqtt_pump_accept -> turns
 * -> hob_mqtt_pump_free. Loop thread only.  Spec: spec/integration/mqtt_spec.lua
 */
#ifndef HOB_NET_MQTT_PUMP_H
#define HOB_NET_MQTT_PUMP_H

#include "net/stream.h"

struct hob_mqtt_pump;

/** What the pump asks of the library; never called from inside one of the library's callbacks. */
struct hob_mqtt_pump_client {
    int (*fd)(void *user);     /* its end of the pipe; -1 once it has given up */
    void (*read)(void *user);  /* take packets from the pipe */
    bool (*write)(void *user); /* put packets into the pipe; false: there were none */
    /** The stream brings what must not reach the library; nothing more is moved in. */
    void (*refused)(void *user, const struct hob_error *why);
    void (*turned)(void *user); /* a turn is over: look whether the link still stands */
    void *user;
};

struct hob_mqtt_pump_stats {
    uint64_t turns;
    uint64_t bytes_in, bytes_out;     /* plaintext that went through */
    uint64_t last_in_ms, last_out_ms; /* hob_clock_mono_ms */
};

/** Listen in a new private directory, in the first of $RUNTIME_DIRECTORY, /run, /tmp and
 * `runtime_dir` (may be NULL) that can be written to.
 * @param stream      borrowed; its callbacks go on to hob_mqtt_pump_stream_moves
 * @param packet_max  bytes of a packet in; a larger one is refused before the library has seen its
 *                    length: it would make room for it at once */
int hob_mqtt_pump_new(struct hob_loop *loop, struct hob_stream *stream, const char *runtime_dir,
                      size_t packet_max, const struct hob_mqtt_pump_client *client,
                      struct hob_mqtt_pump **out, struct hob_error *err);

const char *hob_mqtt_pump_path(const struct hob_mqtt_pump *pump); /* under 100 bytes */

/** The library has connected: take its connection, check that it is from this process, and remove
 * the listener and its directory. */
int hob_mqtt_pump_accept(struct hob_mqtt_pump *pump, struct hob_error *err);

/** The library was given something to send, or asked to: move what can be moved, then call
 * client->turned. Not from inside one of the library's callbacks (there it does nothing: the turn
 * that called the library goes on anyway). */
void hob_mqtt_pump_turn(struct hob_mqtt_pump *pump);

/** Likewise, but it is the stream that has something, or has room again. */
void hob_mqtt_pump_stream_moves(struct hob_mqtt_pump *pump);

/** The library was given something to send: a turn before the loop next waits. */
void hob_mqtt_pump_wake(struct hob_mqtt_pump *pump);

void hob_mqtt_pump_get_stats(const struct hob_mqtt_pump *pump, struct hob_mqtt_pump_stats *out);

/** Not inside a turn. NULL is legal. */
void hob_mqtt_pump_free(struct hob_mqtt_pump *pump);

#endif
