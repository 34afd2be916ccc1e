/* lua_store.c - hob.store: what a gateway's store knows, while no gateway has it open. Only for
 * reading, and for Hob's own commands. */
#include "bindings.h"

#include "base/json.h"
#include "work/history.h"
#include "work/store.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define LINE_LIMIT (256 * 1024)

struct list {
    lua_State *L;
    struct hob_json *json;
    lua_Integer count;
};

struct reading {
    struct hob_store *store;
    struct hob_json *json;
    bool ended;
    int64_t before, next;
    size_t limit;
    int rc;
    struct hob_error err;
};

/* Memory errors are raised: this runs in the protected call below. */
static int put_line(void *user, const struct hob_store_execution *execution)
{
    struct list *list = user;
    struct hob_buf *out = hob_lua_push_buf(list->L, LINE_LIMIT);
    int rc = hob_history_write(out, list->json, execution);
    if (rc == 0) {
        lua_pushlstring(list->L, hob_buf_data(out), hob_buf_len(out));
        lua_rawseti(list->L, 2, ++list->count);
    }
    lua_pop(list->L, 1);
    return rc;
}

static int read_all(lua_State *L)
{
    struct reading *reading = lua_touserdata(L, 1);
    struct list list = {.L = L, .json = reading->json};
    lua_newtable(L);
    reading->rc = hob_history_each(reading->store, reading->ended, reading->before, reading->limit,
                                   put_line, &list, &reading->next, &reading->err);
    return 1;
}

static void open_it(struct reading *reading, lua_State *L, const char *path)
{
    struct stat info;
    if (stat(path, &info)) { /* opening would make one */
        reading->rc = hob_error_set(&reading->err, HOB_ENOENT, "%s: there is no store", path);
        return;
    }
    reading->rc =
        hob_store_open(hob_bindings_host(L)->log, &(struct hob_store_options){.path = path},
                       &reading->store, &reading->err);
    if (reading->rc == 0) {
        reading->rc = hob_json_new(&reading->json, &reading->err);
    }
}

/** executions(path, ended, before, limit) -> { JSON text, ... }, next or nil | nil, message, code
 * (EBUSY: a gateway has it open). The newest first; see work/history.h. */
static int executions(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct reading reading = {.ended = lua_toboolean(L, 2),
                              .before = luaL_optinteger(L, 3, 0),
                              .limit = (size_t)luaL_optinteger(L, 4, 50)};
    open_it(&reading, L, path);
    int status = LUA_OK;
    if (reading.rc == 0) {
        lua_pushcfunction(L, read_all);
        lua_pushlightuserdata(L, &reading);
        status = lua_pcall(L, 1, 1, 0);
    }
    hob_json_free(reading.json);
    hob_store_close(reading.store);
    if (status != LUA_OK) {
        return lua_error(L);
    }
    if (reading.rc) {
        return hob_lua_fail(L, &reading.err);
    }
    if (!reading.next) {
        return 1;
    }
    lua_pushinteger(L, reading.next);
    return 2;
}

static const luaL_Reg functions[] = {{"executions", executions}, {NULL, NULL}};

int hob_lua_open_store(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
