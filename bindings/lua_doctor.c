/* lua_doctor.c - hob.doctor.core: the facts that `hob doctor` judges. For Hob's own commands.
 *
 * Each function says above itself what it takes and gives; what fails gives nil, message, code.
 * resolve and connect are in lua_doctor_net.c, handlers and ask in lua_doctor_handler.c.
 * Spec: spec/integration/doctor_spec.lua
 */
#include "lua_doctor.h"

#include "device/power.h"
#include "device/program.h"
#include "device/user.h"
#include "host/config_value.h"
#include "jobs/subscribe.h"
#include "jobs/topic.h"
#include "net/certificate.h"
#include "net/tls.h"
#include "work/store_check.h"
#include "work/task.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#define CONFIG   "hob.doctor.config"
#define WORDS    64 /* of the command line of `hob run` */
#define PROBLEMS 100

/* ---- the configuration ---- */

struct problems {
    lua_State *L; /* the list is on top */
    lua_Integer count;
};

static void note_problem(void *user, const char *message)
{
    struct problems *problems = user;
    if (problems->count < PROBLEMS) {
        lua_pushstring(problems->L, message);
        lua_rawseti(problems->L, -2, ++problems->count);
    }
}

struct hob_lua_doctor_config *hob_lua_doctor_check_config(lua_State *L, int index)
{
    return luaL_checkudata(L, index, CONFIG);
}

/** config({ "--config", FILE, ... }) -> config, { problem, ... }, readable */
static int doctor_config(lua_State *L)
{
    const char *words[WORDS + 1] = {NULL};
    struct hob_error err = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Unsigned count = lua_rawlen(L, 1);
    luaL_argcheck(L, count <= WORDS, 1, "too many flags");
    for (lua_Unsigned i = 0; i < count; i++) {
        luaL_argcheck(L, lua_rawgeti(L, 1, (lua_Integer)i + 1) == LUA_TSTRING, 1,
                      "a list of texts");
        words[i] = lua_tostring(L, -1);
        lua_pop(L, 1); /* the list keeps it */
    }
    struct hob_lua_doctor_config *config = lua_newuserdatauv(L, sizeof *config, 0);
    memset(config, 0, sizeof *config);
    luaL_setmetatable(L, CONFIG);
    lua_newtable(L);
    luaL_checkstack(L, 8, NULL);
    struct problems problems = {.L = L};
    config->open = true;
    int rc = hob_config_look((int)count, (char **)(void *)words, &config->config, note_problem,
                             &problems, &err);
    if (rc) {
        note_problem(&problems, err.message);
    }
    config->policy = hob_config_policy(&config->config);
    lua_pushboolean(L, rc == 0);
    return 3;
}

static int config_gc(lua_State *L)
{
    struct hob_lua_doctor_config *config = hob_lua_doctor_check_config(L, 1);
    if (config->open) {
        hob_config_free(&config->config);
    }
    config->open = false;
    return 0;
}

