/* units.h - thin Lua views of core units that have no module of their own; for specs only.
 *
 * Each function below leaves one table on the stack; units.c puts them together as `hob_units`.
 */
#ifndef HOB_SPEC_UNITS_H
#define HOB_SPEC_UNITS_H

#include <lauxlib.h>
#include <lua.h>

int hob_units_open_base(lua_State *L);  /* backoff, buf, clock, json, log, ... */
int hob_units_open_jobs(lua_State *L);  /* protocol */
int hob_units_open_store(lua_State *L); /* store */

#endif
