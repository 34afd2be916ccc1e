/* lua_process.c - hob.process: this process, for `hob lua` and Hob's own commands: signals, the
 * exit code, standard input and output, the terminal, locks. Not in a job's sandbox. */
#include "base/alloc.h"
#include "bindings.h"

#include "work/task.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#define WATCH_NAME "hob.process.signal"
#define LOCK_NAME  "hob.process.lock"
#define READ_BYTES 65536
#define WRITE_MS   30000 /* of a reader who takes nothing */

/* ---- signals ---- */

struct watch {
    uv_signal_t *handle;
    struct hob_scheduler *scheduler;
    int callback;
};

static const struct {
    const char *name;
    int number;
} signals[] = {{"INT", SIGINT},   {"TERM", SIGTERM},   {"HUP", SIGHUP},  {"USR1", SIGUSR1},
               {"USR2", SIGUSR2}, {"WINCH", SIGWINCH}, {"CONT", SIGCONT}};

static int check_signal(lua_State *L, int index)
{
    const char *name = luaL_checkstring(L, index);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        if (strcmp(name, signals[i].name) == 0) {
            return signals[i].number;
        }
    }
    return luaL_error(L, "signal: expected INT, TERM, HUP, USR1, USR2, WINCH or CONT, got %s",
                      name);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct watch *watch = handle->data;
    hob_task_call(watch->scheduler, watch->callback, NULL, NULL, NULL);
}

static void free_handle(uv_handle_t *handle)
{
    hob_free(handle);
}

static int watch_close(lua_State *L)
{
    struct watch *watch = luaL_checkudata(L, 1, WATCH_NAME);
    if (watch->handle) {
        uv_close((uv_handle_t *)watch->handle, free_handle);
        watch->handle = NULL;
        luaL_unref(L, LUA_REGISTRYINDEX, watch->callback);
    }
    return 0;
}

