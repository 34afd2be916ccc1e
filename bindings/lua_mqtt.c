/* lua_mqtt.c - hob.mqtt: connections to a broker, kept up in the background.
 *
 * hob.mqtt.connect{ host =, client_id =, ... } -> connection          `hob lua` only
 * hob.mqtt.agent() -> connection | nil, message, "ENOENT"             the running gateway's own
 * hob.mqtt.unique_id() -> string                                      32 random hexadecimal digits
 * connection:listen(filter, fn) -> listener                           fn(topic, payload, qos,
 * retain) connection:on_state(fn) -> listener                                 fn("up",
 * session_present), fn("down", message, code, retry_seconds), fn("closed")
 * listener:subscribe([qos]) -> qos | nil, message, code               waits; with a second
 * argument, listener:unsubscribe() -> true | nil, message, code                 a function, that is
 * called listener:close() Specs: spec/integration/mqtt_spec.lua, mqtt_share_spec.lua
 */
#include "lua_mqtt.h"

#include "base/random.h"
#include "work/modules.h"

#include <limits.h>

#define UNIQUE_MAX 33
#define AGENT_KEY  "the gateway's connection" /* of the registry */

/* ---- the events of one's own connection ---- */

static void on_up(void *user, bool session_present)
{
    struct hob_lua_mqtt_conn *conn = user;
    hob_lua_mqtt_conn_enter(conn);
    hob_mqtt_share_up(conn->share, session_present);
    hob_lua_mqtt_conn_leave(conn);
}

static void on_down(void *user, const struct hob_error *why, uint64_t retry_ms)
{
    struct hob_lua_mqtt_conn *conn = user;
    hob_lua_mqtt_conn_enter(conn);
    hob_mqtt_share_down(conn->share, why, retry_ms);
    hob_lua_mqtt_conn_leave(conn);
}

static void on_message(void *user, const struct hob_mqtt_message *message)
{
    struct hob_lua_mqtt_conn *conn = user;
    hob_lua_mqtt_conn_enter(conn);
    hob_lua_mqtt_tell_message(conn->on_message, message);
    hob_mqtt_share_message(conn->share, message);
    hob_lua_mqtt_conn_leave(conn);
}

/* ---- connect ---- */

static const char *const connect_options[] = {
    "host",         "port",        "client_id",   "tls",
    "ca",           "cert",        "key",         "key_passphrase",
    "alpn",         "username",    "password",    "protocol",
    "keep_alive",   "clean",       "runtime_dir", "connect_timeout",
    "backoff_base", "backoff_cap", "payload_max", "thing",
    "on_up",        "on_down",     "on_message",  NULL};

static int opt_int(lua_State *L, const char *name, int fallback)
{
    double value = hob_lua_opt_number(L, 1, name, fallback);
    if (!(value >= 0 && value <= INT_MAX) || value != (int)value) {
        luaL_error(L, "%s: expected a whole number", name);
    }
    return (int)value;
}

static uint64_t opt_ms(lua_State *L, const char *name)
{
    return hob_lua_ms(L, hob_lua_opt_number(L, 1, name, 0), name);
}

static void read_options(lua_State *L, struct hob_mqtt_options *o)
{
    hob_lua_check_options(L, 1, connect_options);
    o->host = hob_lua_opt_string(L, 1, "host", NULL);
    o->client_id = hob_lua_opt_string(L, 1, "client_id", NULL);
    o->username = hob_lua_opt_string(L, 1, "username", NULL);
    o->password = hob_lua_opt_string(L, 1, "password", NULL);
    o->use_tls = hob_lua_opt_boolean(L, 1, "tls", true);
    o->port = opt_int(L, "port", o->use_tls ? 8883 : 1883);
    o->tls.ca_file = hob_lua_opt_string(L, 1, "ca", NULL);
    o->tls.cert_file = hob_lua_opt_string(L, 1, "cert", NULL);
    o->tls.key_file = hob_lua_opt_string(L, 1, "key", NULL);
    o->tls.key_passphrase = hob_lua_opt_string(L, 1, "key_passphrase", NULL);
    o->tls.alpn = hob_lua_opt_string(L, 1, "alpn", NULL);
    o->runtime_dir = hob_lua_opt_string(L, 1, "runtime_dir", NULL);
    o->thing = hob_lua_opt_string(L, 1, "thing", NULL);
    o->protocol = opt_int(L, "protocol", 4);
    o->keep_alive_s = (unsigned)opt_int(L, "keep_alive", 0);
    o->persistent_session = !hob_lua_opt_boolean(L, 1, "clean", true);
    o->payload_max = (size_t)opt_int(L, "payload_max", 0);
    o->connect_timeout_ms = opt_ms(L, "connect_timeout");
    o->backoff_base_ms = opt_ms(L, "backoff_base");
    o->backoff_cap_ms = opt_ms(L, "backoff_cap");
}

