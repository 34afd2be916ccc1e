/* fair.h - whose Lua runs next: turns between the things of a process.
 *
 * All handlers run on one thread, in slices. A slice belongs to a *party* (a thing), however many
 * jobs and tasks of it want one: in each turn of the loop each party gets one at most, those that
 * have just been woken (and took little time when they were last) before those that only go on,
 * until the turn's time is used up; then the loop looks at its I/O, and the next turn begins with
 * whoever had none. So a thing whose handlers spin, or wake all the time, takes a slice from the
 * others' time and no more; and nobody starves: one of those that go on is served in each turn.
 *
 * Life: hob_fair_new -> hob_fair_join ... hob_fair_leave -> hob_fair_free. Loop thread only.
 * Spec: spec/unit/fair_spec.lua, spec/integration/things_spec.lua
 */
#ifndef HOB_WORK_FAIR_H
#define HOB_WORK_FAIR_H

#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>

struct hob_fair;
struct hob_fair_party;

/** Who wants a slice; embedded, zero at first. */
struct hob_fair_entry {
    struct hob_fair_entry *next;
    hob_loop_fn *fn;
    void *user;
    bool waiting;
};

int hob_fair_new(struct hob_loop *loop, struct hob_fair **out, struct hob_error *err);
void hob_fair_free(struct hob_fair *fair); /* once all parties have left; NULL is legal */

/** @return NULL: out of memory */
struct hob_fair_party *hob_fair_join(struct hob_fair *fair);
/** What it still waits for is called all the same. NULL is legal. */
void hob_fair_leave(struct hob_fair_party *party);

/** Call `fn` once, for one slice, when it is the party's turn and before it that of its earlier
 * ones. The entry must live till then, and not wait yet. */
void hob_fair_want(struct hob_fair_party *party, struct hob_fair_entry *entry, hob_loop_fn *fn,
                   void *user);

#endif
