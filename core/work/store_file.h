/* store_file.h - the file of the store: made private, opened, checked, set aside when it is
 * damaged.
 *
 * Knows SQLite's settings, the schema and its versions; what is written into the tables is
 * store.c's. Only store.c uses it.
 * Life: hob_store_file_open -> hob_store_file_close, after every statement was finalized. Loop
 * thread only.  Spec: spec/unit/store_spec.lua
 */
#ifndef HOB_WORK_STORE_FILE_H
#define HOB_WORK_STORE_FILE_H

#include "base/error.h"
#include "base/log.h"

struct sqlite3;

struct hob_store_file {
    struct hob_log *log; /* borrowed */
    char *path;
    struct sqlite3 *db;
};

/** Fills `file` in. @return 0, or a code and nothing is left open */
int hob_store_file_open(struct hob_store_file *file, struct hob_log *log, const char *path,
                        struct hob_error *err);
void hob_store_file_close(struct hob_store_file *file);

/** Say what SQLite could not do. @return its code, never 0 */
int hob_store_file_fail(const struct hob_store_file *file, const char *doing,
                        struct hob_error *err);

/** Run SQL that gives no rows. */
int hob_store_file_run(struct hob_store_file *file, const char *sql, struct hob_error *err);

/** Commit if a transaction is open; one that cannot be committed is rolled back. */
int hob_store_file_commit(struct hob_store_file *file, struct hob_error *err);

#endif
