/* shim.c - stands between a process of Hob and the kernel: LD_PRELOADed into `hob run` by
 * spec/support/shim.lua, never linked. It writes down the points of a job's way, ends the process
 * at one of them (exactly there, by SIGKILL), counts what goes to flash, and makes the data
 * directory's file system full, read-only or broken while a control file exists.
 *
 * Points (each kind is counted from 1, in each process anew)
 *   commit    a sync of hob.db or its log; `before`: not synced yet, `after`: before it returns
 *   publish   a write on the broker's socket in which a PUBLISH begins (no TLS); `before`: not
 *             written, `after`: before it returns
 *   accepted  a read on that socket that completes a message whose topic ends in /accepted;
 *             `before`: its bytes are thrown away, `after`: handled, the loop waits again
 *
 * Environment
 *   HOB_SHIM_DATA   the data directory, as an absolute path without links
 *   HOB_SHIM_LOG    file to append to: "commit 3 @412 hob.db-wal", "write 4096 @411 hob.db-wal",
 *                   "sync 1 @412 hob.db-wal", "refused 28 @411 hob.db-wal" (an errno); @ counts the
 *                   calls that pass through here
 *   HOB_SHIM_KILL   "commit before 3", "publish after 2", "call - 412", "usec - 3500"
 *   HOB_SHIM_POWER  set: as a power cut. What was written in the data directory and not synced yet
 *                   is taken back before the process dies
 *   HOB_SHIM_FAULT  a file; while it exists, writing below the data directory gives the error it
 *                   names: EROFS, EIO, or ENOSPC as a full disk does: what is written over other
 *                   bytes, or takes the place of what was given up since, is written
 *
 * Programs that the process starts are left alone: they do not inherit any of this. Calls go to the
 * kernel by syscall(), so that nothing here depends on what else was preloaded (a sanitizer).
 */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* ---- writing ---- */

static size_t size_of(const struct iovec *parts, int count)
{
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    return size;
}

static long to_broker(struct hob_shim_flow *flow, long number, const long args[6],
                      const struct iovec *parts, int count)
{
    struct hob_shim_flow before = *flow;
    struct hob_shim_heard heard = {0};
    hob_shim_flow_feed(flow, parts, count, SIZE_MAX, &heard, false);
    bool counts = flow->mqtt && heard.publishes > 0;
    if (counts && hob_shim.kill_kind == HOB_SHIM_PUBLISH && !hob_shim.kill_after &&
        hob_shim.counts[HOB_SHIM_PUBLISH] + 1 == hob_shim.kill_at)
        hob_shim_reach(HOB_SHIM_PUBLISH, heard.words);
    long put = syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
    if (put < 0 || (size_t)put < size_of(parts, count)) { /* the rest comes again */
        int saved = errno;
        *flow = before;
        heard = (struct hob_shim_heard){0};
        hob_shim_flow_feed(flow, parts, count, put < 0 ? 0 : (size_t)put, &heard, false);
        counts = flow->mqtt && heard.publishes > 0;
        errno = saved;
    }
    if (counts) {
        hob_shim_reach(HOB_SHIM_PUBLISH, heard.words);
        hob_shim_passed(HOB_SHIM_PUBLISH);
    }
    return put;
}

/* Where in the file a write ends. */
static off_t end_of(int fd, off_t at, size_t len)
{
    struct stat st;
    if (at < 0 && (fcntl(fd, F_GETFL) & O_APPEND) && fstat(fd, &st) == 0)
        at = st.st_size;
    else if (at < 0)
        at = lseek(fd, 0, SEEK_CUR);
    return at + (off_t)len;
}

/* Any way of writing: `number` and `args` are the system call, `parts` its bytes, `at` the place in
 * the file (-1: where it stands). */
static long do_write(long number, int fd, const long args[6], const struct iovec *parts, int count,
                     off_t at)
{
    char path[HOB_SHIM_PATH_BYTES];
    if (!hob_shim_enter())
        return syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
    struct hob_shim_flow *flow = hob_shim_flow_of(hob_shim.out, fd);
    const char *name = flow ? NULL : hob_shim_name_of(fd, path);
    long put = -1;
    if (flow) {
        put = to_broker(flow, number, args, parts, count);
    } else if (hob_shim_may_write(name, fd, end_of(fd, at, size_of(parts, count)))) {
        if (name && hob_shim_is_store(name) && at >= 0)
            hob_shim_remember(fd, at, size_of(parts, count));
        put = syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
        if (name && put > 0)
            hob_shim_say("write %ld @%llu %s", put,
                         (unsigned long long)hob_shim.counts[HOB_SHIM_CALL], name);
    }
    hob_shim_leave();
    return put;
}

EXPORT ssize_t write(int fd, const void *data, size_t len)
{
    struct iovec part = {(void *)data, len};
    return do_write(SYS_write, fd, (long[6]){fd, (long)data, (long)len}, &part, 1, -1);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return do_write(SYS_writev, fd, (long[6]){fd, (long)parts, count}, parts, count, -1);
}

