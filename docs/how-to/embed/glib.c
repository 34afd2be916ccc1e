/* glib.c - a product on GLib's main loop, which Hob becomes a source of.
 *
 * The product blinks while it works, by a time-out of its own; SIGTERM, which GLib handles, has Hob
 * stop first, and the main loop end then.
 *
 *     cc -o glib glib.c $(pkg-config --cflags --libs hob glib-2.0) && ./glib hob.conf.lua
 */
#include <hob.h>

#include <glib-unix.h>
#include <glib.h>
#include <signal.h>

struct product {
    GMainLoop *loop;
    struct hob_runtime *runtime;
    unsigned blinks;
};

/* ---- a runtime as a source of a main loop ---- */

struct hob_source {
    GSource source; /* first: GLib takes the one for the other */
    struct hob_runtime *runtime;
    gpointer readable;
};

/* Before each wait: how long it may be. */
static gboolean source_prepare(GSource *source, gint *timeout)
{
    *timeout = hob_runtime_timeout_ms(((struct hob_source *)source)->runtime);
    return *timeout == 0;
}

/* After it: is there something to do? */
static gboolean source_check(GSource *source)
{
    const struct hob_source *hob = (struct hob_source *)source;
    return g_source_query_unix_fd(source, hob->readable) != 0 ||
           hob_runtime_timeout_ms(hob->runtime) == 0;
}

/* Once the runtime has stopped the source's callback is called, and the source is done. */
static gboolean source_dispatch(GSource *source, GSourceFunc stopped, gpointer user)
{
    if (hob_runtime_dispatch(((struct hob_source *)source)->runtime)) {
        return G_SOURCE_CONTINUE;
    }
    stopped(user);
    return G_SOURCE_REMOVE;
}

static void attach(struct hob_runtime *runtime, GSourceFunc stopped, gpointer user)
{
    static GSourceFuncs functions = {
        .prepare = source_prepare, .check = source_check, .dispatch = source_dispatch};
    GSource *source = g_source_new(&functions, sizeof(struct hob_source));
    struct hob_source *hob = (struct hob_source *)source;
    hob->runtime = runtime;
    hob->readable = g_source_add_unix_fd(source, hob_runtime_fd(runtime), G_IO_IN);
    g_source_set_callback(source, stopped, user, NULL);
    g_source_attach(source, NULL);
    g_source_unref(source); /* the main loop's context has it now */
}

/* ---- the product ---- */

static void on_ended(void *user, const struct hob_job_event *job)
{
    (void)user;
    g_print("job %s: %s %s\n", job->job_id, job->status, job->text);
}

static gboolean blink(gpointer user)
{
    ((struct product *)user)->blinks++;
    return G_SOURCE_CONTINUE;
}

static gboolean on_terminate(gpointer user)
{
    hob_runtime_stop(((struct product *)user)->runtime, "the product was asked to end", NULL, NULL);
    return G_SOURCE_CONTINUE;
}

static gboolean on_stopped(gpointer user)
{
    g_main_loop_quit(((struct product *)user)->loop);
    return G_SOURCE_REMOVE;
}

int main(int argc, char **argv)
{
    struct product product = {.loop = g_main_loop_new(NULL, FALSE)};
    const struct hob_runtime_options options = {.size = sizeof options,
                                                .config_file = argc > 1 ? argv[1] : "hob.conf.lua"};
    const struct hob_observer observer = {.size = sizeof observer, .job_ended = on_ended};
    struct hob_error err;
    int rc = hob_runtime_new(&options, &product.runtime, &err);
    if (rc == 0) {
        hob_runtime_observe(product.runtime, &observer);
        rc = hob_runtime_start(product.runtime, &err);
    }
    if (rc == 0) {
        g_timeout_add(100, blink, &product);
        g_unix_signal_add(SIGTERM, on_terminate, &product);
        attach(product.runtime, on_stopped, &product);
        g_main_loop_run(product.loop);
        g_print("blinked %u times\n", product.blinks);
    } else {
        g_printerr("glib: %s\n", err.message);
    }
    hob_runtime_free(product.runtime);
    g_main_loop_unref(product.loop);
    return rc ? 1 : 0;
}
