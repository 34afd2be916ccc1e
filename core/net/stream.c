/* stream.c - a stream is written to, read and closed; see stream_parts.h. */
#include "net/stream_parts.h"

#include "base/alloc.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define READ_LOW (32 * 1024) /* room in the queue from which reading goes on */
#define CLOSE_MS 1000

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
    if (stream->state == HOB_STREAM_ENDED && stream->holds == 0)
        finish(stream);
}

static void on_tcp_closed(uv_handle_t *handle)
{
    struct hob_stream *stream = handle->data;
    stream->tcp_is_open = false;
    if (stream->state == HOB_STREAM_CONNECTING && !stream->failing)
        hob_stream_try_next_address(stream);
    release(stream);
}

void hob_stream_close_tcp(struct hob_stream *stream)
{
    if (stream->tcp_is_open && !uv_is_closing((uv_handle_t *)&stream->tcp))
        uv_close((uv_handle_t *)&stream->tcp, on_tcp_closed);
}

void hob_stream_end(struct hob_stream *stream)
{
    if (stream->state == HOB_STREAM_ENDED)
        return;
    assert(stream->holds > 0);
    stream->state = HOB_STREAM_ENDED;
    hob_timer_close(stream->timer);
    if (stream->lookup)
        stream->lookup->stream = NULL;
    hob_stream_close_tcp(stream);
}

static void end_deferred(void *user)
{
    struct hob_stream *stream = user;
    hob_stream_end(stream);
    release(stream);
}

void hob_stream_fail(struct hob_stream *stream, const struct hob_error *why)
{
    if (stream->failing || stream->state >= HOB_STREAM_FLUSHING)
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
    hob_stream_fail(stream, &why);
}

/* ---- writing ---- */

static struct hob_buf *output(struct hob_stream *stream)
{
    return stream->tls ? hob_tls_output(stream->tls) : &stream->plain_out;
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    struct hob_stream *stream = request->data;
    if (status < 0 && stream->state == HOB_STREAM_FLUSHING)
        hob_stream_end(stream);
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
        hob_stream_end(stream);
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
    if (status < 0 && stream->state >= HOB_STREAM_FLUSHING)
        hob_stream_end(stream);
    else if (status < 0)
        sending_failed(stream, status);
    if (status == 0 || stream->deaf)
        hob_stream_flush(stream);
    if (stream->state == HOB_STREAM_OPEN && stream->wants_room && !stream->writing &&
        !stream->failing) {
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
        hob_stream_fail(stream, &(struct hob_error){HOB_ENOMEM, "sending: out of memory"});
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

void hob_stream_flush(struct hob_stream *stream)
{
    struct hob_buf *out = output(stream);
    if (stream->writing || stream->failing || stream->state == HOB_STREAM_ENDED)
        return;
    if (hob_buf_len(out) > 0 && !stream->deaf) {
        uv_buf_t buf = uv_buf_init((char *)hob_buf_data(out), (unsigned)hob_buf_len(out));
        struct hob_sigpipe before;
        hob_loop_begin_write(stream->loop, &before);
        int sent = uv_try_write((uv_stream_t *)&stream->tcp, &buf, 1);
        hob_loop_end_write(stream->loop, &before);
        if (sent < 0 && sent != UV_EAGAIN) {
            if (stream->state == HOB_STREAM_FLUSHING) {
                hob_stream_end(stream);
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
    else if (stream->state == HOB_STREAM_FLUSHING)
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
    if (stream->state != HOB_STREAM_OPEN)
        return 0;
    /* Until all is taken or the kernel is full: only then is an on_written sure to come. */
    while (taken < len && !stream->failing) {
        ssize_t more = push(stream, (const char *)data + taken, len - taken, &why);
        if (more < 0) {
            hob_stream_fail(stream, &why);
            break;
        }
        taken += (size_t)more;
        hob_stream_flush(stream);
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
    size_t room = stream->state == HOB_STREAM_FLUSHING ? HOB_LOOP_CHUNK : input_room(stream);
    size_t len = room < HOB_LOOP_CHUNK ? room : HOB_LOOP_CHUNK;
    char *chunk = len ? hob_loop_take_chunk(stream->loop) : NULL; /* on_read gives it back */
    *buf = uv_buf_init(chunk, chunk ? (unsigned)len : 0);
}

static void on_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *buf);

void hob_stream_start_reading(struct hob_stream *stream)
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
    if (stream->state != HOB_STREAM_OPEN || stream->failing)
        return 0;
    ssize_t got = pull(stream, out, len, &why);
    if (got < 0)
        hob_stream_fail(stream, &why);
    else if (!stream->reading && input_room(stream) >= READ_LOW)
        hob_stream_start_reading(stream);
    return got > 0 ? (size_t)got : 0;
}

static void on_input_end(struct hob_stream *stream, int status)
{
    struct hob_error why;
    stop_reading(stream);
    if (stream->state == HOB_STREAM_FLUSHING) {
        hob_stream_end(stream);
        return;
    }
    if (stream->failing)
        return;
    if (stream->state == HOB_STREAM_HANDSHAKE)
        hob_tls_explain_close(stream->tls, &why);
    else if (status == UV_EOF && !stream->deaf)
        hob_error_set(&why, HOB_ECONNRESET, "the server closed the connection");
    else if (status == UV_ECONNRESET || stream->deaf)
        hob_error_set(&why, HOB_ECONNRESET, "the server reset the connection");
    else
        hob_error_set(&why, hob_error_from_uv(status), "receiving: %s", uv_strerror(status));
    hob_stream_fail(stream, &why);
}

static void take_input(struct hob_stream *stream, const char *data, size_t len)
{
    int code = stream->tls ? hob_tls_feed(stream->tls, data, len)
                           : hob_buf_append(&stream->plain_in, data, len);
    if (code) {
        hob_stream_fail(stream, &(struct hob_error){HOB_ENOMEM, "receiving: out of memory"});
        return;
    }
    if (stream->state == HOB_STREAM_HANDSHAKE)
        hob_stream_go_on_with_handshake(stream);
    else
        stream->options.on_readable(stream->options.user);
    if (stream->state == HOB_STREAM_OPEN && input_room(stream) == 0)
        stop_reading(stream);
}

static void on_chunk(struct hob_stream *stream, ssize_t count, const uv_buf_t *buf)
{
    if (stream->state == HOB_STREAM_ENDED || count == 0)
        return;
    if (count < 0)
        on_input_end(stream, (int)count);
    else if (stream->state != HOB_STREAM_FLUSHING && !stream->failing)
        take_input(stream, buf->base, (size_t)count);
}

static void on_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *buf)
{
    struct hob_loop *loop = ((struct hob_stream *)handle->data)->loop;
    char *chunk = buf->base;
    on_chunk(handle->data, count, buf); /* may free the stream */
    hob_loop_give_chunk(loop, chunk);
}

/* ---- closing, and what a stream says of itself ---- */

void hob_stream_close(struct hob_stream *stream)
{
    if (stream->state >= HOB_STREAM_FLUSHING || stream->failing)
        return;
    bool was_open = stream->state == HOB_STREAM_OPEN;
    stream->why = (struct hob_error){0};
    if (!was_open) {
        stream->failing = true;
        stream->holds++;
        hob_loop_defer(stream->loop, &stream->end, end_deferred, stream);
        return;
    }
    if (stream->tls)
        hob_tls_end(stream->tls);
    stream->state = HOB_STREAM_FLUSHING;
    hob_timer_start(stream->timer, CLOSE_MS);
    hob_stream_start_reading(stream);
    hob_stream_flush(stream);
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
