#include "device/program.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int hob_program_check(const char *path, struct hob_error *err)
{
    struct stat info;
    if (stat(path, &info)) {
        return hob_error_set(err, hob_error_from_errno(errno), "%s: %s", path, strerror(errno));
    }
    if (!S_ISREG(info.st_mode)) {
        return hob_error_set(err, HOB_EACCES, "%s: is no regular file", path);
    }
    if (!(info.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH))) {
        return hob_error_set(err, HOB_EACCES, "%s: is not executable; chmod 700 %s", path, path);
    }
    if (info.st_mode & S_IWOTH) {
        return hob_error_set(err, HOB_EACCES, "%s: anybody may change it; chmod 700 %s", path,
                             path);
    }
    return 0;
}

static bool is_program(const char *dir, size_t dir_len, const char *name)
{
    char path[PATH_MAX];
    struct stat info;
    int n = snprintf(path, sizeof path, "%.*s/%s", (int)dir_len, dir, name);
    return n > 0 && (size_t)n < sizeof path && access(path, X_OK) == 0 && stat(path, &info) == 0 &&
           S_ISREG(info.st_mode);
}

bool hob_program_in_path(const char *name)
{
    const char *dir = getenv("PATH");
    while (dir && name[0]) {
        size_t len = strcspn(dir, ":");
        if (is_program(len ? dir : ".", len ? len : 1, name)) {
            return true;
        }
        dir = dir[len] ? dir + len + 1 : NULL;
    }
    return false;
}
