/* lua_fs.c - hob.fs: whole files, directories. A file is written atomically: whole or not at all.
 *
 * What takes long is in lua_fs_work.c. No Lua function that can raise is called while a descriptor
 * is open, so that a memory error leaks none. */
#include "lua_fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define NAMES_MAX_BYTES ((size_t)64 * 1024 * 1024)

const char *hob_lua_fs_path(lua_State *L, int index)
{
    size_t len;
    const char *path = luaL_checklstring(L, index, &len);
    luaL_argcheck(L, len > 0 && strlen(path) == len, index, "expected a path");
    return hob_lua_check_path(L, index);
}

struct hob_files_place hob_lua_fs_place(lua_State *L)
{
    return (struct hob_files_place){hob_bindings_host(L)->policy, hob_lua_job_dir(L)};
}

/* @return 0, or the number of values of a refusal that was pushed */
int hob_lua_fs_check(lua_State *L, const char *path, enum hob_files_what what)
{
    struct hob_error err;
    struct hob_files_place place = hob_lua_fs_place(L);
    return hob_files_check(&place, path, what, &err) ? hob_lua_fail(L, &err) : 0;
}

int hob_lua_fs_give(lua_State *L, const char *path)
{
    struct hob_files_owner owner;
    struct hob_files_place place = hob_lua_fs_place(L);
    hob_files_default_owner(&place, path, &owner);
    return owner.given && lchown(path, owner.uid, owner.gid) ? errno : 0;
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

static int fs_append(lua_State *L)
{
    size_t len;
    const char *path = hob_lua_fs_path(L, 1), *data = luaL_checklstring(L, 2, &len);
    int refused = hob_lua_fs_check(L, path, HOB_FILES_TARGET);
    if (refused) {
        return refused;
    }
    bool is_new = access(path, F_OK) != 0;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    int number = fd < 0 ? errno : write_all(fd, data, len);
    if (fd >= 0 && close(fd) && !number) {
        number = errno;
    }
    number = number || !is_new ? number : hob_lua_fs_give(L, path);
    return number ? fail(L, "appending to", path, number) : done(L);
}

/* ---- the rest ---- */

static int make_one(lua_State *L, const char *path)
{
    struct stat st;
    if (mkdir(path, 0777) == 0) {
        return hob_lua_fs_give(L, path);
    }
    int number = errno;
    return number == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? 0 : number;
}

static int make_parents(lua_State *L, const char *path)
{
    char part[PATH_MAX];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part) {
        return ENAMETOOLONG;
    }
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int number = make_one(L, part);
        if (number) {
            return number;
        }
        *slash = '/';
    }
    return make_one(L, part);
}

