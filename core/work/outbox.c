#include "work/outbox.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "work/outbox_entry.h"

#include <stdio.h>
#include <string.h>

#define PROGRESS_GAP_MS  1000
#define BACKOFF_BASE_MS  1000
#define BACKOFF_CAP_MS   60000
#define IN_FLIGHT_MAX    8
#define LOADED_MAX       256  /* outcomes of earlier processes in memory at a time */
#define PROGRESS_RESERVE 0.25 /* of the messages of a minute, kept for outcomes */
#define NEVER            UINT64_MAX

static void turn(void *user);

/* ---- entries ---- */

static struct hob_outbox_entry *find_entry(const struct hob_outbox *outbox, int64_t row)
{
    struct hob_outbox_entry *entry = outbox->entries;
    while (entry && entry->row != row) {
        entry = entry->next;
    }
    return entry;
}

/* Its request, if any, is forgotten: nobody waits for the answer. */
static void drop_entry(struct hob_outbox_entry *entry)
{
    struct hob_outbox *outbox = entry->outbox;
    struct hob_outbox_entry **link = &outbox->entries;
    while (*link != entry) {
        link = &(*link)->next;
    }
    *link = entry->next;
    if (outbox->last == &entry->next) {
        outbox->last = link;
    }
    if (entry->in_flight) {
        outbox->in_flight--;
        hob_jobs_client_forget(outbox->options.client, entry);
    }
    hob_free(entry->progress);
    hob_free(entry->settled);
    hob_free(entry);
}

static struct hob_outbox_entry *add_entry(struct hob_outbox *outbox,
                                          const struct hob_store_execution *execution)
{
    size_t id_size = strlen(execution->job_id) + 1;
    struct hob_outbox_entry *entry = hob_calloc(1, sizeof *entry + id_size);
    if (!entry) {
        return NULL;
    }
    entry->outbox = outbox;
    entry->row = execution->row;
    entry->execution_number = execution->execution_number;
    entry->queued_at = execution->queued_at;
    entry->version = execution->version;
    memcpy(entry->job_id, execution->job_id, id_size);
    *outbox->last = entry;
    outbox->last = &entry->next;
    return entry;
}

struct hob_log_record hob_outbox_record(const struct hob_outbox_entry *entry,
                                        enum hob_log_level level, const char *event)
{
    return (struct hob_log_record){.level = level,
                                   .event = event,
                                   .thing = entry->outbox->thing,
                                   .job = entry->job_id,
                                   .execution = entry->execution_number};
}

static bool has_ended(const struct hob_outbox_entry *entry)
{
    return entry->status != HOB_JOBS_STATUS_NONE;
}

static bool has_something(const struct hob_outbox_entry *entry)
{
    return entry->in_flight || entry->settled || has_ended(entry) ||
           (entry->progress && !entry->gone);
}

static void store_failed(const struct hob_outbox_entry *entry, const struct hob_error *err)
{
    struct hob_log_record record = hob_outbox_record(entry, HOB_LOG_ERROR, "store.failed");
    record.code = hob_error_name(err->code);
    hob_log_write(entry->outbox->options.log, &record, "%s", err->message);
}

/* ---- sending ---- */

static void sent(struct hob_outbox_entry *entry, int rc)
{
    struct hob_outbox *outbox = entry->outbox;
    if (rc == 0) {
        entry->in_flight = true;
        outbox->in_flight++;
        hob_budget_take(&outbox->budget);
    } else if (rc == HOB_ENOTCONN) {
        outbox->online = false; /* until the client is ready again */
    } else if (entry->outcome && !entry->bare && (rc == HOB_EINVAL || rc == HOB_EMSGSIZE)) {
        entry->bare = true;
        hob_outbox_wake(outbox);
    } else {
        hob_outbox_entry_later(entry, hob_error_name(rc), false);
    }
}

static void ask_first(struct hob_outbox_entry *entry)
{
    entry->outcome = false;
    sent(entry, hob_jobs_describe(entry->outbox->options.client, entry->job_id,
                                  entry->execution_number, hob_outbox_on_described, entry));
}

