#include "host/thing.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "host/own_connection.h"
#include "jobs/client.h"
#include "jobs/topic.h"
#include "net/mqtt.h"
#include "net/mqtt_share.h"
#include "net/mqtt_trunk.h"
#include "work/executor.h"
#include "work/fair.h"
#include "work/modules.h"
#include "work/outbox.h"
#include "work/product.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define PORT_TLS 8883
#define PORT_TCP 1883
#define DRAIN_MS 2000

struct hob_thing {
    struct hob_thing_options options;
    struct hob_mqtt *mqtt;
    struct hob_mqtt_share *share;   /* of mqtt: with the handlers that use it, too */
    struct hob_mqtt_trunk *trunk;   /* of share: things that use it, too; NULL: none yet */
    struct hob_modules_agent agent; /* what they see of it */
    struct hob_jobs_client *client;
    struct hob_outbox *outbox;
    struct hob_executor *executor;
    struct hob_timer *drain; /* stopping: for what is still to be told */
    struct hob_timer *turn;  /* until it may connect; NULL: it has begun to */
    bool draining, hurried, closing;
    bool last;                 /* to end: its branches are still there */
    bool many_said;            /* conn.many_subscriptions */
    bool online;               /* told by the jobs client, */
    uint64_t since_ms;         /* since then, on the monotonic clock; */
    struct hob_error why;      /* and if it is not: why */
    struct hob_expiry ca, own; /* of its certificates */
    void (*stopped)(void *user);
    void *stopped_user;
};

/* ---- the connection's events go to the client, the client's to executor and outbox ---- */

static void set_online(struct hob_thing *thing, bool online)
{
    if (thing->online != online) {
        thing->online = online;
        thing->since_ms = hob_clock_mono_ms();
    }
    thing->why.code = 0;
}

static void on_up(void *user, bool session_present)
{
    struct hob_thing *thing = user;
    hob_jobs_client_up(thing->client); /* first: its subscriptions go out before the handlers' */
    hob_mqtt_share_up(thing->share, session_present);
}

static void on_down(void *user, const struct hob_error *why, uint64_t retry_ms)
{
    struct hob_thing *thing = user;
    set_online(thing, false);
    thing->why = *why;
    hob_observers_tell_connection(hob_product_observers(thing->options.product),
                                  thing->options.thing->thing_name, why);
    hob_outbox_offline(thing->outbox);
    hob_executor_offline(thing->executor);
    hob_jobs_client_down(thing->client, why);
    hob_mqtt_share_down(thing->share, why, retry_ms);
}

static void on_message(void *user, const struct hob_mqtt_message *message)
{
    struct hob_thing *thing = user;
    hob_jobs_client_message(thing->client, message);
    hob_mqtt_share_message(thing->share, message);
}

static void on_ready(void *user)
{
    struct hob_thing *thing = user;
    set_online(thing, true);
    hob_observers_tell_connection(hob_product_observers(thing->options.product),
                                  thing->options.thing->thing_name, NULL);
    hob_outbox_online(thing->outbox);
    hob_executor_online(thing->executor);
    hob_mqtt_share_ready(thing->share);
}

static void on_next(void *user, const struct hob_jobs_execution *next)
{
    struct hob_thing *thing = user;
    hob_executor_next(thing->executor, next);
}

static void on_pending(void *user, const struct hob_jobs_execution *list, size_t count)
{
    struct hob_thing *thing = user;
    hob_executor_pending(thing->executor, list, count);
}

static void on_gone(void *user, int64_t row, enum hob_jobs_status status)
{
    struct hob_thing *thing = user;
    hob_executor_gone(thing->executor, row, status);
}

static void on_restart(void *user, const char *reason)
{
    struct hob_thing *thing = user;
    thing->options.on_restart(thing->options.user, reason);
}

static void on_told(void *user, int64_t row)
{
    struct hob_thing *thing = user;
    if (!thing->draining) {
        hob_executor_told(thing->executor);
    } else if (hob_outbox_depth(thing->outbox) == 0) {
        hob_timer_start(thing->drain, 0);
    }
}

/* ---- making the parts ---- */

static const char *or_null(const char *text)
{
    return text[0] ? text : NULL;
}

static uint64_t ms(double seconds)
{
    return (uint64_t)(seconds * 1000);
}

