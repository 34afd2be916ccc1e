/* history.h - executions as JSON, for people and programs: what the store knows of each.
 *
 * The same lines come from a running gateway (the control socket) and from a store that nobody has
 * open. Times are seconds since 1970. What does not apply is left out.
 * Loop thread only.  Spec: spec/integration/history_spec.lua
 */
#ifndef HOB_WORK_HISTORY_H
#define HOB_WORK_HISTORY_H

#include "base/buf.h"
#include "work/store.h"

struct hob_json;

/** Append an execution as a JSON object: thing, jobId, executionNumber, queuedAt, handler, digest,
 * attempt, state ("claiming", "interrupted", "waiting", "ending", "ended"); of one that waits
 * resumeAt; of one that has ended status, code, reason, details, endedAt, and whether the service
 * knows: `told` ("waiting", "accepted", "refused", "theirs"), toldAt, toldAs (in words), theirs.
 * @param json  to read the details with. @return 0, or HOB_EMSGSIZE and the like */
int hob_history_write(struct hob_buf *out, struct hob_json *json,
                      const struct hob_store_execution *execution);

/** Executions of all things as the store has them, the newest first: from `before` (a row; 0: the
 * newest) on, at most `most`. `ended`: those with an outcome, else those without. `fn` must not
 * call the store; a code from it ends the walk before that row.
 * @return 0 (*next: the row to go on before, 0: that was all), or the store's code */
typedef int hob_history_fn(void *user, const struct hob_store_execution *execution);
int hob_history_each(struct hob_store *store, bool ended, int64_t before, size_t most,
                     hob_history_fn *fn, void *user, int64_t *next, struct hob_error *err);

#endif
