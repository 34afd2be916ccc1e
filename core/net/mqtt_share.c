#include "net/mqtt_share.h"

#include "base/alloc.h"

#include <assert.h>
#include <string.h>

#define BUCKETS_MIN 8    /* as many filters as a thing without branches has */
#define STEM_LEVELS 3    /* "$aws/things/NAME": what tells the filters of many things apart */
#define NOBODY      (-1) /* in the place of a QoS: not held */

struct filter {
    struct filter *next; /* in its bucket, or of those that are in none */
    struct hob_mqtt_listener *listeners;
    int kept_qos;   /* of the connection's owner */
    int common_qos; /* of those without a listener */
    char text[];
};

struct hob_mqtt_listener {
    struct hob_mqtt_share *share;
    struct filter *filter;
    struct hob_mqtt_listener *next; /* of the same filter, in the order of their coming */
    int qos;
    void (*on_message)(void *user, const struct hob_mqtt_message *message);
    void *user;
};

struct hob_mqtt_watch {
    struct hob_mqtt_share *share;
    struct hob_mqtt_watch *next;
    struct hob_mqtt_watch_options options;
};

struct hob_mqtt_share {
    struct hob_mqtt *mqtt;
    struct filter **buckets; /* by the whole topic, or by the stem before the first wildcard */
    size_t bucket_count;     /* a power of two */
    size_t filters;          /* in them */
    struct filter *wild;     /* with a wildcard in the stem: few; each is tried */
    struct hob_mqtt_watch *watches;
    struct hob_mqtt_router router;
    bool ready;
    bool leaving;
    size_t held; /* filters that the broker knows */
    size_t limit;
    void (*on_limit)(void *user, size_t held);
    void *limit_user;
};

/* ---- filters ---- */

/** The length of its first levels, 0 if it has less. (`a/b/c/#` matches `a/b/c`, too: so the slash
 * behind them is left out.) */
static size_t stem_length(const char *text)
{
    size_t len = 0;
    for (int level = 0; level < STEM_LEVELS; level++) {
        if (level && !text[len++])
            return 0;
        len += strcspn(text + len, "/");
    }
    return len;
}

static struct filter **bucket_of(const struct hob_mqtt_share *share, const char *text, size_t len)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return &share->buckets[(hash ^ hash >> 16) & (share->bucket_count - 1)];
}

static struct filter **list_of(struct hob_mqtt_share *share, const char *text)
{
    size_t plain = strcspn(text, "+#"), stem = stem_length(text);
    if (!text[plain])
        return bucket_of(share, text, plain);
    return stem && plain > stem ? bucket_of(share, text, stem) : &share->wild;
}

static struct filter *find(struct filter *list, const char *text)
{
    while (list && strcmp(list->text, text) != 0)
        list = list->next;
    return list;
}

/* Without memory for it they stay as they are: found all the same, only slower. */
static void grow(struct hob_mqtt_share *share)
{
    struct filter **old = share->buckets;
    size_t count = share->bucket_count;
    struct filter **buckets = hob_calloc(2 * count, sizeof(struct filter *));
    if (!buckets)
        return;
    share->buckets = buckets;
    share->bucket_count = 2 * count;
    for (size_t i = 0; i < count; i++) {
        struct filter *next;
        for (struct filter *one = old[i]; one; one = next) {
            struct filter **list = list_of(share, one->text);
            next = one->next;
            one->next = *list;
            *list = one;
        }
    }
    hob_free(old);
}

/* @return NULL: out of memory */
static struct filter *find_or_add(struct hob_mqtt_share *share, const char *text)
{
    struct filter **list = list_of(share, text);
    struct filter *filter = find(*list, text);
    if (filter)
        return filter;
    size_t size = strlen(text) + 1;
    filter = hob_calloc(1, sizeof(*filter) + size);
    if (!filter)
        return NULL;
    memcpy(filter->text, text, size);
    filter->kept_qos = filter->common_qos = NOBODY;
    filter->next = *list;
    *list = filter;
    if (++share->filters > 2 * share->bucket_count)
        grow(share);
    return filter;
}

static int max_of(int a, int b)
{
    return a > b ? a : b;
}

/** The highest QoS that anybody wants, NOBODY if it is not held. */
static int wanted_qos(const struct filter *filter)
{
    int qos = max_of(filter->kept_qos, filter->common_qos);
    for (const struct hob_mqtt_listener *one = filter->listeners; one; one = one->next)
        qos = max_of(qos, one->qos);
    return qos;
}

