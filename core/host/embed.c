/* embed.c - the life of a runtime, for products: see hob.h */
#include "host/embed.h"

#include "base/posts.h"
#include "host/runtime_parts.h"

#include <stdio.h>
#include <stdlib.h>

const char *hob_version(void)
{
    return HOB_VERSION;
}

/* There is nobody to return an error to, and going on would use what is gone. */
static void refuse(const char *function, const char *why)
{
    fprintf(stderr, "hob: %s was called %s\n", function, why);
    abort();
}

static void refuse_inside(const struct hob_runtime *runtime, const char *function)
{
    if (hob_runtime_is_inside(runtime)) {
        refuse(function, "inside a callback of the runtime: return from it first");
    }
}

/* ---- making ---- */

int hob_runtime_new(const struct hob_runtime_options *given, struct hob_runtime **out,
                    struct hob_error *err)
{
    struct hob_runtime_options options;
    struct hob_key_provider provider;
    struct hob_config config;
    struct hob_error own = {0};
    err = err ? err : &own;
    *out = NULL;
    int rc = hob_sized_take(&options, sizeof options, given, "hob_runtime_options", err);
    if (rc == 0 && options.key_provider) {
        rc = hob_sized_take(&provider, sizeof provider, options.key_provider, "hob_key_provider",
                            err);
        options.key_provider = &provider;
    }
    rc = rc ? rc : hob_config_load_options(&options, &config, err);
    return rc ? rc : hob_runtime_make(&config, &options, out, err);
}

int hob_runtime_start(struct hob_runtime *runtime, struct hob_error *err)
{
    struct hob_error own = {0};
    return hob_runtime_begin(runtime, err ? err : &own);
}

/* ---- driving ---- */

int hob_runtime_run(struct hob_runtime *runtime)
{
    if (!hob_loop_is_own(runtime->loop) || (!runtime->begun && !runtime->stopping)) {
        return HOB_EINVAL;
    }
    refuse_inside(runtime, "hob_runtime_run");
    runtime->driving++;
    while (!runtime->stopped) {
        hob_loop_run(runtime->loop);
    }
    runtime->driving--;
    return 0;
}

int hob_runtime_fd(const struct hob_runtime *runtime)
{
    return hob_loop_is_own(runtime->loop) ? hob_loop_fd(runtime->loop) : -1;
}

int hob_runtime_timeout_ms(const struct hob_runtime *runtime)
{
    bool idle = runtime->stopped || !hob_loop_is_own(runtime->loop);
    return idle ? -1 : hob_loop_timeout_ms(runtime->loop);
}

int hob_runtime_dispatch(struct hob_runtime *runtime)
{
    if (runtime->stopped || !hob_loop_is_own(runtime->loop)) {
        return 0;
    }
    refuse_inside(runtime, "hob_runtime_dispatch");
    runtime->driving++;
    hob_loop_dispatch(runtime->loop);
    runtime->driving--;
    return !runtime->stopped;
}

int hob_post(struct hob_runtime *runtime, void (*fn)(void *user), void *user)
{
    if (!runtime) {
        return HOB_EINVAL;
    }
    return runtime->posts ? hob_posts_add(runtime->posts, fn, user) : HOB_ECANCELED;
}

/* ---- the end ---- */

void hob_runtime_stop(struct hob_runtime *runtime, const char *why, void (*stopped)(void *user),
                      void *user)
{
    if (hob_runtime_ask_to_stop(runtime, why && *why ? why : "the program asks for it", stopped,
                                user)) {
        refuse("hob_runtime_stop", "and there is no memory to remember whom to tell");
    }
}

void hob_runtime_free(struct hob_runtime *runtime)
{
    if (!runtime) {
        return;
    }
    refuse_inside(runtime, "hob_runtime_free");
    if (runtime->freeing) {
        refuse("hob_runtime_free", "while it frees already");
    }
    hob_runtime_close(runtime);
}
