/* download_file.h - the file that a download makes: `to`.part while it grows, `to` when it is
 * right.
 *
 * Beside the part lies `to`.part.tag with what names its version (ETag or Last-Modified), so that a
 * later try can ask the server whether the rest still belongs to it. Part of the module
 * hob_download; nobody else includes this.  Spec: spec/unit/download_spec.lua
 */
#ifndef HOB_DEVICE_DOWNLOAD_FILE_H
#define HOB_DEVICE_DOWNLOAD_FILE_H

#include "base/error.h"
#include "base/loop.h"
#include "base/mbed.h"

#include <stdbool.h>
#include <stdint.h>

#define HOB_DOWNLOAD_TAG_MAX 256

struct hob_download_file;

/** Open or make the part. HOB_EBUSY: another download is at it. */
int hob_download_file_open(const char *to, struct hob_download_file **out, struct hob_error *err);
/** Close; the part stays for the next try. NULL is legal. */
void hob_download_file_free(struct hob_download_file *file);

/** Take a slice of what is there into the digest. @return 1: there is more; 0: all; or a code */
int hob_download_file_rehash(struct hob_download_file *file, struct hob_error *err);

/** Begin again from nothing. */
int hob_download_file_restart(struct hob_download_file *file, struct hob_error *err);
int hob_download_file_write(struct hob_download_file *file, const void *data, size_t len,
                            struct hob_error *err);
/** @return 0, or HOB_ENOSPC if the file system has not so much room */
int hob_download_file_room(const struct hob_download_file *file, uint64_t bytes,
                           struct hob_error *err);
uint64_t hob_download_file_bytes(const struct hob_download_file *file);

/** The version of the bytes in the part; "": unknown. */
const char *hob_download_file_tag(const struct hob_download_file *file);
void hob_download_file_set_tag(struct hob_download_file *file, const char *tag);

/** The digest of what is there. Ends it: nothing can be written then but after a restart. */
void hob_download_file_sha256(struct hob_download_file *file, char out[HOB_SHA256_HEX_MAX]);

/** Sync the part, rename it to `to` and sync the directory, without holding the loop. `done` is
 * called later, unless the file is freed before. */
typedef void hob_download_file_fn(void *user, const struct hob_error *err); /* NULL: all is well */
void hob_download_file_finish(struct hob_download_file *file, struct hob_loop *loop,
                              hob_download_file_fn *done, void *user);
void hob_download_file_remove(struct hob_download_file *file);

#endif
