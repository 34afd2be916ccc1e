/* backoff.c - see backoff.h */
#include "base/backoff.h"

#include "base/random.h"

#include <limits.h>

void hob_backoff_init(struct hob_backoff *backoff, uint64_t base_ms, uint64_t cap_ms,
                      uint64_t floor_ms)
{
    *backoff = (struct hob_backoff){.base_ms = base_ms, .cap_ms = cap_ms, .floor_ms = floor_ms};
}

uint64_t hob_backoff_ceiling_ms(const struct hob_backoff *backoff)
{
    uint64_t ceiling = backoff->base_ms;
    for (unsigned i = 0; i < backoff->tries && ceiling < backoff->cap_ms && ceiling > 0; i++)
        ceiling = ceiling > UINT64_MAX / 2 ? UINT64_MAX : ceiling * 2;
    if (ceiling > backoff->cap_ms)
        ceiling = backoff->cap_ms;
    return ceiling > backoff->floor_ms ? ceiling : backoff->floor_ms;
}

uint64_t hob_backoff_next_ms(struct hob_backoff *backoff)
{
    uint64_t ceiling = hob_backoff_ceiling_ms(backoff);
    uint64_t bits = backoff->random ? backoff->random(backoff->user) : hob_random_u64();
    uint64_t delay = ceiling == UINT64_MAX ? bits : bits % (ceiling + 1);
    if (backoff->tries < UINT_MAX)
        backoff->tries++;
    return delay > backoff->floor_ms ? delay : backoff->floor_ms;
}

void hob_backoff_raise(struct hob_backoff *backoff, unsigned tries)
{
    if (backoff->tries < tries)
        backoff->tries = tries;
}

void hob_backoff_reset(struct hob_backoff *backoff)
{
    backoff->tries = 0;
}
