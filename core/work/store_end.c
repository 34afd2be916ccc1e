/* How an execution ends: the decision, cleanup, the outcome, and that it was told; then the old
 * ones go. */
#include "base/clock.h"
#include "work/store_statement.h"

#include <string.h>

#define PRUNE_EVERY 100 /* told executions */

struct end {
    int64_t row;
    const char *status, *kind, *details;
};

/** Why an end could not be put: there is one already, or there is no such row. */
static int ended_already(struct hob_store *store, int64_t row, struct hob_error *err)
{
    struct hob_store_execution e = {0};
    int rc = hob_store_get(store, row, &e, err);
    if (rc < 0)
        return rc;
    return hob_error_set(err, HOB_EEXIST, "%s: job %s has its %s already: %s", store->file.path,
                         e.job_id, *e.status ? "outcome" : "end",
                         *e.status ? e.status : e.ending_status);
}

static int put_ending(struct hob_store *store, const void *args, struct hob_error *err)
{
    const struct end *end = args;
    int rc = hob_store_statement_write(store, HOB_STORE_PUT_ENDING, err, "ittt", end->row,
                                       end->status, end->kind, end->details);
    return rc == 0 && sqlite3_changes(store->file.db) == 0 ? ended_already(store, end->row, err)
                                                           : rc;
}

static int put_outcome(struct hob_store *store, const void *args, struct hob_error *err)
{
    const struct end *end = args;
    int rc = hob_store_statement_write(store, HOB_STORE_PUT_OUTCOME, err, "itti", end->row,
                                       end->status, end->details, hob_clock_wall_ms() / 1000);
    return rc == 0 && sqlite3_changes(store->file.db) == 0 ? ended_already(store, end->row, err)
                                                           : rc;
}

static int transact_end(struct hob_store *store, const struct end *end, hob_store_change_fn *fn,
                        struct hob_error *err)
{
    int rc = hob_store_statement_fits("the details of an outcome",
                                      end->details ? strlen(end->details) : 0, HOB_STORE_TEXT_LIMIT,
                                      err);
    return rc < 0 ? rc : hob_store_statement_transact(store, HOB_STORE_MUST, fn, end, err);
}

int hob_store_put_ending(struct hob_store *store, int64_t row, const char *status, const char *kind,
                         const char *details, struct hob_error *err)
{
    return transact_end(store, &(struct end){row, status, kind, details}, put_ending, err);
}

int hob_store_put_outcome(struct hob_store *store, int64_t row, const char *status,
                          const char *details, struct hob_error *err)
{
    return transact_end(store, &(struct end){row, status, NULL, details}, put_outcome, err);
}

static int begin_cleanup(struct hob_store *store, const void *args, struct hob_error *err)
{
    int64_t row = *(const int64_t *)args;
    return hob_store_statement_change(store, HOB_STORE_BEGIN_CLEANUP, row, err, "i", row);
}

int hob_store_begin_cleanup(struct hob_store *store, int64_t row, struct hob_error *err)
{
    return hob_store_statement_transact(store, HOB_STORE_MUST, begin_cleanup, &row, err);
}

/* ---- told ---- */

struct telling {
    int64_t row;
    const char *how, *theirs;
};

static int mark_told(struct hob_store *store, const void *args, struct hob_error *err)
{
    const struct telling *telling = args;
    int64_t row = telling->row;
    int rc = hob_store_statement_change(store, HOB_STORE_SET_TOLD, row, err, "itti", row,
                                        telling->how, telling->theirs, hob_clock_wall_ms() / 1000);
    if (rc == HOB_ENOENT)
        return hob_error_set(err, rc, "%s: no execution with an outcome in row %lld",
                             store->file.path, (long long)row);
    if (rc == 0)
        rc = hob_store_statement_write(store, HOB_STORE_DROP_DOCUMENT, err, "i", row);
    if (rc == 0)
        rc = hob_store_statement_write(store, HOB_STORE_DROP_STEPS, err, "i", row);
    return rc < 0 ? rc : hob_store_statement_write(store, HOB_STORE_DROP_STATE, err, "i", row);
}

/** Sources stay until then, so that a handler that is used often is not written for each job. */
static int prune(struct hob_store *store, const void *args, struct hob_error *err)
{
    int keep = *(const int *)args;
    int rc =
        keep < 0 ? 0 : hob_store_statement_write(store, HOB_STORE_PRUNE, err, "i", (int64_t)keep);
    return rc < 0 ? rc : hob_store_statement_write(store, HOB_STORE_PRUNE_SOURCES, err, "");
}

int hob_store_mark_told(struct hob_store *store, int64_t row, const char *how, const char *theirs,
                        struct hob_error *err)
{
    struct telling telling = {row, how, theirs};
    int rc = hob_store_statement_transact(store, HOB_STORE_RIDES, mark_told, &telling, err);
    if (rc < 0 || ++store->told < PRUNE_EVERY)
        return rc;
    store->told = 0;
    return hob_store_statement_transact(store, HOB_STORE_RIDES, prune, &store->kept, err);
}

int hob_store_prune(struct hob_store *store, int keep, struct hob_error *err)
{
    store->kept = keep;
    store->told = 0;
    return hob_store_statement_transact(store, HOB_STORE_RIDES, prune, &keep, err);
}

int hob_store_flush(struct hob_store *store, struct hob_error *err)
{
    return hob_store_statement_commit(store, err);
}
