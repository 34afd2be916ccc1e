/* module.c - see module.h */
#include "base/module.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/module_begin.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int hob_module_program_dir(char *out, size_t len, struct hob_error *err)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n < 0)
        return hob_error_set(err, hob_error_from_errno(errno), "reading /proc/self/exe: %s",
                             strerror(errno));
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (slash)
        slash[slash == path ? 1 : 0] = '\0';
    if (strlen(path) >= len)
        return hob_error_set(err, HOB_EMSGSIZE,
                             "the program's directory has %zu bytes, not under %zu", strlen(path),
                             len);
    memcpy(out, path, strlen(path) + 1);
    return 0;
}

static const char *package_of(const char *name)
{
    static const char *const packages[][2] = {
        {"hob_download", "libcurl (Debian: libcurl4)"},
        {"hob_edit", "libedit (Debian: libedit2)"},
        {"hob_httpd", "libmicrohttpd (Debian: libmicrohttpd12)"},
    };
    for (size_t i = 0; i < sizeof packages / sizeof *packages; i++)
        if (strcmp(packages[i][0], name) == 0)
            return packages[i][1];
    return NULL;
}

static bool is_name(const char *name)
{
    return *name && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

/* A module of no use but its table (a spec's) may have nothing to take over. */
static void begin(void *handle)
{
    hob_module_begin_fn *take = NULL;
    void *symbol = dlsym(handle, HOB_MODULE_BEGIN);
    struct hob_module_begin ours = {.allocator = hob_alloc_get(), .clock = hob_clock_get()};
    memcpy(&take, &symbol, sizeof take);
    if (take)
        take(&ours);
}

static const void *load(const char *path, const char *name, struct hob_error *err)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *package = package_of(name);
    if (!handle) {
        const char *reason = dlerror();
        hob_error_set(err, HOB_EUNSUPPORTED, "loading %s: %s%s%s", path, reason ? reason : "failed",
                      package ? "; it needs " : "", package ? package : "");
        return NULL;
    }
    const void *table = dlsym(handle, "hob_module");
    begin(handle);
    if (!table) {
        hob_error_set(err, HOB_EUNSUPPORTED, "loading %s: it has no symbol hob_module", path);
        dlclose(handle);
    }
    return table;
}

/* The places in order; @return false past the last. */
static bool place(size_t index, const char *dir, const char *name, char out[PATH_MAX])
{
    const char *own = getenv("HOB_MODULE_DIR");
    if (!own || !*own)
        index++;
    int n;
    switch (index) {
    case 0:
        n = snprintf(out, PATH_MAX, "%s/%s.so", own, name);
        break;
    case 1:
        n = snprintf(out, PATH_MAX, "%s/modules/%s.so", dir, name);
        break;
    case 2:
        n = snprintf(out, PATH_MAX, "%s/../lib/hob/%s.so", dir, name);
        break;
    default:
        return false;
    }
    if (n >= PATH_MAX)
        out[0] = '\0';
    return true;
}

static void say_missing(const char *dir, const char *name, struct hob_error *err)
{
    char path[PATH_MAX];
    struct hob_buf tried;
    hob_buf_init(&tried, HOB_ERROR_MESSAGE_MAX);
    for (size_t i = 0; place(i, dir, name, path); i++)
        hob_buf_printf(&tried, "%s%s", i > 0 ? ", " : "", path);
    const char *list = hob_buf_string(&tried);
    hob_error_set(err, HOB_ENOENT,
                  "module %s was not found: install it beside hob, or name its directory in "
                  "HOB_MODULE_DIR; looked for %s",
                  name, list ? list : "it");
    hob_buf_free(&tried);
}

const void *hob_module_open(const char *name, struct hob_error *err)
{
    char dir[PATH_MAX], path[PATH_MAX];
    if (!is_name(name)) {
        hob_error_set(err, HOB_EINVAL, "'%s' is no name of a module", name);
        return NULL;
    }
    if (hob_module_program_dir(dir, sizeof dir, err))
        return NULL;
    for (size_t i = 0; place(i, dir, name, path); i++)
        if (access(path, F_OK) == 0)
            return load(path, name, err);
    say_missing(dir, name, err);
    return NULL;
}
