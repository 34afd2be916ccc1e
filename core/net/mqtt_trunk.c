#include "net/mqtt_trunk.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "net/mqtt_trunk_parts.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define BUCKETS_MIN 16
#define BUSY_MS     100   /* the connection takes nothing: until it is tried again */
#define HEARD_MS    30000 /* whoever heard something in that time has a good link */

/* ---- who is there ---- */

static struct hob_mqtt_branch **bucket_of(const struct hob_mqtt_trunk *trunk, const char *name,
                                          size_t len)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)name[i]) * 16777619u;
    return &trunk->buckets[(hash ^ hash >> 16) & (trunk->bucket_count - 1)];
}

static struct hob_mqtt_branch *find(const struct hob_mqtt_trunk *trunk, const char *name,
                                    size_t len)
{
    struct hob_mqtt_branch *one = *bucket_of(trunk, name, len);
    while (one && (strncmp(one->front.options.thing, name, len) != 0 ||
                   one->front.options.thing[len] != '\0'))
        one = one->same_bucket;
    return one;
}

static void link_bucket(struct hob_mqtt_trunk *trunk, struct hob_mqtt_branch *branch)
{
    const char *name = branch->front.options.thing;
    struct hob_mqtt_branch **bucket = bucket_of(trunk, name, strlen(name));
    branch->same_bucket = *bucket;
    *bucket = branch;
}

static bool grow(struct hob_mqtt_trunk *trunk)
{
    size_t count = trunk->bucket_count ? 2 * trunk->bucket_count : BUCKETS_MIN;
    struct hob_mqtt_branch **buckets = hob_calloc(count, sizeof(struct hob_mqtt_branch *));
    if (!buckets)
        return false;
    hob_free(trunk->buckets);
    trunk->buckets = buckets;
    trunk->bucket_count = count;
    for (struct hob_mqtt_branch *one = trunk->first; one; one = one->next)
        link_bucket(trunk, one);
    return true;
}

int hob_mqtt_trunk_join(struct hob_mqtt_trunk *trunk, struct hob_mqtt_branch *branch)
{
    const char *name = branch->front.options.thing;
    if (find(trunk, name, strlen(name)))
        return HOB_EEXIST;
    if (trunk->count >= trunk->bucket_count && !grow(trunk))
        return HOB_ENOMEM;
    branch->trunk = trunk;
    branch->prev = trunk->last;
    *(trunk->last ? &trunk->last->next : &trunk->first) = branch;
    trunk->last = branch;
    trunk->count++;
    link_bucket(trunk, branch);
    return 0;
}

static void leave_turns(struct hob_mqtt_trunk *trunk, struct hob_mqtt_branch *branch)
{
    struct hob_mqtt_branch **at = &trunk->first_turn;
    while (*at && *at != branch)
        at = &(*at)->next_turn;
    if (!*at)
        return;
    *at = branch->next_turn;
    if (!*at)
        trunk->end_turn = at;
    branch->has_turn = false;
    trunk->turns--;
}

static void leave_told(struct hob_mqtt_trunk *trunk, struct hob_mqtt_branch *branch)
{
    struct hob_mqtt_branch **at = &trunk->told;
    while (*at && *at != branch)
        at = &(*at)->next_told;
    if (*at)
        *at = branch->next_told;
    branch->is_told = false;
}

static void uncount(struct hob_mqtt_trunk *trunk, const struct hob_mqtt_order *order)
{
    trunk->on_way_count--;
    trunk->risky_on_way -= order->risky;
}

/* What of it is on its way has no owner any more. Its answer may never come: nobody is to wait for
 * that. */
static void disown(struct hob_mqtt_trunk *trunk, const struct hob_mqtt_branch *branch)
{
    for (struct hob_mqtt_order *order = trunk->on_way.first; order; order = order->next) {
        if (order->branch != branch)
            continue;
        order->branch = NULL;
        uncount(trunk, order);
    }
    for (struct hob_mqtt_order *order = trunk->lost.first; order; order = order->next)
        if (order->branch == branch)
            order->branch = NULL;
}

