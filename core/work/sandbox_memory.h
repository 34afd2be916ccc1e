/* sandbox_memory.h - where the blocks of one Lua state come from.
 *
 * A state is made of hundreds of small blocks, and given back as a whole. Those up to
 * HOB_SANDBOX_MEMORY_SMALL bytes are cut from chunks that only this state has, by size, and the
 * chunks go back at its end; larger ones are alloc.h's. Nothing is shared between states. What was
 * freed is for blocks of the same size. When there are as many chunks as the state may use memory,
 * those of which nothing is used go back; there are never more than twice as many. Under
 * AddressSanitizer every block is alloc.h's, so that it sees each of them.
 *
 * Embedded, zero at first but for its limit. Loop thread only.  Spec:
 * spec/unit/sandbox_kit_spec.lua
 */
#ifndef HOB_WORK_SANDBOX_MEMORY_H
#define HOB_WORK_SANDBOX_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define HOB_SANDBOX_MEMORY_GRAIN 8u
#define HOB_SANDBOX_MEMORY_SMALL 512u

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define HOB_SANDBOX_MEMORY_EACH
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define HOB_SANDBOX_MEMORY_EACH
#endif

struct hob_sandbox_chunk;

struct hob_sandbox_memory {
    void *free[HOB_SANDBOX_MEMORY_SMALL / HOB_SANDBOX_MEMORY_GRAIN]; /* lists, by size */
    char *next, *end; /* of the chunk that is being cut */
    struct hob_sandbox_chunk *chunks;
    size_t total;  /* of the chunks */
    size_t limit;  /* what the state may use */
    size_t looked; /* total, when it was last looked what can go back */
    bool closing;  /* the state is being closed: small blocks go with their chunks */
};

/** There are as many chunks as the state may use: one more may be refused. */
bool hob_sandbox_memory_is_spread(const struct hob_sandbox_memory *memory);

/** As lua_Alloc, with old_size 0 for a new block. @return NULL: out of memory */
void *hob_sandbox_memory_move(struct hob_sandbox_memory *memory, void *block, size_t old_size,
                              size_t new_size);
/** Gives back the chunks: after lua_close. Legal twice. */
void hob_sandbox_memory_close(struct hob_sandbox_memory *memory);

static inline bool hob_sandbox_memory_is_small(size_t size)
{
#ifdef HOB_SANDBOX_MEMORY_EACH
    return false;
#else
    return size <= HOB_SANDBOX_MEMORY_SMALL;
#endif
}

/** A new block, if one of its size is at hand; NULL: ask hob_sandbox_memory_move. Here, and the
 * next one: they are called a thousand times for the shortest job. @param size  small, not 0 */
static inline void *hob_sandbox_memory_take(struct hob_sandbox_memory *memory, size_t size)
{
    size_t class = (size - 1) / HOB_SANDBOX_MEMORY_GRAIN;
    size_t whole = (class + 1) * HOB_SANDBOX_MEMORY_GRAIN;
    void *block = memory->free[class];
    if (block) {
        memcpy(&memory->free[class], block, sizeof(void *));
    } else if ((size_t)(memory->end - memory->next) >= whole) {
        block = memory->next;
        memory->next += whole;
    }
    return block;
}

/** @param block  small, not NULL */
static inline void hob_sandbox_memory_give(struct hob_sandbox_memory *memory, void *block,
                                           size_t size)
{
    size_t class = (size - 1) / HOB_SANDBOX_MEMORY_GRAIN;
    if (!memory->closing) {
        memcpy(block, &memory->free[class], sizeof(void *));
        memory->free[class] = block;
    }
}

#endif
