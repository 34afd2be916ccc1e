/* pem.h - PEM files, as mbedTLS wants them: whole, with a NUL at the end that counts.
 *
 * Any thread.  Spec: spec/integration/tls_spec.lua, spec/unit/keys_spec.lua
 */
#ifndef HOB_NET_PEM_H
#define HOB_NET_PEM_H

#include "base/error.h"

#include <stddef.h>

struct mbedtls_x509_crt;

/** @param what  "key file": what messages call it
 * @param len  with the NUL
 * @return the text, for hob_pem_free; NULL: *err says why (HOB_ENOENT, HOB_EACCES, HOB_ETLS: too
 * large) and names the file */
unsigned char *hob_pem_read(const char *what, const char *path, size_t *len, struct hob_error *err);

/** Wipes it first: it may be a key. NULL is legal. */
void hob_pem_free(unsigned char *text, size_t len);

/** The certificates of a text, appended to `list`. One that is good is enough.
 * @param name  of the file, for messages: "certificate file /x: damaged certificate: ..."
 * @return 0, or HOB_ETLS: there is none, or not one can be read */
int hob_pem_parse_certificates(struct mbedtls_x509_crt *list, const char *what, const char *name,
                               const unsigned char *text, size_t len, struct hob_error *err);

#endif
