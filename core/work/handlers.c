#include "work/handlers_parts.h"
#include "work/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE_MAX   (1u << 20)
#define HANDLERS_MAX 1000

/* ---- one file ---- */

static int read_source(struct hob_handler *handler)
{
    FILE *file = fopen(handler->path, "rb");
    if (!file) {
        return hob_error_set(&handler->error, hob_error_from_errno(errno), "%s: %s", handler->path,
                             strerror(errno));
    }
    handler->source = malloc(SOURCE_MAX + 1);
    size_t len = handler->source ? fread(handler->source, 1, SOURCE_MAX + 1, file) : 0;
    int failed = ferror(file);
    fclose(file);
    if (!handler->source || failed || len > SOURCE_MAX) {
        return hob_error_set(&handler->error, HOB_EIO, "%s: %s", handler->path,
                             len > SOURCE_MAX ? "larger than 1 MB" : "cannot be read");
    }
    char *fitted = realloc(handler->source, len + 1);
    handler->source = fitted ? fitted : handler->source;
    handler->source[len] = '\0';
    handler->source_len = len;
    hob_sha256_of(handler->source, len, handler->digest);
    return 0;
}

static void read_aliases(lua_State *L, struct hob_handler *handler)
{
    if (lua_getfield(L, -1, "names") != LUA_TTABLE) {
        return;
    }
    for (int i = 0; i < HOB_HANDLER_ALIASES && lua_rawgeti(L, -1, i + 1) == LUA_TSTRING; i++) {
        snprintf(handler->aliases[i], sizeof handler->aliases[i], "%s", lua_tostring(L, -1));
        lua_pop(L, 1);
    }
}

/* In a throw-away sandbox: compile, run the file, look at the table it returns. */
static int check_source(lua_State *L)
{
    struct hob_handler *handler = lua_touserdata(L, 1);
    char chunk[PATH_MAX + 2];
    snprintf(chunk, sizeof chunk, "@%s", handler->path);
    if (luaL_loadbufferx(L, handler->source, handler->source_len, chunk, "t") != LUA_OK) {
        return lua_error(L);
    }
    lua_call(L, 0, 1);
    hob_sandbox_require(L, "hob.job");
    lua_getfield(L, -1, "check");
    lua_pushvalue(L, -3);
    lua_call(L, 1, 1);
    if (lua_isstring(L, -1)) {
        return luaL_error(L, "%s: %s", handler->path, lua_tostring(L, -1));
    }
    lua_settop(L, 2);
    lua_getfield(L, -1, "rerun");
    handler->rerun = lua_toboolean(L, -1);
    lua_settop(L, 2);
    read_aliases(L, handler);
    return 0;
}

static void load_file(struct hob_handlers *handlers, struct hob_handler *handler)
{
    struct hob_sandbox *sandbox = NULL;
    struct hob_sandbox_options options = {.loop = handlers->loop,
                                          .log = handlers->log,
                                          .script_lib = handlers->script_lib,
                                          .lib = handlers->lib};
    if (read_source(handler) || hob_sandbox_new(&options, &sandbox, &handler->error)) {
        return;
    }
    hob_sandbox_call(sandbox, check_source, handler, &handler->error);
    hob_sandbox_free(sandbox);
}

static void free_handler(struct hob_handler *handler)
{
    free(handler->path);
    free(handler->source);
}

/* ---- the directory ---- */

static int is_handler_file(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && len > 4 && len <= HOB_HANDLER_NAME_MAX + 4 &&
           strcmp(entry->d_name + len - 4, ".lua") == 0 &&
           strspn(entry->d_name, HOB_HANDLERS_NAME_CHARS) == len;
}

static void free_list(struct hob_handler *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free_handler(&list[i]);
    }
    free(list);
}

