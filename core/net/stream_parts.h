/* stream_parts.h - internal to stream_connect.c (a stream comes to be: name, addresses, TCP, TLS)
 * and stream.c (it is written to, read and closed).
 */
#ifndef HOB_NET_STREAM_PARTS_H
#define HOB_NET_STREAM_PARTS_H

#include "net/stream.h"

#define HOB_STREAM_PLACE_MAX 300
#define HOB_STREAM_HOST_MAX  256

enum hob_stream_state {
    HOB_STREAM_RESOLVING,
    HOB_STREAM_CONNECTING,
    HOB_STREAM_HANDSHAKE,
    HOB_STREAM_OPEN,
    HOB_STREAM_FLUSHING, /* we closed: what is queued goes out, what comes in is dropped */
    HOB_STREAM_ENDED
};

/* Outlives its stream: a name look-up that runs in libuv's thread cannot be stopped. */
struct hob_stream_lookup {
    uv_getaddrinfo_t request;
    struct hob_stream *stream; /* NULL: nobody waits any more */
};

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): grouped by what it is for */
struct hob_stream {
    struct hob_loop *loop;
    struct hob_stream_options options;
    char host[HOB_STREAM_HOST_MAX];
    char place[HOB_STREAM_PLACE_MAX]; /* "host:port" */
    enum hob_stream_state state;
    unsigned holds; /* callbacks that are still to come and use this */
    struct hob_timer *timer;
    uint64_t deadline_ms; /* for name, TCP and TLS together, on the monotonic clock */
    bool is_half;         /* the timer is for half of what is left, see wait_half */
    struct hob_stream_lookup *lookup;
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

/* ---- stream_connect.c, for stream.c ---- */

/** Those before it were of no use. Called while something is held. */
void hob_stream_try_next_address(struct hob_stream *stream);
/** The server said something, or it is our turn to begin. */
void hob_stream_go_on_with_handshake(struct hob_stream *stream);

/* ---- stream.c, for stream_connect.c ---- */

/** Keep the first reason; the end itself comes later, so this is legal inside a caller's call. */
void hob_stream_fail(struct hob_stream *stream, const struct hob_error *why);
/** Only from the loop, and while something is held. */
void hob_stream_end(struct hob_stream *stream);
void hob_stream_close_tcp(struct hob_stream *stream);
void hob_stream_start_reading(struct hob_stream *stream);
void hob_stream_flush(struct hob_stream *stream); /* what is queued goes to the kernel */

#endif
