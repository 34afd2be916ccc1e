#include "host/paths.h"

#include "base/module.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool holds_lib(const char *dir)
{
    char probe[PATH_MAX];
    int n = snprintf(probe, sizeof probe, "%s/hob/job.lua", dir);
    return n > 0 && (size_t)n < sizeof probe && access(probe, R_OK) == 0;
}

static int take(const char *dir, char *out, size_t len)
{
    int n = snprintf(out, len, "%s", dir);
    return n > 0 && (size_t)n < len ? 0 : HOB_EMSGSIZE;
}

int hob_paths_lib(char *out, size_t len, struct hob_error *err)
{
    const char *given = getenv("HOB_LIB_DIR");
    if (given && holds_lib(given)) {
        return take(given, out, len);
    }
    char program[PATH_MAX];
    int rc = hob_module_program_dir(program, sizeof program, err);
    if (rc) {
        return rc;
    }
    static const char *const places[] = {"../../lib", "../share/hob/lib"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char dir[PATH_MAX + 32];
        snprintf(dir, sizeof dir, "%s/%s", program, places[i]);
        if (holds_lib(dir)) {
            return take(dir, out, len);
        }
    }
    return hob_error_set(err, HOB_ENOENT,
                         "Hob's Lua files are not in %s/../../lib nor %s/../share/hob/lib: set "
                         "HOB_LIB_DIR to the directory that holds hob/job.lua",
                         program, program);
}
