/* download_file.c - see download_file.h */
#include "device/download_file.h"

#include "base/alloc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SLICE_BYTES (256 * 1024)

struct hob_download_file {
    int fd;
    bool ours;       /* locked, and not renamed */
    uint64_t bytes;  /* in the part */
    uint64_t hashed; /* of them */
    struct hob_sha256 *sha;
    struct hob_loop *loop;
    uv_fs_t sync;
    bool syncing;
    int directory;              /* to be synced; -1: none */
    hob_download_file_fn *done; /* NULL: freed meanwhile */
    void *user;
    char tag[HOB_DOWNLOAD_TAG_MAX];
    char to[PATH_MAX], part[PATH_MAX], tag_path[PATH_MAX];
};

static int fail(struct hob_error *err, const char *doing, const char *path)
{
    int number = errno;
    return hob_error_set(err, hob_error_from_errno(number), "%s %s: %s", doing, path,
                         strerror(number));
}

static int name_paths(struct hob_download_file *file, const char *to, struct hob_error *err)
{
    int n = snprintf(file->tag_path, sizeof file->tag_path, "%s.part.tag", to);
    if (n >= (int)sizeof file->tag_path)
        return hob_error_set(err, HOB_EINVAL, "the path of the file has more than %d bytes",
                             PATH_MAX - 10);
    snprintf(file->to, sizeof file->to, "%s", to);
    snprintf(file->part, sizeof file->part, "%.*s", n - (int)strlen(".tag"), file->tag_path);
    return 0;
}

