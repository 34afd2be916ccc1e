/* control_stream.c - requests of the control socket that go on; see control_parts.h. */
#include "base/alloc.h"
#include "host/control_parts.h"

#include <stdio.h>
#include <string.h>

#define STREAM_LINE_MAX (HOB_CONTROL_ANSWER_MAX)

struct hob_control_stream {
    struct hob_control_stream *next;
    struct hob_control_caller *caller;
    struct hob_buf *answer; /* the request's, which was not handed over yet; else NULL */
    bool lost;              /* nothing arrives any more */
    char id[HOB_CONTROL_ID_MAX];
    void (*closed)(void *user);
    void *user;
};

static struct hob_control_stream *find(const struct hob_control_caller *caller, const char *id)
{
    struct hob_control_stream *stream = caller->control->streams;
    while (stream && (stream->caller != caller || strcmp(stream->id, id) != 0)) {
        stream = stream->next;
    }
    return stream;
}

struct hob_control_stream *hob_control_follow(struct hob_control_request *request,
                                              void (*closed)(void *user), void *user,
                                              struct hob_error *err)
{
    struct hob_control_caller *caller = request->caller;
    struct hob_control_stream *stream = NULL;
    if (find(caller, request->id)) {
        hob_error_set(err, HOB_EEXIST, "id: a request with this id goes on already");
    } else if (caller->stream_count >= HOB_CONTROL_STREAMS) {
        hob_error_set(err, HOB_EBUSY, "%d requests of this connection go on already: stop one",
                      HOB_CONTROL_STREAMS);
    } else if ((stream = hob_calloc(1, sizeof *stream)) == NULL) {
        hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    if (!stream) {
        return NULL;
    }
    stream->caller = caller;
    stream->answer = request->out;
    stream->closed = closed;
    stream->user = user;
    snprintf(stream->id, sizeof stream->id, "%s", request->id);
    stream->next = request->control->streams;
    request->control->streams = stream;
    caller->stream_count++;
    return stream;
}

/* {ID, MEMBERS TAIL}, of which `id` ends in a comma, as `members` does not. */
static int put_line(struct hob_buf *out, const char *id, const char *members, size_t len,
                    const char *tail)
{
    size_t begin = hob_buf_len(out);
    int rc = hob_buf_printf(out, "{%s", id);
    rc = rc ? rc : hob_buf_append(out, members, len);
    rc = rc ? rc : hob_buf_printf(out, "%s%s}\n", len && *tail ? "," : "", tail);
    if (rc) {
        hob_buf_truncate(out, begin);
    }
    return rc;
}

static int send_line(struct hob_control_stream *stream, const char *members, size_t len,
                     const char *tail)
{
    struct hob_buf line;
    if (stream->lost) {
        return HOB_ECANCELED;
    }
    if (stream->answer) {
        return put_line(stream->answer, stream->id, members, len, tail);
    }
    hob_buf_init(&line, STREAM_LINE_MAX);
    int rc = put_line(&line, stream->id, members, len, tail);
    rc = rc ? rc : stream->caller->send(stream->caller, hob_buf_data(&line), hob_buf_len(&line));
    hob_buf_free(&line);
    return rc;
}

int hob_control_stream_line(struct hob_control_stream *stream, const char *members, size_t len)
{
    return send_line(stream, members, len, "");
}

/* Its memory goes; nobody is told. */
static void take_out(struct hob_control *control, struct hob_control_stream *stream)
{
    struct hob_control_stream **link = &control->streams;
    while (*link != stream) {
        link = &(*link)->next;
    }
    *link = stream->next;
    stream->caller->stream_count--;
    hob_free(stream);
}

void hob_control_stream_end(struct hob_control_stream *stream, const char *members)
{
    send_line(stream, members, strlen(members), "\"end\":true");
    take_out(stream->caller->control, stream);
}

static void close_stream(struct hob_control *control, struct hob_control_stream *stream)
{
    void (*closed)(void *) = stream->closed;
    void *user = stream->user;
    take_out(control, stream);
    closed(user);
}

/* Its answer is the last line of what it ends: both have the same id. */
int hob_control_stop(struct hob_control_request *request)
{
    struct hob_control_stream *stream = find(request->caller, request->id);
    if (!stream) {
        return hob_control_error(request->out, request->id, HOB_ENOENT,
                                 "id: no request with this id goes on");
    }
    close_stream(request->control, stream);
    return hob_buf_printf(request->out, "{%s\"end\":true}\n", request->id);
}

void hob_control_streams_lose(struct hob_control *control, const struct hob_control_caller *of)
{
    for (struct hob_control_stream *stream = control->streams; stream; stream = stream->next) {
        stream->lost = stream->lost || stream->caller == of;
    }
}

/* `closed` may end others: begin again after each. */
void hob_control_streams_close(struct hob_control *control, const struct hob_control_caller *of)
{
    struct hob_control_stream *stream = control->streams;
    while (stream) {
        if (of && stream->caller != of) {
            stream = stream->next;
        } else {
            close_stream(control, stream);
            stream = control->streams;
        }
    }
}

void hob_control_streams_answered(struct hob_control *control, const struct hob_buf *out)
{
    for (struct hob_control_stream *stream = control->streams; stream; stream = stream->next) {
        if (stream->answer == out) {
            stream->answer = NULL;
        }
    }
}
