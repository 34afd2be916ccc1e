#include "base/alloc.h"
#include "work/debug_parts.h"

#include "work/job.h"

#include <stdio.h>
#include <string.h>

#define HOLD_MS 900000

/* ---- who is attached ---- */

bool hob_debug_has_seat(const struct hob_debug_target *target,
                        const struct hob_debug_session *session)
{
    const struct hob_debug_seat *seat = target->seats;
    while (seat && seat->session != session) {
        seat = seat->next;
    }
    return seat != NULL;
}

static int take_seat(struct hob_debug_target *target, struct hob_debug_session *session,
                     struct hob_error *err)
{
    char text[256];
    if (hob_debug_has_seat(target, session)) {
        return 0;
    }
    struct hob_debug_seat *seat = hob_malloc(sizeof *seat);
    if (!seat) {
        return hob_error_set(err, HOB_ENOMEM, "debugger: out of memory");
    }
    *seat = (struct hob_debug_seat){.next = target->seats, .session = session};
    target->seats = seat;
    snprintf(text, sizeof text, "%s looks into it", session->who);
    hob_debug_log(target, HOB_LOG_INFO, "debug.attached", text);
    hob_debug_aim(target);
    if (target->stage == HOB_DEBUG_STOPPED) {
        target->alone = false;
        hob_debug_tell_stop(target, session);
    }
    return 0;
}

static void drop_hits(struct hob_debug_hit *hits, size_t count,
                      const struct hob_debug_session *session)
{
    for (size_t i = 0; i < count; i++) {
        if (hits[i].session == session) {
            hits[i].session = NULL;
        }
    }
}

/* What it asked for is not asked for any more. */
static void forget_session(struct hob_debug_target *target, const struct hob_debug_session *session)
{
    drop_hits(target->hits, target->hit_count, session);
    drop_hits(target->named, target->named_count, session);
    target->asker = target->asker == session ? NULL : target->asker;
    target->pauser = target->pauser == session ? NULL : target->pauser;
    if (target->stepper == session) {
        target->steps = false;
        target->stepper = NULL;
    }
    if (!target->seats) {
        target->pause = target->entry = false;
    }
}

static void leave_seat(struct hob_debug_target *target, struct hob_debug_session *session)
{
    char text[256];
    struct hob_debug_seat **at = &target->seats;
    while (*at && (*at)->session != session) {
        at = &(*at)->next;
    }
    struct hob_debug_seat *seat = *at;
    if (!seat) {
        return;
    }
    *at = seat->next;
    hob_free(seat);
    forget_session(target, session);
    snprintf(text, sizeof text, "%s has gone", session->who);
    hob_debug_log(target, HOB_LOG_INFO, "debug.detached", text);
    hob_debug_release_if_alone(target, text);
    hob_debug_aim(target);
}

static struct hob_debug_target *find_target(const struct hob_debugger *debugger, int thread)
{
    struct hob_debug_target *target = debugger->targets;
    while (target && target->thread != thread) {
        target = target->next;
    }
    return target;
}

struct hob_debug_target *hob_debug_target(struct hob_debug_session *session, int thread,
                                          struct hob_error *err)
{
    struct hob_debug_target *target = find_target(session->debugger, thread);
    if (!target) {
        hob_error_set(err, HOB_ENOENT, "no job with the number %d runs (any more)", thread);
    }
    return target;
}

/* ---- sessions ---- */

struct hob_debug_session *hob_debug_open(struct hob_debugger *debugger,
                                         const struct hob_debug_session_options *options)
{
    struct hob_debug_session *session = hob_calloc(1, sizeof *session);
    if (!session) {
        return NULL;
    }
    session->debugger = debugger;
    session->options = *options;
    session->who = hob_strdup(options->who ? options->who : "somebody");
    session->turn = hob_timer_new(debugger->options.loop, hob_debug_tell_notes, session);
    session->last_note = &session->notes;
    if (!session->who || !session->turn) {
        hob_free(session->who);
        hob_timer_close(session->turn);
        hob_free(session);
        return NULL;
    }
    session->options.who = session->who;
    session->next = debugger->sessions;
    debugger->sessions = session;
    return session;
}

void hob_debug_close(struct hob_debug_session *session)
{
    if (!session || session->closed) {
        return;
    }
    struct hob_debugger *debugger = session->debugger;
    session->closed = true;
    struct hob_debug_session **at = &debugger->sessions;
    while (*at != session) {
        at = &(*at)->next;
    }
    *at = session->next;
    for (struct hob_debug_target *target = debugger->targets; target; target = target->next) {
        leave_seat(target, session);
    }
    if (!session->telling) {
        hob_debug_free_session(session);
    }
}

