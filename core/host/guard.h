/* guard.h - who could change what this process trusts: the configuration, the scripts, the data.
 *
 * A handler runs with Hob's rights, so whoever can write to the directory of scripts, to a file in
 * it, to the configuration or to the data directory, has them, too. Looked at once, at the start.
 * What another user could change is refused; what another group could, is only warned of.
 *
 * Spec: spec/integration/guard_spec.lua
 */
#ifndef HOB_HOST_GUARD_H
#define HOB_HOST_GUARD_H

#include "base/error.h"

struct hob_config;

/** `text` names the file and what to do. */
typedef void hob_guard_warning_fn(void *user, const char *text, const char *action);

/** @return 0, or HOB_EPERM and a message that names the file, its mode or owner, and the command
 * that mends it. What is not there is not looked at. */
int hob_guard_check(const struct hob_config *config, hob_guard_warning_fn *warn, void *user,
                    struct hob_error *err);

#endif
