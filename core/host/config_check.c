/* config_check.c - whether the values of a configuration make sense together; see config_value.h */
#include "host/config_index.h"
#include "host/config_value.h"

#include "jobs/protocol.h"
#include "net/mqtt.h"
#include "net/tls.h"
#include "work/scripts_dirs.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct hob_config_origin origin_of(const struct hob_config_load *load, const char *name,
                                          size_t thing)
{
    const struct hob_config_key *key = hob_config_key_find(name);
    bool by_flag = !load->file || (key && load->by_flag[key - hob_config_key_at(0)]);
    struct hob_config_origin origin = {by_flag ? NULL : load->file, load->text,
                                       load->config->thing_count > 1 ? thing : 0, load->is_call};
    return origin;
}

static int need(const struct hob_config_load *load, const char *value, const char *name,
                size_t thing)
{
    if (value[0]) {
        return 0;
    }
    if (load->is_call) {
        return hob_error_set(load->err, HOB_ECONFIG, "%s is missing", name);
    }
    char flag[HOB_CONFIG_PLACE_MAX];
    hob_config_place(&(struct hob_config_origin){0}, name, flag, sizeof flag);
    if (thing && load->config->thing_count > 1) {
        return hob_error_set(load->err, HOB_ECONFIG,
                             "%s: things[%zu]: %s is missing: set the key %s there, or beside "
                             "things for all",
                             load->file, thing, name, name);
    }
    bool of_tls = strcmp(name, "ca") == 0;
    return hob_error_set(load->err, HOB_ECONFIG, "%s%s%s is missing: set the key %s or give %s%s",
                         load->file ? load->file : "", load->file ? ": " : "", name, name, flag,
                         of_tls ? "; a broker without TLS needs tls = false or --no-tls" : "");
}

int hob_config_check_file(const struct hob_config_load *load, const char *path, const char *name,
                          size_t thing)
{
    struct hob_config_origin origin = origin_of(load, name, thing);
    char where[HOB_CONFIG_PLACE_MAX];
    struct stat info;
    if (stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, R_OK) == 0) {
        return 0;
    }
    int why = stat(path, &info) ? errno : S_ISREG(info.st_mode) ? EACCES : 0;
    hob_config_place(&origin, name, where, sizeof where);
    return hob_error_set(load->err, HOB_ECONFIG, "%s: expected a file that can be read, got %s: %s",
                         where, path,
                         why                     ? strerror(why)
                         : S_ISDIR(info.st_mode) ? "it is a directory"
                                                 : "it is no file");
}

/* A host name or address; what people write instead is a URL. */
static int check_endpoint(const struct hob_config_load *load, const char *endpoint, size_t thing)
{
    struct hob_config_origin origin = origin_of(load, "endpoint", thing);
    int rc = need(load, endpoint, "endpoint", thing);
    if (rc || strcspn(endpoint, "/ \t\r\n@") == strlen(endpoint)) {
        return rc;
    }
    char got[160];
    snprintf(got, sizeof got, "\"%.128s\"", endpoint);
    return hob_config_expected(&origin, "endpoint", "a host name, without a scheme or a path", got,
                               load->err);
}

static int check_name(const struct hob_config_load *load, const char *name, size_t thing)
{
    struct hob_config_origin origin = origin_of(load, "thing_name", thing);
    char got[200];
    int rc = need(load, name, "thing_name", thing);
    if (!rc && !hob_jobs_thing_valid(name)) {
        snprintf(got, sizeof got, "\"%.128s\" (%zu characters)", name, strlen(name));
        rc = hob_config_expected(&origin, "thing_name", "1 to 128 of [a-zA-Z0-9:_-]", got,
                                 load->err);
    }
    if (!rc && thing && hob_config_index_named(load->index, name, 0) < thing) {
        snprintf(got, sizeof got, "\"%.128s\" twice", name);
        rc = hob_config_expected(&origin, "thing_name", "each thing once", got, load->err);
    }
    return rc;
}

/* The provider signs once now: that it has another key is not to be told by the server, later. */
static int check_provider(const struct hob_config_load *load, const struct hob_config_thing *thing,
                          size_t number)
{
    struct hob_config_origin origin = origin_of(load, "cert", number);
    struct hob_tls_options options = {.ca_file = thing->ca,
                                      .cert_file = thing->cert,
                                      .key_provider = load->config->key_provider,
                                      .thing = thing->thing_name};
    struct hob_tls_config *config = NULL;
    struct hob_error why = {0};
    char where[HOB_CONFIG_PLACE_MAX];
    int rc = hob_tls_config_new(&options, &config, &why);
    rc = rc ? rc : hob_tls_config_probe(config, &why);
    hob_tls_config_free(config);
    if (rc) {
        hob_config_place(&origin, "cert", where, sizeof where);
        hob_error_set(load->err, HOB_ECONFIG, "%s: %s", where, why.message);
    }
    return rc ? HOB_ECONFIG : 0;
}

