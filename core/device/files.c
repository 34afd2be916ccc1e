/* files.c - see files.h */
#include "device/files.h"

#include "base/alloc.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX  16
#define PIECE      ((size_t)128 * 1024)
#define SUFFIX_LEN 8

static int fail(struct hob_error *err, const char *doing, const char *path, int number)
{
    return hob_error_set(err, hob_error_from_errno(number), "%s %s: %s", doing, path,
                         strerror(number));
}

/* ---- where a path leads ---- */

/* A path in two parts: what may be there, and what is not. */
struct route {
    char there[PATH_MAX];
    char rest[PATH_MAX]; /* "/name/name", or "" */
    int links;
};

static int put_together(char out[PATH_MAX], const char *dir, const char *separator,
                        const char *name)
{
    char whole[2 * PATH_MAX + 2];
    int n = snprintf(whole, sizeof whole, "%s%s%s", dir, separator, name);
    if (n >= PATH_MAX)
        return ENAMETOOLONG;
    memcpy(out, whole, (size_t)n + 1);
    return 0;
}

/* A link that leads to nothing: what is written there is made where it leads. */
static int follow(struct route *route, const char *target)
{
    char *slash = strrchr(route->there, '/');
    if (++route->links > LINKS_MAX)
        return ELOOP;
    if (target[0] == '/')
        return put_together(route->there, "", "", target);
    *slash = '\0';
    return put_together(route->there, route->there, "/", target);
}

/* The last name is not there: look at what is before it. */
static int shorten(struct route *route)
{
    char *slash = strrchr(route->there, '/'), *name = slash + 1;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return ENOENT; /* of a directory that is not there */
    int number = *name ? put_together(route->rest, slash, "", route->rest) : 0;
    slash[slash == route->there] = '\0';
    return number;
}

static int resolve(const char *path, char out[PATH_MAX])
{
    struct route route = {.rest = ""};
    char dir[PATH_MAX] = "", target[PATH_MAX];
    int number = 0;
    if (path[0] != '/' && !getcwd(dir, sizeof dir))
        return errno;
    number = put_together(route.there, dir, dir[0] ? "/" : "", path);
    while (!number && !realpath(route.there, out)) {
        if (errno != ENOENT)
            return errno;
        ssize_t len = readlink(route.there, target, sizeof target - 1);
        target[len > 0 ? len : 0] = '\0';
        number = len > 0 ? follow(&route, target) : shorten(&route);
    }
    if (number || !route.rest[0])
        return number;
    return put_together(out, strcmp(out, "/") == 0 ? "" : out, "", route.rest);
}

