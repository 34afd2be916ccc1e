/* control_follow.c - `jobs` with "follow": what this gateway has in hand, and each change of it.
 * Looks after every event of a job, and once a second for what has no event; a line is sent for
 * what is new or another one than before. Jobs that have ended are followed until that is told. */
#include "base/alloc.h"
#include "host/control_parts.h"

#include "work/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS     1000
#define KEY_MAX     1024
#define SOON_MS     20
#define SOON_TIMES  3
#define ENTRIES_MAX 512 /* in hand, or not told yet */
#define ROW_MAX     (256 * 1024)

struct entry {
    struct entry *next;
    char thing[160], job[80];
    int64_t execution, queued_at;
    char key[KEY_MAX]; /* what makes a change: its state in short */
    bool seen;         /* in this look */
    bool in_hand;
};

struct watch {
    struct hob_control *control;
    struct hob_control_stream *stream;
    struct hob_log_tap events;
    struct hob_timer *timer;
    struct hob_json *json;
    struct entry *entries;
    size_t count;
    int soon;          /* how often to look again at once */
    const char *thing; /* whose jobs are looked at */
};

/* ---- those in hand ---- */

static bool is_same(const struct entry *entry, const char *thing,
                    const struct hob_executor_view *view)
{
    return strcmp(entry->job, view->job_id) == 0 && strcmp(entry->thing, thing) == 0 &&
           entry->execution == view->execution_number && entry->queued_at == view->queued_at;
}

static struct entry *entry_of(struct watch *watch, const struct hob_executor_view *view)
{
    struct entry *entry = watch->entries;
    while (entry && !is_same(entry, watch->thing, view)) {
        entry = entry->next;
    }
    if (entry || watch->count >= ENTRIES_MAX || !(entry = hob_calloc(1, sizeof *entry))) {
        return entry;
    }
    snprintf(entry->thing, sizeof entry->thing, "%s", watch->thing);
    snprintf(entry->job, sizeof entry->job, "%s", view->job_id);
    entry->execution = view->execution_number;
    entry->queued_at = view->queued_at;
    entry->next = watch->entries;
    watch->entries = entry;
    watch->count++;
    return entry;
}

static void send_line(struct watch *watch, struct hob_buf *members, int rc)
{
    if (rc == 0) {
        hob_control_stream_line(watch->stream, hob_buf_data(members), hob_buf_len(members));
    }
    hob_buf_free(members);
}

static void on_view(void *user, const struct hob_executor_view *view)
{
    struct watch *watch = user;
    struct entry *entry = entry_of(watch, view);
    struct hob_buf members;
    char key[KEY_MAX];
    snprintf(key, sizeof key, "%s|%s|%d|%s|%s|%s", view->state, view->step, view->attempt,
             view->handler, view->waits_for ? view->waits_for : "",
             view->waits_for ? "" : view->why);
    if (!entry || (entry->seen = true, entry->in_hand = true, strcmp(entry->key, key) == 0)) {
        return;
    }
    snprintf(entry->key, sizeof entry->key, "%s", key);
    hob_buf_init(&members, HOB_CONTROL_LINE_MAX);
    int rc = hob_buf_append_string(&members, "\"job\":{\"thing\":");
    rc = rc ? rc : hob_control_put_view(&members, watch->thing, view);
    rc = rc ? rc : hob_buf_append_string(&members, "}");
    send_line(watch, &members, rc);
}

/* ---- those that have ended ---- */

static void drop(struct watch *watch, struct entry **place)
{
    struct entry *entry = *place;
    *place = entry->next;
    hob_free(entry);
    watch->count--;
}

static void send_gone(struct watch *watch, const struct entry *entry)
{
    struct hob_buf members;
    hob_buf_init(&members, HOB_CONTROL_LINE_MAX);
    int rc = hob_buf_append_string(&members, "\"gone\":{\"thing\":");
    rc = rc ? rc : hob_json_quote(&members, entry->thing, strlen(entry->thing));
    rc = rc ? rc : hob_control_put_text(&members, "jobId", entry->job);
    rc = rc ? rc
            : hob_buf_printf(&members, ",\"executionNumber\":%" PRId64 ",\"queuedAt\":%" PRId64 "}",
                             entry->execution, entry->queued_at);
    send_line(watch, &members, rc);
}

