/* mqtt_parts.h - internal to net/mqtt*.c: the front that everybody uses, and what stands behind it.
 *
 * Glossary
 *   front    struct hob_mqtt: checks what is asked, counts, knows which requests have no answer
 *   backend  how packets really travel: libmosquitto over our own stream (mqtt_mosquitto.c), a
 *            product's own connection (mqtt_given.c), another connection of this process
 *            (mqtt_branch.c). Its struct begins with the front
 *
 * A backend calls the front's functions below, and the callbacks of the options, never inside a
 * call of the front; between hob_mqtt_front_open and hob_mqtt_front_closed.
 */
#ifndef HOB_NET_MQTT_PARTS_H
#define HOB_NET_MQTT_PARTS_H

#include "net/mqtt.h"
#include "net/mqtt_counts.h"
#include "net/mqtt_requests.h"

struct hob_mqtt_backend {
    bool (*is_up)(const struct hob_mqtt *mqtt);
    void (*start)(struct hob_mqtt *mqtt); /* once */
    void (*reconnect)(struct hob_mqtt *mqtt, const char *reason);
    /* What is asked is valid, and it is up. @return 0: hob_mqtt_requests_complete will be called,
     * or the request ends with the link; or a code: then it is not */
    int (*publish)(struct hob_mqtt *mqtt, struct hob_mqtt_request *request,
                   const struct hob_mqtt_message *message);
    int (*subscribe)(struct hob_mqtt *mqtt, struct hob_mqtt_request *request,
                     const char *const *filters, size_t count, int qos);
    int (*unsubscribe)(struct hob_mqtt *mqtt, struct hob_mqtt_request *request,
                       const char *const *filters, size_t count);
    /** Stop all that could call back by itself: inside hob_mqtt_close. */
    void (*leave)(struct hob_mqtt *mqtt);
    /** In a turn of its own; every request has ended. Then hob_mqtt_front_closed, now or later. */
    void (*close)(struct hob_mqtt *mqtt);
    void (*free)(struct hob_mqtt *mqtt); /* what `open` took, and the struct */
    /** Add what only it knows; NULL: nothing. */
    void (*stats)(const struct hob_mqtt *mqtt, struct hob_mqtt_stats *out);
    void (*counts)(const struct hob_mqtt *mqtt, struct hob_mqtt_counts *out);
    bool (*is_suspect)(const struct hob_mqtt *mqtt);                             /* NULL: always */
    const char *(*describe)(const struct hob_mqtt *mqtt, char *out, size_t len); /* it is up */
};

struct hob_mqtt {
    const struct hob_mqtt_backend *backend;
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_mqtt_options options; /* copied, with the defaults */
    struct hob_mqtt_requests *requests;
    struct hob_mqtt_counts counts;
    bool started, closing;
    struct hob_loop_soon end;
    bool no_local; /* of what is subscribed to */
    bool doubted;  /* hob_mqtt_reconnect was called while it was up; a trunk resets it */
    void (*closed)(void *user);
    void *closed_user;
};

/** Fill the front of a backend's struct. @return 0, HOB_ENOMEM: free it all the same */
int hob_mqtt_front_open(struct hob_mqtt *mqtt, const struct hob_mqtt_backend *backend,
                        struct hob_loop *loop, struct hob_log *log,
                        const struct hob_mqtt_options *options);
/** Give back what hob_mqtt_front_open took; for backend->free. */
void hob_mqtt_front_free(struct hob_mqtt *mqtt);
/** All is closed: frees it, and tells who asked for it. */
void hob_mqtt_front_closed(struct hob_mqtt *mqtt);

/** A message came: counted, and handed on unless it is too large. */
void hob_mqtt_front_message(struct hob_mqtt *mqtt, const struct hob_mqtt_message *message);

/* ---- the backends ---- */

int hob_mqtt_mosquitto_new(struct hob_loop *loop, struct hob_log *log,
                           const struct hob_mqtt_options *options, struct hob_mqtt **out,
                           struct hob_error *err);
int hob_mqtt_given_new(struct hob_loop *loop, struct hob_log *log,
                       const struct hob_mqtt_options *options, struct hob_mqtt **out,
                       struct hob_error *err);
int hob_mqtt_branch_new(struct hob_loop *loop, struct hob_log *log,
                        const struct hob_mqtt_options *options, struct hob_mqtt **out,
                        struct hob_error *err);

/** May it be published to? */
bool hob_mqtt_topic_valid(const char *topic);

#endif
