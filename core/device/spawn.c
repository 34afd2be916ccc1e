/* spawn.c - see spawn.h */
#include "device/spawn.h"

#include "base/alloc.h"
#include "device/child.h"
#include "device/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#define WAIT_BY_PIDFD ((idtype_t)3) /* P_PIDFD, Linux 5.4 */

/* Who stops Hob may signal it and its programs together (systemd, unless KillMode=mixed). The end
 * of a program may be seen first; it counts once our own signal must have been: libuv hands those
 * on at the end of the turn that follows. */
#define LOOKS_AT_SIGNALLED 3

#define PATH_DEFAULT "/bin:/usr/bin"
#define REPORT_MS    10000

struct hob_spawn {
    struct hob_loop *loop;
    int pid, pidfd;
    int looks;    /* so often it was seen to have ended by a signal */
    bool handled; /* one of these is a handle of the loop */
    union {
        uv_poll_t poll; /* of the pidfd */
        uv_process_t process;
        uv_handle_t handle;
    };
    bool closed;
    struct hob_loop_soon lost; /* it is not ours to wait for any more: told, deferred */
    void (*ended)(void *user, const struct hob_spawn_end *end);
    void *user;
};

/* ---- how it ends ---- */

static void tell(struct hob_spawn *spawn, const struct hob_spawn_end *end)
{
    if (spawn->ended)
        spawn->ended(spawn->user, end);
}

static int wait_for(const struct hob_spawn *spawn, int more, siginfo_t *info)
{
    int rc;
    do {
        memset(info, 0, sizeof *info);
        rc = waitid(WAIT_BY_PIDFD, (id_t)spawn->pidfd, info, WEXITED | WNOHANG | more);
    } while (rc < 0 && errno == EINTR);
    return rc;
}

static bool is_to_be_seen_again(struct hob_spawn *spawn)
{
    siginfo_t info;
    return wait_for(spawn, WNOWAIT, &info) == 0 && info.si_pid && info.si_code != CLD_EXITED &&
           ++spawn->looks < LOOKS_AT_SIGNALLED;
}

static void on_pidfd(uv_poll_t *poll, int status, int events)
{
    struct hob_spawn *spawn = poll->data;
    siginfo_t info;
    struct hob_spawn_end end = {.code = -1};
    if (is_to_be_seen_again(spawn))
        return; /* the pidfd stays readable */
    if (wait_for(spawn, 0, &info))
        end.unknown = true;
    else if (info.si_pid == 0)
        return; /* woken for nothing */
    else if (info.si_code == CLD_EXITED)
        end.code = info.si_status;
    else
        end.signal = info.si_status;
    uv_poll_stop(poll);
    tell(spawn, &end);
}

static void on_process(uv_process_t *process, int64_t code, int number)
{
    tell(process->data, &(struct hob_spawn_end){.code = number ? -1 : (int)code, .signal = number});
}

static void on_closed(uv_handle_t *handle)
{
    struct hob_spawn *spawn = handle->data;
    if (spawn->pidfd >= 0)
        close(spawn->pidfd);
    hob_free(spawn);
}

void hob_spawn_close(struct hob_spawn *spawn)
{
    if (!spawn)
        return;
    spawn->ended = NULL;
    spawn->closed = true;
    if (spawn->handled)
        uv_close(&spawn->handle, on_closed);
    else if (!spawn->lost.waiting)
        hob_free(spawn);
}

static void on_lost(void *user)
{
    struct hob_spawn *spawn = user;
    if (spawn->closed)
        hob_free(spawn);
    else
        tell(spawn, &(struct hob_spawn_end){.code = -1, .unknown = true});
}

int hob_spawn_pid(const struct hob_spawn *spawn)
{
    return spawn->pid;
}

/* ---- by a pidfd ---- */

static int open_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* Asked each time: that is nothing beside what follows. Linux 5.3 has pidfds, and cannot wait by
 * them. @return 0, or errno */
static int try_pidfd(void)
{
    siginfo_t info;
    int fd = open_pidfd(getpid());
    if (fd < 0)
        return errno;
    int rc = waitid(WAIT_BY_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG), number = errno;
    close(fd);
    return rc < 0 && number != ECHILD ? number : 0; /* no process is a child of its own */
}

