/* control_commands.c - what can be asked for on the control socket; see
 * docs/reference/control-protocol.md. */
#include "host/control_parts.h"

#include "work/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROTOCOL      1
#define LIMIT_DEFAULT 50
#define LIMIT_MAX     1000

/* ---- jobs ---- */

struct page {
    struct hob_control_request *request;
    const char *thing;
    int rc;
};

int hob_control_put_view(struct hob_buf *out, const char *thing,
                         const struct hob_executor_view *view)
{
    int rc = hob_json_quote(out, thing, strlen(thing));
    rc = rc ? rc : hob_control_put_text(out, "jobId", view->job_id);
    rc = rc ? rc
            : hob_buf_printf(out, ",\"executionNumber\":%" PRId64 ",\"queuedAt\":%" PRId64,
                             view->execution_number, view->queued_at);
    rc = rc ? rc : hob_control_put_text(out, "state", view->state);
    rc = rc ? rc : hob_control_put_text(out, "step", view->step);
    rc = rc ? rc : hob_control_put_text(out, "handler", view->handler);
    rc = rc ? rc : hob_buf_printf(out, ",\"attempt\":%d", view->attempt);
    rc = rc ? rc : hob_buf_printf(out, ",\"elapsedSeconds\":%" PRId64, view->elapsed_ms / 1000);
    if (rc == 0 && view->resume_ms >= 0) {
        rc = hob_buf_printf(out, ",\"resumeInSeconds\":%" PRId64, view->resume_ms / 1000);
    }
    rc = rc ? rc : hob_control_put_text(out, "waitsFor", view->waits_for ? view->waits_for : "");
    return rc ? rc : hob_control_put_text(out, "why", view->why);
}

static void on_view(void *user, const struct hob_executor_view *view)
{
    struct page *page = user;
    struct hob_buf *out = page->request->out;
    int rc = page->rc;
    rc = rc ? rc : hob_buf_printf(out, "{%s\"job\":{\"thing\":", page->request->id);
    rc = rc ? rc : hob_control_put_view(out, page->thing, view);
    page->rc = rc ? rc : hob_buf_append_string(out, "}}\n");
}

/* A line that does not fit is left to the next page. */
static int on_history(void *user, const struct hob_store_execution *execution)
{
    struct page *page = user;
    struct hob_buf *out = page->request->out;
    size_t begin = hob_buf_len(out);
    if (begin > HOB_CONTROL_PAGE_SOFT) {
        return 1;
    }
    int rc = hob_buf_printf(out, "{%s\"job\":", page->request->id);
    rc = rc ? rc : hob_history_write(out, page->request->control->json, execution);
    rc = rc ? rc : hob_buf_append_string(out, "}\n");
    if (rc) {
        hob_buf_truncate(out, begin);
    }
    return rc;
}

static int put_end(struct hob_control_request *request, int64_t next)
{
    int rc = hob_buf_printf(request->out, "{%s\"things\":", request->id);
    rc = rc ? rc : hob_control_put_things(request, NULL);
    rc = rc ? rc : hob_control_put_drain(request);
    if (rc == 0 && next) {
        rc = hob_buf_printf(request->out, ",\"next\":%" PRId64, next);
    }
    return rc ? rc : hob_buf_append_string(request->out, ",\"end\":true}\n");
}

static int put_live(struct hob_control_request *request)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_control_thing thing;
    struct page page = {.request = request};
    for (size_t i = 0; options->thing_at(options->user, i, &thing); i++) {
        page.thing = thing.name;
        options->each_job(options->user, i, on_view, &page);
        options->each_pending(options->user, i, on_view, &page);
    }
    return page.rc;
}

static int jobs(struct hob_control_request *request)
{
    struct hob_error err = {0};
    int64_t limit = hob_json_integer(request->json, "limit", LIMIT_DEFAULT);
    int64_t before = hob_json_integer(request->json, "before", 0), next = 0;
    bool history = hob_json_boolean(request->json, "history", false);
    if (limit < 1 || limit > LIMIT_MAX || before < 0) {
        return hob_control_error(request->out, request->id, HOB_EINVAL,
                                 "limit: expected 1 to %d; before: a `next` of an answer",
                                 LIMIT_MAX);
    }
    if (hob_json_boolean(request->json, "follow", false)) {
        return history ? hob_control_error(request->out, request->id, HOB_EINVAL,
                                           "follow: what has ended does not change any more")
                       : hob_control_jobs_follow(request);
    }
    struct page page = {.request = request};
    int rc = history ? hob_history_each(request->control->options.store, true, before,
                                        (size_t)limit, on_history, &page, &next, &err)
                     : put_live(request);
    if (rc && history) {
        return hob_control_error(request->out, request->id, rc, "%s", err.message);
    }
    return rc ? rc : put_end(request, next);
}

/* ---- version ---- */

