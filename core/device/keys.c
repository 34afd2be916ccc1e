/* keys.c - see keys.h */
#include "device/keys.h"

#include "base/alloc.h"
#include "base/mbed.h"
#include "base/mbed_pk.h"
#include "device/files.h"
#include "net/pem.h"
#include "net/tls_words.h"

#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/rsa.h>
#include <mbedtls/x509_crt.h>
#include <mbedtls/x509_csr.h>
#include <string.h>
#include <sys/stat.h>

#define PEM_MAX     8192 /* an RSA key of 4096 bits has 3,300 */
#define STOPPED     (-1) /* what the random numbers say to end the search for primes */
#define EXPONENT    65537
#define ANY_BEGIN   "-----BEGIN "
#define KEY_FILE    "key file"
#define CERTIFICATE "certificate file"

/* ---- making one ---- */

static int random_until_stopped(void *stop, unsigned char *out, size_t len)
{
    const atomic_bool *stopped = stop;
    if (stopped && atomic_load(stopped))
        return STOPPED;
    return hob_mbed_random(NULL, out, len);
}

static int make_rsa(mbedtls_pk_context *pk, const struct hob_keys_options *o)
{
    int ret = mbedtls_pk_setup(pk, mbedtls_pk_info_from_type(MBEDTLS_PK_RSA));
    unsigned bits = o->bits ? (unsigned)o->bits : HOB_KEYS_RSA_BITS_MIN;
    return ret ? ret
               : mbedtls_rsa_gen_key(mbedtls_pk_rsa(*pk), random_until_stopped,
                                     (void *)(uintptr_t)o->stop, bits, EXPONENT);
}

static int make_ec(mbedtls_pk_context *pk)
{
    int ret = mbedtls_pk_setup(pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    return ret ? ret
               : mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*pk), hob_mbed_random,
                                     NULL);
}

static int make_pem(const struct hob_keys_options *o, unsigned char pem[PEM_MAX],
                    struct hob_error *err)
{
    char words[128];
    mbedtls_pk_context pk;
    hob_mbed_begin();
    mbedtls_pk_init(&pk);
    int ret = o->rsa ? make_rsa(&pk, o) : make_ec(&pk);
    if (ret == 0)
        ret = mbedtls_pk_write_key_pem(&pk, pem, PEM_MAX);
    mbedtls_pk_free(&pk);
    if (ret == 0)
        return 0;
    if (o->stop && atomic_load(o->stop))
        return hob_error_set(err, HOB_ECANCELED, "making the key %s: cancelled", o->to);
    return hob_error_set(err, HOB_ETLS, "making the key %s: %s", o->to,
                         hob_mbed_words(ret, words, sizeof words));
}

int hob_keys_generate(const struct hob_keys_options *o, struct hob_error *err)
{
    struct stat st;
    unsigned char pem[PEM_MAX];
    if (o->bits && (!o->rsa || o->bits < HOB_KEYS_RSA_BITS_MIN || o->bits > HOB_KEYS_RSA_BITS_MAX))
        return hob_error_set(err, HOB_EINVAL,
                             "bits: expected %d to %d, of an RSA key (an EC key is on P-256)",
                             HOB_KEYS_RSA_BITS_MIN, HOB_KEYS_RSA_BITS_MAX);
    if (!o->replace && lstat(o->to, &st) == 0)
        return hob_error_set(err, HOB_EEXIST,
                             "making the key %s: there is a file, perhaps a key that is in use; "
                             "remove it, or take another name",
                             o->to);
    int code = make_pem(o, pem, err);
    if (code == 0)
        code = hob_files_write(o->to, (char *)pem, strlen((char *)pem),
                               &(struct hob_files_owner){.mode = 0600}, err);
    mbedtls_platform_zeroize(pem, sizeof pem);
    return code;
}

/* ---- reading ---- */

/* @return the text of a path, or of a PEM text; NULL: *err says why */
static unsigned char *text_of(const char *what, const char *source, size_t *len, const char **name,
                              struct hob_error *err)
{
    *name = source;
    if (!strstr(source, ANY_BEGIN))
        return hob_pem_read(what, source, len, err);
    *name = "(given as a text)"; /* nothing of a key in a message */
    *len = strlen(source) + 1;
    unsigned char *copy = hob_malloc(*len);
    if (copy)
        memcpy(copy, source, *len);
    else
        hob_error_set(err, HOB_ENOMEM, "out of memory");
    return copy;
}

