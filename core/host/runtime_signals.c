/* runtime_signals.c - the process' signals, where somebody wants Hob to handle them. */
#include "host/runtime_parts.h"

#include "work/store.h"

#include <signal.h>
#include <unistd.h>

/* The store is safe at any moment; without the note the next start blames a job for it. */
static void exit_now(struct hob_runtime *runtime)
{
    hob_store_expect_end(runtime->store, NULL, NULL);
    _exit(1);
}

static void stop_by_signal(struct hob_runtime *runtime, const char *signal_name)
{
    bool again = runtime->stopping && runtime->asked;
    if (again) {
        hob_log_event(runtime->log, HOB_LOG_WARN, "hob.stopping", "%s again: ending at once",
                      signal_name);
    }
    if (again && runtime->is_program) {
        exit_now(runtime);
    }
    hob_runtime_ask_to_stop(runtime, signal_name, NULL, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct hob_runtime *runtime = handle->data;
    if (number == SIGHUP) {
        hob_runtime_refresh(runtime);
    } else {
        stop_by_signal(runtime, number == SIGTERM ? "SIGTERM" : "SIGINT");
    }
}

void hob_runtime_watch_signals(struct hob_runtime *runtime)
{
    static const int numbers[HOB_RUNTIME_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    for (int i = 0; i < HOB_RUNTIME_SIGNALS; i++) {
        uv_signal_init(hob_loop_uv(runtime->loop), &runtime->signals[i]);
        runtime->signals[i].data = runtime;
        uv_signal_start(&runtime->signals[i], on_signal, numbers[i]);
    }
    runtime->watching = true;
}

void hob_runtime_close_signals(struct hob_runtime *runtime)
{
    for (int i = 0; runtime->watching && i < HOB_RUNTIME_SIGNALS; i++) {
        uv_close((uv_handle_t *)&runtime->signals[i], NULL);
    }
    runtime->watching = false;
}
