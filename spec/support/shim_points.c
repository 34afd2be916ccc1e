#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct hob_shim hob_shim = {.lock = PTHREAD_MUTEX_INITIALIZER, .log = -1};

static const char *const kind_names[HOB_SHIM_KINDS] = {"commit", "publish", "accepted", "call",
                                                       "usec"};

/* ---- words ---- */

__attribute__((format(printf, 1, 2))) void hob_shim_say(const char *format, ...)
{
    char line[HOB_SHIM_PATH_BYTES + HOB_SHIM_HEAD_BYTES];
    va_list values;
    if (hob_shim.log < 0)
        return;
    va_start(values, format);
    int len = vsnprintf(line, sizeof line - 1, format, values);
    va_end(values);
    if (len < 0)
        return;
    size_t end = (size_t)len < sizeof line - 1 ? (size_t)len : sizeof line - 2;
    line[end] = '\n';
    syscall(SYS_write, hob_shim.log, line, end + 1);
}

/* ---- the end of the process ---- */

static void take_back(const struct hob_shim_undo *undo)
{
    for (size_t done = 0; done < undo->len;) {
        long put = syscall(SYS_pwrite64, undo->fd, undo->bytes + done, undo->len - done,
                           undo->at + (off_t)done);
        if (put <= 0)
            break;
        done += (size_t)put;
    }
    syscall(SYS_ftruncate, undo->fd, undo->size);
}

void hob_shim_die(const char *where)
{
    hob_shim_say("killed %s %llu @%llu%s", where, (unsigned long long)hob_shim.kill_at,
                 (unsigned long long)hob_shim.counts[HOB_SHIM_CALL],
                 hob_shim.power ? " with what was not synced" : "");
    if (hob_shim.power)
        while (hob_shim.undos > 0)
            take_back(&hob_shim.undo[--hob_shim.undos]);
    for (;;)
        syscall(SYS_kill, hob_shim.pid, SIGKILL);
}

bool hob_shim_is_target(enum hob_shim_kind kind)
{
    return hob_shim.kill_at > 0 && hob_shim.kill_kind == kind &&
           hob_shim.counts[kind] == hob_shim.kill_at;
}

/* The point has come. Killing after it is for the caller, once the call is done. */
void hob_shim_reach(enum hob_shim_kind kind, const char *detail)
{
    hob_shim.counts[kind]++;
    hob_shim_say("%s %llu @%llu %s", kind_names[kind], (unsigned long long)hob_shim.counts[kind],
                 (unsigned long long)hob_shim.counts[HOB_SHIM_CALL], detail);
    if (hob_shim_is_target(kind) && !hob_shim.kill_after)
        hob_shim_die(kind_names[kind]);
}

void hob_shim_passed(enum hob_shim_kind kind)
{
    if (hob_shim_is_target(kind) && hob_shim.kill_after)
        hob_shim_die(kind_names[kind]);
}

/* ---- each call ---- */

/* @return whether this call is looked at; then `leave` must follow */
bool hob_shim_enter(void)
{
    if (hob_shim.pid == 0 || syscall(SYS_getpid) != hob_shim.pid)
        return false; /* a child between fork and exec */
    sigset_t all, mask;
    sigfillset(&all); /* libuv's handler of SIGCHLD reads and writes, too */
    pthread_sigmask(SIG_SETMASK, &all, &mask);
    pthread_mutex_lock(&hob_shim.lock);
    hob_shim.mask = mask;
    hob_shim.counts[HOB_SHIM_CALL]++;
    if (hob_shim_is_target(HOB_SHIM_CALL))
        hob_shim_die("call");
    return true;
}

void hob_shim_leave(void)
{
    int saved = errno;
    sigset_t mask = hob_shim.mask;
    pthread_mutex_unlock(&hob_shim.lock);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    errno = saved;
}

/* ---- files below the data directory ---- */

/* @return the path below the data directory, in `path`, or NULL */
const char *hob_shim_inside(const char *path)
{
    size_t len = strlen(hob_shim.data);
    return len > 0 && strncmp(path, hob_shim.data, len) == 0 && path[len] == '/' ? path + len + 1
                                                                                 : NULL;
}

const char *hob_shim_name_of(int fd, char path[HOB_SHIM_PATH_BYTES])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long len = syscall(SYS_readlinkat, AT_FDCWD, link, path, (size_t)HOB_SHIM_PATH_BYTES - 1);
    path[len > 0 ? len : 0] = '\0';
    return hob_shim_inside(path);
}

bool hob_shim_is_store(const char *name)
{
    return strcmp(name, "hob.db") == 0 || strcmp(name, "hob.db-wal") == 0;
}

/* The error that the control file asks for, or 0. */
int hob_shim_fault(void)
{
    char word[16] = "";
    if (!hob_shim.fault[0])
        return 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, hob_shim.fault, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    syscall(SYS_read, fd, word, sizeof word - 1);
    syscall(SYS_close, fd);
    return strncmp(word, "EROFS", 5) == 0 ? EROFS : strncmp(word, "EIO", 3) == 0 ? EIO : ENOSPC;
}

bool hob_shim_may_change(const char *name, bool takes_room)
{
    int code = name ? hob_shim_fault() : 0;
    if (code == 0 || code == EIO || (code == ENOSPC && !takes_room))
        return true;
    errno = code;
    return false;
}

