/* output.h - what the programs of a job print, whole: one log file for each execution.
 *
 * Files are DIR/THING@JOB-NUMBER-QUEUED.log and, when one is full, its former half .log.1: the
 * newest bytes stay. All files together have a limit, too: the oldest go first. Bytes are kept as
 * they came (NUL, invalid UTF-8), each chunk from a line's start under a line that says which
 * program and stream it is, and since when: again when the log has had an event of the execution
 * (so that both can be put in one order, timeline.h), every five seconds and every 256 KB. A disk
 * that is full is no reason to disturb the job: what could not be written is counted and said once
 * in the file when it can be written again. No fsync.
 *
 * Life: hob_output_new -> hob_output_open ... hob_output_close for each execution ->
 * hob_output_free. Loop thread only.  Spec: spec/unit/output_spec.lua
 */
#ifndef HOB_WORK_OUTPUT_H
#define HOB_WORK_OUTPUT_H

#include "base/error.h"
#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The lines between the output: MARK, program, ", standard output, " or ", standard error, ", when
 * (HOB_CLOCK_TEXT_MAX); what is missing at a place; and, at the beginning of a file, that there was
 * more before the former half. */
#define HOB_OUTPUT_MARK    "--- "
#define HOB_OUTPUT_LOST    "--- hob: "
#define HOB_OUTPUT_DROPPED "--- hob: what was printed before .log.1 was dropped"

struct hob_outputs; /* the directory */
struct hob_tally;
struct hob_output; /* one execution's file; made with its first byte */

struct hob_output_options {
    const char *dir;         /* made if missing; copied */
    uint64_t limit_bytes;    /* of one execution; 0: 1 MB */
    uint64_t total_bytes;    /* of all; 0: 16 MB */
    struct hob_tally *tally; /* borrowed for its life; NULL: nobody counts */
};

int hob_outputs_new(struct hob_log *log, const struct hob_output_options *options,
                    struct hob_outputs **out, struct hob_error *err);
void hob_outputs_free(struct hob_outputs *outputs); /* NULL is legal */

/** What all files hold, by their sizes. */
uint64_t hob_outputs_bytes(const struct hob_outputs *outputs);

/** @param name  "THING@JOB-NUMBER-QUEUED"; a second open of the same name goes on with the file.
 * @return NULL: out of memory */
struct hob_output *hob_output_open(struct hob_outputs *outputs, const char *name);
void hob_output_write(struct hob_output *output, const char *program, bool is_err, const char *data,
                      size_t len); /* output NULL is legal */
const char *hob_output_path(const struct hob_output *output);
void hob_output_close(struct hob_output *output); /* NULL is legal */

/** An execution, as the name of its file says it. */
struct hob_output_name {
    const char *thing, *job; /* point into the name */
    size_t thing_len, job_len;
    int64_t execution, queued_at;
};
/** @return false: it is no such name */
bool hob_output_parse_name(const char *name, size_t len, struct hob_output_name *out);

/** Somebody who is told of what programs print as it comes. Embedded, borrowed until _untap, which
 * is legal twice and inside `fn`. */
struct hob_output_tap {
    void (*fn)(void *user, const char *name, const char *program, bool is_err, const char *data,
               size_t len);
    void *user;
    struct hob_output_tap *next; /* the directory's */
};
void hob_outputs_tap(struct hob_outputs *outputs, struct hob_output_tap *tap);
void hob_outputs_untap(struct hob_outputs *outputs, struct hob_output_tap *tap);

#endif