static int read_key(mbedtls_pk_context *pk, const char *key, const char *passphrase,
                    struct hob_error *err)
{
    size_t len;
    const char *name;
    unsigned char *text = text_of(KEY_FILE, key, &len, &name, err);
    if (!text)
        return err->code;
    int ret = hob_mbed_pk_parse(pk, text, len, passphrase);
    int code = ret ? hob_tls_words_key(ret, (char *)text, name, passphrase && *passphrase, err) : 0;
    hob_pem_free(text, len);
    return code;
}

static int read_certificate(mbedtls_x509_crt *crt, const char *certificate, struct hob_error *err)
{
    size_t len;
    const char *name;
    unsigned char *text = text_of(CERTIFICATE, certificate, &len, &name, err);
    if (!text)
        return err->code;
    int code = hob_pem_parse_certificates(crt, CERTIFICATE, name, text, len, err);
    hob_pem_free(text, len);
    return code;
}

/* ---- asking for a certificate ---- */

/* NAME=VALUE, ...: mbedTLS 2.28 passes over what has no value, and certifies the rest. */
static bool is_subject(const char *text)
{
    bool named = false, valued = false;
    for (; *text; text++) {
        if (text[0] == '\\' && text[1])
            text++;
        else if (*text == ',' && !valued)
            return false;
        else if (*text == ',')
            named = valued = false;
        else if (*text == '=' && !named)
            named = true;
        else if (named && *text != ' ')
            valued = true;
    }
    return valued;
}

static int wrong_subject(const char *subject, const char *more, struct hob_error *err)
{
    return hob_error_set(err, HOB_EINVAL,
                         "subject: expected one such as \"CN=gateway-7, O=Example\", got "
                         "\"%.200s\"%s%s",
                         subject, *more ? ": " : "", more);
}

static int write_csr(mbedtls_pk_context *pk, const char *subject, struct hob_buf *out,
                     struct hob_error *err)
{
    char words[128];
    unsigned char pem[PEM_MAX];
    mbedtls_x509write_csr csr;
    mbedtls_x509write_csr_init(&csr);
    mbedtls_x509write_csr_set_md_alg(&csr, MBEDTLS_MD_SHA256);
    mbedtls_x509write_csr_set_key(&csr, pk);
    int code = 0, ret = mbedtls_x509write_csr_set_subject_name(&csr, subject);
    if (ret != 0)
        code = wrong_subject(subject, hob_mbed_words(ret, words, sizeof words), err);
    else if ((ret = mbedtls_x509write_csr_pem(&csr, pem, sizeof pem, hob_mbed_random, NULL)) != 0)
        code = hob_error_set(err, HOB_ETLS, "the certificate request could not be made: %s",
                             hob_mbed_words(ret, words, sizeof words));
    else if (hob_buf_append_string(out, (char *)pem))
        code = hob_error_set(err, HOB_ENOMEM, "out of memory");
    mbedtls_x509write_csr_free(&csr);
    return code;
}

int hob_keys_csr(const char *key, const char *passphrase, const char *subject, struct hob_buf *out,
                 struct hob_error *err)
{
    struct hob_error here;
    mbedtls_pk_context pk;
    err = err ? err : &here;
    if (!is_subject(subject))
        return wrong_subject(subject, "", err);
    mbedtls_pk_init(&pk);
    int code = read_key(&pk, key, passphrase, err);
    if (code == 0)
        code = write_csr(&pk, subject, out, err);
    mbedtls_pk_free(&pk);
    return code;
}

/* ---- comparing ---- */

int hob_keys_match(const char *certificate, const char *key, const char *passphrase, bool *match,
                   struct hob_error *err)
{
    struct hob_error here;
    mbedtls_x509_crt crt;
    mbedtls_pk_context pk;
    err = err ? err : &here;
    mbedtls_x509_crt_init(&crt);
    mbedtls_pk_init(&pk);
    int code = read_certificate(&crt, certificate, err);
    if (code == 0)
        code = read_key(&pk, key, passphrase, err);
    if (code == 0)
        *match = hob_mbed_pk_check_pair(&crt.pk, &pk) == 0;
    mbedtls_pk_free(&pk);
    mbedtls_x509_crt_free(&crt);
    return code;
}

int hob_keys_dates(const char *certificate, struct hob_keys_dates *out, struct hob_error *err)
{
    struct hob_error here;
    mbedtls_x509_crt crt;
    err = err ? err : &here;
    mbedtls_x509_crt_init(&crt);
    int code = read_certificate(&crt, certificate, err);
    if (code == 0)
        *out = (struct hob_keys_dates){.from_s = hob_tls_words_seconds(&crt.valid_from),
                                       .to_s = hob_tls_words_seconds(&crt.valid_to)};
    mbedtls_x509_crt_free(&crt);
    return code;
}
