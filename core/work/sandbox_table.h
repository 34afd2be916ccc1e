/* sandbox_table.h - the functions on tables of which a single call may take for ever.
 *
 * table.insert, remove and move with a bound for how many elements one call may move: the length of
 * a table is whatever its __len says, or a border far beyond its elements. Otherwise as in the Lua
 * manual.  Spec: spec/unit/sandbox_table_spec.lua
 */
#ifndef HOB_WORK_SANDBOX_TABLE_H
#define HOB_WORK_SANDBOX_TABLE_H

struct lua_State;

#define HOB_SANDBOX_MOVE_MAX (16 << 20) /* elements */

/** Put them in place of Lua's in the global `table`. */
void hob_sandbox_open_tables(struct lua_State *L);

#endif
