/* job_plain.h - the usual handler, document and outcome, without the Lua that knows them all.
 *
 * lib/hob/job/ says what a handler's table, a document and what run() returns may be, and makes the
 * words of what is wrong. To load it takes longer than most jobs run, so these functions look
 * first, and know only what is surely right: fields of one type, a document that has them, details
 * that are texts. What they do not know is no error: it is left to lib/hob/job/, which decides
 * everything else, and must agree with them.
 * Inside a protected call. Spec: spec/unit/job_plain_spec.lua (both ways give the same)
 */
#ifndef HOB_WORK_JOB_PLAIN_H
#define HOB_WORK_JOB_PLAIN_H

#include <stdbool.h>
#include <stddef.h>

struct hob_job;
struct lua_State;

/** Push the decoded document and the arguments for the handler's table at `index`.
 * @return false: nothing is pushed, ask hob.job.contract */
bool hob_job_plain_prepare(struct lua_State *L, int index, const char *document, size_t len);

/** What run() gave: `count` values from `index` on, the first of them that of pcall. Sets the
 * outcome of a success. @return false: nothing was done, ask hob.job.outcome */
bool hob_job_plain_succeed(struct lua_State *L, int index, int count, struct hob_job *job);

#endif
