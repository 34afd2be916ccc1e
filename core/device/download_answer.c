/* download_answer.c - what comes of a request: the file and its rest, the digest, limits,
 * redirects, refusals; see download_parts.h.
 */
#include "base/clock.h"
#include "device/download_parts.h"
#include "device/download_words.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define REDIRECTS_MAX     10
#define PROGRESS_EVERY_MS 100

/* ---- a finished file ---- */

static void file_finished(void *user, const struct hob_error *err)
{
    struct hob_download *d = user;
    if (err)
        hob_download_run_fail(d, err);
    else
        hob_download_run_tell(d);
}

static int check_size(struct hob_download *d, uint64_t bytes)
{
    char url[HOB_CURL_SHOWN_MAX];
    if (!d->request.size_bytes || bytes == d->request.size_bytes)
        return 0;
    return hob_error_set(&d->trouble, HOB_ELENGTH, "%s has %llu bytes, expected %llu",
                         hob_curl_shown(d->request.url, url), (unsigned long long)bytes,
                         (unsigned long long)d->request.size_bytes);
}

/* All is here: no time-out ends it now. */
static void keep_file(struct hob_download *d)
{
    hob_timer_stop(d->stall_timer);
    hob_timer_stop(d->timeout_timer);
    hob_download_file_finish(d->file, d->loop, file_finished, d);
}

static void finish_file(struct hob_download *d)
{
    if (check_size(d, hob_download_file_bytes(d->file))) {
        hob_download_file_remove(d->file);
        hob_download_run_fail(d, &d->trouble);
        return;
    }
    hob_download_file_sha256(d->file, d->result.sha256);
    if (d->request.sha256 && strcasecmp(d->request.sha256, d->result.sha256) != 0) {
        char url[HOB_CURL_SHOWN_MAX];
        hob_download_file_remove(d->file);
        hob_download_run_fail_with(d, HOB_EDIGEST, "%s: sha256 is %s, expected %s",
                                   hob_curl_shown(d->request.url, url), d->result.sha256,
                                   d->request.sha256);
        return;
    }
    keep_file(d);
}

/* ---- what comes: notes only, `turn` and `end` act on them ---- */

void hob_download_answer_header(void *user, const char *line, size_t len)
{
    struct hob_download *d = user;
    struct hob_download_answer *answer = &d->answer;
    if (len > 5 && strncmp(line, "HTTP/", 5) == 0) {
        *answer = (struct hob_download_answer){.range = ""};
        hob_buf_clear(&d->headers);
    } else {
        hob_buf_append(&d->headers, line, len); /* what is too much is left out */
    }
    hob_curl_header(line, len, "Content-Range", answer->range, sizeof answer->range);
    hob_curl_header(line, len, "ETag", answer->tag, sizeof answer->tag);
    hob_curl_header(line, len, "Last-Modified", answer->modified, sizeof answer->modified);
}

static bool is_redirect(const struct hob_download *d, long status)
{
    return (status == 301 || status == 302 || status == 303 || status == 307 || status == 308) &&
           (strcmp(d->request.method, "GET") == 0 || strcmp(d->request.method, "HEAD") == 0);
}

/* A weak ETag does not promise the same bytes. */
static const char *version_of(const struct hob_download *d)
{
    return *d->answer.tag && strncmp(d->answer.tag, "W/", 2) != 0 ? d->answer.tag
                                                                  : d->answer.modified;
}

/* An answer that is the file, or the rest of it that was asked for. */
static bool is_content(const struct hob_download *d, long status)
{
    return status == 200 || (status == 206 && d->ranged);
}

static int check_range(struct hob_download *d)
{
    struct hob_curl_range range;
    uint64_t have = hob_download_file_bytes(d->file);
    if (!hob_curl_range(d->answer.range, &range) || range.first != have)
        return hob_error_set(&d->trouble, HOB_EPROTO,
                             "asked for the bytes from %llu, got '%s' in Content-Range",
                             (unsigned long long)have, d->answer.range);
    d->total = range.total;
    d->result.resumed_from = have;
    int code = check_size(d, range.total);
    return code ? code : hob_download_file_room(d->file, range.total - have, &d->trouble);
}

