/* exec_set.h - the side of a hob_exec_set that exec.c sees. */
#ifndef HOB_DEVICE_EXEC_SET_H
#define HOB_DEVICE_EXEC_SET_H

#include "device/exec.h"

/** One process in its set; embedded in a struct hob_exec. */
struct hob_exec_member {
    struct hob_exec_set *set; /* NULL: none, or it was freed */
    struct hob_exec_member *next;
    struct hob_exec *exec;
    char program[64]; /* "fw-install": for on_data */
};

void hob_exec_set_add(struct hob_exec_set *set, struct hob_exec_member *member, const char *file);
/** As on_start of exec.h. `set` may be NULL. */
void hob_exec_set_start(const struct hob_exec_set *set, uint64_t out, uint64_t err);
/** Its group is gone. Legal twice. */
void hob_exec_set_remove(struct hob_exec_member *member);
void hob_exec_set_data(const struct hob_exec_member *member, bool is_err, const char *data,
                       size_t len);

/* exec.c's, for the set. */
void hob_exec_end(struct hob_exec *exec); /* TERM, after its grace KILL */
void hob_exec_end_within(struct hob_exec *exec, uint64_t most_ms);
const char *hob_exec_ending(const struct hob_exec *exec); /* "got TERM" */
void hob_exec_set_lost(struct hob_exec *exec);            /* the set was freed */

#endif
