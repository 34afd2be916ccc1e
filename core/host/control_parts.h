/* control_parts.h - internal to control.c (the socket, lines) and control_commands.c (what they
 * ask for).
 *
 * A command writes its whole answer, or the page of it that fits, at once: nothing in it waits.
 */
#ifndef HOB_HOST_CONTROL_PARTS_H
#define HOB_HOST_CONTROL_PARTS_H

#include "base/buf.h"
#include "base/json.h"
#include "host/control.h"

#define HOB_CONTROL_LINE_MAX   (64 * 1024)
#define HOB_CONTROL_ANSWER_MAX (1024 * 1024)
#define HOB_CONTROL_PAGE_SOFT  (256 * 1024) /* a page ends at the first line over it */
#define HOB_CONTROL_ID_MAX     128

struct hob_control {
    struct hob_control_options options;
    char *path;
    struct hob_json *json;
    struct hob_control_server *server;
    struct hob_control_client *clients;
    size_t client_count;
};

/** One request. `id` is the JSON text that each line of its answer begins with: "" or
 * "\"id\":7,". */
struct hob_control_request {
    struct hob_control *control;
    struct hob_json *json; /* the request, parsed */
    char id[HOB_CONTROL_ID_MAX];
    struct hob_buf *out;
};

/** Append the answer to a line of input. @return 0, or a code: the answer does not fit */
int hob_control_answer(struct hob_control *control, const char *line, size_t len,
                       struct hob_buf *out);

/** Append the line of an error. @param id  "" or as above */
int hob_control_error(struct hob_buf *out, const char *id, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/** Append ,"key":"text"; nothing for "". */
int hob_control_put_text(struct hob_buf *out, const char *key, const char *text);
/** Append the list of things. */
int hob_control_put_things(struct hob_control_request *request);

/* ---- control_status.c ---- */

int hob_control_status(struct hob_control_request *request);
int hob_control_reload(struct hob_control_request *request);

#endif