int hob_debug_attach(struct hob_debug_session *session, int thread, struct hob_debug_info *out,
                     struct hob_error *err)
{
    struct hob_debug_target *target;
    int rc = 0;
    if (thread) {
        target = hob_debug_target(session, thread, err);
        rc = target ? take_seat(target, session, err) : HOB_ENOENT;
        return rc || !out ? rc : hob_debug_info(session, thread, out, err);
    }
    session->all = true;
    for (target = session->debugger->targets; target && rc == 0; target = target->next) {
        rc = take_seat(target, session, err);
    }
    return rc;
}

int hob_debug_detach(struct hob_debug_session *session, int thread, struct hob_error *err)
{
    struct hob_debug_target *target = thread ? hob_debug_target(session, thread, err) : NULL;
    if (thread) {
        if (target) {
            leave_seat(target, session);
        }
        return target ? 0 : HOB_ENOENT;
    }
    session->all = false;
    for (target = session->debugger->targets; target; target = target->next) {
        leave_seat(target, session);
    }
    return 0;
}

static void aim_all(const struct hob_debugger *debugger)
{
    for (struct hob_debug_target *target = debugger->targets; target; target = target->next) {
        hob_debug_aim(target);
    }
}

void hob_debug_exceptions(struct hob_debug_session *session, bool raised, bool uncaught)
{
    session->raised = raised;
    session->uncaught = uncaught;
    aim_all(session->debugger);
}

void hob_debug_entry(struct hob_debug_session *session, bool wanted)
{
    session->entry = wanted;
}

void hob_debug_set_write(struct hob_debug_session *session, bool allowed)
{
    if (session->write != allowed) {
        session->write = allowed;
        hob_log_event(session->debugger->options.log, HOB_LOG_WARN, "debug.write",
                      allowed ? "%s may change values of running jobs"
                              : "%s may only read values of running jobs again",
                      session->who);
    }
}

bool hob_debug_may_write(const struct hob_debug_session *session)
{
    return session->write;
}

/* ---- what is known of a target ---- */

static enum hob_debug_state state_of(const struct hob_debug_target *target)
{
    if (target->stage == HOB_DEBUG_STOPPED) {
        return HOB_DEBUG_HELD;
    }
    return target->task && hob_task_is_waiting(target->task) ? HOB_DEBUG_WAITING
                                                             : HOB_DEBUG_RUNNING;
}

static void fill_info(struct hob_debug_session *session, struct hob_debug_target *target,
                      struct hob_debug_info *out)
{
    struct hob_job_view view;
    const char *why = NULL;
    hob_job_view(target->options.job, &view);
    bool stopped = target->stage == HOB_DEBUG_STOPPED;
    if (!stopped && !hob_debug_look_place(target->look, target->file, &target->line)) {
        target->file[0] = '\0';
        target->line = 0;
    }
    hob_debug_describe_limit(target);
    *out = (struct hob_debug_info){
        .thread = target->thread,
        .job_id = view.id,
        .thing = view.thing,
        .handler = view.label,
        .step = hob_job_step(target->options.job),
        .execution_number = view.execution_number,
        .state = state_of(target),
        .waiting_in = target->task ? hob_task_waiting_in(target->task) : "",
        .attached = hob_debug_has_seat(target, session),
        .reason = stopped ? target->reason : "",
        .file = target->file,
        .line = target->line,
        .hold_left_ms = stopped ? (int64_t)hob_debug_hold_left_ms(target, &why) : -1,
        .text = target->words};
}

void hob_debug_each_job(struct hob_debug_session *session, hob_debug_info_fn *fn, void *user)
{
    struct hob_debug_info info;
    for (struct hob_debug_target *target = session->debugger->targets; target;
         target = target->next) {
        fill_info(session, target, &info);
        fn(user, &info);
    }
}

int hob_debug_info(struct hob_debug_session *session, int thread, struct hob_debug_info *out,
                   struct hob_error *err)
{
    struct hob_debug_target *target = hob_debug_target(session, thread, err);
    if (target) {
        fill_info(session, target, out);
    }
    return target ? 0 : HOB_ENOENT;
}

struct hob_debug_look *hob_debug_target_look(const struct hob_debug_target *target)
{
    return target->look;
}

int hob_debug_target_thread(const struct hob_debug_target *target)
{
    return target->thread;
}

struct hob_job *hob_debug_target_job(const struct hob_debug_target *target)
{
    return target->options.job;
}

struct lua_State *hob_debug_target_lua(const struct hob_debug_target *target)
{
    return target->options.L;
}

struct hob_scheduler *hob_debug_target_scheduler(const struct hob_debug_target *target)
{
    return target->scheduler;
}

