/* debug_parts.h - internal to debug*.c of the engine (debug.c, debug_tell.c, debug_hold.c,
 * debug_break.c, debug_points.c): what a debugger holds, and how its parts call each other.
 *
 * A stop has two stages. *Looked at*: the scheduler is held, nobody was told; conditions and log
 * points are evaluated, one after the other. Then it is *held*, which is told, or goes on,
 * silently.
 */
#ifndef HOB_WORK_DEBUG_PARTS_H
#define HOB_WORK_DEBUG_PARTS_H

#include "work/debug.h"
#include "work/debug_look.h"
#include "work/task.h"

#define HOB_DEBUG_RAISED_MAX 512
#define HOB_DEBUG_HITS_MAX   16 /* breakpoints at one line */
#define HOB_DEBUG_LINE_BITS  8192

struct hob_debug_point { /* a breakpoint; its strings are its own */
    int id;
    char *file, *real; /* as it was given, and without symbolic links (NULL: not known); of a step
                          both NULL */
    char *name;        /* of a step; else NULL */
    int line;
    char *condition, *log; /* NULL: none */
    char hit_op;           /* '>', 'g' (>=), '<', 'l' (<=), '=', '%'; 0: none */
    uint64_t hit_number, hits;
    bool said; /* that it cannot stop there */
};

struct hob_debug_note { /* an event on its way */
    struct hob_debug_note *next;
    struct hob_debug_event event;
};

struct hob_debug_session {
    struct hob_debugger *debugger;
    struct hob_debug_session *next;
    struct hob_debug_session_options options;
    char *who;
    bool all, raised, uncaught, entry, write;
    bool telling, closed; /* closed while it is told something */
    struct hob_debug_point **points;
    size_t count;
    struct hob_timer *turn;
    struct hob_debug_note *notes, **last_note;
};

struct hob_debug_seat { /* a session that is attached to a target */
    struct hob_debug_seat *next;
    struct hob_debug_session *session;
};

/* Where a step began. */
struct hob_debug_place {
    struct hob_task *task;
    struct lua_State *co; /* only compared; NULL: not known */
    int depth;            /* of coroutines, with it */
    int levels;           /* of calls in it, up to the handler's */
    const void *function;
};

struct hob_debug_hit {
    struct hob_debug_session *session; /* NULL: gone */
    int point;
    bool passed; /* its condition is true */
};

/* The line at which an error's stop has kept the job. */
struct hob_debug_kept {
    int line; /* 0: none */
    struct hob_debug_place at;
    char source[HOB_DEBUG_FILE_MAX]; /* with its @ */
};

struct hob_debug_target {
    struct hob_debugger *debugger;
    struct hob_debug_target *next, **link;
    struct hob_debug_target_options options;
    struct hob_scheduler *scheduler;
    struct hob_task *task; /* of run() or cleanup; NULL: it has ended */
    int thread;
    struct hob_debug_look *look;
    struct hob_task_watcher watcher;
    struct hob_debug_seat *seats;
    uint64_t line_bits[HOB_DEBUG_LINE_BITS / 64]; /* lines that somebody wants to stop at, hashed */
    bool doomed;                                  /* it is to end: never held again */

    /* What is asked for. */
    bool pause, entry;
    struct hob_debug_session *pauser;
    int pause_ticks; /* forced yields since */
    bool steps;
    enum hob_debug_step how;
    struct hob_debug_session *stepper;
    struct hob_debug_place from;
    struct hob_debug_hit named[HOB_DEBUG_HITS_MAX]; /* a step began: stop at its first line */
    size_t named_count;
    struct hob_task *named_task;       /* only compared */
    char raised[HOB_DEBUG_RAISED_MAX]; /* the last error that was told */

