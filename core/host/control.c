#include "host/control.h"

#include "host/control_parts.h"
#include "net/local.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLIENTS_MAX 32
#define READ_BYTES  16384
#define QUEUE_MAX   (4 * 1024 * 1024) /* to a client that does not read */

/* Outlives the control by a turn of the loop, as uv wants it. */
struct hob_control_server {
    uv_pipe_t pipe;
    struct hob_control *control;
};

struct hob_control_client {
    uv_pipe_t pipe;
    struct hob_control *control; /* NULL: being closed */
    struct hob_control_client *next;
    struct hob_buf in;
    bool ends; /* closed once everything was sent */
    int pid;
    char chunk[READ_BYTES];
};

struct piece {
    uv_write_t request;
    struct hob_control_client *client;
    char bytes[];
};

/* ---- a client ---- */

static void client_freed(uv_handle_t *handle)
{
    struct hob_control_client *client = handle->data;
    hob_buf_free(&client->in);
    free(client);
}

static void client_close(struct hob_control_client *client)
{
    struct hob_control *control = client->control;
    if (!control) {
        return;
    }
    struct hob_control_client **link = &control->clients;
    while (*link != client) {
        link = &(*link)->next;
    }
    *link = client->next;
    control->client_count--;
    client->control = NULL;
    uv_close((uv_handle_t *)&client->pipe, client_freed);
}

static void on_written(uv_write_t *request, int status)
{
    struct piece *piece = (struct piece *)request;
    struct hob_control_client *client = piece->client;
    bool done = client->ends && uv_stream_get_write_queue_size((uv_stream_t *)&client->pipe) == 0;
    free(piece);
    if (status < 0 || done) {
        client_close(client);
    }
}

/* Who does not read is closed: what waits for him must not grow. */
static void client_send(struct hob_control_client *client, const char *bytes, size_t len)
{
    uv_stream_t *stream = (uv_stream_t *)&client->pipe;
    struct piece *piece = NULL;
    bool full = uv_stream_get_write_queue_size(stream) + len > QUEUE_MAX;
    if (full) {
        hob_log_event(client->control->options.log, HOB_LOG_WARN, "control.client_slow",
                      "process %d asks and does not read the answers: its connection is closed",
                      client->pid);
    } else {
        piece = malloc(sizeof *piece + len);
    }
    if (!piece) {
        client_close(client);
        return;
    }
    piece->client = client;
    memcpy(piece->bytes, bytes, len);
    uv_buf_t buf = uv_buf_init(piece->bytes, (unsigned)len);
    if (uv_write(&piece->request, stream, &buf, 1, on_written)) {
        free(piece);
        client_close(client);
    }
}

/* The last thing that it hears. */
static void client_end(struct hob_control_client *client, int code, const char *message)
{
    struct hob_buf out;
    hob_buf_init(&out, HOB_CONTROL_LINE_MAX);
    client->ends = true;
    uv_read_stop((uv_stream_t *)&client->pipe);
    if (hob_control_error(&out, "", code, "%s", message)) {
        client_close(client);
    } else {
        client_send(client, hob_buf_data(&out), hob_buf_len(&out));
    }
    hob_buf_free(&out);
}

static void client_answer(struct hob_control_client *client, const char *line, size_t len)
{
    struct hob_buf out;
    hob_buf_init(&out, HOB_CONTROL_ANSWER_MAX);
    int rc = hob_control_answer(client->control, line, len, &out);
    if (rc) {
        client_end(client, rc, "the answer could not be made");
    } else {
        client_send(client, hob_buf_data(&out), hob_buf_len(&out));
    }
    hob_buf_free(&out);
}

