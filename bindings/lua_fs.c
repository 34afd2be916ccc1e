#include "bindings.h"
int hob_lua_open_fs(lua_State *L) { lua_newtable(L); return 1; }
