/* mbed_pk.c - see mbed_pk.h */
#include "base/mbed_pk.h"

#include "base/random.h"

#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <string.h>
#if MBEDTLS_VERSION_MAJOR >= 3
#include <psa/crypto.h>
#endif

void hob_mbed_begin(void)
{
#if MBEDTLS_VERSION_MAJOR >= 3
    psa_crypto_init();
#endif
}

int hob_mbed_random(void *unused, unsigned char *out, size_t len)
{
    hob_random_bytes(out, len);
    return 0;
}

int hob_mbed_pk_parse(mbedtls_pk_context *pk, const unsigned char *text, size_t len,
                      const char *pass)
{
    size_t pass_len = pass ? strlen(pass) : 0;
    hob_mbed_begin();
#if MBEDTLS_VERSION_MAJOR >= 3
    return mbedtls_pk_parse_key(pk, text, len, (const unsigned char *)pass, pass_len,
                                hob_mbed_random, NULL);
#else
    return mbedtls_pk_parse_key(pk, text, len, (const unsigned char *)pass, pass_len);
#endif
}

int hob_mbed_pk_check_pair(const mbedtls_pk_context *pub, const mbedtls_pk_context *key)
{
#if MBEDTLS_VERSION_MAJOR >= 3
    return mbedtls_pk_check_pair(pub, key, hob_mbed_random, NULL);
#else
    return mbedtls_pk_check_pair(pub, key);
#endif
}
