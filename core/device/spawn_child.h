/* spawn_child.h - the way of a child from its making to its program; for spawn.c only.
 *
 * The child may share the memory of its parent (vfork), which may have other threads that hold any
 * lock: here only system calls are made, and what is written to is on the stack.
 */
#ifndef HOB_DEVICE_SPAWN_CHILD_H
#define HOB_DEVICE_SPAWN_CHILD_H

#include "device/user.h"

struct hob_spawn_plan {
    const char *file;
    char *const *argv;
    char *const *env;
    const char *path; /* directories, for a file without a slash */
    char **script;    /* for one that the kernel does not know to run: "/bin/sh", room for its
                         path, the arguments, NULL */
    const char *cwd;  /* NULL: stay */
    int standard[3];
    const struct hob_user *as; /* NULL: nobody else */
    int report;                /* over 2; closed by the program's start */
};

/* What could not be done, written to `report`; nothing: it was. */
struct hob_spawn_report {
    enum { HOB_SPAWN_STANDARD, HOB_SPAWN_CWD, HOB_SPAWN_USER, HOB_SPAWN_PROGRAM } what;
    int number; /* errno */
};

_Noreturn void hob_spawn_child(const struct hob_spawn_plan *plan);

#endif
