/* control_report.c - the command `retry-report`: tell the service now what it does not have yet,
 * and say what came of it; see docs/reference/control-protocol.md.
 *
 * It is a request that goes on, for some seconds at most: the service's answers are waited for. */
#include "base/alloc.h"
#include "base/clock.h"
#include "host/control_parts.h"
#include "host/thing.h"
#include "work/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS     50
#define MOST_MS     10000
#define MEMBERS_MAX HOB_CONTROL_LINE_MAX

struct report {
    struct hob_control *control;
    struct hob_control_stream *stream;
    struct hob_timer *timer;
    uint64_t until_ms;
    size_t before; /* outcomes that waited */
    int64_t row;   /* of the one that was asked for; 0: all of all things */
    char thing[HOB_JOBS_THING_MAX + 1];
};

/* It may be another one's index by now. */
static struct hob_thing *thing_of(const struct hob_control *control, const char *name)
{
    struct hob_control_thing thing;
    for (size_t i = 0; control->options.thing_at(control->options.user, i, &thing); i++) {
        if (strcmp(thing.name, name) == 0) {
            return thing.thing;
        }
    }
    return NULL;
}

static void report_free(void *user)
{
    struct report *report = user;
    hob_timer_close(report->timer);
    hob_free(report);
}

static void end(struct report *report, struct hob_buf *members)
{
    const char *text = hob_buf_string(members);
    hob_control_stream_end(report->stream, text ? text : "");
    hob_buf_free(members);
    report_free(report);
}

/* ---- all of them ---- */

struct totals {
    size_t untold, offline; /* things */
    bool moving;
};

static struct totals count(const struct hob_control *control)
{
    const struct hob_control_options *options = &control->options;
    struct hob_control_thing thing;
    struct totals totals = {0};
    for (size_t i = 0; options->thing_at(options->user, i, &thing); i++) {
        totals.untold += thing.untold;
        totals.offline += thing.untold > 0 && !thing.online;
        totals.moving = totals.moving || (thing.thing && hob_thing_is_reporting(thing.thing));
    }
    return totals;
}

static void look_at_all(struct report *report)
{
    struct hob_buf members;
    struct totals totals = count(report->control);
    if (totals.moving && hob_clock_mono_ms() < report->until_ms) {
        hob_timer_start(report->timer, LOOK_MS);
        return;
    }
    hob_buf_init(&members, MEMBERS_MAX);
    hob_buf_printf(&members, "\"untoldBefore\":%zu,\"untold\":%zu,\"offline\":%zu", report->before,
                   totals.untold, totals.offline);
    end(report, &members);
}

/* ---- one ---- */

static int put_execution(struct report *report, struct hob_buf *out)
{
    struct hob_store_execution execution;
    int rc = hob_store_get(report->control->options.store, report->row, &execution, NULL);
    rc = rc ? rc : hob_buf_append_string(out, "\"job\":");
    return rc ? rc : hob_history_write(out, report->control->json, &execution);
}

static void look_at_one(struct report *report)
{
    struct hob_buf members;
    struct hob_outbox_view view = {.again_ms = -1};
    struct hob_thing *thing = thing_of(report->control, report->thing);
    bool waits = thing && hob_thing_report(thing, report->row, &view);
    if (waits && view.moving && hob_clock_mono_ms() < report->until_ms) {
        hob_timer_start(report->timer, LOOK_MS);
        return;
    }
    hob_buf_init(&members, HOB_CONTROL_ANSWER_MAX);
    if (put_execution(report, &members)) {
        hob_buf_clear(&members);
        hob_buf_printf(&members, "\"error\":{\"code\":\"ENOENT\",\"message\":\"the store does not "
                                 "have it any more\"}");
    } else if (waits) {
        hob_control_put_text(&members, "why", view.why[0] ? view.why : "no answer yet");
        if (view.again_ms >= 0) {
            hob_buf_printf(&members, ",\"againInSeconds\":%" PRId64, (view.again_ms + 999) / 1000);
        }
    }
    end(report, &members);
}

static void on_timer(void *user)
{
    struct report *report = user;
    if (report->row) {
        look_at_one(report);
    } else {
        look_at_all(report);
    }
}

/* ---- which one ---- */

struct search {
    const char *job_id;
    int64_t number, row;
    size_t thing, found_thing;
};

/* The latest, if there are several. */
static bool on_execution(void *user, const struct hob_store_execution *execution)
{
    struct search *search = user;
    if (strcmp(execution->job_id, search->job_id) == 0 && execution->row > search->row &&
        (!search->number || execution->execution_number == search->number)) {
        search->row = execution->row;
        search->found_thing = search->thing;
    }
    return true;
}

