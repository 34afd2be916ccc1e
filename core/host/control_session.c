/* control_session.c - `repl` and `dap`: from the answer on, the connection's bytes are those of a
 * session, whose Lua runs in this process (host/console.h). */
#include "base/alloc.h"
#include "host/console.h"
#include "host/control_client.h"

#include "base/clock.h"
#include "host/thing.h"

#include <poll.h>
#include <stddef.h>
#include <string.h>

#define GONE_MS 1000

struct hob_control_session {
    struct hob_control_client *client;
    struct hob_control_caller caller; /* its Lua: console.ask */
    struct hob_console *console;
    struct hob_timer *gone; /* the client has said all: is it still there? */
    uint64_t began_ms;
    const char *kind;
    const struct hob_thing *thing;
    bool leaves; /* that is on its way out */
};

/* ---- the client's side ---- */

void hob_control_session_bytes(struct hob_control_session *session, const char *bytes, size_t len)
{
    if (hob_console_feed(session->console, bytes, len) >= HOB_CONSOLE_FULL) {
        hob_control_client_read(session->client, false);
    }
}

/* A client that has only said all waits for what comes; one that has closed is not there. */
static bool has_gone(const struct hob_control_session *session)
{
    uv_os_fd_t fd = -1;
    struct pollfd look = {.events = 0};
    uv_fileno((const uv_handle_t *)&session->client->pipe, &fd);
    look.fd = fd;
    return poll(&look, 1, 0) == 1 && (look.revents & (POLLHUP | POLLERR | POLLNVAL));
}

static void look_again(void *user)
{
    struct hob_control_session *session = user;
    if (session->leaves) {
        struct hob_control_client *client = session->client;
        hob_control_client_end(client, HOB_ECANCELED,
                               "its thing is being removed: the session "
                               "ends");
        hob_control_session_free(session);
        client->session = NULL;
    } else if (has_gone(session)) {
        hob_control_client_close(session->client);
    } else {
        hob_timer_start(session->gone, GONE_MS);
    }
}

void hob_control_session_leave(struct hob_control_session *session, const struct hob_thing *thing)
{
    if (session->thing == thing) {
        session->leaves = true;
        hob_timer_start(session->gone, 0);
    }
}

void hob_control_session_eof(struct hob_control_session *session)
{
    hob_control_client_read(session->client, false);
    hob_console_eof(session->console);
    if (!session->leaves) {
        look_again(session);
    }
}

/* ---- its Lua's side ---- */

static int on_write(void *user, const char *bytes, size_t len)
{
    const struct hob_control_session *session = user;
    return hob_control_client_send(session->client, bytes, len);
}

static int on_ask(void *user, const char *request, size_t len, struct hob_buf *answer)
{
    struct hob_control_session *session = user;
    int rc = hob_control_answer(&session->caller, request, len, answer);
    hob_control_streams_answered(session->caller.control, answer);
    return rc;
}

static int on_line(struct hob_control_caller *caller, const char *bytes, size_t len)
{
    const struct hob_control_session *session =
        (const struct hob_control_session *)((const char *)caller -
                                             offsetof(struct hob_control_session, caller));
    return hob_console_line(session->console, bytes, len);
}

static void on_room(void *user)
{
    struct hob_control_session *session = user;
    if (!hob_console_ended(session->console)) {
        hob_control_client_read(session->client, true);
    }
}

static void on_end(void *user, const struct hob_error *why)
{
    const struct hob_control_session *session = user;
    if (why) {
        hob_log_write(session->caller.control->options.log,
                      &(struct hob_log_record){.level = HOB_LOG_WARN,
                                               .event = "session.failed",
                                               .code = hob_error_name(why->code),
                                               .action = "begin another one; jobs go on"},
                      "%s, %s: %s", session->caller.peer.who, session->kind, why->message);
    }
    hob_control_client_end(session->client, why ? why->code : 0, why ? why->message : NULL);
}

/* ---- life ---- */

static int fill(struct hob_control_session *session, struct hob_control_request *request,
                size_t thing, struct hob_error *err)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_console_options console = {.loop = options->loop,
                                          .log = options->log,
                                          .kind = session->kind,
                                          .who = request->peer->who,
                                          .user = request->peer->user,
                                          .pid = request->peer->pid,
                                          .uid = request->peer->uid,
                                          .modules = hob_handlers_modules(options->handlers),
                                          .lib = options->lib,
                                          .debugger = options->debugger,
                                          .policy = options->policy,
                                          .write = on_write,
                                          .ask = on_ask,
                                          .on_room = on_room,
                                          .on_end = on_end,
                                          .callback_user = session};
    struct hob_control_thing view;
    if (options->thing_at(options->user, thing, &view) && view.thing) {
        console.agent = hob_thing_agent(view.thing);
        session->thing = view.thing;
    }
    session->gone = hob_timer_new(options->loop, look_again, session);
    return session->gone ? hob_console_new(&console, &session->console, err)
                         : hob_error_set(err, HOB_ENOMEM, "session: out of memory");
}

static int begin(struct hob_control_request *request, size_t thing, struct hob_error *err)
{
    struct hob_control_session *session = hob_calloc(1, sizeof *session);
    if (!session) {
        return hob_error_set(err, HOB_ENOMEM, "session: out of memory");
    }
    session->client = request->caller->client;
    session->kind = strcmp(request->command, "dap") == 0 ? "dap" : "repl";
    session->began_ms = hob_clock_mono_ms();
    session->caller = (struct hob_control_caller){
        .control = request->control, .peer = *request->peer, .send = on_line};
    request->control->session_count++;
    int rc = fill(session, request, thing, err);
    if (rc) {
        hob_control_session_free(session);
        return rc;
    }
    session->client->session = session;
    hob_log_event(request->control->options.log, HOB_LOG_INFO, "session.begun", "%s: %s",
                  request->peer->who, session->kind);
    return 0;
}

int hob_control_session(struct hob_control_request *request)
{
    struct hob_error err = {0};
    int thing = hob_control_find_thing(request);
    if (thing < 0) {
        return 0;
    }
    if (!request->caller->client || request->caller->stream_count) {
        return hob_control_error(request->out, request->id, HOB_EINVAL,
                                 "%s: a session begins on a connection on which nothing else "
                                 "goes on",
                                 request->command);
    }
    if (request->control->stopping) {
        return hob_control_error(request->out, request->id, HOB_EBUSY, "hob is stopping");
    }
    if (request->control->session_count >= HOB_CONTROL_SESSIONS) {
        return hob_control_error(request->out, request->id, HOB_EBUSY,
                                 "%d sessions are open already: end one", HOB_CONTROL_SESSIONS);
    }
    int rc = begin(request, (size_t)thing, &err);
    if (rc) {
        return hob_control_error(request->out, request->id, rc, "%s", err.message);
    }
    return hob_buf_printf(request->out, "{%s\"session\":\"%s\",\"end\":true}\n", request->id,
                          request->command);
}

void hob_control_session_free(struct hob_control_session *session)
{
    if (!session) {
        return;
    }
    struct hob_control *control = session->caller.control;
    hob_control_streams_close(control, &session->caller);
    if (session->client->session == session) {
        hob_log_event(control->options.log, HOB_LOG_INFO, "session.ended", "%s: %s, after %.1f s",
                      session->caller.peer.who, session->kind,
                      (double)(hob_clock_mono_ms() - session->began_ms) / 1000);
    }
    control->session_count--;
    hob_console_free(session->console);
    hob_timer_close(session->gone);
    hob_free(session);
}
