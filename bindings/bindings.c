#include "bindings.h"

#include <string.h>

static const luaL_Reg job_modules[] = {{"hob.atomic", hob_lua_open_atomic},
                                       {"hob.cloud.core", hob_lua_open_cloud},
                                       {"hob.exec", hob_lua_open_exec},
                                       {"hob.fs", hob_lua_open_fs},
                                       {"hob.future", hob_lua_open_future},
                                       {"hob.http.core", hob_lua_open_download},
                                       {"hob.iotjobs.core", hob_lua_open_iotjobs},
                                       {"hob.json", hob_lua_open_json},
                                       {"hob.keys", hob_lua_open_keys},
                                       {"hob.log", hob_lua_open_log},
                                       {"hob.mqtt", hob_lua_open_mqtt_in_job},
                                       {"hob.native.core", hob_lua_open_native},
                                       {"hob.scripts.core", hob_lua_open_scripts},
                                       {"hob.steps.core", hob_lua_open_steps},
                                       {"hob.time", hob_lua_open_time},
                                       {"hob.verify.core", hob_lua_open_verify},
                                       {NULL, NULL}};

static const luaL_Reg tool_modules[] = {{"hob.debug", hob_lua_open_debug},
                                        {"hob.bench", hob_lua_open_bench},
                                        {"hob.doctor.core", hob_lua_open_doctor},
                                        {"hob.edit", hob_lua_open_edit},
                                        {"hob.httpd", hob_lua_open_httpd},
                                        {"hob.repl.core", hob_lua_open_repl},
                                        {"hob.local", hob_lua_open_local},
                                        {"hob.mqtt", hob_lua_open_mqtt},
                                        {"hob.process", hob_lua_open_process},
                                        {"hob.sandbox", hob_lua_open_sandbox},
                                        {"hob.store", hob_lua_open_store},
                                        {"hob.timeline", hob_lua_open_timeline},
                                        {NULL, NULL}};

static const luaL_Reg bench_modules[] = {{"hob.bench.wire", hob_lua_open_bench_wire}, {NULL, NULL}};

/* Of a session's state (host/console.h). */
static const luaL_Reg console_modules[] = {{"hob.console.core", hob_lua_open_console},
                                           {"hob.debug", hob_lua_open_debug},
                                           {"hob.repl.core", hob_lua_open_repl},
                                           {NULL, NULL}};

static void preload(lua_State *L, const luaL_Reg *modules)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    for (; modules->name; modules++) {
        lua_pushcfunction(L, modules->func);
        lua_setfield(L, -2, modules->name);
    }
    lua_pop(L, 1);
}

static lua_CFunction find(const luaL_Reg *modules, const char *name)
{
    while (modules->name && strcmp(modules->name, name) != 0) {
        modules++;
    }
    return modules->func;
}

/* Asked for by name: to fill a table of them for each job takes longer than a short job. */
int hob_modules_push_opener(lua_State *L, const char *name)
{
    const struct hob_modules_host *host = hob_bindings_host(L);
    lua_CFunction opener = find(job_modules, name);
    opener = !opener && host->bench ? find(bench_modules, name) : opener;
    opener = !opener && host->console ? find(console_modules, name) : opener;
    if (opener) {
        lua_pushcfunction(L, opener);
    }
    return opener || hob_lua_push_native_opener(L, name);
}

void hob_modules_open_tool(lua_State *L)
{
    preload(L, job_modules);
    preload(L, tool_modules);
}
