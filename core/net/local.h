/* local.h - Unix sockets of this machine: made, found and told who is at the other end.
 *
 * A path may be longer than the kernel takes (107 bytes): the directory is opened and the socket
 * reached through it (/proc/self/fd). A socket is made with mode 0600. Descriptors belong to the
 * caller, are non-blocking, and are closed in children.
 * Any thread.  Spec: spec/integration/control_spec.lua
 */
#ifndef HOB_NET_LOCAL_H
#define HOB_NET_LOCAL_H

#include "base/error.h"

/** Make a socket at `path` and listen. One that a dead process left there is replaced; anything
 * else there is left alone. The caller knows that no living process has it.
 * @return 0 and *fd, or a code and the message names the path */
int hob_local_listen(const char *path, int *fd, struct hob_error *err);

/** @return 0 and *fd; HOB_ENOENT: there is no socket; HOB_EREFUSED: nobody listens at it;
 * HOB_EBUSY: too many wait already; or another code */
int hob_local_connect(const char *path, int *fd, struct hob_error *err);

/** Who is at the other end of a connection. @return 0, or a code */
int hob_local_peer(int fd, unsigned *uid, int *pid);

#endif
