/* timeline.h - what happened to a job, in one order: its events (events.h), and between them what
 * its programs have printed (output.h). Without a job: the events of the whole gateway.
 *
 * Reads the files of a data directory and nothing else, so it works on the running process's own,
 * on one that does not run, and after a crash: what is torn is passed over. Two lists that are each
 * in order are merged by their times; each keeps its order, even where the clock was set.
 *
 * What comes out are the members of JSON objects, as the control socket sends them:
 *   "event":{"ts":"...","level":"info","event":"job.step","thing":..., ...}     as in the log
 *   "output":{"ts":"...","thing":...,"job":...,"execution":1,"program":"fw","stream":"stdout",
 *             "text":"one or more lines\n"}      at most 16 KB; without a newline at its end the
 *                                                next one of the same stream goes on with the line
 *   "note":{"code":"...","text":"..."}           what is not there: ROTATED, LOST, CUT
 * Any thread.  Spec: spec/unit/timeline_spec.lua
 */
#ifndef HOB_WORK_TIMELINE_H
#define HOB_WORK_TIMELINE_H

#include "base/buf.h"
#include "base/error.h"
#include "work/output.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOB_TIMELINE_PIECE (16 * 1024)

struct hob_timeline_options {
    const char *dir;    /* of the data */
    const char *thing;  /* NULL: all */
    const char *job;    /* NULL: all events, no output */
    int64_t execution;  /* 0: all */
    size_t lines;       /* only so many, the newest; 0: no limit */
    size_t limit_bytes; /* of all that comes out; the newest are kept (CUT says so); 0: 64 MB */
};

/** @return 0 to go on */
typedef int hob_timeline_fn(void *user, const char *members, size_t len);

/** The oldest first. Files that are not there hold nothing. @return 0, what `fn` returned, or a
 * code: HOB_ENOMEM, or the directory cannot be read */
int hob_timeline_read(const struct hob_timeline_options *options, hob_timeline_fn *fn, void *user,
                      struct hob_error *err);

/** Append the member "output" for what was printed at `ts` ("2026-...Z"). */
int hob_timeline_put_output(struct hob_buf *out, const struct hob_output_name *name, const char *ts,
                            const char *program, size_t program_len, bool is_err, const char *text,
                            size_t len);

/** How much of `text` goes into one piece: to a line's end if there is one. */
size_t hob_timeline_piece(const char *text, size_t len);

#endif