EXPORT ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
    struct iovec part = {(void *)data, len};
    return do_write(SYS_pwrite64, fd, (long[6]){fd, (long)data, (long)len, at}, &part, 1, at);
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    return pwrite64(fd, data, len, at);
}

EXPORT ssize_t sendto(int fd, const void *data, size_t len, int flags,
                      const struct sockaddr *address, socklen_t address_len)
{
    struct iovec part = {(void *)data, len};
    return do_write(SYS_sendto, fd,
                    (long[6]){fd, (long)data, (long)len, flags, (long)address, address_len}, &part,
                    1, -1);
}

EXPORT ssize_t send(int fd, const void *data, size_t len, int flags)
{
    return sendto(fd, data, len, flags, NULL, 0);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return do_write(SYS_sendmsg, fd, (long[6]){fd, (long)message, flags}, message->msg_iov,
                    (int)message->msg_iovlen, -1);
}

/* @param end  of the file then, at least; of a file that is cut there: `cuts` */
static int do_resize(long number, const long args[4], int fd, off_t end, bool cuts)
{
    char path[HOB_SHIM_PATH_BYTES];
    struct stat st = {0};
    if (!hob_shim_enter())
        return (int)syscall(number, args[0], args[1], args[2], args[3]);
    const char *name = hob_shim_name_of(fd, path);
    int rc = -1;
    if (hob_shim_may_write(name, fd, end)) {
        bool shrinks = cuts && name && fstat(fd, &st) == 0 && st.st_size > end;
        if (shrinks && hob_shim_is_store(name))
            hob_shim_remember(fd, end, (size_t)(st.st_size - end));
        rc = (int)syscall(number, args[0], args[1], args[2], args[3]);
        if (shrinks && rc == 0)
            hob_shim_give_back(st.st_size - end);
    }
    hob_shim_leave();
    return rc;
}

EXPORT int ftruncate64(int fd, off64_t size)
{
    return do_resize(SYS_ftruncate, (long[4]){fd, size}, fd, size, true);
}

EXPORT int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

EXPORT int fallocate64(int fd, int mode, off64_t at, off64_t len)
{
    return do_resize(SYS_fallocate, (long[4]){fd, mode, at, len}, fd, at + len, false);
}

EXPORT int fallocate(int fd, int mode, off_t at, off_t len)
{
    return fallocate64(fd, mode, at, len);
}

EXPORT int posix_fallocate64(int fd, off64_t at, off64_t len)
{
    return fallocate64(fd, 0, at, len) == 0 ? 0 : errno;
}

EXPORT int posix_fallocate(int fd, off_t at, off_t len)
{
    return posix_fallocate64(fd, at, len);
}

static int do_sync(long number, int fd)
{
    char path[HOB_SHIM_PATH_BYTES];
    if (!hob_shim_enter())
        return (int)syscall(number, fd);
    const char *name = hob_shim_name_of(fd, path);
    bool commits = name && hob_shim_is_store(name);
    int rc = -1;
    if (commits)
        hob_shim_reach(HOB_SHIM_COMMIT, name);
    /* A full file system syncs; one that broke does not. */
    if (!name || hob_shim_fault() != EIO) {
        rc = (int)syscall(number, fd);
        if (rc == 0)
            hob_shim_forget_file(fd);
    } else {
        errno = EIO;
    }
    if (strncmp(path, hob_shim.data, strlen(hob_shim.data)) == 0)
        hob_shim_say("sync %llu @%llu %s", (unsigned long long)++hob_shim.syncs,
                     (unsigned long long)hob_shim.counts[HOB_SHIM_CALL], name ? name : ".");
    if (commits)
        hob_shim_passed(HOB_SHIM_COMMIT);
    hob_shim_leave();
    return rc;
}

EXPORT int fdatasync(int fd)
{
    return do_sync(SYS_fdatasync, fd);
}

EXPORT int fsync(int fd)
{
    return do_sync(SYS_fsync, fd);
}

/* ---- names; all that Hob and SQLite name in the data directory is absolute ---- */

static bool may_change(const char *path, bool takes_room)
{
    if (!hob_shim_enter())
        return true;
    bool may = hob_shim_may_change(hob_shim_inside(path), takes_room);
    hob_shim_leave();
    return may;
}

/* A file whose name is in HOB_SHIM_HOLD is on a file system that has gone: to open it takes for
 * ever. */
static void hold(const char *path)
{
    const char *name = getenv("HOB_SHIM_HOLD");
    while (name && strstr(path, name)) {
        pause();
    }
}

static int do_open(int dir, const char *path, int flags, mode_t mode)
{
    hold(path);
    bool writes = (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0;
    if (writes && !may_change(path, false))
        return -1;
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}

static mode_t mode_of(int flags, va_list more)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
}

#define OPEN_WITH(dir)                                                                             \
    va_list more;                                                                                  \
    va_start(more, flags);                                                                         \
    mode_t mode = mode_of(flags, more);                                                            \
    va_end(more);                                                                                  \
    return do_open(dir, path, flags, mode)

