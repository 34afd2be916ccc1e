/* control_parts.h - internal to core/host/control*.c: what the commands of the control socket are
 * made of.
 *
 *   control.c           the socket, its clients, their lines
 *   control_client.h    a client, for control.c and control_session.c
 *   control_commands.c  which commands there are; requests; jobs, version
 *   control_request.c   what a command writes its answer with; who asked; log lines of changes
 *   control_stream.c    requests that go on
 *   control_session.c   repl, dap: connections that become a session (host/console.h)
 *   control_metrics.c   metrics
 *   control_status.c    status, reload, handlers
 *   control_drain.c     drain                   control_cancel.c   cancel
 *   control_report.c    retry-report            control_doctor.c   doctor
 *   control_log.c       log                     control_journal.c  journal
 *   control_follow.c    jobs with follow        control_things.c   things, thing-add, thing-remove
 *
 * HOW TO ADD A COMMAND: a file core/host/control_NAME.c with
 *     int hob_control_NAME(struct hob_control_request *request);
 * its declaration at the end of this header, one line in the table of control_commands.c (its name,
 * the function, the members that it knows beside `id` and `command`), the file in CMakeLists.txt,
 * and a section in docs/reference/control-protocol.md. The function
 *  - reads members from request->json (hob_json_string(request->json, "jobId", NULL) ...),
 *  - writes its answer to request->out at once, whole lines, each of which begins with
 *    "{%s" and request->id; nothing in it waits; the last one has "end":true:
 *        hob_buf_printf(request->out, "{%s\"count\":%d,\"end\":true}\n", request->id, count)
 *    or it is return hob_control_error(request->out, request->id, HOB_EINVAL, "limit: expected
 * ...")
 *  - returns 0, or a code if the answer could not be made (no memory, over HOB_CONTROL_ANSWER_MAX):
 *    the connection is closed with that. Pages end at the first line over HOB_CONTROL_PAGE_SOFT.
 *  - If it changes something: hob_control_log_change(request, ...) BEFORE the change.
 *  - If it goes on ("follow":true): see hob_control_follow.
 * What it needs of the runtime comes from request->control->options (control.h; fill it in
 * runtime.c, open_control).
 */
#ifndef HOB_HOST_CONTROL_PARTS_H
#define HOB_HOST_CONTROL_PARTS_H

#include "base/buf.h"
#include "base/json.h"
#include "host/control.h"

#define HOB_CONTROL_LINE_MAX   (64 * 1024)
#define HOB_CONTROL_ANSWER_MAX (1024 * 1024)
#define HOB_CONTROL_PAGE_SOFT  (256 * 1024) /* a page ends at the first line over it */
#define HOB_CONTROL_ID_MAX     144          /* 64 bytes, each of them escaped */
#define HOB_CONTROL_STREAMS    16           /* of one caller at once */
#define HOB_CONTROL_SESSIONS   8            /* at once */
#define HOB_CONTROL_WHO_MAX    80

struct hob_control_client;
struct hob_control_stream;
struct hob_console;

struct hob_control {
    struct hob_control_options options;
    char *path;
    struct hob_json *json; /* for what is stored; requests have one each */
    struct hob_control_server *server;
    struct hob_control_client *clients; /* also those that are being closed */
    size_t client_count;                /* without these */
    size_t session_count;
    struct hob_control_stream *streams;
    bool stopping;
};

/** Who is at the other end. */
struct hob_control_peer {
    int pid;
    unsigned uid;
    char user[33];                 /* its name; "" if it has none */
    char who[HOB_CONTROL_WHO_MAX]; /* "process 4711 of root": for logs and messages */
};

/** Who asks: a connection, or a session's Lua (hob.console.ask), with the peer of its connection.
 * Embedded in it. */
struct hob_control_caller {
    struct hob_control *control;
    struct hob_control_peer peer;
    /** Hand over whole lines (copied). Never waits, never calls back.
     * @return 0, or a code: it does not read, and is being closed */
    int (*send)(struct hob_control_caller *caller, const char *bytes, size_t len);
    struct hob_control_client *client; /* NULL: a session's Lua */
    size_t stream_count;
};

/** One request. `id` is the JSON text that each line of its answer begins with: "" or
 * "\"id\":7,". */
struct hob_control_request {
    struct hob_control *control;
    struct hob_control_caller *caller;
    const struct hob_control_peer *peer; /* of the caller */
    struct hob_json *json;               /* the request, parsed */
    const char *command;                 /* its name */
    char id[HOB_CONTROL_ID_MAX];
    struct hob_buf *out;
};

/* ---- control_commands.c ---- */

/** Append the answer to a line of input. @return 0, or a code: the answer does not fit */
int hob_control_answer(struct hob_control_caller *caller, const char *line, size_t len,
                       struct hob_buf *out);

/* ---- control_request.c: for commands ---- */

