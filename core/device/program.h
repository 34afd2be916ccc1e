/* program.h - is there a program that can be started under this name?
 *
 * For who has to know before anything is started: a job document that names a program which is not
 * there is refused, not begun. Spec: spec/integration/aws_executables_spec.lua
 */
#ifndef HOB_DEVICE_PROGRAM_H
#define HOB_DEVICE_PROGRAM_H

#include "base/error.h"

#include <stdbool.h>

/** May this file be started for a job? It must be a regular file with an x bit which nobody but its
 * owner and his group can change: else whoever can would do what Hob may do.
 * @return 0, HOB_ENOENT (no such file), HOB_EACCES (may not), with the reason */
int hob_program_check(const char *path, struct hob_error *err);

/** Is there an executable of that name (without a /) in the directories of PATH? */
bool hob_program_in_path(const char *name);

#endif
