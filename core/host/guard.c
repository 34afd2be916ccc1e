#include "host/guard.h"

#include "host/config.h"
#include "work/scripts_dirs.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX  8     /* of directories in scripts/ */
#define FILES_MAX  10000 /* there: beyond that nobody keeps scripts */
#define ACTION_MAX (PATH_MAX + 64)

struct guard {
    hob_guard_warning_fn *warn;
    void *user;
    struct hob_error *err;
    int files;
};

static int refuse_mode(const struct guard *guard, const char *path, const struct stat *info)
{
    return hob_error_set(guard->err, HOB_EPERM,
                         "%s can be changed by every user of this machine (mode %04o), who would "
                         "have what Hob may do: chmod o-w %s",
                         path, (unsigned)(info->st_mode & 07777), path);
}

static int refuse_owner(const struct guard *guard, const char *path, const struct stat *info)
{
    return hob_error_set(guard->err, HOB_EPERM,
                         "%s belongs to user %u, who would have what Hob may do (it runs as user "
                         "%u): chown %u %s",
                         path, (unsigned)info->st_uid, (unsigned)geteuid(), (unsigned)geteuid(),
                         path);
}

static void warn_of_group(const struct guard *guard, const char *path, const struct stat *info)
{
    char text[PATH_MAX + 128], action[ACTION_MAX];
    snprintf(text, sizeof text,
             "%s can be changed by all of group %u (mode %04o), who then have what Hob may do",
             path, (unsigned)info->st_gid, (unsigned)(info->st_mode & 07777));
    snprintf(action, sizeof action, "chmod g-w %s", path);
    guard->warn(guard->user, text, action);
}

/* A sticky directory, too: it keeps others from taking files out, not from putting some in. */
static int look_at(const struct guard *guard, const char *path, struct stat *info)
{
    if (stat(path, info)) {
        info->st_mode = 0;
        return 0; /* whoever needs it says so */
    }
    if (info->st_uid != 0 && info->st_uid != geteuid()) {
        return refuse_owner(guard, path, info);
    }
    if (info->st_mode & S_IWOTH) {
        return refuse_mode(guard, path, info);
    }
    if ((info->st_mode & S_IWGRP) && info->st_gid != getegid() && info->st_gid != 0) {
        warn_of_group(guard, path, info);
    }
    return 0;
}

static int look_below(struct guard *guard, const char *directory, int depth)
{
    char path[PATH_MAX];
    const struct dirent *entry;
    struct stat info;
    int rc = 0;
    DIR *list = depth < DEPTH_MAX ? opendir(directory) : NULL;
    while (list && rc == 0 && (entry = readdir(list)) != NULL) {
        int len = snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (entry->d_name[0] == '.' || len >= (int)sizeof path || guard->files++ > FILES_MAX) {
            continue;
        }
        rc = look_at(guard, path, &info);
        if (rc == 0 && S_ISDIR(info.st_mode)) {
            rc = look_below(guard, path, depth + 1);
        }
    }
    if (list) {
        closedir(list);
    }
    return rc;
}

int hob_guard_check(const struct hob_config *config, hob_guard_warning_fn *warn, void *user,
                    struct hob_error *err)
{
    struct guard guard = {.warn = warn, .user = user, .err = err};
    struct stat info;
    int rc = config->config_file[0] ? look_at(&guard, config->config_file, &info) : 0;
    rc = rc ? rc : look_at(&guard, config->data, &info);
    const char *rest = config->scripts;
    char dir[PATH_MAX];
    while (rc == 0 && hob_scripts_dirs_next(&rest, dir)) {
        rc = look_at(&guard, dir, &info);
        rc = rc ? rc : look_below(&guard, dir, 0);
    }
    return rc;
}