    /* The stop. */
    enum { HOB_DEBUG_RUNS, HOB_DEBUG_LOOKED_AT, HOB_DEBUG_STOPPED } stage;
    bool in_hook;
    bool definite;                   /* it is told, whatever the conditions say */
    bool alone;                      /* by break_here, with nobody attached */
    struct hob_debug_session *asker; /* whose breakpoint it is; NULL: none's */
    struct hob_debug_place at;
    const char *reason;
    char text[HOB_DEBUG_TEXT_MAX];
    char file[HOB_DEBUG_FILE_MAX];
    int line;
    struct hob_debug_kept kept;
    struct hob_debug_hit hits[HOB_DEBUG_HITS_MAX]; /* to be looked at */
    size_t hit_count, looked;
    int points[HOB_DEBUG_HITS_MAX]; /* that made it stop */
    size_t point_count;
    struct hob_debug_eval *eval;
    struct hob_task *breaking; /* in break_here: to be woken once it is let go */
    uint64_t stopped_ms;
    struct hob_timer *turn;  /* a stop is to be looked at; or a pause that meets no line */
    struct hob_timer *limit; /* of a hold */
    char words[HOB_DEBUG_TEXT_MAX + 128]; /* of info */
};

struct hob_debugger {
    struct hob_debugger_options options;
    struct hob_debug_target *targets, **last; /* the oldest first */
    struct hob_debug_session *sessions;
    int last_thread, last_point, next_id;
};

/* ---- debug_tell.c ---- */

void hob_debug_tell_notes(void *user); /* of session->turn */
void hob_debug_free_session(struct hob_debug_session *session);
/** To one session, or (NULL) all that are attached to the target. Everything is copied. */
void hob_debug_tell(struct hob_debug_target *target, struct hob_debug_session *session,
                    const struct hob_debug_event *event);
void hob_debug_say(struct hob_debug_target *target, struct hob_debug_session *session,
                   const char *event, const char *text);
void hob_debug_log(struct hob_debug_target *target, enum hob_log_level level, const char *event,
                   const char *text);

/* ---- debug.c ---- */

bool hob_debug_has_seat(const struct hob_debug_target *target,
                        const struct hob_debug_session *session);

/* ---- debug_hold.c ---- */

void hob_debug_on_turn(void *user);  /* of target->turn */
void hob_debug_on_limit(void *user); /* of target->limit */
/** A stop begins: the scheduler is held, and the rest happens in a turn of the loop. */
void hob_debug_stop(struct hob_debug_target *target, const char *reason);
/** It goes on, which is told with `why`, if its stop was. */
void hob_debug_release(struct hob_debug_target *target, const char *why);
/** Nobody is there any more who could let it go: it goes on. */
void hob_debug_release_if_alone(struct hob_debug_target *target, const char *why);
void hob_debug_tell_stop(struct hob_debug_target *target, struct hob_debug_session *session);
/** How long a hold lasts from now on; `why` says what limits it. */
uint64_t hob_debug_hold_left_ms(const struct hob_debug_target *target, const char **why);
void hob_debug_describe_limit(struct hob_debug_target *target); /* into words */

/* ---- debug_break.c: what the watcher calls ---- */

/** What the hook is asked for has changed. */
void hob_debug_aim(struct hob_debug_target *target);
void hob_debug_find_place(struct hob_debug_target *target, struct hob_debug_place *out);
/** It is let go, and stands at a line that nobody was asked about: is that where to stop next? */
bool hob_debug_stop_at_kept_line(struct hob_debug_target *target);
void hob_debug_watch(struct hob_debug_target *target); /* sets the watcher's functions */

/* ---- debug_points.c: the breakpoints of a session ---- */

struct hob_debug_point *hob_debug_find_point(const struct hob_debug_session *session, int id);
/** One more pass: does its hit count say stop? */
bool hob_debug_count_hit(struct hob_debug_point *point);
bool hob_debug_is_in(const struct hob_debug_point *point, const char *source);
/** The text of a file as the job was begun with it. Appends. @return 0, HOB_ENOENT */
int hob_debug_pinned_source(const struct hob_debug_target *target, const char *file,
                            struct hob_buf *out);
void hob_debug_free_points(struct hob_debug_session *session);

#endif
