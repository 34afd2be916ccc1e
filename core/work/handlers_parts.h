/* handlers_parts.h - internal to handlers*.c: what a set of handlers holds. */
#ifndef HOB_WORK_HANDLERS_PARTS_H
#define HOB_WORK_HANDLERS_PARTS_H

#include "work/handlers.h"
#include "work/scripts.h"

struct hob_sandbox_kit;
struct lua_State;

#define HOB_HANDLERS_STEPS      "aws-steps" /* the built-in one */
#define HOB_HANDLERS_NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

struct hob_handlers {
    struct hob_loop *loop;
    struct hob_log *log;
    char *scripts;    /* its directories, see scripts_dirs.h */
    char *script_lib; /* their lib/, likewise */
    char *directory;  /* the first one */
    char *words;      /* all, for messages */
    char *lib;
    const char *const *job_types, *const *routes;
    const struct hob_policy *policy;
    struct hob_native *native;                          /* NULL: nothing is in C */
    struct hob_sandbox_kit *kit;                        /* held */
    void (*on_reloaded)(void *user, const char *label); /* NULL: nobody wants to hear */
    void *user;
    struct hob_handlers_entry *list; /* sorted by name; files only */
    size_t count;
    struct hob_handlers_entry steps;
    struct hob_scripts_modules *modules; /* of script_lib; NULL before the first load */
    struct hob_scripts_modules *broken;  /* texts of modules that are not in use */
    struct hob_scripts_look *loaded;     /* what all this was read from */
    uint64_t generation;                 /* of the list; 0: never loaded */
    bool watched;                        /* handlers_watch.c reads again what is not whole yet */
    char *warned; /* lines: what check_names found last; NULL: nothing was said yet */
    struct hob_handlers_entry
        disputed; /* the latest name that two handlers claim: only its error */
};

/* ---- handlers.c ---- */

/** In a throw-away sandbox, with the handler's modules: sets its `error`. */
void hob_handlers_check(const struct hob_handlers *handlers, struct hob_handlers_entry *handler);
/** Compile it only: sets its `error`. */
void hob_handlers_compile(const struct hob_handlers *handlers, struct hob_script *script);

/* ---- handlers_load.c ---- */

void hob_handlers_free_handler(struct hob_handlers_entry *handler);
/** Takes the script; holds the modules. */
void hob_handlers_set_script(struct hob_handlers_entry *handler, struct hob_script *script,
                             struct hob_scripts_modules *modules);

/* A round: files are read when it is made, checked one a call, and put in place at its end. */
struct hob_handlers_round;
/** Takes the look, also when it fails. */
int hob_handlers_round_new(struct hob_handlers *handlers, struct hob_scripts_look *look,
                           bool by_hand, struct hob_handlers_round **out, struct hob_error *err);
/** Check the next one. @return false: there was none left */
bool hob_handlers_round_check(struct hob_handlers_round *round);
/** Are the files still those that were read, and the list the one that it began with? */
bool hob_handlers_round_is_valid(const struct hob_handlers_round *round);
/** Takes. */
int hob_handlers_round_finish(struct hob_handlers_round *round, struct hob_error *err);
void hob_handlers_round_free(struct hob_handlers_round *round); /* NULL is legal */

/* ---- handlers_names.c ---- */

/** In a throw-away sandbox: what the checked table at `index` says beside its functions. */
void hob_handlers_read_table(struct lua_State *L, int index, struct hob_handlers_entry *handler);
/** Is there another handler that has one of its names? Then neither would get the jobs.
 * @return 0, or HOB_EHANDLER and both files */
int hob_handlers_check_disputes(const struct hob_handlers *handlers,
                                const struct hob_handlers_entry *handler, struct hob_error *err);
/** After loading: say which names two handlers claim, and which routes lead nowhere; but what was
 * so after the load before only if somebody asked for this one. */
void hob_handlers_check_names(struct hob_handlers *handlers, bool by_hand);
/** The only one that has this among its `names`. */
const struct hob_handlers_entry *hob_handlers_with_alias(const struct hob_handlers *handlers,
                                                         const char *alias);
/** Likewise; if there are two, the disputed one, with the error set. */
const struct hob_handlers_entry *hob_handlers_by_alias(struct hob_handlers *handlers,
                                                       const char *alias);

/** Has it the older form of AWS's documents, and is the program there that it names? */
bool hob_handlers_old_form(const struct hob_handlers *handlers, struct hob_json *json,
                           const char *operation);

#endif
