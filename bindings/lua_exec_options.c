/* lua_exec_options.c - hob.exec: the table that says what to run, and how. */
#include "lua_exec.h"

#include "device/files.h"
#include "device/policy.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARGV_MAX 4096
#define USER_VARIABLES                                                                             \
    ((int)(sizeof((struct hob_user *)0)->variables / sizeof(((struct hob_user *)0)->variables[0])))

static const char *check_no_nul(lua_State *L, int index, const char *what)
{
    size_t len;
    const char *text = lua_tolstring(L, index, &len);
    if (strlen(text) != len) {
        luaL_error(L, "%s: a NUL byte cannot be handed to a program", what);
    }
    return text;
}

/* Numbers are made strings in a table that stays on the stack, since argv borrows them. */
static const char *const *read_argv(lua_State *L, int index)
{
    lua_Integer n = luaL_len(L, index);
    luaL_argcheck(L, n >= 1, index, "expected { \"program\", \"argument\", ... }");
    if (n > ARGV_MAX) {
        luaL_error(L, "a command of %d words: at most %d", (int)n, ARGV_MAX);
    }
    const char **argv = lua_newuserdatauv(L, sizeof *argv * ((size_t)n + 1), 1);
    lua_createtable(L, (int)n, 0);
    for (int i = 1; i <= n; i++) {
        int type = lua_geti(L, index, i);
        if (type != LUA_TSTRING && type != LUA_TNUMBER) {
            luaL_error(L, "argument %d of the command: expected string or number, got %s", i - 1,
                       luaL_typename(L, -1));
        }
        argv[i - 1] = check_no_nul(L, -1, "command");
        lua_rawseti(L, -2, i);
    }
    lua_setiuservalue(L, -2, 1);
    argv[n] = NULL;
    return argv;
}

/* ---- the environment: the inherited one with the table's members put over it ---- */

static bool is_overridden(lua_State *L, int table, const char *entry)
{
    const char *equals = strchr(entry, '=');
    lua_pushlstring(L, entry, equals ? (size_t)(equals - entry) : strlen(entry));
    bool is = lua_gettable(L, table) != LUA_TNIL;
    lua_pop(L, 1);
    return is;
}

static int count_env(lua_State *L, int table)
{
    int n = USER_VARIABLES;
    for (char **entry = environ; *entry; entry++) {
        n++;
    }
    for (lua_pushnil(L); table && lua_next(L, table); lua_pop(L, 1)) {
        n++;
    }
    return n;
}

static bool is_of_user(const struct hob_user *user, const char *entry)
{
    size_t len = strcspn(entry, "=");
    for (int i = 0; user->other && i < USER_VARIABLES; i++) {
        if (strncmp(user->variables[i], entry, len) == 0 && user->variables[i][len] == '=') {
            return true;
        }
    }
    return false;
}

static const char *env_entry(lua_State *L)
{
    int value = lua_type(L, -1);
    if (lua_type(L, -2) != LUA_TSTRING) {
        luaL_error(L, "env: expected { NAME = \"value\" }, got a %s as name", luaL_typename(L, -2));
    }
    const char *name = check_no_nul(L, -2, "env");
    if (!*name || strchr(name, '=')) {
        luaL_error(L, "env: '%s' is no name of a variable", name);
    }
    if (value == LUA_TBOOLEAN && !lua_toboolean(L, -1)) {
        return NULL; /* NAME = false takes it out */
    }
    if (value != LUA_TSTRING && value != LUA_TNUMBER) {
        luaL_error(L, "env.%s: expected string, number or false, got %s", name,
                   luaL_typename(L, -1));
    }
    lua_pushvalue(L, -1);
    lua_pushfstring(L, "%s=%s", name, check_no_nul(L, -1, "env"));
    lua_remove(L, -2);
    return lua_tostring(L, -1);
}

/* What the child gets from us: our own, with what differs for its user. */
static int inherit(lua_State *L, int table, const struct hob_user *user, const char **env)
{
    int n = 0;
    for (char **entry = environ; *entry; entry++) {
        if (!is_of_user(user, *entry) && !(table && is_overridden(L, table, *entry))) {
            env[n++] = *entry;
        }
    }
    for (int i = 0; user->other && i < USER_VARIABLES; i++) {
        if (!(table && is_overridden(L, table, user->variables[i]))) {
            env[n++] = user->variables[i];
        }
    }
    return n;
}

static const char *const *read_env(lua_State *L, int index, const struct hob_user *user)
{
    int type = lua_getfield(L, index, "env");
    if (type == LUA_TNIL && !user->other) {
        return NULL;
    }
    if (type != LUA_TTABLE && type != LUA_TNIL) {
        luaL_error(L, "env: expected table, got %s", luaL_typename(L, -1));
    }
    int table = type == LUA_TTABLE ? lua_gettop(L) : 0;
    const char **env = lua_newuserdatauv(L, sizeof *env * ((size_t)count_env(L, table) + 1), 1);
    lua_newtable(L); /* keeps the entries */
    int n = inherit(L, table, user, env), keep = lua_gettop(L);
    for (lua_pushnil(L); table && lua_next(L, table); lua_settop(L, keep + 1)) {
        const char *entry = env_entry(L);
        if (entry) {
            env[n++] = entry;
            lua_rawseti(L, keep, n);
        }
    }
    lua_settop(L, keep);
    lua_setiuservalue(L, -2, 1);
    env[n] = NULL;
    return env;
}

