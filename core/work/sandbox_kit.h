/* sandbox_kit.h - what is the same in every sandbox, found out once: a job's Lua state is made of
 * it in a fraction of the time.
 *
 * Two parts. The language: which functions of C, numbers and texts the allow-list of
 * sandbox_globals.h leaves; read from a template state that is closed again. Code: Hob's own Lua
 * files, and handlers, as bytecode that was made here, in this process, from text. Bytecode from
 * outside is refused where text is read, as before.
 *
 * Nothing in a kit belongs to a Lua state, and nothing in it changes by what a job does: each state
 * gets tables and functions of its own. A file of Hob's own is read once in the life of a kit,
 * those that surround a job when it begins.
 *
 * Life: hob_sandbox_kit_new -> hold / release. Loop thread only.  Spec:
 * spec/unit/sandbox_kit_spec.lua
 */
#ifndef HOB_WORK_SANDBOX_KIT_H
#define HOB_WORK_SANDBOX_KIT_H

#include "base/error.h"

#include <stdbool.h>

struct lua_State;
struct hob_script;
struct hob_sandbox_kit;

/** Held once. */
int hob_sandbox_kit_new(struct hob_sandbox_kit **out, struct hob_error *err);
struct hob_sandbox_kit *hob_sandbox_kit_hold(struct hob_sandbox_kit *kit); /* NULL is legal */
void hob_sandbox_kit_release(struct hob_sandbox_kit *kit);                 /* NULL is legal */

/** Read what surrounds a job from the directory `lib`: a job loads it bit by bit, and a package
 * manager may replace the files meanwhile. What cannot be read is told to whom asks for it. */
void hob_sandbox_kit_read(struct hob_sandbox_kit *kit, const char *lib);

/** The language into a fresh state. Raises: out of memory. */
void hob_sandbox_kit_open(struct hob_sandbox_kit *kit, struct lua_State *L);

/** Push a table that has the language's own, whatever a script has done to its globals: an
 * environment for code that is loaded after a script's. It borrows the kit. */
void hob_sandbox_kit_push_language(struct hob_sandbox_kit *kit, struct lua_State *L);

/** Push one of Hob's own files, compiled. Raises what is wrong with it.
 * @return false: there is no such file, nothing is pushed */
bool hob_sandbox_kit_load(struct hob_sandbox_kit *kit, struct lua_State *L, const char *path);

/** Push a script, compiled: its text the first time, then what was made of it then. Raises what is
 * wrong with it. */
void hob_sandbox_kit_load_script(struct lua_State *L, struct hob_script *script);

#endif
