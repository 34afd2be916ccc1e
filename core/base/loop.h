/* loop.h - the one event loop of a runtime, its timers, and "not now, but soon".
 *
 * A thin cover over libuv: whoever needs sockets or processes takes hob_loop_uv and uses libuv
 * itself. All callbacks run on the loop's thread, never inside the call that started them.
 *
 * Life: hob_loop_new -> hob_loop_run -> hob_loop_free. hob_loop_free runs the loop until every
 * handle that is closing has closed, then frees it; a handle that was left open is a bug (assert).
 * A loop may be somebody else's uv_loop_t (hob_loop_new_on), who runs it: then hob_loop_run and
 * _stop are not for it, hob_loop_free runs it for as long as something of ours ends, and leaves
 * whatever else is on it alone.
 * Spec: spec/unit/loop_spec.lua
 */
#ifndef HOB_BASE_LOOP_H
#define HOB_BASE_LOOP_H

#include "base/error.h"
#include "base/sigpipe.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct hob_loop;
typedef void hob_loop_fn(void *user);

int hob_loop_new(struct hob_loop **out, struct hob_error *err);
/** On a loop that the caller runs; borrowed until hob_loop_free has returned. */
int hob_loop_new_on(uv_loop_t *uv, struct hob_loop **out, struct hob_error *err);
void hob_loop_free(struct hob_loop *loop); /* NULL is legal */

/** Run until hob_loop_stop, or until nothing is left that could call back. */
void hob_loop_run(struct hob_loop *loop);
void hob_loop_stop(struct hob_loop *loop);

uv_loop_t *hob_loop_uv(struct hob_loop *loop);     /* borrowed */
bool hob_loop_is_own(const struct hob_loop *loop); /* not of hob_loop_new_on */

/** Where loadable modules are looked for first (base/module.h). Copied; NULL, and at first:
 * nowhere.
 * @return 0 or HOB_ENOMEM */
int hob_loop_set_module_dir(struct hob_loop *loop, const char *dir);
const char *hob_loop_module_dir(const struct hob_loop *loop);

/** For who waits with poll() or the like: readable when there is something to do; how long it may
 * be waited for that, as of now (-1: for ever); do it, without waiting. */
int hob_loop_fd(const struct hob_loop *loop);
int hob_loop_timeout_ms(struct hob_loop *loop);
void hob_loop_dispatch(struct hob_loop *loop);
/** Wait for something, and do it. Whoever's loop it is. */
void hob_loop_turn(struct hob_loop *loop);

/** Embedded where it is needed, zero at first: so that a completion cannot be lost for want of
 * memory. */
struct hob_loop_soon {
    struct hob_loop_soon *next;
    hob_loop_fn *fn;
    void *user;
    bool waiting;
};
/** Call `fn` once, in the next turn of the loop, in the order of the calls. Cannot be taken back:
 * `soon` (borrowed) and `user` must live till then; what is left when hob_loop_free is called runs
 * there. Inside `fn`, `soon` is free again. Not while it waits. */
void hob_loop_defer(struct hob_loop *loop, struct hob_loop_soon *soon, hob_loop_fn *fn, void *user);

/** Around what writes to a socket in a call that may come from outside of the loop's turns: no
 * SIGPIPE comes of it. Within a turn there is none anyway; on somebody else's loop it is theirs. */
void hob_loop_begin_write(struct hob_loop *loop, struct hob_sigpipe *before);
void hob_loop_end_write(struct hob_loop *loop, const struct hob_sigpipe *before);

#define HOB_LOOP_CHUNK ((size_t)16 * 1024)

/** A buffer of HOB_LOOP_CHUNK bytes, for as long as something is in it: who reads needs one for a
 * moment, a quiet connection none. A few are kept, since the C library tidies all its small chunks
 * for each such piece of memory. @return NULL: out of memory */
char *hob_loop_take_chunk(struct hob_loop *loop);
void hob_loop_give_chunk(struct hob_loop *loop, char *chunk); /* NULL is legal */

/** hob_loop_free waits until every hold is released: for what ends in the background, such as a
 * cancelled process that has its grace time, or a request to libuv (which is no handle). The
 * handles of the holder may be open till then. */
void hob_loop_hold(struct hob_loop *loop);
void hob_loop_release(struct hob_loop *loop);

/** Something whose handles may be open till the loop ends, and that must not keep it from ending:
 * `leave` is called, once, when hob_loop_free begins, and closes them. Embedded, borrowed. */
struct hob_loop_guest {
    struct hob_loop_guest *next;
    hob_loop_fn *leave;
    void *user;
};
void hob_loop_add_guest(struct hob_loop *loop, struct hob_loop_guest *guest);
void hob_loop_remove_guest(struct hob_loop *loop, struct hob_loop_guest *guest); /* legal twice */

/* A one-shot timer that can be started again, also from its own callback. */
struct hob_timer;
/** @return NULL: out of memory */
struct hob_timer *hob_timer_new(struct hob_loop *loop, hob_loop_fn *fn, void *user);
void hob_timer_start(struct hob_timer *timer, uint64_t ms); /* replaces an earlier start */
void hob_timer_stop(struct hob_timer *timer);
bool hob_timer_active(const struct hob_timer *timer);
/** Takes; frees later; `fn` is not called again. NULL is legal. */
void hob_timer_close(struct hob_timer *timer);

#endif
