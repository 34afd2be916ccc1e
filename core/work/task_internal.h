/* task_internal.h - what the files of task.h share; nobody else includes it.
 *
 *   task_scheduler.c  life; the functions that are installed; calls outside any task
 *   task_new.c        making a task, its body, its end
 *   task.c            turns, suspending and resuming, the forced yield
 *   task_engine.c     engine errors: whether one is due, raising it, what <close> functions may do
 *   task_frames.c     critical sections and time limits
 *   task_limits.c     processor time, the words for a limit that was reached
 *   task_pcall.c      pcall and xpcall
 *   task_coroutine.c  the coroutine library
 *   task_watch.c      what a debugger asks for: holding, errors where they are raised
 *
 * An ending has three states. *Delayed*: a cancel came in a critical section. *Due*: the whole task
 * is to end, or a `within` of it; whoever meets it first (the hook, a wait, a protected call)
 * throws the token. *Thrown*: the token is on its way up; from there on the only Lua code that runs
 * is that of <close> functions (and message handlers), until a `within` catches it or the task has
 * ended. All of that happens in one turn: nothing waits, nothing is yielded.
 */
#ifndef HOB_WORK_TASK_INTERNAL_H
#define HOB_WORK_TASK_INTERNAL_H

#include "work/fair.h"
#include "work/task.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>

#define HOB_TASK_KIND_MAX          32
#define HOB_TASK_MESSAGE_MAX       1024
#define HOB_TASK_WHERE_MAX         128
#define HOB_TASK_SHORTAGE_MAX      (HOB_TASK_WHERE_MAX + 80)
#define HOB_TASK_TICK_INSTRUCTIONS 50
#define HOB_TASK_SLICE_TICKS       200

/* A critical section or a `within` that is open. Whatever opened it closes it: they are entered
 * through protected calls, and no coroutine can be left suspended in one. */
struct hob_task_frame {
    struct hob_task *task;
    struct hob_task_frame *outer;
    lua_State *L; /* the coroutine that it was opened in */
    bool critical;
    bool expired; /* of a `within` */
    uint64_t deadline_ms;
    uint64_t held_ms;        /* of the scheduler, when it was opened */
    struct hob_timer *timer; /* NULL: no limit */
};

struct hob_task {
    struct hob_scheduler *scheduler;
    lua_State *co;                /* NULL until it first runs, of hob_task_call */
    int ref;                      /* in the registry: co, or the function before there is one */
    struct hob_task *next, *prev; /* of all tasks */
    struct hob_task *next_ready;
    bool ready;
    bool waiting;
    bool called;       /* by hob_task_call, */
    bool first_run;    /* and has not waited yet */
    bool aside;        /* what a person evaluates */
    uint64_t aside_us; /* processor time of former slices */
    struct hob_task_wait wait;
    struct hob_task_wait spent;  /* its op is still to be freed */
    hob_task_push_fn *call_push; /* of hob_task_call: pushes the arguments */
    void *call_op;
    void (*call_op_free)(void *op);

    bool engine;  /* the whole task is to end: due */
    bool delayed; /* likewise, once its critical section has ended */
    bool thrown;
    bool overspent;        /* <close> functions have had their time, */
    unsigned late;         /* and so often were ended those after them */
    uint64_t thrown_at_ms; /* processor time */
    int thrown_at_depth;   /* coroutines up to here are being unwound, deeper ones are new */
    char kind[HOB_TASK_KIND_MAX];
    /* Of the engine error; NULL if memory was short. Not an array: tasks are made by the thousand,
     * and the C library tidies all its small chunks for each one over 1 KB. */
    char *message;
    struct hob_task_frame *frames; /* the innermost */

    hob_task_done_fn *done;
    void *user;
    uint64_t resumed; /* which of its scheduler's resumes was its last one; 0: it did not run yet */
};

