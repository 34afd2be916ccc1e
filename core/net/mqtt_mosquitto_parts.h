/* mqtt_mosquitto_parts.h - internal to mqtt_mosquitto.c (what the front asks, and the timers),
 * mqtt_mosquitto_link.c (an attempt, the link that it becomes, its end) and mqtt_mosquitto_client.c
 * (the struct mosquitto of a link: what it says, and what the pump asks of it).
 */
#ifndef HOB_NET_MQTT_MOSQUITTO_PARTS_H
#define HOB_NET_MQTT_MOSQUITTO_PARTS_H

#include "base/backoff.h"
#include "base/clock_watch.h"
#include "net/mqtt_parts.h"
#include "net/mqtt_pump.h"
#include "net/stream.h"

struct mosquitto;

enum hob_mqtt_line_state {
    HOB_MQTT_LINE_IDLE,
    HOB_MQTT_LINE_WAITING,
    HOB_MQTT_LINE_CONNECTING,
    HOB_MQTT_LINE_GREETING,
    HOB_MQTT_LINE_UP,
    HOB_MQTT_LINE_CLOSING
};

/* One attempt to connect, and the link that it became. Lives until its stream has closed, which may
 * be after the next attempt has begun. */
struct hob_mqtt_link {
    struct hob_mqtt_line *mqtt;
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

struct hob_mqtt_line {
    struct hob_mqtt front;
    enum hob_mqtt_line_state state;
    struct hob_mqtt_link *link; /* the present one; NULL while waiting */
    unsigned links;             /* with those whose stream is closing */
    struct hob_tls_ticket *ticket;
    struct hob_tls_cache *tls_cache; /* its own, for the next attempt; NULL: the options have one */
    struct hob_backoff backoff;
    struct hob_timer *timer;       /* the next attempt, or the end of patience for CONNACK */
    struct hob_timer *keeper;      /* the next keep-alive */
    struct hob_clock_watch *clock; /* after a refusal that the clock may be the cause of */
    uint64_t kept_ms, attempt_ms, up_ms, attempts;
    struct hob_error distrust; /* hob_mqtt_reconnect was called, and `timer` is due; code 0: no */
    bool had_session;          /* the broker was asked to keep it, by this process */
};

/* ---- mqtt_mosquitto_link.c ---- */

void hob_mqtt_link_attempt(struct hob_mqtt_line *mqtt);
/** It is up, if CONNACK has come and nobody was told yet. */
void hob_mqtt_link_announce(struct hob_mqtt_link *link);
/** It broke, or it never came to be: the next attempt waits, and the user is told.
 * @param why  borrowed; may be the link's own */
void hob_mqtt_link_down(struct hob_mqtt_line *mqtt, const struct hob_error *why, bool at_once);
/** It is no longer the present one. Its stream still sends what it has and closes. */
void hob_mqtt_link_drop(struct hob_mqtt_line *mqtt);
/** Add those that it moved. */
void hob_mqtt_link_count_bytes(const struct hob_mqtt_link *link, struct hob_mqtt_counts *counts);

/* ---- mqtt_mosquitto_client.c ---- */

/** Client and pump of a link whose stream is open. @return 0, or a code: free them all the same */
int hob_mqtt_client_new(struct hob_mqtt_link *link, struct hob_error *err);
void hob_mqtt_client_free(struct hob_mqtt_link *link);
int hob_mqtt_client_fd(void *link); /* -1: libmosquitto has given up */
int hob_mqtt_client_code(int rc);   /* what libmosquitto answers, as a code of ours */

/* ---- mqtt_mosquitto.c ---- */

/** The link is up: look after it from now on. */
void hob_mqtt_line_keep_alive_later(struct hob_mqtt_line *mqtt);

#endif
