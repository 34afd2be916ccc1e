/* embed_jobs.c - what a product does to its jobs, hears of them and decides about them: see hob.h
 */
#include "host/embed.h"

#include "base/clock.h"
#include "host/runtime_parts.h"

#include <stdio.h>
#include <string.h>

#define WHO_MAX 96

/* A reason goes into logs and reports, a line. @return false: it is too long, or no line */
static bool is_line(const char *text, size_t most)
{
    size_t len = 0;
    for (; text[len]; len++) {
        if ((unsigned char)text[len] < ' ' || text[len] == 0x7f) {
            return false;
        }
    }
    return len <= most;
}

/* ---- handlers ---- */

int hob_runtime_reload(struct hob_runtime *runtime, struct hob_error *err)
{
    struct hob_error own = {0};
    err = err ? err : &own;
    if (!runtime->begun || runtime->stopping) {
        return hob_error_set(err, HOB_ECANCELED, "handlers are loaded while the runtime runs");
    }
    return hob_runtime_load_again(runtime, err);
}

/* ---- jobs ---- */

int hob_runtime_drain(struct hob_runtime *runtime, bool on, const char *why, struct hob_error *err)
{
    struct hob_error own = {0};
    struct hob_drain next = {.on = on, .since_s = hob_clock_wall_ms() / 1000};
    const char *reason = on && why ? why : "";
    err = err ? err : &own;
    if (!is_line(reason, HOB_DRAIN_REASON_MAX)) {
        return hob_error_set(err, HOB_EINVAL, "why: expected one line of at most %d bytes",
                             HOB_DRAIN_REASON_MAX);
    }
    if (!on && !runtime->drain.on) {
        return 0;
    }
    snprintf(next.who, sizeof next.who, "the program that Hob is part of");
    snprintf(next.reason, sizeof next.reason, "%s", reason);
    int rc = hob_runtime_set_drain(runtime, &next, err);
    if (rc) {
        return rc;
    }
    if (on) {
        hob_drain_say(runtime->log, &runtime->drain);
    } else {
        hob_log_event(runtime->log, HOB_LOG_INFO, "hob.draining_ended",
                      "the program that Hob is part of wants jobs again");
    }
    return 0;
}

/* The thing of that name, or the only one. */
static struct hob_thing *thing_of(const struct hob_runtime *runtime, const char *name,
                                  struct hob_error *err)
{
    struct hob_things_entry entry;
    if (name) {
        struct hob_thing *thing = hob_things_find(runtime->things, name);
        if (!thing) {
            hob_error_set(err, HOB_ENOENT, "this runtime has no thing '%.128s'", name);
        }
        return thing;
    }
    if (hob_things_count(runtime->things) != 1) {
        hob_error_set(err, HOB_EINVAL, "thing: expected a name: this runtime has %zu things",
                      hob_things_count(runtime->things));
        return NULL;
    }
    hob_things_at(runtime->things, 0, &entry);
    if (!entry.thing) {
        hob_error_set(err, HOB_ENOENT, "it has stopped");
    }
    return entry.thing;
}

int hob_runtime_cancel(struct hob_runtime *runtime, const char *thing_name, const char *job_id,
                       const char *who, struct hob_error *err)
{
    struct hob_error own = {0};
    char by[WHO_MAX];
    err = err ? err : &own;
    struct hob_thing *thing = thing_of(runtime, thing_name, err);
    if (!thing) {
        return err->code;
    }
    if (!job_id || !*job_id || (who && !is_line(who, WHO_MAX - 8))) {
        return hob_error_set(err, HOB_EINVAL, "expected a job_id, and who in one line");
    }
    snprintf(by, sizeof by, "by %s", who && *who ? who : "the program that Hob is part of");
    int result = hob_thing_cancel(thing, job_id, 0, by, err);
    if (result == HOB_EXECUTOR_CANCEL_NOT_HERE) {
        return hob_error_set(err, HOB_ENOENT, "job '%.64s' is not in hand here", job_id);
    }
    return result < 0 ? result : 0;
}

/* ---- observers, and decisions ---- */

int hob_runtime_observe(struct hob_runtime *runtime, const struct hob_observer *given)
{
    struct hob_observer observer;
    int rc = hob_sized_take(&observer, sizeof observer, given, "hob_observer", NULL);
    return rc ? rc : hob_observers_add(runtime->product.observers, &observer);
}

void hob_runtime_decide(struct hob_runtime *runtime, hob_decide_fn *decide, void *user)
{
    runtime->product.decide = decide;
    runtime->product.decide_user = user;
    hob_runtime_reconsider(runtime);
}

void hob_runtime_reconsider(struct hob_runtime *runtime)
{
    if (!runtime->stopping) {
        hob_things_reconsider(runtime->things);
    }
}