/** Somebody's QoS of it changes: how many filters does the broker know? */
static void set_qos(struct hob_mqtt_share *share, struct filter *filter, int *place, int qos)
{
    bool was_held = wanted_qos(filter) != NOBODY;
    *place = qos;
    bool is_held = wanted_qos(filter) != NOBODY;
    if (was_held == is_held)
        return;
    share->held += is_held ? 1 : (size_t)-1;
    if (is_held && share->on_limit && share->held == share->limit + 1)
        share->on_limit(share->limit_user, share->held);
}

static void drop_if_unused(struct hob_mqtt_share *share, struct filter *filter)
{
    if (filter->listeners || filter->kept_qos != NOBODY || filter->common_qos != NOBODY)
        return;
    struct filter **at = list_of(share, filter->text);
    while (*at && *at != filter)
        at = &(*at)->next;
    if (*at)
        *at = filter->next;
    share->filters--;
    hob_free(filter);
}

bool hob_mqtt_filter_covers(const char *outer, const char *inner)
{
    for (;;) {
        size_t a = strcspn(outer, "/"), b = strcspn(inner, "/");
        if (a == 1 && *outer == '#')
            return true;
        bool any = a == 1 && *outer == '+' && !(b == 1 && *inner == '#');
        if (!any && (a != b || memcmp(outer, inner, a) != 0))
            return false;
        if (!outer[a] || !inner[b])
            return outer[a] == inner[b] || strcmp(outer + a, "/#") == 0;
        outer += a + 1;
        inner += b + 1;
    }
}

static struct filter *kept_of(struct filter *list, const char *text)
{
    while (list && (list->kept_qos == NOBODY || !hob_mqtt_filter_covers(list->text, text)))
        list = list->next;
    return list;
}

/** The kept filter that makes a subscription to `text` superfluous; NULL: there is none. */
static struct filter *kept_over(struct hob_mqtt_share *share, const char *text)
{
    struct filter *exact = find(*list_of(share, text), text);
    if (exact && exact->kept_qos != NOBODY)
        return exact;
    size_t stem = stem_length(text);
    struct filter *kept = stem ? kept_of(*bucket_of(share, text, stem), text) : NULL;
    return kept ? kept : kept_of(share->wild, text);
}

int hob_mqtt_share_keep(struct hob_mqtt_share *share, const char *text, int qos)
{
    if (!hob_mqtt_filter_valid(text))
        return HOB_EINVAL;
    struct filter *filter = find_or_add(share, text);
    if (!filter)
        return HOB_ENOMEM;
    set_qos(share, filter, &filter->kept_qos, max_of(filter->kept_qos, qos));
    return 0;
}

/* ---- what is sent ---- */

/** Under which name the broker is asked for it, and with which QoS. */
static const char *name_to_ask_for(struct hob_mqtt_share *share, const char *text, int *qos)
{
    struct filter *kept = kept_over(share, text);
    struct filter *filter = kept ? kept : find(*list_of(share, text), text);
    if (kept) /* the owner's answer tells the truth of this one, too; it keeps what it was given */
        set_qos(share, kept, &kept->kept_qos, max_of(kept->kept_qos, *qos));
    if (filter)
        *qos = max_of(*qos, wanted_qos(filter));
    return filter ? filter->text : text;
}

int hob_mqtt_share_subscribe(struct hob_mqtt_share *share, const char *const *filters, size_t count,
                             int qos, hob_mqtt_subscribed_fn *done, void *user)
{
    if (count == 0 || qos < 0 || qos > 1)
        return HOB_EINVAL;
    const char **names = hob_calloc(count, sizeof(*names));
    int rc = names ? 0 : HOB_ENOMEM;
    int highest = qos;
    for (size_t i = 0; i < count && rc == 0; i++) {
        int one = qos;
        names[i] = name_to_ask_for(share, filters[i], &one);
        highest = max_of(highest, one);
    }
    rc = rc ? rc : hob_mqtt_subscribe(share->mqtt, names, count, highest, done, user);
    hob_free(names);
    for (size_t i = 0; i < count && rc == 0; i++) {
        struct filter *filter = find_or_add(share, filters[i]);
        if (filter) /* else the broker keeps it, which does no harm */
            set_qos(share, filter, &filter->common_qos, qos);
    }
    return rc;
}

static bool is_needed(struct hob_mqtt_share *share, const struct filter *filter)
{
    return wanted_qos(filter) != NOBODY || kept_over(share, filter->text);
}

