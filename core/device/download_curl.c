/* download_curl.c - the module hob_download: one transfer of libcurl on the loop; see download.h.
 *
 * Each download has its own multi handle, which lives as long: idle connections are not kept.
 * Nothing is ended inside a callback of libcurl: those only take notes, `turn` acts on them.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "device/download.h"
#include "device/download_file.h"
#include "device/download_names.h"

#include <assert.h>
#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define REDIRECTS_MAX     10
#define MEMORY_LIMIT      (64u * 1024 * 1024)
#define STALL_DEFAULT_MS  60000
#define PROGRESS_EVERY_MS 100
#define SHOWN_MAX         512
#define URL_MAX           16384

struct hob_download {
    struct hob_loop *loop;
    char *url, *method, *body, *sha256, *ca_file;
    size_t body_len;
    struct curl_slist *headers; /* the caller's */
    struct curl_slist *sent;    /* those of this request */
    uint64_t limit_bytes, timeout_ms, stall_ms;
    void (*on_progress)(void *user, uint64_t bytes, uint64_t total);
    void (*done)(void *user, const struct hob_download_result *result);
    void *user;

    CURLM *multi;
    CURL *easy; /* NULL between two requests */
    struct curl_slist *addresses;
    struct hob_download_names *names;
    struct hob_timer *curl_timer, *step_timer, *stall_timer, *timeout_timer;
    void (*step)(struct hob_download *download); /* what step_timer does */
    uv_fs_t sync;
    bool syncing;
    int directory; /* to be synced; -1: none */
    int sockets;   /* watches that are not closed yet */

    struct hob_download_file *file; /* NULL: in memory */
    struct hob_buf memory;
    int redirects;
    bool ranged, restarted;
    uint64_t total; /* of the whole; 0: unknown */
    uint64_t moved_ms, told_ms, told_bytes;
    char range[128], tag[HOB_DOWNLOAD_TAG_MAX]; /* headers of this answer */
    char modified[HOB_DOWNLOAD_TAG_MAX];
    char type[128];
    bool body_begun;
    char words[CURL_ERROR_SIZE];
    struct hob_error trouble; /* noted in a callback of libcurl; code 0: none */
    struct hob_download_result result;
    bool over, cancelled;
};

struct watch {
    struct hob_download *download;
    uv_poll_t poll;
    curl_socket_t fd;
};

static void begin_request(struct hob_download *d);
static void turn(struct hob_download *d);

/* ---- URLs ---- */

/* The URL without its query, fragment and user info: queries are secrets (presigned URLs). */
static const char *shown(const char *url, char out[SHOWN_MAX])
{
    static const CURLUPart secret[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS,
                                       CURLUPART_QUERY, CURLUPART_FRAGMENT};
    CURLU *parts = curl_url();
    char *text = NULL;
    snprintf(out, SHOWN_MAX, "the URL");
    if (parts && !curl_url_set(parts, CURLUPART_URL, url, 0)) {
        for (size_t i = 0; i < sizeof secret / sizeof *secret; i++)
            curl_url_set(parts, secret[i], NULL, 0);
        if (!curl_url_get(parts, CURLUPART_URL, &text, 0))
            snprintf(out, SHOWN_MAX, "%s", text);
    }
    curl_free(text);
    curl_url_cleanup(parts);
    return out;
}

struct origin {
    char scheme[8], host[256], port[8];
};

static bool get_part(CURLU *parts, CURLUPart part, char *out, size_t len, unsigned flags)
{
    char *text = NULL;
    bool ok = !curl_url_get(parts, part, &text, flags) && strlen(text) < len;
    if (ok)
        snprintf(out, len, "%s", text);
    curl_free(text);
    return ok;
}

static bool read_origin(const char *url, unsigned flags, struct origin *origin)
{
    CURLU *parts = curl_url();
    bool ok =
        parts && !curl_url_set(parts, CURLUPART_URL, url, flags | CURLU_NON_SUPPORT_SCHEME) &&
        get_part(parts, CURLUPART_SCHEME, origin->scheme, sizeof origin->scheme, 0) &&
        get_part(parts, CURLUPART_HOST, origin->host, sizeof origin->host, 0) &&
        get_part(parts, CURLUPART_PORT, origin->port, sizeof origin->port, CURLU_DEFAULT_PORT);
    curl_url_cleanup(parts);
    return ok;
}

