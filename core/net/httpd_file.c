/* httpd_file.c - opening what is served, so that no name leads out of its directory; see httpd.h.
 */
#include "net/httpd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

static bool is_safe(const char *segment)
{
    return segment[0] != '\0' && strcmp(segment, ".") != 0 && strcmp(segment, "..") != 0;
}

/* One step down. A file that is opened may be a pipe: O_NONBLOCK, or that would wait. */
static int step(int dir, const char *segment, bool last)
{
    int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | (last ? O_NONBLOCK : O_DIRECTORY);
    if (!is_safe(segment)) {
        errno = EACCES;
        return -1;
    }
    int fd = openat(dir, segment, flags);
    if (fd < 0 && errno == ELOOP)
        errno = EACCES;
    return fd;
}

/* @param name  is cut up. Segment by segment, since O_NOFOLLOW only looks at the last one. */
static int walk(int dir, char *name)
{
    while (dir >= 0) {
        char *slash = strchr(name, '/');
        if (slash)
            *slash = '\0';
        int fd = step(dir, name, !slash), number = errno;
        close(dir);
        errno = number;
        if (!slash)
            return fd;
        dir = fd;
        name = slash + 1;
    }
    return -1;
}

static int open_below(const char *root, const char *name)
{
    char copy[PATH_MAX];
    size_t len = strlen(name);
    if (len >= sizeof copy) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(copy, name, len + 1);
    return walk(open(root, O_RDONLY | O_CLOEXEC | O_DIRECTORY), copy);
}

int hob_httpd_open_file(const char *root, const char *name, struct hob_httpd_file *out,
                        struct hob_error *err)
{
    struct stat st;
    int fd = open_below(root, name), number = errno;
    if (fd >= 0 && fstat(fd, &st)) {
        number = errno;
    } else if (fd >= 0 && !S_ISREG(st.st_mode)) {
        number = S_ISDIR(st.st_mode) ? EISDIR : EACCES;
    } else if (fd >= 0) {
        *out = (struct hob_httpd_file){fd, (uint64_t)st.st_size,
                                       st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec};
        return 0;
    }
    if (fd >= 0)
        close(fd);
    int code = number == EISDIR ? HOB_ENOENT : hob_error_from_errno(number);
    return hob_error_set(err, code, "%s: %s", name, strerror(number));
}
