/* posts.h - a queue into the loop's thread, from any thread.
 *
 * While it is open it keeps the loop from ending by itself (hob_posts_let_go: no more).
 *
 * Life: hob_posts_new -> hob_posts_add (any thread) -> hob_posts_close (no thread adds any more).
 * All but hob_posts_add: loop thread.  Spec: spec/integration/embed_life_spec.lua
 */
#ifndef HOB_BASE_POSTS_H
#define HOB_BASE_POSTS_H

#include "base/loop.h"

struct hob_posts;

/** @param inside  counted up while what was posted is called */
int hob_posts_new(struct hob_loop *loop, unsigned *inside, struct hob_posts **out,
                  struct hob_error *err);
void hob_posts_let_go(struct hob_posts *posts);
/** What is left is called here, in order; then it is freed, in a later turn. NULL is legal. */
void hob_posts_close(struct hob_posts *posts);

/** From any thread: call `fn` once on the loop's thread, soon, in the order of the calls.
 * @return 0; HOB_ENOMEM, HOB_ECANCELED (it is being closed): it is not called */
int hob_posts_add(struct hob_posts *posts, hob_loop_fn *fn, void *user);

#endif
