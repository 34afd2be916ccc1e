/* bindings.h - the Lua modules that are written in C, one file each.
 *
 * A binding checks its arguments, calls the core, and returns the result; it holds no logic. Misuse
 * raises and says what was expected; the world failing returns `nil, message, "CODE"`.
 */
#ifndef HOB_BINDINGS_H
#define HOB_BINDINGS_H

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "work/modules.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

/** The surroundings of a state; borrowed. */
struct hob_modules_host *hob_bindings_host(lua_State *L);

/* One opener a file; each leaves the module's table on the stack (lua_CFunction for preload). */
int hob_lua_open_atomic(lua_State *L);     /* hob.atomic */
int hob_lua_open_bench(lua_State *L);      /* hob.bench: Hob's own commands only */
int hob_lua_open_bench_wire(lua_State *L); /* hob.bench.wire: in a job on a bench */
int hob_lua_open_cloud(lua_State *L);      /* hob.cloud.core */
int hob_lua_open_console(lua_State *L);    /* hob.console.core: sessions only */
int hob_lua_open_doctor(lua_State *L);     /* hob.doctor.core: Hob's own commands only */
int hob_lua_open_debug(lua_State *L);      /* hob.debug: sessions and tools, never handlers */
int hob_lua_open_download(lua_State *L);   /* hob.http.core */
int hob_lua_open_edit(lua_State *L);       /* hob.edit: Hob's own commands only */
int hob_lua_open_exec(lua_State *L);       /* hob.exec */
int hob_lua_open_fs(lua_State *L);         /* hob.fs */
int hob_lua_open_future(lua_State *L);     /* hob.future */
int hob_lua_open_httpd(lua_State *L);      /* hob.httpd: `hob lua` only */
int hob_lua_open_iotjobs(lua_State *L);    /* hob.iotjobs.core */
int hob_lua_open_json(lua_State *L);       /* hob.json */
int hob_lua_open_keys(lua_State *L);       /* hob.keys */
int hob_lua_open_local(lua_State *L);      /* hob.local: `hob lua` only */
int hob_lua_open_log(lua_State *L);        /* hob.log */
int hob_lua_open_mqtt(lua_State *L);       /* hob.mqtt; in a job without connect: */
int hob_lua_open_mqtt_in_job(lua_State *L);
int hob_lua_open_native(lua_State *L);   /* hob.native.core: for lib/hob/native.lua */
int hob_lua_open_process(lua_State *L);  /* hob.process: `hob lua` only */
int hob_lua_open_repl(lua_State *L);     /* hob.repl.core: sessions, Hob's own commands */
int hob_lua_open_sandbox(lua_State *L);  /* hob.sandbox: `hob lua` only */
int hob_lua_open_scripts(lua_State *L);  /* hob.scripts.core */
int hob_lua_open_steps(lua_State *L);    /* hob.steps.core: for lib/hob/steps/ */
int hob_lua_open_store(lua_State *L);    /* hob.store: `hob lua` only */
int hob_lua_open_time(lua_State *L);     /* hob.time */
int hob_lua_open_timeline(lua_State *L); /* hob.timeline: Hob's own commands only */
int hob_lua_open_verify(lua_State *L);   /* hob.verify.core */

/** lua_native_module.c: push what opens a module of the product. @return 0: it has no such one */
int hob_lua_push_native_opener(lua_State *L, const char *name);

/* It never returns, which Lua's own declaration does not say; compiler and analyser should know. */
// NOLINTNEXTLINE(readability-redundant-declaration)
LUALIB_API int(luaL_error)(lua_State *L, const char *format, ...) __attribute__((noreturn));

/* ---- shared by the binding files (lua_util.c) ---- */

/** Push nil, message, "CODE". @return 3 */
int hob_lua_fail(lua_State *L, const struct hob_error *err);

/* Members of an options table at `index`. A member of another type raises "NAME: expected string,
 * got number"; an absent one gives the fallback (NULL, false or the number). */
const char *hob_lua_opt_string(lua_State *L, int index, const char *name, const char *fallback);
double hob_lua_opt_number(lua_State *L, int index, const char *name, double fallback);
bool hob_lua_opt_boolean(lua_State *L, int index, const char *name, bool fallback);
/** Raises on a member that is not in the NULL-terminated list: "unknown option 'timout'; ...". */
void hob_lua_check_options(lua_State *L, int index, const char *const *known);
/** Seconds as Lua gives them to ms; negative and NaN raise. */
uint64_t hob_lua_ms(lua_State *L, double seconds, const char *name);

/** luaL_newmetatable, and scripts cannot get at the metatable to change it. */
int hob_lua_new_metatable(lua_State *L, const char *name);

/** Push an empty buffer that the collector frees: an error that is raised leaks nothing. */
struct hob_buf *hob_lua_push_buf(lua_State *L, size_t limit);

/** The directory of the job's own that relative file names belong to, made by now (raises if that
 * cannot be); NULL outside a sandbox. */
const char *hob_lua_job_dir(lua_State *L);

/** The string at `index` as a file name: a relative one of a job is put into its directory. The
 * value on the stack is replaced, so the result lives as long as it does. */
const char *hob_lua_check_path(lua_State *L, int index);

/** The debugger of this process, which a tool has as soon as somebody asks for it; NULL: none. */
struct hob_debugger *hob_lua_tool_debugger(lua_State *L);

/** Register the reference of a function member (LUA_NOREF if absent) for later hob_task_call. */
int hob_lua_opt_function(lua_State *L, int index, const char *name);

#endif
