/* httpd.c - see httpd.h: loads libmicrohttpd's module at the first use and hands over to it. */
#include "net/httpd.h"

#include "base/module.h"

#include <assert.h>

static const struct hob_httpd_module *load(const char *dir, struct hob_error *err)
{
    return hob_module_open_in(dir, "hob_httpd", err);
}

/* For objects that only the module can have made, so that it is loaded. */
static const struct hob_httpd_module *loaded(void)
{
    const struct hob_httpd_module *module = load(NULL, NULL);
    assert(module);
    return module;
}

int hob_httpd_start(struct hob_loop *loop, const struct hob_httpd_options *options,
                    struct hob_httpd **out, struct hob_error *err)
{
    const struct hob_httpd_module *module = load(hob_loop_module_dir(loop), err);
    return module ? module->start(loop, options, out, err) : HOB_EUNSUPPORTED;
}

int hob_httpd_port(const struct hob_httpd *httpd)
{
    return loaded()->port(httpd);
}

void hob_httpd_respond(struct hob_httpd_request *request, int status,
                       const struct hob_httpd_header *headers, size_t count, const void *body,
                       size_t len)
{
    loaded()->respond(request, status, headers, count, body, len);
}

void hob_httpd_respond_file(struct hob_httpd_request *request, int status,
                            const struct hob_httpd_header *headers, size_t count, int fd,
                            uint64_t offset, uint64_t len)
{
    loaded()->respond_file(request, status, headers, count, fd, offset, len);
}

void hob_httpd_stop(struct hob_httpd *httpd)
{
    if (httpd)
        loaded()->stop(httpd);
}
