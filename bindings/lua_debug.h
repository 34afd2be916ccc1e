/* lua_debug.h - what lua_debug.c (sessions: who stops where) and lua_debug_look.c (what is seen
 * there) share. */
#ifndef HOB_LUA_DEBUG_H
#define HOB_LUA_DEBUG_H

#include "bindings.h"
#include "work/debug.h"
#include "work/debug_look.h"

struct hob_lua_debug {
    struct hob_debug_session *session; /* NULL: closed */
    struct hob_scheduler *scheduler;
    int on_event; /* registry reference; LUA_NOREF: nobody wants to know */
};

/** The session at index 1; raises if it is closed. */
struct hob_lua_debug *hob_lua_debug_check(lua_State *L);

/** A thread at `index`, 0 if it is nil and may be. */
int hob_lua_debug_thread(lua_State *L, int index, bool may_be_nil);

/** true, or nil, message, code. */
int hob_lua_debug_result(lua_State *L, int rc, const struct hob_error *err);

/** Set a field of the table on top. */
void hob_lua_debug_set_text(lua_State *L, const char *name, const char *value);
void hob_lua_debug_set_number(lua_State *L, const char *name, lua_Integer value);

/** Methods of a session: stack, scopes, variables, evaluate... */
extern const luaL_Reg hob_lua_debug_look_methods[];

#endif
