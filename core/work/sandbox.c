#include "work/sandbox.h"

#include "base/alloc.h"
#include "work/modules.h"
#include "work/sandbox_kit.h"
#include "work/sandbox_memory.h"
#include "work/scripts.h"
#include "work/scripts_dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOURCE_MAX      (1u << 20)
#define COLLECTOR_PAUSE 120 /* small states: collect early rather than grow */
/* A new state has no garbage, and a short job ends before it has made this much. */
#define COLLECTOR_CREDIT_KB 48
#define MUCH_MEMORY         (4u << 20)
#define CIRCLE_LEVELS       100 /* of calls; the stack of the process has room for no more in C */
#define TRIED_TABLE         "hob.tried" /* names of modules that have been loaded, well or not */

struct hob_sandbox {
    struct hob_modules_host host; /* first: hob_scheduler_user gives this */
    lua_State *L;
    struct hob_scheduler *scheduler;
    int (*find_source)(void *user, const char *name, const char **path, const char **text,
                       size_t *len, struct hob_error *err);
    void (*on_source)(void *user, const char *name, const char *path, const char *text, size_t len);
    void *source_user;
    struct hob_scripts_modules *modules;
    struct hob_sandbox_kit *kit;
    char *script_lib;
    char *lib;
    struct hob_sandbox_memory memory;
    size_t used, peak;
    size_t limit;
    size_t allowance; /* beyond it */
};

/* ---- memory ---- */

static void *refuse(struct hob_sandbox *sandbox, bool had_some, size_t wanted)
{
    if (sandbox->scheduler) {
        hob_scheduler_refuse_memory(sandbox->scheduler, sandbox->limit, had_some, wanted);
    }
    return NULL;
}

static void *move(struct hob_sandbox *sandbox, void *block, size_t old, size_t new_size)
{
    void *moved = hob_sandbox_memory_move(&sandbox->memory, block, old, new_size);
    if (moved || new_size == 0) {
        sandbox->used += new_size - old;
        sandbox->peak = sandbox->used > sandbox->peak ? sandbox->used : sandbox->peak;
    } else if (hob_sandbox_memory_is_spread(&sandbox->memory)) {
        refuse(sandbox, block != NULL, new_size);
    }
    return moved;
}

/* Most blocks are small, and most of these are there already. */
static void *allocate(void *user, void *block, size_t old_size, size_t new_size)
{
    struct hob_sandbox *sandbox = user;
    size_t old = block ? old_size : 0; /* for a new block Lua passes its kind here */
    if (new_size > old && sandbox->used - old + new_size > sandbox->limit + sandbox->allowance) {
        return refuse(sandbox, block != NULL, new_size);
    }
    if (!block && new_size > 0 && hob_sandbox_memory_is_small(new_size)) {
        void *made = hob_sandbox_memory_take(&sandbox->memory, new_size);
        if (made) {
            sandbox->used += new_size;
            return made;
        }
    } else if (new_size == 0 && old > 0 && hob_sandbox_memory_is_small(old)) {
        sandbox->used -= old;
        hob_sandbox_memory_give(&sandbox->memory, block, old);
        return NULL;
    }
    return move(sandbox, block, old, new_size);
}

void hob_sandbox_limit_memory(struct hob_sandbox *sandbox, size_t bytes)
{
    sandbox->limit = bytes;
    sandbox->memory.limit = bytes + sandbox->allowance;
}

void hob_sandbox_allow_memory(struct hob_sandbox *sandbox, size_t bytes)
{
    sandbox->allowance = bytes;
    sandbox->memory.limit = sandbox->limit + bytes;
}

size_t hob_sandbox_memory(const struct hob_sandbox *sandbox)
{
    return sandbox->used;
}

/* ---- require ---- */

static int safe_require(lua_State *L);

static int module_path(lua_State *L, const char *dir, const char *name, char *out, size_t len)
{
    char file[PATH_MAX];
    if (strstr(name, "..") || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                           "0123456789_-.") != strlen(name)) {
        return luaL_error(L, "require: '%s' is not a module name", name);
    }
    snprintf(file, sizeof file, "%s", name);
    for (char *c = file; *c; c++) {
        *c = *c == '.' ? '/' : *c;
    }
    int n = snprintf(out, len, "%s/%s.lua", dir, file);
    return n > 0 && (size_t)n < len;
}

