/* budget.h - so many messages a minute, and no more: a bucket of tokens on a clock that is handed
 * in.
 *
 * The bucket holds a minute's worth (but at least two) and is full at the beginning. What is less
 * urgent leaves a part of it to what is more so.
 *
 * Plain value, no ownership.  Spec: spec/unit/budget_spec.lua
 */
#ifndef HOB_BASE_BUDGET_H
#define HOB_BASE_BUDGET_H

#include <stdint.h>

struct hob_budget {
    double capacity; /* 0: no limit */
    double tokens;
    double per_ms;
    uint64_t filled_ms;
};

/** @param per_minute  0: no limit. @param now_ms  of a monotonic clock, here and below */
void hob_budget_init(struct hob_budget *budget, double per_minute, uint64_t now_ms);

/** How long until one token may be taken while `reserve` (0 to 1) of the bucket stays in it.
 * @return 0: now */
uint64_t hob_budget_wait_ms(struct hob_budget *budget, double reserve, uint64_t now_ms);

/** Take one token: the message is on its way. */
void hob_budget_take(struct hob_budget *budget);

#endif
