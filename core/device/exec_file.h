/* exec_file.h - an output of a program that goes to a file. For exec.c only.
 *
 * The file is a new one, in the place of what stood there, with mode 0600, and belongs to the user
 * that the program runs as. What comes is written by libuv's threads, one piece at a time: a slow
 * disk holds up the program, not the loop. Beyond the limit, and after an error, it is counted and
 * dropped, which is no harm to the program. At its end the file is synced.
 */
#ifndef HOB_DEVICE_EXEC_FILE_H
#define HOB_DEVICE_EXEC_FILE_H

#include "base/error.h"
#include "base/loop.h"
#include "device/user.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOB_EXEC_FILE_PIECE (64 * 1024)

struct hob_exec_file;

/** @param limit  bytes; 0: none. @param user  NULL: our own */
int hob_exec_file_open(struct hob_loop *loop, const char *path, uint64_t limit,
                       const struct hob_user *user, struct hob_exec_file **out,
                       struct hob_error *err);
/** What is being done is done to its end, in the background, and nobody is told. NULL is legal. */
void hob_exec_file_free(struct hob_exec_file *file);
/** It was for nothing: the program could not be started. */
void hob_exec_file_drop(struct hob_exec_file *file);

/** Where the next piece is to be put; not while one is being written. */
char *hob_exec_file_piece(struct hob_exec_file *file);
/** Write the first `len` bytes of it, or sync and close. @return false: that is done already, and
 * `done` will not be called */
bool hob_exec_file_write(struct hob_exec_file *file, size_t len, void (*done)(void *user),
                         void *user);
bool hob_exec_file_finish(struct hob_exec_file *file, void (*done)(void *user), void *user);

uint64_t hob_exec_file_written(const struct hob_exec_file *file);
uint64_t hob_exec_file_cut(const struct hob_exec_file *file); /* bytes that are not in it */
int hob_exec_file_error(const struct hob_exec_file *file);    /* 0, or libuv's code */

#endif
