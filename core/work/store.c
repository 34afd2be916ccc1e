#include "work/store.h"

#include "work/store_file.h"

#include <assert.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_LIMIT (256 * 1024)

#define SELECT                                                                                     \
    "SELECT e.row, thing, job_id, execution_number, queued_at, version, state, handler,"           \
    " handler_digest, runs, status, details, told, d.bytes"                                        \
    " FROM execution e LEFT JOIN document d ON d.execution = e.row "

enum statement {
    FIND,
    GET,
    EACH,
    ADD,
    ADD_DOCUMENT,
    BEGIN_RUN,
    PUT_STEP,
    PUT_STATE,
    SET_RUNNING,
    GET_STEP,
    GET_STATE,
    PUT_OUTCOME,
    PUT_VERSION,
    SET_TOLD,
    DROP_DOCUMENT,
    DROP_STEPS,
    DROP_STATE,
    DROP_EXECUTION,
    PRUNE,
    STATEMENTS
};

static const char *const statement_sql[STATEMENTS] = {
    [FIND] = SELECT "WHERE thing = ? AND job_id = ? AND execution_number = ? AND queued_at = ?",
    [GET] = SELECT "WHERE e.row = ?",
    [EACH] = SELECT "WHERE thing = ? AND state = ? ORDER BY e.row",
    [ADD] = "INSERT INTO execution(thing, job_id, execution_number, queued_at, version, state,"
            " handler, handler_digest, runs, status, details, told)"
            " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [ADD_DOCUMENT] = "INSERT INTO document(execution, bytes) VALUES(?, ?)",
    [BEGIN_RUN] = "UPDATE execution SET runs = runs + 1, handler = ?2, handler_digest = ?3,"
                  " version = ?4, state = max(state, 1) WHERE row = ?1",
    [PUT_STEP] = "INSERT INTO step(execution, name, failed, result) VALUES(?, ?, ?, ?)"
                 " ON CONFLICT(execution, name)"
                 " DO UPDATE SET failed = excluded.failed, result = excluded.result",
    [PUT_STATE] = "INSERT INTO job_state(execution, value) VALUES(?, ?)"
                  " ON CONFLICT(execution) DO UPDATE SET value = excluded.value",
    [SET_RUNNING] = "UPDATE execution SET state = max(state, 1) WHERE row = ?",
    [GET_STEP] = "SELECT failed, result FROM step WHERE execution = ? AND name = ?",
    [GET_STATE] = "SELECT value FROM job_state WHERE execution = ?",
    [PUT_OUTCOME] = "UPDATE execution SET state = 2, status = ?2, details = ?3"
                    " WHERE row = ?1 AND state < 2",
    [PUT_VERSION] = "UPDATE execution SET version = ?2 WHERE row = ?1",
    [SET_TOLD] = "UPDATE execution SET state = 3, told = ?2 WHERE row = ?1 AND state >= 2",
    [DROP_DOCUMENT] = "DELETE FROM document WHERE execution = ?",
    [DROP_STEPS] = "DELETE FROM step WHERE execution = ?",
    [DROP_STATE] = "DELETE FROM job_state WHERE execution = ?",
    [DROP_EXECUTION] = "DELETE FROM execution WHERE row = ?",
    [PRUNE] = "DELETE FROM execution WHERE state = 3 AND row NOT IN"
              " (SELECT row FROM execution WHERE state = 3 ORDER BY row DESC LIMIT ?)",
};

_Static_assert(HOB_STORE_CLAIMING == 0 && HOB_STORE_RUNNING == 1 && HOB_STORE_ENDED == 2 &&
                   HOB_STORE_TOLD == 3,
               "the states are numbers in SQL and in files on disk");

struct hob_store {
    struct hob_store_file file;
    sqlite3_stmt *statements[STATEMENTS];
    sqlite3_stmt *held; /* whose columns the last caller has borrowed */
};

static int no_row(struct hob_store *store, int64_t row, struct hob_error *err)
{
    return hob_error_set(err, HOB_ENOENT, "%s: no execution in row %" PRId64, store->file.path,
                         row);
}

/* ---- statements ---- */

