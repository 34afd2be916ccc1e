/* module.c - see module.h */
#include "base/module.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/module_begin.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* Cuts a path down to its directory. */
static int take_dir(char *path, char *out, size_t len, const char *whose, struct hob_error *err)
{
    char *slash = strrchr(path, '/');
    if (slash)
        slash[slash == path ? 1 : 0] = '\0';
    if (strlen(path) >= len)
        return hob_error_set(err, HOB_EMSGSIZE, "the %s's directory has %zu bytes, not under %zu",
                             whose, strlen(path), len);
    memcpy(out, path, strlen(path) + 1);
    return 0;
}

int hob_module_program_dir(char *out, size_t len, struct hob_error *err)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n < 0)
        return hob_error_set(err, hob_error_from_errno(errno), "reading /proc/self/exe: %s",
                             strerror(errno));
    path[n] = '\0';
    return take_dir(path, out, len, "program", err);
}

/* Of the program itself the linker knows only the words it was called by. */
static bool is_program(const Dl_info *ours)
{
    Dl_info program;
    const void *headers = (const void *)(uintptr_t)getauxval(AT_PHDR);
    return headers && dladdr(headers, &program) && program.dli_fbase == ours->dli_fbase;
}

int hob_module_library_dir(char *out, size_t len, struct hob_error *err)
{
    static const char mark; /* lies where this code lies */
    char path[PATH_MAX];
    Dl_info ours;
    if (!dladdr(&mark, &ours) || !ours.dli_fname || is_program(&ours))
        return hob_module_program_dir(out, len, err);
    if (!realpath(ours.dli_fname, path)) /* replaced while it runs, or the directory changed */
        return hob_error_set(err, hob_error_from_errno(errno), "finding where libhob lies, %s: %s",
                             ours.dli_fname, strerror(errno));
    return take_dir(path, out, len, "library", err);
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

/* The directories in which a module may lie, first to last; "" for none. */
struct places {
    char given[PATH_MAX], library[PATH_MAX], program[PATH_MAX];
};

#define PLACES 7

/* @return how many bytes the path has */
static int place(const struct places *places, int index, const char *name, char out[PATH_MAX])
{
    const char *own = getenv("HOB_MODULE_DIR");
    const struct {
        const char *dir, *below;
    } all[PLACES] = {{places->given, ""},           {own ? own : "", ""},
                     {places->library, "modules/"}, {places->library, "hob/"},
                     {places->program, "modules/"}, {places->program, "../lib/hob/"},
                     {HOB_INSTALLED_MODULES, ""}};
    out[0] = '\0';
    if (!*all[index].dir)
        return 0;
    return snprintf(out, PATH_MAX, "%s/%s%s.so", all[index].dir, all[index].below, name);
}

static bool has_place(const struct places *places, int index, const char *name, char out[PATH_MAX])
{
    int n = place(places, index, name, out);
    return n > 0 && n < PATH_MAX;
}

static void find_places(const char *dir, struct places *places)
{
    *places = (struct places){0};
    if (dir && strlen(dir) < sizeof places->given)
        memcpy(places->given, dir, strlen(dir) + 1);
    if (hob_module_library_dir(places->library, sizeof places->library, NULL))
        places->library[0] = '\0';
    if (hob_module_program_dir(places->program, sizeof places->program, NULL))
        places->program[0] = '\0';
}

static void say_missing(const struct places *places, const char *name, struct hob_error *err)
{
    char path[PATH_MAX];
    struct hob_buf tried;
    hob_buf_init(&tried, HOB_ERROR_MESSAGE_MAX);
    for (int i = 0; i < PLACES; i++)
        if (has_place(places, i, name, path))
            hob_buf_printf(&tried, "%s%s", hob_buf_len(&tried) ? ", " : "", path);
    const char *list = hob_buf_string(&tried);
    hob_error_set(err, HOB_ENOENT,
                  "module %s was not found: install it beside hob, or name its directory in "
                  "HOB_MODULE_DIR; looked for %s",
                  name, list ? list : "it");
    hob_buf_free(&tried);
}

struct search {
    const char *name;
    char path[PATH_MAX]; /* "": not found */
};

static int is_searched(struct dl_phdr_info *object, size_t unused, void *user)
{
    struct search *search = user;
    const char *slash = strrchr(object->dlpi_name, '/');
    size_t len = strlen(search->name);
    if (!slash || strncmp(slash + 1, search->name, len) != 0 || strcmp(slash + 1 + len, ".so") != 0)
        return 0;
    if (strlen(object->dlpi_name) < sizeof search->path)
        memcpy(search->path, object->dlpi_name, strlen(object->dlpi_name) + 1);
    return 1;
}

/* A module is there once in a process, wherever it was found. The product may have set another
 * clock since it was loaded. */
static const void *loaded(const char *name)
{
    struct search search = {.name = name};
    dl_iterate_phdr(is_searched, &search);
    void *handle = *search.path ? dlopen(search.path, RTLD_NOW | RTLD_NOLOAD) : NULL;
    const void *table = handle ? dlsym(handle, "hob_module") : NULL;
    if (handle) {
        begin(handle);
        dlclose(handle); /* counts it down; who loaded it keeps it */
    }
    return table;
}

const void *hob_module_open_in(const char *dir, const char *name, struct hob_error *err)
{
    if (!is_name(name)) {
        hob_error_set(err, HOB_EINVAL, "'%s' is no name of a module", name);
        return NULL;
    }
    const void *table = loaded(name);
    if (table)
        return table;
    struct places places;
    char path[PATH_MAX];
    find_places(dir, &places);
    for (int i = 0; i < PLACES; i++)
        if (has_place(&places, i, name, path) && access(path, F_OK) == 0)
            return load(path, name, err);
    say_missing(&places, name, err);
    return NULL;
}

const void *hob_module_open(const char *name, struct hob_error *err)
{
    return hob_module_open_in(NULL, name, err);
}
