#include "work/scripts_dirs.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

bool hob_scripts_dirs_next(const char **rest, char out[PATH_MAX])
{
    assert(rest && *rest);
    const char *at = *rest + strspn(*rest, "\n");
    size_t len = strcspn(at, "\n");
    *rest = at + len;
    snprintf(out, PATH_MAX, "%.*s", (int)(len < PATH_MAX ? len : PATH_MAX - 1), at);
    return len > 0;
}

size_t hob_scripts_dirs_count(const char *dirs)
{
    char dir[PATH_MAX];
    size_t count = 0;
    while (hob_scripts_dirs_next(&dirs, dir)) {
        count++;
    }
    return count;
}

char *hob_scripts_dirs_add(char *list, const char *dir)
{
    char *longer = NULL;
    if (hob_asprintf(&longer, "%s%s%s", list ? list : "", list && list[0] ? "\n" : "", dir) < 0) {
        longer = NULL;
    }
    hob_free(list);
    return longer;
}

char *hob_scripts_dirs_lib(const char *dirs)
{
    char dir[PATH_MAX], lib[PATH_MAX + 4];
    char *list = hob_strdup("");
    while (list && hob_scripts_dirs_next(&dirs, dir)) {
        snprintf(lib, sizeof lib, "%s/lib", dir);
        list = hob_scripts_dirs_add(list, lib);
    }
    return list;
}

char *hob_scripts_dirs_first(const char *dirs)
{
    char dir[PATH_MAX];
    hob_scripts_dirs_next(&dirs, dir);
    return hob_strdup(dir);
}

char *hob_scripts_dirs_words(const char *dirs)
{
    char dir[PATH_MAX], *words = NULL, *longer = NULL;
    while (hob_scripts_dirs_next(&dirs, dir)) {
        if (hob_asprintf(&longer, "%s%s%s", words ? words : "", words ? ", " : "", dir) < 0) {
            longer = NULL;
        }
        hob_free(words);
        words = longer;
        if (!words) {
            return NULL;
        }
    }
    return words ? words : hob_strdup("");
}
