#include "bindings.h"
int hob_lua_open_json(lua_State *L) { lua_newtable(L); return 1; }
