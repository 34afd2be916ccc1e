#include "host/control.h"

#include "base/alloc.h"
#include "host/control_client.h"
#include "net/local.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#define CLIENTS_MAX 64
#define BACKLOG     128
#define QUEUE_MAX   (4 * 1024 * 1024) /* to a client that does not read */

/* Outlives the control by a turn of the loop, as uv wants it. */
struct hob_control_server {
    uv_pipe_t pipe;
    struct hob_control *control;
};

struct piece {
    uv_write_t request;
    struct hob_control_client *client;
    char bytes[];
};

/* ---- a client ---- */

static struct hob_control_client *client_of(struct hob_control_caller *caller)
{
    return caller->client;
}

/* What goes on for it ends, and its session. Never inside the session's own Lua. */
static void release(struct hob_control_client *client)
{
    hob_control_streams_close(client->caller.control, &client->caller);
    hob_control_session_free(client->session);
    client->session = NULL;
}

static void take_out(struct hob_control_client *client)
{
    struct hob_control_client **link = &client->caller.control->clients;
    while (*link != client) {
        link = &(*link)->next;
    }
    *link = client->next;
}

static void client_freed(uv_handle_t *handle)
{
    struct hob_control_client *client = handle->data;
    if (client->caller.control) {
        release(client);
        take_out(client);
    }
    hob_buf_free(&client->in);
    hob_free(client);
}

void hob_control_client_close(struct hob_control_client *client)
{
    if (!client->closing) {
        client->closing = true;
        client->caller.control->client_count--;
        hob_control_streams_lose(client->caller.control, &client->caller);
        uv_close((uv_handle_t *)&client->pipe, client_freed);
    }
}

static bool all_sent(const struct hob_control_client *client)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&client->pipe) == 0;
}

static void on_written(uv_write_t *request, int status)
{
    struct piece *piece = (struct piece *)request;
    struct hob_control_client *client = piece->client;
    hob_free(piece);
    if (status < 0 || (client->ends && all_sent(client))) {
        hob_control_client_close(client);
    }
}

/* Who does not read is closed: what waits for him must not grow. Closed first, and then told: the
 * log's line may be one that is to be sent to him. */
static void give_up(struct hob_control_client *client)
{
    struct hob_control *control = client->caller.control;
    hob_control_client_close(client);
    hob_log_event(control->options.log, HOB_LOG_WARN, "control.client_slow",
                  "%s asks and does not read the answers: its connection is closed",
                  client->caller.peer.who);
}

int hob_control_client_send(struct hob_control_client *client, const char *bytes, size_t len)
{
    uv_stream_t *stream = (uv_stream_t *)&client->pipe;
    if (client->closing) {
        return HOB_ECANCELED;
    }
    if (uv_stream_get_write_queue_size(stream) + len > QUEUE_MAX) {
        give_up(client);
        return HOB_EMSGSIZE;
    }
    struct piece *piece = hob_malloc(sizeof *piece + len);
    if (piece) {
        piece->client = client;
        memcpy(piece->bytes, bytes, len);
        uv_buf_t buf = uv_buf_init(piece->bytes, (unsigned)len);
        if (uv_write(&piece->request, stream, &buf, 1, on_written) == 0) {
            return 0;
        }
        hob_free(piece);
    }
    hob_control_client_close(client);
    return HOB_EIO;
}

static int send_line(struct hob_control_caller *caller, const char *bytes, size_t len)
{
    return hob_control_client_send(client_of(caller), bytes, len);
}

void hob_control_client_end(struct hob_control_client *client, int code, const char *message)
{
    struct hob_buf out;
    hob_buf_init(&out, HOB_CONTROL_LINE_MAX);
    client->ends = true;
    uv_read_stop((uv_stream_t *)&client->pipe);
    if (message && hob_control_error(&out, "", code, "%s", message) == 0) {
        hob_control_client_send(client, hob_buf_data(&out), hob_buf_len(&out));
    }
    hob_buf_free(&out);
    if (all_sent(client)) {
        hob_control_client_close(client);
    }
}

