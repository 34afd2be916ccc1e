/* sandbox_kit.c - the language, see sandbox_kit.h; the code is in sandbox_code.c */
#include "work/sandbox_kit.h"

#include "base/alloc.h"
#include "base/random.h"
#include "work/sandbox_code.h"
#include "work/sandbox_globals.h"
#include "work/task.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARIES_MAX 10
#define BASE          LUA_GNAME
#define OF_STRINGS    "\"\"" /* the metatable of strings, among the libraries */

struct item {
    char *name;
    int type; /* as lua_type says */
    bool is_integer;
    bool has_state; /* a function that shares a userdata with others of its library */
    lua_CFunction fn;
    lua_Integer integer;
    lua_Number number;
    char *text; /* of any bytes: utf8.charpattern has a zero in it */
    size_t len;
};

struct library {
    char *name;
    struct item *items; /* by name */
    size_t count;
    size_t state_size; /* of the userdata; 0: none */
};

struct hob_sandbox_kit {
    unsigned holders;
    struct library libraries[LIBRARIES_MAX];
    size_t count;
    uint64_t seed; /* for the next state's math.random */
    struct hob_sandbox_code *code;
};

/* ---- read from a template ---- */

static int not_expected(lua_State *L, const char *library, const char *what)
{
    return luaL_error(L, "%s has %s", library, what);
}

static char *copy(lua_State *L, const char *text)
{
    char *made = hob_strdup(text);
    return made ? made : (luaL_error(L, "out of memory"), NULL);
}

/* The text on top. */
static void take_text(lua_State *L, struct item *item)
{
    const char *text = lua_tolstring(L, -1, &item->len);
    item->text = hob_malloc(item->len + 1);
    if (!item->text) {
        luaL_error(L, "out of memory");
        return; /* never: for who reads, as in the next ones */
    }
    memcpy(item->text, text, item->len + 1);
}

static void take_function(lua_State *L, struct library *library, struct item *item)
{
    item->fn = lua_tocfunction(L, -1);
    if (!item->fn) {
        not_expected(L, library->name, "a function in Lua");
    }
    if (lua_getupvalue(L, -1, 1)) {
        item->has_state = lua_type(L, -1) == LUA_TUSERDATA;
        library->state_size = lua_rawlen(L, -1);
        if (!item->has_state || lua_getupvalue(L, -2, 2)) {
            not_expected(L, library->name, "a function with upvalues");
        }
        lua_pop(L, 1);
    }
}

/* The value on top. */
static void take_value(lua_State *L, struct library *library, struct item *item)
{
    switch (item->type) {
    case LUA_TFUNCTION:
        take_function(L, library, item);
        break;
    case LUA_TNUMBER:
        item->is_integer = lua_isinteger(L, -1);
        item->integer = item->is_integer ? lua_tointeger(L, -1) : 0;
        item->number = lua_tonumber(L, -1);
        break;
    case LUA_TSTRING:
        take_text(L, item);
        break;
    default:
        not_expected(L, library->name, luaL_typename(L, -1));
    }
}

static size_t count_items(lua_State *L)
{
    size_t count = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        count += lua_type(L, -1) != LUA_TTABLE;
    }
    return count;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

/* The table on top, which is popped; the tables in it are libraries themselves. */
static void take_library(lua_State *L, struct hob_sandbox_kit *kit, const char *name)
{
    if (kit->count == LIBRARIES_MAX) {
        luaL_error(L, "too many libraries");
        return;
    }
    struct library *library = &kit->libraries[kit->count++];
    library->name = copy(L, name);
    library->items = hob_calloc(count_items(L), sizeof *library->items);
    if (!library->items) {
        luaL_error(L, "out of memory");
        return;
    }
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (lua_type(L, -1) != LUA_TTABLE) {
            struct item *item = &library->items[library->count++];
            item->type = lua_type(L, -1);
            item->name = copy(L, lua_tostring(L, -2));
            take_value(L, library, item);
        }
    }
    qsort(library->items, library->count, sizeof *library->items, by_name);
    lua_pop(L, 1);
}

