/* embed_guest.c - a product that looks at what is the whole process's before, while and after it
 * has Hob inside, for spec/integration/embed_guest_spec.lua: signals, threads, environment,
 * directory, umask, locale, rand(), descriptors. It says what it sees in lines of JSON, on what its
 * standard error was; what else is written to its standard streams goes into a file, and counts.
 *
 * embed_guest CONFIG OUT ROUNDS [uv] [reap]
 *   OUT   the file for its standard output and error
 *   uv    on the product's own uv_loop_t, with SIGPIPE ignored by the product, as is its duty there
 *   reap  a handler of SIGCHLD that waits for all children
 * Signals 32 and 33 are the C library's own.
 * In each round: made, started, one job to its end, stopped, freed.
 */
#define _GNU_SOURCE
#pragma GCC diagnostic ignored "-Wunused-parameter" /* of callbacks */
#include <hob.h>

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

static FILE *report;
static struct hob_runtime *runtime;
static bool stopped, ended;
static bool on_uv; /* the product's loop */
static uv_loop_t loop;
static volatile sig_atomic_t children; /* that the handler has waited for */

static void reap(int number)
{
    while (waitpid(-1, NULL, WNOHANG) > 0) {
        children++;
    }
}

static void nothing(int number) {}

/* ---- looking ---- */

/* One line of /proc/self/task/TID/status: "SigBlk:" */
static void put_status(const char *name)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)gettid());
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) == 0) {
            line[strcspn(line, "\n")] = '\0';
            const char *value = line + strlen(name) + 1;
            fprintf(report, "\"%s\":\"%s\",", name, value + strspn(value, " \t"));
        }
    }
    if (file) {
        fclose(file);
    }
}

static void put_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    const struct dirent *entry;
    int count = 0;
    while (dir && (entry = readdir(dir))) {
        count += isdigit((unsigned char)entry->d_name[0]) != 0;
    }
    if (dir) {
        closedir(dir);
    }
    fprintf(report, "\"threads\":%d,", count);
}

static void put_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    int open_ones = 0, inherited = 0;
    fputs("\"files\":\"", report);
    while (dir && (entry = readdir(dir))) {
        int fd = atoi(entry->d_name);
        char path[64], link[256];
        if (!isdigit((unsigned char)entry->d_name[0]) || fd == dirfd(dir)) {
            continue;
        }
        open_ones++;
        bool would_be = fd > 2 && !(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        inherited += would_be;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t len = readlink(path, link, sizeof link - 1);
        link[len > 0 ? len : 0] = '\0';
        fprintf(report, "%d=%.*s%s ", fd, (int)strcspn(link, ":\""), link, would_be ? "!" : "");
    }
    if (dir) {
        closedir(dir);
    }
    fprintf(report, "\",\"descriptors\":%d,\"inherited\":%d,", open_ones, inherited);
}

static unsigned long environment(void)
{
    unsigned long hash = 5381;
    for (char **one = environ; one && *one; one++) {
        for (const char *c = *one; *c; c++) {
            hash = hash * 33 + (unsigned char)*c;
        }
    }
    return hash;
}

static bool sigpipe_waits(void)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGPIPE);
}

static void look(const char *when, int round)
{
    char directory[4096];
    struct stat out;
    mode_t mask = umask(0);
    umask(mask);
    fflush(stdout);
    fprintf(report, "{\"event\":\"guest.%s\",\"round\":%d,", when, round);
    put_status("SigBlk");
    put_status("SigIgn");
    put_status("SigCgt");
    put_threads();
    put_descriptors();
    fprintf(report, "\"environ\":\"%lx\",\"cwd\":\"%s\",\"umask\":%u,", environment(),
            getcwd(directory, sizeof directory) ? directory : "", (unsigned)mask);
    fprintf(report, "\"locale\":\"%s\",\"sigpipe\":%s,\"written\":%lld,\"children\":%d}\n",
            setlocale(LC_ALL, NULL), sigpipe_waits() ? "true" : "false",
            fstat(STDERR_FILENO, &out) ? -1 : (long long)out.st_size, (int)children);
    fflush(report);
}

/* ---- what the runtime calls ---- */

static void on_stopped(void *user)
{
    stopped = true;
}

