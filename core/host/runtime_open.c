/* runtime_open.c - what a runtime is made of, opened in order; see runtime.h */
#include "host/runtime_parts.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/posts.h"
#include "base/random.h"
#include "host/guard.h"
#include "host/notify.h"
#include "host/paths.h"
#include "work/blackbox.h"
#include "work/debug.h"
#include "work/events.h"
#include "work/filter.h"
#include "work/handlers.h"
#include "work/native.h"
#include "work/output.h"
#include "work/scripts_dirs.h"
#include "work/store.h"
#include "work/tally.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOLD_KEPT      1000
#define LINE_MAX_BYTES 8192 /* see log.h */

/* ---- the loop, and ways into it ---- */

static int open_loop(struct hob_runtime *runtime, struct hob_error *err)
{
    uv_loop_t *uv = runtime->options.uv_loop;
    int rc = uv ? hob_loop_new_on(uv, &runtime->loop, err) : hob_loop_new(&runtime->loop, err);
    if (rc) {
        return rc;
    }
    if (hob_loop_set_module_dir(runtime->loop, runtime->options.module_dir)) {
        return hob_error_set(err, HOB_ENOMEM, "starting: out of memory");
    }
    if (runtime->options.handle_signals) {
        hob_runtime_watch_signals(runtime); /* one that comes meanwhile is handled by the loop */
    }
    runtime->product.observers = hob_observers_new(runtime->loop, &runtime->product.inside);
    return runtime->product.observers
               ? hob_posts_new(runtime->loop, &runtime->product.inside, &runtime->posts, err)
               : hob_error_set(err, HOB_ENOMEM, "starting: out of memory");
}

/* ---- the log ---- */

/* The product's words have other names than ours. */
static void on_line(void *user, const struct hob_log_record *record, const char *line, size_t len)
{
    static const enum hob_log_severity severities[] = {[HOB_LOG_DEBUG] = HOB_SEVERITY_DEBUG,
                                                       [HOB_LOG_INFO] = HOB_SEVERITY_INFO,
                                                       [HOB_LOG_WARN] = HOB_SEVERITY_WARN,
                                                       [HOB_LOG_ERROR] = HOB_SEVERITY_ERROR};
    struct hob_runtime *runtime = user;
    char text[LINE_MAX_BYTES];
    len = len < sizeof text ? len : sizeof text - 1;
    memcpy(text, line, len);
    text[len] = '\0'; /* a newline follows it where it comes from */
    struct hob_log_line told = {.severity = severities[record->level],
                                .event = record->event ? record->event : "",
                                .thing = record->thing,
                                .job = record->job,
                                .line = text,
                                .len = len};
    runtime->product.inside++;
    runtime->options.log(runtime->options.user, &told);
    runtime->product.inside--;
}

static int open_log(struct hob_runtime *runtime, struct hob_error *err)
{
    struct hob_log_options options = {.target = runtime->config.log_target};
    hob_log_level_parse(runtime->config.log_level, &options.level);
    options.format = strcmp(runtime->config.log_format, "json") == 0 ? HOB_LOG_JSON : HOB_LOG_TEXT;
    int rc = hob_log_open(&options, &runtime->log, err);
    if (rc == 0 && runtime->options.log) {
        runtime->tap = (struct hob_log_tap){
            .fn = on_line, .user = runtime, .level = options.level, .format = options.format};
        hob_log_tap(runtime->log, &runtime->tap);
    }
    return rc;
}

