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
#define ID_BYTES      64

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
    int rc = hob_buf_printf(request->out, "{%s", request->id);
    rc = rc ? rc : hob_control_put_things(request, false);
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

struct member {
    const char *name;
    enum hob_json_type type; /* a HOB_JSON_NUMBER is a whole one */
};

/* In the order of their names. */
static const struct {
    const char *name;
    int (*run)(struct hob_control_request *request);
    struct member members[8]; /* that it knows, beside id and command */
} commands[] = {
    {"cancel",
     hob_control_cancel,
     {{"jobId", HOB_JSON_STRING},
      {"thing", HOB_JSON_STRING},
      {"executionNumber", HOB_JSON_NUMBER}}},
    {"dap", hob_control_session, {{"thing", HOB_JSON_STRING}}},
    {"doctor", hob_control_doctor, {{NULL}}},
    {"drain", hob_control_drain, {{"on", HOB_JSON_BOOLEAN}, {"reason", HOB_JSON_STRING}}},
    {"handlers", hob_control_handlers, {{NULL}}},
    {"jobs",
     jobs,
     {{"history", HOB_JSON_BOOLEAN},
      {"limit", HOB_JSON_NUMBER},
      {"before", HOB_JSON_NUMBER},
      {"follow", HOB_JSON_BOOLEAN}}},
    {"journal",
     hob_control_journal,
     {{"jobId", HOB_JSON_STRING},
      {"thing", HOB_JSON_STRING},
      {"executionNumber", HOB_JSON_NUMBER}}},
    {"log",
     hob_control_log,
     {{"jobId", HOB_JSON_STRING},
      {"thing", HOB_JSON_STRING},
      {"executionNumber", HOB_JSON_NUMBER},
      {"lines", HOB_JSON_NUMBER},
      {"follow", HOB_JSON_BOOLEAN}}},
    {"metrics", hob_control_metrics, {{"from", HOB_JSON_NUMBER}}},
    {"reload", hob_control_reload, {{NULL}}},
    {"repl", hob_control_session, {{"thing", HOB_JSON_STRING}}},
    {"retry-report",
     hob_control_retry_report,
     {{"jobId", HOB_JSON_STRING},
      {"thing", HOB_JSON_STRING},
      {"executionNumber", HOB_JSON_NUMBER}}},
    {"status", hob_control_status, {{"thing", HOB_JSON_STRING}}},
    {"stop", hob_control_stop, {{NULL}}},
    {"thing-add",
     hob_control_thing_add,
     {{"thing", HOB_JSON_STRING}, {"settings", HOB_JSON_OBJECT}}},
    {"thing-remove", hob_control_thing_remove, {{"thing", HOB_JSON_STRING}}},
    {"things", hob_control_things, {{"from", HOB_JSON_NUMBER}}},
    {"version", version, {{NULL}}},
};

struct check {
    struct hob_json *json;
    const struct member *members;
    const char *wrong;    /* a member that it does not know, or that is not what it is to be */
    const char *expected; /* NULL: it does not know it */
};

/* @return what was expected, NULL if it is that */
static const char *wanted(struct hob_json *json, const struct member *member,
                          enum hob_json_type type)
{
    size_t len = 0;
    const char *text = hob_json_string(json, member->name, &len);
    switch (member->type) {
    case HOB_JSON_BOOLEAN:
        return type == HOB_JSON_BOOLEAN ? NULL : "true or false";
    case HOB_JSON_NUMBER: /* of any other one the fallback is given */
        return hob_json_integer(json, member->name, 0) == hob_json_integer(json, member->name, 1)
                   ? NULL
                   : "a whole number";
    case HOB_JSON_OBJECT:
        return type == HOB_JSON_OBJECT ? NULL : "an object";
    default:
        return text && strlen(text) == len ? NULL : "a string without zero bytes";
    }
}

static bool check_member(void *user, const char *key, enum hob_json_type type)
{
    struct check *check = user;
    const struct member *member = check->members;
    if (strcmp(key, "id") == 0 || strcmp(key, "command") == 0) {
        return true;
    }
    while (member->name && strcmp(member->name, key) != 0) {
        member++;
    }
    check->expected = member->name ? wanted(check->json, member, type) : NULL;
    check->wrong = member->name && !check->expected ? NULL : key;
    return !check->wrong;
}

/* @return whether the request has one that it cannot have; it is told then */
static bool refuse_members(struct hob_control_request *request, const struct member *members)
{
    struct check check = {.json = request->json, .members = members};
    hob_json_each(request->json, "", check_member, &check);
    if (check.wrong && check.expected) {
        hob_control_error(request->out, request->id, HOB_EINVAL, "%.100s: expected %s", check.wrong,
                          check.expected);
    } else if (check.wrong) {
        hob_control_error(request->out, request->id, HOB_EINVAL, "%.100s: %s knows no such member",
                          check.wrong, request->command);
    }
    return check.wrong != NULL;
}

static bool is_id(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < ' ') {
            return false;
        }
    }
    return len <= ID_BYTES;
}

/* Given back with each line of the answer, as it came. */
static int read_id(struct hob_control_request *request)
{
    size_t len;
    struct hob_json *json = request->json;
    const char *text = hob_json_string(json, "id", &len);
    int64_t number = hob_json_integer(json, "id", 0);
    struct hob_buf id;
    int rc = 0;
    if (hob_json_type(json, "id") == HOB_JSON_ABSENT) {
        return 0;
    }
    hob_buf_init(&id, sizeof request->id - 1);
    if (text && is_id(text, len)) {
        rc = hob_buf_append_string(&id, "\"id\":");
        rc = rc ? rc : hob_json_quote(&id, text, len);
        rc = rc ? rc : hob_buf_append_string(&id, ",");
    } else if (!text && number == hob_json_integer(json, "id", 1)) {
        rc = hob_buf_printf(&id, "\"id\":%" PRId64 ",", number);
    } else {
        rc = HOB_EINVAL;
    }
    if (rc == 0) {
        snprintf(request->id, sizeof request->id, "%s", hob_buf_string(&id));
    }
    hob_buf_free(&id);
    return rc;
}

static int answer_object(struct hob_control_request *request)
{
    size_t len = 0, at = 0;
    const char *name = hob_json_string(request->json, "command", &len);
    if (read_id(request)) {
        return hob_control_error(request->out, "", HOB_EINVAL,
                                 "id: expected a whole number, or a string of at most %d bytes "
                                 "without control characters",
                                 ID_BYTES);
    }
    if (!name || strlen(name) != len) {
        return hob_control_error(request->out, request->id, HOB_EINVAL,
                                 "command: expected its name, such as \"jobs\"");
    }
    request->command = name;
    while (at < sizeof commands / sizeof commands[0] && strcmp(commands[at].name, name) != 0) {
        at++;
    }
    if (at < sizeof commands / sizeof commands[0]) {
        return refuse_members(request, commands[at].members) ? 0 : commands[at].run(request);
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
