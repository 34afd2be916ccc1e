/* alloc.c - see alloc.h
 *
 * The table is one of the two things that are global on purpose (docs/adr): memory is given back in
 * places that know of no runtime, so that there can be only one allocator a process. */
#include "base/alloc.h"

#include "base/sized.h"

#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static void *libc_malloc(void *user, size_t size)
{
    return malloc(size);
}

static void *libc_calloc(void *user, size_t count, size_t size)
{
    return calloc(count, size);
}

static void *libc_realloc(void *user, void *block, size_t size)
{
    return realloc(block, size);
}

static void libc_free(void *user, void *block)
{
    free(block);
}

static struct hob_allocator in_force = {
    .size = sizeof(struct hob_allocator),
    .malloc_fn = libc_malloc,
    .calloc_fn = libc_calloc,
    .realloc_fn = libc_realloc,
    .free_fn = libc_free,
};
static atomic_bool taken; /* a block of it may be about: another allocator could not free it */

static void mark_taken(void)
{
    if (!atomic_load_explicit(&taken, memory_order_relaxed))
        atomic_store_explicit(&taken, true, memory_order_relaxed);
}

/* A product's allocator may not know of errno, of which callers make words. */
static void *or_say(void *block)
{
    if (!block)
        errno = ENOMEM;
    return block;
}

/* Nothing of no size is asked for: what an allocator gives for that differs, and NULL is ours for
 * out of memory. */
void *hob_malloc(size_t size)
{
    mark_taken();
    return or_say(in_force.malloc_fn(in_force.user, size ? size : 1));
}

void *hob_calloc(size_t count, size_t size)
{
    mark_taken();
    return or_say(in_force.calloc_fn(in_force.user, count ? count : 1, size ? size : 1));
}

void *hob_realloc(void *block, size_t size)
{
    mark_taken();
    return or_say(in_force.realloc_fn(in_force.user, block, size ? size : 1));
}

void hob_free(void *block)
{
    if (block)
        in_force.free_fn(in_force.user, block);
}

static char *copy_text(const char *text, size_t len)
{
    char *copy = hob_malloc(len + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *hob_strdup(const char *text)
{
    return copy_text(text, strlen(text));
}

char *hob_strndup(const char *text, size_t max)
{
    return copy_text(text, strnlen(text, max));
}

int hob_asprintf(char **out, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    *out = len < 0 ? NULL : hob_malloc((size_t)len + 1);
    if (*out)
        vsnprintf(*out, (size_t)len + 1, format, again);
    va_end(again);
    va_end(args);
    return *out ? len : -1;
}

char *hob_realpath(const char *path)
{
    char whole[PATH_MAX];
    return realpath(path, whole) ? hob_strdup(whole) : NULL;
}

ssize_t hob_getline(char **out, FILE *file)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len = getline(&line, &room, file);
    int number = errno;
    *out = len < 0 ? NULL : hob_malloc((size_t)len + 1);
    if (*out)
        memcpy(*out, line, (size_t)len + 1);
    free(line); /* the C library made it */
    errno = *out || len < 0 ? number : ENOMEM;
    return *out ? len : -1;
}

/* ---- Lua ---- */

void *hob_alloc_lua(void *unused, void *block, size_t old_size, size_t new_size)
{
    if (new_size > 0)
        return hob_realloc(block, new_size);
    hob_free(block);
    return NULL;
}

struct lua_State *hob_alloc_lua_state(void)
{
    return lua_newstate(hob_alloc_lua, NULL);
}

void hob_alloc_trim(void)
{
#ifdef __GLIBC__
    if (in_force.free_fn == libc_free)
        malloc_trim(0);
#endif
}

/* ---- the table ---- */

int hob_alloc_set(const struct hob_allocator *allocator)
{
    struct hob_allocator own;
    if (hob_sized_take(&own, sizeof own, allocator, "hob_allocator", NULL) || !own.malloc_fn ||
        !own.calloc_fn || !own.realloc_fn || !own.free_fn)
        return HOB_EINVAL;
    if (atomic_load_explicit(&taken, memory_order_relaxed))
        return HOB_EBUSY;
    in_force = own;
    return 0;
}

struct hob_allocator hob_alloc_get(void)
{
    return in_force;
}

void hob_alloc_adopt(const struct hob_allocator *allocator)
{
    if (memcmp(&in_force, allocator, sizeof in_force) != 0)
        in_force = *allocator;
}
