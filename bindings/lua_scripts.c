/* lua_scripts.c - hob.scripts.core: the running gateway's scripts directories, and which version of
 * each file in them is in use.
 *
 * hob.scripts.core.list() -> directories (one a line), files, is_watched
 *   files: { [file] = { sha256, path, error, newer } }
 * hob.scripts.core.try(is_module, name, text | nil, handler | nil) -> true
 *
 * Both: | nil, message, code; "ENOTCONN": no gateway runs here. What handlers call is
 * lib/hob/scripts.lua.  Spec: spec/handlers/update_handler_spec.lua
 */
#include "bindings.h"

#include "work/handlers.h"
#include "work/native.h"
#include "work/scripts.h"
#include "work/scripts_dirs.h"
#include "work/task.h"

#include <string.h>

/* Leaves a table. What could not be read has no digest. */
static void push_version(lua_State *L, const char *digest, const char *path,
                         const struct hob_error *error)
{
    lua_createtable(L, 0, 4);
    lua_pushstring(L, path);
    lua_setfield(L, -2, "path");
    if (digest[0]) {
        lua_pushstring(L, digest);
        lua_setfield(L, -2, "sha256");
    }
    if (error->code) {
        lua_pushstring(L, error->message);
        lua_setfield(L, -2, "error");
    }
}

/* The name that a file has within its directory. */
static const char *file_of(const char *directories, const char *path)
{
    char directory[PATH_MAX];
    while (hob_scripts_dirs_next(&directories, directory)) {
        size_t len = strlen(directory);
        if (strncmp(path, directory, len) == 0 && path[len] == '/') {
            return path + len + 1;
        }
    }
    return path;
}

/* With the table of files on the stack, as all below. */
static void add_handler(lua_State *L, const char *directory,
                        const struct hob_handlers_entry *handler)
{
    if (!handler->path || strcmp(handler->path, HOB_NATIVE_PATH) == 0) {
        return; /* out of memory while it was read; or it is none of the files */
    }
    push_version(L, handler->digest, handler->path, &handler->error);
    if (handler->newer) {
        push_version(L, handler->newer->digest, handler->newer->path, &handler->refused);
        lua_setfield(L, -2, "newer");
    }
    lua_setfield(L, -2, file_of(directory, handler->path));
}

static void add_modules(lua_State *L, const char *directory,
                        const struct hob_scripts_modules *modules)
{
    for (size_t i = 0; modules && i < modules->count; i++) {
        const struct hob_script *module = modules->list[i];
        push_version(L, module->digest, module->path, &module->error);
        lua_setfield(L, -2, file_of(directory, module->path));
    }
}

/* Its last good version may be in use. */
static void add_broken(lua_State *L, const char *directory, const struct hob_script *module)
{
    const char *file = file_of(directory, module->path);
    if (lua_getfield(L, -1, file) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, file);
    }
    push_version(L, module->digest, module->path, &module->error);
    lua_setfield(L, -2, "newer");
    lua_pop(L, 1);
}

/* @return NULL: no gateway runs here */
static const struct hob_handlers *handlers_of(lua_State *L)
{
    const struct hob_modules_agent *agent = hob_bindings_host(L)->agent;
    return agent ? agent->handlers : NULL;
}

static int refuse(lua_State *L)
{
    struct hob_error err = {0};
    hob_error_set(&err, HOB_ENOTCONN, "no gateway runs here (hob run), so no handlers are in use");
    return hob_lua_fail(L, &err);
}

static int scripts_list(lua_State *L)
{
    const struct hob_handlers *handlers = handlers_of(L);
    if (!handlers) {
        return refuse(L);
    }
    const char *directory = hob_handlers_scripts(handlers);
    lua_pushstring(L, directory);
    lua_newtable(L);
    for (size_t i = 0; i < hob_handlers_count(handlers); i++) {
        add_handler(L, directory, hob_handlers_at(handlers, i));
    }
    add_modules(L, directory, hob_handlers_modules(handlers));
    const struct hob_script *broken = NULL;
    for (size_t i = 0; (broken = hob_handlers_broken_module(handlers, i)) != NULL; i++) {
        add_broken(L, directory, broken);
    }
    lua_pushboolean(L, hob_handlers_is_watched(handlers));
    return 3;
}

static int scripts_try(lua_State *L)
{
    struct hob_error err = {0};
    struct hob_handlers_trial trial = {.is_module = lua_toboolean(L, 1)};
    trial.name = luaL_checkstring(L, 2);
    trial.text = luaL_optlstring(L, 3, NULL, &trial.len);
    trial.for_whom = luaL_optstring(L, 4, NULL);
    luaL_argcheck(L, trial.text || (trial.is_module && trial.for_whom), 3, "expected a text");
    if (!handlers_of(L)) {
        return refuse(L);
    }
    int rc = hob_handlers_try(handlers_of(L), &trial, &err);
    hob_task_watch_anew(L); /* the time was ours */
    if (rc) {
        return hob_lua_fail(L, &err);
    }
    lua_pushboolean(L, 1);
    return 1;
}

int hob_lua_open_scripts(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"list", scripts_list}, {"try", scripts_try}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
