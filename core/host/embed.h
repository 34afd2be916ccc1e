/* embed.h - what the functions of hob.h have in common. Internal to core/host/embed*.c.
 *
 * Spec: spec/integration/embed_life_spec.lua
 */
#ifndef HOB_HOST_EMBED_H
#define HOB_HOST_EMBED_H

#include "base/error.h"
#include "base/sized.h"
#include "host/config.h"

/** The configuration that options stand for: a file, what they override in it, `settings`.
 * @return 0 (caller frees), HOB_ECONFIG, HOB_EINVAL; then there is nothing to free */
int hob_config_load_options(const struct hob_runtime_options *options, struct hob_config *out,
                            struct hob_error *err);

#endif
