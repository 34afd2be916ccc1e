/* debug_look_parts.h - what the files of debug_look.h share; nobody else includes it.
 *
 * In the target's state a look has one table, made when somebody first looks and given up when the
 * target goes on: [VALUES] what refs stand for, by their slot; [SLOTS] the slot of each such table
 * or function; [SNAPSHOT] functions and locals of frames that are gone. Functions with a lua_State
 * `L` as their first parameter run protected, in the main thread of that state.
 */
#ifndef HOB_WORK_DEBUG_LOOK_PARTS_H
#define HOB_WORK_DEBUG_LOOK_PARTS_H

#include "base/buf.h"
#include "work/debug_look.h"
#include "work/task_internal.h"

#include <lauxlib.h>
#include <lua.h>

struct hob_sandbox;

#define LOOK_LOCALS_MAX 250 /* Lua has at most 200 */

enum hob_look_table { VALUES = 1, SLOTS = 2, SNAPSHOT = 3 };

/* A call on the stack: of `co` at `level`; of a snapshot co is NULL, and `level` its index. */
struct hob_look_frame {
    int id;
    lua_State *co;
    int level;
    int coroutine;
    bool own, is_c;
};

enum hob_look_ref_kind { REF_LOCALS, REF_UPVALUES, REF_GLOBALS, REF_VALUE };

struct hob_look_ref {
    int id;
    enum hob_look_ref_kind kind;
    int frame; /* its id, or 0 */
    int slot;  /* of REF_VALUE */
};

struct hob_look_name {
    int reg;
    char name[64];
};

struct hob_look_record { /* of the function that a hook has stopped */
    lua_State *L;        /* NULL: none */
    uint64_t resumed;    /* the resume in which that was */
    int line;
    struct hob_look_name *names;
    size_t count;
};

struct hob_look_snapshot {
    struct hob_debug_frame *frames; /* without ids */
    size_t count;                   /* 0: none */
};

struct hob_debug_look {
    struct hob_debug_target *target;
    lua_State *L;
    struct hob_scheduler *scheduler;
    struct hob_sandbox *sandbox;
    int serial; /* of the last number that was given to a frame or ref */
    int table;  /* registry reference; LUA_NOREF: nobody has looked */
    int slots;  /* used of VALUES */
    int box;    /* registry reference of a pointer to this for what outlives it; LUA_NOREF */
    void **boxed;
    bool began;                  /* an epoch; */
    const struct hob_task *task; /* which belongs to this task, */
    uint64_t resumed;            /* and to this resume of it */
    struct hob_look_frame *frames;
    size_t frame_count;
    bool listed; /* frames are */
    bool cut;
    struct hob_look_ref *refs;
    size_t ref_count, ref_room;
    struct hob_look_record record, kept;
    struct hob_look_snapshot snapshot;
    struct hob_debug_eval *evals;
    struct hob_timer *idle; /* what is stale must not keep the job's values for long */
};

/* ---- debug_look.c ---- */

/** Run `fn(L)` in the target's state, protected, with `op` as its argument. It must raise nothing
 * but for want of memory. @return 0, HOB_EBUSY, HOB_ENOMEM */
int hob_look_call(struct hob_debug_look *look, lua_CFunction fn, void *op, struct hob_error *err);
/** A new number for a frame or ref. */
int hob_look_new_id(struct hob_debug_look *look);
/** The epoch is over if its task has gone on. */
void hob_look_refresh(struct hob_debug_look *look);
/** So many values are looked at that a page more might find no room: HOB_ENOSPC, else 0. */
int hob_look_check_room(const struct hob_debug_look *look, struct hob_error *err);
/** Leave the table of the look on L. */
void hob_look_push_table(struct hob_debug_look *look, lua_State *L);
void hob_look_push_part(struct hob_debug_look *look, lua_State *L, enum hob_look_table part);
int hob_look_stale(struct hob_error *err);

/** @return NULL, with HOB_ESTALE */
struct hob_look_ref *hob_look_find_ref(struct hob_debug_look *look, int id, struct hob_error *err);
/** @return the id of a ref for a scope of a frame, 0: there are too many, or no memory */
int hob_look_scope_ref(struct hob_debug_look *look, enum hob_look_ref_kind kind, int frame);
/** For the table, function or userdata at `index`; the same one has the same ref. 0 as above. */
int hob_look_value_ref(struct hob_debug_look *look, lua_State *L, int index, int frame);

/* ---- debug_frames.c ---- */

/** List the frames of the epoch. @return 0, HOB_ENOENT, HOB_ENOMEM */
int hob_look_list_frames(struct hob_debug_look *look, struct hob_error *err);
/** @return NULL, with HOB_ESTALE */
const struct hob_look_frame *hob_look_find_frame(struct hob_debug_look *look, int id,
                                                 struct hob_error *err);
