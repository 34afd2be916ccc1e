/* debug.h - looking into running jobs: who is attached, where a job stops, and how long.
 *
 * Glossary
 *   debugger  one for the process: its targets and its sessions
 *   target    a job that runs (or its cleanup); its `thread` is a number of its own, from 1 on
 *   session   somebody who looks: a REPL, an editor. It has breakpoints of its own and is attached
 * to some targets, or to all hold      nothing of a target's Lua code is run, but for what a person
 * evaluates ("aside"). What it waits for (a process, a download) goes on, and so does everything
 * else of Hob. The job's own time-outs are held, too
 *
 * With nobody attached nothing is done, and nothing is looked at. A target stops in a hook at the
 * beginning of a line, or, if it waits, where it waits. A hold has a limit: hold_ms, and never
 * beyond the moment when the cloud's step timer ends, which the job's slot sets anew as long as it
 * can. A cancel, a stop of Hob and the end of the job let it go at once, and so does the end of the
 * last session that is attached.
 *
 * A breakpoint's condition and a log point's text are never evaluated inside the hook: the target
 * is held, they run aside (debug_look.h), and then the stop is told or the target let go, silently.
 *
 * Parts: debug.c (sessions, targets), debug_tell.c (what they are told), debug_hold.c (holding, and
 * its limit), debug_points.c (breakpoints), debug_break.c (what the hook asks: breakpoints, steps,
 * pause, errors), debug_look.h (frames and values).
 *
 * Life: hob_debugger_new -> sessions and targets -> hob_debugger_free, after all of them. on_event
 * is never called inside a call of this file, nor with a target's code on the stack; a session may
 * be closed in it. Loop thread only. Specs: spec/unit/debug_*_spec.lua
 */
#ifndef HOB_WORK_DEBUG_H
#define HOB_WORK_DEBUG_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hob_buf;
struct hob_debug_look;
struct hob_debug_session;
struct hob_debug_target;
struct hob_debugger;
struct hob_job;
struct hob_scheduler;
struct hob_task;
struct lua_State;

#define HOB_DEBUG_FILE_MAX   1024
#define HOB_DEBUG_TEXT_MAX   1024
#define HOB_DEBUG_BREAKS_MAX 1000 /* of one session */

struct hob_debugger_options {
    struct hob_loop *loop;
    struct hob_log *log;
    uint64_t hold_ms; /* the longest hold; 0: 900,000 */
    bool wait;        /* job:break_here() waits for somebody to attach */
};

struct hob_debugger *
hob_debugger_new(const struct hob_debugger_options *options);  /* NULL: memory */
size_t hob_debugger_held(const struct hob_debugger *debugger); /* how many targets; NULL: 0 */
void hob_debugger_free(struct hob_debugger *debugger);         /* NULL is legal */
/** In place of those of the options, from the next hold on. */
void hob_debugger_limit(struct hob_debugger *debugger, uint64_t hold_ms, bool wait);
uint64_t hob_debugger_hold_ms(const struct hob_debugger *debugger); /* NULL: 0 */

/* ---- sessions ---- */

struct hob_debug_event {
    const char *event; /* "stopped", "continued", "output", "started", "ended" */
    int thread;
    const char *job_id;
    /* "stopped": "breakpoint", "step", "pause", "exception", "entry", "break_here",
     * "function breakpoint"; else "" */
    const char *reason;
    const char *text; /* the error, the log point's text, why it went on; "" */
    const char *file; /* "": not known */
    int line;
    const int *breakpoints; /* their ids */
    size_t breakpoint_count;
    int64_t hold_left_ms; /* "stopped"; else -1 */
};

struct hob_debug_session_options {
    const char *who; /* "process 4711 of root", for the log; copied */
    void (*on_event)(void *user, const struct hob_debug_event *event); /* borrowed for the call */
    void *user;
};

/** @return NULL: out of memory */
struct hob_debug_session *hob_debug_open(struct hob_debugger *debugger,
                                         const struct hob_debug_session_options *options);
/** Detaches it from everything; its targets go on, if nobody else is attached. NULL is legal. */
void hob_debug_close(struct hob_debug_session *session);

enum hob_debug_state { HOB_DEBUG_RUNNING, HOB_DEBUG_WAITING, HOB_DEBUG_HELD };

struct hob_debug_info { /* all borrowed until the next call */
    int thread;
    const char *job_id, *thing, *handler,
        *step; /* handler: "NAME@DIGEST"; step: "" between steps */
    int64_t execution_number;
    enum hob_debug_state state;
    const char *waiting_in; /* "hob.time.sleep"; "": it does not wait */
    bool attached;          /* this session */
    const char *reason;     /* of the hold; "": it is not held */
    const char *file;       /* innermost line of the handler's; "": not known */
    int line;
    int64_t hold_left_ms; /* -1: not held */
    const char *text;     /* how long it may be held, and why */
};
typedef void hob_debug_info_fn(void *user, const struct hob_debug_info *info);

/** In the order in which they began. `fn` must not call this file. */
void hob_debug_each_job(struct hob_debug_session *session, hob_debug_info_fn *fn, void *user);

/** @return 0, or HOB_ENOENT: no such job (any more) */
int hob_debug_info(struct hob_debug_session *session, int thread, struct hob_debug_info *out,
                   struct hob_error *err);

/** @param thread  0: all, also those that begin later; then `out` is not filled. `out` may be NULL
 */
int hob_debug_attach(struct hob_debug_session *session, int thread, struct hob_debug_info *out,
                     struct hob_error *err);
/** What it alone held goes on. 0: all */
int hob_debug_detach(struct hob_debug_session *session, int thread, struct hob_error *err);

/* ---- where to stop ---- */

