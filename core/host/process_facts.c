#include "host/process_facts.h"

#include "base/mbed.h"
#include "net/mqtt.h"
#include "work/store.h"

#include <dirent.h>
#include <lua.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <uv.h>

uint64_t hob_process_resident_bytes(void)
{
    size_t bytes = 0;
    return uv_resident_set_memory(&bytes) ? 0 : bytes;
}

static double seconds_of(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

double hob_process_cpu_seconds(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage)
               ? 0
               : seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime);
}

uint64_t hob_process_open_descriptors(void)
{
    uint64_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    while (dir && (entry = readdir(dir)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    if (dir) {
        closedir(dir);
    }
    return count ? count - 1 : 0; /* without the one that looks */
}

uint64_t hob_process_most_descriptors(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) ? 0 : limit.rlim_cur;
}

uint64_t hob_process_free_bytes(const char *path)
{
    struct statvfs room;
    return statvfs(path, &room) ? 0 : (uint64_t)room.f_bavail * room.f_frsize;
}

struct hob_process_library hob_process_library(size_t index, char *room, size_t size)
{
    switch (index) {
    case 0:
        return (struct hob_process_library){"lua", LUA_VERSION_MAJOR "." LUA_VERSION_MINOR
                                                                     "." LUA_VERSION_RELEASE};
    case 1:
        return (struct hob_process_library){"libuv", uv_version_string()};
    case 2:
        return (struct hob_process_library){"mosquitto", hob_mqtt_library_version(room, size)};
    case 3: {
        const char *version = strrchr(hob_mbed_version(), ' ');
        return (struct hob_process_library){"mbedtls", version ? version + 1 : hob_mbed_version()};
    }
    default:
        return (struct hob_process_library){"sqlite", hob_store_library_version()};
    }
}
