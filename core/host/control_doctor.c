/* control_doctor.c - the command `doctor` of the control socket: what only this process knows of
 * its connections, its subscriptions and its store. `hob doctor` asks instead of connecting with
 * the same client id, which would throw this process out. See docs/reference/control-protocol.md.
 */
#include "base/alloc.h"
#include "host/control_parts.h"

#include "host/thing.h"
#include "jobs/subscribe.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define HOW_MAX 200

static int put_subscription(struct hob_buf *out, bool first, const char *topic, const char *state)
{
    char needs[HOB_JOBS_SUBSCRIBE_NEEDS_MAX];
    int rc = hob_buf_printf(out, "%s{\"state\":\"%s\"", first ? "" : ",", state);
    rc = rc ? rc : hob_control_put_text(out, "topic", topic);
    rc = rc ? rc : hob_control_put_text(out, "needs", hob_jobs_subscribe_needs(topic, needs));
    return rc ? rc : hob_buf_append_string(out, "}");
}

static int put_subscriptions(struct hob_buf *out, const struct hob_thing *thing)
{
    const char *topic, *state;
    int rc = hob_buf_append_string(out, ",\"subscriptions\":[");
    for (size_t i = 0; rc == 0 && (topic = hob_thing_subscription(thing, i, &state)); i++) {
        rc = put_subscription(out, i == 0, topic, state);
    }
    return rc ? rc : hob_buf_append_string(out, "]");
}

static uint64_t sum(const uint64_t counts[HOB_MQTT_CAUSES])
{
    uint64_t all = 0;
    for (int i = 0; i < HOB_MQTT_CAUSES; i++) {
        all += counts[i];
    }
    return all;
}

static int put_connection(struct hob_buf *out, const struct hob_thing *thing)
{
    struct hob_thing_facts facts;
    char how[HOW_MAX];
    hob_thing_get_facts(thing, &facts);
    int rc = hob_control_put_text(out, facts.via[0] ? "via" : "endpoint",
                                  facts.via[0] ? facts.via : facts.endpoint);
    if (rc == 0 && !facts.via[0]) {
        rc = hob_buf_printf(out, ",\"port\":%d", facts.port);
    }
    rc = rc ? rc : hob_control_put_text(out, "how", hob_thing_describe(thing, how, sizeof how));
    rc = rc ? rc
            : hob_buf_printf(out, ",\"connected\":%" PRIu64 ",\"lost\":%" PRIu64,
                             facts.mqtt.connected, sum(facts.mqtt.lost));
    if (rc == 0 && facts.answered_ms >= 0) {
        rc = hob_buf_printf(out, ",\"answeredSeconds\":%" PRId64, facts.answered_ms / 1000);
    }
    return rc ? rc : put_subscriptions(out, thing);
}

static int put_thing(struct hob_control_request *request, const struct hob_control_thing *thing)
{
    struct hob_buf *out = request->out;
    const struct hob_config_thing *config = thing->config;
    const char *client_id = config->client_id[0] ? config->client_id : thing->name;
    int rc = hob_buf_printf(out, "{%s\"thing\":{\"online\":%s,\"forSeconds\":%" PRId64, request->id,
                            thing->online ? "true" : "false", thing->since_s);
    rc = rc ? rc : hob_buf_printf(out, ",\"untold\":%zu", thing->untold);
    rc = rc ? rc : hob_control_put_text(out, "thing", thing->name);
    rc = rc ? rc : hob_control_put_text(out, "clientId", client_id);
    rc = rc ? rc : hob_control_put_text(out, "why", thing->why);
    rc = rc || !thing->thing ? rc : put_connection(out, thing->thing);
    return rc ? rc : hob_buf_append_string(out, "}}\n");
}

/* The directory in which Hob was started may not be that of whoever asks. */
static int put_config(struct hob_buf *out, const struct hob_config *config)
{
    char *path = config->config_file[0] ? hob_realpath(config->config_file) : NULL;
    int rc = hob_control_put_text(out, "config", path ? path : config->config_file);
    hob_free(path);
    return rc;
}

int hob_control_doctor(struct hob_control_request *request)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_control_process process;
    struct hob_control_thing thing;
    struct hob_buf *out = request->out;
    size_t count = hob_control_count_things(request), shown = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && options->thing_at(options->user, i, &thing); i++) {
        if (hob_control_shows_thing(count, shown, &thing)) {
            shown++;
            rc = put_thing(request, &thing);
        }
    }
    options->process(options->user, &process);
    rc = rc ? rc
            : hob_buf_printf(out,
                             "{%s\"thingCount\":%zu,\"pid\":%d,\"startedAt\":%" PRId64
                             ",\"uptimeSeconds\":%" PRId64,
                             request->id, count, (int)getpid(), process.started_at,
                             process.uptime_s);
    rc = rc ? rc : hob_control_put_text(out, "data", process.data);
    rc = rc ? rc : hob_control_put_text(out, "scripts", process.scripts);
    rc = rc ? rc : put_config(out, options->config);
    return rc ? rc
              : hob_buf_printf(out, ",\"store\":{\"damaged\":%s,\"newer\":%s},\"end\":true}\n",
                               hob_store_is_damaged(options->store) ? "true" : "false",
                               hob_store_is_newer(options->store) ? "true" : "false");
}
