#include "work/sandbox_string.h"

#include "work/sandbox_pattern.h"

#include <ctype.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <string.h>

#define ESCAPE '%'
#define MAGIC  "^$*+?.([%-"

/* From 1, or from the end; beyond the end is behind it. */
static size_t start_position(lua_State *L, int index, size_t len)
{
    lua_Integer at = luaL_optinteger(L, index, 1);
    if (at > 0) {
        return (size_t)at - 1;
    }
    return at == 0 || (lua_Unsigned)0 - (lua_Unsigned)at > len ? 0 : len + (size_t)at;
}

/* ---- find and match ---- */

static int find_plain(lua_State *L, const char *subject, size_t len, const char *wanted,
                      size_t wanted_len, size_t from)
{
    const char *found =
        wanted_len ? memmem(subject + from, len - from, wanted, wanted_len) : subject + from;
    if (!found) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, found - subject + 1);
    lua_pushinteger(L, found - subject + (lua_Integer)wanted_len);
    return 2;
}

static bool is_plain(const char *pattern, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (pattern[i] && strchr(MAGIC, pattern[i])) {
            return false;
        }
    }
    return true;
}

static int search(lua_State *L, bool find)
{
    size_t len, pattern_len;
    const char *subject = luaL_checklstring(L, 1, &len);
    const char *pattern = luaL_checklstring(L, 2, &pattern_len);
    size_t from = start_position(L, 3, len);
    if (from > len) {
        lua_pushnil(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || is_plain(pattern, pattern_len))) {
        return find_plain(L, subject, len, pattern, pattern_len, from);
    }
    struct hob_sandbox_pattern m;
    hob_sandbox_pattern_init(&m, L, find ? "string.find" : "string.match", subject, len, pattern,
                             pattern_len);
    bool anchored = *pattern == '^';
    pattern += anchored;
    for (const char *at = subject + from; at <= m.subject_end; at++) {
        const char *end = hob_sandbox_pattern_match(&m, at, pattern);
        if (end && !find) {
            return hob_sandbox_pattern_push_all(&m, at, end);
        } else if (end) {
            lua_pushinteger(L, at - subject + 1);
            lua_pushinteger(L, end - subject);
            return hob_sandbox_pattern_push_all(&m, NULL, NULL) + 2;
        } else if (anchored) {
            break;
        }
    }
    lua_pushnil(L);
    return 1;
}

static int string_find(lua_State *L)
{
    return search(L, true);
}

static int string_match(lua_State *L)
{
    return search(L, false);
}

/* ---- gmatch ---- */

struct walk {
    const char *at, *last_end;
    const char *pattern;
    struct hob_sandbox_pattern m;
};

/* Each match has its own time: between two of them the script can be interrupted. */
static int next_match(lua_State *L)
{
    struct walk *walk = lua_touserdata(L, lua_upvalueindex(3));
    const struct hob_sandbox_pattern *m = &walk->m;
    hob_sandbox_pattern_init(&walk->m, L, "string.gmatch", m->subject,
                             (size_t)(m->subject_end - m->subject), walk->pattern,
                             (size_t)(m->pattern_end - walk->pattern));
    for (const char *at = walk->at; at <= m->subject_end; at++) {
        const char *end = hob_sandbox_pattern_match(&walk->m, at, walk->pattern);
        if (end && end != walk->last_end) {
            walk->at = walk->last_end = end;
            return hob_sandbox_pattern_push_all(&walk->m, at, end);
        }
    }
    return 0;
}

static int string_gmatch(lua_State *L)
{
    size_t len, pattern_len;
    const char *subject = luaL_checklstring(L, 1, &len);
    const char *pattern = luaL_checklstring(L, 2, &pattern_len);
    size_t from = start_position(L, 3, len);
    lua_settop(L, 2); /* kept as long as the function is */
    struct walk *walk = lua_newuserdatauv(L, sizeof *walk, 0);
    walk->at = from > len ? subject + len + 1 : subject + from;
    walk->last_end = NULL;
    walk->pattern = pattern;
    hob_sandbox_pattern_init(&walk->m, L, "string.gmatch", subject, len, pattern, pattern_len);
    lua_pushcclosure(L, next_match, 3);
    return 1;
}

/* ---- gsub ---- */

