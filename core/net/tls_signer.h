/* tls_signer.h - a private key of mbedTLS's that is none: who signs is a key provider (hob.h).
 *
 * RSA goes through mbedtls_pk_setup_rsa_alt; its key can do PKCS #1 v1.5 only, so that TLS 1.2 is
 * the most that such a session speaks. EC is a key type of our own, which mbedTLS 2.28 allows
 * (mbedtls/pk_internal.h) and 3.x does not: there it is HOB_EUNSUPPORTED. Every signature is
 * compared with the certificate before mbedTLS gets it: a provider with another key, or one that
 * gives something else, is told here, in words, and not by the server's "decrypt error".
 *
 * Life: hob_tls_signer_new -> hob_tls_signer_free, after the key was freed. One thread.
 * Spec: spec/integration/key_provider_spec.lua
 */
#ifndef HOB_NET_TLS_SIGNER_H
#define HOB_NET_TLS_SIGNER_H

#include "base/error.h"

#include <stdbool.h>

struct hob_tls_signer;
struct mbedtls_pk_context;
struct mbedtls_x509_crt;

struct hob_tls_signer_options {
    const struct hob_key_provider *provider; /* copied */
    const char *thing;                       /* copied */
    const char *cert_file;                   /* copied */
    struct mbedtls_x509_crt *certificate;    /* borrowed for the signer's life */
};

/** @param key  set up to sign through it; borrows the signer
 * @return 0, HOB_EUNSUPPORTED, HOB_EINVAL: the provider has no `sign`, HOB_ENOMEM */
int hob_tls_signer_new(const struct hob_tls_signer_options *options, struct mbedtls_pk_context *key,
                       struct hob_tls_signer **out, struct hob_error *err);
void hob_tls_signer_free(struct hob_tls_signer *signer); /* NULL is legal */

/** Sign something, to see whether it can, and for this certificate. @return 0, or HOB_ETLS */
int hob_tls_signer_probe(struct hob_tls_signer *signer, struct hob_error *err);

/** Why the last signature was none; NULL: it was one, or nothing was asked. NULL is legal. */
const char *hob_tls_signer_cause(const struct hob_tls_signer *signer);

/** Does its key keep a session from TLS 1.3? */
bool hob_tls_signer_is_tls12(const struct hob_tls_signer *signer);

#endif
