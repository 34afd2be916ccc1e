/* mbed.c - see mbed.h */
#include "base/mbed.h"

#include "base/alloc.h"

#include <mbedtls/error.h>
#include <mbedtls/md.h>
#include <mbedtls/sha256.h>
#include <mbedtls/version.h>
#include <stdio.h>

/* 3.x dropped the _ret names that 2.28 has; both return a code. */
#if MBEDTLS_VERSION_MAJOR < 3
#define sha256_starts mbedtls_sha256_starts_ret
#define sha256_update mbedtls_sha256_update_ret
#define sha256_finish mbedtls_sha256_finish_ret
#else
#define sha256_starts mbedtls_sha256_starts
#define sha256_update mbedtls_sha256_update
#define sha256_finish mbedtls_sha256_finish
#endif

#define DIGEST_BYTES 32

struct hob_sha256 {
    mbedtls_sha256_context context;
    int failed; /* hardware digests may fail: then no text is ever a match */
};

static void begin(struct hob_sha256 *sha)
{
    mbedtls_sha256_init(&sha->context);
    sha->failed = sha256_starts(&sha->context, 0);
}

static void write_hex(const unsigned char digest[DIGEST_BYTES], int failed,
                      char out[HOB_SHA256_HEX_MAX])
{
    static const char digits[] = "0123456789abcdef";
    size_t len = 0;
    for (size_t i = 0; i < DIGEST_BYTES && !failed; i++) {
        out[len++] = digits[digest[i] >> 4];
        out[len++] = digits[digest[i] & 0x0F];
    }
    out[len] = '\0';
}

struct hob_sha256 *hob_sha256_new(void)
{
    struct hob_sha256 *sha = hob_malloc(sizeof *sha);
    if (sha)
        begin(sha);
    return sha;
}

void hob_sha256_update(struct hob_sha256 *sha, const void *data, size_t len)
{
    if (len > 0)
        sha->failed |= sha256_update(&sha->context, data, len);
}

void hob_sha256_hex(struct hob_sha256 *sha, char out[HOB_SHA256_HEX_MAX])
{
    unsigned char digest[DIGEST_BYTES];
    sha->failed |= sha256_finish(&sha->context, digest);
    write_hex(digest, sha->failed, out);
}

void hob_sha256_free(struct hob_sha256 *sha)
{
    if (!sha)
        return;
    mbedtls_sha256_free(&sha->context);
    hob_free(sha);
}

const char *hob_sha256_of(const void *data, size_t len, char out[HOB_SHA256_HEX_MAX])
{
    struct hob_sha256 sha;
    begin(&sha);
    hob_sha256_update(&sha, data, len);
    hob_sha256_hex(&sha, out);
    mbedtls_sha256_free(&sha.context);
    return out;
}

const char *hob_hmac_sha256_of(const void *key, size_t key_len, const void *data, size_t len,
                               char out[HOB_SHA256_HEX_MAX])
{
    unsigned char digest[DIGEST_BYTES];
    int failed = mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), key, key_len, data,
                                 len, digest);
    write_hex(digest, failed, out);
    return out;
}

const char *hob_mbed_words(int code, char *out, size_t len)
{
    mbedtls_strerror(code, out, len);
    return out;
}

const char *hob_mbed_version(void)
{
    return MBEDTLS_VERSION_STRING_FULL;
}
