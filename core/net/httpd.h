/* httpd.h - a small HTTP server by libmicrohttpd, on the loop; for the local Jobs service only.
 *
 * libmicrohttpd sits in a loadable module (hob_httpd.so): no device loads it. No thread is started:
 * its epoll descriptor is watched by the loop. A request is given whole (body up to limit_bytes),
 * is held until hob_httpd_respond, and may be answered later. There are at most 256 connections,
 * the next wait; bodies hold at most 64 * limit_bytes together, what is more is answered 503.
 *
 * The body of an answer is bytes in memory, or a part of a file that is read as the client takes
 * it.
 *
 * Life: hob_httpd_start -> on_request ... -> hob_httpd_stop. Loop thread only.
 * Spec: spec/unit/httpd_spec.lua
 */
#ifndef HOB_NET_HTTPD_H
#define HOB_NET_HTTPD_H

#include "base/error.h"
#include "base/loop.h"

#include <stdint.h>

struct hob_httpd;
struct hob_httpd_request;

struct hob_httpd_header {
    const char *name, *value;
};

struct hob_httpd_request_view { /* borrowed until the callback returns */
    const char *method, *path;  /* path percent-decoded but for %2F and %00, without the query */
    const struct hob_httpd_header *query;
    size_t query_count;
    const struct hob_httpd_header *headers;
    size_t headers_count;
    const char *body;
    size_t body_len;
};

struct hob_httpd_options {
    const char *address; /* "127.0.0.1" */
    int port;            /* 0: any free one */
    size_t limit_bytes;  /* of a body; 0: 1 MB; more is answered 413 */
    /** Answer with hob_httpd_respond, now or later; each request exactly once. */
    void (*on_request)(void *user, struct hob_httpd_request *request,
                       const struct hob_httpd_request_view *view);
    void *user;
};

int hob_httpd_start(struct hob_loop *loop, const struct hob_httpd_options *options,
                    struct hob_httpd **out, struct hob_error *err);
int hob_httpd_port(const struct hob_httpd *httpd);

/** @param headers  borrowed, `count` of them. Frees the request. Legal after hob_httpd_stop: the
 * answer is then dropped. */
void hob_httpd_respond(struct hob_httpd_request *request, int status,
                       const struct hob_httpd_header *headers, size_t count, const void *body,
                       size_t len);

/** Likewise, with `len` bytes of a regular file from `offset` on as the body.
 * @param fd  taken: closed in any case */
void hob_httpd_respond_file(struct hob_httpd_request *request, int status,
                            const struct hob_httpd_header *headers, size_t count, int fd,
                            uint64_t offset, uint64_t len);

struct hob_httpd_file {
    int fd;
    uint64_t size;
    int64_t mtime_ns; /* since the epoch */
};

/** Open a regular file below a directory, to be served.
 * @param name  "a/b/c"; an empty segment, "." or "..", and a symbolic link anywhere below `root`
 * are refused as HOB_EACCES
 * @param out   the caller closes its fd, or hands it to hob_httpd_respond_file */
int hob_httpd_open_file(const char *root, const char *name, struct hob_httpd_file *out,
                        struct hob_error *err);

/** Close all connections and free it. Requests that were not answered stay valid for respond. */
void hob_httpd_stop(struct hob_httpd *httpd);

/** The module's table; internal to httpd.c and the module. */
struct hob_httpd_module {
    int (*start)(struct hob_loop *, const struct hob_httpd_options *, struct hob_httpd **,
                 struct hob_error *);
    int (*port)(const struct hob_httpd *);
    void (*respond)(struct hob_httpd_request *, int, const struct hob_httpd_header *, size_t,
                    const void *, size_t);
    void (*respond_file)(struct hob_httpd_request *, int, const struct hob_httpd_header *, size_t,
                         int, uint64_t, uint64_t);
    void (*stop)(struct hob_httpd *);
};

#endif
