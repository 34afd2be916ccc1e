/* download_names.h - the addresses of a host by libuv, in the form that libcurl takes, so that
 * libcurl starts no thread of its own. Part of the module hob_download; nobody else includes this.
 *
 * Life: hob_download_names_start -> done, then freed by itself; or hob_download_names_cancel.
 */
#ifndef HOB_DEVICE_DOWNLOAD_NAMES_H
#define HOB_DEVICE_DOWNLOAD_NAMES_H

#include "base/error.h"
#include "base/loop.h"

struct hob_download_names;

/** @param entry  "host:port:address,[address],..." or NULL and the reason; borrowed */
typedef void hob_download_names_fn(void *user, const char *entry, const struct hob_error *err);

/** @param host  copied. @return NULL with the reason: done is never called */
struct hob_download_names *hob_download_names_start(struct hob_loop *loop, const char *host,
                                                    const char *port, hob_download_names_fn *done,
                                                    void *user, struct hob_error *err);
void hob_download_names_cancel(struct hob_download_names *names); /* NULL is legal */

#endif
