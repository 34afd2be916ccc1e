/* slot_hold.c - a person holds the job: what the service hears of it, and how long that may last.
 */
#include "work/slot.h"

#include "base/clock.h"
#include "work/debug.h"
#include "work/slot_parts.h"

#include <stdio.h>

#define SAY_MS    1000 /* who goes on before, is stepping: not worth a message */
#define MINUTE_MS 60000
#define MARGIN_MS 30000 /* for the handler to say something by itself, and for its end */

/* The step timer is set anew with it: long enough for the whole hold, or it would have to be told
 * again and again. */
static void say_held(struct hob_slot *slot)
{
    char text[HOB_SLOT_WHERE_MAX + 32];
    int minutes = hob_slot_step_minutes(slot);
    uint64_t hold_ms = hob_debugger_hold_ms(slot->options.debugger);
    if (minutes > 0) {
        minutes += (int)((hold_ms + MINUTE_MS - 1) / MINUTE_MS);
    }
    snprintf(text, sizeof text, "held by the debugger at %s", slot->held_where);
    slot->hold_said = true;
    hob_slot_say_for(slot, text, minutes);
}

void hob_slot_on_hold_timer(void *user)
{
    struct hob_slot *slot = user;
    if (slot->job && slot->held_where[0]) {
        say_held(slot);
    }
}

void hob_slot_on_hold(void *user, const char *where)
{
    struct hob_slot *slot = user;
    snprintf(slot->held_where, sizeof slot->held_where, "%s", where ? where : "");
    if (where) {
        hob_timer_start(slot->hold_timer, SAY_MS);
        return;
    }
    hob_timer_stop(slot->hold_timer);
    bool goes_on = slot->job && slot->state == HOB_SLOT_RUNNING && !slot->given_up &&
                   !slot->stopped && !slot->cancel_who[0];
    bool said = slot->hold_said;
    slot->hold_said = false;
    if (said && goes_on) {
        hob_slot_say(slot, "goes on after a person held it");
    }
}

/* That of the latest progress that the service has, else of the claim. */
uint64_t hob_slot_hold_until_ms(void *user, const char **why)
{
    const struct hob_slot *slot = user;
    uint64_t until = hob_outbox_step_until_ms(slot->options.outbox, slot->row);
    bool online = hob_outbox_is_online(slot->options.outbox);
    until = until ? until : slot->step_until_ms;
    if (until == 0 || slot->ended_there || hob_slot_step_minutes(slot) == 0) {
        return 0; /* the service has no timer for it, or does not wait for it any more */
    }
    if (online && !slot->hold_said) {
        return 0; /* it is set anew as soon as it is held */
    }
    *why = online ? "the service's step timer ends soon after that"
                  : "the service's step timer ends soon after that, and cannot be set anew while "
                    "offline";
    return until > MARGIN_MS ? until - MARGIN_MS : 1;
}

void hob_slot_on_debug_cancel(void *user, const char *who)
{
    hob_slot_cancel(user, HOB_JOBS_IN_PROGRESS, who);
}
