/* executor_resume.c - what an earlier process left: who is to blame for its death, and who goes on,
 * in which order. */
#include "base/alloc.h"
#include "base/clock.h"
#include "work/blackbox.h"
#include "work/executor_parts.h"
#include "work/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHILDREN_MS   20
#define PATIENCE_MS   5000 /* a killed process that is still there after this is worth a word */
#define RETRY_MS      2000
#define DETAILS_LIMIT (64 * 1024)
#define STEPS_LIMIT   600

/* ---- who is to blame ---- */

struct deaths {
    const struct hob_blackbox_past *list;
    size_t count;
};

static struct deaths read_deaths(const struct hob_executor *executor)
{
    struct deaths deaths = {0};
    if (executor->options.blackbox) {
        deaths.count = hob_blackbox_past(executor->options.blackbox, &deaths.list);
    }
    return deaths;
}

static const struct hob_blackbox_past *death_of(const struct deaths *deaths, int64_t row)
{
    for (size_t i = 0; i < deaths->count; i++) {
        if (deaths->list[i].row == row) {
            return &deaths->list[i];
        }
    }
    return NULL;
}

/* An end in order was stored before it came, whatever is in the box. */
static enum hob_slot_past past_of(const struct hob_executor *executor, const struct deaths *deaths,
                                  const struct hob_store_execution *known)
{
    const struct hob_blackbox_past *death = death_of(deaths, known->row);
    const char *boot = executor->options.boot_id;
    if (!known->boot || !known->boot[0]) {
        return HOB_SLOT_PAST_ORDER;
    }
    if (death) { /* only what died within this boot is in there */
        bool guilty = death->executing || deaths->count == 1;
        return guilty ? HOB_SLOT_PAST_GUILT : HOB_SLOT_PAST_OTHER;
    }
    if (!boot || strcmp(known->boot, boot) != 0) {
        return HOB_SLOT_PAST_POWER;
    }
    /* Only claimed: it would be in the box if it had run. */
    return known->state == HOB_STORE_CLAIMING ? HOB_SLOT_PAST_ORDER : HOB_SLOT_PAST_OTHER;
}

/* It may have taken the process down: it was at work then, beside others, or was waiting for its
 * turn already when the one on probation died. Also beside one that was executing: a program may
 * have ended Hob just then. */
static bool is_suspect(const struct hob_executor *executor, const struct deaths *deaths,
                       const struct hob_store_execution *known)
{
    return deaths->count > 0 && !known->resume_at_s &&
           past_of(executor, deaths, known) == HOB_SLOT_PAST_OTHER;
}

enum hob_slot_past hob_executor_resume_past(const struct hob_executor *executor,
                                            const struct hob_store_execution *known,
                                            const char **step)
{
    struct deaths deaths = read_deaths(executor);
    const struct hob_blackbox_past *death = death_of(&deaths, known->row);
    *step = death ? death->step : "";
    return past_of(executor, &deaths, known);
}

/* ---- going on ---- */

bool hob_executor_resume_waits(const struct hob_executor *executor, int64_t row)
{
    for (size_t i = 0; i < executor->resume.count; i++) {
        if (executor->resume.rows[i] == row) {
            return true;
        }
    }
    return false;
}

static void take_out_first(struct hob_executor_resume *resume)
{
    resume->count--;
    memmove(resume->rows, resume->rows + 1, resume->count * sizeof *resume->rows);
}

static void try_again(struct hob_executor *executor)
{
    hob_timer_start(executor->resume.children, RETRY_MS);
}

bool hob_executor_resume_probation(const struct hob_executor *executor)
{
    return executor->turn->on_probation > 0;
}

static void set_probation(struct hob_executor *executor, bool on)
{
    executor->turn->on_probation += on;
    executor->turn->on_probation -= executor->resume.probation;
    executor->resume.probation = on;
}

static void wake_all(const struct hob_executor *executor)
{
    for (struct hob_executor *one = executor->turn->executors; one; one = one->sibling) {
        hob_timer_start(one->freed, 0);
    }
}

