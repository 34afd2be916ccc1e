/* debug_look.h - what a person sees of a job that is stopped or waits: its stack, its values, and
 * what an expression comes to in the middle of it. One `look` for each target of debug.h.
 *
 *   debug_look.c     life: recording, forgetting, whose tasks are looked at
 *   debug_frames.c   the stack, across the coroutines of a script; what was recorded of it
 *   debug_names.c    a name in a frame: local, upvalue, global; reading and changing it
 *   debug_values.c   a value as a short text
 *   debug_members.c  the members of a scope or value, page by page; changing one
 *   debug_eval.c     expressions, as tasks of their own (debug_eval_text.c: how they are compiled)
 *   debug_complete.c what could stand behind the cursor
 *   debug_lines.c    where code is in a text
 *
 * Glossary
 *   frame     a call on the stack, or one that was there when an error was raised (a snapshot)
 *   ref       a number for what has members: a scope of a frame, a table, a function
 *   epoch     from the moment in which a frame or value is first asked for until the task that they
 *             belong to goes on. Numbers of frames and refs are of one epoch and one target, in the
 *             whole process: an old one is HOB_ESTALE. But the refs of tables and functions outlive
 *             it where nobody held the job, for half a minute
 *   aside     a task that runs an expression: preempted as any other, it cannot wait, and neither
 *             its errors nor its processor time are the job's
 *
 * Looking is raw: no metamethod runs, no code of the job. It works in the job's own state, with an
 * allowance beyond its memory limit, and takes a bounded time: what is larger is cut, and says so.
 * Nothing here may be called while code of the looked-at state is on the stack (HOB_EBUSY), but for
 * the functions for hooks.
 *
 * Life: hob_debug_look_new -> ... -> hob_debug_look_free, before the sandbox is freed. Loop thread
 * only.  Specs: spec/unit/debug_look_spec.lua, spec/unit/debug_eval_spec.lua
 */
#ifndef HOB_WORK_DEBUG_LOOK_H
#define HOB_WORK_DEBUG_LOOK_H

#include "base/error.h"
#include "work/debug.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lua_State;
struct lua_Debug;
struct hob_debug_look;

/** Costs nothing in the target's state until somebody looks. NULL: out of memory */
struct hob_debug_look *hob_debug_look_new(struct hob_debug_target *target);
/** Expressions that run end: their `done` is called with HOB_ECANCELED. NULL is legal. */
void hob_debug_look_free(struct hob_debug_look *look);

/* ---- for the engine ---- */

/** Inside a LINE hook that is about to yield: record the line, and each local's name and register,
 * of the running function, which Lua does not know any more afterwards. Never raises, allocates
 * nothing in L; without memory the previous line is seen, and not the newest local. */
void hob_debug_look_record(struct hob_debug_look *look, struct lua_State *L, struct lua_Debug *ar);
/** Likewise, but for a stop that may follow the one at hand: that is looked at as before until
 * hob_debug_look_use_kept(), after hob_debug_look_forget(), puts this in its place. */
void hob_debug_look_keep(struct hob_debug_look *look, struct lua_State *L, struct lua_Debug *ar);
void hob_debug_look_use_kept(struct hob_debug_look *look);

/** Inside a message handler, with the stack of the error intact: keep its innermost frames and
 * their locals, which are what is looked at until they are forgotten. Never raises. */
#define HOB_DEBUG_SNAPSHOT_FRAMES 50
void hob_debug_look_snapshot(struct hob_debug_look *look, struct lua_State *L);

/** The target goes on: what was recorded is dropped, the epoch ends, and with it every expression
 * that runs in a frame. Cheap when nobody has looked; legal inside a hook. */
void hob_debug_look_forget(struct hob_debug_look *look);

/** Where it is: file and line of the innermost frame that is not Hob's own (of what was recorded,
 * if anything was). @return false: nowhere */
bool hob_debug_look_place(struct hob_debug_look *look, char file[HOB_DEBUG_FILE_MAX], int *line);

/* ---- the stack ---- */

