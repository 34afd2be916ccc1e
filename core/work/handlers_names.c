/* handlers_names.c - what a handler's table says of its names, and who has which. */
#include "base/alloc.h"
#include "work/handlers_parts.h"

#include "base/buf.h"
#include "base/utf8.h"
#include "work/native.h"
#include "work/sandbox.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>

#define WARNINGS_MAX (64 * 1024)

/* ---- the table ---- */

static void read_aliases(lua_State *L, int index, struct hob_handlers_entry *handler)
{
    if (lua_getfield(L, index, "names") == LUA_TTABLE) {
        for (int i = 0; i < HOB_HANDLER_ALIASES && lua_rawgeti(L, -1, i + 1) == LUA_TSTRING; i++) {
            snprintf(handler->aliases[i], sizeof handler->aliases[i], "%s", lua_tostring(L, -1));
            lua_pop(L, 1);
        }
    }
    lua_settop(L, index);
}

static void read_description(lua_State *L, int index, struct hob_handlers_entry *handler)
{
    size_t len = 0;
    if (lua_getfield(L, index, "description") == LUA_TSTRING) {
        const char *text = lua_tolstring(L, -1, &len);
        int kept = (int)hob_utf8_cut(text, len, HOB_HANDLER_DESCRIPTION_MAX);
        snprintf(handler->description, sizeof handler->description, "%.*s", kept, text);
    }
    lua_settop(L, index);
}

/* An example that its own `args` refuse is a mistake in one of the two, and no reason to stop. */
static void read_examples(lua_State *L, int index, struct hob_handlers_entry *handler)
{
    hob_sandbox_require(L, "hob.job.contract");
    lua_getfield(L, -1, "check_examples");
    lua_pushvalue(L, index);
    lua_call(L, 1, 1);
    lua_Unsigned wrong = lua_rawlen(L, -1);
    if (lua_rawgeti(L, -1, 1) == LUA_TSTRING) {
        int len = snprintf(handler->note, sizeof handler->note, "%.240s", lua_tostring(L, -1));
        if (wrong > 1) {
            snprintf(handler->note + len, sizeof handler->note - (size_t)len, " (and %llu more)",
                     (unsigned long long)wrong - 1);
        }
    }
    lua_settop(L, index);
}

void hob_handlers_read_table(lua_State *L, int index, struct hob_handlers_entry *handler)
{
    lua_getfield(L, index, "rerun");
    handler->rerun = lua_toboolean(L, -1);
    lua_settop(L, index);
    read_aliases(L, index, handler);
    read_description(L, index, handler);
    read_examples(L, index, handler);
}

/* ---- who has which name ---- */

static bool has_alias(const struct hob_handlers_entry *handler, const char *alias)
{
    for (int i = 0; i < HOB_HANDLER_ALIASES && handler->aliases[i][0]; i++) {
        if (strcmp(handler->aliases[i], alias) == 0) {
            return true;
        }
    }
    return false;
}

static const struct hob_handlers_entry *next_with(const struct hob_handlers *handlers,
                                                  const char *alias, size_t *at)
{
    while (*at < handlers->count) {
        const struct hob_handlers_entry *handler = &handlers->list[(*at)++];
        if (has_alias(handler, alias)) {
            return handler;
        }
    }
    return NULL;
}

const struct hob_handlers_entry *hob_handlers_with_alias(const struct hob_handlers *handlers,
                                                         const char *alias)
{
    size_t at = 0;
    const struct hob_handlers_entry *one = next_with(handlers, alias, &at);
    return one && next_with(handlers, alias, &at) ? NULL : one;
}

static const char *file_of(const struct hob_handlers_entry *handler)
{
    const char *slash = handler->path ? strrchr(handler->path, '/') : NULL;
    return slash ? slash + 1 : handler->name;
}

static int dispute(struct hob_error *err, const char *alias, const struct hob_handlers_entry *one,
                   const struct hob_handlers_entry *other)
{
    return hob_error_set(err, HOB_EHANDLER,
                         "%s and %s both have \"%.80s\" among their names; neither gets its jobs "
                         "until one of them gives it up",
                         file_of(one), file_of(other), alias);
}

const struct hob_handlers_entry *hob_handlers_by_alias(struct hob_handlers *handlers,
                                                       const char *alias)
{
    size_t at = 0;
    const struct hob_handlers_entry *one = next_with(handlers, alias, &at);
    const struct hob_handlers_entry *other = one ? next_with(handlers, alias, &at) : NULL;
    if (!other) {
        return one;
    }
    struct hob_handlers_entry *disputed = &handlers->disputed;
    snprintf(disputed->name, sizeof disputed->name, "%.*s", HOB_HANDLER_NAME_MAX, alias);
    disputed->rerun = false;
    dispute(&disputed->error, alias, one, other);
    return disputed;
}

int hob_handlers_check_disputes(const struct hob_handlers *handlers,
                                const struct hob_handlers_entry *handler, struct hob_error *err)
{
    for (int i = 0; i < HOB_HANDLER_ALIASES && handler->aliases[i][0]; i++) {
        const char *alias = handler->aliases[i];
        const struct hob_handlers_entry *other = NULL;
        size_t at = 0;
        while ((other = next_with(handlers, alias, &at)) != NULL) {
            if (strcmp(other->name, handler->name) != 0) {
                return dispute(err, alias, handler, other);
            }
        }
    }
    return 0;
}

