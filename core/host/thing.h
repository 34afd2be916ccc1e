/* thing.h - one thing of this gateway: its connection, jobs client, outbox and executor, and how
 * they hear of each other.
 *
 * It has a connection of its own, or is a branch: it uses that of another thing, or the product's
 * (net/mqtt_trunk.h). A thing whose connection others use ends after them, when all are stopped.
 *
 * Life: hob_thing_new -> hob_thing_start -> hob_thing_stop(cb), freed before cb. Loop thread only.
 */
#ifndef HOB_HOST_THING_H
#define HOB_HOST_THING_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "host/config.h"
#include "host/expiry.h"
#include "net/mqtt_counts.h"
#include "work/executor.h"
#include "work/handlers.h"
#include "work/store.h"

struct hob_blackbox;
struct hob_debugger;
struct hob_fair;
struct hob_filter;
struct hob_jobs_decoder;
struct hob_json;
struct hob_outputs;
struct hob_tally;
struct hob_thing;
struct hob_tls_cache;
struct hob_mqtt_trunk;

struct hob_thing_options { /* borrowed for the thing's life */
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_store *store;
    struct hob_handlers *handlers;
    struct hob_blackbox *blackbox; /* NULL: none */
    struct hob_outputs *outputs;
    struct hob_tally *tally;
    struct hob_debugger *debugger;
    struct hob_filter *filter; /* NULL: all jobs of the thing */
    struct hob_executor_turn *turn;
    struct hob_fair *fair;            /* between the handlers of all things; NULL: nobody shares */
    struct hob_jobs_decoder *decoder; /* of messages; NULL: one of its own */
    struct hob_json *json;            /* for documents; likewise */
    struct hob_tls_cache *tls_cache;  /* NULL: nothing is shared */
    const char *boot_id, *process_id;
    const struct hob_config *config;
    const struct hob_policy *policy;
    const struct hob_config_thing *thing;
    struct hob_product *product; /* NULL: none */
    /* Whose connection it uses; both NULL: it has one. */
    struct hob_mqtt_trunk *trunk; /* the product's */
    struct hob_thing *over;       /* another thing's, which is no branch itself */
    bool raise_limits;            /* see process_limits.h */
    /** A job asks for a new process of Hob. */
    void (*on_restart)(void *user, const char *reason);
    void *user;
};

int hob_thing_new(const struct hob_thing_options *options, struct hob_thing **out,
                  struct hob_error *err);

/** How many things use its connection? While there are some, it may not be stopped alone. Is it one
 * of those that use another's? */
size_t hob_thing_branches(const struct hob_thing *thing);
bool hob_thing_is_branch(const struct hob_thing *thing);

/** Resume what was running, and connect, after delay_ms. */
void hob_thing_start(struct hob_thing *thing, uint64_t delay_ms);

/** Handlers were loaded anew. */
void hob_thing_reloaded(struct hob_thing *thing);

/** Its parts are gone, and it ends: only hob_thing_hurry is for it. */
bool hob_thing_is_closing(const struct hob_thing *thing);

/** For people who look: is the service reached, how many outcomes does it not have yet, and what is
 * in hand (see hob_executor_each)? */
bool hob_thing_online(const struct hob_thing *thing);
size_t hob_thing_untold(const struct hob_thing *thing);
/** How long it has been (or not been) online; why it is not: "" if it is, or was not yet. */
int64_t hob_thing_state_ms(const struct hob_thing *thing);
const char *hob_thing_why(const struct hob_thing *thing);
void hob_thing_each_job(const struct hob_thing *thing, hob_executor_view_fn *fn, void *user);
/** Likewise: what the service has named and is not begun with. */
void hob_thing_each_pending(const struct hob_thing *thing, hob_executor_view_fn *fn, void *user);

struct hob_thing_facts {
    const char *via; /* whose connection it uses; "": it has its own: */
    const char *endpoint;
    int port;
    struct hob_mqtt_counts mqtt;
    int64_t answered_ms; /* since the service last answered; -1: it never has */
    int64_t oldest_ms;   /* age of the oldest outcome that is not told; -1: none */
};
void hob_thing_get_facts(const struct hob_thing *thing, struct hob_thing_facts *out);

/** "TLSv1.2, TLS-ECDHE-...", "no TLS", or "not connected". @return out */
const char *hob_thing_describe(const struct hob_thing *thing, char *out, size_t len);
/** Each subscription of its jobs, see hob_jobs_subscribe_state. NULL past the last. */
const char *hob_thing_subscription(const struct hob_thing *thing, size_t index, const char **state);

struct hob_thing_certificate {
    const char *which; /* "own", "ca" */
    const char *path;
    const struct hob_expiry *expiry;
};
/** Reads the file if it has changed. @return false when there is none at `index` */
bool hob_thing_certificate(struct hob_thing *thing, size_t index,
                           struct hob_thing_certificate *out);
/** When it ends, in seconds since 1970. Of its own with its chain: the first. Of several that may
 * issue others: the last, since nobody knows here which of them is needed. */
int64_t hob_thing_certificate_ends(const struct hob_thing_certificate *certificate);

/** What code of its jobs, and of sessions, may use of it; borrowed till it stops. */
const struct hob_modules_agent *hob_thing_agent(const struct hob_thing *thing);

/** See hob_outbox_hurry, _again, _look and _is_moving. */
void hob_thing_report_now(struct hob_thing *thing);
int hob_thing_report_again(struct hob_thing *thing, int64_t row, struct hob_error *err);
bool hob_thing_report(const struct hob_thing *thing, int64_t row, struct hob_outbox_view *out);
bool hob_thing_is_reporting(const struct hob_thing *thing);
/** See hob_executor_cancel. */
int hob_thing_cancel(struct hob_thing *thing, const char *job_id, int64_t number, const char *who,
                     struct hob_error *err);
/** See hob_executor_reconsider. */
void hob_thing_reconsider(struct hob_thing *thing);
/** After hob_thing_stop: give up what still runs where it is, and do not wait to tell the rest. */
void hob_thing_hurry(struct hob_thing *thing);
/** See hob_executor_drain. */
void hob_thing_drain(struct hob_thing *thing, bool on);

/** Take no more jobs, let those that run reach their next step (grace_ms; limit_ms for what may not
 * be broken off, see hob_slot_stop), disconnect, free. */
void hob_thing_stop(struct hob_thing *thing, uint64_t grace_ms, uint64_t limit_ms,
                    void (*stopped)(void *user), void *user);

#endif
