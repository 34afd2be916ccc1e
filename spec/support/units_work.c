/* units_work.c - the sandbox and the handlers' directory, for specs that have no job. */
#include "units.h"

#include "base/log.h"
#include "host/paths.h"
#include "work/handlers.h"
#include "work/job_plain.h"
#include "work/requires.h"
#include "work/sandbox.h"
#include "work/sandbox_kit.h"

#include <limits.h>
#include <string.h>

struct evaluation {
    const char *code;
    char result[1024];
};

static int evaluate(lua_State *L)
{
    struct evaluation *evaluation = lua_touserdata(L, 1);
    if (luaL_loadbufferx(L, evaluation->code, strlen(evaluation->code), "=code", "t")) {
        return lua_error(L);
    }
    lua_call(L, 0, 1);
    snprintf(evaluation->result, sizeof evaluation->result, "%s", luaL_tolstring(L, -1, NULL));
    return 0;
}

/** sandbox(code, {memory=, lib=}) -> result as text | nil, message */
static int sandbox_eval(lua_State *L)
{
    struct evaluation evaluation = {.code = luaL_checkstring(L, 1)};
    struct hob_error err = {0};
    struct hob_loop *loop = NULL;
    struct hob_sandbox *sandbox = NULL;
    char lib[PATH_MAX] = "lib";
    hob_paths_lib(lib, sizeof lib, NULL);
    size_t memory = (size_t)luaL_optinteger(L, 2, 0);
    int rc = hob_loop_new(&loop, &err);
    struct hob_sandbox_options options = {
        .loop = loop, .lib = lib, .script_lib = luaL_optstring(L, 3, NULL), .memory_bytes = memory};
    rc = rc ? rc : hob_sandbox_new(&options, &sandbox, &err);
    rc = rc ? rc : hob_sandbox_call(sandbox, evaluate, &evaluation, &err);
    hob_sandbox_free(sandbox);
    hob_loop_free(loop);
    if (rc) {
        lua_pushnil(L);
        lua_pushstring(L, err.message);
        return 2;
    }
    lua_pushstring(L, evaluation.result);
    return 1;
}

#define SANDBOXES_MAX 8

/* Each code of the list at 1 in a state of its own. */
static int evaluate_each(lua_State *L, struct hob_sandbox **sandboxes, struct hob_error *err)
{
    lua_newtable(L);
    for (int i = 0; sandboxes[i]; i++) {
        lua_rawgeti(L, 1, i + 1);
        struct evaluation evaluation = {.code = lua_tostring(L, -1)};
        int rc = hob_sandbox_call(sandboxes[i], evaluate, &evaluation, err);
        if (rc) {
            return rc;
        }
        lua_pop(L, 1);
        lua_pushstring(L, evaluation.result);
        lua_rawseti(L, -2, i + 1);
    }
    return 0;
}

/** sandboxes({code...}, lib, go) -> {result...} | nil, message: all there at once, made from one
 * kit; the codes run in their order. With `lib` the kit has read that directory before go() is
 * called. */
static int sandboxes_eval(lua_State *L)
{
    struct hob_error err = {0};
    struct hob_loop *loop = NULL;
    struct hob_sandbox_kit *kit = NULL;
    struct hob_sandbox *sandboxes[SANDBOXES_MAX + 1] = {0};
    char lib[PATH_MAX] = "lib";
    size_t count = lua_rawlen(L, 1);
    luaL_argcheck(L, count <= SANDBOXES_MAX, 1, "too many");
    if (lua_isstring(L, 2)) {
        snprintf(lib, sizeof lib, "%s", lua_tostring(L, 2));
    } else {
        hob_paths_lib(lib, sizeof lib, NULL);
    }
    int rc = hob_loop_new(&loop, &err);
    rc = rc ? rc : hob_sandbox_kit_new(&kit, &err);
    if (rc == 0 && lua_isfunction(L, 3)) {
        hob_sandbox_kit_read(kit, lib);
        lua_settop(L, 3);
        lua_call(L, 0, 0);
    }
    struct hob_sandbox_options options = {.loop = loop, .lib = lib, .kit = kit};
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = hob_sandbox_new(&options, &sandboxes[i], &err);
    }
    hob_sandbox_kit_release(kit); /* they hold it */
    rc = rc ? rc : evaluate_each(L, sandboxes, &err);
    for (size_t i = 0; i < count; i++) {
        hob_sandbox_free(sandboxes[i]);
    }
    hob_loop_free(loop);
    if (rc) {
        lua_pushnil(L);
        lua_pushstring(L, err.message);
        return 2;
    }
    return 1;
}

