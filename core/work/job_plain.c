#include "work/job_plain.h"

#include "base/json.h"
#include "work/job.h"

#include <ctype.h>
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEEK        604800
#define RUNS_MAX    1000
#define DETAILS_MAX 4 /* of the handler's own */
#define KEY_MAX     128
#define NUMBER_MAX  40

/* ---- the handler's table ---- */

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words && strcmp(*words, word) != 0) {
        words++;
    }
    return *words != NULL;
}

/* "string", "integer?" */
static bool is_plain_kind(const char *kind, size_t len)
{
    static const char *const types[] = {"string", "number", "integer", "boolean",
                                        "table",  "any",    NULL};
    char base[16];
    if (len > 0 && kind[len - 1] == '?') {
        len--;
    }
    if (len == 0 || len >= sizeof base) {
        return false;
    }
    memcpy(base, kind, len);
    base[len] = '\0';
    return is_one_of(base, types);
}

/* The table on top: fields of one type each. */
static bool are_plain_fields(lua_State *L)
{
    bool plain = !lua_getmetatable(L, -1) || (lua_pop(L, 1), false);
    int top = lua_gettop(L);
    for (lua_pushnil(L); plain && lua_next(L, top); lua_pop(L, 1)) {
        size_t len = 0;
        plain = lua_type(L, -2) == LUA_TSTRING && lua_rawlen(L, -2) > 0 &&
                lua_type(L, -1) == LUA_TSTRING && lua_tolstring(L, -1, &len) &&
                is_plain_kind(lua_tostring(L, -1), len);
    }
    lua_settop(L, top);
    return plain;
}

static bool is_number_within(lua_State *L, double low, double high, bool whole)
{
    double value = lua_tonumber(L, -1);
    return lua_type(L, -1) == LUA_TNUMBER && value >= low && value <= high &&
           (!whole || floor(value) == value);
}

/* The member on top. */
static bool is_plain_member(lua_State *L, const char *name)
{
    static const char *const functions[] = {"run", "cleanup", "already_done", "doctor", NULL};
    if (is_one_of(name, functions)) {
        return lua_isfunction(L, -1);
    }
    if (strcmp(name, "args") == 0) {
        return lua_istable(L, -1) && are_plain_fields(L);
    }
    if (strcmp(name, "api") == 0) {
        return is_number_within(L, 1, 1, true);
    }
    if (strcmp(name, "timeout") == 0) {
        return is_number_within(L, 1e-9, WEEK, false);
    }
    if (strcmp(name, "max_runs") == 0) {
        return is_number_within(L, 1, RUNS_MAX, true);
    }
    if (strcmp(name, "description") == 0) {
        return lua_type(L, -1) == LUA_TSTRING;
    }
    return strcmp(name, "rerun") == 0 && lua_isboolean(L, -1);
}

static bool has(lua_State *L, int index, const char *name)
{
    lua_pushstring(L, name);
    bool there = lua_rawget(L, index) != LUA_TNIL;
    lua_pop(L, 1);
    return there;
}

static bool is_plain_handler(lua_State *L, int index)
{
    if (!lua_istable(L, index) || lua_getmetatable(L, index)) {
        return false;
    }
    bool plain = has(L, index, "run") && has(L, index, "api");
    for (lua_pushnil(L); plain && lua_next(L, index); lua_pop(L, 1)) {
        plain = lua_type(L, -2) == LUA_TSTRING && is_plain_member(L, lua_tostring(L, -2));
    }
    return plain;
}

/* ---- the arguments ---- */

/* A placeholder that AWS has left may be spelt with escapes. */
static bool may_have_placeholder(const char *document, size_t len)
{
    static const char mark[] = "${aws:iot:", escape[] = "\\u";
    return memmem(document, len, mark, sizeof mark - 1) ||
           memmem(document, len, escape, sizeof escape - 1);
}

static bool is_absent(lua_State *L)
{
    return lua_isnil(L, -1) || (lua_islightuserdata(L, -1) && !lua_touserdata(L, -1)) ||
           (lua_type(L, -1) == LUA_TSTRING && lua_rawlen(L, -1) == 0);
}

/* The value on top; what would have to be converted first is not looked at. */
static bool fits(lua_State *L, const char *kind)
{
    switch (kind[0]) {
    case 's':
        return lua_type(L, -1) == LUA_TSTRING;
    case 'n':
        return lua_type(L, -1) == LUA_TNUMBER && isfinite(lua_tonumber(L, -1));
    case 'i':
        return lua_isinteger(L, -1);
    case 'b':
        return lua_isboolean(L, -1);
    case 't':
        return lua_istable(L, -1);
    default: /* any */
        return true;
    }
}

/* Stack: the document, its copy, the schema. */
static bool check_fields(lua_State *L, int document, int copy, int schema)
{
    bool plain = true;
    for (lua_pushnil(L); plain && lua_next(L, schema); lua_pop(L, 1)) {
        const char *kind = lua_tostring(L, -1);
        lua_pushvalue(L, -2);
        lua_rawget(L, document);
        if (is_absent(L)) {
            plain = kind[strlen(kind) - 1] == '?';
            lua_pushvalue(L, -3);
            lua_pushnil(L);
            lua_rawset(L, copy);
        } else {
            plain = fits(L, kind);
        }
        lua_pop(L, 1);
    }
    return plain;
}