struct hob_task_now {
    struct hob_task *current;
    int depth;               /* of coroutines inside one another */
    lua_State *running;      /* the innermost coroutine of the current task */
    bool chain_yieldable;    /* every coroutine below the running one can yield */
    unsigned ticks;          /* of the slice: what runs between two turns */
    uint64_t slice_ms;       /* when it began, */
    uint64_t slice_cpu_us;   /* in processor time */
    uint64_t tick_ms;        /* when the hook (or a wait) last looked */
    unsigned slow_looks;     /* for so many more it looks often */
    bool stuck;              /* the hook found that it cannot yield, */
    uint64_t stuck_at_ms;    /* since then, */
    uint64_t stuck_since_ms; /* in processor time */
    unsigned stuck_looks;    /* has looked so often since */
};

struct hob_task_next {    /* see hob_task_before_next */
    hob_task_next_fn *fn; /* NULL: nothing waits */
    const hob_task_quiet_fn *quiet;
    void *user;
};

struct hob_scheduler {
    struct hob_loop *loop;
    lua_State *L;
    void *user;
    struct hob_task *tasks;
    struct hob_task *ready_head, *ready_tail;
    lua_State *spare_co; /* a coroutine that has ended, for the next callback; NULL: none */
    int spare_ref;
    struct hob_task *holder; /* a callback that was made to yield before it waited, */
    struct hob_task *held_head, *held_tail; /* and those that begin only after that */
    /* A debugger's. */
    struct hob_task_watcher *watcher; /* NULL: nobody looks on */
    bool on_hold;
    uint64_t hold_began_ms, held_ms;            /* of former holds */
    struct hob_task *parked_head, *parked_tail; /* ready, but on hold */
    bool turn_pending;
    struct hob_loop_soon turn;
    struct hob_fair_party *party; /* whose slices it takes; NULL: it has each turn of the loop */
    struct hob_fair_entry entry;
    bool forced;      /* a task of this turn had to yield: it has used up the slice */
    bool freed;       /* waits only for the turn that is pending */
    bool passing;     /* a yield of ours is on its way up through the script's coroutines */
    unsigned closing; /* coroutines that are being closed, one inside the other */
    struct hob_task_now now;
    struct hob_task_next next;
    bool trusted;
    int tick_instructions;
    unsigned slice_ticks;
    uint64_t cpu_limit_us; /* 0: none */
    struct hob_scheduler_usage usage;
    const char *own_files;                /* borrowed; NULL: none */
    char shortage[HOB_TASK_SHORTAGE_MAX]; /* why memory was refused last; "": it was not */
    uint64_t resumes;                     /* so many so far */
    unsigned executing;                   /* how often code of this state is on the stack */
    unsigned outside;                     /* what is not ours works for it, so often */
    volatile int *executing_flag;
    char ended_kind[HOB_TASK_KIND_MAX];
    const char *ended_message; /* of the task that is ending */
    void (*on_error)(void *user, const char *message);
    void *on_error_user;
};

/* To measure what looking on costs those whom nobody looks at: without it there is none. */
#ifdef HOB_NO_DEBUGGER
#define HOB_TASK_WATCHER(scheduler) ((struct hob_task_watcher *)NULL)
#define HOB_TASK_ON_HOLD(scheduler) false
#else
#define HOB_TASK_WATCHER(scheduler) ((scheduler)->watcher)
#define HOB_TASK_ON_HOLD(scheduler) ((scheduler)->on_hold)
#endif

/* ---- task.c ---- */

/** lua_resume, with the hook set. Only task.c suspends and resumes; the coroutine library borrows
 * the next three. */
int hob_task_resume(lua_State *co, lua_State *from, int nargs, int *results);
int hob_task_pass_on(lua_State *L, lua_KContext context, lua_KFunction k); /* a yield of ours */
int hob_task_yield(lua_State *L, int results);                             /* one of the script's */

/** Have the hook called soon, or as usual: after each change of what is due. */
void hob_task_set_pace(lua_State *L);
/** Likewise, and count from here. */
void hob_task_give_tick(lua_State *L);
void hob_task_begin_slice(struct hob_scheduler *scheduler);
void hob_task_make_ready(struct hob_task *task);
void hob_task_drop_wait(struct hob_task *task);
void hob_task_free_spent(struct hob_task *task);
/** Something is due: what the task waits for is cancelled, and it runs in the next turn. */
void hob_task_interrupt(struct hob_task *task);

/* ---- task_new.c ---- */

