/* tls_signer.c - see tls_signer.h */
#include "net/tls_signer.h"

#include "base/alloc.h"
#include "base/mbed.h"
#include "base/random.h"

#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#if MBEDTLS_VERSION_MAJOR < 3
#include <mbedtls/pk_internal.h>
#endif

#define SIGNATURE_MAX 1024 /* RSA with 8192 bits */
#define PROBE_HASH    MBEDTLS_MD_SHA256
#define PROBE_LEN     32

struct hob_tls_signer {
    struct hob_key_provider provider;
    char *name; /* NULL: it has none */
    char *thing, *cert_file;
    mbedtls_x509_crt *certificate;
    char *cause; /* NULL: none */
};

/* ---- words ---- */

static int fail(struct hob_tls_signer *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int fail(struct hob_tls_signer *s, const char *format, ...)
{
    struct hob_error err;
    char what[HOB_ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    hob_error_set(&err, HOB_ETLS, "key provider%s%s%s of the certificate %s: %s",
                  s->name ? " \"" : "", s->name ? s->name : "", s->name ? "\"" : "", s->cert_file,
                  what);
    hob_free(s->cause);
    s->cause = hob_strdup(err.message);
    return MBEDTLS_ERR_PK_FEATURE_UNAVAILABLE; /* whatever: `cause` is what is told */
}

static int fail_as_provider_says(struct hob_tls_signer *s, int code, struct hob_error *err)
{
    err->message[sizeof err->message - 1] = '\0'; /* it is the product's */
    return fail(s, "it does not sign: %.600s (%s)",
                *err->message ? err->message : "it gives no reason", hob_error_name(code));
}

static size_t bits_of(const struct hob_tls_signer *s)
{
    return mbedtls_pk_get_bitlen(&s->certificate->pk);
}

static bool is_rsa(const struct hob_tls_signer *s)
{
    return mbedtls_pk_can_do(&s->certificate->pk, MBEDTLS_PK_RSA);
}

/* The two mistakes that an ECDSA provider makes: no DER, or no signature at all. */
static int fail_as_no_ecdsa(struct hob_tls_signer *s, const unsigned char *out, size_t len)
{
    size_t raw = 2 * ((bits_of(s) + 7) / 8);
    if (len == raw)
        return fail(s,
                    "it gave %zu bytes, which look like r and s one after the other; expected them "
                    "in DER (SEQUENCE { r INTEGER, s INTEGER })",
                    len);
    return fail(s, "what it gave is no ECDSA signature in DER (%zu bytes, the first is 0x%02x)",
                len, out[0]);
}

static bool is_der(const unsigned char *out, size_t len)
{
    return len >= 8 && out[0] == 0x30 &&
           (out[1] < 0x80 ? (size_t)out[1] + 2 == len
                          : out[1] == 0x81 && (size_t)out[2] + 3 == len);
}

/* ---- one signature ---- */

static int check(struct hob_tls_signer *s, mbedtls_md_type_t md, const unsigned char *hash,
                 size_t hash_len, const unsigned char *out, size_t len)
{
    size_t modulus = (bits_of(s) + 7) / 8;
    if (is_rsa(s) && len != modulus)
        return fail(s, "it gave %zu bytes, expected %zu (RSA with %zu bits)", len, modulus,
                    bits_of(s));
    if (mbedtls_pk_verify(&s->certificate->pk, md, hash, hash_len, out, len) == 0)
        return 0;
    if (!is_rsa(s) && !is_der(out, len))
        return fail_as_no_ecdsa(s, out, len);
    return fail(s,
                "its signature does not fit the certificate: it signs with another key, or what "
                "it gave is no signature of the hash (%s)",
                is_rsa(s) ? "RSA, PKCS #1 v1.5, with the hash's DigestInfo" : "ECDSA");
}

/* @param room  of `out` */
static int ask(struct hob_tls_signer *s, mbedtls_md_type_t md, const unsigned char *hash,
               size_t hash_len, unsigned char *out, size_t room, size_t *len)
{
    struct hob_error err = {0};
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(md);
    if (!info)
        return fail(s, "it was asked for a signature without a hash");
    struct hob_key_request request = {.size = sizeof request,
                                      .thing = s->thing,
                                      .cert = s->cert_file,
                                      .scheme = is_rsa(s) ? HOB_KEY_RSA_PKCS1 : HOB_KEY_ECDSA,
                                      .hash_name = mbedtls_md_get_name(info),
                                      .hash = hash,
                                      .hash_len = hash_len ? hash_len : mbedtls_md_get_size(info)};
    *len = room;
    int code = s->provider.sign(s->provider.user, &request, out, len, &err);
    if (code)
        return fail_as_provider_says(s, code, &err);
    if (*len == 0 || *len > room)
        return fail(s, "it says that it gave %zu bytes, expected at most %zu", *len, room);
    return check(s, md, hash, request.hash_len, out, *len);
}

static int sign(struct hob_tls_signer *s, mbedtls_md_type_t md, const unsigned char *hash,
                size_t hash_len, unsigned char *out, size_t room, size_t *len)
{
    unsigned char made[SIGNATURE_MAX] = {0};
    hob_free(s->cause);
    s->cause = NULL;
    *len = 0;
    size_t given = is_rsa(s) ? (bits_of(s) + 7) / 8 : sizeof made;
    if (given > sizeof made)
        return fail(s, "an RSA key of %zu bits, expected at most %d", bits_of(s),
                    8 * SIGNATURE_MAX);
    int ret = ask(s, md, hash, hash_len, made, given, len);
    if (ret == 0 && *len > room)
        ret = fail(s, "it gave %zu bytes, more than a TLS message has room for", *len);
    if (ret == 0)
        memcpy(out, made, *len);
    return ret;
}

int hob_tls_signer_probe(struct hob_tls_signer *s, struct hob_error *err)
{
    unsigned char hash[PROBE_LEN], out[SIGNATURE_MAX];
    size_t len;
    hob_random_bytes(hash, sizeof hash); /* or one that always says the same would pass */
    if (sign(s, PROBE_HASH, hash, sizeof hash, out, sizeof out, &len) == 0)
        return 0;
    return hob_error_set(err, HOB_ETLS, "%s", s->cause ? s->cause : "out of memory");
}

/* ---- RSA ---- */

static size_t rsa_len(void *ctx)
{
    const struct hob_tls_signer *s = ctx;
    return (bits_of(s) + 7) / 8;
}

/* Only key exchanges that Hob does not speak, and servers, decrypt with a certificate's key. */
#if MBEDTLS_VERSION_MAJOR >= 3
static int rsa_decrypt(void *ctx, size_t *len, const unsigned char *in, unsigned char *out,
                       size_t max)
#else
static int rsa_decrypt(void *ctx, int mode, size_t *len, const unsigned char *in,
                       unsigned char *out, size_t max)
#endif
{
    return MBEDTLS_ERR_PK_FEATURE_UNAVAILABLE;
}

#if MBEDTLS_VERSION_MAJOR >= 3
static int rsa_sign(void *ctx, int (*f_rng)(void *, unsigned char *, size_t), void *p_rng,
                    mbedtls_md_type_t md, unsigned int hash_len, const unsigned char *hash,
                    unsigned char *out)
#else
static int rsa_sign(void *ctx, int (*f_rng)(void *, unsigned char *, size_t), void *p_rng, int mode,
                    mbedtls_md_type_t md, unsigned int hash_len, const unsigned char *hash,
                    unsigned char *out)
#endif
{
    size_t len;
    return sign(ctx, md, hash, hash_len, out, rsa_len(ctx), &len);
}

static int set_up_rsa(struct hob_tls_signer *s, mbedtls_pk_context *key, struct hob_error *err)
{
#if defined(MBEDTLS_PK_RSA_ALT_SUPPORT)
    if (mbedtls_pk_setup_rsa_alt(key, s, rsa_decrypt, rsa_sign, rsa_len) == 0)
        return 0;
    return hob_error_set(err, HOB_ENOMEM, "out of memory");
#else
    return hob_error_set(err, HOB_EUNSUPPORTED,
                         "a key provider for RSA: %s was built without "
                         "MBEDTLS_PK_RSA_ALT_SUPPORT",
                         hob_mbed_version());
#endif
}

/* ---- EC ---- */

#if MBEDTLS_VERSION_MAJOR < 3
static size_t ec_bits(const void *ctx)
{
    return ctx ? bits_of(ctx) : 0;
}

static int ec_can_do(mbedtls_pk_type_t type)
{
    return type == MBEDTLS_PK_ECKEY || type == MBEDTLS_PK_ECDSA;
}

static int ec_sign(void *ctx, mbedtls_md_type_t md, const unsigned char *hash, size_t hash_len,
                   unsigned char *out, size_t *len, int (*f_rng)(void *, unsigned char *, size_t),
                   void *p_rng)
{
    return sign(ctx, md, hash, hash_len, out, MBEDTLS_PK_SIGNATURE_MAX_SIZE, len);
}

/* mbedtls_pk_setup asks for a context without saying whose; set_up_ec puts the signer there. */
static void *ec_alloc(void)
{
    static const char nobody = 0;
    return (void *)(uintptr_t)&nobody;
}

static void ec_free(void *ctx) {}

static int set_up_ec(struct hob_tls_signer *s, mbedtls_pk_context *key, struct hob_error *err)
{
    static const mbedtls_pk_info_t kind = {.type = MBEDTLS_PK_ECKEY,
                                           .name = "EC key of a provider",
                                           .get_bitlen = ec_bits,
                                           .can_do = ec_can_do,
                                           .sign_func = ec_sign,
                                           .ctx_alloc_func = ec_alloc,
                                           .ctx_free_func = ec_free};
    if (mbedtls_pk_setup(key, &kind) != 0)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    key->pk_ctx = s;
    return 0;
}
#else
/* 3.x hides its kinds of keys. Its own way to keys elsewhere, an opaque PSA key, leads only to
 * drivers that are compiled into the library. */
static int set_up_ec(struct hob_tls_signer *s, mbedtls_pk_context *key, struct hob_error *err)
{
    return hob_error_set(err, HOB_EUNSUPPORTED,
                         "the certificate %s has an EC key, and %s lets no key provider sign with "
                         "one: use an RSA key, or build Hob with mbedTLS 2.28",
                         s->cert_file, hob_mbed_version());
}
#endif

/* ---- life ---- */

static int set_up(struct hob_tls_signer *s, mbedtls_pk_context *key, struct hob_error *err)
{
    char words[128];
    if (is_rsa(s))
        return set_up_rsa(s, key, err);
    if (mbedtls_pk_can_do(&s->certificate->pk, MBEDTLS_PK_ECDSA))
        return set_up_ec(s, key, err);
    snprintf(words, sizeof words, "%s", mbedtls_pk_get_name(&s->certificate->pk));
    return hob_error_set(err, HOB_EUNSUPPORTED,
                         "the certificate %s has a key of the kind %s: a key provider is for RSA "
                         "and EC keys",
                         s->cert_file, words);
}

static char *copy_name(const struct hob_key_provider *provider)
{
    return provider->name ? hob_strdup(provider->name) : NULL;
}

int hob_tls_signer_new(const struct hob_tls_signer_options *o, mbedtls_pk_context *key,
                       struct hob_tls_signer **out, struct hob_error *err)
{
    if (!o->provider->sign)
        return hob_error_set(err, HOB_EINVAL, "the key provider has no function `sign`");
    struct hob_tls_signer *s = hob_calloc(1, sizeof *s);
    if (!s)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    s->provider = *o->provider;
    s->certificate = o->certificate;
    s->name = copy_name(o->provider);
    s->thing = hob_strdup(o->thing ? o->thing : "");
    s->cert_file = hob_strdup(o->cert_file);
    bool whole = s->thing && s->cert_file && (s->name || !o->provider->name);
    int code = whole ? set_up(s, key, err) : hob_error_set(err, HOB_ENOMEM, "out of memory");
    if (code) {
        hob_tls_signer_free(s);
        return code;
    }
    *out = s;
    return 0;
}

void hob_tls_signer_free(struct hob_tls_signer *s)
{
    if (!s)
        return;
    hob_free(s->name);
    hob_free(s->thing);
    hob_free(s->cert_file);
    hob_free(s->cause);
    hob_free(s);
}

const char *hob_tls_signer_cause(const struct hob_tls_signer *s)
{
    return s ? s->cause : NULL;
}

bool hob_tls_signer_is_tls12(const struct hob_tls_signer *s)
{
    return is_rsa(s);
}
