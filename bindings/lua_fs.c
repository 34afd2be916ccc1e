/* lua_fs.c - hob.fs: whole files, directories. A file is written atomically: whole or not at all.
 *
 * There is no core file under it: these are a few system calls. No Lua function that can raise is
 * called while a descriptor is open, so that a memory error leaks none. */
#include "bindings.h"

#include "base/buf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_MAX_BYTES ((size_t)64 * 1024 * 1024)
#define READ_CHUNK     16384
#define NFTW_FDS       16

static const char *check_path(lua_State *L, int index)
{
    size_t len;
    const char *path = luaL_checklstring(L, index, &len);
    luaL_argcheck(L, len > 0 && strlen(path) == len, index, "expected a path");
    return hob_lua_check_path(L, index);
}

static int fail(lua_State *L, const char *doing, const char *path, int number)
{
    struct hob_error err;
    hob_error_set(&err, hob_error_from_errno(number), "%s %s: %s", doing, path, strerror(number));
    return hob_lua_fail(L, &err);
}

static int done(lua_State *L)
{
    lua_pushboolean(L, 1);
    return 1;
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

/* Opened without waiting, since a FIFO without a writer would hold the loop. */
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

static int fs_read(lua_State *L)
{
    struct hob_error err;
    const char *path = check_path(L, 1);
    struct hob_buf *buf = hob_lua_push_buf(L, READ_MAX_BYTES);
    int number = read_file(path, buf);
    if (number == EFBIG) {
        hob_error_set(&err, HOB_EMSGSIZE, "reading %s: over %zu bytes", path, READ_MAX_BYTES);
        return hob_lua_fail(L, &err);
    }
    if (number == EINVAL) {
        hob_error_set(&err, HOB_EINVAL, "reading %s: not a regular file", path);
        return hob_lua_fail(L, &err);
    }
    if (number) {
        return fail(L, "reading", path, number);
    }
    lua_pushlstring(L, hob_buf_data(buf), hob_buf_len(buf));
    hob_buf_free(buf);
    return 1;
}

/* ---- write ---- */

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno != EINTR) {
            return errno;
        }
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

static int sync_directory_of(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s", slash > path ? (int)(slash - path) : 1, slash ? path : ".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    int number = fsync(fd) ? errno : 0;
    close(fd);
    return number == EINVAL ? 0 : number; /* a file system that knows no such thing */
}

static mode_t mode_for(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0) {
        return st.st_mode & 07777;
    }
    mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

static int write_and_rename(const char *path, const char *data, size_t len)
{
    char temp[PATH_MAX];
    if (snprintf(temp, sizeof temp, "%s.XXXXXX", path) >= (int)sizeof temp) {
        return ENAMETOOLONG;
    }
    mode_t mode = mode_for(path);
    int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    int number = write_all(fd, data, len);
    if (!number && (fchmod(fd, mode) || fsync(fd))) {
        number = errno;
    }
    if (close(fd) && !number) {
        number = errno;
    }
    if (!number && rename(temp, path)) {
        number = errno;
    }
    if (number) {
        unlink(temp);
        return number;
    }
    return sync_directory_of(path);
}

static int fs_write(lua_State *L)
{
    size_t len;
    char target[PATH_MAX];
    const char *path = check_path(L, 1), *data = luaL_checklstring(L, 2, &len);
    /* Through a symbolic link: the file is replaced, not the link. */
    int number = write_and_rename(realpath(path, target) ? target : path, data, len);
    return number ? fail(L, "writing", path, number) : done(L);
}

static int fs_append(lua_State *L)
{
    size_t len;
    const char *path = check_path(L, 1), *data = luaL_checklstring(L, 2, &len);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    int number = fd < 0 ? errno : write_all(fd, data, len);
    if (fd >= 0 && close(fd) && !number) {
        number = errno;
    }
    return number ? fail(L, "appending to", path, number) : done(L);
}

