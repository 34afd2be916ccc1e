/* control_status.c - the commands `status`, `handlers` and `reload` of the control socket: how this
 * process does, and its handlers. See docs/reference/control-protocol.md. */
#include "base/clock.h"
#include "host/control_parts.h"
#include "host/process_facts.h"
#include "host/thing.h"
#include "work/debug.h"
#include "work/output.h"
#include "work/requires.h"
#include "work/scripts.h"
#include "work/tally.h"

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

static const char *state_of(const struct hob_handlers_entry *handler)
{
    return handler->error.code ? "broken" : handler->refused.code ? "last_good" : "ok";
}

static int put_aliases(struct hob_buf *out, const struct hob_handlers_entry *handler)
{
    int rc = handler->aliases[0][0] ? hob_buf_append_string(out, ",\"names\":[") : 0;
    for (int i = 0; rc == 0 && i < HOB_HANDLER_ALIASES && handler->aliases[i][0]; i++) {
        rc = hob_buf_append_string(out, i ? "," : "");
        rc = rc ? rc : hob_json_quote(out, handler->aliases[i], strlen(handler->aliases[i]));
    }
    return rc || !handler->aliases[0][0] ? rc : hob_buf_append_string(out, "]");
}

/* Of this process. */
static int put_ended(struct hob_buf *out, const struct hob_tally *tally, const char *handler)
{
    struct hob_tally_row row;
    uint64_t succeeded = 0, others = 0;
    for (size_t i = 0; hob_tally_at(tally, i, &row); i++) {
        bool good = strcmp(row.status, "SUCCEEDED") == 0;
        if (!handler || strcmp(row.handler, handler) == 0) {
            succeeded += good ? row.count : 0;
            others += good ? 0 : row.count;
        }
    }
    return hob_buf_printf(out, ",\"succeeded\":%" PRIu64 ",\"failed\":%" PRIu64, succeeded, others);
}

static struct hob_control_process process_of(const struct hob_control_request *request)
{
    struct hob_control_process process = {0};
    request->control->options.process(request->control->options.user, &process);
    return process;
}

static int put_handler(struct hob_control_request *request,
                       const struct hob_handlers_entry *handler)
{
    struct hob_buf *out = request->out;
    int rc = hob_buf_printf(out, "{%s\"handler\":{\"name\":\"%s\",\"state\":\"%s\"", request->id,
                            handler->name, state_of(handler));
    rc = rc ? rc : hob_control_put_text(out, "path", handler->path);
    const char *shadowed = hob_handlers_shadowed(request->control->options.handlers, handler);
    rc = rc ? rc : hob_control_put_text(out, "shadows", shadowed ? shadowed : "");
    rc = rc ? rc : hob_control_put_text(out, "digest", handler->digest);
    rc = rc ? rc : hob_buf_printf(out, ",\"loadedAt\":%" PRId64, handler->loaded_at);
    if (handler->newer) {
        rc = rc ? rc : hob_control_put_text(out, "brokenDigest", handler->newer->digest);
    }
    rc = rc ? rc : hob_control_put_text(out, "description", handler->description);
    rc = rc ? rc : put_aliases(out, handler);
    rc = rc ? rc : put_ended(out, process_of(request).tally, handler->name);
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
    const struct hob_handlers_entry *handler;
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
    hob_control_log_change(request, NULL, NULL, 0, "reload");
    int rc = options->reload(options->user, &err);
    if (rc) {
        return hob_control_error(request->out, request->id, rc, "%s", err.message);
    }
    int broken = put_handlers(request);
    return broken < 0 ? broken
                      : hob_buf_printf(request->out, "{%s\"broken\":%d,\"end\":true}\n",
                                       request->id, broken);
}

/* ---- handlers ---- */

int hob_control_handlers(struct hob_control_request *request)
{
    struct hob_control_process process = process_of(request);
    struct hob_buf *out = request->out;
    int broken = put_handlers(request);
    if (broken < 0) {
        return broken;
    }
    int rc = hob_buf_printf(out, "{%s\"broken\":%d", request->id, broken);
    rc = rc ? rc : hob_control_put_text(out, "scripts", process.scripts);
    rc = rc ? rc : hob_control_put_text(out, "watch", process.watch);
    return rc ? rc : hob_buf_append_string(out, ",\"end\":true}\n");
}

/* ---- status: the process ---- */

static void count_job(void *user, const struct hob_executor_view *view)
{
    ++*(int *)user;
}

static void count_pending(void *user, const struct hob_executor_view *view)
{
    *(int *)user += strcmp(view->state, "pending") == 0;
}

static int put_jobs(struct hob_control_request *request, const struct hob_tally *tally)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_control_thing thing;
    int jobs = 0, pending = 0;
    for (size_t i = 0; options->thing_at(options->user, i, &thing); i++) {
        options->each_job(options->user, i, count_job, &jobs);
        options->each_pending(options->user, i, count_pending, &pending);
    }
    int rc = hob_buf_printf(request->out, ",\"jobs\":%d,\"pending\":%d", jobs, pending);
    return rc ? rc : put_ended(request->out, tally, NULL);
}

