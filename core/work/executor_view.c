/* executor_view.c - what a device has in hand, for people who look; see hob_executor_each. */
#include "work/executor_parts.h"

#include <string.h>

static const char *why_claiming(const struct hob_executor_seat *seat)
{
    if (!seat->executor->online) {
        return "no connection to the service: it is claimed when there is one";
    }
    return seat->claiming ? "the service has not answered the claim yet"
                          : "the claim failed and is tried again";
}

static void view_seat(const struct hob_executor_seat *seat, hob_executor_view_fn *fn, void *user)
{
    struct hob_executor_view view;
    if (hob_slot_state(seat->slot) == HOB_SLOT_FREE) {
        return;
    }
    hob_slot_view(seat->slot, &view);
    if (hob_slot_state(seat->slot) == HOB_SLOT_TAKEN && !*view.why) {
        view.why = why_claiming(seat);
    }
    fn(user, &view);
}

/* Left by an earlier process, and not gone on with yet. */
static void view_row(const struct hob_executor *executor, int64_t row, hob_executor_view_fn *fn,
                     void *user)
{
    struct hob_error err;
    struct hob_store_execution known;
    if (hob_store_get(executor->options.store, row, &known, &err)) {
        return;
    }
    struct hob_executor_view view = {.job_id = known.job_id,
                                     .execution_number = known.execution_number,
                                     .queued_at = known.queued_at,
                                     .state = "resuming",
                                     .step = "",
                                     .handler = known.handler,
                                     .attempt = known.runs,
                                     .elapsed_ms = known.elapsed_ms,
                                     .resume_ms = -1};
    view.why = !executor->resume.ready      ? "programs of the process before are being ended"
               : executor->resume.probation ? "one of those that ran took Hob down: one at a time"
                                            : "another job is gone on with first";
    fn(user, &view);
}

void hob_executor_each(const struct hob_executor *executor, hob_executor_view_fn *fn, void *user)
{
    for (size_t i = 0; i < executor->count; i++) {
        view_seat(&executor->seats[i], fn, user);
    }
    for (size_t i = 0; i < executor->resume.count; i++) {
        view_row(executor, executor->resume.rows[i], fn, user);
    }
    hob_executor_wait_each(executor, fn, user);
}
