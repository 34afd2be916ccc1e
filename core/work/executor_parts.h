/* executor_parts.h - what the files of the executor share. Internal to executor*.c.
 *
 * Glossary
 *   seat      a slot, and what the executor knows about the execution in it
 *   identity  what makes an execution the same one: job id, number, queuedAt
 *   look      asking the service which jobs are pending: `$next` first, then the pending list, then
 *             each candidate by its id
 *   doubt     does the service still want what a seat runs? Only its answer to that question counts
 *   turn      one of the jobs that the process may run at once (max_running_jobs); whoever wants
 *             one when there is none queues for it
 *   waiting   its handler wants something (`requires`) that is not so yet, or the product that Hob
 *             is part of has put it off; it has no seat
 *
 *   executor.c         life, seats, claims, and what the outside says
 *   executor_find.c    looking
 *   executor_decide.c  what becomes of one that was found
 *   executor_wait.c    what waits for its handler's `requires`, or for a product
 *   executor_watch.c   doubts
 *   executor_resume.c  what an earlier process left
 *   executor_cancel.c  a person here ends one
 *   executor_turn.c    whose turn it is among the things of the process
 */
#ifndef HOB_WORK_EXECUTOR_PARTS_H
#define HOB_WORK_EXECUTOR_PARTS_H

#include "base/backoff.h"
#include "base/clock_watch.h"
#include "work/executor.h"
#include "work/product.h"
#include "work/requires.h"
#include "work/slot.h"

struct hob_executor_identity {
    char job_id[HOB_JOBS_ID_MAX + 1];
    int64_t number, queued_at;
};

struct hob_executor_seat {
    struct hob_executor *executor;
    struct hob_slot *slot;
    struct hob_executor_identity identity; /* of what it holds */
    bool claiming;                         /* a claim is on its way */
    bool claimed;                          /* a claim was sent, which may have been accepted */
    bool asking;                           /* a question is on its way */
    bool doubted;                          /* to be asked about */
    bool begun;                            /* it ran before this process, or this claim */
    bool stopping;                         /* hob_slot_stop has not said that it is done */
    bool counted;                          /* among turn->running */
    bool wants_turn;                       /* it waits, and would go on if it got one */
    uint64_t asked_ms;                     /* the latest question; 0: none yet */
    struct hob_backoff backoff;
    struct hob_timer *timer; /* the next claim or question */
};

enum hob_executor_looking {
    HOB_EXECUTOR_CALM,
    HOB_EXECUTOR_ASKED_NEXT,
    HOB_EXECUTOR_ASKED_LIST,
    HOB_EXECUTOR_ASKED_ONE
};

/* An execution whose claim an earlier process had sent, or was about to. */
struct hob_executor_claim {
    int64_t row;
    struct hob_executor_identity identity;
};

#define HOB_EXECUTOR_PASSED_MAX 64 /* far more than a pending list holds */

enum hob_executor_passing {
    HOB_EXECUTOR_OVER,    /* or gone */
    HOB_EXECUTOR_FOREIGN, /* job_filter */
    HOB_EXECUTOR_NOBODYS, /* unknown_jobs is "ignore", and no handler knows it */
    HOB_EXECUTOR_CROWDED  /* its handler's `requires` are not met, and too many others wait */
};

struct hob_executor_passed {
    struct hob_executor_identity identity;
    enum hob_executor_passing why;
};

struct hob_executor_find {
    enum hob_executor_looking looking;
    struct hob_executor_identity asked; /* ASKED_ONE: about this one */
    int64_t asked_row;                  /* an earlier process's claim; 0: none */
    struct hob_executor_claim *claims;  /* to be asked about, oldest first */
    size_t claim_count, claim_capacity;
    struct hob_jobs_execution list[HOB_JOBS_PENDING_MAX]; /* the latest pending list */
    size_t count;
    bool listed; /* it is as the service last told it */
    bool missed; /* something was named that no list has shown */
    bool held;   /* the store fails: what is announced waits for `retry`, too */
    /* Not for us, or over: not to be asked about again till the next poll. */
    struct hob_executor_passed *passed;
    size_t passed_room;  /* grows up to HOB_EXECUTOR_PASSED_MAX */
    size_t passed_count; /* of all times; the newest are kept */
    struct hob_backoff backoff;
    struct hob_timer *soon;  /* what was announced has settled */
    uint64_t soon_ms;        /* it was started with */
    struct hob_timer *retry; /* of a look that failed */
    struct hob_timer *poll;
};

