/* policy.c - see policy.h */
#include "device/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- which file a program is ---- */

/* The last part stays as it is: programs such as busybox are many by their names. */
static bool canonical(const char *path, char out[PATH_MAX])
{
    char dir[PATH_MAX], whole[PATH_MAX];
    const char *name = strrchr(path, '/');
    if (path[0] != '/' || !name[1] || strlen(path) >= sizeof dir)
        return false;
    snprintf(dir, sizeof dir, "%.*s", name == path ? 1 : (int)(name - path), path);
    if (!realpath(dir, whole))
        return false;
    int n = snprintf(out, PATH_MAX, "%s%s", strcmp(whole, "/") == 0 ? "" : whole, name);
    return n > 0 && n < PATH_MAX;
}

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The one of that name that comes first in Hob's own PATH; relative directories of it do not count.
 */
static bool find_in_path(const char *name, char out[PATH_MAX])
{
    const char *path = getenv("PATH");
    char file[PATH_MAX];
    for (path = path ? path : PATH_DEFAULT; *path; path += *path == ':') {
        size_t len = strcspn(path, ":");
        int n = snprintf(file, sizeof file, "%.*s/%s", (int)len, path, name);
        if (path[0] == '/' && n < (int)sizeof file && is_program(file))
            return canonical(file, out);
        path += len;
    }
    return false;
}

static bool file_of(const char *program, char out[PATH_MAX])
{
    return strchr(program, '/') ? canonical(program, out) : find_in_path(program, out);
}

static bool is_privileged(const struct hob_policy *policy, const char *program, char file[PATH_MAX])
{
    char named[PATH_MAX];
    if (!policy->privileged[0] || !file_of(program, file))
        return false;
    for (const char *const *entry = policy->privileged; *entry; entry++)
        if (file_of(*entry, named) && strcmp(named, file) == 0)
            return true;
    return false;
}

/* ---- whom it runs as ---- */

static bool is_named(const struct hob_policy *policy, const struct hob_user *user)
{
    struct hob_user one;
    for (const char *const *name = policy->users; *name; name++)
        if (hob_user_find(*name, &one, NULL) == 0 && one.uid == user->uid)
            return true;
    return false;
}

static int refuse_user(const char *program, const struct hob_user *user, struct hob_error *err)
{
    if (user->uid == 0)
        return hob_error_set(err, HOB_EPERM,
                             "%s: running as root is not allowed here; add \"%s\" to "
                             "privileged = { ... } in hob.conf.lua",
                             program, program);
    return hob_error_set(err, HOB_EPERM,
                         "%s: running as %s is not allowed here; add \"%s\" to "
                         "users = { ... } in hob.conf.lua",
                         program, user->name, user->name);
}

/* Its own groups only: some groups, such as docker or disk, are as good as root. */
static int choose_group(const struct hob_policy_wish *wish, struct hob_user *user,
                        struct hob_error *err)
{
    gid_t group;
    if (!wish->group)
        return 0;
    int code = hob_user_find_group(wish->group, &group, err);
    if (code)
        return hob_error_prefix(err, "%s: ", wish->program);
    if (user->uid != 0 && !hob_user_is_in(user, group))
        return hob_error_set(err, HOB_EPERM,
                             "%s: the user %s is not in the group %s; usermod -a -G %s %s puts it "
                             "there",
                             wish->program, user->name, wish->group, wish->group, user->name);
    user->gid = group;
    user->other = true;
    return 0;
}

/* Root needs no entry in any file: it is us. */
static int find_user(const char *program, const char *name, struct hob_user *out,
                     struct hob_error *err)
{
    if (strcmp(name, "root") == 0 || strcmp(name, "0") == 0) {
        *out = (struct hob_user){.name = "root"};
        return 0;
    }
    int code = hob_user_find(name, out, err);
    if (code)
        hob_error_prefix(err, "%s: ", program); /* says nothing of the code without an err */
    return code;
}

/* A Hob that is not root cannot change who it is, so it says no to whoever counts on that. */
static int as_itself(const struct hob_policy_wish *wish, struct hob_error *err)
{
    struct hob_user user = {.uid = wish->hob};
    gid_t group = getegid();
    int code = wish->user ? find_user(wish->program, wish->user, &user, err) : 0;
    if (code == 0 && user.uid != wish->hob)
        return hob_error_set(err, HOB_EPERM,
                             "%s: running as %s is not possible: this Hob is not root, but user %u",
                             wish->program, user.name, (unsigned)wish->hob);
    if (code == 0 && wish->group && hob_user_find_group(wish->group, &group, err))
        return hob_error_prefix(err, "%s: ", wish->program);
    if (code == 0 && group != getegid())
        return hob_error_set(err, HOB_EPERM,
                             "%s: running with the group %s is not possible: this Hob is not root",
                             wish->program, wish->group);
    return code;
}

