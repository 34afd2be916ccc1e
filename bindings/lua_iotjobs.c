/* lua_iotjobs.c - hob.iotjobs.core: the short way of the models of `iotjobs`.
 *
 * Most of what is sent and comes is as it should be. That is checked and taken over here; whatever
 * is not, or rare, is left to lib/iotjobs/models.lua, which knows all rules and has the words.
 *
 * core.fill(plan, fields) -> values | nil     a request's fields, by name
 * core.read(plan, members) -> object | nil    what the service sent
 *
 * A plan belongs to a class. To fill: the name of a field -> one of core.checks. To read: a list of
 * name, member, one of core.kinds, and the plan of the class that is inside, for each field; with
 * `meta`, the objects' metatable, and `key`, under which an object has its values. `needs_id`: an
 * object without jobId is none.
 * Spec: spec/unit/iotjobs_models_spec.lua, iotjobs_payload_spec.lua
 */
#include "bindings.h"

#include <string.h>

#define JOB_ID_MAX        64
#define THING_NAME_MAX    128
#define TOKEN_MAX         64
#define INTEGER_MAX       (INT64_C(1) << 53)
#define MILLISECONDS_FROM 1e11 /* as kinds.lua has it */

enum check { ANY_BOOLEAN = 1, DEVICE_STATUS, EXECUTION_NUMBER, EXPECTED_VERSION, ID, THING, TOKEN };

enum kind { ABSENT_LIST = 1, DETAILS, INTEGER, JOB_ID, NOTE, OBJECT, ONE, TEXT, THING_NAME, TIME };

/* ---- texts ---- */

static bool is_word_byte(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static bool is_word(lua_State *L, int index, size_t max, bool colons)
{
    size_t len;
    if (lua_type(L, index) != LUA_TSTRING) {
        return false;
    }
    const char *text = lua_tolstring(L, index, &len);
    for (size_t i = 0; i < len; i++) {
        if (!is_word_byte((unsigned char)text[i]) && !(colons && text[i] == ':')) {
            return false;
        }
    }
    return len >= 1 && len <= max;
}

/* Other characters are for who knows UTF-8. */
static bool is_token(lua_State *L, int index)
{
    size_t len;
    if (lua_type(L, index) != LUA_TSTRING) {
        return false;
    }
    const char *text = lua_tolstring(L, index, &len);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] >= 0x80) {
            return false;
        }
    }
    return len >= 1 && len <= TOKEN_MAX;
}