static int fs_mkdir(lua_State *L)
{
    const char *path = hob_lua_fs_path(L, 1);
    int refused = hob_lua_fs_check(L, path, HOB_FILES_TARGET);
    if (refused) {
        return refused;
    }
    int number = make_parents(L, path);
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
    const char *path = hob_lua_fs_path(L, 1);
    int refused = hob_lua_fs_check(L, path, HOB_FILES_TARGET);
    if (refused) {
        return refused;
    }
    struct hob_buf *names = hob_lua_push_buf(L, NAMES_MAX_BYTES);
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

/* A link that leads out of fs_roots tells nothing of what is there. */
static bool may_follow(lua_State *L, const char *path)
{
    struct hob_error err;
    struct hob_files_place place = hob_lua_fs_place(L);
    return hob_files_check(&place, path, HOB_FILES_TARGET, &err) == 0;
}

static int fs_stat(lua_State *L)
{
    struct stat st;
    const char *path = hob_lua_fs_path(L, 1);
    int refused = hob_lua_fs_check(L, path, HOB_FILES_ENTRY);
    if (refused) {
        return refused;
    }
    /* a link that leads nowhere is one, too */
    if ((!may_follow(L, path) || stat(path, &st)) && lstat(path, &st)) {
        return fail(L, "looking at", path, errno);
    }
    lua_createtable(L, 0, 6);
    lua_pushinteger(L, st.st_uid);
    lua_setfield(L, -2, "uid");
    lua_pushinteger(L, st.st_gid);
    lua_setfield(L, -2, "gid");
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

/* Only "no" if it is known: what cannot be looked at may be there. */
static int fs_exists(lua_State *L)
{
    struct stat st;
    const char *path = hob_lua_fs_path(L, 1);
    int refused = hob_lua_fs_check(L, path, HOB_FILES_ENTRY);
    if (refused) {
        return refused;
    }
    bool is = lstat(path, &st) == 0;
    if (!is && errno != ENOENT && errno != ENOTDIR) {
        return fail(L, "looking at", path, errno);
    }
    lua_pushboolean(L, is);
    return 1;
}

static int fs_free(lua_State *L)
{
    struct statvfs st;
    const char *path = hob_lua_fs_path(L, 1);
    if (statvfs(path, &st)) {
        return fail(L, "looking at", path, errno);
    }
    lua_pushinteger(L, (lua_Integer)st.f_bavail * (lua_Integer)st.f_frsize);
    lua_pushinteger(L, (lua_Integer)st.f_blocks * (lua_Integer)st.f_frsize);
    return 2;
}

static int fs_rename(lua_State *L)
{
    struct hob_error err;
    const char *from = hob_lua_fs_path(L, 1), *to = hob_lua_fs_path(L, 2);
    int refused = hob_lua_fs_check(L, from, HOB_FILES_ENTRY);
    refused = refused ? refused : hob_lua_fs_check(L, to, HOB_FILES_ENTRY);
    if (refused) {
        return refused;
    }
    return hob_files_rename(from, to, &err) ? hob_lua_fail(L, &err) : done(L);
}

static int fs_symlink(lua_State *L)
{
    struct hob_error err;
    size_t len;
    const char *target = luaL_checklstring(L, 1, &len), *path = hob_lua_fs_path(L, 2);
    luaL_argcheck(L, len > 0 && strlen(target) == len, 1, "expected a path");
    int refused = hob_lua_fs_check(L, path, HOB_FILES_ENTRY);
    if (refused) {
        return refused;
    }
    return hob_files_symlink(target, path, &err) ? hob_lua_fail(L, &err) : done(L);
}

static int fs_tempdir(lua_State *L)
{
    char path[PATH_MAX];
    const char *base = hob_lua_job_dir(L);
    base = base ? base : getenv("TMPDIR");
    int len = snprintf(path, sizeof path, "%s/hob-XXXXXX", base && *base ? base : "/tmp");
    if (len >= (int)sizeof path || !mkdtemp(path)) {
        return fail(L, "making a temporary directory", path,
                    len >= (int)sizeof path ? ENAMETOOLONG : errno);
    }
    int number = hob_lua_fs_give(L, path);
    if (number) {
        return fail(L, "making a temporary directory", path, number);
    }
    lua_pushstring(L, path);
    return 1;
}

/* 755 as it stands in Lua is 01363 */
static bool is_octal_forgotten(lua_Integer mode)
{
    return mode >= 600 && mode <= 777 && mode / 10 % 10 < 8 && mode % 10 < 8;
}

int hob_lua_fs_mode(lua_State *L, int index)
{
    int is_number = 0;
    lua_Integer mode = -1;
    if (lua_type(L, index) == LUA_TSTRING) {
        const char *text = lua_tostring(L, index);
        size_t digits = strspn(text, "01234567");
        mode = digits > 0 && digits < 6 && !text[digits] ? strtol(text, NULL, 8) : -1;
    } else {
        mode = lua_tointegerx(L, index, &is_number);
        mode = is_number ? mode : -1;
    }
    if (is_number && is_octal_forgotten(mode)) {
        return luaL_error(L, "mode: %d is no octal number in Lua; write \"%d\"", (int)mode,
                          (int)mode);
    } else if (mode < 0 || mode > 07777) {
        return luaL_error(L, "mode: expected octal digits such as \"640\", or an integer from 0 to "
                             "4095 (07777)");
    }
    return (int)mode;
}

static int fs_chmod(lua_State *L)
{
    const char *path = hob_lua_fs_path(L, 1);
    int mode = hob_lua_fs_mode(L, 2);
    int refused = hob_lua_fs_check(L, path, HOB_FILES_TARGET);
    if (refused) {
        return refused;
    }
    return chmod(path, (mode_t)mode) ? fail(L, "changing the mode of", path, errno) : done(L);
}

static const luaL_Reg functions[] = {{"read", hob_lua_fs_read}, {"write", hob_lua_fs_write},
                                     {"append", fs_append},     {"copy", hob_lua_fs_copy},
                                     {"rename", fs_rename},     {"remove", hob_lua_fs_remove},
                                     {"mkdir", fs_mkdir},       {"list", fs_list},
                                     {"stat", fs_stat},         {"exists", fs_exists},
                                     {"free", fs_free},         {"sync", hob_lua_fs_sync},
                                     {"tempdir", fs_tempdir},   {"chmod", fs_chmod},
                                     {"symlink", fs_symlink},   {NULL, NULL}};

int hob_lua_open_fs(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
