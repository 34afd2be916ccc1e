#include "work/store.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define SCHEMA_VERSION    1
#define COMPATIBLE_SINCE  1          /* the oldest Hob schema that may open what we write */
#define APPLICATION_ID    1215259219 /* "HobS" in the file's header */
#define CHECKPOINT_FRAMES 512        /* a page is copied from the log once per 2 MB of log */
#define TEXT_LIMIT        (256 * 1024)
#define DAMAGED           1 /* internal results of opening, never returned */
#define UNEXPECTED        2

/* Documents, steps and job.state are tables of their own, so that a change of an execution does not
 * write their bytes again. */
static const char schema_sql[] =
    "CREATE TABLE execution("
    " row INTEGER PRIMARY KEY, thing TEXT NOT NULL, job_id TEXT NOT NULL,"
    " execution_number INTEGER NOT NULL, queued_at INTEGER NOT NULL, version INTEGER NOT NULL,"
    " state INTEGER NOT NULL, handler TEXT NOT NULL, handler_digest TEXT NOT NULL,"
    " runs INTEGER NOT NULL, status TEXT NOT NULL, details TEXT NOT NULL, told TEXT NOT NULL,"
    " UNIQUE(thing, job_id, execution_number, queued_at));"
    "CREATE TABLE document(execution INTEGER PRIMARY KEY, bytes BLOB NOT NULL);"
    "CREATE TABLE job_state(execution INTEGER PRIMARY KEY, value TEXT NOT NULL);"
    "CREATE TABLE step(execution INTEGER NOT NULL, name TEXT NOT NULL, failed INTEGER NOT NULL,"
    " result TEXT NOT NULL, PRIMARY KEY(execution, name)) WITHOUT ROWID;"
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;";

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
    struct hob_log *log;
    char *path;
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    sqlite3_stmt *held; /* whose columns the last caller has borrowed */
};

/* ---- errors ---- */

static int code_of(sqlite3 *db)
{
    int errnum = sqlite3_system_errno(db);
    switch (sqlite3_extended_errcode(db) & 0xff) {
    case SQLITE_FULL:
        return HOB_ENOSPC;
    case SQLITE_IOERR:
        return errnum == ENOSPC || errnum == EDQUOT ? HOB_ENOSPC : HOB_ESTORE;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return HOB_EACCES;
    case SQLITE_CANTOPEN:
        return errnum ? hob_error_from_errno(errnum) : HOB_ESTORE;
    case SQLITE_BUSY:
        return HOB_EBUSY;
    case SQLITE_NOMEM:
        return HOB_ENOMEM;
    case SQLITE_TOOBIG:
        return HOB_EMSGSIZE;
    default:
        return HOB_ESTORE;
    }
}

static const char *advice_of(int code)
{
    switch (code) {
    case HOB_ENOSPC:
        return "; make room on its file system";
    case HOB_EACCES:
        return "; the file and its directory must be writable";
    case HOB_ESTORE:
        return "; it is checked at the next start";
    default:
        return "";
    }
}

static int fail(struct hob_store *store, const char *doing, struct hob_error *err)
{
    int code = code_of(store->db);
    int errnum = sqlite3_system_errno(store->db);
    return hob_error_set(err, code, "%s: %s: %s%s%s%s", store->path, doing,
                         sqlite3_errmsg(store->db), errnum && code != HOB_ENOSPC ? ": " : "",
                         errnum && code != HOB_ENOSPC ? strerror(errnum) : "", advice_of(code));
}

static int no_row(struct hob_store *store, int64_t row, struct hob_error *err)
{
    return hob_error_set(err, HOB_ENOENT, "%s: no execution in row %" PRId64, store->path, row);
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
        rc = sqlite3_prepare_v3(store->db, statement_sql[id], -1, SQLITE_PREPARE_PERSISTENT,
                                statement, NULL);
    for (int i = 0; rc == SQLITE_OK && types[i]; i++)
        rc = bind_value(*statement, i + 1, types[i], values);
    return rc == SQLITE_OK ? 0 : fail(store, "preparing a statement", err);
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
        rc = (sqlite3_extended_errcode(store->db) & 0xff) == SQLITE_CONSTRAINT
                 ? HOB_EEXIST
                 : fail(store, "writing", err);
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
        rc = hob_error_set(err, HOB_ENOENT, "%s: no such entry", store->path);
    else
        rc = fail(store, "reading", err);
    release(store);
    return rc;
}

