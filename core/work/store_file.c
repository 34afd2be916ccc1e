#include "work/store_file.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "work/store_schema.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

/* A page is copied from the log once per 512 KB of it. Not more: a sync of what is overwritten
 * takes half the time of one that makes the file longer. */
#define CHECKPOINT_FRAMES 128
#define LOG_BYTES_KEPT    (4 * 1024 * 1024) /* it may have grown beyond while the disk was full */
#define DAMAGED           1                 /* internal results of opening, never returned */
#define UNEXPECTED        2
#define MARKER            ".damaged"

/* ---- damage that is found while the file is in use ---- */

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

/** So that the next start knows of it, also if it looks whole then: a log that is cut where it was
 * damaged gives an older state, which is not the truth. */
static void write_marker(const struct hob_store_file *file)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s" MARKER, file->path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return; /* then the check at the start has to find it */
    if (write(fd, file->damage, strlen(file->damage)) >= 0)
        fsync(fd);
    close(fd);
    sync_directory(file->path);
}

static void mark_damaged(struct hob_store_file *file)
{
    if (file->damaged)
        return;
    file->damaged = true;
    snprintf(file->damage, sizeof(file->damage), "%s", sqlite3_errmsg(file->db));
    write_marker(file);
    hob_log_write(file->log,
                  &(struct hob_log_record){.level = HOB_LOG_ERROR,
                                           .event = "store.damaged",
                                           .code = "ESTORE",
                                           .action = "the next start of hob sets the file aside "
                                                     "and begins a new one"},
                  "%s: found damaged while in use (%s); nothing can be stored or read any more",
                  file->path, file->damage);
    if (file->on_damaged)
        file->on_damaged(file->user);
}

/** @return 0, or DAMAGED with the words that were found then */
static int check_marker(const struct hob_store_file *file, struct hob_error *err)
{
    char path[4200], words[sizeof(file->damage)] = "";
    snprintf(path, sizeof(path), "%s" MARKER, file->path);
    FILE *marker = fopen(path, "re");
    if (!marker)
        return 0;
    size_t len = fread(words, 1, sizeof(words) - 1, marker);
    words[len] = '\0';
    fclose(marker);
    hob_error_set(err, HOB_ESTORE, "%s: was found damaged while in use%s%s", file->path,
                  len ? ": " : "", words);
    return DAMAGED;
}

/* ---- errors ---- */

static int code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: /* RLIMIT_FSIZE, or the file system's own largest file */
        return HOB_ENOSPC;
    case EROFS:
    case EACCES:
    case EPERM:
        return HOB_EACCES;
    default:
        return HOB_ESTORE;
    }
}

