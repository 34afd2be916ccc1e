/* config.c - see config.h: the file, then the flags, then whether they make sense together. */
#include "host/config.h"

#include "base/alloc.h"
#include "host/config_value.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char hob_config_usage[] =
    "usage: hob run [--config FILE] [flags]\n"
    "  --config FILE      a Lua table, see docs/reference/config.md; flags override it\n"
    "  --endpoint HOST    the AWS IoT endpoint, or a broker\n"
    "  --port N           8883, or 1883 with --no-tls\n"
    "  --thing-name T     the thing whose jobs are run\n"
    "  --ca FILE --cert FILE --key FILE\n"
    "  --scripts DIR      the job handlers\n"
    "  --data DIR         where Hob keeps its store; one process at a time\n"
    "  --no-tls           plain MQTT; for the bench only\n"
    "  --wait-debugger    job:break_here() waits until somebody attaches (hob repl, hob dap)\n"
    "  --log-level L      debug, info, warn, error or off\n"
    "  --log-format F     text or json\n"
    "  --log-target T     stderr, syslog or a file\n"
    "Every other key that has one value is a flag too: --stop-timeout 30 is stop_timeout = 30.\n";

/* A name in the file may hold anything; a message is one line. */
void hob_config_make_one_line(struct hob_error *err)
{
    for (char *c = err->message; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            *c = '?';
        }
    }
}

int hob_config_tell(const struct hob_config_looker *looker, int rc, struct hob_error *err)
{
    if (rc != HOB_ECONFIG || !looker->problem) {
        return rc;
    }
    hob_config_make_one_line(err);
    looker->problem(looker->user, err->message);
    *err = (struct hob_error){0};
    return 0;
}

/* ---- flags ---- */

struct flag {
    char name[64];     /* as a key: "thing_name" */
    const char *value; /* NULL for --no-tls */
};

/* No keys, and no values. */
static bool is_switch(const char *name)
{
    return strcmp(name, "no_tls") == 0 || strcmp(name, "wait_debugger") == 0;
}

static int find_value(char **argv, int *i, struct flag *flag, struct hob_error *err)
{
    const char *equals = strchr(argv[*i], '=');
    const char *next = argv[*i + 1];
    if (is_switch(flag->name)) {
        return equals ? hob_error_set(err, HOB_ECONFIG, "%.*s: expected no value",
                                      (int)(equals - argv[*i]), argv[*i])
                      : 0;
    }
    if (!equals && (!next || strncmp(next, "--", 2) == 0)) {
        return hob_error_set(err, HOB_ECONFIG, "%s: expected a value after it", argv[*i]);
    }
    flag->value = equals ? equals + 1 : next;
    *i += !equals;
    return 0;
}

