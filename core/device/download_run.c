/* download_run.c - the module hob_download: what a download is beside an HTTP exchange; see
 * download.h. Redirects, the file and its rest, the digest, limits and time-outs.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "device/download.h"
#include "device/download_curl.h"
#include "device/download_file.h"
#include "device/download_names.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define REDIRECTS_MAX     10
#define HEADERS_MAX       64
#define ADDRESSES_MAX     2
#define MEMORY_LIMIT      (64u * 1024 * 1024)
#define STALL_DEFAULT_MS  60000
#define PROGRESS_EVERY_MS 100

/* The headers of one answer that matter here. */
struct answer {
    char range[128], tag[HOB_DOWNLOAD_TAG_MAX], modified[HOB_DOWNLOAD_TAG_MAX], type[128];
};

struct hob_download {
    struct hob_loop *loop;
    char *url, *method, *body, *sha256, *ca_file;
    size_t body_len;
    char *headers[HEADERS_MAX]; /* the caller's */
    size_t headers_count;
    uint64_t limit_bytes, timeout_ms, stall_ms;
    void (*on_progress)(void *user, uint64_t bytes, uint64_t total);
    void (*done)(void *user, const struct hob_download_result *result);
    void *user;

    struct hob_curl *curl; /* NULL between two requests */
    struct hob_download_names *names;
    char *addresses[ADDRESSES_MAX + 1];
    char if_range[HOB_DOWNLOAD_TAG_MAX + 16], from[32]; /* headers of this request */
    struct hob_timer *step_timer, *stall_timer, *timeout_timer;
    void (*step)(struct hob_download *download); /* what step_timer does */
    uv_fs_t sync;
    bool syncing;
    int directory; /* to be synced; -1: none */

    struct hob_download_file *file; /* NULL: in memory */
    struct hob_buf memory;
    int redirects;
    bool ranged, restarted, body_begun;
    uint64_t total; /* of the whole; 0: unknown */
    uint64_t moved_ms, told_ms, told_bytes;
    struct answer answer;
    struct hob_error trouble; /* found while libcurl was calling; code 0: none */
    struct hob_download_result result;
    bool over, cancelled;
};

static void begin_request(struct hob_download *d);

/* ---- the end ---- */

static void free_if_idle(struct hob_download *d)
{
    if (!d->over || d->syncing)
        return;
    if (d->directory >= 0)
        close(d->directory);
    hob_download_file_free(d->file);
    hob_buf_free(&d->memory);
    for (size_t i = 0; i < d->headers_count; i++)
        free(d->headers[i]);
    free(d->url);
    free(d->method);
    free(d->body);
    free(d->sha256);
    free(d->ca_file);
    free(d);
}

static void end_request(struct hob_download *d)
{
    hob_curl_close(d->curl);
    d->curl = NULL;
    hob_download_names_cancel(d->names);
    d->names = NULL;
    for (size_t i = 0; i < ADDRESSES_MAX; i++) {
        free(d->addresses[i]);
        d->addresses[i] = NULL;
    }
}

/* Everything that could call back, but for what libuv ends in its own time. */
static void end(struct hob_download *d)
{
    d->over = true;
    end_request(d);
    hob_timer_close(d->step_timer);
    hob_timer_close(d->stall_timer);
    hob_timer_close(d->timeout_timer);
    d->step_timer = d->stall_timer = d->timeout_timer = NULL;
}

static uint64_t bytes_now(const struct hob_download *d)
{
    return d->file ? hob_download_file_bytes(d->file) : hob_buf_len(&d->memory);
}

static void tell(struct hob_download *d)
{
    struct hob_download_result *result = &d->result;
    end(d);
    result->bytes = bytes_now(d);
    if (!d->file) {
        const char *body = hob_buf_string(&d->memory);
        result->body = body ? body : "";
        result->body_len = hob_buf_len(&d->memory);
    }
    /* The file is closed first, so that `done` may start the next try at once. */
    hob_download_file_free(d->file);
    d->file = NULL;
    if (!d->cancelled)
        d->done(d->user, result);
    free_if_idle(d);
}

static void fail(struct hob_download *d, const struct hob_error *err)
{
    d->result.error = *err;
    d->result.sha256[0] = '\0';
    tell(d);
}