struct hob_executor_waiting {
    struct hob_executor_identity identity;
    char handler[HOB_HANDLER_NAME_MAX + 16]; /* "NAME@DIGEST" */
    struct hob_requires requires;
    char *put_off; /* a product has put it off: why; NULL: it waits for `requires` */
    bool ask;      /* the product is to be asked again */
};

struct hob_executor_wait {
    struct hob_executor_waiting *list;
    size_t count, capacity;
    struct hob_timer *timer;       /* the next look at them */
    struct hob_clock_watch *watch; /* while one of them waits for the clock */
};

struct hob_executor_resume {
    bool ready;    /* no process of a dead Hob runs any more */
    int64_t *rows; /* waiting for a seat, oldest first */
    size_t count, capacity;
    bool probation; /* somebody among them takes the process down, nobody knows who: each goes on
                     * alone until it ends or waits */
    struct hob_timer *children;
    uint64_t since_ms; /* waiting for the children */
    bool said;
};

struct hob_executor {
    struct hob_executor_options options;
    struct hob_executor_turn *turn, own_turn;
    struct hob_executor *sibling, **sibling_link; /* of the same process */
    char *thing, *work_dir;
    struct hob_json *json, *own_json;
    struct hob_executor_seat *seats;
    size_t count;
    bool queued; /* for a turn, between these two: */
    struct hob_executor *earlier, *later;
    bool granted;                  /* it may begin with one, */
    struct hob_timer *grant_timer; /* for so long; NULL: it never had to wait */
    bool online, stopping;
    bool draining; /* a person wants no new job to begin */
    struct hob_executor_find find;
    struct hob_executor_wait wait;
    struct hob_executor_resume resume;
    struct hob_timer *freed; /* a seat is free */
    struct hob_timer *stop_timer;
    void (*stopped)(void *user);
    void *stopped_user;
};

/* ---- executor.c ---- */

struct hob_executor_identity hob_executor_identity_of(const struct hob_jobs_execution *execution);
bool hob_executor_same(const struct hob_executor_identity *a,
                       const struct hob_executor_identity *b);

void hob_executor_say(const struct hob_executor *executor, enum hob_log_level level,
                      const char *event, const char *code,
                      const struct hob_executor_identity *about, const char *text);
void hob_executor_store_failed(const struct hob_executor *executor,
                               const struct hob_executor_identity *about,
                               const struct hob_error *err);

/** @return a free one, or NULL; @return who holds this job id, whichever execution of it, or NULL
 */
struct hob_executor_seat *hob_executor_free_seat(struct hob_executor *executor);
struct hob_executor_seat *hob_executor_seat_of(struct hob_executor *executor, const char *job_id);

/** Nothing stands against beginning with an execution (but that a seat must be free). */
bool hob_executor_may_begin(const struct hob_executor *executor);
bool hob_executor_reboots(const struct hob_executor *executor);

void hob_executor_take(struct hob_executor_seat *seat, const struct hob_jobs_execution *execution);
/** Its slot is free: whatever is still on its way for it is forgotten. */
void hob_executor_clear(struct hob_executor_seat *seat);
void hob_executor_claim(struct hob_executor_seat *seat);
/** @return 0, or what the store said: the seat is free again */
int hob_executor_run(struct hob_executor_seat *seat, int64_t version);
void hob_executor_try_later(struct hob_executor_seat *seat, const char *what, const char *why);

/** The handler that a document asks for, or NULL with why this job cannot be done here (HOB_ENOENT:
 * nobody knows it). */
