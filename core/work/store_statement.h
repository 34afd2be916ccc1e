/* store_statement.h - the inner half of the store: its statements, and what rides.
 *
 * One transaction is open while something rides on the next commit, and takes up each change. A
 * change that fails is undone with the whole transaction (which SQLite ends by itself when the disk
 * is full), and with it what rode: so the statements that ride are kept in memory too, and done
 * again in the next transaction. A savepoint for each change would cost each of them a copy of the
 * pages that it writes, for the sake of one in a thousand.
 * A change of kind HOB_STORE_MUST that finds the disk full gives the reserve back to the file
 * system and tries once more.
 * Only store*.c use it. Loop thread only.  Spec: spec/unit/store_spec.lua, store_full_spec.lua
 */
#ifndef HOB_WORK_STORE_STATEMENT_H
#define HOB_WORK_STORE_STATEMENT_H

#include "work/store.h"
#include "work/store_file.h"
#include "work/store_reserve.h"

#include <sqlite3.h>

#define HOB_STORE_TEXT_LIMIT (256 * 1024)

enum hob_store_statement {
    HOB_STORE_BEGIN,
    HOB_STORE_COMMIT,
    HOB_STORE_FIND,
    HOB_STORE_GET,
    HOB_STORE_EACH,
    HOB_STORE_ADD,
    HOB_STORE_ADD_DOCUMENT,
    HOB_STORE_BEGIN_RUN,
    HOB_STORE_EXPECT_END,
    HOB_STORE_PUT_WAIT,
    HOB_STORE_FORGET_BEGUN,
    HOB_STORE_FORGET_REBOOTS,
    HOB_STORE_FORGET_STEPS,
    HOB_STORE_PUT_VERSION,
    HOB_STORE_SOURCE_THERE,
    HOB_STORE_PUT_SOURCE,
    HOB_STORE_USE_SOURCE,
    HOB_STORE_GET_SOURCE,
    HOB_STORE_PUT_STEP,
    HOB_STORE_STEP_ENDED,
    HOB_STORE_PUT_STATE,
    HOB_STORE_BEGIN_STEP,
    HOB_STORE_DROP_STEP,
    HOB_STORE_STEP_BEGUN,
    HOB_STORE_EACH_STEP,
    HOB_STORE_GET_STEP,
    HOB_STORE_GET_STATE,
    HOB_STORE_PUT_REBOOT,
    HOB_STORE_GET_REBOOT,
    HOB_STORE_PUT_ENDING,
    HOB_STORE_BEGIN_CLEANUP,
    HOB_STORE_PUT_OUTCOME,
    HOB_STORE_SET_TOLD,
    HOB_STORE_DROP_DOCUMENT,
    HOB_STORE_DROP_STEPS,
    HOB_STORE_DROP_STATE,
    HOB_STORE_DROP_EXECUTION,
    HOB_STORE_PRUNE,
    HOB_STORE_PRUNE_SOURCES,
    HOB_STORE_PUT_NOTE,
    HOB_STORE_GET_NOTE,
    HOB_STORE_DROP_NOTE,
    HOB_STORE_STATEMENTS
};

struct hob_store_ride;

struct hob_store {
    struct hob_store_file file;
    struct hob_store_reserve reserve;
    sqlite3_stmt *statements[HOB_STORE_STATEMENTS];
    sqlite3_stmt *held; /* whose columns the last caller has borrowed */
    struct hob_store_ride *rides;
    struct hob_store_ride **recorded; /* where the change that is being made adds its own */
    int kept;                         /* told executions, by the last prune; -1: none was yet */
    int told;                         /* since then */
    int64_t latest_row;               /* of those added since the file was opened */
    uint64_t writes, failures;        /* changes; those that failed for a reason of the disk's */
    int failing;                      /* of the latest one: its code; 0: it was written */
};

/** Run a statement up to its first row, and hold it there: its columns are borrowed. `types` says
 * what is bound: i int64_t, t text (NULL: ""), b bytes and their size_t.
 * @return 0, HOB_ENOENT, or another code */
int hob_store_statement_read(struct hob_store *store, enum hob_store_statement id,
                             struct hob_error *err, const char *types, ...);

/** The next row of what is held. @return 0, HOB_ENOENT, or another code */
int hob_store_statement_next(struct hob_store *store, struct hob_error *err);

/** Let go of what is held. */
void hob_store_statement_release(struct hob_store *store);

/** Likewise, after going through a list: that it came to its end (HOB_ENOENT), or was left before
 * that (0), is no error. `why`: what the last reading said. @return 0, or rc */
int hob_store_statement_end_list(struct hob_store *store, int rc, const struct hob_error *why,
                                 struct hob_error *err);

/** Run a statement that gives no rows, within a change. @return 0, HOB_EEXIST (err is left alone),
 * or another code */
int hob_store_statement_write(struct hob_store *store, enum hob_store_statement id,
                              struct hob_error *err, const char *types, ...);

/** As _write; HOB_ENOENT, naming the execution's row, if no row was changed. */
int hob_store_statement_change(struct hob_store *store, enum hob_store_statement id, int64_t row,
                               struct hob_error *err, const char *types, ...);

enum hob_store_kind {
    HOB_STORE_RIDES,   /* with the next commit */
    HOB_STORE_COMMITS, /* before it returns */
    HOB_STORE_MUST     /* likewise, with the room of the reserve if there is no other */
};

/** Make one change as a whole: `fn` writes its statements. @return what fn returned if it failed, a
 * code of the commit, or 0 */
typedef int hob_store_change_fn(struct hob_store *store, const void *args, struct hob_error *err);
int hob_store_statement_transact(struct hob_store *store, enum hob_store_kind kind,
                                 hob_store_change_fn *fn, const void *args, struct hob_error *err);

/** Commit what rides. */
int hob_store_statement_commit(struct hob_store *store, struct hob_error *err);

/** Finalize all statements and forget what rides. */
void hob_store_statement_close(struct hob_store *store);

/** @return 0 or HOB_EMSGSIZE, naming `what` */
int hob_store_statement_fits(const char *what, size_t len, size_t limit, struct hob_error *err);

/** "" in place of NULL. */
const char *hob_store_statement_text(sqlite3_stmt *statement, int column);

int hob_store_statement_no_row(const struct hob_store *store, int64_t row, struct hob_error *err);

#endif
