/* module_begin.h - what a loadable module is told when it is opened.
 *
 * A module links its own copy of base/. So that there is one memory and one clock for all, it takes
 * over the program's. For module.c and module_begin.c only: a module need not know of it.
 * Spec: spec/unit/module_spec.lua
 */
#ifndef HOB_BASE_MODULE_BEGIN_H
#define HOB_BASE_MODULE_BEGIN_H

#include "base/error.h"

struct hob_module_begin {
    struct hob_allocator allocator;
    struct hob_clock clock;
};

/** Exported by every module, beside its table `hob_module`. */
typedef void hob_module_begin_fn(const struct hob_module_begin *begin);

#define HOB_MODULE_BEGIN "hob_module_begin"

#endif