struct hob_task *hob_debug_target_task(const struct hob_debug_target *target)
{
    return target->stage != HOB_DEBUG_RUNS && target->at.task ? target->at.task : target->task;
}

bool hob_debug_target_is_held(const struct hob_debug_target *target)
{
    return target->stage != HOB_DEBUG_RUNS;
}

size_t hob_debugger_held(const struct hob_debugger *debugger)
{
    size_t count = 0;
    const struct hob_debug_target *target = debugger ? debugger->targets : NULL;
    for (; target; target = target->next) {
        count += hob_debug_target_is_held(target);
    }
    return count;
}

bool hob_debug_target_in_hook(const struct hob_debug_target *target)
{
    return target->stage != HOB_DEBUG_RUNS && target->in_hook;
}

/* ---- the life of a target ---- */

static void sit_down(struct hob_debug_target *target)
{
    struct hob_error err = {0};
    char text[256];
    for (struct hob_debug_session *s = target->debugger->sessions; s; s = s->next) {
        if (s->all && take_seat(target, s, &err) == 0) {
            target->entry = target->entry || s->entry;
            snprintf(text, sizeof text, "%s begins", hob_job_label(target->options.job));
            hob_debug_say(target, s, "started", text);
        } else if (s->all) {
            hob_debug_log(target, HOB_LOG_WARN, "debug.lost", err.message);
        }
    }
    hob_debug_aim(target);
}

static void free_target(struct hob_debug_target *target)
{
    struct hob_debug_seat *next;
    for (struct hob_debug_seat *seat = target->seats; seat; seat = next) {
        next = seat->next;
        hob_free(seat);
    }
    if (target->eval) {
        hob_debug_eval_cancel(target->eval);
    }
    hob_debug_look_free(target->look);
    hob_timer_close(target->turn);
    hob_timer_close(target->limit);
    hob_free(target);
}

struct hob_debug_target *hob_debug_register(struct hob_debugger *debugger,
                                            const struct hob_debug_target_options *options)
{
    struct hob_debug_target *target = debugger ? hob_calloc(1, sizeof *target) : NULL;
    if (!target) {
        return NULL;
    }
    target->debugger = debugger;
    target->options = *options;
    target->scheduler = options->scheduler;
    target->thread = ++debugger->last_thread;
    target->reason = "";
    target->turn = hob_timer_new(debugger->options.loop, hob_debug_on_turn, target);
    target->limit = hob_timer_new(debugger->options.loop, hob_debug_on_limit, target);
    target->look = hob_debug_look_new(target);
    if (!target->turn || !target->limit || !target->look) {
        free_target(target);
        return NULL;
    }
    hob_debug_watch(target);
    target->link = debugger->last;
    *target->link = target;
    debugger->last = &target->next;
    sit_down(target);
    return target;
}

void hob_debug_unregister(struct hob_debug_target *target)
{
    if (!target) {
        return;
    }
    target->task = NULL;
    hob_debug_let_go(target, "the job has ended");
    hob_debug_say(target, NULL, "ended", "the job has ended");
    hob_scheduler_watch(target->scheduler, NULL);
    *target->link = target->next;
    *(target->next ? &target->next->link : &target->debugger->last) = target->link;
    free_target(target);
}

void hob_debug_set_task(struct hob_debug_target *target, struct hob_task *task)
{
    if (target) {
        target->task = task;
    }
}

/* ---- life ---- */

struct hob_debugger *hob_debugger_new(const struct hob_debugger_options *options)
{
    struct hob_debugger *debugger = hob_calloc(1, sizeof *debugger);
    if (debugger) {
        debugger->options = *options;
        debugger->options.hold_ms = options->hold_ms ? options->hold_ms : HOLD_MS;
        debugger->next_id = 1;
        debugger->last = &debugger->targets;
    }
    return debugger;
}

void hob_debugger_limit(struct hob_debugger *debugger, uint64_t hold_ms, bool wait)
{
    debugger->options.hold_ms = hold_ms ? hold_ms : HOLD_MS;
    debugger->options.wait = wait;
}

uint64_t hob_debugger_hold_ms(const struct hob_debugger *debugger)
{
    return debugger ? debugger->options.hold_ms : 0;
}

void hob_debugger_free(struct hob_debugger *debugger)
{
    if (!debugger) {
        return;
    }
    struct hob_debug_target *next_target;
    for (struct hob_debug_target *target = debugger->targets; target; target = next_target) {
        next_target = target->next;
        hob_debug_unregister(target);
    }
    struct hob_debug_session *next_session;
    for (struct hob_debug_session *session = debugger->sessions; session; session = next_session) {
        next_session = session->next;
        hob_debug_close(session);
    }
    hob_free(debugger);
}
