/* httpd_microhttpd.c - the module hob_httpd: libmicrohttpd on the loop; see httpd.h.
 *
 * A request is shared by libmicrohttpd (until it says that the exchange is over) and by whoever
 * answers it (until hob_httpd_respond), and is freed by the later of the two.
 */
#include "net/httpd.h"
#include "base/alloc.h"
#include "base/buf.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_LIMIT        ((size_t)1024 * 1024)
#define DRAIN_MAX         ((size_t)64 * 1024 * 1024)
#define CONNECTION_MEMORY ((size_t)64 * 1024)
#define IDLE_S            60u
#define BACKLOG           256
#define CONNECTIONS_MAX   256u /* so that descriptors are left for the broker and for files */
#define BODIES_MAX        ((size_t)64) /* full ones that are held at a time */
#define BODY_TOO_LARGE    413
#define TOO_MANY_FIELDS   431
#define OVERLOADED        503
#define PAIRS_MAX         100

struct hob_httpd {
    struct hob_loop *loop;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    struct hob_timer *timer;
    struct hob_httpd_request *requests; /* that libmicrohttpd knows of */
    size_t limit_bytes;
    size_t bodies; /* bytes held */
    int port;
    bool running, stopping;
    void (*on_request)(void *user, struct hob_httpd_request *request,
                       const struct hob_httpd_request_view *view);
    void *user;
};

struct hob_httpd_request {
    struct hob_httpd_request *next, *prev;
    struct hob_httpd *httpd; /* NULL: libmicrohttpd is done with it */
    struct MHD_Connection *connection;
    char *path; /* decoded */
    struct hob_buf body;
    size_t taken; /* of the body, also what was thrown away */
    bool begun, too_big, crowded, given, answered, suspended;
    unsigned status;
    struct MHD_Response *response;
};

/* ---- requests ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The path of a request line, decoded; NULL: no memory. libmicrohttpd's own way is not ours: after
 * it, "%00" ends a name early, and "%2F" cuts one in two. They stay as they are written. */
static char *decode_path(const char *uri)
{
    const char *host = strstr(uri, "://"); /* the absolute form */
    if (uri[0] != '/' && host)
        uri = host + 3 + strcspn(host + 3, "/?");
    size_t len = strcspn(uri, "?");
    char *path = hob_malloc(len + 1), *to = path;
    for (const char *at = uri; path && at < uri + len; at++) {
        int high = at[0] == '%' ? hex_value(at[1]) : -1;
        int low = high >= 0 ? hex_value(at[2]) : -1;
        int byte = low >= 0 ? high * 16 + low : 0;
        bool taken = byte != 0 && byte != '/';
        *to++ = taken ? (char)byte : *at;
        at += taken ? 2 : 0;
    }
    if (path)
        *to = '\0';
    return path;
}

static struct hob_httpd_request *new_request(struct hob_httpd *httpd, const char *uri,
                                             struct MHD_Connection *connection)
{
    struct hob_httpd_request *request = hob_calloc(1, sizeof *request);
    if (!request)
        return NULL;
    request->path = decode_path(uri);
    if (!request->path) {
        hob_free(request);
        return NULL;
    }
    request->httpd = httpd;
    request->connection = connection;
    hob_buf_init(&request->body, httpd->limit_bytes);
    request->next = httpd->requests;
    if (request->next)
        request->next->prev = request;
    httpd->requests = request;
    return request;
}

static void free_body(struct hob_httpd_request *request)
{
    request->httpd->bodies -= hob_buf_len(&request->body);
    hob_buf_free(&request->body);
}

static void free_request(struct hob_httpd_request *request)
{
    if (request->response)
        MHD_destroy_response(request->response);
    hob_free(request->path);
    hob_free(request);
}

static void on_completed(void *user, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode how)
{
    struct hob_httpd_request *request = *slot;
    *slot = NULL;
    if (!request)
        return;
    if (request->prev)
        request->prev->next = request->next;
    else
        request->httpd->requests = request->next;
    if (request->next)
        request->next->prev = request->prev;
    free_body(request);
    request->httpd = NULL;
    request->connection = NULL;
    if (request->answered || !request->given)
        free_request(request);
}

