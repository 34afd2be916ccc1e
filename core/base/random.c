/* random.c - see random.h */
#include "base/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void hob_random_bytes(void *out, size_t len)
{
    char *at = out;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got > 0) {
            at += got;
            len -= (size_t)got;
        } else if (errno != EINTR) {
            /* No kernel that Hob runs on refuses this; going on with bytes that are not random
             * would be worse. */
            fprintf(stderr, "hob: getrandom: %s\n", strerror(errno));
            abort();
        }
    }
}

uint64_t hob_random_u64(void)
{
    uint64_t value;
    hob_random_bytes(&value, sizeof value);
    return value;
}

const char *hob_random_hex(char *out, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    if (len == 0)
        return out;
    hob_random_bytes(out, len - 1);
    for (size_t i = 0; i + 1 < len; i++)
        out[i] = digits[out[i] & 0x0F];
    out[len - 1] = '\0';
    return out;
}
