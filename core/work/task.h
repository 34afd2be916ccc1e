/* task.h - Lua functions that look as if they blocked, on one loop. Only task.c suspends and
 * resumes coroutines; task_internal.h says what the files beside it are for.
 *
 * Glossary
 *   task       one coroutine at the top, the operation it waits for, and what ends it
 *   scheduler  the tasks of one Lua state (a job's sandbox, or `hob lua`)
 *   wait       an operation of the core that a task is suspended on (a child process, a timer)
 *   engine error  cancel, reject, a breached limit: one token that Hob's own pcall, xpcall and
 *              coroutine functions raise again; no Lua code can catch it. `within` makes one that
 *              ends only what it called
 *
 * Rules: the loop never pushes into a Lua state; a wait's `push` runs inside the resumed task, so
 * that a memory error there is an error of the task. Coroutines that a script makes itself are
 * passed through: a suspending call in one suspends the whole task. Where no yield is possible
 * (inside table.sort's comparator) a suspending call raises. A count hook forces a yield every
 * 10,000 instructions, or earlier after 4 ms, so that a tight loop delays nobody. What cannot
 * yield for 200 ms of processor time, or has held the loop for a second of it in calls of C and is
 * still there afterwards, ends with the engine error "limit". So does a recursion of much more
 * than 20,000 calls.
 *
 * <close> functions run while an engine error passes: without waiting, and for 200 ms of processor
 * time all together; after that each that is left has time for a few lines. So an ending takes one
 * turn of the loop, whatever the script does. A coroutine's <close> variables are closed as soon as
 * an error leaves it (plain Lua waits for coroutine.close). No coroutine can be left by
 * coroutine.yield inside a critical section or a `within`.
 *
 * Life: hob_scheduler_new (installs pcall, xpcall, coroutine in L) -> tasks -> hob_scheduler_close,
 * which closes L. Loop thread only.  Specs: spec/unit/task_spec.lua,
 * spec/unit/engine_errors_spec.lua
 */
#ifndef HOB_WORK_TASK_H
#define HOB_WORK_TASK_H

#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lua_State;
struct lua_Debug;
struct hob_fair_party;
struct hob_scheduler;
struct hob_task;

/** L's main thread; its extra space is taken. `user` is what hob_scheduler_user gives back. */
struct hob_scheduler *hob_scheduler_new(struct hob_loop *loop, struct lua_State *L, void *user);
/** In two parts, for many states that are alike: what is installed is the same in each. */
void hob_scheduler_install(struct lua_State *L); /* raises: out of memory */
struct hob_scheduler *hob_scheduler_new_in(struct hob_loop *loop, struct lua_State *L, void *user);
/** Cancels every task's wait, and closes L; no `done` is called any more. Finalizers still find the
 * scheduler, but start nothing. */
void hob_scheduler_close(struct hob_scheduler *scheduler);

struct hob_scheduler *hob_scheduler_of(struct lua_State *L);
void *hob_scheduler_user(struct lua_State *L);
struct hob_loop *hob_scheduler_loop(struct lua_State *L); /* raises while L is being closed */

/** How a task ended. `results` values (LUA_OK), or one error value, are on top of `L`. */
typedef void hob_task_done_fn(void *user, struct lua_State *L, int status, int results);

/** Start a task from `nargs` arguments with the function below them on top of L (popped). It first
 * runs in the loop's next turn, or when hob_task_kick is called.
 * @return the task, or NULL (out of memory; the values are popped) */
struct hob_task *hob_task_start(struct lua_State *L, int nargs, hob_task_done_fn *done, void *user);

/** Start a task for a callback: the function referenced by `ref` (the reference may be given up
 * afterwards), with what `push` pushes (it returns the number of arguments, and runs inside the new
 * task). No code of L runs before the loop's next turn. Callbacks begin in the order of these
 * calls, and each has run up to its first wait, or its end, before the next begins: a forced yield
 * does not let one overtake another. Errors go to the scheduler's on_error, also that memory was
 * short. `op_free` is called once, at the end; it and `push` may be NULL. */
typedef int hob_task_push_fn(struct lua_State *L, void *op);
void hob_task_call(struct hob_scheduler *scheduler, int ref, hob_task_push_fn *push, void *op,
                   void (*op_free)(void *op));

/** What becomes of an error in a task that nobody waits for (hob_task_call). For an engine error
 * hob_task_engine_error gives its kind while `fn` runs. */
void hob_scheduler_on_error(struct hob_scheduler *scheduler,
                            void (*fn)(void *user, const char *message), void *user);

/* ---- for bindings: the end of a blocking-looking call ----
 *
 *     static int push_result(lua_State *L, void *op) { ...; return 1; }     // inside the task
 *     static void cancel(void *op) { hob_thing_cancel(...); free(op); }
 *     static void on_done(void *op) { ...; hob_task_wake(op->task); }        // from the loop
 *     ...
 *     op->task = hob_task_current(L);
 *     start the operation
 *     return hob_task_suspend(L, &(struct hob_task_wait){"hob.thing", push_result, cancel, free_op,
 * op});
 */
