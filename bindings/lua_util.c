/* lua_util.c - what the binding files share: results, option tables, surroundings. */
#include "bindings.h"

#include "work/job.h"
#include "work/task.h"

#include <math.h>
#include <string.h>

#define SECONDS_MAX 1e9
#define BUF_NAME    "hob.buf"

struct hob_modules_host *hob_bindings_host(lua_State *L)
{
    return hob_scheduler_user(L);
}

int hob_lua_fail(lua_State *L, const struct hob_error *err)
{
    lua_pushnil(L);
    lua_pushstring(L, err->message);
    lua_pushstring(L, hob_error_name(err->code));
    return 3;
}

static int wrong_type(lua_State *L, const char *name, const char *expected)
{
    return luaL_error(L, "%s: expected %s, got %s", name, expected, luaL_typename(L, -1));
}

const char *hob_lua_opt_string(lua_State *L, int index, const char *name, const char *fallback)
{
    int type = lua_getfield(L, index, name);
    if (type != LUA_TNIL && type != LUA_TSTRING) {
        wrong_type(L, name, "string");
    }
    const char *value = type == LUA_TNIL ? fallback : lua_tostring(L, -1);
    lua_pop(L, 1); /* the table keeps the string */
    return value;
}

double hob_lua_opt_number(lua_State *L, int index, const char *name, double fallback)
{
    int type = lua_getfield(L, index, name);
    if (type != LUA_TNIL && type != LUA_TNUMBER) {
        wrong_type(L, name, "number");
    }
    double value = type == LUA_TNIL ? fallback : lua_tonumber(L, -1);
    lua_pop(L, 1);
    return value;
}

bool hob_lua_opt_boolean(lua_State *L, int index, const char *name, bool fallback)
{
    int type = lua_getfield(L, index, name);
    if (type != LUA_TNIL && type != LUA_TBOOLEAN) {
        wrong_type(L, name, "boolean");
    }
    bool value = type == LUA_TNIL ? fallback : lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

static bool is_known(const char *name, const char *const *known)
{
    for (; *known; known++) {
        if (strcmp(name, *known) == 0) {
            return true;
        }
    }
    return false;
}

static int unknown_option(lua_State *L, const char *name, const char *const *known)
{
    luaL_Buffer list;
    luaL_buffinit(L, &list);
    for (const char *const *k = known; *k; k++) {
        luaL_addstring(&list, k == known ? "" : ", ");
        luaL_addstring(&list, *k);
    }
    luaL_pushresult(&list);
    return luaL_error(L, "unknown option '%s'; known: %s", name, lua_tostring(L, -1));
}

void hob_lua_check_options(lua_State *L, int index, const char *const *known)
{
    index = lua_absindex(L, index);
    luaL_checktype(L, index, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING && !is_known(lua_tostring(L, -1), known)) {
            unknown_option(L, lua_tostring(L, -1), known);
        }
    }
}

uint64_t hob_lua_ms(lua_State *L, double seconds, const char *name)
{
    if (!(seconds >= 0) || seconds > SECONDS_MAX) {
        luaL_error(L, "%s: expected seconds from 0 to %f, got %f", name, SECONDS_MAX, seconds);
    }
    return (uint64_t)ceil(seconds * 1000);
}

int hob_lua_new_metatable(lua_State *L, const char *name)
{
    int is_new = luaL_newmetatable(L, name);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    return is_new;
}

static int free_buf(lua_State *L)
{
    hob_buf_free(luaL_checkudata(L, 1, BUF_NAME));
    return 0;
}

struct hob_buf *hob_lua_push_buf(lua_State *L, size_t limit)
{
    struct hob_buf *buf = lua_newuserdatauv(L, sizeof *buf, 0);
    hob_buf_init(buf, limit);
    if (hob_lua_new_metatable(L, BUF_NAME)) {
        lua_pushcfunction(L, free_buf);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return buf;
}

const char *hob_lua_job_dir(lua_State *L)
{
    const struct hob_modules_host *host = hob_bindings_host(L);
    if (!host->job) {
        return NULL;
    }
    struct hob_error err;
    const char *dir;
    if (hob_job_use_dir(host->job, &dir, &err)) {
        luaL_error(L, "the job's directory: %s", err.message);
    }
    return dir;
}

const char *hob_lua_check_path(lua_State *L, int index)
{
    const char *path = luaL_checkstring(L, index);
    const char *dir = hob_lua_job_dir(L);
    if (path[0] == '/' || !path[0] || !dir) {
        return path;
    }
    index = lua_absindex(L, index);
    lua_pushfstring(L, "%s/%s", dir, path);
    lua_replace(L, index);
    return lua_tostring(L, index);
}

int hob_lua_opt_function(lua_State *L, int index, const char *name)
{
    int type = lua_getfield(L, index, name);
    if (type != LUA_TNIL && type != LUA_TFUNCTION) {
        wrong_type(L, name, "function");
    }
    if (type == LUA_TNIL) {
        lua_pop(L, 1);
        return LUA_NOREF;
    }
    return luaL_ref(L, LUA_REGISTRYINDEX);
}
