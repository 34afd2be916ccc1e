/* spare.c - see spare.h */
#include "base/spare.h"

#include <pthread.h>
#include <stdlib.h>

/* Of two threads in between the second would keep what the first has changed, and bring it back
 * for good: SIGPIPE ignored, random() on a stack that is gone. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

void hob_spare_begin(struct hob_spare *kept)
{
    pthread_mutex_lock(&one_at_a_time);
    sigaction(SIGPIPE, NULL, &kept->sigpipe);
    kept->random = initstate(1, kept->others, sizeof kept->others);
}

void hob_spare_end(const struct hob_spare *kept)
{
    if (kept->random)
        setstate(kept->random);
    sigaction(SIGPIPE, &kept->sigpipe, NULL);
    pthread_mutex_unlock(&one_at_a_time);
}
