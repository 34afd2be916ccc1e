/* download_curl.c - see download_curl.h
 *
 * Nothing is ended inside a callback of libcurl: those only pass on, `turn` acts.
 */
#include "device/download_curl.h"

#include "base/alloc.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define URL_MAX    16384
#define PROXY_PORT "1080" /* libcurl's, where a proxy's URL names none */

struct hob_curl {
    struct hob_loop *loop;
    struct hob_curl_options options;
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers, *addresses;
    struct hob_timer *timer;
    int sockets; /* watches that are not closed yet */
    bool closed;
    char words[CURL_ERROR_SIZE], said[CURL_ERROR_SIZE + 128];
};

struct watch {
    struct hob_curl *curl;
    uv_poll_t poll;
    curl_socket_t fd;
};

/* ---- URLs ---- */

const char *hob_curl_shown(const char *url, char out[HOB_CURL_SHOWN_MAX])
{
    static const CURLUPart secret[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS,
                                       CURLUPART_QUERY, CURLUPART_FRAGMENT};
    CURLU *parts = curl_url();
    char *text = NULL;
    snprintf(out, HOB_CURL_SHOWN_MAX, "the URL");
    if (parts && !curl_url_set(parts, CURLUPART_URL, url, 0)) {
        for (size_t i = 0; i < sizeof secret / sizeof *secret; i++)
            curl_url_set(parts, secret[i], NULL, 0);
        if (!curl_url_get(parts, CURLUPART_URL, &text, 0))
            snprintf(out, HOB_CURL_SHOWN_MAX, "%s", text);
    }
    curl_free(text);
    curl_url_cleanup(parts);
    return out;
}

static bool get_part(CURLU *parts, CURLUPart part, char *out, size_t len, unsigned flags)
{
    char *text = NULL;
    bool ok = !curl_url_get(parts, part, &text, flags) && strlen(text) < len;
    if (ok)
        snprintf(out, len, "%s", text);
    curl_free(text);
    return ok;
}

static bool read_origin(const char *url, bool proxy, struct hob_curl_origin *out)
{
    unsigned flags = CURLU_NON_SUPPORT_SCHEME | (proxy ? CURLU_GUESS_SCHEME : 0);
    CURLU *parts = curl_url();
    *out = (struct hob_curl_origin){0};
    bool ok = parts && strlen(url) <= URL_MAX && !curl_url_set(parts, CURLUPART_URL, url, flags) &&
              get_part(parts, CURLUPART_SCHEME, out->scheme, sizeof out->scheme, 0) &&
              get_part(parts, CURLUPART_HOST, out->host, sizeof out->host, 0);
    if (ok && !get_part(parts, CURLUPART_PORT, out->port, sizeof out->port,
                        proxy ? 0 : CURLU_DEFAULT_PORT))
        snprintf(out->port, sizeof out->port, "%s", PROXY_PORT);
    curl_url_cleanup(parts);
    return ok;
}

int hob_curl_origin(const char *url, struct hob_curl_origin *out, struct hob_error *err)
{
    bool ok = read_origin(url, false, out);
    if (*out->scheme && strcmp(out->scheme, "http") != 0 && strcmp(out->scheme, "https") != 0)
        return hob_error_set(err, HOB_EINVAL, "url: expected http or https, got %s", out->scheme);
    if (!ok)
        return hob_error_set(
            err, HOB_EINVAL,
            "url: expected http://host/... or https://host/..., got something that "
            "is none");
    return 0;
}

bool hob_curl_proxy_ok(const char *proxy)
{
    struct hob_curl_origin origin;
    return !proxy || !*proxy ||
           (read_origin(proxy, true, &origin) && strncmp(origin.scheme, "http", 4) == 0);
}

bool hob_curl_proxy(const struct hob_curl_origin *origin, const char *proxy,
                    struct hob_curl_origin *out)
{
    if (proxy)
        return *proxy && read_origin(proxy, true, out);
    bool https = strcmp(origin->scheme, "https") == 0;
    const char *const names[] = {https ? "https_proxy" : "http_proxy",
                                 https ? "HTTPS_PROXY" : "http_proxy", "all_proxy", "ALL_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return read_origin(value, true, out);
    }
    return false;
}

/* ---- headers ---- */

