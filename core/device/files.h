/* files.h - what hob.fs does to files: within the directories that it may touch, whole or not at
 * all, and what takes long on a thread of libuv's.
 *
 * A path is judged by what it leads to: symbolic links are followed first. The directory of the job
 * is always allowed. This contains mistakes, not malice: what changes links meanwhile is not seen.
 * What is made in the directory of the job belongs to the user that programs run as; a file that is
 * replaced keeps its mode and its owner.
 *
 * The functions here do not return before all is done; whoever may not be held up calls them on
 * another thread. They share nothing.  Spec: spec/unit/fs_spec.lua
 */
#ifndef HOB_DEVICE_FILES_H
#define HOB_DEVICE_FILES_H

#include "base/error.h"
#include "device/policy.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** Where a job may go; both may be NULL: everywhere. */
struct hob_files_place {
    const struct hob_policy *policy;
    const char *job_dir;
};

enum hob_files_what {
    HOB_FILES_TARGET, /* what the path leads to: reading, writing */
    HOB_FILES_ENTRY   /* what stands there, perhaps a link: removing, renaming */
};

/** @return 0, or HOB_EPERM and the key to set */
int hob_files_check(const struct hob_files_place *place, const char *path, enum hob_files_what what,
                    struct hob_error *err);

/** Whom a new file belongs to, and its mode. */
struct hob_files_owner {
    bool given; /* else: as the file that was there, or as Hob makes them */
    uid_t uid;
    gid_t gid;
    int mode; /* -1: as the file that was there, or by the umask */
};

/** Who owns what is made at `path`, where nobody has said it: in the directory of the job the user
 * that programs run as. */
void hob_files_default_owner(const struct hob_files_place *place, const char *path,
                             struct hob_files_owner *out);

/** Whole or not at all: a temporary file beside it, synced, renamed; then its directory is synced.
 * A link is followed: the file is replaced. */
int hob_files_write(const char *path, const char *data, size_t len,
                    const struct hob_files_owner *owner, struct hob_error *err);

/** Likewise. The copy has the mode of `from`, unless the owner says another one.
 * @param stop  may become true on another thread: HOB_ECANCELED; may be NULL
 * @param bytes  how many they were */
int hob_files_copy(const char *from, const char *to, const struct hob_files_owner *owner,
                   const atomic_bool *stop, uint64_t *bytes, struct hob_error *err);

/** A regular file or a directory, to the disk, and its name with it. */
int hob_files_sync(const char *path, struct hob_error *err);

/** A symbolic link; what stood at `path`, a file or another link, is replaced in one go. Nobody
 * looks at `target`. */
int hob_files_symlink(const char *target, const char *path, struct hob_error *err);

/** Within a file system; the directories are synced. What stood at `to` is replaced. */
int hob_files_rename(const char *from, const char *to, struct hob_error *err);

#endif
