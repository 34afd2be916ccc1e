#include "jobs/subscribe.h"

#include "base/alloc.h"
#include "base/backoff.h"
#include "jobs/topic.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#define BATCH_MAX      8 /* filters in a SUBSCRIBE that AWS takes */
#define RETRY_BASE_MS  5000
#define RETRY_CAP_MS   600000
#define RETRY_FLOOR_MS 1000
#define TEXT_MAX       1024

enum filter_state { WANTED, ASKED, GRANTED, REFUSED };

struct filter {
    char text[HOB_JOBS_TOPIC_MAX];
    bool is_event;
    bool blocked; /* its SUBSCRIBE alone closed the connection: not asked until the retry */
    enum filter_state state;
};

/** A SUBSCRIBE in flight. It may outlive its owner, which then takes itself out. */
struct batch {
    struct hob_jobs_subscribe *subs;
    struct batch *next;
    size_t count;
    size_t index[BATCH_MAX];
};

struct hob_jobs_subscribe {
    struct hob_jobs_subscribe_options options;
    struct hob_log *log;
    const char *thing;
    bool up;
    bool settled;    /* on this connection */
    bool one_by_one; /* a SUBSCRIBE of several filters closed the connection: find which it was */
    struct filter filters[HOB_JOBS_FILTERS];
    struct batch *batches;
    struct hob_timer *suback_timer;
    struct hob_timer *retry_timer;
    struct hob_backoff retry;
};

#define ABOUT(owner, lvl, ...)                                                                     \
    (&(struct hob_log_record){.level = (lvl), .thing = (owner)->thing, __VA_ARGS__})

/* ---- subscribing ---- */

static void subscribe_wanted(struct hob_jobs_subscribe *subs);

static size_t count_filters(const struct hob_jobs_subscribe *subs, enum filter_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < HOB_JOBS_FILTERS; i++)
        count += subs->filters[i].state == state;
    return count;
}

/** As a policy writes it: the MQTT wildcard is no wildcard there. */
static const char *policy_resource(const char *filter, char out[HOB_JOBS_TOPIC_MAX])
{
    size_t i = 0;
    for (; filter[i]; i++)
        out[i] = filter[i] == '+' ? '*' : filter[i];
    out[i] = '\0';
    return out;
}

const char *hob_jobs_subscribe_needs(const char *filter, char out[HOB_JOBS_SUBSCRIBE_NEEDS_MAX])
{
    char resource[HOB_JOBS_TOPIC_MAX];
    policy_resource(filter, resource);
    snprintf(out, HOB_JOBS_SUBSCRIBE_NEEDS_MAX,
             "iot:Subscribe on topicfilter/%s and iot:Receive on topic/%s", resource, resource);
    return out;
}

static void note_refused(struct hob_jobs_subscribe *subs, const char *filter)
{
    char action[TEXT_MAX], needs[HOB_JOBS_SUBSCRIBE_NEEDS_MAX];
    snprintf(action, sizeof(action), "the policy of this certificate must allow %s",
             hob_jobs_subscribe_needs(filter, needs));
    hob_log_write(subs->log,
                  ABOUT(subs, HOB_LOG_WARN, .event = "jobs.subscribe_refused", .code = "EREFUSED",
                        .action = action),
                  "the broker refused the subscription to %s; it is tried again, the rest goes on",
                  filter);
}

static void note_closed(struct hob_jobs_subscribe *subs, const char *filters, const char *why)
{
    char action[TEXT_MAX];
    snprintf(action, sizeof(action),
             "if this repeats: the policy of this certificate must allow iot:Subscribe on "
             "topicfilter/$aws/things/%s/jobs/* and iot:Receive on topic/$aws/things/%s/jobs/*",
             subs->thing, subs->thing);
    hob_log_write(subs->log,
                  ABOUT(subs, HOB_LOG_WARN, .event = "jobs.subscribe_closed", .code = "ENOTCONN",
                        .action = action),
                  "the connection closed while subscribing to %s: %s", filters, why);
}

static void schedule_retry(struct hob_jobs_subscribe *subs)
{
    if (count_filters(subs, REFUSED) > 0 && !hob_timer_active(subs->retry_timer))
        hob_timer_start(subs->retry_timer, hob_backoff_next_ms(&subs->retry));
}

static void on_retry(void *user)
{
    struct hob_jobs_subscribe *subs = user;
    for (size_t i = 0; i < HOB_JOBS_FILTERS; i++) {
        subs->filters[i].blocked = false;
        if (subs->filters[i].state == REFUSED)
            subs->filters[i].state = WANTED;
    }
    if (subs->up)
        subscribe_wanted(subs);
}

