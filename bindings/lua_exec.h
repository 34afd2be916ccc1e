/* lua_exec.h - what lua_exec.c and lua_exec_spawn.c share. */
#ifndef HOB_LUA_EXEC_H
#define HOB_LUA_EXEC_H

#include "bindings.h"
#include "device/exec.h"

/** How a process ended, kept until it is pushed; out and err are copies. */
struct hob_lua_exec_outcome {
    struct hob_exec_result result; /* out and err: ours */
    uint64_t lines_dropped;
};

void hob_lua_exec_take(struct hob_lua_exec_outcome *outcome, const struct hob_exec_result *result);
void hob_lua_exec_drop(struct hob_lua_exec_outcome *outcome);
void hob_lua_exec_push(lua_State *L, const struct hob_lua_exec_outcome *outcome);

/** Read the table at `index`, raising on misuse. What `options` borrows stays on the stack. */
void hob_lua_exec_options(lua_State *L, int index, struct hob_exec_options *options);

int hob_lua_exec_spawn(lua_State *L);
void hob_lua_exec_open_spawn(lua_State *L);

#endif