static void take_callbacks(lua_State *L, struct hob_lua_mqtt_conn *conn)
{
    conn->on_up = hob_lua_mqtt_opt_listener(L, conn, "on_up");
    conn->on_down = hob_lua_mqtt_opt_listener(L, conn, "on_down");
    conn->on_message = hob_lua_mqtt_opt_listener(L, conn, "on_message");
}

static int mqtt_connect(lua_State *L)
{
    struct hob_mqtt_options options = {
        .on_up = on_up, .on_down = on_down, .on_message = on_message};
    struct hob_loop *loop = hob_scheduler_loop(L);
    struct hob_log *log = hob_bindings_host(L)->log;
    struct hob_error err = {0};
    struct hob_mqtt *mqtt;
    struct hob_mqtt_share *share;
    read_options(L, &options);
    struct hob_lua_mqtt_conn *conn = hob_lua_mqtt_conn_push(L);
    take_callbacks(L, conn);
    options.user = conn;
    if (hob_mqtt_new(loop, log, &options, &mqtt, &err)) {
        return luaL_error(L, "%s", err.message);
    }
    int code = hob_mqtt_share_new(mqtt, &share, &err);
    if (code == 0 && (code = hob_lua_mqtt_conn_open(conn, share)) != 0) {
        hob_mqtt_share_free(share);
    }
    if (code) {
        hob_mqtt_close(mqtt, NULL, NULL);
        return luaL_error(L, "out of memory");
    }
    hob_mqtt_start(mqtt);
    return 1;
}

/* ---- agent ---- */

/* One object a state: what it listens to ends with the job, not with a variable. */
int hob_lua_mqtt_push_agent(lua_State *L, const char *key, bool of_cloud, int none)
{
    const struct hob_modules_agent *agent = hob_bindings_host(L)->agent;
    if (!agent) {
        return hob_lua_mqtt_fail_with(L, none, "there is no running gateway here");
    }
    if (lua_getfield(L, LUA_REGISTRYINDEX, key) == LUA_TUSERDATA) {
        return 1;
    }
    struct hob_lua_mqtt_conn *conn = hob_lua_mqtt_conn_push(L);
    conn->agent_thing = agent->thing;
    conn->of_cloud = of_cloud;
    if (hob_lua_mqtt_conn_open(conn, agent->share)) {
        return luaL_error(L, "out of memory");
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, key);
    return 1;
}

static int mqtt_agent(lua_State *L)
{
    return hob_lua_mqtt_push_agent(L, AGENT_KEY, false, HOB_ENOENT);
}

static int mqtt_unique_id(lua_State *L)
{
    char id[UNIQUE_MAX];
    lua_pushstring(L, hob_random_hex(id, sizeof id));
    return 1;
}

/* ---- the module ---- */

static const luaL_Reg job_functions[] = {
    {"agent", mqtt_agent}, {"unique_id", mqtt_unique_id}, {NULL, NULL}};
static const luaL_Reg tool_functions[] = {{"connect", mqtt_connect}, {NULL, NULL}};

int hob_lua_open_mqtt_in_job(lua_State *L)
{
    hob_lua_mqtt_conn_register(L);
    hob_lua_mqtt_listen_register(L);
    luaL_newlib(L, job_functions);
    return 1;
}

int hob_lua_open_mqtt(lua_State *L)
{
    hob_lua_open_mqtt_in_job(L);
    luaL_setfuncs(L, tool_functions, 0);
    return 1;
}
