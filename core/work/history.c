#include "work/history.h"

#include "base/alloc.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- one execution as JSON ---- */

static int put_text(struct hob_buf *out, const char *key, const char *text)
{
    if (!text || !*text) {
        return 0;
    }
    int rc = hob_buf_printf(out, ",\"%s\":", key);
    return rc ? rc : hob_json_quote(out, text, strlen(text));
}

static int put_number(struct hob_buf *out, const char *key, int64_t number)
{
    return number ? hob_buf_printf(out, ",\"%s\":%" PRId64, key, number) : 0;
}

static const char *state_of(const struct hob_store_execution *e)
{
    if (e->state >= HOB_STORE_ENDED) {
        return "ended";
    }
    if (e->state == HOB_STORE_CLAIMING) {
        return "claiming";
    }
    return *e->ending_status ? "ending" : e->resume_at_s ? "waiting" : "interrupted";
}

/* `told` as the outbox and the slot write it, in one word. */
static const char *told_of(const struct hob_store_execution *e)
{
    if (e->state != HOB_STORE_TOLD) {
        return "waiting";
    }
    if (strncmp(e->told, "accepted", 8) == 0) {
        return "accepted";
    }
    return strncmp(e->told, "not sent", 8) == 0 ? "theirs" : "refused";
}

/* What the details say of the end, for those who do not want to look into them. They are JSON that
 * this process or an earlier one wrote; what cannot be read is left out. */
static int put_details(struct hob_buf *out, struct hob_json *json,
                       const struct hob_store_execution *e)
{
    struct hob_error err;
    if (hob_json_parse(json, e->details, strlen(e->details), &err)) {
        return 0;
    }
    int rc = put_text(out, "code", hob_json_string(json, "code", NULL));
    rc = rc ? rc : put_text(out, "reason", hob_json_string(json, "reason", NULL));
    return rc ? rc : hob_buf_printf(out, ",\"details\":%s", e->details);
}

static int put_end(struct hob_buf *out, struct hob_json *json, const struct hob_store_execution *e)
{
    int rc = put_text(out, "status", e->status);
    rc = rc ? rc : put_number(out, "endedAt", e->ended_at_s);
    rc = rc ? rc : put_details(out, json, e);
    rc = rc ? rc : put_text(out, "told", told_of(e));
    if (rc || e->state != HOB_STORE_TOLD) {
        return rc;
    }
    rc = put_number(out, "toldAt", e->told_at_s);
    rc = rc ? rc : put_text(out, "toldAs", e->told);
    return rc ? rc : put_text(out, "theirs", e->theirs);
}

int hob_history_write(struct hob_buf *out, struct hob_json *json,
                      const struct hob_store_execution *e)
{
    int rc = hob_buf_append_string(out, "{\"thing\":");
    rc = rc ? rc : hob_json_quote(out, e->thing, strlen(e->thing));
    rc = rc ? rc : put_text(out, "jobId", e->job_id);
    rc = rc ? rc : put_number(out, "executionNumber", e->execution_number);
    rc = rc ? rc : put_number(out, "queuedAt", e->queued_at);
    rc = rc ? rc : put_text(out, "handler", e->handler);
    rc = rc ? rc : put_text(out, "digest", e->handler_digest);
    rc = rc ? rc : put_number(out, "attempt", e->runs);
    rc = rc ? rc : put_text(out, "state", state_of(e));
    rc = rc ? rc : put_number(out, "resumeAt", e->resume_at_s);
    if (rc == 0 && e->state >= HOB_STORE_ENDED) {
        rc = put_end(out, json, e);
    }
    return rc ? rc : hob_buf_append_string(out, "}");
}

/* ---- many, the newest first ---- */

struct rows {
    int64_t *list;
    size_t count, capacity;
    int64_t before;
    bool failed;
};

/* Numbers only: thousands of executions must not lie in memory for one page of them. */
static bool collect(void *user, const struct hob_store_execution *execution)
{
    struct rows *rows = user;
    if (rows->before && execution->row >= rows->before) {
        return true;
    }
    if (rows->count == rows->capacity) {
        size_t capacity = rows->capacity ? rows->capacity * 2 : 64;
        int64_t *list = hob_realloc(rows->list, capacity * sizeof *list);
        if (!list) {
            rows->failed = true;
            return false;
        }
        rows->list = list;
        rows->capacity = capacity;
    }
    rows->list[rows->count++] = execution->row;
    return true;
}

static int newest_first(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left < right) - (left > right);
}

static int collect_all(struct hob_store *store, bool ended, struct rows *rows,
                       struct hob_error *err)
{
    static const enum hob_store_state states[2][2] = {{HOB_STORE_CLAIMING, HOB_STORE_RUNNING},
                                                      {HOB_STORE_ENDED, HOB_STORE_TOLD}};
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++) {
        rc = hob_store_each(store, NULL, states[ended][i], collect, rows, err);
    }
    if (rc == 0 && rows->failed) {
        rc = hob_error_set(err, HOB_ENOMEM, "history: out of memory");
    }
    if (rows->count) {
        qsort(rows->list, rows->count, sizeof *rows->list, newest_first);
    }
    return rc;
}

int hob_history_each(struct hob_store *store, bool ended, int64_t before, size_t most,
                     hob_history_fn *fn, void *user, int64_t *next, struct hob_error *err)
{
    struct rows rows = {.before = before};
    struct hob_store_execution execution;
    int rc = collect_all(store, ended, &rows, err);
    size_t i = 0;
    while (rc == 0 && i < rows.count && i < most) {
        rc = hob_store_get(store, rows.list[i], &execution, err);
        if (rc || fn(user, &execution)) {
            break;
        }
        i++;
    }
    *next = rc == 0 && i < rows.count ? rows.list[i] + 1 : 0;
    hob_free(rows.list);
    return rc;
}
