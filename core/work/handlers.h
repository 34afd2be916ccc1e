/* handlers.h - the Lua files that say what a job type does, and which of them a document asks for.
 *
 * A handler is a file NAME.lua in the scripts directory that returns a table (see
 * docs/reference/handlers.md). Loading compiles each file and checks its table in a throw-away
 * sandbox; one that is broken stays in the list with its error, and a job that asks for it FAILS
 * with that error. Documents with `steps` (AWS's managed templates) belong to a handler that is
 * built in.
 *
 * Life: hob_handlers_new -> hob_handlers_load (again after a change) -> hob_handlers_free. A struct
 * hob_handler is borrowed until the next load. Loop thread only.  Spec: spec/unit/handlers_spec.lua
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

#define HOB_HANDLER_NAME_MAX 64
#define HOB_HANDLER_ALIASES  8

struct hob_handler {
    char name[HOB_HANDLER_NAME_MAX + 1];
    char *path;   /* as errors name it */
    char *source; /* NUL-terminated */
    size_t source_len;
    char digest[HOB_SHA256_HEX_MAX];                             /* of the source */
    char aliases[HOB_HANDLER_ALIASES][HOB_HANDLER_NAME_MAX + 1]; /* its `names`; "" ends */
    bool rerun;             /* begun in the cloud but unknown to the store: run it again */
    struct hob_error error; /* code 0: fine */
};

struct hob_handlers;

struct hob_handlers_options { /* strings are copied */
    struct hob_loop *loop;
    struct hob_log *log;
    const char *scripts; /* directory */
    const char *lib;     /* Hob's own Lua files */
    /* Borrowed for its life; NULL-terminated; NULL: the default, none. */
    const char *const *job_types; /* members of a document that may name its handler */
    const char *const *routes;    /* pairs: what a document says, the handler */
};

int hob_handlers_new(const struct hob_handlers_options *options, struct hob_handlers **out,
                     struct hob_error *err);
void hob_handlers_free(struct hob_handlers *handlers);

/** Read the directory. A file that is broken is logged (handler.broken), never an error here.
 * @return 0, or a code if the directory itself cannot be read (the former list is kept) */
int hob_handlers_load(struct hob_handlers *handlers, struct hob_error *err);

/** Which handler does the parsed document in `json` ask for? By the document's `steps`, else by its
 * member `operation`, `jobType`, `type`, `action` or `command`. Never by a path.
 * @return the handler (its `error` may be set), or NULL with the reason in err */
const struct hob_handler *hob_handlers_choose(struct hob_handlers *handlers, struct hob_json *json,
                                              struct hob_error *err);

const struct hob_handler *hob_handlers_find(const struct hob_handlers *handlers, const char *name);
size_t hob_handlers_count(const struct hob_handlers *handlers);
const char *hob_handlers_script_lib(const struct hob_handlers *handlers); /* SCRIPTS/lib */
const char *hob_handlers_lib(const struct hob_handlers *handlers);

#endif
