#include "host/runtime.h"

#include "host/runtime_parts.h"

#include "base/alloc.h"
#include "base/posts.h"
#include "host/notify.h"
#include "work/blackbox.h"
#include "work/debug.h"
#include "work/events.h"
#include "work/filter.h"
#include "work/handlers.h"
#include "work/handlers_watch.h"
#include "work/native.h"
#include "work/output.h"
#include "work/store.h"
#include "work/tally.h"

#include <stdio.h>
#include <string.h>

/* ---- reloading ---- */

static void say_reload_failed(struct hob_runtime *runtime, const struct hob_error *err)
{
    hob_log_write(runtime->log,
                  &(struct hob_log_record){.level = HOB_LOG_ERROR,
                                           .event = "hob.reload_failed",
                                           .code = hob_error_name(err->code),
                                           .action = "what was loaded before stays in use"},
                  "%s", err->message);
}

static void tell_ready(struct hob_runtime *runtime)
{
    char status[64];
    size_t count = hob_things_count(runtime->things);
    snprintf(status, sizeof status, "at work for %zu thing%s", count, count == 1 ? "" : "s");
    if (!runtime->stopping) {
        hob_notify_ready(runtime->notify, status);
    }
}

void hob_runtime_on_loaded(void *user)
{
    struct hob_runtime *runtime = user;
    hob_things_reloaded(runtime->things);
}

int hob_runtime_load_again(void *user, struct hob_error *err)
{
    struct hob_runtime *runtime = user;
    int rc = hob_handlers_load(runtime->handlers, err);
    if (rc) {
        say_reload_failed(runtime, err);
    } else {
        hob_runtime_on_loaded(runtime);
    }
    return rc;
}

void hob_runtime_refresh(struct hob_runtime *runtime)
{
    struct hob_error err = {0};
    if (!runtime->stopping) {
        hob_notify_reloading(runtime->notify, "reloading");
    }
    if (hob_log_reopen(runtime->log, &err)) {
        say_reload_failed(runtime, &err);
    }
    hob_runtime_load_again(runtime, &err);
    tell_ready(runtime);
}

/* ---- who waits for the end ---- */

static void call_waiters(void *user)
{
    struct hob_runtime *runtime = user;
    while (runtime->waiters) {
        struct hob_runtime_waiter *one = runtime->waiters, waiter = *one;
        runtime->waiters = waiter.next;
        one->stopped = NULL;
        hob_free(one == &runtime->first_waiter ? NULL : one);
        runtime->product.inside++;
        waiter.stopped(waiter.user);
        runtime->product.inside--;
    }
}

static int add_waiter(struct hob_runtime *runtime, void (*stopped)(void *user), void *user)
{
    /* The first, who is mostly the only one, needs no memory: one who waits in vain is stuck. */
    struct hob_runtime_waiter *waiter =
        runtime->first_waiter.stopped ? hob_malloc(sizeof *waiter) : &runtime->first_waiter;
    struct hob_runtime_waiter **end = &runtime->waiters;
    if (!waiter) {
        return HOB_ENOMEM;
    }
    *waiter = (struct hob_runtime_waiter){.stopped = stopped, .user = user};
    while (*end) {
        end = &(*end)->next;
    }
    *end = waiter;
    return 0;
}

/* ---- stopping ---- */

/* What listens goes, so that a loop of the product comes to an end by itself. */
static void close_listeners(struct hob_runtime *runtime)
{
    hob_runtime_close_signals(runtime);
    hob_control_close(runtime->control);
    hob_notify_close(runtime->notify);
    hob_handlers_watch_close(runtime->watch);
    runtime->control = NULL;
    runtime->notify = NULL;
    runtime->watch = NULL;
    if (runtime->posts) {
        hob_posts_let_go(runtime->posts);
    }
}

static void end(void *user)
{
    struct hob_runtime *runtime = user;
    runtime->stopped = true;
    close_listeners(runtime);
    if (runtime->begun) {
        hob_log_event(runtime->log, HOB_LOG_INFO, "hob.stopped", "in order");
    }
    hob_observers_flush(runtime->product.observers);
    call_waiters(runtime);
    if (hob_loop_is_own(runtime->loop)) {
        hob_loop_stop(runtime->loop);
    }
}

