/* json.c - see json.h
 *
 * lua-cjson decodes; what it lets through is refused before (scan_text) or mended after (mend). It
 * does not encode here: 2.1.0 writes no more than 14 digits of a number, and ends the process when
 * memory is short.
 */
#include "base/json.h"

#include "base/utf8.h"

#include <assert.h>
#include <lauxlib.h>
#include <lua-cjson.h>
#include <lua.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INTEGER_MAX HOB_JSON_INTEGER_MAX

/* ---- places in a value, for messages ---- */

struct place {
    const struct place *up;
    const void *table; /* the table that is there */
    const char *key;   /* NULL: an index */
    lua_Integer index; /* from 1, as Lua counts */
    int depth;
};

static void write_path(struct hob_buf *out, const struct place *place)
{
    if (!place->up)
        return;
    write_path(out, place->up);
    if (place->key)
        hob_buf_printf(out, place->up->up ? ".%s" : "%s", place->key);
    else
        hob_buf_printf(out, "[%lld]", (long long)place->index);
}

static int refuse(struct hob_error *err, int code, const struct place *place, const char *reason)
{
    struct hob_buf path;
    hob_buf_init(&path, HOB_ERROR_MESSAGE_MAX / 2);
    write_path(&path, place);
    const char *text = hob_buf_len(&path) > 0 ? hob_buf_string(&path) : "the value";
    hob_error_set(err, code, "%s: %s", text ? text : "?", reason);
    hob_buf_free(&path);
    return code;
}

/* ---- decoding ---- */

static int refuse_at(struct hob_error *err, const char *what, size_t at)
{
    return hob_error_set(err, HOB_EJSON, "%s at character %zu", what, at + 1);
}

/* Of ASCII, and nothing that means something in a string. */
static bool is_plain(unsigned char byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

/* A string's bytes, from its opening quote. Escapes are left to cjson. */
static int scan_string(const char *text, size_t len, size_t *at, struct hob_error *err)
{
    size_t i = *at + 1;
    while (i < len && text[i] != '"') {
        if (is_plain((unsigned char)text[i])) {
            i++;
            continue;
        }
        size_t n = hob_utf8_length(text + i, len - i);
        if (n == 0)
            return refuse_at(err, "Invalid UTF-8", i);
        if ((unsigned char)text[i] < 0x20)
            return refuse_at(err, "Control character in a string (write it as \\uXXXX)", i);
        i += n;
        if (text[i - 1] == '\\' && i < len && (text[i] == '"' || text[i] == '\\'))
            i++;
    }
    *at = i < len ? i + 1 : len;
    return 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* cjson takes "1." and "-.5", and rounds integers that a double cannot hold. */
static int scan_number(const char *text, size_t len, size_t *at, struct hob_error *err)
{
    size_t i = *at;
    uint64_t value = 0;
    i += text[i] == '-';
    if (i < len && text[i] == '.')
        return refuse_at(err, "Number without digits before its point", *at);
    for (; i < len && is_digit(text[i]); i++)
        value = value <= INTEGER_MAX ? value * 10 + (uint64_t)(text[i] - '0') : value;
    bool whole = i == len || !strchr(".eE", text[i]);
    if (whole && value > INTEGER_MAX)
        return refuse_at(err, "Integer over 2^53 (send it as a string)", *at);
    if (i < len && text[i] == '.' && (i + 1 == len || !is_digit(text[i + 1])))
        return refuse_at(err, "Number without digits after its point", *at);
    while (i < len && (is_digit(text[i]) || strchr("+-.eE", text[i])))
        i++;
    *at = i > *at ? i : *at + 1;
    return 0;
}

/* What cjson takes though it is no JSON. */
static int scan_text(const char *text, size_t len, struct hob_error *err)
{
    int code = 0;
    for (size_t i = 0; i < len && code == 0;) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '"')
            code = scan_string(text, len, &i, err);
        else if (byte == '-' || is_digit(text[i]))
            code = scan_number(text, len, &i, err);
        else if (byte < 0x20 && !(byte == '\t' || byte == '\n' || byte == '\r'))
            code = refuse_at(err, "Control character", i);
        else
            i++;
    }
    return code;
}