static int code_of(sqlite3 *db, int errnum)
{
    switch (sqlite3_extended_errcode(db) & 0xff) {
    case SQLITE_FULL:
        return HOB_ENOSPC;
    case SQLITE_IOERR:
        return code_of_errno(errnum);
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

static bool is_damage(sqlite3 *db)
{
    int rc = sqlite3_errcode(db) & 0xff;
    return rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB;
}

/** What the system said, if it was asked: SQLite does not keep it where a COMMIT fails. */
static int errno_of(sqlite3 *db)
{
    int errnum = errno ? errno : sqlite3_system_errno(db);
    int kind = sqlite3_errcode(db) & 0xff;
    return kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN ? errnum : 0;
}

int hob_store_file_fail(struct hob_store_file *file, const char *doing, struct hob_error *err)
{
    int errnum = errno_of(file->db);
    int code = code_of(file->db, errnum);
    hob_error_set(err, code, "%s: %.60s: %s%s%s%s", file->path, doing, sqlite3_errmsg(file->db),
                  errnum ? ": " : "", errnum ? strerror(errnum) : "", advice_of(code));
    if (!file->open || !is_damage(file->db))
        return code;
    mark_damaged(file);
    return hob_store_file_usable(file, err);
}

int hob_store_file_usable(const struct hob_store_file *file, struct hob_error *err)
{
    if (!file->damaged)
        return 0;
    return hob_error_set(err, HOB_ESTORE,
                         "%s: is damaged (%s): nothing can be stored or read until hob is started "
                         "again, which sets the file aside and begins a new one",
                         file->path, file->damage);
}

int hob_store_file_run(struct hob_store_file *file, const char *sql, struct hob_error *err)
{
    errno = 0;
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
    if (pid == (long)getpid())
        return hob_error_set(err, HOB_EBUSY,
                             "%s: another runtime of this process uses this data directory: free "
                             "that one first, or give this one its own (the key data)",
                             file->path);
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
    errno = 0;
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
    int rc = pragma(file, "PRAGMA integrity_check(1)", "ok", err);
    return rc == UNEXPECTED ? DAMAGED : rc;
}

static int configure(struct hob_store_file *file, struct hob_error *err)
{
    char checkpoint[64], log_limit[64];
    snprintf(checkpoint, sizeof(checkpoint), "PRAGMA wal_autocheckpoint=%d", CHECKPOINT_FRAMES);
    snprintf(log_limit, sizeof(log_limit), "PRAGMA journal_size_limit=%d", LOG_BYTES_KEPT);
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
        {log_limit, NULL},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof(steps) / sizeof(steps[0]); i++)
        rc = pragma(file, steps[i].sql, steps[i].expected, err);
    return rc;
}

static int open_file(struct hob_store_file *file, struct hob_error *err)
{
    int rc = create_file(file->path, err);
    if (rc < 0)
        return rc;
    errno = 0;
    if (sqlite3_open_v2(file->path, &file->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                        NULL) != SQLITE_OK)
        return file->db ? fail_open(file, "opening", err)
                        : hob_error_set(err, HOB_ENOMEM, "%s: out of memory", file->path);
    rc = configure(file, err);
    if (rc == 0)
        rc = check_marker(file, err);
    if (rc == 0)
        rc = check_file(file, err);
    return rc == 0 ? hob_store_schema_check(file, err) : rc;
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
    snprintf(from, sizeof(from), "%s" MARKER, file->path);
    unlink(from);
    hob_log_write(file->log,
                  &(struct hob_log_record){.level = HOB_LOG_ERROR,
                                           .event = "store.damaged",
                                           .code = "ESTORE",
                                           .action = "keep the file for an inquiry; what was "
                                                     "running is not known any more"},
                  "%s; set aside as %s, a new one is begun", why, aside);
    return 0;
}

/** One that has no log: it was there and synced before the log could be taken away. The log that is
 * begun now is synced by SQLite, and its directory with it, at the first commit. */
static bool was_closed_in_order(const char *path)
{
    char log[4160];
    struct stat st;
    snprintf(log, sizeof(log), "%s-wal", path);
    return !sqlite3_compileoption_used("DISABLE_DIRSYNC") && stat(path, &st) == 0 &&
           st.st_size > 0 && stat(log, &st) < 0 && errno == ENOENT;
}

static int open_or_begin_anew(struct hob_store_file *file, struct hob_error *err)
{
    struct hob_error why = {0};
    bool is_synced = was_closed_in_order(file->path);
    int rc = open_file(file, &why);
    if (rc == DAMAGED) {
        is_synced = false;
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
    if (rc == 0 && !is_synced)
        sync_directory(file->path);
    return rc;
}

/* ---- life ---- */

static void tell_newer(const struct hob_store_file *file)
{
    if (file->newer)
        hob_log_write(file->log,
                      &(struct hob_log_record){
                          .level = HOB_LOG_WARN,
                          .event = "store.newer",
                          .action = "install the newer hob again to go on with running jobs"},
                      "%s: was written by a newer hob: what ran there is ended here, and what "
                      "waits to be told is told",
                      file->path);
}

int hob_store_file_open(struct hob_store_file *file, struct hob_log *log, const char *path,
                        struct hob_error *err)
{
    *file = (struct hob_store_file){.log = log, .path = hob_strdup(path)};
    if (!file->path)
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", path);
    int rc = open_or_begin_anew(file, err);
    if (rc < 0)
        hob_store_file_close(file);
    else
        tell_newer(file);
    file->open = rc == 0;
    return rc;
}

void hob_store_file_close(struct hob_store_file *file)
{
    close_file(file, file->damaged);
    hob_free(file->path);
    file->path = NULL;
}