/* ---- a request is given ---- */

struct pairs {
    struct hob_httpd_header *list;
    size_t count;
    bool overflow;
};

static enum MHD_Result add_pair(void *user, enum MHD_ValueKind kind, const char *name,
                                const char *value)
{
    struct pairs *pairs = user;
    if (pairs->count == PAIRS_MAX) {
        pairs->overflow = true;
        return MHD_NO;
    }
    pairs->list[pairs->count++] = (struct hob_httpd_header){name, value ? value : ""};
    return MHD_YES;
}

/* @return false: it has more headers or members of a query than are looked at */
static bool give(struct hob_httpd_request *request, const char *method)
{
    struct hob_httpd *httpd = request->httpd;
    struct hob_httpd_header query_list[PAIRS_MAX], header_list[PAIRS_MAX];
    struct pairs query = {query_list, 0, false}, headers = {header_list, 0, false};
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, add_pair, &query);
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, add_pair, &headers);
    if (query.overflow || headers.overflow)
        return false;
    const char *body = hob_buf_string(&request->body);
    struct hob_httpd_request_view view = {
        .method = method,
        .path = request->path,
        .query = query.list,
        .query_count = query.count,
        .headers = headers.list,
        .headers_count = headers.count,
        .body = body ? body : "",
        .body_len = body ? hob_buf_len(&request->body) : 0,
    };
    request->given = true;
    httpd->on_request(httpd->user, request, &view);
    return true;
}

static enum MHD_Result send_words(struct MHD_Connection *connection, unsigned status,
                                  const char *words)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(words), (void *)(uintptr_t)words, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", "text/plain; charset=utf-8");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_too_big(struct hob_httpd_request *request)
{
    char words[80];
    snprintf(words, sizeof words, "the body is over the limit of %zu bytes\n",
             request->httpd->limit_bytes);
    return send_words(request->connection, BODY_TOO_LARGE, words);
}

static enum MHD_Result send_refusal(struct hob_httpd_request *request)
{
    if (request->too_big)
        return send_too_big(request);
    if (request->crowded)
        return send_words(request->connection, OVERLOADED, "too many large requests at once\n");
    return send_words(request->connection, TOO_MANY_FIELDS,
                      "more than 100 headers, or members of the query\n");
}

/* A client hears of a refusal only if its body is read to the end: an early answer would reset it.
 */
static enum MHD_Result take_body(struct hob_httpd_request *request, const char *data, size_t *len)
{
    struct hob_httpd *httpd = request->httpd;
    bool refused = request->too_big || request->crowded;
    if (!refused && httpd->bodies + *len > BODIES_MAX * httpd->limit_bytes)
        request->crowded = refused = true;
    else if (!refused && hob_buf_append(&request->body, data, *len))
        request->too_big = refused = true;
    else if (!refused)
        httpd->bodies += *len;
    if (refused)
        free_body(request);
    request->taken += *len;
    *len = 0;
    return request->taken < DRAIN_MAX + httpd->limit_bytes ? MHD_YES : MHD_NO;
}

static enum MHD_Result send_answer(struct hob_httpd_request *request)
{
    if (!request->response) /* no memory for it */
        return MHD_NO;
    return MHD_queue_response(request->connection, request->status, request->response);
}

/* The request line was read: the first that is heard of a request. */
static void *on_line(void *user, const char *uri, struct MHD_Connection *connection)
{
    return new_request(user, uri, connection);
}

/* Called with the header, then for each piece of the body, then without one, then after a resume.
 */