void hob_curl_header(const char *line, size_t len, const char *name, char *out, size_t size)
{
    size_t n = strlen(name);
    if (len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
        return;
    const char *value = line + n + 1, *last = line + len;
    while (value < last && isspace((unsigned char)*value))
        value++;
    while (last > value && isspace((unsigned char)last[-1]))
        last--;
    snprintf(out, size, "%.*s", last - value < (long)size ? (int)(last - value) : 0, value);
}

bool hob_curl_range(const char *value, struct hob_curl_range *out)
{
    unsigned long long first, last, total;
    int n = sscanf(value, "bytes %llu-%llu/%llu", &first, &last, &total);
    if (n < 2 || last < first || last == UINT64_MAX || (n == 3 && total <= last))
        return false;
    *out = (struct hob_curl_range){.first = first, .total = n == 3 ? total : last + 1};
    return true;
}

/* ---- what libcurl calls ---- */

static size_t on_header(char *line, size_t size, size_t len, void *user)
{
    struct hob_curl *curl = user;
    curl->options.on_header(curl->options.user, line, len);
    return len;
}

static size_t on_data(char *data, size_t size, size_t len, void *user)
{
    struct hob_curl *curl = user;
    long status = 0;
    curl_off_t length = -1;
    curl_easy_getinfo(curl->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    return curl->options.on_data(curl->options.user, status, length, data, len) ? 0 : len;
}

static size_t on_read(char *to, size_t size, size_t len, void *user)
{
    struct hob_curl *curl = user;
    int64_t n = curl->options.on_read(curl->options.user, to, size * len);
    return n < 0 ? CURL_READFUNC_ABORT : (size_t)n;
}

/* libcurl goes only to the beginning: what it sends has to be sent again. */
static int on_seek(void *user, curl_off_t offset, int origin)
{
    struct hob_curl *curl = user;
    if (offset != 0 || origin != SEEK_SET)
        return CURL_SEEKFUNC_CANTSEEK;
    curl->options.on_rewind(curl->options.user);
    return CURL_SEEKFUNC_OK;
}

/* ---- the end ---- */

static long proxy_status(const struct hob_curl *curl)
{
    long status = 0;
    curl_easy_getinfo(curl->easy, CURLINFO_HTTP_CONNECTCODE, &status);
    return status;
}

static int code_of(const struct hob_curl *curl, CURLcode code)
{
    long number = 0;
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return HOB_ERESOLVE;
    case CURLE_COULDNT_CONNECT:
        curl_easy_getinfo(curl->easy, CURLINFO_OS_ERRNO, &number);
        return number ? hob_error_from_errno((int)number) : HOB_ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return HOB_ETIMEDOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        return HOB_ETLS;
    case CURLE_RECV_ERROR:
        return proxy_status(curl) >= 300 ? HOB_EHTTP : HOB_ECONNRESET;
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
        return HOB_ECONNRESET;
    case CURLE_OUT_OF_MEMORY:
        return HOB_ENOMEM;
    default:
        return HOB_EPROTO;
    }
}

/* A certificate's dates are right or wrong by this clock, which may be the one that is wrong. */
static void add_clock(char *words, size_t len)
{
    time_t now = time(NULL);
    struct tm tm;
    size_t n = strlen(words);
    if ((strstr(words, "expired") || strstr(words, "not yet valid")) && gmtime_r(&now, &tm))
        strftime(words + n, len - n, " (the clock here says %Y-%m-%d %H:%M UTC)", &tm);
}

/* libcurl's words may hold the whole URL: none that have a query are passed on. */
static const char *words_of(struct hob_curl *curl, CURLcode code)
{
    bool usable = *curl->words && !strchr(curl->words, '?');
    snprintf(curl->said, sizeof curl->said, "%s", usable ? curl->words : curl_easy_strerror(code));
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        add_clock(curl->said, sizeof curl->said);
    if (proxy_status(curl) >= 300)
        snprintf(curl->said, sizeof curl->said, "the proxy refused to connect: HTTP %ld",
                 proxy_status(curl));
    return curl->said;
}

static void end_exchange(struct hob_curl *curl, CURLcode code)
{
    struct hob_curl_end end = {.code = code_of(curl, code), .words = words_of(curl, code)};
    char *location = NULL, *type = NULL;
    curl_easy_getinfo(curl->easy, CURLINFO_RESPONSE_CODE, &end.status);
    curl_easy_getinfo(curl->easy, CURLINFO_REDIRECT_URL, &location);
    curl_easy_getinfo(curl->easy, CURLINFO_CONTENT_TYPE, &type);
    end.location = location;
    end.type = type ? type : "";
    curl->options.done(curl->options.user, &end);
}

/* The message is gone with the handle, so its result is taken first. */
static void turn(struct hob_curl *curl)
{
    int left;
    const CURLMsg *message = curl_multi_info_read(curl->multi, &left);
    bool ended = message && message->msg == CURLMSG_DONE;
    CURLcode code = ended ? message->data.result : CURLE_OK;
    curl->options.on_turn(curl->options.user);
    if (ended && !curl->closed)
        end_exchange(curl, code);
}

static void free_if_idle(struct hob_curl *curl)
{
    if (curl->closed && curl->sockets == 0)
        hob_free(curl);
}

/* ---- libcurl's sockets and timer on the loop ---- */

static void on_timer(void *user)
{
    struct hob_curl *curl = user;
    int running;
    curl_multi_socket_action(curl->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    turn(curl);
}

static int want_timer(CURLM *multi, long ms, void *user)
{
    struct hob_curl *curl = user;
    if (ms < 0)
        hob_timer_stop(curl->timer);
    else
        hob_timer_start(curl->timer, (uint64_t)ms);
    return 0;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    struct hob_curl *curl = watch->curl;
    int running, what = status < 0 ? CURL_CSELECT_ERR : 0;
    what |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    what |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    curl_multi_socket_action(curl->multi, watch->fd, what, &running);
    turn(curl);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;
    struct hob_curl *curl = watch->curl;
    hob_free(watch);
    curl->sockets--;
    free_if_idle(curl);
}

static struct watch *new_watch(struct hob_curl *curl, curl_socket_t fd)
{
    struct watch *watch = hob_calloc(1, sizeof *watch);
    if (!watch || uv_poll_init_socket(hob_loop_uv(curl->loop), &watch->poll, fd)) {
        hob_free(watch);
        return NULL;
    }
    watch->curl = curl;
    watch->fd = fd;
    watch->poll.data = watch;
    curl->sockets++;
    curl_multi_assign(curl->multi, fd, watch);
    return watch;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *assigned)
{
    struct hob_curl *curl = user;
    struct watch *watch = assigned;
    if (what == CURL_POLL_REMOVE) {
        if (watch)
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        curl_multi_assign(curl->multi, fd, NULL);
        return 0;
    }
    if (!watch)
        watch = new_watch(curl, fd);
    if (!watch)
        return -1;
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    uv_poll_start(&watch->poll, events, on_ready);
    return 0;
}

/* ---- the start ---- */

static bool copy_list(struct curl_slist **out, const char *const *list)
{
    for (; list && *list; list++) {
        struct curl_slist *longer = curl_slist_append(*out, *list);
        if (!longer)
            return false;
        *out = longer;
    }
    return true;
}

static void set_method(CURL *easy, const struct hob_curl_options *o)
{
    if (strcmp(o->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (o->on_read) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)o->send_bytes);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
    } else if (o->body || strcmp(o->method, "POST") == 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)o->body_len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, o->body ? o->body : "");
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, o->method);
}