/** Append the line of an error. @param id  "" or as above */
int hob_control_error(struct hob_buf *out, const char *id, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/** Append ,"key":"text"; nothing for "". */
int hob_control_put_text(struct hob_buf *out, const char *key, const char *text);

/** Which thing a request means by its member `thing`; without one the first. @return its index, or
 * -1: there is none of that name, and the line of the error was appended */
int hob_control_find_thing(struct hob_control_request *request);

/** Say in the log that somebody changes something: event `control.command`, "process 4711 of root:
 * drain on, because ...". `thing`, `job` (NULL: none) and `execution` (0) are put into the record.
 */
void hob_control_log_change(const struct hob_control_request *request, const char *thing,
                            const char *job, int64_t execution, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

void hob_control_peer_fill(struct hob_control_peer *peer, int pid, unsigned uid);

/* ---- control_stream.c: requests that go on ----
 *
 * A command that was asked with "follow":true calls hob_control_follow, writes what there is
 * already to request->out WITHOUT a line that has "end", and returns 0. From then on
 * hob_control_stream_line sends lines. It ends when the caller's connection closes, when the caller
 * sends {"command":"stop","id":ID} (ID: of the request that goes on), when it does not read (4 MB
 * wait for it), or by hob_control_stream_end.
 *
 *     static void closed(void *user) { struct tail *tail = user; ...take it out of a list; free }
 *     ...
 *     tail->stream = hob_control_follow(request, closed, tail, &err);
 *     if (!tail->stream) {
 *         free(tail);
 *         return hob_control_error(request->out, request->id, err.code, "%s", err.message);
 *     }
 */

/** @param closed  called once, when the stream is gone: never inside a call of this section but
 *                 hob_control_close; in a session's end, a stop, a turn of the loop
 * @return NULL: HOB_EBUSY (too many), HOB_EEXIST (this id goes on already), HOB_ENOMEM */
struct hob_control_stream *hob_control_follow(struct hob_control_request *request,
                                              void (*closed)(void *user), void *user,
                                              struct hob_error *err);
/** Send {ID, MEMBERS}: `members` is JSON text such as "\"event\":{...}", without braces, newline
 * and id. Also legal while the command still runs: then it is appended to its answer.
 * @return 0, or a code: nothing more arrives; `closed` comes soon, not now */
int hob_control_stream_line(struct hob_control_stream *stream, const char *members, size_t len);
/** As it is, the last line: {ID, MEMBERS, "end":true}; `members` may be "". The stream is gone, and
 * `closed` is not called. */
void hob_control_stream_end(struct hob_control_stream *stream, const char *members);

/** The command `stop`. */
int hob_control_stop(struct hob_control_request *request);
/** Of a caller that goes (NULL: of all): `closed` is called for each. */
void hob_control_streams_close(struct hob_control *control, const struct hob_control_caller *of);
/** Likewise; that comes later, but nothing more of them is sent. */
void hob_control_streams_lose(struct hob_control *control, const struct hob_control_caller *of);
/** The answer is being handed over: lines are sent from now on. */
void hob_control_streams_answered(struct hob_control *control, const struct hob_buf *out);

/* ---- the commands; each in a file of its own ---- */

/** The members of a line `job` after its `"thing":`. */
int hob_control_put_view(struct hob_buf *out, const char *thing,
                         const struct hob_executor_view *view);

int hob_control_journal(struct hob_control_request *request);     /* control_journal.c */
int hob_control_jobs_follow(struct hob_control_request *request); /* control_follow.c */
int hob_control_log(struct hob_control_request *request);         /* control_log.c */
int hob_control_metrics(struct hob_control_request *request);
int hob_control_handlers(struct hob_control_request *request);
int hob_control_status(struct hob_control_request *request);
int hob_control_reload(struct hob_control_request *request);
int hob_control_session(struct hob_control_request *request); /* repl, dap */
int hob_control_cancel(struct hob_control_request *request);
int hob_control_retry_report(struct hob_control_request *request); /* control_report.c */
int hob_control_drain(struct hob_control_request *request);
/** Append ,"drain":{...} while the gateway drains (control_drain.c). */
int hob_control_put_drain(struct hob_control_request *request);

/* ---- control_things.c ---- */

int hob_control_things(struct hob_control_request *request);
int hob_control_thing_add(struct hob_control_request *request);
int hob_control_thing_remove(struct hob_control_request *request);
/** Append "things":[...],"thingSummary":{...}: all things, or of many those with trouble.
 * @param full  what is looked up for each, too */
int hob_control_put_things(struct hob_control_request *request, bool full);
/** Is it one of those that an answer about other things has, of `count` and after `shown`? */
bool hob_control_shows_thing(size_t count, size_t shown, const struct hob_control_thing *thing);
size_t hob_control_count_things(const struct hob_control_request *request);
/** Append "things":[...] with this one. */
int hob_control_put_one_thing(struct hob_control_request *request, size_t index);

/* ---- control_doctor.c ---- */

int hob_control_doctor(struct hob_control_request *request);

#endif
