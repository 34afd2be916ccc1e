/* config_value.c - see config_value.h */
#include "host/config_value.h"

#include "base/alloc.h"
#include "work/scripts_dirs.h"

#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the keys ---- */

#define STRING      HOB_CONFIG_STRING
#define FILENAME    HOB_CONFIG_FILE
#define DIRECTORY   HOB_CONFIG_DIRECTORY
#define DIRECTORIES HOB_CONFIG_DIRECTORIES
#define TARGET      HOB_CONFIG_TARGET
#define INTEGER     HOB_CONFIG_INTEGER
#define SECONDS     HOB_CONFIG_SECONDS
#define BOOLEAN     HOB_CONFIG_BOOLEAN
#define SIZE        HOB_CONFIG_SIZE
#define ALLOW       HOB_CONFIG_ALLOW
#define CHOICE      HOB_CONFIG_CHOICE
#define COMMAND     HOB_CONFIG_COMMAND
#define FILTER      HOB_CONFIG_FILTER
#define LIST        HOB_CONFIG_LIST
#define FILES       HOB_CONFIG_FILES
#define ROUTES      HOB_CONFIG_ROUTES

#define OF_THING(member)  true, offsetof(struct hob_config_thing, member)
#define OF_CONFIG(member) false, offsetof(struct hob_config, member)

/* Name, type, member, range, choices, default. A spec compares this with docs/reference/config.md.
 */