static void release(struct hob_store *store)
{
    if (store->held)
        sqlite3_reset(store->held);
    store->held = NULL;
}

static int bind_value(sqlite3_stmt *statement, int index, char type, va_list *values)
{
    const char *text;
    size_t len;
    if (type == 'i')
        return sqlite3_bind_int64(statement, index, va_arg(*values, int64_t));
    text = va_arg(*values, const char *);
    if (type == 't')
        return sqlite3_bind_text(statement, index, text ? text : "", -1, SQLITE_STATIC);
    assert(type == 'b');
    len = va_arg(*values, size_t);
    return sqlite3_bind_blob64(statement, index, text ? text : "", len, SQLITE_STATIC);
}

/** Prepare (once) and bind; `types`: i int64_t, t text (NULL: ""), b bytes and their size_t. */
static int ready(struct hob_store *store, enum statement id, const char *types, va_list *values,
                 struct hob_error *err)
{
    sqlite3_stmt **statement = &store->statements[id];
    int rc = SQLITE_OK;
    release(store);
    if (!*statement)
        rc = sqlite3_prepare_v3(store->file.db, statement_sql[id], -1, SQLITE_PREPARE_PERSISTENT,
                                statement, NULL);
    for (int i = 0; rc == SQLITE_OK && types[i]; i++)
        rc = bind_value(*statement, i + 1, types[i], values);
    return rc == SQLITE_OK ? 0 : hob_store_file_fail(&store->file, "preparing a statement", err);
}

/** Run a statement that gives no rows. */
static int write_row(struct hob_store *store, enum statement id, struct hob_error *err,
                     const char *types, ...)
{
    va_list values;
    va_start(values, types);
    int rc = ready(store, id, types, &values, err);
    va_end(values);
    if (rc < 0)
        return rc;
    if (sqlite3_step(store->statements[id]) != SQLITE_DONE)
        rc = (sqlite3_extended_errcode(store->file.db) & 0xff) == SQLITE_CONSTRAINT
                 ? HOB_EEXIST
                 : hob_store_file_fail(&store->file, "writing", err);
    sqlite3_reset(store->statements[id]);
    sqlite3_clear_bindings(store->statements[id]);
    return rc;
}

/** Run a statement up to its first row, and hold it there: its columns are borrowed. */
static int read_row(struct hob_store *store, enum statement id, struct hob_error *err,
                    const char *types, ...)
{
    va_list values;
    va_start(values, types);
    int rc = ready(store, id, types, &values, err);
    va_end(values);
    if (rc < 0)
        return rc;
    store->held = store->statements[id];
    rc = sqlite3_step(store->held);
    if (rc == SQLITE_ROW)
        return 0;
    if (rc == SQLITE_DONE)
        rc = hob_error_set(err, HOB_ENOENT, "%s: no such entry", store->file.path);
    else
        rc = hob_store_file_fail(&store->file, "reading", err);
    release(store);
    return rc;
}

/* ---- transactions: one is open while something rides; each write is a savepoint in it, so that a
 * write that fails takes nothing else with it ---- */

static int write_begin(struct hob_store *store, struct hob_error *err)
{
    release(store);
    int rc =
        sqlite3_get_autocommit(store->file.db) ? hob_store_file_run(&store->file, "BEGIN", err) : 0;
    return rc < 0 ? rc : hob_store_file_run(&store->file, "SAVEPOINT change", err);
}

static int commit(struct hob_store *store, struct hob_error *err)
{
    release(store);
    return hob_store_file_commit(&store->file, err);
}

static int write_end(struct hob_store *store, int rc, bool rides, struct hob_error *err)
{
    if (rc >= 0)
        rc = hob_store_file_run(&store->file, "RELEASE change", err);
    else if (!sqlite3_get_autocommit(store->file.db)) /* a full disk may have ended it already */
        sqlite3_exec(store->file.db, "ROLLBACK TO change; RELEASE change", NULL, NULL, NULL);
    return rc < 0 || rides ? rc : commit(store, err);
}

/* ---- life ---- */