static int check_tls(const struct hob_config_load *load, const struct hob_config_thing *thing,
                     size_t number)
{
    int rc = need(load, thing->ca, "ca", number);
    rc = rc ? rc : hob_config_check_file(load, thing->ca, "ca", number);
    if (rc || (!thing->cert[0] && !thing->key[0])) {
        return rc;
    }
    bool provided = load->config->key_provider != NULL;
    rc = need(load, thing->cert, "cert", number);
    rc = rc || provided ? rc : need(load, thing->key, "key", number);
    rc = rc ? rc : hob_config_check_file(load, thing->cert, "cert", number);
    rc = rc || provided ? rc : hob_config_check_file(load, thing->key, "key", number);
    return rc || !provided ? rc : check_provider(load, thing, number);
}

static int check_scripts_dir(const struct hob_config_load *load, const char *path, bool may_miss)
{
    struct hob_config_origin origin = origin_of(load, "scripts", 0);
    char where[HOB_CONFIG_PLACE_MAX];
    struct stat info;
    bool there = stat(path, &info) == 0;
    if (there && S_ISDIR(info.st_mode) && access(path, R_OK | X_OK) == 0) {
        return 0;
    }
    int why = errno;
    if (may_miss && !there && why == ENOENT) {
        return 0;
    }
    hob_config_place(&origin, "scripts", where, sizeof where);
    return hob_error_set(load->err, HOB_ECONFIG,
                         "%s: expected a directory that can be read, got %s: %s", where, path,
                         there && !S_ISDIR(info.st_mode) ? "it is no directory" : strerror(why));
}

/* Local handlers may come later: all but the last directory may be missing. */
static int check_scripts(const struct hob_config_load *load)
{
    const char *rest = load->config->scripts;
    size_t left = hob_scripts_dirs_count(rest);
    char dir[PATH_MAX];
    int rc = 0;
    while (rc == 0 && hob_scripts_dirs_next(&rest, dir)) {
        rc = check_scripts_dir(load, dir, --left > 0);
    }
    return rc;
}

/* ${thing} stands for a name, which has no wildcard in it. */
static int check_topics(const struct hob_config_load *load)
{
    struct hob_config_origin origin = origin_of(load, "topics", 0);
    char got[160];
    for (char **topic = load->config->topics; *topic; topic++) {
        if (!hob_mqtt_filter_valid(*topic)) {
            snprintf(got, sizeof got, "\"%.128s\"", *topic);
            return hob_config_expected(
                &origin, "topics", "MQTT filters, such as \"gateways/${thing}/#\"", got, load->err);
        }
    }
    return 0;
}

/* A password in it is not shown. */
static int check_proxy(const struct hob_config_load *load)
{
    struct hob_config_origin origin = origin_of(load, "proxy", 0);
    const char *proxy = load->config->proxy, *host = strstr(proxy, "://");
    char got[160];
    bool http = strncmp(proxy, "http://", 7) == 0 || strncmp(proxy, "https://", 8) == 0;
    if (!*proxy || (http && host[3] && strcspn(proxy, " \t\r\n") == strlen(proxy))) {
        return 0;
    }
    snprintf(got, sizeof got, "\"%.128s\"", proxy);
    return hob_config_expected(&origin, "proxy", "http://HOST:PORT",
                               strchr(proxy, '@') ? "something else" : got, load->err);
}

static int check_signers(const struct hob_config_load *load)
{
    int rc = 0;
    for (char **signer = load->config->signers; *signer && rc == 0; signer++) {
        rc = hob_config_check_file(load, *signer, "signers", 0);
    }
    return rc;
}

static int check_credentials(const struct hob_config_load *load, const char *endpoint, size_t thing)
{
    struct hob_config_origin origin = origin_of(load, "credentials_endpoint", thing);
    char got[160];
    if (strcspn(endpoint, "/ \t\r\n@") == strlen(endpoint)) {
        return 0;
    }
    snprintf(got, sizeof got, "\"%.128s\"", endpoint);
    return hob_config_expected(&origin, "credentials_endpoint",
                               "a host name, without a scheme or a path", got, load->err);
}