static enum MHD_Result on_access(void *user, struct MHD_Connection *connection, const char *path,
                                 const char *method, const char *version, const char *data,
                                 size_t *len, void **slot)
{
    struct hob_httpd_request *request = *slot;
    if (!request) /* there was no memory for it */
        return MHD_NO;
    if (!request->begun) {
        request->begun = true;
        return MHD_YES;
    }
    if (*len > 0)
        return take_body(request, data, len);
    if (request->too_big || request->crowded)
        return send_refusal(request);
    if (!request->given && !give(request, method))
        return send_refusal(request);
    if (request->answered)
        return send_answer(request);
    request->suspended = true;
    MHD_suspend_connection(connection);
    return MHD_YES;
}

/* ---- the daemon on the loop ---- */

static void destroy(struct hob_httpd *httpd);

static void schedule(struct hob_httpd *httpd)
{
    MHD_UNSIGNED_LONG_LONG ms;
    if (MHD_get_timeout(httpd->daemon, &ms) == MHD_YES)
        hob_timer_start(httpd->timer, ms);
    else
        hob_timer_stop(httpd->timer);
}

static bool is_full(struct hob_httpd *httpd)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(httpd->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    return info && info->num_connections >= CONNECTIONS_MAX;
}

/* While it is full, libmicrohttpd does not look at new connections; that it does again shows only
 * in its next run, for which nothing may give a cause. */
static void run(void *user)
{
    struct hob_httpd *httpd = user;
    bool was_full = is_full(httpd);
    httpd->running = true;
    MHD_run(httpd->daemon);
    httpd->running = false;
    if (httpd->stopping)
        destroy(httpd);
    else if (was_full && !is_full(httpd))
        hob_timer_start(httpd->timer, 0);
    else
        schedule(httpd);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    run(poll->data);
}

static void on_closed(uv_handle_t *handle)
{
    hob_free(handle->data);
}

/* libmicrohttpd panics if a connection is suspended at its end. */
static void resume_all(struct hob_httpd *httpd)
{
    for (struct hob_httpd_request *r = httpd->requests; r; r = r->next) {
        if (r->suspended)
            MHD_resume_connection(r->connection);
        r->suspended = false;
    }
}

static void destroy(struct hob_httpd *httpd)
{
    hob_timer_close(httpd->timer);
    uv_poll_stop(&httpd->poll);
    resume_all(httpd);
    MHD_stop_daemon(httpd->daemon);
    assert(!httpd->requests);
    uv_close((uv_handle_t *)&httpd->poll, on_closed);
}

/* ---- start ---- */

static int read_address(const struct hob_httpd_options *o, struct sockaddr_storage *out,
                        struct hob_error *err)
{
    if (!o->address || o->port < 0 || o->port > 65535)
        return hob_error_set(err, HOB_EINVAL, "expected an address and a port from 0 to 65535");
    if (uv_ip4_addr(o->address, o->port, (struct sockaddr_in *)out) &&
        uv_ip6_addr(o->address, o->port, (struct sockaddr_in6 *)out))
        return hob_error_set(err, HOB_EINVAL,
                             "address: expected an IP address such as 127.0.0.1, got '%s'",
                             o->address);
    return 0;
}

/* The port stands at the same place in an IPv4 and an IPv6 address. */
static int port_of(const struct sockaddr_storage *address)
{
    struct sockaddr_in in;
    memcpy(&in, address, sizeof in);
    return ntohs(in.sin_port);
}

/* A listening socket of our own, so that the reason of a failure is known. */
static int listen_on(const struct hob_httpd_options *o, int *out, int *port, struct hob_error *err)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    int code = read_address(o, &address, err), on = 1;
    if (code)
        return code;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    socklen_t bind_size =
        address.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, bind_size) || listen(fd, BACKLOG) ||
        getsockname(fd, (struct sockaddr *)&address, &size)) {
        int number = errno;
        if (fd >= 0)
            close(fd);
        return hob_error_set(err, hob_error_from_errno(number), "listening on %s port %d: %s",
                             o->address, o->port, strerror(number));
    }
    *out = fd;
    *port = port_of(&address);
    return 0;
}

