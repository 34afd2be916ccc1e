/* filter.h - which jobs of the thing are this gateway's own: several agents may share one thing.
 *
 * A prefix of job ids, or a Lua predicate: the member `job_filter` of the configuration's table as
 * function(job) -> true or false, with job = { id, document (decoded), execution_number }. It runs
 * in a throw-away sandbox and may not wait; an error or an endless loop counts as no, and is logged
 * (job.filter_failed) once for each job.
 *
 * Life: hob_filter_new -> hob_filter_free. Loop thread only.  Spec:
 * spec/integration/filter_spec.lua
 */
#ifndef HOB_WORK_FILTER_H
#define HOB_WORK_FILTER_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "jobs/protocol.h"

#include <stdbool.h>

struct hob_filter;

struct hob_filter_options { /* copied */
    struct hob_loop *loop;
    struct hob_log *log;
    const char *prefix; /* "" or NULL: none */
    const char *source; /* of a configuration file whose job_filter is a function; "" or NULL */
    const char *path;   /* of that file, for errors */
    const char *lib;    /* as sandbox.h */
};

int hob_filter_new(const struct hob_filter_options *options, struct hob_filter **out,
                   struct hob_error *err);
void hob_filter_free(struct hob_filter *filter); /* NULL is legal */

/** May the job with this id be ours? Known before its document is. Filter NULL: yes. */
bool hob_filter_takes_id(const struct hob_filter *filter, const char *job_id);
bool hob_filter_takes(struct hob_filter *filter, const struct hob_jobs_execution *execution);

#endif
