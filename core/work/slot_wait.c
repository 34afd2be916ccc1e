#include "base/alloc.h"
#include "work/slot.h"

#include "base/clock.h"
#include "work/slot_parts.h"

#include <stdio.h>
#include <string.h>

#define MAX_RUNS 10
/* The service's step timer can be set for seven days at most. */
#define KEEP_ALIVE_MS (24 * 3600 * 1000)
#define ASK_AGAIN_MS  1000

int64_t hob_slot_wait_left_ms(const struct hob_slot *slot)
{
    uint64_t now = hob_clock_mono_ms();
    return slot->due_ms > now ? (int64_t)(slot->due_ms - now) : 0;
}

static void say_waits(struct hob_slot *slot)
{
    char text[HOB_ERROR_MESSAGE_MAX];
    long long seconds = (long long)((hob_slot_wait_left_ms(slot) + 999) / 1000);
    snprintf(text, sizeof text, "waits %lld s%s%s", seconds, slot->wait_reason ? ": " : "",
             slot->wait_reason ? slot->wait_reason : "");
    hob_slot_say(slot, text);
}

static void wait_on(struct hob_slot *slot)
{
    int64_t left = hob_slot_wait_left_ms(slot);
    hob_timer_start(slot->wait_timer, (uint64_t)(left < KEEP_ALIVE_MS ? left : KEEP_ALIVE_MS));
}

static void wait_is_over(void *user)
{
    hob_slot_begin_again(user);
}

void hob_slot_on_wait(void *user)
{
    struct hob_slot *slot = user;
    const struct hob_slot_options *options = &slot->options;
    if (hob_slot_wait_left_ms(slot) > 0) {
        say_waits(slot);
        wait_on(slot);
    } else if (options->may_go_on && !options->may_go_on(options->user)) {
        hob_timer_start(slot->wait_timer, ASK_AGAIN_MS);
    } else {
        hob_exec_set_when_gone(slot->children, wait_is_over, slot);
    }
}

/* ---- retry_later ---- */

static int put_wait(struct hob_slot *slot, struct hob_error *err)
{
    return hob_store_put_wait(slot->options.store, slot->row, slot->resume_at_s, slot->wait_s,
                              slot->elapsed_ms, err);
}

static void wait_stored(struct hob_slot *slot)
{
    slot->retries++;
    struct hob_log_record record = hob_slot_record(slot, HOB_LOG_INFO, "job.waits");
    hob_log_write(slot->options.log, &record, "%lld s: %s", (long long)slot->wait_s,
                  slot->wait_reason ? slot->wait_reason : "");
    say_waits(slot);
    wait_on(slot);
    hob_slot_is_sound(slot);
}

/* Nothing of the run is left. */
static void run_is_gone(void *user)
{
    struct hob_slot *slot = user;
    hob_slot_off_work(slot);
    hob_slot_commit(slot, put_wait, wait_stored);
}

static void give_up(struct hob_slot *slot, const char *why, int runs)
{
    char reason[HOB_ERROR_MESSAGE_MAX];
    snprintf(reason, sizeof reason, "still not possible after %d runs: %s", runs, why);
    hob_slot_conclude_with(slot, HOB_JOB_FAILED, reason, "RETRIES_EXHAUSTED", "");
}

/* `retries` counts what put it off, not the runs after a restart. */
void hob_slot_put_off(struct hob_slot *slot, const char *reason, uint64_t ms)
{
    int max = hob_job_max_runs(slot->job);
    int runs = slot->retries + 1;
    if (runs >= (max > 0 ? max : MAX_RUNS)) {
        give_up(slot, reason, runs);
        return;
    }
    slot->elapsed_ms = hob_slot_elapsed_ms(slot);
    slot->cpu_us = hob_job_cpu_us(slot->job);
    slot->began = slot->began || hob_job_began_step(slot->job);
    hob_free(slot->wait_reason);
    slot->wait_reason = reason && reason[0] ? hob_strdup(reason) : NULL;
    slot->wait_s = (int64_t)((ms + 999) / 1000);
    slot->resume_at_s = hob_clock_wall_ms() / 1000 + slot->wait_s;
    slot->due_ms = hob_clock_mono_ms() + ms;
    slot->state = HOB_SLOT_WAITING;
    hob_slot_forget_reboot(slot);
    hob_slot_end_job(slot);
    hob_exec_set_when_gone(slot->children, run_is_gone, slot);
}

/* What is left by the wall clock; at most the whole wait again, should that be wrong. */
void hob_slot_resume_waiting(struct hob_slot *slot)
{
    int64_t left = slot->resume_at_s - hob_clock_wall_ms() / 1000;
    left = left < 0 ? 0 : left > slot->wait_s ? slot->wait_s : left;
    slot->due_ms = hob_clock_mono_ms() + (uint64_t)left * 1000;
    slot->state = HOB_SLOT_WAITING;
    hob_slot_end_job(slot); /* made anew when its time has come */
    wait_on(slot);
    hob_slot_is_sound(slot);
}
