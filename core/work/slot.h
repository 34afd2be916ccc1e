/* slot.h - one execution on this device, from the moment it is taken until its outcome is stored.
 *
 * The executor decides what goes in and claims it; the slot prepares the handler, writes the row,
 * runs the job, passes its progress on, ends it when its time is up or the service says so, waits
 * until its processes are gone, has `cleanup` done, and stores the outcome before the outbox hears
 * of it. A store that cannot be written is tried again until it can: an outcome is never lost and
 * never told before.
 *
 *   FREE --take--> TAKEN --run--> RUNNING --(end of run, its processes are gone)--> ENDING
 *        --(cleanup is done, its processes are gone, the outcome is stored)--> FREE
 *   RUNNING --(retry_later)--> WAITING --(its time has come)--> RUNNING
 *
 * Life: hob_slot_new -> hob_slot_free. on_free is called when an outcome was stored, never inside
 * the call that led to it, but for hob_slot_end. Loop thread only.  Specs: in spec/integration,
 * job_spec.lua, cancel_spec.lua, cleanup_spec.lua, reboot_spec.lua, brake_spec.lua, stop_spec.lua
 */
#ifndef HOB_WORK_SLOT_H
#define HOB_WORK_SLOT_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "jobs/protocol.h"
#include "work/handlers.h"
#include "work/outbox.h"
#include "work/store.h"

#include <stdbool.h>

struct hob_slot;
struct hob_bench;
struct hob_blackbox;
struct hob_debugger;
struct hob_modules_agent;
struct hob_outputs;
struct hob_product;
struct hob_requires;
struct hob_tally;

enum hob_slot_state {
    HOB_SLOT_FREE,
    HOB_SLOT_TAKEN,
    HOB_SLOT_RUNNING,
    HOB_SLOT_WAITING,
    HOB_SLOT_ENDING
};

/** What ended the last run of an execution that an earlier process left. */
enum hob_slot_past {
    HOB_SLOT_PAST_ORDER, /* a stop in order, a reboot or restart that was asked for */
    HOB_SLOT_PAST_POWER, /* a power cut, or a reboot by somebody else */
    HOB_SLOT_PAST_GUILT, /* it took the process down */
    HOB_SLOT_PAST_OTHER  /* another job did */
};

struct hob_slot_options { /* borrowed for its life */
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_store *store;
    struct hob_outbox *outbox;
    struct hob_handlers *handlers;
    const char *thing;
    const char *work_dir; /* each execution may have a directory in it, removed at its end */
    const struct hob_policy *policy;       /* NULL: handlers may do all */
    const struct hob_modules_agent *agent; /* NULL: none */
    size_t memory_bytes;
    uint64_t cpu_ms;               /* of a job, in all its runs; 0: no limit */
    struct hob_blackbox *blackbox; /* NULL: nothing is remembered */
    struct hob_outputs *outputs;   /* NULL: output is not kept */
    struct hob_tally *tally;       /* NULL: nobody counts */
    struct hob_debugger *debugger; /* NULL: nobody can look into its jobs */
    const char *boot_id;           /* of the present boot */
    const char *process_id;        /* of this process: another one after each start */
    const char *const *reboot_command;
    struct hob_product *product; /* NULL: none */
    uint64_t reboot_wait_ms;     /* for a reboot that was asked for; 0: 300,000 */
    uint64_t timeout_ms;         /* of a job whose handler names none; 0: none */
    uint64_t cleanup_timeout_ms; /* 0: 60,000 */
    void (*on_free)(void *user);
    /** Nothing of it runs any more: it has ended, or waits (retry_later). Whoever must not run
     * beside it may go on. A finished step is no such sign: what comes after it may kill. */
    void (*on_sound)(void *user);
    /** May one whose time of waiting is over run again? If not, it asks again. NULL: it may. */
    bool (*may_go_on)(void *user);
    /** A job asks for a new process of Hob (hob_slot_stop comes next, for every slot). */
    void (*on_restart)(void *user, const char *reason);
    /* For a bench; all NULL else. */
    struct hob_bench *bench;                           /* see sandbox.h */
    void (*on_reboot)(void *user, const char *reason); /* in place of the command */
    void (*on_said)(void *user, const char *text);     /* progress */
    void *user;
};

int hob_slot_new(const struct hob_slot_options *options, struct hob_slot **out,
                 struct hob_error *err);
/** What runs is given up as it is: the store knows it, the next process resumes it. */
void hob_slot_free(struct hob_slot *slot); /* NULL is legal */

