/* expiry.h - when the certificates in a file end, read again whenever the file has changed.
 *
 * For `hob metrics` and `hob status`, which may be asked every few seconds: a bundle of a hundred
 * certificates is not read each time.
 * Life: zero at first, nothing to free. Loop thread only.  Spec: spec/integration/metrics_spec.lua
 */
#ifndef HOB_HOST_EXPIRY_H
#define HOB_HOST_EXPIRY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct hob_expiry {
    bool known; /* `stamp` is of the file that was read */
    struct stat stamp;
    int code;              /* it could not be read: HOB_E*; 0 */
    int64_t first_s;       /* the first of its certificates to end; 0: could not be read */
    int64_t last_s;        /* the last of them */
    unsigned certificates; /* in the file */
};

/** @return `expiry`, as the file is now */
const struct hob_expiry *hob_expiry_look(struct hob_expiry *expiry, const char *path);

#endif
