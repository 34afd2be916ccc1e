#include "work/store.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "work/store_statement.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

_Static_assert(HOB_STORE_CLAIMING == 0 && HOB_STORE_RUNNING == 1 && HOB_STORE_ENDED == 2 &&
                   HOB_STORE_TOLD == 3,
               "the states are numbers in SQL and in files on disk");

/* ---- life ---- */

static int open_parts(struct hob_store *store, struct hob_log *log, const char *path,
                      struct hob_error *err)
{
    int rc = hob_store_file_open(&store->file, log, path, err);
    if (rc < 0)
        return rc;
    rc = hob_store_reserve_open(&store->reserve, log, path);
    if (rc < 0)
        hob_store_file_close(&store->file);
    return rc < 0 ? hob_error_set(err, rc, "%s: out of memory", path) : 0;
}

int hob_store_open(struct hob_log *log, const struct hob_store_options *options,
                   struct hob_store **out, struct hob_error *err)
{
    assert(options->path);
    if (strlen(options->path) > 4000)
        return hob_error_set(err, HOB_EINVAL, "the store's path is longer than 4000 bytes");
    struct hob_store *store = hob_calloc(1, sizeof(*store));
    if (!store)
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", options->path);
    store->kept = -1;
    int rc = open_parts(store, log, options->path, err);
    if (rc < 0) {
        hob_free(store);
        return rc;
    }
    store->file.on_damaged = options->on_damaged;
    store->file.user = options->user;
    *out = store;
    return 0;
}

void hob_store_close(struct hob_store *store)
{
    struct hob_error err;
    if (!store)
        return;
    if (!store->file.damaged && hob_store_statement_commit(store, &err) < 0)
        hob_log_event(store->file.log, HOB_LOG_ERROR, "store.error", "%s", err.message);
    hob_store_statement_close(store);
    hob_store_reserve_close(&store->reserve);
    hob_store_file_close(&store->file);
    hob_free(store);
}

bool hob_store_is_newer(const struct hob_store *store)
{
    return store->file.newer;
}

bool hob_store_is_damaged(const struct hob_store *store)
{
    return store->file.damaged;
}

static uint64_t size_of(const char *path, const char *suffix)
{
    char name[PATH_MAX];
    struct stat st;
    int n = snprintf(name, sizeof(name), "%s%s", path, suffix);
    return n > 0 && (size_t)n < sizeof(name) && stat(name, &st) == 0 ? (uint64_t)st.st_size : 0;
}

void hob_store_get_health(const struct hob_store *store, struct hob_store_health *out)
{
    *out = (struct hob_store_health){.bytes = size_of(store->file.path, ""),
                                     .wal_bytes = size_of(store->file.path, "-wal"),
                                     .writes = store->writes,
                                     .failures = store->failures,
                                     .failing = store->failing,
                                     .damaged = store->file.damaged};
}

const char *hob_store_library_version(void)
{
    return sqlite3_libversion();
}

/* ---- reading executions ---- */

static void fill(struct hob_store_execution *out, sqlite3_stmt *statement)
{
    int column = 0;
#define NUMBER() sqlite3_column_int64(statement, column++)
#define TEXT()   hob_store_statement_text(statement, column++)
    *out = (struct hob_store_execution){0};
    out->row = NUMBER();
    out->thing = TEXT();
    out->job_id = TEXT();
    out->execution_number = NUMBER();
    out->queued_at = NUMBER();
    out->version = NUMBER();
    out->state = (enum hob_store_state)NUMBER();
    out->handler = TEXT();
    out->handler_digest = TEXT();
    out->runs = (int)NUMBER();
    out->boot = TEXT();
    out->interrupted = (int)NUMBER();
    out->deaths = (int)NUMBER();
    out->elapsed_ms = NUMBER();
    out->resume_at_s = NUMBER();
    out->wait_s = NUMBER();
    out->retries = (int)NUMBER();
    out->ending_status = TEXT();
    out->ending_kind = TEXT();
    out->ending_details = TEXT();
    out->cleanups = (int)NUMBER();
    out->status = TEXT();
    out->details = TEXT();
    out->ended_at_s = NUMBER();
    out->told = TEXT();
    out->theirs = TEXT();
    out->told_at_s = NUMBER();
    out->document = sqlite3_column_blob(statement, column);
    out->document_len = (size_t)sqlite3_column_bytes(statement, column);
#undef NUMBER
#undef TEXT
}

