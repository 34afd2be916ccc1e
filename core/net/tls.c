#include "net/tls.h"

#include "base/alloc.h"
#include "base/mbed.h"
#include "net/tls_words.h"

#include <errno.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <string.h>

#if MBEDTLS_VERSION_MAJOR >= 3
#include <psa/crypto.h>
#endif

#define FILE_MAX        (1024 * 1024)
#define INPUT_MAX       (64 * 1024)
#define OUTPUT_MAX      (128 * 1024)
#define CHUNK           (16 * 1024) /* the most plaintext that one record holds */
#define RECORD_OVERHEAD 512         /* more than any suite adds to a record */

struct hob_tls_config {
    mbedtls_ssl_config ssl;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context drbg;
    mbedtls_x509_crt ca;
    mbedtls_x509_crt own;
    mbedtls_pk_context key;
    char *ca_file;
    char *cert_file; /* NULL: no client certificate */
    char *alpn[2];
    char fingerprint[HOB_SHA256_HEX_MAX]; /* of what a ticket depends on */
};

struct hob_tls_ticket {
    mbedtls_ssl_session session;
    char *server_name;
    char fingerprint[HOB_SHA256_HEX_MAX];
};

/* Looks at the records that come in the clear, for the alert that mbedTLS 3 keeps to itself, and
 * for a peer that does not speak TLS at all. */
struct watch {
    unsigned char header[5];
    size_t header_len;
    size_t left; /* of the record's body */
    int alert;
    bool done;
    bool any; /* the peer has sent something */
    char foreign[33];
    size_t foreign_len;
    bool is_foreign;
};

struct hob_tls {
    struct hob_tls_config *config;
    mbedtls_ssl_context ssl;
    struct hob_buf in, out;
    char *server_name;
    struct watch watch;
    char cause[HOB_ERROR_MESSAGE_MAX]; /* collected by the verify callback */
    bool asked;                        /* the server's certificate was looked at: not resumed */
    bool ticket_offered;
    bool open;
};

/* ---- files ---- */

/** @return the text with a NUL, counted in *len as mbedTLS wants it; wipe and free it */
static unsigned char *read_pem(const char *what, const char *path, size_t *len,
                               struct hob_error *err)
{
    FILE *file = fopen(path, "rbe");
    if (!file) {
        hob_tls_words_file(err, what, path, errno);
        return NULL;
    }
    unsigned char *text = hob_calloc(1, FILE_MAX + 1);
    size_t got = text ? fread(text, 1, FILE_MAX, file) : 0;
    int problem = !text ? ENOMEM : ferror(file) ? errno : 0;
    bool whole = got < FILE_MAX;
    fclose(file);
    if (problem)
        hob_tls_words_file(err, what, path, problem);
    else if (!whole)
        hob_error_set(err, HOB_ETLS, "%s %s: too large for a PEM file", what, path);
    if (problem || !whole) {
        hob_free(text);
        return NULL;
    }
    *len = got + 1;
    return text;
}

static void wipe(unsigned char *text, size_t len)
{
    mbedtls_platform_zeroize(text, len);
    hob_free(text);
}

static int load_certificates(mbedtls_x509_crt *crt, const char *what, const char *path,
                             struct hob_error *err)
{
    size_t len;
    char label[64], words[128];
    unsigned char *text = read_pem(what, path, &len, err);
    if (!text)
        return err ? err->code : HOB_ETLS;
    int code = 0;
    if (!strstr((char *)text, "-----BEGIN CERTIFICATE-----")) {
        if (hob_tls_words_pem_label((char *)text, label, sizeof(label)))
            code = hob_error_set(err, HOB_ETLS, "%s %s: no certificate in it, but \"%s\"", what,
                                 path, label);
        else
            code = hob_error_set(err, HOB_ETLS,
                                 "%s %s: not a PEM file (no \"-----BEGIN "
                                 "CERTIFICATE-----\" in it)",
                                 what, path);
    } else {
        int ret = mbedtls_x509_crt_parse(crt, text, len);
        /* A positive result counts those it could not read; enough that one is good. */
        if (ret != 0 && (ret < 0 || crt->raw.p == NULL))
            code = hob_error_set(err, HOB_ETLS, "%s %s: damaged certificate: %s", what, path,
                                 hob_mbed_words(ret, words, sizeof(words)));
    }
    hob_free(text);
    return code;
}

static int parse_key(struct hob_tls_config *config, const unsigned char *text, size_t len,
                     const char *pass)
{
    size_t pass_len = pass ? strlen(pass) : 0;
#if MBEDTLS_VERSION_MAJOR >= 3
    return mbedtls_pk_parse_key(&config->key, text, len, (const unsigned char *)pass, pass_len,
                                mbedtls_ctr_drbg_random, &config->drbg);
#else
    return mbedtls_pk_parse_key(&config->key, text, len, (const unsigned char *)pass, pass_len);
#endif
}

