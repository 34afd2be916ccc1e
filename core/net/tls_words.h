/* tls_words.h - mbedTLS's verify flags, alerts and codes as sentences that name the cause.
 *
 * Knows no session: who we are and whom we speak to comes in a `struct hob_tls_words_about`. The
 * functions with `out` add a sentence to it (HOB_ERROR_MESSAGE_MAX bytes, "" at first).
 * Loop thread only.  Spec: spec/integration/tls_spec.lua
 */
#ifndef HOB_NET_TLS_WORDS_H
#define HOB_NET_TLS_WORDS_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOB_TLS_WORDS_NO_ALERT (-1) /* there was one, and its number is not known */

struct mbedtls_x509_crt;
struct mbedtls_x509_time;

/** Both sides of a handshake; all of it borrowed. */
struct hob_tls_words_about {
    const char *server_name;
    const struct mbedtls_x509_crt *ca; /* at least one; NULL once it is not needed any more */
    const char *ca_file;
    const struct mbedtls_x509_crt *own; /* likewise */
    const char *cert_file;              /* NULL: no client certificate */
    const char *alpn;                   /* NULL: none */
};

/** "CA file /x: No such file or directory: check the path". @return the code */
int hob_tls_words_file(struct hob_error *err, const char *what, const char *path, int errnum);

/** What a PEM file holds: "PRIVATE KEY" after its first "-----BEGIN ". @return out; NULL: no PEM */
const char *hob_tls_words_pem_label(const char *text, char *out, size_t len);

/** Why mbedTLS could not read this key (`ret` is its code). @return HOB_ETLS */
int hob_tls_words_key(int ret, const char *text, const char *path, bool has_pass,
                      struct hob_error *err);

/** Seconds since 1970. */
int64_t hob_tls_words_seconds(const struct mbedtls_x509_time *t);

/** Is it valid now, by Hob's clock (hob_set_clock)? Corrects the flags about that. */
void hob_tls_words_dates(const struct mbedtls_x509_crt *crt, uint32_t *flags);

/** What is wrong with a certificate in the server's chain; `depth` 0 is the server's own. */
void hob_tls_words_verify(char *out, const struct hob_tls_words_about *about,
                          const struct mbedtls_x509_crt *crt, int depth, uint32_t flags);

/** What the server disliked about us: it sent this alert, or closed without a word. */
void hob_tls_words_alert(char *out, const struct hob_tls_words_about *about, int alert);
void hob_tls_words_close(char *out, const struct hob_tls_words_about *about);

#endif
