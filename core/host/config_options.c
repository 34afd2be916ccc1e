/* config_options.c - a configuration from struct hob_runtime_options: through the same checks as a
 * file and flags; see config.h */
#include "host/embed.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "host/config_value.h"

#include <stdio.h>
#include <string.h>

#define TEXT_MAX (64 * 1024)

/* ---- one value ---- */

static const struct hob_config_origin by_call = {.is_call = true};

/* A file may have `things = {}`: then there is only what those that are added later begin with. */
static void *base_of(const struct hob_config_load *load, const struct hob_config_key *key)
{
    struct hob_config *config = load->config;
    if (!key->of_thing) {
        return config;
    }
    return config->thing_count ? &config->things[0] : &config->common;
}

/* A table, as the file would have it. */
static int set_table(struct hob_config_load *load, const struct hob_config_key *key,
                     const char *value)
{
    struct hob_buf text;
    hob_buf_init(&text, TEXT_MAX);
    int rc = hob_buf_printf(&text, "return { %s = %s }", key->name, value);
    rc = rc ? hob_error_set(load->err, HOB_ECONFIG, "%s: longer than %d bytes", key->name, TEXT_MAX)
            : hob_config_file_load("settings", hob_buf_string(&text), hob_buf_len(&text),
                                   load->config, &load->looker, load->err);
    hob_buf_free(&text);
    return rc;
}

static int set_value(struct hob_config_load *load, const struct hob_config_key *key,
                     const char *value)
{
    bool is_table = value[strspn(value, " \t\r\n")] == '{';
    if (hob_config_is_list(key) && (is_table || key->type != HOB_CONFIG_COMMAND)) {
        return is_table ? set_table(load, key, value)
                        : hob_config_expected(&by_call, key->name, "a table, as the file has it",
                                              value, load->err);
    }
    if (key->type == HOB_CONFIG_BOOLEAN && strcmp(value, "true") != 0 &&
        strcmp(value, "false") != 0) {
        return hob_config_expected(&by_call, key->name, "true or false", value, load->err);
    }
    return hob_config_set_text(&by_call, key, base_of(load, key), value, load->err);
}

static int set(struct hob_config_load *load, const char *name, const char *value)
{
    const struct hob_config_key *key = hob_config_key_find(name);
    if (!key) {
        return hob_config_unknown(&by_call, name, load->err);
    }
    if (!value) {
        return hob_error_set(load->err, HOB_EINVAL, "%s: expected a value after it", name);
    }
    if (key->of_thing && load->config->thing_count > 1) {
        return hob_error_set(load->err, HOB_ECONFIG,
                             "%s: the configuration has several things: set it there", name);
    }
    load->by_flag[key - hob_config_key_at(0)] = true;
    int rc = set_value(load, key, value);
    /* A file with `things` has what they have in common aside. */
    if (rc == 0 && key->of_thing && load->config->common.thing_name) {
        rc = hob_config_set_text(&by_call, key, &load->config->common, value, load->err);
    }
    return rc;
}

/* ---- all of them ---- */

static int set_settings(struct hob_config_load *load, const char *const *settings)
{
    int rc = 0;
    for (const char *const *at = settings; rc == 0 && at && at[0]; at += 2) {
        rc = set(load, at[0], at[1]);
    }
    if (rc) {
        hob_error_prefix(load->err, "settings: ");
    }
    return rc;
}

static int set_members(struct hob_config_load *load, const struct hob_runtime_options *options)
{
    char port[16];
    snprintf(port, sizeof port, "%d", options->port);
    const struct {
        const char *name, *value;
    } members[] = {{"endpoint", options->endpoint},
                   {"port", options->port ? port : NULL},
                   {"thing_name", options->thing_name},
                   {"ca", options->ca},
                   {"cert", options->cert},
                   {"key", options->key},
                   {"tls", options->no_tls ? "false" : NULL},
                   {"scripts", options->scripts},
                   {"data", options->data}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof members / sizeof members[0]; i++) {
        rc = members[i].value ? set(load, members[i].name, members[i].value) : 0;
    }
    return rc;
}

/* They are added later. */
static int drop_nameless(struct hob_config_load *load)
{
    struct hob_config *config = load->config;
    if (config->thing_count != 1 || config->things[0].thing_name[0]) {
        return 0;
    }
    if (!config->common.thing_name) {
        config->common = config->things[0];
    } else {
        hob_config_thing_free(&config->things[0]);
    }
    hob_free(config->things);
    config->things = NULL;
    config->thing_count = 0;
    return 0;
}

int hob_config_load_options(const struct hob_runtime_options *options, struct hob_config *out,
                            struct hob_error *err)
{
    struct hob_config_load load = {
        .config = out, .file = options->config_file, .is_call = true, .err = err};
    *out = (struct hob_config){.key_provider = options->key_provider,
                               .connection = options->connection};
    int rc = hob_config_set_defaults(out, err);
    rc = rc ? rc : hob_config_read(&load);
    rc = rc ? rc : set_members(&load, options);
    rc = rc ? rc : set_settings(&load, options->settings);
    rc = rc ? rc : drop_nameless(&load);
    rc = hob_config_finish(&load, rc);
    if (rc) {
        hob_config_free(out);
    }
    return rc;
}