/* A full disk still takes what it has a place for: bytes written over others, and as many new ones
 * as were given back since. */
bool hob_shim_may_write(const char *name, int fd, off_t end)
{
    struct stat st;
    int code = name ? hob_shim_fault() : 0;
    if (name && code == 0)
        hob_shim.room = 0;
    if (code == ENOSPC && fstat(fd, &st) == 0) {
        off_t more = end > st.st_size ? end - st.st_size : 0;
        if (more <= hob_shim.room) {
            hob_shim.room -= more;
            return true;
        }
    }
    if (code) {
        hob_shim_say("refused %d @%llu %s", code,
                     (unsigned long long)hob_shim.counts[HOB_SHIM_CALL], name);
        errno = code;
    }
    return code == 0;
}

void hob_shim_give_back(off_t bytes)
{
    if (hob_shim_fault() == ENOSPC)
        hob_shim.room += bytes;
}

/* ---- what a power cut takes back ---- */

void hob_shim_remember(int fd, off_t at, size_t len)
{
    struct stat st;
    if (!hob_shim.power || hob_shim.undos == HOB_SHIM_UNDO_MAX || fstat(fd, &st) != 0)
        return;
    off_t end = at + (off_t)len < st.st_size ? at + (off_t)len : st.st_size;
    struct hob_shim_undo undo = {
        .fd = fd, .dev = st.st_dev, .ino = st.st_ino, .size = st.st_size, .at = at};
    if (end > at) {
        undo.bytes = malloc((size_t)(end - at));
        long got =
            undo.bytes ? syscall(SYS_pread64, fd, undo.bytes, (size_t)(end - at), (long)at) : -1;
        undo.len = got > 0 ? (size_t)got : 0;
    }
    hob_shim.undo[hob_shim.undos++] = undo;
}

/* Drop what is of this descriptor, or (with its `st`) of this file. */
static void forget(int fd, const struct stat *st)
{
    size_t kept = 0;
    for (size_t i = 0; i < hob_shim.undos; i++) {
        struct hob_shim_undo *undo = &hob_shim.undo[i];
        if (st ? undo->dev == st->st_dev && undo->ino == st->st_ino : undo->fd == fd)
            free(undo->bytes);
        else
            hob_shim.undo[kept++] = *undo;
    }
    hob_shim.undos = kept;
}

void hob_shim_forget_file(int fd)
{
    struct stat st;
    if (hob_shim.undos > 0 && fstat(fd, &st) == 0)
        forget(fd, &st);
}

void hob_shim_forget_fd(int fd)
{
    forget(fd, NULL);
}

/* ---- the beginning ---- */

static void take_text(const char *name, char *out)
{
    const char *value = getenv(name);
    snprintf(out, HOB_SHIM_PATH_BYTES, "%s", value ? value : "");
}

/* A power cut takes back first. This thread is not inside a call here, see hob_shim_enter. */
static void on_power_cut(int number)
{
    (void)number;
    pthread_mutex_lock(&hob_shim.lock);
    hob_shim_die("usec");
}

static void kill_in(uint64_t usec)
{
    timer_t timer;
    struct sigaction action = {.sa_handler = on_power_cut};
    sigfillset(&action.sa_mask);
    int number = hob_shim.power ? SIGRTMAX : SIGKILL;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = number};
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(usec / 1000000), .tv_nsec = (long)(usec % 1000000 * 1000)}};
    if (hob_shim.power)
        sigaction(number, &action, NULL);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0)
        timer_settime(timer, 0, &when, NULL);
}

static void read_kill(const char *text)
{
    char kind[16], when[16];
    unsigned long long at;
    if (sscanf(text, "%15s %15s %llu", kind, when, &at) != 3)
        return;
    for (int i = 0; i < HOB_SHIM_KINDS; i++)
        if (strcmp(kind, kind_names[i]) == 0)
            hob_shim.kill_kind = (enum hob_shim_kind)i;
    hob_shim.kill_after = strcmp(when, "after") == 0;
    hob_shim.kill_at = at;
    if (hob_shim.kill_kind == HOB_SHIM_USEC)
        kill_in(at);
}

__attribute__((constructor)) static void begin(void)
{
    static const char *const names[] = {"HOB_SHIM_DATA",  "HOB_SHIM_LOG",   "HOB_SHIM_KILL",
                                        "HOB_SHIM_POWER", "HOB_SHIM_FAULT", "LD_PRELOAD"};
    char path[HOB_SHIM_PATH_BYTES], kill_text[HOB_SHIM_PATH_BYTES];
    for (int i = 0; i < HOB_SHIM_FLOWS; i++)
        hob_shim.in[i].fd = hob_shim.out[i].fd = -1;
    take_text("HOB_SHIM_DATA", hob_shim.data);
    if (!hob_shim.data[0])
        return;
    take_text("HOB_SHIM_FAULT", hob_shim.fault);
    take_text("HOB_SHIM_LOG", path);
    take_text("HOB_SHIM_KILL", kill_text);
    hob_shim.power = getenv("HOB_SHIM_POWER") != NULL;
    if (path[0])
        hob_shim.log = (int)syscall(SYS_openat, AT_FDCWD, path,
                                    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unsetenv(names[i]);
    read_kill(kill_text);
    hob_shim.pid = (pid_t)syscall(SYS_getpid);
}
