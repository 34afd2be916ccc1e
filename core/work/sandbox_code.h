/* sandbox_code.h - internal to sandbox_kit.h: Lua files as bytecode that was made in this process,
 * from text. Kept in memory only. */
#ifndef HOB_WORK_SANDBOX_CODE_H
#define HOB_WORK_SANDBOX_CODE_H

#include <stdbool.h>

struct lua_State;
struct hob_sandbox_code;

struct hob_sandbox_code *hob_sandbox_code_new(void); /* NULL: out of memory */
void hob_sandbox_code_free(struct hob_sandbox_code *code);

/** Push the file, compiled. Raises what is wrong with it.
 * @return false: there is no such file, nothing is pushed */
bool hob_sandbox_code_load(struct hob_sandbox_code *code, struct lua_State *L, const char *path);

/** Read what surrounds a job from the directory `lib`, before it is asked for. What cannot be read
 * is told to whom asks for it. */
void hob_sandbox_code_read(struct hob_sandbox_code *code, const char *lib);

#endif