static const char *path_of(char *const *env)
{
    for (; env && *env; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return PATH_DEFAULT;
}

/* What the child must not allocate. @return NULL: out of memory; caller frees */
static char **script_words(const struct hob_spawn_options *options)
{
    size_t count = 0;
    while (options->argv[count])
        count++;
    char **words = hob_calloc(count + 3, sizeof *words);
    if (!words)
        return NULL;
    words[0] = (char *)(uintptr_t) "/bin/sh";
    if (count > 1)
        memcpy(words + 2, options->argv + 1, (count - 1) * sizeof *words);
    return words;
}

/* With the parent's memory, which is quick however large it is; but not as another user: for a
 * moment that user's programs could look into it. */
static pid_t make_child(const struct hob_spawn_plan *plan)
{
    if (!plan->as) {
        /* NOLINTBEGIN(clang-analyzer-security.insecureAPI.vfork,clang-analyzer-unix.Vfork): between
         * here and the program the child only makes system calls, on memory of its own stack */
        pid_t pid = vfork();
        if (pid == 0)
            hob_spawn_child(plan);
        /* NOLINTEND(clang-analyzer-security.insecureAPI.vfork,clang-analyzer-unix.Vfork) */
        return pid;
    }
    /* The kernel's own call: handlers of pthread_atfork are none of ours, and may wait for locks.
     */
#ifdef __s390__
    long pid = syscall(SYS_clone, 0L, (long)SIGCHLD, 0L, 0L, 0L);
#else
    long pid = syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
#endif
    if (pid == 0)
        hob_spawn_child(plan);
    return (pid_t)pid;
}

static pid_t make_child_quietly(const struct hob_spawn_plan *plan)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = make_child(plan);
    int number = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = number;
    return pid;
}

/* The end of the pipe comes with the program's start, unless a thread of the process has made a
 * copy of the whole at that moment: for that nobody waits for ever. @return whether there was a
 * report */
static bool read_report(int fd, struct hob_spawn_report *out)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    ssize_t n;
    while (poll(&ready, 1, REPORT_MS) < 0 && errno == EINTR) {
        /* again */
    }
    if (!ready.revents)
        return false;
    do {
        n = read(fd, out, sizeof *out);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *out;
}

static void reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        /* again */
    }
}

static const char *name_of(const struct hob_spawn_options *options)
{
    return options->name ? options->name : options->argv[0];
}

static int say_failed(const struct hob_spawn_options *options,
                      const struct hob_spawn_report *report, struct hob_error *err)
{
    if (report->what == HOB_SPAWN_USER && report->number == EPERM)
        return hob_user_refused(options->as, err);
    if (report->what == HOB_SPAWN_USER)
        return hob_error_set(err, hob_error_from_errno(report->number), "running as %s: %s",
                             options->as->name, strerror(report->number));
    int code = report->what == HOB_SPAWN_CWD ? hob_child_cwd_trouble(options->cwd, err) : 0;
    if (report->what == HOB_SPAWN_CWD && !code)
        return hob_error_set(err, hob_error_from_errno(report->number), "cwd %s: %s", options->cwd,
                             strerror(report->number));
    return code ? code : hob_child_why_not_started(name_of(options), NULL, -report->number, err);
}

static int fail(const struct hob_spawn_options *options, const char *doing, int number,
                struct hob_error *err)
{
    return hob_error_set(err, hob_error_from_errno(number), "%s: could not be started: %s: %s",
                         name_of(options), doing, strerror(number));
}

/* The child's end of the pipe stays clear of the standard three, where it could be overwritten. */
static int open_report(int pipe[2])
{
    if (pipe2(pipe, O_CLOEXEC))
        return -1;
    if (pipe[1] > STDERR_FILENO)
        return 0;
    int higher = fcntl(pipe[1], F_DUPFD_CLOEXEC, STDERR_FILENO + 1), number = errno;
    close(pipe[1]);
    pipe[1] = higher;
    if (higher < 0)
        close(pipe[0]);
    errno = number;
    return higher < 0 ? -1 : 0;
}

/* @param words  see script_words @return the child's id, or a code */
static int start_child(const struct hob_spawn_options *options, char **words, struct hob_error *err)
{
    int report_pipe[2];
    struct hob_spawn_report report;
    char **env = options->env ? (char **)(uintptr_t)options->env : environ;
    if (open_report(report_pipe))
        return fail(options, "a pipe", errno, err);
    struct hob_spawn_plan plan = {
        .file = options->file,
        .argv = (char **)(uintptr_t)options->argv,
        .env = env,
        .path = path_of(env),
        .script = words,
        .cwd = options->cwd,
        .as = options->as && options->as->other ? options->as : NULL,
        .report = report_pipe[1],
    };
    memcpy(plan.standard, options->standard, sizeof plan.standard);
    pid_t pid = make_child_quietly(&plan);
    int number = errno;
    close(report_pipe[1]);
    bool failed = pid > 0 && read_report(report_pipe[0], &report);
    close(report_pipe[0]);
    if (pid < 0)
        return fail(options, "a process", number, err);
    if (!failed)
        return pid;
    reap(pid);
    return say_failed(options, &report, err);
}