void hob_executor_resume_sound(struct hob_executor_seat *seat)
{
    struct hob_executor_turn *turn = seat->executor->turn;
    if (turn->suspect == seat) {
        turn->suspect = NULL;
        wake_all(seat->executor);
    }
}

void hob_executor_resume_leave(struct hob_executor *executor)
{
    struct hob_executor_turn *turn = executor->turn;
    bool others_wait = executor->resume.probation;
    set_probation(executor, false);
    for (size_t i = 0; i < executor->count; i++) {
        if (turn->suspect == &executor->seats[i]) {
            turn->suspect = NULL;
            others_wait = true;
        }
    }
    if (others_wait) {
        wake_all(executor);
    }
}

static void go_on(struct hob_executor_seat *seat, const struct hob_store_execution *known)
{
    struct hob_executor *executor = seat->executor;
    struct hob_executor_resume *resume = &executor->resume;
    struct hob_error err = {0};
    struct hob_jobs_execution execution = {.present = true,
                                           .status = HOB_JOBS_IN_PROGRESS,
                                           .execution_number = known->execution_number,
                                           .queued_at = known->queued_at,
                                           .version_number = known->version};
    const char *step;
    execution.version_number += known->state == HOB_STORE_CLAIMING; /* the claim was accepted */
    int64_t row = known->row;
    enum hob_slot_past past = hob_executor_resume_past(executor, known, &step);
    snprintf(execution.job_id, sizeof execution.job_id, "%s", known->job_id);
    hob_executor_take(seat, &execution);
    hob_executor_say(executor, HOB_LOG_INFO, "job.resumed", NULL, &seat->identity,
                     "it was running when Hob ended");
    if (resume->probation) {
        executor->turn->suspect = seat;
    }
    if (hob_executor_prepare(seat, known, past, step, &err) ||
        hob_slot_run(seat->slot, execution.version_number, &err)) {
        hob_executor_clear(seat);
        try_again(executor);
        return;
    }
    if (resume->count > 0 && resume->rows[0] == row) {
        take_out_first(resume);
    }
    if (hob_slot_state(seat->slot) == HOB_SLOT_WAITING) {
        hob_executor_resume_sound(seat); /* nothing of it runs */
    }
    hob_executor_watch_doubt(seat); /* it may have been cancelled while it waited */
}

void hob_executor_resume_next(struct hob_executor *executor)
{
    struct hob_executor_resume *resume = &executor->resume;
    struct hob_executor_seat *seat;
    while (resume->ready && resume->count > 0 && !executor->stopping && !executor->turn->suspect &&
           !hob_executor_reboots(executor) && !hob_timer_active(resume->children) &&
           (seat = hob_executor_free_seat(executor)) && hob_executor_turn_ask(executor)) {
        struct hob_error err = {0};
        struct hob_store_execution known;
        int rc = hob_store_get(executor->options.store, resume->rows[0], &known, &err);
        if (rc == 0 && (known.state == HOB_STORE_RUNNING || known.state == HOB_STORE_CLAIMING)) {
            go_on(seat, &known);
        } else if (rc == 0 || rc == HOB_ENOENT) {
            take_out_first(resume);
        } else {
            hob_executor_store_failed(executor, NULL, &err);
            try_again(executor);
        }
    }
    if (resume->probation && resume->count == 0 && !executor->turn->suspect) {
        set_probation(executor, false);
        wake_all(executor);
    }
}

/* ---- an older Hob on the store of a newer one ---- */

struct steps {
    char text[STEPS_LIMIT];
    size_t len;
    bool cut;
};

static bool add_step(void *user, const char *name, bool failed, const char *result)
{
    struct steps *steps = user;
    if (strncmp(name, "hob:", 4) == 0) {
        return true;
    }
    const char *comma = steps->len ? ", " : "";
    const char *note = failed ? " (failed)" : "";
    size_t need = strlen(comma) + strlen(name) + strlen(note);
    if (steps->len + need + sizeof " ..." > sizeof steps->text) {
        steps->cut = true;
        return false;
    }
    steps->len += (size_t)snprintf(steps->text + steps->len, sizeof steps->text - steps->len,
                                   "%s%s%s", comma, name, note);
    return true;
}

