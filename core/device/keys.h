/* keys.h - private keys of this device: made, asked to be certified, compared with a certificate;
 * from when until when that is valid.
 *
 * A key that is made here is written to a file that only its owner may read (0600), whole or not at
 * all, and given to nobody else. Where a key or a certificate is wanted, a path or a PEM text will
 * do ("-----BEGIN ..." in it).
 *
 * The functions here do not return before all is done, which for an RSA key takes seconds on a
 * small device; whoever may not be held up calls them on another thread. They share nothing.
 * Spec: spec/unit/keys_spec.lua
 */
#ifndef HOB_DEVICE_KEYS_H
#define HOB_DEVICE_KEYS_H

#include "base/buf.h"
#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HOB_KEYS_RSA_BITS_MIN 2048 /* fewer are refused by AWS IoT */
#define HOB_KEYS_RSA_BITS_MAX 4096

struct hob_keys_options {
    const char *to; /* the file */
    bool rsa;       /* else: EC on the curve P-256 */
    int bits;       /* of an RSA key; 0: 2048 */
    bool replace;   /* a file that is there; else HOB_EEXIST: it may be the only copy of a key */
    const atomic_bool *stop; /* may become true on another thread: HOB_ECANCELED; may be NULL */
};

/** @return 0, HOB_EEXIST, HOB_EINVAL: bits, HOB_ECANCELED, or why the file could not be written */
int hob_keys_generate(const struct hob_keys_options *options, struct hob_error *err);

/** A certificate signing request (PKCS #10, SHA-256) in PEM, appended to `out`.
 * @param key  path or PEM
 * @param passphrase  NULL: none
 * @param subject  "CN=gateway-7, O=Example"
 * @return 0, HOB_EINVAL: subject, HOB_ETLS: no usable key, or why it could not be read */
int hob_keys_csr(const char *key, const char *passphrase, const char *subject, struct hob_buf *out,
                 struct hob_error *err);

/** Do the (first) certificate and the key belong together? Both are a path or PEM.
 * @return 0 and *match, or HOB_ETLS, ... : one of them cannot be read */
int hob_keys_match(const char *certificate, const char *key, const char *passphrase, bool *match,
                   struct hob_error *err);

struct hob_keys_dates {
    int64_t from_s, to_s; /* since 1970: the first and the last second at which it is valid */
};

/** Of the (first) certificate: a path or PEM. @return 0, or HOB_ETLS, ...: it cannot be read */
int hob_keys_dates(const char *certificate, struct hob_keys_dates *out, struct hob_error *err);

#endif