static bool find_shared(lua_State *L, const char *dirs, const char *name, char out[PATH_MAX])
{
    char dir[PATH_MAX];
    while (hob_scripts_dirs_next(&dirs, dir)) {
        if (module_path(L, dir, name, out, PATH_MAX) && access(out, R_OK) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_ours(const char *name)
{
    return strncmp(name, "hob.", 4) == 0 || strcmp(name, "iotjobs") == 0 ||
           strncmp(name, "iotjobs.", 8) == 0;
}

static int load_text(lua_State *L, const char *path, const char *text, size_t len)
{
    char chunk[PATH_MAX + 2];
    snprintf(chunk, sizeof chunk, "@%s", path);
    return luaL_loadbufferx(L, text, len, chunk, "t");
}

/* A FIFO, or a device, must not hold everybody. */
static FILE *open_regular(const char *path, struct hob_error *err)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool regular = fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    FILE *file = regular ? fdopen(fd, "rb") : NULL;
    if (!file) {
        hob_error_set(err, HOB_EIO, "%s: %s", path,
                      fd >= 0 && !regular ? "no regular file" : strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
    }
    return file;
}

/** @return the text (free it), or NULL with the reason */
static char *read_text(const char *path, size_t *len, struct hob_error *err)
{
    FILE *file = open_regular(path, err);
    if (!file) {
        return NULL;
    }
    char *text = hob_malloc(SOURCE_MAX + 1);
    *len = text ? fread(text, 1, SOURCE_MAX + 1, file) : 0;
    bool bad = !text || ferror(file) || *len > SOURCE_MAX;
    if (bad) {
        hob_error_set(err, text ? HOB_EIO : HOB_ENOMEM, "%s: %s", path,
                      *len > SOURCE_MAX ? "larger than 1 MB" : strerror(errno));
        hob_free(text);
    }
    fclose(file);
    return bad ? NULL : text;
}

void hob_sandbox_set_modules(struct hob_sandbox *sandbox, struct hob_scripts_modules *modules)
{
    hob_scripts_modules_hold(modules);
    hob_scripts_modules_release(sandbox->modules);
    sandbox->modules = modules;
}

static bool load_checked(lua_State *L, struct hob_sandbox *sandbox, const char *name)
{
    struct hob_script *module = hob_scripts_modules_find(sandbox->modules, name);
    if (!module) {
        return false;
    }
    if (module->error.code) {
        luaL_error(L, "module '%s': %s", name, module->error.message);
    }
    hob_sandbox_kit_load_script(L, module);
    if (sandbox->on_source) {
        sandbox->on_source(sandbox->source_user, name, module->path, module->text, module->len);
    }
    return true;
}

/* A module of the scripts': as it was saved for this execution, else as it was checked with the
 * handler, else from the directory. */
static bool load_shared(lua_State *L, struct hob_sandbox *sandbox, const char *name)
{
    const char *saved_path = NULL, *saved = NULL;
    char path[PATH_MAX];
    struct hob_error err = {0};
    size_t len = 0;
    if (sandbox->find_source &&
        sandbox->find_source(sandbox->source_user, name, &saved_path, &saved, &len, &err)) {
        luaL_error(L, "module '%s': %s", name, err.message);
    }
    if (saved) {
        return load_text(L, saved_path, saved, len) == LUA_OK || lua_error(L);
    }
    if (sandbox->modules) {
        return load_checked(L, sandbox, name);
    }
    if (!sandbox->script_lib || !find_shared(L, sandbox->script_lib, name, path)) {
        return false;
    }
    char *text = read_text(path, &len, &err);
    if (!text) {
        luaL_error(L, "module '%s': %s", name, err.message);
    }
    int status = load_text(L, path, text, len);
    if (status == LUA_OK && sandbox->on_source) {
        sandbox->on_source(sandbox->source_user, name, path, text, len);
    }
    hob_free(text);
    return status == LUA_OK || lua_error(L);
}

/* What surrounds a handler's run() is loaded when it is needed, perhaps after the handler has
 * changed its globals: it sees those of the language. It is always Hob's own: the store, which may
 * have failed by then, is not asked for it. */
static bool is_surroundings(const char *name)
{
    return strcmp(name, "hob.job") == 0 || strncmp(name, "hob.job.", 8) == 0 ||
           strcmp(name, "hob.nearest") == 0;
}

static void push_language(lua_State *L, struct hob_sandbox *sandbox)
{
    static const char key;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TTABLE) {
        return;
    }
    lua_pop(L, 1);
    hob_sandbox_kit_push_language(sandbox->kit, L);
    lua_pushcfunction(L, safe_require);
    lua_setfield(L, -2, "require");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
}

static void load_module(lua_State *L, const char *name)
{
    struct hob_sandbox *sandbox = hob_scheduler_user(L);
    char path[PATH_MAX];
    if (hob_modules_push_opener(L, name)) {
        return;
    }
    if (!is_surroundings(name) && load_shared(L, sandbox, name)) {
        return;
    }
    if (!is_ours(name) || !module_path(L, sandbox->lib, name, path, sizeof path) ||
        !hob_sandbox_kit_load(sandbox->kit, L, path)) {
        const char *dirs = sandbox->script_lib ? sandbox->script_lib : "scripts/lib";
        const char *words = luaL_gsub(L, dirs, "\n", ", ");
        luaL_error(
            L,
            "module '%s' not found: it is none of Hob's, and there is no such file in %s; one "
            "that a product has in C is there only inside of it: on a desk a file there, "
            "with the same functions, stands in for it",
            name, words);
    }
    if (is_surroundings(name)) {
        push_language(L, sandbox);
        lua_setupvalue(L, -2, 1);
    }
}

/* A module that requires the one that requires it would do so until the stack is full. */
static void check_circle(lua_State *L, const char *name)
{
    lua_Debug ar;
    for (int level = 1; level < CIRCLE_LEVELS && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "f", &ar);
        bool ours = lua_tocfunction(L, -1) == safe_require;
        lua_pop(L, 1);
        if (ours && lua_getlocal(L, &ar, 1)) {
            const char *outer = lua_tostring(L, -1);
            if (outer && strcmp(outer, name) == 0) {
                luaL_error(L,
                           "module '%s' is required while it is being loaded: modules require "
                           "one another in a circle",
                           name);
            }
            lua_pop(L, 1);
        }
    }
}

/* A slow processor compiles a handler's modules for a while. Once for each: one that fails is
 * loaded anew each time. */
static void give_time(lua_State *L, const char *name)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, TRIED_TABLE);
    if (lua_getfield(L, -1, name) == LUA_TNIL) {
        lua_pushboolean(L, 1);
        lua_setfield(L, -3, name);
        hob_task_watch_anew(L);
    }
    lua_pop(L, 2);
}

