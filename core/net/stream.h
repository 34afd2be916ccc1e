/* stream.h - a TCP connection, with or without TLS, as plaintext that is pulled and pushed.
 *
 * Resolves the name, connects (each address in turn; if there are IPv4 and IPv6 ones, those of the
 * first kind have half of the time), sets TCP_NODELAY, completes the TLS handshake, then calls
 * on_open. From then on:
 *  - on_readable: there are bytes; pull them with hob_stream_read. While they are not pulled, the
 *    stream stops reading from the kernel once its queue is full, so that back-pressure reaches the
 *    peer. Called again only after new bytes came.
 *  - on_writable: hob_stream_write took less than was offered, and there is room again.
 *  - on_close: the one end of a stream, also of one that never opened; called exactly once, never
 *    inside a call of this file, with the reason (err->code 0: we closed it ourselves).
 *
 * Life: hob_stream_connect -> ... -> hob_stream_close -> on_close, after which it is freed by
 * itself. Loop thread only.  Spec: spec/integration/mqtt_spec.lua
 */
#ifndef HOB_NET_STREAM_H
#define HOB_NET_STREAM_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "net/tls.h"

#include <sys/types.h>

struct hob_stream;

struct hob_stream_options {
    const char *host; /* copied */
    int port;
    struct hob_tls_config *tls;          /* borrowed until on_close; NULL: plain TCP */
    const struct hob_tls_ticket *ticket; /* borrowed for the call; may be NULL */
    uint64_t connect_timeout_ms;         /* name, TCP and TLS together; 0: 30,000 */
    void (*on_open)(void *user);
    void (*on_readable)(void *user);
    void (*on_writable)(void *user);
    void (*on_close)(void *user, const struct hob_error *why); /* `why` is borrowed */
    void *user;
};

/** @return 0 and *out (on_close will come), or a code and nothing will be called */
int hob_stream_connect(struct hob_loop *loop, const struct hob_stream_options *options,
                       struct hob_stream **out, struct hob_error *err);

/** @return bytes pulled, 0: none now */
size_t hob_stream_read(struct hob_stream *stream, void *out, size_t len);

/** @return bytes taken, 0 to len; on_writable follows when it was less than len */
size_t hob_stream_write(struct hob_stream *stream, const void *data, size_t len);

/** Send what is queued (for at most 1 s), then close. Legal at any time, also twice. */
void hob_stream_close(struct hob_stream *stream);

/** What the kernel says of TCP_NODELAY. */
bool hob_stream_no_delay(struct hob_stream *stream);

/** As tls.h; NULL without TLS. */
struct hob_tls_ticket *hob_stream_ticket_new(struct hob_stream *stream);
const char *hob_stream_describe(struct hob_stream *stream, char *out, size_t len);
const char *hob_stream_alpn(struct hob_stream *stream);

#endif