static int mend(lua_State *L, const struct place *place, struct hob_error *err);

/* Assigning to a member that exists is allowed during lua_next. */
static int mend_members(lua_State *L, const struct place *place, struct hob_error *err)
{
    struct place member = {.up = place, .depth = place->depth + 1};
    int table = lua_gettop(L), code = 0;
    luaL_checkstack(L, 6, "JSON");
    lua_pushnil(L);
    while (code == 0 && lua_next(L, table)) {
        member.key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        member.index = member.key ? 0 : lua_tointeger(L, -2);
        bool replaced = lua_type(L, -1) == LUA_TNUMBER;
        code = mend(L, &member, err);
        if (replaced && code == 0) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, table);
        } else {
            lua_pop(L, 1);
        }
    }
    lua_settop(L, table);
    return code;
}

/* The value on top: numbers that are whole become integers again. */
static int mend(lua_State *L, const struct place *place, struct hob_error *err)
{
    if (lua_type(L, -1) == LUA_TTABLE)
        return mend_members(L, place, err);
    if (lua_type(L, -1) != LUA_TNUMBER)
        return 0;
    lua_Number number = lua_tonumber(L, -1);
    if (!isfinite(number))
        return refuse(err, HOB_EJSON, place, "a number too large to hold");
    if (floor(number) == number && fabs(number) <= (lua_Number)INTEGER_MAX) {
        lua_pop(L, 1);
        lua_pushinteger(L, (lua_Integer)number);
    }
    return 0;
}

static void call_setting(lua_State *L, int cjson, const char *name)
{
    lua_getfield(L, cjson, name);
    if (strcmp(name, "decode_max_depth") == 0)
        lua_pushinteger(L, HOB_JSON_DEPTH_MAX);
    else
        lua_pushboolean(L, 0);
    lua_call(L, 1, 0);
}

/* Push the decode function of a cjson that belongs to this state, made when first asked for. Its
 * settings are its own: whoever else loads cjson cannot change them. */
static void push_decode(lua_State *L)
{
    static const char key;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TFUNCTION)
        return;
    lua_pop(L, 1);
    lua_pushcfunction(L, luaopen_cjson);
    lua_call(L, 0, 1);
    int cjson = lua_gettop(L);
    call_setting(L, cjson, "decode_max_depth");
    call_setting(L, cjson, "decode_invalid_numbers");
    lua_getfield(L, cjson, "decode");
    lua_remove(L, cjson);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
}

/* cjson's words with its token names replaced by what they stand for. */
static void explain(const char *message, struct hob_error *err)
{
    static const char *const tokens[][2] = {
        {"T_OBJ_BEGIN", "'{'"},
        {"T_OBJ_END", "'}'"},
        {"T_ARR_BEGIN", "'['"},
        {"T_ARR_END", "']'"},
        {"T_STRING", "a string"},
        {"T_NUMBER", "a number"},
        {"T_BOOLEAN", "true or false"},
        {"T_NULL", "null"},
        {"T_COLON", "':'"},
        {"T_COMMA", "','"},
        {"T_END", "the end"},
    };
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        const char *at = strstr(message, tokens[i][0]);
        if (!at)
            continue;
        hob_error_set(err, HOB_EJSON, "%.*s%s%s", (int)(at - message), message, tokens[i][1],
                      at + strlen(tokens[i][0]));
        return;
    }
    hob_error_set(err, HOB_EJSON, "%s", message);
}

static int decode(lua_State *L, const char *text, size_t len, struct hob_error *err)
{
    push_decode(L);
    lua_pushlstring(L, text, len);
    int status = lua_pcall(L, 1, 1, 0);
    if (status == LUA_OK)
        return 0;
    const char *message = lua_tostring(L, -1);
    if (status != LUA_ERRRUN || !message)
        return lua_error(L);
    explain(message, err);
    lua_pop(L, 1);
    return HOB_EJSON;
}