static int read_template(lua_State *L)
{
    struct hob_sandbox_kit *kit = lua_touserdata(L, 1);
    hob_sandbox_open_globals(L);
    hob_scheduler_install(L);
    lua_pushglobaltable(L);
    take_library(L, kit, BASE);
    lua_pushglobaltable(L);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (lua_type(L, -1) == LUA_TTABLE && strcmp(lua_tostring(L, -2), BASE) != 0) {
            lua_pushvalue(L, -1);
            take_library(L, kit, lua_tostring(L, -3));
        }
    }
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    take_library(L, kit, OF_STRINGS);
    return 0;
}

static int fill(struct hob_sandbox_kit *kit, struct hob_error *err)
{
    kit->code = hob_sandbox_code_new();
    lua_State *L = kit->code ? hob_alloc_lua_state() : NULL;
    if (!L) {
        return hob_error_set(err, HOB_ENOMEM, "sandbox: out of memory");
    }
    int rc = 0;
    lua_pushcfunction(L, read_template);
    lua_pushlightuserdata(L, kit);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        rc = hob_error_set(err, HOB_ENOMEM, "sandbox: %s", lua_tostring(L, -1));
    }
    lua_close(L);
    return rc;
}

/* ---- life ---- */

int hob_sandbox_kit_new(struct hob_sandbox_kit **out, struct hob_error *err)
{
    struct hob_sandbox_kit *kit = hob_calloc(1, sizeof *kit);
    if (!kit) {
        return hob_error_set(err, HOB_ENOMEM, "sandbox: out of memory");
    }
    kit->holders = 1;
    kit->seed = hob_random_u64();
    int rc = fill(kit, err);
    if (rc) {
        hob_sandbox_kit_release(kit);
        return rc;
    }
    *out = kit;
    return 0;
}

struct hob_sandbox_kit *hob_sandbox_kit_hold(struct hob_sandbox_kit *kit)
{
    if (kit) {
        kit->holders++;
    }
    return kit;
}

static void free_library(struct library *library)
{
    for (size_t i = 0; i < library->count; i++) {
        hob_free(library->items[i].name);
        hob_free(library->items[i].text);
    }
    hob_free(library->items);
    hob_free(library->name);
}

void hob_sandbox_kit_release(struct hob_sandbox_kit *kit)
{
    if (!kit || --kit->holders > 0) {
        return;
    }
    for (size_t i = 0; i < kit->count; i++) {
        free_library(&kit->libraries[i]);
    }
    hob_sandbox_code_free(kit->code);
    hob_free(kit);
}

/* ---- into a state ---- */

/* `state`: index of the library's userdata, if it has one. */
static void push_item(lua_State *L, const struct item *item, int state)
{
    if (item->type == LUA_TSTRING) {
        lua_pushlstring(L, item->text, item->len);
    } else if (item->type != LUA_TFUNCTION) {
        item->is_integer ? lua_pushinteger(L, item->integer) : lua_pushnumber(L, item->number);
    } else if (item->has_state) {
        lua_pushvalue(L, state);
        lua_pushcclosure(L, item->fn, 1);
    } else {
        lua_pushcfunction(L, item->fn);
    }
}

static void set_items(lua_State *L, const struct library *library, int state)
{
    for (size_t i = 0; i < library->count; i++) {
        push_item(L, &library->items[i], state);
        lua_setfield(L, -2, library->items[i].name);
    }
}

/* Each state's numbers are others. */
static void seed(lua_State *L, struct hob_sandbox_kit *kit)
{
    if (lua_getfield(L, -1, "randomseed") != LUA_TFUNCTION) {
        lua_pop(L, 1);
        return;
    }
    kit->seed += UINT64_C(0x9e3779b97f4a7c15);
    lua_pushinteger(L, (lua_Integer)kit->seed);
    lua_pushinteger(L, (lua_Integer)(uintptr_t)L);
    lua_call(L, 2, 0);
}

