/* slot_parts.h - internal to slot*.c: what a slot holds, and how its parts call each other.
 *
 * Whatever must be stored goes through hob_slot_commit: it is tried until it is, and only then does
 * the execution go on. At most one such commit waits; a later one takes its place (a cancel, while
 * "it waits until noon" could not be stored).
 */
#ifndef HOB_WORK_SLOT_PARTS_H
#define HOB_WORK_SLOT_PARTS_H

#include "device/exec.h"
#include "work/job.h"
#include "work/slot.h"

#define HOB_SLOT_STEP_MAX  128
#define HOB_SLOT_WHERE_MAX 256
#define HOB_SLOT_DETAILS   (64 * 1024)
#define HOB_SLOT_STATUS    16 /* bytes of a status' name */
/* What a handler gave its programs as `grace` counts while it runs; its end waits no longer. */
#define HOB_SLOT_GRACE_MAX_MS 30000

struct hob_slot_reboot; /* the command that runs, in slot_reboot.c */

typedef int hob_slot_commit_fn(struct hob_slot *slot, struct hob_error *err);

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): grouped by what it is for */
struct hob_slot {
    struct hob_slot_options options;
    /* For its life. */
    struct hob_exec_set *children;
    struct hob_timer *store_retry, *wait_timer, *reboot_timer, *stop_timer, *turn_timer;
    struct hob_outbox_waiter saying; /* before a reboot */
    struct hob_timer *hold_timer;
    bool store_failing; /* said once, until it is over */
    struct hob_slot_reboot *asking;

    /* All from here on is of the execution that it holds. */
    enum hob_slot_state state;
    int64_t row;
    char job_id[HOB_JOBS_ID_MAX + 1];
    int64_t execution_number, queued_at, version;
    char handler[HOB_HANDLER_NAME_MAX + 1];
    uint64_t timeout_ms; /* of the handler; 0: it does not say */
    char *dir;           /* NULL: it was not needed yet; a slot is small while it is free */
    char *broken;        /* why there is no job; NULL: there is one, or memory was short */
    struct hob_job *job;
    bool job_ran; /* it is used up */
    struct hob_blackbox_entry *entry;
    struct hob_output *output;

    /* As the store has it, or will have it with the next commit. */
    int runs, interrupted, deaths, retries, cleanups;
    int64_t elapsed_ms;
    uint64_t cpu_us;         /* processor time of the runs in this process */
    bool was_claimed;        /* when it was taken: the service had it IN_PROGRESS */
    bool known;              /* of an earlier process */
    bool began;              /* a step began in an earlier run, as far as known */
    enum hob_slot_past past; /* of that earlier process */
    char past_step[HOB_SLOT_STEP_MAX + 1];

    hob_slot_commit_fn *commit; /* waits for the store */
    void (*committed)(struct hob_slot *slot);

    /* Waiting (slot_wait.c). */
    int64_t resume_at_s, wait_s;
    uint64_t due_ms; /* monotonic */
    char *wait_reason;

    /* Held by a person (slot_hold.c). */
    char held_where[HOB_SLOT_WHERE_MAX]; /* "FILE:LINE"; "": it is not */
    bool hold_said;
    uint64_t step_until_ms; /* when the step timer ends that it was claimed with; 0: none */

    /* Rebooting (slot_reboot.c). */
    int reboot_stage;
    bool restarts; /* it is a new process of Hob that is asked for */
    char *reboot_key, *reboot_reason;
    int reboot_tries;
    char *reboot_problem; /* NULL: none */

    /* The end (slot_end.c). */
    bool ending; /* it is decided: what follows */
    bool cleans; /* cleanup is to be done */
    bool cleaning;
    bool stored;      /* the outcome is in the store */
    bool ended_there; /* the service has ended it, as this: */
    enum hob_jobs_status theirs;
    bool cancel_waits;                      /* until it is known to be ours */
    char cancel_who[HOB_SLOT_STEP_MAX + 1]; /* and by whom */
    char status[HOB_SLOT_STATUS], kind[HOB_SLOT_STATUS];
    char *details;

    /* A stop of the process. */
    void (*stopped)(void *user);
    void *stopped_user;
    uint64_t stop_limit_ms;      /* monotonic */
    uint64_t progress_logged_ms; /* monotonic; 0: never */
    bool at_step, delay_said, given_up;
    bool sound; /* it waits: on_sound is to be called */
};