/** plain(handler, document) -> document, args | nothing */
static int plain_prepare(lua_State *L)
{
    size_t len;
    const char *document = luaL_checklstring(L, 2, &len);
    return hob_job_plain_prepare(L, 1, document, len) ? 2 : 0;
}

static void push_choice(lua_State *L, struct hob_handlers *handlers, const char *document)
{
    struct hob_error err = {0};
    struct hob_json *json = NULL;
    const struct hob_handlers_entry *handler = NULL;
    if (!hob_json_new(&json, &err) && !hob_json_parse(json, document, strlen(document), &err)) {
        handler = hob_handlers_choose(handlers, json, &err);
    }
    if (handler && !handler->error.code) {
        lua_pushstring(L, handler->name);
        lua_pushstring(L, handler->digest);
    } else {
        lua_pushnil(L);
        lua_pushstring(L, handler ? handler->error.message : err.message);
    }
    hob_json_free(json);
}

#define WORDS_MAX 16

/* A list of texts, NULL-terminated; borrowed from the table. NULL: there is none. */
static const char *const *words_at(lua_State *L, int index, const char *words[WORDS_MAX + 1])
{
    size_t count = 0;
    if (!lua_istable(L, index)) {
        return NULL;
    }
    for (; count < WORDS_MAX && lua_rawgeti(L, index, (lua_Integer)count + 1) == LUA_TSTRING;
         count++) {
        words[count] = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    lua_settop(L, 4);
    words[count] = NULL;
    return words;
}

/** handlers(directory, document, routes, job_types) -> name, digest | nil, message; the last two
 * are lists and may be nil */
static int handlers_choose(lua_State *L)
{
    const char *routes[WORDS_MAX + 1], *types[WORDS_MAX + 1];
    lua_settop(L, 4);
    struct hob_error err = {0};
    struct hob_loop *loop = NULL;
    struct hob_handlers *handlers = NULL;
    char lib[PATH_MAX] = "lib";
    hob_paths_lib(lib, sizeof lib, NULL);
    int rc = hob_loop_new(&loop, &err);
    struct hob_handlers_options options = {.loop = loop,
                                           .scripts = luaL_checkstring(L, 1),
                                           .lib = lib,
                                           .routes = words_at(L, 3, routes),
                                           .job_types = words_at(L, 4, types)};
    rc = rc ? rc : hob_handlers_new(&options, &handlers, &err);
    rc = rc ? rc : hob_handlers_load(handlers, &err);
    if (rc) {
        lua_pushnil(L);
        lua_pushstring(L, err.message);
    } else {
        push_choice(L, handlers, luaL_checkstring(L, 2));
    }
    hob_handlers_free(handlers);
    hob_loop_free(loop);
    return 2;
}

/** requires(what contract.requirements gives, now_ms, queued_at, directory) -> verdict, reason,
 * until_ms */
static int requires_judge(lua_State *L)
{
    static const char *const verdicts[] = {[HOB_REQUIRES_MET] = "met",
                                           [HOB_REQUIRES_NOT_YET] = "waits",
                                           [HOB_REQUIRES_NEVER] = "refused",
                                           [HOB_REQUIRES_TOO_OLD] = "too old"};
    struct hob_requires requires;
    struct hob_requires_judgement judgement;
    struct hob_requires_facts facts = {.now_ms = luaL_checkinteger(L, 2),
                                       .queued_at_s = luaL_checkinteger(L, 3),
                                       .directory = luaL_checkstring(L, 4)};
    hob_requires_read(L, 1, &requires);
    hob_requires_judge(&requires, &facts, &judgement);
    lua_pushstring(L, verdicts[judgement.verdict]);
    lua_pushstring(L, judgement.reason);
    lua_pushinteger(L, judgement.until_ms);
    return 3;
}

int hob_units_open_work(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"sandbox", sandbox_eval},     {"sandboxes", sandboxes_eval}, {"plain", plain_prepare},
        {"handlers", handlers_choose}, {"requires", requires_judge},  {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
