#include "host/runtime.h"

#include "base/alloc.h"
#include "host/runtime_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/random.h"
#include "device/power.h"
#include "host/config.h"
#include "host/control.h"
#include "host/drain.h"
#include "host/guard.h"
#include "host/notify.h"
#include "host/paths.h"
#include "host/thing.h"
#include "work/blackbox.h"
#include "work/debug.h"
#include "work/events.h"
#include "work/filter.h"
#include "work/handlers.h"
#include "work/handlers_watch.h"
#include "work/output.h"
#include "work/store.h"
#include "work/tally.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_CONFIG 2
#define TOLD_KEPT   1000

/* ---- stopping and reloading ---- */

static void things_stopped(void *user)
{
    struct hob_runtime *runtime = user;
    hob_loop_stop(runtime->loop);
}

/* systemd is to wait for what takes over. */
static void tell_end(struct hob_runtime *runtime, const char *why)
{
    if (runtime->again) {
        hob_notify_reloading(runtime->notify, why);
    } else {
        hob_notify_stopping(runtime->notify, why, (uint64_t)(runtime->config.stop_timeout * 1000));
    }
}

static void stop(struct hob_runtime *runtime, const char *why)
{
    runtime->stopping = true;
    hob_log_event(runtime->log, HOB_LOG_INFO, "hob.stopping", "%s: taking no more jobs", why);
    tell_end(runtime, why);
    hob_control_stop_sessions(runtime->control); /* they use what is going away */
    uint64_t limit_ms = (uint64_t)(runtime->config.stop_timeout * 1000);
    uint64_t grace_ms = (uint64_t)(runtime->config.stop_grace * 1000);
    grace_ms = grace_ms < limit_ms ? grace_ms : limit_ms;
    hob_things_stop(runtime->things, grace_ms, limit_ms, things_stopped, runtime);
}

static void stop_by_signal(struct hob_runtime *runtime, const char *signal_name)
{
    if (runtime->stopping && !runtime->again) {
        hob_log_event(runtime->log, HOB_LOG_WARN, "hob.stopping", "%s again: ending at once",
                      signal_name);
        hob_store_expect_end(runtime->store, NULL); /* or the next start blames a job for it */
        _exit(1);                                   /* the store is safe at any moment */
    }
    bool was_again = runtime->again;
    runtime->again = false; /* a person's word counts more than a job's */
    if (!runtime->stopping) {
        stop(runtime, signal_name);
    } else if (was_again) {
        tell_end(runtime, signal_name);
    }
}

/* A job has brought a new Hob, or this one cannot go on as it is. */
static void restart(void *user, const char *reason)
{
    struct hob_runtime *runtime = user;
    if (!runtime->stopping) {
        runtime->again = true;
        stop(runtime, reason);
    }
}

/* Nothing can be stored any more, so nothing is worth waiting for. */
static void begin_anew(void *user)
{
    struct hob_runtime *runtime = user;
    runtime->config.stop_timeout = 0;
    restart(user, "the store is damaged: hob starts again, with a new one");
}

static void on_damaged(void *user)
{
    struct hob_runtime *runtime = user;
    hob_loop_defer(runtime->loop, begin_anew, runtime);
}

static void say_reload_failed(struct hob_runtime *runtime, const struct hob_error *err)
{
    hob_log_write(runtime->log,
                  &(struct hob_log_record){.level = HOB_LOG_ERROR,
                                           .event = "hob.reload_failed",
                                           .code = hob_error_name(err->code),
                                           .action = "what was loaded before stays in use"},
                  "%s", err->message);
}

static void tell_reload(struct hob_runtime *runtime)
{
    if (!runtime->stopping) {
        hob_notify_reloading(runtime->notify, "reloading");
    }
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

static void on_loaded(void *user)
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
        on_loaded(runtime);
    }
    return rc;
}

static void reload(struct hob_runtime *runtime)
{
    struct hob_error err = {0};
    tell_reload(runtime);
    if (hob_log_reopen(runtime->log, &err)) {
        say_reload_failed(runtime, &err);
    }
    hob_runtime_load_again(runtime, &err);
    tell_ready(runtime);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct hob_runtime *runtime = handle->data;
    if (number == SIGHUP) {
        reload(runtime);
    } else {
        stop_by_signal(runtime, number == SIGTERM ? "SIGTERM" : "SIGINT");
    }
}