enum hob_slot_state hob_slot_state(const struct hob_slot *slot);

void hob_slot_take(struct hob_slot *slot, const struct hob_jobs_execution *execution);

/** Decode the document, compile the handler, check its arguments. @return 0, HOB_EREJECTED (this
 * document can never work here), or another code: the handler is broken, which hob_slot_run will
 * tell as FAILED */
int hob_slot_prepare(struct hob_slot *slot, const struct hob_handlers_entry *handler,
                     const char *document, size_t len, struct hob_error *err);

/** A code that hob_slot_prepare gave for what passes: the store or its file system could not be
 * read. */
bool hob_slot_is_passing(int code);
/** Say so, and give it up as it is: it is found again. */
void hob_slot_postpone(struct hob_slot *slot, const struct hob_error *err);

/** There is no handler to prepare: hob_slot_run will tell why, as FAILED. */
void hob_slot_break(struct hob_slot *slot, const char *why);

/** Write the row, before the claim is sent: whatever happens then, it is known to be ours. */
int hob_slot_add(struct hob_slot *slot, const char *document, size_t len, struct hob_error *err);

/** The row is there already, of an earlier process or run: what it knows is taken over (copied),
 * also that the execution is ending, or waits. Before hob_slot_prepare. */
void hob_slot_known(struct hob_slot *slot, const struct hob_store_execution *execution,
                    enum hob_slot_past past, const char *step);

/** It is ours: run it, or go on with where it was: waiting, ending. An execution that has taken the
 * process down three times in this boot is ended instead. @return 0, or HOB_ESTORE and the like:
 * nothing ran, the slot is free again */
int hob_slot_run(struct hob_slot *slot, int64_t version, struct hob_error *err);

/** End the run: the service has ended the execution (`status`: CANCELED, TIMED_OUT, REMOVED; NONE:
 * deleted), or a person here did (IN_PROGRESS: the service does not know yet and will be told
 * FAILED). `who` goes into the reason: "in the cloud". One whose end is decided goes on with it,
 * also with its cleanup; one that is only claimed ends when it turns out to be ours (hob_slot_run).
 */
void hob_slot_cancel(struct hob_slot *slot, enum hob_jobs_status status, const char *who);

/** Let it reach its next step, then give it up as it is; `stopped` is called, later, when it is (or
 * has ended). After grace_ms it is given up where it is, but not in a critical section or a `once`
 * step: those have until limit_ms. */
void hob_slot_stop(struct hob_slot *slot, uint64_t grace_ms, uint64_t limit_ms,
                   void (*stopped)(void *user), void *user);

/** The service has accepted that it is ours: whoever observes is told. */
void hob_slot_was_told(const struct hob_slot *slot);

/** After hob_slot_stop: give it up where it is, whatever it does, its programs at once. */
void hob_slot_hurry(struct hob_slot *slot);

/** Minutes for the service's step timer, from the handler's timeout; 0: none. */
int hob_slot_step_minutes(const struct hob_slot *slot);

/** End it without running it: REJECTED or FAILED with a reason. Its row must be there. */
void hob_slot_end(struct hob_slot *slot, enum hob_jobs_status status, const char *reason,
                  const char *code);

/** It is not ours after all: forget it, also in the store. */
void hob_slot_drop(struct hob_slot *slot);

/** Prepared, but its time has not come: nothing of it is left. */
void hob_slot_put_back(struct hob_slot *slot);

/** What its handler wants to hold before it is begun; NULL: nothing, or it is not prepared. */
const struct hob_requires *hob_slot_requires(const struct hob_slot *slot);

/** Give it up as it is. */
void hob_slot_release(struct hob_slot *slot);

/** As release, at the end of the power: its processes go at once. `gone` is called, later, when
 * none of them is left. */
void hob_slot_cut(struct hob_slot *slot, void (*gone)(void *user), void *user);

/** A reboot, or a new process of Hob, was asked for and has not come yet: begin nothing new. */
bool hob_slot_reboots(const struct hob_slot *slot);

/* Of what it holds; "" and 0 when it is free. */
const char *hob_slot_label(const struct hob_slot *slot); /* "NAME@DIGEST" of what is prepared */
int64_t hob_slot_row(const struct hob_slot *slot);
int64_t hob_slot_version(const struct hob_slot *slot);
const char *hob_slot_step(const struct hob_slot *slot);

struct hob_executor_view;
/** All of it at once (slot_view.c), but for what only the executor knows of a claim. */
void hob_slot_view(const struct hob_slot *slot, struct hob_executor_view *out);

#endif