static int send_update(struct hob_outbox_entry *entry, enum hob_jobs_status status,
                       const char *details, int step_minutes)
{
    struct hob_jobs_update update = {.job_id = entry->job_id,
                                     .status = status,
                                     .details = details,
                                     .expected_version = entry->version,
                                     .execution_number = entry->execution_number,
                                     .step_timeout_minutes = step_minutes};
    entry->sent_version = entry->version;
    return hob_jobs_update(entry->outbox->options.client, &update, hob_outbox_on_updated, entry);
}

static uint64_t minutes_ms(int minutes)
{
    return (uint64_t)minutes * 60000;
}

static void send_progress(struct hob_outbox_entry *entry, uint64_t now)
{
    entry->outcome = entry->newer = false;
    int rc = send_update(entry, HOB_JOBS_IN_PROGRESS, entry->progress, entry->step_minutes);
    if (rc == HOB_EINVAL || rc == HOB_EMSGSIZE) { /* said already, and no better at another time */
        hob_free(entry->progress);
        entry->progress = NULL;
        return;
    }
    if (rc == 0) {
        entry->progress_sent_ms = now;
        entry->step_sent_ms = entry->step_minutes > 0 ? now + minutes_ms(entry->step_minutes) : 0;
    }
    sent(entry, rc);
}

#define BARE                                                                                       \
    "{\"reason\":\"the details of this outcome were refused; `hob jobs --history` on the gateway " \
    "has them\"}"

/* The store has it: nothing of it needs to lie in memory while it waits. */
static void send_outcome(struct hob_outbox_entry *entry)
{
    struct hob_store_execution execution;
    struct hob_error err = {0};
    int rc = hob_store_get(entry->outbox->options.store, entry->row, &execution, &err);
    if (rc == HOB_ENOENT) {
        store_failed(entry, &err);
        hob_outbox_entry_settle(entry, "the outcome is not in the store any more",
                                HOB_JOBS_STATUS_NONE);
    } else if (rc) {
        store_failed(entry, &err);
        hob_outbox_entry_later(entry, hob_error_name(rc), false);
    } else {
        entry->outcome = true;
        sent(entry, send_update(entry, entry->as_failed ? HOB_JOBS_FAILED : entry->status,
                                entry->bare ? BARE : execution.details, 0));
    }
}

static void send_entry(struct hob_outbox_entry *entry, uint64_t now)
{
    if (entry->unsure) {
        ask_first(entry);
    } else if (has_ended(entry)) {
        send_outcome(entry);
    } else {
        send_progress(entry, now);
    }
}

/* ---- a turn: settle what is over, send what may go, set the timer for the rest ---- */

/* How long until it may be sent. */
static uint64_t wait_of(const struct hob_outbox_entry *entry, uint64_t now)
{
    uint64_t at = entry->due_ms;
    if (entry->in_flight || entry->settled || !has_something(entry)) {
        return NEVER;
    }
    if (!has_ended(entry) && entry->progress_sent_ms) {
        uint64_t next = entry->progress_sent_ms + entry->outbox->options.progress_gap_ms;
        at = next > at ? next : at;
    }
    return at > now ? at - now : 0;
}

/* Once, until there is enough again to speak of. */
static void note_budget(struct hob_outbox *outbox, uint64_t wait_ms, uint64_t now)
{
    if (wait_ms == 0) {
        outbox->short_of_messages = outbox->short_of_messages &&
                                    hob_budget_wait_ms(&outbox->budget, PROGRESS_RESERVE, now) > 0;
        return;
    }
    if (outbox->short_of_messages) {
        return;
    }
    outbox->short_of_messages = true;
    struct hob_log_record record = {
        .level = HOB_LOG_WARN,
        .event = "jobs.budget_spent",
        .thing = outbox->thing,
        .action = "raise messages_per_minute in the configuration if this happens often"};
    hob_log_write(outbox->options.log, &record,
                  "the messages of this minute are spent (messages_per_minute = %g): outcomes of "
                  "%zu jobs wait, the next one goes in %.1f s",
                  outbox->options.messages_per_minute, hob_outbox_depth(outbox),
                  (double)wait_ms / 1000);
}

