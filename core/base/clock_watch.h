/* clock_watch.h - tells when the wall clock was set: by hand, by NTP after a boot without a
 * battery.
 *
 * For what waits only because the clock was wrong. It looks once a second while it is started, so
 * start it only then.
 *
 * Life: hob_clock_watch_new -> start / stop -> hob_clock_watch_close. Loop thread only.
 * Spec: spec/integration/clock_spec.lua
 */
#ifndef HOB_BASE_CLOCK_WATCH_H
#define HOB_BASE_CLOCK_WATCH_H

#include "base/loop.h"

#include <stdint.h>

struct hob_clock_watch;

/** `fn` gets by how much the clock was set (negative: back), when it was by 2 s or more since the
 * start. @return NULL: out of memory */
struct hob_clock_watch *hob_clock_watch_new(struct hob_loop *loop,
                                            void (*fn)(void *user, int64_t by_ms), void *user);
void hob_clock_watch_start(struct hob_clock_watch *watch); /* from now on; legal twice */
void hob_clock_watch_stop(struct hob_clock_watch *watch);
void hob_clock_watch_close(struct hob_clock_watch *watch); /* takes; NULL is legal */

#endif
