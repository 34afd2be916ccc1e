/* runtime_main.c - `hob run`: a runtime with all that a process has once. */
#include "host/runtime_parts.h"

#include "base/alloc.h"
#include "host/process_pages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_CONFIG 2
#define SETTLED_MS  3000 /* by then the start is over, most often with the first connection */

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

static int say(const struct hob_error *err)
{
    fprintf(stderr, "hob: %s\n", err->message);
    return err->code == HOB_ECONFIG ? EXIT_CONFIG : 1;
}

static void on_settled(void *user)
{
    (void)user;
    hob_alloc_trim();
    hob_process_pages_give_back();
}

/* @return the exit status; *again: a new process is to take over */
static int run(struct hob_config *config, bool *again)
{
    const struct hob_runtime_options options = {.size = sizeof options,
                                                .handle_signals = true,
                                                .notify_systemd = true,
                                                .raise_limits = true};
    struct hob_runtime *runtime = NULL;
    struct hob_error err = {0};
    if (hob_runtime_make(config, &options, &runtime, &err)) {
        return say(&err);
    }
    runtime->is_program = true;
    int status = 0;
    if (hob_runtime_start(runtime, &err)) {
        status = say(&err);
    } else {
        struct hob_timer *settled = hob_timer_new(runtime->loop, on_settled, NULL);
        if (settled) {
            hob_timer_start(settled, SETTLED_MS);
        }
        hob_runtime_run(runtime);
        hob_timer_close(settled);
    }
    *again = status == 0 && runtime->again;
    hob_runtime_free(runtime);
    return status;
}

int hob_runtime_main(int argc, char **argv)
{
    char program[PATH_MAX] = "";
    if (!realpath("/proc/self/exe", program)) {
        snprintf(program, sizeof program, "hob");
    }
    struct hob_config config = {0};
    struct hob_error err = {0};
    bool again = false;
    int rc = hob_config_load(argc, argv, &config, &err);
    if (rc) {
        hob_config_free(&config);
    }
    if (rc > 0) {
        fputs(hob_config_usage, stdout);
        return 0;
    }
    if (rc) {
        say(&err);
        return EXIT_CONFIG;
    }
    int status = run(&config, &again);
    return again ? execute_again(program, argc, argv) : status;
}
