/* debug_hold.c - a stop from the hook on: looked at, told, limited, let go. */
#include "work/debug_parts.h"

#include "base/clock.h"
#include "work/job.h"

#include <stdio.h>
#include <string.h>

#define PAUSE_LOOK_MS 50
#define LIMIT_LOOK_MS 5000 /* the service may not have taken the new step timer */
#define MINUTE_MS     60000

/* ---- how long ---- */

uint64_t hob_debug_hold_left_ms(const struct hob_debug_target *target, const char **why)
{
    uint64_t now = hob_clock_mono_ms();
    uint64_t begin = target->stage == HOB_DEBUG_STOPPED ? target->stopped_ms : now;
    uint64_t until = begin + target->debugger->options.hold_ms;
    const char *words = NULL;
    uint64_t limit = target->options.hold_until_ms
                         ? target->options.hold_until_ms(target->options.job, &words)
                         : 0;
    *why = "debug_hold";
    if (limit && limit < until) {
        until = limit;
        *why = words;
    }
    return until > now ? until - now : 0;
}

static void describe_time(uint64_t ms, char *out, size_t len)
{
    if (ms >= 2 * MINUTE_MS) {
        snprintf(out, len, "%d min", (int)(ms / MINUTE_MS));
    } else {
        snprintf(out, len, "%.3g s", (double)ms / 1000);
    }
}

void hob_debug_describe_limit(struct hob_debug_target *target)
{
    const char *why;
    char time[32];
    describe_time(hob_debug_hold_left_ms(target, &why), time, sizeof time);
    bool own = strcmp(why, "debug_hold") == 0;
    bool held = target->stage == HOB_DEBUG_STOPPED;
    snprintf(target->words, sizeof target->words, "%s at most %s%s: %s",
             held ? "held" : "a stop holds it", time, held ? " more" : "",
             own ? "the configuration's debug_hold; other jobs, the connection and the job's own "
                   "time-outs are not touched by it"
                 : why);
}

static void start_limit(struct hob_debug_target *target)
{
    const char *why;
    uint64_t left = hob_debug_hold_left_ms(target, &why);
    hob_timer_start(target->limit, left < LIMIT_LOOK_MS ? left : LIMIT_LOOK_MS);
}

/* What limits it may have moved on: the step timer was set anew. */
void hob_debug_on_limit(void *user)
{
    struct hob_debug_target *target = user;
    const char *why;
    char text[HOB_DEBUG_TEXT_MAX];
    if (target->stage != HOB_DEBUG_STOPPED) {
        return;
    }
    if (hob_debug_hold_left_ms(target, &why) > 0) {
        start_limit(target);
        return;
    }
    bool own = strcmp(why, "debug_hold") == 0;
    snprintf(text, sizeof text, "the hold's limit: %s",
             own ? "it was held as long as debug_hold allows" : why);
    hob_debug_log(target, HOB_LOG_WARN, "debug.hold_ended", text);
    hob_debug_release(target, text);
}

/* ---- a stop ---- */

void hob_debug_stop(struct hob_debug_target *target, const char *reason)
{
    target->stage = HOB_DEBUG_LOOKED_AT;
    target->reason = reason;
    target->looked = 0;
    target->point_count = 0;
    target->asker = NULL;
    hob_scheduler_hold(target->scheduler);
    hob_timer_start(target->turn, 0);
}

static void put_where(const struct hob_debug_target *target, char *out, size_t len)
{
    if (target->file[0]) {
        snprintf(out, len, "%s:%d", target->file, target->line);
    } else {
        snprintf(out, len, "a place that is not known");
    }
}

void hob_debug_tell_stop(struct hob_debug_target *target, struct hob_debug_session *session)
{
    struct hob_job_view view;
    const char *why;
    hob_job_view(target->options.job, &view);
    hob_debug_tell(
        target, session,
        &(struct hob_debug_event){.event = "stopped",
                                  .thread = target->thread,
                                  .job_id = view.id,
                                  .reason = target->reason,
                                  .text = target->text,
                                  .file = target->file,
                                  .line = target->line,
                                  .breakpoints = target->points,
                                  .breakpoint_count = target->point_count,
                                  .hold_left_ms = (int64_t)hob_debug_hold_left_ms(target, &why)});
}

static void find_file(struct hob_debug_target *target)
{
    if (target->in_hook) {
        return; /* the hook has said where */
    }
    if (!hob_debug_look_place(target->look, target->file, &target->line)) {
        target->file[0] = '\0';
        target->line = 0;
    }
}

/* Others may be attached, too: of an error they are all told. */
static const char *who_asked(const struct hob_debug_target *target)
{
    const struct hob_debug_session *session = target->asker;
    if (!session && strcmp(target->reason, "step") == 0) {
        session = target->stepper;
    } else if (!session && strcmp(target->reason, "pause") == 0) {
        session = target->pauser;
    }
    return (session ? session : target->seats->session)->who;
}