int hob_store_open(struct hob_log *log, const struct hob_store_options *options,
                   struct hob_store **out, struct hob_error *err)
{
    assert(options->path);
    if (strlen(options->path) > 4000)
        return hob_error_set(err, HOB_EINVAL, "the store's path is longer than 4000 bytes");
    struct hob_store *store = calloc(1, sizeof(*store));
    if (!store)
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", options->path);
    int rc = hob_store_file_open(&store->file, log, options->path, err);
    if (rc < 0) {
        free(store);
        return rc;
    }
    *out = store;
    return 0;
}

void hob_store_close(struct hob_store *store)
{
    struct hob_error err;
    if (!store)
        return;
    if (commit(store, &err) < 0)
        hob_log_event(store->file.log, HOB_LOG_ERROR, "store.error", "%s", err.message);
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(store->statements[i]);
    hob_store_file_close(&store->file);
    free(store);
}

/* ---- executions ---- */

static const char *text_at(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    return text ? (const char *)text : "";
}

static void fill(struct hob_store_execution *out, sqlite3_stmt *statement)
{
    *out = (struct hob_store_execution){
        .row = sqlite3_column_int64(statement, 0),
        .thing = text_at(statement, 1),
        .job_id = text_at(statement, 2),
        .execution_number = sqlite3_column_int64(statement, 3),
        .queued_at = sqlite3_column_int64(statement, 4),
        .version = sqlite3_column_int64(statement, 5),
        .state = (enum hob_store_state)sqlite3_column_int(statement, 6),
        .handler = text_at(statement, 7),
        .handler_digest = text_at(statement, 8),
        .runs = sqlite3_column_int(statement, 9),
        .status = text_at(statement, 10),
        .details = text_at(statement, 11),
        .told = text_at(statement, 12),
        .document = sqlite3_column_blob(statement, 13),
        .document_len = (size_t)sqlite3_column_bytes(statement, 13),
    };
}

int hob_store_find(struct hob_store *store, const char *thing, const char *job_id,
                   int64_t execution_number, int64_t queued_at, struct hob_store_execution *out,
                   struct hob_error *err)
{
    int rc = read_row(store, FIND, err, "ttii", thing, job_id, execution_number, queued_at);
    if (rc == 0)
        fill(out, store->held);
    return rc;
}

int hob_store_get(struct hob_store *store, int64_t row, struct hob_store_execution *out,
                  struct hob_error *err)
{
    int rc = read_row(store, GET, err, "i", row);
    if (rc == 0)
        fill(out, store->held);
    return rc == HOB_ENOENT ? no_row(store, row, err) : rc;
}

int hob_store_each(struct hob_store *store, const char *thing, enum hob_store_state state,
                   hob_store_each_fn *fn, void *user, struct hob_error *err)
{
    struct hob_store_execution execution;
    int rc = read_row(store, EACH, err, "ti", thing, (int64_t)state);
    bool more = rc == 0;
    while (more) {
        fill(&execution, store->held);
        more = fn(user, &execution);
        rc = more ? sqlite3_step(store->held) : SQLITE_DONE;
        more = rc == SQLITE_ROW;
        rc = more || rc == SQLITE_DONE ? 0 : hob_store_file_fail(&store->file, "reading", err);
    }
    release(store);
    return rc == HOB_ENOENT ? 0 : rc;
}

/** The row of a write must exist: the statement before has changed it, or not. */
static int changed(struct hob_store *store, int rc, int64_t row, struct hob_error *err)
{
    return rc == 0 && sqlite3_changes(store->file.db) == 0 ? no_row(store, row, err) : rc;
}

static int check_size(struct hob_store *store, const char *what, size_t len, struct hob_error *err)
{
    if (len <= TEXT_LIMIT)
        return 0;
    return hob_error_set(err, HOB_EMSGSIZE, "%s of %zu bytes: at most %d are stored", what, len,
                         TEXT_LIMIT);
}