static bool is_device_status(lua_State *L, int index)
{
    static const char *const known[] = {"IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED"};
    if (lua_type(L, index) != LUA_TSTRING) {
        return false;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(lua_tostring(L, index), known[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- requests ---- */

static bool is_integer_from(lua_State *L, int index, lua_Integer low)
{
    return lua_isinteger(L, index) && lua_tointeger(L, index) >= low &&
           lua_tointeger(L, index) <= INTEGER_MAX;
}

static bool passes(lua_State *L, int index, enum check check)
{
    switch (check) {
    case ANY_BOOLEAN:
        return lua_isboolean(L, index);
    case DEVICE_STATUS:
        return is_device_status(L, index);
    case EXECUTION_NUMBER:
        return is_integer_from(L, index, 1);
    case EXPECTED_VERSION:
        return is_integer_from(L, index, 0);
    case ID:
        return is_word(L, index, JOB_ID_MAX, false);
    case THING:
        return is_word(L, index, THING_NAME_MAX, true);
    case TOKEN:
        return is_token(L, index);
    }
    return false;
}

/* With a metatable it may say itself what it has. */
static int core_fill(lua_State *L)
{
    lua_settop(L, 2);
    if (!lua_istable(L, 1) || !lua_istable(L, 2) || lua_getmetatable(L, 2)) {
        return 0;
    }
    lua_createtable(L, 0, 8);
    lua_pushnil(L);
    while (lua_next(L, 2)) { /* 4: name, 5: value */
        lua_pushvalue(L, 4);
        lua_rawget(L, 1);
        int check = (int)lua_tointeger(L, -1);
        lua_pop(L, 1);
        if (!passes(L, 5, check)) {
            return 0;
        }
        lua_pushvalue(L, 4);
        lua_insert(L, 5);
        lua_rawset(L, 3);
    }
    return 1;
}

/* ---- answers and events ---- */

static bool is_null(lua_State *L, int index)
{
    return lua_isnil(L, index) || lua_islightuserdata(L, index);
}

/* After decoding `[]` is an object, too. */
static bool is_object(lua_State *L, int index)
{
    if (!lua_istable(L, index)) {
        return false;
    }
    bool is_list = lua_rawgeti(L, index, 1) != LUA_TNIL;
    lua_pop(L, 1);
    return !is_list;
}

/* The map on top: all its values are texts. */
static bool are_texts(lua_State *L)
{
    int map = lua_gettop(L);
    if (!is_object(L, map)) {
        return false;
    }
    lua_pushnil(L);
    while (lua_next(L, map)) {
        if (lua_type(L, -1) != LUA_TSTRING) {
            lua_settop(L, map);
            return false;
        }
        lua_pop(L, 1);
    }
    return true;
}

/* A number on top that is whole becomes an integer. */
static bool make_integer(lua_State *L)
{
    int is_whole;
    if (lua_type(L, -1) != LUA_TNUMBER) {
        return false;
    }
    lua_Integer value = lua_tointegerx(L, -1, &is_whole);
    if (is_whole) {
        lua_pop(L, 1);
        lua_pushinteger(L, value);
    }
    return is_whole != 0;
}

static bool make_time(lua_State *L)
{
    if (lua_type(L, -1) != LUA_TNUMBER || !(lua_tonumber(L, -1) <= MILLISECONDS_FROM)) {
        return false;
    }
    make_integer(L);
    return true;
}

static bool read_object(lua_State *L, int plan, int members);

/* The members on top become an object of the plan, which is popped from above them; nil: they name
 * no job. */
static bool read_one(lua_State *L)
{
    int plan = lua_gettop(L), members = plan - 1;
    if (!lua_istable(L, plan) || !is_object(L, members)) {
        return false;
    }
    bool needs_id = lua_getfield(L, plan, "needs_id") != LUA_TNIL;
    bool has_id = needs_id && (lua_getfield(L, members, "jobId"), !is_null(L, -1));
    lua_settop(L, plan);
    if (needs_id && !has_id) {
        lua_pushnil(L);
    } else if (!read_object(L, plan, members)) {
        return false;
    }
    lua_replace(L, members);
    lua_settop(L, members);
    return true;
}

/* The value on top becomes what is kept. `at` is the field's place in the plan. */
static bool read_value(lua_State *L, int plan, int at, enum kind kind)
{
    switch (kind) {
    case ABSENT_LIST:
        return false;
    case DETAILS:
        return are_texts(L);
    case INTEGER:
        return make_integer(L);
    case JOB_ID:
        return is_word(L, -1, JOB_ID_MAX, false);
    case NOTE:
        lua_pop(L, 1);
        lua_pushnil(L);
        return true;
    case OBJECT:
        return is_object(L, lua_gettop(L));
    case ONE:
        lua_rawgeti(L, plan, at + 3);
        return read_one(L);
    case TEXT:
        return lua_type(L, -1) == LUA_TSTRING;
    case THING_NAME:
        return is_word(L, -1, THING_NAME_MAX, true);
    case TIME:
        return make_time(L);
    }
    return false;
}

/* One field, into the table on top. */
static bool read_field(lua_State *L, int plan, int at, int members)
{
    int values = lua_gettop(L);
    lua_rawgeti(L, plan, at + 2);
    enum kind kind = (enum kind)lua_tointeger(L, -1);
    lua_rawgeti(L, plan, at);
    lua_rawgeti(L, plan, at + 1);
    lua_rawget(L, members);
    if (is_null(L, -1)) {
        lua_pop(L, 1);
        if (kind == ABSENT_LIST) {
            lua_newtable(L);
        } else {
            lua_pushnil(L);
        }
    } else if (!read_value(L, plan, at, kind)) {
        return false;
    }
    if (!lua_isnil(L, -1)) {
        lua_rawset(L, values);
    }
    lua_settop(L, values);
    return true;
}

/* Pushes the object. @return false: it is not as it should be, and anything may be pushed */
static bool read_object(lua_State *L, int plan, int members)
{
    int count = (int)lua_rawlen(L, plan);
    luaL_checkstack(L, 16, "an answer");
    lua_createtable(L, 0, 1);
    int object = lua_gettop(L);
    lua_getfield(L, plan, "key");
    lua_createtable(L, 0, count / 4);
    for (int at = 1; at <= count; at += 4) {
        if (!read_field(L, plan, at, members)) {
            return false;
        }
    }
    lua_rawset(L, object);
    lua_getfield(L, plan, "meta");
    lua_setmetatable(L, object);
    return true;
}

static int core_read(lua_State *L)
{
    lua_settop(L, 2);
    if (!lua_istable(L, 1) || !is_object(L, 2)) {
        return 0;
    }
    return read_object(L, 1, 2) ? 1 : 0;
}

/* ---- the module ---- */

static const luaL_Reg functions[] = {{"fill", core_fill}, {"read", core_read}, {NULL, NULL}};

struct name {
    const char *text;
    int value;
};

static void push_names(lua_State *L, const struct name *names)
{
    lua_newtable(L);
    for (; names->text; names++) {
        lua_pushinteger(L, names->value);
        lua_setfield(L, -2, names->text);
    }
}

int hob_lua_open_iotjobs(lua_State *L)
{
    static const struct name checks[] = {{"boolean", ANY_BOOLEAN},
                                         {"device_status", DEVICE_STATUS},
                                         {"execution_number", EXECUTION_NUMBER},
                                         {"expected_version", EXPECTED_VERSION},
                                         {"job_id", ID},
                                         {"thing_name", THING},
                                         {"client_token", TOKEN},
                                         {NULL, 0}};
    static const struct name kinds[] = {{"list", ABSENT_LIST},    {"lists", ABSENT_LIST},
                                        {"details", DETAILS},     {"integer", INTEGER},
                                        {"known_job_id", JOB_ID}, {"note", NOTE},
                                        {"document", OBJECT},     {"one", ONE},
                                        {"text", TEXT},           {"status", TEXT},
                                        {"code", TEXT},           {"known_thing_name", THING_NAME},
                                        {"time", TIME},           {NULL, 0}};
    luaL_newlib(L, functions);
    push_names(L, checks);
    lua_setfield(L, -2, "checks");
    push_names(L, kinds);
    lua_setfield(L, -2, "kinds");
    return 1;
}