static void announce(struct hob_debug_target *target)
{
    char where[HOB_DEBUG_FILE_MAX + 16], text[HOB_DEBUG_FILE_MAX + 256];
    target->stage = HOB_DEBUG_STOPPED;
    target->stopped_ms = hob_clock_mono_ms();
    target->pause = target->entry = target->steps = false;
    target->named_count = 0;
    find_file(target);
    put_where(target, where, sizeof where);
    snprintf(text, sizeof text, "held at %s (%s) for %s", where, target->reason,
             target->alone ? "somebody who is to attach yet" : who_asked(target));
    if (target->alone) {
        hob_debug_log(target, HOB_LOG_WARN, "debug.waits", text);
    } else {
        hob_debug_log(target, HOB_LOG_INFO, "debug.held", text);
    }
    start_limit(target);
    if (target->options.on_hold) {
        target->options.on_hold(target->options.job, where);
    }
    hob_debug_tell_stop(target, NULL);
}

/* ---- going on ---- */

static void end_stop(struct hob_debug_target *target)
{
    target->stage = HOB_DEBUG_RUNS;
    target->definite = target->in_hook = target->alone = false;
    target->hit_count = target->looked = 0;
    target->at = (struct hob_debug_place){0};
    hob_timer_stop(target->turn);
    hob_timer_stop(target->limit);
    if (target->eval) {
        hob_debug_eval_cancel(target->eval);
        target->eval = NULL;
    }
    hob_debug_look_forget(target->look);
}

void hob_debug_release(struct hob_debug_target *target, const char *why)
{
    bool told = target->stage == HOB_DEBUG_STOPPED;
    if (target->stage == HOB_DEBUG_RUNS) {
        return;
    }
    end_stop(target);
    if (told) {
        if (target->options.on_hold) {
            target->options.on_hold(target->options.job, NULL);
        }
        hob_debug_log(target, HOB_LOG_INFO, "debug.continued", why);
        hob_debug_say(target, NULL, "continued", why);
    }
    hob_debug_aim(target);
    if (hob_debug_stop_at_kept_line(target)) {
        return;
    }
    if (target->pause) { /* asked for while it was looked at */
        hob_timer_start(target->turn, 0);
    }
    hob_scheduler_go_on(target->scheduler);
    if (target->breaking) {
        hob_task_wake(target->breaking);
        target->breaking = NULL;
    }
}

void hob_debug_release_if_alone(struct hob_debug_target *target, const char *why)
{
    if (!target->seats && !target->alone) {
        hob_debug_release(target, why);
    }
}

void hob_debug_let_go(struct hob_debug_target *target, const char *why)
{
    if (!target) {
        return;
    }
    target->doomed = true;
    hob_debug_release(target, why);
    hob_debug_aim(target);
}

/* ---- looking at a stop: conditions and log points, one after the other ---- */

static void look_on(struct hob_debug_target *target);

static void add_point(struct hob_debug_target *target, const struct hob_debug_hit *hit)
{
    target->definite = true;
    target->asker = target->asker ? target->asker : hit->session;
    target->points[target->point_count++] = hit->point;
}

static void cannot_say(struct hob_debug_target *target, const struct hob_debug_point *point,
                       const char *message)
{
    snprintf(target->text, sizeof target->text, "the %s of this breakpoint failed: %s",
             point->log ? "text" : "condition", message);
}

/* The expression of hits[looked] has an answer: first of the condition, then of the log point. */
static void on_answer(void *user, const struct hob_debug_result *result)
{
    struct hob_debug_target *target = user;
    struct hob_debug_hit *hit = &target->hits[target->looked];
    target->eval = NULL;
    struct hob_debug_point *point =
        hit->session ? hob_debug_find_point(hit->session, hit->point) : NULL;
    if (point && result->code) {
        cannot_say(target, point, result->message ? result->message : "");
        if (point->log) {
            hob_debug_say(target, hit->session, "output", target->text);
            target->text[0] = '\0';
        } else {
            add_point(target, hit);
        }
    } else if (point && result->text) {
        hob_debug_say(target, hit->session, "output", result->text);
    } else if (point && result->truth && hob_debug_count_hit(point)) {
        if (point->log) {
            hit->passed = true; /* now its text */
            look_on(target);
            return;
        }
        add_point(target, hit);
    }
    target->looked++;
    look_on(target);
}

