#include "net/stream.h"

#include "base/alloc.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define CHUNK            (16 * 1024)
#define PLAIN_MAX        (64 * 1024)  /* of each queue without TLS */
#define SENDING_MAX      (128 * 1024) /* what the kernel has not taken yet */
#define READ_LOW         (32 * 1024)  /* room in the queue from which reading goes on */
#define CLOSE_MS         1000
#define CONNECT_MS       30000
#define PLACE_MAX        300
#define STREAM_HOST_MAX  256
#define PORT_TEXT_MAX    8
#define ADDRESS_TEXT_MAX 64

enum state {
    RESOLVING,
    CONNECTING,
    HANDSHAKE,
    OPEN,
    FLUSHING, /* we closed: what is queued goes out, what comes in is dropped */
    ENDED
};

/* Outlives its stream: a name look-up that runs in libuv's thread cannot be stopped. */
struct lookup {
    uv_getaddrinfo_t request;
    struct hob_stream *stream; /* NULL: nobody waits any more */
};

struct hob_stream {
    struct hob_loop *loop;
    struct hob_stream_options options;
    char host[STREAM_HOST_MAX];
    char place[PLACE_MAX]; /* "host:port" */
    enum state state;
    unsigned holds; /* callbacks that are still to come and use this */
    struct hob_timer *timer;
    struct lookup *lookup;
    struct addrinfo *addresses, *address;
    uv_tcp_t tcp;
    bool tcp_is_open;
    uv_connect_t connect;
    uv_write_t write;
    uv_shutdown_t shutdown;
    bool writing, shutting;
    struct hob_buf sending;
    struct hob_tls *tls;
    struct hob_buf plain_in, plain_out; /* in place of the session's queues */
    bool reading;
    bool wants_room; /* on_writable is owed */
    bool deaf;       /* the peer takes nothing any more; what it said before is still read */
    struct hob_loop_soon end; /* deferred */
    bool failing;             /* `why` is set; the end comes from the loop */
    struct hob_error why;
};

static void try_next_address(struct hob_stream *stream);

/* ---- the end ---- */

static void finish(struct hob_stream *stream)
{
    hob_tls_free(stream->tls);
    hob_buf_free(&stream->sending);
    hob_buf_free(&stream->plain_in);
    hob_buf_free(&stream->plain_out);
    uv_freeaddrinfo(stream->addresses);
    stream->options.on_close(stream->options.user, &stream->why);
    hob_free(stream);
}

static void release(struct hob_stream *stream)
{
    assert(stream->holds > 0);
    stream->holds--;
    if (stream->state == ENDED && stream->holds == 0)
        finish(stream);
}

static void on_tcp_closed(uv_handle_t *handle)
{
    struct hob_stream *stream = handle->data;
    stream->tcp_is_open = false;
    if (stream->state == CONNECTING && !stream->failing)
        try_next_address(stream);
    release(stream);
}

static void close_tcp(struct hob_stream *stream)
{
    if (stream->tcp_is_open && !uv_is_closing((uv_handle_t *)&stream->tcp))
        uv_close((uv_handle_t *)&stream->tcp, on_tcp_closed);
}

/* Only from the loop, and while something is held. */
static void end(struct hob_stream *stream)
{
    if (stream->state == ENDED)
        return;
    assert(stream->holds > 0);
    stream->state = ENDED;
    hob_timer_close(stream->timer);
    if (stream->lookup)
        stream->lookup->stream = NULL;
    close_tcp(stream);
}

static void end_deferred(void *user)
{
    struct hob_stream *stream = user;
    end(stream);
    release(stream);
}

/* Keep the first reason; the end itself comes later, so this is legal inside a caller's call. */
static void fail(struct hob_stream *stream, const struct hob_error *why)
{
    if (stream->failing || stream->state >= FLUSHING)
        return;
    stream->failing = true;
    stream->why = *why;
    hob_error_prefix(&stream->why, "%s: ", stream->place);
    stream->holds++;
    hob_loop_defer(stream->loop, &stream->end, end_deferred, stream);
}

static void fail_uv(struct hob_stream *stream, const char *doing, int status)
{
    struct hob_error why;
    hob_error_set(&why, hob_error_from_uv(status), "%s: %s", doing, uv_strerror(status));
    fail(stream, &why);
}

/* ---- writing ---- */

