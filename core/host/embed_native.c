/* embed_native.c - what hob.h has for a product's own C handlers and modules: into the runtime's
 * registry, before the handlers are loaded. What they do later is in core/work/native*.c. */
#include "host/runtime_parts.h"
#include "work/native.h"

static int check_time(const struct hob_runtime *runtime, const char *what, const char *name,
                      struct hob_error *err)
{
    if (!runtime->begun) {
        return 0;
    }
    return hob_error_set(err, HOB_EBUSY,
                         "%s %.80s: the runtime has been started already; add it before "
                         "hob_runtime_start",
                         what, name ? name : "");
}

int hob_runtime_add_handler(struct hob_runtime *runtime, const struct hob_handler *handler,
                            struct hob_error *err)
{
    int rc = check_time(runtime, "handler", handler ? handler->name : "", err);
    return rc ? rc : hob_native_add_handler(runtime->native, handler, err);
}

int hob_runtime_add_module(struct hob_runtime *runtime, const struct hob_module *module,
                           struct hob_error *err)
{
    int rc = check_time(runtime, "module", module ? module->name : "", err);
    return rc ? rc : hob_native_add_module(runtime->native, module, err);
}
