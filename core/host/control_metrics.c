/* control_metrics.c - the command `metrics` of the control socket: what there is to count, in
 * Prometheus's text format. See docs/reference/metrics.md; a spec compares it with the table here.
 *
 * One line holds the text of one family, or a part of it. Where a page ends is a number: which
 * family, and which of the things comes next in it.
 */
#include "base/clock.h"
#include "host/control_parts.h"
#include "host/metrics_text.h"
#include "host/process_facts.h"
#include "host/thing.h"
#include "work/debug.h"
#include "work/output.h"
#include "work/tally.h"

#include <inttypes.h>
#include <string.h>

#define TEXT_MAX  (256 * 1024)
#define TEXT_SOFT (32 * 1024) /* a line ends at the first thing over it */
#define STRIDE    65536       /* more than a gateway has things */

struct metrics {
    struct hob_control_request *request;
    const struct hob_control_options *options;
    struct hob_buf text;
    struct hob_control_process process;
    const char *name; /* of the present family */
    int rc;
};

struct family {
    const char *name, *type, *help;
    void (*put)(struct metrics *m);
    void (*put_thing)(struct metrics *m, size_t index, const struct hob_control_thing *thing);
};

/* ---- samples ---- */

static void sample(struct metrics *m, const struct hob_metrics_label *labels, double value)
{
    m->rc = m->rc ? m->rc : hob_metrics_sample(&m->text, m->name, labels, value);
}

static void sample_with(struct metrics *m, const char *label, const char *text, double value)
{
    sample(m, (struct hob_metrics_label[]){{label, text}, {NULL, NULL}}, value);
}

static void sample_thing(struct metrics *m, const char *thing, double value)
{
    sample_with(m, "thing", thing, value);
}

static void sample_thing_with(struct metrics *m, const char *thing, const char *label,
                              const char *text, double value)
{
    sample(m, (struct hob_metrics_label[]){{"thing", thing}, {label, text}, {NULL, NULL}}, value);
}

/* ---- the process ---- */

static void build(struct metrics *m)
{
    char mosquitto[32];
    struct hob_metrics_label labels[HOB_PROCESS_LIBRARIES + 2] = {{"version", HOB_VERSION}};
    for (size_t i = 0; i < HOB_PROCESS_LIBRARIES; i++) {
        struct hob_process_library library = hob_process_library(i, mosquitto, sizeof mosquitto);
        labels[i + 1] = (struct hob_metrics_label){library.name, library.version};
    }
    sample(m, labels, 1);
}

static void start_time(struct metrics *m)
{
    sample(m, NULL, (double)m->process.started_at);
}

static void uptime(struct metrics *m)
{
    sample(m, NULL, (double)m->process.uptime_s);
}

static void resident(struct metrics *m)
{
    sample(m, NULL, (double)hob_process_resident_bytes());
}

static void cpu(struct metrics *m)
{
    sample(m, NULL, hob_process_cpu_seconds());
}

static void descriptors(struct metrics *m)
{
    sample(m, NULL, (double)hob_process_open_descriptors());
}

static void descriptors_most(struct metrics *m)
{
    sample(m, NULL, (double)hob_process_most_descriptors());
}

static void draining(struct metrics *m)
{
    sample(m, NULL, m->process.draining ? 1 : 0);
}

static void held(struct metrics *m)
{
    sample(m, NULL, (double)hob_debugger_held(m->options->debugger));
}

/* ---- handlers and jobs ---- */

static void handlers(struct metrics *m)
{
    const struct hob_handlers_entry *handler;
    int ok = 0, last_good = 0, broken = 0;
    for (size_t i = 0; (handler = hob_handlers_at(m->options->handlers, i)) != NULL; i++) {
        broken += handler->error.code != 0;
        last_good += !handler->error.code && handler->refused.code != 0;
        ok += !handler->error.code && !handler->refused.code;
    }
    sample_with(m, "state", "ok", ok);
    sample_with(m, "state", "last_good", last_good);
    sample_with(m, "state", "broken", broken);
}

static void broken_modules(struct metrics *m)
{
    size_t count = 0;
    while (hob_handlers_broken_module(m->options->handlers, count)) {
        count++;
    }
    sample(m, NULL, (double)count);
}

static void jobs_ended(struct metrics *m)
{
    struct hob_tally_row row;
    for (size_t i = 0; hob_tally_at(m->process.tally, i, &row); i++) {
        sample(
            m,
            (struct hob_metrics_label[]){
                {"handler", row.handler}, {"status", row.status}, {"kind", row.kind}, {NULL, NULL}},
            (double)row.count);
    }
}