int hob_json_push(lua_State *L, const char *text, size_t len, struct hob_error *err)
{
    if (len > HOB_JSON_TEXT_MAX)
        return hob_error_set(err, HOB_EMSGSIZE, "the text has %zu bytes, more than %d", len,
                             HOB_JSON_TEXT_MAX);
    luaL_checkstack(L, 6, "JSON");
    int code = scan_text(text, len, err);
    if (code == 0)
        code = decode(L, text, len, err);
    if (code)
        return code;
    code = mend(L, &(struct place){.depth = 0}, err);
    if (code)
        lua_pop(L, 1);
    return code;
}

/* ---- keys ---- */

struct key {
    const char *text; /* borrowed from the table */
    size_t len;
};

static int compare_keys(const void *left, const void *right)
{
    const struct key *a = left, *b = right;
    int order = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

/* Push a userdata that holds the `count` string keys of the table, sorted: what is written for one
 * value is always the same, though Lua's own order differs from process to process. */
static const struct key *push_keys(lua_State *L, int table, size_t count)
{
    struct key *keys = lua_newuserdatauv(L, (count + 1) * sizeof *keys, 0);
    size_t n = 0;
    lua_pushnil(L);
    while (lua_next(L, table)) {
        assert(n < count);
        lua_pop(L, 1);
        keys[n].text = lua_tolstring(L, -1, &keys[n].len);
        n++;
    }
    qsort(keys, n, sizeof *keys, compare_keys);
    return keys;
}

/* ---- encoding ---- */

struct encoder {
    lua_State *L;
    struct hob_buf *out;
    size_t begin, max;
    struct hob_error *err;
};

static int too_large(const struct encoder *enc)
{
    return hob_error_set(enc->err, HOB_EMSGSIZE, "the value needs more than %zu bytes as JSON",
                         enc->max);
}

static int put(const struct encoder *enc, const char *data, size_t len)
{
    if (len > enc->max - (hob_buf_len(enc->out) - enc->begin))
        return too_large(enc);
    int code = hob_buf_append(enc->out, data, len);
    return code ? hob_error_set(enc->err, code, "encoding JSON: %s", hob_error_words(code)) : 0;
}

static int put_text(const struct encoder *enc, const char *text)
{
    return put(enc, text, strlen(text));
}

static int encode_string(const struct encoder *enc, const char *text, size_t len,
                         const struct place *place)
{
    char reason[96];
    size_t valid = hob_utf8_valid(text, len);
    if (valid < len) {
        snprintf(reason, sizeof reason, "a string that is not UTF-8 at byte %zu", valid + 1);
        return refuse(enc->err, HOB_EINVAL, place, reason);
    }
    if (len > enc->max)
        return too_large(enc);
    int code = hob_json_quote(enc->out, text, len);
    if (code == HOB_EMSGSIZE || hob_buf_len(enc->out) - enc->begin > enc->max)
        return too_large(enc);
    return code ? hob_error_set(enc->err, code, "encoding JSON: %s", hob_error_words(code)) : 0;
}

static int encode_integer(const struct encoder *enc, lua_Integer value, const struct place *place)
{
    char text[96];
    if (value > INTEGER_MAX || value < -INTEGER_MAX) {
        snprintf(text, sizeof text, "the integer %lld is over 2^53 (make it a string)",
                 (long long)value);
        return refuse(enc->err, HOB_EINVAL, place, text);
    }
    snprintf(text, sizeof text, "%lld", (long long)value);
    return put_text(enc, text);
}

/* The fewest digits that give the same number again: 0.1, not 0.10000000000000001. A whole number
 * over 2^53 keeps an exponent, so that it is not read as an integer. */
static int encode_float(const struct encoder *enc, lua_Number value, const struct place *place)
{
    char text[40];
    if (!isfinite(value))
        return refuse(enc->err, HOB_EINVAL, place,
                      isnan(value) ? "not a number (NaN)" : "infinite");
    bool whole = floor(value) == value;
    if (whole && fabs(value) <= (lua_Number)INTEGER_MAX)
        return encode_integer(enc, (lua_Integer)value, place);
    for (int digits = 15; digits <= 17; digits++) {
        if (whole)
            snprintf(text, sizeof text, "%.*e", digits - 1, value);
        else
            snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    char *comma = strchr(text, ','); /* a script may have set a locale */
    if (comma)
        *comma = '.';
    return put_text(enc, text);
}

struct shape {
    size_t strings, integers;
    lua_Integer highest;
    const char *other; /* the type of a key that is neither */
    bool too_many;
};

static struct shape shape_of(const struct encoder *enc, int table)
{
    struct shape shape = {0};
    lua_State *L = enc->L;
    lua_pushnil(L);
    while (lua_next(L, table)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING)
            shape.strings++;
        else if (!lua_isinteger(L, -1))
            shape.other = luaL_typename(L, -1);
        else if (lua_tointeger(L, -1) < 1)
            shape.other = "number below 1";
        else if (shape.integers++, lua_tointeger(L, -1) > shape.highest)
            shape.highest = lua_tointeger(L, -1);
        /* the least that a member needs is two bytes: do not count what can never fit */
        shape.too_many = shape.strings + shape.integers > enc->max;
        if (shape.other || shape.too_many) {
            lua_pop(L, 1);
            break;
        }
    }
    return shape;
}

static int check_shape(const struct encoder *enc, const struct shape *shape,
                       const struct place *place)
{
    char reason[128];
    if (shape->other)
        snprintf(reason, sizeof reason, "a table with a key of type %s", shape->other);
    else if (shape->strings > 0 && shape->integers > 0)
        snprintf(reason, sizeof reason, "a mixed table (both names and indexes)");
    else if ((size_t)shape->highest != shape->integers)
        snprintf(reason, sizeof reason, "a sparse list (%zu elements, the last is [%lld])",
                 shape->integers, (long long)shape->highest);
    else
        return shape->too_many ? too_large(enc) : 0;
    return refuse(enc->err, HOB_EINVAL, place, reason);
}

static int encode_value(const struct encoder *enc, const struct place *place);

static int encode_list(const struct encoder *enc, int table, size_t count,
                       const struct place *place)
{
    struct place element = {.up = place, .depth = place->depth + 1};
    int code = put(enc, "[", 1);
    for (size_t i = 1; i <= count && code == 0; i++) {
        element.index = (lua_Integer)i;
        if (i > 1)
            code = put(enc, ",", 1);
        lua_rawgeti(enc->L, table, (lua_Integer)i);
        if (code == 0)
            code = encode_value(enc, &element);
        lua_pop(enc->L, 1);
    }
    return code ? code : put(enc, "]", 1);
}

static int encode_member(const struct encoder *enc, int table, const struct key *key,
                         const struct place *member)
{
    int code = encode_string(enc, key->text, key->len, member);
    if (code == 0)
        code = put(enc, ":", 1);
    if (code)
        return code;
    lua_pushlstring(enc->L, key->text, key->len);
    lua_rawget(enc->L, table);
    code = encode_value(enc, member);
    lua_pop(enc->L, 1);
    return code;
}

static int encode_object(const struct encoder *enc, int table, size_t count,
                         const struct place *place)
{
    struct place member = {.up = place, .depth = place->depth + 1};
    const struct key *keys = push_keys(enc->L, table, count);
    int code = put(enc, "{", 1);
    for (size_t i = 0; i < count && code == 0; i++) {
        member.key = keys[i].text;
        if (i > 0)
            code = put(enc, ",", 1);
        if (code == 0)
            code = encode_member(enc, table, &keys[i], &member);
    }
    lua_pop(enc->L, 1);
    return code ? code : put(enc, "}", 1);
}

static int encode_table(const struct encoder *enc, const struct place *place)
{
    struct place here = *place;
    int table = lua_gettop(enc->L);
    here.table = lua_topointer(enc->L, table);
    for (const struct place *up = place->up; up; up = up->up)
        if (up->table == here.table)
            return refuse(enc->err, HOB_EINVAL, place, "a table that contains itself");
    if (place->depth >= HOB_JSON_DEPTH_MAX)
        return refuse(enc->err, HOB_EINVAL, place, "nested deeper than 32");
    luaL_checkstack(enc->L, 8, "JSON");
    struct shape shape = shape_of(enc, table);
    int code = check_shape(enc, &shape, place);
    if (code)
        return code;
    if (shape.integers > 0)
        return encode_list(enc, table, shape.integers, &here);
    return encode_object(enc, table, shape.strings, &here);
}

/* The value on top of the stack, which stays there. */
static int encode_value(const struct encoder *enc, const struct place *place)
{
    lua_State *L = enc->L;
    size_t len;
    const char *text;
    switch (lua_type(L, -1)) {
    case LUA_TNIL:
        return put_text(enc, "null");
    case LUA_TBOOLEAN:
        return put_text(enc, lua_toboolean(L, -1) ? "true" : "false");
    case LUA_TNUMBER:
        if (lua_isinteger(L, -1))
            return encode_integer(enc, lua_tointeger(L, -1), place);
        return encode_float(enc, lua_tonumber(L, -1), place);
    case LUA_TSTRING:
        text = lua_tolstring(L, -1, &len);
        return encode_string(enc, text, len, place);
    case LUA_TTABLE:
        return encode_table(enc, place);
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(L, -1))
            return put_text(enc, "null");
        break;
    }
    return refuse(enc->err, HOB_EINVAL, place, luaL_typename(L, -1));
}