/* The first bytes of an answer that is the file: from its beginning, or the rest. */
static int begin_body(struct hob_download *d, long status, int64_t length)
{
    d->body_begun = true;
    if (d->file && status == 206)
        return check_range(d);
    d->total = length > 0 ? (uint64_t)length : 0;
    if (!d->file)
        return 0;
    d->result.resumed_from = 0;
    int code = hob_download_file_bytes(d->file) > 0 || *hob_download_file_tag(d->file)
                   ? hob_download_file_restart(d->file, &d->trouble)
                   : 0;
    if (!code)
        hob_download_file_set_tag(d->file, version_of(d));
    if (!code && d->total)
        code = check_size(d, d->total);
    return code ? code : hob_download_file_room(d->file, d->total, &d->trouble);
}

static int check_limit(struct hob_download *d, size_t len)
{
    char url[HOB_CURL_SHOWN_MAX];
    uint64_t whole = hob_download_run_bytes(d) + len;
    if (d->total > whole)
        whole = d->total;
    if (!d->request.limit_bytes || whole <= d->request.limit_bytes)
        return 0;
    return hob_error_set(&d->trouble, HOB_EMSGSIZE,
                         "%s has %s%llu bytes, more than the limit of %llu",
                         hob_curl_shown(d->request.url, url), d->total ? "" : "over ",
                         (unsigned long long)whole, (unsigned long long)d->request.limit_bytes);
}

/* Of a refusal instead of the file: what it says about itself. */
static void keep_reason(struct hob_download *d, long status, const char *data, size_t len)
{
    size_t room = HOB_DOWNLOAD_REASON_MAX - hob_buf_len(&d->memory);
    if (d->file && status >= 400)
        hob_buf_append(&d->memory, data, len < room ? len : room);
}

int hob_download_answer_data(void *user, long status, int64_t length, const char *data, size_t len)
{
    struct hob_download *d = user;
    bool wanted = d->file ? is_content(d, status) : !is_redirect(d, status);
    d->moved_ms = hob_clock_mono_ms();
    if (!wanted) {
        keep_reason(d, status, data, len);
        return 0;
    }
    int code = d->body_begun ? 0 : begin_body(d, status, length);
    if (!code)
        code = check_limit(d, len);
    if (!code && d->file)
        code = hob_download_file_write(d->file, data, len, &d->trouble);
    if (!code && !d->file && hob_buf_append(&d->memory, data, len))
        code = hob_error_set(&d->trouble, HOB_ENOMEM, "out of memory for the answer");
    return code;
}

void hob_download_answer_turn(void *user)
{
    struct hob_download *d = user;
    uint64_t now = hob_clock_mono_ms(), bytes = hob_download_run_bytes(d);
    bool whole = d->total && bytes == d->total;
    if (!d->on_progress || d->body_begun == (d->upload != NULL) || bytes == d->told_bytes ||
        (!whole && now < d->told_ms + PROGRESS_EVERY_MS))
        return;
    d->told_ms = now;
    d->told_bytes = bytes;
    d->on_progress(d->user, bytes, d->total);
}

/* ---- the end of an exchange ---- */

static void follow(struct hob_download *d, const char *location)
{
    struct hob_error err;
    char url[HOB_CURL_SHOWN_MAX];
    int code = ++d->redirects > REDIRECTS_MAX
                   ? hob_error_set(&err, HOB_EHTTP, "more than %d redirects, the last from %s",
                                   REDIRECTS_MAX, hob_curl_shown(d->request.url, url))
                   : hob_download_request_redirect(&d->request, location, &err);
    if (code) {
        hob_download_run_fail(d, &err);
        return;
    }
    hob_download_send_end(d);
    hob_download_run_later(d, hob_download_send);
}

static void fail_exchange(struct hob_download *d, const struct hob_curl_end *how)
{
    char url[HOB_CURL_SHOWN_MAX], much[64];
    hob_curl_shown(d->request.url, url);
    if (d->file && (d->trouble.code == HOB_EMSGSIZE || d->trouble.code == HOB_ENOSPC ||
                    d->trouble.code == HOB_ELENGTH))
        hob_download_file_remove(d->file);
    struct hob_curl_range range;
    if (d->ranged && !d->body_begun && hob_curl_range(d->answer.range, &range))
        d->total = range.total; /* the rest was promised, but nothing of it came */
    if (d->trouble.code == HOB_EPROTO)
        hob_error_prefix(&d->trouble, "%s: ", url);
    if (d->trouble.code || !how)
        hob_download_run_fail(d, &d->trouble);
    else if (how->code == HOB_ECONNRESET && (d->body_begun || hob_download_run_bytes(d) > 0))
        hob_download_run_fail_with(d, HOB_ECONNRESET, "%s: the connection broke after %s", url,
                                   hob_download_run_amount(d, much, sizeof much));
    else
        hob_download_run_fail_with(d, how->code, "%s: %s", url, how->words);
}