static const struct hob_config_key keys[] = {
    {"endpoint", STRING, OF_THING(endpoint), 0, 0, NULL, NULL},
    {"connection", STRING, OF_THING(connection), 0, 0, NULL, NULL},
    {"port", INTEGER, OF_THING(port), 1, 65535, NULL, NULL},
    {"thing_name", STRING, OF_THING(thing_name), 0, 0, NULL, NULL},
    {"client_id", STRING, OF_THING(client_id), 0, 0, NULL, NULL},
    {"tls", BOOLEAN, OF_THING(tls), 0, 0, NULL, "true"},
    {"ca", FILENAME, OF_THING(ca), 0, 0, NULL, NULL},
    {"cert", FILENAME, OF_THING(cert), 0, 0, NULL, NULL},
    {"key", FILENAME, OF_THING(key), 0, 0, NULL, NULL},
    {"key_passphrase", STRING, OF_THING(key_passphrase), 0, 0, NULL, NULL},
    {"alpn", STRING, OF_THING(alpn), 0, 0, NULL, NULL},
    {"mqtt_version", INTEGER, OF_THING(mqtt_version), 4, 5, NULL, "4"},
    {"keep_alive", SECONDS, OF_THING(keep_alive), 5, 3600, NULL, "60"},
    {"connect_timeout", SECONDS, OF_THING(connect_timeout), 0.1, 600, NULL, "30"},
    {"request_timeout", SECONDS, OF_THING(request_timeout), 0.1, 600, NULL, "10"},
    {"backoff_base", SECONDS, OF_THING(backoff_base), 0.01, 3600, NULL, "1"},
    {"backoff_cap", SECONDS, OF_THING(backoff_cap), 0.01, 86400, NULL, "120"},
    {"persistent_session", BOOLEAN, OF_THING(persistent_session), 0, 0, NULL, "false"},
    {"credentials_endpoint", STRING, OF_THING(credentials_endpoint), 0, 0, NULL, NULL},
    {"scripts", DIRECTORIES, OF_CONFIG(scripts), 0, 0, NULL, "scripts"},
    {"data", DIRECTORY, OF_CONFIG(data), 0, 0, NULL, NULL},
    {"log_level", CHOICE, OF_CONFIG(log_level), 0, 0, "debug|info|warn|error|off", "info"},
    {"log_format", CHOICE, OF_CONFIG(log_format), 0, 0, "text|json", "text"},
    {"log_target", TARGET, OF_CONFIG(log_target), 0, 0, NULL, "stderr"},
    {"unknown_jobs", CHOICE, OF_CONFIG(unknown_jobs), 0, 0, "reject|ignore", "reject"},
    {"routes", ROUTES, OF_CONFIG(routes), 0, 0, NULL, NULL},
    {"job_types", LIST, OF_CONFIG(job_types), 0, 0, NULL, "operation jobType type action command"},
    {"reload", BOOLEAN, OF_CONFIG(reload), 0, 0, NULL, "true"},
    {"exec_user", STRING, OF_CONFIG(exec_user), 0, 0, NULL, "hob"},
    {"privileged", LIST, OF_CONFIG(privileged), 0, 0, NULL, NULL},
    {"users", LIST, OF_CONFIG(users), 0, 0, NULL, NULL},
    {"commands", ALLOW, OF_CONFIG(allowed_commands), 0, 0, NULL, NULL},
    {"handler_dir", DIRECTORY, OF_CONFIG(handler_dir), 0, 0, NULL, NULL},
    {"fs_roots", LIST, OF_CONFIG(fs_roots), 0, 0, NULL, "/"},
    {"topics", ALLOW, OF_CONFIG(topics), 0, 0, NULL, NULL},
    {"signers", FILES, OF_CONFIG(signers), 0, 0, NULL, NULL},
    {"proxy", STRING, OF_CONFIG(proxy), 0, 0, NULL, NULL},
    {"memory", SIZE, OF_THING(memory), 1048576, 4294967296, NULL, "64M"},
    {"cpu", SECONDS, OF_THING(cpu), 0, 604800, NULL, "60"},
    {"poll", SECONDS, OF_THING(poll), 1, 10000000, NULL, "1800"},
    {"messages_per_minute", INTEGER, OF_THING(messages_per_minute), 0, 100000, NULL, "600"},
    {"max_concurrent_jobs", INTEGER, OF_THING(max_concurrent_jobs), 1, 32, NULL, "1"},
    {"max_running_jobs", INTEGER, OF_CONFIG(max_running_jobs), 0, 100000, NULL, "100"},
    {"connect_rate", INTEGER, OF_CONFIG(connect_rate), 0, 10000, NULL, "50"},
    {"job_filter", FILTER, OF_CONFIG(job_filter), 0, 0, NULL, NULL},
    {"job_timeout", SECONDS, OF_THING(job_timeout), 0, 604800, NULL, "86400"},
    {"cleanup_timeout", SECONDS, OF_THING(cleanup_timeout), 1, 86400, NULL, "60"},
    {"debug_hold", SECONDS, OF_CONFIG(debug_hold), 1, 86400, NULL, "900"},
    {"reboot_command", COMMAND, OF_CONFIG(reboot_command), 0, 0, NULL, "systemctl reboot"},
    {"reboot_wait", SECONDS, OF_CONFIG(reboot_wait), 0.1, 86400, NULL, "300"},
    {"boot_id_file", FILENAME, OF_CONFIG(boot_id_file), 0, 0, NULL, NULL},
    {"output_limit", SIZE, OF_CONFIG(output_limit), 1048576, 4294967296, NULL, "1M"},
    {"output_total", SIZE, OF_CONFIG(output_total), 1048576, 1099511627776, NULL, "16M"},
    {"events_limit", SIZE, OF_CONFIG(events_limit), 1048576, 1073741824, NULL, "1M"},
    {"stop_grace", SECONDS, OF_CONFIG(stop_grace), 0, 86400, NULL, "10"},
    {"stop_timeout", SECONDS, OF_CONFIG(stop_timeout), 0, 86400, NULL, "60"},
};
#define KEY_COUNT (sizeof keys / sizeof keys[0])

const struct hob_config_key *hob_config_key_at(size_t index)
{
    return index < KEY_COUNT ? &keys[index] : NULL;
}