const struct hob_handlers_entry *hob_executor_choose(struct hob_executor *executor,
                                                     const char *document, size_t len,
                                                     struct hob_error *err);
/** The slot takes over what the store knows, with the handler that it was begun with. That may be
 * gone or broken by now: hob_executor_run tells.
 * @return 0; HOB_EREJECTED and why this document can never work here; or another code: the store
 * could not be read, which was said, and the slot is free again (its seat is not) */
int hob_executor_prepare(struct hob_executor_seat *seat, const struct hob_store_execution *known,
                         enum hob_slot_past past, const char *step, struct hob_error *err);

/* ---- executor_decide.c ---- */

/** Take it, refuse it, leave it alone, or say its end again.
 * @param asked  it is the answer to our own question, hence not out of date
 * @return whether to go on looking */
bool hob_executor_decide(struct hob_executor *executor, const struct hob_jobs_execution *execution,
                         bool asked);

/* ---- executor_find.c ---- */

/** A seat is free, and nothing stands against beginning. */
bool hob_executor_can_take(struct hob_executor *executor);
/** Not for us, or over. */
void hob_executor_find_pass(struct hob_executor *executor,
                            const struct hob_executor_identity *identity,
                            enum hob_executor_passing why);
const struct hob_executor_passed *
hob_executor_find_passed(const struct hob_executor *executor,
                         const struct hob_executor_identity *identity); /* NULL: it was not */
/** One at a time: while an end is still to be told, its successor is not looked for. */
bool hob_executor_find_waits_for_told(const struct hob_executor *executor);
/** As hob_store_find. */
int hob_executor_find_known(struct hob_executor *executor,
                            const struct hob_executor_identity *identity,
                            struct hob_store_execution *out, struct hob_error *err);
bool hob_executor_find_over(const struct hob_store_execution *known);

int hob_executor_find_init(struct hob_executor *executor);
void hob_executor_find_end(struct hob_executor *executor);
/** Ask the service afresh. */
void hob_executor_find_look(struct hob_executor *executor);
void hob_executor_find_afresh(struct hob_executor *executor);
void hob_executor_find_later(struct hob_executor *executor, const char *what, const char *why);
/** Likewise, because of the store: until then nothing that is announced is taken either. */
void hob_executor_find_hold(struct hob_executor *executor, const char *what, int code);
bool hob_executor_find_is_held(const struct hob_executor *executor);
/** Something may be there for a free seat: look when what was announced has settled. */
void hob_executor_find_now(struct hob_executor *executor); /* its turn has come */
void hob_executor_find_soon(struct hob_executor *executor);
/** It is not to be asked about any more. */
void hob_executor_find_forget_claim(struct hob_executor *executor, int64_t row);
/** An earlier process had claimed it, or was about to. */
int hob_executor_find_add_claim(struct hob_executor *executor,
                                const struct hob_store_execution *known);

/* ---- executor_wait.c ---- */

/** Is what a handler requires so? */
void hob_executor_judge(const struct hob_executor *executor,
                        const struct hob_executor_identity *identity,
                        const struct hob_requires *requires, struct hob_requires_judgement *out);
/** It waits from now on, and says so. False: no room for it. */
bool hob_executor_wait_add(struct hob_executor *executor,
                           const struct hob_executor_identity *identity, const char *handler,
                           const struct hob_requires *requires, const char *reason);
/** A product has put it off: it waits until hob_executor_wait_ask_again. False: no room for it. */
bool hob_executor_wait_put_off(struct hob_executor *executor,
                               const struct hob_executor_identity *identity, const char *handler,
                               const char *reason);
void hob_executor_wait_ask_again(struct hob_executor *executor);
/** It waits, and what it waits for is not so yet. */
bool hob_executor_wait_holds(const struct hob_executor *executor,
                             const struct hob_executor_identity *identity);
/** It is among those that wait, whether they still must or not. */
bool hob_executor_wait_has(const struct hob_executor *executor,
                           const struct hob_executor_identity *identity);
