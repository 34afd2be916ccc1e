/* sized.c - see sized.h */
#include "base/sized.h"

#include <string.h>

static bool is_zero(const unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i])
            return false;
    return true;
}

int hob_sized_take(void *out, size_t known, const void *given, const char *name,
                   struct hob_error *err)
{
    size_t size = 0;
    memset(out, 0, known);
    if (given)
        memcpy(&size, given, sizeof size);
    if (size <= sizeof size)
        return hob_error_set(err, HOB_EINVAL, "%s: size: expected sizeof(struct %s), got %zu", name,
                             name, size);
    if (size > known && !is_zero((const unsigned char *)given + known, size - known))
        return hob_error_set(
            err, HOB_EINVAL,
            "%s: members are set that this libhob (%s) does not know: its hob.h is "
            "older than the program's",
            name, HOB_VERSION);
    memcpy(out, given, size < known ? size : known);
    return 0;
}