static int check_url(const char *url, struct origin *origin, struct hob_error *err)
{
    *origin = (struct origin){0};
    bool ok = strlen(url) <= URL_MAX && read_origin(url, 0, origin);
    if (*origin->scheme && strcmp(origin->scheme, "http") != 0 &&
        strcmp(origin->scheme, "https") != 0)
        return hob_error_set(err, HOB_EINVAL, "url: expected http or https, got %s",
                             origin->scheme);
    if (!ok)
        return hob_error_set(
            err, HOB_EINVAL,
            "url: expected http://host/... or https://host/..., got something that "
            "is none");
    return 0;
}

/* The proxy that libcurl will take from the environment; its name is to be resolved by us, too. */
static const char *proxy_of(const struct origin *origin)
{
    bool https = strcmp(origin->scheme, "https") == 0;
    const char *const names[] = {https ? "https_proxy" : "http_proxy",
                                 https ? "HTTPS_PROXY" : "http_proxy", "all_proxy", "ALL_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return value;
    }
    return NULL;
}

/* ---- the end ---- */

static void free_if_idle(struct hob_download *d)
{
    if (!d->over || d->sockets > 0 || d->syncing)
        return;
    if (d->directory >= 0)
        close(d->directory);
    hob_download_file_free(d->file);
    hob_buf_free(&d->memory);
    curl_slist_free_all(d->headers);
    free(d->url);
    free(d->method);
    free(d->body);
    free(d->sha256);
    free(d->ca_file);
    free(d);
}

static void end_request(struct hob_download *d)
{
    if (d->easy) {
        curl_multi_remove_handle(d->multi, d->easy);
        curl_easy_cleanup(d->easy);
        d->easy = NULL;
    }
    curl_slist_free_all(d->addresses);
    curl_slist_free_all(d->sent);
    d->addresses = d->sent = NULL;
}

/* Everything that could call back, but for what libuv ends in its own time. */
static void end(struct hob_download *d)
{
    d->over = true;
    end_request(d);
    if (d->multi)
        curl_multi_cleanup(d->multi);
    d->multi = NULL;
    hob_download_names_cancel(d->names);
    d->names = NULL;
    hob_timer_close(d->curl_timer);
    hob_timer_close(d->step_timer);
    hob_timer_close(d->stall_timer);
    hob_timer_close(d->timeout_timer);
    d->curl_timer = d->step_timer = d->stall_timer = d->timeout_timer = NULL;
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
    char url[SHOWN_MAX];
    int status = (int)sync->result;
    uv_fs_req_cleanup(sync);
    d->syncing = false;
    if (d->over) {
        free_if_idle(d);
        return;
    }
    if (status) {
        fail_with(d, hob_error_from_uv(status), "writing what came from %s: %s", shown(d->url, url),
                  uv_strerror(status));
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
        char url[SHOWN_MAX];
        hob_download_file_remove(d->file);
        fail_with(d, HOB_EDIGEST, "%s: sha256 is %s, expected %s", shown(d->url, url),
                  d->result.sha256, d->sha256);
        return;
    }
    sync_file(d);
}

/* ---- what libcurl calls: notes only ---- */

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

static size_t on_header(char *line, size_t size, size_t len, void *user)
{
    struct hob_download *d = user;
    if (len > 5 && strncmp(line, "HTTP/", 5) == 0)
        d->range[0] = d->tag[0] = d->modified[0] = '\0';
    header_value(line, len, "Content-Range", d->range, sizeof d->range);
    header_value(line, len, "ETag", d->tag, sizeof d->tag);
    header_value(line, len, "Last-Modified", d->modified, sizeof d->modified);
    return len;
}

