/* tls.h - TLS as a transform between two queues; it does no I/O of its own.
 *
 *   ciphertext from the peer --feed--> [session] --read--> plaintext
 *   plaintext ---------------write---> [session] --output--> ciphertext for the peer
 *
 * hob_tls_config is what one session begins with: the files (CA, certificate, key), ALPN, perhaps a
 * key provider (hob.h) in place of the key's file. The session borrows it, and it must outlive it;
 * it is for one session, since what only a handshake needs is given back once the server has
 * spoken. What several of them read alike at the time they hold once, if they have a cache in
 * common. The server's name and chain are verified always, TLS 1.2 is the floor. Every refusal is
 * explained in words that name the cause and what to do: unknown issuer, expired and by how long,
 * not valid yet (and what the clock says), wrong name and which names the certificate has, a key
 * that does not match its certificate, an unreadable or encrypted key, a peer that closed during
 * the handshake (most often: it did not accept our certificate, or we have none). Causes come from
 * the verify callback: after a failure the peer's chain is gone.
 *
 * Loop thread only. The one file that knows mbedTLS's sessions.  Spec:
 * spec/integration/tls_spec.lua
 */
#ifndef HOB_NET_TLS_H
#define HOB_NET_TLS_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

struct hob_tls_options {
    const char *ca_file;        /* PEM; required */
    const char *cert_file;      /* PEM; NULL: no client certificate */
    const char *key_file;       /* PEM; goes with cert_file */
    const char *key_passphrase; /* NULL: none */
    const char *alpn;           /* NULL: none; "x-amzn-mqtt-ca" on port 443 of AWS */
    const struct hob_key_provider *key_provider; /* copied; signs, and key_file is not opened */
    const char *thing;                           /* whom it signs for; NULL: "" */
    struct hob_tls_cache *cache;                 /* borrowed; NULL: nothing is shared */
};

struct hob_tls_config;
struct hob_tls;

/** What the configurations of one thread hold in common: see tls_files.h. */
struct hob_tls_cache;
struct hob_tls_cache *hob_tls_cache_new(void);        /* NULL: out of memory */
void hob_tls_cache_free(struct hob_tls_cache *cache); /* NULL is legal; also before its users */
size_t hob_tls_cache_count(const struct hob_tls_cache *cache); /* how much is held now */
/** For how many pairs of key and certificate it was computed whether they belong together. */
size_t hob_tls_cache_computed(const struct hob_tls_cache *cache);

/** Read and check the files. HOB_ETLS, HOB_ENOENT or HOB_EACCES with a message that names the file;
 * HOB_EUNSUPPORTED: this mbedTLS lets no provider sign with such a key. */
int hob_tls_config_new(const struct hob_tls_options *options, struct hob_tls_config **out,
                       struct hob_error *err);
void hob_tls_config_free(struct hob_tls_config *config); /* NULL is legal */

/** Have the provider sign something, to see whether it can, and whether its key belongs to the
 * certificate. The loop waits. @return 0, also without a provider; HOB_ETLS and the reason */
int hob_tls_config_probe(struct hob_tls_config *config, struct hob_error *err);

/** A session that may shorten the next handshake with the same server; opaque, caller frees. */
struct hob_tls_ticket;
void hob_tls_ticket_free(struct hob_tls_ticket *ticket); /* NULL is legal */

/** @param server_name  verified against the certificate; for an IP address see the ADR on 2.28
 *  @param ticket       borrowed for the call; NULL: full handshake */
int hob_tls_new(struct hob_tls_config *config, const char *server_name,
                const struct hob_tls_ticket *ticket, struct hob_tls **out, struct hob_error *err);
void hob_tls_free(struct hob_tls *tls); /* NULL is legal */

/** Take ciphertext from the peer (copied). HOB_EMSGSIZE if more than hob_tls_feed_room. */
int hob_tls_feed(struct hob_tls *tls, const void *data, size_t len);
size_t hob_tls_feed_room(const struct hob_tls *tls);

/** Go on with the handshake. @return 1 done, 0 needs more from the peer, or HOB_ETLS with cause */
int hob_tls_handshake(struct hob_tls *tls, struct hob_error *err);

/** The peer closed the connection during the handshake: fill err with the likely cause.
 * @return HOB_ETLS */
int hob_tls_explain_close(struct hob_tls *tls, struct hob_error *err);

/** Plaintext out. @return bytes, 0: none now, HOB_ECONNRESET: the peer ended the session,
 * HOB_ETLS: broken (an alert is named in words) */
ssize_t hob_tls_read(struct hob_tls *tls, void *out, size_t len, struct hob_error *err);

/** Plaintext in. @return bytes taken (less than len, or 0, when the output is full) or a code */
ssize_t hob_tls_write(struct hob_tls *tls, const void *data, size_t len, struct hob_error *err);

/** Ciphertext for the peer: send it, then hob_buf_consume what was sent. */
struct hob_buf *hob_tls_output(struct hob_tls *tls);

/** Queue close_notify. */
void hob_tls_end(struct hob_tls *tls);

/** The session's ticket; caller frees; NULL if there is none. TLS 1.3 sends it after the handshake:
 * ask once plaintext has come. */
struct hob_tls_ticket *hob_tls_ticket_new(struct hob_tls *tls);

bool hob_tls_resumed(const struct hob_tls *tls);
const char *hob_tls_describe(const struct hob_tls *tls, char *out, size_t len); /* version, suite */
const char *
hob_tls_alpn(const struct hob_tls *tls); /* the name that the server chose; NULL: none */

#endif
