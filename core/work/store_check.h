/* store_check.h - is the store's file sound? For people who look, while no gateway has it open.
 *
 * Nothing of it is changed: a damaged file stays where it is (hob_store_open would set it aside).
 * On a read-only file system it is read as it lies there, without its -wal.
 * No state. Loop thread only.  Spec: spec/integration/doctor_spec.lua
 */
#ifndef HOB_WORK_STORE_CHECK_H
#define HOB_WORK_STORE_CHECK_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define HOB_STORE_CHECK_NOTE 2100

struct hob_store_check {
    int64_t bytes; /* of the file and its -wal */
    int64_t executions;
    int64_t untold;                   /* of these: outcomes that the service does not have yet */
    bool reserve;                     /* the room for a full disk is there */
    char drain[HOB_STORE_CHECK_NOTE]; /* the note "drain", JSON; "": no drain */
};

/** SQLite's quick_check. @param most_ms  it is given up after that
 * @return 0: sound; HOB_ESTORE: damaged, `err` says how; HOB_ENOENT: there is none; HOB_EBUSY: a
 * gateway uses it; HOB_EACCES; HOB_ETIMEDOUT */
int hob_store_check(const char *path, uint64_t most_ms, struct hob_store_check *out,
                    struct hob_error *err);

#endif