/* ---- the rest ---- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static int fs_remove(lua_State *L)
{
    static const char *const known[] = {"recursive", NULL};
    const char *given = luaL_checkstring(L, 1);
    luaL_argcheck(L, strspn(given, "/.") != strlen(given), 1, "this directory is never removed");
    const char *path = check_path(L, 1);
    bool recursive = false;
    if (!lua_isnoneornil(L, 2)) {
        hob_lua_check_options(L, 2, known);
        recursive = hob_lua_opt_boolean(L, 2, "recursive", false);
    }
    int result =
        recursive ? nftw(path, remove_entry, NFTW_FDS, FTW_DEPTH | FTW_PHYS) : remove(path);
    return result ? fail(L, "removing", path, errno) : done(L);
}

static int make_one(const char *path)
{
    struct stat st;
    if (mkdir(path, 0777) == 0) {
        return 0;
    }
    int number = errno;
    return number == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? 0 : number;
}

static int make_parents(const char *path)
{
    char part[PATH_MAX];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part) {
        return ENAMETOOLONG;
    }
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int number = make_one(part);
        if (number) {
            return number;
        }
        *slash = '/';
    }
    return make_one(part);
}

static int fs_mkdir(lua_State *L)
{
    const char *path = check_path(L, 1);
    int number = make_parents(path);
    return number ? fail(L, "making directory", path, number) : done(L);
}

/* Names, each with its NUL. @return 0 or an errno value */
static int read_names(const char *path, struct hob_buf *names)
{
    DIR *dir = opendir(path);
    int number = 0;
    if (!dir) {
        return errno;
    }
    for (errno = 0; !number;) {
        const struct dirent *entry = readdir(dir);
        if (!entry) {
            number = errno;
            break;
        }
        const char *name = entry->d_name;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
            hob_buf_append(names, name, strlen(name) + 1)) {
            number = ENOMEM;
        }
    }
    closedir(dir);
    return number;
}

static void sort_list(lua_State *L)
{
    if (lua_getglobal(L, "table") == LUA_TTABLE && lua_getfield(L, -1, "sort") == LUA_TFUNCTION) {
        lua_pushvalue(L, -3);
        lua_call(L, 1, 0);
        lua_pop(L, 1);
    } else {
        lua_pop(L, 1);
    }
}

static int fs_list(lua_State *L)
{
    const char *path = check_path(L, 1);
    struct hob_buf *names = hob_lua_push_buf(L, READ_MAX_BYTES);
    int number = read_names(path, names);
    if (number) {
        return fail(L, "listing", path, number);
    }
    lua_newtable(L);
    size_t at = 0;
    for (int i = 1; at < hob_buf_len(names); i++) {
        const char *name = hob_buf_data(names) + at;
        lua_pushstring(L, name);
        lua_rawseti(L, -2, i);
        at += strlen(name) + 1;
    }
    sort_list(L);
    return 1;
}

static const char *type_name(mode_t mode)
{
    return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "directory" : S_ISLNK(mode) ? "link" : "other";
}

static int fs_stat(lua_State *L)
{
    struct stat st;
    const char *path = check_path(L, 1);
    if (stat(path, &st) && lstat(path, &st)) { /* a link that leads nowhere is one, too */
        return fail(L, "looking at", path, errno);
    }
    lua_createtable(L, 0, 4);
    lua_pushstring(L, type_name(st.st_mode));
    lua_setfield(L, -2, "type");
    lua_pushinteger(L, st.st_size);
    lua_setfield(L, -2, "size");
    lua_pushinteger(L, st.st_mode & 07777);
    lua_setfield(L, -2, "mode");
    lua_pushnumber(L, (double)st.st_mtim.tv_sec + (double)st.st_mtim.tv_nsec / 1e9);
    lua_setfield(L, -2, "mtime");
    return 1;
}

static int fs_tempdir(lua_State *L)
{
    char path[PATH_MAX];
    const char *base = getenv("TMPDIR");
    int len = snprintf(path, sizeof path, "%s/hob-XXXXXX", base && *base ? base : "/tmp");
    if (len >= (int)sizeof path || !mkdtemp(path)) {
        return fail(L, "making a temporary directory", path,
                    len >= (int)sizeof path ? ENAMETOOLONG : errno);
    }
    lua_pushstring(L, path);
    return 1;
}

static int fs_chmod(lua_State *L)
{
    const char *path = check_path(L, 1);
    lua_Integer mode = luaL_checkinteger(L, 2);
    luaL_argcheck(L, mode >= 0 && mode <= 07777, 2, "expected a mode from 0 to 4095 (07777)");
    return chmod(path, (mode_t)mode) ? fail(L, "changing the mode of", path, errno) : done(L);
}

static const luaL_Reg functions[] = {
    {"read", fs_read},   {"write", fs_write}, {"append", fs_append}, {"remove", fs_remove},
    {"mkdir", fs_mkdir}, {"list", fs_list},   {"stat", fs_stat},     {"tempdir", fs_tempdir},
    {"chmod", fs_chmod}, {NULL, NULL}};

int hob_lua_open_fs(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