#define fail_with(d, ...)                                                                          \
    do {                                                                                           \
        struct hob_error fail_err;                                                                 \
        hob_error_set(&fail_err, __VA_ARGS__);                                                     \
        fail(d, &fail_err);                                                                        \
    } while (0)

static void run_step(void *user)
{
    struct hob_download *d = user;
    d->step(d);
}

static void step_later(struct hob_download *d, void (*step)(struct hob_download *))
{
    d->step = step;
    hob_timer_start(d->step_timer, 0);
}

static const char *amount(const struct hob_download *d, char *out, size_t len)
{
    if (d->total)
        snprintf(out, len, "%llu of %llu bytes", (unsigned long long)bytes_now(d),
                 (unsigned long long)d->total);
    else
        snprintf(out, len, "%llu bytes", (unsigned long long)bytes_now(d));
    return out;
}

/* ---- a finished file ---- */

static void on_directory_synced(uv_fs_t *sync)
{
    struct hob_download *d = sync->data;
    uv_fs_req_cleanup(sync);
    d->syncing = false;
    if (d->over)
        free_if_idle(d);
    else
        tell(d);
}

static void on_file_synced(uv_fs_t *sync)
{
    struct hob_download *d = sync->data;
    struct hob_error err;
    char url[HOB_CURL_SHOWN_MAX];
    int status = (int)sync->result;
    uv_fs_req_cleanup(sync);
    d->syncing = false;
    if (d->over) {
        free_if_idle(d);
        return;
    }
    if (status) {
        fail_with(d, hob_error_from_uv(status), "writing what came from %s: %s",
                  hob_curl_shown(d->url, url), uv_strerror(status));
        return;
    }
    d->directory = hob_download_file_rename(d->file, &err);
    if (d->directory < 0) {
        fail(d, &err);
        return;
    }
    d->syncing = true;
    if (uv_fs_fsync(hob_loop_uv(d->loop), &d->sync, d->directory, on_directory_synced)) {
        d->syncing = false;
        tell(d);
    }
}

static void sync_file(struct hob_download *d)
{
    hob_timer_stop(d->stall_timer);
    hob_timer_stop(d->timeout_timer); /* all is here: and the file may not be closed meanwhile */
    d->syncing = true;
    d->sync.data = d;
    int status =
        uv_fs_fsync(hob_loop_uv(d->loop), &d->sync, hob_download_file_fd(d->file), on_file_synced);
    if (status) {
        d->syncing = false;
        fail_with(d, hob_error_from_uv(status), "syncing the file: %s", uv_strerror(status));
    }
}

static void finish_file(struct hob_download *d)
{
    hob_download_file_sha256(d->file, d->result.sha256);
    if (d->sha256 && strcasecmp(d->sha256, d->result.sha256) != 0) {
        char url[HOB_CURL_SHOWN_MAX];
        hob_download_file_remove(d->file);
        fail_with(d, HOB_EDIGEST, "%s: sha256 is %s, expected %s", hob_curl_shown(d->url, url),
                  d->result.sha256, d->sha256);
        return;
    }
    sync_file(d);
}

/* ---- what comes: notes only, `exchange_ended` and `exchange_turned` act on them ---- */

