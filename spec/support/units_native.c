/* units_native.c - what a product has registered in C, without a runtime around it. */
#include "units.h"

#include "base/log.h"
#include "host/paths.h"
#include "work/handlers.h"
#include "work/native.h"
#include "work/sandbox.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define CLASS         "hob_units.native"
#define FUNCTIONS_MAX 8

struct view {
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_native *native;
    unsigned inside;
    char lib[PATH_MAX];
};

static struct view *check_view(lua_State *L)
{
    return luaL_checkudata(L, 1, CLASS);
}

static int view_gc(lua_State *L)
{
    struct view *view = check_view(L);
    hob_loop_free(view->loop);
    hob_native_free(view->native);
    hob_log_close(view->log);
    *view = (struct view){0};
    return 0;
}

/** new(log file) */
static int native_new(lua_State *L)
{
    struct hob_error err = {0};
    struct hob_log_options log = {.target = luaL_checkstring(L, 1), .level = HOB_LOG_DEBUG};
    struct view *view = lua_newuserdatauv(L, sizeof *view, 0);
    *view = (struct view){0};
    luaL_setmetatable(L, CLASS);
    hob_paths_lib(view->lib, sizeof view->lib, NULL);
    int rc = hob_loop_new(&view->loop, &err);
    rc = rc ? rc : hob_log_open(&log, &view->log, &err);
    struct hob_native_options options = {
        .loop = view->loop, .log = view->log, .lib = view->lib, .inside = &view->inside};
    rc = rc ? rc : hob_native_new(&options, &view->native, &err);
    return rc ? hob_units_fail(L, &err) : 1;
}

/* ---- registering ---- */

static void run(void *user, struct hob_run *run) {}

static void fn(void *user, struct hob_call *call)
{
    hob_call_finish(call);
}

static const char *text_member(lua_State *L, const char *name)
{
    lua_getfield(L, 2, name);
    return lua_tostring(L, -1); /* the table keeps it */
}

static double number_member(lua_State *L, const char *name)
{
    lua_getfield(L, 2, name);
    return lua_tonumber(L, -1);
}

/** handler{name, description, args, timeout_s, max_runs, without_run, size, newer} -> true | nil,
 * message, code. `newer`: the last byte of a later version's struct */
static int view_handler(lua_State *L)
{
    struct view *view = check_view(L);
    struct hob_error err = {0};
    struct {
        struct hob_handler handler;
        char newer[64]; /* of a later version */
    } given = {.handler = {.size = sizeof given.handler, .run = run}};
    struct hob_handler *handler = &given.handler;
    handler->name = text_member(L, "name");
    handler->description = text_member(L, "description");
    handler->args = text_member(L, "args");
    handler->timeout_s = number_member(L, "timeout_s");
    handler->max_runs = (int)number_member(L, "max_runs");
    handler->run = text_member(L, "without_run") ? NULL : run;
    if (text_member(L, "newer")) {
        handler->size = sizeof given;
        given.newer[sizeof given.newer - 1] = (char)number_member(L, "newer");
    }
    handler->size = text_member(L, "size") ? (size_t)number_member(L, "size") : handler->size;
    int rc = hob_native_add_handler(view->native, handler, &err);
    return rc ? hob_units_fail(L, &err) : hob_units_result(L, 0);
}

/** module(name, list of functions' names) -> true | nil, message, code */
static int view_module(lua_State *L)
{
    struct view *view = check_view(L);
    struct hob_error err = {0};
    struct hob_function functions[FUNCTIONS_MAX + 1] = {{NULL, NULL}};
    for (int i = 0; i < FUNCTIONS_MAX && lua_rawgeti(L, 3, i + 1) == LUA_TSTRING; i++) {
        functions[i] = (struct hob_function){lua_tostring(L, -1), fn};
    }
    struct hob_module module = {
        .size = sizeof module, .name = luaL_optstring(L, 2, NULL), .functions = functions};
    int rc = hob_native_add_module(view->native, &module, &err);
    return rc ? hob_units_fail(L, &err) : hob_units_result(L, 0);
}

