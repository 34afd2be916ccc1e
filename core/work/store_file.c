#include "work/store_file.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdbool.h>
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
#define DAMAGED           1          /* internal results of opening, never returned */
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

int hob_store_file_fail(const struct hob_store_file *file, const char *doing, struct hob_error *err)
{
    int code = code_of(file->db);
    int errnum = sqlite3_system_errno(file->db);
    return hob_error_set(err, code, "%s: %s: %s%s%s%s", file->path, doing, sqlite3_errmsg(file->db),
                         errnum && code != HOB_ENOSPC ? ": " : "",
                         errnum && code != HOB_ENOSPC ? strerror(errnum) : "", advice_of(code));
}

int hob_store_file_run(struct hob_store_file *file, const char *sql, struct hob_error *err)
{
    return sqlite3_exec(file->db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? 0
               : hob_store_file_fail(file, sql, err);
}

int hob_store_file_commit(struct hob_store_file *file, struct hob_error *err)
{
    if (sqlite3_get_autocommit(file->db))
        return 0;
    int rc = hob_store_file_run(file, "COMMIT", err);
    if (rc < 0 && !sqlite3_get_autocommit(file->db))
        sqlite3_exec(file->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
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

static int fail_open(struct hob_store_file *file, const char *doing, struct hob_error *err)
{
    char who[32] = "";
    int code = hob_store_file_fail(file, doing, err);
    if (is_damage(file->db))
        return DAMAGED;
    if (code != HOB_EBUSY)
        return code;
    long pid = lock_holder(file->path);
    if (pid > 0)
        snprintf(who, sizeof(who), " (pid %ld)", pid);
    return hob_error_set(
        err, HOB_EBUSY,
        "%s: another hob%s uses this data directory: end that one, or give this one its own "
        "directory (the key data)",
        file->path, who);
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

static int pragma(struct hob_store_file *file, const char *sql, const char *expected,
                  struct hob_error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(file->db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        rc = fail_open(file, sql, err);
    else if (expected && strcmp(text ? text : "nothing", expected) != 0)
        rc = UNEXPECTED;
    else
        rc = 0;
    if (rc == UNEXPECTED)
        hob_error_set(err, HOB_ESTORE, "%s: %s gave '%s' where '%s' was expected", file->path, sql,
                      text ? text : "nothing", expected);
    sqlite3_finalize(statement);
    return rc;
}

static int check_file(struct hob_store_file *file, struct hob_error *err)
{
    int rc = pragma(file, "PRAGMA quick_check(1)", "ok", err);
    return rc == UNEXPECTED ? DAMAGED : rc;
}

static int configure(struct hob_store_file *file, struct hob_error *err)
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
        rc = pragma(file, steps[i].sql, steps[i].expected, err);
    return rc;
}

static int64_t number_of(struct hob_store_file *file, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int64_t number = -1;
    if (sqlite3_prepare_v2(file->db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

static int create_schema(struct hob_store_file *file, struct hob_error *err)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "INSERT INTO meta VALUES('schema_version', %d), ('compatible_since', %d);"
             "PRAGMA application_id=%d; PRAGMA user_version=%d",
             SCHEMA_VERSION, COMPATIBLE_SINCE, APPLICATION_ID, SCHEMA_VERSION);
    int rc = hob_store_file_run(file, "BEGIN", err);
    if (rc == 0)
        rc = hob_store_file_run(file, schema_sql, err);
    if (rc == 0)
        rc = hob_store_file_run(file, sql, err);
    return rc == 0 ? hob_store_file_commit(file, err) : rc;
}

static int check_schema(struct hob_store_file *file, struct hob_error *err)
{
    int64_t version = number_of(file, "PRAGMA user_version");
    int64_t application = number_of(file, "PRAGMA application_id");
    if (version == 0 && application == 0 && number_of(file, "PRAGMA page_count") <= 1 &&
        number_of(file, "SELECT count(*) FROM sqlite_master") == 0)
        return create_schema(file, err);
    if (application != APPLICATION_ID)
        return hob_error_set(err, HOB_ESTORE,
                             "%s: is a database of another program; move it away or set another "
                             "data directory",
                             file->path);
    int64_t since = number_of(file, "SELECT value FROM meta WHERE key = 'compatible_since'");
    if (since < 0)
        since = version;
    if (version <= SCHEMA_VERSION || since <= SCHEMA_VERSION)
        return 0;
    return hob_error_set(err, HOB_ESTORE,
                         "%s: was written by a newer hob (schema %" PRId64 ", usable from schema "
                         "%" PRId64 " on; this is %d): install that hob again, or move the file "
                         "away",
                         file->path, version, since, SCHEMA_VERSION);
}

static int open_file(struct hob_store_file *file, struct hob_error *err)
{
    int rc = create_file(file->path, err);
    if (rc < 0)
        return rc;
    if (sqlite3_open_v2(file->path, &file->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                        NULL) != SQLITE_OK)
        return file->db ? fail_open(file, "opening", err)
                        : hob_error_set(err, HOB_ENOMEM, "%s: out of memory", file->path);
    rc = configure(file, err);
    if (rc == 0)
        rc = check_file(file, err);
    return rc == 0 ? check_schema(file, err) : rc;
}

static void close_file(struct hob_store_file *file, bool damaged)
{
    if (file->db && damaged) /* nothing of it may change before it is set aside */
        sqlite3_db_config(file->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_close(file->db);
    file->db = NULL;
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

static int set_aside(struct hob_store_file *file, const char *why, struct hob_error *err)
{
    static const char *const suffixes[] = {"-wal", "-shm", ""};
    char aside[4096], from[4096], to[4160];
    aside_name(file->path, aside, sizeof(aside));
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        snprintf(from, sizeof(from), "%s%s", file->path, suffixes[i]);
        snprintf(to, sizeof(to), "%s%s", aside, suffixes[i]);
        if (rename(from, to) < 0 && (errno != ENOENT || !*suffixes[i]))
            return hob_error_set(err, hob_error_from_errno(errno),
                                 "%s: is damaged (%s) and cannot be set aside as %s: %s",
                                 file->path, why, to, strerror(errno));
    }
    hob_log_write(file->log,
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

static int open_or_begin_anew(struct hob_store_file *file, struct hob_error *err)
{
    struct hob_error why = {0};
    int rc = open_file(file, &why);
    if (rc == DAMAGED) {
        close_file(file, true);
        rc = set_aside(file, why.message, &why);
        if (rc == 0)
            rc = open_file(file, &why);
    }
    if (rc > 0)
        rc = HOB_ESTORE;
    if (rc < 0 && err) {
        *err = why;
        err->code = rc;
    }
    if (rc == 0)
        sync_directory(file->path);
    return rc;
}

/* ---- life ---- */

int hob_store_file_open(struct hob_store_file *file, struct hob_log *log, const char *path,
                        struct hob_error *err)
{
    *file = (struct hob_store_file){.log = log, .path = strdup(path)};
    if (!file->path)
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", path);
    int rc = open_or_begin_anew(file, err);
    if (rc < 0)
        hob_store_file_close(file);
    return rc;
}

void hob_store_file_close(struct hob_store_file *file)
{
    close_file(file, false);
    free(file->path);
    file->path = NULL;
}