static int port_of(const struct hob_config_thing *config)
{
    return config->port ? (int)config->port : config->tls ? PORT_TLS : PORT_TCP;
}

/* Made when the first one comes. */
static int open_trunk(struct hob_thing *thing, struct hob_error *err)
{
    struct hob_mqtt_trunk_options options = {.loop = thing->options.loop,
                                             .log = thing->options.log,
                                             .share = thing->share,
                                             .thing = thing->options.thing->thing_name};
    return thing->trunk ? 0 : hob_mqtt_trunk_new(&options, &thing->trunk, err);
}

static int make_branch(struct hob_thing *thing, struct hob_error *err)
{
    struct hob_thing *over = thing->options.over;
    int rc = over ? open_trunk(over, err) : 0;
    struct hob_mqtt_options options = {.trunk = over ? over->trunk : thing->options.trunk,
                                       .thing = thing->options.thing->thing_name,
                                       .on_up = on_up,
                                       .on_down = on_down,
                                       .on_message = on_message,
                                       .user = thing};
    return rc ? rc
              : hob_mqtt_new(thing->options.loop, thing->options.log, &options, &thing->mqtt, err);
}

static int make_mqtt(struct hob_thing *thing, struct hob_error *err)
{
    const struct hob_config_thing *c = thing->options.thing;
    if (hob_thing_is_branch(thing)) {
        return make_branch(thing, err);
    }
    struct hob_mqtt_options options = {.host = c->endpoint,
                                       .port = port_of(c),
                                       .client_id = c->client_id[0] ? c->client_id : c->thing_name,
                                       .use_tls = c->tls,
                                       .tls = {.ca_file = or_null(c->ca),
                                               .cert_file = or_null(c->cert),
                                               .key_file = or_null(c->key),
                                               .key_passphrase = or_null(c->key_passphrase),
                                               .alpn = or_null(c->alpn),
                                               .key_provider = thing->options.config->key_provider,
                                               .cache = thing->options.tls_cache},
                                       .runtime_dir = thing->options.config->data,
                                       .thing = c->thing_name,
                                       .protocol = (int)c->mqtt_version,
                                       .keep_alive_s = (unsigned)c->keep_alive,
                                       .connect_timeout_ms = ms(c->connect_timeout),
                                       .backoff_base_ms = ms(c->backoff_base),
                                       .backoff_cap_ms = ms(c->backoff_cap),
                                       .persistent_session = c->persistent_session,
                                       .on_up = on_up,
                                       .on_down = on_down,
                                       .on_message = on_message,
                                       .user = thing};
    return hob_mqtt_new(thing->options.loop, thing->options.log, &options, &thing->mqtt, err);
}

static const char *via_of(const struct hob_thing *thing)
{
    const char *name = thing->options.thing->connection;
    return !hob_thing_is_branch(thing) ? "" : *name ? name : "the product's own connection";
}

static void on_many(void *user, size_t held)
{
    struct hob_thing *thing = user;
    const struct hob_config_thing *config = thing->options.thing;
    if (!thing->many_said) {
        hob_own_connection_say_many(thing->options.log, config->thing_name, config->endpoint, held);
    }
    thing->many_said = true;
}

/* What the jobs client subscribes to is never taken away from it. */
static int make_share(struct hob_thing *thing, struct hob_error *err)
{
    const char *name = thing->options.thing->thing_name;
    char filter[HOB_JOBS_TOPIC_MAX];
    bool is_event;
    int rc = hob_mqtt_share_new(thing->mqtt, &thing->share, err);
    if (rc == 0 && !hob_thing_is_branch(thing)) {
        hob_mqtt_share_limit(thing->share, HOB_AWS_SUBSCRIPTIONS, on_many, thing);
    }
    for (size_t i = 0; rc == 0 && hob_jobs_filter(filter, name, i, &is_event) == 0; i++) {
        rc = hob_mqtt_share_keep(thing->share, filter, is_event ? 1 : 0);
        if (rc) {
            hob_error_set(err, rc, "thing: %s", hob_error_words(rc));
        }
    }
    const struct hob_config_thing *config = thing->options.thing;
    const struct hob_config_thing *tls = /* whose certificate connects */
        thing->options.over ? thing->options.over->options.thing : config;
    bool provided = thing->options.config->key_provider != NULL;
    thing->agent = (struct hob_modules_agent){
        .share = thing->share,
        .thing = name,
        .via = via_of(thing),
        .ca = tls->ca,
        .cert = tls->cert,
        .key = provided ? "" : tls->key,
        .key_passphrase = tls->key_passphrase,
        .credentials_endpoint = config->credentials_endpoint,
        .handlers = thing->options.handlers,
        .party = thing->options.fair ? hob_fair_join(thing->options.fair) : NULL};
    return rc;
}

