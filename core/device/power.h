/* power.h - the machine's boots: which one this is, and asking for another one.
 *
 * Life: none; hob_power_reboot ends by itself, at the latest with the loop (then `done` is not
 * called). Loop thread only.  Spec: spec/unit/power_spec.lua
 */
#ifndef HOB_DEVICE_POWER_H
#define HOB_DEVICE_POWER_H

#include "base/error.h"
#include "base/loop.h"

#define HOB_POWER_BOOT_ID_MAX 64

/** The kernel's boot id, which changes with every boot and only then. @param file  where to read it
 * (NULL: /proc/sys/kernel/random/boot_id). @return 0, or a code and the reason */
int hob_power_boot_id(const char *file, char out[HOB_POWER_BOOT_ID_MAX + 1], struct hob_error *err);

/** Run the command that reboots. @param command  NULL-terminated words (borrowed for the call).
 * @param done  called once, later, with NULL when the command ended well (the machine goes down
 * soon, or does not), or with what went wrong. The command is not ended with this process.
 * @return 0, or a code and the reason: done is never called */
int hob_power_reboot(struct hob_loop *loop, const char *const *command,
                     void (*done)(void *user, const char *problem), void *user,
                     struct hob_error *err);

#endif