/** Message handler: what is no text becomes one. */
int hob_task_add_message(lua_State *L);
/** Of hob_task_call, before it first runs. @return false: out of memory */
bool hob_task_give_coroutine(struct hob_task *task);
/** It has ended as lua_resume said; frees it. */
void hob_task_end(struct hob_task *task, int resumed, int results);
void hob_task_tell_end(struct hob_task *task, int status, int results);
void hob_task_free(struct hob_task *task); /* must be unlinked */

/* ---- task_scheduler.c ---- */

/** Code of this state is (is no longer) on the stack. */
void hob_task_enter(struct hob_scheduler *scheduler);
void hob_task_leave(struct hob_scheduler *scheduler);
/** A coroutine that a passing yield has left suspended: only its own resumer may go on with it. */
bool hob_task_is_busy(lua_State *co);
void hob_task_set_busy(lua_State *co, bool busy);

/* ---- task_engine.c ---- */

bool hob_task_is_token(lua_State *L, int index);
/** An ending is due, or thrown. NULL is legal. */
bool hob_task_is_ending(const struct hob_task *task);
/** Due, and not thrown yet. */
bool hob_task_is_due(lua_State *L);
/** The token has been thrown and not caught: the running code is that of a <close> function. */
bool hob_task_is_closing(lua_State *L);
/** So it is, and the running coroutine itself is being unwound: it cannot yield. */
bool hob_task_is_unwinding(lua_State *L);
/** <close> functions have had their time. */
bool hob_task_is_overspent(struct hob_task *task);
int hob_task_throw(lua_State *L);
/** Throw if an ending is due. */
void hob_task_check(lua_State *L);
void hob_task_set_engine(struct hob_task *task, const char *kind, const char *message);
/** Due once the critical section has ended. The first reason stands. */
void hob_task_delay(struct hob_task *task, const char *kind, const char *message);
const char *hob_task_engine_message(const struct hob_task *task);
/** A protected call ended with an error, which is on top of L: does not return if an engine error
 * must go on. `closing`: the call was made by a <close> function, which may handle its own errors.
 */
void hob_task_let_through(lua_State *L, int status, bool closing);
/** One call in C held the loop for too long: raise. `level` says where, as luaL_where. */
void hob_task_check_held(lua_State *L, int level);

/* ---- task_limits.c ---- */

/** Is the processor time of the present slice wanted? */
bool hob_task_counts_cpu(const struct hob_scheduler *scheduler);
void hob_task_end_slice(struct hob_scheduler *scheduler);
/** The state has used its processor time: raise. `level` says where, as luaL_where. */
void hob_task_check_cpu(lua_State *L, int level);
/** Memory was short: due, with the words of hob_scheduler_refuse_memory if that was why. */
void hob_task_set_memory(struct hob_task *task);

/* ---- task_frames.c ---- */

bool hob_task_within_is_due(const struct hob_task *task);
void hob_task_free_frames(struct hob_task *task);

/* ---- task_watch.c ---- */

bool hob_task_watches_errors(lua_State *L);
/** In a message handler, the error at index 1: tell the watcher, if it wants to know. */
void hob_task_see_error(lua_State *L);
/** Message handler that does only that. */
int hob_task_on_error(lua_State *L);
/** A protected call that nobody had looked on ended with the error on top of L. */
void hob_task_see_late_error(lua_State *L);

/* ---- task_coroutine.c ---- */

/** Of a C function's frame: does it resume another coroutine? Pushes the function, which stays.
 * @return the coroutine, or NULL. `is_wrap` may be NULL */
lua_State *hob_task_resumed_by(lua_State *L, lua_Debug *ar, bool *is_wrap);

/* ---- what is installed ---- */

int hob_task_pcall(lua_State *L);
int hob_task_xpcall(lua_State *L);
int hob_task_open_coroutine(lua_State *L); /* leaves the library on the stack */

/** The coroutines that a task is suspended, or runs, in: its own first, then the one that it has
 * resumed, and so on; the innermost is the last that fits. @return how many; 0: it has none yet */
#define HOB_TASK_CHAIN_MAX 200
size_t hob_task_chain(const struct hob_task *task, lua_State **list, size_t max);

#endif
