#include "host/config.h"

#include "jobs/protocol.h"

#include <ctype.h>
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX         (1u << 20)
#define INSTRUCTIONS_MAX 1000000
#define SECONDS_MAX      1e7
#define THINGS_MAX       10000

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
    "  --log-level L      debug, info, warn, error or off\n"
    "  --log-format F     text or json\n";

/* ---- the keys ---- */

enum type { STRING, FILENAME, DIRECTORY, INTEGER, SECONDS, BOOLEAN, SIZE, LIST, CHOICE };

struct key {
    const char *name;
    enum type type;
    bool of_thing; /* may stand in each of `things` */
    size_t offset;
    double min, max;
    const char *choices; /* of CHOICE: "a|b" */
};

#define OF_THING(member)  true, offsetof(struct hob_config_thing, member)
#define OF_CONFIG(member) false, offsetof(struct hob_config, member)

static const struct key keys[] = {
    {"endpoint", STRING, OF_THING(endpoint), 0, 0, NULL},
    {"port", INTEGER, OF_THING(port), 1, 65535, NULL},
    {"thing_name", STRING, OF_THING(thing_name), 0, 0, NULL},
    {"client_id", STRING, OF_THING(client_id), 0, 0, NULL},
    {"tls", BOOLEAN, OF_THING(tls), 0, 0, NULL},
    {"ca", FILENAME, OF_THING(ca), 0, 0, NULL},
    {"cert", FILENAME, OF_THING(cert), 0, 0, NULL},
    {"key", FILENAME, OF_THING(key), 0, 0, NULL},
    {"key_passphrase", STRING, OF_THING(key_passphrase), 0, 0, NULL},
    {"alpn", STRING, OF_THING(alpn), 0, 0, NULL},
    {"mqtt_version", INTEGER, OF_THING(mqtt_version), 4, 5, NULL},
    {"keep_alive", SECONDS, OF_THING(keep_alive), 5, 3600, NULL},
    {"connect_timeout", SECONDS, OF_THING(connect_timeout), 0.1, 600, NULL},
    {"request_timeout", SECONDS, OF_THING(request_timeout), 0.1, 600, NULL},
    {"backoff_base", SECONDS, OF_THING(backoff_base), 0.01, 3600, NULL},
    {"backoff_cap", SECONDS, OF_THING(backoff_cap), 0.01, 86400, NULL},
    {"scripts", DIRECTORY, OF_CONFIG(scripts), 0, 0, NULL},
    {"data", DIRECTORY, OF_CONFIG(data), 0, 0, NULL},
    {"log_level", CHOICE, OF_CONFIG(log_level), 0, 0, "debug|info|warn|error|off"},
    {"log_format", CHOICE, OF_CONFIG(log_format), 0, 0, "text|json"},
    {"log_target", STRING, OF_CONFIG(log_target), 0, 0, NULL},
    {"unknown_jobs", CHOICE, OF_CONFIG(unknown_jobs), 0, 0, "reject|ignore"},
    {"allowed_commands", LIST, OF_CONFIG(allowed_commands), 0, 0, NULL},
    {"memory", SIZE, OF_CONFIG(memory), 1 << 20, 4e9, NULL},
    {"poll", SECONDS, OF_CONFIG(poll), 1, SECONDS_MAX, NULL},
    {"stop_timeout", SECONDS, OF_CONFIG(stop_timeout), 0, 86400, NULL},
};
#define KEY_COUNT (sizeof keys / sizeof keys[0])

/* Where a value came from, for messages. */
struct origin {
    const char *file;   /* NULL: a flag */
    const char *source; /* the file's text */
    const char *prefix; /* "things[2]." or "" */
};