/* @return the value of header `name`, or NULL */
static const char *header_value(const char *line, size_t len, const char *name, char *out,
                                size_t size)
{
    size_t n = strlen(name);
    if (len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
        return NULL;
    const char *value = line + n + 1, *last = line + len;
    while (value < last && isspace((unsigned char)*value))
        value++;
    while (last > value && isspace((unsigned char)last[-1]))
        last--;
    snprintf(out, size, "%.*s", last - value < (long)size ? (int)(last - value) : 0, value);
    return out;
}

static void on_header(void *user, const char *line, size_t len)
{
    struct hob_download *d = user;
    struct answer *answer = &d->answer;
    if (len > 5 && strncmp(line, "HTTP/", 5) == 0)
        *answer = (struct answer){.range = ""};
    header_value(line, len, "Content-Range", answer->range, sizeof answer->range);
    header_value(line, len, "ETag", answer->tag, sizeof answer->tag);
    header_value(line, len, "Last-Modified", answer->modified, sizeof answer->modified);
}

static bool is_redirect(const struct hob_download *d, long status)
{
    return (status == 301 || status == 302 || status == 303 || status == 307 || status == 308) &&
           (strcmp(d->method, "GET") == 0 || strcmp(d->method, "HEAD") == 0);
}

/* A weak ETag does not promise the same bytes. */
static const char *version_of(const struct hob_download *d)
{
    return *d->answer.tag && strncmp(d->answer.tag, "W/", 2) != 0 ? d->answer.tag
                                                                  : d->answer.modified;
}

static int check_range(struct hob_download *d)
{
    unsigned long long first = 0, total = 0;
    int n = sscanf(d->answer.range, "bytes %llu-%*u/%llu", &first, &total);
    if (n < 1 || first != hob_download_file_bytes(d->file))
        return hob_error_set(&d->trouble, HOB_EPROTO,
                             "asked for the bytes from %llu, got '%s' in Content-Range",
                             (unsigned long long)hob_download_file_bytes(d->file), d->answer.range);
    d->total = n == 2 ? total : 0;
    d->result.resumed_from = first;
    return 0;
}

/* The first bytes of an answer that is the file: from its beginning, or the rest. */
static int begin_body(struct hob_download *d, long status, int64_t length)
{
    d->body_begun = true;
    if (d->file && status == 206)
        return check_range(d);
    d->total = length > 0 ? (uint64_t)length : 0;
    if (!d->file)
        return 0;
    d->result.resumed_from = 0;
    int code = hob_download_file_bytes(d->file) > 0 || *hob_download_file_tag(d->file)
                   ? hob_download_file_restart(d->file, &d->trouble)
                   : 0;
    if (!code)
        hob_download_file_set_tag(d->file, version_of(d));
    return code;
}

static int check_limit(struct hob_download *d, size_t len)
{
    char url[HOB_CURL_SHOWN_MAX];
    uint64_t whole = bytes_now(d) + len;
    if (d->total > whole)
        whole = d->total;
    if (!d->limit_bytes || whole <= d->limit_bytes)
        return 0;
    return hob_error_set(&d->trouble, HOB_EMSGSIZE,
                         "%s has %s%llu bytes, more than the limit of %llu",
                         hob_curl_shown(d->url, url), d->total ? "" : "over ",
                         (unsigned long long)whole, (unsigned long long)d->limit_bytes);
}

static int on_data(void *user, long status, int64_t length, const char *data, size_t len)
{
    struct hob_download *d = user;
    bool wanted = d->file ? status / 100 == 2 : !is_redirect(d, status);
    d->moved_ms = hob_clock_mono_ms();
    if (!wanted)
        return 0;
    int code = d->body_begun ? 0 : begin_body(d, status, length);
    if (!code)
        code = check_limit(d, len);
    if (!code && d->file)
        code = hob_download_file_write(d->file, data, len, &d->trouble);
    if (!code && !d->file && hob_buf_append(&d->memory, data, len))
        code = hob_error_set(&d->trouble, HOB_ENOMEM, "out of memory for the answer");
    return code;
}

static void exchange_turned(void *user)
{
    struct hob_download *d = user;
    uint64_t now = hob_clock_mono_ms(), bytes = bytes_now(d);
    bool whole = d->total && bytes == d->total;
    if (!d->on_progress || !d->body_begun || bytes == d->told_bytes ||
        (!whole && now < d->told_ms + PROGRESS_EVERY_MS))
        return;
    d->told_ms = now;
    d->told_bytes = bytes;
    d->on_progress(d->user, bytes, d->total);
}

/* ---- the end of an exchange ---- */

static bool is_header(const char *line, const char *name)
{
    size_t n = strlen(name);
    return strncasecmp(line, name, n) == 0 && line[n] == ':';
}

/* What was meant for one server is not told to another. */
static void drop_secret_headers(struct hob_download *d)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->headers_count; i++) {
        if (is_header(d->headers[i], "Authorization") || is_header(d->headers[i], "Cookie"))
            free(d->headers[i]);
        else
            d->headers[kept++] = d->headers[i];
    }
    d->headers_count = kept;
}

