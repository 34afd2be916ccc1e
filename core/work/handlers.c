#include "base/alloc.h"
#include "work/handlers_parts.h"

#include "base/clock.h"
#include "work/native.h"
#include "work/sandbox.h"
#include "work/sandbox_kit.h"
#include "work/scripts_dirs.h"

#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>

/* ---- one file ---- */

/* In a throw-away sandbox: compile, run the file, look at the table it returns. */
static int check_source(lua_State *L)
{
    struct hob_handlers_entry *handler = lua_touserdata(L, 1);
    char chunk[PATH_MAX + 2];
    snprintf(chunk, sizeof chunk, "@%s", handler->path);
    if (luaL_loadbufferx(L, handler->source, handler->source_len, chunk, "t") != LUA_OK) {
        return lua_error(L);
    }
    lua_call(L, 0, 1);
    hob_sandbox_require(L, "hob.job.contract");
    lua_getfield(L, -1, "check");
    lua_pushvalue(L, -3);
    lua_call(L, 1, 1);
    if (lua_isstring(L, -1)) {
        return luaL_error(L, "%s: %s", handler->path, lua_tostring(L, -1));
    }
    lua_settop(L, 2);
    hob_handlers_read_table(L, 2, handler);
    return 0;
}

static int compile_source(lua_State *L)
{
    const struct hob_script *script = lua_touserdata(L, 1);
    char chunk[PATH_MAX + 2];
    snprintf(chunk, sizeof chunk, "@%s", script->path);
    return luaL_loadbufferx(L, script->text, script->len, chunk, "t") == LUA_OK ? 0 : lua_error(L);
}

static void in_a_sandbox(const struct hob_handlers *handlers, struct hob_scripts_modules *modules,
                         lua_CFunction fn, void *arg, struct hob_error *err)
{
    struct hob_sandbox *sandbox = NULL;
    struct hob_sandbox_options options = {.loop = handlers->loop,
                                          .log = handlers->log,
                                          .policy = handlers->policy,
                                          .native = handlers->native,
                                          .modules = modules,
                                          .script_lib = handlers->script_lib,
                                          .lib = handlers->lib,
                                          .kit = handlers->kit};
    if (hob_sandbox_new(&options, &sandbox, err)) {
        return;
    }
    hob_sandbox_call(sandbox, fn, arg, err);
    hob_sandbox_free(sandbox);
}

/* Not every error has a place in a file: that of a raised table, of compiled code. */
static void name_file(struct hob_handlers_entry *handler)
{
    struct hob_error err = handler->error;
    if (err.code && !strstr(err.message, ".lua:")) {
        hob_error_set(&handler->error, err.code, "%s: %s", handler->path, err.message);
    }
}

void hob_handlers_check(const struct hob_handlers *handlers, struct hob_handlers_entry *handler)
{
    if (handler != &handlers->steps && strcmp(handler->name, HOB_HANDLERS_STEPS) == 0) {
        hob_error_set(&handler->error, HOB_EHANDLER,
                      "%s: the name %s is that of the built-in handler; give the file another one",
                      handler->path, handler->name);
    }
    if (!handler->error.code) { /* it could be read */
        in_a_sandbox(handlers, handler->modules, check_source, handler, &handler->error);
        name_file(handler);
    }
}

void hob_handlers_compile(const struct hob_handlers *handlers, struct hob_script *script)
{
    in_a_sandbox(handlers, NULL, compile_source, script, &script->error);
}

/* ---- life ---- */

static int load_builtin(struct hob_handlers *handlers, struct hob_error *err)
{
    struct hob_handlers_entry *steps = &handlers->steps;
    char path[PATH_MAX];
    snprintf(steps->name, sizeof steps->name, HOB_HANDLERS_STEPS);
    snprintf(path, sizeof path, "%s/hob/steps.lua", handlers->lib);
    struct hob_script *script = hob_script_read(path, HOB_HANDLERS_STEPS);
    if (!script) {
        return hob_error_set(err, HOB_ENOMEM, "loading handlers: out of memory");
    }
    hob_handlers_set_script(steps, script, NULL);
    hob_handlers_check(handlers, steps);
    steps->loaded_at = hob_clock_wall_ms() / 1000;
    return steps->error.code ? hob_error_set(err, steps->error.code, "%s", steps->error.message)
                             : 0;
}

int hob_handlers_new(const struct hob_handlers_options *options, struct hob_handlers **out,
                     struct hob_error *err)
{
    struct hob_handlers *handlers = hob_calloc(1, sizeof *handlers);
    if (!handlers) {
        return hob_error_set(err, HOB_ENOMEM, "loading handlers: out of memory");
    }
    handlers->loop = options->loop;
    handlers->log = options->log;
    handlers->scripts = hob_strdup(options->scripts);
    handlers->lib = hob_strdup(options->lib);
    handlers->job_types = options->job_types;
    handlers->routes = options->routes;
    handlers->policy = options->policy;
    handlers->native = options->native;
    handlers->on_reloaded = options->on_reloaded;
    handlers->user = options->user;
    handlers->script_lib = hob_scripts_dirs_lib(options->scripts);
    handlers->directory = hob_scripts_dirs_first(options->scripts);
    int rc = 0;
    handlers->words = hob_scripts_dirs_words(options->scripts);
    if (!handlers->script_lib || !handlers->directory || !handlers->words || !handlers->scripts ||
        !handlers->lib) {
        rc = hob_error_set(err, HOB_ENOMEM, "loading handlers: out of memory");
    }
    rc = rc ? rc : hob_sandbox_kit_new(&handlers->kit, err);
    if (rc == 0) {
        hob_sandbox_kit_read(handlers->kit, handlers->lib);
        rc = load_builtin(handlers, err);
    }
    if (rc) {
        hob_handlers_free(handlers);
        return rc;
    }
    *out = handlers;
    return 0;
}

