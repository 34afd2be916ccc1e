/* spawn.h - a program as a child of this process, and how it ended.
 *
 * Nothing of the process that Hob lives in is touched for it: no handler of SIGCHLD, no wait for
 * children that are not ours, no flag of a descriptor. The child is watched by its pidfd (Linux 5.4
 * and later), and waited for by it. Where there is none (an older kernel, a container that forbids
 * it) libuv starts it: then libuv has its handler of SIGCHLD, and every descriptor of the process
 * but the standard three is marked to be closed in children.
 *
 * Who waits for all children of the process (waitpid(-1), SIGCHLD ignored) takes away how ours
 * ended: `unknown`, and nothing worse.
 *
 * The calling thread waits until the child executes the program, or cannot (spawn_child.h says what
 * is done on the way); what it could not is the error.
 *
 * Life: hob_spawn_start -> ended -> hob_spawn_close; `ended` is not called after that, a child that
 * still runs goes on. Loop thread only.
 * Specs: spec/unit/exec_spec.lua, spec/integration/embed_guest_spec.lua
 */
#ifndef HOB_DEVICE_SPAWN_H
#define HOB_DEVICE_SPAWN_H

#include "base/error.h"
#include "base/loop.h"
#include "device/user.h"

#include <stdbool.h>

struct hob_spawn;

struct hob_spawn_end {
    int code;   /* exit code; -1: it did not exit by itself */
    int signal; /* that ended it; 0: none */
    bool unknown;
};

struct hob_spawn_options {     /* all borrowed for the call */
    const char *name;          /* of the program, for errors; NULL: argv[0] */
    const char *file;          /* without a slash: looked up in the PATH of `env` */
    const char *const *argv;   /* NULL-terminated */
    const char *const *env;    /* NULL-terminated; NULL: inherited */
    const char *cwd;           /* NULL: inherited */
    int standard[3];           /* descriptors: input, output, errors; -1: /dev/null */
    const struct hob_user *as; /* NULL: our own */
    bool by_libuv;             /* as on an old kernel, for specs */
    void (*ended)(void *user, const struct hob_spawn_end *end);
    void *user;
};

/** In a session, and so a process group, of its own; with default signal dispositions and none
 * blocked. @return 0, or a code and the reason: "fw-install: not found in PATH" */
int hob_spawn_start(struct hob_loop *loop, const struct hob_spawn_options *options,
                    struct hob_spawn **out, struct hob_error *err);
int hob_spawn_pid(const struct hob_spawn *spawn);
/** Takes; frees later. NULL is legal. */
void hob_spawn_close(struct hob_spawn *spawn);

#endif
