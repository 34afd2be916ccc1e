/* native_module.c - what is registered: modules of C functions. */
#include "base/alloc.h"
#include "base/sized.h"
#include "work/native_parts.h"

#include <stdio.h>
#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
#define DIGITS  "0123456789"

/* ---- names ---- */

/* Those that `require` knows already, and so would never look for. */
static const char *const taken[] = {"_G",  "coroutine", "debug",  "io",    "math",
                                    "os",  "package",   "string", "table", "utf8",
                                    "hob", "iotjobs",   NULL};

static bool is_taken(const char *name)
{
    for (const char *const *one = taken; *one; one++) {
        if (strcmp(*one, name) == 0) {
            return true;
        }
    }
    return strncmp(name, "hob.", 4) == 0 || strncmp(name, "iotjobs.", 8) == 0;
}

static int check_name(const struct hob_native *native, const char *name, struct hob_error *err)
{
    size_t len = strlen(name);
    bool dots = strstr(name, "..") || name[0] == '.' || (len && name[len - 1] == '.');
    if (len == 0 || len > HOB_SCRIPTS_MODULE_MAX || dots ||
        strspn(name, LETTERS DIGITS "-.") < len) {
        return hob_error_set(err, HOB_EINVAL,
                             "module: name: expected one for `require`, such as \"acme.relay\", "
                             "got \"%.80s\"",
                             name);
    } else if (is_taken(name)) {
        return hob_error_set(err, HOB_EEXIST, "module %s: the name is Lua's or Hob's own", name);
    } else if (hob_native_find_module(native, name)) {
        return hob_error_set(err, HOB_EEXIST, "module %s: there is one of that name", name);
    }
    return 0;
}

static const char *const keywords[] = {"and",   "break", "do",       "else",  "elseif", "end",
                                       "false", "for",   "function", "goto",  "if",     "in",
                                       "local", "nil",   "not",      "or",    "repeat", "return",
                                       "then",  "true",  "until",    "while", NULL};

/* One that can be written as relay.NAME. */
static bool is_function_name(const char *name)
{
    size_t len = strlen(name);
    for (const char *const *word = keywords; *word; word++) {
        if (strcmp(*word, name) == 0) {
            return false;
        }
    }
    return len > 0 && len <= HOB_NATIVE_NAME_MAX && !strchr(DIGITS, name[0]) &&
           strspn(name, LETTERS DIGITS) == len;
}

static int check_function(const char *module, const struct hob_function *list, size_t index,
                          struct hob_error *err)
{
    const struct hob_function *one = &list[index];
    if (!is_function_name(one->name)) {
        return hob_error_set(err, HOB_EINVAL,
                             "module %s: functions[%zu].name: expected a name as Lua has them, of "
                             "at most %d bytes, got \"%.80s\"",
                             module, index, HOB_NATIVE_NAME_MAX, one->name);
    } else if (!one->fn) {
        return hob_error_set(err, HOB_EINVAL, "module %s: %s: expected a function, got NULL",
                             module, one->name);
    }
    for (size_t i = 0; i < index; i++) {
        if (strcmp(list[i].name, one->name) == 0) {
            return hob_error_set(err, HOB_EINVAL, "module %s: %s is there twice", module,
                                 one->name);
        }
    }
    return 0;
}

static int check_functions(const struct hob_module *given, size_t *count, struct hob_error *err)
{
    int rc = 0;
    for (*count = 0; given->functions && given->functions[*count].name && rc == 0; ++*count) {
        rc = *count >= HOB_NATIVE_FUNCTIONS
                 ? hob_error_set(err, HOB_EMSGSIZE, "module %s: more than %d functions",
                                 given->name, HOB_NATIVE_FUNCTIONS)
                 : check_function(given->name, given->functions, *count, err);
    }
    return rc || *count ? rc
                        : hob_error_set(err, HOB_EINVAL,
                                        "module %s: functions: expected at least "
                                        "one, and a name of NULL after the last",
                                        given->name);
}

/* ---- registering ---- */

void hob_native_free_module(struct hob_native_module *module)
{
    if (module) {
        hob_free(module->functions);
        hob_free(module);
    }
}

static struct hob_native_module *make(const struct hob_module *given, size_t count)
{
    struct hob_native_module *module = hob_calloc(1, sizeof *module);
    if (module) {
        module->functions = hob_calloc(count, sizeof *module->functions);
    }
    if (!module || !module->functions) {
        hob_native_free_module(module);
        return NULL;
    }
    snprintf(module->name, sizeof module->name, "%s", given->name);
    module->user = given->user;
    module->count = count;
    for (size_t i = 0; i < count; i++) {
        struct hob_native_function *function = &module->functions[i];
        function->module = module;
        function->fn = given->functions[i].fn;
        snprintf(function->name, sizeof function->name, "%s", given->functions[i].name);
        snprintf(function->label, sizeof function->label, "%s.%s", module->name, function->name);
    }
    return module;
}

int hob_native_add_module(struct hob_native *native, const struct hob_module *module,
                          struct hob_error *err)
{
    struct hob_module given;
    size_t count = 0;
    int rc = hob_sized_take(&given, sizeof given, module, "hob_module", err);
    rc = rc ? rc : check_name(native, given.name ? given.name : "", err);
    rc = rc ? rc : check_functions(&given, &count, err);
    if (rc) {
        return rc;
    }
    struct hob_native_module *made = make(&given, count);
    struct hob_native_module **list =
        made ? hob_native_grow(native->modules, native->module_count) : NULL;
    if (!list) {
        hob_native_free_module(made);
        return hob_error_set(err, HOB_ENOMEM, "module %s: out of memory", given.name);
    }
    native->modules = list;
    list[native->module_count++] = made;
    return 0;
}

/* ---- what there is ---- */

const struct hob_native_module *hob_native_module_at(const struct hob_native *native, size_t index)
{
    return native && index < native->module_count ? native->modules[index] : NULL;
}

const struct hob_native_module *hob_native_find_module(const struct hob_native *native,
                                                       const char *name)
{
    const struct hob_native_module *module;
    for (size_t i = 0; (module = hob_native_module_at(native, i)) != NULL; i++) {
        if (strcmp(module->name, name) == 0) {
            return module;
        }
    }
    return NULL;
}

const char *hob_native_module_name(const struct hob_native_module *module)
{
    return module->name;
}

const struct hob_native_function *hob_native_function_at(const struct hob_native_module *module,
                                                         size_t index)
{
    return index < module->count ? &module->functions[index] : NULL;
}

const char *hob_native_function_name(const struct hob_native_function *function)
{
    return function->name;
}

const char *hob_native_function_label(const struct hob_native_function *function)
{
    return function->label;
}
