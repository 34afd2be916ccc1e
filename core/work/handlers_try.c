/* handlers_try.c - would a file work in the scripts directory, before it is there? */
#include "base/alloc.h"
#include "work/handlers_parts.h"

#include "work/native.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static int no_memory(struct hob_error *err)
{
    return hob_error_set(err, HOB_ENOMEM, "trying a handler: out of memory");
}

/* The path that it would have, for messages. */
static char *path_of(const struct hob_handlers *handlers, const struct hob_handlers_trial *trial)
{
    char *path = NULL;
    if (hob_asprintf(&path, "%s/%s%s.lua", handlers->directory, trial->is_module ? "lib/" : "",
                     trial->name) < 0) {
        return NULL;
    }
    for (char *c = path + strlen(handlers->directory); trial->is_module && c[4]; c++) {
        *c = *c == '.' ? '/' : *c;
    }
    return path;
}

/* @return NULL: out of memory */
static struct hob_script *make_script(const struct hob_handlers *handlers,
                                      const struct hob_handlers_trial *trial)
{
    struct hob_script *script = hob_calloc(1, sizeof *script);
    if (!script) {
        return NULL;
    }
    script->holders = 1;
    script->path = path_of(handlers, trial);
    script->text = hob_malloc(trial->len + 1);
    if (!script->path || !script->text) {
        hob_script_release(script);
        return NULL;
    }
    memcpy(script->text, trial->text, trial->len);
    script->text[trial->len] = '\0';
    script->len = trial->len;
    snprintf(script->name, sizeof script->name, "%s", trial->name);
    return script;
}

/* Takes the script. */
static int check(const struct hob_handlers *handlers, const char *name, struct hob_script *script,
                 struct hob_scripts_modules *modules, struct hob_error *err)
{
    struct hob_handlers_entry handler = {0};
    snprintf(handler.name, sizeof handler.name, "%.*s", HOB_HANDLER_NAME_MAX, name);
    hob_handlers_set_script(&handler, script, modules);
    hob_handlers_check(handlers, &handler);
    if (!handler.error.code && modules == handlers->modules) { /* it is new itself */
        hob_handlers_check_disputes(handlers, &handler, &handler.error);
    }
    *err = handler.error;
    hob_handlers_free_handler(&handler);
    return err->code;
}

/* Those of now, with the one that is tried. Takes the script, which may be NULL. */
static struct hob_scripts_modules *modules_with(const struct hob_handlers *handlers,
                                                const char *name, struct hob_script *script)
{
    size_t count = handlers->modules ? handlers->modules->count : 0;
    struct hob_scripts_modules *modules = hob_scripts_modules_new(count + 1);
    if (!modules) {
        hob_script_release(script);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        struct hob_script *other = handlers->modules->list[i];
        if (strcmp(other->name, name) != 0) {
            modules->list[modules->count++] = hob_script_hold(other);
        }
    }
    if (script) {
        modules->list[modules->count++] = script;
    }
    return modules;
}

static int try_with_module(const struct hob_handlers *handlers,
                           const struct hob_handlers_trial *trial, struct hob_script *script,
                           struct hob_error *err)
{
    const struct hob_handlers_entry *handler = hob_handlers_find_script(handlers, trial->for_whom);
    if (!handler || !handler->script) {
        hob_script_release(script);
        return hob_error_set(err, HOB_ENOENT, "there is no handler '%s'", trial->for_whom);
    }
    struct hob_scripts_modules *modules = modules_with(handlers, trial->name, script);
    if (!modules) {
        return no_memory(err);
    }
    int rc = check(handlers, handler->name, hob_script_hold(handler->script), modules, err);
    hob_scripts_modules_release(modules);
    return rc;
}

int hob_handlers_try(const struct hob_handlers *handlers, const struct hob_handlers_trial *trial,
                     struct hob_error *err)
{
    assert(trial->text || (trial->is_module && trial->for_whom));
    if (!trial->is_module && hob_native_find_handler(handlers->native, trial->name)) {
        return hob_error_set(err, HOB_EEXIST,
                             "the product has a handler '%s' of its own, in C: a file of that name "
                             "would not be used",
                             trial->name);
    }
    struct hob_script *script = trial->text ? make_script(handlers, trial) : NULL;
    if (trial->text && !script) {
        return no_memory(err);
    }
    if (!trial->is_module) {
        return check(handlers, trial->name, script, handlers->modules, err);
    }
    if (trial->for_whom) {
        return try_with_module(handlers, trial, script, err);
    }
    hob_handlers_compile(handlers, script);
    *err = script->error;
    hob_script_release(script);
    return err->code;
}
