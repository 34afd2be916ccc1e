/* executor.h - which execution runs, when: look, then claim, then run, then store the outcome.
 *
 * What is announced (notify, notify-next), the answer to `$next/get` and the pending list only
 * look. A new execution passes the filter, gets a handler, is prepared in a sandbox, is written to
 * the store, and is then claimed by id (an update to IN_PROGRESS with expectedVersion): a document
 * that can never work here is REJECTED without ever having been started, and what is not ours is
 * not touched. An execution is known by (job id, execution number, queuedAt): a second delivery
 * never runs it again. As many run at once as there are slots, in the service's order; an
 * announcement brings its document along, so a short job costs two publishes. The pending list is
 * never complete (the service cuts it at ten): it only says whom to ask about.
 *
 * That the service has ended a running execution is learnt from notify and notify-next (which do
 * not name it any more), from a refused update, and from asking after every reconnect. Only its
 * answer to a question about that very execution counts; without one it is asked again.
 *
 * What an earlier process left goes on first, oldest first, once nothing of its processes runs any
 * more: see executor_resume.c.
 *
 * Life: hob_executor_new -> hob_executor_start -> hob_executor_stop(cb) -> hob_executor_free. Loop
 * thread only.  Specs: spec/integration/finding_spec.lua, concurrent_spec.lua, filter_spec.lua,
 * resume_spec.lua, job_spec.lua
 */
#ifndef HOB_WORK_EXECUTOR_H
#define HOB_WORK_EXECUTOR_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "jobs/client.h"
#include "work/handlers.h"
#include "work/outbox.h"
#include "work/store.h"

struct hob_blackbox;
struct hob_debugger;
struct hob_executor;
struct hob_executor_seat;
struct hob_filter;
struct hob_json;
struct hob_modules_agent;
struct hob_outputs;
struct hob_policy;
struct hob_product;
struct hob_tally;

enum hob_executor_unknown { HOB_EXECUTOR_REJECT, HOB_EXECUTOR_IGNORE };

/** What the executors of a process have in common, zero at first. After a death that nobody is
 * known to be guilty of, what was at work in the whole process goes on one at a time. */
struct hob_executor_turn {
    size_t limit; /* jobs at once of all of them; 0: no limit. The rest is the executors' own. */
    size_t running, granted;
    size_t since;        /* jobs that have ended since memory was given back */
    size_t on_probation; /* executors; each job asks, and is not to look at all of them */
    size_t going;        /* executors that are not stopping */
    struct hob_executor *executors;
    struct hob_executor *waiting, *last_waiting; /* in the order in which they came */
    const struct hob_executor_seat *suspect;     /* who goes on alone; NULL: nobody does */
};

struct hob_executor_options {
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_store *store;
    struct hob_jobs_client *client;
    struct hob_outbox *outbox;
    struct hob_handlers *handlers;
    struct hob_json *json; /* to look into documents; borrowed for its life; NULL: one of its own */
    const char *thing;     /* copied */
    const char *work_dir;  /* copied; each execution gets a directory in it */
    const struct hob_policy *policy;       /* what they may do; borrowed for its life */
    const struct hob_modules_agent *agent; /* what handlers may use; borrowed for its life */
    enum hob_executor_unknown unknown;     /* jobs that no handler knows */
    struct hob_filter *filter;             /* whose jobs are looked at; NULL: all */
    size_t slots;                          /* jobs at once; 0: 1 */
    size_t memory_bytes;                   /* of a job's sandbox; 0: default */
    uint64_t cpu_ms;                       /* of a job, in all its runs; 0: no limit */
    uint64_t poll_ms;                      /* the safety poll; 0: 1,800,000 */
    struct hob_executor_turn *turn; /* of the process; borrowed for its life; NULL: its own */
    /* Handed on to its slots; see slot.h. */
    struct hob_blackbox *blackbox;
    struct hob_outputs *outputs;
    struct hob_tally *tally;
    struct hob_debugger *debugger;
    const char *boot_id, *process_id;  /* borrowed for its life */
    const char *const *reboot_command; /* likewise */
    struct hob_product *product;       /* likewise; NULL: none */
    uint64_t reboot_wait_ms, timeout_ms, cleanup_timeout_ms;
    void (*on_restart)(void *user, const char *reason);
    void *user;
};

