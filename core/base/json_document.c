/* json_document.c - see json.h: a parsed document for C code, and slices of its text. */
#include "base/alloc.h"
#include "base/json.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

/* ---- the parsed document ---- */

struct hob_json {
    lua_State *L; /* [1] is the document, nil if there is none */
};

int hob_json_new(struct hob_json **out, struct hob_error *err)
{
    struct hob_json *json = hob_calloc(1, sizeof *json);
    if (json)
        json->L = hob_alloc_lua_state();
    if (!json || !json->L) {
        hob_free(json);
        return hob_error_set(err, HOB_ENOMEM, "making a JSON parser: out of memory");
    }
    lua_pushnil(json->L);
    *out = json;
    return 0;
}

void hob_json_free(struct hob_json *json)
{
    if (!json)
        return;
    lua_close(json->L);
    hob_free(json);
}

struct request {
    const char *text; /* a document, or a path */
    size_t len;
    struct hob_error *err;
    int code;
    const struct hob_json_key *keys;
    size_t count;
};

/* Call `fn(request, document)`. @return whether its one result was pushed; false: out of memory */
static bool ask(struct hob_json *json, lua_CFunction fn, struct request *request)
{
    lua_State *L = json->L;
    if (!lua_checkstack(L, 4))
        return false;
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, request);
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 2, 1, 0) == LUA_OK)
        return true;
    lua_pop(L, 1);
    return false;
}

static int do_parse(lua_State *L)
{
    struct request *request = lua_touserdata(L, 1);
    request->code = hob_json_push(L, request->text, request->len, request->err);
    return request->code ? 0 : 1;
}

int hob_json_parse(struct hob_json *json, const char *text, size_t len, struct hob_error *err)
{
    struct request request = {.text = text, .len = len, .err = err};
    lua_settop(json->L, 0);
    lua_pushnil(json->L);
    if (!ask(json, do_parse, &request))
        return hob_error_set(err, HOB_ENOMEM, "parsing JSON: out of memory");
    lua_replace(json->L, 1);
    return request.code;
}

/* The next step of a path from the value on top, which it replaces; nil where there is no such
 * member. @return what is left of the path */
static const char *descend(lua_State *L, const char *path)
{
    if (*path == '[') {
        char *end;
        long long index = strtoll(path + 1, &end, 10);
        lua_rawgeti(L, -1, (lua_Integer)index + 1);
        path = *end == ']' ? end + 1 : "";
    } else {
        size_t n = strcspn(path, ".[");
        lua_pushlstring(L, path, n);
        lua_rawget(L, -2);
        path += n;
    }
    lua_remove(L, -2);
    return *path == '.' ? path + 1 : path;
}

static int do_find(lua_State *L)
{
    struct request *request = lua_touserdata(L, 1);
    const char *path = request->text;
    while (*path) {
        if (lua_type(L, -1) != LUA_TTABLE)
            return 0;
        path = descend(L, path);
    }
    return 1;
}

/* Push the value at `path` if it is of the type; pushes nothing otherwise. */
static bool find(struct hob_json *json, const char *path, enum hob_json_type type)
{
    struct request request = {.text = path};
    if (!ask(json, do_find, &request))
        return false;
    if (hob_json_type_of(json->L) == type)
        return true;
    lua_pop(json->L, 1);
    return false;
}

enum hob_json_type hob_json_type(struct hob_json *json, const char *path)
{
    struct request request = {.text = path};
    if (!ask(json, do_find, &request))
        return HOB_JSON_ABSENT;
    enum hob_json_type type = hob_json_type_of(json->L);
    lua_pop(json->L, 1);
    return type;
}

const char *hob_json_string(struct hob_json *json, const char *path, size_t *len)
{
    size_t n = 0;
    const char *text = NULL;
    if (find(json, path, HOB_JSON_STRING)) {
        text = lua_tolstring(json->L, -1, &n); /* stays: the document holds it */
        lua_pop(json->L, 1);
    }
    if (len)
        *len = n;
    return text;
}