static int put_store(struct hob_control_request *request, const struct hob_control_process *process)
{
    struct hob_store_health health;
    hob_store_get_health(request->control->options.store, &health);
    int rc = hob_buf_printf(request->out,
                            ",\"store\":{\"bytes\":%" PRIu64 ",\"walBytes\":%" PRIu64
                            ",\"writes\":%" PRIu64 ",\"failures\":%" PRIu64 ",\"damaged\":%s",
                            health.bytes, health.wal_bytes, health.writes, health.failures,
                            health.damaged ? "true" : "false");
    rc = rc ? rc
            : hob_control_put_text(request->out, "failing",
                                   health.failing ? hob_error_name(health.failing) : "");
    return rc ? rc
              : hob_buf_printf(request->out, "},\"outputBytes\":%" PRIu64 ",\"freeBytes\":%" PRIu64,
                               hob_outputs_bytes(process->outputs),
                               hob_process_free_bytes(process->data));
}

static int put_kernel(struct hob_buf *out)
{
    return hob_buf_printf(out,
                          ",\"memoryBytes\":%" PRIu64 ",\"cpuSeconds\":%.3f"
                          ",\"descriptors\":%" PRIu64 ",\"mostDescriptors\":%" PRIu64,
                          hob_process_resident_bytes(), hob_process_cpu_seconds(),
                          hob_process_open_descriptors(), hob_process_most_descriptors());
}

static int put_libraries(struct hob_buf *out)
{
    char room[32];
    int rc = hob_buf_append_string(out, ",\"libraries\":{");
    for (size_t i = 0; rc == 0 && i < HOB_PROCESS_LIBRARIES; i++) {
        struct hob_process_library library = hob_process_library(i, room, sizeof room);
        rc = hob_buf_printf(out, "%s\"%s\":\"%s\"", i ? "," : "", library.name, library.version);
    }
    return rc ? rc : hob_buf_append_string(out, "}");
}

static int put_breaches(struct hob_buf *out, const struct hob_tally *tally)
{
    int rc = hob_buf_append_string(out, ",\"limits\":{");
    for (int i = 0; rc == 0 && i < HOB_TALLY_BREACHES; i++) {
        enum hob_tally_breach breach = (enum hob_tally_breach)i;
        rc = hob_buf_printf(out, "%s\"%s\":%" PRIu64, i ? "," : "", hob_tally_breach_name(breach),
                            hob_tally_breaches(tally, breach));
    }
    return rc ? rc : hob_buf_append_string(out, "}");
}

static int put_process(struct hob_control_request *request)
{
    struct hob_control_process process = process_of(request);
    struct hob_buf *out = request->out;
    int64_t now_ms = hob_clock_wall_ms();
    int rc = hob_buf_printf(out,
                            ",\"version\":\"%s\",\"pid\":%d,\"startedAt\":%" PRId64
                            ",\"uptimeSeconds\":%" PRId64 ",\"draining\":%s,\"now\":%" PRId64
                            ",\"clockSet\":%s",
                            HOB_VERSION, (int)getpid(), process.started_at, process.uptime_s,
                            process.draining ? "true" : "false", now_ms / 1000,
                            hob_requires_clock_is_set(now_ms) ? "true" : "false");
    rc = rc ? rc : hob_control_put_text(out, "data", process.data);
    rc = rc ? rc : hob_control_put_text(out, "scripts", process.scripts);
    rc = rc ? rc : hob_control_put_text(out, "watch", process.watch);
    rc = rc ? rc : hob_control_put_drain(request);
    rc = rc ? rc
            : hob_buf_printf(out, ",\"held\":%zu",
                             hob_debugger_held(request->control->options.debugger));
    rc = rc ? rc : put_jobs(request, process.tally);
    rc = rc ? rc : put_store(request, &process);
    rc = rc ? rc : put_kernel(out);
    rc = rc ? rc : put_breaches(out, process.tally);
    return rc ? rc : put_libraries(out);
}

int hob_control_status(struct hob_control_request *request)
{
    bool one = hob_json_type(request->json, "thing") != HOB_JSON_ABSENT;
    int thing = one ? hob_control_find_thing(request) : 0;
    if (thing < 0) {
        return 0;
    }
    int broken = put_handlers(request);
    if (broken < 0) {
        return broken;
    }
    int rc = hob_buf_printf(request->out, "{%s\"broken\":%d,", request->id, broken);
    rc = rc    ? rc
         : one ? hob_control_put_one_thing(request, (size_t)thing)
               : hob_control_put_things(request, true);
    rc = rc ? rc : put_process(request);
    return rc ? rc : hob_buf_append_string(request->out, ",\"end\":true}\n");
}
