/* units.c - the module `hob_units`: units of the core that have no Lua module, for specs only. */
#include "units.h"

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
    hob_units_open_jobs(L);
    merge(L);
    hob_units_open_store(L);
    merge(L);
    hob_units_open_work(L);
    merge(L);
    return 1;
}
