/* store.h - what Hob knows for sure: executions, their steps and their outcomes, in SQLite on disk.
 *
 * One file, WAL, synchronous=FULL, exclusive: one process owns it (HOB_EBUSY for a second one).
 * Every function that writes has committed when it returns 0, but for hob_store_mark_told,
 * _put_version and the _begin_run of a first run, which ride on the next commit (if it is lost, the
 * update is sent again and the service's answer says that it was there already). A write that fails
 * leaves what was stored before as it was; HOB_ENOSPC and HOB_EACCES say that the file system is
 * full or read-only. The file is checked when it is opened; a damaged one is set aside (renamed to
 * *.damaged-TIME, never deleted) and a new one begun, which is said in the log. The schema has a
 * version; a newer one that is marked compatible is opened too.
 *
 * Strings that come out are borrowed until the next call of this file, or freed as said.
 * Life: hob_store_open -> hob_store_close. Loop thread only.  Spec: spec/unit/store_spec.lua
 */
#ifndef HOB_WORK_STORE_H
#define HOB_WORK_STORE_H

#include "base/error.h"
#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hob_store;

enum hob_store_state {
    HOB_STORE_CLAIMING, /* written before the claim is sent: it may or may not be ours */
    HOB_STORE_RUNNING,  /* the claim was accepted and something was journalled since */
    HOB_STORE_ENDED,    /* the outcome is stored and waits to be told */
    HOB_STORE_TOLD      /* the service has it, or refused it for good (see `told`) */
};

/** One execution. `row` names it in all other calls. Identity: (thing, job_id, execution_number,
 * queued_at), since AWS lets a job id be used again after a deletion. */
struct hob_store_execution {
    int64_t row;
    const char *thing;
    const char *job_id;
    int64_t execution_number;
    int64_t queued_at;
    int64_t version; /* the service's version as far as known */
    enum hob_store_state state;
    const char *document; /* the bytes as they came; dropped once told */
    size_t document_len;
    const char *handler;        /* its name; "" before one was chosen */
    const char *handler_digest; /* sha256 of its source; "" likewise */
    int runs;                   /* how often run() was begun */
    const char *status;         /* of the outcome: "SUCCEEDED" ...; "" before */
    const char *details;        /* of the outcome: a JSON object; "" before */
    const char *told;           /* "accepted", or why it was given up; "" before */
};

struct hob_store_options {
    const char *path; /* of the file; its directory must exist */
};

int hob_store_open(struct hob_log *log, const struct hob_store_options *options,
                   struct hob_store **out, struct hob_error *err);
void hob_store_close(struct hob_store *store); /* commits what waits; NULL is legal */

/** Find by identity. @return 0, HOB_ENOENT, or HOB_ESTORE */
int hob_store_find(struct hob_store *store, const char *thing, const char *job_id,
                   int64_t execution_number, int64_t queued_at, struct hob_store_execution *out,
                   struct hob_error *err);
int hob_store_get(struct hob_store *store, int64_t row, struct hob_store_execution *out,
                  struct hob_error *err);

/** Insert an execution (row is ignored) in the given state. @return its row (> 0) or a code */
int64_t hob_store_add(struct hob_store *store, const struct hob_store_execution *execution,
                      struct hob_error *err);

/** Take out an execution that turned out not to be ours. */
int hob_store_remove(struct hob_store *store, int64_t row, struct hob_error *err);

/** Count one more run, with the handler that does it, before run() begins; the claim was accepted:
 * the state is RUNNING. Committed only when `commits` (a resume); else it rides on the next commit.
 */
int hob_store_begin_run(struct hob_store *store, int64_t row, const char *handler,
                        const char *digest, int64_t version, bool commits, struct hob_error *err);

/** A finished step; one of the same name is replaced. `result` is JSON text, or, if `failed`, a
 * JSON object with `message` and `code`. Sets the state to RUNNING. `state` (NULL: unchanged) is
 * job.state as JSON. HOB_EMSGSIZE: more than 256 KB. */
int hob_store_put_step(struct hob_store *store, int64_t row, const char *name, bool failed,
                       const char *result, const char *state, struct hob_error *err);

/** @return 0 with *result (borrowed) and *failed, HOB_ENOENT, or HOB_ESTORE */
int hob_store_get_step(struct hob_store *store, int64_t row, const char *name, bool *failed,
                       const char **result, struct hob_error *err);

/** The job.state that came with the latest step. HOB_ENOENT: there was none. */
int hob_store_get_state(struct hob_store *store, int64_t row, const char **state,
                        struct hob_error *err);

/** The outcome: state ENDED, in one commit. Only the first outcome counts: HOB_EEXIST after. */
int hob_store_put_outcome(struct hob_store *store, int64_t row, const char *status,
                          const char *details, struct hob_error *err);

/** The version that the service is known to have. Rides on the next commit. */
int hob_store_put_version(struct hob_store *store, int64_t row, int64_t version,
                          struct hob_error *err);

/** The service has the outcome, or gave a refusal that no further try can change. Document, steps
 * and job.state are dropped. Rides on the next commit. */
int hob_store_mark_told(struct hob_store *store, int64_t row, const char *how,
                        struct hob_error *err);

/** Every execution of a thing in a state, oldest first. Stops when `fn` returns false. `fn` must
 * not call the store. */
typedef bool hob_store_each_fn(void *user, const struct hob_store_execution *execution);
int hob_store_each(struct hob_store *store, const char *thing, enum hob_store_state state,
                   hob_store_each_fn *fn, void *user, struct hob_error *err);

/** Commit what rides on the next commit, if anything. */
int hob_store_flush(struct hob_store *store, struct hob_error *err);

/** Drop TOLD executions but for the newest `keep`. */
int hob_store_prune(struct hob_store *store, int keep, struct hob_error *err);

const char *hob_store_library_version(void); /* "3.40.1" */

#endif
