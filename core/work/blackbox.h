/* blackbox.h - what the next process must know about the death of this one: which jobs were at
 * work, in which step, whose code the processor was in, and which processes they had started.
 *
 * A small file in the data directory, mapped into memory: writing it costs no system call, and no
 * flash but the kernel's own write-back (its one page, at most every some seconds while jobs run).
 * It survives the death of the process, though not a power cut - which needs none of it, since the
 * boot id has changed then. What a former boot left is not told. On a file system that may kill the
 * process when the disk is full (UBIFS, F2FS, Btrfs) the file is in /dev/shm instead.
 *
 *   entry      one execution at work, from hob_blackbox_begin to _end
 *   executing  its Lua code, or a core function that it called, is on the stack right now
 *
 * Life: hob_blackbox_open (reads what the last process left) -> entries -> hob_blackbox_close (in
 * order: nothing is left for the next one). hob_blackbox_free leaves it as after a death. Without a
 * file (read-only, full) everything works and nothing is remembered: said in the log. Loop thread
 * only.  Spec: spec/unit/blackbox_spec.lua
 */
#ifndef HOB_WORK_BLACKBOX_H
#define HOB_WORK_BLACKBOX_H

#include "base/error.h"
#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOB_BLACKBOX_ENTRIES  32  /* most jobs at once */
#define HOB_BLACKBOX_CHILDREN 64  /* of one job; further ones are not remembered */
#define HOB_BLACKBOX_STEP_MAX 128 /* bytes of a step's name */

struct hob_blackbox;
struct hob_blackbox_entry;

struct hob_blackbox_past {
    int64_t row;
    bool executing;
    char step[HOB_BLACKBOX_STEP_MAX + 1]; /* "" between steps */
};

/** @param boot_id  of the present boot. Never fails but for memory (HOB_ENOMEM). */
int hob_blackbox_open(struct hob_log *log, const char *path, const char *boot_id,
                      struct hob_blackbox **out, struct hob_error *err);
void hob_blackbox_close(struct hob_blackbox *box); /* NULL is legal */
void hob_blackbox_free(struct hob_blackbox *box);  /* NULL is legal */

/** Jobs that were at work when the last process died within this boot; 0 if it ended in order. */
size_t hob_blackbox_past(const struct hob_blackbox *box, const struct hob_blackbox_past **out);

/** End what jobs of the dead process had started and still runs (the whole group, at once: nobody
 * reads its output any more). A process that only has the same id by now is left alone: its start
 * time tells. @return how many groups still run; call it again, after a moment, until it is 0 */
size_t hob_blackbox_end_children(struct hob_blackbox *box);

/** @return NULL when there is no room: works without being remembered. All below take NULL. */
struct hob_blackbox_entry *hob_blackbox_begin(struct hob_blackbox *box, int64_t row);
void hob_blackbox_step(struct hob_blackbox_entry *entry, const char *name); /* NULL: none */
/** A child is about to be started whose output goes into these two pipes, named by their inodes;
 * 0, 0: _child was called for it, or there is none. A process that dies between the two leaves one
 * whose id is not here: it is known by its pipes then, unless it has closed both of them. */
void hob_blackbox_starts(struct hob_blackbox_entry *entry, uint64_t out, uint64_t err);
void hob_blackbox_child(struct hob_blackbox_entry *entry, int pid, bool runs);
/** For hob_scheduler_mark_executing; NULL for NULL. */
volatile int *hob_blackbox_executing(struct hob_blackbox_entry *entry);
void hob_blackbox_end(struct hob_blackbox_entry *entry);

#endif