static long status_of(const struct hob_download *d)
{
    long status = 0;
    curl_easy_getinfo(d->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static bool is_redirect(const struct hob_download *d, long status)
{
    return (status == 301 || status == 302 || status == 303 || status == 307 || status == 308) &&
           (strcmp(d->method, "GET") == 0 || strcmp(d->method, "HEAD") == 0);
}

/* A weak ETag does not promise the same bytes. */
static const char *version_of(const struct hob_download *d)
{
    return *d->tag && strncmp(d->tag, "W/", 2) != 0 ? d->tag : d->modified;
}

static int check_range(struct hob_download *d)
{
    unsigned long long first = 0, total = 0;
    int n = sscanf(d->range, "bytes %llu-%*u/%llu", &first, &total);
    if (n < 1 || first != hob_download_file_bytes(d->file))
        return hob_error_set(&d->trouble, HOB_EPROTO,
                             "asked for the bytes from %llu, got '%s' in Content-Range",
                             (unsigned long long)hob_download_file_bytes(d->file), d->range);
    d->total = n == 2 ? total : 0;
    d->result.resumed_from = first;
    return 0;
}

/* The first bytes of an answer that is the file: from its beginning, or the rest. */
static int begin_body(struct hob_download *d, long status)
{
    curl_off_t length = -1;
    d->body_begun = true;
    if (d->file && status == 206)
        return check_range(d);
    curl_easy_getinfo(d->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
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
    char url[SHOWN_MAX];
    uint64_t whole = bytes_now(d) + len;
    if (d->total > whole)
        whole = d->total;
    if (!d->limit_bytes || whole <= d->limit_bytes)
        return 0;
    return hob_error_set(&d->trouble, HOB_EMSGSIZE,
                         "%s has %s%llu bytes, more than the limit of %llu", shown(d->url, url),
                         d->total ? "" : "over ", (unsigned long long)whole,
                         (unsigned long long)d->limit_bytes);
}

static int keep(struct hob_download *d, const char *data, size_t len)
{
    long status = status_of(d);
    bool wanted = d->file ? status / 100 == 2 : !is_redirect(d, status);
    if (!wanted)
        return 0;
    int code = d->body_begun ? 0 : begin_body(d, status);
    if (!code)
        code = check_limit(d, len);
    if (!code && d->file)
        code = hob_download_file_write(d->file, data, len, &d->trouble);
    if (!code && !d->file && hob_buf_append(&d->memory, data, len))
        code = hob_error_set(&d->trouble, HOB_ENOMEM, "out of memory for the answer");
    return code;
}

static size_t on_data(char *data, size_t size, size_t len, void *user)
{
    struct hob_download *d = user;
    d->moved_ms = hob_clock_mono_ms();
    return keep(d, data, len) ? 0 : len;
}

/* ---- libcurl's sockets and timer on the loop ---- */

static void on_curl_timer(void *user)
{
    struct hob_download *d = user;
    int running;
    curl_multi_socket_action(d->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    turn(d);
}

static int want_timer(CURLM *multi, long ms, void *user)
{
    struct hob_download *d = user;
    if (ms < 0)
        hob_timer_stop(d->curl_timer);
    else
        hob_timer_start(d->curl_timer, (uint64_t)ms);
    return 0;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    struct hob_download *d = watch->download;
    int running, what = status < 0 ? CURL_CSELECT_ERR : 0;
    what |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    what |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    curl_multi_socket_action(d->multi, watch->fd, what, &running);
    turn(d);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;
    struct hob_download *d = watch->download;
    free(watch);
    d->sockets--;
    free_if_idle(d);
}

static struct watch *new_watch(struct hob_download *d, curl_socket_t fd)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch || uv_poll_init_socket(hob_loop_uv(d->loop), &watch->poll, fd)) {
        free(watch);
        return NULL;
    }
    watch->download = d;
    watch->fd = fd;
    watch->poll.data = watch;
    d->sockets++;
    curl_multi_assign(d->multi, fd, watch);
    return watch;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *assigned)
{
    struct hob_download *d = user;
    struct watch *watch = assigned;
    if (what == CURL_POLL_REMOVE) {
        if (watch)
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        curl_multi_assign(d->multi, fd, NULL);
        return 0;
    }
    if (!watch)
        watch = new_watch(d, fd);
    if (!watch)
        return -1;
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    uv_poll_start(&watch->poll, events, on_ready);
    return 0;
}

/* ---- one request ---- */

static struct curl_slist *add(struct hob_download *d, struct curl_slist *list, const char *text)
{
    struct curl_slist *longer = curl_slist_append(list, text);
    if (!longer)
        hob_error_set(&d->trouble, HOB_ENOMEM, "out of memory");
    return longer ? longer : list;
}

/* The rest may be asked for if the server can say that it is of the same version, or if the digest
 * will tell. */
static void ask_for_rest(struct hob_download *d)
{
    char text[HOB_DOWNLOAD_TAG_MAX + 32];
    const char *tag = d->file ? hob_download_file_tag(d->file) : "";
    d->ranged =
        d->file && hob_download_file_bytes(d->file) > 0 && !d->restarted && (*tag || d->sha256);
    if (!d->ranged)
        return;
    snprintf(text, sizeof text, "%llu-", (unsigned long long)hob_download_file_bytes(d->file));
    curl_easy_setopt(d->easy, CURLOPT_RANGE, text);
    if (!*tag)
        return;
    snprintf(text, sizeof text, "If-Range: %s", tag);
    d->sent = add(d, d->sent, text);
}

static void set_protocols(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

static void set_method(struct hob_download *d)
{
    if (strcmp(d->method, "HEAD") == 0)
        curl_easy_setopt(d->easy, CURLOPT_NOBODY, 1L);
    else if (d->body || strcmp(d->method, "POST") == 0) {
        curl_easy_setopt(d->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)d->body_len);
        curl_easy_setopt(d->easy, CURLOPT_POSTFIELDS, d->body ? d->body : "");
    }
    if (strcmp(d->method, "HEAD") != 0)
        curl_easy_setopt(d->easy, CURLOPT_CUSTOMREQUEST, d->method);
}

static bool is_header(const char *line, const char *name)
{
    size_t n = strlen(name);
    return strncasecmp(line, name, n) == 0 && line[n] == ':';
}

/* libcurl would wait for "100 Continue", and call every body a form. */
static void set_headers(struct hob_download *d)
{
    bool has_type = false;
    for (const struct curl_slist *h = d->headers; h; h = h->next) {
        d->sent = add(d, d->sent, h->data);
        has_type = has_type || is_header(h->data, "Content-Type");
    }
    d->sent = add(d, d->sent, "Expect:");
    if (!has_type)
        d->sent = add(d, d->sent, "Content-Type:");
}

static void set_options(struct hob_download *d)
{
    CURL *easy = d->easy;
    set_protocols(easy);
    set_method(d);
    set_headers(d);
    ask_for_rest(d);
    curl_easy_setopt(easy, CURLOPT_URL, d->url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "hob/" HOB_VERSION);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, d->sent);
    curl_easy_setopt(easy, CURLOPT_RESOLVE, d->addresses);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, d->words);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)d->stall_ms);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, d);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, d);
    if (d->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, d->ca_file);
}

