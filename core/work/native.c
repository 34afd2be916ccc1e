/* native.c - what is registered: handlers; native_module.c has the modules. */
#include "work/native.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/sized.h"
#include "work/handlers_parts.h"
#include "work/native_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SOURCE_LIMIT (64 * 1024)
#define PATH_PREFIX  HOB_NATIVE_PATH ": "

/* ---- shared ---- */

void *hob_native_grow(void *list, size_t count)
{
    return hob_realloc(list, (count + 1) * sizeof(void *));
}

void hob_native_bury(struct hob_native_dead *dead, void *block)
{
    hob_free(dead->list[dead->next]);
    dead->list[dead->next] = block;
    dead->next = (dead->next + 1) % HOB_NATIVE_REMEMBERED;
}

static void forget(struct hob_native_dead *dead)
{
    for (size_t i = 0; i < HOB_NATIVE_REMEMBERED; i++) {
        hob_free(dead->list[i]);
    }
}

static int no_memory(struct hob_error *err)
{
    return hob_error_set(err, HOB_ENOMEM, "registering C functions: out of memory");
}

/* ---- the source of a handler ---- */

/* As Lua reads it again, whatever the bytes are. */
static int quote(struct hob_buf *out, const char *text)
{
    int rc = hob_buf_append_string(out, "\"");
    for (const unsigned char *c = (const unsigned char *)text; *c && rc == 0; c++) {
        bool plain = *c >= ' ' && *c != '"' && *c != '\\' && *c != 0x7f;
        rc = plain ? hob_buf_append(out, c, 1) : hob_buf_printf(out, "\\%03u", *c);
    }
    return rc ? rc : hob_buf_append_string(out, "\"");
}

static int put_text(struct hob_buf *out, const char *name, const char *text)
{
    if (!text) {
        return 0;
    }
    int rc = hob_buf_printf(out, "  %s = ", name);
    rc = rc ? rc : quote(out, text);
    return rc ? rc : hob_buf_append_string(out, ",\n");
}

static int put_source(struct hob_buf *out, const struct hob_handler *handler)
{
    int rc = hob_buf_append_string(out, "-- A C handler of the product that Hob is a part of.\n"
                                        "return require(\"hob.native\").handler({\n");
    rc = rc ? rc : put_text(out, "name", handler->name);
    rc = rc ? rc : put_text(out, "description", handler->description);
    rc = rc ? rc : put_text(out, "args", handler->args);
    if (handler->timeout_s > 0) {
        rc = rc ? rc : hob_buf_printf(out, "  timeout = %.17g,\n", handler->timeout_s);
    }
    if (handler->max_runs) {
        rc = rc ? rc : hob_buf_printf(out, "  max_runs = %d,\n", handler->max_runs);
    }
    return rc ? rc : hob_buf_append_string(out, "})\n");
}

static struct hob_script *make_script(const struct hob_handler *handler, struct hob_error *err)
{
    struct hob_buf text;
    hob_buf_init(&text, SOURCE_LIMIT);
    int rc = put_source(&text, handler);
    struct hob_script *script = rc ? NULL : hob_calloc(1, sizeof *script);
    if (script) {
        script->holders = 1;
        script->len = hob_buf_len(&text);
        script->text = hob_strdup(hob_buf_string(&text));
        script->path = hob_strdup(HOB_NATIVE_PATH);
        snprintf(script->name, sizeof script->name, "%s", handler->name);
        hob_sha256_of(hob_buf_data(&text), script->len, script->digest);
    }
    hob_buf_free(&text);
    if (rc == HOB_EMSGSIZE) {
        hob_error_set(err, HOB_EMSGSIZE,
                      "handler %s: description and args: at most %d bytes together", handler->name,
                      SOURCE_LIMIT - 256);
    } else if (!script || !script->text || !script->path) {
        no_memory(err);
        hob_script_release(script);
        script = NULL;
    }
    return script;
}

/* ---- checking it ---- */

static bool ends_in(const char *text, const char *end)
{
    size_t len = strlen(text), n = strlen(end);
    return len >= n && strcmp(text + len - n, end) == 0;
}

/* What the Lua side cannot see: it gets a source that could be written at all. */
static int check_given(const struct hob_native *native, const struct hob_handler *handler,
                       struct hob_error *err)
{
    const char *name = handler->name ? handler->name : "";
    size_t len = strlen(name);
    if (len == 0 || len > HOB_HANDLER_NAME_MAX || strspn(name, HOB_HANDLERS_NAME_CHARS) < len) {
        return hob_error_set(err, HOB_EINVAL,
                             "handler: name: expected 1 to %d of [A-Za-z0-9_.-], got \"%.80s\"",
                             HOB_HANDLER_NAME_MAX, name);
    } else if (strcmp(name, HOB_HANDLERS_STEPS) == 0) {
        return hob_error_set(err, HOB_EEXIST, "handler %s: the name is that of the built-in one",
                             name);
    } else if (ends_in(name, ".sh")) { /* documents may say it, and mean what is before it */
        return hob_error_set(err, HOB_EINVAL, "handler %s: no job would find it: leave out .sh",
                             name);
    } else if (hob_native_find_handler(native, name)) {
        return hob_error_set(err, HOB_EEXIST, "handler %s: there is a C handler of that name",
                             name);
    } else if (!handler->run) {
        return hob_error_set(err, HOB_EINVAL, "handler %s: run: expected a function, got NULL",
                             name);
    } else if (!(handler->timeout_s >= 0) || isinf(handler->timeout_s)) {
        return hob_error_set(err, HOB_EINVAL, "handler %s: timeout_s: expected seconds, got %g",
                             name, handler->timeout_s);
    }
    return 0;
}

