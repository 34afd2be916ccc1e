/* journal_view.h - what an execution has stored that a later run of it would find, for people who
 * look: its steps, finished or failed, with what they gave, and job.state. As members of JSON
 * objects; docs/reference/control-protocol.md says which.
 *
 * No state. Loop thread only.  Spec: spec/integration/log_spec.lua
 */
#ifndef HOB_WORK_JOURNAL_VIEW_H
#define HOB_WORK_JOURNAL_VIEW_H

#include "base/buf.h"
#include "work/store.h"

/** The newest execution of a job. @param thing  NULL: of any. @param execution  0: any
 * @return its row (> 0), HOB_ENOENT, or HOB_ESTORE */
int64_t hob_journal_view_find(struct hob_store *store, const char *job, const char *thing,
                              int64_t execution, struct hob_error *err);

/** Append "thing":..., of which execution it is, without braces; then its thing and its number are
 * known, too (for who has more to say of it). */
struct hob_journal_view_head {
    char thing[160], job[80];
    int64_t execution;
};
int hob_journal_view_head(struct hob_store *store, int64_t row, struct hob_buf *out,
                          struct hob_journal_view_head *head, struct hob_error *err);

/** Append {"name":...,"failed":...,"result":...} for each step to a buffer of its own and hand that
 * over. `fn` must not call the store; not 0 ends it. */
typedef int hob_journal_view_fn(void *user, const char *step, size_t len);
int hob_journal_view_steps(struct hob_store *store, int64_t row, hob_journal_view_fn *fn,
                           void *user, struct hob_error *err);

#endif