/* A product that begins to block a signal inside a callback means it to last. */
static void on_progress(void *user, const struct hob_job_event *event)
{
    sigset_t more;
    look("during", *(const int *)user);
    sigemptyset(&more);
    sigaddset(&more, SIGURG);
    pthread_sigmask(SIG_BLOCK, &more, NULL);
}

static void on_accepted(void *user, const struct hob_job_event *event)
{
    if (strcmp(event->status, "IN_PROGRESS") == 0 || ended) {
        return;
    }
    ended = true;
    fprintf(report, "{\"event\":\"guest.job\",\"status\":\"%s\",\"code\":\"%s\",\"text\":\"",
            event->status, event->code);
    for (const char *c = event->text; *c; c++) {
        putc(*c == '"' || *c == '\\' || (unsigned char)*c < ' ' ? '\'' : *c, report);
    }
    fputs("\"}\n", report);
    fflush(report);
    hob_runtime_stop(runtime, "the round is over", on_stopped, NULL);
}

static void on_log(void *user, const struct hob_log_line *line)
{
    if (line->severity >= HOB_SEVERITY_WARN) {
        fprintf(report, "{\"event\":\"guest.log\",\"text\":\"%s\"}\n", line->event);
        fflush(report);
    }
}

/* ---- driving ---- */

static void drive(void)
{
    while (on_uv && !stopped) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    while (!on_uv) {
        struct pollfd fd = {.fd = hob_runtime_fd(runtime), .events = POLLIN};
        poll(&fd, 1, hob_runtime_timeout_ms(runtime));
        if (hob_runtime_dispatch(runtime) == 0) {
            break;
        }
    }
}

static int one_round(const char *config, int round)
{
    const char *const settings[] = {"log_target", "none", NULL};
    const struct hob_runtime_options options = {.size = sizeof options,
                                                .config_file = config,
                                                .settings = settings,
                                                .uv_loop = on_uv ? &loop : NULL,
                                                .log = on_log};
    const struct hob_observer observer = {.size = sizeof observer,
                                          .job_progress = on_progress,
                                          .update_accepted = on_accepted,
                                          .user = &round};
    struct hob_error err = {0};
    stopped = ended = false;
    int rc = hob_runtime_new(&options, &runtime, &err);
    rc = rc ? rc : hob_runtime_observe(runtime, &observer);
    rc = rc ? rc : hob_runtime_start(runtime, &err);
    if (rc) {
        fprintf(report, "{\"event\":\"guest.failed\",\"text\":\"%s\"}\n", hob_error_name(rc));
        return 1;
    }
    drive();
    hob_runtime_free(runtime);
    return 0;
}

/* What a product has set up by itself. */
static void set_up(bool reaps)
{
    struct sigaction action = {.sa_handler = nothing};
    sigset_t blocked;
    sigaction(SIGUSR1, &action, NULL);
    action.sa_handler = reaps ? reap : nothing;
    action.sa_flags = SA_RESTART;
    sigaction(SIGCHLD, &action, NULL);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &blocked, NULL);
    signal(SIGPIPE, on_uv ? SIG_IGN : SIG_DFL);
    umask(027);
    setlocale(LC_ALL, "C.UTF-8");
    setenv("GUEST", "a product", 1);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        return 2;
    }
    report = fdopen(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10), "w");
    int out = open(argv[2], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    close(out);
    bool reaps = false;
    for (int i = 4; i < argc; i++) {
        on_uv = on_uv || strcmp(argv[i], "uv") == 0;
        reaps = reaps || strcmp(argv[i], "reap") == 0;
    }
    set_up(reaps);
    if (on_uv) {
        uv_loop_init(&loop);
    }
    srand(7);
    rand();
    int expected = rand();
    srand(7);
    rand();
    look("before", 0);
    int rc = 0;
    for (int round = 1; rc == 0 && round <= atoi(argv[3]); round++) {
        rc = one_round(argv[1], round);
        look("after", round);
    }
    fprintf(report, "{\"event\":\"guest.over\",\"rand\":%s,\"loop\":%s}\n",
            rand() == expected ? "true" : "false",
            !on_uv || uv_loop_close(&loop) == 0 ? "true" : "false");
    fclose(report);
    return rc;
}
