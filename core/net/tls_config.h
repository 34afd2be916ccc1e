/* tls_config.h - what one session begins with: see hob_tls_config in tls.h. For core/net/tls*.c.
 *
 * Spec: spec/integration/tls_spec.lua
 */
#ifndef HOB_NET_TLS_CONFIG_H
#define HOB_NET_TLS_CONFIG_H

#include "base/mbed.h"
#include "net/tls.h"
#include "net/tls_files.h"
#include "net/tls_signer.h"

#include <mbedtls/ssl.h>

struct hob_tls_config {
    mbedtls_ssl_config ssl;
    struct hob_tls_files *ca;      /* NULL once it has settled */
    struct hob_tls_files *own;     /* likewise; NULL: no client certificate */
    mbedtls_pk_context provided;   /* the key that a provider has */
    struct hob_tls_signer *signer; /* of it; NULL: the key is in a file */
    char *ca_file;
    char *cert_file; /* NULL: no client certificate */
    char *alpn[2];
    char fingerprint[HOB_SHA256_HEX_MAX]; /* of what a ticket depends on */
};

/** The peer has accepted us: CA, certificate and key are not needed any more. */
void hob_tls_config_settle(struct hob_tls_config *config);

#endif
