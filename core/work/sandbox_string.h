/* sandbox_string.h - the functions on strings of which a single call may take for ever.
 *
 * string.find, match, gmatch and gsub over sandbox_pattern.h; string.rep with a bound for what one
 * call may make. Otherwise as in the Lua manual.
 * Spec: spec/unit/sandbox_string_spec.lua
 */
#ifndef HOB_WORK_SANDBOX_STRING_H
#define HOB_WORK_SANDBOX_STRING_H

struct lua_State;

#define HOB_SANDBOX_REP_MAX (16 << 20) /* bytes */

/** Put them in place of Lua's in the global `string`. */
void hob_sandbox_open_strings(struct lua_State *L);

#endif
