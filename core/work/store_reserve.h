/* store_reserve.h - room that is kept for the day when the disk is full.
 *
 * A file of 256 KB beside the store, written once (random bytes, so that no file system can keep it
 * in less). It is given back when an outcome finds no room, so that what runs can still be ended
 * truthfully; and made anew at a later commit, once there is room again. Never written while
 * nothing else is.
 * Only store*.c use it. Loop thread only.  Spec: spec/unit/store_full_spec.lua
 */
#ifndef HOB_WORK_STORE_RESERVE_H
#define HOB_WORK_STORE_RESERVE_H

#include "base/log.h"

#include <stdbool.h>

struct hob_store_reserve {
    struct hob_log *log; /* borrowed */
    char *path;
    bool there;
    int commits; /* since it was looked whether there is room for it */
};

/** Makes the file if it is missing and there is room. @param store_path  copied
 * @return 0, or HOB_ENOMEM; a reserve that cannot be made is no error */
int hob_store_reserve_open(struct hob_store_reserve *reserve, struct hob_log *log,
                           const char *store_path);
void hob_store_reserve_close(struct hob_store_reserve *reserve); /* the file stays */

/** @return whether there was a reserve to give back */
bool hob_store_reserve_release(struct hob_store_reserve *reserve);

/** @return whether it is there; made now if there is room for it */
bool hob_store_reserve_ensure(struct hob_store_reserve *reserve);

/** To be called after each commit. */
void hob_store_reserve_committed(struct hob_store_reserve *reserve);

#endif