/* Called from deep inside the last thing's end. */
static void things_stopped(void *user)
{
    struct hob_runtime *runtime = user;
    hob_loop_defer(runtime->loop, &runtime->end, end, runtime);
}

/* systemd is to wait for what takes over. */
void hob_runtime_tell_end(struct hob_runtime *runtime)
{
    if (runtime->again) {
        hob_notify_reloading(runtime->notify, runtime->why);
    } else {
        hob_notify_stopping(runtime->notify, runtime->why,
                            (uint64_t)(runtime->config.stop_timeout * 1000));
    }
}

static void begin_to_stop(void *user)
{
    struct hob_runtime *runtime = user;
    hob_log_event(runtime->log, HOB_LOG_INFO, "hob.stopping", "%s: taking no more jobs",
                  runtime->why);
    hob_runtime_tell_end(runtime);
    hob_control_stop_sessions(runtime->control); /* they use what is going away */
    uint64_t limit_ms = (uint64_t)(runtime->config.stop_timeout * 1000);
    uint64_t grace_ms = (uint64_t)(runtime->config.stop_grace * 1000);
    grace_ms = grace_ms < limit_ms ? grace_ms : limit_ms;
    hob_things_stop(runtime->things, grace_ms, limit_ms, things_stopped, runtime);
}

/* Not at once: whoever asks may be inside a job's own call. */
static void stop(struct hob_runtime *runtime, const char *why)
{
    runtime->stopping = true;
    snprintf(runtime->why, sizeof runtime->why, "%s", why);
    hob_loop_defer(runtime->loop, &runtime->stop, begin_to_stop, runtime);
}

static void hurry(void *user)
{
    struct hob_runtime *runtime = user;
    if (!runtime->stopped) {
        hob_things_hurry(runtime->things);
    }
}

void hob_runtime_hurry(struct hob_runtime *runtime)
{
    if (!runtime->hurry.waiting) {
        hob_loop_defer(runtime->loop, &runtime->hurry, hurry, runtime);
    }
}

/* What a job has brought about counts less: it is not the first word, and brings no new one. */
static void ask_again(struct hob_runtime *runtime, const char *why)
{
    if (runtime->asked) {
        hob_runtime_hurry(runtime);
    } else if (runtime->again) {
        runtime->again = false;
        snprintf(runtime->why, sizeof runtime->why, "%s", why);
        hob_runtime_tell_end(runtime);
    }
}

int hob_runtime_ask_to_stop(struct hob_runtime *runtime, const char *why,
                            void (*stopped)(void *user), void *user)
{
    int rc = stopped ? add_waiter(runtime, stopped, user) : 0;
    if (runtime->stopped && runtime->waiters && !runtime->tell.waiting) {
        hob_loop_defer(runtime->loop, &runtime->tell, call_waiters, runtime);
    } else if (runtime->stopping && !runtime->stopped) {
        ask_again(runtime, why);
    } else if (!runtime->stopped) {
        stop(runtime, why);
    }
    runtime->asked = true;
    return rc;
}

void hob_runtime_restart(void *user, const char *reason)
{
    struct hob_runtime *runtime = user;
    if (runtime->stopping) {
        return;
    }
    runtime->again = true;
    stop(runtime, reason);
    if (runtime->options.restart) {
        runtime->product.inside++;
        runtime->options.restart(runtime->options.user, reason);
        runtime->product.inside--;
    }
}

/* Nothing can be stored any more, so nothing is worth waiting for. */
static void begin_anew(void *user)
{
    struct hob_runtime *runtime = user;
    runtime->config.stop_timeout = 0;
    hob_runtime_restart(user, "the store is damaged: hob starts again, with a new one");
}

void hob_runtime_on_damaged(void *user)
{
    struct hob_runtime *runtime = user;
    hob_loop_defer(runtime->loop, &runtime->anew, begin_anew, runtime);
}

/* ---- its beginning ---- */

static int open_watch(struct hob_runtime *runtime, struct hob_error *err)
{
    struct hob_handlers_watch_options options = {.loop = runtime->loop,
                                                 .log = runtime->log,
                                                 .handlers = runtime->handlers,
                                                 .on_loaded = hob_runtime_on_loaded,
                                                 .user = runtime};
    if (!runtime->config.reload) {
        return 0;
    }
    runtime->watch = hob_handlers_watch_new(&options);
    return runtime->watch ? 0 : hob_error_set(err, HOB_ENOMEM, "starting: out of memory");
}

