#include "device/power.h"

int hob_power_boot_id(const char *file, char out[HOB_POWER_BOOT_ID_MAX + 1], struct hob_error *err)
{
    out[0] = 0;
    return 0;
}
int hob_power_reboot(struct hob_loop *loop, const char *const *command,
                     void (*done)(void *user, const char *problem), void *user,
                     struct hob_error *err)
{
    return 0;
}
