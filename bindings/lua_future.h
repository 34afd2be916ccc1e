/* lua_future.h - hob.future for other bindings: a result that is known outside of any task, where
 * nothing may be pushed into the Lua state.
 *
 * Life: the Lua object's. Loop thread only.  Spec: spec/unit/iotjobs_client_spec.lua,
 * spec/integration/iotjobs_spec.lua
 */
#ifndef HOB_BINDINGS_LUA_FUTURE_H
#define HOB_BINDINGS_LUA_FUTURE_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

struct hob_lua_future;

/** The one at this index; raises if there is none. */
struct hob_lua_future *hob_lua_future_check(lua_State *L, int index);

/** Resolve it with two strings: a copy of `text`, and `word`, which must be static.
 * @return false: it was resolved before, or memory is short */
bool hob_lua_future_give(struct hob_lua_future *future, const char *text, size_t len,
                         const char *word);

/** Call this once, when it is resolved or garbage, or somebody else asks for it. NULL: nobody. */
void hob_lua_future_on_end(struct hob_lua_future *future, void (*fn)(void *user), void *user);

#endif
