/* control_things.c - the things of a gateway, of which there may be a thousand: `things` lists them
 * in pages, `thing-add` and `thing-remove` change them while it runs; and what other commands say
 * of them. See docs/reference/control-protocol.md. */
#include "base/alloc.h"
#include "base/clock.h"
#include "host/control_parts.h"
#include "host/thing.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MANY          64  /* from so many things on, an answer about other things has not all */
#define SHOWN_MAX     100 /* but so many of those with trouble */
#define SETTINGS_MAX  32
#define CERTIFICATE_S ((int64_t)30 * 86400) /* that ends sooner is trouble */

/* ---- one thing ---- */

static int put_certificate(struct hob_buf *out, const struct hob_thing_certificate *one)
{
    int rc = hob_buf_printf(out, "{\"which\":\"%s\"", one->which);
    rc = rc ? rc : hob_control_put_text(out, "path", one->path);
    if (one->expiry->code) {
        rc = rc ? rc : hob_control_put_text(out, "error", hob_error_words(one->expiry->code));
    } else {
        int64_t ends_s = hob_thing_certificate_ends(one);
        rc = rc ? rc
                : hob_buf_printf(out, ",\"endsAt\":%" PRId64 ",\"leftSeconds\":%" PRId64, ends_s,
                                 ends_s - hob_clock_wall_ms() / 1000);
    }
    return rc ? rc : hob_buf_append_string(out, "}");
}

static int put_certificates(struct hob_buf *out, struct hob_thing *thing)
{
    struct hob_thing_certificate one;
    int rc = hob_buf_append_string(out, ",\"certificates\":[");
    for (size_t i = 0; rc == 0 && hob_thing_certificate(thing, i, &one); i++) {
        rc = hob_buf_append_string(out, i ? "," : "");
        rc = rc ? rc : put_certificate(out, &one);
    }
    return rc ? rc : hob_buf_append_string(out, "]");
}

static int put_facts(struct hob_buf *out, struct hob_thing *thing)
{
    struct hob_thing_facts facts;
    hob_thing_get_facts(thing, &facts);
    int rc = hob_control_put_text(out, facts.via[0] ? "via" : "endpoint",
                                  facts.via[0] ? facts.via : facts.endpoint);
    if (rc == 0 && !facts.via[0]) {
        rc = hob_buf_printf(out, ",\"port\":%d", facts.port);
    }
    rc = rc ? rc : hob_buf_printf(out, ",\"connections\":%" PRIu64, facts.mqtt.connected);
    if (rc == 0 && facts.answered_ms >= 0) {
        rc = hob_buf_printf(out, ",\"answeredSeconds\":%" PRId64, facts.answered_ms / 1000);
    }
    if (rc == 0 && facts.oldest_ms >= 0) {
        rc = hob_buf_printf(out, ",\"oldestSeconds\":%" PRId64, facts.oldest_ms / 1000);
    }
    return rc ? rc : put_certificates(out, thing);
}

static void count_job(void *user, const struct hob_executor_view *view)
{
    ++*(int *)user;
}

/* @param full  with what is looked up for it: its connection, certificates, jobs */
static int put_thing(struct hob_control_request *request, size_t index,
                     const struct hob_control_thing *thing, bool full)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_buf *out = request->out;
    int jobs = 0;
    int rc = hob_buf_append_string(out, "{\"thing\":");
    rc = rc ? rc : hob_json_quote(out, thing->name, strlen(thing->name));
    rc = rc ? rc
            : hob_buf_printf(out, ",\"online\":%s,\"untold\":%zu,\"forSeconds\":%" PRId64,
                             thing->online ? "true" : "false", thing->untold, thing->since_s);
    rc = rc ? rc : hob_control_put_text(out, "why", thing->why);
    if (full) {
        const struct hob_config_thing *config = thing->config;
        options->each_job(options->user, index, count_job, &jobs);
        rc = rc ? rc : hob_buf_printf(out, ",\"jobs\":%d", jobs);
        rc = rc ? rc
                : hob_control_put_text(out, "clientId",
                                       config->client_id[0] ? config->client_id : thing->name);
        rc = rc || !thing->thing ? rc : put_facts(out, thing->thing);
    }
    return rc ? rc : hob_buf_append_string(out, "}");
}

/* ---- beside other answers ---- */

struct summary {
    size_t count, online, untold, trouble, shown;
    int64_t longest_s, oldest_s; /* not connected; an outcome that is not told */
};

static bool ends_soon(struct hob_thing *thing)
{
    struct hob_thing_certificate one;
    int64_t now_s = hob_clock_wall_ms() / 1000;
    for (size_t i = 0; hob_thing_certificate(thing, i, &one); i++) {
        if (one.expiry->code || hob_thing_certificate_ends(&one) - now_s < CERTIFICATE_S) {
            return true;
        }
    }
    return false;
}