static int downgrade_details(struct hob_executor *executor, const struct hob_store_execution *known,
                             struct hob_buf *out, struct hob_error *err)
{
    struct steps steps = {0};
    char reason[STEPS_LIMIT + 200], label[HOB_HANDLER_NAME_MAX + 16] = "";
    if (known->handler[0]) {
        snprintf(label, sizeof label, "%s@%.12s", known->handler, known->handler_digest);
    }
    int rc = hob_store_each_step(executor->options.store, known->row, add_step, &steps, err);
    if (rc) {
        return rc;
    }
    snprintf(reason, sizeof reason,
             "this gateway went back to an older Hob while the job ran; what it did so far: %s%s%s",
             steps.len ? "steps " : "no step was finished", steps.text, steps.cut ? " ..." : "");
    return hob_job_put_refusal(
        out, &(struct hob_job_refusal){
                 .reason = reason, .code = "DOWNGRADE", .handler = label, .step = ""});
}

/* Never run: its steps may mean something else there. An end that was decided stands. */
int hob_executor_resume_end_downgraded(struct hob_executor *executor, int64_t row,
                                       struct hob_error *err)
{
    struct hob_store *store = executor->options.store;
    struct hob_store_execution known;
    struct hob_buf details;
    struct hob_executor_identity identity = {0};
    char status[32];
    hob_buf_init(&details, DETAILS_LIMIT);
    int rc = hob_store_get(store, row, &known, err);
    if (rc == 0) {
        bool decided = known.ending_status && known.ending_status[0];
        identity.number = known.execution_number;
        snprintf(identity.job_id, sizeof identity.job_id, "%s", known.job_id);
        snprintf(status, sizeof status, "%s", decided ? known.ending_status : "FAILED");
        rc = decided ? hob_buf_append_string(&details, known.ending_details)
                     : downgrade_details(executor, &known, &details, err);
    }
    rc = rc ? rc : hob_store_put_outcome(store, row, status, hob_buf_string(&details), err);
    if (rc == 0) {
        hob_executor_say(executor, HOB_LOG_WARN, "job.finished", status, &identity,
                         hob_buf_string(&details));
        rc = hob_outbox_push(executor->options.outbox, row, err);
    }
    hob_buf_free(&details);
    return rc;
}

static void end_all_downgraded(struct hob_executor *executor)
{
    struct hob_executor_resume *resume = &executor->resume;
    while (resume->count > 0) {
        struct hob_error err = {0};
        if (hob_executor_resume_end_downgraded(executor, resume->rows[0], &err)) {
            hob_executor_store_failed(executor, NULL, &err);
            try_again(executor);
            return;
        }
        take_out_first(resume);
    }
}

/* ---- the start ---- */

static void ready(struct hob_executor *executor)
{
    executor->resume.ready = true;
    if (hob_store_is_newer(executor->options.store)) {
        end_all_downgraded(executor);
    }
    hob_executor_resume_next(executor);
    hob_executor_find_look(executor);
}

static void say_probation(struct hob_executor *executor)
{
    hob_executor_say(
        executor, HOB_LOG_WARN, "job.probation", NULL, NULL,
        "the last process died, and it is not certain yet which of several jobs did it: "
        "each goes on alone, until it has ended or waits; new jobs come after them");
}

static void say_children(struct hob_executor *executor, size_t count)
{
    char text[160];
    snprintf(text, sizeof text,
             "the last process died and left %zu process group%s of its jobs running: killed",
             count, count == 1 ? "" : "s");
    hob_executor_say(executor, HOB_LOG_WARN, "job.children_ended", NULL, NULL, text);
}

