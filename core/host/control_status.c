/* control_status.c - the commands `status` and `reload` of the control socket: how this process
 * does, and its handlers. See docs/reference/control-protocol.md. */
#include "host/control_parts.h"

#include "work/scripts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ERROR_SHOWN 500 /* bytes of it: a thousand of them must fit into an answer */

/* ---- handlers ---- */

static int put_error(struct hob_buf *out, const struct hob_error *err)
{
    char shown[ERROR_SHOWN + 1];
    snprintf(shown, sizeof shown, "%.*s", ERROR_SHOWN, err->code ? err->message : "");
    return hob_control_put_text(out, "error", shown);
}

static const char *state_of(const struct hob_handler *handler)
{
    return handler->error.code ? "broken" : handler->refused.code ? "last_good" : "ok";
}

static int put_handler(struct hob_control_request *request, const struct hob_handler *handler)
{
    struct hob_buf *out = request->out;
    int rc = hob_buf_printf(out, "{%s\"handler\":{\"name\":\"%s\",\"state\":\"%s\"", request->id,
                            handler->name, state_of(handler));
    rc = rc ? rc : hob_control_put_text(out, "path", handler->path);
    rc = rc ? rc : hob_control_put_text(out, "digest", handler->digest);
    rc = rc ? rc : hob_buf_printf(out, ",\"loadedAt\":%" PRId64, handler->loaded_at);
    if (handler->newer) {
        rc = rc ? rc : hob_control_put_text(out, "brokenDigest", handler->newer->digest);
    }
    rc = rc ? rc : put_error(out, handler->error.code ? &handler->error : &handler->refused);
    return rc ? rc : hob_buf_append_string(out, "}}\n");
}

/* A text that is not in use; `state` says what is. */
static int put_module(struct hob_control_request *request, const struct hob_script *module)
{
    const struct hob_script *used = hob_scripts_modules_find(
        hob_handlers_modules(request->control->options.handlers), module->name);
    bool good = used && !used->error.code;
    struct hob_buf *out = request->out;
    int rc = hob_buf_printf(out, "{%s\"module\":{\"name\":\"%s\",\"state\":\"%s\"", request->id,
                            module->name, good ? "last_good" : "broken");
    rc = rc ? rc : hob_control_put_text(out, "path", module->path);
    rc = rc ? rc : hob_control_put_text(out, "digest", good ? used->digest : "");
    rc = rc ? rc : hob_control_put_text(out, "brokenDigest", module->digest);
    rc = rc ? rc : put_error(out, &module->error);
    return rc ? rc : hob_buf_append_string(out, "}}\n");
}

/* @return how many are broken, or a code */
static int put_handlers(struct hob_control_request *request)
{
    const struct hob_handlers *handlers = request->control->options.handlers;
    const struct hob_handler *handler;
    const struct hob_script *module;
    int broken = 0, rc = 0;
    for (size_t i = 0; rc == 0 && (handler = hob_handlers_at(handlers, i)) != NULL; i++) {
        broken += handler->error.code || handler->refused.code;
        rc = put_handler(request, handler);
    }
    for (size_t i = 0; rc == 0 && (module = hob_handlers_broken_module(handlers, i)) != NULL; i++) {
        broken++;
        rc = put_module(request, module);
    }
    return rc ? rc : broken;
}

/* ---- reload ---- */

int hob_control_reload(struct hob_control_request *request)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_error err = {0};
    int rc = options->reload(options->user, &err);
    if (rc) {
        return hob_control_error(request->out, request->id, rc, "%s", err.message);
    }
    int broken = put_handlers(request);
    return broken < 0 ? broken
                      : hob_buf_printf(request->out, "{%s\"broken\":%d,\"end\":true}\n",
                                       request->id, broken);
}

/* ---- status ---- */

static void count_job(void *user, const struct hob_executor_view *view)
{
    ++*(int *)user;
}

static int count_jobs(const struct hob_control_options *options)
{
    struct hob_control_thing thing;
    int jobs = 0;
    for (size_t i = 0; options->thing_at(options->user, i, &thing); i++) {
        options->each_job(options->user, i, count_job, &jobs);
    }
    return jobs;
}

static int put_process(struct hob_control_request *request)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_control_process process;
    options->process(options->user, &process);
    struct hob_buf *out = request->out;
    int rc = hob_buf_printf(out,
                            ",\"version\":\"%s\",\"pid\":%d,\"startedAt\":%" PRId64
                            ",\"uptimeSeconds\":%" PRId64 ",\"jobs\":%d",
                            HOB_VERSION, (int)getpid(), process.started_at, process.uptime_s,
                            count_jobs(options));
    rc = rc ? rc : hob_control_put_text(out, "data", process.data);
    rc = rc ? rc : hob_control_put_text(out, "scripts", process.scripts);
    return rc ? rc : hob_control_put_text(out, "watch", process.watch);
}

int hob_control_status(struct hob_control_request *request)
{
    int broken = put_handlers(request);
    if (broken < 0) {
        return broken;
    }
    int rc = hob_buf_printf(request->out, "{%s\"broken\":%d,\"things\":", request->id, broken);
    rc = rc ? rc : hob_control_put_things(request);
    rc = rc ? rc : put_process(request);
    return rc ? rc : hob_buf_append_string(request->out, ",\"end\":true}\n");
}