int hob_store_find(struct hob_store *store, const char *thing, const char *job_id,
                   int64_t execution_number, int64_t queued_at, struct hob_store_execution *out,
                   struct hob_error *err)
{
    int rc = hob_store_statement_read(store, HOB_STORE_FIND, err, "ttii", thing, job_id,
                                      execution_number, queued_at);
    if (rc == 0)
        fill(out, store->held);
    return rc;
}

int hob_store_get(struct hob_store *store, int64_t row, struct hob_store_execution *out,
                  struct hob_error *err)
{
    int rc = hob_store_statement_read(store, HOB_STORE_GET, err, "i", row);
    if (rc == 0)
        fill(out, store->held);
    return rc == HOB_ENOENT ? hob_store_statement_no_row(store, row, err) : rc;
}

int hob_store_each(struct hob_store *store, const char *thing, enum hob_store_state state,
                   hob_store_each_fn *fn, void *user, struct hob_error *err)
{
    struct hob_error none; /* the end of the list is no error */
    struct hob_store_execution execution;
    int rc = hob_store_statement_read(store, HOB_STORE_EACH, &none, "ti", thing, (int64_t)state);
    while (rc == 0) {
        fill(&execution, store->held);
        if (!fn(user, &execution))
            break;
        rc = hob_store_statement_next(store, &none);
    }
    return hob_store_statement_end_list(store, rc, &none, err);
}

/* ---- writing executions ---- */

/* While this process lives no row's number is given again after a removal: somebody may still mean
 * the one that is gone. */

struct addition {
    const struct hob_store_execution *execution;
    int64_t *row;
};

static int64_t when(int64_t given_s, bool is_so)
{
    return given_s || !is_so ? given_s : hob_clock_wall_ms() / 1000;
}

static int add_execution(struct hob_store *store, const struct hob_store_execution *e,
                         struct hob_error *err)
{
    int64_t ended_at_s = when(e->ended_at_s, e->state >= HOB_STORE_ENDED);
    int64_t told_at_s = when(e->told_at_s, e->state == HOB_STORE_TOLD);
    return hob_store_statement_write(
        store, HOB_STORE_ADD, err, "ittiiiittitiiiiiitttittitti", store->latest_row, e->thing,
        e->job_id, e->execution_number, e->queued_at, e->version, (int64_t)e->state, e->handler,
        e->handler_digest, (int64_t)e->runs, e->boot, (int64_t)e->interrupted, (int64_t)e->deaths,
        e->elapsed_ms, e->resume_at_s, e->wait_s, (int64_t)e->retries, e->ending_status,
        e->ending_kind, e->ending_details, (int64_t)e->cleanups, e->status, e->details, ended_at_s,
        e->told, e->theirs, told_at_s);
}

static int add(struct hob_store *store, const void *args, struct hob_error *err)
{
    const struct addition *addition = args;
    const struct hob_store_execution *e = addition->execution;
    int rc = add_execution(store, e, err);
    if (rc == HOB_EEXIST)
        return hob_error_set(err, rc, "%s: execution %" PRId64 " of job %s of %s is there already",
                             store->file.path, e->execution_number, e->job_id, e->thing);
    *addition->row = sqlite3_last_insert_rowid(store->file.db);
    if (rc == 0 && e->document)
        rc = hob_store_statement_write(store, HOB_STORE_ADD_DOCUMENT, err, "ib", *addition->row,
                                       e->document, e->document_len);
    return rc;
}

int64_t hob_store_add(struct hob_store *store, const struct hob_store_execution *execution,
                      struct hob_error *err)
{
    int64_t row = 0;
    struct addition addition = {.execution = execution, .row = &row};
    int rc = hob_store_statement_fits("a job document", execution->document_len,
                                      HOB_STORE_TEXT_LIMIT, err);
    if (rc == 0 && execution->details)
        rc = hob_store_statement_fits("the details of an outcome", strlen(execution->details),
                                      HOB_STORE_TEXT_LIMIT, err);
    if (rc == 0)
        rc = hob_store_file_usable(&store->file, err);
    /* What was given back is for the ends of those that run. */
    if (rc == 0 && !hob_store_reserve_ensure(&store->reserve))
        rc = hob_error_set(err, HOB_ENOSPC,
                           "%s: the disk is full: its reserve is used up; make room on its file "
                           "system",
                           store->file.path);
    if (rc == 0)
        rc = hob_store_statement_transact(store, HOB_STORE_COMMITS, add, &addition, err);
    store->latest_row = rc < 0 ? store->latest_row : row;
    return rc < 0 ? rc : row;
}

