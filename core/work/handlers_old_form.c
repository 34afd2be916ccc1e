/* handlers_old_form.c - the older form of the documents of AWS's device client, which has no steps:
 * {"operation": PROGRAM, "args": [...], "path": DIR}. The built-in handler of AWS's documents runs
 * it, if such a program is there to be run: what no gateway could run is nobody's document. */
#include "work/handlers_parts.h"

#include "device/policy.h"
#include "device/program.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_in(const char *dir, const char *name)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    return n > 0 && (size_t)n < sizeof path && access(path, F_OK) == 0;
}

/* A directory of its own: whether the program there is allowed, its handler says. */
static bool names_directory(const char *path)
{
    return path && path[0] && strcmp(path, "default") != 0;
}

bool hob_handlers_old_form(const struct hob_handlers *handlers, struct hob_json *json,
                           const char *operation)
{
    const struct hob_policy *policy = handlers->policy;
    const char *path = hob_json_string(json, "path", NULL);
    if (hob_json_type(json, "version") != HOB_JSON_ABSENT) {
        return false;
    }
    if (policy && policy->handler_dir[0] && is_in(policy->handler_dir, operation)) {
        return true;
    }
    bool is_form = hob_json_type(json, "args") == HOB_JSON_ARRAY || path;
    return is_form && (names_directory(path) || (hob_policy_allows_command(policy, operation) &&
                                                 hob_program_in_path(operation)));
}
