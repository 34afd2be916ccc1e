/* sandbox.h - a Lua state for one job: few globals, a memory cap, Hob's modules.
 *
 * Handlers get the language without what reaches past the job: no debug, io, os.execute, loadlib,
 * no binary chunks, no finalizers. `require` finds Hob's modules and the files of `script_lib`.
 * This contains mistakes, not malice.
 *
 * Life: hob_sandbox_new -> hob_sandbox_call / tasks -> hob_sandbox_free. Loop thread only.
 * Spec: spec/unit/sandbox_spec.lua
 */
#ifndef HOB_WORK_SANDBOX_H
#define HOB_WORK_SANDBOX_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "work/task.h"

#include <stddef.h>

struct hob_sandbox;
struct hob_bench;
struct hob_console;
struct hob_debugger;
struct hob_job;
struct hob_modules_agent;
struct hob_native;
struct hob_policy;
struct hob_sandbox_kit;
struct hob_exec_set;
struct hob_scripts_modules;

#define HOB_SANDBOX_MEMORY (64u << 20)

struct hob_sandbox_options {
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_job *job;                   /* what its modules work for; NULL in a throw-away one */
    const struct hob_modules_agent *agent; /* borrowed for its life; NULL: none */
    const struct hob_policy *policy;       /* borrowed for its life; NULL: all is allowed */
    struct hob_exec_set *children; /* of what it starts; borrowed for its life; NULL: none */
    struct hob_native *native; /* C functions of the product; borrowed for its life; NULL: none */
    struct hob_bench *bench;   /* its recorder is loaded first; borrowed for its life; NULL: none */
    struct hob_debugger *debugger; /* borrowed for its life; NULL: none */
    struct hob_console *console; /* it is this session's state, which has hob.console and hob.debug;
                                    NULL: it is not */
    /** A module of script_lib is wanted: leave a saved text of it, if there is one (*text NULL
     * else; borrowed until the next call). A code: it cannot be known, and `require` raises.
     * NULL: only the directory is looked at. */
    int (*find_source)(void *user, const char *name, const char **path, const char **text,
                       size_t *len, struct hob_error *err);
    /** One was loaded from the directory. NULL: nobody wants to know. */
    void (*on_source)(void *user, const char *name, const char *path, const char *text, size_t len);
    void *source_user;
    struct hob_scripts_modules *modules; /* in place of script_lib's files; held for its life; NULL:
                                            those are read */
    const char
        *script_lib; /* directories (scripts_dirs.h) of modules that scripts share; NULL: none */
    const char *lib; /* directory of Hob's own Lua files */
    struct hob_sandbox_kit *kit; /* what it is made from; held for its life; NULL: one of its own */
    size_t memory_bytes;         /* 0: HOB_SANDBOX_MEMORY */
};

int hob_sandbox_new(const struct hob_sandbox_options *options, struct hob_sandbox **out,
                    struct hob_error *err);
/** Ends what its tasks wait for; nothing of it calls back any more. NULL is legal. */
void hob_sandbox_free(struct hob_sandbox *sandbox);

struct lua_State *hob_sandbox_lua(struct hob_sandbox *sandbox);
struct hob_scheduler *hob_sandbox_scheduler(struct hob_sandbox *sandbox);

/** hob_scheduler_call in it. */
int hob_sandbox_call(struct hob_sandbox *sandbox, int (*fn)(struct lua_State *L), void *arg,
                     struct hob_error *err);

/** For functions inside a protected call: leave `require(name)` on the stack. */
void hob_sandbox_require(struct lua_State *L, const char *name);

/** In place of those of the options; held. */
void hob_sandbox_set_modules(struct hob_sandbox *sandbox, struct hob_scripts_modules *modules);

/** From now on; what is in use already may be more. */
void hob_sandbox_limit_memory(struct hob_sandbox *sandbox, size_t bytes);

/** So much beyond the limit, for who looks into it from outside; 0: no more. */
void hob_sandbox_allow_memory(struct hob_sandbox *sandbox, size_t bytes);

size_t hob_sandbox_memory(const struct hob_sandbox *sandbox); /* bytes in use */

#endif
