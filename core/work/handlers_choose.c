/* handlers_choose.c - which handler a document asks for. */
#include "work/handlers_parts.h"

#include "work/native.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define LIST_MAX 300 /* bytes of the members' names in a message */

static const char *const default_types[] = {"operation", "jobType", "type",
                                            "action",    "command", NULL};

static const char *const *types_of(const struct hob_handlers *handlers)
{
    return handlers->job_types ? handlers->job_types : default_types;
}

/* ---- by name ---- */

static const struct hob_handlers_entry *by_file(const struct hob_handlers *handlers,
                                                const char *name)
{
    if (strcmp(name, HOB_HANDLERS_STEPS) == 0) {
        return &handlers->steps;
    }
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

const struct hob_handlers_entry *hob_handlers_find(const struct hob_handlers *handlers,
                                                   const char *name)
{
    const struct hob_handlers_entry *handler = by_file(handlers, name);
    return handler ? handler : hob_handlers_with_alias(handlers, name);
}

const struct hob_handlers_entry *hob_handlers_find_script(const struct hob_handlers *handlers,
                                                          const char *name)
{
    const struct hob_handlers_entry *handler = hob_handlers_find(handlers, name);
    return handler == &handlers->steps ? NULL : handler;
}

static const char *route_of(const struct hob_handlers *handlers, const char *value)
{
    for (const char *const *route = handlers->routes; route && route[0]; route += 2) {
        if (strcmp(route[0], value) == 0) {
            return route[1];
        }
    }
    return NULL;
}

static const struct hob_handlers_entry *follow_route(struct hob_handlers *handlers,
                                                     const char *value, const char *to,
                                                     struct hob_error *err)
{
    const struct hob_handlers_entry *handler = by_file(handlers, to);
    handler = handler ? handler : hob_handlers_by_alias(handlers, to);
    if (!handler) {
        hob_error_set(err, HOB_ENOENT,
                      "no handler for \"%.80s\": routes lead it to '%.80s', and there is no "
                      "%.80s.lua in %.200s",
                      value, to, to, handlers->words);
    }
    return handler;
}

/* The name as a file has it: AWS's documents name shell scripts. False: it can be none. */
static bool to_file_name(const char *value, size_t len, char name[HOB_HANDLER_NAME_MAX + 1])
{
    if (len > 3 && strcmp(value + len - 3, ".sh") == 0) {
        len -= 3;
    }
    if (len == 0 || len > HOB_HANDLER_NAME_MAX || strspn(value, HOB_HANDLERS_NAME_CHARS) < len) {
        return false;
    }
    snprintf(name, HOB_HANDLER_NAME_MAX + 1, "%.*s", (int)len, value);
    return true;
}

static void no_such_name(const struct hob_handlers *handlers, const char *member, const char *value,
                         const char *name, struct hob_error *err)
{
    if (name) {
        hob_error_set(err, HOB_ENOENT, "no handler for %s \"%s\": there is no %s.lua in %s", member,
                      value, name, handlers->words);
        return;
    }
    hob_error_set(err, HOB_EINVAL,
                  "%s: expected the name of a handler, 1 to %d of [A-Za-z0-9_.-] (other names only "
                  "as a handler's names or the configuration's routes have them), got \"%.80s\"",
                  member, HOB_HANDLER_NAME_MAX, value);
}

static const struct hob_handlers_entry *find_named(struct hob_handlers *handlers,
                                                   struct hob_json *json, const char *member,
                                                   const char *value, size_t len,
                                                   struct hob_error *err)
{
    char name[HOB_HANDLER_NAME_MAX + 1];
    bool is_name = to_file_name(value, len, name);
    const char *to = route_of(handlers, value);
    to = to || !is_name ? to : route_of(handlers, name);
    if (to) {
        return follow_route(handlers, value, to, err);
    }
    const struct hob_handlers_entry *handler = is_name ? by_file(handlers, name) : NULL;
    handler = handler ? handler : hob_handlers_by_alias(handlers, value);
    handler = handler || !is_name ? handler : hob_handlers_by_alias(handlers, name);
    if (!handler && is_name && strcmp(member, "operation") == 0 &&
        hob_handlers_old_form(handlers, json, value)) {
        return &handlers->steps;
    }
    if (!handler) {
        no_such_name(handlers, member, value, is_name ? name : NULL, err);
    }
    return handler;
}

/* ---- by a member that is there ---- */

struct presence {
    struct hob_handlers *handlers;
    struct hob_json *json;
    const struct hob_handlers_entry *handler;
    char member[HOB_HANDLER_ALIAS_MAX + 1]; /* that decided */
    struct hob_error *err;
    bool failed;
};

/* "" and null are absent, as everywhere in a document. */
static bool is_there(struct hob_json *json, const char *member)
{
    size_t len = 0;
    enum hob_json_type type = hob_json_type(json, member);
    bool empty = type == HOB_JSON_STRING && hob_json_string(json, member, &len) && len == 0;
    return type != HOB_JSON_ABSENT && type != HOB_JSON_NULL && !empty;
}

static void decide(struct presence *presence, const char *member,
                   const struct hob_handlers_entry *handler)
{
    if (!handler) {
        presence->failed = true; /* a route that leads nowhere: said in err */
    } else if (presence->handler && presence->handler != handler) {
        presence->failed = true;
        hob_error_set(presence->err, HOB_EINVAL,
                      "the document has %.80s (handler %s) and %.80s (handler %s): which is meant?",
                      presence->member, presence->handler->name, member, handler->name);
    } else {
        presence->handler = handler;
        snprintf(presence->member, sizeof presence->member, "%.*s", HOB_HANDLER_ALIAS_MAX, member);
    }
}

static void look_at_routes(struct presence *presence)
{
    struct hob_handlers *handlers = presence->handlers;
    for (const char *const *route = handlers->routes; route && route[0] && !presence->failed;
         route += 2) {
        if (route[0][0] == '?' && is_there(presence->json, route[0] + 1)) {
            decide(presence, route[0] + 1,
                   follow_route(handlers, route[0], route[1], presence->err));
        }
    }
}

static void look_at_names(struct presence *presence)
{
    struct hob_handlers *handlers = presence->handlers;
    for (size_t i = 0; i < handlers->count && !presence->failed; i++) {
        struct hob_handlers_entry *handler = &handlers->list[i];
        for (int k = 0; k < HOB_HANDLER_ALIASES && handler->aliases[k][0]; k++) {
            const char *alias = handler->aliases[k];
            if (alias[0] == '?' && !presence->failed && is_there(presence->json, alias + 1)) {
                decide(presence, alias + 1, hob_handlers_by_alias(handlers, alias));
            }
        }
    }
}

/* ---- the document ---- */

static void names_none(const struct hob_handlers *handlers, struct hob_error *err)
{
    char list[LIST_MAX] = "";
    size_t len = 0;
    for (const char *const *type = types_of(handlers); *type && len < sizeof list; type++) {
        int n = snprintf(list + len, sizeof list - len, "%s%s", len ? ", " : "", *type);
        len += n > 0 ? (size_t)n : 0;
    }
    hob_error_set(err, HOB_EINVAL,
                  "the document names no handler: expected a string in one of its members %s, or a "
                  "list in steps",
                  list);
}

const struct hob_handlers_entry *hob_handlers_choose(struct hob_handlers *handlers,
                                                     struct hob_json *json, struct hob_error *err)
{
    assert(handlers);
    enum hob_json_type steps = hob_json_type(json, "steps");
    if (steps == HOB_JSON_ARRAY) {
        return &handlers->steps;
    }
    for (const char *const *type = types_of(handlers); *type; type++) {
        size_t len;
        const char *value = hob_json_string(json, *type, &len);
        if (value && len > 0 && strlen(value) == len) {
            return find_named(handlers, json, *type, value, len, err);
        }
    }
    if (steps == HOB_JSON_OBJECT) { /* an empty list; its handler says what it expects */
        return &handlers->steps;
    }
    struct presence presence = {.handlers = handlers, .json = json, .err = err};
    look_at_routes(&presence);
    if (!presence.handler) { /* the configuration has the last word */
        look_at_names(&presence);
    }
    if (!presence.handler && !presence.failed) {
        names_none(handlers, err);
    }
    return presence.failed ? NULL : presence.handler;
}
