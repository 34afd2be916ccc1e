/* debug_break.c - what the hook is asked for, and what it says: lines, steps, pauses, errors. All
 * that a watcher calls runs inside the job's code: nothing here runs any of it, or raises. */
#include "work/debug_parts.h"

#include "work/job.h"
#include "work/task_internal.h"

#include <stdio.h>
#include <string.h>

#define TICKS_WITHOUT_LINE 3 /* of a pause, in a line that does not end */
#define LEVELS_MAX         100

/* ---- what is asked for ---- */

static void mark_line(struct hob_debug_target *target, int line)
{
    unsigned bit = (unsigned)line % HOB_DEBUG_LINE_BITS;
    target->line_bits[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static bool is_marked(const struct hob_debug_target *target, int line)
{
    unsigned bit = (unsigned)line % HOB_DEBUG_LINE_BITS;
    return (target->line_bits[bit / 64] >> (bit % 64)) & 1;
}

static bool mark_points(struct hob_debug_target *target)
{
    bool any = false;
    memset(target->line_bits, 0, sizeof target->line_bits);
    for (const struct hob_debug_seat *seat = target->seats; seat; seat = seat->next) {
        for (size_t i = 0; i < seat->session->count; i++) {
            if (!seat->session->points[i]->name) {
                mark_line(target, seat->session->points[i]->line);
                any = true;
            }
        }
    }
    return any;
}

static bool wants_errors(const struct hob_debug_target *target, bool caught)
{
    for (const struct hob_debug_seat *seat = target->seats; seat; seat = seat->next) {
        if (seat->session->raised || (seat->session->uncaught && !caught)) {
            return true;
        }
    }
    return false;
}

void hob_debug_aim(struct hob_debug_target *target)
{
    bool any = mark_points(target);
    bool live = target->seats && !target->doomed;
    target->watcher.lines = live && (any || target->pause || target->entry || target->steps ||
                                     target->named_count > 0 || target->stage != HOB_DEBUG_RUNS);
    target->watcher.errors = live && wants_errors(target, false);
    hob_scheduler_watch(target->scheduler, live ? &target->watcher : NULL);
}

/* ---- places ---- */

static int count_levels(lua_State *L)
{
    lua_Debug ar;
    int low = 0, high = 1;
    while (lua_getstack(L, high - 1, &ar)) { /* `high` levels at least */
        low = high;
        high *= 2;
    }
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (lua_getstack(L, middle - 1, &ar)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static const void *function_of(lua_State *L, lua_Debug *ar)
{
    lua_getinfo(L, "f", ar);
    const void *function = lua_topointer(L, -1);
    lua_pop(L, 1);
    return function;
}

/* In the hook: level 0 is the function that has come to a line. */
static struct hob_debug_place place_of(lua_State *L, lua_Debug *ar)
{
    return (struct hob_debug_place){.task = hob_task_running(L),
                                    .co = L,
                                    .depth = hob_task_depth(L),
                                    .levels = count_levels(L),
                                    .function = function_of(L, ar)};
}

static bool find_level(const struct hob_debug_target *target, lua_State *co,
                       struct hob_debug_place *out)
{
    lua_Debug ar;
    for (int level = 0; level < LEVELS_MAX && lua_getstack(co, level, &ar); level++) {
        lua_getinfo(co, "Sl", &ar);
        if (ar.currentline > 0 && !hob_scheduler_is_own(target->scheduler, ar.source)) {
            out->levels = count_levels(co) - level;
            out->function = lua_checkstack(co, 1) ? function_of(co, &ar) : NULL;
            return true;
        }
    }
    return false;
}

/* Of a job that waits: the innermost line of the handler's. */
void hob_debug_find_place(struct hob_debug_target *target, struct hob_debug_place *out)
{
    lua_State *chain[HOB_TASK_CHAIN_MAX];
    const struct hob_task *task = hob_debug_target_task(target);
    if (target->in_hook) {
        *out = target->at;
        return;
    }
    *out = (struct hob_debug_place){.task = hob_debug_target_task(target)};
    bool gone = strcmp(target->reason, "exception") == 0; /* its frames are */
    size_t count = task && !gone ? hob_task_chain(task, chain, HOB_TASK_CHAIN_MAX) : 0;
    for (; count > 0 && !out->co; count--) {
        if (find_level(target, chain[count - 1], out)) {
            out->co = chain[count - 1];
            out->depth = (int)count;
        }
    }
}

/* ---- steps ---- */

/* `return f(x)` puts f in the place of its caller: there is nothing left to step over in. */
static bool is_callee(const struct hob_debug_place *from, lua_State *L, lua_Debug *ar)
{
    lua_getinfo(L, "t", ar);
    return ar->istailcall && from->function && function_of(L, ar) != from->function;
}

static bool step_ends(const struct hob_debug_target *target, lua_State *L, lua_Debug *ar)
{
    lua_Debug other;
    const struct hob_debug_place *from = &target->from;
    if (!target->steps || (from->task && from->task != hob_task_running(L))) {
        return false;
    }
    if (target->how == HOB_DEBUG_IN || !from->co) {
        return true;
    }
    if (from->co != L) {
        return false; /* another coroutine: the one that it was resumed from, or one inside it */
    }
    int levels = target->how == HOB_DEBUG_OVER ? from->levels : from->levels - 1;
    if (lua_getstack(L, levels, &other)) {
        return false; /* deeper */
    }
    return target->how == HOB_DEBUG_OUT || lua_getstack(L, levels - 1, &other) == 0 ||
           !is_callee(from, L, ar);
}

/* It ends. */
static void forget_task(struct hob_debug_target *target, const struct hob_task *task)
{
    if (target->at.task == task) {
        target->at = (struct hob_debug_place){0};
    }
    if (target->steps && target->from.task == task) {
        target->steps = false;
        hob_timer_start(target->turn, 0); /* the hook is not asked for lines any more */
    }
}

/* What was stepped in has ended: on to where it was resumed from. */
static void on_coroutine_end(void *user, lua_State *co, lua_State *from)
{
    struct hob_debug_target *target = user;
    if (!from) {
        forget_task(target, hob_task_running(co));
        return;
    }
    if (!target->steps || target->from.co != co) {
        return;
    }
    target->how = target->how == HOB_DEBUG_IN ? HOB_DEBUG_IN : HOB_DEBUG_OVER;
    target->from.co = from;
    target->from.depth--;
    target->from.levels = count_levels(from);
    target->from.function = NULL;
}

/* ---- breakpoints ---- */

static void add_hit(struct hob_debug_hit *hits, size_t *count, struct hob_debug_session *session,
                    const struct hob_debug_point *point)
{
    if (*count < HOB_DEBUG_HITS_MAX) {
        hits[(*count)++] = (struct hob_debug_hit){.session = session, .point = point->id};
    }
}

static void cannot_stop(struct hob_debug_target *target, struct hob_debug_session *session,
                        struct hob_debug_point *point, const char *source)
{
    char text[HOB_DEBUG_TEXT_MAX];
    if (point->said) {
        return;
    }
    point->said = true;
    snprintf(
        text, sizeof text,
        "the breakpoint %s:%d cannot stop there: the line runs inside a callback of a C function "
        "(table.sort, string.gsub, a metamethod), which cannot be interrupted",
        source + 1, point->line);
    hob_debug_say(target, session, "output", text);
}

static void find_hits(struct hob_debug_target *target, const char *source, int line, bool can_stop)
{
    for (const struct hob_debug_seat *seat = target->seats; seat; seat = seat->next) {
        for (size_t i = 0; i < seat->session->count; i++) {
            struct hob_debug_point *point = seat->session->points[i];
            if (point->line != line || !hob_debug_is_in(point, source)) {
                continue;
            }
            if (can_stop) {
                add_hit(target->hits, &target->hit_count, seat->session, point);
            } else {
                cannot_stop(target, seat->session, point, source);
            }
        }
    }
}

static const char *reason_of(struct hob_debug_target *target, bool step)
{
    if (target->named_count > 0) {
        memcpy(target->hits, target->named, sizeof target->named);
        target->hit_count = target->named_count;
        target->named_count = 0;
        return "function breakpoint";
    }
    if (target->entry) {
        target->definite = true;
        return "entry";
    }
    target->definite = step || target->pause;
    return target->hit_count > 0 ? "breakpoint" : target->pause ? "pause" : "step";
}

static void stop_here(struct hob_debug_target *target, lua_State *L, lua_Debug *ar, bool step)
{
    const char *reason = reason_of(target, step);
    const char *source = ar->source;
    hob_debug_look_record(target->look, L, ar);
    target->at = place_of(L, ar);
    snprintf(target->file, sizeof target->file, "%s",
             source[0] == '@' ? source + 1 : ar->short_src);
    target->line = ar->currentline;
    target->text[0] = '\0';
    target->in_hook = true;
    hob_debug_stop(target, reason);
}

/* An error has held it, and this is the line that it has come to since. The hook is not called for
 * it a second time. */
static void keep_line(struct hob_debug_target *target, lua_State *L, lua_Debug *ar)
{
    lua_getinfo(L, "Sl", ar);
    if (ar->source[0] != '@' || hob_scheduler_is_own(target->scheduler, ar->source)) {
        return;
    }
    hob_debug_look_keep(target->look, L, ar);
    target->kept.at = place_of(L, ar);
    target->kept.line = ar->currentline;
    snprintf(target->kept.source, sizeof target->kept.source, "%s", ar->source);
}

static bool wants_kept_line(struct hob_debug_target *target, bool step)
{
    bool live = target->kept.line > 0 && target->seats && !target->doomed;
    target->hit_count = 0;
    if (live) {
        find_hits(target, target->kept.source, target->kept.line, true);
    }
    return live && (step || target->pause || target->hit_count > 0);
}

bool hob_debug_stop_at_kept_line(struct hob_debug_target *target)
{
    bool step = target->steps && target->from.task == target->kept.at.task;
    bool stops = wants_kept_line(target, step);
    if (stops) {
        const char *reason = reason_of(target, step);
        hob_debug_look_use_kept(target->look);
        target->at = target->kept.at;
        snprintf(target->file, sizeof target->file, "%s", target->kept.source + 1);
        target->line = target->kept.line;
        target->text[0] = '\0';
        target->in_hook = true;
        hob_debug_stop(target, reason);
    }
    target->kept.line = 0;
    return stops;
}

static bool on_line(void *user, lua_State *L, lua_Debug *ar, bool can_stop)
{
    struct hob_debug_target *target = user;
    if (target->doomed) {
        return false;
    }
    if (target->stage != HOB_DEBUG_RUNS) {
        if (can_stop) {
            keep_line(target, L, ar);
        }
        return true; /* an error has held it, or a pause */
    }
    lua_getinfo(L, "l", ar);
    bool step = step_ends(target, L, ar);
    bool named = target->named_count > 0 && target->named_task == hob_task_running(L);
    bool asked = step || named || target->pause || target->entry;
    if (!asked && !is_marked(target, ar->currentline)) {
        return false;
    }
    lua_getinfo(L, "S", ar);
    if (hob_scheduler_is_own(target->scheduler, ar->source)) {
        return false;
    }
    target->hit_count = 0;
    find_hits(target, ar->source, ar->currentline, can_stop);
    if (!can_stop || (!asked && target->hit_count == 0)) {
        return false;
    }
    stop_here(target, L, ar, step);
    return true;
}

/* A line that takes long, or Hob's own code: where it is, then. */
static void on_tick(void *user, lua_State *L, lua_Debug *ar)
{
    struct hob_debug_target *target = user;
    if (!target->pause || target->doomed || target->stage != HOB_DEBUG_RUNS ||
        ++target->pause_ticks < TICKS_WITHOUT_LINE) {
        hob_debug_look_keep(target->look, L, ar); /* for somebody who looks without holding it */
        return;
    }
    lua_getinfo(L, "Sl", ar);
    stop_here(target, L, ar, false);
}

/* ---- errors ---- */

/* Without a metamethod. */
static void put_message(lua_State *L, int index, char out[HOB_DEBUG_RAISED_MAX])
{
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : NULL;
    if (lua_istable(L, index)) {
        lua_pushvalue(L, index);
        lua_pushliteral(L, "message");
        lua_rawget(L, -2);
        text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
        lua_pop(L, 2); /* the table holds it */
    }
    if (text) {
        snprintf(out, HOB_DEBUG_RAISED_MAX, "%s", text);
    } else {
        snprintf(out, HOB_DEBUG_RAISED_MAX, "(a value of the type %s)",
                 lua_typename(L, lua_type(L, index)));
    }
}

/* A failed step is raised again by job:step: that is the same error. */
static bool is_told(const struct hob_debug_target *target, lua_State *L, const char *message)
{
    lua_Debug ar;
    if (strcmp(message, target->raised) != 0) {
        return false;
    }
    for (int level = 1; level < LEVELS_MAX && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0) {
            return hob_scheduler_is_own(target->scheduler, ar.source);
        }
    }
    return false;
}

static void on_error(void *user, lua_State *L, bool caught, bool late)
{
    struct hob_debug_target *target = user;
    char message[HOB_DEBUG_RAISED_MAX];
    if (target->doomed || target->stage != HOB_DEBUG_RUNS || !wants_errors(target, caught)) {
        return;
    }
    put_message(L, late ? lua_gettop(L) : 1, message);
    if (late ? strcmp(message, target->raised) == 0 : is_told(target, L, message)) {
        return;
    }
    memcpy(target->raised, message, sizeof message);
    snprintf(target->text, sizeof target->text, "%s%s", message,
             late     ? " (its frames are gone: what catches it was entered before anybody looked)"
             : caught ? ""
                      : " (nothing of the handler's catches it)");
    if (!late) {
        hob_debug_look_snapshot(target->look, L);
    }
    target->in_hook = false;
    target->definite = true;
    target->hit_count = 0;
    target->at = (struct hob_debug_place){.task = hob_task_running(L)};
    hob_debug_stop(target, "exception");
    hob_debug_aim(target);
}

/* ---- steps of the job, and break_here ---- */

/* The steps of AWS's documents have a number before their name: "1 first". */
static bool is_step_of(const char *wanted, const char *name)
{
    size_t digits = strspn(name, "0123456789");
    const char *behind = digits && name[digits] == ' ' ? name + digits + 1 : name;
    return strcmp(wanted, name) == 0 || strcmp(wanted, behind) == 0;
}

void hob_debug_step_begins(struct hob_debug_target *target, const char *name)
{
    if (!target || !target->seats || target->doomed) {
        return;
    }
    bool had = target->named_count > 0;
    target->named_count = 0;
    for (const struct hob_debug_seat *seat = target->seats; name && seat; seat = seat->next) {
        for (size_t i = 0; i < seat->session->count; i++) {
            const struct hob_debug_point *point = seat->session->points[i];
            if (point->name && is_step_of(point->name, name)) {
                add_hit(target->named, &target->named_count, seat->session, point);
            }
        }
    }
    target->named_task = hob_task_running(target->options.L);
    if (had && !name) {
        hob_debug_say(target, NULL, "output",
                      "the step has ended without a line of the handler's to stop at");
    }
    if (had || target->named_count > 0) {
        hob_debug_aim(target);
    }
}

static void give_up_break(void *op)
{
    struct hob_debug_target *target = op;
    target->breaking = NULL;
}

bool hob_debug_break_here(struct hob_debug_target *target, lua_State *L, struct hob_task_wait *wait)
{
    if (!target || target->doomed || target->stage != HOB_DEBUG_RUNS ||
        (!target->seats && !target->debugger->options.wait)) {
        return false;
    }
    if (!hob_task_can_wait(L)) {
        hob_debug_say(target, NULL, "output",
                      "job:break_here() cannot stop inside a callback of a C function");
        return false;
    }
    target->breaking = hob_task_current(L);
    target->alone = !target->seats;
    target->definite = true;
    target->hit_count = 0;
    target->text[0] = '\0';
    target->in_hook = false;
    target->at = (struct hob_debug_place){.task = target->breaking};
    *wait = (struct hob_task_wait){.name = "job:break_here", .cancel = give_up_break, .op = target};
    hob_debug_stop(target, "break_here");
    return true;
}

void hob_debug_watch(struct hob_debug_target *target)
{
    target->watcher = (struct hob_task_watcher){.on_line = on_line,
                                                .on_tick = on_tick,
                                                .on_error = on_error,
                                                .on_coroutine_end = on_coroutine_end,
                                                .user = target};
}
