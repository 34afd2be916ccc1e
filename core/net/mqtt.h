/* mqtt.h - one MQTT connection to a broker, kept up.
 *
 * Whoever uses it does not know which of three it is:
 *   its own           a libmosquitto client and the pump between it and a stream (libmosquitto
 * takes no file descriptor and no TLS but OpenSSL's, so it is connected to an AF_UNIX socket whose
 * other end is ours; see docs/explanation/pump.md). Reconnects by itself with full jitter; each
 * attempt reads the certificate files again, and has a new libmosquitto client, so that nothing but
 * the caller ever sends a publish twice options.connection  the product's: it is up when the
 * product says so (core/hob.h) options.trunk       one of several on another connection of this
 * process (net/mqtt_trunk.h) What was not acknowledged when the link broke ends with HOB_ENOTCONN.
 * Subscriptions are not replayed either: whoever needs one asks for it in on_up, and checks what
 * was granted. Knows nothing of jobs.
 *
 * Life: hob_mqtt_new -> hob_mqtt_start -> hob_mqtt_close(cb), freed after cb. Loop thread only;
 * callbacks never run inside a call of this file. Logs conn.up, conn.refused, conn.lost.
 * Specs: spec/integration/mqtt_spec.lua, mqtt_moments_spec.lua and tls_spec.lua,
 * spec/unit/connection_spec.lua (a product's) and branch_spec.lua
 */
#ifndef HOB_NET_MQTT_H
#define HOB_NET_MQTT_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "net/tls.h"

#include <stdbool.h>

#define HOB_MQTT_PAYLOAD_MAX (256 * 1024) /* of a message in either direction */
/* A larger message in is dropped and logged, and the link stays, up to a packet of four times
 * payload_max, at least this, and 128 KB for topic and properties. A packet that announces more
 * ends the link (conn.lost, HOB_EMSGSIZE) before libmosquitto makes room for it. */
#define HOB_MQTT_PACKET_MAX_LEAST (1024 * 1024)
/* So many QoS 1 messages go out without a PUBACK: as many as AWS IoT takes. The rest waits. */
#define HOB_MQTT_INFLIGHT_MAX 100
#define HOB_MQTT_PENDING_MAX  4096              /* requests without an answer */
#define HOB_MQTT_PENDING_SIZE (8 * 1024 * 1024) /* the bytes that they hold together */

struct hob_mqtt;
struct hob_mqtt_trunk;

struct hob_mqtt_message {
    const char *topic;   /* NUL-terminated */
    const char *payload; /* not NUL-terminated; may hold any byte */
    size_t len;
    int qos;
    bool retain;
};

struct hob_mqtt_options { /* all strings are copied */
    /* One of them in place of what is needed to connect, from `host` on; borrowed. */
    struct hob_connection *connection;
    struct hob_mqtt_trunk *trunk;
    unsigned *inside; /* with `connection`: counted up while its functions are called; borrowed */
    const char *host;
    int port;
    const char *client_id;
    const char *username; /* NULL: none */
    const char *password;
    bool use_tls;
    struct hob_tls_options tls;  /* key_provider and cache are borrowed; `thing` is that below */
    const char *runtime_dir;     /* where the pump's socket directory may be made; tried last */
    const char *thing;           /* for the log; may be NULL */
    int protocol;                /* 4: MQTT 3.1.1 (0 means this), 5: MQTT 5 */
    bool persistent_session;     /* false: clean session */
    unsigned keep_alive_s;       /* 0: 60; at least 5; an MQTT 5 broker may set another */
    size_t payload_max;          /* 0: HOB_MQTT_PAYLOAD_MAX; see HOB_MQTT_PACKET_MAX_LEAST */
    uint64_t connect_timeout_ms; /* 0: 30,000 */
    uint64_t backoff_base_ms;    /* 0: 1,000 */
    uint64_t backoff_cap_ms;     /* 0: 120,000 */

    void (*on_up)(void *user, bool session_present);
    /** The link broke, or an attempt failed; the next one starts in retry_ms. */
    void (*on_down)(void *user, const struct hob_error *why, uint64_t retry_ms);
    void (*on_message)(void *user, const struct hob_mqtt_message *message); /* borrowed */
    void *user;
};