static struct MHD_Daemon *start_daemon(struct hob_httpd *httpd, int fd)
{
    return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_access,
                            httpd, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED,
                            on_completed, httpd, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S,
                            MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
                            MHD_OPTION_URI_LOG_CALLBACK, on_line, httpd,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_END);
}

static int fail_start(struct hob_httpd *httpd, int fd, struct hob_error *err)
{
    if (httpd && httpd->timer)
        hob_timer_close(httpd->timer);
    if (httpd && httpd->daemon)
        MHD_stop_daemon(httpd->daemon); /* closes the socket */
    else
        close(fd);
    hob_free(httpd);
    return hob_error_set(err, HOB_ENOMEM, "libmicrohttpd could not be started");
}

static int start(struct hob_loop *loop, const struct hob_httpd_options *options,
                 struct hob_httpd **out, struct hob_error *err)
{
    int fd = -1, port = 0;
    int code = listen_on(options, &fd, &port, err);
    if (code)
        return code;
    struct hob_httpd *httpd = hob_calloc(1, sizeof *httpd);
    if (!httpd)
        return fail_start(NULL, fd, err);
    httpd->loop = loop;
    httpd->port = port;
    httpd->limit_bytes = options->limit_bytes ? options->limit_bytes : BODY_LIMIT;
    httpd->on_request = options->on_request;
    httpd->user = options->user;
    httpd->timer = hob_timer_new(loop, run, httpd);
    httpd->daemon = httpd->timer ? start_daemon(httpd, fd) : NULL;
    if (!httpd->daemon)
        return fail_start(httpd, fd, err);
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(httpd->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (!info || uv_poll_init(hob_loop_uv(loop), &httpd->poll, info->epoll_fd))
        return fail_start(httpd, fd, err);
    httpd->poll.data = httpd;
    uv_poll_start(&httpd->poll, UV_READABLE, on_ready);
    *out = httpd;
    return 0;
}

static int get_port(const struct hob_httpd *httpd)
{
    return httpd->port;
}

/* ---- the answer ---- */

static void add_headers(struct MHD_Response *response, const struct hob_httpd_header *headers,
                        size_t count)
{
    for (size_t i = 0; response && i < count; i++)
        MHD_add_response_header(response, headers[i].name, headers[i].value);
}

/* @param response  taken; NULL: there was no memory for it */
static void answer(struct hob_httpd_request *request, int status, struct MHD_Response *response)
{
    struct hob_httpd *httpd = request->httpd;
    assert(!request->answered);
    request->answered = true;
    request->response = response;
    if (!httpd) {
        free_request(request);
        return;
    }
    request->status = status >= 200 && status <= 999 ? (unsigned)status : 500;
    if (!request->suspended)
        return; /* we are in on_request */
    request->suspended = false;
    MHD_resume_connection(request->connection);
    hob_timer_start(httpd->timer, 0);
}

static void respond(struct hob_httpd_request *request, int status,
                    const struct hob_httpd_header *headers, size_t count, const void *body,
                    size_t len)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        len, (void *)(uintptr_t)(len ? body : ""), MHD_RESPMEM_MUST_COPY);
    add_headers(response, headers, count);
    answer(request, status, response);
}

/* The response closes the descriptor. */
static void respond_file(struct hob_httpd_request *request, int status,
                         const struct hob_httpd_header *headers, size_t count, int fd,
                         uint64_t offset, uint64_t len)
{
    struct MHD_Response *response = MHD_create_response_from_fd_at_offset64(len, fd, offset);
    if (!response)
        close(fd);
    add_headers(response, headers, count);
    answer(request, status, response);
}

/* From within on_request, libmicrohttpd may not be ended yet. */
static void stop(struct hob_httpd *httpd)
{
    httpd->stopping = true;
    if (!httpd->running)
        destroy(httpd);
}

extern const struct hob_httpd_module hob_module;
__attribute__((visibility("default")))
const struct hob_httpd_module hob_module = {.start = start,
                                            .port = get_port,
                                            .respond = respond,
                                            .respond_file = respond_file,
                                            .stop = stop};
