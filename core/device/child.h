/* child.h - what exec, power and the black box have in common about processes: how they are
 * started, whether their group still runs, who was killed for want of memory.
 *
 * Plain functions over /proc and kill(2).  Loop thread only.
 * Specs: spec/unit/exec_spec.lua, spec/unit/blackbox_spec.lua
 */
#ifndef HOB_DEVICE_CHILD_H
#define HOB_DEVICE_CHILD_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/** Every descriptor but the standard three stays ours: some libraries, and whoever started us,
 * leave some open to every child. For uv_spawn only: spawn.h marks them in the child. */
void hob_child_keep_descriptors(void);

/** @return 0 if it is a directory, or the code and the reason */
int hob_child_cwd_trouble(const char *cwd, struct hob_error *err);

/** Why a start gave `status` (libuv's): "fw-install: not found in PATH". @param cwd  that may be
 * the cause; NULL: it is not. @return the code */
int hob_child_why_not_started(const char *program, const char *cwd, int status,
                              struct hob_error *err);

/** Does anything of this process group still run? What has ended but was never waited for (its
 * parent is gone, and process 1 of a container may not care) does not count, if `look`: that reads
 * all of /proc. */
bool hob_child_group_runs(int group, bool look);

/** The same for a group whose leader was started then, and in a session of its own, by a process
 * that is dead: another one that has the same id by now is not meant. Reads all of /proc. */
bool hob_child_group_is(int group, uint64_t started);

/** When a process was started, in the kernel's ticks since the boot; 0: there is none of that id.
 * With its id it names a process for good. */
uint64_t hob_child_started(int pid);

/** The group of a process, not this one, that has one of two pipes open, named by their inodes (0:
 * none); 0: there is none. `started` gets what hob_child_group_is wants to know of it. Reads all of
 * /proc. */
int hob_child_group_with(const uint64_t pipes[2], uint64_t *started);

/** How many processes the kernel has killed so far for want of memory. @param file  read instead of
 * the kernel's own counts, for specs; NULL: those */
uint64_t hob_child_oom_kills(const char *file);

#endif
