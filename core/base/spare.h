/* spare.h - a library below changes what is the whole process's: put it back.
 *
 * libmosquitto seeds rand() when it is initialised, and ignores SIGPIPE with each client that is
 * made (2.0.11). Around such a call:
 *
 *     struct hob_spare kept;
 *     hob_spare_begin(&kept);   mosquitto_new(...)
 *     hob_spare_end(&kept);
 *
 * One thread at a time, others wait: so it is also what runtimes on several threads count the uses
 * of that library under, which it does without a lock. A thread of the product's that asks in
 * between sees the library's. rand() is kept where it is the C library's random() (glibc). Any
 * thread; does not nest. Specs: spec/unit/spare_spec.lua, spec/integration/embed_guest_spec.lua
 */
#ifndef HOB_BASE_SPARE_H
#define HOB_BASE_SPARE_H

#include <signal.h>

struct hob_spare {
    struct sigaction sigpipe;
    char *random, others[64]; /* the state of random(), and one for the library to seed */
};

void hob_spare_begin(struct hob_spare *kept);
void hob_spare_end(const struct hob_spare *kept);

#endif
