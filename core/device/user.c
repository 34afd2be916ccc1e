/* user.c - see user.h
 *
 * glibc's setgroups and setresgid change all threads; the kernel's own calls only this one, which
 * is all that a child inherits. */
#include "device/user.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRY_MAX (16 * 1024)

/* Machines whose first calls took ids of 16 bits. */
#ifdef SYS_setgroups32
#define CALL_SETGROUPS SYS_setgroups32
#define CALL_SETRESGID SYS_setresgid32
#define CALL_SETRESUID SYS_setresuid32
#else
#define CALL_SETGROUPS SYS_setgroups
#define CALL_SETRESGID SYS_setresgid
#define CALL_SETRESUID SYS_setresuid
#endif

/* ---- who there is ---- */

static bool as_number(const char *name, unsigned *out)
{
    size_t len = strlen(name);
    if (len == 0 || len > 9 || strspn(name, "0123456789") != len)
        return false;
    *out = (unsigned)strtoul(name, NULL, 10);
    return true;
}

static void set_variable(struct hob_user *user, int index, const char *name, const char *value)
{
    snprintf(user->variables[index], sizeof user->variables[index], "%s=%s", name, value);
}

static int fill(const struct passwd *entry, struct hob_user *out, struct hob_error *err)
{
    *out = (struct hob_user){.other = true, .uid = entry->pw_uid, .gid = entry->pw_gid};
    snprintf(out->name, sizeof out->name, "%s", entry->pw_name);
    set_variable(out, 0, "HOME", entry->pw_dir);
    set_variable(out, 1, "USER", entry->pw_name);
    set_variable(out, 2, "LOGNAME", entry->pw_name);
    set_variable(out, 3, "SHELL", entry->pw_shell[0] ? entry->pw_shell : "/bin/sh");
    out->group_count = HOB_USER_GROUPS_MAX;
    if (getgrouplist(entry->pw_name, entry->pw_gid, out->groups, &out->group_count) < 0)
        return hob_error_set(err, HOB_EMSGSIZE, "user %s is in over %d groups", entry->pw_name,
                             HOB_USER_GROUPS_MAX);
    return 0;
}

int hob_user_find(const char *name, struct hob_user *out, struct hob_error *err)
{
    struct passwd entry, *found = NULL;
    unsigned number;
    char text[ENTRY_MAX];
    int why = getpwnam_r(name, &entry, text, sizeof text, &found);
    if (!found && as_number(name, &number))
        why = getpwuid_r((uid_t)number, &entry, text, sizeof text, &found);
    if (found)
        return fill(found, out, err);
    if (why == 0 || why == ENOENT || why == ESRCH)
        return hob_error_set(err, HOB_ENOENT, "no user \"%s\" on this system", name);
    return hob_error_set(err, hob_error_from_errno(why), "looking for the user \"%s\": %s", name,
                         strerror(why));
}

int hob_user_find_group(const char *name, gid_t *out, struct hob_error *err)
{
    struct group entry, *found = NULL;
    unsigned number;
    char text[ENTRY_MAX];
    getgrnam_r(name, &entry, text, sizeof text, &found);
    if (!found && as_number(name, &number))
        getgrgid_r((gid_t)number, &entry, text, sizeof text, &found);
    if (!found)
        return hob_error_set(err, HOB_ENOENT, "no group \"%s\" on this system", name);
    *out = found->gr_gid;
    return 0;
}

bool hob_user_is_in(const struct hob_user *user, gid_t group)
{
    for (int i = 0; i < user->group_count; i++)
        if (user->groups[i] == group)
            return true;
    return user->gid == group;
}

/* ---- the thread's own credentials ---- */

static int capabilities(long call, uint32_t words[6])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    _Static_assert(sizeof data == 6 * sizeof words[0], "two sets of three words");
    memcpy(data, words, sizeof data);
    int rc = (int)syscall(call, &header, data);
    memcpy(words, data, sizeof data);
    return rc;
}

int hob_user_refused(const struct hob_user *user, struct hob_error *err)
{
    return hob_error_set(err, HOB_EPERM,
                         "running as %s: Hob is root, but without the capabilities CAP_SETUID and "
                         "CAP_SETGID (CapabilityBoundingSet= of its unit?)",
                         user->name);
}

static int save(struct hob_user_before *before)
{
    before->dumpable = prctl(PR_GET_DUMPABLE);
    before->group_count = getgroups(HOB_USER_GROUPS_MAX, before->groups);
    return before->group_count < 0 ||
           getresgid(&before->real, &before->effective, &before->saved) ||
           capabilities(SYS_capget, before->capabilities);
}

/* Without CAP_SETGID in the child, libuv's attempt to take its groups away fails, which libuv does
 * not mind. What is inheritable would outlast the change of the user. */
static int hand_over(const struct hob_user *user, const struct hob_user_before *before)
{
    uint32_t words[6];
    if (syscall(CALL_SETGROUPS, (size_t)user->group_count, user->groups) ||
        syscall(CALL_SETRESGID, user->gid, user->gid, user->gid))
        return -1;
    memcpy(words, before->capabilities, sizeof words);
    words[0] &= ~(UINT32_C(1) << CAP_SETGID);
    words[2] = words[5] = 0;
    return capabilities(SYS_capset, words);
}

int hob_user_become(const struct hob_user *user)
{
    uint32_t words[6];
    if (capabilities(SYS_capget, words))
        return -1;
    words[2] = words[5] = 0; /* inheritable ones would outlast the change */
    if (!(words[0] & (UINT32_C(1) << CAP_SETUID))) {
        errno = EPERM;
        return -1;
    }
    return capabilities(SYS_capset, words) ||
                   syscall(CALL_SETGROUPS, (size_t)user->group_count, user->groups) ||
                   syscall(CALL_SETRESGID, user->gid, user->gid, user->gid) ||
                   syscall(CALL_SETRESUID, user->uid, user->uid, user->uid)
               ? -1
               : 0;
}

int hob_user_begin(const struct hob_user *user, struct hob_user_before *before,
                   struct hob_error *err)
{
    *before = (struct hob_user_before){0};
    if (!user->other)
        return 0;
    if (save(before) || !(before->capabilities[0] & (UINT32_C(1) << CAP_SETUID)))
        return hob_user_refused(user, err);
    before->changed = true;
    if (hand_over(user, before) == 0)
        return 0;
    hob_user_end(before);
    return hob_user_refused(user, err);
}

void hob_user_end(const struct hob_user_before *before)
{
    uint32_t words[6];
    if (!before->changed)
        return;
    memcpy(words, before->capabilities, sizeof words);
    int rc = capabilities(SYS_capset, words);
    if (words[0] & (UINT32_C(1) << CAP_SETGID)) {
        rc |= (int)syscall(CALL_SETRESGID, before->real, before->effective, before->saved);
        rc |= (int)syscall(CALL_SETGROUPS, (size_t)before->group_count, before->groups);
    }
    assert(rc == 0); /* it is what the thread had, and the right to it was kept */
    (void)rc;
    prctl(PR_SET_DUMPABLE, before->dumpable); /* the kernel takes it away: no core files */
}
