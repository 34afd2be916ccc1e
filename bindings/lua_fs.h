/* lua_fs.h - what lua_fs.c and lua_fs_work.c share. */
#ifndef HOB_LUA_FS_H
#define HOB_LUA_FS_H

#include "bindings.h"
#include "device/files.h"

/** The path at `index`, which must be a text; a relative one of a job is put into its directory. */
const char *hob_lua_fs_path(lua_State *L, int index);
struct hob_files_place hob_lua_fs_place(lua_State *L);
/** @return 0, or the number of values of a refusal that was pushed */
int hob_lua_fs_check(lua_State *L, const char *path, enum hob_files_what what);

/** Permission bits: a text of octal digits, or their number; raises on anything else. */
int hob_lua_fs_mode(lua_State *L, int index);

/** What Hob has made in the directory of the job becomes the programs' own.
 * @return 0 or an errno value */
int hob_lua_fs_give(lua_State *L, const char *path);

/* Those that take long: on a thread of libuv's while the task waits, where a task can wait. */
int hob_lua_fs_read(lua_State *L);
int hob_lua_fs_write(lua_State *L);
int hob_lua_fs_copy(lua_State *L);
int hob_lua_fs_remove(lua_State *L);
int hob_lua_fs_sync(lua_State *L);

#endif
