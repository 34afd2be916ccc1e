/* policy.h - what handlers may do to this device, as the owner's configuration says.
 *
 * Whoever does something for a handler (a binding, exec, files) asks here; a refusal names the key
 * to set. Lists are NULL-terminated, texts never NULL ("": not set). A policy that is NULL (outside
 * of `hob run`) allows all.
 *
 * Where Hob runs as root, programs run as `exec_user`, but for those that `privileged` names. Such
 * an entry means one file: with a slash that very file, without one the first of its name in Hob's
 * own PATH. A program is compared by the file that it would be, and that file is then run, so that
 * neither an `env` of a handler nor its directory can put another one in its place.
 *
 * Life: a plain struct, borrowed from the configuration for the life of the process.
 * Spec: spec/unit/policy_spec.lua
 */
#ifndef HOB_DEVICE_POLICY_H
#define HOB_DEVICE_POLICY_H

#include "base/error.h"
#include "device/user.h"

#include <limits.h>
#include <stdbool.h>

struct hob_policy {
    const char *exec_user;         /* whom programs run as when Hob is root */
    const char *const *privileged; /* programs that run as Hob itself */
    const char *const *users;      /* whom a document may name */
    const char *const *commands;   /* programs of runCommand and from PATH; "*": any */
    const char *handler_dir;       /* AWS's executables that documents with steps name */
    const char *const *roots;      /* directories that hob.fs may touch */
    const char *const *topics;     /* filters that hob.cloud may use */
    const char *const *signers;    /* files with certificates or keys whose signatures count */
    const char *proxy;             /* for hob.http, as a URL */
};

/* A program that somebody wants to be run. */
struct hob_policy_wish {
    const char *program;      /* argv[0] */
    const char *user, *group; /* names, or numbers in digits; NULL: no wish */
    uid_t hob;                /* who this process is; 0: root */
};

struct hob_policy_grant {
    struct hob_user user; /* whom it runs as */
    char file[PATH_MAX];  /* run this in the place of argv[0]; "": look argv[0] up */
};

/** Whom a program runs as. @return 0, HOB_EPERM and the key to set, or HOB_ENOENT: there is no such
 * user or group */
int hob_policy_who(const struct hob_policy *policy, const struct hob_policy_wish *wish,
                   struct hob_policy_grant *out, struct hob_error *err);

/** May a document name this program (runCommand, or one that is found in PATH)? */
bool hob_policy_allows_command(const struct hob_policy *policy, const char *program);

/** Whom what Hob makes for programs must belong to: the directory of a job, files in it.
 * @return false: Hob's own, or that user is not there */
bool hob_policy_exec_user(const struct hob_policy *policy, uid_t hob, struct hob_user *out);

/** The same for a file or directory that this process has just made: it is given to that user, if
 * it is another one. A symbolic link is given itself. */
int hob_policy_give(const struct hob_policy *policy, const char *path, struct hob_error *err);

/** Before the start: is the user there that programs will run as?
 * @return 0, or HOB_ECONFIG: `no user "hob" on this system ...` */
int hob_policy_check(const struct hob_policy *policy, uid_t hob, struct hob_error *err);

/** Programs of that user are given files below `dir`, which is Hob's own: let them pass through it,
 * without reading it. @return 0, or the reason */
int hob_policy_open_way(const struct hob_policy *policy, const char *dir, struct hob_error *err);

/** Is there a directory on the way to `dir`, or `dir` itself, that lets that user not pass?
 * @param out  that directory */
bool hob_policy_is_blocked(const struct hob_policy *policy, const char *dir, char out[PATH_MAX]);

#endif