static void ask(struct hob_debug_target *target, const struct hob_debug_point *point,
                enum hob_debug_eval_kind kind, const char *text)
{
    struct hob_error err = {0};
    struct hob_debug_eval_options options = {
        .kind = kind, .text = text, .len = strlen(text), .frame = HOB_DEBUG_INNERMOST};
    int rc =
        hob_debug_look_evaluate(target->look, &options, on_answer, target, &target->eval, &err);
    if (rc) {
        target->eval = NULL;
        on_answer(target, &(struct hob_debug_result){.code = rc, .message = err.message});
    }
}

/* @return whether an answer is awaited */
static bool look_at(struct hob_debug_target *target, struct hob_debug_hit *hit)
{
    struct hob_debug_point *point =
        hit->session ? hob_debug_find_point(hit->session, hit->point) : NULL;
    if (!point) {
        return false;
    }
    if (point->condition && !hit->passed) {
        ask(target, point, HOB_DEBUG_EVAL_TEXT, point->condition);
        return true;
    }
    if (!hit->passed && !hob_debug_count_hit(point)) {
        return false;
    }
    if (point->log) {
        ask(target, point, HOB_DEBUG_EVAL_LOG, point->log);
        return true;
    }
    add_point(target, hit);
    return false;
}

static void look_on(struct hob_debug_target *target)
{
    while (target->looked < target->hit_count) {
        if (look_at(target, &target->hits[target->looked])) {
            return;
        }
        target->looked++;
    }
    if (target->definite && (target->seats || target->alone)) {
        announce(target);
    } else {
        hob_debug_release(target, "");
    }
}

/* A pause that meets no line: the job waits by now, which is as good. */
static void look_for_pause(struct hob_debug_target *target)
{
    if (!target->pause || target->doomed) {
        return;
    }
    if (target->task && hob_task_is_waiting(target->task)) {
        target->definite = true;
        target->text[0] = '\0';
        hob_debug_stop(target, "pause");
    } else {
        hob_timer_start(target->turn, PAUSE_LOOK_MS);
    }
}

void hob_debug_on_turn(void *user)
{
    struct hob_debug_target *target = user;
    if (target->stage == HOB_DEBUG_LOOKED_AT && !target->eval) {
        look_on(target);
    } else if (target->stage == HOB_DEBUG_RUNS) {
        hob_debug_aim(target);
        look_for_pause(target);
    }
}

/* ---- what a session asks for ---- */

static int not_held(const struct hob_debug_target *target, struct hob_error *err)
{
    struct hob_job_view view;
    hob_job_view(target->options.job, &view);
    return hob_error_set(err, HOB_EINVAL, "job %s is not held", view.id);
}

static struct hob_debug_target *attached(struct hob_debug_session *session, int thread,
                                         struct hob_error *err)
{
    struct hob_debug_target *target = hob_debug_target(session, thread, err);
    if (target && !hob_debug_has_seat(target, session)) {
        hob_error_set(err, HOB_EINVAL, "not attached to this job: attach first");
        return NULL;
    }
    return target;
}

int hob_debug_pause(struct hob_debug_session *session, int thread, struct hob_error *err)
{
    struct hob_debug_target *target = attached(session, thread, err);
    if (!target) {
        return err ? err->code : HOB_ENOENT;
    }
    if (target->doomed) {
        return hob_error_set(err, HOB_EINVAL, "the job is being ended: it is not held any more");
    }
    if (target->stage != HOB_DEBUG_STOPPED && !target->pause) {
        target->pause = true;
        target->pauser = session;
        target->pause_ticks = 0;
        hob_debug_aim(target);
    }
    if (target->stage == HOB_DEBUG_RUNS) {
        hob_timer_start(target->turn, 0);
    }
    return 0;
}

int hob_debug_continue(struct hob_debug_session *session, int thread, struct hob_error *err)
{
    struct hob_debug_target *target = attached(session, thread, err);
    if (!target) {
        return err ? err->code : HOB_ENOENT;
    }
    if (target->stage != HOB_DEBUG_STOPPED) {
        return not_held(target, err);
    }
    hob_debug_release(target, session->who);
    return 0;
}

int hob_debug_step(struct hob_debug_session *session, int thread, enum hob_debug_step how,
                   struct hob_error *err)
{
    struct hob_debug_target *target = attached(session, thread, err);
    if (!target) {
        return err ? err->code : HOB_ENOENT;
    }
    if (target->stage != HOB_DEBUG_STOPPED) {
        return not_held(target, err);
    }
    hob_debug_find_place(target, &target->from);
    target->steps = true;
    target->how = how;
    target->stepper = session;
    hob_debug_release(target, session->who);
    return 0;
}

int hob_debug_cancel(struct hob_debug_session *session, int thread, struct hob_error *err)
{
    struct hob_debug_target *target = hob_debug_target(session, thread, err);
    if (!target) {
        return HOB_ENOENT;
    }
    target->options.cancel(target->options.job, session->who);
    return 0;
}