void hob_handlers_free(struct hob_handlers *handlers)
{
    if (!handlers) {
        return;
    }
    for (size_t i = 0; i < handlers->count; i++) {
        hob_handlers_free_handler(&handlers->list[i]);
    }
    hob_free(handlers->list);
    hob_handlers_free_handler(&handlers->steps);
    hob_scripts_modules_release(handlers->modules);
    hob_scripts_modules_release(handlers->broken);
    hob_scripts_look_free(handlers->loaded);
    hob_sandbox_kit_release(handlers->kit);
    hob_free(handlers->scripts);
    hob_free(handlers->script_lib);
    hob_free(handlers->directory);
    hob_free(handlers->words);
    hob_free(handlers->lib);
    hob_free(handlers->warned);
    hob_free(handlers);
}

size_t hob_handlers_count(const struct hob_handlers *handlers)
{
    return handlers->count + hob_native_handler_count(handlers->native);
}

struct hob_native *hob_handlers_native(const struct hob_handlers *handlers)
{
    return handlers ? handlers->native : NULL;
}

struct hob_sandbox_kit *hob_handlers_kit(const struct hob_handlers *handlers)
{
    return handlers ? handlers->kit : NULL;
}

const char *hob_handlers_directory(const struct hob_handlers *handlers)
{
    return handlers->directory;
}

const char *hob_handlers_scripts(const struct hob_handlers *handlers)
{
    return handlers->scripts;
}

const char *hob_handlers_shadowed(const struct hob_handlers *handlers,
                                  const struct hob_handlers_entry *handler)
{
    const struct hob_scripts_file *file =
        handler->path ? hob_scripts_find(handlers->loaded, handler->path) : NULL;
    const struct hob_scripts_file *beneath =
        file ? hob_scripts_beneath(handlers->loaded, file) : NULL;
    return beneath ? beneath->path : NULL;
}

bool hob_handlers_is_watched(const struct hob_handlers *handlers)
{
    return handlers->watched;
}

const char *hob_handlers_script_lib(const struct hob_handlers *handlers)
{
    return handlers->script_lib;
}

const char *hob_handlers_lib(const struct hob_handlers *handlers)
{
    return handlers->lib;
}

const struct hob_handlers_entry *hob_handlers_at(const struct hob_handlers *handlers, size_t index)
{
    size_t native = hob_native_handler_count(handlers->native);
    if (index < native) {
        return hob_native_handler_at(handlers->native, index);
    }
    return index - native < handlers->count ? &handlers->list[index - native] : NULL;
}

struct hob_scripts_modules *hob_handlers_modules(const struct hob_handlers *handlers)
{
    return handlers->modules;
}

const struct hob_script *hob_handlers_broken_module(const struct hob_handlers *handlers,
                                                    size_t index)
{
    const struct hob_scripts_modules *broken = handlers->broken;
    return broken && index < broken->count ? broken->list[index] : NULL;
}

/* ---- all of it now ---- */

/* Somebody writes it just now: the watch reads it when that has ended. */
static bool is_unfinished(void *user, const struct hob_scripts_file *now)
{
    const struct hob_scripts_file *before = hob_scripts_find(user, now->path);
    return before && !hob_scripts_same_stamp(now, before) &&
           hob_scripts_is_being_written(now->path);
}

static void say_loaded(const struct hob_handlers *handlers, size_t left_out)
{
    size_t broken = 0;
    for (size_t i = 0; i < handlers->count; i++) {
        broken += handlers->list[i].error.code || handlers->list[i].refused.code;
    }
    char more[160] = "";
    size_t native = hob_native_handler_count(handlers->native);
    if (native) {
        snprintf(more, sizeof more, "; and %zu of the product's own, in C", native);
    }
    if (left_out) {
        size_t len = strlen(more);
        snprintf(more + len, sizeof more - len, "; %zu files beyond the first %d are left out",
                 left_out, HOB_SCRIPTS_FILES_MAX);
    }
    hob_log_event(handlers->log, left_out ? HOB_LOG_WARN : HOB_LOG_INFO, "handlers.loaded",
                  "%zu handler%s in %s, %zu broken%s", handlers->count,
                  handlers->count == 1 ? "" : "s", handlers->words, broken, more);
}

int hob_handlers_load(struct hob_handlers *handlers, struct hob_error *err)
{
    struct hob_scripts_look *look = NULL;
    struct hob_handlers_round *round = NULL;
    int rc = hob_scripts_look(handlers->scripts, &look, err);
    if (rc) {
        return rc;
    }
    size_t left_out = look->left_out;
    if (handlers->watched) {
        hob_scripts_keep(look, handlers->loaded, is_unfinished, handlers->loaded);
    }
    rc = hob_handlers_round_new(handlers, look, true, &round, err);
    if (rc) {
        return rc;
    }
    while (hob_handlers_round_check(round)) {
    }
    rc = hob_handlers_round_finish(round, err);
    if (rc == 0) {
        say_loaded(handlers, left_out);
    }
    return rc;
}
