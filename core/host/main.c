/* main.c - hob_main, what the program `hob` is: which command, and its exit code. */
#include "base/mbed.h"
#include "base/module.h"
#include "device/download.h"
#include "host/runtime.h"
#include "host/tool.h"
#include "net/mqtt.h"
#include "work/store.h"

#include <fcntl.h>
#include <lua.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#define EXIT_USAGE 2

static const char usage[] =
    "Hob runs AWS IoT Jobs on this gateway; what a job does is a Lua file.\n"
    "\n"
    "usage: hob run --config FILE [flags]     run the jobs of a thing (hob run --help)\n"
    "       hob status                        how the gateway of this machine does\n"
    "       hob reload                        have it read its handlers again\n"
    "       hob jobs [--history]              this gateway's jobs, and what became of them\n"
    "       hob log [JOB] [--follow]          what happened, to a job or at all\n"
    "       hob support [JOB] -o FILE         all that somebody needs who is asked for help\n"
    "       hob cancel JOB                    end one of them, here\n"
    "       hob repl [JOB]                    Lua in the gateway; look into a running job\n"
    "       hob drain [on|off|status]         begin no new job, while a person works\n"
    "       hob thing list|add|remove         its things, while it runs\n"
    "       hob retry-report [JOB]            tell the service now what it does not have\n"
    "       hob handlers                      its handlers, and how their jobs ended\n"
    "       hob metrics                       what there is to count, for Prometheus\n"
    "       hob init                          write a configuration: what is missing is asked for\n"
    "       hob import [FILE]                 take over from AWS's own client on this machine\n"
    "       hob provision --template NAME ... get certificate and thing by fleet provisioning\n"
    "       hob doctor                        what is wrong here, from the clock to the cloud\n"
    "       hob handler list|help|lint|run|new   handlers at a desk, without a cloud\n"
    "       hob dap                           a debug adapter, for editors\n"
    "       hob lua [FILE [ARG...]]           a Lua interpreter with Hob's modules\n"
    "       hob service --endpoint HOST ...   a local Jobs service, for the bench and tests\n"
    "       hob service fault add|list|remove   plant faults in it\n"
    "       hob job create|list|describe|cancel|delete|watch   talk to a local Jobs service\n"
    "       hob completion bash|zsh           prints a script that completes hob's commands\n"
    "       hob --version\n"
    "       hob --help\n";

/* libcurl lies in a module; a device without it still has a version. */
static void print_downloads(void)
{
    struct hob_error err = {0};
    if (hob_module_open("hob_download", &err)) {
        printf("  %s (downloads; with its own TLS)\n", hob_download_version());
    } else {
        printf("  no downloads: %s\n", err.message);
    }
}

static int print_version(void)
{
    char mosquitto[32];
    printf("hob %s\n", HOB_VERSION);
    printf("  %s, libuv %s, libmosquitto %s, %s (MQTT), SQLite %s\n", LUA_RELEASE,
           uv_version_string(), hob_mqtt_library_version(mosquitto, sizeof mosquitto),
           hob_mbed_version(), hob_store_library_version());
    print_downloads();
    return 0;
}

/* Else what is opened first gets their numbers: what is printed would go into the store. */
static void open_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            open("/dev/null", O_RDWR); /* the lowest that is free */
        }
    }
}

int hob_main(int argc, char **argv)
{
    open_standard();
    signal(SIGPIPE, SIG_IGN); /* a peer that closed is an error code, not our end */
    signal(SIGCHLD, SIG_DFL); /* ignored by who started us, it would hide how programs end */
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "--version") == 0) {
        return print_version();
    }
    if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (strcmp(command, "run") == 0) {
        return hob_runtime_main(argc - 2, argv + 2);
    }
    if (hob_tool_exists(command)) {
        return hob_tool_run(command, argc - 2, argv + 2);
    }
    if (*command) {
        fprintf(stderr, "hob: no command '%s'\n", command);
    }
    fputs(usage, stderr);
    return EXIT_USAGE;
}