static int load_key(struct hob_tls_config *config, const struct hob_tls_options *options,
                    struct hob_error *err)
{
    size_t len;
    unsigned char *text = read_pem("key file", options->key_file, &len, err);
    if (!text)
        return err ? err->code : HOB_ETLS;
    const char *pass = options->key_passphrase;
    int ret = parse_key(config, text, len, pass);
    int code = 0;
    if (ret != 0)
        code = hob_tls_words_key(ret, (char *)text, options->key_file, pass && *pass, err);
    wipe(text, len);
    return code;
}

static int check_pair(struct hob_tls_config *config, const struct hob_tls_options *options,
                      struct hob_error *err)
{
#if MBEDTLS_VERSION_MAJOR >= 3
    int ret = mbedtls_pk_check_pair(&config->own.pk, &config->key, mbedtls_ctr_drbg_random,
                                    &config->drbg);
#else
    int ret = mbedtls_pk_check_pair(&config->own.pk, &config->key);
#endif
    if (ret == 0)
        return 0;
    return hob_error_set(err, HOB_ETLS,
                         "key file %s: the key does not match the certificate %s: put the two that "
                         "were made together in place",
                         options->key_file, options->cert_file);
}

/* ---- the config ---- */

static int load_own(struct hob_tls_config *config, const struct hob_tls_options *options,
                    struct hob_error *err)
{
    if (!options->cert_file && !options->key_file)
        return 0;
    if (!options->cert_file || !options->key_file)
        return hob_error_set(
            err, HOB_EINVAL,
            "a client certificate needs both files, cert and key; only %s is given",
            options->cert_file ? "cert" : "key");
    int code = load_certificates(&config->own, "certificate file", options->cert_file, err);
    if (code == 0)
        code = load_key(config, options, err);
    if (code == 0)
        code = check_pair(config, options, err);
    if (code)
        return code;
    config->cert_file = hob_strdup(options->cert_file);
    if (!config->cert_file ||
        mbedtls_ssl_conf_own_cert(&config->ssl, &config->own, &config->key) != 0)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    return 0;
}

static void take_fingerprint(struct hob_tls_config *config)
{
    struct hob_sha256 *sha = hob_sha256_new();
    for (const mbedtls_x509_crt *c = &config->ca; c && c->raw.p; c = c->next)
        hob_sha256_update(sha, c->raw.p, c->raw.len);
    for (const mbedtls_x509_crt *c = &config->own; c && c->raw.p; c = c->next)
        hob_sha256_update(sha, c->raw.p, c->raw.len);
    hob_sha256_hex(sha, config->fingerprint);
    hob_sha256_free(sha);
}

