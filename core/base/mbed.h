/* mbed.h - what Hob needs of mbedTLS outside a TLS session, alike for mbedTLS 2.28 and 3.x.
 *
 * Error words and digests; the TLS session itself is net/tls. mbedtls headers are not included
 * here, so that its versions stay hidden.  Spec: spec/unit/mbed_spec.lua
 */
#ifndef HOB_BASE_MBED_H
#define HOB_BASE_MBED_H

#include <stddef.h>

#define HOB_SHA256_HEX_MAX 65

struct hob_sha256;
/** @return NULL: out of memory */
struct hob_sha256 *hob_sha256_new(void);
void hob_sha256_update(struct hob_sha256 *sha, const void *data, size_t len);
/** The digest, in lower case; "" if mbedTLS failed. Ends it. */
void hob_sha256_hex(struct hob_sha256 *sha, char out[HOB_SHA256_HEX_MAX]);
void hob_sha256_free(struct hob_sha256 *sha); /* NULL is legal */

/** One call for bytes in memory. @return out */
const char *hob_sha256_of(const void *data, size_t len, char out[HOB_SHA256_HEX_MAX]);

/** HMAC-SHA-256 of bytes in memory, in lower case; "" if mbedTLS failed. @return out */
const char *hob_hmac_sha256_of(const void *key, size_t key_len, const void *data, size_t len,
                               char out[HOB_SHA256_HEX_MAX]);

/** mbedTLS's words for one of its codes, into `out`. @return out */
const char *hob_mbed_words(int code, char *out, size_t len);

/** "mbed TLS 2.28.3" */
const char *hob_mbed_version(void);

#endif