static void watch_signals(struct hob_runtime *runtime)
{
    static const int numbers[HOB_RUNTIME_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    for (int i = 0; i < HOB_RUNTIME_SIGNALS; i++) {
        uv_signal_init(hob_loop_uv(runtime->loop), &runtime->signals[i]);
        runtime->signals[i].data = runtime;
        uv_signal_start(&runtime->signals[i], on_signal, numbers[i]);
    }
    runtime->watching = true;
}

/* ---- opening ---- */

static int open_log(struct hob_runtime *runtime, struct hob_error *err)
{
    struct hob_log_options options = {.target = runtime->config.log_target};
    hob_log_level_parse(runtime->config.log_level, &options.level);
    options.format = strcmp(runtime->config.log_format, "json") == 0 ? HOB_LOG_JSON : HOB_LOG_TEXT;
    return hob_log_open(&options, &runtime->log, err);
}

static void warn_exposed(void *user, const char *text, const char *action)
{
    const struct hob_runtime *runtime = user;
    hob_log_write(runtime->log,
                  &(struct hob_log_record){
                      .level = HOB_LOG_WARN, .event = "start.group_writable", .action = action},
                  "%s", text);
}

static int check_exposed(struct hob_runtime *runtime, struct hob_error *err)
{
    int rc = hob_guard_check(&runtime->config, warn_exposed, runtime, err);
    runtime->exposed = rc != 0;
    return rc;
}

/* What jobs are given to work in must not depend on where Hob was started. */
static int make_absolute(char **path, struct hob_error *err)
{
    char *whole = hob_realpath(*path);
    if (!whole) {
        return hob_error_set(err, hob_error_from_errno(errno), "data directory %s: %s", *path,
                             strerror(errno));
    }
    hob_free(*path);
    *path = whole;
    return 0;
}

/* Handlers are known by their files' names, to logs and to editors, which know absolute ones. Links
 * stay: by another one all handlers may be exchanged at once. */
static int name_scripts(struct hob_runtime *runtime, struct hob_error *err)
{
    char here[PATH_MAX], *whole;
    const char *scripts = runtime->config.scripts;
    while (strncmp(scripts, "./", 2) == 0) {
        scripts += 2;
    }
    if (scripts[0] == '/' || !getcwd(here, sizeof here)) {
        return 0;
    } else if (hob_asprintf(&whole, "%s/%s", here, scripts) < 0) {
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    hob_free(runtime->config.scripts);
    runtime->config.scripts = whole;
    return 0;
}

static int open_store(struct hob_runtime *runtime, struct hob_error *err)
{
    const char *data = runtime->config.data;
    if (mkdir(data, 0700) && errno != EEXIST) {
        return hob_error_set(err, hob_error_from_errno(errno), "data directory %s: %s", data,
                             strerror(errno));
    }
    int rc = make_absolute(&runtime->config.data, err);
    if (rc) {
        return rc;
    }
    struct hob_events_options kept = {.dir = runtime->config.data,
                                      .limit_bytes = runtime->config.events_limit};
    rc = hob_events_new(runtime->log, &kept, &runtime->events, err);
    if (rc) {
        return rc;
    }
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/hob.db", runtime->config.data);
    struct hob_store_options options = {.path = path, .on_damaged = on_damaged, .user = runtime};
    rc = hob_store_open(runtime->log, &options, &runtime->store, err);
    rc = rc ? rc : hob_drain_load(runtime->store, &runtime->drain, err);
    return rc ? rc : hob_store_prune(runtime->store, TOLD_KEPT, err);
}

static int open_blackbox(struct hob_runtime *runtime, struct hob_error *err)
{
    const struct hob_config *config = &runtime->config;
    char running[PATH_MAX], output[PATH_MAX];
    snprintf(running, sizeof running, "%s/running", config->data);
    snprintf(output, sizeof output, "%s/output", config->data);
    hob_random_hex(runtime->process_id, sizeof runtime->process_id);
    int rc = hob_power_boot_id(config->boot_id_file[0] ? config->boot_id_file : NULL,
                               runtime->boot_id, err);
    rc = rc ? rc
            : hob_blackbox_open(runtime->log, running, runtime->boot_id, &runtime->blackbox, err);
    struct hob_output_options options = {.dir = output,
                                         .limit_bytes = config->output_limit,
                                         .total_bytes = config->output_total,
                                         .tally = runtime->tally};
    return rc ? rc : hob_outputs_new(runtime->log, &options, &runtime->outputs, err);
}

static int open_filter(struct hob_runtime *runtime, const char *lib, struct hob_error *err)
{
    const struct hob_config *config = &runtime->config;
    bool is_function = config->job_filter_is_function;
    struct hob_filter_options options = {.loop = runtime->loop,
                                         .log = runtime->log,
                                         .prefix = is_function ? "" : config->job_filter,
                                         .source = is_function ? config->config_text : "",
                                         .path = config->config_file,
                                         .lib = lib};
    return is_function || config->job_filter[0] ? hob_filter_new(&options, &runtime->filter, err)
                                                : 0;
}

static int open_handlers(struct hob_runtime *runtime, struct hob_error *err)
{
    char *lib = runtime->lib;
    int rc = hob_paths_lib(lib, sizeof runtime->lib, err);
    if (rc) {
        return rc;
    }
    runtime->policy = hob_config_policy(&runtime->config);
    struct hob_handlers_options options = {.loop = runtime->loop,
                                           .policy = &runtime->policy,
                                           .log = runtime->log,
                                           .scripts = runtime->config.scripts,
                                           .lib = lib,
                                           .job_types =
                                               (const char *const *)runtime->config.job_types,
                                           .routes = (const char *const *)runtime->config.routes};
    rc = hob_handlers_new(&options, &runtime->handlers, err);
    rc = rc ? rc : hob_handlers_load(runtime->handlers, err);
    return rc ? rc : open_filter(runtime, lib, err);
}

static int open_watch(struct hob_runtime *runtime, struct hob_error *err)
{
    struct hob_handlers_watch_options options = {.loop = runtime->loop,
                                                 .log = runtime->log,
                                                 .handlers = runtime->handlers,
                                                 .on_loaded = on_loaded,
                                                 .user = runtime};
    if (!runtime->config.reload) {
        return 0;
    }
    runtime->watch = hob_handlers_watch_new(&options);
    return runtime->watch ? 0 : hob_error_set(err, HOB_ENOMEM, "starting: out of memory");
}

/* Programs begin in the directory of their job all the same: only its whole name leads nowhere. */
static void warn_of_way(struct hob_runtime *runtime)
{
    char blocked[PATH_MAX];
    if (hob_policy_is_blocked(&runtime->policy, runtime->config.data, blocked)) {
        hob_log_write(runtime->log,
                      &(struct hob_log_record){.level = HOB_LOG_WARN,
                                               .event = "data.unreachable",
                                               .action = "chmod o+x that directory, or have the "
                                                         "data elsewhere"},
                      "%s does not let the user %s pass: programs cannot use the whole names of "
                      "files in their job's directory",
                      blocked, runtime->policy.exec_user);
    }
}

static int make_things(struct hob_runtime *runtime, struct hob_error *err)
{
    struct hob_thing_options common = {.loop = runtime->loop,
                                       .log = runtime->log,
                                       .store = runtime->store,
                                       .handlers = runtime->handlers,
                                       .blackbox = runtime->blackbox,
                                       .outputs = runtime->outputs,
                                       .tally = runtime->tally,
                                       .debugger = runtime->debugger,
                                       .filter = runtime->filter,
                                       .turn = &runtime->turn,
                                       .boot_id = runtime->boot_id,
                                       .process_id = runtime->process_id,
                                       .config = &runtime->config,
                                       .policy = &runtime->policy,
                                       .on_restart = restart,
                                       .user = runtime};
    int rc = hob_things_new(&common, &runtime->things, err);
    for (size_t i = 0; rc == 0 && i < runtime->config.thing_count; i++) {
        rc = hob_things_add(runtime->things, &runtime->config.things[i], err);
    }
    return rc;
}

static int open_things(struct hob_runtime *runtime, struct hob_error *err)
{
    int rc = hob_policy_open_way(&runtime->policy, runtime->config.data, err);
    if (rc) {
        return rc;
    }
    warn_of_way(runtime);
    rc = make_things(runtime, err);
    if (rc == 0) {
        hob_things_drain(runtime->things, runtime->drain.on);
    }
    return rc;
}

/* Jobs are done without it, too. */
static void open_debugger(struct hob_runtime *runtime, int failed)
{
    struct hob_debugger_options options = {.loop = runtime->loop,
                                           .log = runtime->log,
                                           .hold_ms = (uint64_t)(runtime->config.debug_hold * 1000),
                                           .wait = runtime->config.wait_debugger};
    runtime->debugger = failed ? NULL : hob_debugger_new(&options);
}

static int open_all(struct hob_runtime *runtime, struct hob_error *err)
{
    int rc = hob_loop_new(&runtime->loop, err);
    runtime->started_at = hob_clock_wall_ms() / 1000;
    runtime->started_ms = hob_clock_mono_ms();
    if (rc == 0) {
        watch_signals(runtime); /* one that comes while opening is handled when the loop runs */
    }
    rc = rc ? rc : open_log(runtime, err);
    rc = rc ? rc : check_exposed(runtime, err);
    rc = rc ? rc : name_scripts(runtime, err);
    runtime->notify = rc ? NULL : hob_notify_new(runtime->loop, runtime->log);
    runtime->tally = hob_tally_new(); /* without memory for it nobody counts */
    rc = rc ? rc : open_store(runtime, err);
    rc = rc ? rc : open_blackbox(runtime, err);
    rc = rc ? rc : open_handlers(runtime, err);
    open_debugger(runtime, rc);
    rc = rc ? rc : open_things(runtime, err);
    rc = rc ? rc : open_watch(runtime, err);
    if (rc == 0) {
        hob_runtime_open_control(runtime);
    }
    return rc;
}

/* ---- closing ---- */

static void close_signals(struct hob_runtime *runtime)
{
    for (int i = 0; runtime->watching && i < HOB_RUNTIME_SIGNALS; i++) {
        uv_close((uv_handle_t *)&runtime->signals[i], NULL);
    }
}

/* The loop last: what jobs have started may still have its grace. */
static void close_all(struct hob_runtime *runtime)
{
    close_signals(runtime);
    hob_control_close(runtime->control);
    hob_debugger_free(runtime->debugger); /* its sessions went with the socket */
    hob_notify_close(runtime->notify);
    hob_filter_free(runtime->filter);
    hob_handlers_watch_close(runtime->watch);
    hob_handlers_free(runtime->handlers);
    hob_loop_free(runtime->loop);
    hob_outputs_free(runtime->outputs);
    hob_tally_free(runtime->tally);
    hob_blackbox_close(runtime->blackbox);
    hob_store_close(runtime->store);
    hob_events_free(runtime->events);
    hob_log_close(runtime->log);
    hob_things_free(runtime->things);
    hob_config_free(&runtime->config);
}

/* ---- the whole ---- */

static void run(struct hob_runtime *runtime)
{
    hob_log_event(runtime->log, HOB_LOG_INFO, "hob.started", "hob %s, %zu thing%s, data in %s",
                  HOB_VERSION, runtime->config.thing_count,
                  runtime->config.thing_count == 1 ? "" : "s", runtime->config.data);
    if (runtime->drain.on) {
        hob_drain_say(runtime->log, &runtime->drain);
    }
    hob_things_start(runtime->things);
    tell_ready(runtime);
    hob_loop_run(runtime->loop);
    hob_log_event(runtime->log, HOB_LOG_INFO, "hob.stopped", "in order");
}

/* Things that were made before another one failed. */
static void undo_things(struct hob_runtime *runtime)
{
    runtime->stopping = true;
    if (runtime->things) {
        hob_things_stop(runtime->things, 0, 0, things_stopped, runtime);
        hob_loop_run(runtime->loop);
    }
}

/* The same program file, which may hold another Hob by now; the process stays, so that whoever
 * watches it sees no end. */
static int execute_again(const char *program, int argc, char **argv)
{
    char **words = hob_calloc((size_t)argc + 3, sizeof *words);
    if (words) {
        words[0] = (char *)(uintptr_t)program;
        words[1] = (char *)(uintptr_t) "run";
        memcpy(words + 2, argv, (size_t)argc * sizeof *words);
        execv(program, words);
    }
    fprintf(stderr, "hob: a new process was asked for, but %s cannot be executed: %s\n", program,
            strerror(errno));
    hob_free(words);
    return 1;
}

int hob_runtime_main(int argc, char **argv)
{
    char program[PATH_MAX] = "";
    if (!realpath("/proc/self/exe", program)) {
        snprintf(program, sizeof program, "hob");
    }
    struct hob_runtime runtime = {0};
    struct hob_error err = {0};
    int rc = hob_config_load(argc, argv, &runtime.config, &err);
    if (rc) {
        hob_config_free(&runtime.config);
        if (rc > 0) {
            fputs(hob_config_usage, stdout);
            return 0;
        }
        fprintf(stderr, "hob: %s\n", err.message);
        return EXIT_CONFIG;
    }
    if (hob_config_check_user(&runtime.config, &err)) {
        fprintf(stderr, "hob: %s\n", err.message);
        hob_config_free(&runtime.config);
        return EXIT_CONFIG;
    }
    rc = open_all(&runtime, &err);
    if (rc) {
        fprintf(stderr, "hob: %s\n", err.message);
        undo_things(&runtime);
    } else {
        run(&runtime);
    }
    bool again = rc == 0 && runtime.again, exposed = runtime.exposed;
    close_all(&runtime);
    return again ? execute_again(program, argc, argv) : exposed ? EXIT_CONFIG : rc ? 1 : 0;
}
