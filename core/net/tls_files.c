/* tls_files.c - see tls_files.h */
#include "net/tls_files.h"

#include "base/alloc.h"
#include "base/mbed.h"
#include "base/mbed_pk.h"
#include "net/pem.h"
#include "net/tls_words.h"

#include <string.h>

#define MATCHED_MAX 1024 /* pairs; with more the oldest is computed again */

struct hob_tls_cache {
    struct hob_tls_files *first;
    bool orphaned; /* freed by its owner; goes with the last of its files */
    /* Digests of pairs that were found to belong together, also when nobody holds them any more: to
     * compute that again is most of what resuming a session costs. */
    char (*matched)[HOB_SHA256_HEX_MAX];
    size_t matched_count, oldest, computed;
};

struct hob_tls_cache *hob_tls_cache_new(void)
{
    return hob_calloc(1, sizeof(struct hob_tls_cache));
}

void hob_tls_cache_free(struct hob_tls_cache *cache)
{
    if (cache && cache->first) {
        cache->orphaned = true;
        return;
    }
    if (cache)
        hob_free(cache->matched);
    hob_free(cache);
}

size_t hob_tls_cache_count(const struct hob_tls_cache *cache)
{
    size_t count = 0;
    for (const struct hob_tls_files *files = cache->first; files; files = files->next)
        count++;
    return count;
}

size_t hob_tls_cache_computed(const struct hob_tls_cache *cache)
{
    return cache->computed;
}

/* ---- reading ---- */

struct texts {
    unsigned char *certificates, *key;
    size_t certificates_len, key_len;
};

static int read_texts(const struct hob_tls_wish *wish, struct texts *out, struct hob_error *err)
{
    *out = (struct texts){0};
    out->certificates = hob_pem_read(wish->what, wish->cert_file, &out->certificates_len, err);
    if (!out->certificates)
        return err->code;
    if (!wish->key_file)
        return 0;
    out->key = hob_pem_read("key file", wish->key_file, &out->key_len, err);
    return out->key ? 0 : err->code;
}

static void free_texts(struct texts *texts)
{
    hob_pem_free(texts->certificates, texts->certificates_len);
    hob_pem_free(texts->key, texts->key_len);
}

/* @return whether it was made: where memory is short nothing is shared */
static bool make_digest(const struct hob_tls_wish *wish, const struct texts *texts,
                        char out[HOB_SHA256_HEX_MAX])
{
    const char *pass = wish->key_file && wish->key_passphrase ? wish->key_passphrase : "";
    struct hob_sha256 *sha = hob_sha256_new();
    out[0] = '\0';
    if (!sha)
        return false;
    hob_sha256_update(sha, texts->certificates, texts->certificates_len);
    hob_sha256_update(sha, texts->key, texts->key_len);
    hob_sha256_update(sha, pass, strlen(pass));
    hob_sha256_hex(sha, out);
    hob_sha256_free(sha);
    return out[0] != '\0';
}

/* @param digest  of both texts */
static bool has_matched(const struct hob_tls_cache *cache, const char *digest)
{
    for (size_t i = 0; *digest && i < cache->matched_count; i++)
        if (strcmp(cache->matched[i], digest) == 0)
            return true;
    return false;
}

/* Without memory for it, it is computed again. */
static void remember(struct hob_tls_cache *cache, const char *digest)
{
    size_t place = cache->oldest;
    if (cache->matched_count < MATCHED_MAX) {
        void *more =
            hob_realloc(cache->matched, (cache->matched_count + 1) * sizeof *cache->matched);
        if (!more)
            return;
        cache->matched = more;
        place = cache->matched_count++;
    } else {
        cache->oldest = (cache->oldest + 1) % MATCHED_MAX;
    }
    memcpy(cache->matched[place], digest, sizeof *cache->matched);
}

static bool check_pair(struct hob_tls_cache *cache, const struct hob_tls_files *files)
{
    if (cache && has_matched(cache, files->digest))
        return true;
    bool matches = hob_mbed_pk_check_pair(&files->certificates.pk, &files->key) == 0;
    if (cache)
        cache->computed++;
    if (cache && matches)
        remember(cache, files->digest);
    return matches;
}

static int parse_key(struct hob_tls_cache *cache, const struct hob_tls_wish *wish,
                     const struct texts *texts, struct hob_tls_files *files, struct hob_error *err)
{
    const char *pass = wish->key_passphrase;
    int ret = hob_mbed_pk_parse(&files->key, texts->key, texts->key_len, pass);
    if (ret != 0)
        return hob_tls_words_key(ret, (char *)texts->key, wish->key_file, pass && *pass, err);
    if (check_pair(cache, files))
        return 0;
    return hob_error_set(err, HOB_ETLS,
                         "key file %s: the key does not match the certificate %s: put the two that "
                         "were made together in place",
                         wish->key_file, wish->cert_file);
}

static int parse(struct hob_tls_cache *cache, const struct hob_tls_wish *wish,
                 const struct texts *texts, struct hob_tls_files *files, struct hob_error *err)
{
    int code = hob_pem_parse_certificates(&files->certificates, wish->what, wish->cert_file,
                                          texts->certificates, texts->certificates_len, err);
    return code || !wish->key_file ? code : parse_key(cache, wish, texts, files, err);
}

/* ---- sharing ---- */

static struct hob_tls_files *find(const struct hob_tls_cache *cache, const char *digest)
{
    struct hob_tls_files *files = cache && *digest ? cache->first : NULL;
    while (files && strcmp(files->digest, digest) != 0)
        files = files->next;
    return files;
}

static void destroy(struct hob_tls_files *files)
{
    mbedtls_pk_free(&files->key);
    mbedtls_x509_crt_free(&files->certificates);
    hob_free(files);
}

static int make(struct hob_tls_cache *cache, const struct hob_tls_wish *wish,
                const struct texts *texts, const char *digest, struct hob_tls_files **out,
                struct hob_error *err)
{
    struct hob_tls_files *files = hob_calloc(1, sizeof *files);
    if (!files)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    mbedtls_x509_crt_init(&files->certificates);
    mbedtls_pk_init(&files->key);
    memcpy(files->digest, digest, sizeof files->digest);
    int code = parse(cache, wish, texts, files, err);
    if (code) {
        destroy(files);
        return code;
    }
    files->users = 1;
    if (cache && *digest) {
        files->cache = cache;
        files->next = cache->first;
        cache->first = files;
    }
    *out = files;
    return 0;
}

int hob_tls_files_get(struct hob_tls_cache *cache, const struct hob_tls_wish *wish,
                      struct hob_tls_files **out, struct hob_error *err)
{
    struct texts texts;
    char digest[HOB_SHA256_HEX_MAX] = "";
    int code = read_texts(wish, &texts, err);
    struct hob_tls_files *shared =
        code == 0 && make_digest(wish, &texts, digest) ? find(cache, digest) : NULL;
    if (shared) {
        shared->users++;
        *out = shared;
    } else if (code == 0) {
        code = make(cache, wish, &texts, digest, out, err);
    }
    free_texts(&texts);
    return code;
}

void hob_tls_files_put(struct hob_tls_files *files)
{
    if (!files || --files->users > 0)
        return;
    struct hob_tls_cache *cache = files->cache;
    for (struct hob_tls_files **at = cache ? &cache->first : NULL; at && *at; at = &(*at)->next) {
        if (*at == files) {
            *at = files->next;
            break;
        }
    }
    destroy(files);
    if (cache && cache->orphaned)
        hob_tls_cache_free(cache);
}