/* In a throw-away sandbox, as a file is checked. */
static int check_source(const struct hob_native *native, struct hob_native_handler *handler,
                        struct hob_error *err)
{
    struct hob_handlers alone = {.loop = native->loop, .log = native->log, .lib = native->lib};
    struct hob_error *wrong = &handler->entry.error;
    hob_handlers_check(&alone, &handler->entry);
    if (!wrong->code) {
        return 0;
    }
    const char *words = wrong->message;
    while (strncmp(words, PATH_PREFIX, strlen(PATH_PREFIX)) == 0) {
        words += strlen(PATH_PREFIX);
    }
    if (wrong->code == HOB_ENOMEM || strcmp(words, "out of memory") == 0) { /* as Lua says it */
        return no_memory(err);
    }
    bool ours = strstr(wrong->message, "not found") != NULL; /* our own files, not his mistake */
    return hob_error_set(err, ours ? HOB_EHANDLER : HOB_EINVAL, "handler %s: %s",
                         handler->entry.name, words);
}

/* ---- handlers ---- */

static void free_handler(struct hob_native_handler *handler)
{
    if (handler) {
        hob_handlers_free_handler(&handler->entry);
        hob_free(handler);
    }
}

static struct hob_native_handler *make_handler(const struct hob_handler *given,
                                               struct hob_error *err)
{
    struct hob_native_handler *handler = hob_calloc(1, sizeof *handler);
    struct hob_scripts_modules *none = hob_scripts_modules_new(0); /* it requires Hob's own only */
    struct hob_script *script = handler && none ? make_script(given, err) : NULL;
    if (!handler || !none) {
        no_memory(err);
    }
    if (!script) {
        hob_scripts_modules_release(none);
        hob_free(handler);
        return NULL;
    }
    snprintf(handler->entry.name, sizeof handler->entry.name, "%s", given->name);
    snprintf(handler->label, sizeof handler->label, "C handler %s", given->name);
    hob_handlers_set_script(&handler->entry, script, none);
    hob_scripts_modules_release(none);
    handler->entry.loaded_at = hob_clock_wall_ms() / 1000;
    handler->given = *given;
    return handler;
}

static int keep(struct hob_native *native, struct hob_native_handler *handler)
{
    struct hob_native_handler **list = hob_native_grow(native->handlers, native->handler_count);
    if (!list) {
        return HOB_ENOMEM;
    }
    native->handlers = list;
    size_t at = native->handler_count++;
    for (; at > 0 && strcmp(list[at - 1]->entry.name, handler->entry.name) > 0; at--) {
        list[at] = list[at - 1];
    }
    list[at] = handler;
    return 0;
}

int hob_native_add_handler(struct hob_native *native, const struct hob_handler *handler,
                           struct hob_error *err)
{
    struct hob_handler given;
    int rc = hob_sized_take(&given, sizeof given, handler, "hob_handler", err);
    rc = rc ? rc : check_given(native, &given, err);
    if (rc) {
        return rc;
    }
    struct hob_error why = {.code = HOB_ENOMEM};
    struct hob_native_handler *made = make_handler(&given, &why);
    if (!made) {
        return hob_error_set(err, why.code, "%s", why.message);
    }
    rc = check_source(native, made, err);
    if (rc == 0 && keep(native, made)) {
        rc = no_memory(err);
    }
    if (rc) {
        free_handler(made);
        return rc;
    }
    made->given.name = made->given.description = made->given.args = NULL; /* were borrowed */
    return 0;
}

size_t hob_native_handler_count(const struct hob_native *native)
{
    return native ? native->handler_count : 0;
}

const struct hob_handlers_entry *hob_native_handler_at(const struct hob_native *native,
                                                       size_t index)
{
    return native && index < native->handler_count ? &native->handlers[index]->entry : NULL;
}

const struct hob_handlers_entry *hob_native_find_handler(const struct hob_native *native,
                                                         const char *name)
{
    for (size_t i = 0; i < hob_native_handler_count(native); i++) {
        if (strcmp(native->handlers[i]->entry.name, name) == 0) {
            return &native->handlers[i]->entry;
        }
    }
    return NULL;
}

bool hob_native_is_handler(const struct hob_native *native,
                           const struct hob_handlers_entry *handler)
{
    return handler && hob_native_find_handler(native, handler->name) == handler;
}

/* ---- life ---- */

int hob_native_new(const struct hob_native_options *options, struct hob_native **out,
                   struct hob_error *err)
{
    struct hob_native *native = hob_calloc(1, sizeof *native);
    if (native) {
        native->loop = options->loop;
        native->log = options->log;
        native->inside = options->inside;
        native->lib = hob_strdup(options->lib);
    }
    if (!native || !native->lib) {
        hob_free(native);
        return no_memory(err);
    }
    *out = native;
    return 0;
}

void hob_native_free(struct hob_native *native)
{
    if (!native) {
        return;
    }
    for (size_t i = 0; i < native->handler_count; i++) {
        free_handler(native->handlers[i]);
    }
    for (size_t i = 0; i < native->module_count; i++) {
        hob_native_free_module(native->modules[i]);
    }
    hob_free(native->handlers);
    hob_free(native->modules);
    forget(&native->runs);
    forget(&native->calls);
    hob_free(native->lib);
    hob_free(native);
}