static int safe_require(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    if (lua_getfield(L, -1, name) != LUA_TNIL) {
        return 1;
    }
    lua_pop(L, 1);
    check_circle(L, name);
    load_module(L, name);
    lua_pushvalue(L, 1);
    give_time(L, name);
    lua_call(L, 1, 1);
    hob_task_watch_anew(L);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, 2, name);
    return 1;
}

void hob_sandbox_require(lua_State *L, const char *name)
{
    lua_pushcfunction(L, safe_require);
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
}

/* ---- life ---- */

static int open_recorder(lua_State *L)
{
    hob_sandbox_require(L, "hob.handler.recorder"); /* may change what handlers get */
    return 0;
}

/* Protected: hob_scheduler_new allocates in L. */
static int make_scheduler(lua_State *L)
{
    struct hob_sandbox *sandbox = lua_touserdata(L, 1);
    hob_sandbox_kit_open(sandbox->kit, L);
    lua_register(L, "require", safe_require);
    sandbox->scheduler = hob_scheduler_new_in(sandbox->host.loop, L, sandbox);
    if (!sandbox->scheduler) {
        return luaL_error(L, "out of memory");
    }
    hob_scheduler_own_files(sandbox->scheduler, sandbox->lib);
    if (sandbox->host.agent) {
        hob_scheduler_join(sandbox->scheduler, sandbox->host.agent->party);
    }
    return 0;
}

