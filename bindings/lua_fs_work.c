/* lua_fs_work.c - what of hob.fs may take long: done on a thread of libuv's, while the task waits.
 *
 * A small file is read or written at once, and so is everything where no task can wait. A task that
 * is ended meanwhile leaves its work to its end, which comes soon: nobody is told of it then. The
 * thread sees nothing of Lua: it works on copies. */
#include "base/alloc.h"
#include "lua_fs.h"

#include "work/task.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_MAX_BYTES ((size_t)64 * 1024 * 1024)
#define AT_ONCE_BYTES  ((size_t)256 * 1024)
#define READ_CHUNK     16384
#define NFTW_FDS       16

struct work {
    uv_work_t request;
    struct hob_loop *loop;
    struct hob_task *task; /* NULL: it was ended, or nobody waits */
    bool running;
    void (*run)(struct work *work); /* on the thread */
    int (*push)(lua_State *L, struct work *work);
    char *path, *to;
    char *data; /* ours; or borrowed, if it is done at once */
    size_t len;
    bool owns_data;
    struct hob_files_owner owner;
    struct hob_buf buf;
    uint64_t bytes;
    atomic_bool stop;
    int code;
    struct hob_error err;
};

/* ---- the thread, and the task that waits for it ---- */

static void free_work(struct work *work)
{
    if (work->owns_data) {
        hob_free(work->data);
    }
    hob_buf_free(&work->buf);
    hob_free(work->path);
    hob_free(work->to);
    hob_free(work);
}

static void on_thread(uv_work_t *request)
{
    struct work *work = request->data;
    work->run(work);
}

static void on_done(uv_work_t *request, int status)
{
    struct work *work = request->data;
    work->running = false;
    hob_loop_release(work->loop);
    if (work->task) {
        hob_task_wake(work->task);
    } else {
        free_work(work);
    }
}

static void cancel(void *user)
{
    struct work *work = user;
    atomic_store(&work->stop, true);
}

static void op_free(void *user)
{
    struct work *work = user;
    work->task = NULL;
    if (!work->running) {
        free_work(work);
    }
}

static int push(lua_State *L, void *user)
{
    struct work *work = user;
    return work->code ? hob_lua_fail(L, &work->err) : work->push(L, work);
}

static int push_true(lua_State *L, struct work *work)
{
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- begin ---- */

static int collect_work(lua_State *L)
{
    struct work **slot = lua_touserdata(L, 1);
    if (*slot) {
        free_work(*slot);
    }
    *slot = NULL;
    return 0;
}

/* Until it begins it belongs to a value on the stack, so that an error leaks nothing. */
static struct work **new_work(lua_State *L, const char *path, const char *to)
{
    struct work **slot = lua_newuserdatauv(L, sizeof *slot, 0);
    *slot = NULL;
    if (hob_lua_new_metatable(L, "hob.fs.work")) {
        lua_pushcfunction(L, collect_work);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    struct work *work = *slot = hob_calloc(1, sizeof *work);
    if (!work) {
        luaL_error(L, "out of memory");
    }
    hob_buf_init(&work->buf, READ_MAX_BYTES);
    work->loop = hob_scheduler_loop(L);
    work->request.data = work;
    work->push = push_true;
    work->path = hob_strdup(path);
    work->to = to ? hob_strdup(to) : NULL;
    if (!work->path || (to && !work->to)) {
        luaL_error(L, "out of memory");
    }
    return slot;
}

/* The thread outlives the state's values. */
static void keep_data(lua_State *L, struct work *work)
{
    char *copy = hob_malloc(work->len + 1);
    if (!copy) {
        luaL_error(L, "out of memory");
    }
    memcpy(copy, work->data, work->len);
    work->data = copy;
    work->owns_data = true;
}

static int at_once(lua_State *L, struct work *work)
{
    work->run(work);
    return push(L, work);
}

static int do_work(lua_State *L, struct work **slot, const char *name, bool is_short)
{
    struct work *work = *slot;
    struct hob_task *task = is_short || !hob_task_can_wait(L) ? NULL : hob_task_current(L);
    if (!task) {
        return at_once(L, work);
    }
    if (work->data) {
        keep_data(L, work);
    }
    *slot = NULL;
    work->task = task;
    work->running = true;
    hob_loop_hold(work->loop);
    uv_queue_work(hob_loop_uv(work->loop), &work->request, on_thread, on_done);
    return hob_task_suspend(
        L, &(struct hob_task_wait){
               .name = name, .push = push, .cancel = cancel, .op_free = op_free, .op = work});
}

/* ---- read ---- */

/* @return 0 or an errno value */
static int read_all(int fd, struct hob_buf *buf)
{
    for (;;) {
        char chunk[READ_CHUNK];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno != EINTR) {
            return errno;
        }
        if (n == 0) {
            return 0;
        }
        if (n > 0 && hob_buf_append(buf, chunk, (size_t)n)) {
            return EFBIG;
        }
    }
}

/* Opened without waiting, since a FIFO without a writer would hold up whoever reads. */
static int read_file(const char *path, struct hob_buf *buf)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return errno;
    }
    int number = fstat(fd, &st) ? errno : S_ISDIR(st.st_mode) ? EISDIR : 0;
    if (!number) {
        number = S_ISREG(st.st_mode) ? read_all(fd, buf) : EINVAL;
    }
    close(fd);
    return number;
}

