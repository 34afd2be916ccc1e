/* verify.h - digests of files, and signatures over them: ECDSA and RSA (PKCS #1 v1.5) by mbedTLS.
 *
 * A file is read and digested in a worker thread of libuv, so that a large one holds nothing up.
 * Whose key counts is the caller's business: a certificate that is given as the key is trusted as
 * it is, and its dates are only reported; one that is given beside a CA must be issued by that for
 * code signing, and be valid now.
 *
 * Life of a digest: hob_verify_digest_start -> done, then freed by itself; or
 * hob_verify_digest_cancel, after which nothing is called.  Spec: spec/unit/verify_spec.lua
 */
#ifndef HOB_DEVICE_VERIFY_H
#define HOB_DEVICE_VERIFY_H

#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOB_VERIFY_DIGEST_MAX 64
#define HOB_VERIFY_NAME_MAX   256

struct hob_verify_digest;

struct hob_verify_digest_result {
    struct hob_error error; /* code 0: fine */
    unsigned char bytes[HOB_VERIFY_DIGEST_MAX];
    size_t len;
    uint64_t size; /* of the file */
};

typedef void hob_verify_digest_fn(void *user, const struct hob_verify_digest_result *result);

/** @param hash  "SHA1", "SHA256", "SHA384" or "SHA512", else HOB_EINVAL. Copies its arguments. */
int hob_verify_digest_start(struct hob_loop *loop, const char *path, const char *hash,
                            hob_verify_digest_fn *done, void *user, struct hob_verify_digest **out,
                            struct hob_error *err);
void hob_verify_digest_cancel(struct hob_verify_digest *digest);

/** Of bytes in memory, at once. */
int hob_verify_digest_of(const char *hash, const void *data, size_t len,
                         struct hob_verify_digest_result *out, struct hob_error *err);

struct hob_verify_text {
    const char *data; /* followed by a NUL; data NULL: none */
    size_t len;
    const char *name; /* for a person: a file's name */
};

struct hob_verify_options {  /* all borrowed */
    const char *hash, *kind; /* "SHA256"; "ECDSA" or "RSA" */
    const unsigned char *digest;
    size_t digest_len;
    const char *signature; /* bytes, or their base64 */
    size_t signature_len;
    struct hob_verify_text key; /* PEM: a certificate (with its chain), or a public key */
    struct hob_verify_text ca;  /* PEM: who must have issued it; data NULL: it is trusted itself */
};

struct hob_verify_signer {
    char name[HOB_VERIFY_NAME_MAX]; /* "CN=Release 2026"; "" of a bare key */
    bool expired;                   /* its dates are over, or not reached; always false with a CA */
};

/** @return 0, HOB_ESIGNATURE: this signature is not of that key, or HOB_EINVAL: what was given as
 * key, CA or algorithm is none */
int hob_verify_signature(const struct hob_verify_options *options, struct hob_verify_signer *signer,
                         struct hob_error *err);

#endif