static void send_request(struct hob_download *d)
{
    d->easy = curl_easy_init();
    if (!d->easy) {
        fail_with(d, HOB_ENOMEM, "libcurl: out of memory");
        return;
    }
    d->body_begun = false;
    d->words[0] = '\0';
    set_options(d);
    if (!d->trouble.code && curl_multi_add_handle(d->multi, d->easy))
        hob_error_set(&d->trouble, HOB_ENOMEM, "libcurl: the transfer could not be added");
    if (d->trouble.code)
        fail(d, &d->trouble);
}

static void on_target_name(void *user, const char *entry, const struct hob_error *err)
{
    struct hob_download *d = user;
    d->names = NULL;
    if (entry)
        d->addresses = add(d, d->addresses, entry);
    if (err && !d->addresses) /* with a proxy, it is the proxy that resolves */
        fail(d, err);
    else
        send_request(d);
}

static void resolve(struct hob_download *d, const struct origin *origin,
                    hob_download_names_fn *then)
{
    struct hob_error err;
    d->names = hob_download_names_start(d->loop, origin->host, origin->port, then, d, &err);
    if (!d->names)
        fail(d, &err);
}

static void resolve_target(struct hob_download *d)
{
    struct origin origin;
    read_origin(d->url, 0, &origin); /* was checked */
    if (origin.host[0] == '[')
        send_request(d); /* an IPv6 address */
    else
        resolve(d, &origin, on_target_name);
}

static void on_proxy_name(void *user, const char *entry, const struct hob_error *err)
{
    struct hob_download *d = user;
    d->names = NULL;
    if (entry)
        d->addresses = add(d, d->addresses, entry);
    resolve_target(d); /* no_proxy may make the proxy's name needless */
}

