/* runtime_parts.h - internal to runtime.c (start, stop, reload) and runtime_control.c (what the
 * control socket sees of it). */
#ifndef HOB_HOST_RUNTIME_PARTS_H
#define HOB_HOST_RUNTIME_PARTS_H

#include "base/log.h"
#include "base/loop.h"
#include "device/policy.h"
#include "device/power.h"
#include "host/config.h"
#include "host/control.h"
#include "host/drain.h"
#include "host/things.h"
#include "work/executor.h"

#include <limits.h>
#include <uv.h>

#define HOB_RUNTIME_SIGNALS 3
#define HOB_RUNTIME_ID_LEN  33

struct hob_blackbox;
struct hob_debugger;
struct hob_events;
struct hob_filter;
struct hob_handlers_watch;
struct hob_notify;
struct hob_outputs;
struct hob_tally;

struct hob_runtime {
    struct hob_config config;
    struct hob_policy policy; /* of the config */
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_notify *notify; /* NULL: no systemd to tell */
    struct hob_events *events; /* of the log, kept */
    struct hob_store *store;
    struct hob_handlers *handlers;
    struct hob_handlers_watch *watch; /* of their files; NULL: `reload` is false */
    struct hob_blackbox *blackbox;
    struct hob_outputs *outputs;
    struct hob_tally *tally;
    struct hob_filter *filter;
    struct hob_executor_turn turn;
    char boot_id[HOB_POWER_BOOT_ID_MAX + 1];
    char process_id[HOB_RUNTIME_ID_LEN];
    char lib[PATH_MAX];            /* Hob's own Lua files */
    struct hob_debugger *debugger; /* NULL: none */
    struct hob_drain drain;
    struct hob_control *control; /* NULL: it could not be made, which was said */
    struct hob_things *things;
    int64_t started_at;  /* seconds since 1970, */
    uint64_t started_ms; /* and on the monotonic clock */
    bool stopping;
    bool exposed; /* others could change what it trusts: it does not start */
    bool again;   /* a new process takes over after the end of this one */
    uv_signal_t signals[HOB_RUNTIME_SIGNALS];
    bool watching;
};

/* ---- runtime.c ---- */

/** Load the handlers again, now. */
int hob_runtime_load_again(void *runtime, struct hob_error *err);

/* ---- runtime_control.c ---- */

/** Without it jobs are done, too: that it could not be made is said. */
void hob_runtime_open_control(struct hob_runtime *runtime);

#endif
