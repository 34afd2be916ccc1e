/* edit.h - lines from a terminal: keys, history, completion, and output above the line being typed.
 *
 * libedit sits in a loadable module (see base/module.h), so that only `hob repl` carries it. The
 * terminal belongs to a thread of the module's own, and libedit is used there alone: it may wait
 * for a key while the loop goes on. Nothing else may write to the terminal until the editor is
 * closed. A line is asked for by hob_edit_read; what is typed between two lines waits for the next.
 * While a line is typed, Ctrl-C drops it; between two lines it is a signal.
 *
 * Life: hob_edit_open -> read, print, ... -> hob_edit_close. Loop thread only; callbacks run on it,
 * never inside one of these calls.  Spec: spec/integration/edit_spec.lua
 */
#ifndef HOB_BASE_EDIT_H
#define HOB_BASE_EDIT_H

#include "base/error.h"
#include "base/loop.h"

#include <stddef.h>

struct hob_edit;

enum hob_edit_end {
    HOB_EDIT_LINE,        /* a line was entered */
    HOB_EDIT_EOF,         /* Ctrl-D on an empty line, or the terminal is gone */
    HOB_EDIT_INTERRUPTED, /* hob_edit_interrupt: what was typed is dropped */
};

struct hob_edit_options {
    struct hob_loop *loop;
    /** What hob_edit_read asked for; `line` is borrowed, without its newline. */
    void (*on_line)(void *user, enum hob_edit_end end, const char *line, size_t len);
    /** Tab was pressed behind `text`: hob_edit_candidates is to follow within some seconds. */
    void (*on_complete)(void *user, const char *text, size_t len);
    void *user;
};

/** On standard input and output. @return 0; HOB_ENOENT, HOB_EUNSUPPORTED: the module is not there
 */
int hob_edit_open(const struct hob_edit_options *options, struct hob_edit **out,
                  struct hob_error *err);

/** Ask for a line; one at a time. `prompt` is copied. */
int hob_edit_read(struct hob_edit *edit, const char *prompt);
/** Write text that ends in a newline, at once; above the line that is being typed. Copied. */
int hob_edit_print(struct hob_edit *edit, const char *text, size_t len);
/** Another prompt for the line that is being typed. Copied. Nothing between two lines. */
int hob_edit_prompt(struct hob_edit *edit, const char *prompt);
/** What the arrow keys bring back; the newest last. Copied. */
int hob_edit_remember(struct hob_edit *edit, const char *line);
/** What may stand in place of the text's bytes from `from` (0 is the first) on; `words` has each
 * with its NUL. Nothing is waited for any more: it is ignored. */
int hob_edit_candidates(struct hob_edit *edit, const char *words, size_t len, size_t from);
/** Ctrl-C: the line that is being typed is dropped. Does nothing between two lines. */
void hob_edit_interrupt(struct hob_edit *edit);
/** The window has another size, or the process was stopped and goes on. */
void hob_edit_resize(struct hob_edit *edit);
/** Gives the terminal back as it was; waits for the thread. NULL is legal. Frees later. */
void hob_edit_close(struct hob_edit *edit);

/* ---- the module's side; internal to edit.c and edit_libedit.c ---- */

struct hob_edit_terminal;

enum hob_edit_message {
    HOB_EDIT_DO_READ,
    HOB_EDIT_DO_PRINT,
    HOB_EDIT_DO_PROMPT,
    HOB_EDIT_DO_REMEMBER,
    HOB_EDIT_DO_CANDIDATES,
    HOB_EDIT_DO_INTERRUPT,
    HOB_EDIT_DO_RESIZE,
    HOB_EDIT_DO_END,
};

struct hob_edit_module {
    int (*open)(const struct hob_edit_options *, struct hob_edit_terminal **, struct hob_error *);
    int (*send)(struct hob_edit_terminal *, enum hob_edit_message, const char *text, size_t len,
                size_t from);
    void (*close)(struct hob_edit_terminal *);
};

#endif
