#include "work/store_check.h"

#include "base/clock.h"
#include "work/store.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define INSTRUCTIONS 10000 /* of SQLite, between two looks at the clock */

struct check {
    const char *path;
    sqlite3 *db;
    uint64_t until_ms;
    bool has_wal;
    struct hob_error *err;
};

static int is_over(void *user)
{
    const struct check *check = user;
    return hob_clock_mono_ms() > check->until_ms;
}

static int fail(const struct check *check, int rc)
{
    const char *words = check->db ? sqlite3_errmsg(check->db) : sqlite3_errstr(rc);
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return hob_error_set(check->err, HOB_EBUSY, "%s: a gateway uses it", check->path);
    case SQLITE_INTERRUPT:
        return hob_error_set(check->err, HOB_ETIMEDOUT, "%s: the check takes too long",
                             check->path);
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return hob_error_set(check->err, HOB_EACCES, "%s: %s", check->path, words);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return hob_error_set(check->err, HOB_ESTORE, "%s: is damaged: %s", check->path, words);
    default:
        return hob_error_set(check->err, HOB_ESTORE, "%s: %s", check->path, words);
    }
}

/* ---- opening ---- */

static int open_db(struct check *check, const char *name, int flags)
{
    int rc = sqlite3_open_v2(name, &check->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                             NULL);
    if (rc == SQLITE_OK) {
        /* A wal that was there stays as it is, for whoever owns it; else ours goes with the end. */
        sqlite3_db_config(check->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, check->has_wal, NULL);
        rc = sqlite3_exec(check->db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cell_size_check=ON",
                          NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(check->db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK) {
        sqlite3_progress_handler(check->db, INSTRUCTIONS, is_over, check);
    }
    return rc;
}

/* As a URI has it. */
static void quote_path(const char *path, char *out, size_t len)
{
    size_t used = 0;
    for (; *path && used + 4 < len; path++) {
        used += (size_t)snprintf(out + used, len - used, strchr("%?#", *path) ? "%%%02X" : "%c",
                                 (unsigned char)*path);
    }
    out[used] = '\0';
}

static int open_it(struct check *check)
{
    char quoted[3 * PATH_MAX], name[3 * PATH_MAX + 32];
    struct stat info;
    snprintf(name, sizeof name, "%s-wal", check->path);
    check->has_wal = stat(name, &info) == 0;
    int rc = open_db(check, check->path, SQLITE_OPEN_READWRITE);
    int kind = rc & 0xff;
    if (kind != SQLITE_READONLY && kind != SQLITE_CANTOPEN && kind != SQLITE_PERM) {
        return rc;
    }
    sqlite3_close(check->db);
    check->db = NULL;
    quote_path(check->path, quoted, sizeof quoted);
    snprintf(name, sizeof name, "file:%s?immutable=1", quoted);
    return open_db(check, name, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
}

/* ---- the check ---- */

static int quick_check(struct check *check)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(check->db, "PRAGMA quick_check(1)", -1, &statement, NULL);
    rc = rc ? rc : sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        rc = text && strcmp(text, "ok") == 0
                 ? 0
                 : hob_error_set(check->err, HOB_ESTORE, "%s: is damaged: %s", check->path,
                                 text ? text : "?");
    } else {
        rc = fail(check, rc);
    }
    sqlite3_finalize(statement);
    return rc;
}

/* A file of another shape has no such tables: then nothing is said of them. */
static void ask(sqlite3 *db, const char *sql, int64_t *number, char *text, size_t len)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        const char *found = text ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        if (found) {
            snprintf(text, len, "%s", found);
        } else if (number) {
            *number = sqlite3_column_int64(statement, 0);
        }
    }
    sqlite3_finalize(statement);
}

static void describe(sqlite3 *db, struct hob_store_check *out)
{
    char untold[80];
    snprintf(untold, sizeof untold, "SELECT count(*) FROM execution WHERE state = %d",
             HOB_STORE_ENDED);
    ask(db, "SELECT count(*) FROM execution", &out->executions, NULL, 0);
    ask(db, untold, &out->untold, NULL, 0);
    ask(db, "SELECT value FROM meta WHERE key = 'note:drain'", NULL, out->drain, sizeof out->drain);
}

static int64_t size_of(const char *path, const char *suffix)
{
    char whole[PATH_MAX + 16];
    struct stat info;
    snprintf(whole, sizeof whole, "%s%s", path, suffix);
    return stat(whole, &info) == 0 ? info.st_size : 0;
}

static bool has_reserve(const char *path)
{
    char whole[PATH_MAX + 16];
    struct stat info;
    const char *slash = strrchr(path, '/');
    snprintf(whole, sizeof whole, "%.*sreserve", slash ? (int)(slash + 1 - path) : 0, path);
    return stat(whole, &info) == 0;
}

int hob_store_check(const char *path, uint64_t most_ms, struct hob_store_check *out,
                    struct hob_error *err)
{
    struct check check = {.path = path, .until_ms = hob_clock_mono_ms() + most_ms, .err = err};
    struct stat info;
    *out = (struct hob_store_check){0};
    if (stat(path, &info)) {
        return hob_error_set(err, hob_error_from_errno(errno), "%s: %s", path, strerror(errno));
    }
    int rc = open_it(&check);
    rc = rc ? fail(&check, rc) : quick_check(&check);
    if (rc == 0) {
        describe(check.db, out);
    }
    out->bytes = size_of(path, "") + size_of(path, "-wal");
    out->reserve = has_reserve(path);
    sqlite3_close(check.db);
    return rc;
}
