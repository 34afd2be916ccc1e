#include "net/mqtt_pump.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CHUNK        HOB_LOOP_CHUNK
#define PATH_MAX_LEN 100
/* So many chunks of input in one turn: then those who got messages work, and what they answer goes
 * out, before more is read. */
#define TURNS_IN_MAX 2
#define SOCKET_NAME  "/pump"
/* How much may still come in while nothing can go out: each message in may leave an answer in the
 * library, whose own queue has no end. */
#define STUCK_IN_MAX (256 * 1024)

#define LENGTH_DIGITS 4 /* the most that MQTT allows */
#define KIND_MASK     0xf0
#define KIND_PUBLISH  0x30
#define QOS_2_BIT     0x04

/* Where in the broker's packets we are: each begins with a byte for its kind and the length of the
 * rest, seven bits a byte, the lowest first. */
struct framing {
    size_t max;
    size_t left;   /* of the packet's body */
    size_t length; /* what of it is known */
    size_t ended;  /* packets, so far */
    unsigned digits;
    bool in_header;
    bool refused;
};

struct hob_mqtt_pump {
    struct hob_loop *loop;
    struct hob_stream *stream;
    struct hob_mqtt_pump_client client;
    char dir[PATH_MAX_LEN]; /* "": removed */
    char path[PATH_MAX_LEN + sizeof(SOCKET_NAME)];
    int listener, fd;
    /* Bytes on their way, from `_at`, `_len` of them; CHUNK each. NULL between turns that left
     * nothing: most connections are quiet most of the time. */
    char *in, *out;
    size_t in_at, in_len, out_at, out_len;
    bool out_waits; /* there may be something in the pipe that the library wrote */
    size_t stuck_in;
    struct framing framing;
    bool turning;
    uv_prepare_t *prepare; /* active while a turn is wanted before the loop waits */
    uv_idle_t *idle;       /* keeps that wait from beginning where prepare has already run */
    struct hob_mqtt_pump_stats stats;
};

/* ---- the private directory ---- */

static bool make_dir(struct hob_mqtt_pump *pump, const char *parent, size_t parent_len)
{
    static const char name[] = "/hob-XXXXXX";
    if (parent_len == 0 || parent_len + sizeof(name) + sizeof(SOCKET_NAME) > PATH_MAX_LEN)
        return false;
    snprintf(pump->dir, sizeof(pump->dir), "%.*s%s", (int)parent_len, parent, name);
    if (mkdtemp(pump->dir)) { /* 0700 */
        snprintf(pump->path, sizeof(pump->path), "%s%s", pump->dir, SOCKET_NAME);
        return true;
    }
    pump->dir[0] = '\0';
    return false;
}

static int find_dir(struct hob_mqtt_pump *pump, const char *runtime_dir, struct hob_error *err)
{
    const char *given = getenv("RUNTIME_DIRECTORY"); /* systemd gives a list, with colons */
    const char *parents[] = {given, "/run", "/tmp", runtime_dir};
    for (size_t i = 0; i < sizeof(parents) / sizeof(parents[0]); i++)
        if (parents[i] && make_dir(pump, parents[i], strcspn(parents[i], ":")))
            return 0;
    return hob_error_set(
        err, HOB_EACCES,
        "no directory for a socket: none of $RUNTIME_DIRECTORY (%s), /run, /tmp, %s "
        "can be written to, or its path is longer than %d bytes",
        given ? given : "not set", runtime_dir ? runtime_dir : "(no runtime_dir)",
        PATH_MAX_LEN - (int)sizeof("/hob-XXXXXX" SOCKET_NAME));
}

static void remove_listener(struct hob_mqtt_pump *pump)
{
    if (pump->listener >= 0)
        close(pump->listener);
    pump->listener = -1;
    if (pump->dir[0]) {
        unlink(pump->path);
        rmdir(pump->dir);
    }
    pump->dir[0] = '\0';
}