static struct hob_buf *output(struct hob_stream *stream)
{
    return stream->tls ? hob_tls_output(stream->tls) : &stream->plain_out;
}

static void flush(struct hob_stream *stream);

static void on_shutdown(uv_shutdown_t *request, int status)
{
    struct hob_stream *stream = request->data;
    if (status < 0 && stream->state == FLUSHING)
        end(stream);
    release(stream);
}

/* Everything is with the kernel: say so to the peer, and wait for its own end (at most CLOSE_MS);
 * closing at once could reset the connection and lose what was just sent. */
static void shut_down(struct hob_stream *stream)
{
    if (stream->shutting)
        return;
    stream->shutting = true;
    stream->shutdown.data = stream;
    if (uv_shutdown(&stream->shutdown, (uv_stream_t *)&stream->tcp, on_shutdown) == 0)
        stream->holds++;
    else
        end(stream);
}

/* A peer that refuses us says why, then resets: its words are still to be read, and its end comes
 * with them. */
static void sending_failed(struct hob_stream *stream, int status)
{
    if (status == UV_EPIPE || status == UV_ECONNRESET)
        stream->deaf = true;
    else
        fail_uv(stream, "sending", status);
}

static void on_written(uv_write_t *request, int status)
{
    struct hob_stream *stream = request->data;
    stream->writing = false;
    hob_buf_clear(&stream->sending);
    if (status < 0 && stream->state >= FLUSHING)
        end(stream);
    else if (status < 0)
        sending_failed(stream, status);
    if (status == 0 || stream->deaf)
        flush(stream);
    if (stream->state == OPEN && stream->wants_room && !stream->writing && !stream->failing) {
        stream->wants_room = false;
        stream->options.on_writable(stream->options.user);
    }
    release(stream);
}

/* What the kernel would not take at once waits in `sending`, whose bytes stay where they are. */
static void queue_rest(struct hob_stream *stream, struct hob_buf *out)
{
    size_t len = hob_buf_len(out);
    if (hob_buf_append(&stream->sending, hob_buf_data(out), len) != 0) {
        fail(stream, &(struct hob_error){HOB_ENOMEM, "sending: out of memory"});
        return;
    }
    hob_buf_consume(out, len);
    uv_buf_t buf = uv_buf_init((char *)hob_buf_data(&stream->sending), (unsigned)len);
    stream->write.data = stream;
    struct hob_sigpipe before;
    hob_loop_begin_write(stream->loop, &before); /* libuv writes at once what it can */
    int status = uv_write(&stream->write, (uv_stream_t *)&stream->tcp, &buf, 1, on_written);
    hob_loop_end_write(stream->loop, &before);
    if (status < 0) {
        fail_uv(stream, "sending", status);
        return;
    }
    stream->writing = true;
    stream->holds++;
}

static void flush(struct hob_stream *stream)
{
    struct hob_buf *out = output(stream);
    if (stream->writing || stream->failing || stream->state == ENDED)
        return;
    if (hob_buf_len(out) > 0 && !stream->deaf) {
        uv_buf_t buf = uv_buf_init((char *)hob_buf_data(out), (unsigned)hob_buf_len(out));
        struct hob_sigpipe before;
        hob_loop_begin_write(stream->loop, &before);
        int sent = uv_try_write((uv_stream_t *)&stream->tcp, &buf, 1);
        hob_loop_end_write(stream->loop, &before);
        if (sent < 0 && sent != UV_EAGAIN) {
            if (stream->state == FLUSHING) {
                end(stream);
                return;
            }
            sending_failed(stream, sent);
        }
        if (sent > 0)
            hob_buf_consume(out, (size_t)sent);
    }
    if (stream->deaf)
        hob_buf_clear(out);
    if (hob_buf_len(out) > 0)
        queue_rest(stream, out);
    else if (stream->state == FLUSHING)
        shut_down(stream);
}

static ssize_t push(struct hob_stream *stream, const char *data, size_t len, struct hob_error *why)
{
    if (stream->tls)
        return hob_tls_write(stream->tls, data, len, why);
    size_t room = hob_buf_room(&stream->plain_out);
    if (len > room)
        len = room;
    if (hob_buf_append(&stream->plain_out, data, len) != 0)
        return hob_error_set(why, HOB_ENOMEM, "out of memory");
    return (ssize_t)len;
}

