/* outbox_hurry.c - a person has it told now, and looks what comes of it; see outbox.h */
#include "work/outbox_entry.h"

#include "base/clock.h"

#include <stdio.h>

static bool has_ended(const struct hob_outbox_entry *entry)
{
    return entry->status != HOB_JOBS_STATUS_NONE;
}

static void hurry(struct hob_outbox_entry *entry)
{
    entry->due_ms = 0;
    entry->tries = 0;
    entry->throttled = false;
}

size_t hob_outbox_hurry(struct hob_outbox *outbox)
{
    for (struct hob_outbox_entry *entry = outbox->entries; entry; entry = entry->next) {
        hurry(entry);
    }
    hob_outbox_wake(outbox);
    return hob_outbox_depth(outbox);
}

static struct hob_outbox_entry *find(const struct hob_outbox *outbox, int64_t row)
{
    struct hob_outbox_entry *entry = outbox->entries;
    while (entry && entry->row != row) {
        entry = entry->next;
    }
    return entry;
}

int hob_outbox_again(struct hob_outbox *outbox, int64_t row, struct hob_error *err)
{
    int rc = hob_outbox_push(outbox, row, err);
    struct hob_outbox_entry *entry = rc ? NULL : find(outbox, row);
    if (entry) {
        hurry(entry);
        entry->unsure = true; /* its job id may have been used again meanwhile */
        hob_outbox_wake(outbox);
    }
    return rc;
}

static bool is_moving(const struct hob_outbox_entry *entry, uint64_t now)
{
    return entry->in_flight || entry->settled || (entry->outbox->online && entry->due_ms <= now);
}

bool hob_outbox_look(const struct hob_outbox *outbox, int64_t row, struct hob_outbox_view *out)
{
    const struct hob_outbox_entry *entry = find(outbox, row);
    uint64_t now = hob_clock_mono_ms();
    if (!entry) {
        return false;
    }
    *out = (struct hob_outbox_view){
        .moving = is_moving(entry, now),
        .again_ms = outbox->online && entry->due_ms > now ? (int64_t)(entry->due_ms - now) : -1};
    snprintf(out->why, sizeof out->why, "%s", outbox->online ? entry->why : "no connection");
    return true;
}

bool hob_outbox_is_moving(const struct hob_outbox *outbox)
{
    uint64_t now = hob_clock_mono_ms();
    for (const struct hob_outbox_entry *entry = outbox->entries; entry; entry = entry->next) {
        if (has_ended(entry) && is_moving(entry, now)) {
            return true;
        }
    }
    return false;
}