static int find(struct hob_control_request *request, int wanted, struct search *search,
                struct hob_error *err)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_control_thing thing;
    int rc = 0;
    for (size_t i = 0; rc == 0 && options->thing_at(options->user, i, &thing); i++) {
        search->thing = i;
        if (wanted < 0 || (size_t)wanted == i) {
            rc = hob_store_each(options->store, thing.name, HOB_STORE_ENDED, on_execution, search,
                                err);
            rc = rc ? rc
                    : hob_store_each(options->store, thing.name, HOB_STORE_TOLD, on_execution,
                                     search, err);
        }
    }
    if (rc == 0 && !search->row) {
        rc = hob_error_set(err, HOB_ENOENT,
                           "job '%.64s' has no outcome here: `hob jobs --history` shows those "
                           "that have",
                           search->job_id);
    }
    return rc;
}

/* The service has it, or an end of its own that stands: nothing would change. */
static bool is_settled(const struct hob_store_execution *execution)
{
    const char *theirs = execution->theirs ? execution->theirs : "";
    enum hob_jobs_status status = *theirs ? hob_jobs_status_parse(theirs) : HOB_JOBS_STATUS_NONE;
    return execution->state == HOB_STORE_TOLD &&
           (strncmp(execution->told, "accepted", 8) == 0 ||
            strncmp(execution->told, "not sent", 8) == 0 || hob_jobs_status_terminal(status));
}

/* ---- the command ---- */

static int begin(struct hob_control_request *request, struct report *report)
{
    struct hob_error err = {0};
    report->control = request->control;
    report->until_ms = hob_clock_mono_ms() + MOST_MS;
    report->timer = hob_timer_new(request->control->options.loop, on_timer, report);
    report->stream = report->timer ? hob_control_follow(request, report_free, report, &err) : NULL;
    if (!report->stream) {
        report_free(report);
        return hob_control_error(request->out, request->id, err.code ? err.code : HOB_ENOMEM, "%s",
                                 err.code ? err.message : "out of memory");
    }
    hob_timer_start(report->timer, 0);
    return 0;
}

static int retry_all(struct hob_control_request *request, struct report *report)
{
    struct hob_control_thing thing;
    const struct hob_control_options *options = &request->control->options;
    report->before = count(request->control).untold;
    hob_control_log_change(request, NULL, NULL, 0, "retry-report: %zu wait", report->before);
    for (size_t i = 0; options->thing_at(options->user, i, &thing); i++) {
        if (thing.thing) {
            hob_thing_report_now(thing.thing);
        }
    }
    return begin(request, report);
}

static int retry_one(struct hob_control_request *request, struct report *report,
                     const struct search *search)
{
    struct hob_error err = {0};
    struct hob_store_execution execution;
    struct hob_control_thing thing;
    const struct hob_control_options *options = &request->control->options;
    report->row = search->row;
    int rc = hob_store_get(options->store, search->row, &execution, &err);
    if (rc == 0 && !is_settled(&execution) &&
        options->thing_at(options->user, search->found_thing, &thing) && thing.thing) {
        snprintf(report->thing, sizeof report->thing, "%s", thing.name);
        hob_control_log_change(request, thing.name, search->job_id, execution.execution_number,
                               "retry-report%s%s", *execution.told ? ", which was refused: " : "",
                               execution.told);
        rc = hob_thing_report_again(thing.thing, search->row, &err);
    }
    if (rc) {
        hob_free(report);
        return hob_control_error(request->out, request->id, rc, "%s", err.message);
    }
    return begin(request, report);
}

int hob_control_retry_report(struct hob_control_request *request)
{
    struct hob_error err = {0};
    struct search search = {.job_id = hob_json_string(request->json, "jobId", NULL),
                            .number = hob_json_integer(request->json, "executionNumber", 0)};
    int thing = -1;
    if (!search.job_id && hob_json_type(request->json, "jobId") != HOB_JSON_ABSENT) {
        return hob_control_error(request->out, request->id, HOB_EINVAL, "jobId: expected a text");
    }
    if (hob_json_type(request->json, "thing") != HOB_JSON_ABSENT &&
        (thing = hob_control_find_thing(request)) < 0) {
        return 0;
    }
    int rc = search.job_id ? find(request, thing, &search, &err) : 0;
    if (rc) {
        return hob_control_error(request->out, request->id, rc, "%s", err.message);
    }
    struct report *report = hob_calloc(1, sizeof *report);
    if (!report) {
        return HOB_ENOMEM;
    }
    return search.job_id ? retry_one(request, report, &search) : retry_all(request, report);
}
