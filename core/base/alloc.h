/* alloc.h - the memory of Hob: its own, and that of its Lua states, from one table of functions.
 *
 * The C library's, until a product puts its own in their place (hob_set_allocator in hob.h). All of
 * core/ and bindings/ takes and gives back memory here, so that what is counted, capped or pooled
 * by the product is all there is; libraries below (libuv, libmosquitto, mbedTLS, SQLite, libcurl,
 * lua-cjson's buffers) keep theirs. What such a library or the C library has made is given back
 * to it, never here, and the other way round.
 *
 * Loadable modules link these functions once more: hob_module_open hands them the table.
 * Any thread.  Specs: spec/unit/layers_spec.lua (nobody goes around it),
 * spec/integration/embed_memory_spec.lua
 */
#ifndef HOB_BASE_ALLOC_H
#define HOB_BASE_ALLOC_H

#include "base/error.h"

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

void hob_free(void *block); /* NULL is legal */

/* As those of the C library; NULL: out of memory. Caller frees, with hob_free. */
void *hob_malloc(size_t size) __attribute__((malloc, alloc_size(1), warn_unused_result));
void *hob_calloc(size_t count, size_t size)
    __attribute__((malloc, alloc_size(1, 2), warn_unused_result));
void *hob_realloc(void *block, size_t size) __attribute__((alloc_size(2), warn_unused_result));
char *hob_strdup(const char *text) __attribute__((malloc, warn_unused_result));
char *hob_strndup(const char *text, size_t max) __attribute__((malloc, warn_unused_result));

/** @return the length; negative: out of memory, and *out is NULL */
int hob_asprintf(char **out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** The path without links, "." and ".."; caller frees. @return NULL: errno says why */
char *hob_realpath(const char *path) __attribute__((malloc, warn_unused_result));

/** One line with its newline; caller frees *out, also after an error. @return its length, -1 at the
 * end of the file or at an error */
ssize_t hob_getline(char **out, FILE *file);

/** For lua_newstate: a lua_Alloc without a limit. */
void *hob_alloc_lua(void *unused, void *block, size_t old_size, size_t new_size);

struct lua_State;
/** As luaL_newstate, in this memory. @return NULL: out of memory; caller closes */
struct lua_State *hob_alloc_lua_state(void);

/** Much was given back: the C library, if the memory is its own, may give it to the system. */
void hob_alloc_trim(void);

/* ---- the table ---- */

/** @return 0, HOB_EINVAL: a function is missing; HOB_EBUSY: memory was taken already */
int hob_alloc_set(const struct hob_allocator *allocator);
/** What is in force. */
struct hob_allocator hob_alloc_get(void);
/** A loadable module takes over what the program has. */
void hob_alloc_adopt(const struct hob_allocator *allocator);

#endif
