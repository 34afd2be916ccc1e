/* control_drain.c - the command `drain`: begin no new job, while a technician works; see
 * docs/reference/control-protocol.md. */
#include "base/clock.h"
#include "host/control_parts.h"
#include "host/drain.h"

#include <stdio.h>
#include <string.h>

int hob_control_put_drain(struct hob_control_request *request)
{
    const struct hob_drain *drain = request->control->options.drain;
    if (!drain->on) {
        return 0;
    }
    int rc = hob_buf_append_string(request->out, ",\"drain\":");
    return rc ? rc : hob_drain_write(request->out, drain);
}

static void count_job(void *user, const struct hob_executor_view *view)
{
    int *counts = user;
    counts[strcmp(view->state, "waiting") == 0 && view->attempt == 0]++;
}

static int answer(struct hob_control_request *request)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_control_thing thing;
    int counts[2] = {0}, pending[2] = {0};
    for (size_t i = 0; options->thing_at(options->user, i, &thing); i++) {
        options->each_job(options->user, i, count_job, counts);
        options->each_pending(options->user, i, count_job, pending);
    }
    int rc = hob_buf_printf(request->out, "{%s\"draining\":%s", request->id,
                            options->drain->on ? "true" : "false");
    rc = rc ? rc : hob_control_put_drain(request);
    return rc ? rc
              : hob_buf_printf(request->out, ",\"begun\":%d,\"waiting\":%d,\"end\":true}\n",
                               counts[0], counts[1] + pending[0] + pending[1]);
}

static bool is_line(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            return false;
        }
    }
    return true;
}

/* @return the reason, "" if there is none, or NULL: it cannot be one */
static const char *reason_of(struct hob_control_request *request)
{
    size_t len = 0;
    const char *reason = hob_json_string(request->json, "reason", &len);
    if (!reason) {
        return hob_json_type(request->json, "reason") == HOB_JSON_ABSENT ? "" : NULL;
    }
    return len <= HOB_DRAIN_REASON_MAX && strlen(reason) == len && is_line(reason) ? reason : NULL;
}

static int change(struct hob_control_request *request, bool on, const char *reason)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_error err = {0};
    struct hob_drain next = {.on = on, .since_s = hob_clock_wall_ms() / 1000};
    if (!on && !options->drain->on) {
        return answer(request);
    }
    snprintf(next.who, sizeof next.who, "%s", request->peer->who);
    snprintf(next.reason, sizeof next.reason, "%s", reason);
    hob_control_log_change(request, NULL, NULL, 0, "drain %s%s%s", on ? "on" : "off",
                           *reason ? ": " : "", reason);
    int rc = options->set_drain(options->user, &next, &err);
    return rc ? hob_control_error(request->out, request->id, rc, "%s", err.message)
              : answer(request);
}

int hob_control_drain(struct hob_control_request *request)
{
    enum hob_json_type type = hob_json_type(request->json, "on");
    bool on = hob_json_boolean(request->json, "on", false);
    const char *reason = reason_of(request);
    if (type != HOB_JSON_ABSENT && type != HOB_JSON_BOOLEAN) {
        return hob_control_error(request->out, request->id, HOB_EINVAL,
                                 "on: expected true or false; without it nothing changes");
    }
    if (!reason || (*reason && !on)) {
        return hob_control_error(request->out, request->id, HOB_EINVAL,
                                 "reason: expected one line of at most %d bytes, with \"on\":true",
                                 HOB_DRAIN_REASON_MAX);
    }
    return type == HOB_JSON_ABSENT ? answer(request) : change(request, on, reason);
}
