#include "host/things.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/random.h"
#include "host/config_index.h"
#include "host/own_connection.h"
#include "host/process_limits.h"
#include "jobs/client.h"
#include "net/tls.h"
#include "work/fair.h"
#include "work/product.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define BUCKETS_MIN 16

/* What a thing is found by. */
enum key { NAME, CLIENT_ID, KEYS };

/* One thing, and its configuration. */
struct place {
    struct hob_things *things;
    struct hob_config_thing config;
    struct hob_thing *thing;  /* NULL: it has stopped */
    struct place *next[KEYS]; /* of the same bucket */
    bool leaving;
    void (*removed)(void *user);
    void *removed_user;
};

struct hob_things {
    struct hob_thing_options common;
    struct hob_own_connection *own; /* the product's; NULL: none */
    struct place **places;          /* in the order in which they came */
    size_t count, room;
    struct place **buckets[KEYS];
    size_t bucket_count; /* a power of two */
    size_t running;      /* that have not stopped */
    uint64_t next_us;    /* on the monotonic clock: when the next one may begin to connect */
    bool started, draining, stopping, few_said;
    struct hob_loop_soon end;
    void (*leaving)(void *user, const struct hob_thing *thing);
    void *leaving_user;
    void (*stopped)(void *user);
    void *stopped_user;
};

/* ---- by name, and by client id ---- */

static const char *key_of(const struct hob_config_thing *config, enum key key)
{
    return key == NAME ? config->thing_name : hob_config_thing_client_id(config);
}

static struct place **bucket_of(const struct hob_things *things, enum key key, const char *text)
{
    return &things->buckets[key][hob_config_hash(text) & (things->bucket_count - 1)];
}

static struct place *find(const struct hob_things *things, const char *name)
{
    struct place *place = *bucket_of(things, NAME, name);
    while (place && strcmp(place->config.thing_name, name) != 0) {
        place = place->next[NAME];
    }
    return place;
}

static struct place *find_clashing(const struct hob_things *things,
                                   const struct hob_config_thing *config)
{
    struct place *place = *bucket_of(things, CLIENT_ID, hob_config_thing_client_id(config));
    while (place && !hob_config_thing_clashes(&place->config, config)) {
        place = place->next[CLIENT_ID];
    }
    return place;
}

static void link_place(struct hob_things *things, struct place *place)
{
    for (enum key key = NAME; key < KEYS; key++) {
        struct place **bucket = bucket_of(things, key, key_of(&place->config, key));
        place->next[key] = *bucket;
        *bucket = place;
    }
}

static void unlink_place(struct hob_things *things, struct place *place)
{
    for (enum key key = NAME; key < KEYS; key++) {
        struct place **at = bucket_of(things, key, key_of(&place->config, key));
        while (*at != place) {
            at = &(*at)->next[key];
        }
        *at = place->next[key];
    }
}

/* ---- the list ---- */

static int grow(struct hob_things *things)
{
    size_t room = things->room ? 2 * things->room : BUCKETS_MIN;
    struct place **places = hob_realloc(things->places, room * sizeof(struct place *));
    struct place **buckets = hob_calloc(KEYS * room, sizeof(struct place *));
    things->places = places ? places : things->places;
    if (!places || !buckets) {
        hob_free(buckets);
        return HOB_ENOMEM;
    }
    hob_free(things->buckets[NAME]); /* the beginning of both */
    things->buckets[NAME] = buckets;
    things->buckets[CLIENT_ID] = buckets + room;
    things->bucket_count = things->room = room;
    for (size_t i = 0; i < things->count; i++) {
        link_place(things, places[i]);
    }
    return 0;
}

static void free_place(struct place *place)
{
    if (place) {
        hob_config_thing_free(&place->config);
        hob_free(place);
    }
}

static void take_out(struct hob_things *things, struct place *place)
{
    size_t at = 0;
    while (things->places[at] != place) {
        at++;
    }
    things->count--;
    memmove(&things->places[at], &things->places[at + 1],
            (things->count - at) * sizeof(struct place *));
    unlink_place(things, place);
    free_place(place);
}

/* ---- life ---- */

static int open_own(struct hob_things *things, struct hob_error *err)
{
    struct hob_thing_options *common = &things->common;
    struct hob_connection *connection = common->config->connection;
    if (!connection) {
        return 0;
    }
    int rc = hob_own_connection_new(common->loop, common->log, connection, &common->product->inside,
                                    &things->own, err);
    common->trunk = rc ? NULL : hob_own_connection_trunk(things->own);
    return rc;
}

