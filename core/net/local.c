#include "net/local.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 16

static int fail(struct hob_error *err, const char *path, int number)
{
    return hob_error_set(err, hob_error_from_errno(number), "%s: %s", path, strerror(number));
}

/* The address of `path`; one that is too long is reached through its directory, which *dir keeps
 * open. */
static int address_of(const char *path, struct sockaddr_un *address, int *dir,
                      struct hob_error *err)
{
    char folder[PATH_MAX];
    *dir = -1;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) < sizeof address->sun_path) {
        snprintf(address->sun_path, sizeof address->sun_path, "%s", path);
        return 0;
    }
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (strlen(path) >= sizeof folder || strlen(name) > NAME_MAX / 4) {
        return fail(err, path, ENAMETOOLONG);
    }
    snprintf(folder, sizeof folder, "%.*s", len ? (int)len : 1, len ? path : slash ? "/" : ".");
    *dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*dir < 0) {
        return fail(err, folder, errno);
    }
    snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%.*s", *dir,
             NAME_MAX / 4, name);
    return 0;
}

static void close_if(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

static int bind_at(int fd, const char *path, const struct sockaddr_un *address,
                   struct hob_error *err)
{
    struct stat info;
    fchmod(fd, 0600); /* of what bind makes: there is no moment at which others may enter */
    if (bind(fd, (const struct sockaddr *)address, sizeof *address) == 0) {
        return 0;
    }
    if (errno != EADDRINUSE) {
        return fail(err, path, errno);
    }
    if (lstat(path, &info) || !S_ISSOCK(info.st_mode)) {
        return hob_error_set(err, HOB_EEXIST,
                             "%s: is there already, and no socket: move it away, or place the "
                             "socket elsewhere",
                             path);
    }
    unlink(path); /* of a process that is dead */
    return bind(fd, (const struct sockaddr *)address, sizeof *address) ? fail(err, path, errno) : 0;
}

int hob_local_listen(const char *path, int *fd, struct hob_error *err)
{
    struct sockaddr_un address;
    int dir;
    int rc = address_of(path, &address, &dir, err);
    if (rc) {
        return rc;
    }
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    rc = *fd < 0 ? fail(err, path, errno) : bind_at(*fd, path, &address, err);
    if (rc == 0 && listen(*fd, BACKLOG)) {
        rc = fail(err, path, errno);
    }
    close_if(dir);
    if (rc) {
        close_if(*fd);
    }
    return rc;
}

static int no_connection(const char *path, int number, struct hob_error *err)
{
    if (number == ECONNREFUSED) {
        return hob_error_set(err, HOB_EREFUSED, "%s: nobody listens", path);
    }
    return number == EAGAIN ? hob_error_set(err, HOB_EBUSY, "%s: too many wait already", path)
                            : fail(err, path, number);
}

int hob_local_connect(const char *path, int *fd, struct hob_error *err)
{
    struct sockaddr_un address;
    int dir;
    int rc = address_of(path, &address, &dir, err);
    if (rc) {
        return rc;
    }
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0 || connect(*fd, (struct sockaddr *)&address, sizeof address)) {
        rc = no_connection(path, errno, err);
        close_if(*fd);
    }
    close_if(dir);
    return rc;
}

int hob_local_peer(int fd, unsigned *uid, int *pid)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len)) {
        return hob_error_from_errno(errno);
    }
    *uid = peer.uid;
    *pid = peer.pid;
    return 0;
}