/* In order, as many as may be in flight and as the budget allows. @return ms until the next one */
static uint64_t send_due(struct hob_outbox *outbox, bool outcomes, uint64_t now)
{
    uint64_t soonest = NEVER;
    for (struct hob_outbox_entry *entry = outbox->entries; entry; entry = entry->next) {
        uint64_t wait = has_ended(entry) == outcomes ? wait_of(entry, now) : NEVER;
        if (wait == 0) {
            if (!outbox->online || outbox->in_flight >= outbox->limit) {
                return NEVER; /* a link or an answer brings the next turn */
            }
            wait = hob_budget_wait_ms(&outbox->budget, outcomes ? 0 : PROGRESS_RESERVE, now);
            if (outcomes) {
                note_budget(outbox, wait, now);
            }
            if (wait > 0) {
                return wait < soonest ? wait : soonest;
            }
            send_entry(entry, now);
            wait = wait_of(entry, now);
        }
        soonest = wait < soonest ? wait : soonest;
    }
    return soonest;
}

static void mark_told(struct hob_outbox_entry *entry)
{
    struct hob_outbox *outbox = entry->outbox;
    struct hob_error err = {0};
    int64_t row = entry->row;
    if (hob_store_mark_told(outbox->options.store, row, entry->settled,
                            hob_jobs_status_name(entry->theirs), &err)) {
        store_failed(entry, &err); /* it is sent once more after a restart, which is harmless */
    }
    drop_entry(entry);
    if (outbox->options.on_told) {
        outbox->options.on_told(outbox->options.user, row);
    }
}

static void say_gone(struct hob_outbox_entry *entry)
{
    struct hob_outbox *outbox = entry->outbox;
    entry->gone_said = true;
    if (outbox->options.on_gone && !has_ended(entry)) {
        outbox->options.on_gone(outbox->options.user, entry->row, entry->theirs);
    }
}

/* A callback may change the entries: search from the front after each. */
static void act_on_answers(struct hob_outbox *outbox)
{
    struct hob_outbox_entry *entry = outbox->entries;
    while (entry) {
        if (entry->settled) {
            mark_told(entry);
            entry = outbox->entries;
        } else if (entry->gone && !entry->gone_said) {
            say_gone(entry);
            entry = outbox->entries;
        } else {
            entry = entry->next;
        }
    }
}

static uint64_t call_waiters(struct hob_outbox *outbox, uint64_t now)
{
    uint64_t soonest = NEVER;
    struct hob_outbox_waiter **link = &outbox->waiters;
    while (*link) {
        struct hob_outbox_waiter *waiter = *link;
        const struct hob_outbox_entry *entry = find_entry(outbox, waiter->row);
        bool told = outbox->options.client != NULL; /* else nobody ever hears it */
        if (told && entry && has_something(entry) && now < waiter->until_ms) {
            uint64_t ms = waiter->until_ms - now;
            soonest = ms < soonest ? ms : soonest;
            link = &waiter->next;
        } else {
            *link = waiter->next;
            waiter->done(waiter->user);
            link = &outbox->waiters; /* it may have added one */
        }
    }
    return soonest;
}

static int load_pending(struct hob_outbox *outbox, struct hob_error *err);

static void load_more(struct hob_outbox *outbox)
{
    struct hob_error err = {0};
    if (outbox->unloaded && hob_outbox_depth(outbox) - outbox->unloaded < LOADED_MAX / 2 &&
        load_pending(outbox, &err)) {
        hob_log_write(outbox->options.log,
                      &(struct hob_log_record){.level = HOB_LOG_ERROR,
                                               .event = "store.failed",
                                               .thing = outbox->thing,
                                               .code = hob_error_name(err.code)},
                      "%s", err.message);
    }
}

static void turn(void *user)
{
    struct hob_outbox *outbox = user;
    uint64_t now = hob_clock_mono_ms();
    act_on_answers(outbox);
    load_more(outbox);
    uint64_t wait = call_waiters(outbox, now);
    uint64_t outcomes = outbox->online ? send_due(outbox, true, now) : NEVER;
    uint64_t progress = outbox->online ? send_due(outbox, false, now) : NEVER;
    wait = outcomes < wait ? outcomes : wait;
    wait = progress < wait ? progress : wait;
    if (wait != NEVER && !hob_timer_active(outbox->timer)) { /* active: woken just now */
        hob_timer_start(outbox->timer, wait);
    }
}

