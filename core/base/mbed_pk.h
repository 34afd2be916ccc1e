/* mbed_pk.h - private keys of mbedTLS, alike for 2.28 and 3.x, and where its random numbers come
 * from.
 *
 * Any thread, each on keys of its own.  Spec: spec/unit/keys_spec.lua
 */
#ifndef HOB_BASE_MBED_PK_H
#define HOB_BASE_MBED_PK_H

#include <stddef.h>

struct mbedtls_pk_context;

/** Before keys or TLS are used; legal more than once. 3.x keeps some of its own for all. */
void hob_mbed_begin(void);

/** For mbedTLS's f_rng: the kernel's random bytes, so that no session, key or configuration needs
 * a generator of its own (and 2 KB for it). `unused` is its p_rng. @return 0 */
int hob_mbed_random(void *unused, unsigned char *out, size_t len);

/** A private key from PEM. @param len  with the NUL  @param pass  NULL: none
 * @return 0 or mbedTLS's code */
int hob_mbed_pk_parse(struct mbedtls_pk_context *pk, const unsigned char *text, size_t len,
                      const char *pass);

/** Do they belong together? @return 0 or mbedTLS's code */
int hob_mbed_pk_check_pair(const struct mbedtls_pk_context *pub,
                           const struct mbedtls_pk_context *key);

#endif
