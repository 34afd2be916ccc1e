/* download_curl.h - what a download needs of libcurl: to take URLs and headers apart, and one HTTP
 * exchange on the loop. The only part of Hob that knows libcurl. Part of the module hob_download;
 * nobody else includes this.
 *
 * Life of an exchange: hob_curl_start -> on_header, on_data, on_turn ... -> done; and
 * hob_curl_close by the owner, before or after `done`, but not in on_header or on_data. `done` is
 * never called inside hob_curl_start. Each exchange has a connection of its own: none are kept.
 * Spec: spec/unit/download_spec.lua
 */
#ifndef HOB_DEVICE_DOWNLOAD_CURL_H
#define HOB_DEVICE_DOWNLOAD_CURL_H

#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stdint.h>

#define HOB_CURL_SHOWN_MAX 512

/** The URL without its query, fragment and user info: queries are secrets. @return out */
const char *hob_curl_shown(const char *url, char out[HOB_CURL_SHOWN_MAX]);

struct hob_curl_origin {
    char scheme[8], host[256], port[8]; /* an IPv6 address has its brackets */
};

/** @return 0, or HOB_EINVAL for what is no http or https URL (the message never holds it) */
int hob_curl_origin(const char *url, struct hob_curl_origin *out, struct hob_error *err);

/** The proxy that libcurl will take for this origin: `proxy` (see hob_curl_options), or what the
 * environment says. @return whether any */
bool hob_curl_proxy(const struct hob_curl_origin *origin, const char *proxy,
                    struct hob_curl_origin *out);
/** @return whether this can be a proxy's URL */
bool hob_curl_proxy_ok(const char *proxy);

/** The value of header `name` into `out`, if `line` is that header and it fits ("" if not). */
void hob_curl_header(const char *line, size_t len, const char *name, char *out, size_t size);

struct hob_curl_range {
    uint64_t first, total; /* total: of the whole; where that is '*', up to the end of the range */
};

/** Read a Content-Range: "bytes 40-99/100". @return whether it is one */
bool hob_curl_range(const char *value, struct hob_curl_range *out);

struct hob_curl;

struct hob_curl_end {
    int code;             /* 0: an answer came whole, of whatever status */
    const char *words;    /* the reason otherwise; borrowed */
    long status;          /* 0: none came */
    const char *location; /* where a redirect leads, as a whole URL; NULL: none; borrowed */
    const char *type;     /* "" if none; borrowed */
};

struct hob_curl_options { /* all borrowed until hob_curl_close */
    const char *url, *method;
    const char *body; /* NULL: none */
    size_t body_len;
    const char *const *headers;   /* NULL-terminated "Name: value" */
    const char *const *addresses; /* NULL-terminated "host:port:address,...": already resolved */
    const char *range;            /* "100-"; NULL: all */
    const char *ca_file;          /* NULL: the system's */
    const char *cert_file, *key_file, *key_passphrase; /* NULL: none */
    const char *proxy;                                 /* NULL: by the environment; "": none */
    const char *sign, *sign_id, *sign_secret;          /* see download.h */
    uint64_t connect_ms;
    /** What to send instead of `body`, of a length that is known; NULL: nothing.
     * @return how much; less than `send_bytes` in all, or -1, ends the exchange */
    int64_t (*on_read)(void *user, char *to, size_t room);
    void (*on_rewind)(void *user); /* from the beginning once more */
    uint64_t send_bytes;
    void (*on_header)(void *user, const char *line, size_t len);
    /** @param length  of this answer; -1: unknown. @return not 0 to give up */
    int (*on_data)(void *user, long status, int64_t length, const char *data, size_t len);
    void (*on_turn)(void *user); /* after each event; may close */
    void (*done)(void *user, const struct hob_curl_end *end);
    void *user;
};

int hob_curl_start(struct hob_loop *loop, const struct hob_curl_options *options,
                   struct hob_curl **out, struct hob_error *err);
void hob_curl_close(struct hob_curl *curl); /* NULL is legal */

const char *hob_curl_version(void);

#endif
