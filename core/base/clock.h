/* clock.h - the two clocks: monotonic for every duration, wall for what a person or AWS reads.
 *
 * The system's, until a product puts its own in their place (hob_set_clock in hob.h): one that is
 * right where the system's is not, or one of a simulation. Timers are the loop's, of the system's.
 * Processor time is always the kernel's.
 *
 * Any thread.  Spec: spec/unit/clock_spec.lua
 */
#ifndef HOB_BASE_CLOCK_H
#define HOB_BASE_CLOCK_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t hob_clock_mono_ms(void);
uint64_t hob_clock_mono_us(void); /* as fine as a product's clock is: ms */
uint64_t hob_clock_cpu_ms(void);  /* processor time of the calling thread */
uint64_t hob_clock_cpu_us(void);
int64_t hob_clock_wall_ms(void); /* since 1970-01-01T00:00:00Z */

#define HOB_CLOCK_TEXT_MAX 32

/** "2026-11-22T23:18:47.012Z" into `out`. @return out */
const char *hob_clock_text(int64_t wall_ms, char out[HOB_CLOCK_TEXT_MAX]);

/** "3 days", "2 h", "45 s": a length of time in its largest fitting unit, rounded down; the sign is
 * dropped. @return out */
const char *hob_clock_span(int64_t seconds, char out[HOB_CLOCK_TEXT_MAX]);

/* ---- a product's ---- */

/** @return 0, HOB_EINVAL: too small; HOB_EBUSY: a loop is there (hob_clock_hold) */
int hob_clock_set(const struct hob_clock *clock);
struct hob_clock hob_clock_get(void);
/** A loadable module takes over what the program has. */
void hob_clock_adopt(const struct hob_clock *clock);
/** Is the wall clock a product's? Then libraries that ask the system for the date are wrong. */
bool hob_clock_wall_is_given(void);
/** No other clock from here to the release: durations would break. */
void hob_clock_hold(void);
void hob_clock_release(void);

#endif
