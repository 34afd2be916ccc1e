/* timeline_source.h - internal to timeline.c: one list that is in order, the events or the output
 * of an execution, from its two files. Any thread. */
#ifndef HOB_WORK_TIMELINE_SOURCE_H
#define HOB_WORK_TIMELINE_SOURCE_H

#include "base/error.h"
#include "work/output.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOB_TIMELINE_TS_LEN 24 /* "2026-11-23T05:59:03.007Z" */

enum hob_timeline_kind { HOB_TIMELINE_EVENT, HOB_TIMELINE_OUTPUT, HOB_TIMELINE_NOTE };

struct hob_timeline_item {
    enum hob_timeline_kind kind;
    char ts[HOB_TIMELINE_TS_LEN + 1];
    const char *text; /* of an event the line, of a note its code */
    size_t len;
    const char *program; /* of output; of a note its text */
    size_t program_len;
    bool is_err;
    size_t lines;
};

/* One list that is in order: the events, or an execution's output. */
struct hob_timeline_source {
    char *data[2]; /* of the former half, and of the present one */
    size_t len[2];
    int64_t changed_ms;
    bool is_cut; /* the beginning was not read: it is too much */
    char file[NAME_MAX + 1];
    struct hob_output_name name; /* points into `file` */
    struct hob_timeline_item *items;
    size_t count, capacity, at;
};

/** Add one. @return NULL: out of memory */
struct hob_timeline_item *hob_timeline_source_add(struct hob_timeline_source *source);
/** @param code, text  borrowed for the source's life. @return 0 or HOB_ENOMEM */
int hob_timeline_source_note(struct hob_timeline_source *source, const char *ts, const char *code,
                             const char *text, size_t len);

/** Read both halves, of each the last `most` bytes; one that is not there is empty. */
int hob_timeline_source_read(struct hob_timeline_source *source, size_t most, const char *present,
                             const char *former, struct hob_error *err);
/** Make items of what was read, which is an output's. @return 0 or HOB_ENOMEM */
int hob_timeline_source_parse(struct hob_timeline_source *source);

void hob_timeline_source_free(struct hob_timeline_source *source);

#endif