void hob_outbox_wake(struct hob_outbox *outbox)
{
    hob_timer_start(outbox->timer, 0);
}

/* ---- the interface ---- */

int hob_outbox_track(struct hob_outbox *outbox, const struct hob_store_execution *execution)
{
    if (find_entry(outbox, execution->row)) {
        return 0;
    }
    return add_entry(outbox, execution) ? 0 : HOB_ENOMEM;
}

void hob_outbox_adopt(struct hob_outbox *outbox, int64_t row, int64_t version)
{
    struct hob_outbox_entry *entry = find_entry(outbox, row);
    if (entry) {
        entry->version = version;
    }
}

void hob_outbox_forget(struct hob_outbox *outbox, int64_t row)
{
    struct hob_outbox_entry *entry = find_entry(outbox, row);
    if (entry) {
        drop_entry(entry);
        hob_outbox_wake(outbox);
    }
}

void hob_outbox_progress(struct hob_outbox *outbox, int64_t row, const char *details,
                         int step_minutes)
{
    struct hob_outbox_entry *entry = find_entry(outbox, row);
    char *copy = entry && !has_ended(entry) && !entry->gone ? hob_strdup(details) : NULL;
    if (!copy) {
        return;
    }
    hob_free(entry->progress);
    entry->progress = copy;
    entry->newer = true;
    entry->step_minutes =
        step_minutes < HOB_JOBS_STEP_MINUTES_MAX ? step_minutes : HOB_JOBS_STEP_MINUTES_MAX;
    hob_outbox_wake(outbox);
}

void hob_outbox_when_said(struct hob_outbox *outbox, struct hob_outbox_waiter *waiter, int64_t row,
                          uint64_t ms, void (*done)(void *user), void *user)
{
    *waiter = (struct hob_outbox_waiter){.next = outbox->waiters,
                                         .row = row,
                                         .until_ms = hob_clock_mono_ms() + ms,
                                         .done = done,
                                         .user = user};
    outbox->waiters = waiter;
    hob_outbox_wake(outbox);
}

void hob_outbox_forget_waiter(struct hob_outbox *outbox, const struct hob_outbox_waiter *waiter)
{
    for (struct hob_outbox_waiter **link = &outbox->waiters; *link; link = &(*link)->next)
        if (*link == waiter) {
            *link = waiter->next;
            return;
        }
}

/* The clock may have been set since an earlier process stored it: it did not end in the future. */
static int64_t ended_ms(const struct hob_store_execution *execution)
{
    int64_t ago_ms = hob_clock_wall_ms() - execution->ended_at_s * 1000;
    return (int64_t)hob_clock_mono_ms() - (ago_ms > 0 ? ago_ms : 0);
}

/* @return whether it is for us to tell; else the service has ended it, and knows */
static void set_outcome(struct hob_outbox_entry *entry, const struct hob_store_execution *execution)
{
    entry->status = hob_jobs_status_parse(execution->status);
    entry->ended_ms = ended_ms(execution);
    entry->due_ms = 0;
    hob_free(entry->progress);
    entry->progress = NULL; /* overtaken */
    bool ours = entry->status == HOB_JOBS_SUCCEEDED || entry->status == HOB_JOBS_FAILED ||
                entry->status == HOB_JOBS_REJECTED;
    if (!ours) {
        hob_outbox_entry_settle(entry, "not sent: the service had ended it", entry->status);
    }
    hob_outbox_wake(entry->outbox);
}

int hob_outbox_push(struct hob_outbox *outbox, int64_t row, struct hob_error *err)
{
    struct hob_store_execution execution;
    int rc = hob_store_get(outbox->options.store, row, &execution, err);
    if (rc) {
        return rc;
    }
    struct hob_outbox_entry *entry = find_entry(outbox, row);
    if (!entry && (entry = add_entry(outbox, &execution)) != NULL) {
        entry->unsure = execution.version == 0; /* never claimed, and ended all the same */
    }
    if (!entry) {
        return hob_error_set(err, HOB_ENOMEM, "outbox: out of memory");
    }
    if (!has_ended(entry)) {
        set_outcome(entry, &execution);
    }
    return 0;
}