static void send_ended(struct watch *watch, const struct hob_store_execution *row)
{
    struct hob_buf members;
    hob_buf_init(&members, ROW_MAX);
    int rc = hob_buf_append_string(&members, "\"ended\":");
    rc = rc ? rc : hob_history_write(&members, watch->json, row);
    send_line(watch, &members, rc);
}

/* @return whether there is nothing more to say about it */
static bool look_at_end(struct watch *watch, struct entry *entry)
{
    struct hob_error err;
    struct hob_store_execution row;
    int rc = hob_store_find(watch->control->options.store, entry->thing, entry->job,
                            entry->execution, entry->queued_at, &row, &err);
    if (rc == HOB_ENOENT) {
        send_gone(watch, entry);
        return true;
    }
    if (rc || row.state < HOB_STORE_ENDED) {
        return false; /* between two states, or the store cannot be read now */
    }
    const char *key = row.state == HOB_STORE_TOLD ? "told" : "ended";
    if (strcmp(entry->key, key) != 0) {
        snprintf(entry->key, sizeof entry->key, "%s", key);
        send_ended(watch, &row);
    }
    return row.state == HOB_STORE_TOLD;
}

/* ---- looking ---- */

static void look(struct watch *watch)
{
    const struct hob_control_options *options = &watch->control->options;
    struct hob_control_thing thing;
    for (struct entry *entry = watch->entries; entry; entry = entry->next) {
        entry->seen = false;
    }
    for (size_t i = 0; options->thing_at(options->user, i, &thing); i++) {
        watch->thing = thing.name;
        options->each_job(options->user, i, on_view, watch);
        options->each_pending(options->user, i, on_view, watch);
    }
    for (struct entry **place = &watch->entries; *place;) {
        if (!(*place)->seen && look_at_end(watch, *place)) {
            drop(watch, place);
        } else {
            place = &(*place)->next;
        }
    }
}

static void on_timer(void *user)
{
    struct watch *watch = user;
    look(watch);
    hob_timer_start(watch->timer, watch->soon > 0 ? SOON_MS : LOOK_MS);
    watch->soon -= watch->soon > 0;
}

/* What it changes is in place after this turn of the loop, or after one more. */
static void on_event(void *user, const struct hob_log_record *record, const char *line, size_t len)
{
    struct watch *watch = user;
    if (record->job) {
        watch->soon = SOON_TIMES;
        hob_timer_start(watch->timer, 0);
    }
}

/* ---- life ---- */

static void free_watch(struct watch *watch)
{
    while (watch->entries) {
        drop(watch, &watch->entries);
    }
    hob_timer_close(watch->timer);
    hob_json_free(watch->json);
    hob_free(watch);
}

static void on_closed(void *user)
{
    struct watch *watch = user;
    hob_log_untap(watch->control->options.log, &watch->events);
    free_watch(watch);
}

static struct watch *new_watch(struct hob_control *control)
{
    struct hob_error err;
    struct watch *watch = hob_calloc(1, sizeof *watch);
    if (!watch) {
        return NULL;
    }
    watch->control = control;
    watch->timer = hob_timer_new(control->options.loop, on_timer, watch);
    if (!watch->timer || hob_json_new(&watch->json, &err)) {
        free_watch(watch);
        return NULL;
    }
    return watch;
}

int hob_control_jobs_follow(struct hob_control_request *request)
{
    struct hob_error err = {0};
    struct watch *watch = new_watch(request->control);
    if (!watch) {
        return HOB_ENOMEM;
    }
    watch->stream = hob_control_follow(request, on_closed, watch, &err);
    if (!watch->stream) {
        free_watch(watch);
        return hob_control_error(request->out, request->id, err.code, "%s", err.message);
    }
    watch->events = (struct hob_log_tap){
        .fn = on_event, .user = watch, .level = HOB_LOG_INFO, .format = HOB_LOG_JSON};
    hob_log_tap(watch->control->options.log, &watch->events);
    on_timer(watch);
    return 0;
}