struct hob_debug_break {
    int line;              /* of a file */
    const char *name;      /* of a step */
    const char *condition; /* Lua; NULL: none */
    const char *hit; /* "5" (from the fifth on: as ">=5"), ">5", ">=5", "<5", "==5", "%2"; NULL */
    const char *log; /* a log point: "x is {x}"; it does not stop. NULL: it does */
};

struct hob_debug_set_break { /* what became of it */
    int id;
    bool verified;
    int line;
    char message[HOB_ERROR_MESSAGE_MAX]; /* why it is not verified, or was moved; "" */
};

/** All of this session's in this file (an absolute path, or the end of one): those that there were
 * are dropped. A line without code moves to the next one that has some. The strings are copied;
 * `out` has room for `count`. @return 0, HOB_EINVAL, HOB_ENOMEM */
int hob_debug_breakpoints(struct hob_debug_session *session, const char *file,
                          const struct hob_debug_break *list, size_t count,
                          struct hob_debug_set_break *out, struct hob_error *err);
/** Likewise: a step of that name begins. */
int hob_debug_function_breakpoints(struct hob_debug_session *session,
                                   const struct hob_debug_break *list, size_t count,
                                   struct hob_debug_set_break *out, struct hob_error *err);

/** @param raised  each error, where it is raised. @param uncaught  one that ends the job */
void hob_debug_exceptions(struct hob_debug_session *session, bool raised, bool uncaught);

/** The first line of the handler of each job that begins from now on, if the session is attached to
 * all: stops with the reason "entry". */
void hob_debug_entry(struct hob_debug_session *session, bool wanted);

/* ---- holding and going on; all need to be attached (HOB_EINVAL) ---- */

enum hob_debug_step { HOB_DEBUG_IN, HOB_DEBUG_OVER, HOB_DEBUG_OUT };

/** One that waits is held at once, one that computes at its next line. Legal if it is held. */
int hob_debug_pause(struct hob_debug_session *session, int thread, struct hob_error *err);
/** @return 0, HOB_ENOENT, or HOB_EINVAL: it is not held */
int hob_debug_continue(struct hob_debug_session *session, int thread, struct hob_error *err);
int hob_debug_step(struct hob_debug_session *session, int thread, enum hob_debug_step how,
                   struct hob_error *err);
/** As `hob cancel`: it is held no longer. Need not be attached. */
int hob_debug_cancel(struct hob_debug_session *session, int thread, struct hob_error *err);

/** Assignments are allowed from now on, which the log says. Reading is the default. */
void hob_debug_set_write(struct hob_debug_session *session, bool allowed);
bool hob_debug_may_write(const struct hob_debug_session *session);

/** The text that a job was begun with, of its handler or a module of it; else the file's. Appends.
 * @param thread  0: only the file */
int hob_debug_source(struct hob_debug_session *session, int thread, const char *path,
                     struct hob_buf *out, struct hob_error *err);

/* ---- for looking (debug_look.h and bindings/lua_debug.c) ---- */

/** @return NULL: no such job; err says so */
struct hob_debug_target *hob_debug_target(struct hob_debug_session *session, int thread,
                                          struct hob_error *err);
struct hob_debug_look *hob_debug_target_look(const struct hob_debug_target *target);
int hob_debug_target_thread(const struct hob_debug_target *target);
struct hob_job *hob_debug_target_job(const struct hob_debug_target *target);
struct lua_State *hob_debug_target_lua(const struct hob_debug_target *target); /* main thread */
struct hob_scheduler *hob_debug_target_scheduler(const struct hob_debug_target *target);
/** The task to look into: the one that stopped, else that of run(). NULL: it has ended. */
struct hob_task *hob_debug_target_task(const struct hob_debug_target *target);
bool hob_debug_target_is_held(const struct hob_debug_target *target);
/** Was it stopped in a hook, at the beginning of a line (what was recorded is true)? Else it waits,
 * or was made to yield: its frames are as Lua has them. */
bool hob_debug_target_in_hook(const struct hob_debug_target *target);

/* ---- of the job (job.c) ---- */

struct hob_debug_target_options { /* what a target asks of its job */
    struct hob_job *job;
    struct lua_State *L;
    struct hob_scheduler *scheduler;
    /** It is held, which is told (`where`: "FILE:LINE"); or not any more (NULL). May be NULL */
    void (*on_hold)(struct hob_job *job, const char *where);
    /** The moment (monotonic ms) when a hold must have ended, 0: none; `why` says why. May be NULL
     */
    uint64_t (*hold_until_ms)(struct hob_job *job, const char **why);
    void (*cancel)(struct hob_job *job, const char *who);
};

/** A job begins. @return NULL: out of memory, the job runs without. `debugger` may be NULL */
struct hob_debug_target *hob_debug_register(struct hob_debugger *debugger,
                                            const struct hob_debug_target_options *options);
/** It has ended, or is given up. NULL is legal. */
void hob_debug_unregister(struct hob_debug_target *target);
/** Its task, once there is one. */
void hob_debug_set_task(struct hob_debug_target *target, struct hob_task *task);
/** Held no longer, and never again: it is to end (cancel, time-out, a stop of Hob). NULL is legal.
 */
void hob_debug_let_go(struct hob_debug_target *target, const char *why);
/** Its step `name` begins (NULL: has ended): function breakpoints. */
void hob_debug_step_begins(struct hob_debug_target *target, const char *name);
/** job:break_here(), in the running task. @return whether it is held: hob_task_suspend with this
 * wait comes next */
struct hob_task_wait;
bool hob_debug_break_here(struct hob_debug_target *target, struct lua_State *L,
                          struct hob_task_wait *wait);

#endif
