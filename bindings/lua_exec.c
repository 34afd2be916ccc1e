/* lua_exec.c - hob.exec: run and check; spawn is in lua_exec_spawn.c. */
#include "lua_exec.h"

#include "work/task.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGV_MAX          4096
#define WORDS_MAX         128
#define COMMAND_WORDS_MAX 200
#define ERROR_NAME        "hob.exec.error"
#define REPORTED          "hob.exec.reported" /* in the registry: what lib/hob/job.lua reports */

/* ---- options ---- */

static const char *const run_options[] = {"stdin", "env",  "cwd",    "timeout",
                                          "grace", "tail", "report", NULL};

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
    luaL_argcheck(L, n >= 1 && n <= ARGV_MAX, index, "expected { \"program\", \"argument\", ... }");
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
    int n = 0;
    for (char **entry = environ; *entry; entry++) {
        n++;
    }
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        n++;
    }
    return n;
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

static const char *const *read_env(lua_State *L, int index)
{
    int type = lua_getfield(L, index, "env");
    if (type == LUA_TNIL) {
        return NULL;
    }
    if (type != LUA_TTABLE) {
        luaL_error(L, "env: expected table, got %s", luaL_typename(L, -1));
    }
    int table = lua_gettop(L), n = 0;
    const char **env = lua_newuserdatauv(L, sizeof *env * ((size_t)count_env(L, table) + 1), 1);
    lua_newtable(L); /* keeps the entries */
    for (char **entry = environ; *entry; entry++) {
        if (!is_overridden(L, table, *entry)) {
            env[n++] = *entry;
        }
    }
    int keep = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, table); lua_settop(L, keep + 1)) {
        const char *entry = env_entry(L);
        if (entry) {
            env[n++] = entry;
            lua_rawseti(L, keep, n);
        }
    }
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

/* What is borrowed stays on the stack until hob_exec_start has copied it. */
void hob_lua_exec_options(lua_State *L, int index, struct hob_exec_options *options)
{
    options->argv = read_argv(L, index);
    options->env = read_env(L, index);
    options->cwd = hob_lua_opt_string(L, index, "cwd", hob_lua_job_dir(L));
    options->timeout_ms = hob_lua_ms(L, hob_lua_opt_number(L, index, "timeout", 0), "timeout");
    options->grace_ms = hob_lua_ms(L, hob_lua_opt_number(L, index, "grace", 0), "grace");
    options->tail_bytes = read_tail(L, index);
    options->set = hob_bindings_host(L)->children;
    options->input = hob_lua_opt_string(L, index, "stdin", NULL);
    if (options->input) {
        lua_getfield(L, index, "stdin");
        options->input = lua_tolstring(L, -1, &options->input_len);
    }
}

/* ---- results ---- */

static char *copy_bytes(const char *data, size_t len)
{
    char *copy = malloc(len + 1);
    if (copy) {
        memcpy(copy, data, len);
        copy[len] = '\0';
    }
    return copy;
}

void hob_lua_exec_take(struct hob_lua_exec_outcome *outcome, const struct hob_exec_result *result)
{
    outcome->result = *result;
    outcome->result.out = copy_bytes(result->out, result->out_len);
    outcome->result.err = copy_bytes(result->err, result->err_len);
}

void hob_lua_exec_drop(struct hob_lua_exec_outcome *outcome)
{
    free((char *)(uintptr_t)outcome->result.out);
    free((char *)(uintptr_t)outcome->result.err);
    outcome->result.out = outcome->result.err = NULL;
}

static void push_stream(lua_State *L, const char *name, const char *data, size_t len)
{
    if (!data) {
        luaL_error(L, "out of memory for the output of a program");
    }
    lua_pushlstring(L, data, len);
    lua_setfield(L, -2, name);
}

