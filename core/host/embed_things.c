/* embed_things.c - things that a product adds, takes out and looks at: see hob.h */
#include "host/embed.h"

#include "base/alloc.h"
#include "host/runtime_parts.h"

#include <stdio.h>
#include <string.h>

#define MEMBERS 8

/* ---- adding ---- */

static size_t count_words(const char *const *words)
{
    size_t count = 0;
    while (words && words[count]) {
        count += 2;
    }
    return count;
}

/* Name, value, ..., NULL: the members first, so that `settings` win. Caller frees. */
static const char **list_settings(const struct hob_thing_settings *settings, const char *port)
{
    const char *const members[][2] = {{"thing_name", settings->thing_name},
                                      {"client_id", settings->client_id},
                                      {"endpoint", settings->endpoint},
                                      {"port", settings->port ? port : NULL},
                                      {"ca", settings->ca},
                                      {"cert", settings->cert},
                                      {"key", settings->key},
                                      {"connection", settings->connection}};
    size_t more = count_words(settings->settings), count = 0;
    const char **list = hob_calloc(2 * MEMBERS + more + 1, sizeof *list);
    for (size_t i = 0; list && i < MEMBERS; i++) {
        if (members[i][1]) {
            list[count++] = members[i][0];
            list[count++] = members[i][1];
        }
    }
    for (size_t i = 0; list && i < more; i++) {
        list[count++] = settings->settings[i];
    }
    return list;
}

static int check_pairs(const char *const *settings, struct hob_error *err)
{
    for (const char *const *at = settings; at && at[0]; at += 2) {
        if (!at[1]) {
            return hob_error_set(err, HOB_EINVAL, "settings: %s: expected a value after it", at[0]);
        }
    }
    return 0;
}

static int make_config(const struct hob_runtime *runtime, const struct hob_thing_settings *settings,
                       struct hob_config_thing *out, struct hob_error *err)
{
    char port[16];
    snprintf(port, sizeof port, "%d", settings->port);
    int rc = check_pairs(settings->settings, err);
    if (rc) {
        return rc;
    }
    const char **list = list_settings(settings, port);
    rc = list ? hob_config_thing_make(out, &runtime->config, list, err)
              : hob_error_set(err, HOB_ENOMEM, "adding a thing: out of memory");
    hob_free(list);
    return rc;
}

int hob_runtime_add_thing(struct hob_runtime *runtime, const struct hob_thing_settings *given,
                          struct hob_error *err)
{
    struct hob_thing_settings settings;
    struct hob_config_thing config;
    struct hob_error own = {0};
    err = err ? err : &own;
    int rc = hob_sized_take(&settings, sizeof settings, given, "hob_thing_settings", err);
    rc = rc ? rc : make_config(runtime, &settings, &config, err);
    if (rc == 0) {
        rc = hob_things_add(runtime->things, &config, err);
        hob_config_thing_free(&config);
    }
    return rc;
}

/* ---- taking out ---- */

int hob_runtime_remove_thing(struct hob_runtime *runtime, const char *thing_name,
                             void (*removed)(void *user), void *user, struct hob_error *err)
{
    struct hob_error own = {0};
    err = err ? err : &own;
    if (!thing_name) {
        return hob_error_set(err, HOB_EINVAL, "thing_name: expected a name");
    }
    return hob_things_remove(runtime->things, thing_name, removed, user, err);
}

/* ---- looking ---- */

static void count_job(void *user, const struct hob_executor_view *view)
{
    size_t *count = user;
    *count += !(strcmp(view->state, "waiting") == 0 && view->attempt == 0);
}

int hob_runtime_thing_status(struct hob_runtime *runtime, const char *thing_name,
                             struct hob_thing_status *out)
{
    const struct hob_thing *thing =
        out && thing_name ? hob_things_find(runtime->things, thing_name) : NULL;
    size_t room = out ? out->size : 0;
    if (room <= sizeof room || !thing_name) {
        return HOB_EINVAL;
    }
    if (!thing) {
        return HOB_ENOENT;
    }
    struct hob_thing_status status = {.size = room,
                                      .online = hob_thing_online(thing),
                                      .why = hob_thing_why(thing),
                                      .untold = hob_thing_untold(thing)};
    hob_thing_each_job(thing, count_job, &status.running);
    memset(out, 0, room);
    memcpy(out, &status, room < sizeof status ? room : sizeof status);
    return 0;
}
