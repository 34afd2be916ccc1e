#include "host/process_pages.h"

#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define ENTRIES 512

/* Of an entry in /proc/self/pagemap: Documentation/admin-guide/mm/pagemap.rst */
#define PRESENT   (UINT64_C(1) << 63)
#define FROM_FILE (UINT64_C(1) << 61) /* not a copy of our own */

struct pages {
    int map; /* /proc/self/pagemap */
    uintptr_t size;
};

static bool is_of_file(uint64_t entry)
{
    return (entry & (PRESENT | FROM_FILE)) == (PRESENT | FROM_FILE);
}

/* Runs of them. */
static void give_back(const struct pages *pages, uintptr_t from, const uint64_t *entries,
                      size_t count)
{
    size_t begin = 0;
    for (size_t i = 0; i <= count; i++) {
        if (i < count && is_of_file(entries[i])) {
            continue;
        }
        if (i > begin) { /* where it cannot be done (locked memory) all stays as it is */
            madvise((void *)(from + begin * pages->size), (i - begin) * pages->size, MADV_DONTNEED);
        }
        begin = i + 1;
    }
}

/* Whole pages only: those at its ends may be shared with its neighbours. */
static void of_segment(const struct pages *pages, uintptr_t from, size_t len)
{
    uint64_t entries[ENTRIES];
    uintptr_t to = (from + len) & ~(pages->size - 1);
    from = (from + pages->size - 1) & ~(pages->size - 1);
    while (from < to) {
        size_t count = (to - from) / pages->size;
        count = count < ENTRIES ? count : ENTRIES;
        ssize_t got = pread(pages->map, entries, count * sizeof entries[0],
                            (off_t)(from / pages->size * sizeof entries[0]));
        if (got < (ssize_t)sizeof entries[0]) {
            return;
        }
        count = (size_t)got / sizeof entries[0];
        give_back(pages, from, entries, count);
        from += count * pages->size;
    }
}

static int of_object(struct dl_phdr_info *object, size_t size, void *user)
{
    const struct pages *pages = user;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W)) {
            of_segment(pages, object->dlpi_addr + segment->p_vaddr, segment->p_memsz);
        }
    }
    return 0;
}

void hob_process_pages_give_back(void)
{
    long size = sysconf(_SC_PAGESIZE);
    struct pages pages = {.map = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC),
                          .size = size > 0 ? (uintptr_t)size : 1};
    if (pages.map >= 0 && size > 0) {
        dl_iterate_phdr(of_object, &pages);
    }
    if (pages.map >= 0) {
        close(pages.map);
    }
}