/* The flag at argv[*i]; moves on to the next one. */
static int next_flag(char **argv, int *i, struct flag *flag, struct hob_error *err)
{
    const char *word = argv[*i];
    if (strncmp(word, "--", 2) != 0) {
        return hob_error_set(err, HOB_ECONFIG, "%s: expected a flag; see hob run --help", word);
    }
    snprintf(flag->name, sizeof flag->name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    flag->value = NULL;
    for (char *c = flag->name; *c; c++) {
        *c = *c == '-' ? '_' : *c;
    }
    const struct hob_config_key *key = hob_config_key_find(flag->name);
    bool other = strcmp(flag->name, "config") == 0 || is_switch(flag->name);
    if (key && ((hob_config_is_list(key) && key->type != HOB_CONFIG_COMMAND) ||
                key->type == HOB_CONFIG_BOOLEAN)) {
        return hob_error_set(err, HOB_ECONFIG, "%s: no flag; set the key %s in the configuration%s",
                             word, key->name,
                             strcmp(key->name, "tls") == 0 ? ", or give --no-tls" : "");
    }
    if (!key && !other) {
        return hob_config_unknown(&(struct hob_config_origin){0}, flag->name, err);
    }
    int rc = find_value(argv, i, flag, err);
    *i += 1;
    return rc;
}

static int set_flag(struct hob_config_load *load, const struct flag *flag)
{
    static const struct hob_config_origin origin = {0};
    struct hob_config *config = load->config;
    const struct hob_config_key *key = hob_config_key_find(flag->name);
    if (strcmp(flag->name, "no_tls") == 0) {
        for (size_t i = 0; i < config->thing_count; i++) {
            config->things[i].tls = false;
        }
        config->common.tls = false;
    }
    config->wait_debugger = config->wait_debugger || strcmp(flag->name, "wait_debugger") == 0;
    if (!key) {
        return 0;
    }
    if (key->of_thing && config->thing_count > 1) {
        return hob_error_set(load->err, HOB_ECONFIG,
                             "--%s: the configuration has several things; set %s there", flag->name,
                             key->name);
    }
    load->by_flag[key - hob_config_key_at(0)] = true;
    if (!key->of_thing) {
        return hob_config_set_text(&origin, key, config, flag->value, load->err);
    }
    int rc = config->common.thing_name
                 ? hob_config_set_text(&origin, key, &config->common, flag->value, load->err)
                 : 0;
    return rc || !config->thing_count
               ? rc
               : hob_config_set_text(&origin, key, &config->things[0], flag->value, load->err);
}

static int set_flags(struct hob_config_load *load, int argc, char **argv)
{
    int rc = 0;
    for (int i = 0; i < argc && rc == 0;) {
        struct flag flag;
        rc = next_flag(argv, &i, &flag, load->err);
        rc = rc ? rc : set_flag(load, &flag);
    }
    return rc;
}

/* Which file, before any flag is set: the flags override it, wherever --config stands. */
static int find_file(struct hob_config_load *load, int argc, char **argv)
{
    int rc = 0;
    for (int i = 0; i < argc && rc == 0;) {
        struct flag flag = {0};
        rc = next_flag(argv, &i, &flag, load->err);
        if (rc == 0 && strcmp(flag.name, "config") == 0) {
            rc = load->file ? hob_error_set(load->err, HOB_ECONFIG, "--config: given twice") : 0;
            load->file = flag.value;
        }
    }
    return rc;
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

/* ---- the whole ---- */

static int set_default(struct hob_config *config, const struct hob_config_key *key,
                       struct hob_error *err)
{
    static const struct hob_config_origin origin = {0};
    void *base = key->of_thing ? (void *)&config->things[0] : (void *)config;
    bool textual = key->type <= HOB_CONFIG_TARGET || key->type == HOB_CONFIG_CHOICE ||
                   key->type == HOB_CONFIG_FILTER;
    if (textual && !key->fallback) {
        char **slot = (char **)(void *)((char *)base + key->offset);
        *slot = hob_strdup("");
        return *slot ? 0 : HOB_ENOMEM;
    }
    if (hob_config_is_list(key) && !key->fallback) {
        char ***slot = (char ***)(void *)((char *)base + key->offset);
        *slot = hob_calloc(1, sizeof **slot);
        return *slot ? 0 : HOB_ENOMEM;
    }
    return key->fallback ? hob_config_set_text(&origin, key, base, key->fallback, err) : 0;
}

int hob_config_set_defaults(struct hob_config *config, struct hob_error *err)
{
    const struct hob_key_provider *provider = config->key_provider;
    struct hob_connection *connection = config->connection;
    memset(config, 0, sizeof *config);
    config->key_provider = provider;
    config->connection = connection;
    config->things = hob_calloc(1, sizeof *config->things);
    config->thing_count = 1;
    config->config_file = hob_strdup("");
    config->config_text = hob_strdup("");
    bool whole = config->things && config->config_file && config->config_text;
    int rc = whole ? 0 : HOB_ENOMEM;
    for (size_t i = 0; hob_config_key_at(i) && rc == 0; i++) {
        rc = set_default(config, hob_config_key_at(i), err);
    }
    return rc ? hob_error_set(err, rc, "reading the configuration: out of memory") : 0;
}

/* A function in it is compiled again, in the sandbox where it will run. */
static int keep_text(struct hob_config_load *load)
{
    struct hob_config *config = load->config;
    if (!load->file) {
        return 0;
    }
    hob_free(config->config_file);
    hob_free(config->config_text);
    config->config_file = hob_strdup(load->file);
    config->config_text = load->text;
    load->text = NULL;
    return config->config_file
               ? 0
               : hob_error_set(load->err, HOB_ENOMEM, "reading the configuration: out of memory");
}

/* What things that are added later begin with: all that one may share with another. */
static int keep_common(struct hob_config_load *load)
{
    struct hob_config *config = load->config;
    struct hob_config_thing *common = &config->common;
    int rc = common->thing_name || !config->thing_count
                 ? 0
                 : hob_config_thing_copy(common, &config->things[0], load->err);
    if (rc == 0 && common->thing_name) {
        common->thing_name[0] = common->client_id[0] = '\0';
    }
    return rc;
}

int hob_config_read(struct hob_config_load *load)
{
    size_t len = 0;
    if (!load->file) {
        return 0;
    }
    load->text = hob_config_file_read(load->file, &len, load->err);
    return load->text ? hob_config_file_load(load->file, load->text, len, load->config,
                                             &load->looker, load->err)
                      : load->err->code;
}

int hob_config_finish(struct hob_config_load *load, int rc)
{
    rc = rc ? rc : keep_common(load);
    rc = rc ? rc : hob_config_check(load);
    rc = rc ? rc : keep_text(load);
    hob_free(load->text);
    if (rc) {
        hob_config_make_one_line(load->err);
    }
    return rc;
}

static int load_all(struct hob_config_load *load, int argc, char **argv)
{
    int rc = find_file(load, argc, argv);
    rc = rc ? rc : hob_config_read(load);
    rc = rc ? rc : set_flags(load, argc, argv);
    return hob_config_finish(load, rc);
}

int hob_config_load(int argc, char **argv, struct hob_config *out, struct hob_error *err)
{
    struct hob_config_load load = {.config = out, .err = err};
    int rc = hob_config_set_defaults(out, err);
    if (rc == 0 && asks_for_help(argc, argv)) {
        return 1;
    }
    return rc ? rc : load_all(&load, argc, argv);
}

int hob_config_look(int argc, char **argv, struct hob_config *out, hob_config_problem_fn *problem,
                    void *user, struct hob_error *err)
{
    struct hob_config_load load = {.config = out, .looker = {problem, user}, .err = err};
    int rc = hob_config_set_defaults(out, err);
    return rc ? rc : load_all(&load, argc, argv);
}

struct hob_policy hob_config_policy(const struct hob_config *config)
{
    return (struct hob_policy){.exec_user = config->exec_user,
                               .privileged = (const char *const *)config->privileged,
                               .users = (const char *const *)config->users,
                               .commands = (const char *const *)config->allowed_commands,
                               .handler_dir = config->handler_dir,
                               .roots = (const char *const *)config->fs_roots,
                               .topics = (const char *const *)config->topics,
                               .signers = (const char *const *)config->signers,
                               .proxy = config->proxy};
}

int hob_config_check_user(const struct hob_config *config, struct hob_error *err)
{
    struct hob_policy policy = hob_config_policy(config);
    struct hob_config_origin origin = {.file = config->config_file[0] ? config->config_file : NULL,
                                       .source = config->config_text};
    char where[HOB_CONFIG_PLACE_MAX];
    struct hob_error why = {0};
    int rc = hob_policy_check(&policy, geteuid(), &why);
    if (rc) {
        hob_config_place(&origin, "exec_user", where, sizeof where);
        hob_error_set(err, rc, "%s: %s", where, why.message);
        hob_config_make_one_line(err);
    }
    return rc;
}

void hob_config_free(struct hob_config *config)
{
    for (size_t i = 0; config->things && i < config->thing_count; i++) {
        hob_config_thing_free(&config->things[i]);
    }
    hob_free(config->things);
    hob_config_thing_free(&config->common);
    char **lists[] = {config->allowed_commands,
                      config->reboot_command,
                      config->privileged,
                      config->users,
                      config->fs_roots,
                      config->topics,
                      config->signers,
                      config->job_types,
                      config->routes};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        hob_config_free_words(lists[i]);
    }
    hob_free(config->exec_user);
    hob_free(config->handler_dir);
    hob_free(config->proxy);
    hob_free(config->boot_id_file);
    hob_free(config->job_filter);
    hob_free(config->config_file);
    hob_free(config->config_text);
    hob_free(config->scripts);
    hob_free(config->data);
    hob_free(config->log_level);
    hob_free(config->log_format);
    hob_free(config->log_target);
    hob_free(config->unknown_jobs);
    memset(config, 0, sizeof *config);
}