static void add_text(struct hob_sandbox_pattern *m, luaL_Buffer *out, const char *begin,
                     const char *end)
{
    lua_State *L = m->L;
    size_t len;
    const char *text = lua_tolstring(L, 3, &len), *text_end = text + len;
    const char *escape;
    while ((escape = memchr(text, ESCAPE, (size_t)(text_end - text)))) {
        luaL_addlstring(out, text, (size_t)(escape - text));
        char what = escape[1];
        if (what == ESCAPE) {
            luaL_addchar(out, ESCAPE);
        } else if (what == '0') {
            luaL_addlstring(out, begin, (size_t)(end - begin));
        } else if (isdigit((unsigned char)what)) {
            hob_sandbox_pattern_push(m, what - '1', begin, end);
            luaL_tolstring(L, -1, NULL);
            lua_remove(L, -2);
            luaL_addvalue(out);
        } else {
            luaL_error(L, "invalid use of '%c' in replacement string", ESCAPE);
        }
        text = escape + 2;
    }
    luaL_addlstring(out, text, (size_t)(text_end - text));
}

/* @return whether it is another text than before */
static bool add_replacement(struct hob_sandbox_pattern *m, luaL_Buffer *out, const char *begin,
                            const char *end, int type)
{
    lua_State *L = m->L;
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, hob_sandbox_pattern_push_all(m, begin, end), 1);
    } else if (type == LUA_TTABLE) {
        hob_sandbox_pattern_push(m, 0, begin, end);
        lua_gettable(L, 3);
    } else {
        add_text(m, out, begin, end);
        return true;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(out, begin, (size_t)(end - begin));
        return false;
    } else if (!lua_isstring(L, -1)) {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    }
    luaL_addvalue(out);
    return true;
}

/* A number has become a text where it is: every replacement reads it there. */
static int check_replacement(lua_State *L)
{
    int type = lua_type(L, 3);
    luaL_argexpected(L,
                     type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
                         type == LUA_TTABLE,
                     3, "string/function/table");
    if (type == LUA_TNUMBER) {
        lua_tostring(L, 3);
    }
    return type;
}

static int string_gsub(lua_State *L)
{
    size_t len, pattern_len;
    const char *at = luaL_checklstring(L, 1, &len);
    const char *pattern = luaL_checklstring(L, 2, &pattern_len);
    const char *last_end = NULL;
    int type = check_replacement(L);
    lua_Integer max = luaL_optinteger(L, 4, (lua_Integer)len + 1), n = 0;
    struct hob_sandbox_pattern m;
    luaL_Buffer out;
    hob_sandbox_pattern_init(&m, L, "string.gsub", at, len, pattern, pattern_len);
    luaL_buffinit(L, &out);
    bool anchored = *pattern == '^', changed = false;
    pattern += anchored;
    while (n < max) {
        const char *end = hob_sandbox_pattern_match(&m, at, pattern);
        if (end && end != last_end) {
            n++;
            changed = add_replacement(&m, &out, at, end, type) || changed;
            at = last_end = end;
        } else if (at < m.subject_end) {
            luaL_addchar(&out, *at++);
        } else {
            break;
        }
        if (anchored) {
            break;
        }
    }
    if (changed) {
        luaL_addlstring(&out, at, (size_t)(m.subject_end - at));
        luaL_pushresult(&out);
    } else {
        lua_pushvalue(L, 1);
    }
    lua_pushinteger(L, n);
    return 2;
}

/* ---- what a number can make endless ---- */

static int string_rep(lua_State *L)
{
    size_t len, sep_len;
    const char *text = luaL_checklstring(L, 1, &len);
    lua_Integer n = luaL_checkinteger(L, 2);
    const char *sep = luaL_optlstring(L, 3, "", &sep_len);
    if (n <= 0 || len + sep_len == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (n > HOB_SANDBOX_REP_MAX || len + sep_len > HOB_SANDBOX_REP_MAX / (size_t)n) {
        return luaL_error(L, "string.rep: %I times %I bytes: one call makes at most %d MB",
                          (LUAI_UACINT)n, (LUAI_UACINT)len + (LUAI_UACINT)sep_len,
                          HOB_SANDBOX_REP_MAX >> 20);
    }
    size_t total = (size_t)n * (len + sep_len);
    luaL_Buffer out;
    char *made = luaL_buffinitsize(L, &out, total);
    memcpy(made, text, len);
    memcpy(made + len, sep, sep_len);
    for (size_t done = len + sep_len; done < total; done *= 2) {
        memcpy(made + done, made, done < total - done ? done : total - done);
    }
    luaL_pushresultsize(&out, total - sep_len);
    return 1;
}

void hob_sandbox_open_strings(lua_State *L)
{
    static const luaL_Reg strings[] = {{"find", string_find},     {"match", string_match},
                                       {"gmatch", string_gmatch}, {"gsub", string_gsub},
                                       {"rep", string_rep},       {NULL, NULL}};
    lua_getglobal(L, "string");
    luaL_setfuncs(L, strings, 0);
    lua_pop(L, 1);
}
