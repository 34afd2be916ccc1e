/* verify.c - see verify.h */
#include "device/verify.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mbed.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/base64.h>
#include <mbedtls/md.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SLICE_BYTES   65536
#define SIGNATURE_MAX 1024 /* RSA with 8192 bits */
#define RSA_BITS_MIN  2048

/* ---- digests ---- */

struct hob_verify_digest {
    uv_work_t work;
    const mbedtls_md_info_t *hash;
    atomic_bool stop;
    hob_verify_digest_fn *done; /* NULL: cancelled */
    void *user;
    struct hob_verify_digest_result result;
    char path[];
};

static const mbedtls_md_info_t *find_hash(const char *name, struct hob_error *err)
{
    static const char *const known[] = {"SHA1", "SHA256", "SHA384", "SHA512"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i]) == 0 && mbedtls_md_info_from_string(name))
            return mbedtls_md_info_from_string(name);
    hob_error_set(err, HOB_EINVAL, "hash: expected SHA1, SHA256, SHA384 or SHA512, got %.40s",
                  name);
    return NULL;
}

static void fail(struct hob_verify_digest *d, const char *doing)
{
    int number = errno;
    hob_error_set(&d->result.error, hob_error_from_errno(number), "%s %s: %s", doing, d->path,
                  strerror(number));
}

/* @return whether all was read */
static bool digest_all(struct hob_verify_digest *d, int fd, mbedtls_md_context_t *md)
{
    unsigned char slice[SLICE_BYTES];
    ssize_t n = 0;
    while (!atomic_load(&d->stop) && (n = read(fd, slice, sizeof slice)) != 0) {
        if (n < 0 && errno != EINTR)
            break;
        if (n > 0 && mbedtls_md_update(md, slice, (size_t)n))
            return false;
        d->result.size += n > 0 ? (uint64_t)n : 0;
    }
    if (n < 0)
        fail(d, "reading");
    return n == 0;
}

static void digest_open(struct hob_verify_digest *d, int fd)
{
    mbedtls_md_context_t md;
    mbedtls_md_init(&md);
    bool ok = !mbedtls_md_setup(&md, d->hash, 0) && !mbedtls_md_starts(&md) &&
              digest_all(d, fd, &md) && !mbedtls_md_finish(&md, d->result.bytes);
    if (!ok && !d->result.error.code)
        hob_error_set(&d->result.error, HOB_EIO, "the digest of %s could not be made", d->path);
    d->result.len = mbedtls_md_get_size(d->hash);
    mbedtls_md_free(&md);
}

/* Opened without waiting, since a FIFO without a writer would hold the worker for ever. */
static void in_worker(uv_work_t *work)
{
    struct hob_verify_digest *d = work->data;
    struct stat st;
    int fd = open(d->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st))
        fail(d, "opening");
    else if (!S_ISREG(st.st_mode))
        hob_error_set(&d->result.error, HOB_EINVAL, "%s: not a regular file", d->path);
    else
        digest_open(d, fd);
    if (fd >= 0)
        close(fd);
}

static void after_work(uv_work_t *work, int status)
{
    struct hob_verify_digest *d = work->data;
    if (status == UV_ECANCELED) /* it had not begun */
        hob_error_set(&d->result.error, HOB_ECANCELED, "%s: cancelled", d->path);
    if (d->done)
        d->done(d->user, &d->result);
    hob_free(d);
}

int hob_verify_digest_start(struct hob_loop *loop, const char *path, const char *hash,
                            hob_verify_digest_fn *done, void *user, struct hob_verify_digest **out,
                            struct hob_error *err)
{
    const mbedtls_md_info_t *info = find_hash(hash, err);
    if (!info)
        return HOB_EINVAL;
    struct hob_verify_digest *d = hob_calloc(1, sizeof *d + strlen(path) + 1);
    if (!d)
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", path);
    memcpy(d->path, path, strlen(path) + 1);
    d->hash = info;
    d->done = done;
    d->user = user;
    d->work.data = d;
    int status = uv_queue_work(hob_loop_uv(loop), &d->work, in_worker, after_work);
    if (status) {
        hob_free(d);
        return hob_error_set(err, hob_error_from_uv(status), "%s: %s", path, uv_strerror(status));
    }
    *out = d;
    return 0;
}

void hob_verify_digest_cancel(struct hob_verify_digest *d)
{
    d->done = NULL;
    atomic_store(&d->stop, true);
    uv_cancel((uv_req_t *)&d->work);
}

