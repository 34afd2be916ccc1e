/* backoff.h - how long to wait before the next try: exponential, with full jitter.
 *
 * The n-th delay is a random number between 0 and min(cap, base * 2^n) ("full jitter", after the
 * AWS Architecture Blog's "Exponential Backoff And Jitter"), but at least `floor_ms`, so that a
 * broken peer is never hammered. Two processes draw different delays.
 *
 * Plain value, no ownership.  Spec: spec/unit/backoff_spec.lua
 */
#ifndef HOB_BASE_BACKOFF_H
#define HOB_BASE_BACKOFF_H

#include <stdint.h>

struct hob_backoff {
    uint64_t base_ms;
    uint64_t cap_ms;
    uint64_t floor_ms;
    unsigned tries; /* failures since the last reset */
    /** Uniform 64 random bits; NULL means the system's. Handed in by unit specs. */
    uint64_t (*random)(void *user);
    void *user;
};

void hob_backoff_init(struct hob_backoff *backoff, uint64_t base_ms, uint64_t cap_ms,
                      uint64_t floor_ms);

/** Count one failure. @return how long to wait before the next try */
uint64_t hob_backoff_next_ms(struct hob_backoff *backoff);

/** Go on as after at least `tries` failures: for a peer that says itself that it has too much to
 * do.
 */
void hob_backoff_raise(struct hob_backoff *backoff, unsigned tries);

/** The upper bound that the next call would draw under. */
uint64_t hob_backoff_ceiling_ms(const struct hob_backoff *backoff);

/** After a success. */
void hob_backoff_reset(struct hob_backoff *backoff);

#endif
