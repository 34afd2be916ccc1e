/* minimal.c - runs the jobs of a thing, says what becomes of them, stops on Ctrl-C or SIGTERM.
 *
 *     cc -o minimal minimal.c $(pkg-config --cflags --libs hob) && ./minimal hob.conf.lua
 */
#include <hob.h>
#include <stdio.h>

static void on_ended(void *user, const struct hob_job_event *job)
{
    fprintf(user, "job %s: %s %s\n", job->job_id, job->status, job->text);
    fflush(user);
}

static int fail(const struct hob_error *err)
{
    fprintf(stderr, "minimal: %s\n", err->message);
    return 1;
}

int main(int argc, char **argv)
{
    const char *file = argc > 1 ? argv[1] : "hob.conf.lua";
    struct hob_runtime_options options = {
        .size = sizeof options, .config_file = file, .handle_signals = true};
    struct hob_observer observer = {.size = sizeof observer, .job_ended = on_ended, .user = stdout};
    struct hob_runtime *runtime;
    struct hob_error err = {.message = "out of memory"}; /* hob_runtime_observe says no more */
    if (hob_runtime_new(&options, &runtime, &err)) {
        return fail(&err);
    }
    int rc = hob_runtime_observe(runtime, &observer);
    rc = rc ? rc : hob_runtime_start(runtime, &err);
    rc = rc ? fail(&err) : hob_runtime_run(runtime);
    hob_runtime_free(runtime);
    return rc;
}