static int make_client(struct hob_thing *thing, struct hob_error *err)
{
    const struct hob_config_thing *c = thing->options.thing;
    struct hob_jobs_client_options options = {.thing = c->thing_name,
                                              .decoder = thing->options.decoder,
                                              .request_timeout_ms = ms(c->request_timeout),
                                              /* only QoS 1 is kept for who is away */
                                              .event_qos = c->persistent_session ? 1 : 0,
                                              .on_ready = on_ready,
                                              .on_next = on_next,
                                              .on_pending = on_pending,
                                              .user = thing};
    return hob_jobs_client_new(thing->options.loop, thing->options.log, thing->mqtt, &options,
                               &thing->client, err);
}

static int make_outbox(struct hob_thing *thing, struct hob_error *err)
{
    const struct hob_config_thing *c = thing->options.thing;
    struct hob_outbox_options options = {.loop = thing->options.loop,
                                         .log = thing->options.log,
                                         .store = thing->options.store,
                                         .client = thing->client,
                                         .thing = c->thing_name,
                                         .backoff_base_ms = ms(c->backoff_base),
                                         .backoff_cap_ms = ms(c->backoff_cap),
                                         .messages_per_minute = (double)c->messages_per_minute,
                                         .product = thing->options.product,
                                         .on_told = on_told,
                                         .on_gone = on_gone,
                                         .user = thing};
    return hob_outbox_new(&options, &thing->outbox, err);
}

static int make_executor(struct hob_thing *thing, struct hob_error *err)
{
    const struct hob_config *config = thing->options.config;
    const struct hob_config_thing *c = thing->options.thing;
    char work[PATH_MAX];
    snprintf(work, sizeof work, "%s/work", config->data);
    bool ignore = strcmp(config->unknown_jobs, "ignore") == 0;
    struct hob_executor_options options = {
        .loop = thing->options.loop,
        .log = thing->options.log,
        .store = thing->options.store,
        .client = thing->client,
        .outbox = thing->outbox,
        .handlers = thing->options.handlers,
        .json = thing->options.json,
        .thing = c->thing_name,
        .work_dir = work,
        .policy = thing->options.policy,
        .agent = &thing->agent,
        .unknown = ignore ? HOB_EXECUTOR_IGNORE : HOB_EXECUTOR_REJECT,
        .filter = thing->options.filter,
        .turn = thing->options.turn,
        .slots = (size_t)c->max_concurrent_jobs,
        .memory_bytes = (size_t)c->memory,
        .cpu_ms = ms(c->cpu),
        .poll_ms = ms(c->poll),
        .blackbox = thing->options.blackbox,
        .outputs = thing->options.outputs,
        .debugger = thing->options.debugger,
        .tally = thing->options.tally,
        .boot_id = thing->options.boot_id,
        .process_id = thing->options.process_id,
        .reboot_command = (const char *const *)config->reboot_command,
        .product = thing->options.product,
        .reboot_wait_ms = ms(config->reboot_wait),
        .timeout_ms = ms(c->job_timeout),
        .cleanup_timeout_ms = ms(c->cleanup_timeout),
        .on_restart = on_restart,
        .user = thing};
    return hob_executor_new(&options, &thing->executor, err);
}

/* ---- ending ---- */

static void close_parts(void *user);

static void closed(void *user)
{
    struct hob_thing *thing = user;
    struct hob_thing *over = thing->options.over;
    void (*stopped)(void *) = thing->stopped;
    void *stopped_user = thing->stopped_user;
    hob_free(thing);
    if (over && over->last && hob_thing_branches(over) == 0) {
        close_parts(over);
    }
    if (stopped) {
        stopped(stopped_user);
    }
}