static void push_list(lua_State *L, char **list)
{
    lua_newtable(L);
    for (lua_Integer i = 0; list && list[i]; i++) {
        lua_pushstring(L, list[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

static void push_value(lua_State *L, const struct hob_config_key *key, const void *base)
{
    const void *member = (const char *)base + key->offset;
    switch (key->type) {
    case HOB_CONFIG_INTEGER:
        lua_pushinteger(L, (lua_Integer) * (const int64_t *)member);
        break;
    case HOB_CONFIG_SECONDS:
        lua_pushnumber(L, *(const double *)member);
        break;
    case HOB_CONFIG_BOOLEAN:
        lua_pushboolean(L, *(const bool *)member);
        break;
    case HOB_CONFIG_SIZE:
        lua_pushinteger(L, (lua_Integer) * (const uint64_t *)member);
        break;
    default:
        if (hob_config_is_list(key)) {
            push_list(L, *(char **const *)member);
        } else {
            lua_pushstring(L, *(char *const *)member);
        }
    }
}

static void set_values(lua_State *L, bool of_thing, const void *base)
{
    const struct hob_config_key *key;
    for (size_t i = 0; (key = hob_config_key_at(i)) != NULL; i++) {
        if (key->of_thing == of_thing) {
            push_value(L, key, base);
            lua_setfield(L, -2, key->name);
        }
    }
}

/** config:values() -> { data =, ..., things = { { endpoint =, ... }, ... } } */
static int config_values(lua_State *L)
{
    const struct hob_config *config = &hob_lua_doctor_check_config(L, 1)->config;
    lua_newtable(L);
    set_values(L, false, config);
    lua_createtable(L, (int)config->thing_count, 0);
    for (size_t i = 0; i < config->thing_count; i++) {
        lua_newtable(L);
        set_values(L, true, &config->things[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "things");
    return 1;
}

static int result(lua_State *L, int rc, const struct hob_error *err)
{
    if (rc < 0) {
        return hob_lua_fail(L, err);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/** config:check_user() -> true: the user is there that programs run as */
static int config_check_user(lua_State *L)
{
    struct hob_error err = {0};
    return result(L, hob_config_check_user(&hob_lua_doctor_check_config(L, 1)->config, &err), &err);
}

/** config:blocked(dir) -> the directory on the way there that lets that user not pass | nil */
static int config_blocked(lua_State *L)
{
    char blocked[PATH_MAX];
    const struct hob_lua_doctor_config *config = hob_lua_doctor_check_config(L, 1);
    bool is = hob_policy_is_blocked(&config->policy, luaL_checkstring(L, 2), blocked);
    lua_pushstring(L, is ? blocked : NULL);
    return 1;
}

/* ---- certificates ---- */

static void set_text(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, int64_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

static void set_flag(lua_State *L, const char *name, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

#define CERTIFICATES_MAX 400 /* a bundle of all of the world's CAs has 150 */

/* Filled without Lua, whose errors would leave mbedTLS's memory behind. */
struct certificates {
    size_t count;
    struct hob_certificate list[CERTIFICATES_MAX];
};

static void note_certificate(void *user, const struct hob_certificate *certificate)
{
    struct certificates *found = user;
    if (found->count < CERTIFICATES_MAX) {
        found->list[found->count++] = *certificate;
    }
}

/** certificates(path) -> { { subject =, issuer =, from =, to =, ... }, ... } */
static int doctor_certificates(lua_State *L)
{
    struct hob_error err = {0};
    const char *path = luaL_checkstring(L, 1);
    struct certificates *found = lua_newuserdatauv(L, sizeof *found, 0);
    found->count = 0;
    if (hob_certificate_read(path, note_certificate, found, &err) < 0) {
        return hob_lua_fail(L, &err);
    }
    lua_createtable(L, (int)found->count, 0);
    for (size_t i = 0; i < found->count; i++) {
        const struct hob_certificate *one = &found->list[i];
        lua_createtable(L, 0, 7);
        set_text(L, "subject", one->subject);
        set_text(L, "issuer", one->issuer);
        set_integer(L, "from", one->from_s);
        set_integer(L, "to", one->to_s);
        set_flag(L, "is_ca", one->is_ca);
        set_flag(L, "is_self_issued", one->is_self_issued);
        set_flag(L, "is_issued_by_next", one->is_issued_by_next);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/** tls_files{ ca =, cert =, key =, key_passphrase = } -> true: they fit together */
static int doctor_tls_files(lua_State *L)
{
    static const char *const known[] = {"ca", "cert", "key", "key_passphrase", NULL};
    struct hob_error err = {0};
    struct hob_tls_config *config = NULL;
    hob_lua_check_options(L, 1, known);
    struct hob_tls_options options = {.ca_file = hob_lua_opt_string(L, 1, "ca", NULL),
                                      .cert_file = hob_lua_opt_string(L, 1, "cert", NULL),
                                      .key_file = hob_lua_opt_string(L, 1, "key", NULL),
                                      .key_passphrase =
                                          hob_lua_opt_string(L, 1, "key_passphrase", NULL)};
    int rc = hob_tls_config_new(&options, &config, &err);
    hob_tls_config_free(rc ? NULL : config);
    return result(L, rc, &err);
}

/* ---- the machine ---- */

/** clock() -> { synchronised = true, false or nil: unknown } */
static int doctor_clock(lua_State *L)
{
    struct timex state = {.modes = 0};
    int answer = adjtimex(&state);
    lua_createtable(L, 0, 1);
    if (answer >= 0) { /* a sandbox of the system's may forbid to ask */
        set_flag(L, "synchronised", answer != TIME_ERROR && !(state.status & STA_UNSYNC));
    }
    return 1;
}

/** boot_id([file]) -> string */
static int doctor_boot_id(lua_State *L)
{
    struct hob_error err = {0};
    char id[HOB_POWER_BOOT_ID_MAX + 1];
    if (hob_power_boot_id(luaL_optstring(L, 1, NULL), id, &err)) {
        return hob_lua_fail(L, &err);
    }
    lua_pushstring(L, id);
    return 1;
}

static int fail_errno(lua_State *L, const char *path)
{
    struct hob_error err;
    hob_error_set(&err, hob_error_from_errno(errno), "%s: %s", path, strerror(errno));
    return hob_lua_fail(L, &err);
}

/** file_system(path) -> { free =, size =, inodes =, inodes_free =, read_only = } */
static int doctor_file_system(lua_State *L)
{
    struct statvfs fs;
    const char *path = luaL_checkstring(L, 1);
    if (statvfs(path, &fs)) {
        return fail_errno(L, path);
    }
    lua_createtable(L, 0, 6);
    set_integer(L, "free", (int64_t)fs.f_bavail * (int64_t)fs.f_frsize);
    set_integer(L, "size", (int64_t)fs.f_blocks * (int64_t)fs.f_frsize);
    set_integer(L, "inodes", (int64_t)fs.f_files);
    set_integer(L, "inodes_free", (int64_t)fs.f_favail);
    set_flag(L, "read_only", (fs.f_flag & ST_RDONLY) != 0);
    return 1;
}

/** may(path, "r", "w" or "x") -> boolean: this process */
static int doctor_may(lua_State *L)
{
    static const char *const names[] = {"r", "w", "x", NULL};
    static const int modes[] = {R_OK, W_OK, X_OK};
    const char *path = luaL_checkstring(L, 1);
    lua_pushboolean(L, access(path, modes[luaL_checkoption(L, 2, "r", names)]) == 0);
    return 1;
}

/** uid() -> integer: as which this process runs */
static int doctor_uid(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)geteuid());
    return 1;
}

/** user(name) -> { name =, uid =, gid =, groups = { gid, ... } } */
static int doctor_user(lua_State *L)
{
    struct hob_error err = {0};
    struct hob_user user;
    if (hob_user_find(luaL_checkstring(L, 1), &user, &err)) {
        return hob_lua_fail(L, &err);
    }
    lua_createtable(L, 0, 4);
    set_text(L, "name", user.name);
    set_integer(L, "uid", user.uid);
    set_integer(L, "gid", user.gid);
    lua_createtable(L, user.group_count, 0);
    for (int i = 0; i < user.group_count; i++) {
        lua_pushinteger(L, (lua_Integer)user.groups[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "groups");
    return 1;
}

/** program(path) -> true: it may be started for a job, see device/program.h */
static int doctor_program(lua_State *L)
{
    struct hob_error err = {0};
    return result(L, hob_program_check(luaL_checkstring(L, 1), &err), &err);
}

/* ---- jobs ---- */

/** filters(thing) -> { { topic =, event =, needs = }, ... } */
static int doctor_filters(lua_State *L)
{
    const char *thing = luaL_checkstring(L, 1);
    char filter[HOB_JOBS_TOPIC_MAX], needs[HOB_JOBS_SUBSCRIBE_NEEDS_MAX];
    bool is_event;
    luaL_argcheck(L, hob_jobs_thing_valid(thing), 1, "expected the name of a thing");
    lua_createtable(L, HOB_JOBS_FILTERS, 0);
    for (size_t i = 0; hob_jobs_filter(filter, thing, i, &is_event) == 0; i++) {
        lua_createtable(L, 0, 3);
        set_text(L, "topic", filter);
        set_flag(L, "event", is_event);
        set_text(L, "needs", hob_jobs_subscribe_needs(filter, needs));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/** store(path, seconds) -> { bytes =, executions =, untold =, reserve =, drain = }; drain: JSON */
static int doctor_store(lua_State *L)
{
    struct hob_error err = {0};
    struct hob_store_check found;
    const char *path = luaL_checkstring(L, 1);
    if (hob_store_check(path, hob_lua_ms(L, luaL_checknumber(L, 2), "seconds"), &found, &err)) {
        return hob_lua_fail(L, &err);
    }
    lua_createtable(L, 0, 3);
    set_integer(L, "bytes", found.bytes);
    set_integer(L, "executions", found.executions);
    set_integer(L, "untold", found.untold);
    if (found.drain[0]) {
        set_text(L, "drain", found.drain);
    }
    set_flag(L, "reserve", found.reserve);
    return 1;
}

/* ---- the module ---- */

static const luaL_Reg config_meta[] = {{"__gc", config_gc}, {"__index", NULL}, {NULL, NULL}};
static const luaL_Reg config_methods[] = {{"values", config_values},
                                          {"check_user", config_check_user},
                                          {"blocked", config_blocked},
                                          {NULL, NULL}};
static const luaL_Reg functions[] = {{"config", doctor_config},
                                     {"certificates", doctor_certificates},
                                     {"tls_files", doctor_tls_files},
                                     {"clock", doctor_clock},
                                     {"boot_id", doctor_boot_id},
                                     {"file_system", doctor_file_system},
                                     {"may", doctor_may},
                                     {"uid", doctor_uid},
                                     {"user", doctor_user},
                                     {"program", doctor_program},
                                     {"filters", doctor_filters},
                                     {"store", doctor_store},
                                     {"within", hob_task_within},
                                     {NULL, NULL}};

int hob_lua_open_doctor(lua_State *L)
{
    hob_lua_new_metatable(L, CONFIG);
    luaL_setfuncs(L, config_meta, 0);
    luaL_newlib(L, config_methods);
    lua_setfield(L, -2, "__index");
    hob_lua_doctor_handler_register(L);
    luaL_newlib(L, functions);
    luaL_setfuncs(L, hob_lua_doctor_net, 0);
    luaL_setfuncs(L, hob_lua_doctor_handler, 0);
    return 1;
}
