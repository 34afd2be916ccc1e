/* spawn_child.c - see spawn_child.h */
#include "device/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define CLOSE_RANGE_ON_EXEC (1u << 2) /* CLOSE_RANGE_CLOEXEC, Linux 5.11 */

_Noreturn static void give_up(const struct hob_spawn_plan *plan, int what)
{
    struct hob_spawn_report report = {.what = what, .number = errno};
    ssize_t n = write(plan->report, &report, sizeof report);
    _exit(n == (ssize_t)sizeof report ? 127 : 126);
}

/* Handlers of the process must not run here: all signals are blocked until there are none. What is
 * ignored would be so for the program, too. One that waits was for the group that the child was in
 * until now (a SIGTERM that stops Hob): to be ignored for a moment drops it. */
static void reset_signals(void)
{
    struct sigaction action;
    sigset_t waiting;
    memset(&action, 0, sizeof action);
    sigpending(&waiting);
    for (int number = 1; number < _NSIG; number++) {
        if (number == SIGKILL || number == SIGSTOP)
            continue;
        if (sigismember(&waiting, number) == 1) {
            action.sa_handler = SIG_IGN;
            sigaction(number, &action, NULL);
        }
        action.sa_handler = SIG_DFL;
        sigaction(number, &action, NULL);
    }
}

static void let_signals_in(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ---- descriptors ---- */

/* A process may have been started without the standard three: then any of ours may be one of them,
 * and is put out of the way first. */
static bool set_standard(const int given[3])
{
    int from[3];
    for (int i = 0; i < 3; i++) {
        from[i] = given[i] >= 0 ? given[i] : open("/dev/null", O_RDWR | O_CLOEXEC);
        if (from[i] >= 0 && from[i] < 3)
            from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3);
        if (from[i] < 0)
            return false;
    }
    for (int i = 0; i < 3; i++)
        if (dup2(from[i], i) < 0) /* without the mark to be closed */
            return false;
    return true;
}

/* As the kernel writes them into the buffer. */
struct entry {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

static int number_of(const char *name)
{
    int number = 0;
    for (; *name >= '0' && *name <= '9'; name++)
        number = number * 10 + (*name - '0');
    return *name ? -1 : number;
}

static void mark_listed(int dir)
{
    _Alignas(struct entry) char some[2048];
    long len;
    while ((len = syscall(SYS_getdents64, dir, some, sizeof some)) > 0)
        for (long at = 0; at < len;
             at += ((const struct entry *)(const void *)(some + at))->length) {
            int fd = number_of(((const struct entry *)(const void *)(some + at))->name);
            if (fd > 2)
                fcntl(fd, F_SETFD, FD_CLOEXEC);
        }
}

/* Some libraries, and whoever started the process, leave some open to every child. */
static void close_others(void)
{
    if (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_ON_EXEC) == 0)
        return;
    int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return;
    mark_listed(dir);
    close(dir);
}

/* ---- the program ---- */

/* Returns only if it could not; errno says why. */
static void try_one(const struct hob_spawn_plan *plan, const char *path)
{
    execve(path, plan->argv, plan->env);
    if (errno != ENOEXEC)
        return;
    plan->script[1] = (char *)(uintptr_t)path;
    execve(plan->script[0], plan->script, plan->env);
    errno = ENOEXEC;
}

static bool join(char out[PATH_MAX], const char *dir, size_t dir_len, const char *name)
{
    size_t len = strlen(name);
    if (dir_len + 1 + len >= PATH_MAX)
        return false;
    memcpy(out, dir, dir_len);
    if (dir_len > 0)
        out[dir_len++] = '/';
    memcpy(out + dir_len, name, len + 1);
    return true;
}

/* As execvp does: a directory in which it is not, or may not be run, is not the last. */
static void try_all(const struct hob_spawn_plan *plan)
{
    char path[PATH_MAX];
    bool forbidden = false;
    for (const char *dir = plan->path;; dir++) {
        size_t len = strcspn(dir, ":");
        errno = ENAMETOOLONG;
        if (join(path, dir, len, plan->file))
            try_one(plan, path);
        forbidden = forbidden || errno == EACCES;
        if (errno != EACCES && errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG)
            return;
        dir += len;
        if (!*dir)
            break;
    }
    errno = forbidden ? EACCES : ENOENT;
}

_Noreturn void hob_spawn_child(const struct hob_spawn_plan *plan)
{
    setsid();
    reset_signals();
    if (!set_standard(plan->standard))
        give_up(plan, HOB_SPAWN_STANDARD);
    close_others();
    if (plan->cwd && chdir(plan->cwd))
        give_up(plan, HOB_SPAWN_CWD);
    if (plan->as && hob_user_become(plan->as))
        give_up(plan, HOB_SPAWN_USER);
    let_signals_in();
    if (strchr(plan->file, '/') || !plan->file[0])
        try_one(plan, plan->file);
    else
        try_all(plan);
    give_up(plan, HOB_SPAWN_PROGRAM);
}