const struct hob_config_key *hob_config_key_find(const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(keys[i].name, name) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

#define ALLOW_WORDS   "{ allow = { \"TEXT\", ... } }"
#define LIST_WORDS    "{ \"TEXT\", ... }"
#define FILES_WORDS   "{ \"FILE\", ... }"
#define DIRS_WORDS    "a directory, or { \"DIRECTORY\", ... }: up to 8"
#define ROUTES_WORDS  "{ [\"WHAT A DOCUMENT SAYS\"] = \"HANDLER\", ... }"
#define COMMAND_WORDS "{ \"PROGRAM\", \"ARGUMENT\", ... }"

bool hob_config_is_list(const struct hob_config_key *key)
{
    return key->type == ALLOW || key->type == COMMAND || key->type == LIST || key->type == FILES ||
           key->type == ROUTES;
}

static int no_memory(struct hob_error *err)
{
    return hob_error_set(err, HOB_ENOMEM, "reading the configuration: out of memory");
}

/* ---- setting ---- */

static int set_string(char **slot, const char *value, struct hob_error *err)
{
    char *copy = hob_strdup(value);
    if (!copy) {
        return no_memory(err);
    }
    hob_free(*slot);
    *slot = copy;
    return 0;
}

/* A relative file name in the config belongs to the config's directory. */
static int set_path(const struct hob_config_origin *origin, char **slot, const char *value,
                    struct hob_error *err)
{
    const char *slash = origin->file ? strrchr(origin->file, '/') : NULL;
    if (value[0] == '/' || !slash || !value[0]) {
        return set_string(slot, value, err);
    }
    char *path;
    if (hob_asprintf(&path, "%.*s/%s", (int)(slash - origin->file), origin->file, value) < 0) {
        return no_memory(err);
    }
    hob_free(*slot);
    *slot = path;
    return 0;
}

/* Adds one to what `slot` has. */
static int add_dir(const struct hob_config_origin *origin, char **slot, const char *dir,
                   struct hob_error *err)
{
    char *path = NULL;
    int rc = set_path(origin, &path, dir, err);
    *slot = rc ? *slot : hob_scripts_dirs_add(*slot, path);
    hob_free(path);
    return rc || *slot ? rc : no_memory(err);
}

/* As PATH has it, where there is no list: by a flag, and in C. A colon may be of a name, too. */
static int add_dirs(const struct hob_config_origin *origin, char **slot, const char *value,
                    struct hob_error *err)
{
    char dir[PATH_MAX];
    int rc = 0;
    if (origin->file || access(value, F_OK) == 0) {
        return value[0] ? add_dir(origin, slot, value, err) : 0;
    }
    for (const char *at = value; rc == 0 && *at; at += strspn(at, ":")) {
        size_t len = strcspn(at, ":");
        snprintf(dir, sizeof dir, "%.*s", (int)len, at);
        rc = len ? add_dir(origin, slot, dir, err) : 0;
        at += len;
    }
    return rc;
}

/* Takes `dirs`. */
static int set_dirs(const struct hob_config_origin *origin, const struct hob_config_key *key,
                    char **slot, char *dirs, struct hob_error *err)
{
    size_t count = dirs ? hob_scripts_dirs_count(dirs) : 0;
    if (count == 0 || count > HOB_SCRIPTS_DIRS_MAX) {
        hob_free(dirs);
        return hob_config_expected(origin, key->name, DIRS_WORDS, count ? "more than that" : "none",
                                   err);
    }
    hob_free(*slot);
    *slot = dirs;
    return 0;
}

static int set_dirs_text(const struct hob_config_origin *origin, const struct hob_config_key *key,
                         char **slot, const char *value, struct hob_error *err)
{
    char *dirs = NULL;
    int rc = add_dirs(origin, &dirs, value, err);
    if (rc) {
        hob_free(dirs);
        return rc;
    }
    return set_dirs(origin, key, slot, dirs, err);
}

static bool parse_number(const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*out);
}

/* "64M", "200k", "1G", or bytes. */
static bool parse_size(const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    if (end == text || !isfinite(*out)) {
        return false;
    }
    static const char units[] = "kMG";
    const char *unit = *end ? strchr(units, *end == 'K' ? 'k' : *end) : NULL;
    for (const char *u = units; unit && u <= unit; u++) {
        *out *= 1024;
    }
    return *end == '\0' || (unit && end[1] == '\0');
}

static void write_range(const struct hob_config_key *key, char *out, size_t len)
{
    if (key->type == SIZE) {
        snprintf(out, len, "a size from %.0fM to %.0fG (bytes, or such as \"64M\")",
                 key->min / 1048576, key->max / 1073741824);
    } else {
        snprintf(out, len, "%s from %.10g to %.10g",
                 key->type == SECONDS ? "seconds" : "an integer", key->min, key->max);
    }
}