static void breaches(struct metrics *m)
{
    for (int i = 0; i < HOB_TALLY_BREACHES; i++) {
        enum hob_tally_breach breach = (enum hob_tally_breach)i;
        sample_with(m, "limit", hob_tally_breach_name(breach),
                    (double)hob_tally_breaches(m->process.tally, breach));
    }
}

static const char *const states[] = {"claiming",  "running", "waiting",
                                     "rebooting", "ending",  "resuming"};
#define STATES (sizeof states / sizeof states[0])

static void count_state(void *user, const struct hob_executor_view *view)
{
    int *counts = user;
    for (size_t i = 0; i < STATES; i++) {
        counts[i] += strcmp(states[i], view->state) == 0;
    }
}

static void jobs(struct metrics *m, size_t index, const struct hob_control_thing *thing)
{
    int counts[STATES] = {0};
    m->options->each_job(m->options->user, index, count_state, counts);
    for (size_t i = 0; i < STATES; i++) {
        sample_thing_with(m, thing->name, "state", states[i], counts[i]);
    }
}

static void count_pending(void *user, const struct hob_executor_view *view)
{
    *(int *)user += strcmp(view->state, "pending") == 0;
}

static void pending(struct metrics *m, size_t index, const struct hob_control_thing *thing)
{
    int count = 0;
    m->options->each_pending(m->options->user, index, count_pending, &count);
    sample_thing(m, thing->name, count);
}

/* ---- telling, and the connection ---- */

static void outbox_depth(struct metrics *m, size_t index, const struct hob_control_thing *thing)
{
    sample_thing(m, thing->name, (double)thing->untold);
}

/* @return whether there is anything to say of it */
static bool facts_of(const struct hob_control_thing *thing, struct hob_thing_facts *out)
{
    if (thing->thing) {
        hob_thing_get_facts(thing->thing, out);
    }
    return thing->thing != NULL;
}

static double seconds(int64_t ms)
{
    return (double)ms / 1000;
}

static void outbox_age(struct metrics *m, size_t index, const struct hob_control_thing *thing)
{
    struct hob_thing_facts facts;
    if (facts_of(thing, &facts)) {
        sample_thing(m, thing->name, facts.oldest_ms > 0 ? seconds(facts.oldest_ms) : 0);
    }
}

/* Never: since the start, or an alarm that waits for a large number would not come. */
static void answer_age(struct metrics *m, size_t index, const struct hob_control_thing *thing)
{
    struct hob_thing_facts facts;
    if (facts_of(thing, &facts)) {
        sample_thing(m, thing->name,
                     facts.answered_ms < 0 ? (double)m->process.uptime_s
                                           : seconds(facts.answered_ms));
    }
}

static void connected(struct metrics *m, size_t index, const struct hob_control_thing *thing)
{
    sample_thing(m, thing->name, thing->online ? 1 : 0);
}

static void connected_for(struct metrics *m, size_t index, const struct hob_control_thing *thing)
{
    sample_thing(m, thing->name, (double)thing->since_s);
}

static void connections(struct metrics *m, size_t index, const struct hob_control_thing *thing)
{
    struct hob_thing_facts facts;
    if (facts_of(thing, &facts)) {
        sample_thing(m, thing->name, (double)facts.mqtt.connected);
    }
}

static void causes(struct metrics *m, const char *thing, const uint64_t *counts)
{
    for (int i = 0; i < HOB_MQTT_CAUSES; i++) {
        sample_thing_with(m, thing, "cause", hob_mqtt_cause_name((enum hob_mqtt_cause)i),
                          (double)counts[i]);
    }
}

static void reconnects(struct metrics *m, size_t index, const struct hob_control_thing *thing)
{
    struct hob_thing_facts facts;
    if (facts_of(thing, &facts)) {
        causes(m, thing->name, facts.mqtt.lost);
    }
}

static void connect_failures(struct metrics *m, size_t index, const struct hob_control_thing *thing)
{
    struct hob_thing_facts facts;
    if (facts_of(thing, &facts)) {
        causes(m, thing->name, facts.mqtt.refused);
    }
}