struct hob_task_wait {
    const char *name;          /* "hob.exec.run": what the task waits in */
    hob_task_push_fn *push;    /* called once, after the wake: pushes the results, or raises */
    void (*cancel)(void *op);  /* end the operation at once; it must not wake any more */
    void (*op_free)(void *op); /* called once, after push or cancel; may be NULL */
    void *op;
};

/** The running task. Raises in L if there is none or no yield is possible here, so call it BEFORE
 * starting the operation. */
struct hob_task *hob_task_current(struct lua_State *L);
int hob_task_suspend(struct lua_State *L, const struct hob_task_wait *wait);

/** As hob_task_start, for what a person evaluates beside a job (debug_look.h): it runs even while
 * the scheduler is held, cannot wait, is never looked on, and ends with the engine error "limit"
 * after HOB_TASK_ASIDE_MS of processor time, which is not the state's. */
#define HOB_TASK_ASIDE_MS 1000
struct hob_task *hob_task_start_aside(struct lua_State *L, int nargs, hob_task_done_fn *done,
                                      void *user);

/** Is what runs a task's, not a hob_scheduler_call's? */
bool hob_task_in_task(struct lua_State *L);

/** For a wait's `cancel`: why it is to end; NULL: its state is being closed. */
const char *hob_task_ending(const struct hob_task *task);

/** Would hob_task_current raise because nothing can wait here? For what can do without waiting. */
bool hob_task_can_wait(struct lua_State *L);

/** The operation has ended. Resumes the task in the loop's next turn (never inside this call). */
void hob_task_wake(struct hob_task *task);

/** Call a C function in L outside any task, protected: for loading and checking. It cannot wait,
 * and an endless loop in it is ended after 200 ms. @return 0, or HOB_EHANDLER with Lua's message */
int hob_scheduler_call(struct hob_scheduler *scheduler, int (*fn)(struct lua_State *L), void *arg,
                       struct hob_error *err);

/* ---- engine errors ---- */

/** Raise an engine error in the running task; never returns. `kind`: "reject", "cancelled", ... */
int hob_task_raise(struct lua_State *L, const char *kind, const char *message);

/** Raise the engine error "limit": "WORDS, at FILE:LINE". `level` as luaL_where; never returns. */
int hob_task_raise_limit(struct lua_State *L, int level, const char *words);

/** End a task from outside: its wait is cancelled and the engine error raised in it; at once, or,
 * while it is in a critical section, when that ends. The first reason stands.
 * @return whether it was delayed */
bool hob_task_cancel(struct hob_task *task, const char *kind, const char *message);
bool hob_task_in_critical(const struct hob_task *task);

/** lua_CFunction critical(fn, ...) -> what fn returns: a hob_task_cancel that comes meanwhile (and
 * the end of a `within` around it) waits until it has ended, however it ends. Limits (a
 * hob_task_cancel with the kind "limit", "limit/MORE" or "memory") and what fn itself raises do not
 * wait. May be nested. It is the section of its own task, not of the state's other tasks. */
int hob_task_critical(struct lua_State *L);

/** lua_CFunction within(seconds or nil, fn) -> true, results... | false, error value | nil when the
 * time was up: what fn waited for is cancelled and an engine error raised in it, which only this
 * call catches; nothing in fn can. Engine errors of the whole task pass through, also one that
 * comes while fn is being ended. Monotonic time; what waits in a critical section ends late.
 * Without any time (0, negative) fn is not called. What fn returns at the last moment stands; what
 * a wait brought at the last moment is dropped. */
int hob_task_within(struct lua_State *L);

/** What was done may wait for what comes next: `fn` is called, once, before the running task calls
 * a function in C that is not one of `quiet` (ended by NULL), or lets others run; never, if it ends
 * before that. It may raise. What comes next cannot be seen while a debugger looks on, of what a
 * person evaluates, and from a script's own coroutine. Borrowed: `user`, `quiet`. */
typedef void hob_task_next_fn(struct lua_State *L, void *user);
typedef int (*hob_task_quiet_fn)(struct lua_State *L);
bool hob_task_sees_next(struct lua_State *L); /* false: it must not be asked for */
void hob_task_before_next(struct lua_State *L, const hob_task_quiet_fn *quiet, hob_task_next_fn *fn,
                          void *user);

/** Its turns are slices of this party's from now on (fair.h); before anything runs. Borrowed until
 * hob_scheduler_close. */
void hob_scheduler_join(struct hob_scheduler *scheduler, struct hob_fair_party *party);

/** No limit for what a single call in C may take: for Hob's own commands. */
void hob_scheduler_trust(struct hob_scheduler *scheduler);

/** What cannot be interrupted is measured from here: a module is about to be run, one of many. */
void hob_task_watch_anew(struct lua_State *L);

