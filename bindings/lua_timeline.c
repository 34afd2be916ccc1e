/* lua_timeline.c - hob.timeline: what happened, from the files of a data directory; and texts with
 * their secrets masked. For Hob's own commands. */
#include "bindings.h"

#include "work/timeline.h"

#include <string.h>

#define MASK_MAX (64 * 1024 * 1024)

/* Each line behind its length: memory errors must not be raised inside the reading. */
static int keep(void *user, const char *members, size_t len)
{
    struct hob_buf *all = user;
    int rc = hob_buf_append(all, &len, sizeof len);
    return rc ? rc : hob_buf_append(all, members, len);
}

static int64_t check_execution(lua_State *L)
{
    double number = hob_lua_opt_number(L, 2, "execution", 0);
    return number >= 0 && number < 9e15 ? (int64_t)number : 0;
}

/** read(data, { job=, thing=, execution=, lines=, limit= }) -> { JSON text, ... } | nil, message,
 * code. See work/timeline.h. */
static int timeline_read(lua_State *L)
{
    static const char *const known[] = {"job", "thing", "execution", "lines", "limit", NULL};
    struct hob_error err = {0};
    luaL_checktype(L, 2, LUA_TTABLE);
    hob_lua_check_options(L, 2, known);
    struct hob_timeline_options options = {.dir = luaL_checkstring(L, 1),
                                           .job = hob_lua_opt_string(L, 2, "job", NULL),
                                           .thing = hob_lua_opt_string(L, 2, "thing", NULL),
                                           .execution = check_execution(L),
                                           .lines = (size_t)hob_lua_opt_number(L, 2, "lines", 0),
                                           .limit_bytes =
                                               (size_t)hob_lua_opt_number(L, 2, "limit", 0)};
    struct hob_buf *all = hob_lua_push_buf(L, (size_t)1 << 28);
    if (hob_timeline_read(&options, keep, all, &err)) {
        return hob_lua_fail(L, &err);
    }
    const char *at = hob_buf_data(all), *end = at ? at + hob_buf_len(all) : at;
    lua_newtable(L);
    for (lua_Integer i = 1; at < end; i++) {
        size_t len;
        memcpy(&len, at, sizeof len);
        lua_pushliteral(L, "{");
        lua_pushlstring(L, at + sizeof len, len);
        lua_pushliteral(L, "}");
        lua_concat(L, 3);
        lua_rawseti(L, -2, i);
        at += sizeof len + len;
    }
    return 1;
}

/** mask(text) -> text with what must not be seen as "***"; see base/log.h */
static int timeline_mask(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    struct hob_buf *out = hob_lua_push_buf(L, MASK_MAX);
    hob_log_mask(out, text, len);
    lua_pushlstring(L, hob_buf_data(out) ? hob_buf_data(out) : "", hob_buf_len(out));
    return 1;
}

static const luaL_Reg functions[] = {
    {"mask", timeline_mask}, {"read", timeline_read}, {NULL, NULL}};

int hob_lua_open_timeline(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
