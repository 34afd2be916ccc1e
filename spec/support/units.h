/* units.h - thin Lua views of core units that have no module of their own; for specs only.
 *
 * Each function below leaves one table on the stack, { unit = { name = function, ... }, ... };
 * units.c puts their members together as `hob_units`: hob_units.buf, hob_units.protocol, ...
 */
#ifndef HOB_SPEC_UNITS_H
#define HOB_SPEC_UNITS_H

#include <lauxlib.h>
#include <lua.h>

int hob_units_open_base(lua_State *L);  /* backoff, buf, clock, json, log, ... */
int hob_units_open_jobs(lua_State *L);  /* protocol */
int hob_units_open_store(lua_State *L); /* store */
int hob_units_open_work(lua_State *L);  /* sandbox, handlers */

#endif