static void run_read(struct work *work)
{
    int number = read_file(work->path, &work->buf);
    if (number == EFBIG) {
        work->code = hob_error_set(&work->err, HOB_EMSGSIZE, "reading %s: over %zu bytes",
                                   work->path, READ_MAX_BYTES);
    } else if (number) {
        work->code =
            hob_error_set(&work->err, hob_error_from_errno(number), "reading %s: %s", work->path,
                          number == EINVAL ? "not a regular file" : strerror(number));
    }
}

static int push_read(lua_State *L, struct work *work)
{
    lua_pushlstring(L, hob_buf_data(&work->buf), hob_buf_len(&work->buf));
    hob_buf_free(&work->buf);
    return 1;
}

int hob_lua_fs_read(lua_State *L)
{
    struct stat st;
    const char *path = hob_lua_fs_path(L, 1);
    int refused = hob_lua_fs_check(L, path, HOB_FILES_TARGET);
    if (refused) {
        return refused;
    }
    struct work **slot = new_work(L, path, NULL);
    (*slot)->run = run_read;
    (*slot)->push = push_read;
    bool is_short = stat(path, &st) || st.st_size <= (off_t)AT_ONCE_BYTES;
    return do_work(L, slot, "hob.fs.read", is_short);
}

/* ---- write and copy ---- */

static int read_mode(lua_State *L, int index)
{
    int mode = lua_getfield(L, index, "mode") == LUA_TNIL ? -1 : hob_lua_fs_mode(L, -1);
    lua_pop(L, 1);
    return mode;
}

static int read_owner(lua_State *L, int index, struct hob_files_owner *owner, struct hob_error *err)
{
    struct hob_user user;
    lua_getfield(L, index, "user");
    const char *name = lua_isnil(L, -1) ? NULL : lua_tostring(L, -1);
    if (!name && !lua_isnil(L, -1)) {
        luaL_error(L, "user: expected a name or a number, got %s", luaL_typename(L, -1));
    }
    int code = name ? hob_user_find(name, &user, err) : 0;
    if (name && code == 0) {
        owner->given = true;
        owner->uid = user.uid;
        owner->gid = user.gid;
    }
    return code;
}

/* { mode =, user = } at `index`, which may be absent. @return 0, or what was pushed */
static int read_options(lua_State *L, int index, const char *path, struct hob_files_owner *owner)
{
    static const char *const known[] = {"mode", "user", NULL};
    struct hob_error err;
    struct hob_files_place place = hob_lua_fs_place(L);
    hob_files_default_owner(&place, path, owner);
    if (lua_isnoneornil(L, index)) {
        return 0;
    }
    hob_lua_check_options(L, index, known);
    owner->mode = read_mode(L, index);
    return read_owner(L, index, owner, &err) ? hob_lua_fail(L, &err) : 0;
}