/* Each whole line is a request; the rest waits for more. */
static void take_lines(struct hob_control_client *client)
{
    while (client->control && !client->ends) {
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

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct hob_control_client *client = handle->data;
    *buf = uv_buf_init(client->chunk, sizeof client->chunk);
}

static void on_end(struct hob_control_client *client)
{
    client->ends = true;
    if (hob_buf_len(&client->in)) {
        client_end(client, HOB_EINVAL, "the request ends without an end of line");
    } else if (uv_stream_get_write_queue_size((uv_stream_t *)&client->pipe) == 0) {
        client_close(client); /* else when the last answer is out */
    }
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct hob_control_client *client = stream->data;
    size_t used = 0;
    if (len == UV_EOF) {
        on_end(client);
    } else if (len < 0) {
        client_close(client);
    }
    while (client->control && !client->ends && len > 0 && used < (size_t)len) {
        size_t part = (size_t)len - used;
        size_t room = hob_buf_room(&client->in);
        part = part < room ? part : room;
        if (part == 0 || hob_buf_append(&client->in, buf->base + used, part)) {
            client_end(client, HOB_EMSGSIZE, "a request is one line of at most 64 KB");
            return;
        }
        used += part;
        take_lines(client);
    }
}

/* ---- the server ---- */

static bool may_enter(struct hob_control *control, struct hob_control_client *client)
{
    unsigned uid = 0;
    uv_os_fd_t fd = -1;
    if (uv_fileno((uv_handle_t *)&client->pipe, &fd) || hob_local_peer(fd, &uid, &client->pid)) {
        return false;
    }
    if (uid == 0 || uid == geteuid()) {
        return true;
    }
    hob_log_write(control->options.log,
                  &(struct hob_log_record){.level = HOB_LOG_WARN,
                                           .event = "control.refused",
                                           .code = "EACCES",
                                           .action = "use the command as root, or as that user"},
                  "process %d of user %u was not let in: only root and user %u are", client->pid,
                  uid, (unsigned)geteuid());
    return false;
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct hob_control_server *server = stream->data;
    struct hob_control *control = server->control;
    struct hob_control_client *client = status == 0 ? calloc(1, sizeof *client) : NULL;
    if (!client) {
        return;
    }
    hob_buf_init(&client->in, HOB_CONTROL_LINE_MAX);
    uv_pipe_init(stream->loop, &client->pipe, 0);
    client->pipe.data = client;
    client->control = control;
    client->next = control->clients;
    control->clients = client;
    control->client_count++;
    if (uv_accept(stream, (uv_stream_t *)&client->pipe)) {
        client_close(client);
    } else if (!may_enter(control, client)) {
        client_end(client, HOB_EACCES, "only root and the user that hob runs as are let in");
    } else if (control->client_count > CLIENTS_MAX) {
        client_end(client, HOB_EBUSY, "too many connections: close some");
    } else {
        uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read);
    }
}

static void server_freed(uv_handle_t *handle)
{
    free(handle->data);
}

static int server_start(struct hob_control *control, struct hob_error *err)
{
    int fd;
    int rc = hob_local_listen(control->path, &fd, err);
    if (rc) {
        return rc;
    }
    struct hob_control_server *server = calloc(1, sizeof *server);
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
    rc = rc ? rc : uv_listen((uv_stream_t *)&server->pipe, CLIENTS_MAX, on_connection);
    return rc ? hob_error_set(err, hob_error_from_uv(rc), "control socket %s: %s", control->path,
                              uv_strerror(rc))
              : 0;
}

int hob_control_new(const struct hob_control_options *options, struct hob_control **out,
                    struct hob_error *err)
{
    struct hob_control *control = calloc(1, sizeof *control);
    if (!control || !(control->path = strdup(options->path))) {
        free(control);
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

void hob_control_close(struct hob_control *control)
{
    if (!control) {
        return;
    }
    while (control->clients) {
        client_close(control->clients);
    }
    if (control->server) {
        unlink(control->path);
        uv_close((uv_handle_t *)&control->server->pipe, server_freed);
    }
    hob_json_free(control->json);
    free(control->path);
    free(control);
}
