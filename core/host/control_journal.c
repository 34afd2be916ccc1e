/* control_journal.c - `journal`: what an execution has stored (work/journal_view.h), and where it
 * is. */
#include "host/control_parts.h"

#include "work/journal_view.h"

#include <string.h>

struct live {
    struct hob_journal_view_head head;
    struct hob_buf *out;
    int rc;
    bool found;
};

static void on_view(void *user, const struct hob_executor_view *view)
{
    struct live *live = user;
    if (live->rc || live->found || strcmp(view->job_id, live->head.job) != 0 ||
        view->execution_number != live->head.execution) {
        return;
    }
    live->found = true;
    live->rc = hob_control_put_text(live->out, "doing", view->state);
    live->rc = live->rc ? live->rc : hob_control_put_text(live->out, "step", view->step);
}

static int put_live(struct hob_control_request *request, struct live *live)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_control_thing thing;
    for (size_t i = 0; options->thing_at(options->user, i, &thing); i++) {
        if (strcmp(thing.name, live->head.thing) == 0) {
            options->each_job(options->user, i, on_view, live);
        }
    }
    return live->rc;
}

static int put_step(void *user, const char *step, size_t len)
{
    struct hob_control_request *request = user;
    int rc = hob_buf_printf(request->out, "{%s\"step\":", request->id);
    rc = rc ? rc : hob_buf_append(request->out, step, len);
    return rc ? rc : hob_buf_append_string(request->out, "}\n");
}

static int answer(struct hob_control_request *request, int64_t row, struct hob_error *err)
{
    struct hob_store *store = request->control->options.store;
    struct live live = {.out = request->out};
    size_t begin = hob_buf_len(request->out);
    int rc = hob_buf_printf(request->out, "{%s\"journal\":{", request->id);
    rc = rc ? rc : hob_journal_view_head(store, row, request->out, &live.head, err);
    rc = rc ? rc : put_live(request, &live);
    rc = rc ? rc : hob_buf_append_string(request->out, "}}\n");
    rc = rc ? rc : hob_journal_view_steps(store, row, put_step, request, err);
    if (rc && err->message[0]) {
        hob_buf_truncate(request->out, begin);
        return hob_control_error(request->out, request->id, rc, "%s", err->message);
    }
    return rc ? rc : hob_buf_printf(request->out, "{%s\"end\":true}\n", request->id);
}

int hob_control_journal(struct hob_control_request *request)
{
    struct hob_error err = {0};
    const char *job = hob_json_string(request->json, "jobId", NULL);
    if (!job) {
        return hob_control_error(request->out, request->id, HOB_EINVAL,
                                 "jobId: expected the id of a job");
    }
    int64_t row = hob_journal_view_find(
        request->control->options.store, job, hob_json_string(request->json, "thing", NULL),
        hob_json_integer(request->json, "executionNumber", 0), &err);
    if (row < 0) {
        return hob_control_error(request->out, request->id, (int)row, "%s", err.message);
    }
    return answer(request, row, &err);
}
