/* exec_pipes.h - the pipes of a program that is about to be started. For exec.c only.
 *
 * True pipes: on libuv's own sockets `echo x >/dev/stderr` fails.
 */
#ifndef HOB_DEVICE_EXEC_PIPES_H
#define HOB_DEVICE_EXEC_PIPES_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct hob_exec_pipes {
    int in[2], out[2], err[2]; /* [0] to read from, [1] to write to; -1: none */
};

/** @param one_output  standard error goes where standard output goes: `err` is none */
int hob_exec_pipes_open(struct hob_exec_pipes *pipes, bool with_input, bool one_output,
                        struct hob_error *err);
void hob_exec_pipes_close(struct hob_exec_pipes *pipes); /* what is left of them */
uint64_t hob_exec_pipes_inode(int fd);                   /* 0: there is none */

#endif