static int set_up(struct hob_tls_config *config, const struct hob_tls_options *options,
                  struct hob_error *err)
{
    char words[128];
    mbedtls_ssl_config *ssl = &config->ssl;
    int ret = mbedtls_ctr_drbg_seed(&config->drbg, mbedtls_entropy_func, &config->entropy,
                                    (const unsigned char *)"hob", 3);
    if (ret == 0)
        ret = mbedtls_ssl_config_defaults(ssl, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                          MBEDTLS_SSL_PRESET_DEFAULT);
    if (ret == 0 && options->alpn) {
        config->alpn[0] = hob_strdup(options->alpn);
        ret = mbedtls_ssl_conf_alpn_protocols(ssl, (const char **)config->alpn);
    }
    if (ret != 0)
        return hob_error_set(err, HOB_ETLS, "TLS cannot be set up: %s",
                             hob_mbed_words(ret, words, sizeof(words)));
    mbedtls_ssl_conf_rng(ssl, mbedtls_ctr_drbg_random, &config->drbg);
    mbedtls_ssl_conf_authmode(ssl, MBEDTLS_SSL_VERIFY_REQUIRED);
#if MBEDTLS_VERSION_NUMBER >= 0x03020000
    mbedtls_ssl_conf_min_tls_version(ssl, MBEDTLS_SSL_VERSION_TLS1_2);
#else
    mbedtls_ssl_conf_min_version(ssl, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#endif
    mbedtls_ssl_conf_ca_chain(ssl, &config->ca, NULL);
#if defined(MBEDTLS_SSL_SESSION_TICKETS)
    mbedtls_ssl_conf_session_tickets(ssl, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
#endif
#if defined(MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED)
    /* Without this the tickets of TLS 1.3, which come after the handshake, are thrown away. */
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
        ssl, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
    return 0;
}

int hob_tls_config_new(const struct hob_tls_options *options, struct hob_tls_config **out,
                       struct hob_error *err)
{
    struct hob_error here = {0}; /* the parts below read the code from it */
    if (!err)
        err = &here;
    if (!options->ca_file)
        return hob_error_set(err, HOB_EINVAL, "TLS needs a CA file: set ca");
    struct hob_tls_config *config = hob_calloc(1, sizeof(*config));
    if (!config)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
#if MBEDTLS_VERSION_MAJOR >= 3
    psa_crypto_init(); /* TLS 1.3 stands on it; legal more than once */
#endif
    mbedtls_ssl_config_init(&config->ssl);
    mbedtls_entropy_init(&config->entropy);
    mbedtls_ctr_drbg_init(&config->drbg);
    mbedtls_x509_crt_init(&config->ca);
    mbedtls_x509_crt_init(&config->own);
    mbedtls_pk_init(&config->key);
    config->ca_file = hob_strdup(options->ca_file);
    int code = config->ca_file ? set_up(config, options, err) : HOB_ENOMEM;
    if (code == 0)
        code = load_certificates(&config->ca, "CA file", options->ca_file, err);
    if (code == 0)
        code = load_own(config, options, err);
    if (code) {
        hob_tls_config_free(config);
        return code;
    }
    take_fingerprint(config);
    *out = config;
    return 0;
}

void hob_tls_config_free(struct hob_tls_config *config)
{
    if (!config)
        return;
    mbedtls_ssl_config_free(&config->ssl);
    mbedtls_pk_free(&config->key);
    mbedtls_x509_crt_free(&config->own);
    mbedtls_x509_crt_free(&config->ca);
    mbedtls_ctr_drbg_free(&config->drbg);
    mbedtls_entropy_free(&config->entropy);
    hob_free(config->ca_file);
    hob_free(config->cert_file);
    hob_free(config->alpn[0]);
    hob_free(config);
}

/* ---- what went wrong ---- */

static struct hob_tls_words_about about(const struct hob_tls *tls)
{
    const struct hob_tls_config *config = tls->config;
    return (struct hob_tls_words_about){.server_name = tls->server_name,
                                        .ca = &config->ca,
                                        .ca_file = config->ca_file,
                                        .own = &config->own,
                                        .cert_file = config->cert_file,
                                        .alpn = config->alpn[0]};
}

static int on_verify(void *user, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
    struct hob_tls *tls = user;
    const struct hob_tls_words_about sides = about(tls);
    tls->asked = true;
    if (*flags != 0)
        hob_tls_words_verify(tls->cause, &sides, crt, depth, *flags);
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
    if (tls->cause[0])
        return hob_error_set(err, HOB_ETLS, "%s", tls->cause);
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
    if (tls->watch.is_foreign || tls->cause[0])
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

/* ---- watching the records ---- */

static void watch_foreign(struct watch *watch, const unsigned char *data, size_t len)
{
    watch->is_foreign = true;
    for (size_t i = 0; i < len && watch->foreign_len < sizeof(watch->foreign) - 1; i++) {
        char c = (char)data[i];
        watch->foreign[watch->foreign_len++] = (c >= ' ' && c < 127) ? c : '.';
    }
}

static void watch_header(struct watch *watch)
{
    watch->left = (size_t)watch->header[3] << 8 | watch->header[4];
    watch->header_len = 0;
    if (watch->header[0] == MBEDTLS_SSL_MSG_CHANGE_CIPHER_SPEC)
        watch->done = true; /* from here on everything is encrypted */
}

/* `data` is what just arrived, before the end of the handshake. */
static void watch_records(struct watch *watch, const unsigned char *data, size_t len)
{
    const unsigned char *end = data + len;
    if (len > 0 && !watch->any && (data[0] < 20 || data[0] > 23))
        watch_foreign(watch, data, len);
    watch->any = watch->any || len > 0;
    while (data < end && !watch->done && !watch->is_foreign) {
        if (watch->left == 0) {
            watch->header[watch->header_len++] = *data++;
            if (watch->header_len == sizeof(watch->header))
                watch_header(watch);
            continue;
        }
        /* An alert is two bytes: its level, then what it means. */
        if (watch->header[0] == MBEDTLS_SSL_MSG_ALERT && watch->left == 1)
            watch->alert = *data;
        watch->left--;
        data++;
    }
}

/* ---- the session ---- */

static int bio_send(void *user, const unsigned char *data, size_t len)
{
    struct hob_tls *tls = user;
    size_t room = hob_buf_room(&tls->out);
    if (room == 0)
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    if (len > room)
        len = room;
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
    return (int)len;
}

static void offer_ticket(struct hob_tls *tls, const struct hob_tls_ticket *ticket)
{
    if (!ticket || strcmp(ticket->server_name, tls->server_name) != 0 ||
        strcmp(ticket->fingerprint, tls->config->fingerprint) != 0)
        return; /* it speaks for another server, or for a certificate that was replaced since */
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
    hob_free(tls);
}

int hob_tls_feed(struct hob_tls *tls, const void *data, size_t len)
{
    if (!tls->open)
        watch_records(&tls->watch, data, len);
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

ssize_t hob_tls_read(struct hob_tls *tls, void *out, size_t len, struct hob_error *err)
{
    if (len == 0)
        return 0;
    int ret = read_on(tls, out, len);
    if (ret > 0)
        return ret;
    if (is_pause(ret))
        return 0;
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
    memcpy(ticket->fingerprint, tls->config->fingerprint, sizeof(ticket->fingerprint));
    ticket->server_name = hob_strdup(tls->server_name);
    if (!ticket->server_name || mbedtls_ssl_get_session(&tls->ssl, &ticket->session) != 0) {
        hob_tls_ticket_free(ticket);
        return NULL;
    }
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