static int set_number(const struct hob_config_origin *origin, const struct hob_config_key *key,
                      void *slot, double value, const char *got, struct hob_error *err)
{
    char range[96];
    bool in_range = value >= key->min && value <= key->max; /* NaN is not */
    got = isnan(value) ? "no number" : got;
    if (!in_range || (key->type == INTEGER && value != floor(value))) {
        write_range(key, range, sizeof range);
        return hob_config_expected(origin, key->name, range, got, err);
    }
    if (key->type == INTEGER) {
        *(int64_t *)slot = (int64_t)value;
    } else if (key->type == SIZE) {
        *(uint64_t *)slot = (uint64_t)value;
    } else {
        *(double *)slot = value;
    }
    return 0;
}

static bool is_choice(const char *choices, const char *value)
{
    size_t len = strlen(value);
    for (const char *c = choices; c; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL) {
        if (len == strcspn(c, "|") && strncmp(c, value, len) == 0) {
            return true;
        }
    }
    return false;
}

static int set_target(const struct hob_config_origin *origin, const struct hob_config_key *key,
                      char **slot, const char *value, struct hob_error *err)
{
    if (!value[0]) {
        return hob_config_expected(origin, key->name,
                                   "\"stderr\", \"syslog\", \"none\" or the name of a file", "\"\"",
                                   err);
    }
    bool is_file =
        strcmp(value, "stderr") != 0 && strcmp(value, "syslog") != 0 && strcmp(value, "none") != 0;
    return is_file ? set_path(origin, slot, value, err) : set_string(slot, value, err);
}

static int set_parsed(const struct hob_config_origin *origin, const struct hob_config_key *key,
                      void *slot, const char *value, const char *got, struct hob_error *err)
{
    char range[96];
    double number;
    bool parsed = key->type == SIZE ? parse_size(value, &number)
                                    : !origin->file && parse_number(value, &number);
    if (!parsed) {
        write_range(key, range, sizeof range);
        return hob_config_expected(origin, key->name, range, got, err);
    }
    return set_number(origin, key, slot, number, got, err);
}

void hob_config_free_words(char **words)
{
    for (char **word = words; word && *word; word++) {
        hob_free(*word);
    }
    hob_free(words);
}

/* A command as a flag gives it. */
static int set_words(char ***slot, const char *value, struct hob_error *err)
{
    char **words = hob_calloc(strlen(value) / 2 + 2, sizeof *words);
    size_t count = 0;
    for (const char *at = value + strspn(value, " "); words && *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        words[count] = hob_strndup(at, len);
        if (!words[count++]) {
            hob_config_free_words(words);
            return no_memory(err);
        }
        at += len;
    }
    if (!words) {
        return no_memory(err);
    }
    hob_config_free_words(*slot);
    *slot = words;
    return 0;
}

static int set_prefix(const struct hob_config_origin *origin, const struct hob_config_key *key,
                      struct hob_config *config, const char *value, struct hob_error *err)
{
    char got[128];
    if (strlen(value) > 64 || value[strspn(value, "abcdefghijklmnopqrstuvwxyz"
                                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")]) {
        snprintf(got, sizeof got, "\"%.100s\"", value);
        return hob_config_expected(origin, key->name,
                                   "a prefix of job ids (up to 64 of [a-zA-Z0-9_-]), or a function",
                                   got, err);
    }
    config->job_filter_is_function = false;
    return set_string(&config->job_filter, value, err);
}

int hob_config_set_text(const struct hob_config_origin *origin, const struct hob_config_key *key,
                        void *base, const char *value, struct hob_error *err)
{
    void *slot = (char *)base + key->offset;
    char got[128], what[128];
    snprintf(got, sizeof got, "\"%.100s\"", value);
    switch (key->type) {
    case CHOICE:
        snprintf(what, sizeof what, "one of %s", key->choices);
        return is_choice(key->choices, value)
                   ? set_string(slot, value, err)
                   : hob_config_expected(origin, key->name, what, got, err);
    case TARGET:
        return set_target(origin, key, slot, value, err);
    case FILENAME:
    case DIRECTORY:
        return set_path(origin, slot, value, err);
    case DIRECTORIES:
        return set_dirs_text(origin, key, slot, value, err);
    case STRING:
        return set_string(slot, value, err);
    case FILTER:
        return set_prefix(origin, key, base, value, err);
    case LIST:
        return set_words(slot, value, err);
    case COMMAND:
        return value[strspn(value, " ")]
                   ? set_words(slot, value, err)
                   : hob_config_expected(origin, key->name, COMMAND_WORDS, got, err);
    case BOOLEAN:
        *(bool *)slot = strcmp(value, "true") == 0;
        return 0;
    default:
        return set_parsed(origin, key, slot, value, got, err);
    }
}

/* ---- values of the file ---- */

/* A list of strings, nothing else in the table. @return NULL if it is none; caller frees */
static char **read_list(lua_State *L, struct hob_error *err)
{
    size_t count = lua_rawlen(L, -1), members = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        members++;
    }
    char **list = members == count ? hob_calloc(count + 1, sizeof *list) : NULL;
    for (size_t i = 0; list && i < count; i++) {
        size_t len = 0;
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
        if (!text || strlen(text) != len || set_string(&list[i], text, err)) {
            hob_config_free_words(list);
            list = NULL;
        }
        lua_pop(L, 1);
    }
    return list;
}

/* @return whether `allow` is the one member of the table on top; then it is pushed */
static bool push_allow(lua_State *L)
{
    int members = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        members++;
    }
    if (members == 1 && lua_getfield(L, -1, "allow") == LUA_TTABLE) {
        return true;
    }
    lua_pop(L, members == 1 ? 1 : 0);
    return false;
}