static int watch_child(struct hob_spawn *spawn, const struct hob_spawn_options *options,
                       struct hob_error *err)
{
    spawn->pidfd = open_pidfd(spawn->pid);
    int number = errno;
    if (spawn->pidfd < 0 && number == ESRCH) { /* taken already by who waits for all children */
        hob_loop_defer(spawn->loop, &spawn->lost, on_lost, spawn);
        return 0;
    }
    if (spawn->pidfd >= 0)
        number = -uv_poll_init(hob_loop_uv(spawn->loop), &spawn->poll, spawn->pidfd);
    if (spawn->pidfd >= 0 && number == 0) {
        spawn->handled = true;
        spawn->poll.data = spawn;
        uv_poll_start(&spawn->poll, UV_READABLE, on_pidfd);
        return 0;
    }
    if (spawn->pidfd >= 0)
        close(spawn->pidfd);
    kill(-spawn->pid, SIGKILL);
    reap(spawn->pid);
    return fail(options, "watching it", number, err);
}

static int start_by_pidfd(struct hob_spawn *spawn, const struct hob_spawn_options *options,
                          struct hob_error *err)
{
    char **words = script_words(options);
    if (!words)
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", name_of(options));
    int pid = start_child(options, words, err);
    hob_free(words);
    if (pid < 0)
        return pid;
    spawn->pid = pid;
    return watch_child(spawn, options, err);
}

/* ---- by libuv ---- */

static int start_as(struct hob_spawn *spawn, const struct hob_user *user, uv_process_options_t *how,
                    int *status, struct hob_error *err)
{
    struct hob_user_before before;
    int code = user ? hob_user_begin(user, &before, err) : 0;
    if (code)
        return code;
    if (user && user->other) {
        how->flags |= UV_PROCESS_SETUID;
        how->uid = user->uid;
    }
    *status = uv_spawn(hob_loop_uv(spawn->loop), &spawn->process, how);
    spawn->process.data = spawn;
    if (user)
        hob_user_end(&before);
    return 0;
}

static int start_by_libuv(struct hob_spawn *spawn, const struct hob_spawn_options *options,
                          struct hob_error *err)
{
    int status = 0;
    uv_stdio_container_t stdio[3];
    for (int i = 0; i < 3; i++)
        stdio[i] =
            (uv_stdio_container_t){.flags = options->standard[i] < 0 ? UV_IGNORE : UV_INHERIT_FD,
                                   .data.fd = options->standard[i]};
    uv_process_options_t how = {
        .exit_cb = on_process,
        .file = options->file,
        .args = (char **)(uintptr_t)options->argv,
        .env = (char **)(uintptr_t)options->env,
        .cwd = options->cwd,
        .flags = UV_PROCESS_DETACHED, /* setsid */
        .stdio_count = 3,
        .stdio = stdio,
    };
    hob_child_keep_descriptors();
    int code = start_as(spawn, options->as, &how, &status, err);
    spawn->handled = code == 0; /* also if it could not start anything */
    spawn->pid = spawn->process.pid;
    return code || status == 0
               ? code
               : hob_child_why_not_started(name_of(options), options->cwd, status, err);
}

/* ---- the one or the other ---- */

static bool is_of_no_use(int number)
{
    return number == ENOSYS || number == EPERM || number == EINVAL || number == EACCES;
}

int hob_spawn_start(struct hob_loop *loop, const struct hob_spawn_options *options,
                    struct hob_spawn **out, struct hob_error *err)
{
    struct hob_spawn *spawn = hob_calloc(1, sizeof *spawn);
    if (!spawn)
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", name_of(options));
    *spawn = (struct hob_spawn){
        .loop = loop, .pidfd = -1, .ended = options->ended, .user = options->user};
    int trouble = try_pidfd(), code;
    if (options->by_libuv || is_of_no_use(trouble))
        code = start_by_libuv(spawn, options, err);
    else if (trouble)
        code = fail(options, "watching it", trouble, err);
    else
        code = start_by_pidfd(spawn, options, err);
    if (code)
        hob_spawn_close(spawn);
    else
        *out = spawn;
    return code;
}
