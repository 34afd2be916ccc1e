/* download_run.c - the module hob_download: what a download is beside an HTTP exchange; see
 * download.h. Redirects, the file and its rest, the digest, limits and time-outs.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "device/download.h"
#include "device/download_curl.h"
#include "device/download_file.h"
#include "device/download_names.h"
#include "device/download_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REDIRECTS_MAX     10
#define ADDRESSES_MAX     2
#define PROGRESS_EVERY_MS 100

/* The headers of one answer that matter here. */
struct answer {
    char range[128], tag[HOB_DOWNLOAD_TAG_MAX], modified[HOB_DOWNLOAD_TAG_MAX], type[128];
};

struct hob_download {
    struct hob_loop *loop;
    struct hob_download_request request;
    void (*on_progress)(void *user, uint64_t bytes, uint64_t total);
    void (*done)(void *user, const struct hob_download_result *result);
    void *user;

    struct hob_curl *curl; /* NULL between two requests */
    struct hob_download_names *names;
    char *addresses[ADDRESSES_MAX + 1];
    char if_range[HOB_DOWNLOAD_TAG_MAX + 16], from[32]; /* headers of this request */
    struct hob_timer *step_timer, *stall_timer, *timeout_timer;
    void (*step)(struct hob_download *download); /* what step_timer does */

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

static void free_download(struct hob_download *d)
{
    hob_download_file_free(d->file);
    hob_buf_free(&d->memory);
    hob_download_request_free(&d->request);
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
    free_download(d);
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

static void file_finished(void *user, const struct hob_error *err)
{
    struct hob_download *d = user;
    if (err)
        fail(d, err);
    else
        tell(d);
}

/* All is here: no time-out ends it now. */
static void keep_file(struct hob_download *d)
{
    hob_timer_stop(d->stall_timer);
    hob_timer_stop(d->timeout_timer);
    hob_download_file_finish(d->file, d->loop, file_finished, d);
}

static void finish_file(struct hob_download *d)
{
    hob_download_file_sha256(d->file, d->result.sha256);
    if (d->request.sha256 && strcasecmp(d->request.sha256, d->result.sha256) != 0) {
        char url[HOB_CURL_SHOWN_MAX];
        hob_download_file_remove(d->file);
        fail_with(d, HOB_EDIGEST, "%s: sha256 is %s, expected %s",
                  hob_curl_shown(d->request.url, url), d->result.sha256, d->request.sha256);
        return;
    }
    keep_file(d);
}

/* ---- what comes: notes only, `exchange_ended` and `exchange_turned` act on them ---- */

static void on_header(void *user, const char *line, size_t len)
{
    struct hob_download *d = user;
    struct answer *answer = &d->answer;
    if (len > 5 && strncmp(line, "HTTP/", 5) == 0)
        *answer = (struct answer){.range = ""};
    hob_curl_header(line, len, "Content-Range", answer->range, sizeof answer->range);
    hob_curl_header(line, len, "ETag", answer->tag, sizeof answer->tag);
    hob_curl_header(line, len, "Last-Modified", answer->modified, sizeof answer->modified);
}

static bool is_redirect(const struct hob_download *d, long status)
{
    return (status == 301 || status == 302 || status == 303 || status == 307 || status == 308) &&
           (strcmp(d->request.method, "GET") == 0 || strcmp(d->request.method, "HEAD") == 0);
}

/* A weak ETag does not promise the same bytes. */
static const char *version_of(const struct hob_download *d)
{
    return *d->answer.tag && strncmp(d->answer.tag, "W/", 2) != 0 ? d->answer.tag
                                                                  : d->answer.modified;
}

/* An answer that is the file, or the rest of it that was asked for. */
static bool is_content(const struct hob_download *d, long status)
{
    return status == 200 || (status == 206 && d->ranged);
}

static int check_range(struct hob_download *d)
{
    struct hob_curl_range range;
    uint64_t have = hob_download_file_bytes(d->file);
    if (!hob_curl_range(d->answer.range, &range) || range.first != have)
        return hob_error_set(&d->trouble, HOB_EPROTO,
                             "asked for the bytes from %llu, got '%s' in Content-Range",
                             (unsigned long long)have, d->answer.range);
    d->total = range.total;
    d->result.resumed_from = have;
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
    if (!d->request.limit_bytes || whole <= d->request.limit_bytes)
        return 0;
    return hob_error_set(&d->trouble, HOB_EMSGSIZE,
                         "%s has %s%llu bytes, more than the limit of %llu",
                         hob_curl_shown(d->request.url, url), d->total ? "" : "over ",
                         (unsigned long long)whole, (unsigned long long)d->request.limit_bytes);
}

static int on_data(void *user, long status, int64_t length, const char *data, size_t len)
{
    struct hob_download *d = user;
    bool wanted = d->file ? is_content(d, status) : !is_redirect(d, status);
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

static void follow(struct hob_download *d, const char *location)
{
    struct hob_error err;
    char url[HOB_CURL_SHOWN_MAX];
    int code = ++d->redirects > REDIRECTS_MAX
                   ? hob_error_set(&err, HOB_EHTTP, "more than %d redirects, the last from %s",
                                   REDIRECTS_MAX, hob_curl_shown(d->request.url, url))
                   : hob_download_request_redirect(&d->request, location, &err);
    if (code) {
        fail(d, &err);
        return;
    }
    end_request(d);
    step_later(d, begin_request);
}

static void fail_exchange(struct hob_download *d, const struct hob_curl_end *how)
{
    char url[HOB_CURL_SHOWN_MAX], much[64];
    hob_curl_shown(d->request.url, url);
    if (d->file && (d->trouble.code == HOB_EMSGSIZE || d->trouble.code == HOB_ENOSPC))
        hob_download_file_remove(d->file);
    if (d->trouble.code == HOB_EPROTO)
        hob_error_prefix(&d->trouble, "%s: ", url);
    if (d->trouble.code || !how)
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
    if (whole && d->request.sha256) {
        hob_download_file_sha256(d->file, sha256);
        whole = strcasecmp(sha256, d->request.sha256) == 0;
    }
    if (!whole || !d->request.sha256) {
        retry_whole(d);
        return;
    }
    snprintf(d->result.sha256, sizeof d->result.sha256, "%s", sha256);
    d->result.resumed_from = total;
    keep_file(d);
}

/* libcurl compares what came with Content-Length only: a range may be shorter than the rest. A part
 * that is longer than the file is no part of it. */
static void end_file(struct hob_download *d)
{
    char url[HOB_CURL_SHOWN_MAX], much[64];
    if (!d->body_begun && begin_body(d, d->result.status, 0)) { /* empty: it had no first bytes */
        fail_exchange(d, NULL);
        return;
    }
    if (d->total == 0 || bytes_now(d) == d->total) {
        finish_file(d);
        return;
    }
    if (bytes_now(d) > d->total)
        hob_download_file_remove(d->file);
    fail_with(d, HOB_EHTTP, "%s: the answer ended after %s", hob_curl_shown(d->request.url, url),
              amount(d, much, sizeof much));
}

static void end_ok(struct hob_download *d)
{
    char url[HOB_CURL_SHOWN_MAX];
    long status = d->result.status;
    if (!d->file)
        tell(d);
    else if (status == 416 && d->ranged)
        end_refused_range(d);
    else if (is_content(d, status))
        end_file(d);
    else
        fail_with(d, HOB_EHTTP, "HTTP %ld from %s%s", status, hob_curl_shown(d->request.url, url),
                  status / 100 == 2 ? ": expected 200 and the whole file" : "");
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
static const char *ask_for_rest(struct hob_download *d)
{
    const char *tag = d->file ? hob_download_file_tag(d->file) : "";
    d->ranged = d->file && hob_download_file_bytes(d->file) > 0 && !d->restarted &&
                (*tag || d->request.sha256);
    if (!d->ranged)
        return NULL;
    snprintf(d->from, sizeof d->from, "%llu-",
             (unsigned long long)hob_download_file_bytes(d->file));
    snprintf(d->if_range, sizeof d->if_range, "If-Range: %s", tag);
    return *tag ? d->if_range : NULL;
}

static void send_request(struct hob_download *d)
{
    struct hob_error err;
    const char *headers[HOB_DOWNLOAD_LIST_MAX];
    d->body_begun = false;
    const char *if_range = ask_for_rest(d);
    hob_download_request_headers(&d->request, if_range, headers);
    struct hob_curl_options options = {
        .url = d->request.url,
        .method = d->request.method,
        .body = d->request.body,
        .body_len = d->request.body_len,
        .headers = headers,
        .addresses = (const char *const *)d->addresses,
        .range = d->ranged ? d->from : NULL,
        .ca_file = d->request.ca_file,
        .connect_ms = d->request.stall_ms,
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
    hob_curl_origin(d->request.url, &origin, NULL); /* was checked */
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
    hob_curl_origin(d->request.url, &origin, NULL);
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
    uint64_t due = d->moved_ms + d->request.stall_ms, now = hob_clock_mono_ms();
    if (now < due)
        hob_timer_start(d->stall_timer, due - now);
    else
        fail_with(d, HOB_ETIMEDOUT, "%s: nothing came for %.3g s, after %s",
                  hob_curl_shown(d->request.url, url), (double)d->request.stall_ms / 1000,
                  amount(d, much, sizeof much));
}

static void on_timeout(void *user)
{
    struct hob_download *d = user;
    char url[HOB_CURL_SHOWN_MAX], much[64];
    fail_with(d, HOB_ETIMEDOUT, "%s: timed out after %.3g s, with %s",
              hob_curl_shown(d->request.url, url), (double)d->request.timeout_ms / 1000,
              amount(d, much, sizeof much));
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
    hob_timer_start(d->stall_timer, d->request.stall_ms);
    if (d->request.timeout_ms)
        hob_timer_start(d->timeout_timer, d->request.timeout_ms);
    step_later(d, d->file ? rehash_step : begin_request);
}

static int start(struct hob_loop *loop, const struct hob_download_options *options,
                 struct hob_download **out, struct hob_error *err)
{
    struct hob_download *d = calloc(1, sizeof *d);
    if (!d)
        return hob_error_set(err, HOB_ENOMEM, "download: out of memory");
    d->loop = loop;
    d->on_progress = options->on_progress;
    d->done = options->done;
    d->user = options->user;
    d->result.content_type = d->answer.type;
    hob_buf_init(&d->memory, SIZE_MAX / 4); /* check_limit sees to it */
    int code = hob_download_request_init(&d->request, options, err);
    if (!code && !make_timers(d))
        code = hob_error_set(err, HOB_ENOMEM, "download: out of memory");
    if (!code && options->to)
        code = hob_download_file_open(options->to, &d->file, err);
    if (code) {
        end(d);
        free_download(d);
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
    free_download(d);
}

extern const struct hob_download_module hob_module;
__attribute__((visibility("default"))) const struct hob_download_module hob_module = {
    .start = start, .cancel = cancel, .version = hob_curl_version};