struct hob_debug_frame {
    int id;
    char name[80]; /* as Lua knows it: "run", "for iterator"; "main chunk"; "?" */
    char
        file[HOB_DEBUG_FILE_MAX]; /* a path; of a text without a file "[string \"...\"]"; "" of C */
    int line;                     /* 0: none */
    int defined;                  /* the line that its function begins in; 0: a file, or C */
    bool own;                     /* one of Hob's own files */
    bool is_c;
    int coroutine; /* 1: the task's own, 2: one that was resumed in it... */
};

struct hob_debug_frames { /* zero it before the first use */
    struct hob_debug_frame *items;
    size_t count;
    size_t total; /* of all that there are */
    bool cut;     /* a recursion so deep that the middle of it is not listed */
};

/** Innermost first. `own`: also Hob's own frames and those of C. @return 0, HOB_ENOENT (nothing
 * runs), HOB_EBUSY, HOB_ENOMEM */
int hob_debug_look_stack(struct hob_debug_look *look, size_t first, size_t count, bool own,
                         struct hob_debug_frames *out, struct hob_error *err);
void hob_debug_frames_free(struct hob_debug_frames *frames);

/** Is this number of a frame or ref one of this look, in this epoch? */
bool hob_debug_look_knows(struct hob_debug_look *look, int id);

/* ---- values ---- */

#define HOB_DEBUG_NAME_MAX  160
#define HOB_DEBUG_VALUE_MAX 1024 /* 200 bytes of a string, each written as "\xE9" */
#define HOB_DEBUG_TYPE_MAX  80

struct hob_debug_variable {
    char name[HOB_DEBUG_NAME_MAX];   /* "x", "[3]", "[\"a b\"]", "(vararg) 1", "" of a result */
    char value[HOB_DEBUG_VALUE_MAX]; /* valid UTF-8 on one line */
    char type[HOB_DEBUG_TYPE_MAX];   /* "table", "hob.exec.process" (userdata with a __name) */
    int ref;                         /* 0: no members */
    size_t indexed, named;           /* members of it; among the named its metatable */
    char identity[24];               /* "0x5581..."; "" of what has none */
    int reg;                         /* of a local: 1...; else 0 */
};

struct hob_debug_variables { /* zero it before the first use */
    struct hob_debug_variable *items;
    size_t count;
    size_t total; /* of those that the filter lets through */
    bool more;    /* a table so large that not all of it was looked at */
};
void hob_debug_variables_free(struct hob_debug_variables *variables);

enum hob_debug_scope_kind { HOB_DEBUG_LOCALS, HOB_DEBUG_UPVALUES, HOB_DEBUG_GLOBALS };
#define HOB_DEBUG_SCOPES 3
struct hob_debug_scope {
    enum hob_debug_scope_kind kind;
    int ref;
    size_t count;
};
/** @return 0, HOB_ESTALE */
int hob_debug_look_scopes(struct hob_debug_look *look, int frame,
                          struct hob_debug_scope out[HOB_DEBUG_SCOPES], struct hob_error *err);

enum hob_debug_filter { HOB_DEBUG_ALL, HOB_DEBUG_INDEXED, HOB_DEBUG_NAMED };
struct hob_debug_page {
    size_t first, count; /* count 0: HOB_DEBUG_PAGE_MAX */
    enum hob_debug_filter filter;
};
#define HOB_DEBUG_PAGE_MAX 1000
/** Locals as the function has them (one that shadows another after it); of a table first what is
 * indexed from 1 without a gap, then string keys as they sort, then others. @return 0, HOB_ESTALE,
 * HOB_ENOMEM, HOB_ENOSPC (more refs than an epoch may have) */
int hob_debug_look_variables(struct hob_debug_look *look, int ref,
                             const struct hob_debug_page *page, struct hob_debug_variables *out,
                             struct hob_error *err);

/* ---- expressions ---- */

struct hob_debug_eval; /* one that runs; freed by itself after `done`, or when it is cancelled */

