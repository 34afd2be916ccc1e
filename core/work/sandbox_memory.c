#include "work/sandbox_memory.h"

#include "base/alloc.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define GRAIN     HOB_SANDBOX_MEMORY_GRAIN
#define CLASSES   (HOB_SANDBOX_MEMORY_SMALL / GRAIN)
#define CHUNK_MIN 4080u /* with what the C library adds, a page */
#define CHUNK_MAX (64u * 1024u - 16u)

struct hob_sandbox_chunk {
    _Alignas(HOB_SANDBOX_MEMORY_GRAIN) struct hob_sandbox_chunk *next;
    char *end; /* of its blocks, which begin after this */
    size_t unused;
};

_Static_assert(sizeof(struct hob_sandbox_chunk) % HOB_SANDBOX_MEMORY_GRAIN == 0,
               "the first block after it is aligned, also where a pointer has 4 bytes");

/* What is left of the old one is too short for what was asked for; shorter blocks still fit. */
static void use_up(struct hob_sandbox_memory *memory)
{
    size_t left = memory->next ? (size_t)(memory->end - memory->next) : 0;
    if (left >= GRAIN) {
        size_t class = left / GRAIN - 1;
        memcpy(memory->next, &memory->free[class], sizeof(void *));
        memory->free[class] = memory->next;
    }
    memory->next = memory->end = NULL;
}

/* An eighth of what there is: a large state is not made of thousands of chunks. */
static bool add_chunk(struct hob_sandbox_memory *memory)
{
    size_t size = memory->total / 8;
    size = size < CHUNK_MIN ? CHUNK_MIN : size > CHUNK_MAX ? CHUNK_MAX : size;
    struct hob_sandbox_chunk *chunk = hob_malloc(size);
    if (!chunk) {
        return false;
    }
    use_up(memory);
    chunk->next = memory->chunks;
    memory->chunks = chunk;
    memory->next = (char *)(chunk + 1);
    memory->end = memory->next + (size - sizeof *chunk) / GRAIN * GRAIN;
    memory->total += (size_t)(memory->end - (char *)chunk);
    chunk->end = memory->end;
    return true;
}

bool hob_sandbox_memory_is_spread(const struct hob_sandbox_memory *memory)
{
    return memory->total >= memory->limit;
}

/* A free block that is larger is cut next. */
static bool cut_larger(struct hob_sandbox_memory *memory, size_t size)
{
    size_t class = (size - 1) / GRAIN;
    while (class < CLASSES && !memory->free[class]) {
        class ++;
    }
    if (class == CLASSES) {
        return false;
    }
    char *block = memory->free[class];
    memcpy(&memory->free[class], block, sizeof(void *));
    use_up(memory);
    memory->next = block;
    memory->end = block + (class + 1) * GRAIN;
    return true;
}

/* ---- chunks of which nothing is used ---- */

static int by_address(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    return (x > y) - (x < y);
}

/* By address. @return caller frees; NULL: no memory */
static struct hob_sandbox_chunk **sort_chunks(const struct hob_sandbox_memory *memory,
                                              size_t *count)
{
    *count = 0;
    for (struct hob_sandbox_chunk *chunk = memory->chunks; chunk; chunk = chunk->next) {
        chunk->unused = 0;
        ++*count;
    }
    struct hob_sandbox_chunk **sorted = hob_calloc(*count + 1, sizeof(struct hob_sandbox_chunk *));
    size_t i = 0;
    for (struct hob_sandbox_chunk *chunk = sorted ? memory->chunks : NULL; chunk;
         chunk = chunk->next) {
        sorted[i++] = chunk;
    }
    if (sorted) {
        qsort(sorted, *count, sizeof *sorted, by_address);
    }
    return sorted;
}

static struct hob_sandbox_chunk *chunk_of(struct hob_sandbox_chunk *const *sorted, size_t count,
                                          const char *block)
{
    while (count > 1) { /* the last that begins before it */
        size_t half = count / 2;
        bool later = (const char *)sorted[half] <= block;
        sorted += later ? half : 0;
        count = later ? count - half : half;
    }
    return *sorted;
}

static bool is_empty(const struct hob_sandbox_chunk *chunk)
{
    return chunk->unused == (size_t)(chunk->end - (const char *)(chunk + 1));
}

