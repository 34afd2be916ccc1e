/* runtime_control.c - what the control socket sees of the runtime, and changes in it. */
#include "host/runtime_parts.h"

#include "base/clock.h"
#include "work/handlers_watch.h"
#include "work/output.h"

#include <stdio.h>

static bool thing_at(void *user, size_t index, struct hob_control_thing *out)
{
    const struct hob_runtime *runtime = user;
    struct hob_things_entry entry;
    if (!hob_things_at(runtime->things, index, &entry)) {
        return false;
    }
    const struct hob_thing *thing = entry.thing;
    *out = (struct hob_control_thing){.name = entry.name,
                                      .config = entry.config,
                                      .online = thing && hob_thing_online(thing),
                                      .untold = thing ? hob_thing_untold(thing) : 0,
                                      .since_s = thing ? hob_thing_state_ms(thing) / 1000 : 0,
                                      .why = !thing          ? "it has stopped"
                                             : entry.leaving ? "it is being removed"
                                                             : hob_thing_why(thing),
                                      .thing = entry.thing};
    return true;
}

static void each_job(void *user, size_t index, hob_executor_view_fn *fn, void *fn_user)
{
    const struct hob_runtime *runtime = user;
    struct hob_things_entry entry;
    if (hob_things_at(runtime->things, index, &entry) && entry.thing) {
        hob_thing_each_job(entry.thing, fn, fn_user);
    }
}

static void each_pending(void *user, size_t index, hob_executor_view_fn *fn, void *fn_user)
{
    const struct hob_runtime *runtime = user;
    struct hob_things_entry entry;
    if (hob_things_at(runtime->things, index, &entry) && entry.thing) {
        hob_thing_each_pending(entry.thing, fn, fn_user);
    }
}

int hob_runtime_set_drain(void *user, const struct hob_drain *drain, struct hob_error *err)
{
    struct hob_runtime *runtime = user;
    int rc = hob_drain_save(runtime->store, drain, err);
    if (rc) {
        return rc;
    }
    runtime->drain = *drain;
    hob_things_drain(runtime->things, drain->on);
    return 0;
}

static int add_thing(void *user, const char *const *settings, struct hob_error *err)
{
    struct hob_runtime *runtime = user;
    struct hob_config_thing thing;
    int rc = hob_config_thing_make(&thing, &runtime->config, settings, err);
    if (rc == 0) {
        rc = hob_things_add(runtime->things, &thing, err);
        hob_config_thing_free(&thing);
    }
    return rc;
}

static int remove_thing(void *user, const char *name, void (*removed)(void *removed_user),
                        void *removed_user, struct hob_error *err)
{
    struct hob_runtime *runtime = user;
    return hob_things_remove(runtime->things, name, removed, removed_user, err);
}

static void on_leaving(void *user, const struct hob_thing *thing)
{
    struct hob_runtime *runtime = user;
    hob_control_stop_sessions_of(runtime->control, thing);
}

static void describe_process(void *user, struct hob_control_process *out)
{
    const struct hob_runtime *runtime = user;
    const struct hob_handlers_watch *watch = runtime->watch;
    *out = (struct hob_control_process){
        .data = runtime->config.data,
        .scripts = runtime->config.scripts,
        .watch = !watch                              ? "off"
                 : hob_handlers_watch_is_told(watch) ? "events"
                                                     : "polling",
        .tally = runtime->tally,
        .outputs = runtime->outputs,
        .draining = runtime->drain.on,
        .started_at = runtime->started_at,
        .uptime_s = (int64_t)(hob_clock_mono_ms() - runtime->started_ms) / 1000};
}

void hob_runtime_open_control(struct hob_runtime *runtime)
{
    char path[PATH_MAX];
    struct hob_error err = {0};
    snprintf(path, sizeof path, "%s/hob.sock", runtime->config.data);
    struct hob_control_options options = {.loop = runtime->loop,
                                          .log = runtime->log,
                                          .store = runtime->store,
                                          .path = path,
                                          .thing_at = thing_at,
                                          .add_thing = add_thing,
                                          .remove_thing = remove_thing,
                                          .handlers = runtime->handlers,
                                          .reload = hob_runtime_load_again,
                                          .process = describe_process,
                                          .each_job = each_job,
                                          .each_pending = each_pending,
                                          .outputs = runtime->outputs,
                                          .config = &runtime->config,
                                          .policy = &runtime->policy,
                                          .drain = &runtime->drain,
                                          .set_drain = hob_runtime_set_drain,
                                          .lib = runtime->lib,
                                          .debugger = runtime->debugger,
                                          .user = runtime};
    hob_things_on_leaving(runtime->things, on_leaving, runtime);
    if (hob_control_new(&options, &runtime->control, &err)) {
        hob_log_write(runtime->log,
                      &(struct hob_log_record){.level = HOB_LOG_WARN,
                                               .event = "control.failed",
                                               .code = hob_error_name(err.code),
                                               .action = "jobs are done; `hob jobs` and the like "
                                                         "cannot look into this process"},
                      "no control socket: %s", err.message);
    }
}
