/* exec_file.c - see exec_file.h */
#include "device/exec_file.h"

#include "base/alloc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct hob_exec_file {
    struct hob_loop *loop;
    uv_fs_t request;
    int fd; /* -1: closed */
    char *path;
    uint64_t limit, written, cut;
    int error;
    bool busy, orphan;
    size_t len, at; /* of the piece that is being written */
    void (*done)(void *user);
    void *user;
    char piece[HOB_EXEC_FILE_PIECE];
};

/* ---- its begin and end ---- */

/* A device or a FIFO is not replaced: somebody meant something else by it. */
static int make(const char *path, const struct hob_user *user, int *fd)
{
    struct stat st;
    if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
        return S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    if (unlink(path) && errno != ENOENT)
        return errno;
    *fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (*fd < 0)
        return errno;
    if (!user || !user->other || fchown(*fd, user->uid, user->gid) == 0)
        return 0;
    int number = errno;
    close(*fd);
    unlink(path);
    return number;
}

int hob_exec_file_open(struct hob_loop *loop, const char *path, uint64_t limit,
                       const struct hob_user *user, struct hob_exec_file **out,
                       struct hob_error *err)
{
    struct hob_exec_file *file = hob_calloc(1, sizeof *file);
    char *copy = file ? hob_strdup(path) : NULL;
    int number = copy ? make(path, user, &file->fd) : ENOMEM;
    if (number) {
        hob_free(copy);
        hob_free(file);
        return hob_error_set(err, hob_error_from_errno(number), "output to %s: %s", path,
                             number == EINVAL ? "not a regular file" : strerror(number));
    }
    file->loop = loop;
    file->path = copy;
    file->limit = limit;
    file->request.data = file;
    *out = file;
    return 0;
}

static void destroy(struct hob_exec_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    hob_free(file->path);
    hob_free(file);
}

void hob_exec_file_free(struct hob_exec_file *file)
{
    if (file && file->busy)
        file->orphan = true;
    else if (file)
        destroy(file);
}

void hob_exec_file_drop(struct hob_exec_file *file)
{
    if (file)
        unlink(file->path);
    hob_exec_file_free(file);
}

/* ---- what libuv's threads do ---- */

static void begin(struct hob_exec_file *file, void (*done)(void *user), void *user)
{
    assert(!file->busy);
    file->busy = true;
    file->done = done;
    file->user = user;
    hob_loop_hold(file->loop);
}

static void end(struct hob_exec_file *file)
{
    file->busy = false;
    hob_loop_release(file->loop);
    if (file->orphan)
        destroy(file);
    else
        file->done(file->user);
}

static void write_on(struct hob_exec_file *file);

static void on_written(uv_fs_t *request)
{
    struct hob_exec_file *file = request->data;
    ssize_t n = request->result;
    uv_fs_req_cleanup(request);
    if (n < 0) {
        file->error = (int)n;
        file->cut += file->len - file->at;
    } else {
        file->at += (size_t)n;
        file->written += (uint64_t)n;
    }
    if (n < 0 || file->at == file->len || file->orphan)
        end(file);
    else
        write_on(file);
}

static void write_on(struct hob_exec_file *file)
{
    uv_buf_t buf = uv_buf_init(file->piece + file->at, (unsigned)(file->len - file->at));
    uv_fs_write(hob_loop_uv(file->loop), &file->request, file->fd, &buf, 1, -1, on_written);
}

char *hob_exec_file_piece(struct hob_exec_file *file)
{
    assert(!file->busy);
    return file->piece;
}

bool hob_exec_file_write(struct hob_exec_file *file, size_t len, void (*done)(void *user),
                         void *user)
{
    uint64_t room = file->limit ? file->limit - file->written : UINT64_MAX;
    size_t part = file->error ? 0 : len < room ? len : (size_t)room;
    file->cut += len - part;
    if (part == 0)
        return false;
    file->len = part;
    file->at = 0;
    begin(file, done, user);
    write_on(file);
    return true;
}

static void on_synced(uv_fs_t *request)
{
    struct hob_exec_file *file = request->data;
    int status = (int)request->result;
    uv_fs_req_cleanup(request);
    if (status < 0 && status != UV_EINVAL && !file->error) /* EINVAL: it cannot be synced */
        file->error = status;
    close(file->fd);
    file->fd = -1;
    end(file);
}

bool hob_exec_file_finish(struct hob_exec_file *file, void (*done)(void *user), void *user)
{
    if (file->fd < 0)
        return false;
    begin(file, done, user);
    uv_fs_fsync(hob_loop_uv(file->loop), &file->request, file->fd, on_synced);
    return true;
}

uint64_t hob_exec_file_written(const struct hob_exec_file *file)
{
    return file->written;
}

uint64_t hob_exec_file_cut(const struct hob_exec_file *file)
{
    return file->cut;
}

int hob_exec_file_error(const struct hob_exec_file *file)
{
    return file->error;
}
