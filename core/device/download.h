/* download.h - HTTP(S) by libcurl on the loop: files to disk, files sent, small requests in memory.
 *
 * libcurl sits in a loadable module (see base/module.h), so an idle runtime does not carry it.
 * Names are resolved by libuv, redirects are followed here (at most 10), so that libcurl starts no
 * thread. A file is written to `to`.part, its SHA-256 checked over all bytes, then fsynced and
 * renamed: `to` exists only whole and right. A .part left by a broken transfer is continued by
 * Range. A file that is sent is read as the server takes it. Each call is one try; trying again is
 * done in lib/hob/http.lua.
 *
 * Life: hob_download_start -> done, then freed by itself; or hob_download_cancel, after which
 * nothing is called. Loop thread only.  Spec: spec/unit/download_spec.lua
 */
#ifndef HOB_DEVICE_DOWNLOAD_H
#define HOB_DEVICE_DOWNLOAD_H

#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct hob_download;

struct hob_download_result {
    struct hob_error error; /* code 0: fine. HOB_EHTTP, HOB_EDIGEST, HOB_EMSGSIZE, ... */
    long status;            /* the last HTTP status; 0: none came */
    uint64_t bytes;         /* of the whole file or body */
    uint64_t resumed_from;  /* bytes that were there already */
    char sha256[65];        /* of the file; "" for a request in memory */
    const char *body; /* of a request in memory; else the beginning of a refusal's; borrowed */
    size_t body_len;
    const char *headers;      /* "name: value" lines of the last answer, at most 16 KB; borrowed */
    const char *content_type; /* "" if none */
};

struct hob_download_options { /* all borrowed for the call (copied) */
    const char *url;
    const char *method; /* NULL: GET */
    const char *body;   /* NULL: none */
    size_t body_len;
    const char *const *headers; /* NULL-terminated "Name: value" list; NULL: none */
    const char *file;           /* to be sent as the body; NULL: none */
    const char *to;             /* the file to make; NULL: keep the body in memory */
    const char *sha256;  /* 64 hexadecimal digits that the file must have; NULL: not checked */
    const char *ca_file; /* NULL: the system's */
    const char *cert_file, *key_file, *key_passphrase; /* our own certificate; NULL: none */
    const char *proxy;         /* a URL; "": none; NULL: what the environment says */
    const char *default_proxy; /* where proxy is NULL, but for this host itself; NULL: none */
    const char *sign; /* "aws:amz:REGION:SERVICE" for AWS's SigV4 with these keys; NULL: none */
    const char *sign_id, *sign_secret;
    bool allow_http;           /* a redirect may lead from https to http */
    bool only_ok;              /* a request in memory fails, too, unless its status is 2xx */
    uint64_t size_bytes;       /* what the file to make must have; 0: not checked */
    uint64_t limit_bytes;      /* 0: 64 MB in memory, no limit for a file */
    uint64_t send_limit_bytes; /* of `file`; 0: none */
    uint64_t timeout_ms;       /* for the whole; 0: none */
    uint64_t stall_ms;         /* give up when nothing comes for so long; 0: 60,000 */
    void (*on_progress)(void *user, uint64_t bytes, uint64_t total); /* total 0: unknown */
    void (*done)(void *user, const struct hob_download_result *result);
    void *user;
};

/** @return 0 (done will come), or a code and the reason */
int hob_download_start(struct hob_loop *loop, const struct hob_download_options *options,
                       struct hob_download **out, struct hob_error *err);
void hob_download_cancel(struct hob_download *download);

/** "libcurl/7.88.1 OpenSSL/3.0.22 ...", loading the module. */
const char *hob_download_version(void);

/** The module's table; internal to download.c and the module. */
struct hob_download_module {
    int (*start)(struct hob_loop *, const struct hob_download_options *, struct hob_download **,
                 struct hob_error *);
    void (*cancel)(struct hob_download *);
    const char *(*version)(void);
};

#endif
