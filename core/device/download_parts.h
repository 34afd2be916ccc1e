/* download_parts.h - what the files of one download share. download_run.c: its life, its timers,
 * its ends; download_send.c: names, proxies, one request; download_answer.c: what comes of it.
 * Part of the module hob_download; nobody else includes this.
 */
#ifndef HOB_DEVICE_DOWNLOAD_PARTS_H
#define HOB_DEVICE_DOWNLOAD_PARTS_H

#include "base/buf.h"
#include "device/download.h"
#include "device/download_curl.h"
#include "device/download_file.h"
#include "device/download_names.h"
#include "device/download_request.h"
#include "device/download_upload.h"

#define HOB_DOWNLOAD_ADDRESSES_MAX 2
#define HOB_DOWNLOAD_REASON_MAX    4096  /* of the body of a refusal */
#define HOB_DOWNLOAD_LINES_MAX     16384 /* of an answer's headers */

/* The headers of one answer that matter here. */
struct hob_download_answer {
    char range[128], tag[HOB_DOWNLOAD_TAG_MAX], modified[HOB_DOWNLOAD_TAG_MAX], type[128];
};

struct hob_download {
    struct hob_loop *loop;
    struct hob_download_request request;
    void (*on_progress)(void *user, uint64_t bytes, uint64_t total);
    void (*done)(void *user, const struct hob_download_result *result);
    void *user;

    struct hob_curl *curl; /* NULL between two requests */
    struct hob_download_names *names;
    char *addresses[HOB_DOWNLOAD_ADDRESSES_MAX + 1];
    char if_range[HOB_DOWNLOAD_TAG_MAX + 16], from[32]; /* headers of this request */
    struct hob_timer *step_timer, *stall_timer, *timeout_timer;
    void (*step)(struct hob_download *download); /* what step_timer does */

    struct hob_download_file *file;     /* NULL: in memory */
    struct hob_download_upload *upload; /* NULL: no file is sent */
    struct hob_buf memory, headers;
    int redirects;
    bool ranged, restarted, body_begun;
    uint64_t total; /* of the whole; 0: unknown */
    uint64_t moved_ms, told_ms, told_bytes;
    struct hob_download_answer answer;
    struct hob_error trouble; /* found while libcurl was calling; code 0: none */
    struct hob_download_result result;
    bool over, cancelled;
};

/* ---- download_run.c ---- */

/** The end: calls `done` with the result as it is, or with this error, and frees. */
void hob_download_run_tell(struct hob_download *d);
void hob_download_run_fail(struct hob_download *d, const struct hob_error *err);
#define hob_download_run_fail_with(d, ...)                                                         \
    do {                                                                                           \
        struct hob_error fail_err;                                                                 \
        hob_error_set(&fail_err, __VA_ARGS__);                                                     \
        hob_download_run_fail(d, &fail_err);                                                       \
    } while (0)

void hob_download_run_later(struct hob_download *d, void (*step)(struct hob_download *));
uint64_t hob_download_run_bytes(const struct hob_download *d); /* that came, or were sent */
/** "10 of 20 bytes" @return out */
const char *hob_download_run_amount(const struct hob_download *d, char *out, size_t len);

/* ---- download_send.c ---- */

void hob_download_send(struct hob_download *d);
void hob_download_send_end(struct hob_download *d); /* the request, in whatever state */

/* ---- download_answer.c: what libcurl calls ---- */

void hob_download_answer_header(void *user, const char *line, size_t len);
int hob_download_answer_data(void *user, long status, int64_t length, const char *data, size_t len);
void hob_download_answer_turn(void *user);
void hob_download_answer_end(void *user, const struct hob_curl_end *how);

#endif