static void load_entry(struct hob_handlers *handlers, struct hob_handler *handler, const char *file)
{
    snprintf(handler->name, sizeof handler->name, "%.*s", (int)strlen(file) - 4, file);
    if (asprintf(&handler->path, "%s/%s", handlers->scripts, file) < 0) {
        handler->path = NULL;
        hob_error_set(&handler->error, HOB_ENOMEM, "%s: out of memory", file);
        return;
    }
    load_file(handlers, handler);
    if (handler->error.code) {
        hob_log_write(handlers->log,
                      &(struct hob_log_record){.level = HOB_LOG_ERROR,
                                               .event = "handler.broken",
                                               .code = hob_error_name(handler->error.code),
                                               .action = "mend the file and send SIGHUP"},
                      "%s", handler->error.message);
    }
}

static int scan(struct hob_handlers *handlers, struct dirent ***entries, struct hob_error *err)
{
    int count = scandir(handlers->scripts, entries, is_handler_file, alphasort);
    if (count < 0) {
        return hob_error_set(err, hob_error_from_errno(errno), "scripts directory %s: %s",
                             handlers->scripts, strerror(errno));
    }
    return count > HANDLERS_MAX ? HANDLERS_MAX : count;
}

int hob_handlers_load(struct hob_handlers *handlers, struct hob_error *err)
{
    struct dirent **entries = NULL;
    int count = scan(handlers, &entries, err);
    if (count < 0) {
        return count;
    }
    struct hob_handler *list = calloc((size_t)count + 1, sizeof *list);
    int broken = 0;
    for (int i = 0; i < count && list; i++) {
        load_entry(handlers, &list[i], entries[i]->d_name);
        broken += list[i].error.code != 0;
    }
    for (int i = 0; i < count; i++) {
        free(entries[i]);
    }
    free(entries);
    if (!list) {
        return hob_error_set(err, HOB_ENOMEM, "loading handlers: out of memory");
    }
    free_list(handlers->list, handlers->count);
    handlers->list = list;
    handlers->count = (size_t)count;
    hob_log_event(handlers->log, HOB_LOG_INFO, "handlers.loaded", "%d handler%s in %s, %d broken",
                  count, count == 1 ? "" : "s", handlers->scripts, broken);
    return 0;
}

/* ---- life ---- */

static int load_builtin(struct hob_handlers *handlers, struct hob_error *err)
{
    struct hob_handler *steps = &handlers->steps;
    snprintf(steps->name, sizeof steps->name, HOB_HANDLERS_STEPS);
    if (asprintf(&steps->path, "%s/hob/steps.lua", handlers->lib) < 0) {
        steps->path = NULL;
        return hob_error_set(err, HOB_ENOMEM, "loading handlers: out of memory");
    }
    load_file(handlers, steps);
    return steps->error.code ? hob_error_set(err, steps->error.code, "%s", steps->error.message)
                             : 0;
}

int hob_handlers_new(const struct hob_handlers_options *options, struct hob_handlers **out,
                     struct hob_error *err)
{
    struct hob_handlers *handlers = calloc(1, sizeof *handlers);
    if (!handlers) {
        return hob_error_set(err, HOB_ENOMEM, "loading handlers: out of memory");
    }
    handlers->loop = options->loop;
    handlers->log = options->log;
    handlers->scripts = strdup(options->scripts);
    handlers->lib = strdup(options->lib);
    handlers->job_types = options->job_types;
    handlers->routes = options->routes;
    int n = asprintf(&handlers->script_lib, "%s/lib", options->scripts);
    int rc = 0;
    if (n < 0 || !handlers->scripts || !handlers->lib) {
        handlers->script_lib = n < 0 ? NULL : handlers->script_lib;
        rc = hob_error_set(err, HOB_ENOMEM, "loading handlers: out of memory");
    }
    rc = rc ? rc : load_builtin(handlers, err);
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
    free_list(handlers->list, handlers->count);
    free_handler(&handlers->steps);
    free(handlers->scripts);
    free(handlers->script_lib);
    free(handlers->lib);
    free(handlers);
}

size_t hob_handlers_count(const struct hob_handlers *handlers)
{
    return handlers->count;
}

const char *hob_handlers_script_lib(const struct hob_handlers *handlers)
{
    return handlers->script_lib;
}

const char *hob_handlers_lib(const struct hob_handlers *handlers)
{
    return handlers->lib;
}
