#include "net/tls_words.h"

#include "base/clock.h"
#include "base/mbed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NAME_MAX_LEN   256
#define CLOCK_IS_WRONG 1577836800 /* 2020-01-01: Hob is younger than that */

/* ---- files ---- */

int hob_tls_words_file(struct hob_error *err, const char *what, const char *path, int errnum)
{
    int code = hob_error_from_errno(errnum);
    const char *hint = errnum == EACCES   ? ": Hob's user may not read it"
                       : errnum == ENOENT ? ": check the path"
                                          : "";
    return hob_error_set(err, code, "%s %s: %s%s", what, path, strerror(errnum), hint);
}

const char *hob_tls_words_pem_label(const char *text, char *out, size_t len)
{
    const char *begin = strstr(text, "-----BEGIN ");
    if (!begin)
        return NULL;
    begin += strlen("-----BEGIN ");
    snprintf(out, len, "%.*s", (int)strcspn(begin, "-\r\n"), begin);
    return out;
}

static bool is_encrypted(const char *text)
{
    return strstr(text, "BEGIN ENCRYPTED PRIVATE KEY") || strstr(text, "Proc-Type: 4,ENCRYPTED");
}

int hob_tls_words_key(int ret, const char *text, const char *path, bool has_pass,
                      struct hob_error *err)
{
    char words[128], label[64];
    const char *held = hob_tls_words_pem_label(text, label, sizeof(label));
    if (!held)
        return hob_error_set(err, HOB_ETLS, "key file %s: not a PEM file (no \"-----BEGIN\" in it)",
                             path);
    if (!strstr(held, "KEY"))
        return hob_error_set(err, HOB_ETLS, "key file %s: no private key in it, but \"%s\"", path,
                             held);
    if (is_encrypted(text) && !has_pass)
        return hob_error_set(err, HOB_ETLS,
                             "key file %s: the key is encrypted and no passphrase is given: set "
                             "key_passphrase",
                             path);
    if (ret == MBEDTLS_ERR_PK_PASSWORD_MISMATCH)
        return hob_error_set(err, HOB_ETLS, "key file %s: the passphrase is wrong", path);
    hob_mbed_words(ret, words, sizeof(words));
    if (is_encrypted(text))
        return hob_error_set(err, HOB_ETLS,
                             "key file %s: the key cannot be decrypted (%s): the passphrase is "
                             "wrong, or the encryption is one that %s does not know; for a form "
                             "that it knows: openssl pkey -traditional -aes256",
                             path, words, hob_mbed_version());
    return hob_error_set(err, HOB_ETLS, "key file %s: damaged key: %s", path, words);
}

/* ---- words for a certificate ---- */