static int set_allow(lua_State *L, const struct hob_config_origin *origin,
                     const struct hob_config_key *key, char ***slot, struct hob_error *err)
{
    bool pushed = push_allow(L);
    char **list = pushed ? read_list(L, err) : NULL;
    lua_pop(L, pushed ? 1 : 0);
    if (!list) {
        return hob_config_expected(origin, key->name, ALLOW_WORDS,
                                   "a table with something else in it", err);
    }
    hob_config_free_words(*slot);
    *slot = list;
    return 0;
}

static int set_command(lua_State *L, const struct hob_config_origin *origin,
                       const struct hob_config_key *key, char ***slot, struct hob_error *err)
{
    char **list = read_list(L, err);
    if (!list || !list[0] || !list[0][0]) {
        hob_config_free_words(list);
        return hob_config_expected(origin, key->name, COMMAND_WORDS,
                                   "a table with something else in it, or nothing", err);
    }
    hob_config_free_words(*slot);
    *slot = list;
    return 0;
}

static int set_list(lua_State *L, const struct hob_config_origin *origin,
                    const struct hob_config_key *key, char ***slot, struct hob_error *err)
{
    char **list = read_list(L, err);
    if (!list) {
        return hob_config_expected(origin, key->name, key->type == FILES ? FILES_WORDS : LIST_WORDS,
                                   "a table with something else in it", err);
    }
    int rc = 0;
    for (char **item = list; key->type == FILES && *item && rc == 0; item++) {
        char *name = *item;
        *item = NULL;
        rc = set_path(origin, item, name, err);
        hob_free(name);
    }
    hob_config_free_words(*slot);
    *slot = list;
    return rc;
}

static int set_dirs_list(lua_State *L, const struct hob_config_origin *origin,
                         const struct hob_config_key *key, char **slot, struct hob_error *err)
{
    char **list = read_list(L, err), *dirs = NULL;
    int rc = 0;
    for (char **item = list; rc == 0 && list && *item; item++) {
        bool fits = (*item)[0] && !strchr(*item, '\n');
        rc = fits ? add_dir(origin, &dirs, *item, err)
                  : hob_config_expected(origin, key->name, DIRS_WORDS, *item, err);
    }
    hob_config_free_words(list);
    if (rc || !list) {
        hob_free(dirs);
        return rc ? rc
                  : hob_config_expected(origin, key->name, DIRS_WORDS,
                                        "a table with something else in it", err);
    }
    return set_dirs(origin, key, slot, dirs, err);
}

/* Both must be texts without zero bytes. */
static bool is_pair(lua_State *L)
{
    size_t len = 0, other = 0;
    bool texts = lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING;
    return texts && strlen(lua_tolstring(L, -2, &len)) == len &&
           strlen(lua_tolstring(L, -1, &other)) == other;
}

