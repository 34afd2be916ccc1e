/* store.h - what Hob knows for sure: executions, their steps and their outcomes, in SQLite on disk.
 *
 * One file, WAL, synchronous=FULL, exclusive: one process owns it (HOB_EBUSY for a second one).
 * Every function that writes has committed when it returns 0, but for hob_store_mark_told, _prune,
 * _put_version, _put_source, the _begin_run of a first run and, where its caller says so,
 * _put_step, which ride on the next commit (if it is lost with the power, the update is sent again,
 * the first run or the step begun again). What rides is seen at once, and survives a commit that
 * fails.
 * A write that fails leaves what was stored before as it was; HOB_ENOSPC and HOB_EACCES say that
 * the file system is full or read-only, and the next write works when it is so no more. The end of
 * what runs (_expect_end, _put_ending, _begin_cleanup, _put_outcome) may take the room of a reserve
 * (the file `reserve` beside the store), which is made anew when there is room again.
 * The file is checked when it is opened; a damaged one is set aside (renamed to *.damaged-TIME,
 * never deleted) and a new one begun, which is said in the log. The schema has a version; a newer
 * one that is marked compatible is opened too. Tables: docs/reference/store.md.
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
    const char *boot;           /* boot id in which the latest run was begun (before the first: in
                                 * which it was claimed); "" once the end of that process was in
                                 * order, or asked for by a reboot of ours */
    int interrupted;            /* runs since the last finished step that a power cut ended, or the
                                 * job itself by taking the process down */
    int deaths;                 /* of these: the process died within `boot` */
    int64_t elapsed_ms;         /* how long run() has run in all, as of the last commit */
    int64_t resume_at_s;        /* wall clock: retry_later waits until then; 0: does not wait */
    int64_t wait_s;             /* and this long at most, should the clock be wrong */
    int retries;                /* how often it was put off by retry_later */
    const char *ending_status;  /* its end is decided, `cleanup` is not done yet; "" before */
    const char *ending_kind;    /* likewise: why.kind of cleanup, "failed" ... */
    const char *ending_details; /* likewise: a JSON object */
    int cleanups;               /* how often cleanup was begun */
    const char *status;         /* of the outcome: "SUCCEEDED" ...; "" before */
    const char *details;        /* of the outcome: a JSON object; "" before */
    int64_t ended_at_s;         /* wall clock, of the outcome; 0 before */
    const char *told;           /* "accepted", or why it was given up; "" before */
    const char *theirs;         /* what the service had when it was given up: "CANCELED"; "" if it
                                 * accepted, or did not say */
    int64_t told_at_s;          /* wall clock, of `told`; 0 before */
};