size_t hob_stream_write(struct hob_stream *stream, const void *data, size_t len)
{
    struct hob_error why;
    size_t taken = 0;
    if (stream->state != OPEN)
        return 0;
    /* Until all is taken or the kernel is full: only then is an on_written sure to come. */
    while (taken < len && !stream->failing) {
        ssize_t more = push(stream, (const char *)data + taken, len - taken, &why);
        if (more < 0) {
            fail(stream, &why);
            break;
        }
        taken += (size_t)more;
        flush(stream);
        if (stream->writing && more == 0)
            break;
    }
    if (taken < len)
        stream->wants_room = true;
    return taken;
}

/* ---- reading ---- */

static size_t input_room(const struct hob_stream *stream)
{
    return stream->tls ? hob_tls_feed_room(stream->tls) : hob_buf_room(&stream->plain_in);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct hob_stream *stream = handle->data;
    size_t room = stream->state == FLUSHING ? CHUNK : input_room(stream);
    size_t len = room < CHUNK ? room : CHUNK;
    char *chunk = len ? hob_malloc(len) : NULL; /* on_read frees it: a quiet stream has none */
    *buf = uv_buf_init(chunk, chunk ? (unsigned)len : 0);
}

static void on_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *buf);

static void start_reading(struct hob_stream *stream)
{
    if (stream->reading)
        return;
    int status = uv_read_start((uv_stream_t *)&stream->tcp, on_alloc, on_read);
    if (status < 0)
        fail_uv(stream, "receiving", status);
    else
        stream->reading = true;
}

static void stop_reading(struct hob_stream *stream)
{
    if (stream->reading)
        uv_read_stop((uv_stream_t *)&stream->tcp);
    stream->reading = false;
}

static ssize_t pull(struct hob_stream *stream, void *out, size_t len, struct hob_error *why)
{
    if (stream->tls)
        return hob_tls_read(stream->tls, out, len, why);
    size_t have = hob_buf_len(&stream->plain_in);
    if (len > have)
        len = have;
    memcpy(out, hob_buf_data(&stream->plain_in), len);
    hob_buf_consume(&stream->plain_in, len);
    return (ssize_t)len;
}

size_t hob_stream_read(struct hob_stream *stream, void *out, size_t len)
{
    struct hob_error why;
    if (stream->state != OPEN || stream->failing)
        return 0;
    ssize_t got = pull(stream, out, len, &why);
    if (got < 0)
        fail(stream, &why);
    else if (!stream->reading && input_room(stream) >= READ_LOW)
        start_reading(stream);
    return got > 0 ? (size_t)got : 0;
}

static void go_on_with_handshake(struct hob_stream *stream)
{
    struct hob_error why;
    int done = hob_tls_handshake(stream->tls, &why);
    flush(stream); /* also the alert that tells the peer why we leave */
    if (done < 0)
        fail(stream, &why);
    if (done <= 0 || stream->failing)
        return;
    hob_timer_stop(stream->timer);
    stream->state = OPEN;
    stream->options.on_open(stream->options.user);
    if (stream->state == OPEN && !stream->failing)
        stream->options.on_readable(stream->options.user); /* it may have come in the same read */
}

static void on_input_end(struct hob_stream *stream, int status)
{
    struct hob_error why;
    stop_reading(stream);
    if (stream->state == FLUSHING) {
        end(stream);
        return;
    }
    if (stream->failing)
        return;
    if (stream->state == HANDSHAKE)
        hob_tls_explain_close(stream->tls, &why);
    else if (status == UV_EOF && !stream->deaf)
        hob_error_set(&why, HOB_ECONNRESET, "the server closed the connection");
    else if (status == UV_ECONNRESET || stream->deaf)
        hob_error_set(&why, HOB_ECONNRESET, "the server reset the connection");
    else
        hob_error_set(&why, hob_error_from_uv(status), "receiving: %s", uv_strerror(status));
    fail(stream, &why);
}

static void take_input(struct hob_stream *stream, const char *data, size_t len)
{
    int code = stream->tls ? hob_tls_feed(stream->tls, data, len)
                           : hob_buf_append(&stream->plain_in, data, len);
    if (code) {
        fail(stream, &(struct hob_error){HOB_ENOMEM, "receiving: out of memory"});
        return;
    }
    if (stream->state == HANDSHAKE)
        go_on_with_handshake(stream);
    else
        stream->options.on_readable(stream->options.user);
    if (stream->state == OPEN && input_room(stream) == 0)
        stop_reading(stream);
}