static const struct key *find_key(const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(keys[i].name, name) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

/* ---- words ---- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The line on which `name =` stands; 0 if it is not written that way. */
static int line_of(const char *source, const char *name)
{
    size_t len = strlen(name);
    int line = 1;
    for (const char *c = source; *c; c++) {
        line += *c == '\n';
        if (strncmp(c, name, len) == 0 && !is_word(c[len]) && (c == source || !is_word(c[-1]))) {
            const char *after = c + len + strspn(c + len, " \t\"']");
            if (after[0] == '=' && after[1] != '=') {
                return line;
            }
        }
    }
    return 0;
}

static void place(const struct origin *origin, const char *name, char *out, size_t len)
{
    if (!origin->file) {
        snprintf(out, len, "--%s", name);
        for (char *c = out; *c; c++) {
            *c = *c == '_' ? '-' : *c;
        }
        return;
    }
    int line = line_of(origin->source, name);
    char at[16] = "";
    if (line) {
        snprintf(at, sizeof at, ":%d", line);
    }
    snprintf(out, len, "%s%s: %s%s", origin->file, at, origin->prefix, name);
}

static size_t edit_distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);
    if (strlen(a) > 60 || n > 60) {
        return 60;
    }
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t best = row[j] + 1 < row[j - 1] + 1 ? row[j] + 1 : row[j - 1] + 1;
            row[j] = change < best ? change : best;
        }
    }
    return row[n];
}

static const char *nearest(const char *name)
{
    const char *best = NULL;
    size_t distance = 3; /* a typo, not another word */
    for (size_t i = 0; i < KEY_COUNT; i++) {
        size_t d = edit_distance(name, keys[i].name);
        if (d < distance) {
            distance = d;
            best = keys[i].name;
        }
    }
    return best;
}

static int unknown(const struct origin *origin, const char *name, struct hob_error *err)
{
    char where[PATH_MAX + 200];
    place(origin, name, where, sizeof where);
    const char *near = nearest(name);
    return hob_error_set(err, HOB_ECONFIG, "%s: unknown %s%s%s%s", where,
                         origin->file ? "key" : "flag", near ? "; did you mean " : "",
                         near ? near : "", near ? "?" : "; docs/reference/config.md lists them");
}

static int expected(const struct origin *origin, const char *name, const char *what,
                    const char *got, struct hob_error *err)
{
    char where[PATH_MAX + 200];
    place(origin, name, where, sizeof where);
    return hob_error_set(err, HOB_ECONFIG, "%s: expected %s, got %s", where, what, got);
}

/* ---- values: text (a flag) or a Lua value (the file) ---- */

static int set_string(char **slot, const char *value)
{
    char *copy = strdup(value);
    if (!copy) {
        return HOB_ENOMEM;
    }
    free(*slot);
    *slot = copy;
    return 0;
}

