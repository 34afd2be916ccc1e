/* sigpipe.c - see sigpipe.h */
#include "base/sigpipe.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

static sigset_t only_pipe(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    return set;
}

static bool is_pending(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
}

void hob_sigpipe_block(struct hob_sigpipe *state)
{
    sigset_t set = only_pipe(), before;
    state->was_pending = is_pending();
    state->was_blocked =
        pthread_sigmask(SIG_BLOCK, &set, &before) == 0 && sigismember(&before, SIGPIPE) == 1;
}

void hob_sigpipe_restore(const struct hob_sigpipe *state)
{
    sigset_t set = only_pipe();
    int number = errno;
    const struct timespec at_once = {0};
    while (!state->was_pending && is_pending() && sigtimedwait(&set, NULL, &at_once) < 0 &&
           errno == EINTR) {
        /* another signal's handler ran */
    }
    if (!state->was_blocked)
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    errno = number;
}
