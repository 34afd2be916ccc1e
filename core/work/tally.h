/* tally.h - what the jobs of this process came to, counted since it began, for `hob metrics`.
 *
 * Executions by handler, status and kind of end, and the limits that were broken. All sets are
 * bounded: after so many handlers the rest is counted as HOB_TALLY_OTHER, so that a monitoring
 * system never drowns in names. Knows nothing of the store: what a process before this one did is
 * in `hob jobs --history`.
 *
 * Life: hob_tally_new -> hob_tally_free, after everybody who counts. A NULL tally counts nothing.
 * Loop thread only.  Spec: spec/integration/metrics_spec.lua
 */
#ifndef HOB_WORK_TALLY_H
#define HOB_WORK_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOB_TALLY_HANDLERS 64 /* that are told apart */
#define HOB_TALLY_ROWS     512
#define HOB_TALLY_OTHER    "(other)"

struct hob_tally;

enum hob_tally_breach {
    HOB_TALLY_MEMORY,  /* of a job's Lua state */
    HOB_TALLY_CPU,     /* its processor time */
    HOB_TALLY_HELD,    /* one call held up the whole process */
    HOB_TALLY_TIMEOUT, /* its own time, not the service's */
    HOB_TALLY_OUTPUT,  /* its programs printed more than is kept */
    HOB_TALLY_BREACHES
};

/** @return NULL: out of memory */
struct hob_tally *hob_tally_new(void);
void hob_tally_free(struct hob_tally *tally); /* NULL is legal */

/** An outcome is stored. @param handler  "" if none was chosen. @param kind  see job.h */
void hob_tally_ended(struct hob_tally *tally, const char *handler, const char *status,
                     const char *kind);
void hob_tally_broke(struct hob_tally *tally, enum hob_tally_breach breach);

struct hob_tally_row {
    const char *handler, *status, *kind;
    uint64_t count;
};
/** @return false when there is none at `index` */
bool hob_tally_at(const struct hob_tally *tally, size_t index, struct hob_tally_row *out);
uint64_t hob_tally_breaches(const struct hob_tally *tally, enum hob_tally_breach breach);
/** "memory", "cpu" ... @param breach  below HOB_TALLY_BREACHES */
const char *hob_tally_breach_name(enum hob_tally_breach breach);

#endif
