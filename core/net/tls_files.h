/* tls_files.h - what is in certificate and key files, parsed once for all that use it at the time.
 *
 * A thousand things that trust the same CA, or reconnect with the same certificate, hold one copy
 * of it: files are compared by what is in them (SHA-256), which is read anew for every user. So one
 * that was replaced is seen at once, however fast, and one that is only copied is still shared.
 * Kept as long as anybody uses it, no longer; that a key and a certificate belong together is
 * remembered longer, by that digest.
 *
 * Life: hob_tls_cache_new -> ... -> hob_tls_cache_free, at any time: what is still used goes with
 * its last user. hob_tls_files_get -> hob_tls_files_put. One thread.
 * Spec: spec/unit/tls_keys_spec.lua
 */
#ifndef HOB_NET_TLS_FILES_H
#define HOB_NET_TLS_FILES_H

#include "base/error.h"
#include "net/tls.h"

#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <stdbool.h>

struct hob_tls_files {
    mbedtls_x509_crt certificates;
    mbedtls_pk_context key; /* type MBEDTLS_PK_NONE: without one */
    /* for this file and tls_files.c alone: */
    char digest[65];
    size_t users;
    struct hob_tls_cache *cache; /* NULL: not shared */
    struct hob_tls_files *next;
};

struct hob_tls_wish {
    const char *what;           /* "CA file": in messages */
    const char *cert_file;      /* one certificate, or a chain, or a list */
    const char *key_file;       /* NULL: certificates alone; else they must belong together */
    const char *key_passphrase; /* NULL: none */
};

/** @param cache  NULL: shared with nobody
 * @return 0, HOB_ENOENT, HOB_EACCES, HOB_ETLS: in words that name the file, HOB_ENOMEM */
int hob_tls_files_get(struct hob_tls_cache *cache, const struct hob_tls_wish *wish,
                      struct hob_tls_files **out, struct hob_error *err);
void hob_tls_files_put(struct hob_tls_files *files); /* NULL is legal */

#endif
