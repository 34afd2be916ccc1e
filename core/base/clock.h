/* clock.h - the two clocks: monotonic for every duration, wall for what a person or AWS reads.
 *
 * Any thread.  Spec: spec/unit/clock_spec.lua
 */
#ifndef HOB_BASE_CLOCK_H
#define HOB_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t hob_clock_mono_ms(void);
uint64_t hob_clock_cpu_ms(void); /* processor time of the calling thread */
uint64_t hob_clock_cpu_us(void);
int64_t hob_clock_wall_ms(void); /* since 1970-01-01T00:00:00Z */

#define HOB_CLOCK_TEXT_MAX 32

/** "2026-11-22T23:18:47.012Z" into `out`. @return out */
const char *hob_clock_text(int64_t wall_ms, char out[HOB_CLOCK_TEXT_MAX]);

/** "3 days", "2 h", "45 s": a length of time in its largest fitting unit, rounded down; the sign is
 * dropped. @return out */
const char *hob_clock_span(int64_t seconds, char out[HOB_CLOCK_TEXT_MAX]);

#endif
