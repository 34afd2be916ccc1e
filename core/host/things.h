/* things.h - the things of a process: a list that grows and shrinks while it runs.
 *
 * Each thing has a copy of its configuration here, so that the one that came from the file may be
 * gone. Found by name without looking at all of them; the order in which they were added is kept.
 * An index holds until the next add or the end of a remove: across turns of the loop a thing is
 * known by its name.
 *
 * Life: hob_things_new -> hob_things_add ... -> hob_things_start -> add, remove ... ->
 * hob_things_stop(cb) -> hob_things_free. Loop thread only.
 * Spec: spec/integration/things_spec.lua
 */
#ifndef HOB_HOST_THINGS_H
#define HOB_HOST_THINGS_H

#include "base/error.h"
#include "host/config.h"
#include "host/thing.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hob_things;

/** @param common  what its things have in common; copied, what it points to is borrowed for the
 *                 things' life. `thing` is set here, for each. */
int hob_things_new(const struct hob_thing_options *common, struct hob_things **out,
                   struct hob_error *err);
/** Once all have stopped, or none was ever added; NULL is legal. */
void hob_things_free(struct hob_things *things);

/** Make one more; it connects at once if the others have been started.
 * @param config  copied
 * @return 0, HOB_EEXIST, HOB_EBUSY: one of that name is still on its way out, HOB_ECANCELED: all
 * are stopping, or what hob_thing_new said */
int hob_things_add(struct hob_things *things, const struct hob_config_thing *config,
                   struct hob_error *err);

/** Take one out: it begins with no more jobs, what runs is given up at its next step (the store
 * keeps it for when the thing is added again), it disconnects.
 * @param removed  called once, later, when it is out; NULL is legal
 * @return 0, HOB_ENOENT, HOB_EBUSY: it is on its way out already, HOB_ECANCELED: all are stopping
 */
int hob_things_remove(struct hob_things *things, const char *name, void (*removed)(void *user),
                      void *user, struct hob_error *err);

/** @return NULL: there is none of that name, or nothing of it works any more. Also while it is on
 * its way out. */
struct hob_thing *hob_things_find(const struct hob_things *things, const char *name);

/** @param leaving  called before a thing is stopped that is being removed: whoever uses something
 *                  of it must let go in the next turn of the loop */
void hob_things_on_leaving(struct hob_things *things,
                           void (*leaving)(void *user, const struct hob_thing *thing), void *user);

struct hob_things_entry { /* borrowed until the thing is gone */
    const char *name;
    const struct hob_config_thing *config;
    struct hob_thing *thing; /* NULL: it has stopped */
    bool leaving;            /* hob_things_remove */
};
size_t hob_things_count(const struct hob_things *things);
/** In the order in which they were added. @return false past the last */
bool hob_things_at(const struct hob_things *things, size_t index, struct hob_things_entry *out);

/** Go on with what was running, and connect: all there are, and each that is added later. */
void hob_things_start(struct hob_things *things);
/** See hob_thing_drain: all there are, and each that is added later. */
void hob_things_drain(struct hob_things *things, bool on);
/** See hob_thing_reloaded. */
void hob_things_reloaded(struct hob_things *things);

/** See hob_thing_stop. @param stopped  called once, later, when none is left running */
void hob_things_stop(struct hob_things *things, uint64_t grace_ms, uint64_t limit_ms,
                     void (*stopped)(void *user), void *user);

/** See hob_thing_hurry. */
void hob_things_hurry(struct hob_things *things);
/** See hob_thing_reconsider. */
void hob_things_reconsider(struct hob_things *things);

#endif
