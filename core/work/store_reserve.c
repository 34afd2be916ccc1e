#include "work/store_reserve.h"

#include "base/alloc.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RESERVE_BYTES (256 * 1024)
#define ROOM_BYTES    (4 * RESERVE_BYTES) /* must be free before it is made */
#define LOOK_EVERY    16                  /* commits */

static bool is_whole(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == RESERVE_BYTES;
}

static bool has_room(const char *path)
{
    char directory[4200];
    const char *slash = strrchr(path, '/');
    struct statvfs fs;
    snprintf(directory, sizeof(directory), "%.*s", slash ? (int)(slash - path) + 1 : 1,
             slash ? path : ".");
    return statvfs(directory, &fs) == 0 &&
           (unsigned long long)fs.f_bavail * fs.f_frsize >= ROOM_BYTES;
}

static bool write_all(int fd)
{
    char block[4096];
    for (size_t done = 0; done < RESERVE_BYTES;) {
        size_t left = RESERVE_BYTES - done;
        hob_random_bytes(block, sizeof(block));
        ssize_t got = write(fd, block, left < sizeof(block) ? left : sizeof(block));
        if (got < 0 && errno != EINTR)
            return false;
        done += got > 0 ? (size_t)got : 0;
    }
    return fdatasync(fd) == 0; /* until then the room may only be promised */
}

static bool make(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool whole = write_all(fd);
    close(fd);
    if (!whole)
        unlink(path);
    return whole;
}

int hob_store_reserve_open(struct hob_store_reserve *reserve, struct hob_log *log,
                           const char *store_path)
{
    const char *slash = strrchr(store_path, '/');
    int directory = slash ? (int)(slash - store_path) + 1 : 0;
    *reserve = (struct hob_store_reserve){.log = log};
    if (hob_asprintf(&reserve->path, "%.*sreserve", directory, store_path) < 0) {
        reserve->path = NULL;
        return HOB_ENOMEM;
    }
    reserve->there = is_whole(reserve->path) || (has_room(reserve->path) && make(reserve->path));
    return 0;
}

void hob_store_reserve_close(struct hob_store_reserve *reserve)
{
    hob_free(reserve->path);
    reserve->path = NULL;
}

bool hob_store_reserve_release(struct hob_store_reserve *reserve)
{
    if (!reserve->there)
        return false;
    reserve->there = false;
    reserve->commits = 0;
    if (unlink(reserve->path) < 0)
        return false;
    hob_log_write(reserve->log,
                  &(struct hob_log_record){.level = HOB_LOG_WARN,
                                           .event = "store.reserve_used",
                                           .code = "ENOSPC",
                                           .action = "make room on its file system"},
                  "%s: the disk is full; the reserve of %d KB is given back, so that what runs "
                  "can be ended",
                  reserve->path, RESERVE_BYTES / 1024);
    return true;
}

bool hob_store_reserve_ensure(struct hob_store_reserve *reserve)
{
    reserve->there = reserve->there || make(reserve->path);
    return reserve->there;
}

void hob_store_reserve_committed(struct hob_store_reserve *reserve)
{
    if (reserve->there || ++reserve->commits < LOOK_EVERY)
        return;
    reserve->commits = 0;
    reserve->there = has_room(reserve->path) && make(reserve->path);
    if (reserve->there)
        hob_log_event(reserve->log, HOB_LOG_INFO, "store.reserve_made",
                      "%s: there is room again; the reserve is made anew", reserve->path);
}
