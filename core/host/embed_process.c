/* embed_process.c - what hob.h has for the whole process: its memory, and what time it is. */
#include "base/alloc.h"
#include "base/clock.h"

int hob_set_allocator(const struct hob_allocator *allocator)
{
    return hob_alloc_set(allocator);
}

int hob_set_clock(const struct hob_clock *clock)
{
    return hob_clock_set(clock);
}
