/* lua_json.c - hob.json: values to text and back.
 *
 * hob.json.encode(value) -> text          | nil, message, "EINVAL" | "EMSGSIZE"
 * hob.json.decode(text)  -> value         | nil, message, "EJSON" | "EMSGSIZE"
 * hob.json.null          what `null` becomes, and what becomes `null`
 * Spec: spec/unit/json_spec.lua
 */
#include "bindings.h"

#include "base/json.h"

static int json_encode(lua_State *L)
{
    struct hob_error err;
    luaL_checkany(L, 1);
    struct hob_buf *buf = hob_lua_push_buf(L, HOB_JSON_TEXT_MAX);
    if (hob_json_encode(L, 1, buf, &err)) {
        hob_buf_free(buf);
        return hob_lua_fail(L, &err);
    }
    lua_pushlstring(L, hob_buf_data(buf), hob_buf_len(buf));
    hob_buf_free(buf);
    return 1;
}

static int json_decode(lua_State *L)
{
    struct hob_error err;
    luaL_checktype(L, 1, LUA_TSTRING);
    size_t len;
    const char *text = lua_tolstring(L, 1, &len);
    return hob_json_push(L, text, len, &err) ? hob_lua_fail(L, &err) : 1;
}

static const luaL_Reg functions[] = {
    {"encode", json_encode}, {"decode", json_decode}, {NULL, NULL}};

int hob_lua_open_json(lua_State *L)
{
    luaL_newlib(L, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    return 1;
}