static int process_on_signal(lua_State *L)
{
    int number = check_signal(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    struct hob_loop *loop = hob_scheduler_loop(L);
    struct watch *watch = lua_newuserdatauv(L, sizeof *watch, 0);
    memset(watch, 0, sizeof *watch);
    luaL_setmetatable(L, WATCH_NAME);
    watch->scheduler = hob_scheduler_of(L);
    lua_pushvalue(L, 2);
    watch->callback = luaL_ref(L, LUA_REGISTRYINDEX);
    watch->handle = hob_calloc(1, sizeof *watch->handle);
    if (!watch->handle) {
        return luaL_error(L, "out of memory");
    }
    uv_signal_init(hob_loop_uv(loop), watch->handle);
    watch->handle->data = watch;
    uv_unref((uv_handle_t *)watch->handle); /* waiting for a signal alone keeps nothing running */
    uv_signal_start(watch->handle, on_signal, number);
    lua_pushvalue(L, -1);
    luaL_ref(L, LUA_REGISTRYINDEX); /* lives as long as the process, unless closed */
    return 1;
}

/* ---- standard input and output ---- */

struct reader {
    struct hob_modules_host *host;
    struct hob_task *task;
    uv_work_t *work;
    bool cancelled, raw;
    char *line;
    ssize_t len;
};

static ssize_t read_bytes(char **out)
{
    ssize_t len;
    *out = hob_malloc(READ_BYTES);
    if (!*out) {
        return -1;
    }
    while ((len = read(STDIN_FILENO, *out, READ_BYTES)) < 0 &&
           (errno == EINTR || errno == EAGAIN)) {
        /* whoever started this program may have left its end of the pipe non-blocking */
        poll(&(struct pollfd){.fd = STDIN_FILENO, .events = POLLIN}, 1, -1);
    }
    return len > 0 ? len : -1;
}

/* A worker thread reads: standard input may be a file, a pipe or a terminal, and only the
 * terminal's own line editing is wanted here. */
static void read_work(uv_work_t *work)
{
    struct reader *reader = work->data;
    reader->len = reader->raw ? read_bytes(&reader->line) : hob_getline(&reader->line, stdin);
}

static void reader_free(struct reader *reader)
{
    hob_free(reader->line);
    hob_free(reader->work);
    hob_free(reader);
}

static void read_done(uv_work_t *work, int status)
{
    struct reader *reader = work->data;
    reader->host->reading = 0;
    if (reader->cancelled) {
        reader_free(reader);
    } else {
        reader->work->data = NULL;
        hob_task_wake(reader->task);
    }
}

static int read_push(lua_State *L, void *op)
{
    struct reader *reader = op;
    if (reader->len < 0) {
        lua_pushnil(L);
        return 1;
    }
    size_t len = (size_t)reader->len;
    if (!reader->raw && len && reader->line[len - 1] == '\n') {
        len--;
    }
    lua_pushlstring(L, reader->line, len);
    return 1;
}

static void read_release(void *op)
{
    struct reader *reader = op;
    if (reader->work->data) {
        reader->cancelled = true; /* the worker still has it */
    } else {
        reader_free(reader);
    }
}

static int start_reading(lua_State *L, bool raw)
{
    struct hob_task *task = hob_task_current(L);
    struct reader *reader = hob_calloc(1, sizeof *reader);
    uv_work_t *work = hob_calloc(1, sizeof *work);
    if (!reader || !work) {
        hob_free(reader);
        hob_free(work);
        return luaL_error(L, "out of memory");
    }
    *reader = (struct reader){.host = hob_bindings_host(L), .task = task, .work = work, .raw = raw};
    reader->host->reading = 1;
    work->data = reader;
    uv_queue_work(hob_loop_uv(hob_scheduler_loop(L)), work, read_work, read_done);
    return hob_task_suspend(
        L, &(struct hob_task_wait){"hob.process.read", read_push, NULL, read_release, reader});
}

/** read_line() -> line without its end | nil */
static int process_read_line(lua_State *L)
{
    return start_reading(L, false);
}

/** read() -> what has come, at most 64 KB | nil: the end. Not to be mixed with read_line. */
static int process_read(lua_State *L)
{
    return start_reading(L, true);
}

/* A pipe takes that much without blocking once it has room for anything, so that a reader who has
 * stopped to read holds up this process for a while, and not for ever. */
static int write_some(const char **text, size_t *len)
{
    size_t part = *len < PIPE_BUF ? *len : PIPE_BUF;
    int ready = poll(&(struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT}, 1, WRITE_MS);
    if (ready == 0) {
        return ETIMEDOUT;
    }
    ssize_t written = ready > 0 ? write(STDOUT_FILENO, *text, part) : -1;
    if (written < 0) {
        return errno == EINTR || errno == EAGAIN ? 0 : errno;
    }
    *text += written;
    *len -= (size_t)written;
    return 0;
}

/** write(text) -> true | nil, message, code: all of it is on its way; a slow reader is waited for.
 */
static int process_write(lua_State *L)
{
    size_t len;
    struct hob_error err = {0};
    const char *text = luaL_checklstring(L, 1, &len);
    int rc = 0;
    fflush(stdout);
    while (len > 0 && rc == 0) {
        rc = write_some(&text, &len);
    }
    if (rc) {
        hob_error_set(&err, hob_error_from_errno(rc), "standard output: %s",
                      rc == ETIMEDOUT ? "nobody reads it" : strerror(rc));
        return hob_lua_fail(L, &err);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- locks ---- */

struct lock {
    int fd; /* -1: not ours, or not any more */
    char path[PATH_MAX];
};

static int lock_close(lua_State *L)
{
    struct lock *lock = luaL_checkudata(L, 1, LOCK_NAME);
    if (lock->fd >= 0) {
        unlink(lock->path); /* while it is ours: see is_there */
        close(lock->fd);
        lock->fd = -1;
    }
    return 0;
}

/* Who had it before may have taken the file away between our open and our lock. */
static bool is_there(int fd, const char *path)
{
    struct stat ours, theirs;
    return fstat(fd, &ours) == 0 && lstat(path, &theirs) == 0 && ours.st_ino == theirs.st_ino &&
           ours.st_dev == theirs.st_dev;
}

/* @return 0 or an errno value. Open for writing: over NFS no other file can be locked. */
static int take_lock(const char *path, int *out)
{
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        int number = fd < 0 || flock(fd, LOCK_EX | LOCK_NB) ? errno : 0;
        if (number == 0 && is_there(fd, path)) {
            *out = fd;
            return 0;
        }
        if (fd >= 0) {
            close(fd);
        }
        if (number) {
            return number;
        }
    }
}

/** lock(path) -> lock | nil, message, code ("EBUSY": another process has it). A file of that name
 * is there meanwhile; the lock ends with this process, however that ends, and what is left is none.
 */
static int process_lock(lua_State *L)
{
    struct hob_error err = {0};
    const char *path = hob_lua_check_path(L, 1);
    struct lock *lock = lua_newuserdatauv(L, sizeof *lock, 0);
    lock->fd = -1;
    luaL_setmetatable(L, LOCK_NAME);
    int len = snprintf(lock->path, sizeof lock->path, "%s", path);
    int number = len < (int)sizeof lock->path ? take_lock(path, &lock->fd) : ENAMETOOLONG;
    if (number) {
        hob_error_set(&err, hob_error_from_errno(number), "locking %s: %s", path,
                      number == EWOULDBLOCK ? "another process has it" : strerror(number));
        return hob_lua_fail(L, &err);
    }
    return 1;
}

/* ---- the rest ---- */

static int process_exit(lua_State *L)
{
    int code = 0;
    if (lua_isboolean(L, 1)) {
        code = lua_toboolean(L, 1) ? 0 : 1;
    } else {
        code = (int)luaL_optinteger(L, 1, 0);
    }
    struct hob_modules_host *host = hob_bindings_host(L);
    host->exiting = 1;
    host->exit_code = code & 0xff;
    hob_loop_stop(host->loop);
    return hob_task_raise(L, "exit", "exit");
}

static int process_pid(lua_State *L)
{
    lua_pushinteger(L, getpid());
    return 1;
}

static int process_is_terminal(lua_State *L)
{
    lua_pushboolean(L, isatty((int)luaL_optinteger(L, 1, STDOUT_FILENO)));
    return 1;
}

static int process_columns(lua_State *L)
{
    struct winsize size;
    int known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    lua_pushinteger(L, known ? size.ws_col : 80);
    return 1;
}

static const luaL_Reg functions[] = {{"on_signal", process_on_signal},
                                     {"read_line", process_read_line},
                                     {"read", process_read},
                                     {"write", process_write},
                                     {"lock", process_lock},
                                     {"exit", process_exit},
                                     {"pid", process_pid},
                                     {"is_terminal", process_is_terminal},
                                     {"columns", process_columns},
                                     {NULL, NULL}};
static const luaL_Reg watch_meta[] = {
    {"__gc", watch_close}, {"__close", watch_close}, {"__index", NULL}, {NULL, NULL}};
static const luaL_Reg watch_methods[] = {{"close", watch_close}, {NULL, NULL}};
static const luaL_Reg lock_meta[] = {
    {"__gc", lock_close}, {"__close", lock_close}, {"__index", NULL}, {NULL, NULL}};
static const luaL_Reg lock_methods[] = {{"close", lock_close}, {NULL, NULL}};

int hob_lua_open_process(lua_State *L)
{
    hob_lua_new_metatable(L, LOCK_NAME);
    luaL_setfuncs(L, lock_meta, 0);
    luaL_newlib(L, lock_methods);
    lua_setfield(L, -2, "__index");
    hob_lua_new_metatable(L, WATCH_NAME);
    luaL_setfuncs(L, watch_meta, 0);
    luaL_newlib(L, watch_methods);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
