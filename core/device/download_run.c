/* download_run.c - the module hob_download: the life of a download, its timers and its ends; see
 * download.h and download_parts.h.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "device/download_parts.h"

#include <stdio.h>
#include <string.h>

/* ---- the end ---- */

static void free_download(struct hob_download *d)
{
    hob_download_file_free(d->file);
    hob_download_upload_free(d->upload);
    hob_buf_free(&d->memory);
    hob_buf_free(&d->headers);
    hob_download_request_free(&d->request);
    hob_free(d);
}

/* Everything that could call back, but for what libuv ends in its own time. */
static void end(struct hob_download *d)
{
    d->over = true;
    hob_download_send_end(d);
    hob_timer_close(d->step_timer);
    hob_timer_close(d->stall_timer);
    hob_timer_close(d->timeout_timer);
    d->step_timer = d->stall_timer = d->timeout_timer = NULL;
}

uint64_t hob_download_run_bytes(const struct hob_download *d)
{
    if (d->upload && !d->body_begun)
        return hob_download_upload_sent(d->upload);
    return d->file ? hob_download_file_bytes(d->file) : hob_buf_len(&d->memory);
}

void hob_download_run_tell(struct hob_download *d)
{
    struct hob_download_result *result = &d->result;
    end(d);
    result->bytes = hob_download_run_bytes(d);
    const char *body = hob_buf_string(&d->memory), *headers = hob_buf_string(&d->headers);
    result->body = body ? body : "";
    result->body_len = body ? hob_buf_len(&d->memory) : 0;
    result->headers = headers ? headers : "";
    /* The file is closed first, so that `done` may start the next try at once. */
    hob_download_file_free(d->file);
    d->file = NULL;
    if (!d->cancelled)
        d->done(d->user, result);
    free_download(d);
}

void hob_download_run_fail(struct hob_download *d, const struct hob_error *err)
{
    d->result.error = *err;
    d->result.sha256[0] = '\0';
    hob_download_run_tell(d);
}

static void run_step(void *user)
{
    struct hob_download *d = user;
    d->step(d);
}

void hob_download_run_later(struct hob_download *d, void (*step)(struct hob_download *))
{
    d->step = step;
    hob_timer_start(d->step_timer, 0);
}

const char *hob_download_run_amount(const struct hob_download *d, char *out, size_t len)
{
    if (d->total)
        snprintf(out, len, "%llu of %llu bytes", (unsigned long long)hob_download_run_bytes(d),
                 (unsigned long long)d->total);
    else
        snprintf(out, len, "%llu bytes", (unsigned long long)hob_download_run_bytes(d));
    return out;
}

/* ---- timers ---- */

static void on_stall_timer(void *user)
{
    struct hob_download *d = user;
    char url[HOB_CURL_SHOWN_MAX], much[64];
    uint64_t due = d->moved_ms + d->request.stall_ms, now = hob_clock_mono_ms();
    if (now < due)
        hob_timer_start(d->stall_timer, due - now);
    else
        hob_download_run_fail_with(d, HOB_ETIMEDOUT, "%s: nothing %s for %.3g s, after %s",
                                   hob_curl_shown(d->request.url, url),
                                   d->upload ? "moved" : "came", (double)d->request.stall_ms / 1000,
                                   hob_download_run_amount(d, much, sizeof much));
}

static void on_timeout(void *user)
{
    struct hob_download *d = user;
    char url[HOB_CURL_SHOWN_MAX], much[64];
    hob_download_run_fail_with(d, HOB_ETIMEDOUT, "%s: timed out after %.3g s, with %s",
                               hob_curl_shown(d->request.url, url),
                               (double)d->request.timeout_ms / 1000,
                               hob_download_run_amount(d, much, sizeof much));
}

/* ---- the start ---- */

static void rehash_step(struct hob_download *d)
{
    struct hob_error err;
    int more = hob_download_file_rehash(d->file, &err);
    d->moved_ms = hob_clock_mono_ms();
    if (more < 0)
        hob_download_run_fail(d, &err);
    else if (more)
        hob_download_run_later(d, rehash_step);
    else
        hob_download_send(d);
}

static bool make_timers(struct hob_download *d)
{
    d->step_timer = hob_timer_new(d->loop, run_step, d);
    d->stall_timer = hob_timer_new(d->loop, on_stall_timer, d);
    d->timeout_timer = hob_timer_new(d->loop, on_timeout, d);
    return d->step_timer && d->stall_timer && d->timeout_timer;
}

static void start_timers(struct hob_download *d)
{
    d->moved_ms = hob_clock_mono_ms();
    hob_timer_start(d->stall_timer, d->request.stall_ms);
    if (d->request.timeout_ms)
        hob_timer_start(d->timeout_timer, d->request.timeout_ms);
    hob_download_run_later(d, d->file ? rehash_step : hob_download_send);
}

static int start(struct hob_loop *loop, const struct hob_download_options *options,
                 struct hob_download **out, struct hob_error *err)
{
    struct hob_download *d = hob_calloc(1, sizeof *d);
    if (!d)
        return hob_error_set(err, HOB_ENOMEM, "download: out of memory");
    d->loop = loop;
    d->on_progress = options->on_progress;
    d->done = options->done;
    d->user = options->user;
    d->result.content_type = d->answer.type;
    hob_buf_init(&d->memory, SIZE_MAX / 4); /* check_limit sees to it */
    hob_buf_init(&d->headers, HOB_DOWNLOAD_LINES_MAX);
    int code = hob_download_request_init(&d->request, options, err);
    if (!code && !make_timers(d))
        code = hob_error_set(err, HOB_ENOMEM, "download: out of memory");
    if (!code && options->file)
        code = hob_download_upload_open(options->file, options->send_limit_bytes, &d->upload, err);
    if (!code && d->upload)
        d->total = hob_download_upload_bytes(d->upload);
    if (!code && options->to)
        code = hob_download_file_open(options->to, &d->file, err);
    if (code) {
        end(d);
        free_download(d);
        return code;
    }
    start_timers(d);
    *out = d;
    return 0;
}

static void cancel(struct hob_download *d)
{
    d->cancelled = true;
    if (d->over)
        return;
    end(d);
    free_download(d);
}

extern const struct hob_download_module hob_module;
__attribute__((visibility("default"))) const struct hob_download_module hob_module = {
    .start = start, .cancel = cancel, .version = hob_curl_version};
