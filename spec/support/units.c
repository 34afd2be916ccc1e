/* units.c - the module `hob_units`: units of the core that have no Lua module, for specs only. */
#include "units.h"

int hob_units_fail(lua_State *L, const struct hob_error *err)
{
    lua_pushnil(L);
    lua_pushstring(L, err->message);
    lua_pushstring(L, hob_error_name(err->code));
    return 3;
}

int hob_units_result(lua_State *L, int code)
{
    if (code == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, hob_error_name(code));
    return 2;
}

void hob_units_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc)
{
    luaL_newmetatable(L, name);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

void hob_units_unit(lua_State *L, const char *name, const luaL_Reg *functions)
{
    lua_newtable(L);
    luaL_setfuncs(L, functions, 0);
    lua_setfield(L, -2, name);
}

/* Every member of the table on top becomes a member of the one below it. */
static void merge(lua_State *L)
{
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, -6);
    }
    lua_pop(L, 1);
}

__attribute__((visibility("default"))) int luaopen_hob_units(lua_State *L);

int luaopen_hob_units(lua_State *L)
{
    lua_newtable(L);
    hob_units_open_base(L);
    merge(L);
    hob_units_open_count(L);
    merge(L);
    hob_units_open_fair(L);
    merge(L);
    hob_units_open_connection(L);
    merge(L);
    hob_units_open_json(L);
    merge(L);
    hob_units_open_loop(L);
    merge(L);
    hob_units_open_jobs(L);
    merge(L);
    hob_units_open_store(L);
    merge(L);
    hob_units_open_tls(L);
    merge(L);
    hob_units_open_work(L);
    merge(L);
    hob_units_open_task(L);
    merge(L);
    hob_units_open_device(L);
    merge(L);
    hob_units_open_native(L);
    merge(L);
    hob_units_open_pages(L);
    merge(L);
    hob_units_open_policy(L);
    merge(L);
    hob_units_open_supervisor(L);
    merge(L);
    hob_units_open_pty(L);
    merge(L);
    hob_units_open_events(L);
    merge(L);
    return 1;
}
