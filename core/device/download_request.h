/* download_request.h - what is asked for: the caller's options, checked and copied. Part of the
 * module hob_download; nobody else includes this.  Spec: spec/unit/download_spec.lua
 */
#ifndef HOB_DEVICE_DOWNLOAD_REQUEST_H
#define HOB_DEVICE_DOWNLOAD_REQUEST_H

#include "device/download.h"

#include <stdbool.h>

#define HOB_DOWNLOAD_HEADERS_MAX 64
#define HOB_DOWNLOAD_LIST_MAX    (HOB_DOWNLOAD_HEADERS_MAX + 4)

struct hob_download_request {
    char *url, *method, *body, *sha256, *ca_file;
    char *cert_file, *key_file, *key_passphrase, *proxy, *default_proxy;
    char *sign, *sign_id, *sign_secret;
    size_t body_len;
    bool allow_http, only_ok;
    char *headers[HOB_DOWNLOAD_HEADERS_MAX];
    size_t headers_count;
    uint64_t limit_bytes, timeout_ms, stall_ms; /* with the defaults filled in; 0: none */
    uint64_t size_bytes;
};

/** @return 0, HOB_EINVAL saying what was expected, or HOB_ENOMEM; free it in every case */
int hob_download_request_init(struct hob_download_request *request,
                              const struct hob_download_options *options, struct hob_error *err);
void hob_download_request_free(struct hob_download_request *request);

/** Ask `target` instead: an http or https URL, not http after https unless that is allowed. To
 * another origin go neither Authorization nor Cookie, nor our certificate, nor a signature. @return
 * 0, HOB_EINVAL, HOB_EHTTP or HOB_ENOMEM */
int hob_download_request_redirect(struct hob_download_request *request, const char *target,
                                  struct hob_error *err);

/** The headers to send, for libcurl, with `extra` (may be NULL); borrowed from the request. */
void hob_download_request_headers(const struct hob_download_request *request, const char *extra,
                                  const char *out[HOB_DOWNLOAD_LIST_MAX]);

#endif
