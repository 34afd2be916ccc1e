/* exec_output.h - what is kept of one output stream of a program: its tail, and the line that is
 * being written. For exec.c only.
 */
#ifndef HOB_DEVICE_EXEC_OUTPUT_H
#define HOB_DEVICE_EXEC_OUTPUT_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The last `limit` bytes of a stream. Grows up to the limit, then wraps. */
struct hob_exec_tail {
    char *data;
    size_t len, capacity, limit;
    size_t next; /* where the next byte goes once it is full */
    uint64_t cut;
};

/** @param limit  0: 64 KB; at most 16 MB */
void hob_exec_tail_init(struct hob_exec_tail *tail, size_t limit);
void hob_exec_tail_free(struct hob_exec_tail *tail);
void hob_exec_tail_add(struct hob_exec_tail *tail, const char *data, size_t len);
/** NUL-terminated; nothing may be added after. */
const char *hob_exec_tail_finish(struct hob_exec_tail *tail);

/** Whole lines of a stream, cut at 64 KB. */
struct hob_exec_lines {
    struct hob_buf line;
    bool is_cut; /* what comes until the newline is beyond the longest line */
    /** @return false: no more of them */
    bool (*give)(void *user, const char *line, size_t len);
    void *user;
};

void hob_exec_lines_init(struct hob_exec_lines *lines,
                         bool (*give)(void *user, const char *line, size_t len), void *user);
void hob_exec_lines_free(struct hob_exec_lines *lines);
void hob_exec_lines_add(struct hob_exec_lines *lines, const char *data, size_t len);
/** The last one may have no newline. */
void hob_exec_lines_flush(struct hob_exec_lines *lines);

#endif
