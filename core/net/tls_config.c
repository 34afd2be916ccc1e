/* tls_config.c - from files and a key provider to what a session begins with; see tls.h */
#include "net/tls_config.h"

#include "base/alloc.h"
#include "base/mbed_pk.h"

#include <mbedtls/version.h>
#include <string.h>

/* ---- our certificate and its key ---- */

static int check_wish(const struct hob_tls_options *o, struct hob_error *err)
{
    if (o->key_provider && o->key_file && !o->cert_file)
        return hob_error_set(err, HOB_EINVAL, "a client certificate needs its file, cert");
    if (o->key_provider || (!o->cert_file == !o->key_file))
        return 0;
    return hob_error_set(err, HOB_EINVAL,
                         "a client certificate needs both files, cert and key; only %s is given",
                         o->cert_file ? "cert" : "key");
}

static int load_provided(struct hob_tls_config *config, const struct hob_tls_options *o,
                         struct hob_error *err)
{
    struct hob_tls_signer_options options = {.provider = o->key_provider,
                                             .thing = o->thing,
                                             .cert_file = o->cert_file,
                                             .certificate = &config->own->certificates};
    return hob_tls_signer_new(&options, &config->provided, &config->signer, err);
}

#if MBEDTLS_VERSION_NUMBER >= 0x03020000
static void keep_to_tls12(mbedtls_ssl_config *ssl)
{
    mbedtls_ssl_conf_max_tls_version(ssl, MBEDTLS_SSL_VERSION_TLS1_2);
}
#else
static void keep_to_tls12(mbedtls_ssl_config *ssl) {}
#endif

static int load_own(struct hob_tls_config *config, const struct hob_tls_options *o,
                    struct hob_error *err)
{
    int code = check_wish(o, err);
    if (code || !o->cert_file)
        return code;
    struct hob_tls_wish wish = {.what = "certificate file",
                                .cert_file = o->cert_file,
                                .key_file = o->key_provider ? NULL : o->key_file,
                                .key_passphrase = o->key_passphrase};
    code = hob_tls_files_get(o->cache, &wish, &config->own, err);
    if (code == 0 && o->key_provider)
        code = load_provided(config, o, err);
    if (code)
        return code;
    if (config->signer && hob_tls_signer_is_tls12(config->signer))
        keep_to_tls12(&config->ssl);
    config->cert_file = hob_strdup(o->cert_file);
    if (!config->cert_file ||
        mbedtls_ssl_conf_own_cert(&config->ssl, &config->own->certificates,
                                  config->signer ? &config->provided : &config->own->key) != 0)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    return 0;
}

/* ---- the rest ---- */

static int load_ca(struct hob_tls_config *config, const struct hob_tls_options *o,
                   struct hob_error *err)
{
    struct hob_tls_wish wish = {.what = "CA file", .cert_file = o->ca_file};
    int code = hob_tls_files_get(o->cache, &wish, &config->ca, err);
    if (code == 0)
        mbedtls_ssl_conf_ca_chain(&config->ssl, &config->ca->certificates, NULL);
    return code;
}

static void add_chain(struct hob_sha256 *sha, const struct hob_tls_files *files)
{
    const mbedtls_x509_crt *c = files ? &files->certificates : NULL;
    for (; c && c->raw.p; c = c->next)
        hob_sha256_update(sha, c->raw.p, c->raw.len);
}

static int take_fingerprint(struct hob_tls_config *config, struct hob_error *err)
{
    struct hob_sha256 *sha = hob_sha256_new();
    if (!sha)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    add_chain(sha, config->ca);
    add_chain(sha, config->own);
    hob_sha256_hex(sha, config->fingerprint);
    hob_sha256_free(sha);
    return 0;
}

static void set_versions_and_tickets(mbedtls_ssl_config *ssl)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03020000
    mbedtls_ssl_conf_min_tls_version(ssl, MBEDTLS_SSL_VERSION_TLS1_2);
#else
    mbedtls_ssl_conf_min_version(ssl, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#endif
#if defined(MBEDTLS_SSL_SESSION_TICKETS)
    mbedtls_ssl_conf_session_tickets(ssl, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
#endif
#if defined(MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED)
    /* Without this the tickets of TLS 1.3, which come after the handshake, are thrown away. */
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
        ssl, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
}

static int set_up(struct hob_tls_config *config, const struct hob_tls_options *o,
                  struct hob_error *err)
{
    char words[128];
    mbedtls_ssl_config *ssl = &config->ssl;
    int ret = mbedtls_ssl_config_defaults(ssl, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                          MBEDTLS_SSL_PRESET_DEFAULT);
    config->ca_file = hob_strdup(o->ca_file);
    config->alpn[0] = o->alpn ? hob_strdup(o->alpn) : NULL;
    if (!config->ca_file || (o->alpn && !config->alpn[0]))
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    if (ret == 0 && o->alpn)
        ret = mbedtls_ssl_conf_alpn_protocols(ssl, (const char **)config->alpn);
    if (ret != 0)
        return hob_error_set(err, HOB_ETLS, "TLS cannot be set up: %s",
                             hob_mbed_words(ret, words, sizeof(words)));
    mbedtls_ssl_conf_rng(ssl, hob_mbed_random, NULL);
    mbedtls_ssl_conf_authmode(ssl, MBEDTLS_SSL_VERIFY_REQUIRED);
    set_versions_and_tickets(ssl);
    return 0;
}

int hob_tls_config_new(const struct hob_tls_options *o, struct hob_tls_config **out,
                       struct hob_error *err)
{
    struct hob_error here = {0}; /* the parts below read the code from it */
    if (!err)
        err = &here;
    if (!o->ca_file)
        return hob_error_set(err, HOB_EINVAL, "TLS needs a CA file: set ca");
    struct hob_tls_config *config = hob_calloc(1, sizeof(*config));
    if (!config)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    hob_mbed_begin();
    mbedtls_ssl_config_init(&config->ssl);
    mbedtls_pk_init(&config->provided);
    int code = set_up(config, o, err);
    code = code ? code : load_ca(config, o, err);
    code = code ? code : load_own(config, o, err);
    code = code ? code : take_fingerprint(config, err);
    if (code) {
        hob_tls_config_free(config);
        return code;
    }
    *out = config;
    return 0;
}

int hob_tls_config_probe(struct hob_tls_config *config, struct hob_error *err)
{
    return config->signer ? hob_tls_signer_probe(config->signer, err) : 0;
}

void hob_tls_config_settle(struct hob_tls_config *config)
{
    mbedtls_ssl_conf_ca_chain(&config->ssl, NULL, NULL);
    mbedtls_ssl_conf_own_cert(&config->ssl, NULL, NULL);
    mbedtls_pk_free(&config->provided);
    hob_tls_signer_free(config->signer);
    hob_tls_files_put(config->own);
    hob_tls_files_put(config->ca);
    config->signer = NULL;
    config->own = config->ca = NULL;
}

void hob_tls_config_free(struct hob_tls_config *config)
{
    if (!config)
        return;
    hob_tls_config_settle(config);
    mbedtls_ssl_config_free(&config->ssl);
    hob_free(config->ca_file);
    hob_free(config->cert_file);
    hob_free(config->alpn[0]);
    hob_free(config);
}
