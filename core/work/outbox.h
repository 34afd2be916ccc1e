/* outbox.h - telling: updates of executions on their way to the service, until it has them.
 *
 * For each execution at most one update is in flight, and of all executions at most eight (fewer
 * while the service says that it is throttled): a deep outbox does not go out at once after an
 * outage. Progress is coalesced: the latest wins, at most one a second; it is sent again until the
 * service has it, or something newer to say. A terminal update is taken from the store when it is
 * sent (it must be there first) and sent again, across lost links and restarts, until the service
 * has accepted it or has refused it in a way that no further try can change; an outcome whose
 * details are refused is told without them. Every update carries expectedVersion; VersionMismatch
 * brings the current state: if it is ours, it was delivered; if the execution is still open, it is
 * described, and its version is adopted if it is still the same execution. After a lost link or
 * a restart outcomes are described first: a job id may have been used again meanwhile, for another
 * execution that must not be told our outcome.
 *
 * What waits in memory is small (no details, no timer for each), and of what an earlier process
 * left to be told only a part is loaded at a time.
 *
 * Life: hob_outbox_new -> hob_outbox_free. Callbacks run in a turn of the loop of their own,
 * never inside a call of this file. Loop thread only.
 * Specs: spec/integration/outbox_spec.lua, outbox_fault_spec.lua, outbox_gone_spec.lua,
 * budget_spec.lua, broker_kill_spec.lua
 */
#ifndef HOB_WORK_OUTBOX_H
#define HOB_WORK_OUTBOX_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "jobs/client.h"
#include "work/store.h"

struct hob_outbox;
struct hob_product;

struct hob_outbox_options {
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_store *store;
    struct hob_jobs_client *client; /* NULL: there is nobody to tell (a bench) */
    const char *thing;              /* copied */
    uint64_t progress_gap_ms;       /* 0: 1,000 */
    uint64_t backoff_base_ms;       /* 0: 1,000; of a throttled update four times as much */
    uint64_t backoff_cap_ms;        /* 0: 60,000 */
    struct hob_product *product;    /* borrowed for its life; NULL: none */
    double messages_per_minute; /* progress waits where it would use the last quarter, everything
                                 * else where nothing is left; 0: no limit */
    /** The service knows how an execution ended, or that it is not ours any more. */
    void (*on_told)(void *user, int64_t row);
    /** An update of one that runs was refused: the service has ended it (`status`: CANCELED,
     * TIMED_OUT, REMOVED ..., NONE: it does not exist any more). Once for each execution. */
    void (*on_gone)(void *user, int64_t row, enum hob_jobs_status status);
    void *user;
};

int hob_outbox_new(const struct hob_outbox_options *options, struct hob_outbox **out,
                   struct hob_error *err);
void hob_outbox_free(struct hob_outbox *outbox); /* NULL is legal */

/** An execution is in the store: from now on it can be told of. */
int hob_outbox_track(struct hob_outbox *outbox, const struct hob_store_execution *execution);

/** The claim was accepted: the service has this version now. */
void hob_outbox_adopt(struct hob_outbox *outbox, int64_t row, int64_t version);

/** The execution is not ours after all. */
void hob_outbox_forget(struct hob_outbox *outbox, int64_t row);

/** @param details  a JSON object as AWS takes it (copied). @param step_minutes  the step timer is
 * set anew with it, 1 to 10080; 0: left alone */
void hob_outbox_progress(struct hob_outbox *outbox, int64_t row, const char *details,
                         int step_minutes);

/** When the step timer that the service was last told (and has accepted) with progress ends, on the
 * monotonic clock; 0: none was. */
uint64_t hob_outbox_step_until_ms(const struct hob_outbox *outbox, int64_t row);
bool hob_outbox_is_online(const struct hob_outbox *outbox);

/* Embedded, borrowed until `done`, or until it is forgotten. */
struct hob_outbox_waiter {
    struct hob_outbox_waiter *next;
    int64_t row;
    uint64_t until_ms;
    void (*done)(void *user);
    void *user;
};

/** Call `done` when nothing of this execution is in flight or waits (what waits for a link waits),
 * at the latest after `ms`: before a reboot. Once, in a later turn of the loop; hob_outbox_free
 * drops it. */
void hob_outbox_when_said(struct hob_outbox *outbox, struct hob_outbox_waiter *waiter, int64_t row,
                          uint64_t ms, void (*done)(void *user), void *user);
/** It does not want to know any more. */
void hob_outbox_forget_waiter(struct hob_outbox *outbox, const struct hob_outbox_waiter *waiter);

/** The outcome of `row` is in the store: tell it. Also for one that was told before. A status that
 * is the service's to give (CANCELED ...) is marked as told, nothing is sent. */
int hob_outbox_push(struct hob_outbox *outbox, int64_t row, struct hob_error *err);

/* ---- for people (outbox_hurry.c) ---- */

/** Send what waits for its backoff now. @return hob_outbox_depth */
size_t hob_outbox_hurry(struct hob_outbox *outbox);
/** As hob_outbox_push, without its backoff; the service is asked first whether the execution is
 * still the same: for one that was given up. */
int hob_outbox_again(struct hob_outbox *outbox, int64_t row, struct hob_error *err);

struct hob_outbox_view {
    bool moving;      /* it is sent, or an answer is waited for */
    int64_t again_ms; /* until it is sent again; -1: when there is a connection, or now */
    char why[24];     /* the latest answer that put it off; "" */
};
/** @return false: it is told, or given up (the store says which) */
bool hob_outbox_look(const struct hob_outbox *outbox, int64_t row, struct hob_outbox_view *out);
/** Some outcome is being sent, or waited for the answer of. */
bool hob_outbox_is_moving(const struct hob_outbox *outbox);

/** The client is ready, or not any more. Ready: what waits is sent at once. */
void hob_outbox_online(struct hob_outbox *outbox);
void hob_outbox_offline(struct hob_outbox *outbox);

/** Executions whose outcome has not been told yet. */
size_t hob_outbox_depth(const struct hob_outbox *outbox);
/** How long ago the oldest of them ended; -1: there is none. */
int64_t hob_outbox_oldest_ms(const struct hob_outbox *outbox);

#endif