void hob_lua_exec_push(lua_State *L, const struct hob_lua_exec_outcome *outcome)
{
    const struct hob_exec_result *result = &outcome->result;
    char words[WORDS_MAX];
    lua_createtable(L, 0, 10);
    if (result->code >= 0) {
        lua_pushinteger(L, result->code);
        lua_setfield(L, -2, "code");
    }
    if (result->signal) {
        lua_pushinteger(L, result->signal);
        lua_setfield(L, -2, "signal");
    }
    lua_pushboolean(L, result->timed_out);
    lua_setfield(L, -2, "timed_out");
    lua_pushboolean(L, result->out_of_memory);
    lua_setfield(L, -2, "out_of_memory");
    push_stream(L, "stdout", result->out, result->out_len);
    push_stream(L, "stderr", result->err, result->err_len);
    lua_pushinteger(L, (lua_Integer)result->out_cut);
    lua_setfield(L, -2, "stdout_cut");
    lua_pushinteger(L, (lua_Integer)result->err_cut);
    lua_setfield(L, -2, "stderr_cut");
    lua_pushstring(L, hob_exec_words(result, words, sizeof words));
    lua_setfield(L, -2, "words");
    if (outcome->lines_dropped) {
        lua_pushinteger(L, (lua_Integer)outcome->lines_dropped);
        lua_setfield(L, -2, "lines_dropped");
    }
}

/* ---- errors of check: tables that read like the message they hold ---- */

static int error_tostring(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "message");
    luaL_tolstring(L, -1, NULL);
    return 1;
}

/* "x: " .. err goes on as if it were a string. */
static int error_concat(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    luaL_tolstring(L, 2, NULL);
    lua_concat(L, 2);
    return 1;
}

/* The words on top become an error, with the position of the caller before them. */
static void push_error(lua_State *L, const char *code)
{
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
    lua_createtable(L, 0, 7);
    lua_insert(L, -2);
    lua_setfield(L, -2, "message");
    lua_pushstring(L, code);
    lua_setfield(L, -2, "code");
    if (hob_lua_new_metatable(L, ERROR_NAME)) {
        lua_pushcfunction(L, error_tostring);
        lua_setfield(L, -2, "__tostring");
        lua_pushcfunction(L, error_concat);
        lua_setfield(L, -2, "__concat");
    }
    lua_setmetatable(L, -2);
}

static const char *error_code(const struct hob_exec_result *result)
{
    if (result->timed_out)
        return "TIMED_OUT";
    if (result->out_of_memory)
        return "OUT_OF_MEMORY";
    return result->signal ? "SIGNAL" : "EXIT_CODE";
}

/* ---- run and check ---- */

struct run {
    struct hob_task *task;
    struct hob_exec *exec; /* NULL once it is done */
    struct hob_lua_exec_outcome outcome;
    char *command; /* of check: for its error; NULL in run */
    bool report;
};

static void run_done(void *user, const struct hob_exec_result *result)
{
    struct run *run = user;
    run->exec = NULL;
    hob_lua_exec_take(&run->outcome, result);
    hob_task_wake(run->task);
}

static void run_cancel(void *user)
{
    struct run *run = user;
    if (run->exec) {
        hob_exec_cancel(run->exec);
    }
    run->exec = NULL;
}

static void run_free(void *user)
{
    struct run *run = user;
    hob_lua_exec_drop(&run->outcome);
    free(run->command);
    free(run);
}

static int last_line_start(const char *text, size_t len)
{
    while (len > 0 && text[len - 1] != '\n') {
        len--;
    }
    return (int)len;
}

static void push_last_line(lua_State *L, const char *text, size_t len)
{
    while (len > 0 && strchr("\r\n\t ", text[len - 1])) {
        len--;
    }
    size_t start = (size_t)last_line_start(text, len);
    lua_pushlstring(L, text + start, len - start);
}

static void copy_field(lua_State *L, int from, const char *name, const char *as)
{
    lua_getfield(L, from, name);
    lua_setfield(L, -2, as);
}