static int run_sql(struct hob_store *store, const char *sql, struct hob_error *err)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(store, sql, err);
}

/* ---- transactions: one is open while something rides; each write is a savepoint in it, so that a
 * write that fails takes nothing else with it ---- */

static int write_begin(struct hob_store *store, struct hob_error *err)
{
    release(store);
    int rc = sqlite3_get_autocommit(store->db) ? run_sql(store, "BEGIN", err) : 0;
    return rc < 0 ? rc : run_sql(store, "SAVEPOINT change", err);
}

static int commit(struct hob_store *store, struct hob_error *err)
{
    release(store);
    if (sqlite3_get_autocommit(store->db))
        return 0;
    int rc = run_sql(store, "COMMIT", err);
    if (rc < 0 && !sqlite3_get_autocommit(store->db))
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

static int write_end(struct hob_store *store, int rc, bool rides, struct hob_error *err)
{
    if (rc >= 0)
        rc = run_sql(store, "RELEASE change", err);
    else if (!sqlite3_get_autocommit(store->db)) /* a full disk may have ended it already */
        sqlite3_exec(store->db, "ROLLBACK TO change; RELEASE change", NULL, NULL, NULL);
    return rc < 0 || rides ? rc : commit(store, err);
}

/* ---- opening ---- */

static bool is_damage(sqlite3 *db)
{
    int rc = sqlite3_errcode(db) & 0xff;
    return rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB;
}

/** The process that holds a lock on the file, by /proc/locks: opening the file to ask the kernel
 * would drop this process's own locks at close. @return 0 if unknown */
static long lock_holder(const char *path)
{
    struct stat st;
    char line[256];
    long found = 0;
    FILE *locks = stat(path, &st) == 0 ? fopen("/proc/locks", "re") : NULL;
    while (locks && !found && fgets(line, sizeof(line), locks)) {
        long pid;
        unsigned major_number, minor_number;
        unsigned long long inode;
        if (sscanf(line, "%*s %*s %*s %*s %ld %x:%x:%llu", &pid, &major_number, &minor_number,
                   &inode) == 4 &&
            inode == st.st_ino && major_number == major(st.st_dev) &&
            minor_number == minor(st.st_dev))
            found = pid;
    }
    if (locks)
        fclose(locks);
    return found;
}

static int fail_open(struct hob_store *store, const char *doing, struct hob_error *err)
{
    char who[32] = "";
    int code = fail(store, doing, err);
    if (is_damage(store->db))
        return DAMAGED;
    if (code != HOB_EBUSY)
        return code;
    long pid = lock_holder(store->path);
    if (pid > 0)
        snprintf(who, sizeof(who), " (pid %ld)", pid);
    return hob_error_set(err, HOB_EBUSY, "%s: another hob%s uses this data directory", store->path,
                         who);
}

/** Created here, since SQLite would take the umask's mode; its -wal takes the same one. */
static int create_file(const char *path, struct hob_error *err)
{
    struct stat st;
    if (stat(path, &st) == 0) {
        if (!S_ISREG(st.st_mode))
            return hob_error_set(err, HOB_ESTORE, "%s: is not a file", path);
        if ((st.st_mode & 0077) && chmod(path, 0600) < 0)
            return hob_error_set(err, hob_error_from_errno(errno), "%s: cannot be made private: %s",
                                 path, strerror(errno));
        return 0;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return hob_error_set(err, hob_error_from_errno(errno), "%s: cannot be created: %s", path,
                             strerror(errno));
    close(fd);
    return 0;
}

static int pragma(struct hob_store *store, const char *sql, const char *expected,
                  struct hob_error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        rc = fail_open(store, sql, err);
    else if (expected && strcmp(text ? text : "nothing", expected) != 0)
        rc = UNEXPECTED;
    else
        rc = 0;
    if (rc == UNEXPECTED)
        hob_error_set(err, HOB_ESTORE, "%s: %s gave '%s' where '%s' was expected", store->path, sql,
                      text ? text : "nothing", expected);
    sqlite3_finalize(statement);
    return rc;
}

static int check_file(struct hob_store *store, struct hob_error *err)
{
    int rc = pragma(store, "PRAGMA quick_check(1)", "ok", err);
    return rc == UNEXPECTED ? DAMAGED : rc;
}

static int configure(struct hob_store *store, struct hob_error *err)
{
    char checkpoint[64];
    snprintf(checkpoint, sizeof(checkpoint), "PRAGMA wal_autocheckpoint=%d", CHECKPOINT_FRAMES);
    const struct {
        const char *sql, *expected;
    } steps[] = {
        {"PRAGMA locking_mode=EXCLUSIVE", "exclusive"}, /* before WAL: then no shared memory */
        {"PRAGMA journal_mode=WAL", "wal"},
        {"PRAGMA synchronous=FULL", NULL},
        {"PRAGMA cell_size_check=ON", NULL},
        {"PRAGMA trusted_schema=OFF", NULL},
        {"PRAGMA temp_store=MEMORY", NULL},
        {"PRAGMA cache_size=-512", NULL},
        {checkpoint, NULL},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof(steps) / sizeof(steps[0]); i++)
        rc = pragma(store, steps[i].sql, steps[i].expected, err);
    return rc;
}

static int64_t number_of(struct hob_store *store, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int64_t number = -1;
    if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

static int create_schema(struct hob_store *store, struct hob_error *err)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "INSERT INTO meta VALUES('schema_version', %d), ('compatible_since', %d);"
             "PRAGMA application_id=%d; PRAGMA user_version=%d",
             SCHEMA_VERSION, COMPATIBLE_SINCE, APPLICATION_ID, SCHEMA_VERSION);
    int rc = run_sql(store, "BEGIN", err);
    if (rc == 0)
        rc = run_sql(store, schema_sql, err);
    if (rc == 0)
        rc = run_sql(store, sql, err);
    return rc == 0 ? commit(store, err) : rc;
}

static int check_schema(struct hob_store *store, struct hob_error *err)
{
    int64_t version = number_of(store, "PRAGMA user_version");
    int64_t application = number_of(store, "PRAGMA application_id");
    if (version == 0 && application == 0 && number_of(store, "PRAGMA page_count") <= 1 &&
        number_of(store, "SELECT count(*) FROM sqlite_master") == 0)
        return create_schema(store, err);
    if (application != APPLICATION_ID)
        return hob_error_set(err, HOB_ESTORE,
                             "%s: is a database of another program; move it away or set another "
                             "data directory",
                             store->path);
    int64_t since = number_of(store, "SELECT value FROM meta WHERE key = 'compatible_since'");
    if (since < 0)
        since = version;
    if (version <= SCHEMA_VERSION || since <= SCHEMA_VERSION)
        return 0;
    return hob_error_set(err, HOB_ESTORE,
                         "%s: was written by a newer hob (schema %" PRId64 ", usable from schema "
                         "%" PRId64 " on; this is %d): install that hob again, or move the file "
                         "away",
                         store->path, version, since, SCHEMA_VERSION);
}

static int open_file(struct hob_store *store, struct hob_error *err)
{
    int rc = create_file(store->path, err);
    if (rc < 0)
        return rc;
    if (sqlite3_open_v2(store->path, &store->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                        NULL) != SQLITE_OK)
        return store->db ? fail_open(store, "opening", err)
                         : hob_error_set(err, HOB_ENOMEM, "%s: out of memory", store->path);
    rc = configure(store, err);
    if (rc == 0)
        rc = check_file(store, err);
    return rc == 0 ? check_schema(store, err) : rc;
}

static void close_file(struct hob_store *store, bool damaged)
{
    release(store);
    for (int i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(store->statements[i]);
        store->statements[i] = NULL;
    }
    if (store->db && damaged) /* nothing of it may change before it is set aside */
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_close(store->db);
    store->db = NULL;
}

static void aside_name(const char *path, char *out, size_t len)
{
    char when[32];
    struct stat st;
    struct tm parts;
    time_t now = (time_t)(hob_clock_wall_ms() / 1000);
    strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &parts));
    snprintf(out, len, "%s.damaged-%s", path, when);
    for (int i = 2; stat(out, &st) == 0; i++)
        snprintf(out, len, "%s.damaged-%s.%d", path, when, i);
}