int hob_executor_new(const struct hob_executor_options *options, struct hob_executor **out,
                     struct hob_error *err);
void hob_executor_free(struct hob_executor *executor); /* NULL is legal */

/** Go on with what an earlier process left running. */
void hob_executor_start(struct hob_executor *executor);

void hob_executor_online(struct hob_executor *executor);
void hob_executor_offline(struct hob_executor *executor);
/** notify-next said so. */
void hob_executor_next(struct hob_executor *executor, const struct hob_jobs_execution *next);
/** notify said so: the pending list, IN_PROGRESS first; borrowed. */
void hob_executor_pending(struct hob_executor *executor, const struct hob_jobs_execution *list,
                          size_t count);
/** Handlers were loaded anew: what was left alone may be for one of them. */
void hob_executor_reloaded(struct hob_executor *executor);
/** A product decides anew about those that it has put off (hob_runtime_reconsider). */
void hob_executor_reconsider(struct hob_executor *executor);
/** The service knows the end of an execution: the next one may be at the front by now. */
void hob_executor_told(struct hob_executor *executor);
/** The outbox found that the service has ended an execution (NONE: it is not there any more). */
void hob_executor_gone(struct hob_executor *executor, int64_t row, enum hob_jobs_status status);

/** Begin with no more jobs from now on, or again with those that are there. Those that have begun,
 * also in an earlier process, go on to their end, and so does a claim that was sent. */
void hob_executor_drain(struct hob_executor *executor, bool on);

enum hob_executor_cancelled {
    HOB_EXECUTOR_CANCEL_NOT_HERE,
    HOB_EXECUTOR_CANCEL_ENDS,     /* it is being ended; its cleanup is done */
    HOB_EXECUTOR_CANCEL_ENDING,   /* its end was decided before */
    HOB_EXECUTOR_CANCEL_CLAIMING, /* it ends when the service says that the claim was accepted */
    HOB_EXECUTOR_CANCEL_RESUMING, /* it ends, with its cleanup, when its turn comes */
    HOB_EXECUTOR_CANCEL_REFUSED   /* it was not begun and will not be: it is REJECTED */
};
/** A person here ends an execution, the service does not know yet (executor_cancel.c).
 * @param number  its executionNumber; 0: whichever there is. @param who  "by process 4711 of root
 * here". @return one of these, or what the store said (a code, below 0) */
int hob_executor_cancel(struct hob_executor *executor, const char *job_id, int64_t number,
                        const char *who, struct hob_error *err);

/** Take no more jobs; `stopped` is called once those that run have ended or were given up (see
 * hob_slot_stop): the next process goes on with them. */
void hob_executor_stop(struct hob_executor *executor, uint64_t grace_ms, uint64_t limit_ms,
                       void (*stopped)(void *user), void *user);

/** After hob_executor_stop: see hob_slot_hurry. */
void hob_executor_hurry(struct hob_executor *executor);

/** What this device has in hand, for people who look (executor_view.c). All borrowed for the call.
 */
struct hob_executor_view {
    const char *job_id;
    int64_t execution_number, queued_at;
    const char *state;   /* "claiming", "running", "waiting", "rebooting", "ending", "resuming" */
    const char *step;    /* "" between steps */
    const char *handler; /* "NAME@DIGEST" while it is loaded, else its name; "" if there is none */
    int attempt;         /* which run of the handler this is */
    int64_t elapsed_ms;  /* how long the handler has run, in all its runs */
    int64_t resume_ms;   /* "waiting": until it runs again; else -1 */
    const char *why;     /* why it does not run; "" */
    const char *waits_for; /* the same, for programs: "window" (docs/reference/control-protocol.md);
                            * NULL: for nothing */
};
typedef void hob_executor_view_fn(void *user, const struct hob_executor_view *view);
/** `fn` must not call the executor. */
void hob_executor_each(const struct hob_executor *executor, hob_executor_view_fn *fn, void *user);
/** What the service has named and this device has not begun with: "pending", or "ignored". */
void hob_executor_each_pending(const struct hob_executor *executor, hob_executor_view_fn *fn,
                               void *user);

#endif