static int fill(struct hob_sandbox *sandbox, struct hob_error *err)
{
    lua_State *L = sandbox->L;
    lua_gc(L, LUA_GCINC, COLLECTOR_PAUSE, 0, 0);
    lua_gc(L, LUA_GCSTOP);
    lua_pushcfunction(L, make_scheduler);
    lua_pushlightuserdata(L, sandbox);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        return hob_error_set(err, HOB_ENOMEM, "sandbox: %s", lua_tostring(L, -1));
    }
    int rc = sandbox->host.bench ? hob_sandbox_call(sandbox, open_recorder, NULL, err) : 0;
    lua_gc(L, LUA_GCRESTART);
    lua_gc(L, LUA_GCSTEP, -COLLECTOR_CREDIT_KB);
    return rc;
}

int hob_sandbox_new(const struct hob_sandbox_options *options, struct hob_sandbox **out,
                    struct hob_error *err)
{
    struct hob_sandbox *sandbox = hob_calloc(1, sizeof *sandbox);
    if (!sandbox) {
        return hob_error_set(err, HOB_ENOMEM, "sandbox: out of memory");
    }
    sandbox->host = (struct hob_modules_host){.loop = options->loop,
                                              .log = options->log,
                                              .job = options->job,
                                              .agent = options->agent,
                                              .policy = options->policy,
                                              .children = options->children,
                                              .native = options->native,
                                              .bench = options->bench,
                                              .debugger = options->debugger,
                                              .console = options->console};
    sandbox->find_source = options->find_source;
    sandbox->on_source = options->on_source;
    sandbox->source_user = options->source_user;
    hob_sandbox_limit_memory(sandbox,
                             options->memory_bytes ? options->memory_bytes : HOB_SANDBOX_MEMORY);
    sandbox->modules = hob_scripts_modules_hold(options->modules);
    sandbox->script_lib = options->script_lib ? hob_strdup(options->script_lib) : NULL;
    sandbox->lib = hob_strdup(options->lib);
    sandbox->kit = hob_sandbox_kit_hold(options->kit);
    int rc = sandbox->kit ? 0 : hob_sandbox_kit_new(&sandbox->kit, err);
    sandbox->L = rc ? NULL : lua_newstate(allocate, sandbox);
    rc = HOB_ENOMEM;
    if (sandbox->lib && sandbox->L) {
        rc = fill(sandbox, err);
    } else {
        hob_error_set(err, rc, "sandbox: out of memory");
    }
    if (rc) {
        hob_sandbox_free(sandbox);
        return rc;
    }
    *out = sandbox;
    return 0;
}

/* The C library keeps what was freed for the next one who asks for as much. */
static void give_back_memory(size_t peak)
{
    if (peak > MUCH_MEMORY) {
        hob_alloc_trim();
    }
}

void hob_sandbox_free(struct hob_sandbox *sandbox)
{
    if (!sandbox) {
        return;
    }
    size_t peak = sandbox->peak;
    sandbox->memory.closing = true;
    if (sandbox->scheduler) {
        hob_scheduler_close(sandbox->scheduler);
    } else if (sandbox->L) {
        lua_close(sandbox->L);
    }
    hob_sandbox_memory_close(&sandbox->memory);
    hob_scripts_modules_release(sandbox->modules);
    hob_sandbox_kit_release(sandbox->kit);
    hob_free(sandbox->script_lib);
    hob_free(sandbox->lib);
    hob_free(sandbox);
    give_back_memory(peak);
}

lua_State *hob_sandbox_lua(struct hob_sandbox *sandbox)
{
    return sandbox->L;
}

struct hob_scheduler *hob_sandbox_scheduler(struct hob_sandbox *sandbox)
{
    return sandbox->scheduler;
}

int hob_sandbox_call(struct hob_sandbox *sandbox, lua_CFunction fn, void *arg,
                     struct hob_error *err)
{
    return hob_scheduler_call(sandbox->scheduler, fn, arg, err);
}
