#include "work/store_schema.h"

#include "work/store_file.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>

#define SCHEMA_VERSION   2
#define COMPATIBLE_SINCE 1          /* the oldest Hob schema that may open what we write */
#define APPLICATION_ID   1215259219 /* "HobS" in the file's header */

/* Documents, steps and job.state are tables of their own, so that a change of an execution does not
 * write their bytes again. */
static const char schema_1[] =
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

/* What an execution leaves in the tables of version 2 is dropped by triggers: a release of version
 * 1 does not know them, and gives a row's number to another execution after a removal. */
static const char schema_2[] =
    "ALTER TABLE execution ADD COLUMN boot TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE execution ADD COLUMN interrupted INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE execution ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE execution ADD COLUMN elapsed_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE execution ADD COLUMN resume_at_s INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE execution ADD COLUMN wait_s INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE execution ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE execution ADD COLUMN ending_status TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE execution ADD COLUMN ending_kind TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE execution ADD COLUMN ending_details TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE execution ADD COLUMN cleanups INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE execution ADD COLUMN ended_at_s INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE execution ADD COLUMN theirs TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE execution ADD COLUMN told_at_s INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE step ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE step_begun(execution INTEGER NOT NULL, name TEXT NOT NULL,"
    " PRIMARY KEY(execution, name)) WITHOUT ROWID;"
    "CREATE TABLE reboot(execution INTEGER NOT NULL, key TEXT NOT NULL, mark TEXT NOT NULL,"
    " tries INTEGER NOT NULL, PRIMARY KEY(execution, key)) WITHOUT ROWID;"
    "CREATE TABLE source(digest TEXT PRIMARY KEY, bytes BLOB NOT NULL);"
    "CREATE TABLE source_use(execution INTEGER NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL,"
    " digest TEXT NOT NULL, PRIMARY KEY(execution, name)) WITHOUT ROWID;"
    "CREATE TRIGGER execution_told AFTER UPDATE OF state ON execution WHEN new.state = 3 BEGIN"
    " DELETE FROM step_begun WHERE execution = new.row;"
    " DELETE FROM reboot WHERE execution = new.row;"
    " DELETE FROM source_use WHERE execution = new.row;"
    "END;"
    "CREATE TRIGGER execution_gone AFTER DELETE ON execution BEGIN"
    " DELETE FROM step_begun WHERE execution = old.row;"
    " DELETE FROM reboot WHERE execution = old.row;"
    " DELETE FROM source_use WHERE execution = old.row;"
    "END;";

/** @return -1 if there is none */
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

static int upgrade_from(struct hob_store_file *file, int64_t version, struct hob_error *err)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "INSERT OR REPLACE INTO meta VALUES('schema_version', %d), ('compatible_since', %d);"
             "PRAGMA application_id=%d; PRAGMA user_version=%d",
             SCHEMA_VERSION, COMPATIBLE_SINCE, APPLICATION_ID, SCHEMA_VERSION);
    int rc = hob_store_file_run(file, "BEGIN", err);
    if (rc == 0 && version < 1)
        rc = hob_store_file_run(file, schema_1, err);
    if (rc == 0)
        rc = hob_store_file_run(file, schema_2, err);
    if (rc == 0)
        rc = hob_store_file_run(file, sql, err);
    return rc == 0 ? hob_store_file_commit(file, err) : rc;
}

static int check_newer(struct hob_store_file *file, int64_t version, struct hob_error *err)
{
    int64_t since = number_of(file, "SELECT value FROM meta WHERE key = 'compatible_since'");
    file->newer = true;
    if (since >= 0 && since <= SCHEMA_VERSION)
        return 0;
    return hob_error_set(err, HOB_ESTORE,
                         "%s: was written by a newer hob (schema %" PRId64 ", usable from schema "
                         "%" PRId64 " on; this is %d): install that hob again, or move the file "
                         "away",
                         file->path, version, since < 0 ? version : since, SCHEMA_VERSION);
}

int hob_store_schema_check(struct hob_store_file *file, struct hob_error *err)
{
    int64_t version = number_of(file, "PRAGMA user_version");
    int64_t application = number_of(file, "PRAGMA application_id");
    if (version == 0 && application == 0 && number_of(file, "PRAGMA page_count") <= 1 &&
        number_of(file, "SELECT count(*) FROM sqlite_master") == 0)
        return upgrade_from(file, 0, err);
    if (application != APPLICATION_ID || version < 1)
        return hob_error_set(err, HOB_ESTORE,
                             "%s: is a database of another program; move it away or set another "
                             "data directory",
                             file->path);
    if (version > SCHEMA_VERSION)
        return check_newer(file, version, err);
    return version < SCHEMA_VERSION ? upgrade_from(file, version, err) : 0;
}
