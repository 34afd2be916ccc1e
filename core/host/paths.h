/* paths.h - where Hob's own Lua files are.
 *
 * Searched: the directory given, $HOB_LIB_DIR, then from where libhob lies `../../lib` (a build
 * tree) and the data directory (installed), then from the program `../../lib` and
 * `../share/hob/lib`, then where `cmake --install` would put them.  Spec:
 * spec/integration/install_spec.lua
 */
#ifndef HOB_HOST_PATHS_H
#define HOB_HOST_PATHS_H

#include "base/error.h"

#include <stddef.h>

/** The directory that holds hob/job.lua. @return 0, or HOB_ENOENT and where it was looked for */
int hob_paths_lib(char *out, size_t len, struct hob_error *err);

/** The same for a product that may have said where: then it is there, or nowhere.
 * @param given  NULL: it has not */
int hob_paths_lib_in(const char *given, char *out, size_t len, struct hob_error *err);

#endif
