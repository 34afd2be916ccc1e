#include "net/tls.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "net/pages.h"
#include "net/tls_config.h"
#include "net/tls_watch.h"
#include "net/tls_words.h"

#include <mbedtls/platform.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <stdio.h>
#include <string.h>

#define INPUT_MAX       (64 * 1024)
#define OUTPUT_MAX      (128 * 1024)
#define CHUNK           (16 * 1024) /* the most plaintext that one record holds */
#define RECORD_OVERHEAD 512         /* more than any suite adds to a record */
#define RECORD_HEAD     512         /* counters and header in front of one */
#define RESTS_AFTER     2048        /* bytes: a shorter record leaves most of the pages untouched */

#ifndef MBEDTLS_PRIVATE
#define MBEDTLS_PRIVATE(member) member
#endif

/* When all certificates of the server's chain are valid, in seconds since 1970. */
struct validity {
    int64_t from, to;
};

struct hob_tls_ticket {
    mbedtls_ssl_session session;
    struct validity chain;
    char *server_name;
    char fingerprint[HOB_SHA256_HEX_MAX];
};

struct hob_tls {
    struct hob_tls_config *config;
    mbedtls_ssl_context ssl;
    struct hob_buf in, out;
    char *server_name;
    struct hob_tls_watch watch;
    char *cause;           /* collected by the verify callback; NULL: all was well */
    bool asked;            /* the server's certificate was looked at: not resumed */
    struct validity chain; /* of the full handshake, perhaps of an earlier session */
    bool settled;          /* what only a handshake needs was given back */
    bool ticket_offered;
    bool open;
    size_t longest; /* record, in both directions, since unused memory was given back */
};

/* ---- what went wrong ---- */

static const mbedtls_x509_crt *first_of(const struct hob_tls_files *files)
{
    return files ? &files->certificates : NULL;
}

static struct hob_tls_words_about about(const struct hob_tls *tls)
{
    const struct hob_tls_config *config = tls->config;
    return (struct hob_tls_words_about){.server_name = tls->server_name,
                                        .ca = first_of(config->ca),
                                        .ca_file = config->ca_file,
                                        .own = first_of(config->own),
                                        .cert_file = config->cert_file,
                                        .alpn = config->alpn[0]};
}

static void add_cause(struct hob_tls *tls, const mbedtls_x509_crt *crt, int depth, uint32_t flags)
{
    const struct hob_tls_words_about sides = about(tls);
    if (!tls->cause)
        tls->cause = hob_calloc(1, HOB_ERROR_MESSAGE_MAX);
    if (tls->cause)
        hob_tls_words_verify(tls->cause, &sides, crt, depth, flags);
}

static void narrow(struct validity *chain, const mbedtls_x509_crt *crt)
{
    int64_t from = hob_tls_words_seconds(&crt->valid_from);
    int64_t to = hob_tls_words_seconds(&crt->valid_to);
    chain->from = from > chain->from ? from : chain->from;
    chain->to = to < chain->to ? to : chain->to;
}

static bool is_valid_now(const struct validity *chain)
{
    int64_t now = hob_clock_wall_ms() / 1000;
    return now >= chain->from && now <= chain->to;
}

static int on_verify(void *user, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
    struct hob_tls *tls = user;
    if (!tls->asked)
        tls->chain = (struct validity){INT64_MIN, INT64_MAX};
    tls->asked = true;
    narrow(&tls->chain, crt);
    hob_tls_words_dates(crt, flags);
    if (*flags != 0)
        add_cause(tls, crt, depth, *flags);
    return 0; /* the flags stay: the handshake fails because of them */
}

/* TLS 1.3 checks our certificate only after the handshake was over for us, and says so in an
 * encrypted alert, whose number mbedTLS 3 has nowhere but here. */
static int alert_of(const struct hob_tls *tls)
{
#if MBEDTLS_VERSION_MAJOR == 3
    const unsigned char *alert = tls->ssl.MBEDTLS_PRIVATE(in_msg);
    if (tls->open && alert && tls->ssl.MBEDTLS_PRIVATE(in_msgtype) == MBEDTLS_SSL_MSG_ALERT)
        return alert[1];
#endif
    return tls->watch.alert;
}

