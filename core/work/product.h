/* product.h - what a product that Hob is part of has a say in, or wants to hear of.
 *
 * One for a runtime, borrowed by all that has jobs in hand: things, executors, slots, outboxes. Who
 * has none gets NULL. All of it comes from hob.h: hob_runtime_observe, hob_runtime_decide, and the
 * option `reboot`.
 *
 * A plain value, owned by the runtime. Loop thread only.
 * Specs: spec/integration/embed_observers_spec.lua, embed_decide_spec.lua, embed_reboot_spec.lua
 */
#ifndef HOB_WORK_PRODUCT_H
#define HOB_WORK_PRODUCT_H

#include "work/observers.h"

struct hob_product {
    unsigned inside;                 /* functions of the product that are being called: what must
                                      * not be done from them is refused */
    struct hob_observers *observers; /* NULL: none */
    hob_decide_fn *decide;           /* NULL: all are accepted */
    void *decide_user;
    /** In place of a command. NULL: there is a command. */
    int (*reboot)(void *user, const char *reason, struct hob_error *err);
    void *user;
};

/** @param product  NULL is legal */
static inline struct hob_observers *hob_product_observers(const struct hob_product *product)
{
    return product ? product->observers : NULL;
}

#endif
