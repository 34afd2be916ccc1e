/* lua_atomic.c - hob.atomic: a section in which no other task runs.
 *
 * hob.atomic.run(fn, ...) -> the first result of fn(...)
 *
 * A task may be switched between any two instructions of Lua, but not inside a call by a function
 * in C that cannot be continued, as this one. `fn` must neither wait nor take long: after 200 ms it
 * would be ended.
 * Spec: spec/unit/atomic_spec.lua
 */
#include "bindings.h"

static int atomic_run(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

static const luaL_Reg functions[] = {{"run", atomic_run}, {NULL, NULL}};

int hob_lua_open_atomic(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
