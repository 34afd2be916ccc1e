/* shim_machine.c - a machine in a bad way, for `hob doctor`: LD_PRELOADed by
 * spec/support/doctor.lua, never linked.
 *
 * Environment
 *   HOB_SHIM_NAMES  set: the name server does not answer; each look-up takes a minute
 *   HOB_SHIM_DISK   every file system is "full", has no "inodes", or is "read-only"
 */
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

typedef int lookup_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

EXPORT int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **found)
{
    if (getenv("HOB_SHIM_NAMES")) {
        sleep(60);
        return EAI_AGAIN;
    }
    void *real = dlsym(RTLD_NEXT, "getaddrinfo");
    lookup_fn *look_up;
    memcpy(&look_up, &real, sizeof real); /* ISO C knows no such conversion */
    return look_up(name, service, hints, found);
}

EXPORT int statvfs(const char *path, struct statvfs *out)
{
    const char *state = getenv("HOB_SHIM_DISK");
    state = state ? state : "";
    memset(out, 0, sizeof *out);
    out->f_bsize = out->f_frsize = 4096;
    out->f_blocks = 100000;
    out->f_bavail = out->f_bfree = strcmp(state, "full") == 0 ? 2 : 50000;
    out->f_files = 1000000;
    out->f_favail = out->f_ffree = strcmp(state, "inodes") == 0 ? 0 : 500000;
    out->f_flag = strcmp(state, "read-only") == 0 ? ST_RDONLY : 0;
    return 0;
}