/* A relative file name in the config belongs to the config's directory. */
static int set_path(const struct origin *origin, char **slot, const char *value)
{
    const char *slash = origin->file ? strrchr(origin->file, '/') : NULL;
    if (value[0] == '/' || !slash || !value[0]) {
        return set_string(slot, value);
    }
    char *path;
    if (asprintf(&path, "%.*s/%s", (int)(slash - origin->file), origin->file, value) < 0) {
        return HOB_ENOMEM;
    }
    free(*slot);
    *slot = path;
    return 0;
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

static int set_number(const struct origin *origin, const struct key *key, char *slot, double value,
                      const char *got, struct hob_error *err)
{
    char range[96];
    const char *kind = key->type == SECONDS   ? "seconds"
                       : key->type == INTEGER ? "an integer"
                                              : "a size in bytes, or such as \"64M\",";
    snprintf(range, sizeof range, "%s from %.10g to %.10g", kind, key->min, key->max);
    if (value < key->min || value > key->max || (key->type == INTEGER && value != floor(value))) {
        return expected(origin, key->name, range, got, err);
    }
    if (key->type == INTEGER) {
        *(int64_t *)(void *)slot = (int64_t)value;
    } else if (key->type == SIZE) {
        *(uint64_t *)(void *)slot = (uint64_t)value;
    } else {
        *(double *)(void *)slot = value;
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

static int set_text(const struct origin *origin, const struct key *key, char *slot,
                    const char *value, struct hob_error *err)
{
    char got[128], what[128];
    double number;
    snprintf(got, sizeof got, "\"%.100s\"", value);
    switch (key->type) {
    case CHOICE:
        snprintf(what, sizeof what, "one of %s", key->choices);
        return is_choice(key->choices, value) ? set_string((char **)(void *)slot, value)
                                              : expected(origin, key->name, what, got, err);
    case FILENAME:
    case DIRECTORY:
        return set_path(origin, (char **)(void *)slot, value);
    case STRING:
        return set_string((char **)(void *)slot, value);
    case SIZE:
        return parse_size(value, &number)
                   ? set_number(origin, key, slot, number, got, err)
                   : expected(origin, key->name, "a size such as \"64M\"", got, err);
    default:
        return !origin->file && parse_number(value, &number)
                   ? set_number(origin, key, slot, number, got, err)
                   : expected(origin, key->name, "a number", got, err);
    }
}

static int set_list(lua_State *L, const struct origin *origin, const struct key *key, char ***slot,
                    struct hob_error *err)
{
    size_t count = lua_rawlen(L, -1);
    char **list = calloc(count + 1, sizeof *list);
    int rc = list ? 0 : HOB_ENOMEM;
    for (size_t i = 0; i < count && rc == 0; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        rc = lua_type(L, -1) == LUA_TSTRING
                 ? set_string(&list[i], lua_tostring(L, -1))
                 : expected(origin, key->name, "a list of strings", luaL_typename(L, -1), err);
        lua_pop(L, 1);
    }
    for (char **old = *slot; old && *old; old++) {
        free(*old);
    }
    free(*slot);
    *slot = list;
    return rc;
}

static int set_value(lua_State *L, const struct origin *origin, const struct key *key, char *slot,
                     struct hob_error *err)
{
    static const char *const words[] = {"a string",
                                        "a file name",
                                        "a directory's name",
                                        "an integer",
                                        "seconds (a number)",
                                        "true or false",
                                        "a size (\"64M\" or bytes)",
                                        "a list of strings",
                                        "a string"};
    int type = lua_type(L, -1);
    char got[64];
    if (key->type == BOOLEAN && type == LUA_TBOOLEAN) {
        *(bool *)(void *)slot = lua_toboolean(L, -1);
        return 0;
    }
    bool numeric = key->type == INTEGER || key->type == SECONDS || key->type == SIZE;
    if (numeric && type == LUA_TNUMBER) {
        snprintf(got, sizeof got, "%.10g", lua_tonumber(L, -1));
        return set_number(origin, key, slot, lua_tonumber(L, -1), got, err);
    }
    bool textual = key->type != BOOLEAN && key->type != LIST && (!numeric || key->type == SIZE);
    if (textual && type == LUA_TSTRING) {
        return set_text(origin, key, slot, lua_tostring(L, -1), err);
    }
    if (key->type == LIST && type == LUA_TTABLE) {
        return set_list(L, origin, key, (char ***)(void *)slot, err);
    }
    snprintf(got, sizeof got, type == LUA_TSTRING ? "\"%.50s\"" : "%.50s",
             type == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, -1));
    return expected(origin, key->name, words[key->type], got, err);
}

/* ---- the file ---- */

static char *read_text(const char *path, struct hob_error *err)
{
    FILE *file = fopen(path, "rb");
    char *text = file ? malloc(FILE_MAX + 1) : NULL;
    if (!text) {
        hob_error_set(err, HOB_ECONFIG, "%s: %s", path, strerror(errno));
        if (file) {
            fclose(file);
        }
        return NULL;
    }
    size_t len = fread(text, 1, FILE_MAX, file);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (failed) {
        hob_error_set(err, HOB_ECONFIG, "%s: cannot be read (%s)", path, strerror(errno));
        free(text);
        return NULL;
    }
    text[len] = '\0';
    return text;
}

static void too_long(lua_State *L, lua_Debug *ar)
{
    luaL_error(L, "the configuration does not come to an end");
}

struct loading {
    const char *path;
    const char *text;
    struct hob_config *config;
    struct hob_error *err;
    int rc;
};

static int read_table(lua_State *L, const struct origin *origin, struct hob_config *config,
                      struct hob_config_thing *thing, bool in_thing, struct hob_error *err)
{
    int rc = 0;
    lua_pushnil(L);
    while (rc == 0 && lua_next(L, -2)) {
        bool named = lua_type(L, -2) == LUA_TSTRING;
        const char *name = named ? lua_tostring(L, -2) : "";
        const struct key *key = named ? find_key(name) : NULL;
        if (!named) {
            rc = hob_error_set(err, HOB_ECONFIG, "%s: %sexpected keys with names, got [%s]",
                               origin->file, origin->prefix, luaL_tolstring(L, -2, NULL));
            lua_pop(L, 1);
        } else if (!in_thing && strcmp(name, "things") == 0) {
            rc = 0; /* read afterwards, when the common values are known */
        } else if (!key || (in_thing && !key->of_thing)) {
            rc = unknown(origin, name, err);
        } else {
            char *base = key->of_thing ? (char *)thing : (char *)config;
            rc = set_value(L, origin, key, base + key->offset, err);
        }
        lua_pop(L, 1);
    }
    return rc;
}

static int copy_thing(struct hob_config_thing *to, const struct hob_config_thing *from)
{
    *to = *from;
    char **strings[] = {&to->thing_name, &to->client_id, &to->endpoint,       &to->ca,
                        &to->cert,       &to->key,       &to->key_passphrase, &to->alpn};
    int rc = 0;
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        *strings[i] = strdup(*strings[i]);
        rc = *strings[i] ? rc : HOB_ENOMEM;
    }
    return rc;
}

static void free_thing(struct hob_config_thing *thing)
{
    free(thing->thing_name);
    free(thing->client_id);
    free(thing->endpoint);
    free(thing->ca);
    free(thing->cert);
    free(thing->key);
    free(thing->key_passphrase);
    free(thing->alpn);
}

/* Each of `things` begins with the values that stand outside of it. */
static int read_things(lua_State *L, const struct origin *origin, struct hob_config *config,
                       struct hob_error *err)
{
    if (lua_getfield(L, -1, "things") == LUA_TNIL) {
        lua_pop(L, 1);
        return 0;
    }
    size_t count = lua_istable(L, -1) ? lua_rawlen(L, -1) : 0;
    if (count == 0 || count > THINGS_MAX) {
        return expected(origin, "things", "a list of tables, one for each thing",
                        luaL_typename(L, -1), err);
    }
    struct hob_config_thing *things = calloc(count, sizeof *things);
    int rc = things ? 0 : hob_error_set(err, HOB_ENOMEM, "config: out of memory");
    for (size_t i = 0; i < count && rc == 0; i++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "things[%zu].", i + 1);
        struct origin inside = {origin->file, origin->source, prefix};
        rc = copy_thing(&things[i], &config->things[0]);
        if (lua_rawgeti(L, -1, (lua_Integer)i + 1) != LUA_TTABLE) {
            rc = expected(origin, "things", "a list of tables", luaL_typename(L, -1), err);
        }
        rc = rc ? rc : read_table(L, &inside, config, &things[i], true, err);
        lua_pop(L, 1);
    }
    if (things) {
        free_thing(&config->things[0]);
        free(config->things);
        config->things = things;
        config->thing_count = count;
    }
    return rc;
}