static size_t read_tail(lua_State *L, int index)
{
    double tail = hob_lua_opt_number(L, index, "tail", 0);
    if (!(tail >= 0) || tail > 16 * 1024 * 1024) {
        luaL_error(L, "tail: expected bytes from 1 to 16777216");
    }
    return (size_t)tail;
}

/* ---- whom it runs as ---- */

/* A name, or a number; the text stays on the stack. */
static const char *read_who(lua_State *L, int index, const char *name)
{
    int type = lua_getfield(L, index, name);
    if (type == LUA_TNIL) {
        return NULL;
    }
    if (type != LUA_TSTRING && !(lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 0)) {
        luaL_error(L, "%s: expected a name or a number, got %s", name, luaL_typename(L, -1));
    }
    const char *text = lua_tostring(L, -1);
    if (!text[0]) {
        luaL_error(L, "%s: expected a name or a number, got an empty text", name);
    }
    return text;
}

static int read_user(lua_State *L, int index, struct hob_exec_options *options,
                     struct hob_error *err)
{
    struct hob_policy_grant *grant = lua_newuserdatauv(L, sizeof *grant, 0);
    struct hob_policy_wish wish = {.program = options->argv[0], .hob = geteuid()};
    wish.user = read_who(L, index, "user");
    wish.group = read_who(L, index, "group");
    options->as = &grant->user;
    options->file = grant->file;
    return hob_policy_who(hob_bindings_host(L)->policy, &wish, grant, err);
}

/* A directory of another user's is no place to begin: most programs would only wonder. */
static const char *default_cwd(lua_State *L, const struct hob_user *user)
{
    struct stat st;
    const char *dir = hob_lua_job_dir(L);
    bool strange =
        dir && user->other && user->uid != 0 && stat(dir, &st) == 0 && st.st_uid != user->uid;
    return strange ? "/" : dir;
}

/* ---- files for its outputs ---- */

static const char *read_file(lua_State *L, int index, const char *name, struct hob_error *err)
{
    if (!hob_lua_opt_string(L, index, name, NULL)) {
        return NULL;
    }
    lua_getfield(L, index, name);
    const char *path = check_no_nul(L, -1, name);
    if (!path[0]) {
        luaL_error(L, "%s: expected the name of a file", name);
    }
    path = hob_lua_check_path(L, lua_gettop(L));
    struct hob_files_place place = {hob_bindings_host(L)->policy, hob_lua_job_dir(L)};
    hob_files_check(&place, path, HOB_FILES_ENTRY, err);
    return path;
}

static uint64_t read_limit(lua_State *L, int index, const struct hob_exec_options *options)
{
    double limit = hob_lua_opt_number(L, index, "limit", 0);
    if (!(limit >= 0) || limit > (double)(UINT64_C(1) << 53)) {
        luaL_error(L, "limit: expected bytes from 1 to 2^53");
    }
    if (limit > 0 && !options->out_file && !options->err_file) {
        luaL_error(L, "limit: expected stdout or stderr, the file that is to be limited");
    }
    return (uint64_t)limit;
}

/* ---- all ---- */

/* What is borrowed stays on the stack until hob_exec_start has copied it. */
int hob_lua_exec_options(lua_State *L, int index, struct hob_exec_options *options,
                         struct hob_error *err)
{
    *err = (struct hob_error){0};
    luaL_checkstack(L, 40, NULL);
    options->argv = read_argv(L, index);
    int code = read_user(L, index, options, err);
    options->env = read_env(L, index, options->as);
    options->cwd = hob_lua_opt_string(L, index, "cwd", default_cwd(L, options->as));
    options->timeout_ms = hob_lua_ms(L, hob_lua_opt_number(L, index, "timeout", 0), "timeout");
    options->grace_ms = hob_lua_ms(L, hob_lua_opt_number(L, index, "grace", 0), "grace");
    options->tail_bytes = read_tail(L, index);
    options->set = hob_bindings_host(L)->children;
    options->input = hob_lua_opt_string(L, index, "stdin", NULL);
    if (options->input) {
        lua_getfield(L, index, "stdin");
        options->input = lua_tolstring(L, -1, &options->input_len);
    }
    struct hob_error file = {0};
    options->out_file = read_file(L, index, "stdout", &file);
    options->err_file = read_file(L, index, "stderr", &file);
    options->file_limit = read_limit(L, index, options);
    if (code == 0 && file.code) {
        *err = file;
    }
    return err->code;
}