static int set_aside(struct hob_store *store, const char *why, struct hob_error *err)
{
    static const char *const suffixes[] = {"-wal", "-shm", ""};
    char aside[4096], from[4096], to[4160];
    aside_name(store->path, aside, sizeof(aside));
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        snprintf(from, sizeof(from), "%s%s", store->path, suffixes[i]);
        snprintf(to, sizeof(to), "%s%s", aside, suffixes[i]);
        if (rename(from, to) < 0 && (errno != ENOENT || !*suffixes[i]))
            return hob_error_set(err, hob_error_from_errno(errno),
                                 "%s: is damaged (%s) and cannot be set aside as %s: %s",
                                 store->path, why, to, strerror(errno));
    }
    hob_log_write(store->log,
                  &(struct hob_log_record){.level = HOB_LOG_ERROR,
                                           .event = "store.damaged",
                                           .code = "ESTORE",
                                           .action = "keep the file for an inquiry; what was "
                                                     "running is not known any more"},
                  "%s; set aside as %s, a new one is begun", why, aside);
    return 0;
}

/** So that a new file, or a renamed one, is still there after a power cut. */
static void sync_directory(const char *path)
{
    char directory[4096];
    const char *slash = strrchr(path, '/');
    snprintf(directory, sizeof(directory), "%.*s", slash ? (int)(slash - path) + 1 : 1,
             slash ? path : ".");
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

static int open_or_begin_anew(struct hob_store *store, struct hob_error *err)
{
    struct hob_error why = {0};
    int rc = open_file(store, &why);
    if (rc == DAMAGED) {
        close_file(store, true);
        rc = set_aside(store, why.message, &why);
        if (rc == 0)
            rc = open_file(store, &why);
    }
    if (rc > 0)
        rc = HOB_ESTORE;
    if (rc < 0 && err) {
        *err = why;
        err->code = rc;
    }
    if (rc == 0)
        sync_directory(store->path);
    return rc;
}

int hob_store_open(struct hob_log *log, const struct hob_store_options *options,
                   struct hob_store **out, struct hob_error *err)
{
    assert(options->path);
    if (strlen(options->path) > 4000)
        return hob_error_set(err, HOB_EINVAL, "the store's path is longer than 4000 bytes");
    struct hob_store *store = calloc(1, sizeof(*store));
    char *path = strdup(options->path);
    if (!store || !path) {
        free(store);
        free(path);
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", options->path);
    }
    store->log = log;
    store->path = path;
    int rc = open_or_begin_anew(store, err);
    if (rc < 0) {
        close_file(store, false);
        free(path);
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
        hob_log_event(store->log, HOB_LOG_ERROR, "store.error", "%s", err.message);
    close_file(store, false);
    free(store->path);
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
        rc = more || rc == SQLITE_DONE ? 0 : fail(store, "reading", err);
    }
    release(store);
    return rc == HOB_ENOENT ? 0 : rc;
}

/** The row of a write must exist: the statement before has changed it, or not. */
static int changed(struct hob_store *store, int rc, int64_t row, struct hob_error *err)
{
    return rc == 0 && sqlite3_changes(store->db) == 0 ? no_row(store, row, err) : rc;
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
                             store->path, e->execution_number, e->job_id, e->thing);
    *row = sqlite3_last_insert_rowid(store->db);
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

int hob_store_begin_run(struct hob_store *store, int64_t row, const char *handler,
                        const char *digest, int64_t version, bool commits, struct hob_error *err)
{
    int rc = write_begin(store, err);
    if (rc < 0)
        return rc;
    rc = changed(store, write_row(store, BEGIN_RUN, err, "itti", row, handler, digest, version),
                 row, err);
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
                       const char *result, const char *state, struct hob_error *err)
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
    struct hob_store_execution e;
    int rc = hob_store_get(store, row, &e, err);
    return rc < 0 ? rc
                  : hob_error_set(err, HOB_EEXIST, "%s: job %s has its outcome already: %s",
                                  store->path, e.job_id, e.status);
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
    if (rc == 0 && sqlite3_changes(store->db) == 0)
        rc = no_outcome(store, row, err);
    return write_end(store, rc, false, err);
}

int hob_store_mark_told(struct hob_store *store, int64_t row, const char *how,
                        struct hob_error *err)
{
    int rc = write_begin(store, err);
    if (rc < 0)
        return rc;
    rc = write_row(store, SET_TOLD, err, "it", row, how);
    if (rc == 0 && sqlite3_changes(store->db) == 0)
        rc = hob_error_set(err, HOB_ENOENT, "%s: no execution with an outcome in row %" PRId64,
                           store->path, row);
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
