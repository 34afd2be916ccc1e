/* user.h - the users of this system, and starting a program as one of them.
 *
 * A child becomes the user by itself, with its groups (a gateway's serial ports and modems are
 * theirs), before it executes its program: hob_user_become, in spawn_child.c.
 *
 * Where libuv starts the child (spawn.h says where): uv_spawn can change the user, but leaves it
 * without its groups. So the calling thread takes the user's groups while the child is made,
 * without the power to change them, and takes its own back:
 *
 *     hob_user_begin(user, &before, &err);   uv_spawn with UV_PROCESS_SETUID and user->uid
 *     hob_user_end(&before);
 *
 * At no moment has Hob itself the id of that user, so that none of its programs can signal it.
 * What is started has no capabilities. Plain values.  Loop thread only.
 * Specs: spec/unit/policy_spec.lua, spec/integration/privileges_spec.lua
 */
#ifndef HOB_DEVICE_USER_H
#define HOB_DEVICE_USER_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define HOB_USER_GROUPS_MAX 128

struct hob_user {
    bool other; /* false: Hob's own, and nothing else here is set */
    uid_t uid;
    gid_t gid;
    gid_t groups[HOB_USER_GROUPS_MAX];
    int group_count;
    char name[64];
    char variables[4][320]; /* HOME=, USER=, LOGNAME=, SHELL= */
};

/** By its name, or by its number in digits. @return 0, or HOB_ENOENT: `no user "app" on this
 * system` */
int hob_user_find(const char *name, struct hob_user *out, struct hob_error *err);
int hob_user_find_group(const char *name, gid_t *out, struct hob_error *err);
bool hob_user_is_in(const struct hob_user *user, gid_t group);

/** For a child between its making and its program: only system calls are made.
 * @return 0, or -1 and errno; EPERM: this Hob may not (hob_user_refused) */
int hob_user_become(const struct hob_user *user);
/** @return HOB_EPERM, and the reason */
int hob_user_refused(const struct hob_user *user, struct hob_error *err);

/** What was changed for a child; for hob_user_end. */
struct hob_user_before {
    bool changed;
    gid_t real, effective, saved;
    gid_t groups[HOB_USER_GROUPS_MAX];
    int group_count, dumpable;
    uint32_t capabilities[6];
};

/** Nothing is done for Hob's own. @return 0, or HOB_EPERM: this Hob may not (then nothing has
 * changed, and `before` is of no use) */
int hob_user_begin(const struct hob_user *user, struct hob_user_before *before,
                   struct hob_error *err);
void hob_user_end(const struct hob_user_before *before);

#endif