/* ---- whose turn it is ---- */

static void take_turn(struct hob_mqtt_trunk *trunk, struct hob_mqtt_branch *branch)
{
    if (branch->has_turn)
        return;
    branch->has_turn = true;
    branch->next_turn = NULL;
    *trunk->end_turn = branch;
    trunk->end_turn = &branch->next_turn;
    trunk->turns++;
}

void hob_mqtt_trunk_send(struct hob_mqtt_trunk *trunk, struct hob_mqtt_order *order)
{
    hob_mqtt_orders_put(&order->branch->orders, order);
    take_turn(trunk, order->branch);
    if (!hob_timer_active(trunk->turn))
        hob_timer_start(trunk->turn, 0);
}

static void go_on(struct hob_mqtt_trunk *trunk)
{
    if (trunk->turns && !hob_timer_active(trunk->turn))
        hob_timer_start(trunk->turn, 0);
}

void hob_mqtt_trunk_part(struct hob_mqtt_trunk *trunk, struct hob_mqtt_branch *branch)
{
    const char *name = branch->front.options.thing;
    struct hob_mqtt_branch **at = bucket_of(trunk, name, strlen(name));
    while (*at != branch)
        at = &(*at)->same_bucket;
    *at = branch->same_bucket;
    *(branch->prev ? &branch->prev->next : &trunk->first) = branch->next;
    *(branch->next ? &branch->next->prev : &trunk->last) = branch->prev;
    trunk->count--;
    leave_turns(trunk, branch);
    leave_told(trunk, branch);
    disown(trunk, branch);
    hob_mqtt_orders_free(&branch->orders);
    go_on(trunk);
}

static void complete(struct hob_mqtt_order *order, int status, const int *granted, size_t count)
{
    if (order->branch)
        hob_mqtt_requests_answer(order->branch->front.requests, order->token, status, granted,
                                 count);
    hob_mqtt_order_free(order);
}

static void on_answer(struct hob_mqtt_order *order, int status, const int *granted, size_t count)
{
    struct hob_mqtt_trunk *trunk = order->trunk;
    if (!trunk) {
        hob_mqtt_order_free(order);
        return;
    }
    hob_mqtt_orders_remove(&trunk->on_way, order);
    if (order->branch)
        uncount(trunk, order);
    if (status == HOB_ENOTCONN && !hob_mqtt_is_up(hob_mqtt_share_mqtt(trunk->options.share))) {
        hob_mqtt_orders_put(&trunk->lost, order);
        return;
    }
    if (status == 0 && order->branch && order->kind == HOB_MQTT_PUBLISH && order->qos)
        order->branch->proven = true;
    complete(order, status, granted, count);
    go_on(trunk);
}

static void on_done(void *user, int status)
{
    on_answer(user, status, NULL, 0);
}

static void on_subscribed(void *user, int status, const int *granted, size_t count)
{
    on_answer(user, status, granted, count);
}

/* @return false: the connection takes no more for now */
static bool send_first_of(struct hob_mqtt_trunk *trunk, struct hob_mqtt_branch *branch)
{
    struct hob_mqtt_order *order = hob_mqtt_orders_take(&branch->orders);
    int rc = hob_mqtt_branch_carry_out(order, on_done, on_subscribed);
    if (rc == HOB_EBUSY) {
        order->next = branch->orders.first;
        branch->orders.first = order;
        if (!order->next)
            branch->orders.end = &order->next;
    } else if (rc == 0) {
        hob_mqtt_orders_put(&trunk->on_way, order);
        trunk->on_way_count++;
        trunk->risky_on_way += order->risky;
        order->sent_ms = hob_clock_mono_ms();
    }
    if (branch->orders.first)
        take_turn(trunk, branch);
    if (rc && rc != HOB_EBUSY)
        complete(order, rc == HOB_MQTT_STILL_HELD ? 0 : rc, NULL, 0);
    return rc != HOB_EBUSY;
}

