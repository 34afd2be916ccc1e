#include "host/tool.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/loop.h"
#include "host/paths.h"
#include "work/debug.h"
#include "work/modules.h"
#include "work/task.h"

#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct tool {
    struct hob_modules_host host;
    struct hob_scheduler *scheduler;
    lua_State *L;
    const char *name;
    const char *lib;
    int argc;
    char **argv;
    bool ended;
};

static void set_paths(lua_State *L, const char *lib)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;%s", lib, lib, lua_tostring(L, -1));
    lua_setfield(L, -3, "path");
    lua_pop(L, 2);
}

static int watched_require(lua_State *L)
{
    int nargs = lua_gettop(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    hob_task_watch_anew(L); /* a slow processor compiles a chain of modules for a while */
    lua_call(L, nargs, LUA_MULTRET);
    hob_task_watch_anew(L);
    return lua_gettop(L);
}

static int start_command(lua_State *L)
{
    struct tool *tool = lua_touserdata(L, 1);
    luaL_openlibs(L);
    tool->scheduler = hob_scheduler_new(tool->host.loop, L, &tool->host);
    if (!tool->scheduler) {
        return luaL_error(L, "out of memory");
    }
    hob_scheduler_trust(tool->scheduler);
    hob_modules_open_tool(L);
    set_paths(L, tool->lib);
    lua_getglobal(L, "require");
    lua_pushcclosure(L, watched_require, 1);
    lua_pushvalue(L, -1);
    lua_setglobal(L, "require");
    lua_pushfstring(L, "hob.cli.%s", luaL_gsub(L, tool->name, "-", "_"));
    lua_remove(L, -2);
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "run");
    lua_createtable(L, tool->argc, 0);
    for (int i = 0; i < tool->argc; i++) {
        lua_pushstring(L, tool->argv[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 2;
}

/* hob.process.exit ends a script, too, and has said with which code. */
static void say_error(struct tool *tool, const char *message)
{
    const char *why = message;
    const char *kind = hob_task_engine_error(tool->scheduler, &why);
    if (!kind || strcmp(kind, "exit") != 0) {
        tool->host.exit_code = 1;
        fprintf(stderr, "hob: %s\n", why ? why : "error without a message");
    }
}

static void command_ended(void *user, lua_State *L, int status, int results)
{
    struct tool *tool = user;
    tool->ended = true;
    if (status == LUA_OK) {
        tool->host.exit_code = results > 0 ? (int)lua_tointeger(L, -results) : 0;
    } else {
        say_error(tool, lua_tostring(L, -1));
    }
    hob_loop_stop(tool->host.loop);
}

static void task_failed(void *user, const char *message)
{
    const struct tool *tool = user;
    const char *kind = hob_task_engine_error(tool->scheduler, NULL);
    if (!kind || strcmp(kind, "exit") != 0) {
        hob_log_event(tool->host.log, HOB_LOG_ERROR, "lua.error", "%s", message);
    }
}

static int run_state(struct tool *tool)
{
    lua_State *L = tool->L = hob_alloc_lua_state();
    if (!L) {
        fprintf(stderr, "hob: out of memory\n");
        return 1;
    }
    lua_pushcfunction(L, start_command);
    lua_pushlightuserdata(L, tool);
    if (lua_pcall(L, 1, 2, 0) != LUA_OK) {
        fprintf(stderr, "hob: %s\n", lua_tostring(L, -1));
        tool->host.exit_code = 1;
    } else {
        hob_scheduler_on_error(tool->scheduler, task_failed, tool);
        hob_task_start(L, 1, command_ended, tool);
        hob_loop_run(tool->host.loop);
        if (!tool->ended && !tool->host.exiting) {
            fprintf(stderr, "hob: nothing is left that could wake the script: it waits for ever\n");
            tool->host.exit_code = 1;
        }
    }
    if (tool->scheduler) {
        hob_scheduler_close(tool->scheduler);
    } else {
        lua_close(L);
    }
    return tool->host.exit_code;
}

/* A reader that has left (`hob jobs | head`) had what it wanted; a full disk has not. */
static int check_output(const char *name, int code)
{
    struct stat info;
    int failed = ferror(stdout);
    failed = fflush(stdout) || failed;
    if (!failed || fstat(STDOUT_FILENO, &info) || S_ISFIFO(info.st_mode) ||
        S_ISSOCK(info.st_mode)) {
        return code;
    }
    fprintf(stderr, "hob %s: what it says could not be written; is there room on the disk?\n",
            name);
    return code ? code : 1;
}

int hob_tool_run(const char *name, int argc, char **argv)
{
    struct hob_error err = {0};
    char lib[PATH_MAX];
    struct tool tool = {.name = name, .lib = lib, .argc = argc, .argv = argv};
    if (hob_paths_lib(lib, sizeof lib, &err) || hob_loop_new(&tool.host.loop, &err) ||
        hob_log_open(&(struct hob_log_options){.level = HOB_LOG_WARN}, &tool.host.log, &err)) {
        fprintf(stderr, "hob: %s\n", err.message);
        return 1;
    }
    tool.host.debugger = hob_debugger_new(
        &(struct hob_debugger_options){.loop = tool.host.loop, .log = tool.host.log});
    int code = run_state(&tool);
    hob_debugger_free(tool.host.debugger);
    code = check_output(name, code);
    if (tool.host.reading) {
        _exit(code); /* nothing can end that thread's wait, and the loop would wait for it */
    }
    hob_loop_free(tool.host.loop);
    hob_log_close(tool.host.log);
    return code;
}

int hob_tool_exists(const char *name)
{
    static const char *const commands[] = {
        "cancel", "completion",   "dap",     "doctor", "drain",   "handler", "handlers",  "import",
        "init",   "job",          "jobs",    "log",    "lua",     "metrics", "provision", "reload",
        "repl",   "retry-report", "service", "status", "support", "thing"};
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i], name) == 0) {
            return 1;
        }
    }
    return 0;
}