static void close_parts(void *user)
{
    struct hob_thing *thing = user;
    thing->last = hob_thing_branches(thing) > 0;
    if (thing->last) {
        return;
    }
    thing->closing = true;
    hob_timer_close(thing->drain);
    hob_timer_close(thing->turn);
    hob_executor_free(thing->executor);
    hob_outbox_free(thing->outbox);
    hob_jobs_client_free(thing->client);
    hob_mqtt_trunk_close(thing->trunk);
    hob_mqtt_share_free(thing->share); /* its last users went with the executor */
    hob_fair_leave(thing->agent.party);
    if (thing->mqtt) {
        hob_mqtt_close(thing->mqtt, closed, thing);
    } else {
        closed(thing);
    }
}

int hob_thing_new(const struct hob_thing_options *options, struct hob_thing **out,
                  struct hob_error *err)
{
    struct hob_thing *thing = hob_calloc(1, sizeof *thing);
    if (!thing) {
        return hob_error_set(err, HOB_ENOMEM, "thing: out of memory");
    }
    thing->options = *options;
    thing->since_ms = hob_clock_mono_ms();
    thing->drain = hob_timer_new(options->loop, close_parts, thing);
    int rc = thing->drain ? make_mqtt(thing, err)
                          : hob_error_set(err, HOB_ENOMEM, "thing: out of memory");
    rc = rc ? rc : make_share(thing, err);
    rc = rc ? rc : make_client(thing, err);
    rc = rc ? rc : make_outbox(thing, err);
    rc = rc ? rc : make_executor(thing, err);
    if (rc) {
        hob_thing_stop(thing, 0, 0, NULL, NULL);
        return rc;
    }
    *out = thing;
    return 0;
}

size_t hob_thing_branches(const struct hob_thing *thing)
{
    return thing->trunk ? hob_mqtt_trunk_count(thing->trunk) : 0;
}

bool hob_thing_is_branch(const struct hob_thing *thing)
{
    return thing->options.over || thing->options.trunk;
}

/* ---- life ---- */

static void begin_to_connect(void *user)
{
    struct hob_thing *thing = user;
    thing->why.code = 0;
    hob_mqtt_start(thing->mqtt);
    hob_timer_close(thing->turn);
    thing->turn = NULL;
}

void hob_thing_start(struct hob_thing *thing, uint64_t delay_ms)
{
    hob_executor_start(thing->executor);
    if (delay_ms > 0) {
        thing->turn = hob_timer_new(thing->options.loop, begin_to_connect, thing);
    }
    if (!thing->turn) {
        hob_mqtt_start(thing->mqtt);
        return;
    }
    hob_error_set(&thing->why, HOB_EBUSY, "its turn to connect has not come (connect_rate)");
    hob_timer_start(thing->turn, delay_ms);
}

/* Nothing runs any more. What ended just now is told if the service is there; what cannot be told
 * in that time is in the store. */
static void tell_the_last(void *user)
{
    struct hob_thing *thing = user;
    bool worth_it = hob_outbox_depth(thing->outbox) > 0 && hob_jobs_client_ready(thing->client);
    thing->draining = true;
    worth_it = worth_it && !thing->hurried;
    hob_timer_start(thing->drain, worth_it ? DRAIN_MS : 0);
}

void hob_thing_stop(struct hob_thing *thing, uint64_t grace_ms, uint64_t limit_ms,
                    void (*stopped)(void *user), void *user)
{
    thing->stopped = stopped;
    thing->stopped_user = user;
    if (hob_thing_branches(thing)) {
        hob_mqtt_share_leave(thing->share); /* they go, too: that nobody listens is soon clear */
    }
    if (thing->executor) {
        hob_executor_stop(thing->executor, grace_ms, limit_ms, tell_the_last, thing);
    } else {
        close_parts(thing);
    }
}

void hob_thing_hurry(struct hob_thing *thing)
{
    thing->hurried = true;
    if (thing->closing) {
        return;
    }
    if (thing->draining) {
        hob_timer_start(thing->drain, 0);
    } else if (thing->executor) {
        hob_executor_hurry(thing->executor);
    }
}

void hob_thing_reconsider(struct hob_thing *thing)
{
    hob_executor_reconsider(thing->executor);
}

/* ---- for people who look ---- */