static bool is_in_trouble(const struct hob_control_thing *thing)
{
    return !thing->online || thing->untold > 0 || !thing->thing || ends_soon(thing->thing);
}

static struct summary sum_up(const struct hob_control_options *options)
{
    struct summary sum = {0};
    struct hob_control_thing thing;
    for (; options->thing_at(options->user, sum.count, &thing); sum.count++) {
        struct hob_thing_facts facts = {.oldest_ms = -1};
        sum.online += thing.online;
        sum.untold += thing.untold;
        sum.trouble += is_in_trouble(&thing);
        if (!thing.online && thing.since_s > sum.longest_s) {
            sum.longest_s = thing.since_s;
        }
        if (thing.untold && thing.thing) {
            hob_thing_get_facts(thing.thing, &facts);
        }
        if (facts.oldest_ms / 1000 > sum.oldest_s) {
            sum.oldest_s = facts.oldest_ms / 1000;
        }
    }
    return sum;
}

bool hob_control_shows_thing(size_t count, size_t shown, const struct hob_control_thing *thing)
{
    return count < MANY || (shown < SHOWN_MAX && is_in_trouble(thing));
}

size_t hob_control_count_things(const struct hob_control_request *request)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_control_thing thing;
    size_t count = 0;
    while (options->thing_at(options->user, count, &thing)) {
        count++;
    }
    return count;
}

int hob_control_put_things(struct hob_control_request *request, bool full)
{
    const struct hob_control_options *options = &request->control->options;
    struct summary sum = sum_up(options);
    struct hob_control_thing thing;
    int rc = hob_buf_append_string(request->out, "\"things\":[");
    for (size_t i = 0; rc == 0 && options->thing_at(options->user, i, &thing); i++) {
        if (hob_control_shows_thing(sum.count, sum.shown, &thing)) {
            rc = hob_buf_append_string(request->out, sum.shown++ ? "," : "");
            rc = rc ? rc : put_thing(request, i, &thing, full);
        }
    }
    return rc ? rc
              : hob_buf_printf(request->out,
                               "],\"thingSummary\":{\"count\":%zu,\"online\":%zu,\"untold\":%zu,"
                               "\"trouble\":%zu,\"shown\":%zu,\"longestOffline\":%" PRId64
                               ",\"oldestSeconds\":%" PRId64 "}",
                               sum.count, sum.online, sum.untold, sum.trouble, sum.shown,
                               sum.longest_s, sum.oldest_s);
}

int hob_control_put_one_thing(struct hob_control_request *request, size_t index)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_control_thing thing;
    int rc = hob_buf_append_string(request->out, "\"things\":[");
    if (rc == 0 && options->thing_at(options->user, index, &thing)) {
        rc = put_thing(request, index, &thing, true);
    }
    return rc ? rc : hob_buf_append_string(request->out, "]");
}

/* ---- things ---- */

int hob_control_things(struct hob_control_request *request)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_buf *out = request->out;
    struct hob_control_thing thing;
    int64_t from = hob_json_integer(request->json, "from", 0);
    if (from < 0) {
        return hob_control_error(out, request->id, HOB_EINVAL,
                                 "from: expected a `next` of an answer");
    }
    size_t i = (size_t)from;
    int rc = 0;
    for (; rc == 0 && hob_buf_len(out) < HOB_CONTROL_PAGE_SOFT &&
           options->thing_at(options->user, i, &thing);
         i++) {
        rc = hob_buf_printf(out, "{%s\"thing\":", request->id);
        rc = rc ? rc : put_thing(request, i, &thing, true);
        rc = rc ? rc : hob_buf_append_string(out, "}\n");
    }
    if (rc == 0 && options->thing_at(options->user, i, &thing)) {
        return hob_buf_printf(out, "{%s\"next\":%zu,\"end\":true}\n", request->id, i);
    }
    return rc ? rc : hob_buf_printf(out, "{%s\"end\":true}\n", request->id);
}

/* ---- thing-add ---- */

struct settings {
    struct hob_json *json;
    const char *list[2 * SETTINGS_MAX + 1]; /* name, value, ..., NULL; borrowed */
    char names[SETTINGS_MAX][64];
    size_t count;
    const char *wrong; /* what cannot be set so, */
    const char *why;   /* and what is expected */
};

static bool refuse(struct settings *settings, const char *key, const char *why)
{
    settings->wrong = key;
    settings->why = why;
    return false;
}

