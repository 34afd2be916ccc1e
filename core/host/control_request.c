/* control_request.c - what commands of the control socket read and write with, and who asks. */
#include "host/control_parts.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CHANGE_MAX 512

/* ---- lines ---- */

int hob_control_error(struct hob_buf *out, const char *id, int code, const char *format, ...)
{
    char message[HOB_ERROR_MESSAGE_MAX];
    va_list values;
    va_start(values, format);
    vsnprintf(message, sizeof message, format, values);
    va_end(values);
    int rc =
        hob_buf_printf(out, "{%s\"error\":{\"code\":\"%s\",\"message\":", id, hob_error_name(code));
    rc = rc ? rc : hob_json_quote(out, message, strlen(message));
    return rc ? rc : hob_buf_append_string(out, "},\"end\":true}\n");
}

int hob_control_put_text(struct hob_buf *out, const char *key, const char *text)
{
    if (!*text) {
        return 0;
    }
    int rc = hob_buf_printf(out, ",\"%s\":", key);
    return rc ? rc : hob_json_quote(out, text, strlen(text));
}

/* ---- things ---- */

int hob_control_find_thing(struct hob_control_request *request)
{
    const struct hob_control_options *options = &request->control->options;
    const char *wanted = hob_json_string(request->json, "thing", NULL);
    struct hob_control_thing thing;
    if (!wanted && hob_json_type(request->json, "thing") != HOB_JSON_ABSENT) {
        hob_control_error(request->out, request->id, HOB_EINVAL, "thing: expected its name");
        return -1;
    }
    for (int i = 0; options->thing_at(options->user, (size_t)i, &thing); i++) {
        if (!wanted || strcmp(wanted, thing.name) == 0) {
            return i;
        }
    }
    hob_control_error(request->out, request->id, HOB_ENOENT,
                      wanted ? "thing: this gateway has no thing '%.128s'"
                             : "thing: this gateway has no things%s",
                      wanted ? wanted : "");
    return -1;
}

/* ---- who ---- */

/* Of the file only: a directory service could take its time to answer. */
static void find_name(unsigned uid, char *out, size_t len)
{
    FILE *file = fopen("/etc/passwd", "re");
    const struct passwd *entry;
    while (file && (entry = fgetpwent(file)) != NULL) {
        if (entry->pw_uid == uid) {
            snprintf(out, len, "%s", entry->pw_name);
            break;
        }
    }
    if (file) {
        fclose(file);
    }
}

void hob_control_peer_fill(struct hob_control_peer *peer, int pid, unsigned uid)
{
    *peer = (struct hob_control_peer){.pid = pid, .uid = uid};
    find_name(uid, peer->user, sizeof peer->user);
    if (peer->user[0]) {
        snprintf(peer->who, sizeof peer->who, "process %d of %s", pid, peer->user);
    } else {
        snprintf(peer->who, sizeof peer->who, "process %d of user %u", pid, uid);
    }
}

void hob_control_log_change(const struct hob_control_request *request, const char *thing,
                            const char *job, int64_t execution, const char *format, ...)
{
    char text[CHANGE_MAX];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    hob_log_write(request->control->options.log,
                  &(struct hob_log_record){.level = HOB_LOG_INFO,
                                           .event = "control.command",
                                           .thing = thing,
                                           .job = job,
                                           .execution = execution},
                  "%s: %s", request->peer->who, text);
}