static void on_chunk(struct hob_stream *stream, ssize_t count, const uv_buf_t *buf)
{
    if (stream->state == ENDED || count == 0)
        return;
    if (count < 0)
        on_input_end(stream, (int)count);
    else if (stream->state != FLUSHING && !stream->failing)
        take_input(stream, buf->base, (size_t)count);
}

static void on_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *buf)
{
    char *chunk = buf->base;
    on_chunk(handle->data, count, buf);
    hob_free(chunk);
}

/* ---- connecting ---- */

static const char *address_text(const struct addrinfo *address, char *out, size_t len)
{
    int status = address->ai_family == AF_INET6
                     ? uv_ip6_name((const struct sockaddr_in6 *)address->ai_addr, out, len)
                     : uv_ip4_name((const struct sockaddr_in *)address->ai_addr, out, len);
    if (status != 0)
        snprintf(out, len, "?");
    return out;
}

static void explain_connect(struct hob_stream *stream, int status)
{
    char address[ADDRESS_TEXT_MAX];
    const char *hint = "";
    address_text(stream->address, address, sizeof(address));
    if (status == UV_ENETUNREACH || status == UV_EHOSTUNREACH)
        hint = ": is the network up?";
    else if (status == UV_ECONNRESET && stream->options.tls) /* as quick as the connection itself */
        hint = ": the server closed the connection before it answered the TLS handshake: does it "
               "speak TLS on this port?";
    bool same = strcmp(address, stream->host) == 0;
    hob_error_set(&stream->why, hob_error_from_uv(status), "%s%s%s%s%s", uv_strerror(status),
                  same ? "" : " (", same ? "" : address, same ? "" : ")", hint);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct hob_stream *stream = request->data;
    if (stream->state != CONNECTING) /* the end came first */
        return;
    if (status < 0) {
        explain_connect(stream, status);
        stream->address = stream->address->ai_next;
        close_tcp(stream);
        return;
    }
    stream->why = (struct hob_error){0};
    uv_tcp_nodelay(&stream->tcp, 1); /* before the handshake: else its last flight waits 40 ms */
    stream->state = HANDSHAKE;
    start_reading(stream);
    if (stream->tls) {
        go_on_with_handshake(stream);
        return;
    }
    if (stream->failing)
        return;
    hob_timer_stop(stream->timer);
    stream->state = OPEN;
    stream->options.on_open(stream->options.user);
}

static int connect_to(struct hob_stream *stream)
{
    int status = uv_tcp_init(hob_loop_uv(stream->loop), &stream->tcp);
    if (status < 0)
        return status;
    stream->tcp.data = stream;
    stream->tcp_is_open = true;
    stream->holds++;
    stream->connect.data = stream;
    return uv_tcp_connect(&stream->connect, &stream->tcp, stream->address->ai_addr, on_connected);
}

/* Called while something is held. */
static void try_next_address(struct hob_stream *stream)
{
    while (stream->address) {
        int status = connect_to(stream);
        if (status == 0)
            return;
        explain_connect(stream, status);
        stream->address = stream->address->ai_next;
        if (stream->tcp_is_open) { /* its close callback comes back here */
            close_tcp(stream);
            return;
        }
    }
    struct hob_error why = stream->why;
    fail(stream, &why);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct lookup *lookup = (struct lookup *)request;
    struct hob_stream *stream = lookup->stream;
    struct hob_error why;
    hob_free(lookup);
    if (!stream || stream->failing) {
        if (stream)
            stream->lookup = NULL;
        uv_freeaddrinfo(addresses);
        return;
    }
    stream->lookup = NULL;
    if (status < 0) {
        hob_error_set(&why, HOB_ERESOLVE, "name not resolved (%s): check host and the network",
                      uv_strerror(status));
        fail(stream, &why);
        return;
    }
    stream->addresses = stream->address = addresses;
    stream->state = CONNECTING;
    try_next_address(stream);
}

static int start_lookup(struct hob_stream *stream, struct hob_error *err)
{
    char port[PORT_TEXT_MAX];
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct lookup *lookup = hob_calloc(1, sizeof(*lookup));
    if (!lookup)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    snprintf(port, sizeof(port), "%d", stream->options.port);
    lookup->stream = stream;
    int status = uv_getaddrinfo(hob_loop_uv(stream->loop), &lookup->request, on_resolved,
                                stream->host, port, &hints);
    if (status < 0) {
        hob_free(lookup);
        return hob_error_set(err, HOB_ERESOLVE, "%s: name not resolved (%s)", stream->place,
                             uv_strerror(status));
    }
    stream->lookup = lookup;
    return 0;
}

