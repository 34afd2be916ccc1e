/* opens.c - preloaded into a program: writes the name of every file that it opens to $OPENS_LOG.
 * Only what specs need it for: a name, a line. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void note(const char *path)
{
    const char *log = getenv("OPENS_LOG");
    int fd = log ? (int)syscall(SYS_openat, AT_FDCWD, log,
                                O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)
                 : -1;
    if (fd < 0)
        return;
    char line[4200];
    int len = snprintf(line, sizeof line, "%s\n", path);
    if (write(fd, line, (size_t)len) != len)
        abort(); /* a line that is missing would be a lie */
    close(fd);
}

static mode_t mode_of(int flags, va_list args)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

#define OPENS(name, parameters, dir)                                                               \
    int name parameters                                                                            \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode_t mode = mode_of(flags, args);                                                        \
        va_end(args);                                                                              \
        note(path);                                                                                \
        return (int)syscall(SYS_openat, dir, path, flags, mode);                                   \
    }

OPENS(open, (const char *path, int flags, ...), AT_FDCWD)
OPENS(open64, (const char *path, int flags, ...), AT_FDCWD)
OPENS(openat, (int at, const char *path, int flags, ...), at)
OPENS(openat64, (int at, const char *path, int flags, ...), at)

#define FOPENS(name)                                                                               \
    FILE *name(const char *path, const char *mode)                                                 \
    {                                                                                              \
        FILE *(*real)(const char *, const char *);                                                 \
        void *symbol = dlsym(RTLD_NEXT, #name);                                                    \
        memcpy(&real, &symbol, sizeof real);                                                       \
        note(path);                                                                                \
        return real(path, mode);                                                                   \
    }

FOPENS(fopen)
FOPENS(fopen64)
