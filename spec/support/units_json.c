/* units_json.c - json for specs. */
#include "units.h"

#include "base/json.h"

#define JSON "hob_units.json"

static const char *const type_names[] = {"absent", "null",   "boolean", "number",
                                         "string", "object", "array"};

static struct hob_json *to_json(lua_State *L)
{
    return *(struct hob_json **)luaL_checkudata(L, 1, JSON);
}

static int json_new(lua_State *L)
{
    struct hob_error err;
    struct hob_json **json = lua_newuserdatauv(L, sizeof *json, 0);
    *json = NULL;
    luaL_setmetatable(L, JSON);
    return hob_json_new(json, &err) ? hob_units_fail(L, &err) : 1;
}

static int json_gc(lua_State *L)
{
    hob_json_free(to_json(L));
    return 0;
}

static int json_parse(lua_State *L)
{
    struct hob_error err;
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    return hob_json_parse(to_json(L), text, len, &err) ? hob_units_fail(L, &err)
                                                       : hob_units_result(L, 0);
}

static int json_type(lua_State *L)
{
    lua_pushstring(L, type_names[hob_json_type(to_json(L), luaL_checkstring(L, 2))]);
    return 1;
}

static int json_string(lua_State *L)
{
    size_t len;
    const char *text = hob_json_string(to_json(L), luaL_checkstring(L, 2), &len);
    lua_pushlstring(L, text, len);
    if (!text)
        lua_pushnil(L);
    return 1;
}

static int json_integer(lua_State *L)
{
    lua_pushinteger(L, hob_json_integer(to_json(L), luaL_checkstring(L, 2), -99));
    return 1;
}

static int json_number(lua_State *L)
{
    lua_pushnumber(L, hob_json_number(to_json(L), luaL_checkstring(L, 2), -99));
    return 1;
}

static int json_boolean(lua_State *L)
{
    lua_pushboolean(L, hob_json_boolean(to_json(L), luaL_checkstring(L, 2), lua_toboolean(L, 3)));
    return 1;
}

static int json_length(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)hob_json_length(to_json(L), luaL_checkstring(L, 2)));
    return 1;
}

/* json:last_of(list, member) -> the integer that the last element has there, else -99 */
static int json_last_of(lua_State *L)
{
    const struct hob_json *json = to_json(L);
    const struct hob_json_value *list =
        hob_json_member(json, hob_json_whole(json), luaL_checkstring(L, 2));
    size_t count = hob_json_value_length(list);
    const struct hob_json_value *last = hob_json_element(json, list, count - 1);
    lua_pushinteger(
        L, hob_json_value_integer(hob_json_member(json, last, luaL_checkstring(L, 3)), -99));
    return 1;
}

struct listing {
    lua_State *L;
    lua_Integer count, most;
};

static bool add_member(void *user, const char *key, enum hob_json_type type)
{
    struct listing *listing = user;
    lua_pushfstring(listing->L, "%s:%s", key, type_names[type]);
    lua_rawseti(listing->L, -2, ++listing->count);
    return listing->count != listing->most;
}

/* json:each(path [, most]) -> { "key:type", ... } */
static int json_each(lua_State *L)
{
    struct listing listing = {.L = L, .most = luaL_optinteger(L, 3, 0)};
    lua_newtable(L);
    hob_json_each(to_json(L), luaL_checkstring(L, 2), add_member, &listing);
    return 1;
}

static int json_slice(lua_State *L)
{
    size_t len, out_len = 0;
    const char *text = luaL_checklstring(L, 1, &len);
    const char *out = hob_json_slice(text, len, luaL_checkstring(L, 2), &out_len);
    if (out)
        lua_pushlstring(L, out, out_len);
    else
        lua_pushnil(L);
    return 1;
}

/* json.without(text, path [, limit]) -> text | nil, code */
static int json_without(lua_State *L)
{
    size_t len;
    struct hob_buf out;
    const char *text = luaL_checklstring(L, 1, &len);
    const char *path = luaL_checkstring(L, 2);
    hob_buf_init(&out, (size_t)luaL_optinteger(L, 3, 1024 * 1024));
    int code = hob_json_without(text, len, path, &out);
    if (code)
        lua_pushnil(L);
    else
        lua_pushlstring(L, hob_buf_data(&out), hob_buf_len(&out));
    hob_buf_free(&out);
    lua_pushstring(L, code ? hob_error_name(code) : NULL);
    return 2;
}

static int json_decode(lua_State *L)
{
    struct hob_error err;
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    return hob_json_push(L, text, len, &err) ? hob_units_fail(L, &err) : 1;
}

static const luaL_Reg json_functions[] = {{"new", json_new},
                                          {"slice", json_slice},
                                          {"without", json_without},
                                          {"decode", json_decode},
                                          {NULL, NULL}};
static const luaL_Reg json_methods[] = {{"parse", json_parse},   {"type", json_type},
                                        {"string", json_string}, {"integer", json_integer},
                                        {"number", json_number}, {"boolean", json_boolean},
                                        {"length", json_length}, {"last_of", json_last_of},
                                        {"each", json_each},     {NULL, NULL}};

int hob_units_open_json(lua_State *L)
{
    hob_units_class(L, JSON, json_methods, json_gc);
    lua_newtable(L);
    hob_units_unit(L, "json", json_functions);
    return 1;
}
