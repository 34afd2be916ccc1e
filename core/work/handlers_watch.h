/* handlers_watch.h - hot reload: handlers and modules that change on disk are loaded by themselves.
 *
 * The kernel tells that something happens in the scripts directory, its lib/, or to a directory or
 * link on the way to them; what it was does not matter. Then the watch looks (scripts.h), and again
 * a moment later: a file is taken once its stamp has stayed the same for `quiet_ms` and nobody has
 * it open for writing, so that one written in pieces, or removed and made anew, is seen only whole.
 * What changed is read, checked, one handler a turn of the loop, and put in place at once, unless
 * it has changed meanwhile. What stays open for writing is taken after ten quiet seconds.
 *
 * Where the kernel cannot tell (no inotify, its limits reached) the watch looks every `poll_ms`,
 * and says so once (handlers.watch_failed). It looks now and then anyway: what another machine
 * changes on a network file system, or behind a link, is told by nobody.
 *
 * Life: hob_handlers_watch_new -> hob_handlers_watch_close, before the handlers are freed. Loop
 * thread only.  Spec: spec/integration/reload_spec.lua
 */
#ifndef HOB_WORK_HANDLERS_WATCH_H
#define HOB_WORK_HANDLERS_WATCH_H

#include "work/handlers.h"

struct hob_handlers_watch;

struct hob_handlers_watch_options {
    struct hob_loop *loop;         /* borrowed for its life, as */
    struct hob_log *log;           /* these */
    struct hob_handlers *handlers; /* loaded once already */
    uint64_t quiet_ms, poll_ms;    /* 0: 100 ms, 2 s */
    void (*on_loaded)(void *user); /* the list is another one now */
    void *user;
};

/** @return NULL: out of memory */
struct hob_handlers_watch *hob_handlers_watch_new(const struct hob_handlers_watch_options *options);
void hob_handlers_watch_close(struct hob_handlers_watch *watch); /* takes; NULL is legal */

/** Does the kernel tell, or does it look again and again? */
bool hob_handlers_watch_is_told(const struct hob_handlers_watch *watch);

#endif
