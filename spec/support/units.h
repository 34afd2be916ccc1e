/* units.h - thin Lua views of core units that have no module of their own; for specs only.
 *
 * Each function below leaves one table on the stack, { unit = { name = function, ... }, ... };
 * units.c puts their members together as `hob_units`: hob_units.buf, hob_units.protocol, ...
 */
#ifndef HOB_SPEC_UNITS_H
#define HOB_SPEC_UNITS_H

#include "base/error.h"

#include <lauxlib.h>
#include <lua.h>

int hob_units_open_base(lua_State *L);       /* backoff, buf, clock, error, ... */
int hob_units_open_connection(lua_State *L); /* connection: a product's, and its branches */
int hob_units_open_count(lua_State *L);      /* metrics, tally, mqtt_counts */
int hob_units_open_fair(lua_State *L);       /* fair */
int hob_units_open_json(lua_State *L);       /* json */
int hob_units_open_loop(lua_State *L);       /* log, loop */
int hob_units_open_jobs(lua_State *L);       /* protocol */
int hob_units_open_store(lua_State *L);      /* store */
int hob_units_open_device(lua_State *L);     /* exec_set, power, blackbox, output */
int hob_units_open_events(lua_State *L);     /* events */
int hob_units_open_native(lua_State *L);     /* native */
int hob_units_open_pages(lua_State *L);      /* pages */
int hob_units_open_policy(lua_State *L);     /* policy, files */
int hob_units_open_pty(lua_State *L);        /* pty */
int hob_units_open_supervisor(lua_State *L); /* supervisor */
int hob_units_open_task(lua_State *L);       /* task */
int hob_units_open_tls(lua_State *L);        /* tls: keys, what is shared */
int hob_units_open_work(lua_State *L);       /* sandbox, handlers */

/* For units_base.c, units_json.c and units_loop.c. */
int hob_units_fail(lua_State *L, const struct hob_error *err); /* nil, message, "ECODE" */
int hob_units_result(lua_State *L, int code);                  /* true | nil, "ECODE" */
void hob_units_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc);
void hob_units_unit(lua_State *L, const char *name, const luaL_Reg *functions);

#endif
