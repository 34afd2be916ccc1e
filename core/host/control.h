/* control.h - the control socket: how a person on this machine looks into a running gateway.
 *
 * A Unix socket, mode 0600, in the data directory. Only root and the user that Hob runs as are let
 * in (SO_PEERCRED). A client sends one JSON object a line, at most 64 KB, and gets lines back: some
 * that hold a part of the answer, then one with `"end": true`, which holds `error` if it did not
 * work (docs/reference/control-protocol.md). Clients never delay the runtime: what is to be sent to
 * one is bounded, and who does not read is closed. `repl` and `dap` turn a connection into a
 * session (host/console.h). How to add a command: control_parts.h.
 *
 * Life: hob_control_new -> hob_control_close, before what it borrows goes. Loop thread only.
 * Specs: spec/integration/control_spec.lua, control_clients_spec.lua, control_sessions_spec.lua
 */
#ifndef HOB_HOST_CONTROL_H
#define HOB_HOST_CONTROL_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "host/config.h"
#include "work/executor.h"
#include "work/handlers.h"
#include "work/store.h"

struct hob_control;
struct hob_drain;
struct hob_outputs;
struct hob_tally;
struct hob_thing;

struct hob_control_thing {
    const char *name;
    const struct hob_config_thing *config;
    bool online;
    size_t untold;           /* outcomes that the service does not have yet */
    int64_t since_s;         /* for so long it has been (or not been) online */
    const char *why;         /* not online: why; "" */
    struct hob_thing *thing; /* for more of it (thing.h); NULL: it has stopped */
};

struct hob_control_process {
    const char *data, *scripts;
    const char *watch; /* of the scripts: "events", "polling" or "off" */
    int64_t started_at, uptime_s;
    bool draining; /* no new jobs are taken: hob drain */
    const struct hob_tally *tally;
    const struct hob_outputs *outputs;
};

struct hob_control_options { /* all borrowed for its life, but for path */
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_store *store;
    const char *path; /* of the socket; copied */
    /** The things of this gateway. @return false when there is none at `index` */
    bool (*thing_at)(void *user, size_t index, struct hob_control_thing *out);
    /** See hob_config_thing_make and hob_things_add, and hob_things_remove. */
    int (*add_thing)(void *user, const char *const *settings, struct hob_error *err);
    int (*remove_thing)(void *user, const char *name, void (*removed)(void *removed_user),
                        void *removed_user, struct hob_error *err);
    const struct hob_handlers *handlers;
    /** Load the handlers again, now. */
    int (*reload)(void *user, struct hob_error *err);
    void (*process)(void *user, struct hob_control_process *out);
    /** What a thing has in hand: see hob_executor_each. */
    void (*each_job)(void *user, size_t index, hob_executor_view_fn *fn, void *fn_user);
    /** What it has not begun with: see hob_executor_each_pending. */
    void (*each_pending)(void *user, size_t index, hob_executor_view_fn *fn, void *fn_user);
    struct hob_outputs *outputs;   /* what the jobs' programs print */
    const struct hob_drain *drain; /* as it is */
    /** Have it so, also after a restart. */
    int (*set_drain)(void *user, const struct hob_drain *drain, struct hob_error *err);
    const struct hob_config *config;
    const struct hob_policy *policy;
    const char *lib;               /* Hob's own Lua files: for sessions */
    struct hob_debugger *debugger; /* likewise; NULL: none */
    void *user;
};

int hob_control_new(const struct hob_control_options *options, struct hob_control **out,
                    struct hob_error *err);
/** Hob is stopping: sessions end, and none is begun any more; requests are answered. NULL is legal.
 * Not inside a session's Lua. */
void hob_control_stop_sessions(struct hob_control *control);
/** Likewise of one thing, soon: before anything of it is freed. NULL is legal. */
void hob_control_stop_sessions_of(struct hob_control *control, const struct hob_thing *thing);
/** Clients are closed, the socket is removed. NULL is legal. */
void hob_control_close(struct hob_control *control);

#endif
