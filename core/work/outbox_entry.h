/* outbox_entry.h - what the outbox remembers of each execution, and the answers that change it.
 *
 * Only outbox.c (what is sent, and when), outbox_answer.c (what an answer means) and
 * outbox_hurry.c (what a person wants of it) include this.
 * An entry is small: the details of an outcome stay in the store. What an answer leads to (settled,
 * gone) is only noted by it; the outbox's next turn acts on it and calls back.
 */
#ifndef HOB_WORK_OUTBOX_ENTRY_H
#define HOB_WORK_OUTBOX_ENTRY_H

#include "base/budget.h"
#include "work/outbox.h"

struct hob_outbox_entry {
    struct hob_outbox *outbox;
    struct hob_outbox_entry *next;
    int64_t row, execution_number, queued_at;
    int64_t version;      /* that the service is believed to have */
    int64_t sent_version; /* expectedVersion of what is in flight */
    uint64_t due_ms;      /* nothing is sent before; on the monotonic clock */
    uint64_t progress_sent_ms;
    int64_t ended_ms; /* of its outcome, on the monotonic clock; below 0: before this boot */
    char *progress;   /* the latest, until the service has it */
    enum hob_jobs_status status; /* of the outcome; NONE: not ended yet */
    unsigned tries;              /* failures since the last success */
    int step_minutes;
    uint64_t step_sent_ms, step_until_ms; /* of what is in flight; of what was accepted */
    bool in_flight;
    bool unsure;    /* is it still the same execution, and which version has it? Ask first */
    bool outcome;   /* what is in flight is the outcome */
    bool newer;     /* there was progress since what is in flight */
    bool throttled; /* `due_ms` was asked for by the service: a new link does not change it */
    bool bare;      /* the details were refused: the outcome goes without them */
    bool as_failed; /* REJECTED is told as FAILED */
    bool gone;      /* the service has ended it while it runs here: nothing is sent any more */
    bool gone_said; /* on_gone was called */
    char *settled;  /* how it was told or given up: waits to be marked; NULL before */
    char why[24];   /* the latest answer that put it off: a code, or words */
    enum hob_jobs_status theirs; /* of one that is settled or gone: what the service has */
    char job_id[];
};

struct hob_outbox {
    struct hob_outbox_options options;
    char *thing;
    struct hob_outbox_entry *entries, **last; /* oldest first */
    struct hob_timer *timer;                  /* the next turn */
    struct hob_budget budget;
    struct hob_outbox_waiter *waiters; /* of hob_outbox_when_said */
    size_t in_flight, limit;
    size_t unloaded; /* outcomes that are only in the store yet */
    bool online;
    bool short_of_messages; /* said already */
};

/** Have a turn soon: something may be sent, or is settled. */
void hob_outbox_wake(struct hob_outbox *outbox);

/* hob_jobs_answer_fn of an update and of a description; `user` is the entry. */
void hob_outbox_on_updated(void *user, int status, const struct hob_jobs_answer *answer);
void hob_outbox_on_described(void *user, int status, const struct hob_jobs_answer *answer);

/** Not now: again after a backoff. @param why  for the log: a code, or words */
void hob_outbox_entry_later(struct hob_outbox_entry *entry, const char *why, bool throttled);

/** It is over: `how` it was told, or why it is given up. Marked in the next turn. */
void hob_outbox_entry_settle(struct hob_outbox_entry *entry, const char *how,
                             enum hob_jobs_status theirs);

struct hob_log_record hob_outbox_record(const struct hob_outbox_entry *entry,
                                        enum hob_log_level level, const char *event);

#endif