static int remove_execution(struct hob_store *store, const void *args, struct hob_error *err)
{
    int64_t row = *(const int64_t *)args;
    int rc = hob_store_statement_write(store, HOB_STORE_DROP_DOCUMENT, err, "i", row);
    if (rc == 0)
        rc = hob_store_statement_write(store, HOB_STORE_DROP_STEPS, err, "i", row);
    if (rc == 0)
        rc = hob_store_statement_write(store, HOB_STORE_DROP_STATE, err, "i", row);
    return rc < 0 ? rc
                  : hob_store_statement_change(store, HOB_STORE_DROP_EXECUTION, row, err, "i", row);
}

int hob_store_remove(struct hob_store *store, int64_t row, struct hob_error *err)
{
    return hob_store_statement_transact(store, HOB_STORE_COMMITS, remove_execution, &row, err);
}

struct begun_run {
    int64_t row;
    const struct hob_store_run *run;
};

static int begin_run(struct hob_store *store, const void *args, struct hob_error *err)
{
    const struct begun_run *begun = args;
    const struct hob_store_run *run = begun->run;
    return hob_store_statement_change(store, HOB_STORE_BEGIN_RUN, begun->row, err, "ittitiii",
                                      begun->row, run->handler, run->digest, run->version,
                                      run->boot, (int64_t)run->interrupted, (int64_t)run->deaths,
                                      (int64_t)run->former_runs);
}

int hob_store_begin_run(struct hob_store *store, int64_t row, const struct hob_store_run *run,
                        bool commits, struct hob_error *err)
{
    struct begun_run begun = {.row = row, .run = run};
    return hob_store_statement_transact(store, commits ? HOB_STORE_COMMITS : HOB_STORE_RIDES,
                                        begin_run, &begun, err);
}

static int expect_end(struct hob_store *store, const void *args, struct hob_error *err)
{
    return hob_store_statement_write(store, HOB_STORE_EXPECT_END, err, "t", (const char *)args);
}

int hob_store_expect_end(struct hob_store *store, const char *thing, struct hob_error *err)
{
    return hob_store_statement_transact(store, HOB_STORE_MUST, expect_end, thing, err);
}

struct wait {
    int64_t row, resume_at_s, wait_s, elapsed_ms;
};

static int put_wait(struct hob_store *store, const void *args, struct hob_error *err)
{
    const struct wait *wait = args;
    int rc =
        hob_store_statement_change(store, HOB_STORE_PUT_WAIT, wait->row, err, "iiii", wait->row,
                                   wait->resume_at_s, wait->wait_s, wait->elapsed_ms);
    if (rc == 0)
        rc = hob_store_statement_write(store, HOB_STORE_FORGET_BEGUN, err, "i", wait->row);
    if (rc == 0)
        rc = hob_store_statement_write(store, HOB_STORE_FORGET_REBOOTS, err, "i", wait->row);
    return rc < 0 ? rc
                  : hob_store_statement_write(store, HOB_STORE_FORGET_STEPS, err, "i", wait->row);
}

int hob_store_put_wait(struct hob_store *store, int64_t row, int64_t resume_at_s, int64_t wait_s,
                       int64_t elapsed_ms, struct hob_error *err)
{
    struct wait wait = {row, resume_at_s, wait_s, elapsed_ms};
    return hob_store_statement_transact(store, HOB_STORE_COMMITS, put_wait, &wait, err);
}

struct version {
    int64_t row, version;
};

static int put_version(struct hob_store *store, const void *args, struct hob_error *err)
{
    const struct version *version = args;
    return hob_store_statement_change(store, HOB_STORE_PUT_VERSION, version->row, err, "ii",
                                      version->row, version->version);
}

int hob_store_put_version(struct hob_store *store, int64_t row, int64_t version,
                          struct hob_error *err)
{
    struct version args = {row, version};
    return hob_store_statement_transact(store, HOB_STORE_RIDES, put_version, &args, err);
}
