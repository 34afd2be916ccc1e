/* journal.h - what of one execution must outlive the process: its steps, job.state, and the source
 * that it was begun with.
 *
 * A thin cover over the store for the job that runs: it knows which of its texts are saved already,
 * so that job.state is written only when it changed, and each source once.
 *
 * Life: hob_journal_new -> hob_journal_free. Loop thread only.
 * Specs: spec/integration/steps_spec.lua, spec/integration/pinned_spec.lua
 */
#ifndef HOB_WORK_JOURNAL_H
#define HOB_WORK_JOURNAL_H

#include "base/error.h"
#include "work/store.h"

#include <stdbool.h>
#include <stdint.h>

/** Steps of Hob's own ("hob:reboot 1"); handlers may not use such names. */
#define HOB_JOURNAL_RESERVED "hob:"

struct hob_journal;

/** @param row  0: not known yet. @return NULL: out of memory */
struct hob_journal *hob_journal_new(struct hob_store *store, int64_t row);
void hob_journal_free(struct hob_journal *journal); /* NULL is legal */
void hob_journal_set_row(struct hob_journal *journal, int64_t row);

/* ---- steps ---- */

/** Text of 1 to 128 bytes without control characters, in UTF-8, that is none of Hob's own names. */
bool hob_journal_is_step_name(const char *name, size_t len);
/** Hob's own, which changes nothing: was it done already? */
bool hob_journal_is_question(const char *name);

/** Did a step of the handler's, or a reboot, end in a former run? */
bool hob_journal_has_steps(struct hob_journal *journal);

int hob_journal_each(struct hob_journal *journal, hob_store_step_fn *fn, void *user,
                     struct hob_error *err);
int hob_journal_get(struct hob_journal *journal, const char *name, bool *failed,
                    const char **result, struct hob_error *err);

/** As hob_store_put_step, with the sources that wait. `state` is job.state as JSON. */
int hob_journal_put(struct hob_journal *journal, const char *name, bool failed, const char *result,
                    const char *state, int64_t elapsed_ms, bool commits, struct hob_error *err);
/** Commit what was put without that. */
int hob_journal_commit(struct hob_journal *journal, struct hob_error *err);

/** A `once` step. */
int hob_journal_begin(struct hob_journal *journal, const char *name, struct hob_error *err);
/** @return 1: it was begun and never ended, 0, or a code */
int hob_journal_begun(struct hob_journal *journal, const char *name, struct hob_error *err);

/** job.state as it was last saved (borrowed; "{}": never). NULL: the store failed */
const char *hob_journal_state(struct hob_journal *journal, struct hob_error *err);

/* ---- sources ---- */

/** Keep a text until it is saved (copied). @return 0 or HOB_ENOMEM */
int hob_journal_add_source(struct hob_journal *journal, const char *name, const char *path,
                           const char *text, size_t len);
/** Hand those that wait to the store; they ride on its next commit. Without a row: nothing. */
int hob_journal_save_sources(struct hob_journal *journal, struct hob_error *err);
/** As hob_store_get_source, or one that waits; HOB_ENOENT also without a row. */
int hob_journal_source(struct hob_journal *journal, const char *name, const char **path,
                       const char **text, size_t *len, struct hob_error *err);

#endif