struct load {
    struct hob_outbox *outbox;
    size_t room;
    bool failed;
};

static bool load_one(void *user, const struct hob_store_execution *execution)
{
    struct load *load = user;
    if (find_entry(load->outbox, execution->row)) {
        return true;
    }
    if (load->room == 0) {
        load->outbox->unloaded++;
        return true;
    }
    struct hob_outbox_entry *entry = add_entry(load->outbox, execution);
    if (entry) {
        set_outcome(entry, execution);
        entry->unsure = true;
        load->room--;
    }
    load->failed = !entry;
    return entry != NULL;
}

/* What an earlier process stored and did not get told. */
static int load_pending(struct hob_outbox *outbox, struct hob_error *err)
{
    struct load load = {outbox, LOADED_MAX, false};
    outbox->unloaded = 0;
    int rc =
        hob_store_each(outbox->options.store, outbox->thing, HOB_STORE_ENDED, load_one, &load, err);
    return rc == 0 && load.failed ? hob_error_set(err, HOB_ENOMEM, "outbox: out of memory") : rc;
}

void hob_outbox_online(struct hob_outbox *outbox)
{
    outbox->online = true;
    for (struct hob_outbox_entry *entry = outbox->entries; entry; entry = entry->next) {
        entry->unsure = entry->unsure || has_ended(entry);
        if (!entry->throttled) {
            entry->due_ms = 0;
        }
    }
    hob_outbox_wake(outbox);
}

void hob_outbox_offline(struct hob_outbox *outbox)
{
    outbox->online = false;
}

size_t hob_outbox_depth(const struct hob_outbox *outbox)
{
    size_t depth = outbox->unloaded;
    for (const struct hob_outbox_entry *entry = outbox->entries; entry; entry = entry->next) {
        depth += has_ended(entry);
    }
    return depth;
}

/* What is only in the store yet is younger than what is loaded. */
int64_t hob_outbox_oldest_ms(const struct hob_outbox *outbox)
{
    int64_t now = (int64_t)hob_clock_mono_ms(), oldest = -1;
    for (const struct hob_outbox_entry *entry = outbox->entries; entry; entry = entry->next) {
        int64_t age = has_ended(entry) ? now - entry->ended_ms : -1;
        oldest = age > oldest ? age : oldest;
    }
    return oldest;
}

/* ---- life ---- */

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
    return value ? value : fallback;
}

static int init(struct hob_outbox *outbox, const struct hob_outbox_options *options,
                struct hob_error *err)
{
    outbox->options = *options;
    outbox->options.progress_gap_ms = or_default(options->progress_gap_ms, PROGRESS_GAP_MS);
    outbox->options.backoff_base_ms = or_default(options->backoff_base_ms, BACKOFF_BASE_MS);
    outbox->options.backoff_cap_ms = or_default(options->backoff_cap_ms, BACKOFF_CAP_MS);
    outbox->last = &outbox->entries;
    outbox->limit = IN_FLIGHT_MAX;
    outbox->thing = hob_strdup(options->thing);
    outbox->timer = hob_timer_new(options->loop, turn, outbox);
    hob_budget_init(&outbox->budget, options->messages_per_minute, hob_clock_mono_ms());
    return outbox->thing && outbox->timer ? load_pending(outbox, err)
                                          : hob_error_set(err, HOB_ENOMEM, "outbox: out of memory");
}

int hob_outbox_new(const struct hob_outbox_options *options, struct hob_outbox **out,
                   struct hob_error *err)
{
    struct hob_outbox *outbox = hob_calloc(1, sizeof *outbox);
    if (!outbox) {
        return hob_error_set(err, HOB_ENOMEM, "outbox: out of memory");
    }
    int rc = init(outbox, options, err);
    if (rc) {
        hob_outbox_free(outbox);
        return rc;
    }
    *out = outbox;
    return 0;
}

void hob_outbox_free(struct hob_outbox *outbox)
{
    if (!outbox) {
        return;
    }
    struct hob_outbox_entry *next;
    for (struct hob_outbox_entry *entry = outbox->entries; entry; entry = next) {
        next = entry->next;
        drop_entry(entry);
    }
    hob_timer_close(outbox->timer);
    hob_free(outbox->thing);
    hob_free(outbox);
}
