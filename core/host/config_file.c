/* config_file.c - hob.conf.lua: read, evaluated with nothing in reach, its table taken over. */
#include "base/alloc.h"
#include "host/config_value.h"

#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>

#define CHUNK            "config" /* Lua would cut a long path */
#define FILE_MAX         (1u << 20)
#define MEMORY_MAX       (64u << 20)
#define INSTRUCTIONS_MAX 1000000
#define THINGS_MAX       10000

char *hob_config_file_read(const char *path, size_t *len, struct hob_error *err)
{
    FILE *file = fopen(path, "rbe");
    char *text = file ? hob_malloc(FILE_MAX + 1) : NULL;
    if (!text) {
        hob_error_set(err, errno == ENOMEM ? HOB_ENOMEM : HOB_ECONFIG,
                      "%s: cannot read the configuration: %s", path, strerror(errno));
        if (file) {
            fclose(file);
        }
        return NULL;
    }
    *len = fread(text, 1, FILE_MAX + 1, file);
    int failed = ferror(file) ? errno : 0;
    fclose(file);
    if (failed || *len > FILE_MAX) {
        hob_error_set(err, HOB_ECONFIG, "%s: cannot read the configuration: %s", path,
                      failed ? strerror(failed) : "it is larger than 1 MB");
        hob_free(text);
        return NULL;
    }
    text[*len] = '\0';
    return text;
}

/* ---- the table ---- */

static const char *describe_key(lua_State *L, int index, char *out, size_t len)
{
    if (lua_type(L, index) == LUA_TNUMBER) {
        snprintf(out, len, "[%.14g]", lua_tonumber(L, index));
    } else {
        snprintf(out, len, "a %s as key", luaL_typename(L, index));
    }
    return out;
}

/* Key and value are on top. */
static int read_member(lua_State *L, const struct hob_config_origin *origin,
                       struct hob_config *config, struct hob_config_thing *thing,
                       struct hob_error *err)
{
    char got[64], place[32] = "";
    if (origin->thing) {
        snprintf(place, sizeof place, "things[%zu]: ", origin->thing);
    }
    if (lua_type(L, -2) != LUA_TSTRING) {
        return hob_error_set(err, HOB_ECONFIG, "%s: %sexpected keys with names, got %s",
                             origin->file, place, describe_key(L, -2, got, sizeof got));
    }
    const char *name = lua_tostring(L, -2);
    const struct hob_config_key *key = hob_config_key_find(name);
    if (!origin->thing && strcmp(name, "things") == 0) {
        return 0; /* read afterwards, when the common values are known */
    }
    if (key && origin->thing && !key->of_thing) {
        char where[HOB_CONFIG_PLACE_MAX];
        hob_config_place(origin, name, where, sizeof where);
        return hob_error_set(err, HOB_ECONFIG, "%s: expected beside things: it holds for all",
                             where);
    }
    if (!key) {
        return hob_config_unknown(origin, name, err);
    }
    return hob_config_set_value(L, origin, key, key->of_thing ? (void *)thing : (void *)config,
                                err);
}

static int read_table(lua_State *L, const struct hob_config_origin *origin,
                      struct hob_config *config, struct hob_config_thing *thing,
                      const struct hob_config_looker *looker, struct hob_error *err)
{
    int rc = 0;
    lua_pushnil(L);
    while (rc == 0 && lua_next(L, -2)) {
        int top = lua_gettop(L) - 1;
        rc = hob_config_tell(looker, read_member(L, origin, config, thing, err), err);
        lua_settop(L, top);
    }
    return rc;
}

/* ---- things ---- */

/* How many entries the list on top has. @return false: it is no list, or has other members too */
static bool count_things(lua_State *L, size_t *count)
{
    size_t members = 0;
    if (!lua_istable(L, -1)) {
        return false;
    }
    *count = lua_rawlen(L, -1);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        members++;
    }
    return members == *count && *count <= THINGS_MAX;
}

static int read_thing(lua_State *L, const struct hob_config_origin *origin,
                      struct hob_config *config, struct hob_config_thing *thing,
                      const struct hob_config_looker *looker, struct hob_error *err)
{
    char got[64];
    if (!lua_istable(L, -1)) {
        snprintf(got, sizeof got, "a %s as things[%zu]", luaL_typename(L, -1), origin->thing);
        struct hob_config_origin beside = {origin->file, origin->source, 0, false};
        return hob_config_expected(&beside, "things", "a list of tables", got, err);
    }
    return read_table(L, origin, config, thing, looker, err);
}