/* Protected. */
static int evaluate(lua_State *L)
{
    struct loading *loading = lua_touserdata(L, 1);
    char chunk[PATH_MAX + 2];
    snprintf(chunk, sizeof chunk, "@%s", loading->path);
    if (luaL_loadbufferx(L, loading->text, strlen(loading->text), chunk, "t") != LUA_OK) {
        return lua_error(L);
    }
    lua_newtable(L);
    lua_setupvalue(L, -2, 1); /* nothing in reach */
    lua_sethook(L, too_long, LUA_MASKCOUNT, INSTRUCTIONS_MAX);
    lua_call(L, 0, 1);
    lua_sethook(L, NULL, 0, 0);
    if (!lua_istable(L, -1)) {
        return luaL_error(L, "%s: expected the file to return a table (return { ... }), got %s",
                          loading->path, luaL_typename(L, -1));
    }
    struct origin origin = {loading->path, loading->text, ""};
    struct hob_config *config = loading->config;
    loading->rc = read_table(L, &origin, config, &config->things[0], false, loading->err);
    loading->rc = loading->rc ? loading->rc : read_things(L, &origin, config, loading->err);
    return 0;
}

static int load_file(const char *path, struct hob_config *config, struct hob_error *err)
{
    char *text = read_text(path, err);
    lua_State *L = text ? luaL_newstate() : NULL;
    if (!L) {
        free(text);
        return HOB_ECONFIG;
    }
    struct loading loading = {path, text, config, err, 0};
    lua_pushcfunction(L, evaluate);
    lua_pushlightuserdata(L, &loading);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        loading.rc = hob_error_set(err, HOB_ECONFIG, "%s", lua_tostring(L, -1));
    }
    lua_close(L);
    free(text);
    return loading.rc;
}

