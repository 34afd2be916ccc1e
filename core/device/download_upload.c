/* download_upload.c - see download_upload.h */
#include "device/download_upload.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct hob_download_upload {
    int fd;
    struct stat first;
    uint64_t sent;
    char path[];
};

static int fail(struct hob_error *err, const char *doing, const char *path)
{
    int number = errno;
    return hob_error_set(err, hob_error_from_errno(number), "%s %s: %s", doing, path,
                         strerror(number));
}

/* Opened without waiting, since a FIFO without a writer would hold the loop. */
static int open_it(struct hob_download_upload *u, uint64_t limit, struct hob_error *err)
{
    u->fd = open(u->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (u->fd < 0 || fstat(u->fd, &u->first))
        return fail(err, "opening", u->path);
    if (!S_ISREG(u->first.st_mode))
        return hob_error_set(err, HOB_EINVAL, "%s: not a regular file", u->path);
    uint64_t bytes = hob_download_upload_bytes(u);
    if (limit && bytes > limit)
        return hob_error_set(err, HOB_EMSGSIZE,
                             "%s has %llu bytes, more than the limit of %llu: nothing was sent",
                             u->path, (unsigned long long)bytes, (unsigned long long)limit);
    return 0;
}

int hob_download_upload_open(const char *path, uint64_t limit, struct hob_download_upload **out,
                             struct hob_error *err)
{
    struct hob_download_upload *u = hob_calloc(1, sizeof *u + strlen(path) + 1);
    if (!u)
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", path);
    memcpy(u->path, path, strlen(path) + 1);
    int code = open_it(u, limit, err);
    if (code) {
        hob_download_upload_free(u);
        return code;
    }
    *out = u;
    return 0;
}

void hob_download_upload_free(struct hob_download_upload *u)
{
    if (u && u->fd >= 0)
        close(u->fd);
    hob_free(u);
}

uint64_t hob_download_upload_bytes(const struct hob_download_upload *u)
{
    return (uint64_t)u->first.st_size;
}

uint64_t hob_download_upload_sent(const struct hob_download_upload *u)
{
    return u->sent;
}

static int changed(const struct hob_download_upload *u, struct hob_error *err)
{
    return hob_error_set(
        err, HOB_EBUSY, "%s was changed while it was sent, after %llu of %llu bytes", u->path,
        (unsigned long long)u->sent, (unsigned long long)hob_download_upload_bytes(u));
}

/* What was added meanwhile is not sent: the length has been said. */
int64_t hob_download_upload_read(struct hob_download_upload *u, char *to, size_t room,
                                 struct hob_error *err)
{
    uint64_t left = hob_download_upload_bytes(u) - u->sent;
    size_t want = left < room ? (size_t)left : room;
    ssize_t n = want ? pread(u->fd, to, want, (off_t)u->sent) : 0;
    if (n < 0)
        return fail(err, "reading", u->path);
    if (n == 0 && want > 0)
        return changed(u, err);
    u->sent += (uint64_t)n;
    return n;
}

void hob_download_upload_rewind(struct hob_download_upload *u)
{
    u->sent = 0;
}

int hob_download_upload_check(const struct hob_download_upload *u, struct hob_error *err)
{
    struct stat now;
    if (fstat(u->fd, &now))
        return fail(err, "looking at", u->path);
    bool same = now.st_size == u->first.st_size && now.st_mtim.tv_sec == u->first.st_mtim.tv_sec &&
                now.st_mtim.tv_nsec == u->first.st_mtim.tv_nsec;
    return same ? 0 : changed(u, err);
}
