#include "host/paths.h"

#include "base/buf.h"
#include "base/module.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLACES 5

static bool holds_lib(const char *dir)
{
    char probe[PATH_MAX];
    int n = snprintf(probe, sizeof probe, "%s/hob/job.lua", dir);
    return n > 0 && (size_t)n < sizeof probe && access(probe, R_OK) == 0;
}

static int take(const char *dir, char *out, size_t len, struct hob_error *err)
{
    int n = snprintf(out, len, "%s", dir);
    if (n > 0 && (size_t)n < len)
        return 0;
    return hob_error_set(err, HOB_EMSGSIZE, "the directory of Hob's Lua files has %d bytes", n);
}

/* @return false: `index` is no place here */
static bool place(int index, const char *library, const char *program, char out[PATH_MAX])
{
    const struct {
        const char *from, *way;
    } places[PLACES] = {{library, "../../lib"},
                        {library, HOB_DATA_FROM_LIB "/hob/lib"},
                        {program, "../../lib"},
                        {program, "../share/hob/lib"},
                        {HOB_INSTALLED_DATA, "hob/lib"}};
    if (!*places[index].from)
        return false;
    int n = snprintf(out, PATH_MAX, "%s/%s", places[index].from, places[index].way);
    return n < PATH_MAX;
}

static int say_missing(const char *library, const char *program, struct hob_error *err)
{
    char dir[PATH_MAX];
    struct hob_buf tried;
    hob_buf_init(&tried, HOB_ERROR_MESSAGE_MAX);
    for (int i = 0; i < PLACES; i++)
        if (place(i, library, program, dir))
            hob_buf_printf(&tried, "%s%s", i ? " nor " : "", dir);
    const char *list = hob_buf_string(&tried);
    int rc = hob_error_set(err, HOB_ENOENT,
                           "Hob's Lua files are not in %s: set HOB_LIB_DIR to the directory that "
                           "holds hob/job.lua",
                           list ? list : "any of their places");
    hob_buf_free(&tried);
    return rc;
}

static int find(char *out, size_t len, struct hob_error *err)
{
    char library[PATH_MAX] = "", program[PATH_MAX] = "", dir[PATH_MAX];
    int rc = hob_module_library_dir(library, sizeof library, err);
    int also = hob_module_program_dir(program, sizeof program, rc ? NULL : err);
    if (rc && also)
        return rc;
    if (strcmp(library, program) == 0) /* linked into the program, or in a build tree */
        library[0] = '\0';
    for (int i = 0; i < PLACES; i++)
        if (place(i, library, program, dir) && holds_lib(dir))
            return take(dir, out, len, err);
    return say_missing(library, program, err);
}

int hob_paths_lib_in(const char *given, char *out, size_t len, struct hob_error *err)
{
    const char *environment = getenv("HOB_LIB_DIR");
    if (given && !holds_lib(given))
        return hob_error_set(err, HOB_ENOENT,
                             "lib_dir '%s' does not hold hob/job.lua: name the directory of Hob's "
                             "Lua files, or leave it out",
                             given);
    if (given)
        return take(given, out, len, err);
    if (environment && holds_lib(environment))
        return take(environment, out, len, err);
    return find(out, len, err);
}

int hob_paths_lib(char *out, size_t len, struct hob_error *err)
{
    return hob_paths_lib_in(NULL, out, len, err);
}
