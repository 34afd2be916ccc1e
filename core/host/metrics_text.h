/* metrics_text.h - lines of Prometheus's text exposition format, version 0.0.4.
 *
 * A family is its head (HELP, TYPE) and its samples, one after the other.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 * No state.  Spec: spec/unit/metrics_text_spec.lua
 */
#ifndef HOB_HOST_METRICS_TEXT_H
#define HOB_HOST_METRICS_TEXT_H

#include "base/buf.h"

struct hob_metrics_label {
    const char *name, *value; /* name NULL: none. The value may hold any byte */
};

/** @param type  "counter" or "gauge" */
int hob_metrics_head(struct hob_buf *out, const char *name, const char *type, const char *help);
/** @param labels  ends with one without a name; NULL: none */
int hob_metrics_sample(struct hob_buf *out, const char *name,
                       const struct hob_metrics_label *labels, double value);

#endif