enum hob_debug_eval_kind {
    HOB_DEBUG_EVAL_TEXT, /* an expression, or statements */
    HOB_DEBUG_EVAL_LOG,  /* "x is {x}": a text with expressions in it */
    HOB_DEBUG_EVAL_SET   /* an expression whose value `name` of `ref` becomes */
};

struct hob_debug_eval_options {
    enum hob_debug_eval_kind kind;
    const char *text; /* copied */
    size_t len;
    int frame;        /* 0: in none, with the job's globals only; HOB_DEBUG_INNERMOST */
    bool write;       /* assignments are allowed; HOB_DEBUG_EVAL_SET needs it */
    int ref;          /* of HOB_DEBUG_EVAL_SET; frame is that of the ref then */
    const char *name; /* likewise, as hob_debug_look_variables has named it; copied */
};
#define HOB_DEBUG_INNERMOST (-1) /* the innermost frame that is not Hob's own */

struct hob_debug_result {
    int code;            /* 0, or what failed: */
    const char *message; /* with a traceback, if the expression raised. HOB_EINCOMPLETE: the text is
                          * not finished; HOB_ESTALE: the job went on; HOB_EPERM: write is off;
                          * HOB_ETIMEDOUT: it took too long */
    const struct hob_debug_variable *values; /* of all results (HOB_DEBUG_EVAL_SET: the one) */
    size_t count;
    bool truth;       /* of the first result */
    const char *text; /* of HOB_DEBUG_EVAL_LOG: the line; of a single long string: more of it than
                       * its value has; else NULL */
};
/** Everything in it is borrowed for the call. */
typedef void hob_debug_eval_fn(void *user, const struct hob_debug_result *result);

/** `done` is called once, later. @return 0, or a code, and it will not be called: HOB_EINCOMPLETE,
 * HOB_EINVAL (it cannot be compiled), HOB_EPERM (an assignment, and write is off), HOB_ESTALE,
 * HOB_EBUSY, HOB_ENOMEM, HOB_ENOSPC */
int hob_debug_look_evaluate(struct hob_debug_look *look,
                            const struct hob_debug_eval_options *options, hob_debug_eval_fn *done,
                            void *user, struct hob_debug_eval **out, struct hob_error *err);
/** `done` is not called any more. */
void hob_debug_eval_cancel(struct hob_debug_eval *eval);

/** Can this be compiled, as a condition or the text of a log point? For the moment in which a
 * breakpoint is set. @return 0, HOB_EINVAL, HOB_EINCOMPLETE */
int hob_debug_eval_check(enum hob_debug_eval_kind kind, const char *text, size_t len,
                         struct hob_error *err);

/* ---- completion ---- */

struct hob_debug_candidates { /* zero it before the first use */
    char **items;             /* whole words, sorted */
    size_t count;
    size_t from; /* byte of the text at which the word begins, from 0 */
};
/** What the end of `text` could become: a global, a name of the frame (0: none), a field behind "."
 * or ":". Raw, but through __index where that is a table. @return 0, HOB_ESTALE, HOB_EBUSY */
int hob_debug_look_complete(struct hob_debug_look *look, int frame, const char *text, size_t len,
                            struct hob_debug_candidates *out, struct hob_error *err);
void hob_debug_candidates_free(struct hob_debug_candidates *candidates);

/* ---- where code is ---- */

struct hob_debug_lines { /* zero it before the first use */
    int *items;          /* ascending */
    size_t count;
};
/** Of the text of a Lua file. @return 0, HOB_EINVAL (it cannot be compiled, `err` says why),
 * HOB_EUNSUPPORTED (this Lua writes its code in a form that is not known), HOB_ENOMEM */
int hob_debug_lines_of(const char *text, size_t len, struct hob_debug_lines *out,
                       struct hob_error *err);
/** @return the line itself, or the next that has code; 0: there is none */
int hob_debug_lines_next(const struct hob_debug_lines *lines, int line);
void hob_debug_lines_free(struct hob_debug_lines *lines);

#endif