/* ---- flags ---- */

static int set_flag(struct hob_config *config, const char *flag, const char *value,
                    struct hob_error *err)
{
    char name[64];
    snprintf(name, sizeof name, "%s", flag + 2);
    for (char *c = name; *c; c++) {
        *c = *c == '-' ? '_' : *c;
    }
    struct origin origin = {NULL, NULL, ""};
    const struct key *key = find_key(name);
    if (!key || key->type == LIST || key->type == BOOLEAN) {
        return unknown(&origin, name, err);
    }
    if (!value) {
        return hob_error_set(err, HOB_ECONFIG, "%s: expected a value after it", flag);
    }
    if (key->of_thing && config->thing_count > 1) {
        return hob_error_set(err, HOB_ECONFIG, "%s: the config has several things; set it there",
                             flag);
    }
    char *base = key->of_thing ? (char *)&config->things[0] : (char *)config;
    return set_text(&origin, key, base + key->offset, value, err);
}

static int read_flags(int argc, char **argv, struct hob_config *config, struct hob_error *err)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--config") == 0) {
            i++;
        } else if (strcmp(argv[i], "--no-tls") == 0) {
            for (size_t t = 0; t < config->thing_count; t++) {
                config->things[t].tls = false;
            }
        } else if (strncmp(argv[i], "--", 2) != 0) {
            return hob_error_set(err, HOB_ECONFIG, "%s: expected a flag; see hob run --help",
                                 argv[i]);
        } else {
            int rc = set_flag(config, argv[i], argv[i + 1], err);
            if (rc) {
                return rc;
            }
            i++;
        }
    }
    return 0;
}

/* ---- the whole ---- */

static bool is_text(const struct key *key)
{
    return key->type == STRING || key->type == FILENAME || key->type == DIRECTORY ||
           key->type == CHOICE;
}

static int set_defaults(struct hob_config *config)
{
    memset(config, 0, sizeof *config);
    config->things = calloc(1, sizeof *config->things);
    config->allowed_commands = calloc(1, sizeof *config->allowed_commands);
    if (!config->things || !config->allowed_commands) {
        return HOB_ENOMEM;
    }
    config->thing_count = 1;
    config->things[0] = (struct hob_config_thing){.tls = true,
                                                  .mqtt_version = 4,
                                                  .keep_alive = 60,
                                                  .connect_timeout = 30,
                                                  .request_timeout = 10,
                                                  .backoff_base = 1,
                                                  .backoff_cap = 120};
    config->memory = 64 << 20;
    config->poll = 900;
    config->stop_timeout = 10;
    int rc = 0;
    for (size_t i = 0; i < KEY_COUNT && rc == 0; i++) {
        char *base = keys[i].of_thing ? (char *)&config->things[0] : (char *)config;
        rc = is_text(&keys[i]) ? set_string((char **)(void *)(base + keys[i].offset), "") : 0;
    }
    rc = rc ? rc : set_string(&config->scripts, "scripts");
    rc = rc ? rc : set_string(&config->log_level, "info");
    rc = rc ? rc : set_string(&config->log_format, "text");
    rc = rc ? rc : set_string(&config->log_target, "stderr");
    return rc ? rc : set_string(&config->unknown_jobs, "reject");
}

static int need(const char *value, const char *file, const char *name, struct hob_error *err)
{
    if (value[0]) {
        return 0;
    }
    char flag[64];
    struct origin origin = {NULL, NULL, ""};
    place(&origin, name, flag, sizeof flag);
    return hob_error_set(err, HOB_ECONFIG, "%s: %s is missing: set the key %s or give %s",
                         file ? file : "hob run", name, name, flag);
}

