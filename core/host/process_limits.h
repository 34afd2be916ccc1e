/* process_limits.h - how many files the process may have open. That is the whole process's: changed
 * only by the program `hob run`, or where a product asks for it (raise_limits).
 *
 * Spec: spec/integration/things_spec.lua
 */
#ifndef HOB_HOST_PROCESS_LIMITS_H
#define HOB_HOST_PROCESS_LIMITS_H

#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>

/** File descriptors that so many things, each with a connection of its own, need together with the
 * process and its jobs. */
size_t hob_process_limits_needed(size_t things, size_t jobs);

/** Raise RLIMIT_NOFILE to what is needed, as far as that is allowed (programs of jobs get it, too:
 * so no higher), if `raise`. What is still missing is said, with what to do.
 * @param log  NULL: it was said before
 * @return whether there are enough */
bool hob_process_limits_check(struct hob_log *log, size_t things, size_t jobs, bool raise);

#endif