static const struct hob_config_thing *find_thing(const struct hob_config_load *load,
                                                 const char *name)
{
    size_t number = hob_config_index_named(load->index, name, 0);
    return number ? &load->config->things[number - 1] : NULL;
}

/* Of a thing that is added later, core/host/things.c sees to it. */
static int check_connection(const struct hob_config_load *load,
                            const struct hob_config_thing *thing, size_t number)
{
    struct hob_config_origin origin = origin_of(load, "connection", number);
    char got[300];
    if (!thing->connection[0]) {
        return 0;
    }
    const struct hob_config_thing *over = find_thing(load, thing->connection);
    if (over && over != thing && !over->connection[0]) {
        return 0;
    }
    snprintf(got, sizeof got, "\"%.128s\", which %s%.128s", thing->connection,
             !over           ? "is not there"
             : over == thing ? "is this one"
                             : "uses that of ",
             over && over != thing ? over->connection : "");
    return hob_config_expected(&origin, "connection",
                               "the name of another of the things, one with a connection of its "
                               "own",
                               got, load->err);
}

const char *hob_config_thing_client_id(const struct hob_config_thing *thing)
{
    return thing->client_id[0] ? thing->client_id : thing->thing_name;
}

bool hob_config_thing_clashes(const struct hob_config_thing *a, const struct hob_config_thing *b)
{
    return !a->connection[0] && !b->connection[0] &&
           strcmp(hob_config_thing_client_id(a), hob_config_thing_client_id(b)) == 0 &&
           strcmp(a->endpoint, b->endpoint) == 0 && a->port == b->port;
}

/* Without client ids of their own they differ as their names do. */
static int check_client_id(const struct hob_config_load *load, const struct hob_config_thing *thing,
                           size_t number)
{
    const struct hob_config_thing *things = load->config->things;
    struct hob_config_origin origin = origin_of(load, "client_id", number);
    char got[200];
    const char *id = thing->client_id;
    size_t other = id[0] ? hob_config_index_identified(load->index, id, 0) : 0;
    for (; other; other = hob_config_index_identified(load->index, id, other)) {
        if (other != number && hob_config_thing_clashes(&things[other - 1], thing)) {
            snprintf(got, sizeof got, "\"%.128s\", with which things[%zu] connects, too", id,
                     other);
            return hob_config_expected(&origin, "client_id",
                                       "another one for each: a broker closes the first connection "
                                       "when a second one comes",
                                       got, load->err);
        }
    }
    return 0;
}

static int told(const struct hob_config_load *load, int rc)
{
    return hob_config_tell(&load->looker, rc, load->err);
}

int hob_config_check_thing(const struct hob_config_load *load, const struct hob_config_thing *thing,
                           size_t number)
{
    assert(thing->endpoint && thing->thing_name && thing->ca && thing->cert && thing->key);
    bool reached = load->config->connection || /* by the product itself */
                   thing->connection[0];       /* or over another thing */
    int rc = reached ? 0 : told(load, check_endpoint(load, thing->endpoint, number));
    rc = rc ? rc : told(load, check_name(load, thing->thing_name, number));
    rc = rc || !thing->tls || reached ? rc : told(load, check_tls(load, thing, number));
    rc = rc || !number ? rc : told(load, check_connection(load, thing, number));
    rc = rc || !number || reached ? rc : told(load, check_client_id(load, thing, number));
    return rc ? rc : told(load, check_credentials(load, thing->credentials_endpoint, number));
}

static int check_things(struct hob_config_load *load)
{
    const struct hob_config *config = load->config;
    struct hob_config_index *index = hob_config_index_new(config->things, config->thing_count);
    int rc = index
                 ? 0
                 : hob_error_set(load->err, HOB_ENOMEM, "reading the configuration: out of memory");
    load->index = index;
    for (size_t i = 0; i < config->thing_count && rc == 0; i++) {
        rc = hob_config_check_thing(load, &config->things[i], i + 1);
    }
    load->index = NULL;
    hob_config_index_free(index);
    return rc;
}

int hob_config_check(struct hob_config_load *load)
{
    const struct hob_config *config = load->config;
    int rc = check_things(load);
    rc = rc ? rc : told(load, need(load, config->data, "data", 0));
    rc = rc ? rc : told(load, check_topics(load));
    rc = rc ? rc : told(load, check_proxy(load));
    rc = rc ? rc : told(load, check_signers(load));
    return rc ? rc : told(load, check_scripts(load));
}