int hob_mqtt_share_unsubscribe(struct hob_mqtt_share *share, const char *const *filters,
                               size_t count, hob_mqtt_done_fn *done, void *user)
{
    size_t gone = 0;
    const char **names = hob_calloc(count ? count : 1, sizeof(*names));
    if (!names)
        return HOB_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct filter *filter = find(*list_of(share, filters[i]), filters[i]);
        if (filter)
            set_qos(share, filter, &filter->common_qos, NOBODY);
        if (filter ? !is_needed(share, filter) : !kept_over(share, filters[i]))
            names[gone++] = filters[i];
        if (filter)
            drop_if_unused(share, filter);
    }
    int rc = HOB_MQTT_STILL_HELD;
    if (gone > 0 || count == 0)
        rc = hob_mqtt_unsubscribe(share->mqtt, names, gone, done, user);
    hob_free(names);
    return rc;
}

/* ---- listeners ---- */

int hob_mqtt_listen(struct hob_mqtt_share *share, const char *text,
                    void (*on_message)(void *user, const struct hob_mqtt_message *message),
                    void *user, struct hob_mqtt_listener **out)
{
    if (!hob_mqtt_filter_valid(text))
        return HOB_EINVAL;
    struct hob_mqtt_listener *listener = hob_calloc(1, sizeof(*listener));
    struct filter *filter = listener ? find_or_add(share, text) : NULL;
    if (!filter) {
        hob_free(listener);
        return HOB_ENOMEM;
    }
    *listener = (struct hob_mqtt_listener){
        .share = share, .filter = filter, .qos = NOBODY, .on_message = on_message, .user = user};
    struct hob_mqtt_listener **at = &filter->listeners;
    while (*at)
        at = &(*at)->next;
    *at = listener;
    *out = listener;
    return 0;
}

int hob_mqtt_listeners_subscribe(struct hob_mqtt_listener *const *listeners, size_t count, int qos,
                                 hob_mqtt_subscribed_fn *done, void *user)
{
    const char *names[HOB_MQTT_LISTENERS_MAX];
    int highest = qos;
    if (count == 0 || count > HOB_MQTT_LISTENERS_MAX || qos < 0 || qos > 1)
        return HOB_EINVAL;
    struct hob_mqtt_share *share = listeners[0]->share;
    for (size_t i = 0; i < count; i++) {
        int one = qos;
        names[i] = name_to_ask_for(share, listeners[i]->filter->text, &one);
        highest = max_of(highest, one);
    }
    int rc = hob_mqtt_subscribe(share->mqtt, names, count, highest, done, user);
    for (size_t i = 0; i < count && rc == 0; i++)
        set_qos(share, listeners[i]->filter, &listeners[i]->qos, qos);
    return rc;
}

int hob_mqtt_listener_subscribe(struct hob_mqtt_listener *listener, int qos,
                                hob_mqtt_subscribed_fn *done, void *user)
{
    return hob_mqtt_listeners_subscribe(&listener, 1, qos, done, user);
}

/** It holds no longer. @return whether nobody else does, so that the broker is to be told */
static bool let_go(struct hob_mqtt_listener *listener)
{
    struct hob_mqtt_share *share = listener->share;
    bool held = listener->qos != NOBODY;
    set_qos(share, listener->filter, &listener->qos, NOBODY);
    return held && !share->leaving && !is_needed(share, listener->filter);
}

int hob_mqtt_listeners_unsubscribe(struct hob_mqtt_listener *const *listeners, size_t count,
                                   hob_mqtt_done_fn *done, void *user)
{
    const char *names[HOB_MQTT_LISTENERS_MAX];
    size_t gone = 0;
    if (count == 0 || count > HOB_MQTT_LISTENERS_MAX)
        return HOB_EINVAL;
    for (size_t i = 0; i < count; i++)
        if (let_go(listeners[i]))
            names[gone++] = listeners[i]->filter->text;
    return gone ? hob_mqtt_unsubscribe(listeners[0]->share->mqtt, names, gone, done, user)
                : HOB_MQTT_STILL_HELD;
}

int hob_mqtt_listener_unsubscribe(struct hob_mqtt_listener *listener, hob_mqtt_done_fn *done,
                                  void *user)
{
    return hob_mqtt_listeners_unsubscribe(&listener, 1, done, user);
}

void hob_mqtt_listener_close(struct hob_mqtt_listener *listener)
{
    if (!listener)
        return;
    hob_mqtt_listener_unsubscribe(listener, NULL, NULL);
    hob_mqtt_listener_forget(listener);
}

void hob_mqtt_listener_forget(struct hob_mqtt_listener *listener)
{
    struct filter *filter = listener->filter;
    set_qos(listener->share, filter, &listener->qos, NOBODY);
    struct hob_mqtt_listener **at = &filter->listeners;
    while (*at && *at != listener)
        at = &(*at)->next;
    if (*at)
        *at = listener->next;
    drop_if_unused(listener->share, filter);
    hob_free(listener);
}

