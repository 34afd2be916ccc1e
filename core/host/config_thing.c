/* config_thing.c - what is set for one thing: copied, freed, made of settings; see config.h */
#include "base/alloc.h"
#include "host/config_value.h"

#include <string.h>

/* Its texts, one after the other, so that copying and freeing cannot disagree. @return NULL past
 * the last */
static char **next_text(struct hob_config_thing *thing, size_t *at)
{
    const struct hob_config_key *key;
    while ((key = hob_config_key_at((*at)++))) {
        bool textual = key->type <= HOB_CONFIG_TARGET || key->type == HOB_CONFIG_CHOICE;
        if (key->of_thing && textual) {
            return (char **)(void *)((char *)thing + key->offset);
        }
    }
    return NULL;
}

void hob_config_thing_free(struct hob_config_thing *thing)
{
    char **text;
    for (size_t at = 0; (text = next_text(thing, &at)) != NULL;) {
        hob_free(*text);
    }
    memset(thing, 0, sizeof *thing);
}

int hob_config_thing_copy(struct hob_config_thing *to, const struct hob_config_thing *from,
                          struct hob_error *err)
{
    char **text;
    int rc = 0;
    *to = *from;
    for (size_t at = 0; (text = next_text(to, &at)) != NULL;) {
        *text = hob_strdup(*text);
        rc = *text ? rc : HOB_ENOMEM;
    }
    return rc ? hob_error_set(err, rc, "reading the configuration: out of memory") : 0;
}

/* What is named must be there, also if nothing uses it now: without TLS, over another thing. */
static int check_named(const struct hob_config_load *load, const char *name, const char *value)
{
    const struct hob_config_key *key = hob_config_key_find(name);
    bool is_used = !load->config->key_provider || strcmp(name, "key") != 0;
    return key && key->type == HOB_CONFIG_FILE && value[0] && is_used
               ? hob_config_check_file(load, value, name, 0)
               : 0;
}

static int set(struct hob_config_thing *thing, const char *name, const char *value,
               struct hob_error *err)
{
    static const struct hob_config_origin origin = {.is_call = true};
    const struct hob_config_key *key = hob_config_key_find(name);
    if (key && !key->of_thing) {
        return hob_error_set(err, HOB_ECONFIG, "%s: it holds for all things, not for one", name);
    }
    if (!key) {
        return hob_config_unknown(&origin, name, err);
    }
    if (key->type == HOB_CONFIG_BOOLEAN && strcmp(value, "true") != 0 &&
        strcmp(value, "false") != 0) {
        return hob_config_expected(&origin, name, "true or false", value, err);
    }
    return hob_config_set_text(&origin, key, thing, value, err);
}

int hob_config_thing_make(struct hob_config_thing *out, const struct hob_config *config,
                          const char *const *settings, struct hob_error *err)
{
    struct hob_config_load load = {
        .config = (struct hob_config *)(uintptr_t)config, .is_call = true, .err = err};
    int rc = hob_config_thing_copy(out, &config->common, err);
    for (const char *const *at = settings; rc == 0 && at && at[0]; at += 2) {
        rc = set(out, at[0], at[1], err);
        rc = rc ? rc : check_named(&load, at[0], at[1]);
    }
    rc = rc ? rc : hob_config_check_thing(&load, out, 0);
    if (rc) {
        hob_config_make_one_line(err);
        hob_config_thing_free(out);
    }
    return rc;
}
