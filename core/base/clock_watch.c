/* clock_watch.c - see clock_watch.h
 *
 * The kernel tells, too (a timerfd with TFD_TIMER_CANCEL_ON_SET), but not of a clock that a virtual
 * machine or a tool of a spec changes for this process alone. */
#include "base/clock_watch.h"

#include "base/alloc.h"
#include "base/clock.h"

#define LOOK_MS 1000
#define SET_MS  2000 /* less is what NTP's slewing may come to in the time of a wait */

struct hob_clock_watch {
    struct hob_timer *timer;
    void (*fn)(void *user, int64_t by_ms);
    void *user;
    int64_t ahead; /* the wall clock, of the monotonic one */
};

static int64_t ahead_now(void)
{
    return hob_clock_wall_ms() - (int64_t)hob_clock_mono_ms();
}

static void look(void *user)
{
    struct hob_clock_watch *watch = user;
    int64_t ahead = ahead_now(), by = ahead - watch->ahead;
    hob_timer_start(watch->timer, LOOK_MS);
    if (by > -SET_MS && by < SET_MS)
        return;
    watch->ahead = ahead;
    watch->fn(watch->user, by);
}

struct hob_clock_watch *hob_clock_watch_new(struct hob_loop *loop,
                                            void (*fn)(void *user, int64_t by_ms), void *user)
{
    struct hob_clock_watch *watch = hob_calloc(1, sizeof *watch);
    if (watch)
        watch->timer = hob_timer_new(loop, look, watch);
    if (!watch || !watch->timer) {
        hob_free(watch);
        return NULL;
    }
    watch->fn = fn;
    watch->user = user;
    return watch;
}

void hob_clock_watch_start(struct hob_clock_watch *watch)
{
    watch->ahead = ahead_now();
    hob_timer_start(watch->timer, LOOK_MS);
}

void hob_clock_watch_stop(struct hob_clock_watch *watch)
{
    hob_timer_stop(watch->timer);
}

void hob_clock_watch_close(struct hob_clock_watch *watch)
{
    if (watch)
        hob_timer_close(watch->timer);
    hob_free(watch);
}
