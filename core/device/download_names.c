/* download_names.c - see download_names.h */
#include "device/download_names.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

#define HOST_MAX  256
#define PORT_MAX  8
#define ENTRY_MAX 4096

struct hob_download_names {
    uv_getaddrinfo_t request;
    char host[HOST_MAX], port[PORT_MAX];
    hob_download_names_fn *done; /* NULL: cancelled */
    void *user;
};

static int append_address(struct hob_buf *entry, const struct addrinfo *info, const char *before)
{
    char text[64];
    if (uv_ip_name(info->ai_addr, text, sizeof text))
        return 0;
    return hob_buf_printf(entry, info->ai_family == AF_INET6 ? "%s[%s]" : "%s%s", before, text);
}

static void give(struct hob_download_names *names, const struct addrinfo *list)
{
    struct hob_error err;
    struct hob_buf entry;
    hob_buf_init(&entry, ENTRY_MAX);
    int code = hob_buf_printf(&entry, "%s:%s:", names->host, names->port);
    const char *before = "";
    for (const struct addrinfo *info = list; info && !code; info = info->ai_next, before = ",")
        code = append_address(&entry, info, before);
    const char *string = code == HOB_ENOMEM ? NULL : hob_buf_string(&entry);
    if (!string)
        hob_error_set(&err, HOB_ENOMEM, "%s: out of memory", names->host);
    names->done(names->user, string, string ? NULL : &err);
    hob_buf_free(&entry);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct hob_download_names *names = request->data;
    struct hob_error err;
    if (names->done && status) {
        hob_error_set(&err, HOB_ERESOLVE, "%s: the name could not be resolved (%s)", names->host,
                      uv_strerror(status));
        names->done(names->user, NULL, &err);
    } else if (names->done) {
        give(names, list);
    }
    uv_freeaddrinfo(list);
    hob_free(names);
}

struct hob_download_names *hob_download_names_start(struct hob_loop *loop, const char *host,
                                                    const char *port, hob_download_names_fn *done,
                                                    void *user, struct hob_error *err)
{
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct hob_download_names *names = hob_calloc(1, sizeof *names);
    if (!names || strlen(host) >= sizeof names->host) {
        hob_free(names);
        hob_error_set(err, HOB_ERESOLVE, "%.80s: the name could not be resolved (too long)", host);
        return NULL;
    }
    snprintf(names->host, sizeof names->host, "%s", host);
    snprintf(names->port, sizeof names->port, "%s", port);
    names->done = done;
    names->user = user;
    names->request.data = names;
    int status =
        uv_getaddrinfo(hob_loop_uv(loop), &names->request, on_resolved, host, port, &hints);
    if (status == 0)
        return names;
    hob_free(names);
    hob_error_set(err, HOB_ERESOLVE, "%s: the name could not be resolved (%s)", host,
                  uv_strerror(status));
    return NULL;
}

/* It ends in its own time; on_resolved frees it. */
void hob_download_names_cancel(struct hob_download_names *names)
{
    if (!names)
        return;
    names->done = NULL;
    uv_cancel((uv_req_t *)&names->request);
}