static void close_own(struct hob_things *things)
{
    hob_own_connection_close(things->own);
    things->own = NULL;
}

int hob_things_new(const struct hob_thing_options *common, struct hob_things **out,
                   struct hob_error *err)
{
    struct hob_things *things = hob_calloc(1, sizeof *things);
    if (!things || grow(things)) {
        hob_things_free(things);
        return hob_error_set(err, HOB_ENOMEM, "things: out of memory");
    }
    things->common = *common;
    int rc = hob_jobs_decoder_new(&things->common.decoder, err);
    rc = rc ? rc : hob_json_new(&things->common.json, err);
    rc = rc ? rc : hob_fair_new(common->loop, &things->common.fair, err);
    rc = rc ? rc : open_own(things, err);
    things->common.tls_cache = hob_tls_cache_new(); /* without memory for it nothing is shared */
    if (rc) {
        hob_things_free(things);
        return rc;
    }
    if (common->turn) {
        common->turn->limit = (size_t)common->config->max_running_jobs;
    }
    *out = things;
    return 0;
}

void hob_things_free(struct hob_things *things)
{
    if (!things) {
        return;
    }
    for (size_t i = 0; i < things->count; i++) {
        free_place(things->places[i]);
    }
    close_own(things);
    hob_jobs_decoder_free(things->common.decoder);
    hob_json_free(things->common.json);
    hob_fair_free(things->common.fair);
    hob_tls_cache_free(things->common.tls_cache);
    hob_free(things->places);
    hob_free(things->buckets[NAME]);
    hob_free(things);
}

/* The thing whose connection it uses. */
static int find_over(const struct hob_things *things, const struct hob_config_thing *config,
                     struct hob_thing **over, struct hob_error *err)
{
    const char *name = config->connection;
    if (!name[0]) {
        return 0;
    }
    if (things->own) {
        return hob_error_set(err, HOB_ECONFIG,
                             "connection: all things use the product's own connection");
    }
    const struct place *place = find(things, name);
    if (!place || !place->thing || place->leaving) {
        return hob_error_set(err, HOB_ECONFIG,
                             "connection: expected the name of another thing of this gateway, got "
                             "'%.128s'",
                             name);
    }
    if (hob_thing_is_branch(place->thing)) {
        return hob_error_set(err, HOB_ECONFIG,
                             "connection: expected a thing with a connection of its own, but "
                             "'%.128s' uses that of '%.128s'",
                             name, place->config.connection);
    }
    *over = place->thing;
    return 0;
}

static int check_client_id(const struct hob_things *things, const struct hob_config_thing *config,
                           struct hob_error *err)
{
    const struct place *other = things->own ? NULL : find_clashing(things, config);
    return other ? hob_error_set(err, HOB_ECONFIG,
                                 "client_id: expected another one: the thing '%.128s' connects "
                                 "with it, too, and would be thrown out",
                                 other->config.thing_name)
                 : 0;
}

static int make_place(struct hob_things *things, const struct hob_config_thing *config,
                      struct place **out, struct hob_error *err)
{
    struct place *place = hob_calloc(1, sizeof *place);
    if (!place || (things->count == things->room && grow(things))) {
        hob_free(place);
        return hob_error_set(err, HOB_ENOMEM, "thing: out of memory");
    }
    place->things = things;
    int rc = hob_config_thing_copy(&place->config, config, err);
    struct hob_thing_options options = things->common;
    options.thing = &place->config;
    rc = rc ? rc : check_client_id(things, config, err);
    rc = rc ? rc : find_over(things, config, &options.over, err);
    rc = rc ? rc : hob_thing_new(&options, &place->thing, err);
    if (rc) {
        free_place(place);
        return rc;
    }
    *out = place;
    return 0;
}

/* One after the other, each a little earlier or later, so that gateways of a fleet that were
 * switched on at once are not in step. Those over another one's connection make none. */
static void start(struct hob_things *things, struct place *place)
{
    int64_t rate = things->common.config->connect_rate;
    uint64_t now_us = hob_clock_mono_ms() * 1000;
    uint64_t gap_us = rate > 0 ? 1000000 / (uint64_t)rate : 0;
    if (gap_us == 0 || hob_thing_is_branch(place->thing)) {
        hob_thing_start(place->thing, 0);
        return;
    }
    things->next_us = things->next_us > now_us ? things->next_us : now_us;
    hob_thing_start(place->thing, (things->next_us - now_us) / 1000);
    things->next_us += gap_us / 2 + hob_random_u64() % gap_us;
}

