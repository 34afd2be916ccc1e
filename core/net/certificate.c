#include "net/certificate.h"

#include "base/alloc.h"
#include "base/mbed.h"
#include "net/tls_words.h"

#include <errno.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX (1024 * 1024)
#define WHAT     "certificate file"

static char *read_text(const char *path, size_t *len, struct hob_error *err)
{
    FILE *file = fopen(path, "rbe");
    if (!file) {
        hob_tls_words_file(err, WHAT, path, errno);
        return NULL;
    }
    char *text = hob_calloc(1, FILE_MAX + 1);
    size_t got = text ? fread(text, 1, FILE_MAX, file) : 0;
    int problem = !text ? ENOMEM : ferror(file) ? errno : 0;
    fclose(file);
    if (problem)
        hob_tls_words_file(err, WHAT, path, problem);
    else if (got == FILE_MAX)
        hob_error_set(err, HOB_ETLS, WHAT " %s: too large for a PEM file", path);
    if (problem || got == FILE_MAX) {
        hob_free(text);
        return NULL;
    }
    *len = got + 1; /* mbedTLS counts the NUL */
    return text;
}

static bool is_same(const mbedtls_x509_buf *a, const mbedtls_x509_buf *b)
{
    return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

static bool may_issue(const mbedtls_x509_crt *crt)
{
#if MBEDTLS_VERSION_MAJOR == 3
    return crt->MBEDTLS_PRIVATE(ca_istrue) != 0;
#else
    return crt->ca_istrue != 0;
#endif
}

static void describe(const mbedtls_x509_crt *crt, struct hob_certificate *out)
{
    const mbedtls_x509_crt *next = crt->next && crt->next->raw.p ? crt->next : NULL;
    *out = (struct hob_certificate){.from_s = hob_tls_words_seconds(&crt->valid_from),
                                    .to_s = hob_tls_words_seconds(&crt->valid_to),
                                    .is_ca = may_issue(crt),
                                    .is_self_issued = is_same(&crt->issuer_raw, &crt->subject_raw)};
    out->is_issued_by_next = next && is_same(&crt->issuer_raw, &next->subject_raw);
    if (mbedtls_x509_dn_gets(out->subject, sizeof(out->subject), &crt->subject) < 0)
        snprintf(out->subject, sizeof(out->subject), "?");
    if (mbedtls_x509_dn_gets(out->issuer, sizeof(out->issuer), &crt->issuer) < 0)
        snprintf(out->issuer, sizeof(out->issuer), "?");
}

/** @return 0, or HOB_ETLS: there is none, or not one can be read */
static int parse(mbedtls_x509_crt *list, const char *path, const char *text, size_t len,
                 struct hob_error *err)
{
    char label[64], words[128];
    if (!strstr(text, "-----BEGIN CERTIFICATE-----")) {
        return hob_tls_words_pem_label(text, label, sizeof(label))
                   ? hob_error_set(err, HOB_ETLS, WHAT " %s: no certificate in it, but \"%s\"",
                                   path, label)
                   : hob_error_set(err, HOB_ETLS,
                                   WHAT " %s: not a PEM file (no \"-----BEGIN CERTIFICATE-----\" "
                                        "in it)",
                                   path);
    }
    int ret = mbedtls_x509_crt_parse(list, (const unsigned char *)text, len);
    if (ret < 0 || !list->raw.p)
        return hob_error_set(err, HOB_ETLS, WHAT " %s: damaged certificate: %s", path,
                             hob_mbed_words(ret, words, sizeof(words)));
    return 0;
}

int hob_certificate_read(const char *path, hob_certificate_fn *fn, void *user,
                         struct hob_error *err)
{
    struct hob_error here = {0};
    size_t len;
    err = err ? err : &here;
    char *text = read_text(path, &len, err);
    if (!text)
        return err->code;
    mbedtls_x509_crt list;
    mbedtls_x509_crt_init(&list);
    int count = parse(&list, path, text, len, err);
    for (const mbedtls_x509_crt *crt = &list; count >= 0 && crt && crt->raw.p; crt = crt->next) {
        struct hob_certificate certificate;
        describe(crt, &certificate);
        fn(user, &certificate);
        count++;
    }
    mbedtls_x509_crt_free(&list);
    hob_free(text);
    return count;
}