static void on_timer(void *user)
{
    static const char *const doing[] = {[RESOLVING] = "resolving the name",
                                        [CONNECTING] = "connecting",
                                        [HANDSHAKE] = "the TLS handshake"};
    struct hob_stream *stream = user;
    struct hob_error why;
    if (stream->state == FLUSHING) {
        end(stream);
        return;
    }
    if (stream->state > HANDSHAKE)
        return;
    hob_error_set(&why, HOB_ETIMEDOUT, "no answer within %g s (%s)",
                  (double)stream->options.connect_timeout_ms / 1000, doing[stream->state]);
    fail(stream, &why);
}

static void free_new(struct hob_stream *stream)
{
    hob_tls_free(stream->tls);
    hob_timer_close(stream->timer);
    hob_free(stream);
}

static int set_up(struct hob_stream *stream, struct hob_error *err)
{
    const struct hob_stream_options *options = &stream->options;
    bool is_ipv6 = strchr(options->host, ':') != NULL;
    if (strlen(options->host) >= sizeof(stream->host))
        return hob_error_set(err, HOB_EINVAL, "host name too long");
    snprintf(stream->host, sizeof(stream->host), "%s", options->host);
    snprintf(stream->place, sizeof(stream->place), is_ipv6 ? "[%s]:%d" : "%s:%d", stream->host,
             options->port);
    stream->timer = hob_timer_new(stream->loop, on_timer, stream);
    if (!stream->timer)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    if (options->tls)
        return hob_tls_new(options->tls, stream->host, options->ticket, &stream->tls, err);
    return 0;
}

int hob_stream_connect(struct hob_loop *loop, const struct hob_stream_options *options,
                       struct hob_stream **out, struct hob_error *err)
{
    struct hob_stream *stream = hob_calloc(1, sizeof(*stream));
    if (!stream)
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    stream->loop = loop;
    stream->options = *options;
    if (stream->options.connect_timeout_ms == 0)
        stream->options.connect_timeout_ms = CONNECT_MS;
    hob_buf_init(&stream->sending, SENDING_MAX);
    hob_buf_init(&stream->plain_in, PLAIN_MAX);
    hob_buf_init(&stream->plain_out, PLAIN_MAX);
    int code = set_up(stream, err);
    if (code == 0)
        code = start_lookup(stream, err);
    if (code) {
        free_new(stream);
        return code;
    }
    stream->options.host = NULL;
    stream->options.ticket = NULL;
    hob_timer_start(stream->timer, stream->options.connect_timeout_ms);
    *out = stream;
    return 0;
}

/* ---- closing, and what a stream says of itself ---- */

void hob_stream_close(struct hob_stream *stream)
{
    if (stream->state >= FLUSHING || stream->failing)
        return;
    bool was_open = stream->state == OPEN;
    stream->why = (struct hob_error){0};
    if (!was_open) {
        stream->failing = true;
        stream->holds++;
        hob_loop_defer(stream->loop, &stream->end, end_deferred, stream);
        return;
    }
    if (stream->tls)
        hob_tls_end(stream->tls);
    stream->state = FLUSHING;
    hob_timer_start(stream->timer, CLOSE_MS);
    start_reading(stream);
    flush(stream);
}

bool hob_stream_no_delay(struct hob_stream *stream)
{
    uv_os_fd_t fd;
    int on = 0;
    socklen_t len = sizeof(on);
    return stream->tcp_is_open && uv_fileno((uv_handle_t *)&stream->tcp, &fd) == 0 &&
           getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len) == 0 && on != 0;
}

struct hob_tls_ticket *hob_stream_ticket_new(struct hob_stream *stream)
{
    return stream->tls ? hob_tls_ticket_new(stream->tls) : NULL;
}

const char *hob_stream_describe(struct hob_stream *stream, char *out, size_t len)
{
    if (stream->tls)
        return hob_tls_describe(stream->tls, out, len);
    snprintf(out, len, "no TLS");
    return out;
}

const char *hob_stream_alpn(struct hob_stream *stream)
{
    return stream->tls ? hob_tls_alpn(stream->tls) : NULL;
}