struct hob_store_options {
    const char *path; /* of the file; its directory must exist */
    /** Found damaged while in use; may be NULL. Called once, inside the call that found it: it may
     * not call the store. */
    void (*on_damaged)(void *user);
    void *user;
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

struct hob_store_run {
    const char *handler, *digest;
    int64_t version;
    const char *boot;        /* the present boot id */
    int interrupted, deaths; /* as they are now */
    int former_runs; /* as far as known otherwise: what the store knows of them may have been
                      * lost with the commit that it was to ride on */
};

/** Count one more run, with the handler that does it, before run() begins; the claim was accepted:
 * the state is RUNNING, and it does not wait any more (resume_at_s is 0). Committed only when
 * `commits` (a resume); else it rides on the next commit. */
int hob_store_begin_run(struct hob_store *store, int64_t row, const struct hob_store_run *run,
                        bool commits, struct hob_error *err);

/** The process is about to end in order, or the machine to be rebooted by us: what runs now is not
 * interrupted by its own fault. Sets `boot` to "" for every execution that has not ended.
 * @param thing  only its own: it is being taken out alone; NULL: of all things */
int hob_store_expect_end(struct hob_store *store, const char *thing, struct hob_error *err);

/** retry_later: the first failed step is forgotten, and all that ended after it (a roll-back must
 * be done again after the next failure); finished ones before it stay; retries + 1. A `once` step
 * that failed as INTERRUPTED, or never finished, stays begun. HOB_ENOENT after an outcome. */
int hob_store_put_wait(struct hob_store *store, int64_t row, int64_t resume_at_s, int64_t wait_s,
                       int64_t elapsed_ms, struct hob_error *err);

/* ---- the version of the handler that an execution was begun with ----
 *
 * `name` is "" for the handler itself, or the name of a module in scripts/lib. Texts are kept once
 * for all executions (by their digest); those that no execution needs which is not TOLD go when the
 * store is pruned, so that a handler that is used often is not written again for each job. */

/** Rides on the next commit. HOB_EMSGSIZE: more than 1 MB. @param digest  hex sha256 of the text */
int hob_store_put_source(struct hob_store *store, int64_t row, const char *name, const char *path,
                         const char *text, size_t len, const char *digest, struct hob_error *err);
/** @return 0 with borrowed *path (as errors name it), *text and *len; HOB_ENOENT; or HOB_ESTORE */
int hob_store_get_source(struct hob_store *store, int64_t row, const char *name, const char **path,
                         const char **text, size_t *len, struct hob_error *err);

/* ---- steps ---- */

/** A finished step; one of the same name is replaced. `result` is JSON text, or, if `failed`, a
 * JSON object with `message` and `code`. Sets the state to RUNNING, interrupted and deaths to 0.
 * `state` (NULL: unchanged) is job.state as JSON. HOB_EMSGSIZE: more than 256 KB. It `commits`, or
 * else rides on the next commit. */
int hob_store_put_step(struct hob_store *store, int64_t row, const char *name, bool failed,
                       const char *result, const char *state, int64_t elapsed_ms, bool commits,
                       struct hob_error *err);

/** A `once` step is about to begin. One that had finished (and is not valid any more) has not. */
int hob_store_begin_step(struct hob_store *store, int64_t row, const char *name,
                         struct hob_error *err);
/** Was it begun (and never finished)? @return 0, HOB_ENOENT, or HOB_ESTORE */
int hob_store_step_begun(struct hob_store *store, int64_t row, const char *name,
                         struct hob_error *err);

/** The finished steps of an execution, in the order in which they first ended. `fn` must not call
 * the store; stops when it returns false. */
typedef bool hob_store_step_fn(void *user, const char *name, bool failed, const char *result);
int hob_store_each_step(struct hob_store *store, int64_t row, hob_store_step_fn *fn, void *user,
                        struct hob_error *err);

/** @return 0 with *result (borrowed) and *failed, HOB_ENOENT, or HOB_ESTORE */
int hob_store_get_step(struct hob_store *store, int64_t row, const char *name, bool *failed,
                       const char **result, struct hob_error *err);

/** The job.state that came with the latest step. HOB_ENOENT: there was none. */
int hob_store_get_state(struct hob_store *store, int64_t row, const char **state,
                        struct hob_error *err);

/* ---- reboots and restarts that a job asked for ---- */

/** `key` names it within the execution; `mark` is the boot id (or the process's own id, for a
 * restart) at that moment, `tries` how often it was asked for. In the same commit: what
 * hob_store_expect_end does. */
int hob_store_put_reboot(struct hob_store *store, int64_t row, const char *key, const char *mark,
                         int tries, struct hob_error *err);
/** @return 0 with borrowed *mark and *tries, HOB_ENOENT, or HOB_ESTORE */
int hob_store_get_reboot(struct hob_store *store, int64_t row, const char *key, const char **mark,
                         int *tries, struct hob_error *err);

/* ---- the end ---- */

/** The end is decided, cleanup is still to be done: `ending_*`, in one commit. Only the first
 * counts: HOB_EEXIST after. */
int hob_store_put_ending(struct hob_store *store, int64_t row, const char *status, const char *kind,
                         const char *details, struct hob_error *err);
/** Cleanup begins: cleanups + 1. */
int hob_store_begin_cleanup(struct hob_store *store, int64_t row, struct hob_error *err);

/** The outcome: state ENDED, ended_at_s is now, in one commit. Only the first outcome counts:
 * HOB_EEXIST after. Status may also be what the service made of it ("CANCELED"). */
int hob_store_put_outcome(struct hob_store *store, int64_t row, const char *status,
                          const char *details, struct hob_error *err);

/** The version that the service is known to have. Rides on the next commit. */
int hob_store_put_version(struct hob_store *store, int64_t row, int64_t version,
                          struct hob_error *err);

/** The service has the outcome, or gave a refusal that no further try can change (`theirs`: the
 * status that it has, "" if unknown). Document, steps and job.state are dropped. Rides on the next
 * commit. */
int hob_store_mark_told(struct hob_store *store, int64_t row, const char *how, const char *theirs,
                        struct hob_error *err);

/** Every execution of a thing (NULL: of all) in a state, oldest first. Stops when `fn` returns
 * false. `fn` must not call the store. */
typedef bool hob_store_each_fn(void *user, const struct hob_store_execution *execution);
int hob_store_each(struct hob_store *store, const char *thing, enum hob_store_state state,
                   hob_store_each_fn *fn, void *user, struct hob_error *err);

/** Commit what rides on the next commit, if anything. */
int hob_store_flush(struct hob_store *store, struct hob_error *err);

/** Drop TOLD executions but for the newest `keep`, and sources that are not needed; and again, with
 * the same `keep`, at every 100th hob_store_mark_told. Rides on the next commit. */
int hob_store_prune(struct hob_store *store, int keep, struct hob_error *err);

/* ---- notes: what a person has asked for that outlives the process ---- */

/** A text of at most 4 KB by its name, in one commit; NULL: none any more. */
int hob_store_put_note(struct hob_store *store, const char *name, const char *text,
                       struct hob_error *err);
/** @return 0 and a borrowed *text, HOB_ENOENT, or HOB_ESTORE */
int hob_store_get_note(struct hob_store *store, const char *name, const char **text,
                       struct hob_error *err);

/** The file was written by a newer Hob: what runs in it cannot be gone on with (its steps may mean
 * something else there), but can be ended truthfully, and the outbox can be sent. */
bool hob_store_is_newer(const struct hob_store *store);

/** The file is damaged, found while it was in use (said in the log, once): every call fails with
 * HOB_ESTORE and words, and the next hob_store_open sets it aside. */
bool hob_store_is_damaged(const struct hob_store *store);

struct hob_store_health {
    uint64_t bytes, wal_bytes; /* of the file, and of its -wal */
    uint64_t writes, failures; /* changes since it was opened; those that failed, by the disk */
    int failing;               /* the code of the latest one; 0: it was written */
    bool damaged;
};
void hob_store_get_health(const struct hob_store *store, struct hob_store_health *out);

const char *hob_store_library_version(void); /* "3.40.1" */

#endif