static bool must_wait(const struct hob_mqtt_trunk *trunk, const struct hob_mqtt_order *order)
{
    return trunk->careful && order->risky && trunk->risky_on_way > 0;
}

static void send_some(struct hob_mqtt_trunk *trunk)
{
    size_t passed = 0; /* in a row */
    while (trunk->first_turn && passed < trunk->turns && hob_mqtt_trunk_is_up(trunk) &&
           trunk->on_way_count < HOB_MQTT_INFLIGHT_MAX) {
        struct hob_mqtt_branch *branch = trunk->first_turn;
        leave_turns(trunk, branch);
        if (!branch->orders.first) {
            continue;
        } else if (must_wait(trunk, branch->orders.first)) {
            take_turn(trunk, branch);
            passed++;
        } else if (send_first_of(trunk, branch)) {
            passed = 0;
        } else {
            hob_timer_start(trunk->turn, BUSY_MS);
            return;
        }
    }
}

/* ---- one of them has doubts ---- */

static bool others_hear(const struct hob_mqtt_trunk *trunk, const struct hob_mqtt_branch *branch)
{
    uint64_t now = hob_clock_mono_ms();
    bool heard = trunk->own_heard_ms && now - trunk->own_heard_ms < HEARD_MS;
    for (const struct hob_mqtt_branch *one = trunk->first; one && !heard; one = one->next)
        heard = one != branch && one->heard_ms && now - one->heard_ms < HEARD_MS;
    return heard;
}

void hob_mqtt_trunk_doubt(struct hob_mqtt_trunk *trunk, struct hob_mqtt_branch *branch,
                          const char *reason)
{
    if (!others_hear(trunk, branch)) {
        hob_mqtt_reconnect(hob_mqtt_share_mqtt(trunk->options.share), reason);
        return;
    }
    hob_log_write(trunk->options.log,
                  &(struct hob_log_record){.level = HOB_LOG_WARN,
                                           .event = "conn.branch_renewed",
                                           .thing = branch->front.options.thing,
                                           .code = "ENOTCONN"},
                  "%s; others on the same connection hear what is sent to them, so it stays: this "
                  "thing subscribes and asks anew",
                  reason);
    hob_error_set(&branch->renew_why, HOB_ENOTCONN, "%s", reason);
    branch->renew = trunk->renew_due = true;
    hob_timer_start(trunk->turn, 0);
}

static void renew(struct hob_mqtt_trunk *trunk)
{
    trunk->renew_due = false;
    for (struct hob_mqtt_branch *one = trunk->first; one; one = one->next) {
        if (one->renew && one->state == HOB_MQTT_BRANCH_UP) {
            disown(trunk, one);
            hob_mqtt_branch_down(one, &one->renew_why, 0);
        }
    }
    hob_mqtt_trunk_wake(trunk);
}

static void on_turn(void *user)
{
    struct hob_mqtt_trunk *trunk = user;
    if (trunk->down_due)
        hob_mqtt_trunk_go_down(trunk);
    if (trunk->renew_due)
        renew(trunk);
    send_some(trunk);
}

/* ---- what comes in ---- */

void hob_mqtt_trunk_tell(struct hob_mqtt_trunk *trunk, struct hob_mqtt_branch *branch)
{
    if (branch->is_told)
        return;
    branch->is_told = true;
    branch->next_told = trunk->told;
    trunk->told = branch;
}

/* What is sent to a thing is for its branch, subscribed to or not: AWS sends answers to whoever
 * asked. */
static void begin_message(void *user, const struct hob_mqtt_message *message)
{
    static const char stem[] = "$aws/things/";
    struct hob_mqtt_trunk *trunk = user;
    if (strncmp(message->topic, stem, sizeof(stem) - 1) != 0)
        return;
    const char *name = message->topic + sizeof(stem) - 1;
    struct hob_mqtt_branch *branch = find(trunk, name, strcspn(name, "/"));
    if (branch)
        hob_mqtt_trunk_tell(trunk, branch);
}