static int explain_alert(const struct hob_tls *tls, struct hob_error *err)
{
    char text[HOB_ERROR_MESSAGE_MAX] = "";
    const struct hob_tls_words_about sides = about(tls);
    hob_tls_words_alert(text, &sides, alert_of(tls));
    return hob_error_set(err, HOB_ETLS, "%s", text);
}

#if MBEDTLS_VERSION_MAJOR >= 3
#define BAD_VERSION MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION
#else
#define BAD_VERSION MBEDTLS_ERR_SSL_BAD_HS_PROTOCOL_VERSION
#endif

static int explain_failure(struct hob_tls *tls, int ret, struct hob_error *err)
{
    char words[128];
    if (tls->watch.is_foreign)
        return hob_error_set(err, HOB_ETLS,
                             "the server does not speak TLS on this port: it answered \"%s\"",
                             tls->watch.foreign);
    if (tls->cause)
        return hob_error_set(err, HOB_ETLS, "%s", tls->cause);
    if (hob_tls_signer_cause(tls->config->signer))
        return hob_error_set(err, HOB_ETLS, "%s", hob_tls_signer_cause(tls->config->signer));
    if (ret == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
        return explain_alert(tls, err);
    if (ret == BAD_VERSION)
        return hob_error_set(err, HOB_ETLS,
                             "the server does not speak TLS 1.2, the oldest that Hob takes");
    return hob_error_set(err, HOB_ETLS, "TLS failed: %s (-0x%04x)",
                         hob_mbed_words(ret, words, sizeof(words)), (unsigned)-ret);
}

int hob_tls_explain_close(struct hob_tls *tls, struct hob_error *err)
{
    char text[HOB_ERROR_MESSAGE_MAX] = "";
    const struct hob_tls_words_about sides = about(tls);
    if (tls->watch.is_foreign || tls->cause || hob_tls_signer_cause(tls->config->signer))
        return explain_failure(tls, 0, err);
    if (tls->watch.alert != HOB_TLS_WORDS_NO_ALERT)
        return explain_alert(tls, err);
    if (!tls->watch.any)
        return hob_error_set(err, HOB_ETLS,
                             "the server closed the connection before it answered the TLS "
                             "handshake: does it speak TLS on this port?");
    hob_tls_words_close(text, &sides);
    return hob_error_set(err, HOB_ETLS, "%s", text);
}

/* ---- the session ---- */

/* mbedTLS asks for a record's header, then for all the rest; it sends whole ones. */
static void note_length(struct hob_tls *tls, size_t len)
{
    if (len > tls->longest)
        tls->longest = len;
}

static int bio_send(void *user, const unsigned char *data, size_t len)
{
    struct hob_tls *tls = user;
    size_t room = hob_buf_room(&tls->out);
    if (room == 0)
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    if (len > room)
        len = room;
    note_length(tls, len);
    return hob_buf_append(&tls->out, data, len) == 0 ? (int)len : MBEDTLS_ERR_SSL_ALLOC_FAILED;
}

static int bio_recv(void *user, unsigned char *out, size_t len)
{
    struct hob_tls *tls = user;
    size_t have = hob_buf_len(&tls->in);
    if (have == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    if (len > have)
        len = have;
    memcpy(out, hob_buf_data(&tls->in), len);
    hob_buf_consume(&tls->in, len);
    note_length(tls, len);
    return (int)len;
}

static void offer_ticket(struct hob_tls *tls, const struct hob_tls_ticket *ticket)
{
    if (!ticket || strcmp(ticket->server_name, tls->server_name) != 0 ||
        strcmp(ticket->fingerprint, tls->config->fingerprint) != 0)
        return; /* it speaks for another server, or for a certificate that was replaced since */
    if (!is_valid_now(&ticket->chain))
        return; /* whoever resumes is shown no certificate, also when it has expired since */
    tls->chain = ticket->chain;
    tls->ticket_offered = mbedtls_ssl_set_session(&tls->ssl, &ticket->session) == 0;
}

int hob_tls_new(struct hob_tls_config *config, const char *server_name,
                const struct hob_tls_ticket *ticket, struct hob_tls **out, struct hob_error *err)
{
    struct hob_tls *tls = hob_calloc(1, sizeof(*tls));
    char words[128];
    if (!tls || !(tls->server_name = hob_strdup(server_name))) {
        hob_free(tls);
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    tls->config = config;
    tls->longest = RESTS_AFTER; /* to make its room has touched all of it */
    tls->watch.alert = HOB_TLS_WORDS_NO_ALERT;
    hob_buf_init(&tls->in, INPUT_MAX);
    hob_buf_init(&tls->out, OUTPUT_MAX);
    mbedtls_ssl_init(&tls->ssl);
    int ret = mbedtls_ssl_setup(&tls->ssl, &config->ssl);
    if (ret == 0)
        ret = mbedtls_ssl_set_hostname(&tls->ssl, server_name);
    if (ret != 0) {
        hob_tls_free(tls);
        return hob_error_set(err, HOB_ETLS, "TLS cannot be set up for %s: %s", server_name,
                             hob_mbed_words(ret, words, sizeof(words)));
    }
    mbedtls_ssl_set_verify(&tls->ssl, on_verify, tls);
    mbedtls_ssl_set_bio(&tls->ssl, tls, bio_send, bio_recv, NULL);
    offer_ticket(tls, ticket);
    *out = tls;
    return 0;
}

void hob_tls_free(struct hob_tls *tls)
{
    if (!tls)
        return;
    mbedtls_ssl_free(&tls->ssl);
    hob_buf_free(&tls->in);
    hob_buf_free(&tls->out);
    hob_free(tls->server_name);
    hob_free(tls->cause);
    hob_free(tls);
}

int hob_tls_feed(struct hob_tls *tls, const void *data, size_t len)
{
    if (!tls->open)
        hob_tls_watch_records(&tls->watch, data, len);
    return hob_buf_append(&tls->in, data, len);
}

size_t hob_tls_feed_room(const struct hob_tls *tls)
{
    return hob_buf_room(&tls->in);
}

/* TLS 1.3 sends tickets after the handshake; mbedTLS keeps the last and wants to be asked again. */
static bool is_ticket(int ret)
{
#ifdef MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET
    return ret == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET;
#else
    return false;
#endif
}

/* Not an error: there is nothing to read now. */
static bool is_pause(int ret)
{
    return ret == MBEDTLS_ERR_SSL_WANT_READ || ret == MBEDTLS_ERR_SSL_WANT_WRITE;
}

int hob_tls_handshake(struct hob_tls *tls, struct hob_error *err)
{
    int ret = mbedtls_ssl_handshake(&tls->ssl);
    if (ret == 0) {
        tls->open = true;
        return 1;
    }
    return is_pause(ret) ? 0 : explain_failure(tls, ret, err);
}

/* With TLS 1.3 mbedTLS also says WANT_READ between two messages that are both here already: ask on
 * until it takes no more. */
static int read_on(struct hob_tls *tls, void *out, size_t len)
{
    size_t before;
    int ret;
    do {
        before = hob_buf_len(&tls->in);
        ret = mbedtls_ssl_read(&tls->ssl, out, len);
    } while (is_ticket(ret) ||
             (ret == MBEDTLS_ERR_SSL_WANT_READ && hob_buf_len(&tls->in) != before));
    return ret;
}

static void drop_chain(mbedtls_ssl_session *session)
{
#if defined(MBEDTLS_SSL_KEEP_PEER_CERTIFICATE)
    mbedtls_x509_crt *chain = session ? session->MBEDTLS_PRIVATE(peer_cert) : NULL;
    if (!chain)
        return;
    mbedtls_x509_crt_free(chain);
    mbedtls_free(chain);
    session->MBEDTLS_PRIVATE(peer_cert) = NULL;
#endif
}

/* The server speaks: it has accepted us, with TLS 1.3, too. What was for the handshake goes: of
 * many connections that is as much as what stays, the room for records aside. */
static void settle(struct hob_tls *tls)
{
    tls->settled = true;
    drop_chain(tls->ssl.MBEDTLS_PRIVATE(session));
    hob_tls_config_settle(tls->config);
}

/* mbedTLS has room for the longest record in both directions, 33 KB for each connection. Between
 * records only the first bytes, which count them, mean something. */
static void rest(struct hob_tls *tls)
{
    mbedtls_ssl_context *ssl = &tls->ssl;
    bool is_quiet = ssl->MBEDTLS_PRIVATE(in_left) == 0 && ssl->MBEDTLS_PRIVATE(out_left) == 0;
    if (tls->longest >= RESTS_AFTER && is_quiet) {
        tls->longest = 0;
        hob_pages_give_back(ssl->MBEDTLS_PRIVATE(in_buf), RECORD_HEAD);
        hob_pages_give_back(ssl->MBEDTLS_PRIVATE(out_buf), RECORD_HEAD);
    }
}

ssize_t hob_tls_read(struct hob_tls *tls, void *out, size_t len, struct hob_error *err)
{
    if (len == 0)
        return 0;
    int ret = read_on(tls, out, len);
    hob_buf_give_back(&tls->in);
    if (ret > 0 && !tls->settled)
        settle(tls);
    if (ret > 0)
        return ret;
    if (is_pause(ret)) {
        rest(tls);
        return 0;
    }
    if (ret == 0 || ret == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
        return hob_error_set(err, HOB_ECONNRESET, "the server ended the connection");
    return explain_failure(tls, ret, err);
}

ssize_t hob_tls_write(struct hob_tls *tls, const void *data, size_t len, struct hob_error *err)
{
    size_t taken = 0;
    while (taken < len && hob_buf_room(&tls->out) >= CHUNK + RECORD_OVERHEAD) {
        size_t chunk = len - taken < CHUNK ? len - taken : CHUNK;
        int ret = mbedtls_ssl_write(&tls->ssl, (const unsigned char *)data + taken, chunk);
        if (is_ticket(ret))
            continue;
        if (ret < 0)
            return explain_failure(tls, ret, err);
        taken += (size_t)ret;
    }
    return (ssize_t)taken;
}

struct hob_buf *hob_tls_output(struct hob_tls *tls)
{
    return &tls->out;
}

void hob_tls_end(struct hob_tls *tls)
{
    if (tls->open)
        mbedtls_ssl_close_notify(&tls->ssl); /* a courtesy: its failure changes nothing */
}

struct hob_tls_ticket *hob_tls_ticket_new(struct hob_tls *tls)
{
    if (!tls->open)
        return NULL;
    struct hob_tls_ticket *ticket = hob_calloc(1, sizeof(*ticket));
    if (!ticket)
        return NULL;
    mbedtls_ssl_session_init(&ticket->session);
    ticket->chain = tls->chain;
    memcpy(ticket->fingerprint, tls->config->fingerprint, sizeof(ticket->fingerprint));
    ticket->server_name = hob_strdup(tls->server_name);
    if (!ticket->server_name || mbedtls_ssl_get_session(&tls->ssl, &ticket->session) != 0) {
        hob_tls_ticket_free(ticket);
        return NULL;
    }
    drop_chain(&ticket->session);
    return ticket;
}

void hob_tls_ticket_free(struct hob_tls_ticket *ticket)
{
    if (!ticket)
        return;
    mbedtls_ssl_session_free(&ticket->session);
    hob_free(ticket->server_name);
    hob_free(ticket);
}

/* mbedTLS does not tell; but only a full handshake shows the server's certificate. */
bool hob_tls_resumed(const struct hob_tls *tls)
{
    return tls->open && tls->ticket_offered && !tls->asked;
}

const char *hob_tls_describe(const struct hob_tls *tls, char *out, size_t len)
{
    snprintf(out, len, "%s, %s%s", mbedtls_ssl_get_version(&tls->ssl),
             mbedtls_ssl_get_ciphersuite(&tls->ssl), hob_tls_resumed(tls) ? ", resumed" : "");
    return out;
}

const char *hob_tls_alpn(const struct hob_tls *tls)
{
    return mbedtls_ssl_get_alpn_protocol(&tls->ssl);
}