static void say_stuck(struct hob_executor *executor, size_t count)
{
    char text[200];
    executor->resume.said = true;
    snprintf(text, sizeof text,
             "%zu process group%s of jobs of the last process cannot be killed; no job goes on "
             "beside them (look with ps for state D: a device or a file system that hangs)",
             count, count == 1 ? "" : "s");
    hob_executor_say(executor, HOB_LOG_ERROR, "job.children_stuck", NULL, NULL, text);
}

static void end_children(struct hob_executor *executor, bool first)
{
    struct hob_executor_resume *resume = &executor->resume;
    struct hob_blackbox *box = executor->options.blackbox;
    size_t count = box ? hob_blackbox_end_children(box) : 0;
    if (count == 0) {
        ready(executor);
        return;
    }
    if (first) {
        say_children(executor, count);
    } else if (!resume->said && hob_clock_mono_ms() - resume->since_ms > PATIENCE_MS) {
        say_stuck(executor, count);
    }
    hob_timer_start(resume->children, CHILDREN_MS);
}

/* Also when the store could not be read or written before. */
static void on_children(void *user)
{
    struct hob_executor *executor = user;
    if (!executor->resume.ready) {
        end_children(executor, false);
    } else {
        ready(executor);
    }
}

struct found {
    struct hob_executor *executor;
    struct deaths deaths;
};

static bool add_row(void *user, const struct hob_store_execution *known)
{
    struct found *found = user;
    struct hob_executor_resume *resume = &found->executor->resume;
    if (is_suspect(found->executor, &found->deaths, known)) {
        set_probation(found->executor, true);
    }
    if (resume->count == resume->capacity) {
        size_t capacity = resume->capacity ? resume->capacity * 2 : 8;
        int64_t *rows = hob_realloc(resume->rows, capacity * sizeof *rows);
        if (!rows) {
            return false;
        }
        resume->rows = rows;
        resume->capacity = capacity;
    }
    resume->rows[resume->count++] = known->row;
    return true;
}

/* One that was at work had its claim accepted, though the store does not say so: its first commit
 * was yet to come. */
static bool add_claim(void *user, const struct hob_store_execution *known)
{
    struct found *found = user;
    return death_of(&found->deaths, known->row)
               ? add_row(found, known)
               : hob_executor_find_add_claim(found->executor, known) == 0;
}

static int compare_rows(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* So that it is soon known whether it was the one. */
static void charged_first(struct hob_executor_resume *resume, const struct deaths *deaths)
{
    size_t front = 0;
    for (size_t i = 0; resume->probation && i < resume->count; i++) {
        const struct hob_blackbox_past *death = death_of(deaths, resume->rows[i]);
        if (death && (death->executing || deaths->count == 1)) {
            int64_t row = resume->rows[i];
            memmove(resume->rows + front + 1, resume->rows + front,
                    (i - front) * sizeof *resume->rows);
            resume->rows[front++] = row;
        }
    }
}

void hob_executor_resume_start(struct hob_executor *executor)
{
    struct hob_executor_resume *resume = &executor->resume;
    struct hob_store *store = executor->options.store;
    struct found found = {executor, read_deaths(executor)};
    struct hob_error err = {0};
    if (hob_store_each(store, executor->thing, HOB_STORE_RUNNING, add_row, &found, &err) ||
        hob_store_each(store, executor->thing, HOB_STORE_CLAIMING, add_claim, &found, &err)) {
        hob_executor_store_failed(executor, NULL, &err);
    }
    if (resume->count > 1) {
        qsort(resume->rows, resume->count, sizeof *resume->rows, compare_rows);
    }
    charged_first(resume, &found.deaths);
    if (resume->probation) {
        say_probation(executor);
    }
    resume->since_ms = hob_clock_mono_ms();
    end_children(executor, true);
}

int hob_executor_resume_init(struct hob_executor *executor)
{
    executor->resume.children = hob_timer_new(executor->options.loop, on_children, executor);
    return executor->resume.children ? 0 : HOB_ENOMEM;
}

void hob_executor_resume_end(struct hob_executor *executor)
{
    hob_timer_stop(executor->resume.children);
}