/* ---- its lines ---- */

static void client_answer(struct hob_control_client *client, const char *line, size_t len)
{
    struct hob_buf out;
    hob_buf_init(&out, HOB_CONTROL_ANSWER_MAX);
    int rc = hob_control_answer(&client->caller, line, len, &out);
    if (rc) {
        hob_control_client_end(client, rc, "the answer could not be made");
    } else if (hob_buf_len(&out)) {
        hob_control_client_send(client, hob_buf_data(&out), hob_buf_len(&out));
    }
    hob_control_streams_answered(client->caller.control, &out);
    hob_buf_free(&out);
}

static bool listens(const struct hob_control_client *client)
{
    return !client->closing && !client->ends;
}

/* Each whole line is a request; the rest waits for more. */
static void take_lines(struct hob_control_client *client)
{
    while (listens(client) && !client->session) {
        const char *data = hob_buf_data(&client->in);
        const char *end =
            hob_buf_len(&client->in) ? memchr(data, '\n', hob_buf_len(&client->in)) : NULL;
        if (!end) {
            return;
        }
        client_answer(client, data, (size_t)(end - data));
        hob_buf_consume(&client->in, (size_t)(end - data) + 1);
    }
}

/* What came behind the request that began the session. */
static void take_rest(struct hob_control_client *client)
{
    if (listens(client) && client->session && hob_buf_len(&client->in)) {
        hob_control_session_bytes(client->session, hob_buf_data(&client->in),
                                  hob_buf_len(&client->in));
        hob_buf_free(&client->in);
    }
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct hob_control_client *client = handle->data;
    *buf = uv_buf_init(client->chunk, sizeof client->chunk);
}

/* What it has asked for is still answered; what goes on for it ends, as it may have gone. */
static void on_end(struct hob_control_client *client)
{
    if (client->session) {
        hob_control_session_eof(client->session);
    } else if (hob_buf_len(&client->in)) {
        hob_control_client_end(client, HOB_EINVAL, "the request ends without an end of line");
    } else {
        hob_control_client_end(client, 0, NULL);
    }
}

static void take_bytes(struct hob_control_client *client, const char *bytes, size_t len)
{
    while (listens(client) && len > 0 && !client->session) {
        size_t room = hob_buf_room(&client->in);
        size_t part = len < room ? len : room;
        if (part == 0 || hob_buf_append(&client->in, bytes, part)) {
            hob_control_client_end(client, HOB_EMSGSIZE, "a request is one line of at most 64 KB");
            return;
        }
        bytes += part;
        len -= part;
        take_lines(client);
        take_rest(client);
    }
    if (listens(client) && len > 0) {
        hob_control_session_bytes(client->session, bytes, len);
    }
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct hob_control_client *client = stream->data;
    if (len == UV_EOF) {
        on_end(client);
    } else if (len < 0) {
        hob_control_client_close(client);
    } else if (len > 0) {
        take_bytes(client, buf->base, (size_t)len);
    }
}

void hob_control_client_read(struct hob_control_client *client, bool more)
{
    if (!more) {
        uv_read_stop((uv_stream_t *)&client->pipe);
    } else if (listens(client)) {
        uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read);
    }
}

/* ---- the server ---- */

static bool may_enter(struct hob_control *control, struct hob_control_client *client)
{
    unsigned uid = 0;
    int pid = 0;
    uv_os_fd_t fd = -1;
    struct hob_control_peer *peer = &client->caller.peer;
    if (uv_fileno((uv_handle_t *)&client->pipe, &fd) || hob_local_peer(fd, &uid, &pid)) {
        return false;
    }
    hob_control_peer_fill(peer, pid, uid);
    if (uid == 0 || uid == geteuid()) {
        return true;
    }
    hob_log_write(control->options.log,
                  &(struct hob_log_record){.level = HOB_LOG_WARN,
                                           .event = "control.refused",
                                           .code = "EACCES",
                                           .action = "use the command as root, or as that user"},
                  "%s was not let in: only root and user %u are", peer->who, (unsigned)geteuid());
    return false;
}

