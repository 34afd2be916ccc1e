/* mqtt_trunk_parts.h - internal to mqtt_trunk.c (who is there, whose turn it is, what comes in),
 * mqtt_trunk_up.c (coming up and going down) and mqtt_branch.c (one branch as a struct hob_mqtt).
 */
#ifndef HOB_NET_MQTT_TRUNK_PARTS_H
#define HOB_NET_MQTT_TRUNK_PARTS_H

#include "net/mqtt_parts.h"
#include "net/mqtt_trunk.h"

enum hob_mqtt_order_kind { HOB_MQTT_PUBLISH, HOB_MQTT_SUBSCRIBE, HOB_MQTT_UNSUBSCRIBE };

/** A request of a branch, from the call to its answer. */
struct hob_mqtt_order {
    struct hob_mqtt_order *next;
    struct hob_mqtt_trunk *trunk;   /* NULL: it was closed */
    struct hob_mqtt_branch *branch; /* NULL: nobody waits for it any more */
    uint64_t token;
    enum hob_mqtt_order_kind kind;
    bool risky;
    uint64_t sent_ms;
    int qos;
    bool retain;
    size_t count; /* of filters, */
    size_t len;   /* or of payload */
    char *topic;  /* or filters, one NUL-ended text after the other */
    char *payload;
};

struct hob_mqtt_orders {
    struct hob_mqtt_order *first, **end;
};
void hob_mqtt_orders_init(struct hob_mqtt_orders *orders);
void hob_mqtt_orders_put(struct hob_mqtt_orders *orders, struct hob_mqtt_order *order);
void hob_mqtt_orders_remove(struct hob_mqtt_orders *orders, const struct hob_mqtt_order *order);
struct hob_mqtt_order *hob_mqtt_orders_take(struct hob_mqtt_orders *orders);
void hob_mqtt_orders_free(struct hob_mqtt_orders *orders); /* those in it */
void hob_mqtt_order_free(struct hob_mqtt_order *order);

/** A filter that a branch has asked for. */
struct hob_mqtt_held {
    struct hob_mqtt_held *next;
    struct hob_mqtt_listener *listener;
    char filter[];
};

enum hob_mqtt_branch_state {
    HOB_MQTT_BRANCH_IDLE,    /* not started */
    HOB_MQTT_BRANCH_WAITING, /* to be brought up */
    HOB_MQTT_BRANCH_UP
};

struct hob_mqtt_branch {
    struct hob_mqtt front;
    struct hob_mqtt_trunk *trunk;
    enum hob_mqtt_branch_state state;
    struct hob_mqtt_branch *same_bucket;
    struct hob_mqtt_branch *prev, *next; /* of all */
    struct hob_mqtt_branch *next_turn;   /* of those with something to send */
    struct hob_mqtt_branch *next_told;   /* of those that the present message is for */
    bool has_turn, is_told, renew;       /* renew: it asked for a new connection */
    bool proven;                         /* a publish was acknowledged since it came up */
    bool blamed;                         /* in on_down: it was its request */
    struct hob_mqtt_orders orders;       /* to be sent */
    struct hob_mqtt_held *filters;
    unsigned strikes;           /* how often it was to blame */
    uint64_t left_out_until_ms; /* on the monotonic clock */
    uint64_t left_out_ms;       /* the last time */
    uint64_t up_ms, heard_ms;
    struct hob_error renew_why;
};

struct hob_mqtt_trunk {
    struct hob_mqtt_trunk_options options;
    struct hob_mqtt_watch *watch;
    struct hob_timer *turn; /* something is to be done now */
    struct hob_timer *pace; /* the next portion comes up, */
    bool pace_is_far;       /* which is one that was left out */
    struct hob_mqtt_branch **buckets;
    size_t bucket_count; /* a power of two */
    struct hob_mqtt_branch *first, *last;
    size_t count;
    struct hob_mqtt_branch *first_turn, **end_turn;
    size_t turns; /* branches with something to send */
    struct hob_mqtt_branch *told;
    struct hob_mqtt_orders on_way, lost; /* lost: with the link, which will be told of */
    size_t on_way_count, risky_on_way;   /* of those that a branch waits for */
    bool ready;                          /* the connection is up, and its owner has subscribed */
    bool session_present;
    bool careful;
    bool down_due, renew_due;
    struct hob_error down_why;
    uint64_t retry_ms;
    uint64_t own_heard_ms; /* a message came that was for no branch */
};

/* ---- mqtt_trunk_up.c, for the trunk ---- */

void hob_mqtt_trunk_on_up(void *trunk, bool session_present);
void hob_mqtt_trunk_on_down(void *trunk, const struct hob_error *why, uint64_t retry_ms);
void hob_mqtt_trunk_on_ready(void *trunk);
void hob_mqtt_trunk_on_pace(void *trunk);
/** What on_down has put down is told to all. */
void hob_mqtt_trunk_go_down(struct hob_mqtt_trunk *trunk);

/* ---- mqtt_trunk.c, for branches ---- */

/** @return 0, HOB_EEXIST: a branch of that thing is there, HOB_ENOMEM */
int hob_mqtt_trunk_join(struct hob_mqtt_trunk *trunk, struct hob_mqtt_branch *branch);
void hob_mqtt_trunk_part(struct hob_mqtt_trunk *trunk, struct hob_mqtt_branch *branch);
void hob_mqtt_trunk_wake(struct hob_mqtt_trunk *trunk); /* somebody waits to be brought up */
/** Takes the order, if it returns 0. */
void hob_mqtt_trunk_send(struct hob_mqtt_trunk *trunk, struct hob_mqtt_order *order);
/** A branch distrusts the link. */
void hob_mqtt_trunk_doubt(struct hob_mqtt_trunk *trunk, struct hob_mqtt_branch *branch,
                          const char *reason);
bool hob_mqtt_trunk_is_up(const struct hob_mqtt_trunk *trunk);
struct hob_mqtt_share *hob_mqtt_trunk_share(struct hob_mqtt_trunk *trunk);
const char *hob_mqtt_trunk_describe(const struct hob_mqtt_trunk *trunk, char *out, size_t len);
/** Another branch, or the trunk's own thing, is told of this message, too. */
void hob_mqtt_trunk_tell(struct hob_mqtt_trunk *trunk, struct hob_mqtt_branch *branch);

/* ---- mqtt_branch.c, for the trunk ---- */

/** Give it to the trunk's connection. @return 0, or a code: it is not taken */
int hob_mqtt_branch_carry_out(struct hob_mqtt_order *order, hob_mqtt_done_fn *done,
                              hob_mqtt_subscribed_fn *subscribed);
/** Nothing of it is on its way any more; then it is told why. */
void hob_mqtt_branch_down(struct hob_mqtt_branch *branch, const struct hob_error *why,
                          uint64_t retry_ms);
void hob_mqtt_branch_up(struct hob_mqtt_branch *branch, bool session_present);

#endif
