#include "base/alloc.h"
#include "base/utf8.h"
#include "work/debug_look_parts.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define STRING_MAX  200  /* bytes of one that are shown */
#define STRING_LONG 4000 /* likewise where a person has asked for this one alone */
#define KEY_MAX     60   /* likewise of a key */
#define COUNT_STEPS 1000 /* members of a table that are counted, beyond those from 1 on */

/* ---- texts ---- */

/* As Lua reads it back. @return how many bytes of `out` are used */
static size_t escape_one(const char *text, size_t len, size_t *used, char out[8])
{
    static const char plain[] = "\"\\\n\r\t", words[] = "\"\\nrt";
    unsigned char c = (unsigned char)text[0];
    const char *found = c ? strchr(plain, c) : NULL;
    size_t n = hob_utf8_length(text, len);
    *used = n > 0 ? n : 1;
    if (found) {
        return (size_t)snprintf(out, 8, "\\%c", words[found - plain]);
    }
    if (n == 0 || c < 0x20 || c == 0x7F) {
        return (size_t)snprintf(out, 8, "\\x%02X", c);
    }
    memcpy(out, text, n);
    return n;
}

/* At most `max` bytes of the text. */
static void put_escaped(struct hob_buf *out, const char *text, size_t len, size_t max)
{
    size_t end = hob_utf8_cut(text, len, max);
    size_t used;
    char one[8];
    for (size_t at = 0; at < end; at += used) {
        size_t n = escape_one(text + at, end - at, &used, one);
        if (hob_buf_append(out, one, n)) {
            return;
        }
    }
}

static void copy_buf(struct hob_buf *buf, char *out, size_t room)
{
    snprintf(out, room, "%.*s", (int)hob_buf_len(buf), hob_buf_data(buf));
    hob_buf_free(buf);
}

static void put_string(struct hob_buf *out, const char *text, size_t len, size_t max)
{
    hob_buf_append_string(out, "\"");
    put_escaped(out, text, len, max);
    hob_buf_append_string(out, "\"");
    if (len > max) {
        hob_buf_printf(out, "... (%zu bytes)", len);
    }
}

static void describe_string(const char *text, size_t len, struct hob_debug_variable *out)
{
    struct hob_buf buf;
    hob_buf_init(&buf, sizeof out->value - 1);
    put_string(&buf, text, len, STRING_MAX);
    copy_buf(&buf, out->value, sizeof out->value);
}

char *hob_look_long_string(lua_State *L, int index)
{
    size_t len;
    struct hob_buf buf;
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &len) : NULL;
    if (!text || len <= STRING_MAX) {
        return NULL;
    }
    hob_buf_init(&buf, 4 * STRING_LONG + 64);
    put_string(&buf, text, len, STRING_LONG);
    const char *whole = hob_buf_string(&buf);
    char *copy = whole ? hob_strdup(whole) : NULL;
    hob_buf_free(&buf);
    return copy;
}

bool hob_look_is_name(const char *text, size_t len)
{
    bool is_name = len > 0 && !isdigit((unsigned char)text[0]);
    for (size_t i = 0; i < len && is_name; i++) {
        is_name = isalnum((unsigned char)text[i]) || text[i] == '_';
    }
    return is_name;
}

static void describe_float(lua_Number number, char *out, size_t room)
{
    if (isnan(number)) {
        snprintf(out, room, "nan"); /* its sign means nothing to anybody */
        return;
    }
    snprintf(out, room, LUA_NUMBER_FMT, (LUAI_UACNUMBER)number);
    if (out[strspn(out, "-0123456789")] == '\0') {
        strncat(out, ".0", room - strlen(out) - 1);
    }
}

static void name_string(const char *text, size_t len, char name[HOB_DEBUG_NAME_MAX])
{
    if (hob_look_is_name(text, len) && len < HOB_DEBUG_NAME_MAX) {
        memcpy(name, text, len + 1);
        return;
    }
    struct hob_buf buf;
    hob_buf_init(&buf, HOB_DEBUG_NAME_MAX - 1);
    hob_buf_append_string(&buf, "[\"");
    put_escaped(&buf, text, len, KEY_MAX);
    hob_buf_append_string(&buf, len > KEY_MAX ? "\"...]" : "\"]");
    copy_buf(&buf, name, HOB_DEBUG_NAME_MAX);
}

void hob_look_name_key(lua_State *L, int index, char name[HOB_DEBUG_NAME_MAX])
{
    char number[64];
    if (lua_type(L, index) == LUA_TSTRING) {
        size_t len;
        const char *text = lua_tolstring(L, index, &len);
        name_string(text, len, name);
    } else if (lua_isinteger(L, index)) {
        snprintf(name, HOB_DEBUG_NAME_MAX, "[" LUA_INTEGER_FMT "]",
                 (LUAI_UACINT)lua_tointeger(L, index));
    } else if (lua_type(L, index) == LUA_TNUMBER) {
        describe_float(lua_tonumber(L, index), number, sizeof number);
        snprintf(name, HOB_DEBUG_NAME_MAX, "[%s]", number);
    } else if (lua_isboolean(L, index)) {
        snprintf(name, HOB_DEBUG_NAME_MAX, "[%s]", lua_toboolean(L, index) ? "true" : "false");
    } else {
        snprintf(name, HOB_DEBUG_NAME_MAX, "[%s %p]", luaL_typename(L, index),
                 lua_topointer(L, index));
    }
}

/* ---- types ---- */

const char *hob_look_push_type(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index)) {
        return NULL;
    }
    lua_pushliteral(L, "__name");
    if (lua_rawget(L, -2) != LUA_TSTRING) {
        lua_pop(L, 2);
        return NULL;
    }
    lua_remove(L, -2);
    return lua_tostring(L, -1);
}