static void retry_whole(struct hob_download *d)
{
    struct hob_error err;
    d->restarted = true;
    hob_download_send_end(d);
    if (hob_download_file_restart(d->file, &err))
        hob_download_run_fail(d, &err);
    else
        hob_download_run_later(d, hob_download_send);
}

/* 416: there is no more than what we have (the process died before the rename), or it is no part of
 * the file at all. */
static void end_refused_range(struct hob_download *d)
{
    char sha256[HOB_SHA256_HEX_MAX] = "";
    unsigned long long total = 0;
    bool whole = sscanf(d->answer.range, "bytes */%llu", &total) == 1 &&
                 total == hob_download_file_bytes(d->file);
    if (whole && d->request.sha256) {
        hob_download_file_sha256(d->file, sha256);
        whole = strcasecmp(sha256, d->request.sha256) == 0;
    }
    if (!whole || !d->request.sha256) {
        retry_whole(d);
        return;
    }
    snprintf(d->result.sha256, sizeof d->result.sha256, "%s", sha256);
    d->result.resumed_from = total;
    keep_file(d);
}

/* libcurl compares what came with Content-Length only: a range may be shorter than the rest. A part
 * that is longer than the file is no part of it. */
static void end_file(struct hob_download *d)
{
    char url[HOB_CURL_SHOWN_MAX], much[64];
    if (!d->body_begun && begin_body(d, d->result.status, 0)) { /* empty: it had no first bytes */
        fail_exchange(d, NULL);
        return;
    }
    if (d->total == 0 || hob_download_run_bytes(d) == d->total) {
        finish_file(d);
        return;
    }
    if (hob_download_run_bytes(d) > d->total)
        hob_download_file_remove(d->file);
    hob_download_run_fail_with(d, HOB_ELENGTH, "%s: the answer ended after %s",
                               hob_curl_shown(d->request.url, url),
                               hob_download_run_amount(d, much, sizeof much));
}

static const char *expected(const struct hob_download *d)
{
    long kind = d->result.status / 100;
    if (kind == 2)
        return ": expected 200 and the whole file";
    return kind == 3 ? ": only redirects of a GET are followed, to where Location says" : "";
}

static void refuse(struct hob_download *d)
{
    char url[HOB_CURL_SHOWN_MAX], words[HOB_DOWNLOAD_WORDS_MAX];
    size_t len = d->result.status >= 400 ? hob_buf_len(&d->memory) : 0;
    hob_download_words(hob_buf_data(&d->memory), len, words);
    hob_download_run_fail_with(d, HOB_EHTTP, "HTTP %ld from %s%s%s%s", d->result.status,
                               hob_curl_shown(d->request.url, url), expected(d), *words ? ": " : "",
                               words);
}

static void end_memory(struct hob_download *d)
{
    bool ok = d->result.status / 100 == 2;
    if (d->request.only_ok && !ok)
        refuse(d);
    else if (ok && d->upload && hob_download_upload_check(d->upload, &d->trouble))
        hob_download_run_fail(d, &d->trouble);
    else
        hob_download_run_tell(d);
}

static void end_ok(struct hob_download *d)
{
    long status = d->result.status;
    if (!d->file)
        end_memory(d);
    else if (status == 416 && d->ranged)
        end_refused_range(d);
    else if (is_content(d, status))
        end_file(d);
    else
        refuse(d);
}

void hob_download_answer_end(void *user, const struct hob_curl_end *how)
{
    struct hob_download *d = user;
    d->result.status = how->status;
    snprintf(d->answer.type, sizeof d->answer.type, "%s", how->type);
    if (how->code)
        fail_exchange(d, how);
    else if (how->location && is_redirect(d, how->status))
        follow(d, how->location);
    else
        end_ok(d);
}