static void client_new(struct hob_control *control, struct hob_control_client *client,
                       uv_loop_t *loop)
{
    hob_buf_init(&client->in, HOB_CONTROL_LINE_MAX);
    uv_pipe_init(loop, &client->pipe, 0);
    client->pipe.data = client;
    client->caller =
        (struct hob_control_caller){.control = control, .send = send_line, .client = client};
    client->next = control->clients;
    control->clients = client;
    control->client_count++;
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct hob_control_server *server = stream->data;
    struct hob_control *control = server->control;
    struct hob_control_client *client = status == 0 ? hob_calloc(1, sizeof *client) : NULL;
    if (!client) {
        return;
    }
    client_new(control, client, stream->loop);
    if (uv_accept(stream, (uv_stream_t *)&client->pipe)) {
        hob_control_client_close(client);
    } else if (!may_enter(control, client)) {
        hob_control_client_end(client, HOB_EACCES,
                               "only root and the user that hob runs as are let in");
    } else if (control->client_count > CLIENTS_MAX) {
        hob_control_client_end(client, HOB_EBUSY, "too many connections: close some");
    } else {
        hob_control_client_read(client, true);
    }
}

static void server_freed(uv_handle_t *handle)
{
    hob_free(handle->data);
}

static int server_start(struct hob_control *control, struct hob_error *err)
{
    int fd;
    int rc = hob_local_listen(control->path, &fd, err);
    if (rc) {
        return rc;
    }
    struct hob_control_server *server = hob_calloc(1, sizeof *server);
    if (!server) {
        close(fd);
        return hob_error_set(err, HOB_ENOMEM, "control socket: out of memory");
    }
    control->server = server;
    server->control = control;
    uv_pipe_init(hob_loop_uv(control->options.loop), &server->pipe, 0);
    server->pipe.data = server;
    rc = uv_pipe_open(&server->pipe, fd);
    if (rc) {
        close(fd);
    }
    rc = rc ? rc : uv_listen((uv_stream_t *)&server->pipe, BACKLOG, on_connection);
    return rc ? hob_error_set(err, hob_error_from_uv(rc), "control socket %s: %s", control->path,
                              uv_strerror(rc))
              : 0;
}

int hob_control_new(const struct hob_control_options *options, struct hob_control **out,
                    struct hob_error *err)
{
    struct hob_control *control = hob_calloc(1, sizeof *control);
    if (!control || !(control->path = hob_strdup(options->path))) {
        hob_free(control);
        return hob_error_set(err, HOB_ENOMEM, "control socket: out of memory");
    }
    control->options = *options;
    int rc = hob_json_new(&control->json, err);
    rc = rc ? rc : server_start(control, err);
    if (rc) {
        hob_control_close(control);
        return rc;
    }
    *out = control;
    return 0;
}

void hob_control_stop_sessions(struct hob_control *control)
{
    if (!control) {
        return;
    }
    control->stopping = true;
    for (struct hob_control_client *client = control->clients; client; client = client->next) {
        if (client->session && !client->closing) {
            hob_control_client_end(client, HOB_ECANCELED, "hob is stopping: the session ends");
        }
        hob_control_session_free(client->session);
        client->session = NULL;
    }
}

void hob_control_stop_sessions_of(struct hob_control *control, const struct hob_thing *thing)
{
    struct hob_control_client *client = control ? control->clients : NULL;
    for (; client; client = client->next) {
        if (client->session && !client->closing) {
            hob_control_session_leave(client->session, thing);
        }
    }
}

/* Those that are being closed find nothing of it any more. */
void hob_control_close(struct hob_control *control)
{
    if (!control) {
        return;
    }
    hob_control_streams_close(control, NULL);
    for (struct hob_control_client *client = control->clients; client; client = client->next) {
        hob_control_client_close(client);
        release(client);
        client->caller.control = NULL;
    }
    if (control->server) {
        unlink(control->path);
        uv_close((uv_handle_t *)&control->server->pipe, server_freed);
    }
    hob_json_free(control->json);
    hob_free(control->path);
    hob_free(control);
}