/* Only now, since the listeners may be changed by those who hear. */
static void end_message(void *user, const struct hob_mqtt_message *message)
{
    struct hob_mqtt_trunk *trunk = user;
    uint64_t now = hob_clock_mono_ms();
    if (!trunk->told)
        trunk->own_heard_ms = now;
    while (trunk->told) {
        struct hob_mqtt_branch *branch = trunk->told;
        leave_told(trunk, branch);
        branch->heard_ms = now;
        if (branch->state == HOB_MQTT_BRANCH_UP)
            hob_mqtt_front_message(&branch->front, message);
    }
}

/* ---- life ---- */

bool hob_mqtt_trunk_is_up(const struct hob_mqtt_trunk *trunk)
{
    return !trunk->down_due && hob_mqtt_is_up(hob_mqtt_share_mqtt(trunk->options.share));
}

struct hob_mqtt_share *hob_mqtt_trunk_share(struct hob_mqtt_trunk *trunk)
{
    return trunk->options.share;
}

size_t hob_mqtt_trunk_count(const struct hob_mqtt_trunk *trunk)
{
    return trunk->count;
}

const char *hob_mqtt_trunk_describe(const struct hob_mqtt_trunk *trunk, char *out, size_t len)
{
    char how[160];
    const char *thing = trunk->options.thing;
    hob_mqtt_describe(hob_mqtt_share_mqtt(trunk->options.share), how, sizeof(how));
    snprintf(out, len, "via %s: %s", thing ? thing : "the product's own connection", how);
    return out;
}

int hob_mqtt_trunk_new(const struct hob_mqtt_trunk_options *options, struct hob_mqtt_trunk **out,
                       struct hob_error *err)
{
    struct hob_mqtt_watch_options watch = {.on_up = hob_mqtt_trunk_on_up,
                                           .on_down = hob_mqtt_trunk_on_down,
                                           .on_ready = hob_mqtt_trunk_on_ready};
    struct hob_mqtt_router router = {.begin = begin_message, .end = end_message};
    struct hob_mqtt_trunk *trunk = hob_calloc(1, sizeof(*trunk));
    if (!trunk)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    trunk->options = *options;
    trunk->options.thing = options->thing ? hob_strdup(options->thing) : NULL;
    hob_mqtt_orders_init(&trunk->on_way);
    hob_mqtt_orders_init(&trunk->lost);
    trunk->end_turn = &trunk->first_turn;
    trunk->turn = hob_timer_new(options->loop, on_turn, trunk);
    trunk->pace = hob_timer_new(options->loop, hob_mqtt_trunk_on_pace, trunk);
    watch.user = router.user = trunk;
    trunk->watch = hob_mqtt_watch_new(options->share, &watch);
    if (!trunk->turn || !trunk->pace || !trunk->watch || !grow(trunk) ||
        (options->thing && !trunk->options.thing)) {
        hob_mqtt_trunk_close(trunk);
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    hob_mqtt_share_route(options->share, &router);
    trunk->ready = hob_mqtt_share_is_ready(options->share);
    *out = trunk;
    return 0;
}

void hob_mqtt_trunk_close(struct hob_mqtt_trunk *trunk)
{
    struct hob_mqtt_order *order;
    if (!trunk)
        return;
    assert(!trunk->count);
    hob_mqtt_share_route(trunk->options.share, NULL);
    hob_mqtt_watch_close(trunk->watch);
    hob_timer_close(trunk->turn);
    hob_timer_close(trunk->pace);
    while ((order = hob_mqtt_orders_take(&trunk->on_way)))
        order->trunk = NULL; /* freed when its answer comes, or the connection closes */
    hob_mqtt_orders_free(&trunk->lost);
    hob_free(trunk->buckets);
    hob_free((char *)trunk->options.thing);
    hob_free(trunk);
}
