/* observers.h - tells a product what happens to its jobs and connections (struct hob_observer).
 *
 * What happens is copied when it happens, and told in a turn of the loop of its own, in order: so
 * an observer may call the runtime, whatever was going on. Without an observer nothing is copied.
 * What there is no memory for is not told; that is counted (hob_observers_lost).
 *
 * Life: hob_observers_new -> hob_observers_free, after the loop's end. Loop thread only.
 * Spec: spec/integration/embed_observers_spec.lua
 */
#ifndef HOB_WORK_OBSERVERS_H
#define HOB_WORK_OBSERVERS_H

#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct hob_observers;

enum hob_observers_event {
    HOB_OBSERVERS_OFFERED,
    HOB_OBSERVERS_STARTED,
    HOB_OBSERVERS_PROGRESS,
    HOB_OBSERVERS_ENDED,
    HOB_OBSERVERS_ACCEPTED
};

/** @param inside  counted up while the product's functions are called. @return NULL: out of memory
 */
struct hob_observers *hob_observers_new(struct hob_loop *loop, unsigned *inside);
void hob_observers_free(struct hob_observers *observers); /* NULL is legal */

/** Copied; what happened before is not told to it. @return 0, HOB_ENOMEM */
int hob_observers_add(struct hob_observers *observers, const struct hob_observer *observer);

/** Tell now what is to be told. Not inside an observer. */
void hob_observers_flush(struct hob_observers *observers);

/* `observers` may be NULL in these: nobody is told. */
bool hob_observers_any(const struct hob_observers *observers);
/** Members that are NULL become "". */
void hob_observers_tell_job(struct hob_observers *observers, enum hob_observers_event what,
                            const struct hob_job_event *event);
/** @param down  why it is not there; NULL: it is */
void hob_observers_tell_connection(struct hob_observers *observers, const char *thing,
                                   const struct hob_error *down);
void hob_observers_tell_handler(struct hob_observers *observers, const char *label);
uint64_t hob_observers_lost(const struct hob_observers *observers);

#endif