static void run_write(struct work *work)
{
    work->code = hob_files_write(work->path, work->data, work->len, &work->owner, &work->err);
}

int hob_lua_fs_write(lua_State *L)
{
    size_t len;
    lua_settop(L, 3);
    const char *path = hob_lua_fs_path(L, 1), *data = luaL_checklstring(L, 2, &len);
    int refused = hob_lua_fs_check(L, path, HOB_FILES_TARGET);
    if (refused) {
        return refused;
    }
    struct work **slot = new_work(L, path, NULL);
    refused = read_options(L, 3, path, &(*slot)->owner);
    if (refused) {
        return refused;
    }
    (*slot)->run = run_write;
    (*slot)->data = (char *)(uintptr_t)data;
    (*slot)->len = len;
    return do_work(L, slot, "hob.fs.write", len <= AT_ONCE_BYTES);
}

static void run_copy(struct work *work)
{
    work->code =
        hob_files_copy(work->path, work->to, &work->owner, &work->stop, &work->bytes, &work->err);
}

static int push_bytes(lua_State *L, struct work *work)
{
    lua_pushinteger(L, (lua_Integer)work->bytes);
    return 1;
}

int hob_lua_fs_copy(lua_State *L)
{
    lua_settop(L, 3);
    const char *from = hob_lua_fs_path(L, 1), *to = hob_lua_fs_path(L, 2);
    int refused = hob_lua_fs_check(L, from, HOB_FILES_TARGET);
    refused = refused ? refused : hob_lua_fs_check(L, to, HOB_FILES_TARGET);
    if (refused) {
        return refused;
    }
    struct work **slot = new_work(L, from, to);
    refused = read_options(L, 3, to, &(*slot)->owner);
    if (refused) {
        return refused;
    }
    (*slot)->run = run_copy;
    (*slot)->push = push_bytes;
    return do_work(L, slot, "hob.fs.copy", false);
}

/* ---- remove ---- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void run_remove(struct work *work)
{
    if (nftw(work->path, remove_entry, NFTW_FDS, FTW_DEPTH | FTW_PHYS)) {
        work->code = hob_error_set(&work->err, hob_error_from_errno(errno), "removing %s: %s",
                                   work->path, strerror(errno));
    }
}

static void run_remove_one(struct work *work)
{
    if (remove(work->path)) {
        work->code = hob_error_set(&work->err, hob_error_from_errno(errno), "removing %s: %s",
                                   work->path, strerror(errno));
    }
}

int hob_lua_fs_remove(lua_State *L)
{
    static const char *const known[] = {"recursive", NULL};
    const char *given = luaL_checkstring(L, 1);
    luaL_argcheck(L, strspn(given, "/.") != strlen(given), 1, "this directory is never removed");
    const char *path = hob_lua_fs_path(L, 1);
    bool recursive = false;
    if (!lua_isnoneornil(L, 2)) {
        hob_lua_check_options(L, 2, known);
        recursive = hob_lua_opt_boolean(L, 2, "recursive", false);
    }
    int refused = hob_lua_fs_check(L, path, HOB_FILES_ENTRY);
    if (refused) {
        return refused;
    }
    struct work **slot = new_work(L, path, NULL);
    (*slot)->run = recursive ? run_remove : run_remove_one;
    return do_work(L, slot, "hob.fs.remove", !recursive);
}

/* ---- sync ---- */

static void run_sync(struct work *work)
{
    work->code = hob_files_sync(work->path, &work->err);
}

int hob_lua_fs_sync(lua_State *L)
{
    const char *path = hob_lua_fs_path(L, 1);
    int refused = hob_lua_fs_check(L, path, HOB_FILES_TARGET);
    if (refused) {
        return refused;
    }
    struct work **slot = new_work(L, path, NULL);
    (*slot)->run = run_sync;
    return do_work(L, slot, "hob.fs.sync", false);
}
