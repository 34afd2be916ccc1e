/* download_send.c - one request of a download: whom to connect to, what to send; see
 * download_parts.h.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "device/download_parts.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- the end ---- */

void hob_download_send_end(struct hob_download *d)
{
    hob_curl_close(d->curl);
    d->curl = NULL;
    hob_download_names_cancel(d->names);
    d->names = NULL;
    for (size_t i = 0; i < HOB_DOWNLOAD_ADDRESSES_MAX; i++) {
        hob_free(d->addresses[i]);
        d->addresses[i] = NULL;
    }
}

/* ---- one request ---- */

/* The rest may be asked for if the server can say that it is of the same version, or if the digest
 * will tell. */
static const char *ask_for_rest(struct hob_download *d)
{
    const char *tag = d->file ? hob_download_file_tag(d->file) : "";
    d->ranged = d->file && hob_download_file_bytes(d->file) > 0 && !d->restarted &&
                (*tag || d->request.sha256);
    if (!d->ranged)
        return NULL;
    snprintf(d->from, sizeof d->from, "%llu-",
             (unsigned long long)hob_download_file_bytes(d->file));
    snprintf(d->if_range, sizeof d->if_range, "If-Range: %s", tag);
    return *tag ? d->if_range : NULL;
}

/* What runs on this very host is not reached by the gateway's proxy. */
static const char *proxy_of(const struct hob_download *d)
{
    struct hob_curl_origin origin;
    if (d->request.proxy || !d->request.default_proxy)
        return d->request.proxy;
    hob_curl_origin(d->request.url, &origin, NULL); /* was checked */
    bool here = strcasecmp(origin.host, "localhost") == 0 || strcmp(origin.host, "[::1]") == 0 ||
                strncmp(origin.host, "127.", 4) == 0;
    return here ? "" : d->request.default_proxy;
}

static int64_t on_read(void *user, char *to, size_t room)
{
    struct hob_download *d = user;
    d->moved_ms = hob_clock_mono_ms();
    return hob_download_upload_read(d->upload, to, room, &d->trouble);
}

static void on_rewind(void *user)
{
    struct hob_download *d = user;
    hob_download_upload_rewind(d->upload);
}

static void send_request(struct hob_download *d)
{
    struct hob_error err;
    const char *headers[HOB_DOWNLOAD_LIST_MAX];
    d->body_begun = false;
    hob_buf_clear(&d->memory);
    const char *if_range = ask_for_rest(d);
    hob_download_request_headers(&d->request, if_range, headers);
    struct hob_curl_options options = {
        .url = d->request.url,
        .method = d->request.method,
        .body = d->request.body,
        .body_len = d->request.body_len,
        .headers = headers,
        .addresses = (const char *const *)d->addresses,
        .range = d->ranged ? d->from : NULL,
        .ca_file = d->request.ca_file,
        .cert_file = d->request.cert_file,
        .key_file = d->request.key_file,
        .key_passphrase = d->request.key_passphrase,
        .proxy = proxy_of(d),
        .sign = d->request.sign,
        .sign_id = d->request.sign_id,
        .sign_secret = d->request.sign_secret,
        .on_read = d->upload ? on_read : NULL,
        .on_rewind = on_rewind,
        .send_bytes = d->upload ? hob_download_upload_bytes(d->upload) : 0,
        .connect_ms = d->request.stall_ms,
        .on_header = hob_download_answer_header,
        .on_data = hob_download_answer_data,
        .on_turn = hob_download_answer_turn,
        .done = hob_download_answer_end,
        .user = d,
    };
    if (hob_curl_start(d->loop, &options, &d->curl, &err))
        hob_download_run_fail(d, &err);
}

static void add_address(struct hob_download *d, const char *entry)
{
    size_t i = 0;
    while (i < HOB_DOWNLOAD_ADDRESSES_MAX && d->addresses[i])
        i++;
    if (entry && i < HOB_DOWNLOAD_ADDRESSES_MAX)
        d->addresses[i] = hob_strdup(entry); /* without: libcurl resolves, in a thread of its own */
}

static void on_target_name(void *user, const char *entry, const struct hob_error *err)
{
    struct hob_download *d = user;
    d->names = NULL;
    add_address(d, entry);
    if (err && !d->addresses[0]) /* with a proxy, it is the proxy that resolves */
        hob_download_run_fail(d, err);
    else
        send_request(d);
}

static void resolve(struct hob_download *d, const struct hob_curl_origin *origin,
                    hob_download_names_fn *then)
{
    struct hob_error err;
    d->names = hob_download_names_start(d->loop, origin->host, origin->port, then, d, &err);
    if (!d->names)
        hob_download_run_fail(d, &err);
}

static void resolve_target(struct hob_download *d)
{
    struct hob_curl_origin origin;
    hob_curl_origin(d->request.url, &origin, NULL); /* was checked */
    if (origin.host[0] == '[')
        send_request(d); /* an IPv6 address */
    else
        resolve(d, &origin, on_target_name);
}

static void on_proxy_name(void *user, const char *entry, const struct hob_error *err)
{
    struct hob_download *d = user;
    d->names = NULL;
    add_address(d, entry);
    if (!proxy_of(d))
        resolve_target(d); /* no_proxy may make the proxy's name needless */
    else if (err)
        hob_download_run_fail_with(d, err->code, "proxy: %s", err->message);
    else
        send_request(d); /* it is the proxy that looks for the target */
}

void hob_download_send(struct hob_download *d)
{
    struct hob_curl_origin origin, proxy;
    hob_curl_origin(d->request.url, &origin, NULL);
    bool by_proxy = hob_curl_proxy(&origin, proxy_of(d), &proxy);
    if (by_proxy && proxy.host[0] != '[')
        resolve(d, &proxy, on_proxy_name);
    else if (by_proxy && proxy_of(d))
        send_request(d);
    else
        resolve_target(d);
}
