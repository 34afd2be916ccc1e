#include "work/store_statement.h"

#include "base/alloc.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define VALUES_MAX 27
#define RIDES_MAX  128

#define SELECT                                                                                     \
    "SELECT e.row, thing, job_id, execution_number, queued_at, version, state, handler,"           \
    " handler_digest, runs, boot, interrupted, deaths, elapsed_ms, resume_at_s, wait_s, retries,"  \
    " ending_status, ending_kind, ending_details, cleanups, status, details, ended_at_s, told,"    \
    " theirs, told_at_s, d.bytes FROM execution e LEFT JOIN document d ON d.execution = e.row "

#define FIRST_FAILED "(SELECT min(seq) FROM step WHERE execution = ?1 AND failed <> 0)"

/* steps that version 1 has written all have seq 0 */
#define FROM_THE_FIRST_FAILURE                                                                     \
    "execution = ?1 AND (seq, failed <> 0) >="                                                     \
    " (SELECT seq, 1 FROM step WHERE execution = ?1 AND failed <> 0 ORDER BY seq LIMIT 1)"

/* OR FAIL: a change that fails is rolled back as a whole, so that SQLite need not keep what each
 * statement has to put back. */
static const char *const statement_sql[HOB_STORE_STATEMENTS] = {
    [HOB_STORE_BEGIN] = "BEGIN",
    [HOB_STORE_COMMIT] = "COMMIT",
    [HOB_STORE_FIND] =
        SELECT "WHERE thing = ? AND job_id = ? AND execution_number = ? AND queued_at = ?",
    [HOB_STORE_GET] = SELECT "WHERE e.row = ?",
    [HOB_STORE_EACH] = SELECT "WHERE (?1 = '' OR thing = ?1) AND state = ?2 ORDER BY e.row",
    [HOB_STORE_ADD] =
        "INSERT OR FAIL INTO execution(row, thing, job_id, execution_number, queued_at, version, "
        "state,"
        " handler, handler_digest, runs, boot, interrupted, deaths, elapsed_ms, resume_at_s,"
        " wait_s, retries, ending_status, ending_kind, ending_details, cleanups, status, details,"
        " ended_at_s, told, theirs, told_at_s)"
        " VALUES(max(?, (SELECT coalesce(max(row), 0) FROM execution)) + 1, ?, ?, ?, ?, ?, ?, ?, "
        "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [HOB_STORE_ADD_DOCUMENT] = "INSERT OR FAIL INTO document(execution, bytes) VALUES(?, ?)",
    [HOB_STORE_BEGIN_RUN] =
        "UPDATE OR FAIL execution SET runs = max(runs, ?8) + 1, handler = ?2, handler_digest = ?3, "
        "version "
        "= ?4,"
        " boot = ?5, interrupted = ?6, deaths = ?7, resume_at_s = 0, wait_s = 0,"
        " state = max(state, 1) WHERE row = ?1",
    [HOB_STORE_EXPECT_END] = "UPDATE OR FAIL execution SET boot = '' WHERE state < 2 AND boot <> ''"
                             " AND (?1 = '' OR thing = ?1)",
    [HOB_STORE_PUT_WAIT] =
        "UPDATE OR FAIL execution SET resume_at_s = ?2, wait_s = ?3, elapsed_ms = ?4,"
        " retries = retries + 1, state = max(state, 1) WHERE row = ?1 AND state < 2",
    [HOB_STORE_FORGET_BEGUN] = "DELETE FROM step_begun WHERE execution = ?1 AND name IN"
                               " (SELECT name FROM step WHERE " FROM_THE_FIRST_FAILURE
                               " AND NOT (failed <> 0 AND json_valid(result)"
                               " AND json_extract(result, '$.code') IS 'INTERRUPTED'))",
    [HOB_STORE_FORGET_REBOOTS] = "DELETE FROM reboot WHERE execution = ?1 AND key IN"
                                 " (SELECT name FROM step WHERE " FROM_THE_FIRST_FAILURE ")",
    [HOB_STORE_FORGET_STEPS] = "DELETE FROM step WHERE " FROM_THE_FIRST_FAILURE,
    [HOB_STORE_PUT_VERSION] = "UPDATE OR FAIL execution SET version = ?2 WHERE row = ?1",
    [HOB_STORE_SOURCE_THERE] = "SELECT 1 FROM source WHERE digest = ?",
    [HOB_STORE_PUT_SOURCE] = "INSERT OR FAIL INTO source(digest, bytes) VALUES(?, ?)",
    [HOB_STORE_USE_SOURCE] = "INSERT OR FAIL INTO source_use(execution, name, path, digest)"
                             " SELECT row, ?2, ?3, ?4 FROM execution WHERE row = ?1"
                             " ON CONFLICT(execution, name)"
                             " DO UPDATE SET path = excluded.path, digest = excluded.digest",
    [HOB_STORE_GET_SOURCE] = "SELECT u.path, s.bytes FROM source_use u"
                             " JOIN source s ON s.digest = u.digest"
                             " WHERE u.execution = ? AND u.name = ?",
    [HOB_STORE_PUT_STEP] = "INSERT OR FAIL INTO step(execution, name, failed, result, seq)"
                           " VALUES(?1, ?2, ?3, ?4,"
                           " (SELECT coalesce(max(seq), 0) + 1 FROM step WHERE execution = ?1))"
                           " ON CONFLICT(execution, name)"
                           " DO UPDATE SET failed = excluded.failed, result = excluded.result,"
                           " seq = iif(excluded.failed, excluded.seq, seq)",
    [HOB_STORE_STEP_ENDED] = "UPDATE OR FAIL execution SET state = max(state, 1), interrupted = 0,"
                             " deaths = 0, elapsed_ms = ?2 WHERE row = ?1",
    [HOB_STORE_PUT_STATE] = "INSERT OR FAIL INTO job_state(execution, value) VALUES(?, ?)"
                            " ON CONFLICT(execution) DO UPDATE SET value = excluded.value",
    [HOB_STORE_BEGIN_STEP] =
        "INSERT OR FAIL INTO step_begun(execution, name) SELECT row, ?2 FROM execution"
        " WHERE row = ?1 ON CONFLICT DO UPDATE SET name = excluded.name",
    [HOB_STORE_DROP_STEP] = "DELETE FROM step WHERE execution = ? AND name = ?",
    [HOB_STORE_STEP_BEGUN] =
        "SELECT 1 FROM step_begun b WHERE execution = ? AND name = ? AND NOT EXISTS"
        " (SELECT 1 FROM step s WHERE s.execution = b.execution AND s.name = b.name)",
    [HOB_STORE_EACH_STEP] = "SELECT name, failed, result FROM step WHERE execution = ?"
                            " ORDER BY seq, name",
    [HOB_STORE_GET_STEP] = "SELECT failed, result FROM step WHERE execution = ? AND name = ?",
    [HOB_STORE_GET_STATE] = "SELECT value FROM job_state WHERE execution = ?",
    [HOB_STORE_PUT_REBOOT] = "INSERT OR FAIL INTO reboot(execution, key, mark, tries)"
                             " SELECT row, ?2, ?3, ?4 FROM execution WHERE row = ?1"
                             " ON CONFLICT(execution, key)"
                             " DO UPDATE SET mark = excluded.mark, tries = excluded.tries",
    [HOB_STORE_GET_REBOOT] = "SELECT mark, tries FROM reboot WHERE execution = ? AND key = ?",
    [HOB_STORE_PUT_ENDING] =
        "UPDATE OR FAIL execution SET ending_status = ?2, ending_kind = ?3, ending_details = ?4,"
        " state = max(state, 1) WHERE row = ?1 AND state < 2 AND ending_status = ''",
    [HOB_STORE_BEGIN_CLEANUP] =
        "UPDATE OR FAIL execution SET cleanups = cleanups + 1 WHERE row = ?",
    [HOB_STORE_PUT_OUTCOME] = "UPDATE OR FAIL execution SET state = 2, status = ?2, details = ?3,"
                              " ended_at_s = ?4 WHERE row = ?1 AND state < 2",
    [HOB_STORE_SET_TOLD] = "UPDATE OR FAIL execution SET state = 3, told = ?2, theirs = ?3,"
                           " told_at_s = ?4,"
                           " ending_details = '' WHERE row = ?1 AND state >= 2",
    [HOB_STORE_DROP_DOCUMENT] = "DELETE FROM document WHERE execution = ?",
    [HOB_STORE_DROP_STEPS] = "DELETE FROM step WHERE execution = ?",
    [HOB_STORE_DROP_STATE] = "DELETE FROM job_state WHERE execution = ?",
    [HOB_STORE_DROP_EXECUTION] = "DELETE FROM execution WHERE row = ?",
    [HOB_STORE_PRUNE] =
        "DELETE FROM execution WHERE state = 3 AND row <="
        " (SELECT row FROM execution WHERE state = 3 ORDER BY row DESC LIMIT 1 OFFSET ?)",
    [HOB_STORE_PUT_NOTE] = "INSERT OR REPLACE INTO meta VALUES('note:' || ?1, ?2)",
    [HOB_STORE_GET_NOTE] = "SELECT value FROM meta WHERE key = 'note:' || ?1",
    [HOB_STORE_DROP_NOTE] = "DELETE FROM meta WHERE key = 'note:' || ?1",
    [HOB_STORE_PRUNE_SOURCES] =
        "DELETE FROM source WHERE digest NOT IN (SELECT digest FROM source_use)",
};

