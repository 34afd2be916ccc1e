typedef int hob_stub_lua_util;
