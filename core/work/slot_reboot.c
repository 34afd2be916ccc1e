#include "base/alloc.h"
#include "work/slot.h"

#include "device/power.h"
#include "work/product.h"
#include "work/slot_parts.h"

#include <stdio.h>
#include <string.h>

#define TRIES_MAX  3
#define WAIT_MS    300000
#define SAID_MS    5000
#define PROBLEM_MS 10000 /* before the next try, when the command itself failed */

/* The way of one try: ASKED -> (stored) -> SAYING -> (the service has it) -> GOING. */
enum stage { NONE, ASKED, SAYING, GOING };

/* Of a command that runs: it may outlive the wish, the slot, and the loop. */
struct hob_slot_reboot {
    struct hob_slot *slot; /* NULL: nobody waits for it any more */
    struct hob_loop *loop;
    struct hob_loop_guest guest;
};

static uint64_t wait_ms(const struct hob_slot *slot)
{
    return slot->options.reboot_wait_ms ? slot->options.reboot_wait_ms : WAIT_MS;
}

static const char *mark_of(const struct hob_slot *slot)
{
    const char *mark = slot->restarts ? slot->options.process_id : slot->options.boot_id;
    return mark ? mark : "";
}

bool hob_slot_reboots(const struct hob_slot *slot)
{
    return slot->reboot_stage != NONE;
}

void hob_slot_forget_reboot(struct hob_slot *slot)
{
    if (slot->asking) {
        slot->asking->slot = NULL;
        slot->asking = NULL;
    }
    hob_timer_stop(slot->reboot_timer);
    if (slot->reboot_stage == SAYING) { /* else it is said for the next one in this slot */
        hob_outbox_forget_waiter(slot->options.outbox, &slot->saying);
    }
    slot->reboot_stage = NONE;
    hob_free(slot->reboot_key);
    hob_free(slot->reboot_reason);
    slot->reboot_key = slot->reboot_reason = NULL;
}

/* ---- it does not happen ---- */

static void exhausted(struct hob_slot *slot)
{
    char reason[2 * HOB_ERROR_MESSAGE_MAX];
    const char *problem = slot->reboot_problem;
    if (!problem) {
        problem = slot->restarts ? "it is still the same process"
                                 : "the command ended well, but the machine stayed up, or only Hob "
                                   "was started again";
    }
    snprintf(reason, sizeof reason, "asked for %d %s, but the %s has not changed: %s", TRIES_MAX,
             slot->restarts ? "restarts of Hob" : "reboots", slot->restarts ? "process" : "boot id",
             problem);
    hob_slot_forget_reboot(slot);
    hob_job_cancel(slot->job, HOB_JOB_FAILED, reason, "REBOOT_FAILED");
}

static void had_a_problem(struct hob_slot *slot, const char *problem)
{
    hob_free(slot->reboot_problem);
    slot->reboot_problem = hob_strdup(problem);
    struct hob_log_record record = hob_slot_record(slot, HOB_LOG_ERROR, "job.reboot_failed");
    record.action = "see reboot_command in the configuration";
    hob_log_write(slot->options.log, &record, "%s", problem);
    uint64_t ms = wait_ms(slot);
    hob_timer_start(slot->reboot_timer, ms < PROBLEM_MS ? ms : PROBLEM_MS);
}

/* ---- one try ---- */

static void command_ended(void *user, const char *problem)
{
    struct hob_slot_reboot *asking = user;
    struct hob_slot *slot = asking->slot;
    hob_loop_remove_guest(asking->loop, &asking->guest);
    hob_free(asking);
    if (!slot) {
        return;
    }
    slot->asking = NULL;
    if (problem) {
        had_a_problem(slot, problem);
    }
}

static void run_command(struct hob_slot *slot)
{
    struct hob_error err = {0};
    struct hob_slot_reboot *asking = hob_calloc(1, sizeof *asking);
    if (!asking) {
        had_a_problem(slot, "out of memory");
        return;
    }
    if (hob_power_reboot(slot->options.loop, slot->options.reboot_command, command_ended, asking,
                         &err)) {
        hob_free(asking);
        had_a_problem(slot, err.message);
        return;
    }
    asking->slot = slot;
    asking->loop = slot->options.loop;
    asking->guest = (struct hob_loop_guest){.leave = hob_free, .user = asking};
    hob_loop_add_guest(asking->loop, &asking->guest);
    if (slot->asking) {
        slot->asking->slot = NULL; /* that of the former try still runs */
    }
    slot->asking = asking;
}

