/* stream_connect.c - a stream comes to be: name, addresses, TCP, TLS; see stream_parts.h. */
#include "net/stream_parts.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define PLAIN_MAX        (64 * 1024)  /* of each queue without TLS */
#define SENDING_MAX      (128 * 1024) /* what the kernel has not taken yet */
#define CONNECT_MS       30000
#define PORT_TEXT_MAX    8
#define ADDRESS_TEXT_MAX 64

static uint64_t left_ms(const struct hob_stream *stream)
{
    uint64_t now = hob_clock_mono_ms();
    return stream->deadline_ms > now ? stream->deadline_ms - now : 1;
}

static struct addrinfo *of_other_family(const struct addrinfo *address)
{
    struct addrinfo *other = address ? address->ai_next : NULL;
    while (other && other->ai_family == address->ai_family)
        other = other->ai_next;
    return other;
}

/* A network that swallows one kind of IP must not keep us from the other one for ever: it comes
 * first again at each attempt. */
static void wait_half(struct hob_stream *stream)
{
    stream->is_half = of_other_family(stream->addresses) != NULL;
    if (stream->is_half)
        hob_timer_start(stream->timer, left_ms(stream) / 2 + 1);
}

static void half_is_over(struct hob_stream *stream)
{
    stream->is_half = false;
    hob_timer_start(stream->timer, left_ms(stream));
    if (stream->state == HOB_STREAM_CONNECTING && !stream->failing &&
        of_other_family(stream->address))
        hob_stream_close_tcp(stream); /* on_connected: ECANCELED */
}

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

void hob_stream_go_on_with_handshake(struct hob_stream *stream)
{
    struct hob_error why;
    int done = hob_tls_handshake(stream->tls, &why);
    hob_stream_flush(stream); /* also the alert that tells the peer why we leave */
    if (done < 0)
        hob_stream_fail(stream, &why);
    if (done <= 0 || stream->failing)
        return;
    hob_timer_stop(stream->timer);
    stream->state = HOB_STREAM_OPEN;
    stream->options.on_open(stream->options.user);
    if (stream->state == HOB_STREAM_OPEN && !stream->failing)
        stream->options.on_readable(stream->options.user); /* it may have come in the same read */
}

static void on_connected(uv_connect_t *request, int status)
{
    struct hob_stream *stream = request->data;
    if (stream->state != HOB_STREAM_CONNECTING) /* the end came first */
        return;
    if (status == UV_ECANCELED) {
        explain_connect(stream, UV_ETIMEDOUT);
        stream->address = of_other_family(stream->address);
        return;
    }
    if (status < 0) {
        explain_connect(stream, status);
        stream->address = stream->address->ai_next;
        hob_stream_close_tcp(stream);
        return;
    }
    stream->why = (struct hob_error){0};
    uv_tcp_nodelay(&stream->tcp, 1); /* before the handshake: else its last flight waits 40 ms */
    stream->state = HOB_STREAM_HANDSHAKE;
    hob_stream_start_reading(stream);
    if (stream->tls) {
        hob_stream_go_on_with_handshake(stream);
        return;
    }
    if (stream->failing)
        return;
    hob_timer_stop(stream->timer);
    stream->state = HOB_STREAM_OPEN;
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

void hob_stream_try_next_address(struct hob_stream *stream)
{
    while (stream->address) {
        int status = connect_to(stream);
        if (status == 0)
            return;
        explain_connect(stream, status);
        stream->address = stream->address->ai_next;
        if (stream->tcp_is_open) { /* its close callback comes back here */
            hob_stream_close_tcp(stream);
            return;
        }
    }
    struct hob_error why = stream->why;
    hob_stream_fail(stream, &why);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct hob_stream_lookup *lookup = (struct hob_stream_lookup *)request;
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
        hob_stream_fail(stream, &why);
        return;
    }
    stream->addresses = stream->address = addresses;
    stream->state = HOB_STREAM_CONNECTING;
    wait_half(stream);
    hob_stream_try_next_address(stream);
}

static int start_lookup(struct hob_stream *stream, struct hob_error *err)
{
    char port[PORT_TEXT_MAX];
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct hob_stream_lookup *lookup = hob_calloc(1, sizeof(*lookup));
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
    static const char *const doing[] = {[HOB_STREAM_RESOLVING] = "resolving the name",
                                        [HOB_STREAM_CONNECTING] = "connecting",
                                        [HOB_STREAM_HANDSHAKE] = "the TLS handshake"};
    struct hob_stream *stream = user;
    struct hob_error why;
    if (stream->state == HOB_STREAM_FLUSHING) {
        hob_stream_end(stream);
        return;
    }
    if (stream->state > HOB_STREAM_HANDSHAKE)
        return;
    if (stream->is_half) {
        half_is_over(stream);
        return;
    }
    hob_error_set(&why, HOB_ETIMEDOUT, "no answer within %g s (%s)",
                  (double)stream->options.connect_timeout_ms / 1000, doing[stream->state]);
    hob_stream_fail(stream, &why);
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
    stream->deadline_ms = hob_clock_mono_ms() + stream->options.connect_timeout_ms;
    hob_timer_start(stream->timer, stream->options.connect_timeout_ms);
    *out = stream;
    return 0;
}