static int check_redirect(struct hob_download *d, const char *target, struct hob_error *err)
{
    struct hob_curl_origin from, to;
    char url[HOB_CURL_SHOWN_MAX];
    hob_curl_origin(d->url, &from, NULL);
    if (++d->redirects > REDIRECTS_MAX)
        return hob_error_set(err, HOB_EHTTP, "more than %d redirects, the last from %s",
                             REDIRECTS_MAX, hob_curl_shown(d->url, url));
    if (hob_curl_origin(target, &to, err))
        return hob_error_prefix(err, "redirect from %s: ", hob_curl_shown(d->url, url));
    if (strcmp(from.scheme, "https") == 0 && strcmp(to.scheme, "http") == 0)
        return hob_error_set(err, HOB_EHTTP, "redirect from https to %s refused: not encrypted",
                             hob_curl_shown(target, url));
    if (strcmp(from.scheme, to.scheme) != 0 || strcasecmp(from.host, to.host) != 0 ||
        strcmp(from.port, to.port) != 0)
        drop_secret_headers(d);
    return 0;
}

static void follow(struct hob_download *d, const char *location)
{
    struct hob_error err;
    char *target = strdup(location);
    int code = target ? check_redirect(d, target, &err)
                      : hob_error_set(&err, HOB_ENOMEM, "redirect: out of memory");
    if (code) {
        free(target);
        fail(d, &err);
        return;
    }
    free(d->url);
    d->url = target;
    end_request(d);
    step_later(d, begin_request);
}

static void fail_exchange(struct hob_download *d, const struct hob_curl_end *how)
{
    char url[HOB_CURL_SHOWN_MAX], much[64];
    hob_curl_shown(d->url, url);
    if (d->file && (d->trouble.code == HOB_EMSGSIZE || d->trouble.code == HOB_ENOSPC))
        hob_download_file_remove(d->file);
    if (d->trouble.code == HOB_EPROTO)
        hob_error_prefix(&d->trouble, "%s: ", url);
    if (d->trouble.code)
        fail(d, &d->trouble);
    else if (how->code == HOB_ECONNRESET && d->body_begun)
        fail_with(d, HOB_ECONNRESET, "%s: the connection broke after %s", url,
                  amount(d, much, sizeof much));
    else
        fail_with(d, how->code, "%s: %s", url, how->words);
}

static void retry_whole(struct hob_download *d)
{
    struct hob_error err;
    d->restarted = true;
    end_request(d);
    if (hob_download_file_restart(d->file, &err))
        fail(d, &err);
    else
        step_later(d, begin_request);
}

/* 416: there is no more than what we have (the process died before the rename), or it is no part of
 * the file at all. */
static void end_refused_range(struct hob_download *d)
{
    char sha256[HOB_SHA256_HEX_MAX] = "";
    unsigned long long total = 0;
    bool whole = sscanf(d->answer.range, "bytes */%llu", &total) == 1 &&
                 total == hob_download_file_bytes(d->file);
    if (whole && d->sha256) {
        hob_download_file_sha256(d->file, sha256);
        whole = strcasecmp(sha256, d->sha256) == 0;
    }
    if (!whole || !d->sha256) {
        retry_whole(d);
        return;
    }
    snprintf(d->result.sha256, sizeof d->result.sha256, "%s", sha256);
    d->result.resumed_from = total;
    sync_file(d);
}

static void end_ok(struct hob_download *d)
{
    char url[HOB_CURL_SHOWN_MAX];
    if (d->file && d->result.status == 416 && d->ranged) {
        end_refused_range(d);
    } else if (d->file && d->result.status / 100 != 2) {
        fail_with(d, HOB_EHTTP, "HTTP %ld from %s", d->result.status, hob_curl_shown(d->url, url));
    } else if (!d->body_begun && d->file && begin_body(d, d->result.status, 0)) {
        fail(d, &d->trouble); /* an empty file has no first bytes */
    } else if (d->file) {
        finish_file(d);
    } else {
        tell(d);
    }
}

static void exchange_ended(void *user, const struct hob_curl_end *how)
{
    struct hob_download *d = user;
    d->result.status = how->status;
    snprintf(d->answer.type, sizeof d->answer.type, "%s", how->type);
    if (how->code)
        fail_exchange(d, how);
    else if (how->location && is_redirect(d, how->status))
        follow(d, how->location);
    else
        end_ok(d);
}

/* ---- one request ---- */

/* The rest may be asked for if the server can say that it is of the same version, or if the digest
 * will tell. */