int hob_verify_digest_of(const char *hash, const void *data, size_t len,
                         struct hob_verify_digest_result *out, struct hob_error *err)
{
    const mbedtls_md_info_t *info = find_hash(hash, err);
    memset(out, 0, sizeof *out);
    if (!info)
        return HOB_EINVAL;
    out->len = mbedtls_md_get_size(info);
    out->size = len;
    if (mbedtls_md(info, data, len, out->bytes))
        return hob_error_set(err, HOB_EIO, "the digest could not be made");
    return 0;
}

/* ---- keys ---- */

struct key {
    mbedtls_x509_crt crt, ca; /* empty of a bare key; empty without a CA */
    mbedtls_pk_context bare;
    mbedtls_pk_context *pk; /* which of them */
};

static void init_key(struct key *key)
{
    memset(key, 0, sizeof *key);
    mbedtls_x509_crt_init(&key->crt);
    mbedtls_x509_crt_init(&key->ca);
    mbedtls_pk_init(&key->bare);
}

static void free_key(struct key *key)
{
    mbedtls_x509_crt_free(&key->crt);
    mbedtls_x509_crt_free(&key->ca);
    mbedtls_pk_free(&key->bare);
}

static int unreadable(const struct hob_verify_text *text, int code, struct hob_error *err)
{
    char words[128];
    const char *what = strstr(text->data, "PRIVATE KEY") ? "a private key" : "something else";
    return hob_error_set(err, HOB_EINVAL,
                         "%s: expected a certificate or a public key (PEM), got %s (%s)",
                         text->name, what, hob_mbed_words(code, words, sizeof words));
}

static int parse_certificate(const struct hob_verify_text *text, mbedtls_x509_crt *out,
                             struct hob_error *err)
{
    int code = mbedtls_x509_crt_parse(out, (const unsigned char *)text->data, text->len + 1);
    return code ? unreadable(text, code, err) : 0;
}

static int parse_key(const struct hob_verify_text *text, struct key *out, struct hob_error *err)
{
    if (strstr(text->data, "-----BEGIN CERTIFICATE")) {
        out->pk = &out->crt.pk;
        return parse_certificate(text, &out->crt, err);
    }
    int code =
        mbedtls_pk_parse_public_key(&out->bare, (const unsigned char *)text->data, text->len + 1);
    out->pk = &out->bare;
    return code ? unreadable(text, code, err) : 0;
}

/* ---- dates, by Hob's clock, which may be a product's ---- */

/* To be compared. */
static int64_t number_of(int year, int month, int day, int hour, int minute, int second)
{
    return ((((year * INT64_C(100) + month) * 100 + day) * 100 + hour) * 100 + minute) * 100 +
           second;
}

static int64_t number_of_time(const mbedtls_x509_time *t)
{
    return number_of(t->year, t->mon, t->day, t->hour, t->min, t->sec);
}

static int64_t number_of_now(void)
{
    time_t seconds = (time_t)(hob_clock_wall_ms() / 1000);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm))
        return INT64_MAX; /* everything has expired */
    return number_of(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                     tm.tm_sec);
}

static uint32_t date_flags(const mbedtls_x509_crt *crt)
{
    int64_t now = number_of_now();
    return (now > number_of_time(&crt->valid_to) ? MBEDTLS_X509_BADCERT_EXPIRED : 0u) |
           (now < number_of_time(&crt->valid_from) ? MBEDTLS_X509_BADCERT_FUTURE : 0u);
}

static int judge_dates(void *unused, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
    *flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
    *flags |= date_flags(crt);
    return 0;
}

/* Any thing's certificate may come from the same CA: this one must be made for signing code. */
static int check_use(const struct hob_verify_options *o, const struct key *key,
                     struct hob_error *err)
{
    bool has_use = key->crt.ext_key_usage.buf.p != NULL;
    if (has_use &&
        !mbedtls_x509_crt_check_extended_key_usage(&key->crt, MBEDTLS_OID_CODE_SIGNING,
                                                   MBEDTLS_OID_SIZE(MBEDTLS_OID_CODE_SIGNING)))
        return 0;
    return hob_error_set(err, HOB_ESIGNATURE,
                         "%s: the certificate is not for code signing (its extended key usage)",
                         o->key.name);
}