/* Whatever a script has put there, on one line. */
static bool copy_type(lua_State *L, int index, char out[HOB_DEBUG_TYPE_MAX])
{
    struct hob_buf buf;
    const char *name = hob_look_push_type(L, index);
    if (!name) {
        return false;
    }
    hob_buf_init(&buf, HOB_DEBUG_TYPE_MAX - 1);
    put_escaped(&buf, name, lua_rawlen(L, -1), HOB_DEBUG_TYPE_MAX / 2);
    copy_buf(&buf, out, HOB_DEBUG_TYPE_MAX);
    lua_pop(L, 1);
    return true;
}

/* ---- tables ---- */

/* @return whether there are more than were counted */
static bool count_named(lua_State *L, int index, lua_Integer border, size_t *count)
{
    hob_look_push_start(L, index, border);
    for (int steps = 0; lua_next(L, index); steps++) {
        lua_pop(L, 1);
        if (steps >= COUNT_STEPS) {
            lua_pop(L, 1);
            return true;
        }
        *count += hob_look_is_indexed(L, -1, border) ? 0 : 1;
    }
    return false;
}

static void describe_table(lua_State *L, int index, struct hob_debug_variable *out)
{
    char type[HOB_DEBUG_TYPE_MAX] = "";
    lua_Integer border = (lua_Integer)lua_rawlen(L, index);
    bool more = count_named(L, index, border, &out->named);
    out->indexed = (size_t)border;
    size_t items = out->indexed + out->named;
    copy_type(L, index, type);
    if (items == 0) {
        snprintf(out->value, sizeof out->value, "%s%s{}", type, type[0] ? " " : "");
    } else {
        snprintf(out->value, sizeof out->value, "%s%s{…} %s%zu %s", type, type[0] ? " " : "",
                 more ? "more than " : "", items, items == 1 ? "item" : "items");
    }
    if (lua_getmetatable(L, index)) {
        lua_pop(L, 1);
        out->named++;
    }
}

/* ---- the others ---- */

static void describe_function(lua_State *L, int index, struct hob_debug_variable *out)
{
    lua_Debug ar;
    lua_pushvalue(L, index);
    lua_getinfo(L, ">Su", &ar);
    if (ar.what[0] == 'C') {
        snprintf(out->value, sizeof out->value, "function (C)");
        return;
    }
    snprintf(out->value, sizeof out->value, "function (%s:%d)", ar.short_src, ar.linedefined);
    out->named = ar.nups;
}

static void describe_userdata(lua_State *L, int index, struct hob_debug_variable *out)
{
    if (lua_islightuserdata(L, index) && !lua_touserdata(L, index)) {
        snprintf(out->value, sizeof out->value, "null"); /* of JSON */
        snprintf(out->type, sizeof out->type, "null");
        return;
    }
    if (!copy_type(L, index, out->type)) {
        snprintf(out->type, sizeof out->type, "userdata");
    }
    snprintf(out->value, sizeof out->value, "%s %p", out->type, lua_topointer(L, index));
    if (!lua_islightuserdata(L, index) && lua_getmetatable(L, index)) {
        lua_pop(L, 1);
        out->named = 1;
    }
}

static void describe_thread(lua_State *L, int index, struct hob_debug_variable *out)
{
    lua_State *co = lua_tothread(L, index);
    lua_Debug ar;
    bool dead = lua_status(co) > LUA_YIELD ||
                (lua_status(co) == LUA_OK && lua_gettop(co) == 0 && !lua_getstack(co, 0, &ar));
    snprintf(out->type, sizeof out->type, "coroutine");
    snprintf(out->value, sizeof out->value, "coroutine %p (%s)", lua_topointer(L, index),
             dead ? "dead" : "not dead");
}

static void describe_by_type(lua_State *L, int index, struct hob_debug_variable *out)
{
    size_t len;
    switch (lua_type(L, index)) {
    case LUA_TSTRING: {
        const char *text = lua_tolstring(L, index, &len);
        describe_string(text, len, out);
        break;
    }
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) {
            snprintf(out->value, sizeof out->value, LUA_INTEGER_FMT,
                     (LUAI_UACINT)lua_tointeger(L, index));
        } else {
            describe_float(lua_tonumber(L, index), out->value, sizeof out->value);
        }
        break;
    case LUA_TBOOLEAN:
        snprintf(out->value, sizeof out->value, "%s", lua_toboolean(L, index) ? "true" : "false");
        break;
    case LUA_TTABLE:
        describe_table(L, index, out);
        break;
    case LUA_TFUNCTION:
        describe_function(L, index, out);
        break;
    case LUA_TUSERDATA:
    case LUA_TLIGHTUSERDATA:
        describe_userdata(L, index, out);
        break;
    case LUA_TTHREAD:
        describe_thread(L, index, out);
        break;
    default:
        snprintf(out->value, sizeof out->value, "nil");
    }
}

void hob_look_describe(struct hob_debug_look *look, lua_State *L, int index, int frame,
                       struct hob_debug_variable *out)
{
    index = lua_absindex(L, index);
    luaL_checkstack(L, 10, NULL);
    snprintf(out->type, sizeof out->type, "%s", luaL_typename(L, index));
    describe_by_type(L, index, out);
    if (lua_type(L, index) >= LUA_TTABLE) {
        snprintf(out->identity, sizeof out->identity, "%p", lua_topointer(L, index));
    }
    if (out->indexed + out->named > 0) {
        out->ref = hob_look_value_ref(look, L, index, frame);
    }
}
