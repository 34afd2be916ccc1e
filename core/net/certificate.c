#include "net/certificate.h"

#include "net/pem.h"
#include "net/tls_words.h"

#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <string.h>

#define WHAT "certificate file"

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

int hob_certificate_read(const char *path, hob_certificate_fn *fn, void *user,
                         struct hob_error *err)
{
    struct hob_error here = {0};
    size_t len;
    err = err ? err : &here;
    unsigned char *text = hob_pem_read(WHAT, path, &len, err);
    if (!text)
        return err->code;
    mbedtls_x509_crt list;
    mbedtls_x509_crt_init(&list);
    int count = hob_pem_parse_certificates(&list, WHAT, path, text, len, err);
    for (const mbedtls_x509_crt *crt = &list; count >= 0 && crt && crt->raw.p; crt = crt->next) {
        struct hob_certificate certificate;
        describe(crt, &certificate);
        fn(user, &certificate);
        count++;
    }
    mbedtls_x509_crt_free(&list);
    hob_pem_free(text, len);
    return count;
}