static void all_granted(struct hob_jobs_subscribe *subs)
{
    subs->one_by_one = false;
    hob_backoff_reset(&subs->retry);
    hob_timer_stop(subs->retry_timer);
    hob_log_write(subs->log, ABOUT(subs, HOB_LOG_INFO, .event = "jobs.subscribed"),
                  "subscribed to all %d filters", HOB_JOBS_FILTERS);
}

/** Something was granted, refused or found blocked: is every filter settled? */
static void settle(struct hob_jobs_subscribe *subs)
{
    if (count_filters(subs, WANTED) + count_filters(subs, ASKED) > 0)
        return;
    hob_timer_stop(subs->suback_timer);
    if (count_filters(subs, GRANTED) == HOB_JOBS_FILTERS)
        all_granted(subs);
    else
        schedule_retry(subs);
    if (subs->settled)
        return;
    subs->settled = true;
    subs->options.on_settled(subs->options.user);
}

static void take_out_batch(struct hob_jobs_subscribe *subs, struct batch *batch)
{
    struct batch **at = &subs->batches;
    while (*at && *at != batch)
        at = &(*at)->next;
    if (*at)
        *at = batch->next;
}

static void on_suback(void *user, int status, const int *granted, size_t count)
{
    struct batch *batch = user;
    struct hob_jobs_subscribe *subs = batch->subs;
    if (subs && status == 0) {
        for (size_t i = 0; i < batch->count; i++) {
            struct filter *filter = &subs->filters[batch->index[i]];
            bool refused = i >= count || granted[i] >= 128;
            filter->state = refused ? REFUSED : GRANTED;
            if (refused)
                note_refused(subs, filter->text);
        }
    }
    if (subs)
        take_out_batch(subs, batch);
    hob_free(batch);
    if (subs && status == 0) {
        subscribe_wanted(subs);
        settle(subs);
    }
}

/** Fill a batch with wanted filters of one kind, since a batch has one QoS. */
static void fill_batch(struct hob_jobs_subscribe *subs, struct batch *batch,
                       const char *texts[BATCH_MAX], bool events)
{
    size_t most = subs->one_by_one ? 1 : BATCH_MAX;
    for (size_t i = 0; i < HOB_JOBS_FILTERS && batch->count < most; i++) {
        struct filter *filter = &subs->filters[i];
        if (filter->state != WANTED || filter->is_event != events)
            continue;
        texts[batch->count] = filter->text;
        batch->index[batch->count++] = i;
    }
}

/** Ask for one batch. @return false if there was none, or it could not be sent */
static bool subscribe_batch(struct hob_jobs_subscribe *subs, bool events)
{
    const char *texts[BATCH_MAX];
    struct batch *batch = hob_calloc(1, sizeof(*batch));
    int rc = batch ? 0 : HOB_ENOMEM;
    if (batch) {
        batch->subs = subs;
        fill_batch(subs, batch, texts, events);
    }
    if (batch && batch->count > 0)
        rc = hob_mqtt_subscribe(subs->options.mqtt, texts, batch->count,
                                events ? subs->options.event_qos : subs->options.answer_qos,
                                on_suback, batch);
    if (rc < 0)
        hob_log_write(
            subs->log,
            ABOUT(subs, HOB_LOG_WARN, .event = "jobs.subscribe_failed", .code = hob_error_name(rc)),
            "the SUBSCRIBE could not be sent: %s", hob_error_words(rc));
    if (rc < 0 || batch->count == 0) {
        hob_free(batch);
        return false;
    }
    for (size_t i = 0; i < batch->count; i++)
        subs->filters[batch->index[i]].state = ASKED;
    batch->next = subs->batches;
    subs->batches = batch;
    return true;
}

static void subscribe_wanted(struct hob_jobs_subscribe *subs)
{
    bool more = subs->up && count_filters(subs, WANTED) > 0 && !(subs->one_by_one && subs->batches);
    if (more)
        hob_timer_start(subs->suback_timer, subs->options.timeout_ms);
    while (more)
        more = (subscribe_batch(subs, true) || subscribe_batch(subs, false)) && !subs->one_by_one;
}

static const char *list_asked(const struct hob_jobs_subscribe *subs, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < HOB_JOBS_FILTERS && len < size; i++) {
        if (subs->filters[i].state == ASKED)
            len += (size_t)snprintf(out + len, size - len, "%s%s", len ? ", " : "",
                                    subs->filters[i].text);
    }
    return out;
}

