/* spare.c - see spare.h */
#include "base/spare.h"

#include <stdlib.h>

void hob_spare_begin(struct hob_spare *kept)
{
    sigaction(SIGPIPE, NULL, &kept->sigpipe);
    kept->random = initstate(1, kept->others, sizeof kept->others);
}

void hob_spare_end(const struct hob_spare *kept)
{
    if (kept->random)
        setstate(kept->random);
    sigaction(SIGPIPE, &kept->sigpipe, NULL);
}