static void begin_request(struct hob_download *d)
{
    struct origin origin, proxy;
    read_origin(d->url, 0, &origin);
    const char *proxy_url = proxy_of(&origin);
    if (proxy_url && read_origin(proxy_url, CURLU_GUESS_SCHEME, &proxy))
        resolve(d, &proxy, on_proxy_name);
    else
        resolve_target(d);
}

/* ---- the end of a request ---- */

/* What was meant for one server is not told to another. */
static void drop_secret_headers(struct hob_download *d)
{
    struct curl_slist *kept = NULL;
    for (const struct curl_slist *h = d->headers; h; h = h->next)
        if (!is_header(h->data, "Authorization") && !is_header(h->data, "Cookie"))
            kept = add(d, kept, h->data);
    curl_slist_free_all(d->headers);
    d->headers = kept;
}

static int check_redirect(struct hob_download *d, const char *target, struct hob_error *err)
{
    struct origin from, to;
    char url[SHOWN_MAX];
    read_origin(d->url, 0, &from);
    if (++d->redirects > REDIRECTS_MAX)
        return hob_error_set(err, HOB_EHTTP, "more than %d redirects, the last from %s",
                             REDIRECTS_MAX, shown(d->url, url));
    if (check_url(target, &to, err))
        return hob_error_prefix(err, "redirect from %s: ", shown(d->url, url));
    if (strcmp(from.scheme, "https") == 0 && strcmp(to.scheme, "http") == 0)
        return hob_error_set(err, HOB_EHTTP, "redirect from https to %s refused: not encrypted",
                             shown(target, url));
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

static int code_of(struct hob_download *d, CURLcode code)
{
    long number = 0;
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return HOB_ERESOLVE;
    case CURLE_COULDNT_CONNECT:
        curl_easy_getinfo(d->easy, CURLINFO_OS_ERRNO, &number);
        return number ? hob_error_from_errno((int)number) : HOB_ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return HOB_ETIMEDOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        return HOB_ETLS;
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
        return HOB_ECONNRESET;
    case CURLE_OUT_OF_MEMORY:
        return HOB_ENOMEM;
    default:
        return HOB_EPROTO;
    }
}

/* libcurl's words may hold the whole URL: none that have a query are passed on. */
static const char *words_of(const struct hob_download *d, CURLcode code)
{
    return *d->words && !strchr(d->words, '?') ? d->words : curl_easy_strerror(code);
}

static void fail_transfer(struct hob_download *d, CURLcode code)
{
    char url[SHOWN_MAX], much[64];
    shown(d->url, url);
    if (d->trouble.code == HOB_EMSGSIZE || d->trouble.code == HOB_ENOSPC)
        if (d->file)
            hob_download_file_remove(d->file);
    if (d->trouble.code == HOB_EPROTO)
        hob_error_prefix(&d->trouble, "%s: ", url);
    if (d->trouble.code)
        fail(d, &d->trouble);
    else if (code_of(d, code) == HOB_ECONNRESET && d->body_begun)
        fail_with(d, HOB_ECONNRESET, "%s: the connection broke after %s", url,
                  amount(d, much, sizeof much));
    else
        fail_with(d, code_of(d, code), "%s: %s", url, words_of(d, code));
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
    bool whole =
        sscanf(d->range, "bytes */%llu", &total) == 1 && total == hob_download_file_bytes(d->file);
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
    char url[SHOWN_MAX];
    if (d->file && d->result.status == 416 && d->ranged) {
        end_refused_range(d);
    } else if (d->file && d->result.status / 100 != 2) {
        fail_with(d, HOB_EHTTP, "HTTP %ld from %s", d->result.status, shown(d->url, url));
    } else if (!d->body_begun && d->file && begin_body(d, d->result.status)) {
        fail(d, &d->trouble); /* an empty file has no first bytes */
    } else if (d->file) {
        finish_file(d);
    } else {
        tell(d);
    }
}

