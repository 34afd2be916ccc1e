/* json_values.c - see json_values.h */
#include "base/json_values.h"

#include "base/alloc.h"

#include <lauxlib.h>
#include <lua.h>

#define FIRST_CAPACITY 32
#define KEPT_CAPACITY  512 /* stays between two documents */

void hob_json_values_free(struct hob_json_values *values)
{
    hob_free(values->list);
    *values = (struct hob_json_values){0};
}

void hob_json_values_clear(struct hob_json_values *values)
{
    if (values->capacity > KEPT_CAPACITY)
        hob_json_values_free(values);
    values->count = 0;
}

static bool grow(struct hob_json_values *values)
{
    uint32_t capacity = values->capacity ? 2 * values->capacity : FIRST_CAPACITY;
    struct hob_json_value *list = hob_realloc(values->list, capacity * sizeof *list);
    if (!list)
        return false;
    values->list = list;
    values->capacity = capacity;
    return true;
}

/* @return the new value; only its type is set */
static struct hob_json_value *add(struct hob_json_values *values, lua_State *L,
                                  enum hob_json_type type)
{
    if (values->count == values->capacity && !grow(values))
        luaL_error(L, "out of memory");
    struct hob_json_value *value = &values->list[values->count++];
    *value = (struct hob_json_value){.type = (uint8_t)type, .next = values->count};
    return value;
}

static uint32_t add_elements(struct hob_json_values *values, lua_State *L, uint32_t count)
{
    for (uint32_t i = 1; i <= count; i++) {
        lua_rawgeti(L, -1, i);
        hob_json_values_add(values, L);
        lua_pop(L, 1);
    }
    return count;
}

static uint32_t add_members(struct hob_json_values *values, lua_State *L)
{
    uint32_t count = 0;
    size_t len;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        uint32_t place = values->count;
        hob_json_values_add(values, L);
        values->list[place].key = lua_tolstring(L, -2, &len);
        values->list[place].key_len = (uint32_t)len;
        count++;
    }
    return count;
}

static void add_table(struct hob_json_values *values, lua_State *L)
{
    uint32_t place = values->count, elements = (uint32_t)lua_rawlen(L, -1);
    add(values, L, elements > 0 ? HOB_JSON_ARRAY : HOB_JSON_OBJECT);
    luaL_checkstack(L, 2, "JSON");
    uint32_t count = elements > 0 ? add_elements(values, L, elements) : add_members(values, L);
    values->list[place].count = count;
    values->list[place].next = values->count;
}

static void add_number(struct hob_json_values *values, lua_State *L)
{
    struct hob_json_value *value = add(values, L, HOB_JSON_NUMBER);
    value->is_integer = lua_isinteger(L, -1);
    if (value->is_integer)
        value->integer = lua_tointeger(L, -1);
    else
        value->number = lua_tonumber(L, -1);
}

static void add_string(struct hob_json_values *values, lua_State *L)
{
    struct hob_json_value *value = add(values, L, HOB_JSON_STRING);
    size_t len;
    value->string = lua_tolstring(L, -1, &len);
    value->len = (uint32_t)len;
}

void hob_json_values_add(struct hob_json_values *values, lua_State *L)
{
    switch (lua_type(L, -1)) {
    case LUA_TTABLE:
        add_table(values, L);
        return;
    case LUA_TSTRING:
        add_string(values, L);
        return;
    case LUA_TNUMBER:
        add_number(values, L);
        return;
    case LUA_TBOOLEAN:
        add(values, L, HOB_JSON_BOOLEAN)->boolean = lua_toboolean(L, -1);
        return;
    default:
        add(values, L, HOB_JSON_NULL);
        return;
    }
}