static void tell(const struct filter *filter, const struct hob_mqtt_message *message)
{
    for (struct hob_mqtt_listener *one = filter->listeners; one; one = one->next)
        one->on_message(one->user, message);
}

static void tell_list(const struct filter *list, const struct hob_mqtt_message *message)
{
    for (const struct filter *one = list; one; one = one->next)
        if (one->listeners && hob_mqtt_filter_matches(one->text, message->topic))
            tell(one, message);
}

void hob_mqtt_share_message(struct hob_mqtt_share *share, const struct hob_mqtt_message *message)
{
    const struct hob_mqtt_router *router = &share->router;
    size_t stem = stem_length(message->topic);
    struct filter *exact = *bucket_of(share, message->topic, strlen(message->topic));
    struct filter *stemmed = stem ? *bucket_of(share, message->topic, stem) : NULL;
    if (router->begin)
        router->begin(router->user, message);
    tell_list(exact, message);
    if (stemmed != exact)
        tell_list(stemmed, message);
    tell_list(share->wild, message);
    if (router->end)
        router->end(router->user, message);
}

void hob_mqtt_share_route(struct hob_mqtt_share *share, const struct hob_mqtt_router *router)
{
    share->router = router ? *router : (struct hob_mqtt_router){0};
}

/* ---- watches ---- */

struct hob_mqtt_watch *hob_mqtt_watch_new(struct hob_mqtt_share *share,
                                          const struct hob_mqtt_watch_options *options)
{
    struct hob_mqtt_watch *watch = hob_calloc(1, sizeof(*watch));
    struct hob_mqtt_watch **at = &share->watches;
    if (!watch)
        return NULL;
    watch->share = share;
    watch->options = *options;
    while (*at)
        at = &(*at)->next;
    *at = watch;
    return watch;
}

void hob_mqtt_watch_close(struct hob_mqtt_watch *watch)
{
    if (!watch)
        return;
    struct hob_mqtt_watch **at = &watch->share->watches;
    while (*at && *at != watch)
        at = &(*at)->next;
    if (*at)
        *at = watch->next;
    hob_free(watch);
}

void hob_mqtt_share_up(struct hob_mqtt_share *share, bool session_present)
{
    for (const struct hob_mqtt_watch *one = share->watches; one; one = one->next)
        one->options.on_up(one->options.user, session_present);
}

void hob_mqtt_share_ready(struct hob_mqtt_share *share)
{
    share->ready = true;
    for (const struct hob_mqtt_watch *one = share->watches; one; one = one->next)
        if (one->options.on_ready)
            one->options.on_ready(one->options.user);
}

bool hob_mqtt_share_is_ready(const struct hob_mqtt_share *share)
{
    return share->ready;
}

void hob_mqtt_share_down(struct hob_mqtt_share *share, const struct hob_error *why,
                         uint64_t retry_ms)
{
    share->ready = false;
    for (const struct hob_mqtt_watch *one = share->watches; one; one = one->next)
        one->options.on_down(one->options.user, why, retry_ms);
}

/* ---- life ---- */

void hob_mqtt_share_limit(struct hob_mqtt_share *share, size_t limit,
                          void (*on_limit)(void *user, size_t held), void *user)
{
    share->limit = limit;
    share->on_limit = on_limit;
    share->limit_user = user;
}

size_t hob_mqtt_share_held(const struct hob_mqtt_share *share)
{
    return share->held;
}

void hob_mqtt_share_leave(struct hob_mqtt_share *share)
{
    share->leaving = true;
}

int hob_mqtt_share_new(struct hob_mqtt *mqtt, struct hob_mqtt_share **out, struct hob_error *err)
{
    struct hob_mqtt_share *share = hob_calloc(1, sizeof(*share));
    if (!share)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    share->mqtt = mqtt;
    share->bucket_count = BUCKETS_MIN;
    share->buckets = hob_calloc(BUCKETS_MIN, sizeof(struct filter *));
    if (!share->buckets) {
        hob_free(share);
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    *out = share;
    return 0;
}

static void free_filters(struct filter *list)
{
    while (list) {
        struct filter *next = list->next;
        assert(!list->listeners);
        hob_free(list);
        list = next;
    }
}

void hob_mqtt_share_free(struct hob_mqtt_share *share)
{
    if (!share)
        return;
    assert(!share->watches);
    for (size_t i = 0; i < share->bucket_count; i++)
        free_filters(share->buckets[i]);
    free_filters(share->wild);
    hob_free(share->buckets);
    hob_free(share);
}

struct hob_mqtt *hob_mqtt_share_mqtt(struct hob_mqtt_share *share)
{
    return share->mqtt;
}
