/* sigpipe.h - writing to what nobody reads any more is an error code (EPIPE), not the end of the
 * process.
 *
 * The disposition of SIGPIPE is the whole process's, so a library leaves it alone. The thread that
 * drives a loop blocks the signal for as long as that lasts, and takes back what has come meanwhile
 * because of it; other signals, which a callback may block meanwhile, are not touched. Nests.  Any
 * thread, for itself.  Spec: spec/integration/embed_guest_spec.lua
 */
#ifndef HOB_BASE_SIGPIPE_H
#define HOB_BASE_SIGPIPE_H

#include <stdbool.h>

struct hob_sigpipe {
    bool was_pending; /* before: then it is somebody else's, and stays */
    bool was_blocked; /* before: then it stays so */
};

void hob_sigpipe_block(struct hob_sigpipe *state);
void hob_sigpipe_restore(const struct hob_sigpipe *state);

#endif