static void say(char *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Add a sentence to `out` (of HOB_ERROR_MESSAGE_MAX). */
static void say(char *out, const char *format, ...)
{
    size_t used = strlen(out);
    size_t room = HOB_ERROR_MESSAGE_MAX - used;
    va_list args;
    if (used > 0 && room > 3) {
        memcpy(out + used, "; ", 3);
        used += 2;
        room -= 2;
    }
    va_start(args, format);
    vsnprintf(out + used, room, format, args);
    va_end(args);
}

int64_t hob_tls_words_seconds(const mbedtls_x509_time *t)
{
    struct tm tm = {.tm_year = t->year - 1900,
                    .tm_mon = t->mon - 1,
                    .tm_mday = t->day,
                    .tm_hour = t->hour,
                    .tm_min = t->min,
                    .tm_sec = t->sec};
    return timegm(&tm);
}

static const char *date_of(int64_t seconds, char out[HOB_CLOCK_TEXT_MAX])
{
    return hob_clock_text(seconds * 1000, out);
}

static void say_expired(char *out, const char *who, const mbedtls_x509_crt *crt)
{
    char span[HOB_CLOCK_TEXT_MAX], date[HOB_CLOCK_TEXT_MAX], now_text[HOB_CLOCK_TEXT_MAX];
    int64_t now = hob_clock_wall_ms() / 1000, end = hob_tls_words_seconds(&crt->valid_to);
    say(out, "%s expired %s ago, on %s; the clock says %s", who, hob_clock_span(now - end, span),
        date_of(end, date), date_of(now, now_text));
}

static void say_future(char *out, const char *who, const mbedtls_x509_crt *crt)
{
    char start[HOB_CLOCK_TEXT_MAX], now_text[HOB_CLOCK_TEXT_MAX], span[HOB_CLOCK_TEXT_MAX];
    int64_t now = hob_clock_wall_ms() / 1000, from = hob_tls_words_seconds(&crt->valid_from);
    date_of(from, start);
    date_of(now, now_text);
    if (now < CLOCK_IS_WRONG)
        say(out, "%s is not valid before %s, and the clock says %s: set the time", who, start,
            now_text);
    else
        say(out, "%s is not valid yet: it begins in %s, on %s; the clock says %s", who,
            hob_clock_span(from - now, span), start, now_text);
}

void hob_tls_words_dates(const struct mbedtls_x509_crt *crt, uint32_t *flags)
{
    int64_t now = hob_clock_wall_ms() / 1000;
    *flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
    if (now > hob_tls_words_seconds(&crt->valid_to))
        *flags |= MBEDTLS_X509_BADCERT_EXPIRED;
    if (now < hob_tls_words_seconds(&crt->valid_from))
        *flags |= MBEDTLS_X509_BADCERT_FUTURE;
}

/* The name part of one subjectAltName entry (an IMPLICIT tag, so its last bits say the kind). */
static void add_san(char *out, size_t size, const mbedtls_x509_buf *san)
{
    char text[INET6_ADDRSTRLEN + 1];
    int kind = san->tag & 0x1f;
    size_t used = strlen(out);
    const char *comma = used ? ", " : "";
    if (kind == 2)
        snprintf(out + used, size - used, "%s%.*s", comma, (int)san->len, (const char *)san->p);
    else if (kind == 7 && (san->len == 4 || san->len == 16) &&
             inet_ntop(san->len == 4 ? AF_INET : AF_INET6, san->p, text, sizeof(text)))
        snprintf(out + used, size - used, "%s%s", comma, text);
}

static const char *names_of(const mbedtls_x509_crt *crt, char *out, size_t size)
{
    out[0] = '\0';
    for (const mbedtls_x509_sequence *san = &crt->subject_alt_names; san && san->buf.p;
         san = san->next)
        add_san(out, size, &san->buf);
    if (!out[0] && mbedtls_x509_dn_gets(out, size, &crt->subject) < 0)
        snprintf(out, size, "no name at all");
    return out;
}

#if MBEDTLS_VERSION_NUMBER < 0x03060000
static bool is_address(const char *host)
{
    unsigned char binary[16];
    return inet_pton(AF_INET, host, binary) == 1 || inet_pton(AF_INET6, host, binary) == 1;
}
#endif

static void say_wrong_name(char *out, const struct hob_tls_words_about *about,
                           const mbedtls_x509_crt *crt)
{
    char names[NAME_MAX_LEN];
    say(out, "the server's certificate is for %s, not for %s", names_of(crt, names, sizeof(names)),
        about->server_name);
#if MBEDTLS_VERSION_NUMBER < 0x03060000
    if (is_address(about->server_name))
        say(out,
            "%s does not compare IP addresses: connect by a name that is in the "
            "certificate (\"localhost\" on this machine)",
            hob_mbed_version());
#endif
}

static bool same_name(const mbedtls_x509_buf *a, const mbedtls_x509_buf *b)
{
    return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

static void say_unknown_issuer(char *out, const struct hob_tls_words_about *about,
                               const mbedtls_x509_crt *crt, int depth)
{
    char issuer[NAME_MAX_LEN];
    bool self_signed = depth == 0 && same_name(&crt->subject_raw, &crt->issuer_raw);
    bool namesake = false;
    if (mbedtls_x509_dn_gets(issuer, sizeof(issuer), &crt->issuer) < 0)
        snprintf(issuer, sizeof(issuer), "a name that cannot be read");
    for (const mbedtls_x509_crt *ca = about->ca; ca; ca = ca->next)
        namesake = namesake || same_name(&ca->subject_raw, &crt->issuer_raw);
    say(out,
        "the server's certificate comes from the issuer \"%s\"%s, which is not %s the "
        "CA file %s",
        issuer, self_signed ? " (it signed itself)" : "",
        namesake ? "the one of that name (another key) in" : "in", about->ca_file);
}

#define SAID                                                                                       \
    (MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE |                                  \
     MBEDTLS_X509_BADCERT_CN_MISMATCH | MBEDTLS_X509_BADCERT_NOT_TRUSTED)

void hob_tls_words_verify(char *out, const struct hob_tls_words_about *about,
                          const struct mbedtls_x509_crt *crt, int depth, uint32_t flags)
{
    char who[NAME_MAX_LEN + 64] = "the server's certificate", subject[NAME_MAX_LEN], rest[256];
    if (depth > 0 && mbedtls_x509_dn_gets(subject, sizeof(subject), &crt->subject) >= 0)
        snprintf(who, sizeof(who), "the CA certificate \"%s\" in the server's chain", subject);
    if (flags & MBEDTLS_X509_BADCERT_EXPIRED)
        say_expired(out, who, crt);
    if (flags & MBEDTLS_X509_BADCERT_FUTURE)
        say_future(out, who, crt);
    if (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH)
        say_wrong_name(out, about, crt);
    if (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED)
        say_unknown_issuer(out, about, crt, depth);
    if ((flags & ~(uint32_t)SAID) &&
        mbedtls_x509_crt_verify_info(rest, sizeof(rest), "", flags & ~(uint32_t)SAID) > 0) {
        rest[strcspn(rest, "\n")] = '\0';
        say(out, "%s: %s", who, rest);
    }
}

/* ---- words for what the peer said of us ---- */

static const char *alert_words(int alert)
{
    static const struct {
        int alert;
        const char *words;
    } known[] = {{MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE, "handshake failure"},
                 {MBEDTLS_SSL_ALERT_MSG_BAD_CERT, "bad certificate"},
                 {MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT, "unsupported certificate"},
                 {MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED, "certificate revoked"},
                 {MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED, "certificate expired"},
                 {MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN, "certificate unknown"},
                 {MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA, "unknown CA"},
                 {MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED, "access denied"},
                 {MBEDTLS_SSL_ALERT_MSG_DECRYPT_ERROR, "decrypt error"},
                 {MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION, "protocol version"},
                 {MBEDTLS_SSL_ALERT_MSG_INSUFFICIENT_SECURITY, "insufficient security"},
                 {MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR, "internal error"},
                 {MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME, "unrecognized name"},
                 {116, "certificate required"},
                 {MBEDTLS_SSL_ALERT_MSG_NO_APPLICATION_PROTOCOL, "no application protocol"}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i].alert == alert)
            return known[i].words;
    return "another reason";
}

/* What a server may dislike about us: our certificate, or that we have none. */
static void say_ours(char *out, const struct hob_tls_words_about *about)
{
    char issuer[NAME_MAX_LEN] = "?";
    if (!about->cert_file) {
        say(out, "most likely it wants a client certificate, and none is configured: set cert and "
                 "key");
        return;
    }
    if (!about->own) {
        say(out, "most likely it does not accept our certificate %s any more", about->cert_file);
        return;
    }
    uint32_t flags = 0;
    hob_tls_words_dates(about->own, &flags);
    if (flags & MBEDTLS_X509_BADCERT_EXPIRED)
        say_expired(out, "our certificate", about->own);
    else if (flags & MBEDTLS_X509_BADCERT_FUTURE)
        say_future(out, "our certificate", about->own);
    mbedtls_x509_dn_gets(issuer, sizeof(issuer), &about->own->issuer);
    say(out,
        "most likely it did not accept our certificate %s (issued by \"%s\"): check that it is "
        "registered and active there",
        about->cert_file, issuer);
}

void hob_tls_words_alert(char *out, const struct hob_tls_words_about *about, int alert)
{
    if (alert == HOB_TLS_WORDS_NO_ALERT)
        say(out, "the server ended TLS with an alert");
    else
        say(out, "the server refused TLS (alert %d, \"%s\")", alert, alert_words(alert));
    if (alert == MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION)
        say(out, "it does not speak TLS 1.2, the oldest that Hob takes");
    else if (alert == MBEDTLS_SSL_ALERT_MSG_NO_APPLICATION_PROTOCOL)
        say(out, "it does not know the alpn name \"%s\"", about->alpn ? about->alpn : "");
    else if (alert == MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME)
        say(out, "it does not know itself as %s", about->server_name);
    else if (alert != MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR)
        say_ours(out, about);
}

void hob_tls_words_close(char *out, const struct hob_tls_words_about *about)
{
    say(out, "the server closed the connection during the TLS handshake");
    say_ours(out, about);
}