/** Called once for every request that was taken.
 * @param status  0 at PUBACK (QoS 1) or when sent (QoS 0); HOB_ENOTCONN: the link broke before;
 *                 HOB_ECANCELED: the connection is being closed; HOB_EREFUSED (MQTT 5) */
typedef void hob_mqtt_done_fn(void *user, int status);

/** @param granted  QoS per filter, 128 or more: refused; NULL unless status is 0 */
typedef void hob_mqtt_subscribed_fn(void *user, int status, const int *granted, size_t count);

int hob_mqtt_new(struct hob_loop *loop, struct hob_log *log, const struct hob_mqtt_options *options,
                 struct hob_mqtt **out, struct hob_error *err);

/** Begin to connect. Failures are not returned: they are told to on_down, and tried again. */
void hob_mqtt_start(struct hob_mqtt *mqtt);

bool hob_mqtt_is_up(const struct hob_mqtt *mqtt);

/** The link is not to be trusted (a request had no answer): drop it and connect anew, at once. An
 * attempt under way is dropped, too: a certificate may have been replaced since it began. */
void hob_mqtt_reconnect(struct hob_mqtt *mqtt, const char *reason);

/** Queue a message.
 * @param payload  borrowed for the call (copied)
 * @param done     called once, later; may be NULL
 * @return 0, HOB_ENOTCONN, HOB_EMSGSIZE, HOB_EINVAL, or HOB_EBUSY: too much is unanswered already
 *         (HOB_MQTT_PENDING_*); done is never called then */
int hob_mqtt_publish(struct hob_mqtt *mqtt, const char *topic, const void *payload, size_t len,
                     int qos, bool retain, hob_mqtt_done_fn *done, void *user);

/** One SUBSCRIBE packet for `count` filters (AWS takes at most 8).
 * @return 0, HOB_ENOTCONN, HOB_EINVAL, HOB_EBUSY */
int hob_mqtt_subscribe(struct hob_mqtt *mqtt, const char *const *filters, size_t count, int qos,
                       hob_mqtt_subscribed_fn *done, void *user);
int hob_mqtt_unsubscribe(struct hob_mqtt *mqtt, const char *const *filters, size_t count,
                         hob_mqtt_done_fn *done, void *user);
/** From here on subscribe so that what this connection publishes does not come back to it; MQTT 5
 * only, MQTT 3.1.1 has no such thing. */
void hob_mqtt_no_local(struct hob_mqtt *mqtt);

/** Was the link lost when what this one had asked for was on its way, and nothing of others that
 * could be the cause? (A broker may close instead of refusing.) Of a connection of its own: always.
 * In on_down. */
bool hob_mqtt_is_suspect(const struct hob_mqtt *mqtt);

/** May it be subscribed to? And: does it match this topic? (MQTT's + and #; `$aws/...` is matched
 * by no filter that begins with a wildcard) */
bool hob_mqtt_filter_valid(const char *filter);
bool hob_mqtt_filter_matches(const char *filter, const char *topic);

/** Send DISCONNECT and end. Every pending `done` is called with HOB_ECANCELED, then `closed`; no
 * other callback runs after hob_mqtt_close. Takes the object, and holds the loop till then. */
void hob_mqtt_close(struct hob_mqtt *mqtt, void (*closed)(void *user), void *user);

/** Of the present link; zeros while there is none. `turns` counts how often the pump worked. */
struct hob_mqtt_stats {
    uint64_t attempts; /* since the start */
    uint64_t turns, bytes_in, bytes_out;
    size_t pending; /* requests without an answer */
    bool no_delay;  /* TCP_NODELAY is on */
};
void hob_mqtt_get_stats(const struct hob_mqtt *mqtt, struct hob_mqtt_stats *out);

struct hob_mqtt_counts;
/** Since it was made: see mqtt_counts.h. */
void hob_mqtt_get_counts(const struct hob_mqtt *mqtt, struct hob_mqtt_counts *out);

/** "TLSv1.2, TLS-ECDHE-..., resumed", "no TLS", or "not connected". @return out */
const char *hob_mqtt_describe(const struct hob_mqtt *mqtt, char *out, size_t len);

/** "2.0.11" */
const char *hob_mqtt_library_version(char *out, size_t len);

#endif
