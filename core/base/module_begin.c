/* module_begin.c - see module_begin.h; it is part of every loadable module, and of no program. */
#include "base/module_begin.h"

#include "base/alloc.h"
#include "base/clock.h"

__attribute__((visibility("default"))) hob_module_begin_fn hob_module_begin;

void hob_module_begin(const struct hob_module_begin *begin)
{
    hob_alloc_adopt(&begin->allocator);
    hob_clock_adopt(&begin->clock);
}