static void on_no_suback(void *user)
{
    struct hob_jobs_subscribe *subs = user;
    char filters[TEXT_MAX], reason[64];
    if (!subs->up || count_filters(subs, ASKED) + count_filters(subs, WANTED) == 0)
        return;
    snprintf(reason, sizeof(reason), "no SUBACK within %" PRIu64 " ms", subs->options.timeout_ms);
    hob_log_write(subs->log,
                  ABOUT(subs, HOB_LOG_WARN, .event = "jobs.subscribe_timeout", .code = "ETIMEDOUT"),
                  "%s for %s; connecting anew", reason, list_asked(subs, filters, sizeof(filters)));
    hob_mqtt_reconnect(subs->options.mqtt, reason);
}

/** AWS closes the connection where a plain broker would refuse in the SUBACK. If a SUBSCRIBE of
 * several filters was in flight, the next connection asks for them one by one; the filter whose
 * SUBSCRIBE then closes it is left out until the retry, so that the rest works. */
static void lost_while_subscribing(struct hob_jobs_subscribe *subs, const char *why)
{
    char filters[TEXT_MAX];
    size_t asked = count_filters(subs, ASKED);
    if (asked == 0 || !hob_mqtt_is_suspect(subs->options.mqtt))
        return;
    note_closed(subs, list_asked(subs, filters, sizeof(filters)), why);
    if (asked > 1) {
        subs->one_by_one = true;
        return;
    }
    for (size_t i = 0; i < HOB_JOBS_FILTERS; i++) {
        if (subs->filters[i].state == ASKED) {
            subs->filters[i].blocked = true;
            subs->filters[i].state = REFUSED;
        }
    }
    schedule_retry(subs);
}

/* ---- life ---- */

int hob_jobs_subscribe_new(const struct hob_jobs_subscribe_options *options,
                           struct hob_jobs_subscribe **out, struct hob_error *err)
{
    struct hob_jobs_subscribe *subs = hob_calloc(1, sizeof(*subs));
    if (!subs)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    subs->options = *options;
    subs->log = options->log;
    subs->thing = options->thing;
    for (size_t i = 0; i < HOB_JOBS_FILTERS; i++) {
        struct filter *filter = &subs->filters[i];
        int rc = hob_jobs_filter(filter->text, subs->thing, i, &filter->is_event);
        assert(rc == 0);
        (void)rc;
    }
    hob_backoff_init(&subs->retry, RETRY_BASE_MS, RETRY_CAP_MS, RETRY_FLOOR_MS);
    subs->suback_timer = hob_timer_new(options->loop, on_no_suback, subs);
    subs->retry_timer = hob_timer_new(options->loop, on_retry, subs);
    if (!subs->suback_timer || !subs->retry_timer) {
        hob_jobs_subscribe_free(subs);
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    *out = subs;
    return 0;
}

static void detach_batches(struct hob_jobs_subscribe *subs)
{
    for (struct batch *batch = subs->batches; batch; batch = batch->next)
        batch->subs = NULL;
    subs->batches = NULL;
}

void hob_jobs_subscribe_free(struct hob_jobs_subscribe *subs)
{
    if (!subs)
        return;
    detach_batches(subs);
    if (subs->suback_timer)
        hob_timer_close(subs->suback_timer);
    if (subs->retry_timer)
        hob_timer_close(subs->retry_timer);
    hob_free(subs);
}

void hob_jobs_subscribe_up(struct hob_jobs_subscribe *subs)
{
    detach_batches(subs);
    subs->up = true;
    subs->settled = false;
    for (size_t i = 0; i < HOB_JOBS_FILTERS; i++)
        subs->filters[i].state = subs->filters[i].blocked ? REFUSED : WANTED;
    subscribe_wanted(subs);
    if (count_filters(subs, REFUSED) == HOB_JOBS_FILTERS)
        schedule_retry(subs);
}

void hob_jobs_subscribe_down(struct hob_jobs_subscribe *subs, const char *why)
{
    subs->up = subs->settled = false;
    hob_timer_stop(subs->suback_timer);
    lost_while_subscribing(subs, why);
    detach_batches(subs);
}

const char *hob_jobs_subscribe_state(const struct hob_jobs_subscribe *subs, size_t index,
                                     const char **state)
{
    static const char *const names[] = {
        [WANTED] = "wanted", [ASKED] = "asked", [GRANTED] = "granted", [REFUSED] = "refused"};
    if (index >= HOB_JOBS_FILTERS)
        return NULL;
    *state = names[subs->filters[index].state];
    return subs->filters[index].text;
}