static void end_transfer(struct hob_download *d, CURLcode code)
{
    char *location = NULL;
    const char *type = NULL;
    d->result.status = status_of(d);
    if (code != CURLE_OK) {
        fail_transfer(d, code);
        return;
    }
    curl_easy_getinfo(d->easy, CURLINFO_REDIRECT_URL, &location);
    curl_easy_getinfo(d->easy, CURLINFO_CONTENT_TYPE, &type);
    snprintf(d->type, sizeof d->type, "%s", type ? type : "");
    if (location && is_redirect(d, d->result.status))
        follow(d, location);
    else
        end_ok(d);
}

/* ---- after each event ---- */

static void tell_progress(struct hob_download *d, bool at_end)
{
    uint64_t now = hob_clock_mono_ms(), bytes = bytes_now(d);
    if (!d->on_progress || !d->body_begun || bytes == d->told_bytes ||
        (!at_end && now < d->told_ms + PROGRESS_EVERY_MS))
        return;
    d->told_ms = now;
    d->told_bytes = bytes;
    d->on_progress(d->user, bytes, d->total);
}

/* The message is gone with the handle, so the last one is acted on. */
static void turn(struct hob_download *d)
{
    int left;
    CURLMsg *message = curl_multi_info_read(d->multi, &left);
    bool ended = message && message->msg == CURLMSG_DONE;
    CURLcode code = ended ? message->data.result : CURLE_OK;
    tell_progress(d, ended);
    if (ended && !d->over)
        end_transfer(d, code);
}

static void on_stall_timer(void *user)
{
    struct hob_download *d = user;
    char url[SHOWN_MAX], much[64];
    uint64_t due = d->moved_ms + d->stall_ms, now = hob_clock_mono_ms();
    if (now < due)
        hob_timer_start(d->stall_timer, due - now);
    else
        fail_with(d, HOB_ETIMEDOUT, "%s: nothing came for %.3g s, after %s", shown(d->url, url),
                  (double)d->stall_ms / 1000, amount(d, much, sizeof much));
}

static void on_timeout(void *user)
{
    struct hob_download *d = user;
    char url[SHOWN_MAX], much[64];
    fail_with(d, HOB_ETIMEDOUT, "%s: timed out after %.3g s, with %s", shown(d->url, url),
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
    struct origin origin;
    int code = o->url ? check_url(o->url, &origin, err)
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
    for (const char *const *h = o->headers; h && *h; h++)
        if (strpbrk(*h, "\r\n") || !strchr(*h, ':'))
            return hob_error_set(err, HOB_EINVAL, "headers: expected 'Name: value' on one line");
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

static bool copy_options(struct hob_download *d, const struct hob_download_options *o)
{
    d->limit_bytes = o->limit_bytes || o->to ? o->limit_bytes : MEMORY_LIMIT;
    d->timeout_ms = o->timeout_ms;
    d->stall_ms = o->stall_ms ? o->stall_ms : STALL_DEFAULT_MS;
    d->on_progress = o->on_progress;
    d->done = o->done;
    d->user = o->user;
    for (const char *const *h = o->headers; h && *h; h++)
        d->headers = add(d, d->headers, *h);
    return copy(&d->url, o->url) && copy(&d->method, o->method ? o->method : "GET") &&
           copy(&d->sha256, o->sha256) && copy(&d->ca_file, o->ca_file) && copy_body(d, o) &&
           !d->trouble.code;
}

static bool make_handles(struct hob_download *d)
{
    d->curl_timer = hob_timer_new(d->loop, on_curl_timer, d);
    d->step_timer = hob_timer_new(d->loop, run_step, d);
    d->stall_timer = hob_timer_new(d->loop, on_stall_timer, d);
    d->timeout_timer = hob_timer_new(d->loop, on_timeout, d);
    d->multi = curl_multi_init();
    if (!d->curl_timer || !d->step_timer || !d->stall_timer || !d->timeout_timer || !d->multi)
        return false;
    curl_multi_setopt(d->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(d->multi, CURLMOPT_SOCKETDATA, d);
    curl_multi_setopt(d->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(d->multi, CURLMOPT_TIMERDATA, d);
    return true;
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
    d->result.content_type = d->type;
    hob_buf_init(&d->memory, SIZE_MAX / 4);
    if (!copy_options(d, options) || !make_handles(d))
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

static const char *version(void)
{
    return curl_version();
}

extern const struct hob_download_module hob_module;
__attribute__((visibility("default"))) const struct hob_download_module hob_module = {
    .start = start, .cancel = cancel, .version = version};
