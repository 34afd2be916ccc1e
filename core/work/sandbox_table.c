#include "work/sandbox_table.h"

#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdbool.h>

static void check_table(lua_State *L, int index, const char *event)
{
    if (!lua_istable(L, index) && luaL_getmetafield(L, index, event) == LUA_TNIL) {
        luaL_checktype(L, index, LUA_TTABLE);
    }
}

static void check_count(lua_State *L, const char *function, lua_Unsigned count)
{
    if (count > HOB_SANDBOX_MOVE_MAX) {
        luaL_error(L, "table.%s: %I elements: one call moves at most %d", function,
                   count > LUA_MAXINTEGER ? LUA_MAXINTEGER : (LUAI_UACINT)count,
                   HOB_SANDBOX_MOVE_MAX);
    }
}

/* `count` elements of the table at 1, of them the first one at `from`, to `at` of the one at
 * `target`. */
static void shift(lua_State *L, int target, lua_Integer from, lua_Integer at, lua_Integer count,
                  bool upwards)
{
    for (lua_Integer i = 0; i < count; i++) {
        lua_Integer offset = upwards ? i : count - 1 - i;
        lua_geti(L, 1, from + offset);
        lua_seti(L, target, at + offset);
    }
}

/* move(a1, from, to, at [, a2]) */
static int table_move(lua_State *L)
{
    lua_Integer from = luaL_checkinteger(L, 2), to = luaL_checkinteger(L, 3);
    lua_Integer at = luaL_checkinteger(L, 4);
    int target = lua_isnoneornil(L, 5) ? 1 : 5;
    check_table(L, 1, "__index");
    check_table(L, target, "__newindex");
    lua_settop(L, 5);
    if (to >= from) {
        luaL_argcheck(L, from > 0 || to < LUA_MAXINTEGER + from, 3, "too many elements to move");
        lua_Integer count = to - from + 1;
        luaL_argcheck(L, at <= LUA_MAXINTEGER - count + 1, 4, "destination wrap around");
        check_count(L, "move", (lua_Unsigned)count);
        bool upwards = at > to || at <= from || (target != 1 && !lua_rawequal(L, 1, target));
        shift(L, target, from, at, count, upwards);
    }
    lua_pushvalue(L, target);
    return 1;
}

/* What insert and remove do with the table at 1. @return #t */
static lua_Integer check_list(lua_State *L)
{
    check_table(L, 1, "__index");
    check_table(L, 1, "__newindex");
    check_table(L, 1, "__len");
    return luaL_len(L, 1);
}

/* insert(list, [position,] value) */
static int table_insert(lua_State *L)
{
    int given = lua_gettop(L);
    lua_Unsigned end = (lua_Unsigned)check_list(L) + 1, position = end;
    lua_settop(L, given);
    if (given == 3) {
        position = (lua_Unsigned)luaL_checkinteger(L, 2);
        luaL_argcheck(L, position - 1 < end, 2, "position out of bounds");
        check_count(L, "insert", end - position);
        shift(L, 1, (lua_Integer)position, (lua_Integer)(position + 1),
              (lua_Integer)(end - position), false);
    } else if (given != 2) {
        return luaL_error(L, "wrong number of arguments to 'insert'");
    }
    lua_seti(L, 1, (lua_Integer)position);
    return 0;
}

/* remove(list [, position]) */
static int table_remove(lua_State *L)
{
    lua_Unsigned size = (lua_Unsigned)check_list(L);
    lua_settop(L, 2);
    lua_Unsigned position = (lua_Unsigned)luaL_optinteger(L, 2, (lua_Integer)size);
    luaL_argcheck(L, position == size || position - 1 <= size, 2, "position out of bounds");
    lua_Unsigned moved = (lua_Integer)position < (lua_Integer)size ? size - position : 0;
    check_count(L, "remove", moved);
    lua_geti(L, 1, (lua_Integer)position);
    shift(L, 1, (lua_Integer)(position + 1), (lua_Integer)position, (lua_Integer)moved, true);
    lua_pushnil(L);
    lua_seti(L, 1, (lua_Integer)(position + moved));
    return 1;
}

void hob_sandbox_open_tables(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"insert", table_insert}, {"move", table_move}, {"remove", table_remove}, {NULL, NULL}};
    lua_getglobal(L, "table");
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}
