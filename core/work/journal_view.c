/* journal_view.c - see journal_view.h */
#include "work/journal_view.h"

#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RESULT_MAX 4096 /* of a step, as it is shown */
#define STEP_MAX   65536

struct search {
    const char *job;
    int64_t execution, row;
};

static bool on_execution(void *user, const struct hob_store_execution *e)
{
    struct search *search = user;
    if (strcmp(e->job_id, search->job) == 0 &&
        (!search->execution || e->execution_number == search->execution) && e->row > search->row) {
        search->row = e->row;
    }
    return true;
}

int64_t hob_journal_view_find(struct hob_store *store, const char *job, const char *thing,
                              int64_t execution, struct hob_error *err)
{
    struct search search = {.job = job, .execution = execution};
    for (int state = HOB_STORE_CLAIMING; state <= HOB_STORE_TOLD; state++) {
        int rc =
            hob_store_each(store, thing, (enum hob_store_state)state, on_execution, &search, err);
        if (rc) {
            return rc;
        }
    }
    return search.row ? search.row
                      : hob_error_set(err, HOB_ENOENT, "job: there is no '%.100s' here", job);
}

static int put_text(struct hob_buf *out, const char *key, const char *text)
{
    if (!text || !*text) {
        return 0;
    }
    int rc = hob_buf_printf(out, ",\"%s\":", key);
    return rc ? rc : hob_json_quote(out, text, strlen(text));
}

/* JSON that is too long is given as the beginning of its text. */
static int put_json(struct hob_buf *out, const char *key, const char *json)
{
    size_t len = strlen(json);
    if (len <= RESULT_MAX) {
        return hob_buf_printf(out, ",\"%s\":%s", key, len ? json : "null");
    }
    int rc = hob_buf_printf(out, ",\"%sBytes\":%zu,\"%sBegins\":", key, len, key);
    return rc ? rc : hob_json_quote(out, json, RESULT_MAX);
}

static int put_head(struct hob_buf *out, const struct hob_store_execution *e)
{
    int rc = hob_buf_append_string(out, "\"thing\":");
    rc = rc ? rc : hob_json_quote(out, e->thing, strlen(e->thing));
    rc = rc ? rc : put_text(out, "jobId", e->job_id);
    rc = rc ? rc
            : hob_buf_printf(out,
                             ",\"executionNumber\":%" PRId64 ",\"queuedAt\":%" PRId64
                             ",\"runs\":%d,\"interrupted\":%d,\"retries\":%d,\"told\":%s",
                             e->execution_number, e->queued_at, e->runs, e->interrupted, e->retries,
                             e->state == HOB_STORE_TOLD ? "true" : "false");
    rc = rc ? rc : put_text(out, "handler", e->handler);
    rc = rc ? rc : put_text(out, "digest", e->handler_digest);
    return rc ? rc : put_text(out, "status", e->status);
}

int hob_journal_view_head(struct hob_store *store, int64_t row, struct hob_buf *out,
                          struct hob_journal_view_head *head, struct hob_error *err)
{
    struct hob_store_execution e;
    struct hob_error none;
    const char *state = NULL;
    int rc = hob_store_get(store, row, &e, err);
    if (rc) {
        return rc;
    }
    snprintf(head->thing, sizeof head->thing, "%s", e.thing);
    snprintf(head->job, sizeof head->job, "%s", e.job_id);
    head->execution = e.execution_number;
    rc = put_head(out, &e); /* what `e` borrows goes with the store's next call */
    if (rc == 0 && hob_store_get_state(store, row, &state, &none) == 0 && state && *state) {
        rc = put_json(out, "state", state);
    }
    return rc ? hob_error_set(err, rc, "the journal: too large") : 0;
}

struct steps {
    hob_journal_view_fn *fn;
    void *user;
    int rc;
};

static bool on_step(void *user, const char *name, bool failed, const char *result)
{
    struct steps *steps = user;
    struct hob_buf step;
    hob_buf_init(&step, STEP_MAX);
    int rc = hob_buf_append_string(&step, "{\"name\":");
    rc = rc ? rc : hob_json_quote(&step, name, strlen(name));
    rc = rc ? rc : hob_buf_printf(&step, ",\"failed\":%s", failed ? "true" : "false");
    rc = rc ? rc : put_json(&step, "result", result);
    rc = rc ? rc : hob_buf_append_string(&step, "}");
    rc = rc ? rc : steps->fn(steps->user, hob_buf_data(&step), hob_buf_len(&step));
    hob_buf_free(&step);
    steps->rc = rc;
    return rc == 0;
}

int hob_journal_view_steps(struct hob_store *store, int64_t row, hob_journal_view_fn *fn,
                           void *user, struct hob_error *err)
{
    struct steps steps = {.fn = fn, .user = user};
    int rc = hob_store_each_step(store, row, on_step, &steps, err);
    return rc ? rc : steps.rc ? hob_error_set(err, steps.rc, "the journal: too large") : 0;
}