int hob_runtime_begin(struct hob_runtime *runtime, struct hob_error *err)
{
    if (runtime->stopping) {
        return hob_error_set(err, HOB_ECANCELED, "it was asked to stop: make another one");
    }
    if (runtime->begun) {
        return hob_error_set(err, HOB_EBUSY, "it was started before");
    }
    int rc = hob_handlers_load(runtime->handlers, err);
    rc = rc ? rc : open_watch(runtime, err);
    if (rc) {
        return rc;
    }
    runtime->begun = true;
    size_t count = hob_things_count(runtime->things);
    hob_log_event(runtime->log, HOB_LOG_INFO, "hob.started", "hob %s, %zu thing%s, data in %s",
                  HOB_VERSION, count, count == 1 ? "" : "s", runtime->config.data);
    if (runtime->drain.on) {
        hob_drain_say(runtime->log, &runtime->drain);
    }
    hob_things_start(runtime->things);
    tell_ready(runtime);
    return 0;
}

/* ---- its end ---- */

bool hob_runtime_is_inside(const struct hob_runtime *runtime)
{
    return runtime->driving > 0 || runtime->product.inside > 0;
}

/* One that runs, or whose things were made before something failed. */
static void finish(struct hob_runtime *runtime)
{
    if (!runtime->things || runtime->stopped) {
        return;
    }
    if (!runtime->stopping) {
        stop(runtime, "the runtime is freed");
    }
    hob_runtime_hurry(runtime);
    while (!runtime->stopped) {
        hob_loop_turn(runtime->loop);
    }
}

/* What others have posted may still call the runtime. */
static void call_the_last(struct hob_runtime *runtime)
{
    hob_posts_close(runtime->posts);
    if (runtime->product.observers) {
        hob_observers_flush(runtime->product.observers);
    }
    call_waiters(runtime);
}

/* The loop last: what jobs have started may still have its grace. */
static void close_all(struct hob_runtime *runtime)
{
    close_listeners(runtime);
    hob_debugger_free(runtime->debugger); /* its sessions went with the socket */
    hob_filter_free(runtime->filter);
    hob_handlers_free(runtime->handlers);
    hob_loop_free(runtime->loop);
    hob_native_free(runtime->native);
    hob_observers_free(runtime->product.observers);
    hob_outputs_free(runtime->outputs);
    hob_tally_free(runtime->tally);
    hob_blackbox_close(runtime->blackbox);
    hob_store_close(runtime->store);
    hob_events_free(runtime->events);
    hob_log_untap(runtime->log, &runtime->tap);
    hob_log_close(runtime->log);
    hob_things_free(runtime->things);
    hob_config_free(&runtime->config);
    hob_free((char *)(uintptr_t)runtime->key_provider.name);
    hob_free(runtime);
}

void hob_runtime_close(struct hob_runtime *runtime)
{
    runtime->freeing = true;
    finish(runtime);
    call_the_last(runtime);
    runtime->posts = NULL;
    close_all(runtime);
}

/* ---- its making ---- */

static void take_options(struct hob_runtime *runtime, const struct hob_runtime_options *options)
{
    runtime->options = *options;
    if (options->key_provider) {
        const char *name = options->key_provider->name;
        runtime->key_provider = *options->key_provider;
        runtime->key_provider.name = name ? hob_strdup(name) : NULL;
        runtime->options.key_provider = &runtime->key_provider;
        runtime->config.key_provider = &runtime->key_provider;
    }
    runtime->product.reboot = options->reboot;
    runtime->product.user = options->user;
}

int hob_runtime_make(struct hob_config *config, const struct hob_runtime_options *options,
                     struct hob_runtime **out, struct hob_error *err)
{
    struct hob_runtime *runtime = hob_calloc(1, sizeof *runtime);
    int rc = hob_config_check_user(config, err);
    if (!runtime || rc) {
        hob_config_free(config);
        hob_free(runtime);
        return rc ? rc : hob_error_set(err, HOB_ENOMEM, "starting: out of memory");
    }
    runtime->config = *config;
    *config = (struct hob_config){0};
    take_options(runtime, options);
    rc = hob_runtime_open(runtime, err);
    if (rc) {
        hob_runtime_close(runtime);
        return rc;
    }
    *out = runtime;
    return 0;
}