static int add_execution(struct hob_store *store, const struct hob_store_execution *e, int64_t *row,
                         struct hob_error *err)
{
    int rc = write_row(store, ADD, err, "ttiiiittittt", e->thing, e->job_id, e->execution_number,
                       e->queued_at, e->version, (int64_t)e->state, e->handler, e->handler_digest,
                       (int64_t)e->runs, e->status, e->details, e->told);
    if (rc == HOB_EEXIST)
        return hob_error_set(err, rc, "%s: execution %" PRId64 " of job %s of %s is there already",
                             store->file.path, e->execution_number, e->job_id, e->thing);
    *row = sqlite3_last_insert_rowid(store->file.db);
    if (rc == 0 && e->document)
        rc = write_row(store, ADD_DOCUMENT, err, "ib", *row, e->document, e->document_len);
    return rc;
}

int64_t hob_store_add(struct hob_store *store, const struct hob_store_execution *execution,
                      struct hob_error *err)
{
    int64_t row = 0;
    int rc = check_size(store, "a job document", execution->document_len, err);
    if (rc == 0)
        rc = check_size(store, "the details of an outcome",
                        execution->details ? strlen(execution->details) : 0, err);
    if (rc == 0)
        rc = write_begin(store, err);
    if (rc == 0)
        rc = write_end(store, add_execution(store, execution, &row, err), false, err);
    return rc < 0 ? rc : row;
}

static int drop_parts(struct hob_store *store, int64_t row, struct hob_error *err)
{
    int rc = write_row(store, DROP_DOCUMENT, err, "i", row);
    if (rc == 0)
        rc = write_row(store, DROP_STEPS, err, "i", row);
    return rc == 0 ? write_row(store, DROP_STATE, err, "i", row) : rc;
}

int hob_store_remove(struct hob_store *store, int64_t row, struct hob_error *err)
{
    int rc = write_begin(store, err);
    if (rc < 0)
        return rc;
    rc = drop_parts(store, row, err);
    if (rc == 0)
        rc = changed(store, write_row(store, DROP_EXECUTION, err, "i", row), row, err);
    return write_end(store, rc, false, err);
}

int hob_store_begin_run(struct hob_store *store, int64_t row, const struct hob_store_run *run,
                        bool commits, struct hob_error *err)
{
    int rc = write_begin(store, err);
    if (rc < 0)
        return rc;
    rc = changed(
        store,
        write_row(store, BEGIN_RUN, err, "itti", row, run->handler, run->digest, run->version), row,
        err);
    return write_end(store, rc, !commits, err);
}

int hob_store_put_version(struct hob_store *store, int64_t row, int64_t version,
                          struct hob_error *err)
{
    int rc = write_begin(store, err);
    if (rc < 0)
        return rc;
    rc = changed(store, write_row(store, PUT_VERSION, err, "ii", row, version), row, err);
    return write_end(store, rc, true, err);
}

/* ---- steps and outcomes ---- */

static int put_step(struct hob_store *store, int64_t row, const char *name, bool failed,
                    const char *result, const char *state, struct hob_error *err)
{
    int rc = changed(store, write_row(store, SET_RUNNING, err, "i", row), row, err);
    if (rc == 0)
        rc = write_row(store, PUT_STEP, err, "itit", row, name, (int64_t)failed, result);
    return rc == 0 && state ? write_row(store, PUT_STATE, err, "it", row, state) : rc;
}

int hob_store_put_step(struct hob_store *store, int64_t row, const char *name, bool failed,
                       const char *result, const char *state, int64_t elapsed_ms,
                       struct hob_error *err)
{
    int rc = check_size(store, "the result of a step", strlen(result), err);
    if (rc == 0 && state)
        rc = check_size(store, "job.state", strlen(state), err);
    if (rc == 0)
        rc = write_begin(store, err);
    if (rc < 0)
        return rc;
    return write_end(store, put_step(store, row, name, failed, result, state, err), false, err);
}

int hob_store_get_step(struct hob_store *store, int64_t row, const char *name, bool *failed,
                       const char **result, struct hob_error *err)
{
    int rc = read_row(store, GET_STEP, err, "it", row, name);
    if (rc < 0)
        return rc;
    *failed = sqlite3_column_int(store->held, 0) != 0;
    *result = text_at(store->held, 1);
    return 0;
}

int hob_store_get_state(struct hob_store *store, int64_t row, const char **state,
                        struct hob_error *err)
{
    int rc = read_row(store, GET_STATE, err, "i", row);
    if (rc == 0)
        *state = text_at(store->held, 0);
    return rc;
}