static void ask_for_rest(struct hob_download *d)
{
    const char *tag = d->file ? hob_download_file_tag(d->file) : "";
    d->ranged =
        d->file && hob_download_file_bytes(d->file) > 0 && !d->restarted && (*tag || d->sha256);
    if (!d->ranged)
        return;
    snprintf(d->from, sizeof d->from, "%llu-",
             (unsigned long long)hob_download_file_bytes(d->file));
    snprintf(d->if_range, sizeof d->if_range, "If-Range: %s", tag);
}

/* libcurl would wait for "100 Continue", and call every body a form. */
static void list_headers(const struct hob_download *d, const char **list)
{
    bool has_type = false;
    for (size_t i = 0; i < d->headers_count; i++) {
        *list++ = d->headers[i];
        has_type = has_type || is_header(d->headers[i], "Content-Type");
    }
    *list++ = "Expect:";
    if (!has_type)
        *list++ = "Content-Type:";
    if (d->ranged && *hob_download_file_tag(d->file))
        *list++ = d->if_range;
    *list = NULL;
}

static void send_request(struct hob_download *d)
{
    struct hob_error err;
    const char *headers[HEADERS_MAX + 4];
    d->body_begun = false;
    ask_for_rest(d);
    list_headers(d, headers);
    struct hob_curl_options options = {
        .url = d->url,
        .method = d->method,
        .body = d->body,
        .body_len = d->body_len,
        .headers = headers,
        .addresses = (const char *const *)d->addresses,
        .range = d->ranged ? d->from : NULL,
        .ca_file = d->ca_file,
        .connect_ms = d->stall_ms,
        .on_header = on_header,
        .on_data = on_data,
        .on_turn = exchange_turned,
        .done = exchange_ended,
        .user = d,
    };
    if (hob_curl_start(d->loop, &options, &d->curl, &err))
        fail(d, &err);
}

static void add_address(struct hob_download *d, const char *entry)
{
    size_t i = 0;
    while (i < ADDRESSES_MAX && d->addresses[i])
        i++;
    if (entry && i < ADDRESSES_MAX)
        d->addresses[i] = strdup(entry); /* without: libcurl resolves, in a thread of its own */
}

static void on_target_name(void *user, const char *entry, const struct hob_error *err)
{
    struct hob_download *d = user;
    d->names = NULL;
    add_address(d, entry);
    if (err && !d->addresses[0]) /* with a proxy, it is the proxy that resolves */
        fail(d, err);
    else
        send_request(d);
}

static void resolve(struct hob_download *d, const struct hob_curl_origin *origin,
                    hob_download_names_fn *then)
{
    struct hob_error err;
    d->names = hob_download_names_start(d->loop, origin->host, origin->port, then, d, &err);
    if (!d->names)
        fail(d, &err);
}

static void resolve_target(struct hob_download *d)
{
    struct hob_curl_origin origin;
    hob_curl_origin(d->url, &origin, NULL); /* was checked */
    if (origin.host[0] == '[')
        send_request(d); /* an IPv6 address */
    else
        resolve(d, &origin, on_target_name);
}

static void on_proxy_name(void *user, const char *entry, const struct hob_error *err)
{
    struct hob_download *d = user;
    d->names = NULL;
    add_address(d, entry);
    resolve_target(d); /* no_proxy may make the proxy's name needless */
}

static void begin_request(struct hob_download *d)
{
    struct hob_curl_origin origin, proxy;
    hob_curl_origin(d->url, &origin, NULL);
    if (hob_curl_proxy(&origin, &proxy) && proxy.host[0] != '[')
        resolve(d, &proxy, on_proxy_name);
    else
        resolve_target(d);
}

/* ---- timers ---- */

static void on_stall_timer(void *user)
{
    struct hob_download *d = user;
    char url[HOB_CURL_SHOWN_MAX], much[64];
    uint64_t due = d->moved_ms + d->stall_ms, now = hob_clock_mono_ms();
    if (now < due)
        hob_timer_start(d->stall_timer, due - now);
    else
        fail_with(d, HOB_ETIMEDOUT, "%s: nothing came for %.3g s, after %s",
                  hob_curl_shown(d->url, url), (double)d->stall_ms / 1000,
                  amount(d, much, sizeof much));
}

static void on_timeout(void *user)
{
    struct hob_download *d = user;
    char url[HOB_CURL_SHOWN_MAX], much[64];
    fail_with(d, HOB_ETIMEDOUT, "%s: timed out after %.3g s, with %s", hob_curl_shown(d->url, url),
              (double)d->timeout_ms / 1000, amount(d, much, sizeof much));
}

