/* bench.h - handlers at work without a cloud: the slot, the store and the journal of `hob run`,
 * with nobody to tell and a power that can be cut.
 *
 * Each execution goes through a real hob_slot, with a row of its own in a store of the bench's own.
 * The outbox has no client: what would be told is seen as it is stored. Nothing reboots: when a
 * handler asks for it, the bench gives up what runs as a reboot does, and a new boot id makes the
 * next run find that it has happened.
 *
 *   FREE --begin--> it runs --on_state ENDED--> FREE
 *   it runs --on_state CUT, REBOOTED, RESTARTED, WAITS--> (nothing of it runs) --go_on--> it runs
 *
 * In the sandbox, Hob's own module hob.handler.recorder is loaded before the handler; what it says
 * comes to on_tell.
 *
 * Life: hob_bench_new -> hob_bench_begin ... -> hob_bench_free. All but on_state is called inside
 * the handler's own code: it may not call the bench, but for hob_bench_cut. Loop thread only.
 * Spec: spec/integration/handler_run_spec.lua
 */
#ifndef HOB_WORK_BENCH_H
#define HOB_WORK_BENCH_H

#include "base/buf.h"
#include "base/error.h"
#include "base/loop.h"
#include "work/store.h"

#include <stdbool.h>

struct hob_bench;
struct hob_debugger;
struct hob_policy;

enum hob_bench_state {
    HOB_BENCH_ENDED,     /* its outcome is in the store */
    HOB_BENCH_CUT,       /* the power was cut; nothing of it runs any more */
    HOB_BENCH_REBOOTED,  /* the handler asked for it: likewise */
    HOB_BENCH_RESTARTED, /* Hob itself */
    HOB_BENCH_WAITS      /* job:retry_later */
};

struct hob_bench_options {
    struct hob_loop *loop;
    const char *scripts;             /* directory; copied */
    const char *lib;                 /* Hob's own Lua files; copied */
    const char *data;                /* an empty directory; copied */
    const char *thing;               /* copied */
    const struct hob_policy *policy; /* borrowed for its life; NULL: all is allowed */
    struct hob_debugger *debugger;   /* borrowed for its life; NULL: none */
    size_t memory_bytes;             /* the rest as slot.h */
    uint64_t cpu_ms, timeout_ms, cleanup_timeout_ms;
    void (*on_log)(void *user, const char *line, size_t len); /* JSON, masked, without newline */
    void (*on_said)(void *user, const char *text);            /* progress, as it would be told */
    /** What its programs print, as it comes. */
    void (*on_output)(void *user, bool is_err, const char *text, size_t len);
    /** The recorder says something, and wants an answer (appended; empty: none). */
    void (*on_tell)(void *user, const char *text, size_t len, struct hob_buf *answer);
    void (*on_state)(void *user, enum hob_bench_state state); /* in a turn of its own */
    void *user;
};

int hob_bench_new(const struct hob_bench_options *options, struct hob_bench **out,
                  struct hob_error *err);
/** What runs is given up. NULL is legal. */
void hob_bench_free(struct hob_bench *bench);

/** Run a handler for a document, as a new execution. A document that its arguments refuse ends as
 * REJECTED, a broken handler as FAILED.
 * @return 0 (on_state will come), HOB_ENOENT (no such handler), HOB_EBUSY, or what the store said
 */
int hob_bench_begin(struct hob_bench *bench, const char *handler, const char *document, size_t len,
                    struct hob_error *err);

/** Which handler a device would take for this document, without a configuration's routes.
 * @return its name, borrowed; NULL: none, `err` says why */
const char *hob_bench_choose(struct hob_bench *bench, const char *document, size_t len,
                             struct hob_error *err);

/** After CUT, REBOOTED, RESTARTED or WAITS: as the process that finds it in its store. */
int hob_bench_go_on(struct hob_bench *bench, struct hob_error *err);

/** The power goes, as soon as nothing of Hob is on the stack. */
void hob_bench_cut(struct hob_bench *bench);

/** As `hob cancel`. */
void hob_bench_cancel(struct hob_bench *bench, const char *who);

/** The latest execution as the store has it; borrowed until the next call. */
int hob_bench_execution(struct hob_bench *bench, struct hob_store_execution *out,
                        struct hob_error *err);
/* ---- for bindings/lua_bench.c, of the recorder's side ---- */

void hob_bench_tell(struct hob_bench *bench, const char *text, size_t len, struct hob_buf *answer);
const char *hob_bench_lib(const struct hob_bench *bench);

#endif
