/* console.h - the Lua of a session: a person's REPL or an editor's debug adapter, in the gateway.
 *
 * A Lua state of its own (work/sandbox.h, without a job) runs the task
 * require("hob.KIND.server").serve(transport), which reads and writes the bytes of one connection
 * through the module hob.console (bindings/lua_console.c, lib/hob/console.lua). It is preempted as
 * jobs are, and has a memory cap, so that a session delays nobody and takes nothing down. What it
 * starts ends with it; what it looks at goes on.
 *
 *   owner --feed--> bytes wait here --console.read--> Lua --console.write--> owner's write
 *
 * Life: hob_console_new -> on_end, once -> hob_console_free, at any time but inside its Lua. Loop
 * thread only.  Spec: spec/integration/control_sessions_spec.lua
 */
#ifndef HOB_HOST_CONSOLE_H
#define HOB_HOST_CONSOLE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"

#include <stdbool.h>

struct hob_console;
struct hob_debugger;
struct hob_modules_agent;
struct hob_policy;
struct hob_scripts_modules;

#define HOB_CONSOLE_MEMORY (32u << 20)
#define HOB_CONSOLE_FULL   (256 * 1024) /* so many unread bytes: feed no more till on_room */

struct hob_console_options { /* texts are copied; the rest is borrowed for its life */
    struct hob_loop *loop;
    struct hob_log *log;
    const char *kind;       /* "repl", "dap" */
    const char *who, *user; /* "process 4711 of root", "root" */
    int pid;
    unsigned uid;
    const struct hob_modules_agent *agent; /* of the thing that it is begun for */
    const struct hob_policy *policy;
    struct hob_scripts_modules *modules; /* held for its life */
    const char *lib;
    struct hob_debugger *debugger; /* NULL: hob.debug says that there is none */
    size_t memory_bytes;           /* 0: HOB_CONSOLE_MEMORY */
    /** Bytes for the other end. Never waits. @return 0, or a code: it does not read, or has gone */
    int (*write)(void *user, const char *bytes, size_t len);
    /** A command of the control socket; its answer, whole lines, is appended. */
    int (*ask)(void *user, const char *request, size_t len, struct hob_buf *answer);
    /** Unread bytes are few again. */
    void (*on_room)(void *user);
    /** Its task has returned (`why` NULL), or failed. In a turn of the loop in which its Lua does
     * not run, but not to be freed in it. */
    void (*on_end)(void *user, const struct hob_error *why);
    void *callback_user;
};

int hob_console_new(const struct hob_console_options *options, struct hob_console **out,
                    struct hob_error *err);
/** Whatever it waits for is given up, its programs are ended. NULL is legal. */
void hob_console_free(struct hob_console *console);

/** Bytes from the other end (copied). @return how many are unread now */
size_t hob_console_feed(struct hob_console *console, const char *bytes, size_t len);
/** The other end has said all. */
void hob_console_eof(struct hob_console *console);
/** Lines of a request that goes on (copied), for console.follow.
 * @return 0, or HOB_EMSGSIZE: it does not keep up, and fails soon */
int hob_console_line(struct hob_console *console, const char *bytes, size_t len);

/* ---- for bindings/lua_console.c ---- */

struct hob_console_view {
    const char *kind, *who, *user; /* borrowed for the console's life */
    int pid;
    unsigned uid;
};
void hob_console_view(const struct hob_console *console, struct hob_console_view *out);

/** Unread bytes; consume through hob_console_took. */
const char *hob_console_bytes(const struct hob_console *console, size_t *len);
void hob_console_took(struct hob_console *console, size_t len);
bool hob_console_ended(const struct hob_console *console); /* the other end has said all */
/** `fn` is called, from the loop, each time that bytes or the end have come; NULL: not any more. */
void hob_console_when_readable(struct hob_console *console, void (*fn)(void *user), void *user);
bool hob_console_is_read(const struct hob_console *console); /* somebody waits for that */

int hob_console_write(struct hob_console *console, const char *bytes, size_t len);
int hob_console_ask(struct hob_console *console, const char *request, size_t len,
                    struct hob_buf *answer);
/** The Lua function (a reference, held from now on) that is called, as a task of its own, with each
 * line that hob_console_line brings. */
void hob_console_set_listener(struct hob_console *console, int ref);

#endif