static void messages(struct metrics *m, size_t index, const struct hob_control_thing *thing)
{
    struct hob_thing_facts facts;
    if (facts_of(thing, &facts)) {
        sample_thing_with(m, thing->name, "direction", "in", (double)facts.mqtt.messages_in);
        sample_thing_with(m, thing->name, "direction", "out", (double)facts.mqtt.messages_out);
    }
}

static void bytes(struct metrics *m, size_t index, const struct hob_control_thing *thing)
{
    struct hob_thing_facts facts;
    if (facts_of(thing, &facts)) {
        sample_thing_with(m, thing->name, "direction", "in", (double)facts.mqtt.bytes_in);
        sample_thing_with(m, thing->name, "direction", "out", (double)facts.mqtt.bytes_out);
    }
}

/* Of a file that cannot be read there is no sample: an alarm for `absent` or `hob status --check`
 * tells. */
static void certificates(struct metrics *m, size_t index, const struct hob_control_thing *thing)
{
    struct hob_thing_certificate one;
    for (size_t i = 0; thing->thing && hob_thing_certificate(thing->thing, i, &one); i++) {
        if (!one.expiry->code) {
            int64_t left_s = hob_thing_certificate_ends(&one) - hob_clock_wall_ms() / 1000;
            sample_thing_with(m, thing->name, "certificate", one.which, (double)left_s);
        }
    }
}

/* ---- the disk ---- */

static struct hob_store_health health_of(const struct metrics *m)
{
    struct hob_store_health health;
    hob_store_get_health(m->options->store, &health);
    return health;
}

static void store_bytes(struct metrics *m)
{
    struct hob_store_health health = health_of(m);
    sample_with(m, "file", "db", (double)health.bytes);
    sample_with(m, "file", "wal", (double)health.wal_bytes);
}

static void store_writes(struct metrics *m)
{
    sample(m, NULL, (double)health_of(m).writes);
}

static void store_failures(struct metrics *m)
{
    sample(m, NULL, (double)health_of(m).failures);
}

static void store_failing(struct metrics *m)
{
    struct hob_store_health health = health_of(m);
    sample(m, NULL, health.failing || health.damaged ? 1 : 0);
}

static void output_bytes(struct metrics *m)
{
    sample(m, NULL, (double)hob_outputs_bytes(m->process.outputs));
}

static void data_free(struct metrics *m)
{
    sample(m, NULL, (double)hob_process_free_bytes(m->process.data));
}

/* ---- all of them ---- */

static const struct family families[] = {
    {"hob_build_info", "gauge", "Versions of Hob and of its libraries; always 1.", build, NULL},
    {"hob_start_time_seconds", "gauge", "When this process began, in seconds since 1970.",
     start_time, NULL},
    {"hob_uptime_seconds", "gauge", "How long it has run, by a clock that nobody sets.", uptime,
     NULL},
    {"hob_process_resident_memory_bytes", "gauge", "Resident memory of the process.", resident,
     NULL},
    {"hob_process_cpu_seconds_total", "counter", "Processor time of the process.", cpu, NULL},
    {"hob_process_open_fds", "gauge", "Open file descriptors.", descriptors, NULL},
    {"hob_process_max_fds", "gauge", "How many may be open.", descriptors_most, NULL},
    {"hob_draining", "gauge", "1: no new jobs are taken (hob drain).", draining, NULL},
    {"hob_jobs_held", "gauge", "Jobs that a person holds with the debugger.", held, NULL},
    {"hob_handlers", "gauge", "Handlers, by whether they work.", handlers, NULL},
    {"hob_modules_broken", "gauge", "Modules of handlers whose file is broken.", broken_modules,
     NULL},
    {"hob_jobs_ended_total", "counter",
     "Executions that ended since the start, by handler, status and kind of end.", jobs_ended,
     NULL},
    {"hob_limit_breaches_total", "counter", "Limits that jobs ran into since the start.", breaches,
     NULL},
    {"hob_jobs", "gauge", "Executions in hand, by state.", NULL, jobs},
    {"hob_jobs_pending", "gauge", "Executions the service has named and nobody has begun with.",
     NULL, pending},
    {"hob_outbox_depth", "gauge", "Outcomes that the service does not have yet.", NULL,
     outbox_depth},
    {"hob_outbox_oldest_age_seconds", "gauge", "Age of the oldest of them; 0: there is none.", NULL,
     outbox_age},
    {"hob_service_answer_age_seconds", "gauge",
     "Since the service last answered, or since the start.", NULL, answer_age},
    {"hob_connected", "gauge", "1: connected and subscribed.", NULL, connected},
    {"hob_connection_state_seconds", "gauge", "For how long that has been so.", NULL,
     connected_for},
    {"hob_connections_total", "counter", "Connections that were made since the start.", NULL,
     connections},
    {"hob_reconnects_total", "counter", "Connections that were lost, by cause.", NULL, reconnects},
    {"hob_connect_failures_total", "counter", "Attempts to connect that failed, by cause.", NULL,
     connect_failures},
    {"hob_mqtt_messages_total", "counter", "MQTT messages published and received.", NULL, messages},
    {"hob_mqtt_bytes_total", "counter", "Bytes of MQTT packets, before TLS.", NULL, bytes},
    {"hob_certificate_left_seconds", "gauge", "Until the certificate ends; below 0: it has ended.",
     NULL, certificates},
    {"hob_store_bytes", "gauge", "Size of the store's files.", store_bytes, NULL},
    {"hob_store_writes_total", "counter", "Changes of the store since the start.", store_writes,
     NULL},
    {"hob_store_failures_total", "counter", "Changes of the store that failed.", store_failures,
     NULL},
    {"hob_store_failing", "gauge", "1: the latest change failed, or the store is damaged.",
     store_failing, NULL},
    {"hob_output_bytes", "gauge", "Size of what programs of jobs printed and is kept.",
     output_bytes, NULL},
    {"hob_data_free_bytes", "gauge", "Room on the file system of the data directory.", data_free,
     NULL},
};
#define FAMILIES (int64_t)(sizeof families / sizeof families[0])

