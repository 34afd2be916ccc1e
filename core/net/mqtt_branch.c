/* mqtt_branch.c - one of several on a trunk's connection; see mqtt_trunk.h */
#include "base/alloc.h"
#include "base/clock.h"
#include "net/mqtt_trunk_parts.h"

#include <stdio.h>
#include <string.h>

/* What one of them may have without an answer: the trunk's connection takes so much of all. */
#define PENDING_MAX  512
#define PENDING_SIZE (1024 * 1024)

/* ---- orders ---- */

void hob_mqtt_orders_init(struct hob_mqtt_orders *orders)
{
    orders->first = NULL;
    orders->end = &orders->first;
}

void hob_mqtt_orders_put(struct hob_mqtt_orders *orders, struct hob_mqtt_order *order)
{
    order->next = NULL;
    *orders->end = order;
    orders->end = &order->next;
}

void hob_mqtt_orders_remove(struct hob_mqtt_orders *orders, const struct hob_mqtt_order *order)
{
    struct hob_mqtt_order **at = &orders->first;
    while (*at && *at != order)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = order->next;
    if (!*at)
        orders->end = at;
}

struct hob_mqtt_order *hob_mqtt_orders_take(struct hob_mqtt_orders *orders)
{
    struct hob_mqtt_order *order = orders->first;
    if (order)
        hob_mqtt_orders_remove(orders, order);
    return order;
}

void hob_mqtt_order_free(struct hob_mqtt_order *order)
{
    hob_free(order);
}

void hob_mqtt_orders_free(struct hob_mqtt_orders *orders)
{
    struct hob_mqtt_order *order;
    while ((order = hob_mqtt_orders_take(orders)))
        hob_mqtt_order_free(order);
}

static struct hob_mqtt_branch *branch_of(struct hob_mqtt *mqtt)
{
    return (struct hob_mqtt_branch *)mqtt;
}

static const struct hob_mqtt_branch *const_branch_of(const struct hob_mqtt *mqtt)
{
    return (const struct hob_mqtt_branch *)mqtt;
}

/* ---- its filters ---- */

static void on_message(void *user, const struct hob_mqtt_message *message)
{
    struct hob_mqtt_branch *branch = user;
    hob_mqtt_trunk_tell(branch->trunk, branch);
}

static struct hob_mqtt_held **find_held(struct hob_mqtt_branch *branch, const char *filter)
{
    struct hob_mqtt_held **at = &branch->filters;
    while (*at && strcmp((*at)->filter, filter) != 0)
        at = &(*at)->next;
    return at;
}

/* @return NULL: out of memory */
static struct hob_mqtt_listener *hold(struct hob_mqtt_branch *branch, const char *filter)
{
    struct hob_mqtt_held **at = find_held(branch, filter);
    if (*at)
        return (*at)->listener;
    size_t size = strlen(filter) + 1;
    struct hob_mqtt_held *held = hob_calloc(1, sizeof(*held) + size);
    if (!held)
        return NULL;
    memcpy(held->filter, filter, size);
    if (hob_mqtt_listen(hob_mqtt_trunk_share(branch->trunk), filter, on_message, branch,
                        &held->listener)) {
        hob_free(held);
        return NULL;
    }
    *at = held;
    return held->listener;
}

static void drop_held(struct hob_mqtt_held **at)
{
    struct hob_mqtt_held *held = *at;
    *at = held->next;
    hob_mqtt_listener_close(held->listener);
    hob_free(held);
}

/* What nobody else holds is let go of, eight at a time. */
static void drop_filters(struct hob_mqtt_branch *branch)
{
    while (branch->filters) {
        struct hob_mqtt_listener *listeners[HOB_MQTT_LISTENERS_MAX];
        size_t count = 0;
        for (const struct hob_mqtt_held *held = branch->filters;
             held && count < HOB_MQTT_LISTENERS_MAX; held = held->next)
            listeners[count++] = held->listener;
        hob_mqtt_listeners_unsubscribe(listeners, count, NULL, NULL);
        for (size_t i = 0; i < count; i++)
            drop_held(&branch->filters);
    }
}

static void forget_filters(struct hob_mqtt_branch *branch)
{
    struct hob_mqtt_held *next;
    for (struct hob_mqtt_held *held = branch->filters; held; held = next) {
        next = held->next;
        hob_mqtt_listener_forget(held->listener);
        hob_free(held);
    }
    branch->filters = NULL;
}

/* ---- carrying out what it asked for ---- */

static int subscribe(struct hob_mqtt_order *order, hob_mqtt_subscribed_fn *subscribed)
{
    struct hob_mqtt_listener *listeners[HOB_MQTT_LISTENERS_MAX];
    const char *filter = order->topic;
    for (size_t i = 0; i < order->count; i++) {
        listeners[i] = hold(order->branch, filter);
        if (!listeners[i])
            return HOB_ENOMEM;
        filter += strlen(filter) + 1;
    }
    return hob_mqtt_listeners_subscribe(listeners, order->count, order->qos, subscribed, order);
}