EXPORT int open(const char *path, int flags, ...)
{
    OPEN_WITH(AT_FDCWD);
}

EXPORT int open64(const char *path, int flags, ...)
{
    OPEN_WITH(AT_FDCWD);
}

EXPORT int openat(int dir, const char *path, int flags, ...)
{
    OPEN_WITH(dir);
}

EXPORT int openat64(int dir, const char *path, int flags, ...)
{
    OPEN_WITH(dir);
}

/* What fortified libraries call. */
int __open64_2(const char *path, int flags);
EXPORT int __open64_2(const char *path, int flags)
{
    return do_open(AT_FDCWD, path, flags, 0);
}

EXPORT int mkdir(const char *path, mode_t mode)
{
    struct stat st;
    if (stat(path, &st) != 0 && !may_change(path, true))
        return -1;
    return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

EXPORT int rename(const char *from, const char *to)
{
    if (!may_change(from, false) || !may_change(to, false))
        return -1;
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

EXPORT int unlink(const char *path)
{
    struct stat st;
    if (!may_change(path, false))
        return -1;
    if (hob_shim_inside(path) && stat(path, &st) == 0 && hob_shim_enter()) {
        hob_shim_give_back(st.st_size);
        hob_shim_leave();
    }
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* ---- watches ---- */

/* While the file is there that HOB_SHIM_NO_WATCHES names, the kernel has none to give. */
int inotify_add_watch(int fd, const char *path, uint32_t mask);
EXPORT int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    struct stat st;
    const char *file = getenv("HOB_SHIM_NO_WATCHES");
    if (file && stat(file, &st) == 0) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_inotify_add_watch, fd, path, mask);
}

/* ---- the broker's socket ---- */

EXPORT int connect(int fd, const struct sockaddr *address, socklen_t len)
{
    int type = 0;
    socklen_t type_len = sizeof type;
    bool is_tcp = address->sa_family == AF_INET || address->sa_family == AF_INET6;
    is_tcp =
        is_tcp && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0 && type == SOCK_STREAM;
    if (is_tcp && hob_shim_enter()) {
        hob_shim_flow_open(hob_shim.in, fd);
        hob_shim_flow_open(hob_shim.out, fd);
        hob_shim_leave();
    }
    return (int)syscall(SYS_connect, fd, address, len);
}

EXPORT int close(int fd)
{
    if (fd >= 0 && hob_shim_enter()) {
        hob_shim_flow_close(hob_shim.in, fd);
        hob_shim_flow_close(hob_shim.out, fd);
        hob_shim_forget_fd(fd);
        hob_shim_leave();
    }
    return (int)syscall(SYS_close, fd);
}

static long do_read(long number, int fd, const long args[6], const struct iovec *parts, int count)
{
    long got = syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
    if (!hob_shim_enter())
        return got;
    struct hob_shim_flow *flow = hob_shim_flow_of(hob_shim.in, fd),
                         *out = hob_shim_flow_of(hob_shim.out, fd);
    struct hob_shim_heard heard = {0};
    if (flow && out && out->mqtt && got > 0)
        hob_shim_flow_feed(flow, parts, count, (size_t)got, &heard, true);
    if (heard.accepted > 0) {
        hob_shim_reach(HOB_SHIM_ACCEPTED, heard.words);
        hob_shim.dying =
            hob_shim.dying || (hob_shim_is_target(HOB_SHIM_ACCEPTED) && hob_shim.kill_after);
    }
    hob_shim_leave();
    return got;
}

EXPORT ssize_t read(int fd, void *data, size_t len)
{
    struct iovec part = {data, len};
    return do_read(SYS_read, fd, (long[6]){fd, (long)data, (long)len}, &part, 1);
}

EXPORT ssize_t readv(int fd, const struct iovec *parts, int count)
{
    return do_read(SYS_readv, fd, (long[6]){fd, (long)parts, count}, parts, count);
}

EXPORT ssize_t recvfrom(int fd, void *data, size_t len, int flags, struct sockaddr *address,
                        socklen_t *address_len)
{
    struct iovec part = {data, len};
    return do_read(SYS_recvfrom, fd,
                   (long[6]){fd, (long)data, (long)len, flags, (long)address, (long)address_len},
                   &part, 1);
}

EXPORT ssize_t recv(int fd, void *data, size_t len, int flags)
{
    return recvfrom(fd, data, len, flags, NULL, NULL);
}

EXPORT int epoll_pwait(int epoll, struct epoll_event *events, int max, int timeout,
                       const sigset_t *mask)
{
    if (hob_shim.dying && hob_shim_enter())
        hob_shim_die("accepted after");
    return (int)syscall(SYS_epoll_pwait, epoll, events, max, timeout, mask, (long)8);
}

EXPORT int epoll_wait(int epoll, struct epoll_event *events, int max, int timeout)
{
    return epoll_pwait(epoll, events, max, timeout, NULL);
}
