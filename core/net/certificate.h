/* certificate.h - what is written in a file of certificates: for people who look, and for warnings
 * before one expires. Nothing is verified here; that is tls.h's.
 *
 * No state. Loop thread only.  Spec: spec/integration/doctor_spec.lua
 */
#ifndef HOB_NET_CERTIFICATE_H
#define HOB_NET_CERTIFICATE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define HOB_CERTIFICATE_NAME_MAX 256

struct hob_certificate {
    char subject[HOB_CERTIFICATE_NAME_MAX]; /* "CN=gateway-7, O=Example" */
    char issuer[HOB_CERTIFICATE_NAME_MAX];
    int64_t from_s, to_s; /* seconds since 1970 in which it is valid */
    bool is_ca;           /* may issue others */
    bool is_self_issued;
    bool is_issued_by_next; /* by the one after it in the file */
};

typedef void hob_certificate_fn(void *user, const struct hob_certificate *certificate);

/** Give each certificate of a PEM file to `fn`, in their order.
 * @return how many there are, or HOB_ENOENT, HOB_EACCES, HOB_ETLS with a message that names the
 * file: `FILE: no certificate in it, but "PUBLIC KEY"` */
int hob_certificate_read(const char *path, hob_certificate_fn *fn, void *user,
                         struct hob_error *err);

#endif