static bool may_run_as(const struct hob_policy *policy, const struct hob_user *user,
                       bool privileged, const struct hob_user *exec_user)
{
    return user->uid == exec_user->uid || (user->uid == 0 && privileged) || is_named(policy, user);
}

static int choose_user(const struct hob_policy *policy, const struct hob_policy_wish *wish,
                       struct hob_policy_grant *out, struct hob_error *err)
{
    struct hob_user exec_user;
    char file[PATH_MAX];
    bool privileged = is_privileged(policy, wish->program, file);
    const char *name = wish->user ? wish->user : privileged ? "root" : policy->exec_user;
    int code = find_user(wish->program, policy->exec_user, &exec_user, err);
    code = code ? code : find_user(wish->program, name, &out->user, err);
    if (code)
        return code;
    if (!may_run_as(policy, &out->user, privileged, &exec_user))
        return refuse_user(wish->program, &out->user, err);
    if (privileged && out->user.uid == 0)
        memcpy(out->file, file, sizeof out->file);
    return 0;
}

int hob_policy_who(const struct hob_policy *policy, const struct hob_policy_wish *wish,
                   struct hob_policy_grant *out, struct hob_error *err)
{
    memset(out, 0, sizeof *out);
    if (wish->hob != 0)
        return as_itself(wish, err);
    int code = policy ? choose_user(policy, wish, out, err)
                      : find_user(wish->program, wish->user ? wish->user : "root", &out->user, err);
    return code ? code : choose_group(wish, &out->user, err);
}

/* ---- the rest ---- */

bool hob_policy_allows_command(const struct hob_policy *policy, const char *program)
{
    if (!policy)
        return true;
    for (const char *const *name = policy->commands; *name; name++)
        if (strcmp(*name, "*") == 0 || strcmp(*name, program) == 0)
            return true;
    return false;
}

bool hob_policy_exec_user(const struct hob_policy *policy, uid_t hob, struct hob_user *out)
{
    return policy && hob == 0 && find_user("", policy->exec_user, out, NULL) == 0 && out->other;
}

int hob_policy_give(const struct hob_policy *policy, const char *path, struct hob_error *err)
{
    struct hob_user user;
    if (!hob_policy_exec_user(policy, geteuid(), &user) || lchown(path, user.uid, user.gid) == 0)
        return 0;
    return hob_error_set(err, hob_error_from_errno(errno), "giving %s to the user %s: %s", path,
                         user.name, strerror(errno));
}

int hob_policy_check(const struct hob_policy *policy, uid_t hob, struct hob_error *err)
{
    struct hob_user user;
    struct hob_error why = {0};
    if (hob != 0)
        return 0;
    int code = find_user("programs of jobs", policy->exec_user, &user, &why);
    return code ? hob_error_set(err, HOB_ECONFIG,
                                "%s, and Hob runs as root; make that user (useradd --system %s), "
                                "or set exec_user = \"root\"",
                                why.message, policy->exec_user)
                : 0;
}

static bool lets_pass(const struct hob_user *user, const struct stat *st)
{
    if (st->st_uid == user->uid)
        return st->st_mode & S_IXUSR;
    return st->st_mode & (hob_user_is_in(user, st->st_gid) ? S_IXGRP : S_IXOTH);
}

int hob_policy_open_way(const struct hob_policy *policy, const char *dir, struct hob_error *err)
{
    struct hob_user user;
    struct stat st;
    if (!hob_policy_exec_user(policy, geteuid(), &user) || stat(dir, &st) != 0)
        return 0;
    if (lets_pass(&user, &st) || chmod(dir, (st.st_mode & 07777) | S_IXOTH) == 0)
        return 0;
    return hob_error_set(err, hob_error_from_errno(errno),
                         "letting the user %s pass through the directory %s: %s", user.name, dir,
                         strerror(errno));
}

bool hob_policy_is_blocked(const struct hob_policy *policy, const char *dir, char out[PATH_MAX])
{
    struct hob_user user;
    struct stat st;
    char whole[PATH_MAX];
    if (!hob_policy_exec_user(policy, geteuid(), &user) || !realpath(dir, whole))
        return false;
    for (const char *end = whole; end; end = end[1] ? strchr(end + 1, '/') : NULL) {
        snprintf(out, PATH_MAX, "%.*s", end == whole ? 1 : (int)(end - whole), whole);
        if (stat(out, &st) == 0 && !lets_pass(&user, &st))
            return true;
    }
    return stat(whole, &st) == 0 && !lets_pass(&user, &st) &&
           snprintf(out, PATH_MAX, "%s", whole) > 0;
}