static int need_file(const char *path, const char *file, const char *name, const char *text,
                     struct hob_error *err)
{
    struct origin origin = {file, text ? text : "", ""};
    char where[PATH_MAX + 200];
    struct stat info;
    place(&origin, name, where, sizeof where);
    if (stat(path, &info) || access(path, R_OK)) {
        return hob_error_set(err, HOB_ECONFIG, "%s: cannot read %s: %s", where, path,
                             strerror(errno));
    }
    if (S_ISDIR(info.st_mode)) {
        return hob_error_set(err, HOB_ECONFIG, "%s: expected a file, %s is a directory", where,
                             path);
    }
    return 0;
}

static int check_thing(const struct hob_config_thing *thing, const char *file, const char *text,
                       struct hob_error *err)
{
    int rc = need(thing->endpoint, file, "endpoint", err);
    rc = rc ? rc : need(thing->thing_name, file, "thing_name", err);
    if (!rc && !hob_jobs_thing_valid(thing->thing_name)) {
        struct origin origin = {file, text ? text : "", ""};
        rc = expected(&origin, "thing_name", "1 to 128 of [a-zA-Z0-9:_-]", thing->thing_name, err);
    }
    if (rc || !thing->tls) {
        return rc;
    }
    rc = need(thing->ca, file, "ca", err);
    rc = rc ? rc : need_file(thing->ca, file, "ca", text, err);
    if (!rc && (thing->cert[0] || thing->key[0])) {
        rc = need(thing->cert, file, "cert", err);
        rc = rc ? rc : need(thing->key, file, "key", err);
        rc = rc ? rc : need_file(thing->cert, file, "cert", text, err);
        rc = rc ? rc : need_file(thing->key, file, "key", text, err);
    }
    return rc;
}

static int check_scripts(const struct hob_config *config, const char *file, const char *text,
                         struct hob_error *err)
{
    struct origin origin = {file, text ? text : "", ""};
    struct stat info;
    char where[PATH_MAX + 200];
    place(&origin, "scripts", where, sizeof where);
    if (stat(config->scripts, &info) || access(config->scripts, R_OK | X_OK)) {
        return hob_error_set(err, HOB_ECONFIG, "%s: cannot read the directory %s: %s", where,
                             config->scripts, strerror(errno));
    }
    if (!S_ISDIR(info.st_mode)) {
        return hob_error_set(err, HOB_ECONFIG, "%s: expected a directory, %s is none", where,
                             config->scripts);
    }
    return 0;
}

static int check(const struct hob_config *config, const char *file, struct hob_error *err)
{
    char *text = file ? read_text(file, NULL) : NULL;
    int rc = need(config->data, file, "data", err);
    for (size_t i = 0; i < config->thing_count && rc == 0; i++) {
        rc = check_thing(&config->things[i], file, text, err);
    }
    rc = rc ? rc : check_scripts(config, file, text, err);
    free(text);
    return rc;
}

int hob_config_load(int argc, char **argv, struct hob_config *out, struct hob_error *err)
{
    const char *file = NULL;
    int rc = set_defaults(out);
    for (int i = 0; i < argc && rc == 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return 1;
        }
        if (strcmp(argv[i], "--config") == 0) {
            file = argv[i + 1];
            rc = file ? load_file(file, out, err)
                      : hob_error_set(err, HOB_ECONFIG, "--config: expected a file name after it");
        }
    }
    rc = rc ? rc : read_flags(argc, argv, out, err);
    return rc ? rc : check(out, file, err);
}

void hob_config_free(struct hob_config *config)
{
    for (size_t i = 0; config->things && i < config->thing_count; i++) {
        free_thing(&config->things[i]);
    }
    free(config->things);
    for (char **command = config->allowed_commands; command && *command; command++) {
        free(*command);
    }
    free(config->allowed_commands);
    free(config->scripts);
    free(config->data);
    free(config->log_level);
    free(config->log_format);
    free(config->log_target);
    free(config->unknown_jobs);
    memset(config, 0, sizeof *config);
}