static void read_tag(struct hob_download_file *file)
{
    int fd = open(file->tag_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    ssize_t n = read(fd, file->tag, sizeof file->tag - 1);
    close(fd);
    file->tag[n > 0 ? n : 0] = '\0';
    if (strpbrk(file->tag, "\r\n")) /* it becomes a header */
        file->tag[0] = '\0';
}

static int open_part(struct hob_download_file *file, struct hob_error *err)
{
    struct stat st;
    file->fd = open(file->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (file->fd < 0)
        return fail(err, "opening", file->part);
    if (flock(file->fd, LOCK_EX | LOCK_NB))
        return hob_error_set(err, HOB_EBUSY, "%s: another download is at this file", file->to);
    file->ours = true;
    if (fstat(file->fd, &st))
        return fail(err, "looking at", file->part);
    if (!S_ISREG(st.st_mode))
        return hob_error_set(err, HOB_EINVAL, "%s: not a regular file", file->part);
    file->bytes = (uint64_t)st.st_size;
    return 0;
}

int hob_download_file_open(const char *to, struct hob_download_file **out, struct hob_error *err)
{
    struct hob_download_file *file = hob_calloc(1, sizeof *file);
    if (!file)
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", to);
    file->fd = file->directory = -1;
    file->sha = hob_sha256_new();
    int code = file->sha ? 0 : hob_error_set(err, HOB_ENOMEM, "%s: out of memory", to);
    if (!code)
        code = name_paths(file, to, err);
    if (!code)
        code = open_part(file, err);
    if (code) {
        hob_download_file_free(file);
        return code;
    }
    read_tag(file);
    *out = file;
    return 0;
}

static void close_file(struct hob_download_file *file)
{
    if (file->ours && file->bytes == 0)
        hob_download_file_remove(file); /* nothing to go on with */
    if (file->fd >= 0)
        close(file->fd);
    if (file->directory >= 0)
        close(file->directory);
    hob_sha256_free(file->sha);
    hob_free(file);
}

/* A descriptor that a worker is syncing may not be closed yet. */
void hob_download_file_free(struct hob_download_file *file)
{
    if (file && file->syncing)
        file->done = NULL;
    else if (file)
        close_file(file);
}

int hob_download_file_rehash(struct hob_download_file *file, struct hob_error *err)
{
    char *slice = hob_malloc(SLICE_BYTES);
    if (!slice)
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", file->part);
    ssize_t n = pread(file->fd, slice, SLICE_BYTES, (off_t)file->hashed);
    int code = n < 0 ? fail(err, "reading", file->part) : n > 0;
    if (n > 0) {
        hob_sha256_update(file->sha, slice, (size_t)n);
        file->hashed += (uint64_t)n;
    }
    if (n == 0)
        file->bytes = file->hashed;
    hob_free(slice);
    return code;
}

int hob_download_file_restart(struct hob_download_file *file, struct hob_error *err)
{
    struct hob_sha256 *sha = hob_sha256_new();
    if (!sha)
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", file->part);
    hob_sha256_free(file->sha);
    file->sha = sha;
    file->bytes = file->hashed = 0;
    hob_download_file_set_tag(file, "");
    return ftruncate(file->fd, 0) ? fail(err, "emptying", file->part) : 0;
}

int hob_download_file_write(struct hob_download_file *file, const void *data, size_t len,
                            struct hob_error *err)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = pwrite(file->fd, at, len, (off_t)file->bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, "writing", file->part);
        hob_sha256_update(file->sha, at, (size_t)n);
        file->bytes += (uint64_t)n;
        file->hashed = file->bytes;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

/* A network file system may not say; then writing shows it. */
int hob_download_file_room(const struct hob_download_file *file, uint64_t bytes,
                           struct hob_error *err)
{
    struct statvfs fs;
    if (bytes == 0 || fstatvfs(file->fd, &fs) || fs.f_blocks == 0)
        return 0;
    uint64_t room = (uint64_t)(geteuid() == 0 ? fs.f_bfree : fs.f_bavail) * fs.f_frsize;
    if (bytes <= room)
        return 0;
    return hob_error_set(err, HOB_ENOSPC, "%s: needs %llu bytes, %llu are free", file->to,
                         (unsigned long long)bytes, (unsigned long long)room);
}

uint64_t hob_download_file_bytes(const struct hob_download_file *file)
{
    return file->bytes;
}

const char *hob_download_file_tag(const struct hob_download_file *file)
{
    return file->tag;
}

/* Without a tag the next try begins again: that is all that a failure here costs. */
void hob_download_file_set_tag(struct hob_download_file *file, const char *tag)
{
    if (strlen(tag) >= sizeof file->tag)
        tag = "";
    if (strcmp(tag, file->tag) == 0)
        return;
    snprintf(file->tag, sizeof file->tag, "%s", tag);
    unlink(file->tag_path);
    if (!*tag)
        return;
    int fd = open(file->tag_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return;
    if (write(fd, tag, strlen(tag)) != (ssize_t)strlen(tag))
        unlink(file->tag_path);
    close(fd);
}

void hob_download_file_sha256(struct hob_download_file *file, char out[HOB_SHA256_HEX_MAX])
{
    hob_sha256_hex(file->sha, out);
}

/* ---- the finish ---- */

static int rename_part(struct hob_download_file *file, struct hob_error *err)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(file->to, '/');
    int len = slash ? (int)(slash - file->to) : 0;
    snprintf(dir, sizeof dir, "%.*s", len ? len : 1, !slash ? "." : len ? file->to : "/");
    if (rename(file->part, file->to))
        return fail(err, "renaming the finished download to", file->to);
    file->ours = false;
    unlink(file->tag_path);
    file->directory = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return file->directory < 0 ? fail(err, "opening the directory", dir) : 0;
}

/* @return whether to go on: it was not freed, and the sync went well */
static bool synced(struct hob_download_file *file)
{
    struct hob_error err;
    int status = (int)file->sync.result;
    uv_fs_req_cleanup(&file->sync);
    file->syncing = false;
    if (!file->done) {
        close_file(file);
        return false;
    }
    if (status == 0 || (file->directory >= 0 && status == UV_EINVAL)) /* it knows no such thing */
        return true;
    hob_error_set(&err, hob_error_from_uv(status), "syncing %s: %s", file->part,
                  uv_strerror(status));
    file->done(file->user, &err);
    return false;
}

static void on_directory_synced(uv_fs_t *sync)
{
    struct hob_download_file *file = sync->data;
    if (synced(file))
        file->done(file->user, NULL);
}

static void sync_later(struct hob_download_file *file, int fd, uv_fs_cb then)
{
    file->syncing = true;
    file->sync.data = file;
    int status = uv_fs_fsync(hob_loop_uv(file->loop), &file->sync, fd, then);
    assert(status == 0); /* it only queues */
    (void)status;
}

static void on_part_synced(uv_fs_t *sync)
{
    struct hob_download_file *file = sync->data;
    struct hob_error err;
    if (!synced(file))
        return;
    if (rename_part(file, &err))
        file->done(file->user, &err);
    else
        sync_later(file, file->directory, on_directory_synced);
}

void hob_download_file_finish(struct hob_download_file *file, struct hob_loop *loop,
                              hob_download_file_fn *done, void *user)
{
    file->loop = loop;
    file->done = done;
    file->user = user;
    sync_later(file, file->fd, on_part_synced);
}

void hob_download_file_remove(struct hob_download_file *file)
{
    unlink(file->part);
    unlink(file->tag_path);
}