static void push_copy(lua_State *L, int index)
{
    lua_newtable(L);
    int copy = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, copy);
    }
}

/* The document is on top; push what run() gets. */
static bool push_args(lua_State *L, int handler)
{
    int document = lua_gettop(L);
    lua_pushliteral(L, "args");
    if (lua_rawget(L, handler) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushvalue(L, document);
        return true;
    }
    if (lua_rawgeti(L, document, 1) != LUA_TNIL) {
        return false;
    }
    lua_pop(L, 1);
    push_copy(L, document);
    bool plain = check_fields(L, document, document + 2, document + 1);
    lua_settop(L, document + 2);
    lua_remove(L, document + 1);
    return plain;
}

bool hob_job_plain_prepare(lua_State *L, int index, const char *document, size_t len)
{
    struct hob_error err;
    int top = lua_gettop(L);
    luaL_checkstack(L, LUA_MINSTACK, "a document");
    index = lua_absindex(L, index);
    bool plain = is_plain_handler(L, index) && !may_have_placeholder(document, len) &&
                 hob_json_push(L, document, len, &err) == 0 && lua_istable(L, -1) &&
                 push_args(L, index);
    if (!plain) {
        lua_settop(L, top);
    }
    return plain;
}

/* ---- what came of it ---- */

struct details {
    struct hob_jobs_detail list[2 + DETAILS_MAX];
    size_t count;
    char attempt[16];
    char numbers[DETAILS_MAX][NUMBER_MAX];
};

static void add(struct details *details, const char *key, const char *value, size_t len)
{
    details->list[details->count++] =
        (struct hob_jobs_detail){.key = key, .value = value, .len = len};
}

/* No name of Hob's own, and none that is cut from its beginning. */
static bool is_plain_key(const char *key)
{
    static const char *const own[] = {"reason",   "code",          "step",   "handler", "attempt",
                                      "progress", "cleanup_error", "stdout", "stderr",  NULL};
    size_t len = strlen(key), i = 0;
    while (key[i] && (isalnum((unsigned char)key[i]) || strchr("_:-", key[i]))) {
        i++;
    }
    return len > 0 && len <= KEY_MAX && i == len && !is_one_of(key, own);
}

/* The detail on top, its name below it. A float's words are Lua's own affair. */
static bool add_plain(lua_State *L, struct details *details, size_t own)
{
    size_t count = details->count - own, len = 0;
    if (count == DETAILS_MAX || lua_type(L, -2) != LUA_TSTRING ||
        lua_rawlen(L, -2) != strlen(lua_tostring(L, -2)) || !is_plain_key(lua_tostring(L, -2))) {
        return false;
    }
    const char *key = lua_tostring(L, -2), *value = NULL;
    if (lua_type(L, -1) == LUA_TSTRING) {
        value = lua_tolstring(L, -1, &len);
    } else if (lua_isboolean(L, -1)) {
        value = lua_toboolean(L, -1) ? "true" : "false";
        len = strlen(value);
    } else if (lua_isinteger(L, -1)) {
        value = details->numbers[count];
        len = (size_t)snprintf(details->numbers[count], NUMBER_MAX, "%lld",
                               (long long)lua_tointeger(L, -1));
    }
    if (value) {
        add(details, key, value, len);
    }
    return value != NULL;
}

static int by_key(const void *a, const void *b)
{
    return strcoll(((const struct hob_jobs_detail *)a)->key,
                   ((const struct hob_jobs_detail *)b)->key);
}

static bool add_own(lua_State *L, int table, struct details *details)
{
    size_t own = details->count;
    bool plain = !lua_getmetatable(L, table);
    for (lua_pushnil(L); plain && lua_next(L, table); lua_pop(L, 1)) {
        plain = add_plain(L, details, own);
    }
    if (plain) {
        qsort(&details->list[own], details->count - own, sizeof details->list[0], by_key);
    }
    return plain;
}

static bool is_success(lua_State *L, int index, int count)
{
    bool first = count == 1 || lua_istable(L, index + 1) ||
                 (lua_isboolean(L, index + 1) && lua_toboolean(L, index + 1));
    return lua_toboolean(L, index) && first;
}

bool hob_job_plain_succeed(lua_State *L, int index, int count, struct hob_job *job)
{
    struct details details = {0};
    struct hob_job_view view;
    int top = lua_gettop(L);
    luaL_checkstack(L, LUA_MINSTACK, "details");
    if (!is_success(L, index, count)) {
        return false;
    }
    hob_job_view(job, &view);
    add(&details, "handler", view.label, strlen(view.label));
    if (view.attempt > 1) {
        snprintf(details.attempt, sizeof details.attempt, "%d", view.attempt);
        add(&details, "attempt", details.attempt, strlen(details.attempt));
    }
    bool plain = !lua_istable(L, index + 1) || add_own(L, index + 1, &details);
    if (plain) {
        hob_job_set_outcome(job, HOB_JOBS_SUCCEEDED, HOB_JOB_SUCCEEDED, details.list,
                            details.count);
    }
    lua_settop(L, top);
    return plain;
}
