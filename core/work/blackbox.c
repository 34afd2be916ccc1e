/* blackbox.c - see blackbox.h
 *
 * The process may die between any two stores into the map, and the next one reads what is there:
 * whatever is being changed is written beside what holds, then switched to by one store. */
#include "work/blackbox.h"

#include "base/alloc.h"
#include "device/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define MAGIC        "hob blackbox 1\n"
#define BOOT_ID_SIZE 80

enum state {
    FREE,
    LIVE, /* at work, in the process that has the file open */
    LEFT  /* was at work when the last process died; what it started may still run */
};

struct child {
    uint64_t started;
    _Atomic int32_t pid; /* 0: free */
};

/* The file is an array of these behind its head. Its layout may change with every version: a file
 * of another size or magic is begun anew. */
struct hob_blackbox_entry {
    _Atomic int32_t state;
    volatile int executing;
    int64_t row;
    _Atomic uint32_t which; /* of the two names is the step's */
    char steps[2][HOB_BLACKBOX_STEP_MAX + 8];
    _Atomic uint64_t starting[2]; /* the pipes of a child whose id is not known yet; 0: none */
    struct child children[HOB_BLACKBOX_CHILDREN];
};

struct head {
    char magic[16];
    char boot_id[BOOT_ID_SIZE];
};

struct map {
    struct head head;
    struct hob_blackbox_entry entries[HOB_BLACKBOX_ENTRIES];
};

struct hob_blackbox {
    struct hob_log *log;
    bool full; /* said already */
    struct map *map;
    bool is_file; /* else memory of our own, that nobody reads after us */
    struct hob_blackbox_past past[HOB_BLACKBOX_ENTRIES];
    size_t past_count;
};

/* ---- the file ---- */

/* Written, not only sized: a store into a hole of a full disk would be the end of the process. */
static int fill(int fd)
{
    static const char zeros[4096];
    size_t left = sizeof(struct map);
    if (ftruncate(fd, 0))
        return errno;
    while (left > 0) {
        ssize_t n = write(fd, zeros, left < sizeof zeros ? left : sizeof zeros);
        if (n <= 0)
            return n < 0 ? errno : ENOSPC;
        left -= (size_t)n;
    }
    return 0;
}

static bool is_ours(int fd)
{
    struct stat st;
    struct head head;
    return !fstat(fd, &st) && st.st_size == (off_t)sizeof(struct map) &&
           pread(fd, &head, sizeof head, 0) == sizeof head &&
           memcmp(head.magic, MAGIC, sizeof head.magic) == 0;
}

static int prepare(int fd)
{
    struct stat st;
    if (fstat(fd, &st))
        return errno;
    if (!S_ISREG(st.st_mode))
        return EINVAL;
    if (st.st_uid != geteuid())
        return EACCES;
    if (fchmod(fd, 0600))
        return errno;
    return is_ours(fd) ? 0 : fill(fd);
}

/* Where a store into the map goes to the blocks that the file has. Other file systems (UBIFS, F2FS,
 * Btrfs) give it new ones, and when the disk is full that is the end of the process (SIGBUS). */
static bool writes_in_place(const char *dir)
{
    static const unsigned long kinds[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, TMPFS_MAGIC,
                                          OVERLAYFS_SUPER_MAGIC, MSDOS_SUPER_MAGIC};
    struct statfs fs;
    if (statfs(dir, &fs))
        return true; /* then opening the file will say why */
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if ((unsigned long)fs.f_type == kinds[i])
            return true;
    return false;
}

/* Elsewhere it lives in memory, under a name that belongs to the directory: a boot is all that it
 * needs to survive a death. */