/* Each of `things` begins with the values that stand beside it. */
static int read_things(lua_State *L, const struct hob_config_origin *origin,
                       struct hob_config *config, const struct hob_config_looker *looker,
                       struct hob_error *err)
{
    if (lua_getfield(L, -1, "things") == LUA_TNIL) {
        return 0;
    }
    size_t count;
    if (!count_things(L, &count)) {
        char got[64];
        snprintf(got, sizeof got, "a %s that is none", luaL_typename(L, -1));
        int none =
            hob_config_expected(origin, "things", "a list of at most 10000 tables", got, err);
        return hob_config_tell(looker, none, err);
    }
    struct hob_config_thing *things = hob_calloc(count ? count : 1, sizeof *things);
    if (!things) {
        return hob_error_set(err, HOB_ENOMEM, "reading the configuration: out of memory");
    }
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        struct hob_config_origin inside = {origin->file, origin->source, i + 1, false};
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        rc = hob_config_thing_copy(&things[i], &config->things[0], err);
        rc = rc ? rc
                : hob_config_tell(looker, read_thing(L, &inside, config, &things[i], looker, err),
                                  err);
        lua_pop(L, 1);
    }
    config->common = config->things[0];
    hob_free(config->things);
    config->things = things;
    config->thing_count = count;
    return rc;
}

/* ---- evaluating ---- */

struct loading {
    const char *path;
    const char *text;
    size_t len;
    struct hob_config *config;
    const struct hob_config_looker *looker;
    struct hob_error *err;
    int rc;
    bool running; /* the file's own code */
    size_t used;
    bool too_much; /* for a configuration */ /* by the Lua state */
};

static void *allocate(void *user, void *block, size_t old_size, size_t size)
{
    struct loading *loading = user;
    size_t old = block ? old_size : 0;
    if (size == 0) {
        hob_free(block);
        loading->used -= old;
        return NULL;
    }
    if (size > old && loading->used - old + size > MEMORY_MAX) {
        loading->too_much = true;
        return NULL;
    }
    void *fresh = hob_realloc(block, size);
    if (fresh) {
        loading->used += size - old;
    }
    return fresh;
}

static void too_long(lua_State *L, lua_Debug *ar)
{
    luaL_where(L, 0);
    lua_pushliteral(L, "the configuration does not come to an end");
    lua_concat(L, 2);
    lua_error(L);
}

/* Protected. */
static int evaluate(lua_State *L)
{
    struct loading *loading = lua_touserdata(L, 1);
    if (luaL_loadbufferx(L, loading->text, loading->len, "=" CHUNK, "t") != LUA_OK) {
        return lua_error(L);
    }
    lua_newtable(L);
    lua_setupvalue(L, -2, 1); /* nothing in reach */
    lua_sethook(L, too_long, LUA_MASKCOUNT, INSTRUCTIONS_MAX);
    loading->running = true;
    lua_call(L, 0, 1);
    loading->running = false;
    lua_sethook(L, NULL, 0, 0);
    struct hob_config_origin origin = {loading->path, loading->text, 0, false};
    struct hob_config *config = loading->config;
    if (!lua_istable(L, -1)) {
        loading->rc = hob_error_set(loading->err, HOB_ECONFIG,
                                    "%s: expected the file to return a table (return { ... }), "
                                    "got %s",
                                    loading->path, luaL_typename(L, -1));
        return 0;
    }
    loading->rc = read_table(L, &origin, config, &config->things[0], loading->looker, loading->err);
    loading->rc =
        loading->rc ? loading->rc : read_things(L, &origin, config, loading->looker, loading->err);
    return 0;
}

int hob_config_file_load(const char *path, const char *text, size_t len, struct hob_config *config,
                         const struct hob_config_looker *looker, struct hob_error *err)
{
    struct loading loading = {
        .path = path, .text = text, .len = len, .config = config, .looker = looker, .err = err};
    lua_State *L = lua_newstate(allocate, &loading);
    if (!L) {
        return hob_error_set(err, HOB_ENOMEM, "reading the configuration: out of memory");
    }
    lua_pushcfunction(L, evaluate);
    lua_pushlightuserdata(L, &loading);
    int status = lua_pcall(L, 1, 0, 0);
    if (status == LUA_ERRMEM) {
        loading.rc = loading.too_much
                         ? hob_error_set(err, HOB_ECONFIG,
                                         "%s: the configuration takes too much memory", path)
                         : hob_error_set(err, HOB_ENOMEM, "%s: reading it: out of memory", path);
    } else if (status != LUA_OK) {
        const char *message = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "error";
        bool placed = strncmp(message, CHUNK ":", sizeof CHUNK) == 0;
        loading.rc = hob_error_set(err, HOB_ECONFIG, "%s:%s%s%s", path, placed ? "" : " ",
                                   message + (placed ? sizeof CHUNK : 0),
                                   loading.running ? "; the file is evaluated with nothing in "
                                                     "reach: expected only return { ... }"
                                                   : "");
    }
    lua_close(L);
    return loading.rc;
}