/* ---- using it ---- */

/** source(handler's name) -> text, path, digest | nil */
static int view_source(lua_State *L)
{
    const struct hob_handlers_entry *entry =
        hob_native_find_handler(check_view(L)->native, luaL_checkstring(L, 2));
    if (!entry) {
        return 0;
    }
    lua_pushlstring(L, entry->source, entry->source_len);
    lua_pushstring(L, entry->path);
    lua_pushstring(L, entry->digest);
    return 3;
}

static void push_list(lua_State *L, const struct hob_handlers *handlers)
{
    lua_newtable(L);
    for (size_t i = 0; i < hob_handlers_count(handlers); i++) {
        const struct hob_handlers_entry *entry = hob_handlers_at(handlers, i);
        lua_createtable(L, 0, 3);
        lua_pushstring(L, entry->name);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, entry->path);
        lua_setfield(L, -2, "path");
        lua_pushstring(L, entry->error.message);
        lua_setfield(L, -2, "error");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static void push_choice(lua_State *L, struct hob_handlers *handlers, const char *document)
{
    struct hob_error err = {0};
    struct hob_json *json = NULL;
    const struct hob_handlers_entry *handler = NULL;
    if (!hob_json_new(&json, &err) && !hob_json_parse(json, document, strlen(document), &err)) {
        handler = hob_handlers_choose(handlers, json, &err);
    }
    lua_pushstring(L, handler ? handler->path : err.message);
    hob_json_free(json);
}

/** load(directory, document, times) -> list of {name, path, error}, path of the chosen one */
static int view_load(lua_State *L)
{
    struct view *view = check_view(L);
    struct hob_error err = {0};
    struct hob_handlers *handlers = NULL;
    struct hob_handlers_options options = {.loop = view->loop,
                                           .log = view->log,
                                           .native = view->native,
                                           .scripts = luaL_checkstring(L, 2),
                                           .lib = view->lib};
    int rc = hob_handlers_new(&options, &handlers, &err);
    rc = rc ? rc : hob_handlers_load(handlers, &err);
    if (rc) {
        hob_handlers_free(handlers);
        return hob_units_fail(L, &err);
    }
    push_list(L, handlers);
    push_choice(L, handlers, luaL_checkstring(L, 3));
    hob_handlers_free(handlers);
    return 2;
}

/** try(directory, name) -> true | nil, message, code: would a file of that name be of use? */
static int view_try(lua_State *L)
{
    struct view *view = check_view(L);
    static const char text[] = "return { api = 1, run = function() end }";
    struct hob_error err = {0};
    struct hob_handlers *handlers = NULL;
    struct hob_handlers_options options = {.loop = view->loop,
                                           .log = view->log,
                                           .native = view->native,
                                           .scripts = luaL_checkstring(L, 2),
                                           .lib = view->lib};
    struct hob_handlers_trial trial = {
        .name = luaL_checkstring(L, 3), .text = text, .len = sizeof text - 1};
    int rc = hob_handlers_new(&options, &handlers, &err);
    rc = rc ? rc : hob_handlers_load(handlers, &err);
    rc = rc ? rc : hob_handlers_try(handlers, &trial, &err);
    hob_handlers_free(handlers);
    return rc ? hob_units_fail(L, &err) : hob_units_result(L, 0);
}

int hob_units_open_native(lua_State *L)
{
    static const luaL_Reg methods[] = {{"handler", view_handler}, {"module", view_module},
                                       {"source", view_source},   {"load", view_load},
                                       {"try", view_try},         {NULL, NULL}};
    static const luaL_Reg functions[] = {{"new", native_new}, {NULL, NULL}};
    hob_units_class(L, CLASS, methods, view_gc);
    lua_newtable(L);
    hob_units_unit(L, "native", functions);
    return 1;
}
