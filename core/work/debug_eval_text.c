/* What a person writes, as a Lua function: expressions, statements, the texts of log points. */
#include "base/alloc.h"
#include "work/debug_look_parts.h"

#include <string.h>

static bool is_unfinished(lua_State *L)
{
    static const char mark[] = "near <eof>";
    size_t len;
    const char *message = lua_tolstring(L, -1, &len);
    return message && len >= sizeof mark - 1 &&
           strcmp(message + len - (sizeof mark - 1), mark) == 0;
}

static int refuse(lua_State *L, struct hob_error *err)
{
    const char *message = lua_tostring(L, -1);
    return hob_error_set(err, HOB_EINVAL, "%s", message ? message : "it cannot be compiled");
}

/* As an expression, else as statements; what could become either one day is not finished. */
static int compile_text(lua_State *L, const char *text, size_t len, struct hob_error *err)
{
    lua_pushliteral(L, "return ");
    lua_pushlstring(L, text, len);
    lua_concat(L, 2);
    size_t longer;
    const char *expression = lua_tolstring(L, -1, &longer);
    if (luaL_loadbufferx(L, expression, longer, HOB_LOOK_CHUNK, "t") == LUA_OK) {
        return 0;
    }
    bool unfinished = is_unfinished(L);
    if (luaL_loadbufferx(L, text, len, HOB_LOOK_CHUNK, "t") == LUA_OK) {
        return 0;
    }
    if (unfinished || is_unfinished(L)) {
        return hob_error_set(err, HOB_EINCOMPLETE, "the expression is not finished");
    }
    return refuse(L, err);
}

/* Only what gives values. */
static int compile_expression(lua_State *L, const char *text, size_t len, struct hob_error *err)
{
    lua_pushliteral(L, "return ");
    lua_pushlstring(L, text, len);
    lua_concat(L, 2);
    size_t longer;
    const char *expression = lua_tolstring(L, -1, &longer);
    if (luaL_loadbufferx(L, expression, longer, HOB_LOOK_CHUNK, "t") == LUA_OK) {
        return 0;
    }
    if (is_unfinished(L)) {
        return hob_error_set(err, HOB_EINCOMPLETE, "the expression is not finished");
    }
    return refuse(L, err);
}

static void add_quoted(struct hob_buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        hob_buf_printf(out, "\\%03d", (unsigned char)text[i]);
    }
}

/* The end of the expression that begins at `at`, behind its brace: braces in it are in pairs. */
static size_t find_brace(const char *text, size_t len, size_t at)
{
    for (int depth = 1; at < len; at++) {
        depth += (text[at] == '{') - (text[at] == '}');
        if (depth == 0) {
            return at;
        }
    }
    return len;
}

/* "x is {x}" -> "x is ", (x). Each has a line of its own, so that a comment ends with it. */
static int expand_log(const char *text, size_t len, struct hob_buf *out, struct hob_error *err)
{
    hob_buf_append_string(out, "\"");
    for (size_t at = 0; at < len; at++) {
        if (text[at] != '{') {
            add_quoted(out, text + at, 1);
            continue;
        }
        size_t end = find_brace(text, len, at + 1);
        if (end == len) {
            return hob_error_set(err, HOB_EINVAL, "a { without its } in the text");
        }
        if (hob_buf_append_string(out, "\",(") ||
            hob_buf_append(out, text + at + 1, end - at - 1)) {
            return hob_error_set(err, HOB_EMSGSIZE, "the text is too long");
        }
        hob_buf_append_string(out, "\n),\"");
        at = end;
    }
    return hob_buf_append_string(out, "\"")
               ? hob_error_set(err, HOB_EMSGSIZE, "the text is too long")
               : 0;
}

static int compile_log(lua_State *L, const char *text, size_t len, struct hob_error *err)
{
    struct hob_buf expanded;
    hob_buf_init(&expanded, 6 * (size_t)HOB_LOOK_TEXT_MAX);
    int rc = expand_log(text, len, &expanded, err);
    if (rc == 0) {
        lua_pushlstring(L, hob_buf_data(&expanded), hob_buf_len(&expanded));
    }
    hob_buf_free(&expanded);
    size_t longer;
    const char *list = rc ? NULL : lua_tolstring(L, -1, &longer);
    return rc ? rc : compile_expression(L, list, longer, err);
}

int hob_look_compile(lua_State *L, enum hob_debug_eval_kind kind, const char *text, size_t len,
                     struct hob_error *err)
{
    if (len > HOB_LOOK_TEXT_MAX) {
        return hob_error_set(err, HOB_EMSGSIZE, "an expression may have %u bytes",
                             HOB_LOOK_TEXT_MAX);
    }
    if (kind == HOB_DEBUG_EVAL_LOG) {
        return compile_log(L, text, len, err);
    }
    return kind == HOB_DEBUG_EVAL_SET ? compile_expression(L, text, len, err)
                                      : compile_text(L, text, len, err);
}

int hob_debug_eval_check(enum hob_debug_eval_kind kind, const char *text, size_t len,
                         struct hob_error *err)
{
    lua_State *L = hob_alloc_lua_state(); /* nothing of it is run */
    if (!L) {
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    int rc = hob_look_compile(L, kind, text, len, err);
    lua_close(L);
    return rc;
}
