/* drain.h - `hob drain`: a person wants no new job to begin. It is kept in the store, so that it
 * outlives a restart of Hob.
 *
 * A plain value, owned by the runtime. Loop thread only.  Spec: spec/integration/drain_spec.lua
 */
#ifndef HOB_HOST_DRAIN_H
#define HOB_HOST_DRAIN_H

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "work/store.h"

#include <stdbool.h>
#include <stdint.h>

#define HOB_DRAIN_REASON_MAX 200

struct hob_drain {
    bool on;
    int64_t since_s;                       /* seconds since 1970 */
    char who[80];                          /* "process 4711 of root" */
    char reason[HOB_DRAIN_REASON_MAX + 1]; /* "" */
};

/** As the store has it. @return 0, or what the store said */
int hob_drain_load(struct hob_store *store, struct hob_drain *out, struct hob_error *err);
/** In the store. */
int hob_drain_save(struct hob_store *store, const struct hob_drain *drain, struct hob_error *err);

/** Say in the log that it is so: "since 2026-11-23T15:46:10Z, by process 4711 of root: REASON". */
void hob_drain_say(struct hob_log *log, const struct hob_drain *drain);

/** Append {"since":N,"who":"...","reason":"..."}. */
int hob_drain_write(struct hob_buf *out, const struct hob_drain *drain);

#endif