/* The table with the result is on top, and stays there. */
static void remember_reported(lua_State *L)
{
    static const char *const names[] = {"stdout", "stderr", "stdout_cut", "stderr_cut", NULL};
    int result = lua_gettop(L);
    lua_createtable(L, 0, 4);
    for (const char *const *name = names; *name; name++) {
        copy_field(L, result, *name, *name);
    }
    lua_setfield(L, LUA_REGISTRYINDEX, REPORTED);
}

static int raise_run(lua_State *L, const struct run *run)
{
    static const char *const names[] = {"signal", "stdout", "stderr", NULL};
    const struct hob_exec_result *result = &run->outcome.result;
    char words[WORDS_MAX];
    int table = lua_gettop(L);
    hob_exec_words(result, words, sizeof words);
    push_last_line(L, result->err, result->err_len); /* any bytes */
    lua_pushfstring(L, "%s: %s%s", run->command, words, lua_rawlen(L, -1) > 0 ? ": " : "");
    lua_insert(L, -2);
    lua_concat(L, 2);
    push_error(L, error_code(result));
    copy_field(L, table, "code", "exit_code");
    for (const char *const *name = names; *name; name++) {
        copy_field(L, table, *name, *name);
    }
    return lua_error(L);
}

static int run_push(lua_State *L, void *user)
{
    struct run *run = user;
    hob_lua_exec_push(L, &run->outcome);
    if (run->report) {
        remember_reported(L);
    }
    const struct hob_exec_result *result = &run->outcome.result;
    if (!run->command || (result->code == 0 && !result->timed_out)) {
        return 1;
    }
    return raise_run(L, run);
}

static int fail_start(lua_State *L, bool check, const struct hob_error *err)
{
    if (!check) {
        return hob_lua_fail(L, err);
    }
    lua_pushstring(L, err->message);
    push_error(L, "NOT_STARTED");
    return lua_error(L);
}

/* The command as a person would write it, for check's error. */
static void push_command(lua_State *L, int index)
{
    luaL_Buffer text;
    lua_Integer n = luaL_len(L, index);
    luaL_buffinit(L, &text);
    for (int i = 1; i <= n && luaL_bufflen(&text) < COMMAND_WORDS_MAX; i++) {
        luaL_addstring(&text, i > 1 ? " " : "");
        lua_geti(L, index, i);
        luaL_addvalue(&text);
    }
    luaL_pushresult(&text);
}

static int start_run(lua_State *L, bool check)
{
    hob_lua_check_options(L, 1, run_options);
    lua_settop(L, 1);
    struct hob_task *task = hob_task_current(L);
    struct hob_exec_options options = {.done = run_done};
    struct hob_error err;
    bool report = hob_lua_opt_boolean(L, 1, "report", false);
    hob_lua_exec_options(L, 1, &options);
    push_command(L, 1);
    struct run *run = calloc(1, sizeof *run);
    char *command = run && check ? strdup(lua_tostring(L, -1)) : NULL;
    if (!run || (check && !command)) {
        free(run);
        return luaL_error(L, "out of memory");
    }
    run->task = task;
    run->command = command;
    run->report = report;
    options.user = run;
    if (hob_exec_start(hob_scheduler_loop(L), &options, &run->exec, &err)) {
        run_free(run);
        return fail_start(L, check, &err);
    }
    return hob_task_suspend(
        L, &(struct hob_task_wait){.name = check ? "hob.exec.check" : "hob.exec.run",
                                   .push = run_push,
                                   .cancel = run_cancel,
                                   .op_free = run_free,
                                   .op = run});
}

static int exec_run(lua_State *L)
{
    return start_run(L, false);
}

static int exec_check(lua_State *L)
{
    return start_run(L, true);
}

static const luaL_Reg functions[] = {
    {"run", exec_run}, {"check", exec_check}, {"spawn", hob_lua_exec_spawn}, {NULL, NULL}};

int hob_lua_open_exec(lua_State *L)
{
    hob_lua_exec_open_spawn(L);
    luaL_newlib(L, functions);
    return 1;
}
