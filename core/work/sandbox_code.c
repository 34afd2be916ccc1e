#include "work/sandbox_code.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "work/sandbox_kit.h"
#include "work/scripts.h"

#include <dirent.h>
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CODE_MAX (4u << 20) /* of one file */

struct file {
    struct file *next;
    char *path;
    char *code;
    size_t len;
};

struct hob_sandbox_code {
    struct file *files;
};

struct hob_sandbox_code *hob_sandbox_code_new(void)
{
    return hob_calloc(1, sizeof(struct hob_sandbox_code));
}

static void free_file(struct file *file)
{
    hob_free(file->path);
    hob_free(file->code);
    hob_free(file);
}

void hob_sandbox_code_free(struct hob_sandbox_code *code)
{
    for (struct file *file = code ? code->files : NULL, *next; file; file = next) {
        next = file->next;
        free_file(file);
    }
    hob_free(code);
}

/* ---- made of the function on top ---- */

static int append(lua_State *L, const void *data, size_t len, void *user)
{
    return hob_buf_append(user, data, len);
}

/* With its lines and names: errors and the debugger tell them.
 * @return the bytecode, caller frees; NULL: there was no memory, it is compiled again next time */
static char *dump(lua_State *L, size_t *len)
{
    struct hob_buf buf;
    hob_buf_init(&buf, CODE_MAX);
    char *code = NULL;
    if (lua_dump(L, append, &buf, 0) == 0) {
        *len = hob_buf_len(&buf);
        code = hob_malloc(*len);
        if (code) {
            memcpy(code, hob_buf_data(&buf), *len);
        }
    }
    hob_buf_free(&buf);
    return code;
}

static void load(lua_State *L, const char *path, const char *code, size_t len)
{
    if (luaL_loadbufferx(L, code, len, path, "b") != LUA_OK) {
        lua_error(L);
    }
}

/* ---- Hob's own files ---- */

static struct file *find(const struct hob_sandbox_code *code, const char *path)
{
    struct file *file = code->files;
    while (file && strcmp(file->path, path) != 0) {
        file = file->next;
    }
    return file;
}

static void keep(struct hob_sandbox_code *code, lua_State *L, const char *path)
{
    struct file *file = hob_calloc(1, sizeof *file);
    if (!file) {
        return;
    }
    file->path = hob_strdup(path);
    file->code = file->path ? dump(L, &file->len) : NULL;
    if (!file->code) {
        free_file(file);
        return;
    }
    file->next = code->files;
    code->files = file;
}

bool hob_sandbox_code_load(struct hob_sandbox_code *code, lua_State *L, const char *path)
{
    const struct file *file = find(code, path);
    if (file) {
        load(L, path, file->code, file->len);
        return true;
    }
    if (access(path, R_OK)) {
        return false;
    }
    if (luaL_loadfilex(L, path, "t") != LUA_OK) {
        lua_error(L);
    }
    keep(code, L, path);
    return true;
}

static int read_file(lua_State *L)
{
    hob_sandbox_code_load(lua_touserdata(L, 1), L, lua_touserdata(L, 2));
    return 0;
}

static void read_ahead(struct hob_sandbox_code *code, lua_State *L, const char *lib,
                       const char *name)
{
    char path[PATH_MAX];
    const char *end = strrchr(name, '.');
    int n = snprintf(path, sizeof path, "%s/hob/%s", lib, name);
    if (end && strcmp(end, ".lua") == 0 && n > 0 && (size_t)n < sizeof path) {
        lua_pushcfunction(L, read_file);
        lua_pushlightuserdata(L, code);
        lua_pushlightuserdata(L, path);
        lua_pcall(L, 2, 0, 0);
        lua_settop(L, 0);
    }
}

static void read_all(struct hob_sandbox_code *code, lua_State *L, const char *lib)
{
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s/hob/job", lib);
    DIR *entries = opendir(name);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        snprintf(name, sizeof name, "job/%s", entry->d_name);
        read_ahead(code, L, lib, name);
    }
    if (entries) {
        closedir(entries);
    }
    read_ahead(code, L, lib, "job.lua");
    read_ahead(code, L, lib, "nearest.lua");
}

void hob_sandbox_code_read(struct hob_sandbox_code *code, const char *lib)
{
    lua_State *L = hob_alloc_lua_state();
    if (L) {
        read_all(code, L, lib);
        lua_close(L);
    }
}

/* ---- scripts ---- */

void hob_sandbox_kit_load_script(lua_State *L, struct hob_script *script)
{
    if (script->code) {
        load(L, script->path, script->code, script->code_len);
        return;
    }
    char chunk[PATH_MAX + 2];
    snprintf(chunk, sizeof chunk, "@%s", script->path);
    if (luaL_loadbufferx(L, script->text, script->len, chunk, "t") != LUA_OK) {
        lua_error(L);
    }
    script->code = dump(L, &script->code_len);
}
