/* slot_view.c - what a slot holds, for people who look; see hob_executor_each. */
#include "work/executor.h"
#include "work/slot_parts.h"

static const char *state_of(const struct hob_slot *slot)
{
    if (slot->state == HOB_SLOT_RUNNING && hob_slot_reboots(slot)) {
        return "rebooting";
    }
    switch (slot->state) {
    case HOB_SLOT_TAKEN:
        return "claiming";
    case HOB_SLOT_RUNNING:
        return "running";
    case HOB_SLOT_WAITING:
        return "waiting";
    case HOB_SLOT_ENDING:
        return "ending";
    default:
        return "";
    }
}

static const char *why_of(const struct hob_slot *slot)
{
    if (slot->store_failing) {
        return "the store cannot be written; it is tried again until it can";
    }
    if (slot->held_where[0]) {
        return "the debugger holds it: `hob repl JOB` shows where";
    }
    if (slot->state == HOB_SLOT_WAITING) {
        return slot->wait_reason ? slot->wait_reason : "";
    }
    if (slot->state == HOB_SLOT_RUNNING && hob_slot_reboots(slot)) {
        return slot->reboot_reason ? slot->reboot_reason : "";
    }
    if (slot->state == HOB_SLOT_ENDING) {
        return slot->cleaning ? "its cleanup runs" : "its programs are being ended";
    }
    if (slot->state == HOB_SLOT_RUNNING && slot->cancel_who[0]) {
        return "it is cancelled: it ends when its critical section has ended";
    }
    return slot->stopped ? "it is being stopped: it goes on when its thing is started again" : "";
}

static const char *waits_for(const struct hob_slot *slot)
{
    return slot->held_where[0]               ? "debugger"
           : slot->store_failing             ? "store"
           : slot->state == HOB_SLOT_WAITING ? "time"
           : hob_slot_reboots(slot)          ? "reboot"
           : slot->stopped                   ? "stop"
                                             : NULL;
}

void hob_slot_view(const struct hob_slot *slot, struct hob_executor_view *out)
{
    *out = (struct hob_executor_view){
        .job_id = slot->job_id,
        .execution_number = slot->execution_number,
        .queued_at = slot->queued_at,
        .state = state_of(slot),
        .step = slot->job ? hob_job_step(slot->job) : "",
        .handler = slot->job ? hob_job_label(slot->job) : slot->handler,
        .attempt = slot->runs,
        .elapsed_ms = hob_slot_elapsed_ms(slot),
        .resume_ms = slot->state == HOB_SLOT_WAITING ? hob_slot_wait_left_ms(slot) : -1,
        .why = why_of(slot),
        .waits_for = waits_for(slot)};
}
