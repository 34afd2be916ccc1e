#include "host/metrics_text.h"

#include "base/utf8.h"

#include <math.h>
#include <string.h>

#define WHOLE_MAX 9007199254740992.0 /* up to here a double holds each whole number */

int hob_metrics_head(struct hob_buf *out, const char *name, const char *type, const char *help)
{
    return hob_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Invalid UTF-8 would make a collector refuse everything. */
static int put_character(struct hob_buf *out, const char *at, size_t len)
{
    if (len == 0) {
        return hob_buf_append_string(out, "\xEF\xBF\xBD");
    }
    switch (*at) {
    case '\\':
        return hob_buf_append_string(out, "\\\\");
    case '"':
        return hob_buf_append_string(out, "\\\"");
    case '\n':
        return hob_buf_append_string(out, "\\n");
    default:
        return hob_buf_append(out, at, len);
    }
}

static int put_value(struct hob_buf *out, const char *text)
{
    int rc = 0;
    for (size_t len = strlen(text); rc == 0 && len > 0;) {
        size_t n = hob_utf8_length(text, len);
        rc = put_character(out, text, n);
        text += n ? n : 1;
        len -= n ? n : 1;
    }
    return rc;
}

static int put_labels(struct hob_buf *out, const struct hob_metrics_label *labels)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && labels[i].name; i++) {
        rc = hob_buf_printf(out, "%s%s=\"", i ? "," : "{", labels[i].name);
        rc = rc ? rc : put_value(out, labels[i].value);
        rc = rc ? rc : hob_buf_append_string(out, "\"");
    }
    return rc || !labels[0].name ? rc : hob_buf_append_string(out, "}");
}

int hob_metrics_sample(struct hob_buf *out, const char *name,
                       const struct hob_metrics_label *labels, double value)
{
    bool whole = fabs(value) <= WHOLE_MAX && value == floor(value);
    int rc = hob_buf_append_string(out, name);
    rc = rc || !labels ? rc : put_labels(out, labels);
    return rc ? rc : hob_buf_printf(out, whole ? " %.0f\n" : " %.15g\n", value);
}