/* Push the table. */
static void make_library(lua_State *L, struct hob_sandbox_kit *kit, const struct library *library)
{
    lua_createtable(L, 0, (int)library->count + 1);
    if (!library->state_size) {
        set_items(L, library, 0);
        return;
    }
    void *state = lua_newuserdatauv(L, library->state_size, 0);
    memset(state, 0, library->state_size);
    int index = lua_gettop(L);
    lua_pushvalue(L, index - 1);
    set_items(L, library, index);
    seed(L, kit);
    lua_settop(L, index - 1);
}

static void open_strings(lua_State *L, struct hob_sandbox_kit *kit, const struct library *library)
{
    lua_pushliteral(L, "");
    make_library(L, kit, library);
    lua_getglobal(L, LUA_STRLIBNAME);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

/* Stack: the table of what is loaded. */
static void open_library(lua_State *L, struct hob_sandbox_kit *kit, const struct library *library)
{
    make_library(L, kit, library);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, library->name);
    lua_setglobal(L, library->name);
}

static void open_base(lua_State *L, const struct library *library)
{
    lua_pushglobaltable(L);
    set_items(L, library, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, BASE);
    lua_setfield(L, -2, BASE);
}

void hob_sandbox_kit_open(struct hob_sandbox_kit *kit, lua_State *L)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    for (size_t i = 0; i < kit->count; i++) {
        const struct library *library = &kit->libraries[i];
        if (strcmp(library->name, BASE) == 0) {
            open_base(L, library);
        } else if (strcmp(library->name, OF_STRINGS) != 0) {
            open_library(L, kit, library);
        }
    }
    lua_pop(L, 1);
    open_strings(L, kit, &kit->libraries[kit->count - 1]);
}

/* ---- the language, for code that comes later ---- */

static const struct library *find_library(const struct hob_sandbox_kit *kit, const char *name)
{
    for (size_t i = 0; i < kit->count; i++) {
        if (strcmp(kit->libraries[i].name, name) == 0) {
            return &kit->libraries[i];
        }
    }
    return NULL;
}

static int find_in_library(lua_State *L)
{
    const struct library *library = lua_touserdata(L, lua_upvalueindex(1));
    struct item key = {.name = (char *)(uintptr_t)luaL_checkstring(L, 2)};
    const struct item *item =
        bsearch(&key, library->items, library->count, sizeof *library->items, by_name);
    if (!item || item->has_state) {
        return 0; /* a state has one sequence of random numbers */
    }
    push_item(L, item, 0);
    return 1;
}

/* Push a table whose missing fields fn(table, name) finds. */
static void push_found_by(lua_State *L, lua_CFunction fn, const void *user)
{
    lua_createtable(L, 0, 0);
    lua_createtable(L, 0, 1);
    lua_pushlightuserdata(L, (void *)(uintptr_t)user);
    lua_pushcclosure(L, fn, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

static int find_in_language(lua_State *L)
{
    const struct hob_sandbox_kit *kit = lua_touserdata(L, lua_upvalueindex(1));
    const char *name = luaL_checkstring(L, 2);
    const struct library *library = find_library(kit, name);
    if (library) {
        push_found_by(L, find_in_library, library);
        return 1;
    }
    lua_settop(L, 2);
    lua_pushlightuserdata(L, (void *)(uintptr_t)find_library(kit, BASE));
    lua_pushcclosure(L, find_in_library, 1);
    lua_insert(L, 1);
    lua_call(L, 2, 1);
    return 1;
}

void hob_sandbox_kit_push_language(struct hob_sandbox_kit *kit, lua_State *L)
{
    push_found_by(L, find_in_language, kit);
}

/* ---- code ---- */

void hob_sandbox_kit_read(struct hob_sandbox_kit *kit, const char *lib)
{
    hob_sandbox_code_read(kit->code, lib);
}

bool hob_sandbox_kit_load(struct hob_sandbox_kit *kit, lua_State *L, const char *path)
{
    return hob_sandbox_code_load(kit->code, L, path);
}