void hob_thing_reloaded(struct hob_thing *thing)
{
    hob_executor_reloaded(thing->executor);
}

void hob_thing_report_now(struct hob_thing *thing)
{
    hob_outbox_hurry(thing->outbox);
}

int hob_thing_report_again(struct hob_thing *thing, int64_t row, struct hob_error *err)
{
    return hob_outbox_again(thing->outbox, row, err);
}

bool hob_thing_report(const struct hob_thing *thing, int64_t row, struct hob_outbox_view *out)
{
    return hob_outbox_look(thing->outbox, row, out);
}

bool hob_thing_is_reporting(const struct hob_thing *thing)
{
    return hob_outbox_is_moving(thing->outbox);
}

int hob_thing_cancel(struct hob_thing *thing, const char *job_id, int64_t number, const char *who,
                     struct hob_error *err)
{
    return hob_executor_cancel(thing->executor, job_id, number, who, err);
}

void hob_thing_drain(struct hob_thing *thing, bool on)
{
    hob_executor_drain(thing->executor, on);
}

const struct hob_modules_agent *hob_thing_agent(const struct hob_thing *thing)
{
    return &thing->agent;
}

bool hob_thing_is_closing(const struct hob_thing *thing)
{
    return thing->closing;
}

bool hob_thing_online(const struct hob_thing *thing)
{
    return hob_jobs_client_ready(thing->client);
}

size_t hob_thing_untold(const struct hob_thing *thing)
{
    return hob_outbox_depth(thing->outbox);
}

int64_t hob_thing_state_ms(const struct hob_thing *thing)
{
    return (int64_t)(hob_clock_mono_ms() - thing->since_ms);
}

const char *hob_thing_why(const struct hob_thing *thing)
{
    return thing->why.code ? thing->why.message : "";
}

void hob_thing_each_job(const struct hob_thing *thing, hob_executor_view_fn *fn, void *user)
{
    hob_executor_each(thing->executor, fn, user);
}

void hob_thing_each_pending(const struct hob_thing *thing, hob_executor_view_fn *fn, void *user)
{
    hob_executor_each_pending(thing->executor, fn, user);
}

void hob_thing_get_facts(const struct hob_thing *thing, struct hob_thing_facts *out)
{
    const struct hob_config_thing *config = thing->options.thing;
    uint64_t answered_ms = hob_jobs_client_answered_ms(thing->client);
    bool is_branch = hob_thing_is_branch(thing);
    *out = (struct hob_thing_facts){
        .via = via_of(thing),
        .endpoint = is_branch ? "" : config->endpoint,
        .port = is_branch ? 0 : port_of(config),
        .answered_ms = answered_ms ? (int64_t)(hob_clock_mono_ms() - answered_ms) : -1,
        .oldest_ms = hob_outbox_oldest_ms(thing->outbox)};
    hob_mqtt_get_counts(thing->mqtt, &out->mqtt);
}

bool hob_thing_certificate(struct hob_thing *thing, size_t index, struct hob_thing_certificate *out)
{
    const struct hob_config_thing *config = thing->options.thing;
    struct {
        const char *which, *path;
        struct hob_expiry *expiry;
    } all[] = {{"own", config->cert, &thing->own}, {"ca", config->ca, &thing->ca}};
    bool has = config->tls && !hob_thing_is_branch(thing);
    for (size_t i = 0; has && i < sizeof all / sizeof all[0]; i++) {
        if (all[i].path[0] && index-- == 0) {
            *out = (struct hob_thing_certificate){all[i].which, all[i].path,
                                                  hob_expiry_look(all[i].expiry, all[i].path)};
            return true;
        }
    }
    return false;
}

int64_t hob_thing_certificate_ends(const struct hob_thing_certificate *certificate)
{
    const struct hob_expiry *expiry = certificate->expiry;
    return strcmp(certificate->which, "ca") == 0 ? expiry->last_s : expiry->first_s;
}

const char *hob_thing_describe(const struct hob_thing *thing, char *out, size_t len)
{
    return hob_mqtt_describe(thing->mqtt, out, len);
}

const char *hob_thing_subscription(const struct hob_thing *thing, size_t index, const char **state)
{
    return hob_jobs_client_subscription(thing->client, index, state);
}