/** The innermost frame that is not Hob's own; NULL: none. */
const struct hob_look_frame *hob_look_innermost(struct hob_debug_look *look);
/** What was recorded of this frame inside a hook; NULL: nothing. */
const struct hob_look_record *hob_look_record_of(const struct hob_debug_look *look,
                                                 const struct hob_look_frame *frame);
void hob_look_drop_frames(struct hob_debug_look *look);
void hob_look_drop_record(struct hob_look_record *record);
void hob_look_drop_snapshot(struct hob_debug_look *look);

/* ---- debug_names.c: L's stack as it was, but for what is said to be pushed; those that set leave
 * the value or not ---- */

/** The registers of a frame's locals in the order of their declaration, and how many varargs. Of a
 * snapshot: 1 to count, varargs among them. */
struct hob_look_locals {
    int regs[LOOK_LOCALS_MAX];
    int count, varargs;
};
void hob_look_list_locals(struct hob_debug_look *look, lua_State *L,
                          const struct hob_look_frame *frame, struct hob_look_locals *out);
/** Push the value of a register (-1, -2...: of a vararg). @return false: there is none, nothing
 * pushed */
bool hob_look_push_local(struct hob_debug_look *look, lua_State *L,
                         const struct hob_look_frame *frame, int reg, char name[64]);
/** Push the frame's function. @return false: none, nothing pushed */
bool hob_look_push_function(struct hob_debug_look *look, lua_State *L,
                            const struct hob_look_frame *frame);
/** Push the table of the frame's globals: its _ENV, else that of the state. NULL: likewise. */
void hob_look_push_globals(struct hob_debug_look *look, lua_State *L,
                           const struct hob_look_frame *frame);
/** Push what a name stands for in the frame: the newest local, else an upvalue. @return false: none
 * of them, nothing pushed */
bool hob_look_push_name(struct hob_debug_look *look, lua_State *L,
                        const struct hob_look_frame *frame, const char *name);
/** Give a local or upvalue the value on top. @return false: there is none of that name */
bool hob_look_set_name(struct hob_debug_look *look, lua_State *L,
                       const struct hob_look_frame *frame, const char *name);
bool hob_look_set_local(struct hob_debug_look *look, lua_State *L,
                        const struct hob_look_frame *frame, int reg);
bool hob_look_set_named_local(struct hob_debug_look *look, lua_State *L,
                              const struct hob_look_frame *frame, const char *name);

/* ---- debug_values.c ---- */

/** All but the name and the register of the value at `index`. `frame`: of the refs. */
void hob_look_describe(struct hob_debug_look *look, lua_State *L, int index, int frame,
                       struct hob_debug_variable *out);
/** More of a string than hob_look_describe shows (caller frees); NULL: that is all of it, or it is
 * no string, or memory is short. */
char *hob_look_long_string(lua_State *L, int index);
/** The key at `index` as the name of a member. */
void hob_look_name_key(lua_State *L, int index, char name[HOB_DEBUG_NAME_MAX]);
/** Leave the __name of the metatable of the value at `index` on L. @return NULL: it has none, and
 * nothing is pushed */
const char *hob_look_push_type(lua_State *L, int index);
bool hob_look_is_name(const char *text, size_t len);

/* ---- debug_members.c ---- */

/** Push the key at which a walk through the table at `index` begins that leaves out 1 to `border`
 * where that can be. */
void hob_look_push_start(lua_State *L, int index, lua_Integer border);
/** Is the key at `index` one of 1 to `border`? */
bool hob_look_is_indexed(lua_State *L, int index, lua_Integer border);
/** Push the table, function or userdata that a ref stands for, of a scope that of the globals.
 * @return 0, HOB_ESTALE */
int hob_look_push_ref(struct hob_debug_look *look, lua_State *L, const struct hob_look_ref *ref);
/** Give the member `name` of the ref the value on top. @return 0, HOB_ENOENT, HOB_EINVAL with the
 * reason; L is as before in any case */
int hob_look_set_member(struct hob_debug_look *look, lua_State *L, const struct hob_look_ref *ref,
                        const char *name, struct hob_error *err);

/* ---- debug_eval_text.c ---- */

#define HOB_LOOK_CHUNK    "=expression" /* the name of what is compiled */
#define HOB_LOOK_TEXT_MAX (64u << 10)   /* of an expression, and of what a log point says */

/** Leave the function on top of L, above what it took to make it. @return 0, HOB_EINVAL,
 * HOB_EINCOMPLETE, HOB_EMSGSIZE */
int hob_look_compile(lua_State *L, enum hob_debug_eval_kind kind, const char *text, size_t len,
                     struct hob_error *err);

/* ---- debug_eval.c ---- */

/** The job has gone on: those in a frame end. */
void hob_look_end_evals(struct hob_debug_look *look, bool all);

/* ---- debug_lines.c ---- */

/** Does the function on top of L, a whole chunk, assign to a field of a table that it has not made
 * itself? @return its line; 0: no, or that is not known */
int hob_look_find_assignment(lua_State *L);

#endif
