/* download_request.c - see download_request.h */
#include "device/download_request.h"

#include "base/alloc.h"
#include "device/download_curl.h"

#include <string.h>
#include <strings.h>

#define MEMORY_LIMIT     (64u * 1024 * 1024)
#define STALL_DEFAULT_MS 60000

static bool is_hex64(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64;
}

static bool is_token(const char *text)
{
    return *text && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(text);
}

/* It is handed on as it came: what no URL holds would become something else on the way. */
static int check_url(const char *url, struct hob_error *err)
{
    struct hob_curl_origin origin;
    if (!url)
        return hob_error_set(err, HOB_EINVAL, "url: expected an http or https URL");
    for (const char *c = url; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return hob_error_set(err, HOB_EINVAL,
                                 "url: expected neither blanks nor control characters, got "
                                 "one at character %zu (a blank is written %%20)",
                                 (size_t)(c - url) + 1);
    return hob_curl_origin(url, &origin, err);
}

static int check_identity(const struct hob_download_options *o, struct hob_error *err)
{
    if (o->key_file && !o->cert_file)
        return hob_error_set(err, HOB_EINVAL, "key: expected with a cert");
    if (!hob_curl_proxy_ok(o->proxy))
        return hob_error_set(err, HOB_EINVAL, "proxy: expected http://HOST:PORT");
    return 0;
}

static int check_options(const struct hob_download_options *o, struct hob_error *err)
{
    int code = check_url(o->url, err);
    if (!code)
        code = check_identity(o, err);
    if (code)
        return code;
    if (o->method && !is_token(o->method))
        return hob_error_set(err, HOB_EINVAL, "method: expected capital letters, such as GET");
    if (o->sha256 && !is_hex64(o->sha256))
        return hob_error_set(err, HOB_EINVAL,
                             "sha256: expected 64 hexadecimal digits, got %zu "
                             "characters",
                             strlen(o->sha256));
    size_t n = 0;
    for (const char *const *h = o->headers; h && *h; h++)
        if (++n > HOB_DOWNLOAD_HEADERS_MAX || strpbrk(*h, "\r\n") || !strchr(*h, ':'))
            return hob_error_set(err, HOB_EINVAL,
                                 "headers: expected at most %d 'Name: value', each on one line",
                                 HOB_DOWNLOAD_HEADERS_MAX);
    return 0;
}

static bool copy(char **out, const char *text)
{
    *out = text ? hob_strdup(text) : NULL;
    return *out || !text;
}

static bool copy_body(struct hob_download_request *r, const struct hob_download_options *o)
{
    r->body = o->body ? hob_malloc(o->body_len + 1) : NULL;
    if (r->body)
        memcpy(r->body, o->body, o->body_len);
    r->body_len = o->body_len;
    return r->body || !o->body;
}

static bool copy_headers(struct hob_download_request *r, const char *const *list)
{
    for (; list && *list; list++)
        if (!copy(&r->headers[r->headers_count++], *list))
            return false;
    return true;
}

static bool copy_identity(struct hob_download_request *r, const struct hob_download_options *o)
{
    return copy(&r->cert_file, o->cert_file) && copy(&r->key_file, o->key_file) &&
           copy(&r->key_passphrase, o->key_passphrase) && copy(&r->proxy, o->proxy) &&
           copy(&r->default_proxy, o->default_proxy) && copy(&r->sign, o->sign) &&
           copy(&r->sign_id, o->sign_id) && copy(&r->sign_secret, o->sign_secret);
}

static bool copy_options(struct hob_download_request *r, const struct hob_download_options *o)
{
    r->limit_bytes = o->limit_bytes || o->to ? o->limit_bytes : MEMORY_LIMIT;
    r->timeout_ms = o->timeout_ms;
    r->stall_ms = o->stall_ms ? o->stall_ms : STALL_DEFAULT_MS;
    r->allow_http = o->allow_http;
    r->only_ok = o->only_ok;
    r->size_bytes = o->size_bytes;
    return copy_identity(r, o) && copy(&r->url, o->url) &&
           copy(&r->method, o->method ? o->method : "GET") && copy(&r->sha256, o->sha256) &&
           copy(&r->ca_file, o->ca_file) && copy_body(r, o) && copy_headers(r, o->headers);
}

int hob_download_request_init(struct hob_download_request *request,
                              const struct hob_download_options *options, struct hob_error *err)
{
    memset(request, 0, sizeof *request);
    int code = check_options(options, err);
    if (code)
        return code;
    return copy_options(request, options)
               ? 0
               : hob_error_set(err, HOB_ENOMEM, "download: out of memory");
}

static void drop(char **text)
{
    hob_free(*text);
    *text = NULL;
}

static void drop_identity(struct hob_download_request *r)
{
    char **const all[] = {&r->cert_file, &r->key_file, &r->key_passphrase,
                          &r->sign,      &r->sign_id,  &r->sign_secret};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        drop(all[i]);
}

void hob_download_request_free(struct hob_download_request *request)
{
    drop_identity(request);
    hob_free(request->proxy);
    hob_free(request->default_proxy);
    for (size_t i = 0; i < request->headers_count; i++)
        hob_free(request->headers[i]);
    hob_free(request->url);
    hob_free(request->method);
    hob_free(request->body);
    hob_free(request->sha256);
    hob_free(request->ca_file);
    memset(request, 0, sizeof *request);
}

/* ---- headers ---- */

static bool is_header(const char *line, const char *name)
{
    size_t n = strlen(name);
    return strncasecmp(line, name, n) == 0 && line[n] == ':';
}

static bool is_secret(const char *line)
{
    return is_header(line, "Authorization") || is_header(line, "Cookie") ||
           is_header(line, "Proxy-Authorization") || is_header(line, "X-Amz-Security-Token");
}

/* What was meant for one server is not told to another. */
static void drop_secrets(struct hob_download_request *r)
{
    size_t kept = 0;
    drop_identity(r);
    for (size_t i = 0; i < r->headers_count; i++) {
        if (is_secret(r->headers[i]))
            hob_free(r->headers[i]);
        else
            r->headers[kept++] = r->headers[i];
    }
    r->headers_count = kept;
}

static bool is_same(const struct hob_curl_origin *a, const struct hob_curl_origin *b)
{
    return strcmp(a->scheme, b->scheme) == 0 && strcasecmp(a->host, b->host) == 0 &&
           strcmp(a->port, b->port) == 0;
}

int hob_download_request_redirect(struct hob_download_request *r, const char *target,
                                  struct hob_error *err)
{
    struct hob_curl_origin from, to;
    char url[HOB_CURL_SHOWN_MAX];
    hob_curl_origin(r->url, &from, NULL); /* was checked */
    if (hob_curl_origin(target, &to, err))
        return hob_error_prefix(err, "redirect from %s: ", hob_curl_shown(r->url, url));
    if (!r->allow_http && strcmp(from.scheme, "https") == 0 && strcmp(to.scheme, "http") == 0)
        return hob_error_set(err, HOB_EHTTP,
                             "redirect from https to %s refused: not encrypted (allow_http = true "
                             "would follow it)",
                             hob_curl_shown(target, url));
    char *copied = hob_strdup(target);
    if (!copied)
        return hob_error_set(err, HOB_ENOMEM, "redirect: out of memory");
    if (!is_same(&from, &to))
        drop_secrets(r);
    hob_free(r->url);
    r->url = copied;
    return 0;
}

/* libcurl would wait for "100 Continue", and call every body a form. What is signed has none of
 * these: libcurl 7.88 signs headers that it is told to leave out, too. */
void hob_download_request_headers(const struct hob_download_request *r, const char *extra,
                                  const char *out[HOB_DOWNLOAD_LIST_MAX])
{
    bool has_type = false;
    for (size_t i = 0; i < r->headers_count; i++) {
        *out++ = r->headers[i];
        has_type = has_type || is_header(r->headers[i], "Content-Type");
    }
    if (!r->sign)
        *out++ = "Expect:";
    if (!has_type && !r->sign)
        *out++ = "Content-Type:";
    if (extra)
        *out++ = extra;
    *out = NULL;
}
