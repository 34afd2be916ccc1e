/* scripts_dirs.h - the directories of scripts, in one text: one a line (their names may have
 * colons, as those of things).
 *
 * Of files with the same name the one in the first directory is used, the others are shadowed: so a
 * gateway has local handlers on a writable partition above those of its read-only image. All but
 * the last may be missing, and appear later.
 *
 * Spec: spec/integration/reload_layers_spec.lua
 */
#ifndef HOB_WORK_SCRIPTS_DIRS_H
#define HOB_WORK_SCRIPTS_DIRS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define HOB_SCRIPTS_DIRS_MAX 8

/** The next one; empty ones are passed over. @param rest  moves on. @return false: no more */
bool hob_scripts_dirs_next(const char **rest, char out[PATH_MAX]);
size_t hob_scripts_dirs_count(const char *dirs);
/** DIR/lib of each; caller frees. @return NULL: out of memory */
char *hob_scripts_dirs_lib(const char *dirs);
/** "DIR, DIR", for messages; caller frees. @return NULL: out of memory */
char *hob_scripts_dirs_words(const char *dirs);
/** The first one alone; caller frees. @return NULL: out of memory */
char *hob_scripts_dirs_first(const char *dirs);

/** The list with another directory at its end. Takes `list` (NULL: empty), also when it fails.
 * @return NULL: out of memory */
char *hob_scripts_dirs_add(char *list, const char *dir);

#endif