/* ---- slot.c ---- */
struct hob_log_record hob_slot_record(const struct hob_slot *slot, enum hob_log_level level,
                                      const char *event);
const char *hob_slot_why_broken(const struct hob_slot *slot);
const char *hob_slot_shown_step(const struct hob_slot *slot, const char *step,
                                char out[HOB_SLOT_STEP_MAX + 16]); /* "in step 'X'" */
void hob_slot_say(struct hob_slot *slot, const char *progress);    /* to the service */
void hob_slot_say_for(struct hob_slot *slot, const char *progress, int step_minutes);
void hob_slot_begin_again(struct hob_slot *slot); /* after waiting */
int64_t hob_slot_elapsed_ms(const struct hob_slot *slot);
void hob_slot_is_sound(struct hob_slot *slot);
void hob_slot_is_free(struct hob_slot *slot); /* tells whoever waits for it */

/* ---- slot_tell.c: to a product, if there is one ---- */
void hob_slot_tell_started(const struct hob_slot *slot);
void hob_slot_tell_progress(const struct hob_slot *slot, const char *text);
void hob_slot_tell_ended(const struct hob_slot *slot); /* its outcome was stored */

/* ---- slot_work.c ---- */

/** @param committed  called once it is stored, perhaps inside this call. */
void hob_slot_commit(struct hob_slot *slot, hob_slot_commit_fn *commit,
                     void (*committed)(struct hob_slot *slot));
void hob_slot_uncommit(struct hob_slot *slot); /* it does not matter any more */
void hob_slot_try_commit(void *user);          /* store_retry */
void hob_slot_store_failed(struct hob_slot *slot, const struct hob_error *err);
void hob_slot_store_works(struct hob_slot *slot);
int hob_slot_own_directory(const char *path, struct hob_error *err);
void hob_slot_remove_dir(const struct hob_slot *slot);
int hob_slot_new_job(struct hob_slot *slot, const struct hob_handlers_entry *handler,
                     const char *document, size_t len, struct hob_error *err);
int hob_slot_make_job(struct hob_slot *slot, struct hob_error *err); /* anew, from the store */
void hob_slot_end_job(struct hob_slot *slot);                        /* and what it started */
void hob_slot_at_work(struct hob_slot *slot); /* in the black box, with slot->job */
void hob_slot_leave_box(struct hob_slot *slot);
void hob_slot_off_work(struct hob_slot *slot); /* likewise, and its output is complete */
/* Of its processes, as exec.h says. */
void hob_slot_on_start(void *user, uint64_t out, uint64_t err);
void hob_slot_on_child(void *user, int pid, bool runs);
void hob_slot_on_wait_for_children(void *user, const char *who, uint64_t waited_ms);
void hob_slot_on_data(void *user, const char *program, bool is_err, const char *data, size_t len);

/* ---- slot_end.c ---- */

/** The end is decided: everything that leads to FREE follows. `details` is JSON (copied). */
void hob_slot_conclude(struct hob_slot *slot, const char *status, const char *kind,
                       const char *details);
void hob_slot_conclude_with(struct hob_slot *slot, const char *kind, const char *reason,
                            const char *code, const char *step); /* FAILED */
void hob_slot_resume_ending(struct hob_slot *slot);
void hob_slot_cancel_now(struct hob_slot *slot);
void hob_slot_on_cleanup_end(struct hob_slot *slot, const struct hob_job_outcome *outcome);

/* ---- slot_wait.c ---- */
void hob_slot_put_off(struct hob_slot *slot, const char *reason, uint64_t ms);
void hob_slot_resume_waiting(struct hob_slot *slot);
void hob_slot_on_wait(void *user); /* wait_timer */
int64_t hob_slot_wait_left_ms(const struct hob_slot *slot);

/* ---- slot_stop.c ---- */
void hob_slot_on_stop_timer(void *user);

/* ---- slot_hold.c ---- */
void hob_slot_on_hold(void *user, const char *where); /* of job.h, as the next two */
uint64_t hob_slot_hold_until_ms(void *user, const char **why);
void hob_slot_on_debug_cancel(void *user, const char *who);
void hob_slot_on_hold_timer(void *user);

/* ---- slot_reboot.c ---- */
int hob_slot_on_reboot(void *user, bool restart, const char *key, const char *reason,
                       struct hob_error *err); /* of job.h */
void hob_slot_on_reboot_timer(void *user);
void hob_slot_forget_reboot(struct hob_slot *slot);

#endif
