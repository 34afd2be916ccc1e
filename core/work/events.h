/* events.h - the newest events of the log, kept in the data directory.
 *
 * Whatever the log's target, form and level are: from `info` up, as JSON lines, masked as all log
 * lines are, in DIR/events.log and, when that is half of the limit, its former half events.log.1.
 * Written as they come, without fsync: what a process has written survives its death, and a power
 * cut takes the last seconds. A line that was broken off is ended when the file is opened again.
 * What cannot be written (a full disk) is counted, and said in the file once it can be
 * (`log.recovered`); nobody is disturbed by it. timeline.h reads them.
 *
 * Life: hob_events_new -> hob_events_free, before the log. Loop thread only.
 * Spec: spec/unit/events_kept_spec.lua
 */
#ifndef HOB_WORK_EVENTS_H
#define HOB_WORK_EVENTS_H

#include "base/error.h"
#include "base/log.h"

#include <stdint.h>

#define HOB_EVENTS_FILE   "events.log"
#define HOB_EVENTS_FORMER "events.log.1"

struct hob_events;

struct hob_events_options {
    const char *dir;      /* of the data; must exist; copied */
    uint64_t limit_bytes; /* of both files together; 0: 1 MB */
};

/** From now on each event of `log` is kept. That the file cannot be made is said in the log
 * (`events.failed`), and no error. @return 0 or HOB_ENOMEM */
int hob_events_new(struct hob_log *log, const struct hob_events_options *options,
                   struct hob_events **out, struct hob_error *err);
void hob_events_free(struct hob_events *events); /* NULL is legal */

#endif