/** One that needs to wait no longer, to be asked about. */
bool hob_executor_wait_due(struct hob_executor *executor, struct hob_executor_identity *identity);
void hob_executor_wait_forget(struct hob_executor *executor,
                              const struct hob_executor_identity *identity);
/** Those that are not in this list are not in the service any more. */
void hob_executor_wait_keep(struct hob_executor *executor, const struct hob_jobs_execution *list,
                            size_t count);
void hob_executor_wait_each(const struct hob_executor *executor, hob_executor_view_fn *fn,
                            void *user);
int hob_executor_wait_init(struct hob_executor *executor);
void hob_executor_wait_end(struct hob_executor *executor);
void hob_executor_wait_free(struct hob_executor *executor);

/* ---- executor_turn.c ---- */

/** It is one of its process's from now on; it is not any more, for its memory is freed. */
void hob_executor_turn_join(struct hob_executor *executor);
void hob_executor_turn_part(struct hob_executor *executor);
/** It begins with nothing any more: `stopping` is set. */
void hob_executor_turn_stop(struct hob_executor *executor);
/** May one more begin, or go on, in this process? If not it waits from now on, and `freed` is
 * started when it is its turn. */
bool hob_executor_turn_ask(struct hob_executor *executor);
/** It waits for its turn; it has got it and not used it yet. */
bool hob_executor_turn_waits(const struct hob_executor *executor);
bool hob_executor_turn_is_granted(const struct hob_executor *executor);
/** By something of it that began earlier: that comes before what is new. */
bool hob_executor_turn_is_wanted(const struct hob_executor *executor);
/** What the seat holds runs from now on, or does not any more; legal twice. */
void hob_executor_turn_take(struct hob_executor_seat *seat);
void hob_executor_turn_leave(struct hob_executor_seat *seat);
/** All of the process are stopping: it ends. */
bool hob_executor_turn_all_stop(const struct hob_executor *executor);
/** It found nothing to begin with: it gives back what it has not used, unless something of it that
 * began earlier waits to go on. */
void hob_executor_turn_give_up(struct hob_executor *executor);

/* ---- executor_view.c ---- */

/** Why one that could be begun with is not yet: fills in why and waits_for. */
void hob_executor_view_turn(const struct hob_executor *executor, struct hob_executor_view *view);

/* ---- executor_watch.c ---- */

void hob_executor_watch_doubt(struct hob_executor_seat *seat);
/** It is not named where it should be: doubt it, but not all the time. */
void hob_executor_watch_suspect(struct hob_executor_seat *seat);
void hob_executor_watch_ask(struct hob_executor_seat *seat);
/** The service has ended it. */
void hob_executor_watch_gone(struct hob_executor_seat *seat, enum hob_jobs_status status,
                             const char *why);

/* ---- executor_resume.c ---- */

int hob_executor_resume_init(struct hob_executor *executor);
void hob_executor_resume_end(struct hob_executor *executor);
void hob_executor_resume_start(struct hob_executor *executor);
/** Go on with those that wait for a seat. */
void hob_executor_resume_next(struct hob_executor *executor);
/** What ended its last run, and in which step it was then ("" between steps). */
enum hob_slot_past hob_executor_resume_past(const struct hob_executor *executor,
                                            const struct hob_store_execution *known,
                                            const char **step);
/** It ran under a newer Hob than this one: it ends FAILED, saying what it did. */
int hob_executor_resume_end_downgraded(struct hob_executor *executor, int64_t row,
                                       struct hob_error *err);
/** Nothing of it runs any more: whoever waits for its turn may go on. */
void hob_executor_resume_sound(struct hob_executor_seat *seat);
/** It is freed: who waits for the end of its probation waits no longer. */
void hob_executor_resume_leave(struct hob_executor *executor);
/** Something of this process goes on on probation. */
bool hob_executor_resume_probation(const struct hob_executor *executor);
bool hob_executor_resume_waits(const struct hob_executor *executor, int64_t row);

#endif