static int version(struct hob_control_request *request)
{
    return hob_buf_printf(request->out,
                          "{%s\"version\":\"%s\",\"protocol\":%d,\"pid\":%d,\"end\":true}\n",
                          request->id, HOB_VERSION, PROTOCOL, (int)getpid());
}

/* ---- which ---- */

/* In the order of their names. */
static const struct {
    const char *name;
    int (*run)(struct hob_control_request *request);
    const char *members[8]; /* that it knows, beside id and command */
} commands[] = {{"cancel", hob_control_cancel, {"jobId", "thing", "executionNumber"}},
                {"dap", hob_control_session, {"thing"}},
                {"doctor", hob_control_doctor, {NULL}},
                {"drain", hob_control_drain, {"on", "reason"}},
                {"handlers", hob_control_handlers, {NULL}},
                {"jobs", jobs, {"history", "limit", "before", "follow"}},
                {"journal", hob_control_journal, {"jobId", "thing", "executionNumber"}},
                {"log", hob_control_log, {"jobId", "thing", "executionNumber", "lines", "follow"}},
                {"metrics", hob_control_metrics, {"from"}},
                {"reload", hob_control_reload, {NULL}},
                {"repl", hob_control_session, {"thing"}},
                {"retry-report", hob_control_retry_report, {"jobId", "thing", "executionNumber"}},
                {"status", hob_control_status, {NULL}},
                {"stop", hob_control_stop, {NULL}},
                {"version", version, {NULL}}};

struct check {
    size_t command;
    const char *unknown;
};

static bool check_member(void *user, const char *key, enum hob_json_type type)
{
    struct check *check = user;
    bool known = strcmp(key, "id") == 0 || strcmp(key, "command") == 0;
    for (const char *const *name = commands[check->command].members; *name && !known; name++) {
        known = strcmp(key, *name) == 0;
    }
    check->unknown = known ? NULL : key;
    return known;
}

/* Given back with each line of the answer, as it came. */
static int read_id(struct hob_control_request *request)
{
    size_t len;
    const char *text = hob_json_string(request->json, "id", &len);
    struct hob_buf id;
    int rc = 0;
    hob_buf_init(&id, sizeof request->id - 1);
    if (text) {
        rc = hob_buf_append_string(&id, "\"id\":");
        rc = rc ? rc : hob_json_quote(&id, text, len);
        rc = rc ? rc : hob_buf_append_string(&id, ",");
    } else if (hob_json_type(request->json, "id") == HOB_JSON_NUMBER) {
        rc = hob_buf_printf(&id, "\"id\":%" PRId64 ",", hob_json_integer(request->json, "id", 0));
    } else if (hob_json_type(request->json, "id") != HOB_JSON_ABSENT) {
        rc = HOB_EINVAL;
    }
    if (rc == 0 && hob_buf_len(&id)) {
        snprintf(request->id, sizeof request->id, "%s", hob_buf_string(&id));
    }
    hob_buf_free(&id);
    return rc;
}

static int answer_object(struct hob_control_request *request)
{
    const char *name = hob_json_string(request->json, "command", NULL);
    struct check check = {0};
    if (read_id(request)) {
        return hob_control_error(request->out, "", HOB_EINVAL,
                                 "id: expected a number or at most 64 characters");
    }
    if (!name) {
        return hob_control_error(request->out, request->id, HOB_EINVAL,
                                 "command: expected its name, such as \"jobs\"");
    }
    request->command = name;
    for (; check.command < sizeof commands / sizeof commands[0]; check.command++) {
        if (strcmp(commands[check.command].name, name) == 0) {
            hob_json_each(request->json, "", check_member, &check);
            return check.unknown
                       ? hob_control_error(request->out, request->id, HOB_EINVAL,
                                           "%.100s: %s knows no such member", check.unknown, name)
                       : commands[check.command].run(request);
        }
    }
    return hob_control_error(request->out, request->id, HOB_ENOENT,
                             "command: there is no '%.100s' in hob %s", name, HOB_VERSION);
}

static bool begins_an_object(const char *line, size_t len)
{
    size_t at = 0;
    while (at < len && (line[at] == ' ' || line[at] == '\t' || line[at] == '\r')) {
        at++;
    }
    return at < len && line[at] == '{';
}

int hob_control_answer(struct hob_control_caller *caller, const char *line, size_t len,
                       struct hob_buf *out)
{
    struct hob_error err = {0};
    struct hob_json *json = NULL;
    struct hob_control_request request = {
        .control = caller->control, .caller = caller, .peer = &caller->peer, .out = out};
    int rc = hob_json_new(&json, &err);
    if (rc) {
        return rc;
    }
    request.json = json;
    if (hob_json_parse(json, line, len, &err)) {
        rc = hob_control_error(out, "", err.code, "the request: %s", err.message);
    } else if (!begins_an_object(line, len)) {
        rc = hob_control_error(out, "", HOB_EJSON, "the request: expected a JSON object");
    } else {
        rc = answer_object(&request);
    }
    hob_json_free(json);
    return rc;
}