int64_t hob_json_integer(struct hob_json *json, const char *path, int64_t fallback)
{
    if (!find(json, path, HOB_JSON_NUMBER))
        return fallback;
    int64_t value = lua_isinteger(json->L, -1) ? lua_tointeger(json->L, -1) : fallback;
    lua_pop(json->L, 1);
    return value;
}

double hob_json_number(struct hob_json *json, const char *path, double fallback)
{
    if (!find(json, path, HOB_JSON_NUMBER))
        return fallback;
    double value = lua_tonumber(json->L, -1);
    lua_pop(json->L, 1);
    return value;
}

bool hob_json_boolean(struct hob_json *json, const char *path, bool fallback)
{
    if (!find(json, path, HOB_JSON_BOOLEAN))
        return fallback;
    bool value = lua_toboolean(json->L, -1);
    lua_pop(json->L, 1);
    return value;
}

size_t hob_json_length(struct hob_json *json, const char *path)
{
    if (!find(json, path, HOB_JSON_ARRAY))
        return 0;
    size_t length = lua_rawlen(json->L, -1);
    lua_pop(json->L, 1);
    return length;
}

static int do_keys(lua_State *L)
{
    struct request *request = lua_touserdata(L, 1);
    if (do_find(L) == 0 || hob_json_type_of(L) != HOB_JSON_OBJECT)
        return 0;
    int table = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1))
        request->count++;
    request->keys = hob_json_push_keys(L, table, request->count);
    return 1;
}

void hob_json_each(struct hob_json *json, const char *path, hob_json_member_fn *fn, void *user)
{
    struct request request = {.text = path};
    if (!ask(json, do_keys, &request))
        return;
    for (size_t i = 0; i < request.count; i++)
        if (!fn(user, request.keys[i].text, request.keys[i].type))
            break;
    lua_pop(json->L, 1);
}

/* ---- slices ---- */

struct cursor {
    const char *at, *end; /* `end` was reached: at == end, also in a text that is cut off */
};

static void skip_blanks(struct cursor *cursor)
{
    while (cursor->at < cursor->end && strchr(" \t\r\n", *cursor->at) && *cursor->at)
        cursor->at++;
}

static void skip_string(struct cursor *cursor)
{
    for (cursor->at++; cursor->at < cursor->end && *cursor->at != '"'; cursor->at++)
        if (*cursor->at == '\\' && cursor->at + 1 < cursor->end)
            cursor->at++;
    if (cursor->at < cursor->end)
        cursor->at++;
}

/* Counts brackets and calls nothing for them: a text may be as deep as it is long. */
static void skip_value(struct cursor *cursor)
{
    size_t depth = 0;
    if (cursor->at < cursor->end && strchr("}]", *cursor->at) && *cursor->at)
        return;
    do {
        char c = cursor->at < cursor->end ? *cursor->at : '\0';
        if (c == '"') {
            skip_string(cursor);
        } else if (c == '{' || c == '[' || c == '}' || c == ']') {
            depth = c == '{' || c == '[' ? depth + 1 : depth - 1;
            cursor->at++;
        } else if (depth > 0) {
            cursor->at++;
        } else {
            while (cursor->at < cursor->end && !strchr(",]} \t\r\n", *cursor->at))
                cursor->at++;
        }
    } while (depth > 0 && cursor->at < cursor->end);
}

static unsigned read_hex4(const char *at, const char *end)
{
    unsigned value = 0;
    for (int i = 0; i < 4 && at + i < end; i++) {
        char c = at[i];
        unsigned digit = c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
        value = value << 4 | (digit & 0x0F);
    }
    return value;
}

static size_t put_utf8(unsigned code, char out[4])
{
    if (code < 0x80)
        return out[0] = (char)code, 1;
    int tails = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char heads[] = {0, 0xC0, 0xE0, 0xF0};
    out[0] = (char)(heads[tails] | code >> (6 * tails));
    for (int i = 1; i <= tails; i++)
        out[i] = (char)(0x80 | (code >> (6 * (tails - i)) & 0x3F));
    return (size_t)tails + 1;
}

