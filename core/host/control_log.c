/* control_log.c - `log`: what happened, to a job or in the whole process, and what happens from now
 * on. What has been is read from the files (work/timeline.h); what comes is tapped from the log and
 * from the output of programs, in the same turn of the loop, so that nothing is missed or told
 * twice. */
#include "base/alloc.h"
#include "host/control_parts.h"

#include "base/clock.h"
#include "work/output.h"
#include "work/timeline.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 256
#define LINES_MAX      100000
#define HISTORY_MAX    (256 * 1024) /* of what has been; each line of it gets the request's id, */
#define HISTORY_MIN    (128 * 1024) /* which may be long */
#define LINE_SLACK     512

struct tail {
    struct hob_control *control;
    struct hob_control_stream *stream;
    struct hob_log_tap events;
    struct hob_output_tap output;
    char thing[NAME_MAX_BYTES], job[NAME_MAX_BYTES]; /* "": all */
    int64_t execution;                               /* 0: all */
};

/* ---- what comes ---- */

static bool is_meant(const char *wanted, const char *text, size_t len)
{
    return !*wanted || (text && strlen(wanted) == len && memcmp(wanted, text, len) == 0);
}

static void on_event(void *user, const struct hob_log_record *record, const char *line, size_t len)
{
    const struct tail *tail = user;
    struct hob_buf members;
    if (!is_meant(tail->job, record->job, record->job ? strlen(record->job) : 0) ||
        !is_meant(tail->thing, record->thing, record->thing ? strlen(record->thing) : 0) ||
        (tail->execution && tail->execution != record->execution)) {
        return;
    }
    hob_buf_init(&members, HOB_CONTROL_LINE_MAX);
    if (hob_buf_append_string(&members, "\"event\":") == 0 &&
        hob_buf_append(&members, line, len) == 0) {
        hob_control_stream_line(tail->stream, hob_buf_data(&members), hob_buf_len(&members));
    }
    hob_buf_free(&members);
}

static void on_output(void *user, const char *name, const char *program, bool is_err,
                      const char *data, size_t len)
{
    const struct tail *tail = user;
    struct hob_output_name of;
    char ts[HOB_CLOCK_TEXT_MAX];
    if (!hob_output_parse_name(name, strlen(name), &of) ||
        !is_meant(tail->job, of.job, of.job_len) ||
        !is_meant(tail->thing, of.thing, of.thing_len) ||
        (tail->execution && tail->execution != of.execution)) {
        return;
    }
    hob_clock_text(hob_clock_wall_ms(), ts);
    for (size_t part = 0; len > 0; data += part, len -= part) {
        struct hob_buf members;
        part = hob_timeline_piece(data, len);
        hob_buf_init(&members, 6 * HOB_TIMELINE_PIECE + LINE_SLACK + NAME_MAX_BYTES * 12);
        int rc = hob_timeline_put_output(&members, &of, ts, program, strlen(program), is_err, data,
                                         part);
        rc = rc ? rc
                : hob_control_stream_line(tail->stream, hob_buf_data(&members),
                                          hob_buf_len(&members));
        hob_buf_free(&members);
        if (rc) {
            return;
        }
    }
}

static void on_closed(void *user)
{
    struct tail *tail = user;
    hob_log_untap(tail->control->options.log, &tail->events);
    hob_outputs_untap(tail->control->options.outputs, &tail->output);
    hob_free(tail);
}

static int follow(struct hob_control_request *request, const struct tail *what)
{
    struct hob_error err = {0};
    struct tail *tail = hob_malloc(sizeof *tail);
    if (!tail) {
        return HOB_ENOMEM;
    }
    *tail = *what;
    tail->stream = hob_control_follow(request, on_closed, tail, &err);
    if (!tail->stream) {
        hob_free(tail);
        return hob_control_error(request->out, request->id, err.code, "%s", err.message);
    }
    tail->events = (struct hob_log_tap){
        .fn = on_event, .user = tail, .level = HOB_LOG_INFO, .format = HOB_LOG_JSON};
    tail->output = (struct hob_output_tap){.fn = on_output, .user = tail};
    hob_log_tap(tail->control->options.log, &tail->events);
    if (*tail->job) {
        hob_outputs_tap(tail->control->options.outputs, &tail->output);
    }
    return 0;
}

/* ---- what has been ---- */

static int put_line(void *user, const char *members, size_t len)
{
    struct hob_control_request *request = user;
    int rc = hob_buf_printf(request->out, "{%s", request->id);
    rc = rc ? rc : hob_buf_append(request->out, members, len);
    return rc ? rc : hob_buf_append_string(request->out, "}\n");
}

static int put_past(struct hob_control_request *request, const struct tail *what, size_t lines,
                    struct hob_error *err)
{
    const struct hob_control_options *options = &request->control->options;
    struct hob_control_process process;
    options->process(options->user, &process);
    struct hob_timeline_options past = {.dir = process.data,
                                        .thing = *what->thing ? what->thing : NULL,
                                        .job = *what->job ? what->job : NULL,
                                        .execution = what->execution,
                                        .lines = lines,
                                        .limit_bytes =
                                            strlen(request->id) > 32 ? HISTORY_MIN : HISTORY_MAX};
    return hob_timeline_read(&past, put_line, request, err);
}

static bool read_name(struct hob_control_request *request, const char *key,
                      char out[NAME_MAX_BYTES])
{
    size_t len = 0;
    const char *text = hob_json_string(request->json, key, &len);
    bool is_absent = hob_json_type(request->json, key) == HOB_JSON_ABSENT;
    snprintf(out, NAME_MAX_BYTES, "%s", text ? text : "");
    return is_absent || (text && len > 0 && len < NAME_MAX_BYTES && strlen(text) == len);
}

int hob_control_log(struct hob_control_request *request)
{
    struct hob_error err = {0};
    struct tail what = {.control = request->control,
                        .execution = hob_json_integer(request->json, "executionNumber", 0)};
    int64_t lines = hob_json_integer(request->json, "lines", 0);
    if (!read_name(request, "jobId", what.job) || !read_name(request, "thing", what.thing)) {
        return hob_control_error(request->out, request->id, HOB_EINVAL,
                                 "jobId, thing: expected their names");
    }
    if (lines < 0 || lines > LINES_MAX || what.execution < 0) {
        return hob_control_error(request->out, request->id, HOB_EINVAL,
                                 "lines: expected 1 to %d, or 0 for all that fit; executionNumber: "
                                 "expected a number from 1, or 0 for all",
                                 LINES_MAX);
    }
    int rc = put_past(request, &what, (size_t)lines, &err);
    if (rc) {
        return err.message[0] ? hob_control_error(request->out, request->id, rc, "%s", err.message)
                              : rc;
    }
    if (hob_json_boolean(request->json, "follow", false)) {
        return follow(request, &what);
    }
    return hob_buf_printf(request->out, "{%s\"end\":true}\n", request->id);
}
