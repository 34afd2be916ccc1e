#include "net/pages.h"

#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

void hob_pages_give_back(void *block, size_t keep)
{
    long page = sysconf(_SC_PAGESIZE);
    if (!block || page <= 0) {
        return;
    }
    uintptr_t mask = (uintptr_t)page - 1;
    uintptr_t from = ((uintptr_t)block + keep + mask) & ~mask;
    uintptr_t to = ((uintptr_t)block + malloc_usable_size(block)) & ~mask;
    if (to > from) { /* whether it works or not: nothing there is needed */
        madvise((void *)from, to - from, MADV_DONTNEED);
    }
}
