/* debug_tell.c - what sessions and the log are told: each event in a turn of the loop of its own.
 */
#include "base/alloc.h"
#include "work/debug_parts.h"

#include "work/job.h"

#include <string.h>

static size_t length_of(const char *text)
{
    return text ? strlen(text) + 1 : 1;
}

static const char *put_text(char **at, const char *text)
{
    char *copy = *at;
    size_t len = length_of(text);
    memcpy(copy, text ? text : "", len);
    *at += len;
    return copy;
}

/* One block: the note, the numbers, the texts. */
static struct hob_debug_note *copy_event(const struct hob_debug_event *event)
{
    size_t ids = event->breakpoint_count * sizeof *event->breakpoints;
    struct hob_debug_note *note = hob_malloc(sizeof *note + ids + length_of(event->job_id) +
                                             length_of(event->text) + length_of(event->file));
    if (!note) {
        return NULL;
    }
    int *numbers = (int *)(note + 1);
    char *at = (char *)numbers + ids;
    if (ids) {
        memcpy(numbers, event->breakpoints, ids);
    }
    note->next = NULL;
    note->event = *event;
    note->event.reason = event->reason ? event->reason : ""; /* this and `event` are constants */
    note->event.breakpoints = numbers;
    note->event.job_id = put_text(&at, event->job_id);
    note->event.text = put_text(&at, event->text);
    note->event.file = put_text(&at, event->file);
    return note;
}

static void tell_one(struct hob_debug_session *session, const struct hob_debug_event *event)
{
    struct hob_debug_note *note = copy_event(event);
    if (!note) {
        hob_log_event(session->debugger->options.log, HOB_LOG_WARN, "debug.lost",
                      "out of memory: %s was not told of the event \"%s\"", session->who,
                      event->event);
        return;
    }
    *session->last_note = note;
    session->last_note = &note->next;
    hob_timer_start(session->turn, 0);
}

void hob_debug_tell(struct hob_debug_target *target, struct hob_debug_session *session,
                    const struct hob_debug_event *event)
{
    for (const struct hob_debug_seat *seat = target->seats; seat; seat = seat->next) {
        if (!session || seat->session == session) {
            tell_one(seat->session, event);
        }
    }
}

static const char *job_id_of(const struct hob_debug_target *target)
{
    struct hob_job_view view;
    hob_job_view(target->options.job, &view);
    return view.id;
}

void hob_debug_say(struct hob_debug_target *target, struct hob_debug_session *session,
                   const char *event, const char *text)
{
    hob_debug_tell(target, session,
                   &(struct hob_debug_event){.event = event,
                                             .thread = target->thread,
                                             .job_id = job_id_of(target),
                                             .text = text,
                                             .hold_left_ms = -1});
}

void hob_debug_log(struct hob_debug_target *target, enum hob_log_level level, const char *event,
                   const char *text)
{
    struct hob_job_view view;
    hob_job_view(target->options.job, &view);
    const char *step = hob_job_step(target->options.job);
    struct hob_log_record record = {.level = level,
                                    .event = event,
                                    .thing = view.thing,
                                    .job = view.id,
                                    .execution = view.execution_number,
                                    .step = step[0] ? step : NULL};
    if (target->alone) {
        record.action =
            "attach with `hob repl JOB` (then :continue) or an editor (`hob dap`); it goes "
            "on by itself after debug_hold";
    }
    hob_log_write(target->debugger->options.log, &record, "%s", text);
}

static struct hob_debug_note *take_note(struct hob_debug_session *session)
{
    struct hob_debug_note *note = session->notes;
    if (note) {
        session->notes = note->next;
        session->last_note = session->notes ? session->last_note : &session->notes;
    }
    return note;
}

void hob_debug_free_session(struct hob_debug_session *session)
{
    struct hob_debug_note *note;
    while ((note = take_note(session))) {
        hob_free(note);
    }
    hob_timer_close(session->turn);
    hob_debug_free_points(session);
    hob_free(session->who);
    hob_free(session);
}

void hob_debug_tell_notes(void *user)
{
    struct hob_debug_session *session = user;
    struct hob_debug_note *note;
    session->telling = true;
    while (!session->closed && (note = take_note(session))) {
        session->options.on_event(session->options.user, &note->event);
        hob_free(note);
    }
    session->telling = false;
    if (session->closed) {
        hob_debug_free_session(session);
    }
}
