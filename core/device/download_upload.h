/* download_upload.h - the file that a request sends: read as it is taken, and looked at before and
 * after, so that nothing else than that one file was sent. Part of the module hob_download; nobody
 * else includes this.  Spec: spec/unit/http_spec.lua
 */
#ifndef HOB_DEVICE_DOWNLOAD_UPLOAD_H
#define HOB_DEVICE_DOWNLOAD_UPLOAD_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct hob_download_upload;

/** @param limit  the most bytes that it may have; 0: any
 * @return 0, HOB_EMSGSIZE, HOB_EINVAL (no regular file) or what opening said */
int hob_download_upload_open(const char *path, uint64_t limit, struct hob_download_upload **out,
                             struct hob_error *err);
void hob_download_upload_free(struct hob_download_upload *upload); /* NULL is legal */

uint64_t hob_download_upload_bytes(const struct hob_download_upload *upload); /* of the file */
uint64_t hob_download_upload_sent(const struct hob_download_upload *upload);  /* of them, so far */

/** @return how many bytes were read; 0 at the end; or a code */
int64_t hob_download_upload_read(struct hob_download_upload *upload, char *to, size_t room,
                                 struct hob_error *err);
void hob_download_upload_rewind(struct hob_download_upload *upload);

/** @return 0, or HOB_EBUSY: the file is not what it was at the beginning */
int hob_download_upload_check(const struct hob_download_upload *upload, struct hob_error *err);

#endif
