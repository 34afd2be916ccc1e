/* lua_exec.c - hob.exec: run and check; spawn is in lua_exec_spawn.c. */
#include "lua_exec.h"

#include "base/alloc.h"
#include "work/job.h"
#include "work/modules.h"
#include "work/task.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX         128
#define COMMAND_WORDS_MAX 200
#define ERROR_NAME        "hob.exec.error"
#define REPORTED          "hob.exec.reported" /* in the registry: what lib/hob/job.lua reports */

static const char *const run_options[] = {HOB_LUA_EXEC_OPTIONS, "report", NULL};

/* ---- results ---- */

static char *copy_bytes(const char *data, size_t len)
{
    char *copy = hob_malloc(len + 1);
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
    hob_free((char *)(uintptr_t)outcome->result.out);
    hob_free((char *)(uintptr_t)outcome->result.err);
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

static void push_file(lua_State *L, const char *written, uint64_t bytes, const char *failed,
                      int error)
{
    if (bytes) {
        lua_pushinteger(L, (lua_Integer)bytes);
        lua_setfield(L, -2, written);
    }
    if (error) {
        lua_pushstring(L, uv_strerror(error));
        lua_setfield(L, -2, failed);
    }
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
    push_file(L, "stdout_written", result->out_written, "stdout_error", result->out_error);
    push_file(L, "stderr_written", result->err_written, "stderr_error", result->err_error);
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
    if (result->unknown)
        return "STATUS_TAKEN";
    return result->signal ? "SIGNAL" : "EXIT_CODE";
}

/* ---- run and check ---- */

struct run {
    struct hob_task *task;
    struct hob_exec *exec; /* NULL once it is done */
    struct hob_lua_exec_outcome outcome;
    char *command; /* of check: for its error; NULL in run */
    bool report, out_file, err_file;
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
    hob_free(run->command);
    hob_free(run);
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

/* What is wrong with a file for an output: words are pushed; else nothing. @return a code, or NULL
 */
static const char *push_file_trouble(lua_State *L, const struct run *run,
                                     const struct hob_exec_result *result)
{
    int error = result->out_error ? result->out_error : result->err_error;
    if (error) {
        lua_pushfstring(L, "%s: its output could not be written: %s", run->command,
                        uv_strerror(error));
        return hob_error_name(hob_error_from_uv(error));
    }
    if ((run->out_file && result->out_cut) || (run->err_file && result->err_cut)) {
        lua_pushfstring(L, "%s: its output went over the limit of the file", run->command);
        return "EMSGSIZE";
    }
    return NULL;
}

static int raise_run(lua_State *L, int table, const char *code)
{
    static const char *const names[] = {"signal", "stdout", "stderr", NULL};
    push_error(L, code);
    copy_field(L, table, "code", "exit_code");
    for (const char *const *name = names; *name; name++) {
        copy_field(L, table, *name, *name);
    }
    return lua_error(L);
}

static void push_words(lua_State *L, const struct run *run, const struct hob_exec_result *result)
{
    char words[WORDS_MAX];
    hob_exec_words(result, words, sizeof words);
    push_last_line(L, result->err, result->err_len); /* any bytes */
    lua_pushfstring(L, "%s: %s%s", run->command, words, lua_rawlen(L, -1) > 0 ? ": " : "");
    lua_insert(L, -2);
    lua_concat(L, 2);
}

/* Whoever stops Hob may stop its programs, too: systemd does unless the unit has KillMode=mixed. */
static bool was_stopped_with_us(const struct hob_job *job, const struct hob_exec_result *result)
{
    return job && result->signal == SIGTERM && !result->timed_out && hob_job_is_stopping(job) &&
           !hob_job_is_delicate(job);
}

static int push_outcome(lua_State *L, const struct run *run,
                        const struct hob_lua_exec_outcome *outcome)
{
    const struct hob_exec_result *result = &outcome->result;
    struct hob_job *job = hob_bindings_host(L)->job;
    if (was_stopped_with_us(job, result)) {
        hob_job_park(job); /* it goes on when Hob starts again */
        return hob_task_suspend(L, &(struct hob_task_wait){.name = "hob.exec"});
    }
    hob_lua_exec_push(L, outcome);
    if (run->report) {
        remember_reported(L);
    }
    int table = lua_gettop(L);
    if (!run->command) {
        return 1;
    }
    if (result->code != 0 || result->timed_out) {
        push_words(L, run, result);
        return raise_run(L, table, error_code(result));
    }
    const char *code = push_file_trouble(L, run, result);
    return code ? raise_run(L, table, code) : 1;
}

static int run_push(lua_State *L, void *user)
{
    struct run *run = user;
    return push_outcome(L, run, &run->outcome);
}

static int fail_start(lua_State *L, bool check, const struct hob_error *err)
{
    if (!check) {
        return hob_lua_fail(L, err);
    }
    lua_pushstring(L, err->message);
    push_error(L, err->code == HOB_EPERM ? "EPERM" : "NOT_STARTED");
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

static struct run *new_run(lua_State *L, struct hob_task *task, bool check)
{
    bool report = hob_lua_opt_boolean(L, 1, "report", false);
    push_command(L, 1);
    struct run *run = hob_calloc(1, sizeof *run);
    char *command = run && check ? hob_strdup(lua_tostring(L, -1)) : NULL;
    if (!run || (check && !command)) {
        hob_free(run);
        luaL_error(L, "out of memory");
    }
    run->task = task;
    run->command = command;
    run->report = report;
    return run;
}

static int lines_push(lua_State *L, void *user, const struct hob_lua_exec_outcome *outcome)
{
    return push_outcome(L, user, outcome);
}

static int run_with_lines(lua_State *L, struct hob_exec_options *options, struct run *run,
                          const char *name)
{
    struct hob_error err;
    int code;
    bool check = run->command != NULL;
    struct hob_lua_exec_end end = {.name = name, .push = lines_push, .free = run_free, .user = run};
    int results = hob_lua_exec_run_lines(L, 2, options, &end, run->task, &err, &code);
    if (code == 0) {
        return results;
    }
    run_free(run);
    return fail_start(L, check, &err);
}

static int start_run(lua_State *L, bool check)
{
    const char *name = check ? "hob.exec.check" : "hob.exec.run";
    hob_lua_check_options(L, 1, run_options);
    lua_settop(L, 1);
    struct hob_task *task = hob_task_current(L);
    struct hob_exec_options options = {.done = run_done};
    struct hob_error err;
    int type = lua_getfield(L, 1, "on_line");
    if (type != LUA_TNIL && type != LUA_TFUNCTION) {
        return luaL_error(L, "on_line: expected function, got %s", luaL_typename(L, -1));
    }
    if (hob_lua_exec_options(L, 1, &options, &err)) {
        return fail_start(L, check, &err);
    }
    struct run *run = new_run(L, task, check);
    run->out_file = options.out_file != NULL;
    run->err_file = options.err_file != NULL;
    if (type == LUA_TFUNCTION) {
        return run_with_lines(L, &options, run, name);
    }
    options.user = run;
    if (hob_exec_start(hob_scheduler_loop(L), &options, &run->exec, &err)) {
        run_free(run);
        return fail_start(L, check, &err);
    }
    return hob_task_suspend(
        L,
        &(struct hob_task_wait){
            .name = name, .push = run_push, .cancel = run_cancel, .op_free = run_free, .op = run});
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
