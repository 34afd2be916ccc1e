/* lua_cloud.c - hob.cloud.core: the running gateway's own connection, for the topics that its owner
 * allows (`topics` in the configuration).
 *
 * hob.cloud.core.open() -> connection | nil, message, "ENOTCONN"    of hob.mqtt, see lua_mqtt.c
 * hob.cloud.core.files() -> { ca =, cert =, key = } | nil, message, "ENOTCONN"
 * hob.cloud.core.reconnect(reason) -> true | nil, message, "ENOTCONN"
 * What handlers call is lib/hob/cloud.lua.  Spec: spec/integration/cloud_spec.lua
 */
#include "lua_mqtt.h"

#include "device/policy.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define CLOUD_KEY   "hob.cloud.connection"
#define THING_MARK  "${thing}"
#define TOPIC_BYTES 256 /* AWS IoT takes no longer one, */
#define TOPIC_DEPTH                                                                                \
    7 /* nor one with more slashes: it closes the connection, which is the jobs'                   \
       */
#define INGEST "$aws/rules/"

/* Can a topic match the filter (or is it one) that is below $aws/things/ANY/jobs? */
static bool reaches_jobs(const char *filter)
{
    static const char *const levels[] = {"$aws", "things", NULL, "jobs"};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        size_t len = strcspn(filter, "/");
        bool any = i > 0 && len == 1 && *filter == '+';
        if (i > 0 && *filter == '#') {
            return true;
        }
        if (!any && levels[i] &&
            (len != strlen(levels[i]) || memcmp(filter, levels[i], len) != 0)) {
            return false;
        }
        filter += len;
        if (!*filter) {
            return i + 1 == sizeof levels / sizeof levels[0];
        }
        filter++;
    }
    return true;
}

/* The first three levels of a basic ingest topic do not count. */
static bool is_too_deep(const char *topic)
{
    int slashes = strncmp(topic, INGEST, strlen(INGEST)) == 0 ? -3 : 0;
    for (; *topic; topic++) {
        slashes += *topic == '/';
    }
    return slashes > TOPIC_DEPTH;
}

static bool is_allowed(lua_State *L, const char *thing, const char *topic, bool is_filter)
{
    const struct hob_policy *policy = hob_bindings_host(L)->policy;
    if (!policy) {
        return true;
    }
    bool found = false;
    for (const char *const *one = policy->topics; one && *one && !found; one++) {
        const char *allowed = luaL_gsub(L, *one, THING_MARK, thing);
        bool hidden = *topic == '$' && *allowed != '$'; /* wildcards do not reach these */
        found = !hidden && (is_filter ? hob_mqtt_filter_covers(allowed, topic)
                                      : hob_mqtt_filter_matches(allowed, topic));
        lua_pop(L, 1);
    }
    return found;
}

int hob_lua_cloud_refuse(lua_State *L, const char *thing, const char *topic, bool is_filter)
{
    if (reaches_jobs(topic)) {
        return hob_lua_mqtt_fail_with(
            L, HOB_EACCES,
            lua_pushfstring(L,
                            "%s: the topics of AWS IoT Jobs are not for hob.cloud; iotjobs works "
                            "with them",
                            topic));
    }
    if (strlen(topic) > TOPIC_BYTES || is_too_deep(topic)) {
        return hob_lua_mqtt_fail_with(L, HOB_EINVAL,
                                      "AWS IoT takes no topic of more than 256 bytes, or with more "
                                      "than 7 slashes");
    }
    if (!is_filter && strpbrk(topic, "+#")) {
        return hob_lua_mqtt_fail_with(L, HOB_EINVAL, "a topic has no + or #");
    }
    if (is_allowed(L, thing, topic, is_filter)) {
        return 0;
    }
    return hob_lua_mqtt_fail_with(
        L, HOB_EACCES,
        lua_pushfstring(L,
                        "%s: the configuration does not allow it: set topics = { allow = { ... "
                        "} }",
                        topic));
}

static int cloud_open(lua_State *L)
{
    return hob_lua_mqtt_push_agent(L, CLOUD_KEY, true, HOB_ENOTCONN);
}

static int no_gateway(lua_State *L)
{
    return hob_lua_mqtt_fail_with(L, HOB_ENOTCONN, "no gateway runs here");
}

/* Whoever uses another's connection has no certificate there, and must not take it from others. */
static int not_its_own(lua_State *L, const struct hob_modules_agent *agent)
{
    return hob_lua_mqtt_fail_with(
        L, HOB_EPERM,
        lua_pushfstring(L,
                        "the connection is not that of %s (it goes via %s): what is to change "
                        "about it is that one's business",
                        agent->thing, agent->via));
}

/* For hob.fs a relative path begins in the directory of the job, for a configuration where Hob was
 * started. */
static void set_file(lua_State *L, const char *name, const char *path)
{
    char here[PATH_MAX];
    if (!path || !*path) {
        return;
    }
    if (*path == '/') {
        lua_pushstring(L, path);
    } else if (getcwd(here, sizeof here)) {
        lua_pushfstring(L, "%s/%s", here, path);
    } else {
        luaL_error(L, "%s: where Hob was started is not there any more: %s", path, strerror(errno));
    }
    lua_setfield(L, -2, name);
}

static int cloud_files(lua_State *L)
{
    const struct hob_modules_agent *agent = hob_bindings_host(L)->agent;
    if (!agent) {
        return no_gateway(L);
    }
    if (agent->via && *agent->via) {
        return not_its_own(L, agent);
    }
    lua_createtable(L, 0, 3);
    set_file(L, "ca", agent->ca);
    set_file(L, "cert", agent->cert);
    set_file(L, "key", agent->key);
    return 1;
}

static int cloud_reconnect(lua_State *L)
{
    const struct hob_modules_agent *agent = hob_bindings_host(L)->agent;
    const char *reason = luaL_checkstring(L, 1);
    if (!agent) {
        return no_gateway(L);
    }
    if (agent->via && *agent->via) {
        return not_its_own(L, agent);
    }
    hob_mqtt_reconnect(hob_mqtt_share_mqtt(agent->share), reason);
    lua_pushboolean(L, true);
    return 1;
}

static const luaL_Reg functions[] = {
    {"open", cloud_open}, {"files", cloud_files}, {"reconnect", cloud_reconnect}, {NULL, NULL}};

int hob_lua_open_cloud(lua_State *L)
{
    hob_lua_mqtt_conn_register(L);
    hob_lua_mqtt_listen_register(L);
    luaL_newlib(L, functions);
    return 1;
}