static void set_protocols(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

static void set_identity(CURL *easy, const struct hob_curl_options *o)
{
    if (o->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, o->ca_file);
    curl_easy_setopt(easy, CURLOPT_SSLCERT, o->cert_file);
    curl_easy_setopt(easy, CURLOPT_SSLKEY, o->key_file);
    curl_easy_setopt(easy, CURLOPT_KEYPASSWD, o->key_passphrase);
    if (o->sign) {
        curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, o->sign);
        curl_easy_setopt(easy, CURLOPT_USERNAME, o->sign_id);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, o->sign_secret);
    }
}

/* A proxy that was named is meant, whatever the environment says of exceptions. */
static void set_proxy(CURL *easy, const struct hob_curl_options *o)
{
    if (!o->proxy)
        return;
    curl_easy_setopt(easy, CURLOPT_PROXY, o->proxy);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
}

static void set_easy(struct hob_curl *curl)
{
    const struct hob_curl_options *o = &curl->options;
    CURL *easy = curl->easy;
    set_protocols(easy);
    set_method(easy, o);
    curl_easy_setopt(easy, CURLOPT_URL, o->url);
    if (!o->sign) /* libcurl signs what it sends; newer ones refuse both together */
        curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L); /* a signature is of the URL as it came */
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "hob/" HOB_VERSION);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, curl->headers);
    curl_easy_setopt(easy, CURLOPT_RESOLVE, curl->addresses);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, curl->words);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)o->connect_ms);
    curl_easy_setopt(easy, CURLOPT_RANGE, o->range);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, curl);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, curl);
    curl_easy_setopt(easy, CURLOPT_READDATA, curl);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, curl);
    set_identity(easy, o);
    set_proxy(easy, o);
}

static void set_multi(struct hob_curl *curl)
{
    curl_multi_setopt(curl->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(curl->multi, CURLMOPT_SOCKETDATA, curl);
    curl_multi_setopt(curl->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(curl->multi, CURLMOPT_TIMERDATA, curl);
}

int hob_curl_start(struct hob_loop *loop, const struct hob_curl_options *options,
                   struct hob_curl **out, struct hob_error *err)
{
    struct hob_curl *curl = hob_calloc(1, sizeof *curl);
    if (!curl)
        return hob_error_set(err, HOB_ENOMEM, "libcurl: out of memory");
    curl->loop = loop;
    curl->options = *options;
    curl->timer = hob_timer_new(loop, on_timer, curl);
    curl->multi = curl_multi_init();
    curl->easy = curl_easy_init();
    bool ok = curl->timer && curl->multi && curl->easy &&
              copy_list(&curl->headers, options->headers) &&
              copy_list(&curl->addresses, options->addresses);
    if (ok) {
        set_multi(curl);
        set_easy(curl);
        ok = !curl_multi_add_handle(curl->multi, curl->easy);
    }
    if (!ok) {
        hob_curl_close(curl);
        return hob_error_set(err, HOB_ENOMEM, "libcurl: out of memory");
    }
    *out = curl;
    return 0;
}

void hob_curl_close(struct hob_curl *curl)
{
    if (!curl)
        return;
    if (curl->multi && curl->easy)
        curl_multi_remove_handle(curl->multi, curl->easy);
    curl_easy_cleanup(curl->easy);
    curl_multi_cleanup(curl->multi);
    curl_slist_free_all(curl->headers);
    curl_slist_free_all(curl->addresses);
    hob_timer_close(curl->timer);
    curl->closed = true;
    free_if_idle(curl);
}

const char *hob_curl_version(void)
{
    return curl_version();
}