struct value {
    char type; /* i, t or b */
    int64_t number;
    const char *text;
    size_t len;
};

struct hob_store_ride {
    struct hob_store_ride *next;
    enum hob_store_statement id;
    size_t count;
    struct value values[]; /* and after them their bytes */
};

/* ---- small things ---- */

int hob_store_statement_no_row(const struct hob_store *store, int64_t row, struct hob_error *err)
{
    return hob_error_set(err, HOB_ENOENT, "%s: no execution in row %" PRId64, store->file.path,
                         row);
}

int hob_store_statement_fits(const char *what, size_t len, size_t limit, struct hob_error *err)
{
    if (len <= limit)
        return 0;
    return hob_error_set(err, HOB_EMSGSIZE, "%s of %zu bytes: at most %zu are stored", what, len,
                         limit);
}

const char *hob_store_statement_text(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    return text ? (const char *)text : "";
}

void hob_store_statement_release(struct hob_store *store)
{
    if (store->held)
        sqlite3_reset(store->held);
    store->held = NULL;
}

int hob_store_statement_end_list(struct hob_store *store, int rc, const struct hob_error *why,
                                 struct hob_error *err)
{
    hob_store_statement_release(store);
    return rc == 0 || rc == HOB_ENOENT ? 0 : hob_error_set(err, rc, "%s", why->message);
}

