/* slot_tell.c - what a product hears of an execution in a slot (observers.h). */
#include "base/json.h"
#include "work/slot_parts.h"

#include "work/product.h"

#include <string.h>

static void tell(const struct hob_slot *slot, enum hob_observers_event what,
                 const struct hob_job_event *more)
{
    struct hob_job_event event = *more;
    event.thing = slot->options.thing;
    event.job_id = slot->job_id;
    event.execution_number = slot->execution_number;
    if (!event.handler) {
        event.handler = slot->job ? hob_job_label(slot->job) : slot->handler;
    }
    hob_observers_tell_job(hob_product_observers(slot->options.product), what, &event);
}

static const char *in_progress(void)
{
    return hob_jobs_status_name(HOB_JOBS_IN_PROGRESS);
}

void hob_slot_was_told(const struct hob_slot *slot)
{
    tell(slot, HOB_OBSERVERS_ACCEPTED, &(struct hob_job_event){.status = in_progress()});
}

void hob_slot_tell_started(const struct hob_slot *slot)
{
    tell(slot, HOB_OBSERVERS_STARTED, &(struct hob_job_event){.status = in_progress()});
}

void hob_slot_tell_progress(const struct hob_slot *slot, const char *text)
{
    tell(slot, HOB_OBSERVERS_PROGRESS,
         &(struct hob_job_event){.status = in_progress(), .text = text});
}

/* The job is gone by now: its details say what it was. */
void hob_slot_tell_ended(const struct hob_slot *slot)
{
    struct hob_json *json = NULL;
    struct hob_job_event event = {.status = slot->status};
    if (!hob_observers_any(hob_product_observers(slot->options.product))) {
        return;
    }
    if (hob_json_new(&json, NULL) == 0 &&
        hob_json_parse(json, slot->details, strlen(slot->details), NULL) == 0) {
        event.handler = hob_json_string(json, "handler", NULL);
        event.code = hob_json_string(json, "code", NULL);
        event.text = hob_json_string(json, "reason", NULL);
    }
    tell(slot, HOB_OBSERVERS_ENDED, &event);
    hob_json_free(json);
}
