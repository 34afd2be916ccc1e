#include "work/slot.h"

#include "base/clock.h"
#include "work/slot_parts.h"

#include <stdio.h>

#define WATCH_MS     50   /* nobody tells when a critical section ends */
#define GRACE_MIN_MS 5000 /* of programs, also when there is no time left */

/* ---- giving up what does not come to an end by itself ---- */

static void given_up(void *user)
{
    hob_slot_release(user);
}

/* Whoever has asked Hob to stop waits. */
static void end_children(struct hob_slot *slot)
{
    uint64_t now = hob_clock_mono_ms();
    uint64_t left = slot->stop_limit_ms > now ? slot->stop_limit_ms - now : 0;
    hob_exec_set_end_within(slot->children, left > GRACE_MIN_MS ? left : GRACE_MIN_MS);
}

static void give_up(struct hob_slot *slot)
{
    char where[HOB_SLOT_STEP_MAX + 16];
    if (slot->state == HOB_SLOT_RUNNING || slot->cleaning) {
        struct hob_log_record record = hob_slot_record(slot, HOB_LOG_WARN, "job.suspended");
        hob_slot_shown_step(slot, hob_slot_step(slot), where);
        hob_log_write(slot->options.log, &record,
                      "stopped %s; it goes on when its thing is started again",
                      slot->cleaning ? "in cleanup" : where);
    }
    slot->given_up = true;
    hob_slot_uncommit(slot);
    hob_slot_forget_reboot(slot);
    hob_timer_stop(slot->wait_timer);
    hob_timer_stop(slot->stop_timer);
    hob_slot_end_job(slot);
    end_children(slot);
    hob_exec_set_when_gone(slot->children, given_up, slot);
}

static void at_step(void *user)
{
    give_up(user);
}

/* ---- until when ---- */

static bool is_delicate(const struct hob_slot *slot)
{
    return slot->state == HOB_SLOT_RUNNING ? slot->job && hob_job_is_delicate(slot->job)
                                           : slot->state == HOB_SLOT_ENDING && !slot->commit;
}

static void say_delayed(struct hob_slot *slot, uint64_t left_ms)
{
    bool runs = slot->state == HOB_SLOT_RUNNING;
    if (slot->delay_said) {
        return;
    }
    slot->delay_said = true;
    struct hob_log_record record = hob_slot_record(slot, HOB_LOG_WARN, "job.delayed");
    record.step = hob_slot_step(slot);
    record.action = "wait; it is stopped when that has ended, or its time is up (stop_timeout)";
    hob_log_write(slot->options.log, &record, "stopping waits for %s, %.1f s at most",
                  runs ? "a critical section or a `once` step" : "its cleanup",
                  (double)left_ms / 1000);
}

/* The grace is over: only what must not be cut off goes on. */
void hob_slot_on_stop_timer(void *user)
{
    struct hob_slot *slot = user;
    uint64_t now = hob_clock_mono_ms();
    if (slot->state == HOB_SLOT_FREE || slot->given_up) {
        return;
    }
    if (is_delicate(slot) && now < slot->stop_limit_ms) {
        say_delayed(slot, slot->stop_limit_ms - now);
        hob_timer_start(slot->stop_timer, WATCH_MS);
    } else {
        give_up(slot);
    }
}

void hob_slot_stop(struct hob_slot *slot, uint64_t grace_ms, uint64_t limit_ms,
                   void (*stopped)(void *user), void *user)
{
    slot->stopped = stopped;
    slot->stopped_user = user;
    slot->stop_limit_ms = hob_clock_mono_ms() + limit_ms;
    switch (slot->state) {
    case HOB_SLOT_FREE:
        hob_timer_start(slot->turn_timer, 0);
        break;
    case HOB_SLOT_TAKEN:
    case HOB_SLOT_WAITING:
        give_up(slot);
        break;
    case HOB_SLOT_RUNNING:
        hob_job_stop_at_step(slot->job, at_step);
        hob_timer_start(slot->stop_timer, grace_ms);
        break;
    default:
        if (slot->job) { /* its cleanup runs */
            hob_job_let_go(slot->job, "Hob is stopping");
        }
        hob_timer_start(slot->stop_timer, grace_ms);
    }
}

void hob_slot_hurry(struct hob_slot *slot)
{
    if (!slot->stopped || slot->state == HOB_SLOT_FREE) {
        return;
    }
    slot->stop_limit_ms = hob_clock_mono_ms();
    if (!slot->given_up) {
        give_up(slot);
    }
    hob_exec_set_end_within(slot->children, 0);
}

void hob_slot_cut(struct hob_slot *slot, void (*gone)(void *user), void *user)
{
    hob_slot_release(slot);
    hob_exec_set_end_within(slot->children, 0);
    hob_exec_set_when_gone(slot->children, gone, user);
}