static int unsubscribe(struct hob_mqtt_order *order, hob_mqtt_done_fn *done)
{
    struct hob_mqtt_listener *listeners[HOB_MQTT_LISTENERS_MAX];
    const char *filter = order->topic;
    size_t found = 0;
    for (size_t i = 0; i < order->count; i++) {
        struct hob_mqtt_held *held = *find_held(order->branch, filter);
        if (held)
            listeners[found++] = held->listener;
        filter += strlen(filter) + 1;
    }
    int rc = HOB_MQTT_STILL_HELD;
    if (found)
        rc = hob_mqtt_listeners_unsubscribe(listeners, found, done, order);
    filter = order->topic;
    for (size_t i = 0; i < order->count; i++) {
        struct hob_mqtt_held **at = find_held(order->branch, filter);
        if (*at)
            drop_held(at);
        filter += strlen(filter) + 1;
    }
    return rc;
}

int hob_mqtt_branch_carry_out(struct hob_mqtt_order *order, hob_mqtt_done_fn *done,
                              hob_mqtt_subscribed_fn *subscribed)
{
    struct hob_mqtt *mqtt = hob_mqtt_share_mqtt(hob_mqtt_trunk_share(order->trunk));
    if (order->kind == HOB_MQTT_SUBSCRIBE)
        return subscribe(order, subscribed);
    if (order->kind == HOB_MQTT_UNSUBSCRIBE)
        return unsubscribe(order, done);
    return hob_mqtt_publish(mqtt, order->topic, order->payload, order->len, order->qos,
                            order->retain, done, order);
}

/* ---- what the front asks for: it is put down, and has its turn ---- */

static bool branch_is_up(const struct hob_mqtt *mqtt)
{
    const struct hob_mqtt_branch *branch = const_branch_of(mqtt);
    return branch->state == HOB_MQTT_BRANCH_UP && !branch->renew &&
           hob_mqtt_trunk_is_up(branch->trunk);
}

static struct hob_mqtt_order *new_order(struct hob_mqtt_branch *branch,
                                        const struct hob_mqtt_request *request,
                                        enum hob_mqtt_order_kind kind, size_t topic_size,
                                        size_t len)
{
    struct hob_mqtt_order *order = hob_calloc(1, sizeof(*order) + topic_size + len);
    if (!order)
        return NULL;
    order->trunk = branch->trunk;
    order->branch = branch;
    order->token = hob_mqtt_request_token(request);
    order->kind = kind;
    order->topic = (char *)(order + 1);
    order->payload = order->topic + topic_size;
    order->len = len;
    return order;
}

static int branch_publish(struct hob_mqtt *mqtt, struct hob_mqtt_request *request,
                          const struct hob_mqtt_message *message)
{
    struct hob_mqtt_branch *branch = branch_of(mqtt);
    size_t size = strlen(message->topic) + 1;
    struct hob_mqtt_order *order = new_order(branch, request, HOB_MQTT_PUBLISH, size, message->len);
    if (!order)
        return HOB_ENOMEM;
    memcpy(order->topic, message->topic, size);
    if (message->len)
        memcpy(order->payload, message->payload, message->len);
    order->qos = message->qos;
    order->retain = message->retain;
    order->risky = !branch->proven;
    hob_mqtt_trunk_send(branch->trunk, order);
    return 0;
}

static int put_filters(struct hob_mqtt *mqtt, const struct hob_mqtt_request *request,
                       enum hob_mqtt_order_kind kind, const char *const *filters, size_t count,
                       int qos)
{
    struct hob_mqtt_branch *branch = branch_of(mqtt);
    size_t size = 0;
    if (count > HOB_MQTT_LISTENERS_MAX)
        return HOB_EINVAL;
    for (size_t i = 0; i < count; i++)
        size += strlen(filters[i]) + 1;
    struct hob_mqtt_order *order = new_order(branch, request, kind, size, 0);
    if (!order)
        return HOB_ENOMEM;
    char *at = order->topic;
    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, filters[i]) + 1;
    order->count = count;
    order->qos = qos;
    order->risky = kind == HOB_MQTT_SUBSCRIBE;
    hob_mqtt_trunk_send(branch->trunk, order);
    return 0;
}

static int branch_subscribe(struct hob_mqtt *mqtt, struct hob_mqtt_request *request,
                            const char *const *filters, size_t count, int qos)
{
    return put_filters(mqtt, request, HOB_MQTT_SUBSCRIBE, filters, count, qos);
}

static int branch_unsubscribe(struct hob_mqtt *mqtt, struct hob_mqtt_request *request,
                              const char *const *filters, size_t count)
{
    return put_filters(mqtt, request, HOB_MQTT_UNSUBSCRIBE, filters, count, 0);
}

