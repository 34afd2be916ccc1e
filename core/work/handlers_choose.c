/* handlers_choose.c - which handler a document asks for. */
#include "work/handlers_parts.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static bool answers_to(const struct hob_handler *handler, const char *name)
{
    if (strcmp(handler->name, name) == 0) {
        return true;
    }
    for (int i = 0; i < HOB_HANDLER_ALIASES && handler->aliases[i][0]; i++) {
        if (strcmp(handler->aliases[i], name) == 0) {
            return true;
        }
    }
    return false;
}

const struct hob_handler *hob_handlers_find(const struct hob_handlers *handlers, const char *name)
{
    if (strcmp(name, HOB_HANDLERS_STEPS) == 0) {
        return &handlers->steps;
    }
    for (size_t i = 0; i < handlers->count; i++) {
        if (answers_to(&handlers->list[i], name)) {
            return &handlers->list[i];
        }
    }
    return NULL;
}

static const struct hob_handler *find_named(struct hob_handlers *handlers, const char *member,
                                            const char *value, size_t len, struct hob_error *err)
{
    if (len == 0 || len > HOB_HANDLER_NAME_MAX + 3 ||
        strspn(value, HOB_HANDLERS_NAME_CHARS) != len) {
        hob_error_set(
            err, HOB_EINVAL,
            "%s: expected the name of a handler, 1 to %d of [A-Za-z0-9_.-], got \"%.80s\"", member,
            HOB_HANDLER_NAME_MAX, value);
        return NULL;
    }
    char name[HOB_HANDLER_NAME_MAX + 4];
    snprintf(name, sizeof name, "%s", value);
    if (len > 3 && strcmp(name + len - 3, ".sh") == 0) {
        name[len - 3] = '\0'; /* AWS's documents name shell scripts */
    }
    const struct hob_handler *handler = hob_handlers_find(handlers, name);
    if (!handler) {
        hob_error_set(err, HOB_ENOENT, "no handler for %s \"%s\": there is no %s.lua in %s", member,
                      value, name, handlers->scripts);
    }
    return handler;
}

const struct hob_handler *hob_handlers_choose(struct hob_handlers *handlers, struct hob_json *json,
                                              struct hob_error *err)
{
    static const char *const members[] = {"operation", "jobType", "type", "action", "command"};
    assert(handlers);
    enum hob_json_type steps = hob_json_type(json, "steps");
    if (steps == HOB_JSON_ARRAY) {
        return &handlers->steps;
    }
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        size_t len;
        const char *value = hob_json_string(json, members[i], &len);
        if (value) {
            return find_named(handlers, members[i], value, len, err);
        }
    }
    if (steps == HOB_JSON_OBJECT) { /* an empty list; its handler says what it expects */
        return &handlers->steps;
    }
    hob_error_set(err, HOB_EINVAL,
                  "the document names no handler: expected a string in one of its members "
                  "operation, jobType, type, action, command, or a list in steps");
    return NULL;
}
