/* lua_doctor.h - internal to bindings/lua_doctor*.c: hob.doctor.core, the facts that `hob doctor`
 * judges. See lua_doctor.c
 */
#ifndef HOB_LUA_DOCTOR_H
#define HOB_LUA_DOCTOR_H

#include "bindings.h"

#include "host/config.h"

/** A configuration as far as it can be read, with its policy; garbage frees it. */
struct hob_lua_doctor_config {
    struct hob_config config;
    struct hob_policy policy; /* of the config */
    bool open;
};

struct hob_lua_doctor_config *hob_lua_doctor_check_config(lua_State *L, int index);

/** resolve, connect (lua_doctor_net.c); handlers, ask (lua_doctor_handler.c). NULL-terminated. */
extern const luaL_Reg hob_lua_doctor_net[];
extern const luaL_Reg hob_lua_doctor_handler[];
void hob_lua_doctor_handler_register(lua_State *L);

#endif