static void branch_reconnect(struct hob_mqtt *mqtt, const char *reason)
{
    struct hob_mqtt_branch *branch = branch_of(mqtt);
    if (branch_is_up(mqtt))
        hob_mqtt_trunk_doubt(branch->trunk, branch, reason);
}

static bool branch_is_suspect(const struct hob_mqtt *mqtt)
{
    return const_branch_of(mqtt)->blamed;
}

/* ---- what the trunk tells ---- */

void hob_mqtt_branch_up(struct hob_mqtt_branch *branch, bool session_present)
{
    struct hob_mqtt *mqtt = &branch->front;
    char how[200];
    branch->state = HOB_MQTT_BRANCH_UP;
    branch->up_ms = hob_clock_mono_ms();
    mqtt->counts.connected++;
    hob_log_write(mqtt->log,
                  &(struct hob_log_record){.level = HOB_LOG_DEBUG,
                                           .event = "conn.branch_up",
                                           .thing = mqtt->options.thing},
                  "connected %s", hob_mqtt_trunk_describe(branch->trunk, how, sizeof(how)));
    if (mqtt->options.on_up)
        mqtt->options.on_up(mqtt->options.user, session_present);
}

void hob_mqtt_branch_down(struct hob_mqtt_branch *branch, const struct hob_error *why,
                          uint64_t retry_ms)
{
    struct hob_mqtt *mqtt = &branch->front;
    struct hob_error kept = *why;
    bool renewed = branch->renew;
    branch->state = HOB_MQTT_BRANCH_WAITING;
    branch->renew = branch->proven = false;
    /* Who still needs them asks again; who does not any more could not say so meanwhile. */
    if (renewed)
        drop_filters(branch);
    else
        forget_filters(branch);
    hob_mqtt_orders_free(&branch->orders);
    hob_mqtt_counts_down(&mqtt->counts, true, renewed, kept.code);
    hob_mqtt_requests_end(mqtt->requests, HOB_ENOTCONN);
    if (!mqtt->closing && mqtt->options.on_down)
        mqtt->options.on_down(mqtt->options.user, &kept, retry_ms);
    branch->blamed = false;
}

/* ---- life ---- */

static void branch_start(struct hob_mqtt *mqtt)
{
    struct hob_mqtt_branch *branch = branch_of(mqtt);
    branch->state = HOB_MQTT_BRANCH_WAITING;
    hob_mqtt_trunk_wake(branch->trunk);
}

static void branch_leave(struct hob_mqtt *mqtt)
{
    branch_of(mqtt)->state = HOB_MQTT_BRANCH_IDLE;
}

static void branch_close(struct hob_mqtt *mqtt)
{
    struct hob_mqtt_branch *branch = branch_of(mqtt);
    drop_filters(branch);
    hob_mqtt_trunk_part(branch->trunk, branch);
    hob_mqtt_front_closed(mqtt);
}

static void branch_free(struct hob_mqtt *mqtt)
{
    hob_mqtt_front_free(mqtt);
    hob_free(branch_of(mqtt));
}

static void branch_stats(const struct hob_mqtt *mqtt, struct hob_mqtt_stats *out)
{
    out->attempts = mqtt->counts.connected;
}

static const char *branch_describe(const struct hob_mqtt *mqtt, char *out, size_t len)
{
    return hob_mqtt_trunk_describe(const_branch_of(mqtt)->trunk, out, len);
}

int hob_mqtt_branch_new(struct hob_loop *loop, struct hob_log *log,
                        const struct hob_mqtt_options *options, struct hob_mqtt **out,
                        struct hob_error *err)
{
    static const struct hob_mqtt_backend backend = {.is_up = branch_is_up,
                                                    .start = branch_start,
                                                    .reconnect = branch_reconnect,
                                                    .publish = branch_publish,
                                                    .subscribe = branch_subscribe,
                                                    .unsubscribe = branch_unsubscribe,
                                                    .leave = branch_leave,
                                                    .close = branch_close,
                                                    .free = branch_free,
                                                    .stats = branch_stats,
                                                    .is_suspect = branch_is_suspect,
                                                    .describe = branch_describe};
    if (!options->thing || !*options->thing)
        return hob_error_set(err, HOB_EINVAL, "thing: expected a name");
    struct hob_mqtt_branch *branch = hob_calloc(1, sizeof(*branch));
    if (!branch)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    hob_mqtt_orders_init(&branch->orders);
    int code = hob_mqtt_front_open(&branch->front, &backend, loop, log, options);
    if (code == 0) {
        hob_mqtt_requests_limit(branch->front.requests, PENDING_MAX, PENDING_SIZE);
        code = hob_mqtt_trunk_join(options->trunk, branch);
    }
    if (code) {
        hob_error_set(err, code, "the connection for thing '%.128s': %s", options->thing,
                      hob_error_words(code));
        branch_free(&branch->front);
        return code;
    }
    *out = &branch->front;
    return 0;
}
