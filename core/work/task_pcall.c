#include "work/task_internal.h"

/* The context of a protected call: how many values are below its results, and this. */
#define VALUES     3
#define IN_CLOSE   4
#define IS_WATCHED 8 /* its message handler has told */

static int finish(lua_State *L, int status, lua_KContext context)
{
    if (status == LUA_OK || status == LUA_YIELD) {
        hob_task_check(L);
        return lua_gettop(L) - (int)(context & VALUES);
    }
    if (!(context & IS_WATCHED)) {
        hob_task_see_late_error(L);
    }
    hob_task_let_through(L, status, (context & IN_CLOSE) != 0);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static lua_KContext enter(lua_State *L, int values)
{
    hob_task_check(L);
    return values | (hob_task_is_closing(L) ? IN_CLOSE : 0);
}

/* With a message handler, which sees the error where it is raised. */
static int watched_pcall(lua_State *L)
{
    lua_KContext context = enter(L, 1) | IS_WATCHED;
    lua_pushcfunction(L, hob_task_on_error);
    lua_insert(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 2);
    int status = lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 1, context, finish);
    return finish(L, status, context);
}

int hob_task_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    if (hob_task_watches_errors(L)) {
        return watched_pcall(L);
    }
    lua_KContext context = enter(L, 0);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, context, finish);
    return finish(L, status, context);
}

static int filter_message(lua_State *L)
{
    if (hob_task_is_token(L, 1)) {
        return 1;
    }
    hob_task_see_error(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

int hob_task_xpcall(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_KContext context = enter(L, 2) | IS_WATCHED;
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, filter_message, 1);
    lua_replace(L, 2);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2); /* f, handler, true, f, args */
    int status = lua_pcallk(L, n - 2, LUA_MULTRET, 2, context, finish);
    return finish(L, status, context);
}