int hob_json_encode(lua_State *L, int index, struct hob_buf *out, struct hob_error *err)
{
    struct encoder enc = {.L = L, .out = out, .begin = hob_buf_len(out), .err = err};
    enc.max = hob_buf_room(out) < HOB_JSON_TEXT_MAX ? hob_buf_room(out) : HOB_JSON_TEXT_MAX;
    luaL_checkstack(L, 8, "JSON");
    lua_pushvalue(L, index);
    int code = encode_value(&enc, &(struct place){.depth = 0});
    lua_pop(L, 1);
    if (code)
        hob_buf_truncate(out, enc.begin);
    return code;
}

static int quote_control(struct hob_buf *out, unsigned char byte)
{
    static const char letters[] = "btn\0fr";
    if (byte >= '\b' && byte <= '\r' && letters[byte - '\b'])
        return hob_buf_append(out, (char[]){'\\', letters[byte - '\b']}, 2);
    return hob_buf_printf(out, "\\u%04x", byte);
}

static int quote_character(struct hob_buf *out, const char *at, size_t n)
{
    unsigned char byte = (unsigned char)*at;
    if (n == 0)
        return hob_buf_append_string(out, "\xEF\xBF\xBD");
    if (byte == '"' || byte == '\\')
        return hob_buf_append(out, (char[]){'\\', (char)byte}, 2);
    return byte < 0x20 ? quote_control(out, byte) : hob_buf_append(out, at, n);
}

static size_t plain_run(const char *string, size_t len)
{
    size_t run = 0;
    while (run < len && is_plain((unsigned char)string[run]))
        run++;
    return run;
}

int hob_json_quote(struct hob_buf *out, const char *string, size_t len)
{
    size_t begin = hob_buf_len(out);
    int code = hob_buf_append(out, "\"", 1);
    for (size_t at = 0; at < len && code == 0;) {
        size_t run = plain_run(string + at, len - at);
        if (run > 0) {
            code = hob_buf_append(out, string + at, run);
            at += run;
            continue;
        }
        size_t n = hob_utf8_length(string + at, len - at);
        code = quote_character(out, string + at, n);
        at += n > 0 ? n : 1;
    }
    if (code == 0)
        code = hob_buf_append(out, "\"", 1);
    if (code)
        hob_buf_truncate(out, begin);
    return code;
}
