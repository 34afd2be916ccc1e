/* store_file.h - the file of the store: made private, opened, checked, set aside when it is
 * damaged.
 *
 * Knows SQLite's settings; the tables are store_schema.c's, what is written into them the other
 * store*.c's. Only they use it.
 * Life: hob_store_file_open -> hob_store_file_close, after every statement was finalized. Loop
 * thread only.  Spec: spec/unit/store_spec.lua
 */
#ifndef HOB_WORK_STORE_FILE_H
#define HOB_WORK_STORE_FILE_H

#include "base/error.h"
#include "base/log.h"

#include <stdbool.h>

struct sqlite3;

struct hob_store_file {
    struct hob_log *log; /* borrowed */
    char *path;
    struct sqlite3 *db;
    bool open;
    bool newer;                     /* a newer Hob wrote it */
    void (*on_damaged)(void *user); /* may be NULL */
    void *user;
    bool damaged;     /* found while it was open; said in the log, and marked for the next open */
    char damage[200]; /* in SQLite's words */
};

/** Fills `file` in. @return 0, or a code and nothing is left open */
int hob_store_file_open(struct hob_store_file *file, struct hob_log *log, const char *path,
                        struct hob_error *err);
void hob_store_file_close(struct hob_store_file *file);

/** Say what SQLite could not do; damage is noted. `errno` was 0 before SQLite was called.
 * @return its code, never 0 */
int hob_store_file_fail(struct hob_store_file *file, const char *doing, struct hob_error *err);

/** @return 0, or HOB_ESTORE if it was found damaged */
int hob_store_file_usable(const struct hob_store_file *file, struct hob_error *err);

/** Run SQL that gives no rows. */
int hob_store_file_run(struct hob_store_file *file, const char *sql, struct hob_error *err);

/** Commit if a transaction is open; one that cannot be committed is rolled back. */
int hob_store_file_commit(struct hob_store_file *file, struct hob_error *err);

#endif
