/* lua_exec.h - what lua_exec.c and lua_exec_spawn.c share. */
#ifndef HOB_LUA_EXEC_H
#define HOB_LUA_EXEC_H

#include "bindings.h"
#include "device/exec.h"

struct hob_task;

/** How a process ended, kept until it is pushed; out and err are copies. */
struct hob_lua_exec_outcome {
    struct hob_exec_result result; /* out and err: ours */
    uint64_t lines_dropped;
};

void hob_lua_exec_take(struct hob_lua_exec_outcome *outcome, const struct hob_exec_result *result);
void hob_lua_exec_drop(struct hob_lua_exec_outcome *outcome);
void hob_lua_exec_push(lua_State *L, const struct hob_lua_exec_outcome *outcome);

/* Of run, check and spawn alike. */
#define HOB_LUA_EXEC_OPTIONS                                                                       \
    "stdin", "env", "cwd", "timeout", "grace", "tail", "user", "group", "stdout", "stderr",        \
        "limit", "on_line"

/** Read the table at `index`, raising on misuse. What `options` borrows stays on the stack.
 * @return 0, or why it must not be run: the policy says no */
int hob_lua_exec_options(lua_State *L, int index, struct hob_exec_options *options,
                         struct hob_error *err);

int hob_lua_exec_spawn(lua_State *L);

/** What becomes of a process that somebody waits for with its lines given to on_line. */
struct hob_lua_exec_end {
    const char *name; /* what the task waits in */
    int (*push)(lua_State *L, void *user, const struct hob_lua_exec_outcome *outcome);
    void (*free)(void *user);
    void *user;
};

/** Start it, give its lines to the function at `on_line`, and suspend the task until it has ended
 * and all lines are given. `end` is taken unless it could not be started (a code is given). */
int hob_lua_exec_run_lines(lua_State *L, int on_line, struct hob_exec_options *options,
                           const struct hob_lua_exec_end *end, struct hob_task *task,
                           struct hob_error *err, int *code);
void hob_lua_exec_open_spawn(lua_State *L);

#endif