static int set_routes(lua_State *L, const struct hob_config_origin *origin,
                      const struct hob_config_key *key, char ***slot, struct hob_error *err)
{
    size_t count = 0, filled = 0;
    bool pairs = true;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        pairs = pairs && is_pair(L);
        count++;
    }
    if (!pairs) {
        return hob_config_expected(origin, key->name, ROUTES_WORDS,
                                   "a table with something else in it", err);
    }
    char **list = hob_calloc(2 * count + 1, sizeof *list);
    if (!list) {
        return no_memory(err);
    }
    int rc = 0;
    lua_pushnil(L);
    while (rc == 0 && lua_next(L, -2)) {
        rc = set_string(&list[filled], lua_tostring(L, -2), err);
        rc = rc ? rc : set_string(&list[filled + 1], lua_tostring(L, -1), err);
        filled += 2;
        lua_pop(L, 1);
    }
    hob_config_free_words(*slot);
    *slot = list;
    return rc;
}

static int wrong_type(lua_State *L, const struct hob_config_origin *origin,
                      const struct hob_config_key *key, struct hob_error *err)
{
    static const char *const words[] = {"a string",
                                        "a file name",
                                        "a directory's name",
                                        "a directory's name, or { \"DIRECTORY\", ... }",
                                        "\"stderr\", \"syslog\" or the name of a file",
                                        "",
                                        "",
                                        "true or false",
                                        "",
                                        ALLOW_WORDS,
                                        "",
                                        COMMAND_WORDS,
                                        "a prefix of job ids, or a function",
                                        LIST_WORDS,
                                        FILES_WORDS,
                                        ROUTES_WORDS};
    char got[80], range[128];
    const char *what = words[key->type];
    if (key->type == CHOICE) {
        snprintf(range, sizeof range, "one of %s", key->choices);
        what = range;
    } else if (!what[0]) {
        write_range(key, range, sizeof range);
        what = range;
    }
    bool secret = strcmp(key->name, "key_passphrase") == 0;
    int type = secret ? LUA_TNONE : lua_type(L, -1);
    if (type == LUA_TSTRING) {
        snprintf(got, sizeof got, "\"%.50s\"", lua_tostring(L, -1));
    } else if (type == LUA_TBOOLEAN) {
        snprintf(got, sizeof got, "%s", lua_toboolean(L, -1) ? "true" : "false");
    } else if (type == LUA_TNUMBER) {
        snprintf(got, sizeof got, "%.14g", lua_tonumber(L, -1));
    } else {
        snprintf(got, sizeof got, "a %s", luaL_typename(L, -1));
    }
    return hob_config_expected(origin, key->name, what, got, err);
}

int hob_config_set_value(lua_State *L, const struct hob_config_origin *origin,
                         const struct hob_config_key *key, void *base, struct hob_error *err)
{
    int type = lua_type(L, -1);
    void *slot = (char *)base + key->offset;
    char got[64];
    if (key->type == BOOLEAN && type == LUA_TBOOLEAN) {
        *(bool *)slot = lua_toboolean(L, -1);
        return 0;
    }
    bool numeric = key->type == INTEGER || key->type == SECONDS || key->type == SIZE;
    if (numeric && type == LUA_TNUMBER) {
        double number = lua_tonumber(L, -1);
        snprintf(got, sizeof got, "%.14g", number);
        return set_number(origin, key, slot, number, got, err);
    }
    if (key->type == ALLOW && type == LUA_TTABLE) {
        return set_allow(L, origin, key, slot, err);
    }
    if (key->type == COMMAND && type == LUA_TTABLE) {
        return set_command(L, origin, key, slot, err);
    }
    if ((key->type == LIST || key->type == FILES) && type == LUA_TTABLE) {
        return set_list(L, origin, key, slot, err);
    }
    if (key->type == DIRECTORIES && type == LUA_TTABLE) {
        return set_dirs_list(L, origin, key, slot, err);
    }
    if (key->type == ROUTES && type == LUA_TTABLE) {
        return set_routes(L, origin, key, slot, err);
    }
    if (key->type == FILTER && type == LUA_TFUNCTION) {
        ((struct hob_config *)base)->job_filter_is_function = true;
        return 0;
    }
    bool textual =
        key->type != BOOLEAN && !hob_config_is_list(key) && (!numeric || key->type == SIZE);
    if (textual && type == LUA_TSTRING) {
        size_t len;
        const char *text = lua_tolstring(L, -1, &len);
        return strlen(text) == len
                   ? hob_config_set_text(origin, key, base, text, err)
                   : hob_config_expected(origin, key->name, "a text without zero bytes",
                                         "one with them", err);
    }
    return wrong_type(L, origin, key, err);
}
