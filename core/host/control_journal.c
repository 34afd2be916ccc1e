/* control_journal.c - `journal`: what an execution has stored that a resumed run of it would find:
 * its steps, finished or failed, with what they gave, and job.state. */
#include "host/control_parts.h"

#include "work/store.h"

#include <inttypes.h>
#include <string.h>

#define RESULT_MAX 4096 /* of a step, as it is shown */

/* ---- which execution ---- */

struct search {
    const char *job, *thing; /* thing: NULL: any */
    int64_t execution;       /* 0: the newest */
    int64_t row;             /* what was found; 0: nothing */
};

static bool on_execution(void *user, const struct hob_store_execution *e)
{
    struct search *search = user;
    if (strcmp(e->job_id, search->job) == 0 &&
        (!search->thing || strcmp(e->thing, search->thing) == 0) &&
        (!search->execution || e->execution_number == search->execution) && e->row > search->row) {
        search->row = e->row;
    }
    return true;
}

static int find(struct hob_store *store, struct search *search, struct hob_error *err)
{
    int rc = 0;
    for (int state = HOB_STORE_CLAIMING; state <= HOB_STORE_TOLD && rc == 0; state++) {
        rc = hob_store_each(store, search->thing, (enum hob_store_state)state, on_execution, search,
                            err);
    }
    return rc;
}

/* ---- its steps ---- */

struct steps {
    struct hob_control_request *request;
    int rc;
};

/* JSON that is too long is given as the beginning of its text. */
static int put_result(struct hob_buf *out, const char *result)
{
    size_t len = strlen(result);
    if (len <= RESULT_MAX) {
        int rc = hob_buf_append_string(out, ",\"result\":");
        return rc ? rc : hob_buf_append_string(out, len ? result : "null");
    }
    int rc = hob_buf_printf(out, ",\"resultBytes\":%zu,\"resultBegins\":", len);
    return rc ? rc : hob_json_quote(out, result, RESULT_MAX);
}

static bool on_step(void *user, const char *name, bool failed, const char *result)
{
    struct steps *steps = user;
    struct hob_buf *out = steps->request->out;
    size_t begin = hob_buf_len(out);
    int rc = hob_buf_printf(out, "{%s\"step\":{\"name\":", steps->request->id);
    rc = rc ? rc : hob_json_quote(out, name, strlen(name));
    rc = rc ? rc : hob_buf_printf(out, ",\"failed\":%s", failed ? "true" : "false");
    rc = rc ? rc : put_result(out, result);
    rc = rc ? rc : hob_buf_append_string(out, "}}\n");
    if (rc) {
        hob_buf_truncate(out, begin);
    }
    steps->rc = rc;
    return rc == 0 && hob_buf_len(out) < HOB_CONTROL_ANSWER_MAX - 2 * HOB_CONTROL_PAGE_SOFT;
}

/* ---- what is going on ---- */

struct live {
    const struct hob_store_execution *execution;
    struct hob_buf *out;
    int rc;
    bool found;
};

static void on_view(void *user, const struct hob_executor_view *view)
{
    struct live *live = user;
    if (live->rc || live->found || strcmp(view->job_id, live->execution->job_id) != 0 ||
        view->execution_number != live->execution->execution_number) {
        return;
    }
    live->found = true;
    live->rc = hob_control_put_text(live->out, "doing", view->state);
    live->rc = live->rc ? live->rc : hob_control_put_text(live->out, "step", view->step);
}

static int put_live(struct hob_control_request *request, const struct hob_store_execution *e)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_control_thing thing;
    struct live live = {.execution = e, .out = request->out};
    for (size_t i = 0; options->thing_at(options->user, i, &thing); i++) {
        if (strcmp(thing.name, e->thing) == 0) {
            options->each_job(options->user, i, on_view, &live);
        }
    }
    return live.rc;
}

static int put_head(struct hob_control_request *request, const struct hob_store_execution *e)
{
    struct hob_buf *out = request->out;
    int rc = hob_buf_printf(out, "{%s\"journal\":{\"thing\":", request->id);
    rc = rc ? rc : hob_json_quote(out, e->thing, strlen(e->thing));
    rc = rc ? rc : hob_control_put_text(out, "jobId", e->job_id);
    rc = rc ? rc
            : hob_buf_printf(out,
                             ",\"executionNumber\":%" PRId64 ",\"queuedAt\":%" PRId64
                             ",\"runs\":%d,\"interrupted\":%d",
                             e->execution_number, e->queued_at, e->runs, e->interrupted);
    rc = rc ? rc : hob_control_put_text(out, "handler", e->handler);
    rc = rc ? rc : hob_control_put_text(out, "digest", e->handler_digest);
    rc = rc ? rc : hob_control_put_text(out, "status", e->status);
    return rc ? rc : put_live(request, e);
}

static int put_state(struct hob_control_request *request, int64_t row)
{
    struct hob_error err = {0};
    const char *state = NULL;
    if (hob_store_get_state(request->control->options.store, row, &state, &err) || !state ||
        !*state) {
        return 0;
    }
    if (strlen(state) > RESULT_MAX) {
        return hob_buf_printf(request->out, ",\"stateBytes\":%zu", strlen(state));
    }
    int rc = hob_buf_append_string(request->out, ",\"state\":");
    return rc ? rc : hob_buf_append_string(request->out, state);
}

static int answer(struct hob_control_request *request, int64_t row, struct hob_error *err)
{
    struct hob_store *store = request->control->options.store;
    struct hob_store_execution e;
    struct steps steps = {.request = request};
    int rc = hob_store_get(store, row, &e, err);
    if (rc) {
        return hob_control_error(request->out, request->id, rc, "%s", err->message);
    }
    bool is_told = e.state == HOB_STORE_TOLD;
    rc = put_head(request, &e); /* what `e` borrows goes with the store's next call */
    rc = rc ? rc : hob_buf_printf(request->out, ",\"told\":%s", is_told ? "true" : "false");
    rc = rc ? rc : put_state(request, row);
    rc = rc ? rc : hob_buf_append_string(request->out, "}}\n");
    if (rc) {
        return rc;
    }
    rc = hob_store_each_step(store, row, on_step, &steps, err);
    if (rc) {
        return hob_control_error(request->out, request->id, rc, "%s", err->message);
    }
    return steps.rc ? steps.rc : hob_buf_printf(request->out, "{%s\"end\":true}\n", request->id);
}

int hob_control_journal(struct hob_control_request *request)
{
    struct hob_error err = {0};
    struct search search = {.job = hob_json_string(request->json, "job", NULL),
                            .thing = hob_json_string(request->json, "thing", NULL),
                            .execution = hob_json_integer(request->json, "execution", 0)};
    if (!search.job) {
        return hob_control_error(request->out, request->id, HOB_EINVAL,
                                 "job: expected the id of a job");
    }
    int rc = find(request->control->options.store, &search, &err);
    if (rc) {
        return hob_control_error(request->out, request->id, rc, "%s", err.message);
    }
    if (search.row == 0) {
        return hob_control_error(request->out, request->id, HOB_ENOENT,
                                 "job: there is no '%.100s' here", search.job);
    }
    return answer(request, search.row, &err);
}
