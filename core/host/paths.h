/* paths.h - where Hob's own Lua files are.
 *
 * Searched: $HOB_LIB_DIR, then `../../lib` from the program (a build tree), then
 * `../share/hob/lib` (installed).  Spec: spec/integration/cli_spec.lua
 */
#ifndef HOB_HOST_PATHS_H
#define HOB_HOST_PATHS_H

#include "base/error.h"

#include <stddef.h>

/** The directory that holds hob/job.lua. @return 0, or HOB_ENOENT and where it was looked for */
int hob_paths_lib(char *out, size_t len, struct hob_error *err);

#endif
