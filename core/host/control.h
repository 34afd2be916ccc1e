/* control.h - the control socket: how a person on this machine looks into a running gateway.
 *
 * A Unix socket, mode 0600, in the data directory. Only root and the user that Hob runs as are let
 * in (SO_PEERCRED). A client sends one JSON object a line, at most 64 KB, and gets lines back: some
 * that hold a part of the answer, then one with `"end": true`, which holds `error` if it did not
 * work (docs/reference/control-protocol.md). Clients never delay the runtime: what is to be sent to
 * one is bounded, and who does not read is closed.
 *
 * Life: hob_control_new -> hob_control_close, before what it borrows goes. Loop thread only.
 * Spec: spec/integration/control_spec.lua
 */
#ifndef HOB_HOST_CONTROL_H
#define HOB_HOST_CONTROL_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "work/executor.h"
#include "work/handlers.h"
#include "work/store.h"

struct hob_control;

struct hob_control_thing {
    const char *name;
    bool online;
    size_t untold;   /* outcomes that the service does not have yet */
    int64_t since_s; /* for so long it has been (or not been) online */
    const char *why; /* not online: why; "" */
};

struct hob_control_process {
    const char *data, *scripts;
    const char *watch; /* of the scripts: "events", "polling" or "off" */
    int64_t started_at, uptime_s;
};

struct hob_control_options { /* borrowed for its life, but for path */
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_store *store;
    const char *path; /* of the socket; copied */
    /** The things of this gateway. @return false when there is none at `index` */
    bool (*thing_at)(void *user, size_t index, struct hob_control_thing *out);
    const struct hob_handlers *handlers;
    /** Load the handlers again, now. */
    int (*reload)(void *user, struct hob_error *err);
    void (*process)(void *user, struct hob_control_process *out);
    /** What a thing has in hand: see hob_executor_each. */
    void (*each_job)(void *user, size_t index, hob_executor_view_fn *fn, void *fn_user);
    void *user;
};

int hob_control_new(const struct hob_control_options *options, struct hob_control **out,
                    struct hob_error *err);
/** Clients are closed, the socket is removed. NULL is legal. */
void hob_control_close(struct hob_control *control);

#endif