/* Said once, until there are enough again. */
static void check_limits(struct hob_things *things)
{
    const struct hob_config *config = things->common.config;
    size_t jobs = 0, connections = 0;
    for (size_t i = 0; i < things->count; i++) {
        const struct place *place = things->places[i];
        jobs += (size_t)place->config.max_concurrent_jobs;
        connections += place->thing && !hob_thing_is_branch(place->thing);
    }
    size_t most = (size_t)config->max_running_jobs;
    jobs = most && most < jobs ? most : jobs;
    things->few_said = !hob_process_limits_check(things->few_said ? NULL : things->common.log,
                                                 connections, jobs, things->common.raise_limits);
}

static void say(const struct hob_things *things, const struct place *place, const char *event,
                const char *text)
{
    hob_log_write(things->common.log,
                  &(struct hob_log_record){
                      .level = HOB_LOG_INFO, .event = event, .thing = place->config.thing_name},
                  "%s", text);
}

int hob_things_add(struct hob_things *things, const struct hob_config_thing *config,
                   struct hob_error *err)
{
    struct place *place = find(things, config->thing_name);
    if (things->stopping) {
        return hob_error_set(err, HOB_ECANCELED, "hob is stopping");
    }
    if (place) {
        return place->leaving
                   ? hob_error_set(err, HOB_EBUSY,
                                   "the thing '%.128s' is still being removed: try "
                                   "again when it is out",
                                   config->thing_name)
                   : hob_error_set(err, HOB_EEXIST, "the thing '%.128s' is there already",
                                   config->thing_name);
    }
    int rc = make_place(things, config, &place, err);
    if (rc) {
        return rc;
    }
    assert(place);
    things->places[things->count++] = place;
    link_place(things, place);
    things->running++;
    hob_thing_drain(place->thing, things->draining);
    if (things->started) {
        say(things, place, "thing.added", "until the next start of Hob");
        check_limits(things);
        start(things, place);
    }
    return 0;
}

/* ---- what the store has for those that are not here: nobody else would show it ---- */

struct left {
    const struct hob_things *things;
    size_t jobs, outcomes;
    char name[HOB_JOBS_THING_MAX + 1];
};

static bool count_left(void *user, const struct hob_store_execution *execution)
{
    struct left *left = user;
    const struct place *place = find(left->things, execution->thing);
    if (!place || place->leaving) {
        left->outcomes += execution->state == HOB_STORE_ENDED;
        left->jobs += execution->state != HOB_STORE_ENDED;
        snprintf(left->name, sizeof left->name, "%s", execution->thing);
    }
    return true;
}

/* @param thing  "": all of them */
static struct left look_left(const struct hob_things *things, const char *thing)
{
    static const enum hob_store_state states[] = {HOB_STORE_CLAIMING, HOB_STORE_RUNNING,
                                                  HOB_STORE_ENDED};
    struct left left = {.things = things};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        hob_store_each(things->common.store, thing, states[i], count_left, &left, NULL);
    }
    return left;
}

/* A product, or a program, may add them soon: who begins with none is not warned. */
static void say_left(const struct hob_things *things)
{
    struct left left = look_left(things, "");
    if (left.jobs || left.outcomes) {
        hob_log_write(things->common.log,
                      &(struct hob_log_record){
                          .level = things->count ? HOB_LOG_WARN : HOB_LOG_INFO,
                          .event = "start.things_missing",
                          .action = "have them in `things`, or add them (hob thing add): then it "
                                    "goes on, and is told"},
                      "of things that are not here, such as '%s', the store has jobs that were "
                      "begun: %zu, outcomes that are not told: %zu",
                      left.name, left.jobs, left.outcomes);
    }
}

static void say_removed(const struct hob_things *things, const struct place *place)
{
    struct left left = look_left(things, place->config.thing_name);
    char text[128];
    snprintf(text, sizeof text,
             "the store keeps its jobs that were begun: %zu, outcomes that are not told: %zu",
             left.jobs, left.outcomes);
    say(things, place, "thing.removed", text);
}

static void all_stopped(void *user)
{
    struct hob_things *things = user;
    close_own(things);
    if (things->stopped) {
        things->stopped(things->stopped_user);
    }
}

