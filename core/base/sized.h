/* sized.h - a struct of hob.h whose first member is `size`, from a caller that was compiled with
 * another version of it.
 *
 * Specs: spec/integration/embed_options_spec.lua, spec/unit/native_spec.lua
 */
#ifndef HOB_BASE_SIZED_H
#define HOB_BASE_SIZED_H

#include "base/error.h"

/** Copy it: what an older one does not have is zero; what a newer one has beside must be zero.
 * @param name  of the struct, for messages. @return 0, HOB_EINVAL; then all of `out` is zero */
int hob_sized_take(void *out, size_t known, const void *given, const char *name,
                   struct hob_error *err);

#endif