static bool on_setting(void *user, const char *key, enum hob_json_type type)
{
    struct settings *settings = user;
    char path[96];
    size_t len = 0;
    if (strcmp(key, "thing_name") == 0) { /* the log names another one */
        return refuse(settings, key, "the name beside the settings, and no other");
    }
    if (settings->count == SETTINGS_MAX || strlen(key) >= sizeof settings->names[0]) {
        return refuse(settings, key, "at most 31 keys of a thing");
    }
    char *name = settings->names[settings->count];
    snprintf(name, sizeof settings->names[0], "%s", key);
    snprintf(path, sizeof path, "settings.%s", key);
    const char *value = hob_json_string(settings->json, path, &len);
    if (!value || strlen(value) != len) {
        return refuse(settings, key, "a text");
    }
    settings->list[2 * settings->count] = name;
    settings->list[2 * settings->count++ + 1] = value;
    return true;
}

/* @return its name; NULL: the line of the error was appended */
static const char *name_of(struct hob_control_request *request)
{
    size_t len = 0;
    const char *name = hob_json_string(request->json, "thing", &len);
    if (name && *name && strlen(name) == len) {
        return name;
    }
    hob_control_error(request->out, request->id, HOB_EINVAL, "thing: expected its name");
    return NULL;
}

int hob_control_thing_add(struct hob_control_request *request)
{
    const struct hob_control_options *options = &request->control->options;
    struct settings settings = {.json = request->json};
    struct hob_error err = {0};
    const char *name = name_of(request);
    if (!name) {
        return 0;
    }
    settings.list[0] = "thing_name";
    settings.list[1] = name;
    settings.count = 1;
    enum hob_json_type type = hob_json_type(request->json, "settings");
    if (type != HOB_JSON_ABSENT && type != HOB_JSON_OBJECT) {
        return hob_control_error(request->out, request->id, HOB_EINVAL,
                                 "settings: expected an object of texts");
    }
    hob_json_each(request->json, "settings", on_setting, &settings);
    if (settings.wrong) {
        return hob_control_error(request->out, request->id, HOB_EINVAL,
                                 "settings: %.60s: expected %s", settings.wrong, settings.why);
    }
    hob_control_log_change(request, name, NULL, 0, "thing add");
    int rc = options->add_thing(options->user, settings.list, &err);
    if (rc) {
        return hob_control_error(request->out, request->id, rc, "%s", err.message);
    }
    rc = hob_buf_printf(request->out, "{%s\"thing\":", request->id);
    rc = rc ? rc : hob_json_quote(request->out, name, strlen(name));
    rc = rc ? rc : hob_buf_append_string(request->out, ",\"added\":true,\"kept\":false");
    rc = rc ? rc : hob_control_put_text(request->out, "config", options->config->config_file);
    return rc ? rc : hob_buf_append_string(request->out, ",\"end\":true}\n");
}

/* ---- thing-remove ---- */

struct removal {
    struct hob_control_stream *stream; /* NULL: nobody waits any more */
    char name[HOB_JOBS_THING_MAX + 1];
};

static void waiter_gone(void *user)
{
    struct removal *removal = user;
    removal->stream = NULL; /* freed when the thing is out */
}

static void thing_is_out(void *user)
{
    struct removal *removal = user;
    struct hob_control_stream *stream = removal->stream;
    char members[HOB_JOBS_THING_MAX + 64];
    snprintf(members, sizeof members, "\"thing\":\"%s\",\"removed\":true", removal->name);
    hob_free(removal);
    if (stream) {
        hob_control_stream_end(stream, members);
    }
}

int hob_control_thing_remove(struct hob_control_request *request)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_error err = {0};
    const char *name = name_of(request);
    struct removal *removal = name ? hob_calloc(1, sizeof *removal) : NULL;
    if (!removal) {
        return name ? HOB_ENOMEM : 0;
    }
    snprintf(removal->name, sizeof removal->name, "%s", name);
    removal->stream = hob_control_follow(request, waiter_gone, removal, &err);
    if (!removal->stream) {
        hob_free(removal);
        return hob_control_error(request->out, request->id, err.code, "%s", err.message);
    }
    hob_control_log_change(request, name, NULL, 0, "thing remove");
    if (options->remove_thing(options->user, name, thing_is_out, removal, &err)) {
        struct hob_control_stream *stream = removal->stream;
        struct hob_buf members;
        hob_free(removal);
        hob_buf_init(&members, HOB_CONTROL_LINE_MAX);
        hob_buf_printf(&members,
                       "\"error\":{\"code\":\"%s\",\"message\":", hob_error_name(err.code));
        hob_json_quote(&members, err.message, strlen(err.message));
        hob_buf_append_string(&members, "}");
        hob_control_stream_end(stream, hob_buf_string(&members));
        hob_buf_free(&members);
    }
    return 0;
}
