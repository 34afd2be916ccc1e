/* units_policy.c - what handlers may do, for specs: policies as tables, decisions as tables. */
#include "units.h"

#include "device/files.h"
#include "device/policy.h"

#include <string.h>

static const char *text(lua_State *L, int index, const char *name, const char *otherwise)
{
    lua_getfield(L, index, name);
    const char *value = lua_isnil(L, -1) ? otherwise : lua_tostring(L, -1);
    lua_pop(L, 1); /* the table keeps it */
    return value;
}

/* It stays on the stack. */
static const char *const *list(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    int table = lua_gettop(L), n = lua_istable(L, table) ? (int)luaL_len(L, table) : 0;
    const char **words = lua_newuserdatauv(L, sizeof *words * ((size_t)n + 1), 0);
    for (int i = 1; i <= n; i++) {
        lua_geti(L, table, i);
        words[i - 1] = luaL_checkstring(L, -1);
        lua_pop(L, 1);
    }
    words[n] = NULL;
    return words;
}

/* { exec_user =, privileged =, users =, commands =, roots = } */
static struct hob_policy policy_at(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    return (struct hob_policy){.exec_user = text(L, index, "exec_user", "hob"),
                               .privileged = list(L, index, "privileged"),
                               .users = list(L, index, "users"),
                               .commands = list(L, index, "commands"),
                               .roots = list(L, index, "roots"),
                               .handler_dir = "",
                               .proxy = ""};
}

static void push_grant(lua_State *L, const struct hob_policy_grant *grant)
{
    lua_newtable(L);
    lua_pushboolean(L, grant->user.other);
    lua_setfield(L, -2, "other");
    lua_pushinteger(L, grant->user.uid);
    lua_setfield(L, -2, "uid");
    lua_pushinteger(L, grant->user.gid);
    lua_setfield(L, -2, "gid");
    lua_pushstring(L, grant->file);
    lua_setfield(L, -2, "file");
}

/* who(policy or nil, { program =, user =, group =, hob = its uid }) */
static int policy_who(lua_State *L)
{
    struct hob_policy policy = {0};
    struct hob_policy_grant grant;
    struct hob_error err;
    bool none = lua_isnil(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    if (!none)
        policy = policy_at(L, 1);
    lua_getfield(L, 2, "hob");
    struct hob_policy_wish wish = {.program = text(L, 2, "program", ""),
                                   .user = text(L, 2, "user", NULL),
                                   .group = text(L, 2, "group", NULL),
                                   .hob = (uid_t)lua_tointeger(L, -1)};
    if (hob_policy_who(none ? NULL : &policy, &wish, &grant, &err))
        return hob_units_fail(L, &err);
    push_grant(L, &grant);
    return 1;
}

/* check(policy, uid of Hob) */
static int policy_check(lua_State *L)
{
    struct hob_error err;
    struct hob_policy policy = policy_at(L, 1);
    if (hob_policy_check(&policy, (uid_t)luaL_checkinteger(L, 2), &err))
        return hob_units_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

static int policy_allows(lua_State *L)
{
    struct hob_policy policy = policy_at(L, 1);
    lua_pushboolean(L, hob_policy_allows_command(&policy, luaL_checkstring(L, 2)));
    return 1;
}

static int policy_open_way(lua_State *L)
{
    struct hob_error err;
    struct hob_policy policy = policy_at(L, 1);
    if (hob_policy_open_way(&policy, luaL_checkstring(L, 2), &err))
        return hob_units_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* check(policy, job_dir or nil, path, "target" or "entry") */
static int files_check(lua_State *L)
{
    static const char *const kinds[] = {"target", "entry", NULL};
    struct hob_error err;
    struct hob_policy policy = policy_at(L, 1);
    struct hob_files_place place = {&policy, luaL_optstring(L, 2, NULL)};
    const char *path = luaL_checkstring(L, 3);
    enum hob_files_what what =
        luaL_checkoption(L, 4, "target", kinds) ? HOB_FILES_ENTRY : HOB_FILES_TARGET;
    if (hob_files_check(&place, path, what, &err))
        return hob_units_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

static const luaL_Reg policy_functions[] = {{"who", policy_who},
                                            {"check", policy_check},
                                            {"allows_command", policy_allows},
                                            {"open_way", policy_open_way},
                                            {NULL, NULL}};
static const luaL_Reg files_functions[] = {{"check", files_check}, {NULL, NULL}};

int hob_units_open_policy(lua_State *L)
{
    lua_newtable(L);
    hob_units_unit(L, "policy", policy_functions);
    hob_units_unit(L, "files", files_functions);
    return 1;
}