static int start_listening(struct hob_mqtt_pump *pump, struct hob_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", pump->path);
    pump->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (pump->listener >= 0 &&
        bind(pump->listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        listen(pump->listener, 1) == 0)
        return 0;
    return hob_error_set(err, hob_error_from_errno(errno), "socket %s: %s", pump->path,
                         strerror(errno));
}

/* ---- life ---- */

static void on_prepare(uv_prepare_t *handle)
{
    struct hob_mqtt_pump *pump = handle->data;
    uv_prepare_stop(pump->prepare);
    uv_idle_stop(pump->idle);
    hob_mqtt_pump_stream_moves(pump);
}

static void on_idle(uv_idle_t *handle)
{
    (void)handle;
}

static void free_handle(uv_handle_t *handle)
{
    hob_free(handle);
}

static bool make_handles(struct hob_mqtt_pump *pump, struct hob_loop *loop)
{
    pump->prepare = hob_calloc(1, sizeof(*pump->prepare));
    pump->idle = hob_calloc(1, sizeof(*pump->idle));
    if (!pump->prepare || !pump->idle) {
        hob_free(pump->prepare);
        hob_free(pump->idle);
        return false;
    }
    uv_prepare_init(hob_loop_uv(loop), pump->prepare);
    uv_idle_init(hob_loop_uv(loop), pump->idle);
    pump->prepare->data = pump;
    return true;
}

int hob_mqtt_pump_new(struct hob_loop *loop, struct hob_stream *stream, const char *runtime_dir,
                      size_t packet_max, const struct hob_mqtt_pump_client *client,
                      struct hob_mqtt_pump **out, struct hob_error *err)
{
    struct hob_mqtt_pump *pump = hob_calloc(1, sizeof(*pump));
    if (!pump || !make_handles(pump, loop)) {
        hob_free(pump);
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    pump->loop = loop;
    pump->stream = stream;
    pump->client = *client;
    pump->framing.max = packet_max;
    pump->listener = pump->fd = -1;
    pump->stats.last_in_ms = pump->stats.last_out_ms = hob_clock_mono_ms();
    int code = find_dir(pump, runtime_dir, err);
    if (code == 0)
        code = start_listening(pump, err);
    if (code) {
        hob_mqtt_pump_free(pump);
        return code;
    }
    *out = pump;
    return 0;
}

const char *hob_mqtt_pump_path(const struct hob_mqtt_pump *pump)
{
    return pump->path;
}

int hob_mqtt_pump_accept(struct hob_mqtt_pump *pump, struct hob_error *err)
{
    struct ucred peer = {0};
    socklen_t len = sizeof(peer);
    pump->fd = accept4(pump->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int errnum = errno;
    remove_listener(pump);
    if (pump->fd < 0)
        return hob_error_set(err, hob_error_from_errno(errnum), "socket %s: %s", pump->path,
                             strerror(errnum));
    if (getsockopt(pump->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 || peer.pid != getpid())
        return hob_error_set(err, HOB_EACCES,
                             "socket %s: process %ld connected to it, not this one", pump->path,
                             (long)peer.pid);
    return 0;
}

void hob_mqtt_pump_free(struct hob_mqtt_pump *pump)
{
    if (!pump)
        return;
    assert(!pump->turning);
    remove_listener(pump);
    if (pump->fd >= 0)
        close(pump->fd);
    uv_close((uv_handle_t *)pump->prepare, free_handle);
    uv_close((uv_handle_t *)pump->idle, free_handle);
    hob_loop_give_chunk(pump->loop, pump->in);
    hob_loop_give_chunk(pump->loop, pump->out);
    hob_free(pump);
}

/* ---- the broker's packets ---- */

/* Or QoS 3, which does not exist. */
static bool is_qos_2(unsigned char first)
{
    return (first & KIND_MASK) == KIND_PUBLISH && (first & QOS_2_BIT) != 0;
}

/* One byte of a header. @return 0, or why its packet must not go on */
static int frame_header(struct framing *framing, unsigned char byte, struct hob_error *why)
{
    if (!framing->in_header) {
        /* The library would keep each one until a PUBREL, which need not come. */
        if (is_qos_2(byte))
            return hob_error_set(why, HOB_EPROTO,
                                 "the broker sent a QoS 2 message, which was never asked for");
        framing->in_header = true;
        framing->length = framing->digits = 0;
        return 0;
    }
    framing->length |= (size_t)(byte & 0x7f) << (7 * framing->digits);
    framing->digits++;
    if (byte & 0x80)
        return framing->digits < LENGTH_DIGITS
                   ? 0
                   : hob_error_set(why, HOB_EPROTO, "a packet whose length has no end");
    size_t whole = 1 + framing->digits + framing->length;
    if (whole > framing->max)
        return hob_error_set(why, HOB_EMSGSIZE, "a packet of %zu bytes: the limit is %zu", whole,
                             framing->max);
    framing->left = framing->length;
    framing->ended += framing->length == 0;
    framing->in_header = false;
    return 0;
}

/* @return how many of these bytes may go to the library; fewer than `len`: see *why */
static size_t frame(struct framing *framing, const char *data, size_t len, struct hob_error *why)
{
    size_t at = 0;
    while (at < len) {
        size_t body = len - at < framing->left ? len - at : framing->left;
        framing->ended += body > 0 && body == framing->left;
        framing->left -= body;
        at += body;
        if (at == len)
            break;
        if (frame_header(framing, (unsigned char)data[at], why) != 0) {
            framing->refused = true;
            break;
        }
        at++;
    }
    return at;
}

/* ---- a turn ---- */

/* The library takes an errno that was left over from another call for its own: clear it. */
static void client_reads(struct hob_mqtt_pump *pump)
{
    pump->out_waits = true; /* it may answer */
    errno = 0;
    pump->client.read(pump->client.user);
}

static bool client_stands(struct hob_mqtt_pump *pump)
{
    return pump->client.fd(pump->client.user) >= 0;
}

/* It may stop after any packet, but not before it has taken one that is whole: so it is asked once
 * for each. To ask the socket how much is left costs as much as to read it. */
static void client_reads_packets(struct hob_mqtt_pump *pump, size_t count)
{
    for (; count > 0 && client_stands(pump); count--)
        client_reads(pump);
}

/* Of a pipe that is full: until it is empty; a library that takes nothing is left. */
static void client_reads_all(struct hob_mqtt_pump *pump)
{
    int waiting, before = -1;
    for (;;) {
        int fd = pump->client.fd(pump->client.user);
        if (fd < 0 || ioctl(fd, FIONREAD, &waiting) != 0 || waiting == 0 || waiting == before)
            return;
        before = waiting;
        client_reads(pump);
    }
}

/* A chunk of what the stream has: with TLS each read brings one record, and a broker makes one of
 * each packet. */
static void fill_in(struct hob_mqtt_pump *pump)
{
    size_t got;
    pump->in_at = pump->in_len = 0;
    while (pump->in_len < CHUNK &&
           (got = hob_stream_read(pump->stream, pump->in + pump->in_len, CHUNK - pump->in_len)) > 0)
        pump->in_len += got;
    pump->stats.bytes_in += pump->in_len;
    if (pump->out_len > 0)
        pump->stuck_in += pump->in_len;
    if (pump->in_len > 0)
        pump->stats.last_in_ms = hob_clock_mono_ms();
}

/* @return how many packets end in the new chunk, and one more if another one begins */
static size_t frame_in(struct hob_mqtt_pump *pump)
{
    struct framing *framing = &pump->framing;
    struct hob_error why;
    size_t before = framing->ended;
    pump->in_len = frame(framing, pump->in, pump->in_len, &why);
    if (framing->refused)
        pump->client.refused(pump->client.user, &why);
    return framing->ended - before + (framing->left > 0 || framing->in_header);
}

/* One chunk from the stream to the library. @return whether anything moved */
static bool move_in(struct hob_mqtt_pump *pump)
{
    size_t packets = 0; /* of a chunk that is new; 0: of the rest of one nobody counts them */
    if (pump->in_len == 0) {
        if (pump->stuck_in >= STUCK_IN_MAX || pump->framing.refused)
            return false;
        fill_in(pump);
        if (pump->in_len > 0)
            packets = frame_in(pump);
        if (pump->in_len == 0)
            return false;
    }
    ssize_t put = send(pump->fd, pump->in + pump->in_at, pump->in_len, MSG_NOSIGNAL);
    if (put <= 0)
        return false; /* full, or the library has gone: `turned` finds out */
    pump->in_at += (size_t)put;
    pump->in_len -= (size_t)put;
    if (pump->in_len == 0 && packets > 0)
        client_reads_packets(pump, packets);
    else
        client_reads_all(pump);
    return true;
}

/* What the library has in the pipe, to the stream. @return whether anything moved */
static bool move_out(struct hob_mqtt_pump *pump)
{
    if (pump->out_len == 0) {
        if (!pump->out_waits)
            return false;
        ssize_t got = recv(pump->fd, pump->out, CHUNK, 0);
        pump->out_waits = got == (ssize_t)CHUNK;
        if (got <= 0)
            return false;
        pump->out_at = 0;
        pump->out_len = (size_t)got;
    }
    size_t taken = hob_stream_write(pump->stream, pump->out + pump->out_at, pump->out_len);
    pump->out_at += taken;
    pump->out_len -= taken;
    if (taken == 0)
        return false;
    pump->stats.bytes_out += taken;
    pump->stats.last_out_ms = hob_clock_mono_ms();
    pump->stuck_in = 0;
    return pump->out_len == 0;
}

static bool take_buffers(struct hob_mqtt_pump *pump)
{
    pump->in = pump->in ? pump->in : hob_loop_take_chunk(pump->loop);
    pump->out = pump->out ? pump->out : hob_loop_take_chunk(pump->loop);
    return pump->in && pump->out;
}

static void give_back(struct hob_mqtt_pump *pump, char **buffer, size_t len)
{
    if (len == 0) {
        hob_loop_give_chunk(pump->loop, *buffer);
        *buffer = NULL;
    }
}

static void want_turn(struct hob_mqtt_pump *pump)
{
    uv_prepare_start(pump->prepare, on_prepare);
    uv_idle_start(pump->idle, on_idle);
}

static void client_writes(struct hob_mqtt_pump *pump)
{
    errno = 0;
    if (pump->client.write(pump->client.user))
        pump->out_waits = true;
}

void hob_mqtt_pump_stream_moves(struct hob_mqtt_pump *pump)
{
    if (pump->turning || pump->fd < 0)
        return;
    if (!take_buffers(pump)) {
        struct hob_error why = {HOB_ENOMEM, "out of memory"};
        pump->client.refused(pump->client.user, &why);
        pump->client.turned(pump->client.user); /* may free the pump */
        return;
    }
    pump->turning = true;
    pump->stats.turns++;
    bool moved;
    int turns_in = 0;
    do {
        moved = false;
        for (; client_stands(pump) && turns_in < TURNS_IN_MAX && move_in(pump); turns_in++)
            moved = true;
        if (client_stands(pump) && pump->out_len == 0)
            client_writes(pump);
        /* Also after the library has gone: its last words are in the pipe. */
        while (move_out(pump))
            moved = true;
    } while (moved);
    pump->turning = false;
    give_back(pump, &pump->in, pump->in_len);
    give_back(pump, &pump->out, pump->out_len);
    if (turns_in == TURNS_IN_MAX)
        want_turn(pump);
    pump->client.turned(pump->client.user); /* may free the pump */
}

void hob_mqtt_pump_turn(struct hob_mqtt_pump *pump)
{
    pump->out_waits = true;
    hob_mqtt_pump_stream_moves(pump);
}

void hob_mqtt_pump_wake(struct hob_mqtt_pump *pump)
{
    pump->out_waits = true;
    if (!pump->turning)
        want_turn(pump);
}

void hob_mqtt_pump_get_stats(const struct hob_mqtt_pump *pump, struct hob_mqtt_pump_stats *out)
{
    *out = pump->stats;
}