/* ---- values ---- */

static size_t collect(struct value values[VALUES_MAX], const char *types, va_list *from)
{
    size_t count = strlen(types);
    assert(count <= VALUES_MAX);
    for (size_t i = 0; i < count; i++) {
        values[i] = (struct value){.type = types[i]};
        if (types[i] == 'i') {
            values[i].number = va_arg(*from, int64_t);
            continue;
        }
        const char *text = va_arg(*from, const char *);
        values[i].text = text ? text : "";
        values[i].len = types[i] == 'b' ? va_arg(*from, size_t) : strlen(values[i].text);
    }
    return count;
}

static int bind_value(sqlite3_stmt *statement, int index, const struct value *value)
{
    if (value->type == 'i')
        return sqlite3_bind_int64(statement, index, value->number);
    if (value->type == 't')
        return sqlite3_bind_text64(statement, index, value->text, value->len, SQLITE_STATIC,
                                   SQLITE_UTF8);
    return sqlite3_bind_blob64(statement, index, value->text, value->len, SQLITE_STATIC);
}

/** Prepare (once) and bind. */
static int ready(struct hob_store *store, enum hob_store_statement id, const struct value *values,
                 size_t count, struct hob_error *err)
{
    sqlite3_stmt **statement = &store->statements[id];
    int rc = SQLITE_OK;
    hob_store_statement_release(store);
    errno = 0;
    if (!*statement)
        rc = sqlite3_prepare_v3(store->file.db, statement_sql[id], -1, SQLITE_PREPARE_PERSISTENT,
                                statement, NULL);
    for (size_t i = 0; rc == SQLITE_OK && i < count; i++)
        rc = bind_value(*statement, (int)i + 1, &values[i]);
    return rc == SQLITE_OK ? 0 : hob_store_file_fail(&store->file, "preparing a statement", err);
}

