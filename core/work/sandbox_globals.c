#include "work/sandbox_globals.h"

#include "base/log.h"
#include "work/modules.h"
#include "work/sandbox_string.h"
#include "work/sandbox_table.h"
#include "work/task.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <string.h>

/* ---- in place of Lua's ---- */

static int safe_setmetatable(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, lua_isnoneornil(L, 2) || lua_istable(L, 2), 2, "nil or table");
    if (lua_istable(L, 2)) {
        lua_pushstring(L, "__gc");
        luaL_argcheck(L, lua_rawget(L, 2) == LUA_TNIL, 2, "__gc is not available to handlers");
        lua_pop(L, 1);
    }
    luaL_argcheck(L, luaL_getmetafield(L, 1, "__metatable") == LUA_TNIL, 1,
                  "cannot change a protected metatable");
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

static int safe_load(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    const char *name = luaL_optstring(L, 2, text);
    int has_env = !lua_isnone(L, 4);
    if (luaL_loadbufferx(L, text, len, name, "t") != LUA_OK) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    if (has_env) {
        lua_pushvalue(L, 4);
        lua_setupvalue(L, -2, 1);
    }
    return 1;
}

static int log_print(lua_State *L)
{
    struct hob_modules_host *host = hob_scheduler_user(L);
    luaL_Buffer line;
    int n = lua_gettop(L); /* a buffer may take a place of its own */
    luaL_buffinit(L, &line);
    for (int i = 1; i <= n; i++) {
        luaL_addstring(&line, i > 1 ? "\t" : "");
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&line);
    }
    luaL_pushresult(&line);
    hob_log_event(host->log, HOB_LOG_INFO, "lua.print", "%s", lua_tostring(L, -1));
    return 0;
}

/* ---- what there is ---- */

/* By name, so that what a later Lua brings along is not there until somebody has looked at it. */
static const char *const kept_globals[] = {
    "_G",     "_VERSION", "assert",   "error",    "getmetatable", "ipairs", "math",   "next",
    "os",     "pairs",    "pcall",    "rawequal", "rawget",       "rawlen", "rawset", "select",
    "string", "table",    "tonumber", "tostring", "type",         "utf8",   "xpcall", NULL};
static const char *const kept_os[] = {"time", "clock", "date", "difftime", "getenv", NULL};
static const char *const kept_string[] = {
    "byte", "char",     "find", "format",  "gmatch", "gsub",   "len",   "lower", "match",
    "pack", "packsize", "rep",  "reverse", "sub",    "unpack", "upper", NULL};

static bool is_kept(const char *const *kept, const char *name)
{
    while (*kept && strcmp(*kept, name) != 0) {
        kept++;
    }
    return *kept != NULL;
}

/* Of the table on top, which is popped. */
static void keep_only(lua_State *L, const char *const *kept)
{
    for (lua_pushnil(L); lua_next(L, -2);) {
        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TSTRING || !is_kept(kept, lua_tostring(L, -1))) {
            lua_pushvalue(L, -1);
            lua_pushnil(L);
            lua_rawset(L, -4); /* to empty a field is legal on the way */
        }
    }
    lua_pop(L, 1);
}

void hob_sandbox_open_globals(lua_State *L)
{
    static const luaL_Reg libraries[] = {{LUA_GNAME, luaopen_base},
                                         {LUA_TABLIBNAME, luaopen_table},
                                         {LUA_STRLIBNAME, luaopen_string},
                                         {LUA_MATHLIBNAME, luaopen_math},
                                         {LUA_UTF8LIBNAME, luaopen_utf8},
                                         {LUA_OSLIBNAME, luaopen_os},
                                         {NULL, NULL}};
    for (const luaL_Reg *lib = libraries; lib->name; lib++) {
        luaL_requiref(L, lib->name, lib->func, 1);
        lua_pop(L, 1);
    }
    lua_pushglobaltable(L);
    keep_only(L, kept_globals);
    lua_getglobal(L, "os");
    keep_only(L, kept_os);
    lua_getglobal(L, "string");
    keep_only(L, kept_string);
    hob_sandbox_open_strings(L);
    hob_sandbox_open_tables(L);
    lua_register(L, "setmetatable", safe_setmetatable);
    lua_register(L, "load", safe_load);
    lua_register(L, "print", log_print);
}