static void ask_product(struct hob_slot *slot)
{
    struct hob_product *product = slot->options.product;
    struct hob_error err = {0};
    product->inside++;
    int rc = product->reboot(product->user, slot->reboot_reason, &err);
    product->inside--;
    err.message[sizeof err.message - 1] = '\0'; /* it is the product's */
    if (rc) {
        had_a_problem(slot, err.message[0] ? err.message : hob_error_words(rc));
    }
}

/* The service knows why it will hear nothing for a while, or there is no link. */
static void said(void *user)
{
    struct hob_slot *slot = user;
    if (slot->reboot_stage != SAYING) {
        return; /* cancelled meanwhile */
    }
    slot->reboot_stage = GOING;
    hob_slot_leave_box(slot); /* a death from now on is what it asked for */
    hob_timer_start(slot->reboot_timer, wait_ms(slot));
    struct hob_log_record record =
        hob_slot_record(slot, HOB_LOG_WARN, slot->restarts ? "job.restarts" : "job.reboots");
    hob_log_write(slot->options.log, &record, "%s (%d of %d)", slot->reboot_reason,
                  slot->reboot_tries, TRIES_MAX);
    if (!slot->restarts && slot->options.on_reboot) {
        slot->options.on_reboot(slot->options.user, slot->reboot_reason);
    } else if (!slot->restarts && slot->options.product && slot->options.product->reboot) {
        ask_product(slot);
    } else if (!slot->restarts) {
        run_command(slot);
    } else if (slot->options.on_restart) {
        slot->options.on_restart(slot->options.user, slot->reboot_reason);
    }
}

static void reboot_stored(struct hob_slot *slot)
{
    char text[HOB_ERROR_MESSAGE_MAX];
    snprintf(text, sizeof text, "%s%s%s", slot->restarts ? "restarting Hob" : "rebooting",
             slot->reboot_reason[0] ? ": " : "", slot->reboot_reason);
    slot->reboot_stage = SAYING;
    hob_slot_say(slot, text);
    hob_outbox_when_said(slot->options.outbox, &slot->saying, slot->row, SAID_MS, said, slot);
}

static int put_reboot(struct hob_slot *slot, struct hob_error *err)
{
    return hob_store_put_reboot(slot->options.store, slot->row, slot->reboot_key, mark_of(slot),
                                slot->reboot_tries, err);
}

static void try_once(struct hob_slot *slot)
{
    if (slot->reboot_tries >= TRIES_MAX) {
        exhausted(slot);
        return;
    }
    slot->reboot_tries++;
    slot->reboot_stage = ASKED;
    hob_slot_commit(slot, put_reboot, reboot_stored);
}

/* Not inside the handler's own call, or nothing has happened for long enough. */
void hob_slot_on_reboot_timer(void *user)
{
    struct hob_slot *slot = user;
    if (slot->reboot_stage != NONE) {
        try_once(slot);
    }
}

/* ---- the handler asks ---- */

static int happened(struct hob_slot *slot, int tries)
{
    struct hob_log_record record = hob_slot_record(slot, HOB_LOG_INFO, "job.rebooted");
    hob_log_write(slot->options.log, &record, "%s, asked for %d time%s",
                  slot->restarts ? "Hob was restarted" : "the machine was rebooted", tries,
                  tries == 1 ? "" : "s");
    return 1;
}

static int ask(struct hob_slot *slot, const char *key, const char *reason, struct hob_error *err)
{
    slot->reboot_key = hob_strdup(key);
    slot->reboot_reason = hob_strdup(reason ? reason : "");
    hob_free(slot->reboot_problem);
    slot->reboot_problem = NULL;
    if (!slot->reboot_key || !slot->reboot_reason) {
        hob_slot_forget_reboot(slot);
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    slot->reboot_stage = ASKED;
    hob_timer_start(slot->reboot_timer, 0);
    return 0;
}

int hob_slot_on_reboot(void *user, bool restart, const char *key, const char *reason,
                       struct hob_error *err)
{
    struct hob_slot *slot = user;
    const char *mark = NULL;
    int tries = 0;
    hob_slot_forget_reboot(slot);
    slot->restarts = restart;
    int rc = hob_store_get_reboot(slot->options.store, slot->row, key, &mark, &tries, err);
    if (rc && rc != HOB_ENOENT) {
        return rc;
    }
    if (rc == 0 && strcmp(mark, mark_of(slot)) != 0) {
        return happened(slot, tries);
    }
    slot->reboot_tries = rc == 0 ? tries : 0;
    return ask(slot, key, reason, err);
}