/* ---- what it trusts, and where it is ---- */

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
    if (hob_guard_check(&runtime->config, warn_exposed, runtime, err) == 0) {
        return 0;
    }
    err->code = HOB_ECONFIG; /* whoever set it up must mend it, as any other mistake there */
    return err->code;
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
    char here[PATH_MAX], dir[PATH_MAX], whole[2 * PATH_MAX];
    const char *rest = runtime->config.scripts;
    char *dirs = hob_strdup("");
    if (!getcwd(here, sizeof here)) {
        hob_free(dirs);
        return 0;
    }
    while (dirs && hob_scripts_dirs_next(&rest, dir)) {
        const char *name = dir;
        while (strncmp(name, "./", 2) == 0) {
            name += 2;
        }
        snprintf(whole, sizeof whole, "%s%s%s", name[0] == '/' ? "" : here,
                 name[0] == '/' ? "" : "/", name);
        dirs = hob_scripts_dirs_add(dirs, whole);
    }
    if (!dirs) {
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    hob_free(runtime->config.scripts);
    runtime->config.scripts = dirs;
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
    struct hob_store_options options = {
        .path = path, .on_damaged = hob_runtime_on_damaged, .user = runtime};
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

static void on_reloaded(void *user, const char *label)
{
    struct hob_runtime *runtime = user;
    hob_observers_tell_handler(runtime->product.observers, label);
}

/* They are loaded at the beginning: the product adds its own before. */
static int open_handlers(struct hob_runtime *runtime, struct hob_error *err)
{
    char *lib = runtime->lib;
    int rc = hob_paths_lib_in(runtime->options.lib_dir, lib, sizeof runtime->lib, err);
    if (rc) {
        return rc;
    }
    struct hob_native_options native = {
        .loop = runtime->loop, .log = runtime->log, .lib = lib, .inside = &runtime->product.inside};
    rc = hob_native_new(&native, &runtime->native, err);
    if (rc) {
        return rc;
    }
    runtime->policy = hob_config_policy(&runtime->config);
    struct hob_handlers_options options = {.loop = runtime->loop,
                                           .native = runtime->native,
                                           .policy = &runtime->policy,
                                           .log = runtime->log,
                                           .scripts = runtime->config.scripts,
                                           .lib = lib,
                                           .job_types =
                                               (const char *const *)runtime->config.job_types,
                                           .routes = (const char *const *)runtime->config.routes,
                                           .on_reloaded = on_reloaded,
                                           .user = runtime};
    rc = hob_handlers_new(&options, &runtime->handlers, err);
    return rc ? rc : open_filter(runtime, lib, err);
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

/* Those that use another's connection come after it, wherever they stand. */
static int add_things(struct hob_runtime *runtime, bool branches, struct hob_error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < runtime->config.thing_count; i++) {
        const struct hob_config_thing *thing = &runtime->config.things[i];
        if ((thing->connection[0] != '\0') == branches) {
            rc = hob_things_add(runtime->things, thing, err);
        }
    }
    return rc;
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
                                       .product = &runtime->product,
                                       .raise_limits = runtime->options.raise_limits,
                                       .on_restart = hob_runtime_restart,
                                       .user = runtime};
    int rc = hob_things_new(&common, &runtime->things, err);
    rc = rc ? rc : add_things(runtime, false, err);
    return rc ? rc : add_things(runtime, true, err);
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

/* ---- the whole ---- */

int hob_runtime_open(struct hob_runtime *runtime, struct hob_error *err)
{
    int rc = open_loop(runtime, err);
    runtime->started_at = hob_clock_wall_ms() / 1000;
    runtime->started_ms = hob_clock_mono_ms();
    rc = rc ? rc : open_log(runtime, err);
    rc = rc ? rc : check_exposed(runtime, err);
    rc = rc ? rc : name_scripts(runtime, err);
    if (rc == 0 && runtime->options.notify_systemd) {
        runtime->notify = hob_notify_new(runtime->loop, runtime->log);
    }
    runtime->tally = hob_tally_new(); /* without memory for it nobody counts */
    rc = rc ? rc : open_store(runtime, err);
    rc = rc ? rc : open_blackbox(runtime, err);
    rc = rc ? rc : open_handlers(runtime, err);
    open_debugger(runtime, rc);
    rc = rc ? rc : open_things(runtime, err);
    if (rc == 0 && !runtime->options.no_control) {
        hob_runtime_open_control(runtime);
    }
    return rc;
}