static const char *place_of(const char *path, char out[PATH_MAX])
{
    struct stat st;
    const char *slash = strrchr(path, '/');
    snprintf(out, PATH_MAX, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    if (writes_in_place(out) || stat(out, &st))
        return path;
    snprintf(out, PATH_MAX, "/dev/shm/hob-running-%llx-%llx", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    return out;
}

static struct map *open_file(const char *wanted, int *number)
{
    char place[PATH_MAX];
    const char *path = place_of(wanted, place);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    *number = fd < 0 ? errno : prepare(fd);
    void *map = MAP_FAILED;
    if (*number == 0) {
        map = mmap(NULL, sizeof(struct map), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        *number = map == MAP_FAILED ? errno : 0;
    }
    if (fd >= 0)
        close(fd);
    return map == MAP_FAILED ? NULL : map;
}

/* ---- what the last process left ---- */

static bool is_text(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

/* Bytes of a torn or foreign file may be anything. */
static bool is_sound(const struct hob_blackbox_entry *entry)
{
    return (entry->state == LIVE || entry->state == LEFT) && entry->row > 0 && entry->which < 2 &&
           is_text(entry->steps[entry->which], HOB_BLACKBOX_STEP_MAX + 1);
}

static struct hob_blackbox_past *find_past(struct hob_blackbox *box, int64_t row)
{
    for (size_t i = 0; i < box->past_count; i++)
        if (box->past[i].row == row)
            return &box->past[i];
    return &box->past[box->past_count++];
}

/* Begun again since it was left, and dead again: the later entry is the one that counts. */
static void read_entry(struct hob_blackbox *box, const struct hob_blackbox_entry *entry)
{
    struct hob_blackbox_past *past = find_past(box, entry->row);
    if (past->row && entry->state == LEFT)
        return;
    *past = (struct hob_blackbox_past){.row = entry->row, .executing = entry->executing != 0};
    snprintf(past->step, sizeof past->step, "%.*s", HOB_BLACKBOX_STEP_MAX,
             entry->steps[entry->which]);
}

static void keep_left(struct hob_blackbox *box)
{
    for (size_t i = 0; i < HOB_BLACKBOX_ENTRIES; i++) {
        struct hob_blackbox_entry *entry = &box->map->entries[i];
        if (is_sound(entry)) {
            read_entry(box, entry);
            entry->state = LEFT;
        } else {
            entry->state = FREE;
        }
    }
}

static void begin_anew(struct hob_blackbox *box, const char *boot_id)
{
    for (size_t i = 0; i < HOB_BLACKBOX_ENTRIES; i++)
        box->map->entries[i].state = FREE;
    memset(box->map->head.boot_id, 0, BOOT_ID_SIZE);
    snprintf(box->map->head.boot_id, BOOT_ID_SIZE, "%s", boot_id);
    memcpy(box->map->head.magic, MAGIC, sizeof box->map->head.magic);
}

int hob_blackbox_open(struct hob_log *log, const char *path, const char *boot_id,
                      struct hob_blackbox **out, struct hob_error *err)
{
    int number = 0;
    struct hob_blackbox *box = hob_calloc(1, sizeof *box);
    if (!box)
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", path);
    box->log = log;
    box->map = open_file(path, &number);
    box->is_file = box->map != NULL;
    if (!box->map)
        box->map = hob_calloc(1, sizeof *box->map);
    if (!box->map) {
        hob_free(box);
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", path);
    }
    if (number)
        hob_log_write(log,
                      &(struct hob_log_record){
                          .level = HOB_LOG_WARN,
                          .event = "blackbox.failed",
                          .code = hob_error_name(hob_error_from_errno(number)),
                          .action = "make room in the data directory, or make it writable, and "
                                    "start hob again"},
                      "%s: %s: should this process die, the next one will not know which job did "
                      "it, nor which processes it left",
                      path, strerror(number));
    if (strncmp(box->map->head.boot_id, boot_id, BOOT_ID_SIZE) == 0)
        keep_left(box);
    else
        begin_anew(box, boot_id);
    *out = box;
    return 0;
}

void hob_blackbox_free(struct hob_blackbox *box)
{
    if (!box)
        return;
    if (box->is_file)
        munmap(box->map, sizeof *box->map);
    else
        hob_free(box->map);
    hob_free(box);
}

void hob_blackbox_close(struct hob_blackbox *box)
{
    for (size_t i = 0; box && i < HOB_BLACKBOX_ENTRIES; i++)
        box->map->entries[i].state = FREE;
    hob_blackbox_free(box);
}

size_t hob_blackbox_past(const struct hob_blackbox *box, const struct hob_blackbox_past **out)
{
    *out = box ? box->past : NULL;
    return box ? box->past_count : 0;
}

/* ---- what the last process had started ---- */

static struct child *find_child(struct hob_blackbox_entry *entry, int pid)
{
    for (size_t i = 0; i < HOB_BLACKBOX_CHILDREN; i++)
        if (entry->children[i].pid == pid)
            return &entry->children[i];
    return NULL;
}

static bool child_runs(const struct child *child)
{
    int pid = child->pid;
    return pid > 1 && pid != getpgrp() && hob_child_group_is(pid, child->started);
}

static void find_started(struct hob_blackbox_entry *entry)
{
    uint64_t pipes[2] = {entry->starting[0], entry->starting[1]}, started = 0;
    int group = pipes[0] || pipes[1] ? hob_child_group_with(pipes, &started) : 0;
    struct child *child = group > 1 && !find_child(entry, group) ? find_child(entry, 0) : NULL;
    if (child) {
        child->started = started;
        child->pid = group;
    }
    entry->starting[0] = entry->starting[1] = 0;
}

static size_t end_children_of(struct hob_blackbox_entry *entry)
{
    size_t count = 0;
    find_started(entry);
    for (size_t i = 0; i < HOB_BLACKBOX_CHILDREN; i++) {
        struct child *child = &entry->children[i];
        if (child_runs(child)) {
            kill(-child->pid, SIGKILL);
            count++;
        } else {
            child->pid = 0;
        }
    }
    return count;
}

size_t hob_blackbox_end_children(struct hob_blackbox *box)
{
    size_t count = 0;
    for (size_t i = 0; box && i < HOB_BLACKBOX_ENTRIES; i++) {
        struct hob_blackbox_entry *entry = &box->map->entries[i];
        if (entry->state != LEFT)
            continue;
        size_t run = end_children_of(entry);
        if (run == 0)
            entry->state = FREE;
        count += run;
    }
    return count;
}

/* ---- entries ---- */

static struct hob_blackbox_entry *free_entry(struct hob_blackbox *box)
{
    for (size_t i = 0; i < HOB_BLACKBOX_ENTRIES; i++)
        if (box->map->entries[i].state == FREE)
            return &box->map->entries[i];
    return NULL;
}

static void say_full(struct hob_blackbox *box)
{
    if (box->full)
        return;
    box->full = true;
    hob_log_write(box->log,
                  &(struct hob_log_record){
                      .level = HOB_LOG_WARN,
                      .event = "blackbox.full",
                      .action = "lower max_concurrent_jobs, or serve fewer things in one process"},
                  "more than %d jobs are at work at once: should this process die, the programs of "
                  "those beyond go on, and finding the one that did it takes longer",
                  HOB_BLACKBOX_ENTRIES);
}

struct hob_blackbox_entry *hob_blackbox_begin(struct hob_blackbox *box, int64_t row)
{
    struct hob_blackbox_entry *entry = box ? free_entry(box) : NULL;
    if (box && !entry)
        say_full(box);
    if (!entry)
        return NULL;
    entry->row = row;
    entry->executing = 0;
    entry->which = 0;
    memset(entry->steps, 0, sizeof entry->steps);
    for (size_t i = 0; i < HOB_BLACKBOX_CHILDREN; i++)
        entry->children[i].pid = 0;
    entry->starting[0] = entry->starting[1] = 0;
    entry->state = LIVE;
    return entry;
}

/* Beside the present name, then switched to. */
void hob_blackbox_step(struct hob_blackbox_entry *entry, const char *name)
{
    if (!entry)
        return;
    uint32_t other = 1 - entry->which;
    snprintf(entry->steps[other], HOB_BLACKBOX_STEP_MAX + 1, "%s", name ? name : "");
    entry->which = other;
}

void hob_blackbox_starts(struct hob_blackbox_entry *entry, uint64_t out, uint64_t err)
{
    if (!entry)
        return;
    entry->starting[0] = out;
    entry->starting[1] = err;
}

void hob_blackbox_child(struct hob_blackbox_entry *entry, int pid, bool runs)
{
    struct child *child = entry ? find_child(entry, runs ? 0 : pid) : NULL;
    if (!child)
        return;
    if (runs)
        child->started = hob_child_started(pid);
    child->pid = runs ? pid : 0;
}

volatile int *hob_blackbox_executing(struct hob_blackbox_entry *entry)
{
    return entry ? &entry->executing : NULL;
}

void hob_blackbox_end(struct hob_blackbox_entry *entry)
{
    if (entry)
        entry->state = FREE;
}