/* ---- the start ---- */

static void rehash_step(struct hob_download *d)
{
    struct hob_error err;
    int more = hob_download_file_rehash(d->file, &err);
    d->moved_ms = hob_clock_mono_ms();
    if (more < 0)
        fail(d, &err);
    else if (more)
        step_later(d, rehash_step);
    else
        begin_request(d);
}

static bool is_hex64(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64;
}

static bool is_token(const char *text)
{
    return *text && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(text);
}

static int check_options(const struct hob_download_options *o, struct hob_error *err)
{
    struct hob_curl_origin origin;
    int code = o->url ? hob_curl_origin(o->url, &origin, err)
                      : hob_error_set(err, HOB_EINVAL, "url: expected an http or https URL");
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
        if (++n > HEADERS_MAX || strpbrk(*h, "\r\n") || !strchr(*h, ':'))
            return hob_error_set(err, HOB_EINVAL,
                                 "headers: expected at most %d 'Name: value', each on one line",
                                 HEADERS_MAX);
    return 0;
}

static bool copy(char **out, const char *text)
{
    *out = text ? strdup(text) : NULL;
    return *out || !text;
}

static bool copy_body(struct hob_download *d, const struct hob_download_options *o)
{
    d->body = o->body ? malloc(o->body_len + 1) : NULL;
    if (d->body)
        memcpy(d->body, o->body, o->body_len);
    d->body_len = o->body_len;
    return d->body || !o->body;
}

static bool copy_headers(struct hob_download *d, const char *const *list)
{
    for (; list && *list; list++)
        if (!copy(&d->headers[d->headers_count++], *list))
            return false;
    return true;
}

static bool copy_options(struct hob_download *d, const struct hob_download_options *o)
{
    d->limit_bytes = o->limit_bytes || o->to ? o->limit_bytes : MEMORY_LIMIT;
    d->timeout_ms = o->timeout_ms;
    d->stall_ms = o->stall_ms ? o->stall_ms : STALL_DEFAULT_MS;
    d->on_progress = o->on_progress;
    d->done = o->done;
    d->user = o->user;
    return copy(&d->url, o->url) && copy(&d->method, o->method ? o->method : "GET") &&
           copy(&d->sha256, o->sha256) && copy(&d->ca_file, o->ca_file) && copy_body(d, o) &&
           copy_headers(d, o->headers);
}

static bool make_timers(struct hob_download *d)
{
    d->step_timer = hob_timer_new(d->loop, run_step, d);
    d->stall_timer = hob_timer_new(d->loop, on_stall_timer, d);
    d->timeout_timer = hob_timer_new(d->loop, on_timeout, d);
    return d->step_timer && d->stall_timer && d->timeout_timer;
}

static void start_timers(struct hob_download *d)
{
    d->moved_ms = hob_clock_mono_ms();
    hob_timer_start(d->stall_timer, d->stall_ms);
    if (d->timeout_ms)
        hob_timer_start(d->timeout_timer, d->timeout_ms);
    step_later(d, d->file ? rehash_step : begin_request);
}

static int start(struct hob_loop *loop, const struct hob_download_options *options,
                 struct hob_download **out, struct hob_error *err)
{
    int code = check_options(options, err);
    if (code)
        return code;
    struct hob_download *d = calloc(1, sizeof *d);
    if (!d)
        return hob_error_set(err, HOB_ENOMEM, "download: out of memory");
    d->loop = loop;
    d->directory = -1;
    d->result.content_type = d->answer.type;
    hob_buf_init(&d->memory, SIZE_MAX / 4);
    if (!copy_options(d, options) || !make_timers(d))
        code = hob_error_set(err, HOB_ENOMEM, "download: out of memory");
    else if (options->to)
        code = hob_download_file_open(options->to, &d->file, err);
    if (code) {
        end(d);
        free_if_idle(d);
        return code;
    }
    start_timers(d);
    *out = d;
    return 0;
}

static void cancel(struct hob_download *d)
{
    d->cancelled = true;
    if (d->over)
        return;
    end(d);
    free_if_idle(d);
}

extern const struct hob_download_module hob_module;
__attribute__((visibility("default"))) const struct hob_download_module hob_module = {
    .start = start, .cancel = cancel, .version = hob_curl_version};