static int check_issuer(const struct hob_verify_options *o, struct key *key, struct hob_error *err)
{
    uint32_t flags = 0;
    char words[256];
    if (key->pk != &key->crt.pk)
        return hob_error_set(err, HOB_EINVAL, "%s: expected a certificate, since there is a ca",
                             o->key.name);
    int code = parse_certificate(&o->ca, &key->ca, err);
    if (code)
        return code;
    if (!mbedtls_x509_crt_verify(&key->crt, &key->ca, NULL, NULL, &flags, judge_dates, NULL))
        return check_use(o, key, err);
    mbedtls_x509_crt_verify_info(words, sizeof words, "", flags);
    words[strcspn(words, "\n")] = '\0';
    return hob_error_set(err, HOB_ESIGNATURE, "%s: not trusted by %s: %s", o->key.name, o->ca.name,
                         words);
}

static void describe(const struct key *key, struct hob_verify_signer *out)
{
    memset(out, 0, sizeof *out);
    if (key->pk != &key->crt.pk)
        return;
    if (mbedtls_x509_dn_gets(out->name, sizeof out->name, &key->crt.subject) < 0)
        out->name[0] = '\0';
    out->expired = date_flags(&key->crt) != 0;
}

static int check_kind(const struct hob_verify_options *o, const struct key *key,
                      struct hob_error *err)
{
    bool rsa = strcmp(o->kind, "RSA") == 0;
    if (!rsa && strcmp(o->kind, "ECDSA") != 0)
        return hob_error_set(err, HOB_EINVAL, "algorithm: expected ECDSA or RSA, got %.40s",
                             o->kind);
    if (!mbedtls_pk_can_do(key->pk, rsa ? MBEDTLS_PK_RSA : MBEDTLS_PK_ECDSA))
        return hob_error_set(err, HOB_ESIGNATURE,
                             "the signature is said to be %s, but the key in %s is of another kind",
                             o->kind, o->key.name);
    if (rsa && mbedtls_pk_get_bitlen(key->pk) < RSA_BITS_MIN)
        return hob_error_set(err, HOB_ESIGNATURE, "%s: an RSA key of %zu bits, expected %d or more",
                             o->key.name, mbedtls_pk_get_bitlen(key->pk), RSA_BITS_MIN);
    return 0;
}

/* ---- signatures ---- */

static bool is_base64(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n \t",
                    text[i]) ||
            !text[i])
            return false;
    return len > 0;
}

/* A DER sequence or an RSA number is never only letters and digits. */
static int read_signature(const struct hob_verify_options *o, unsigned char out[SIGNATURE_MAX],
                          size_t *len, struct hob_error *err)
{
    char packed[2 * SIGNATURE_MAX];
    size_t n = 0;
    bool text = is_base64(o->signature, o->signature_len);
    for (size_t i = 0; text && i < o->signature_len && n < sizeof packed; i++)
        if (!strchr("\r\n \t", o->signature[i]))
            packed[n++] = o->signature[i];
    if (text && !mbedtls_base64_decode(out, SIGNATURE_MAX, len, (unsigned char *)packed, n))
        return 0;
    *len = o->signature_len;
    if (text || !*len || *len > SIGNATURE_MAX)
        return hob_error_set(err, HOB_ESIGNATURE,
                             "signature: expected base64, or at most %d bytes, got %zu characters "
                             "of something else",
                             SIGNATURE_MAX, o->signature_len);
    memcpy(out, o->signature, *len);
    return 0;
}

static int check_signature(const struct hob_verify_options *o, const struct key *key,
                           const struct hob_verify_signer *signer, struct hob_error *err)
{
    unsigned char signature[SIGNATURE_MAX];
    size_t len;
    const mbedtls_md_info_t *hash = find_hash(o->hash, err);
    if (!hash)
        return HOB_EINVAL;
    int code = read_signature(o, signature, &len, err);
    if (code)
        return code;
    if (!mbedtls_pk_verify(key->pk, mbedtls_md_get_type(hash), o->digest, o->digest_len, signature,
                           len))
        return 0;
    return hob_error_set(err, HOB_ESIGNATURE, "the signature is not by the key in %s%s%s%s",
                         o->key.name, *signer->name ? " (" : "", signer->name,
                         *signer->name ? ")" : "");
}

int hob_verify_signature(const struct hob_verify_options *o, struct hob_verify_signer *signer,
                         struct hob_error *err)
{
    struct key key;
    init_key(&key);
    int code = parse_key(&o->key, &key, err);
    if (!code) {
        describe(&key, signer);
        code = check_kind(o, &key, err);
    }
    if (!code && o->ca.data)
        code = check_issuer(o, &key, err);
    if (!code)
        code = check_signature(o, &key, signer, err);
    free_key(&key);
    return code;
}
