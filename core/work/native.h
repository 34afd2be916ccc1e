/* native.h - what a product has written in C: handlers for jobs, and modules that Lua handlers
 * require.
 *
 * Glossary
 *   handler  a struct hob_handler (hob.h). It stands among the Lua handlers as one more of them:
 * its source is a few generated lines of Lua, whose `run` calls the C function. So claims,
 *            arguments, time-outs, cancelling, the journal and the outbox are those of all handlers
 *   run      a struct hob_run: one run of it, from its `run` to hob_run_succeed and its like
 *   module   a struct hob_module; `require` finds it in the sandbox of jobs, of sessions, and where
 *            handlers are only checked
 *   call     a struct hob_call: one call of one of its functions
 *
 * Of one runtime. Everything is registered before the handlers are loaded for the first time, and
 * stays till the end. Runs and calls that have ended are remembered for a while without what they
 * held, so that a product which ends one too late, or twice, does no harm.
 *
 * The Lua side is bindings/lua_native.c (and lua_native_module.c); nothing here knows Lua tasks.
 *
 * Life: hob_native_new -> hob_native_add_handler, _add_module -> borrowed by struct hob_handlers
 * (its option `native`), which must be freed before -> hob_native_free, AFTER the loop was freed
 * (what is deferred may still look at a run). Loop thread only.
 * Specs: spec/unit/native_spec.lua, spec/integration/native_spec.lua
 */
#ifndef HOB_WORK_NATIVE_H
#define HOB_WORK_NATIVE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "work/handlers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hob_job;
struct hob_native;
struct hob_native_handler;
struct hob_native_module;
struct hob_native_function;

#define HOB_NATIVE_PATH       "C" /* of a handler's entry, in place of its file's */
#define HOB_NATIVE_FUNCTIONS  1000
#define HOB_NATIVE_RESULTS    16        /* values that a call gives back */
#define HOB_NATIVE_RESULT_MAX (1 << 20) /* bytes of their texts together */
#define HOB_NATIVE_WAIT_MAX   192       /* what a task is said to wait in */
#define HOB_NATIVE_DETAILS    4

struct hob_native_options {
    struct hob_loop *loop;
    struct hob_log *log;
    const char *lib;  /* Hob's own Lua files; copied */
    unsigned *inside; /* counted up while a function of the product is called; borrowed */
};

int hob_native_new(const struct hob_native_options *options, struct hob_native **out,
                   struct hob_error *err);
void hob_native_free(struct hob_native *native); /* NULL is legal */

/** Copied. Its table is checked as that of a Lua handler is, so that an error names the member
 * ("handler switch: args.channel: ..."). @return 0, HOB_EINVAL, HOB_EEXIST, HOB_EMSGSIZE,
 * HOB_ENOMEM, HOB_EHANDLER (Hob's own Lua files are not where they should be) */
int hob_native_add_handler(struct hob_native *native, const struct hob_handler *handler,
                           struct hob_error *err);
/** Copied, also the list of functions. @return as above */
int hob_native_add_module(struct hob_native *native, const struct hob_module *module,
                          struct hob_error *err);

/* `native` may be NULL in all of these: there is none. */
size_t hob_native_handler_count(const struct hob_native *native);
const struct hob_handlers_entry *hob_native_handler_at(const struct hob_native *native,
                                                       size_t index); /* by name; NULL: no more */
const struct hob_handlers_entry *hob_native_find_handler(const struct hob_native *native,
                                                         const char *name);
/** Is it one of those, and not a file? */
bool hob_native_is_handler(const struct hob_native *native,
                           const struct hob_handlers_entry *handler);

const struct hob_native_module *hob_native_module_at(const struct hob_native *native,
                                                     size_t index); /* NULL: no more */
const struct hob_native_module *hob_native_find_module(const struct hob_native *native,
                                                       const char *name);
const char *hob_native_module_name(const struct hob_native_module *module);
const struct hob_native_function *hob_native_function_at(const struct hob_native_module *module,
                                                         size_t index); /* NULL: no more */
const char *hob_native_function_name(const struct hob_native_function *function);  /* "set" */
const char *hob_native_function_label(const struct hob_native_function *function); /* "relay.set" */

/* ---- a run, for bindings/lua_native.c ---- */

enum hob_native_end {
    HOB_NATIVE_UNFINISHED,
    HOB_NATIVE_SUCCEEDED,
    HOB_NATIVE_FAILED,
    HOB_NATIVE_REJECTED,
    HOB_NATIVE_RETRY
};

struct hob_native_detail {
    char *name, *value;
};

struct hob_native_outcome {
    enum hob_native_end end;
    const char *code, *reason; /* never NULL once it has ended */
    double seconds;            /* RETRY */
    const struct hob_native_detail *details;
    size_t detail_count;
};

struct hob_native_run_options {
    struct hob_native *native;
    const char *name;    /* of the handler */
    struct hob_job *job; /* borrowed until it is freed */
    const char *args;    /* JSON; copied; NULL: the document is meant */
    size_t args_len;
    void (*on_end)(void *user); /* it has ended by its own word; never inside _begin */
    void *user;
};

/** The C function is called in the loop's next turn. What it waits in, for people, is
 * hob_native_run_label. @return 0, HOB_ENOENT (no such handler is registered), HOB_ENOMEM */
int hob_native_run_begin(const struct hob_native_run_options *options, struct hob_run **out,
                         struct hob_error *err);
const char *hob_native_run_label(const struct hob_run *run);
void hob_native_run_outcome(const struct hob_run *run, struct hob_native_outcome *out);
/** It is to end: tells the product, if its `run` was called. on_end is not called any more. */
void hob_native_run_cancel(struct hob_run *run, const char *why);
/** Nothing of it is in use any more but its address. */
void hob_native_run_free(struct hob_run *run);

/* ---- a call, for bindings/lua_native_module.c ---- */

struct hob_native_value {
    enum hob_type type;
    bool boolean;
    int64_t integer;
    double number;
    char *text; /* HOB_STRING, NUL-ended; HOB_TABLE: as JSON, NULL if it cannot be */
    size_t len;
    const char *words; /* what it is called in messages, if not as its type; static */
    char *json;        /* of any other, once it was asked for; or why a table is none */
};

struct hob_native_call_options {
    struct hob_native *native;
    const struct hob_native_function *function;
    const char *thing, *job_id; /* copied; "" */
    void (*on_end)(void *user); /* after `later`: it has ended; may come inside _invoke */
    void *user;
};

/** @return NULL: out of memory */
struct hob_call *hob_native_call_new(const struct hob_native_call_options *options, size_t count);
/** Argument `index`, to be filled by the caller; freed with the call, by hob_free. */
struct hob_native_value *hob_native_call_arg(struct hob_call *call, size_t index);
/** Call the C function. @return whether it ends later */
bool hob_native_call_invoke(struct hob_call *call);
/** The results of what has ended; NULL while it has not. */
struct hob_native_result {
    const char *raise;          /* words to raise; NULL */
    const char *code, *message; /* it failed; NULL */
    const struct hob_native_value *values;
    size_t count;
};
bool hob_native_call_result(const struct hob_call *call, struct hob_native_result *out);
void hob_native_call_cancel(struct hob_call *call); /* NULL is legal in both */
void hob_native_call_free(struct hob_call *call);

#endif
