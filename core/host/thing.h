/* thing.h - one thing of this gateway: its connection, jobs client, outbox and executor, and how
 * they hear of each other.
 *
 * Life: hob_thing_new -> hob_thing_start -> hob_thing_stop(cb), freed before cb. Loop thread only.
 */
#ifndef HOB_HOST_THING_H
#define HOB_HOST_THING_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "host/config.h"
#include "work/handlers.h"
#include "work/store.h"

struct hob_thing;

struct hob_thing_options { /* borrowed for the thing's life */
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_store *store;
    struct hob_handlers *handlers;
    const struct hob_config *config;
    const struct hob_config_thing *thing;
};

int hob_thing_new(const struct hob_thing_options *options, struct hob_thing **out,
                  struct hob_error *err);

/** Resume what was running, and connect. */
void hob_thing_start(struct hob_thing *thing);

/** Take no more jobs, let the running one end (for at most grace_ms), disconnect, free. */
void hob_thing_stop(struct hob_thing *thing, uint64_t grace_ms, void (*stopped)(void *user),
                    void *user);

#endif
