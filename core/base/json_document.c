/* json_document.c - see json.h: a parsed document for C code, and slices of its text. */
#include "base/alloc.h"
#include "base/json_values.h"
#include "base/utf8.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

/* ---- the parsed document ---- */

struct hob_json {
    lua_State *L;                  /* [1] is the document, nil if there is none */
    struct hob_json_values values; /* its strings are those of the document */
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
    *out = json;
    return 0;
}

void hob_json_free(struct hob_json *json)
{
    if (!json)
        return;
    lua_close(json->L);
    hob_json_values_free(&json->values);
    hob_free(json);
}

struct request {
    struct hob_json_values *values;
    const char *text;
    size_t len;
    struct hob_error *err;
    int code;
};

static int do_parse(lua_State *L)
{
    struct request *request = lua_touserdata(L, 1);
    request->code = hob_json_push(L, request->text, request->len, request->err);
    if (request->code)
        return 0;
    hob_json_values_add(request->values, L);
    return 1;
}

int hob_json_parse(struct hob_json *json, const char *text, size_t len, struct hob_error *err)
{
    struct request request = {.values = &json->values, .text = text, .len = len, .err = err};
    lua_State *L = json->L;
    hob_json_values_clear(&json->values);
    lua_settop(L, 0);
    lua_pushcfunction(L, do_parse);
    lua_pushlightuserdata(L, &request);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK)
        return request.code;
    hob_json_values_clear(&json->values);
    return hob_error_set(err, HOB_ENOMEM, "parsing JSON: out of memory");
}

/* ---- places by hand ---- */

const struct hob_json_value *hob_json_whole(const struct hob_json *json)
{
    return json->values.count > 0 ? json->values.list : NULL;
}

static const struct hob_json_value *member_of(const struct hob_json *json,
                                              const struct hob_json_value *in, const char *name,
                                              size_t len)
{
    if (!in || in->type != HOB_JSON_OBJECT)
        return NULL;
    const struct hob_json_value *at = in + 1;
    for (uint32_t i = 0; i < in->count; i++, at = json->values.list + at->next)
        if (at->key_len == len && memcmp(at->key, name, len) == 0)
            return at;
    return NULL;
}

const struct hob_json_value *hob_json_member(const struct hob_json *json,
                                             const struct hob_json_value *in, const char *name)
{
    return member_of(json, in, name, strlen(name));
}

const struct hob_json_value *hob_json_element(const struct hob_json *json,
                                              const struct hob_json_value *in, size_t index)
{
    if (!in || in->type != HOB_JSON_ARRAY || index >= in->count)
        return NULL;
    const struct hob_json_value *at = in + 1;
    while (index-- > 0)
        at = json->values.list + at->next;
    return at;
}

enum hob_json_type hob_json_value_type(const struct hob_json_value *value)
{
    return value ? (enum hob_json_type)value->type : HOB_JSON_ABSENT;
}

const char *hob_json_value_string(const struct hob_json_value *value, size_t *len)
{
    bool is_string = hob_json_value_type(value) == HOB_JSON_STRING;
    if (len)
        *len = is_string ? value->len : 0;
    return is_string ? value->string : NULL;
}

int64_t hob_json_value_integer(const struct hob_json_value *value, int64_t fallback)
{
    bool fits = hob_json_value_type(value) == HOB_JSON_NUMBER && value->is_integer;
    return fits ? value->integer : fallback;
}

size_t hob_json_value_length(const struct hob_json_value *value)
{
    return hob_json_value_type(value) == HOB_JSON_ARRAY ? value->count : 0;
}

bool hob_json_value_is_empty(const struct hob_json_value *value)
{
    return hob_json_value_type(value) == HOB_JSON_OBJECT && value->count == 0;
}

/* ---- places by path ---- */

/* The next step of a path. @return what is left of it */
static const char *descend(const struct hob_json *json, const struct hob_json_value **value,
                           const char *path)
{
    if (*path == '[') {
        char *end;
        long long index = strtoll(path + 1, &end, 10);
        *value = index < 0 ? NULL : hob_json_element(json, *value, (size_t)index);
        path = *end == ']' ? end + 1 : "";
    } else {
        size_t n = strcspn(path, ".[");
        *value = member_of(json, *value, path, n);
        path += n;
    }
    return *path == '.' ? path + 1 : path;
}

static const struct hob_json_value *find(const struct hob_json *json, const char *path)
{
    const struct hob_json_value *value = hob_json_whole(json);
    while (value && *path)
        path = descend(json, &value, path);
    return value;
}

enum hob_json_type hob_json_type(struct hob_json *json, const char *path)
{
    return hob_json_value_type(find(json, path));
}

const char *hob_json_string(struct hob_json *json, const char *path, size_t *len)
{
    return hob_json_value_string(find(json, path), len);
}

int64_t hob_json_integer(struct hob_json *json, const char *path, int64_t fallback)
{
    return hob_json_value_integer(find(json, path), fallback);
}

double hob_json_number(struct hob_json *json, const char *path, double fallback)
{
    const struct hob_json_value *value = find(json, path);
    if (hob_json_value_type(value) != HOB_JSON_NUMBER)
        return fallback;
    return value->is_integer ? (double)value->integer : value->number;
}

bool hob_json_boolean(struct hob_json *json, const char *path, bool fallback)
{
    const struct hob_json_value *value = find(json, path);
    return hob_json_value_type(value) == HOB_JSON_BOOLEAN ? value->boolean : fallback;
}

size_t hob_json_length(struct hob_json *json, const char *path)
{
    return hob_json_value_length(find(json, path));
}

static int compare_keys(const void *left, const void *right)
{
    const struct hob_json_value *a = *(const struct hob_json_value *const *)left;
    const struct hob_json_value *b = *(const struct hob_json_value *const *)right;
    int order = memcmp(a->key, b->key, a->key_len < b->key_len ? a->key_len : b->key_len);
    return order ? order : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

void hob_json_each(struct hob_json *json, const char *path, hob_json_member_fn *fn, void *user)
{
    const struct hob_json_value *in = find(json, path);
    size_t count = hob_json_value_type(in) == HOB_JSON_OBJECT ? in->count : 0;
    const struct hob_json_value **members = count > 0 ? hob_malloc(count * sizeof *members) : NULL;
    if (!members)
        return;
    const struct hob_json_value *at = in + 1;
    for (size_t i = 0; i < count; i++, at = json->values.list + at->next)
        members[i] = at;
    qsort(members, count, sizeof(const struct hob_json_value *), compare_keys);
    for (size_t i = 0; i < count; i++)
        if (!fn(user, members[i]->key, hob_json_value_type(members[i])))
            break;
    hob_free(members);
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
    return hob_utf8_put(code, out);
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
