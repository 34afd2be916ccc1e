/* handlers.h - the Lua files that say what a job type does, and which of them a document asks for.
 *
 * A handler is a file NAME.lua in one of the scripts directories that returns a table (see
 * docs/reference/handlers.md). Loading compiles each file and checks its table in a throw-away
 * sandbox. Loading again keeps the last good version of a file that is broken by now; one that
 * never was good stays in the list with its error, and a job that asks for it FAILS with that
 * error. Documents with `steps` (AWS's managed templates) belong to a handler that is built in.
 * Handlers that a product has in C (native.h) stand among them; a file of such a name is not used.
 *
 * Each version keeps the modules of SCRIPTS/lib that it was checked with: a job requires those,
 * whatever is on disk by then. A module that does not compile is not taken, like a handler.
 *
 * Life: hob_handlers_new -> hob_handlers_load (again after a change; handlers_watch.h does so by
 * itself) -> hob_handlers_free. A struct hob_handlers_entry is borrowed until the next load. Loop
 * thread only.  Specs: spec/unit/handlers_spec.lua, spec/integration/reload_spec.lua
 */
#ifndef HOB_WORK_HANDLERS_H
#define HOB_WORK_HANDLERS_H

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mbed.h"

#include <stdbool.h>
#include <stddef.h>

#define HOB_HANDLER_NAME_MAX        64
#define HOB_HANDLER_ALIASES         8
#define HOB_HANDLER_ALIAS_MAX       128
#define HOB_HANDLER_NOTE_MAX        300
#define HOB_HANDLER_DIGEST_TOLD     12 /* characters of it in "NAME@DIGEST" */
#define HOB_HANDLER_DESCRIPTION_MAX 160

struct hob_handlers_entry {
    char name[HOB_HANDLER_NAME_MAX + 1];
    const char *path;   /* as errors name it */
    const char *source; /* NUL-terminated */
    size_t source_len;
    char digest[HOB_SHA256_HEX_MAX]; /* of the source */
    /* Its `names`; "" ends. "?member": for documents that have that member. */
    char aliases[HOB_HANDLER_ALIASES][HOB_HANDLER_ALIAS_MAX + 1];
    bool rerun;                      /* begun in the cloud but unknown to the store: run it again */
    char note[HOB_HANDLER_NOTE_MAX]; /* what is worth mending though it works; "" */
    char description[HOB_HANDLER_DESCRIPTION_MAX + 1]; /* of what it says itself, cut; "" */
    struct hob_error error;                            /* code 0: fine */
    /* Of hot reload. */
    struct hob_script *script;           /* has path and source; held */
    struct hob_scripts_modules *modules; /* what it may require: those it was checked with; held */
    int64_t loaded_at;                   /* seconds since 1970 when this version was taken */
    struct hob_script *newer; /* what the file holds now, and is broken; NULL: nothing; held */
    struct hob_error refused; /* why; code 0: nothing newer is broken */
    struct hob_scripts_modules *refused_with; /* the modules then; held */
};

struct hob_handlers;
struct hob_native;
struct hob_policy;
struct hob_sandbox_kit;
struct hob_script;
struct hob_scripts_modules;

struct hob_handlers_options { /* strings are copied */
    struct hob_loop *loop;
    struct hob_log *log;
    const char *scripts; /* directory, or several: see scripts_dirs.h */
    const char *lib;     /* Hob's own Lua files */
    /* Borrowed for its life; NULL-terminated; NULL: the default, none. */
    const char *const *job_types;    /* members of a document that may name its handler */
    const char *const *routes;       /* pairs: what a document says, the handler */
    const struct hob_policy *policy; /* which programs documents may name; NULL: any */
    struct hob_native *native;       /* what a product has in C; borrowed; NULL: nothing */
    /** Another version of one is in use, or a new one: "NAME@DIGEST". Not of the first load. NULL:
     * nobody wants to hear. */
    void (*on_reloaded)(void *user, const char *label);
    void *user; /* of it */
};

int hob_handlers_new(const struct hob_handlers_options *options, struct hob_handlers **out,
                     struct hob_error *err);
void hob_handlers_free(struct hob_handlers *handlers);

/** Read the directory. A file that is broken is logged (handler.broken), never an error here.
 * @return 0, or a code if the directory itself cannot be read (the former list is kept) */
int hob_handlers_load(struct hob_handlers *handlers, struct hob_error *err);

/** A module whose text on disk is not in use, because it is broken. Borrowed until the next load;
 * NULL: there are no more. */
const struct hob_script *hob_handlers_broken_module(const struct hob_handlers *handlers,
                                                    size_t index);
/** A file as it would be in the scripts directory. */
struct hob_handlers_trial {
    const char *name; /* of the handler, or as `require` has the module */
    const char *text; /* NULL: the file would not be there */
    size_t len;
    const char *for_whom; /* of a module: the handler that is to be checked with it; NULL: none, it
                             is compiled only. Of a handler: NULL */
    bool is_module;
};

/** Would the handlers work with it? Checked as loading does, and nothing is changed. A handler must
 * not have a name among its `names` that another one has, either.
 * @return 0, or what is wrong with it (HOB_EHANDLER and others) */
int hob_handlers_try(const struct hob_handlers *handlers, const struct hob_handlers_trial *trial,
                     struct hob_error *err);

/** What the product has in C; NULL: nothing. `handlers` may be NULL. */
struct hob_native *hob_handlers_native(const struct hob_handlers *handlers);

/** What their sandboxes are made from; NULL: `handlers` is. */
struct hob_sandbox_kit *hob_handlers_kit(const struct hob_handlers *handlers);
/** What jobs may require that have no version of their own. Borrowed until the next load. */
struct hob_scripts_modules *hob_handlers_modules(const struct hob_handlers *handlers);
/** The product's first. NULL: there are no more. */
const struct hob_handlers_entry *hob_handlers_at(const struct hob_handlers *handlers, size_t index);

/** Which handler does the parsed document in `json` ask for? By the document's list in `steps`,
 * else by the first of `job_types` that is a text: what `routes` has for it, the file of that name,
 * the handler that has it among its `names`. If none is a text, by a member that `routes` or
 * `names` know with a "?". Never by a path.
 * @return the handler (its `error` may be set; borrowed until the next call), or NULL with the
 * reason in err: HOB_ENOENT (there is no such handler), HOB_EINVAL (the document names none) */
const struct hob_handlers_entry *hob_handlers_choose(struct hob_handlers *handlers,
                                                     struct hob_json *json, struct hob_error *err);

const struct hob_handlers_entry *hob_handlers_find(const struct hob_handlers *handlers,
                                                   const char *name);
/** The same, without the built-in one. */
const struct hob_handlers_entry *hob_handlers_find_script(const struct hob_handlers *handlers,
                                                          const char *name);
size_t hob_handlers_count(const struct hob_handlers *handlers);
/** The first one of SCRIPTS: where what is put in place goes. */
const char *hob_handlers_directory(const struct hob_handlers *handlers);
const char *hob_handlers_scripts(const struct hob_handlers *handlers); /* all, as scripts_dirs.h */
/** The file of a later directory that is not used because of this handler's. Borrowed until the
 * next load. NULL: none */
const char *hob_handlers_shadowed(const struct hob_handlers *handlers,
                                  const struct hob_handlers_entry *handler);
bool hob_handlers_is_watched(const struct hob_handlers *handlers);        /* by handlers_watch.h */
const char *hob_handlers_script_lib(const struct hob_handlers *handlers); /* their lib/ */
const char *hob_handlers_lib(const struct hob_handlers *handlers);

#endif