static void thing_stopped(void *user)
{
    struct place *place = user;
    struct hob_things *things = place->things;
    void (*removed)(void *) = place->removed;
    void *removed_user = place->removed_user;
    place->thing = NULL;
    things->running--;
    if (place->leaving) {
        say_removed(things, place);
        take_out(things, place);
    }
    if (removed) {
        things->common.product->inside++;
        removed(removed_user);
        things->common.product->inside--;
    }
    if (things->stopping && things->running == 0) {
        all_stopped(things);
    }
}

int hob_things_remove(struct hob_things *things, const char *name, void (*removed)(void *user),
                      void *user, struct hob_error *err)
{
    struct place *place = find(things, name);
    const struct hob_config *config = things->common.config;
    if (things->stopping) {
        return hob_error_set(err, HOB_ECANCELED, "hob is stopping");
    }
    if (!place || place->leaving) {
        return place ? hob_error_set(err, HOB_EBUSY, "the thing '%.128s' is being removed already",
                                     name)
                     : hob_error_set(err, HOB_ENOENT, "this gateway has no thing '%.128s'", name);
    }
    if (hob_thing_branches(place->thing)) {
        return hob_error_set(err, HOB_EBUSY,
                             "other things use the connection of '%.128s': remove them first "
                             "(%zu are there)",
                             name, hob_thing_branches(place->thing));
    }
    place->leaving = true;
    if (things->leaving) {
        things->leaving(things->leaving_user, place->thing);
    }
    place->removed = removed;
    place->removed_user = user;
    uint64_t limit_ms = (uint64_t)(config->stop_timeout * 1000);
    uint64_t grace_ms = (uint64_t)(config->stop_grace * 1000);
    hob_thing_stop(place->thing, grace_ms < limit_ms ? grace_ms : limit_ms, limit_ms, thing_stopped,
                   place);
    return 0;
}

void hob_things_stop(struct hob_things *things, uint64_t grace_ms, uint64_t limit_ms,
                     void (*stopped)(void *user), void *user)
{
    things->stopping = true;
    things->stopped = stopped;
    things->stopped_user = user;
    for (size_t i = 0; i < things->count; i++) {
        struct place *place = things->places[i];
        if (place->thing && !place->leaving) {
            hob_thing_stop(place->thing, grace_ms, limit_ms, thing_stopped, place);
        }
    }
    if (things->running == 0) {
        hob_loop_defer(things->common.loop, &things->end, all_stopped, things);
    }
}

void hob_things_start(struct hob_things *things)
{
    things->started = true;
    check_limits(things);
    say_left(things);
    if (things->own) {
        hob_own_connection_start(things->own);
    }
    for (size_t i = 0; i < things->count; i++) {
        start(things, things->places[i]);
    }
}

/* What is there of one that closes cannot be asked any more. */
static struct hob_thing *alive(const struct place *place)
{
    return place->thing && !hob_thing_is_closing(place->thing) ? place->thing : NULL;
}

/* ---- all of them ---- */

void hob_things_drain(struct hob_things *things, bool on)
{
    things->draining = on;
    for (size_t i = 0; i < things->count; i++) {
        if (alive(things->places[i])) {
            hob_thing_drain(things->places[i]->thing, on);
        }
    }
}

void hob_things_reloaded(struct hob_things *things)
{
    for (size_t i = 0; i < things->count; i++) {
        if (alive(things->places[i])) {
            hob_thing_reloaded(things->places[i]->thing);
        }
    }
}

void hob_things_hurry(struct hob_things *things)
{
    for (size_t i = 0; i < things->count; i++) {
        if (things->places[i]->thing) {
            hob_thing_hurry(things->places[i]->thing);
        }
    }
}

void hob_things_reconsider(struct hob_things *things)
{
    for (size_t i = 0; i < things->count; i++) {
        if (alive(things->places[i])) {
            hob_thing_reconsider(things->places[i]->thing);
        }
    }
}

void hob_things_on_leaving(struct hob_things *things,
                           void (*leaving)(void *user, const struct hob_thing *thing), void *user)
{
    things->leaving = leaving;
    things->leaving_user = user;
}

/* ---- looking ---- */

struct hob_thing *hob_things_find(const struct hob_things *things, const char *name)
{
    struct place *place = find(things, name);
    return place ? alive(place) : NULL;
}

size_t hob_things_count(const struct hob_things *things)
{
    return things->count;
}

bool hob_things_at(const struct hob_things *things, size_t index, struct hob_things_entry *out)
{
    if (index >= things->count) {
        return false;
    }
    const struct place *place = things->places[index];
    *out = (struct hob_things_entry){place->config.thing_name, &place->config, alive(place),
                                     place->leaving};
    return true;
}