/* One character of a key, its escape decoded. @return how many bytes it has in `out` */
static size_t read_character(struct cursor *key, char out[4])
{
    static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
    if (*key->at != '\\' || key->at + 1 == key->end)
        return out[0] = *key->at++, 1;
    char c = key->at[1];
    key->at += 2;
    const char *letter = strchr(letters, c);
    if (c != 'u')
        return out[0] = letter && c ? meant[letter - letters] : c, 1;
    unsigned code = read_hex4(key->at, key->end);
    key->at += key->end - key->at < 4 ? key->end - key->at : 4;
    if (code >= 0xD800 && code < 0xDC00 && key->end - key->at >= 6) {
        code = 0x10000 + ((code & 0x3FF) << 10) + (read_hex4(key->at + 2, key->end) & 0x3FF);
        key->at += 6;
    }
    return put_utf8(code, out);
}

/* Keys are compared as they are meant, not as they are written: "\u006aob" is "job". */
static bool key_is(struct cursor key, const char *name, size_t len)
{
    char bytes[4];
    size_t at = 0;
    while (key.at < key.end) {
        size_t n = read_character(&key, bytes);
        if (len - at < n || memcmp(name + at, bytes, n) != 0)
            return false;
        at += n;
    }
    return at == len;
}

struct member {
    struct cursor key; /* without its quotes, as it is written */
    struct cursor value;
};

/* Step into an object. @return false if there is none */
static bool enter_object(struct cursor *in)
{
    skip_blanks(in);
    if (in->at == in->end || *in->at != '{')
        return false;
    in->at++;
    return true;
}

/* @return false at the object's end, or where the text is no JSON */
static bool next_member(struct cursor *in, struct member *out)
{
    skip_blanks(in);
    if (in->at < in->end && *in->at == ',')
        in->at++;
    skip_blanks(in);
    if (in->at == in->end || *in->at != '"')
        return false;
    out->key.at = in->at + 1;
    skip_string(in);
    if (in->at == out->key.at)
        return false; /* a quote is the text's last byte */
    out->key.end = in->at - 1;
    skip_blanks(in);
    in->at += in->at < in->end; /* the colon */
    skip_blanks(in);
    out->value.at = in->at;
    skip_value(in);
    out->value.end = in->at;
    return true;
}

/* Narrow `value` to its last member of that name: lua-cjson lets the last one win. */
static bool narrow(struct cursor *value, const char *name, size_t len)
{
    struct cursor in = *value;
    struct member member;
    bool found = false;
    if (!enter_object(&in))
        return false;
    while (next_member(&in, &member)) {
        if (key_is(member.key, name, len)) {
            *value = member.value;
            found = true;
        }
    }
    return found;
}

/* Append what lies between `*from` and the values at `path` within `in`, and null for each of
 * these. Calls itself once for each name in the path. */
static int put_without(struct hob_buf *out, struct cursor in, const char *path, const char **from)
{
    size_t n = strcspn(path, ".");
    struct member member;
    int code = 0;
    if (!enter_object(&in))
        return 0;
    while (code == 0 && next_member(&in, &member)) {
        const struct cursor *value = &member.value;
        if (!key_is(member.key, path, n) || value->at == value->end)
            continue;
        if (path[n]) {
            code = put_without(out, *value, path + n + 1, from);
            continue;
        }
        code = hob_buf_append(out, *from, (size_t)(value->at - *from));
        if (code == 0)
            code = hob_buf_append_string(out, "null");
        *from = value->end;
    }
    return code;
}

int hob_json_without(const char *text, size_t len, const char *path, struct hob_buf *out)
{
    const char *from = text;
    int code = put_without(out, (struct cursor){.at = text, .end = text + len}, path, &from);
    return code ? code : hob_buf_append(out, from, (size_t)(text + len - from));
}

const char *hob_json_slice(const char *text, size_t len, const char *path, size_t *out_len)
{
    struct cursor value = {.at = text, .end = text + len};
    while (*path) {
        size_t n = strcspn(path, ".");
        if (!narrow(&value, path, n))
            return NULL;
        path += path[n] ? n + 1 : n;
    }
    skip_blanks(&value);
    while (value.end > value.at && strchr(" \t\r\n", value.end[-1]))
        value.end--;
    *out_len = (size_t)(value.end - value.at);
    return value.at;
}
