/* sandbox_globals.h - what a job's Lua state has of the language: an allow-list.
 *
 * Not there: debug, io, package, dofile, loadfile, collectgarbage, warn, of os what reaches the
 * machine, string.dump. setmetatable refuses finalizers (__gc), load takes text only, print writes
 * to the log; the functions that one call may take for ever in are those of sandbox_string.h and
 * sandbox_table.h.
 * pcall, xpcall and coroutine are task.h's, require is sandbox.h's.
 * Spec: spec/unit/sandbox_spec.lua
 */
#ifndef HOB_WORK_SANDBOX_GLOBALS_H
#define HOB_WORK_SANDBOX_GLOBALS_H

struct lua_State;

/** Into a fresh state. Raises: out of memory. */
void hob_sandbox_open_globals(struct lua_State *L);

#endif
