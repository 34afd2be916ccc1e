/* slot.h - one execution on this device, from the moment it is taken until its outcome is stored.
 *
 * The executor decides what goes in and claims it; the slot prepares the handler, writes the row,
 * runs the job, passes its progress on, and stores the outcome before the outbox hears of it. A
 * store that cannot be written is tried again until it can: an outcome is never lost and never told
 * before.
 *
 *   FREE --take--> TAKEN --run--> RUNNING --(handler ends)--> ENDING --(stored)--> FREE
 *
 * Life: hob_slot_new -> hob_slot_free. on_free is called when an outcome was stored, never inside
 * the call that led to it, but for hob_slot_end. Loop thread only.  Spec:
 * spec/integration/job_spec.lua
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
struct hob_modules_agent;

enum hob_slot_state { HOB_SLOT_FREE, HOB_SLOT_TAKEN, HOB_SLOT_RUNNING, HOB_SLOT_ENDING };

struct hob_slot_options { /* borrowed for its life */
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_store *store;
    struct hob_outbox *outbox;
    struct hob_handlers *handlers;
    const char *thing;
    const char *work_dir; /* each execution gets a directory in it, removed at its end */
    const char *const *allowed_commands;
    const struct hob_modules_agent *agent; /* NULL: none */
    size_t memory_bytes;
    void (*on_free)(void *user);
    void *user;
};

int hob_slot_new(const struct hob_slot_options *options, struct hob_slot **out,
                 struct hob_error *err);
/** What runs is given up as it is: the store knows it, the next process resumes it. */
void hob_slot_free(struct hob_slot *slot); /* NULL is legal */

enum hob_slot_state hob_slot_state(const struct hob_slot *slot);
bool hob_slot_holds(const struct hob_slot *slot, const struct hob_jobs_execution *execution);

void hob_slot_take(struct hob_slot *slot, const struct hob_jobs_execution *execution);

/** Decode the document, compile the handler, check its arguments. @return 0, HOB_EREJECTED (this
 * document can never work here), or another code: the handler is broken, which hob_slot_run will
 * tell as FAILED */
int hob_slot_prepare(struct hob_slot *slot, const struct hob_handler *handler, const char *document,
                     size_t len, struct hob_error *err);

/** There is no handler to prepare: hob_slot_run will tell why, as FAILED. */
void hob_slot_break(struct hob_slot *slot, const char *why);

/** Write the row, before the claim is sent: whatever happens then, it is known to be ours. */
int hob_slot_add(struct hob_slot *slot, const char *document, size_t len, struct hob_error *err);

/** The row is there already, of an earlier process. @param runs  how often run() was begun */
void hob_slot_known(struct hob_slot *slot, int64_t row, int runs);

/** It is ours: run it. @return 0, or HOB_ESTORE and the like: nothing ran, the slot is free again
 */
int hob_slot_run(struct hob_slot *slot, int64_t version, struct hob_error *err);

/** End it without running it: REJECTED or FAILED with a reason. Its row must be there. */
void hob_slot_end(struct hob_slot *slot, enum hob_jobs_status status, const char *reason,
                  const char *code);

/** It is not ours after all: forget it, also in the store. */
void hob_slot_drop(struct hob_slot *slot);

/** Give it up as it is. */
void hob_slot_release(struct hob_slot *slot);

/* Of what it holds; "" and 0 when it is free. */
const char *hob_slot_job_id(const struct hob_slot *slot);
int64_t hob_slot_execution_number(const struct hob_slot *slot);
int64_t hob_slot_version(const struct hob_slot *slot);
const char *hob_slot_step(const struct hob_slot *slot);

#endif
