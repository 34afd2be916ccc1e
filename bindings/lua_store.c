/* lua_store.c - hob.store: what a gateway's store knows, while no gateway has it open. Only for
 * reading, and for Hob's own commands. */
#include "bindings.h"

#include "base/json.h"
#include "work/history.h"
#include "work/journal_view.h"
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

/* ---- a journal ---- */

#define JOURNAL_MAX (8 * 1024 * 1024)

static int keep_step(void *user, const char *step, size_t len)
{
    struct hob_buf *all = user;
    int rc = hob_buf_append_string(all, hob_buf_len(all) ? ",\n" : "");
    return rc ? rc : hob_buf_append(all, step, len);
}

static int read_journal(struct reading *reading, const char *job, const char *thing,
                        int64_t execution, struct hob_buf *head, struct hob_buf *steps)
{
    struct hob_journal_view_head whose;
    int64_t row = hob_journal_view_find(reading->store, job, thing, execution, &reading->err);
    if (row < 0) {
        return (int)row;
    }
    int rc = hob_journal_view_head(reading->store, row, head, &whose, &reading->err);
    return rc ? rc : hob_journal_view_steps(reading->store, row, keep_step, steps, &reading->err);
}

/** journal(path, job [, thing [, execution]]) -> JSON text { journal = {...}, steps = {...} } |
 * nil, message, code; see work/journal_view.h */
static int journal(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1), *job = luaL_checkstring(L, 2);
    const char *thing = luaL_optstring(L, 3, NULL);
    int64_t execution = luaL_optinteger(L, 4, 0);
    struct reading reading = {0};
    struct hob_buf *head = hob_lua_push_buf(L, LINE_LIMIT);
    struct hob_buf *steps = hob_lua_push_buf(L, JOURNAL_MAX);
    open_it(&reading, L, path);
    if (reading.rc == 0) {
        reading.rc = read_journal(&reading, job, thing, execution, head, steps);
    }
    hob_json_free(reading.json);
    hob_store_close(reading.store);
    if (reading.rc) {
        return hob_lua_fail(L, &reading.err);
    }
    lua_pushliteral(L, "{\"journal\":{");
    lua_pushlstring(L, hob_buf_data(head), hob_buf_len(head));
    lua_pushliteral(L, "},\"steps\":[\n");
    lua_pushlstring(L, hob_buf_len(steps) ? hob_buf_data(steps) : "", hob_buf_len(steps));
    lua_pushliteral(L, "]}");
    lua_concat(L, 5);
    return 1;
}

static const luaL_Reg functions[] = {
    {"executions", executions}, {"journal", journal}, {NULL, NULL}};

int hob_lua_open_store(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