/* ---- pages ---- */

static void flush(struct metrics *m)
{
    struct hob_buf *out = m->request->out;
    if (m->rc || hob_buf_len(&m->text) == 0) {
        return;
    }
    int rc = hob_buf_printf(out, "{%s\"text\":", m->request->id);
    rc = rc ? rc : hob_json_quote(out, hob_buf_data(&m->text), hob_buf_len(&m->text));
    m->rc = rc ? rc : hob_buf_append_string(out, "}\n");
    hob_buf_clear(&m->text);
}

static bool is_full(const struct metrics *m)
{
    return hob_buf_len(m->request->out) + hob_buf_len(&m->text) > HOB_CONTROL_PAGE_SOFT;
}

/* @return the thing that the next page begins with, or 0: it is complete */
static int64_t put_things(struct metrics *m, const struct family *family, int64_t from)
{
    struct hob_control_thing thing;
    int64_t i = from;
    while (m->rc == 0 && m->options->thing_at(m->options->user, (size_t)i, &thing)) {
        family->put_thing(m, (size_t)i++, &thing);
        if (hob_buf_len(&m->text) > TEXT_SOFT) {
            flush(m);
        }
        if (is_full(m)) {
            return i;
        }
    }
    return 0;
}

/* @return where the next page begins, or 0: it was the last one */
static int64_t put_page(struct metrics *m, int64_t from)
{
    int64_t thing = from % STRIDE;
    for (int64_t i = from / STRIDE; i < FAMILIES && m->rc == 0; i++) {
        const struct family *family = &families[i];
        m->name = family->name;
        if (thing == 0) {
            m->rc = hob_metrics_head(&m->text, family->name, family->type, family->help);
        }
        if (family->put) {
            family->put(m);
        } else {
            thing = put_things(m, family, thing);
        }
        flush(m);
        if (thing) {
            return i * STRIDE + thing;
        }
        if (is_full(m) && i + 1 < FAMILIES) {
            return (i + 1) * STRIDE;
        }
    }
    return 0;
}

int hob_control_metrics(struct hob_control_request *request)
{
    struct metrics m = {.request = request, .options = &request->control->options};
    int64_t from = hob_json_integer(request->json, "from", 0);
    if (from < 0 || from >= FAMILIES * STRIDE) {
        return hob_control_error(request->out, request->id, HOB_EINVAL,
                                 "from: expected a `next` of an answer");
    }
    m.options->process(m.options->user, &m.process);
    hob_buf_init(&m.text, TEXT_MAX);
    int64_t next = put_page(&m, from);
    hob_buf_free(&m.text);
    if (m.rc) {
        return m.rc;
    }
    return next ? hob_buf_printf(request->out, "{%s\"next\":%" PRId64 ",\"end\":true}\n",
                                 request->id, next)
                : hob_buf_printf(request->out, "{%s\"end\":true}\n", request->id);
}