static void count_free(struct hob_sandbox_memory *memory, struct hob_sandbox_chunk *const *sorted,
                       size_t count)
{
    for (size_t class = 0; class < CLASSES; class ++) {
        void *next;
        for (void *block = memory->free[class]; block; block = next) {
            memcpy(&next, block, sizeof next);
            chunk_of(sorted, count, block)->unused += (class + 1) * GRAIN;
        }
    }
}

static void drop_blocks(struct hob_sandbox_memory *memory, struct hob_sandbox_chunk *const *sorted,
                        size_t count)
{
    for (size_t class = 0; class < CLASSES; class ++) {
        void *block = memory->free[class], *next;
        for (memory->free[class] = NULL; block; block = next) {
            memcpy(&next, block, sizeof next);
            if (!is_empty(chunk_of(sorted, count, block))) {
                memcpy(block, &memory->free[class], sizeof(void *));
                memory->free[class] = block;
            }
        }
    }
}

static void drop_chunks(struct hob_sandbox_memory *memory)
{
    for (struct hob_sandbox_chunk **at = &memory->chunks, *chunk = *at; chunk; chunk = *at) {
        if (is_empty(chunk)) {
            *at = chunk->next;
            memory->total -= (size_t)(chunk->end - (char *)chunk);
            hob_free(chunk);
        } else {
            at = &chunk->next;
        }
    }
}

static void give_back(struct hob_sandbox_memory *memory)
{
    size_t count;
    use_up(memory);
    struct hob_sandbox_chunk **sorted = sort_chunks(memory, &count);
    if (sorted && count > 0) {
        count_free(memory, sorted, count);
        drop_blocks(memory, sorted, count);
        drop_chunks(memory);
    }
    hob_free(sorted);
    memory->looked = memory->total;
}

/* A job that frees all blocks of one size, and then takes others, would have its limit for each. To
 * look for what can go back takes long: only after there is much more, and if it gives much. */
static bool make_room(struct hob_sandbox_memory *memory, size_t size)
{
    size_t much = memory->limit / 4;
    bool is_full = memory->total / 2 >= memory->limit;
    if (is_full && cut_larger(memory, size)) {
        return true;
    }
    if (is_full ||
        (hob_sandbox_memory_is_spread(memory) && memory->total >= memory->looked + much)) {
        give_back(memory);
    }
    return (!is_full || memory->total + much / 2 <= 2 * memory->limit) && add_chunk(memory);
}

static void *take(struct hob_sandbox_memory *memory, size_t size)
{
    void *block = hob_sandbox_memory_take(memory, size);
    if (!block && make_room(memory, size)) {
        block = hob_sandbox_memory_take(memory, size);
    }
    return block;
}

/* `block` may be NULL. */
static void drop(struct hob_sandbox_memory *memory, void *block, size_t size)
{
    if (block && hob_sandbox_memory_is_small(size)) {
        hob_sandbox_memory_give(memory, block, size);
    } else {
        hob_free(block);
    }
}

static size_t whole_size(size_t size)
{
    return (size + GRAIN - 1) / GRAIN;
}

void *hob_sandbox_memory_move(struct hob_sandbox_memory *memory, void *block, size_t old_size,
                              size_t new_size)
{
    if (new_size == 0) {
        drop(memory, block, old_size);
        return NULL;
    }
    bool was_small = block && hob_sandbox_memory_is_small(old_size);
    bool is_small = hob_sandbox_memory_is_small(new_size);
    if (!was_small && !is_small) {
        return hob_realloc(block, new_size);
    }
    if (was_small && is_small && whole_size(old_size) == whole_size(new_size)) {
        return block;
    }
    void *moved = is_small ? take(memory, new_size) : hob_malloc(new_size);
    if (moved && block) {
        memcpy(moved, block, old_size < new_size ? old_size : new_size);
        drop(memory, block, old_size);
    }
    return moved;
}

void hob_sandbox_memory_close(struct hob_sandbox_memory *memory)
{
    struct hob_sandbox_chunk *next;
    for (struct hob_sandbox_chunk *chunk = memory->chunks; chunk; chunk = next) {
        next = chunk->next;
        hob_free(chunk);
    }
    *memory = (struct hob_sandbox_memory){0};
}
