/* download.c - see download.h: loads libcurl's module at the first use and hands over to it. */
#include "device/download.h"

#include "base/module.h"

static const struct hob_download_module *load(const char *dir, struct hob_error *err)
{
    return hob_module_open_in(dir, "hob_download", err);
}

int hob_download_start(struct hob_loop *loop, const struct hob_download_options *options,
                       struct hob_download **out, struct hob_error *err)
{
    const struct hob_download_module *module = load(hob_loop_module_dir(loop), err);
    return module ? module->start(loop, options, out, err) : HOB_EUNSUPPORTED;
}

void hob_download_cancel(struct hob_download *download)
{
    const struct hob_download_module *module =
        load(NULL, NULL); /* loaded: a download was started */
    if (module)
        module->cancel(download);
}

const char *hob_download_version(void)
{
    const struct hob_download_module *module = load(NULL, NULL);
    return module ? module->version() : "libcurl could not be loaded";
}