/** Why an outcome could not be put: there is one already, or there is no such row. */
static int no_outcome(struct hob_store *store, int64_t row, struct hob_error *err)
{
    struct hob_store_execution e = {0};
    int rc = hob_store_get(store, row, &e, err);
    return rc < 0 ? rc
                  : hob_error_set(err, HOB_EEXIST, "%s: job %s has its outcome already: %s",
                                  store->file.path, e.job_id, e.status);
}

int hob_store_put_outcome(struct hob_store *store, int64_t row, const char *status,
                          const char *details, struct hob_error *err)
{
    int rc = check_size(store, "the details of an outcome", details ? strlen(details) : 0, err);
    if (rc == 0)
        rc = write_begin(store, err);
    if (rc < 0)
        return rc;
    rc = write_row(store, PUT_OUTCOME, err, "itt", row, status, details);
    if (rc == 0 && sqlite3_changes(store->file.db) == 0)
        rc = no_outcome(store, row, err);
    return write_end(store, rc, false, err);
}

int hob_store_mark_told(struct hob_store *store, int64_t row, const char *how, const char *theirs,
                        struct hob_error *err)
{
    int rc = write_begin(store, err);
    if (rc < 0)
        return rc;
    rc = write_row(store, SET_TOLD, err, "it", row, how);
    if (rc == 0 && sqlite3_changes(store->file.db) == 0)
        rc = hob_error_set(err, HOB_ENOENT, "%s: no execution with an outcome in row %" PRId64,
                           store->file.path, row);
    if (rc == 0)
        rc = drop_parts(store, row, err);
    return write_end(store, rc, true, err);
}

int hob_store_flush(struct hob_store *store, struct hob_error *err)
{
    return commit(store, err);
}

int hob_store_prune(struct hob_store *store, int keep, struct hob_error *err)
{
    int rc = write_begin(store, err);
    if (rc < 0)
        return rc;
    return write_end(store, write_row(store, PRUNE, err, "i", (int64_t)keep), false, err);
}

const char *hob_store_library_version(void)
{
    return sqlite3_libversion();
}

int hob_store_expect_end(struct hob_store *store, struct hob_error *err)
{
    return 0;
}

int hob_store_put_wait(struct hob_store *store, int64_t row, int64_t resume_at_s, int64_t wait_s,
                       int64_t elapsed_ms, struct hob_error *err)
{
    return 0;
}

int hob_store_put_source(struct hob_store *store, int64_t row, const char *name, const char *path,
                         const char *text, size_t len, const char *digest, struct hob_error *err)
{
    return 0;
}

int hob_store_get_source(struct hob_store *store, int64_t row, const char *name, const char **path,
                         const char **text, size_t *len, struct hob_error *err)
{
    return HOB_ENOENT;
}

int hob_store_begin_step(struct hob_store *store, int64_t row, const char *name,
                         struct hob_error *err)
{
    return 0;
}

int hob_store_step_begun(struct hob_store *store, int64_t row, const char *name,
                         struct hob_error *err)
{
    return HOB_ENOENT;
}

int hob_store_each_step(struct hob_store *store, int64_t row, hob_store_step_fn *fn, void *user,
                        struct hob_error *err)
{
    return 0;
}

int hob_store_put_reboot(struct hob_store *store, int64_t row, const char *key, const char *mark,
                         int tries, struct hob_error *err)
{
    return 0;
}

int hob_store_get_reboot(struct hob_store *store, int64_t row, const char *key, const char **mark,
                         int *tries, struct hob_error *err)
{
    return HOB_ENOENT;
}

int hob_store_put_ending(struct hob_store *store, int64_t row, const char *status, const char *kind,
                         const char *details, struct hob_error *err)
{
    return 0;
}

int hob_store_begin_cleanup(struct hob_store *store, int64_t row, struct hob_error *err)
{
    return 0;
}

bool hob_store_is_newer(const struct hob_store *store)
{
    return false;
}

bool hob_store_is_damaged(const struct hob_store *store)
{
    return false;
}
