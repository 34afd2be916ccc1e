/* runtime_parts.h - internal to core/host: what a runtime holds.
 *
 *   runtime.c          its life: begun, reloaded, stopped, freed
 *   runtime_open.c     what it is made of, opened in order
 *   runtime_control.c  what the control socket sees of it
 *   runtime_signals.c  the process' signals, where they are asked for
 *   runtime_main.c     `hob run`
 *   embed*.c           the functions of hob.h
 */
#ifndef HOB_HOST_RUNTIME_PARTS_H
#define HOB_HOST_RUNTIME_PARTS_H

#include "base/log.h"
#include "base/loop.h"
#include "device/policy.h"
#include "device/power.h"
#include "host/config.h"
#include "host/control.h"
#include "host/drain.h"
#include "host/runtime.h"
#include "host/things.h"
#include "work/executor.h"
#include "work/product.h"

#include <limits.h>
#include <uv.h>

#define HOB_RUNTIME_SIGNALS 3
#define HOB_RUNTIME_ID_LEN  33

struct hob_blackbox;
struct hob_debugger;
struct hob_events;
struct hob_filter;
struct hob_handlers_watch;
struct hob_native;
struct hob_notify;
struct hob_outputs;
struct hob_posts;
struct hob_tally;

/* Somebody who wants to hear that it has stopped. */
struct hob_runtime_waiter {
    struct hob_runtime_waiter *next;
    void (*stopped)(void *user);
    void *user;
};

struct hob_runtime {
    struct hob_config config;
    struct hob_policy policy; /* of the config */
    struct hob_loop *loop;
    struct hob_posts *posts; /* from other threads */
    struct hob_log *log;
    struct hob_notify *notify; /* NULL: no systemd to tell */
    struct hob_events *events; /* of the log, kept */
    struct hob_store *store;
    struct hob_native *native; /* what the product has written in C */
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
    struct hob_control *control; /* NULL: it could not be made, which was said; or not wanted */
    struct hob_things *things;
    int64_t started_at;  /* seconds since 1970, */
    uint64_t started_ms; /* and on the monotonic clock */

    /* What the product has given. */
    struct hob_runtime_options options; /* its texts are not kept */
    struct hob_key_provider key_provider;
    struct hob_product product;
    struct hob_log_tap tap; /* for options.log */

    /* Its end. */
    bool begun, stopping, stopped, freeing;
    bool is_program;                 /* `hob run`: a second signal ends the process */
    bool asked;                      /* by somebody: stopping was not Hob's own idea */
    bool again;                      /* a job, or the store, wants a new one after it */
    char why[HOB_ERROR_MESSAGE_MAX]; /* it stops */
    struct hob_runtime_waiter *waiters, first_waiter;
    struct hob_loop_soon anew, stop, end, hurry, tell;

    uv_signal_t signals[HOB_RUNTIME_SIGNALS];
    bool watching;    /* signals */
    unsigned driving; /* calls of hob_runtime_run and _dispatch that have not returned */
};

/* ---- runtime.c ---- */

/** Load the handlers again, now. */
int hob_runtime_load_again(void *runtime, struct hob_error *err);
/** Likewise, all that SIGHUP stands for. */
void hob_runtime_refresh(struct hob_runtime *runtime);
/** The handlers are others now. */
void hob_runtime_on_loaded(void *runtime);
/** In the next turn of the loop. Somebody's word counts more than a job's.
 * @param stopped  called once, later, when it has stopped; NULL is legal
 * @return 0, HOB_ENOMEM: it stops, but nobody is told */
int hob_runtime_ask_to_stop(struct hob_runtime *runtime, const char *why,
                            void (*stopped)(void *user), void *user);
/** Give up what still runs where it is, and do not wait to tell the rest. */
void hob_runtime_hurry(struct hob_runtime *runtime);
/** A job has brought a new Hob, or this one cannot go on as it is. */
void hob_runtime_restart(void *runtime, const char *reason);
/** See struct hob_store_options. */
void hob_runtime_on_damaged(void *runtime);
/** Tell systemd what the end is for. */
void hob_runtime_tell_end(struct hob_runtime *runtime);
/** A function of the product is being called, or the loop is run further down the stack. */
bool hob_runtime_is_inside(const struct hob_runtime *runtime);
/** Stopped first, if it runs; frees. */
void hob_runtime_close(struct hob_runtime *runtime);

/* ---- runtime_open.c ---- */

/** @return 0, or a code: hob_runtime_close undoes what was opened */
int hob_runtime_open(struct hob_runtime *runtime, struct hob_error *err);

/* ---- runtime_control.c ---- */

/** Without it jobs are done, too: that it could not be made is said. */
void hob_runtime_open_control(struct hob_runtime *runtime);
/** Begin with no more jobs, or again; kept in the store. */
int hob_runtime_set_drain(void *runtime, const struct hob_drain *drain, struct hob_error *err);

/* ---- runtime_signals.c ---- */

void hob_runtime_watch_signals(struct hob_runtime *runtime);
void hob_runtime_close_signals(struct hob_runtime *runtime); /* legal twice */

#endif