static int run(struct hob_store *store, enum hob_store_statement id, const struct value *values,
               size_t count, struct hob_error *err)
{
    int rc = ready(store, id, values, count, err);
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

/** BEGIN or COMMIT: several of each for every job, so they are prepared as well. */
static int control(struct hob_store *store, enum hob_store_statement id, struct hob_error *err)
{
    int rc = ready(store, id, NULL, 0, err);
    if (rc < 0)
        return rc;
    errno = 0;
    if (sqlite3_step(store->statements[id]) != SQLITE_DONE)
        rc = hob_store_file_fail(&store->file, statement_sql[id], err);
    sqlite3_reset(store->statements[id]);
    return rc;
}

static void roll_back(struct hob_store *store)
{
    if (!sqlite3_get_autocommit(store->file.db)) /* a full disk may have ended it already */
        sqlite3_exec(store->file.db, "ROLLBACK", NULL, NULL, NULL);
}

/* ---- what rides ---- */

static int record(struct hob_store *store, enum hob_store_statement id, const struct value *values,
                  size_t count, struct hob_error *err)
{
    size_t size = sizeof(struct hob_store_ride) + count * sizeof(*values);
    for (size_t i = 0; i < count; i++)
        size += values[i].len;
    struct hob_store_ride *ride = hob_calloc(1, size);
    if (!ride)
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", store->file.path);
    ride->id = id;
    ride->count = count;
    char *bytes = (char *)&ride->values[count];
    for (size_t i = 0; i < count; i++) {
        ride->values[i] = values[i];
        if (values[i].type == 'i')
            continue;
        memcpy(bytes, values[i].text, values[i].len);
        ride->values[i].text = bytes;
        bytes += values[i].len;
    }
    *store->recorded = ride;
    store->recorded = &ride->next;
    return 0;
}

static void forget(struct hob_store_ride *first)
{
    while (first) {
        struct hob_store_ride *next = first->next;
        hob_free(first);
        first = next;
    }
}

/** Versions come with every progress: only the latest of an execution is kept. */
static void supersede(struct hob_store *store, const struct hob_store_ride *by)
{
    struct hob_store_ride **at = &store->rides;
    while (*at) {
        struct hob_store_ride *ride = *at;
        if (ride->id == HOB_STORE_PUT_VERSION && ride->values[0].number == by->values[0].number) {
            *at = ride->next;
            hob_free(ride);
        } else {
            at = &ride->next;
        }
    }
}

static void append(struct hob_store *store, struct hob_store_ride *recorded)
{
    if (recorded && recorded->id == HOB_STORE_PUT_VERSION)
        supersede(store, recorded);
    struct hob_store_ride **end = &store->rides;
    while (*end)
        end = &(*end)->next;
    *end = recorded;
}

/** The transaction that it rode in was ended: begin another one with it. */
static int ride_again(struct hob_store *store, struct hob_error *err)
{
    if (!store->rides || !sqlite3_get_autocommit(store->file.db))
        return 0;
    int rc = control(store, HOB_STORE_BEGIN, err);
    for (struct hob_store_ride *ride = store->rides; rc == 0 && ride; ride = ride->next)
        rc = run(store, ride->id, ride->values, ride->count, err);
    if (rc < 0)
        roll_back(store);
    return rc;
}

/* ---- reading and writing ---- */

int hob_store_statement_read(struct hob_store *store, enum hob_store_statement id,
                             struct hob_error *err, const char *types, ...)
{
    struct value values[VALUES_MAX];
    va_list from;
    va_start(from, types);
    size_t count = collect(values, types, &from);
    va_end(from);
    int rc = hob_store_file_usable(&store->file, err);
    if (rc == 0)
        rc = ride_again(store, err);
    if (rc == 0)
        rc = ready(store, id, values, count, err);
    if (rc < 0)
        return rc;
    store->held = store->statements[id];
    return hob_store_statement_next(store, err);
}

int hob_store_statement_next(struct hob_store *store, struct hob_error *err)
{
    errno = 0;
    int rc = sqlite3_step(store->held);
    if (rc == SQLITE_ROW)
        return 0;
    if (rc == SQLITE_DONE)
        rc = hob_error_set(err, HOB_ENOENT, "%s: no such entry", store->file.path);
    else
        rc = hob_store_file_fail(&store->file, "reading", err);
    hob_store_statement_release(store);
    return rc;
}

static int write_values(struct hob_store *store, enum hob_store_statement id, const char *types,
                        va_list *from, struct hob_error *err)
{
    struct value values[VALUES_MAX];
    size_t count = collect(values, types, from);
    int rc = run(store, id, values, count, err);
    return rc == 0 && store->recorded ? record(store, id, values, count, err) : rc;
}

int hob_store_statement_write(struct hob_store *store, enum hob_store_statement id,
                              struct hob_error *err, const char *types, ...)
{
    va_list from;
    va_start(from, types);
    int rc = write_values(store, id, types, &from, err);
    va_end(from);
    return rc;
}

int hob_store_statement_change(struct hob_store *store, enum hob_store_statement id, int64_t row,
                               struct hob_error *err, const char *types, ...)
{
    va_list from;
    va_start(from, types);
    int rc = write_values(store, id, types, &from, err);
    va_end(from);
    return rc == 0 && sqlite3_changes(store->file.db) == 0
               ? hob_store_statement_no_row(store, row, err)
               : rc;
}

/* ---- transactions ---- */

int hob_store_statement_commit(struct hob_store *store, struct hob_error *err)
{
    hob_store_statement_release(store);
    int rc = hob_store_file_usable(&store->file, err);
    if (rc == 0)
        rc = ride_again(store, err);
    if (rc < 0 || sqlite3_get_autocommit(store->file.db))
        return rc;
    rc = control(store, HOB_STORE_COMMIT, err);
    if (rc < 0) {
        roll_back(store);
        ride_again(store, NULL); /* if that fails too, it is tried again with the next call */
        return rc;
    }
    forget(store->rides);
    store->rides = NULL;
    hob_store_reserve_committed(&store->reserve);
    return 0;
}

static int begin(struct hob_store *store, struct hob_error *err)
{
    hob_store_statement_release(store);
    int rc = hob_store_file_usable(&store->file, err);
    if (rc == 0)
        rc = ride_again(store, err);
    if (rc == 0 && sqlite3_get_autocommit(store->file.db))
        rc = control(store, HOB_STORE_BEGIN, err);
    return rc;
}

/** Write within the open transaction, all or nothing. */
static int change(struct hob_store *store, bool rides, hob_store_change_fn *fn, const void *args,
                  struct hob_error *err)
{
    struct hob_store_ride *recorded = NULL;
    store->recorded = rides ? &recorded : NULL;
    int rc = fn(store, args, err);
    store->recorded = NULL;
    if (rc >= 0) {
        append(store, recorded);
        return rc;
    }
    forget(recorded);
    roll_back(store);
    return rc;
}

static bool many_ride(const struct hob_store *store)
{
    int count = 0;
    for (const struct hob_store_ride *ride = store->rides; ride; ride = ride->next)
        count++;
    return count >= RIDES_MAX;
}

static int transact(struct hob_store *store, enum hob_store_kind kind, hob_store_change_fn *fn,
                    const void *args, struct hob_error *err)
{
    int rc = begin(store, err);
    if (rc == 0)
        rc = change(store, kind == HOB_STORE_RIDES, fn, args, err);
    if (rc < 0) {
        ride_again(store, NULL);
        return rc;
    }
    if (kind != HOB_STORE_RIDES)
        return hob_store_statement_commit(store, err);
    /* While an outbox is drained nothing else is committed, and they would pile up. */
    if (many_ride(store))
        (void)hob_store_statement_commit(store, NULL); /* without success they ride on */
    return 0;
}

/* What the caller did wrong (no such row, too large, there already) says nothing of the disk. */
static void count_write(struct hob_store *store, enum hob_store_kind kind, int rc)
{
    if (rc >= 0) {
        store->writes++;
        store->failing = kind == HOB_STORE_RIDES ? store->failing : 0; /* it is not written yet */
    } else if (rc != HOB_ENOENT && rc != HOB_EEXIST && rc != HOB_EMSGSIZE && rc != HOB_EINVAL) {
        store->failures++;
        store->failing = rc;
    }
}

int hob_store_statement_transact(struct hob_store *store, enum hob_store_kind kind,
                                 hob_store_change_fn *fn, const void *args, struct hob_error *err)
{
    int rc = transact(store, kind, fn, args, err);
    if (rc == HOB_ENOSPC && kind == HOB_STORE_MUST && hob_store_reserve_release(&store->reserve))
        rc = transact(store, kind, fn, args, err);
    count_write(store, kind, rc);
    return rc;
}

void hob_store_statement_close(struct hob_store *store)
{
    hob_store_statement_release(store);
    for (int i = 0; i < HOB_STORE_STATEMENTS; i++)
        sqlite3_finalize(store->statements[i]);
    forget(store->rides);
    store->rides = NULL;
}