/* Where the entry itself stands, whatever it is. */
static int resolve_entry(const char *path, char out[PATH_MAX])
{
    char dir[PATH_MAX];
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    if (len >= sizeof dir)
        return ENAMETOOLONG;
    snprintf(dir, sizeof dir, "%.*s", (int)len, path);
    char *slash = strrchr(dir, '/');
    const char *name = path + (slash ? slash + 1 - dir : 0);
    char last[NAME_MAX + 2];
    snprintf(last, sizeof last, "%.*s", (int)(len - (size_t)(name - path)), name);
    if (!last[0] || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
        return resolve(path, out);
    if (slash)
        slash[slash == dir] = '\0';
    int number = resolve(slash ? dir : ".", out);
    return number ? number : put_together(out, strcmp(out, "/") == 0 ? "" : out, "/", last);
}

static bool is_within(const char *path, const char *dir)
{
    char real[PATH_MAX];
    if (!dir || !realpath(dir, real))
        return false;
    size_t len = strlen(real);
    return strcmp(real, "/") == 0 ||
           (strncmp(path, real, len) == 0 && (path[len] == '/' || !path[len]));
}

int hob_files_check(const struct hob_files_place *place, const char *path, enum hob_files_what what,
                    struct hob_error *err)
{
    char real[PATH_MAX];
    const char *const *roots = place->policy ? place->policy->roots : NULL;
    if (!roots || (roots[0] && strcmp(roots[0], "/") == 0))
        return 0;
    int number = what == HOB_FILES_TARGET ? resolve(path, real) : resolve_entry(path, real);
    if (number)
        return fail(err, "looking at", path, number);
    for (; *roots; roots++)
        if (is_within(real, *roots))
            return 0;
    if (is_within(real, place->job_dir))
        return 0;
    return hob_error_set(err, HOB_EPERM,
                         "%s%s%s: not within the directories that handlers may touch; add one to "
                         "fs_roots = { ... } in hob.conf.lua",
                         path, strcmp(real, path) ? " leads to " : "",
                         strcmp(real, path) ? real : "");
}

void hob_files_default_owner(const struct hob_files_place *place, const char *path,
                             struct hob_files_owner *out)
{
    char real[PATH_MAX];
    struct hob_user user;
    *out = (struct hob_files_owner){.mode = -1};
    if (!hob_policy_exec_user(place->policy, geteuid(), &user) || resolve(path, real) ||
        !is_within(real, place->job_dir))
        return;
    out->given = true;
    out->uid = user.uid;
    out->gid = user.gid;
}

/* ---- a file that takes the place of another when it is whole ---- */

struct draft {
    char path[PATH_MAX], temp[PATH_MAX];
    int fd;
};

static int sync_directory_of(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s", slash > path ? (int)(slash - path) : 1, slash ? path : ".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int number = fsync(fd) ? errno : 0;
    close(fd);
    return number == EINVAL ? 0 : number; /* a file system that knows no such thing */
}

/* @param first_mode  of the temporary file, less what the umask takes */
static int open_draft(struct draft *draft, const char *path, mode_t first_mode)
{
    char suffix[SUFFIX_LEN + 1];
    if (!realpath(path, draft->path) && put_together(draft->path, "", "", path))
        return ENAMETOOLONG;
    for (int tries = 0; tries < 16; tries++) {
        hob_random_hex(suffix, sizeof suffix);
        if (put_together(draft->temp, draft->path, ".", suffix))
            return ENAMETOOLONG;
        draft->fd =
            open(draft->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, first_mode);
        if (draft->fd >= 0)
            return 0;
        if (errno != EEXIST)
            return errno;
    }
    return EEXIST;
}

/* Only root can give files away, and only root need keep whose they were. */
static int own(const struct draft *draft, const struct hob_files_owner *owner,
               const struct stat *old)
{
    if (owner->given && fchown(draft->fd, owner->uid, owner->gid))
        return errno;
    if (!owner->given && old && geteuid() == 0 && fchown(draft->fd, old->st_uid, old->st_gid))
        return errno;
    if (owner->mode >= 0)
        return fchmod(draft->fd, (mode_t)owner->mode) ? errno : 0;
    return old && fchmod(draft->fd, old->st_mode & 07777) ? errno : 0;
}

static int give_up(const struct draft *draft, int number)
{
    close(draft->fd);
    unlink(draft->temp);
    return number;
}

static int put_in_place(const struct draft *draft)
{
    if (fsync(draft->fd))
        return give_up(draft, errno);
    int number = close(draft->fd) ? errno : 0;
    if (!number && rename(draft->temp, draft->path))
        number = errno;
    if (number) {
        unlink(draft->temp);
        return number;
    }
    return sync_directory_of(draft->path);
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno != EINTR)
            return errno;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

int hob_files_write(const char *path, const char *data, size_t len,
                    const struct hob_files_owner *owner, struct hob_error *err)
{
    struct draft draft;
    struct stat old;
    bool replaces = stat(path, &old) == 0;
    int number = open_draft(&draft, path, replaces || owner->mode >= 0 ? 0600 : 0666);
    if (number)
        return fail(err, "writing", path, number);
    number = write_all(draft.fd, data, len);
    number = number ? number : own(&draft, owner, replaces ? &old : NULL);
    number = number ? give_up(&draft, number) : put_in_place(&draft);
    return number ? fail(err, "writing", path, number) : 0;
}

/* ---- copy ---- */

static int copy_bytes(int from, int to, const atomic_bool *stop, uint64_t *bytes)
{
    char *piece = hob_malloc(PIECE);
    ssize_t n = 1;
    int number = piece ? 0 : ENOMEM;
    while (!number && n != 0) {
        n = read(from, piece, PIECE);
        if (n < 0 && errno != EINTR)
            number = errno;
        if (n > 0)
            number = write_all(to, piece, (size_t)n);
        if (n > 0)
            *bytes += (uint64_t)n;
        if (stop && atomic_load(stop))
            number = ECANCELED;
    }
    hob_free(piece);
    return number;
}

static int open_source(const char *path, struct stat *st, struct hob_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *st = (struct stat){0};
    int number = fd < 0 || fstat(fd, st) ? errno : 0;
    if (number) {
        fail(err, "copying", path, number);
    } else if (!S_ISREG(st->st_mode)) {
        hob_error_set(err, HOB_EINVAL, "copying %s: not a regular file", path);
    } else {
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

static int copy_into(int from, const struct stat *st, const char *to,
                     const struct hob_files_owner *owner, const atomic_bool *stop, uint64_t *bytes)
{
    struct draft draft;
    struct stat old;
    struct hob_files_owner of_copy = *owner;
    bool replaces = stat(to, &old) == 0;
    if (replaces && old.st_dev == st->st_dev && old.st_ino == st->st_ino)
        return EEXIST;
    of_copy.mode = owner->mode >= 0 ? owner->mode : (int)(st->st_mode & 0777);
    int number = open_draft(&draft, to, 0600);
    if (number)
        return number;
    number = copy_bytes(from, draft.fd, stop, bytes);
    number = number ? number : own(&draft, &of_copy, replaces ? &old : NULL);
    return number ? give_up(&draft, number) : put_in_place(&draft);
}

int hob_files_copy(const char *from, const char *to, const struct hob_files_owner *owner,
                   const atomic_bool *stop, uint64_t *bytes, struct hob_error *err)
{
    struct stat st;
    *bytes = 0;
    int fd = open_source(from, &st, err);
    if (fd < 0)
        return err->code;
    int number = copy_into(fd, &st, to, owner, stop, bytes);
    close(fd);
    if (number == EEXIST)
        return hob_error_set(err, HOB_EEXIST, "copying %s to %s: it is the same file", from, to);
    return number ? hob_error_set(err, hob_error_from_errno(number), "copying %s to %s: %s", from,
                                  to, strerror(number))
                  : 0;
}

/* ---- names ---- */

int hob_files_sync(const char *path, struct hob_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int number = fd < 0 || fsync(fd) ? errno : 0;
    if (fd >= 0)
        close(fd);
    number = number ? number : sync_directory_of(path);
    return number ? fail(err, "syncing", path, number) : 0;
}

/* @return 0 or an errno value; then no link is left at `temp` */
static int link_beside(const char *target, const char *path, char temp[static PATH_MAX])
{
    char suffix[SUFFIX_LEN + 1];
    for (int tries = 0; tries < 16; tries++) {
        hob_random_hex(suffix, sizeof suffix);
        if (put_together(temp, path, ".", suffix))
            return ENAMETOOLONG;
        if (symlink(target, temp) == 0)
            return 0;
        if (errno != EEXIST)
            return errno;
    }
    return EEXIST;
}

int hob_files_symlink(const char *target, const char *path, struct hob_error *err)
{
    char temp[PATH_MAX];
    int number = link_beside(target, path, temp);
    if (number)
        return fail(err, "linking", path, number);
    if (rename(temp, path)) {
        number = errno;
        unlink(temp);
    }
    number = number ? number : sync_directory_of(path);
    return number ? fail(err, "linking", path, number) : 0;
}

int hob_files_rename(const char *from, const char *to, struct hob_error *err)
{
    int number = rename(from, to) ? errno : 0;
    number = number ? number : sync_directory_of(to);
    number = number ? number : sync_directory_of(from);
    if (number == 0)
        return 0;
    return hob_error_set(
        err, hob_error_from_errno(number), "renaming %s to %s: %s%s", from, to, strerror(number),
        number == EXDEV ? "; hob.fs.copy and remove go from one to the other" : "");
}