/* ---- after loading ---- */

static const struct hob_handlers_entry *by_file(const struct hob_handlers *handlers,
                                                const char *name)
{
    const struct hob_handlers_entry *native = hob_native_find_handler(handlers->native, name);
    if (native) {
        return native;
    }
    for (size_t i = 0; i < handlers->count; i++) {
        if (strcmp(handlers->list[i].name, name) == 0) {
            return &handlers->list[i];
        }
    }
    return NULL;
}

/* All that there is to say after this load. */
struct warnings {
    const struct hob_handlers *handlers;
    struct hob_buf lines;
};

/* `action` NULL: it may well be meant so. */
static void say(struct warnings *warnings, const char *event, const char *action, const char *text)
{
    const struct hob_handlers *handlers = warnings->handlers;
    char line[HOB_ERROR_MESSAGE_MAX + 3];
    snprintf(line, sizeof line, "\n%s\n", text);
    hob_buf_append_string(&warnings->lines, line); /* without room: it is said again next time */
    if (handlers->warned && strstr(handlers->warned, line)) {
        return;
    }
    struct hob_log_record record = {
        .level = action ? HOB_LOG_WARN : HOB_LOG_INFO, .event = event, .action = action};
    hob_log_write(handlers->log, &record, "%s", text);
}

static void check_alias(struct warnings *warnings, const struct hob_handlers_entry *handler,
                        const char *alias)
{
    const struct hob_handlers *handlers = warnings->handlers;
    char text[HOB_ERROR_MESSAGE_MAX];
    struct hob_error err = {0};
    size_t at = 0;
    const struct hob_handlers_entry *owner = by_file(handlers, alias);
    const struct hob_handlers_entry *one = next_with(handlers, alias, &at);
    const struct hob_handlers_entry *other = next_with(handlers, alias, &at);
    if (owner && owner != handler) {
        snprintf(text, sizeof text, "%s has \"%.80s\" among its names, but %s gets those jobs",
                 file_of(handler), alias, file_of(owner));
        say(warnings, "handler.name_taken", "take the name out of one of the two", text);
    } else if (!owner && one == handler && other) { /* once for the two */
        dispute(&err, alias, one, other);
        say(warnings, "handler.name_disputed", "take the name out of one of the two", err.message);
    }
}

static void check_route(struct warnings *warnings, const char *from, const char *to)
{
    const struct hob_handlers *handlers = warnings->handlers;
    char text[HOB_ERROR_MESSAGE_MAX];
    if (!hob_handlers_find(handlers, to)) {
        snprintf(text, sizeof text,
                 "routes: \"%.80s\" leads to '%.80s', and there is no %.80s.lua "
                 "in %.200s",
                 from, to, to, handlers->words);
        say(warnings, "handler.route_nowhere", "mend routes in the configuration, or add the file",
            text);
    }
}

static void check_handler(struct warnings *warnings, const struct hob_handlers_entry *handler)
{
    char text[HOB_ERROR_MESSAGE_MAX];
    for (int k = 0; k < HOB_HANDLER_ALIASES && handler->aliases[k][0]; k++) {
        check_alias(warnings, handler, handler->aliases[k]);
    }
    if (handler->note[0]) {
        snprintf(text, sizeof text, "%s: %s", file_of(handler), handler->note);
        say(warnings, "handler.example_wrong", "mend the example, or args", text);
    }
}

/* A file that the product has something of the same name in C for. */
static void check_file(struct warnings *warnings, const struct hob_scripts_file *file)
{
    const struct hob_handlers *handlers = warnings->handlers;
    const bool in_c = file->is_module
                          ? hob_native_find_module(handlers->native, file->name) != NULL
                          : hob_native_find_handler(handlers->native, file->name) != NULL;
    char text[HOB_ERROR_MESSAGE_MAX];
    if (in_c) {
        snprintf(text, sizeof text, "%s is not used: the product has a %s '%s' of its own, in C",
                 file->path, file->is_module ? "module" : "handler", file->name);
        say(warnings, "handler.name_taken", "take the file away, or give it another name", text);
    } else if (!file->shadowed && hob_scripts_beneath(handlers->loaded, file)) {
        snprintf(text, sizeof text, "%s is used in place of %s", file->path,
                 hob_scripts_beneath(handlers->loaded, file)->path);
        say(warnings, "handler.shadowed", NULL, text);
    }
}

void hob_handlers_check_names(struct hob_handlers *handlers, bool by_hand)
{
    struct warnings warnings = {.handlers = handlers};
    hob_buf_init(&warnings.lines, WARNINGS_MAX);
    if (by_hand) {
        hob_free(handlers->warned);
        handlers->warned = NULL;
    }
    for (size_t i = 0; i < handlers->count; i++) {
        check_handler(&warnings, &handlers->list[i]);
    }
    for (size_t i = 0; handlers->loaded && i < handlers->loaded->count; i++) {
        check_file(&warnings, &handlers->loaded->files[i]);
    }
    for (const char *const *route = handlers->routes; route && route[0]; route += 2) {
        check_route(&warnings, route[0], route[1]);
    }
    const char *lines = hob_buf_string(&warnings.lines);
    hob_free(handlers->warned);
    handlers->warned = lines ? hob_strdup(lines) : NULL;
    hob_buf_free(&warnings.lines);
}
