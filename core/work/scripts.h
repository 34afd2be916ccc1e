/* scripts.h - the Lua files of the scripts directories: which there are, and their texts.
 *
 * Glossary
 *   look      which files there are at one moment, with their stamps; no text is read
 *   stamp     what of a file changes when somebody writes it
 *   script    the text of one file, read once, with its digest. Shared: it lives as long as it is
 *             held, whatever becomes of the file
 *   shadowed  a file that is not used: an earlier directory has one of the same name
 *   modules   the scripts of DIRECTORY/lib at one moment: what handlers may require. Shared
 *
 * Handlers are the files NAME.lua of a directory, modules those of lib/ and its directories. Of
 * several directories (scripts_dirs.h) the first that has a name wins.
 * Names that are none (hidden files, what editors leave beside a file) are not seen.
 *
 * Knows nothing of Lua. Loop thread only.  Spec: spec/integration/reload_spec.lua
 */
#ifndef HOB_WORK_SCRIPTS_H
#define HOB_WORK_SCRIPTS_H

#include "base/error.h"
#include "base/mbed.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOB_SCRIPTS_NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
#define HOB_SCRIPTS_NAME_MAX   64         /* of a handler */
#define HOB_SCRIPTS_MODULE_MAX 160        /* of a module: "a.b.c" */
#define HOB_SCRIPTS_FILES_MAX  1000       /* of handlers, and of modules */
#define HOB_SCRIPTS_TEXT_MAX   (1u << 20) /* of one file */

/* ---- looks ---- */

struct hob_scripts_stamp {
    uint64_t dev, ino;
    int64_t size, mtime_ns, ctime_ns;
};

struct hob_scripts_file {
    char *path;
    char name[HOB_SCRIPTS_MODULE_MAX + 1]; /* of the handler, or as `require` has it */
    bool is_module;
    unsigned layer; /* which of the directories it is in, from 0 */
    bool shadowed;  /* see hob_scripts_shadow */
    bool keep;      /* not to be read now: what was read of it before stays */
    bool gone;      /* only to say that it is not there any more: see hob_scripts_add_gone */
    struct hob_scripts_stamp stamp;
    uint64_t since_ms; /* for whoever compares looks: when this stamp was first seen */
};

struct hob_scripts_look {
    struct hob_scripts_file *files; /* sorted by path */
    size_t count;
    char **dirs; /* that were looked into */
    size_t dir_count;
    size_t left_out; /* files beyond HOB_SCRIPTS_FILES_MAX */
};

/** @param dirs  see scripts_dirs.h
 * @return 0, or a code if a directory cannot be read; that there is no lib is fine, and that one
 * which is not the last is not there */
int hob_scripts_look(const char *dirs, struct hob_scripts_look **out, struct hob_error *err);
void hob_scripts_look_free(struct hob_scripts_look *look); /* NULL is legal */
/** @return NULL: it is not there. `look` may be NULL */
struct hob_scripts_file *hob_scripts_find(const struct hob_scripts_look *look, const char *path);
bool hob_scripts_same_stamp(const struct hob_scripts_file *a, const struct hob_scripts_file *b);

/** Add those files of `before` (NULL: none) that are not there any more, as gone. */
int hob_scripts_add_gone(struct hob_scripts_look *now, const struct hob_scripts_look *before);
/** Make a list of what is to be loaded of a look: each file that `keep` says yes to is put back to
 * what it was `before`, to be kept (left out, if it was not there), and what is gone is left out.
 */
void hob_scripts_keep(struct hob_scripts_look *now, const struct hob_scripts_look *before,
                      bool (*keep)(void *user, const struct hob_scripts_file *file), void *user);

/** Say of each file whether it is shadowed: of what is to be loaded, after hob_scripts_keep. */
void hob_scripts_shadow(struct hob_scripts_look *look);
/** The next file of this name that `file` shadows. NULL: none */
const struct hob_scripts_file *hob_scripts_beneath(const struct hob_scripts_look *look,
                                                   const struct hob_scripts_file *file);

/** Does somebody have the file open for writing? False where the kernel cannot tell: for a file
 * that is not ours, or on a file system of another machine. */
bool hob_scripts_is_being_written(const char *path);

/** Is the file still the one that the look saw? */
bool hob_scripts_is_unchanged(const struct hob_scripts_file *file);

/* ---- texts ---- */

struct hob_script {
    unsigned holders;
    char *path; /* as errors name it */
    char name[HOB_SCRIPTS_MODULE_MAX + 1];
    char *text; /* NUL-terminated */
    size_t len;
    char *code; /* what was made of the text in this process; NULL: nothing yet */
    size_t code_len;
    char digest[HOB_SHA256_HEX_MAX]; /* "": it could not be read, */
    struct hob_error error;          /* which this says; or why it cannot be used */
};

/** Read it whole. What is wrong with the file is in the script's `error`, not an error here.
 * @return NULL: out of memory */
struct hob_script *hob_script_read(const char *path, const char *name);
struct hob_script *hob_script_hold(struct hob_script *script);
void hob_script_release(struct hob_script *script); /* NULL is legal */
/** The same text, or not readable for the same reason? NULL is legal. */
bool hob_script_same_text(const struct hob_script *a, const struct hob_script *b);

/* ---- modules ---- */

struct hob_scripts_modules {
    unsigned holders;
    size_t count;
    struct hob_script *list[]; /* held */
};

/** @return NULL: out of memory. Held once; to be filled by the caller */
struct hob_scripts_modules *hob_scripts_modules_new(size_t room);
struct hob_scripts_modules *
hob_scripts_modules_hold(struct hob_scripts_modules *modules);         /* NULL is legal */
void hob_scripts_modules_release(struct hob_scripts_modules *modules); /* NULL is legal */
/** By its name for `require`; NULL: there is none. `modules` may be NULL */
struct hob_script *hob_scripts_modules_find(const struct hob_scripts_modules *modules,
                                            const char *name);
bool hob_scripts_modules_same(const struct hob_scripts_modules *a,
                              const struct hob_scripts_modules *b);

#endif