/* ---- for a debugger (debug.h): looking on, and holding ---- */

/** What a scheduler calls while somebody looks on. All of it runs inside the job's code: it must
 * not raise, nor run any code of it. */
struct hob_task_watcher {
    bool lines;  /* on_line is wanted: it costs a call for each line */
    bool errors; /* so is on_error: from protected calls that are entered from now on */
    /** A line begins (`ar` as in a LINE hook), in no ending. @param can_stop  a yield is possible.
     * @return whether to yield before it. Whoever says so holds the scheduler */
    bool (*on_line)(void *user, struct lua_State *L, struct lua_Debug *ar, bool can_stop);
    /** A forced yield is due in the middle of a line; `lines` is on. @return as above: it yields in
     * any case */
    void (*on_tick)(void *user, struct lua_State *L, struct lua_Debug *ar);
    /** An error of the script's own (no engine error) is being raised, its value at index 1, the
     * stack as it is there. `caught`: by a pcall of the script. `late`: its frames are gone, the
     * value is on top: the protected call was entered before anybody looked on. What Hob's own
     * files raise and catch by themselves is not told. */
    void (*on_error)(void *user, struct lua_State *L, bool caught, bool late);
    /** A coroutine has ended, or been left by an error; `from` had resumed it (NULL: a task). */
    void (*on_coroutine_end)(void *user, struct lua_State *co, struct lua_State *from);
    void *user;
};

/** NULL: nobody looks on. Borrowed until then; to change its members call it again. */
void hob_scheduler_watch(struct hob_scheduler *scheduler, struct hob_task_watcher *watcher);

/** Run no task any more (one that runs now: until it yields), but those that are aside. What they
 * wait for goes on, and what becomes ready stays so. The time limits of `within` are held, too. */
void hob_scheduler_hold(struct hob_scheduler *scheduler);
void hob_scheduler_go_on(struct hob_scheduler *scheduler);
bool hob_scheduler_is_held(const struct hob_scheduler *scheduler);
uint64_t hob_scheduler_held_ms(const struct hob_scheduler *scheduler); /* in all, up to now */

/** The running task; NULL: none. */
struct hob_task *hob_task_running(struct lua_State *L);
/** How many coroutines are inside one another, the running one included. */
int hob_task_depth(struct lua_State *L);
/** Is it waiting for what has not ended yet? */
bool hob_task_is_waiting(const struct hob_task *task);
/** Is the source name (of lua_Debug) one of Hob's own files? */
bool hob_scheduler_is_own(const struct hob_scheduler *scheduler, const char *source);

/* ---- limits, and what was used ---- */

/** Processor time of all its tasks and calls together, in which what they wait for does not count.
 * Who goes on after it ends with the engine error "limit". 0: no limit. `used_us`: of former lives
 * of the state. */
void hob_scheduler_limit_cpu(struct hob_scheduler *scheduler, uint64_t limit_us, uint64_t used_us);

/** For the state's allocator, which is about to refuse: what it says as the reason of the engine
 * error "memory", with the place that asks for it. `grows`: a block that there is already. */
void hob_scheduler_refuse_memory(struct hob_scheduler *scheduler, size_t limit_bytes, bool grows,
                                 size_t wanted);

/** Files below this directory are not what a message names, if another is on the stack; borrowed
 * for the scheduler's life. */
void hob_scheduler_own_files(struct hob_scheduler *scheduler, const char *directory);

/** For specs: a forced yield is possible every so many instructions, and made each so many times.
 */
void hob_scheduler_set_slice(struct hob_scheduler *scheduler, int instructions, unsigned times);

#define HOB_SCHEDULER_SPANS 8
struct hob_scheduler_usage {
    uint64_t cpu_us;
    uint64_t longest_us; /* slice: what runs between two turns of the loop; processor time */
    /* How many slices took less than 1, 2, 5, 10, 20, 50, 100 ms, and longer. */
    uint64_t slices[HOB_SCHEDULER_SPANS];
};
void hob_scheduler_usage(const struct hob_scheduler *scheduler, struct hob_scheduler_usage *out);

/** *flag is 1 while code of this state (or a core function called by it) is on the stack, else 0;
 * NULL: nobody wants to know. */
void hob_scheduler_mark_executing(struct hob_scheduler *scheduler, volatile int *flag);

/** Likewise between these two, which may be nested: code that is not Hob's works for it, somewhere
 * in the process. */
void hob_scheduler_begin_outside(struct hob_scheduler *scheduler);
void hob_scheduler_end_outside(struct hob_scheduler *scheduler);

/** In a done callback: the engine error that ended the task, or NULL for an ordinary end. */
const char *hob_task_engine_error(const struct hob_scheduler *scheduler, const char **message);

/** What the task waits in ("hob.exec.run"), "" while it is ready to run. */
const char *hob_task_waiting_in(const struct hob_task *task);

#endif
