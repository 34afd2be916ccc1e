/* units_base.c - backoff, buf, clock, error, json, log, loop, mbed, module, random for specs. */
#include "units.h"

#include "base/backoff.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mbed.h"
#include "base/module.h"
#include "base/random.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

#define BUF     "hob_units.buf"
#define BACKOFF "hob_units.backoff"
#define JSON    "hob_units.json"
#define LOG     "hob_units.log"
#define LOOP    "hob_units.loop"
#define TIMER   "hob_units.timer"

static int fail(lua_State *L, const struct hob_error *err)
{
    lua_pushnil(L);
    lua_pushstring(L, err->message);
    lua_pushstring(L, hob_error_name(err->code));
    return 3;
}

/* true, or nil and the code's name */
static int result(lua_State *L, int code)
{
    if (code == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, hob_error_name(code));
    return 2;
}

static void new_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc)
{
    luaL_newmetatable(L, name);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

static void new_unit(lua_State *L, const char *name, const luaL_Reg *functions)
{
    lua_newtable(L);
    luaL_setfuncs(L, functions, 0);
    lua_setfield(L, -2, name);
}

/* ---- error ---- */

static int error_name(lua_State *L)
{
    lua_pushstring(L, hob_error_name((int)luaL_checkinteger(L, 1)));
    return 1;
}

static int error_words(lua_State *L)
{
    lua_pushstring(L, hob_error_words((int)luaL_checkinteger(L, 1)));
    return 1;
}

static int error_from_errno(lua_State *L)
{
    lua_pushinteger(L, hob_error_from_errno((int)luaL_checkinteger(L, 1)));
    return 1;
}

static int error_from_uv(lua_State *L)
{
    lua_pushinteger(L, hob_error_from_uv((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* error.set(code, text [, prefix]) -> returned, code, message */
static int error_set(lua_State *L)
{
    struct hob_error err = {0};
    int code = hob_error_set(&err, (int)luaL_checkinteger(L, 1), "%s", luaL_checkstring(L, 2));
    if (!lua_isnoneornil(L, 3))
        code = hob_error_prefix(&err, "%s", luaL_checkstring(L, 3));
    lua_pushinteger(L, code);
    lua_pushinteger(L, err.code);
    lua_pushstring(L, err.message);
    return 3;
}

/* A struct that is not there is legal. */
static int error_set_nowhere(lua_State *L)
{
    hob_error_prefix(NULL, "%s", "x");
    lua_pushinteger(L, hob_error_set(NULL, (int)luaL_checkinteger(L, 1), "x"));
    return 1;
}

static int error_all(lua_State *L)
{
    lua_newtable(L);
#define SET(name, number, words)                                                                   \
    lua_pushinteger(L, HOB_##name);                                                                \
    lua_setfield(L, -2, #name);
    HOB_ERROR_CODES(SET)
#undef SET
    return 1;
}

static const luaL_Reg error_functions[] = {{"name", error_name},
                                           {"words", error_words},
                                           {"from_errno", error_from_errno},
                                           {"from_uv", error_from_uv},
                                           {"set", error_set},
                                           {"set_nowhere", error_set_nowhere},
                                           {"all", error_all},
                                           {NULL, NULL}};

/* ---- buf ---- */

static struct hob_buf *to_buf(lua_State *L)
{
    return luaL_checkudata(L, 1, BUF);
}

static int buf_new(lua_State *L)
{
    struct hob_buf *buf = lua_newuserdatauv(L, sizeof *buf, 0);
    hob_buf_init(buf, (size_t)luaL_checkinteger(L, 1));
    luaL_setmetatable(L, BUF);
    return 1;
}

static int buf_free(lua_State *L)
{
    hob_buf_free(to_buf(L));
    return 0;
}

static int buf_append(lua_State *L)
{
    size_t len;
    const char *data = luaL_checklstring(L, 2, &len);
    return result(L, hob_buf_append(to_buf(L), data, len));
}

static int buf_printf(lua_State *L)
{
    return result(L, hob_buf_printf(to_buf(L), "%d:%s", (int)luaL_checkinteger(L, 2),
                                    luaL_checkstring(L, 3)));
}

/* buf:fill(len, bytes): reserve `len`, then write and commit `bytes` */
static int buf_fill(lua_State *L)
{
    size_t len;
    const char *data = luaL_checklstring(L, 3, &len);
    void *room = hob_buf_reserve(to_buf(L), (size_t)luaL_checkinteger(L, 2));
    if (room) {
        memcpy(room, data, len);
        hob_buf_commit(to_buf(L), len);
    }
    lua_pushboolean(L, room != NULL);
    return 1;
}

static int buf_consume(lua_State *L)
{
    hob_buf_consume(to_buf(L), (size_t)luaL_checkinteger(L, 2));
    return 0;
}

static int buf_truncate(lua_State *L)
{
    hob_buf_truncate(to_buf(L), (size_t)luaL_checkinteger(L, 2));
    return 0;
}

static int buf_clear(lua_State *L)
{
    hob_buf_clear(to_buf(L));
    return 0;
}

static int buf_data(lua_State *L)
{
    lua_pushlstring(L, hob_buf_data(to_buf(L)), hob_buf_len(to_buf(L)));
    return 1;
}

static int buf_string(lua_State *L)
{
    lua_pushstring(L, hob_buf_string(to_buf(L)));
    return 1;
}

/* buf:sizes() -> len, room, capacity */
static int buf_sizes(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)hob_buf_len(to_buf(L)));
    lua_pushinteger(L, (lua_Integer)hob_buf_room(to_buf(L)));
    lua_pushinteger(L, (lua_Integer)to_buf(L)->capacity);
    return 3;
}

static int buf_quote(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    return result(L, hob_json_quote(to_buf(L), text, len));
}

static int buf_mask(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    hob_log_mask(to_buf(L), text, len);
    return 0;
}

static int buf_encode(lua_State *L)
{
    struct hob_error err;
    if (hob_json_encode(L, 2, to_buf(L), &err))
        return fail(L, &err);
    return result(L, 0);
}

static const luaL_Reg buf_functions[] = {{"new", buf_new}, {NULL, NULL}};
static const luaL_Reg buf_methods[] = {{"append", buf_append},     {"printf", buf_printf},
                                       {"fill", buf_fill},         {"consume", buf_consume},
                                       {"truncate", buf_truncate}, {"clear", buf_clear},
                                       {"data", buf_data},         {"string", buf_string},
                                       {"sizes", buf_sizes},       {"quote", buf_quote},
                                       {"mask", buf_mask},         {"encode", buf_encode},
                                       {"free", buf_free},         {NULL, NULL}};

/* ---- backoff ---- */

struct backoff {
    struct hob_backoff value;
    lua_State *L;
};

static uint64_t call_random(void *user)
{
    struct backoff *backoff = user;
    lua_State *L = backoff->L;
    lua_getiuservalue(L, 1, 1);
    lua_call(L, 0, 1);
    uint64_t bits = (uint64_t)luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return bits;
}

/* backoff.new(base, cap, floor [, random]) */
static int backoff_new(lua_State *L)
{
    struct backoff *backoff = lua_newuserdatauv(L, sizeof *backoff, 1);
    hob_backoff_init(&backoff->value, (uint64_t)luaL_checkinteger(L, 1),
                     (uint64_t)luaL_checkinteger(L, 2), (uint64_t)luaL_checkinteger(L, 3));
    if (lua_isfunction(L, 4)) {
        lua_pushvalue(L, 4);
        lua_setiuservalue(L, -2, 1);
        backoff->value.random = call_random;
        backoff->value.user = backoff;
    }
    luaL_setmetatable(L, BACKOFF);
    return 1;
}

static int backoff_next(lua_State *L)
{
    struct backoff *backoff = luaL_checkudata(L, 1, BACKOFF);
    backoff->L = L;
    lua_pushinteger(L, (lua_Integer)hob_backoff_next_ms(&backoff->value));
    return 1;
}

static int backoff_ceiling(lua_State *L)
{
    struct backoff *backoff = luaL_checkudata(L, 1, BACKOFF);
    lua_pushinteger(L, (lua_Integer)hob_backoff_ceiling_ms(&backoff->value));
    return 1;
}

static int backoff_reset(lua_State *L)
{
    struct backoff *backoff = luaL_checkudata(L, 1, BACKOFF);
    hob_backoff_reset(&backoff->value);
    return 0;
}

static int backoff_gc(lua_State *L)
{
    return 0;
}

static const luaL_Reg backoff_functions[] = {{"new", backoff_new}, {NULL, NULL}};
static const luaL_Reg backoff_methods[] = {
    {"next", backoff_next}, {"ceiling", backoff_ceiling}, {"reset", backoff_reset}, {NULL, NULL}};

/* ---- clock, random, utf8, mbed, module ---- */

static int clock_text(lua_State *L)
{
    char out[HOB_CLOCK_TEXT_MAX];
    lua_pushstring(L, hob_clock_text(luaL_checkinteger(L, 1), out));
    return 1;
}

static int clock_span(lua_State *L)
{
    char out[HOB_CLOCK_TEXT_MAX];
    lua_pushstring(L, hob_clock_span(luaL_checkinteger(L, 1), out));
    return 1;
}

static int clock_mono(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)hob_clock_mono_ms());
    return 1;
}

static int clock_wall(lua_State *L)
{
    lua_pushinteger(L, hob_clock_wall_ms());
    return 1;
}

static const luaL_Reg clock_functions[] = {{"text", clock_text},
                                           {"span", clock_span},
                                           {"mono", clock_mono},
                                           {"wall", clock_wall},
                                           {NULL, NULL}};

static int random_hex(lua_State *L)
{
    char out[256];
    size_t len = (size_t)luaL_checkinteger(L, 1);
    luaL_argcheck(L, len <= sizeof out, 1, "too long");
    lua_pushstring(L, hob_random_hex(out, len));
    return 1;
}

static int random_bytes(lua_State *L)
{
    luaL_Buffer out;
    size_t len = (size_t)luaL_checkinteger(L, 1);
    hob_random_bytes(luaL_buffinitsize(L, &out, len), len);
    luaL_pushresultsize(&out, len);
    return 1;
}

static int random_u64(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)hob_random_u64());
    return 1;
}

static const luaL_Reg random_functions[] = {
    {"hex", random_hex}, {"bytes", random_bytes}, {"u64", random_u64}, {NULL, NULL}};

static int utf8_valid(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    lua_pushboolean(L, hob_utf8_valid(text, len) == len);
    return 1;
}

static int utf8_cut(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    lua_pushlstring(L, text, hob_utf8_cut(text, len, (size_t)luaL_checkinteger(L, 2)));
    return 1;
}

static const luaL_Reg utf8_functions[] = {{"valid", utf8_valid}, {"cut", utf8_cut}, {NULL, NULL}};

static int mbed_sha256(lua_State *L)
{
    char hex[HOB_SHA256_HEX_MAX];
    size_t len;
    const char *data = luaL_checklstring(L, 1, &len);
    lua_pushstring(L, hob_sha256_of(data, len, hex));
    return 1;
}

/* The same, fed piece by piece: sha256_pieces(text, ...) */
static int mbed_sha256_pieces(lua_State *L)
{
    char hex[HOB_SHA256_HEX_MAX];
    int count = lua_gettop(L);
    struct hob_sha256 *sha = hob_sha256_new();
    for (int i = 1; i <= count; i++)
        hob_sha256_update(sha, lua_tostring(L, i), lua_rawlen(L, i));
    hob_sha256_hex(sha, hex);
    hob_sha256_free(sha);
    lua_pushstring(L, hex);
    return 1;
}

static int mbed_words(lua_State *L)
{
    char out[256];
    lua_pushstring(L, hob_mbed_words((int)luaL_checkinteger(L, 1), out, sizeof out));
    return 1;
}

static int mbed_version(lua_State *L)
{
    lua_pushstring(L, hob_mbed_version());
    return 1;
}

static const luaL_Reg mbed_functions[] = {{"sha256", mbed_sha256},
                                          {"sha256_pieces", mbed_sha256_pieces},
                                          {"words", mbed_words},
                                          {"version", mbed_version},
                                          {NULL, NULL}};

static int module_open(lua_State *L)
{
    struct hob_error err;
    if (!hob_module_open(luaL_checkstring(L, 1), &err))
        return fail(L, &err);
    return result(L, 0);
}

static int module_program_dir(lua_State *L)
{
    char out[4096];
    struct hob_error err;
    size_t len = (size_t)luaL_optinteger(L, 1, sizeof out);
    if (hob_module_program_dir(out, len < sizeof out ? len : sizeof out, &err))
        return fail(L, &err);
    lua_pushstring(L, out);
    return 1;
}

static const luaL_Reg module_functions[] = {
    {"open", module_open}, {"program_dir", module_program_dir}, {NULL, NULL}};

/* ---- json ---- */

static const char *const type_names[] = {"absent", "null",   "boolean", "number",
                                         "string", "object", "array"};

static struct hob_json *to_json(lua_State *L)
{
    return *(struct hob_json **)luaL_checkudata(L, 1, JSON);
}

static int json_new(lua_State *L)
{
    struct hob_error err;
    struct hob_json **json = lua_newuserdatauv(L, sizeof *json, 0);
    *json = NULL;
    luaL_setmetatable(L, JSON);
    return hob_json_new(json, &err) ? fail(L, &err) : 1;
}

static int json_gc(lua_State *L)
{
    hob_json_free(to_json(L));
    return 0;
}

static int json_parse(lua_State *L)
{
    struct hob_error err;
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    return hob_json_parse(to_json(L), text, len, &err) ? fail(L, &err) : result(L, 0);
}

static int json_type(lua_State *L)
{
    lua_pushstring(L, type_names[hob_json_type(to_json(L), luaL_checkstring(L, 2))]);
    return 1;
}

static int json_string(lua_State *L)
{
    size_t len;
    const char *text = hob_json_string(to_json(L), luaL_checkstring(L, 2), &len);
    lua_pushlstring(L, text, len);
    if (!text)
        lua_pushnil(L);
    return 1;
}

static int json_integer(lua_State *L)
{
    lua_pushinteger(L, hob_json_integer(to_json(L), luaL_checkstring(L, 2), -99));
    return 1;
}

static int json_boolean(lua_State *L)
{
    lua_pushboolean(L, hob_json_boolean(to_json(L), luaL_checkstring(L, 2), lua_toboolean(L, 3)));
    return 1;
}

static int json_length(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)hob_json_length(to_json(L), luaL_checkstring(L, 2)));
    return 1;
}

struct listing {
    lua_State *L;
    lua_Integer count, most;
};

static bool add_member(void *user, const char *key, enum hob_json_type type)
{
    struct listing *listing = user;
    lua_pushfstring(listing->L, "%s:%s", key, type_names[type]);
    lua_rawseti(listing->L, -2, ++listing->count);
    return listing->count != listing->most;
}

/* json:each(path [, most]) -> { "key:type", ... } */
static int json_each(lua_State *L)
{
    struct listing listing = {.L = L, .most = luaL_optinteger(L, 3, 0)};
    lua_newtable(L);
    hob_json_each(to_json(L), luaL_checkstring(L, 2), add_member, &listing);
    return 1;
}

static int json_slice(lua_State *L)
{
    size_t len, out_len = 0;
    const char *text = luaL_checklstring(L, 1, &len);
    const char *out = hob_json_slice(text, len, luaL_checkstring(L, 2), &out_len);
    if (out)
        lua_pushlstring(L, out, out_len);
    else
        lua_pushnil(L);
    return 1;
}

static int json_decode(lua_State *L)
{
    struct hob_error err;
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    return hob_json_push(L, text, len, &err) ? fail(L, &err) : 1;
}

static const luaL_Reg json_functions[] = {
    {"new", json_new}, {"slice", json_slice}, {"decode", json_decode}, {NULL, NULL}};
static const luaL_Reg json_methods[] = {{"parse", json_parse},     {"type", json_type},
                                        {"string", json_string},   {"integer", json_integer},
                                        {"boolean", json_boolean}, {"length", json_length},
                                        {"each", json_each},       {NULL, NULL}};

/* ---- log ---- */

struct log {
    struct hob_log *log;
    struct hob_buf lines; /* tapped: each with a newline */
};

static struct log *to_log(lua_State *L)
{
    return luaL_checkudata(L, 1, LOG);
}

static const char *field(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    const char *value = lua_tostring(L, -1);
    lua_pop(L, 1); /* the table keeps it */
    return value;
}

static void tap(void *user, const char *line, size_t len)
{
    struct log *log = user;
    hob_buf_append(&log->lines, line, len);
    hob_buf_append(&log->lines, "\n", 1);
    hob_log_event(log->log, HOB_LOG_ERROR, "units.tap", "a tap that logs");
}

/* log.open{level=, json=, target=} */
static int log_open(lua_State *L)
{
    struct hob_error err;
    struct hob_log_options options = {.target = field(L, 1, "target")};
    const char *level = field(L, 1, "level");
    if (level && hob_log_level_parse(level, &options.level))
        return luaL_error(L, "level %s", level);
    lua_getfield(L, 1, "json");
    options.format = lua_toboolean(L, -1) ? HOB_LOG_JSON : HOB_LOG_TEXT;
    struct log *log = lua_newuserdatauv(L, sizeof *log, 0);
    log->log = NULL;
    hob_buf_init(&log->lines, 1024 * 1024);
    luaL_setmetatable(L, LOG);
    if (hob_log_open(&options, &log->log, &err))
        return fail(L, &err);
    hob_log_tap(log->log, tap, log);
    return 1;
}

static int log_close(lua_State *L)
{
    struct log *log = to_log(L);
    hob_log_close(log->log);
    log->log = NULL;
    hob_buf_free(&log->lines);
    return 0;
}

/* log:write(level, event, message [, fields]) */
static int log_write(lua_State *L)
{
    struct log *log = to_log(L);
    struct hob_log_record record = {.event = luaL_checkstring(L, 3)};
    if (hob_log_level_parse(luaL_checkstring(L, 2), &record.level))
        return luaL_error(L, "level");
    const char *message = luaL_checkstring(L, 4);
    if (lua_istable(L, 5)) {
        record.thing = field(L, 5, "thing");
        record.job = field(L, 5, "job");
        record.step = field(L, 5, "step");
        record.code = field(L, 5, "code");
        record.action = field(L, 5, "action");
        lua_getfield(L, 5, "execution");
        record.execution = lua_tointeger(L, -1);
    }
    hob_log_write(log->log, &record, "%s", message);
    return 0;
}

static int log_lines(lua_State *L)
{
    struct log *log = to_log(L);
    lua_pushlstring(L, hob_buf_data(&log->lines), hob_buf_len(&log->lines));
    hob_buf_clear(&log->lines);
    return 1;
}

static int log_reopen(lua_State *L)
{
    struct hob_error err;
    return hob_log_reopen(to_log(L)->log, &err) ? fail(L, &err) : result(L, 0);
}

static int log_level_parse(lua_State *L)
{
    enum hob_log_level level = HOB_LOG_OFF;
    int code = hob_log_level_parse(luaL_checkstring(L, 1), &level);
    if (code)
        return result(L, code);
    lua_pushinteger(L, level);
    return 1;
}

static const luaL_Reg log_functions[] = {
    {"open", log_open}, {"level_parse", log_level_parse}, {NULL, NULL}};
static const luaL_Reg log_methods[] = {{"write", log_write},
                                       {"lines", log_lines},
                                       {"reopen", log_reopen},
                                       {"close", log_close},
                                       {NULL, NULL}};

/* ---- loop ---- */

struct loop {
    struct hob_loop *loop;
    lua_State *L; /* who called loop:run() */
    int error;    /* reference of the first error in a callback */
};

struct call { /* a Lua function that the loop calls, with its timer's handle if it has one */
    struct loop *loop;
    struct hob_timer *timer;
    int fn;
};

static struct loop *to_loop(lua_State *L)
{
    struct loop *loop = luaL_checkudata(L, 1, LOOP);
    luaL_argcheck(L, loop->loop, 1, "freed");
    return loop;
}

static void call(struct call *call)
{
    struct loop *loop = call->loop;
    lua_rawgeti(loop->L, LUA_REGISTRYINDEX, call->fn);
    if (lua_pcall(loop->L, 0, 0, 0) == LUA_OK)
        return;
    loop->error = luaL_ref(loop->L, LUA_REGISTRYINDEX);
    hob_loop_stop(loop->loop);
}

static void call_once(void *user)
{
    struct call *one = user;
    call(one);
    luaL_unref(one->loop->L, LUA_REGISTRYINDEX, one->fn);
    free(one);
}

static void call_timer(void *user)
{
    call(user);
}

static int loop_new(lua_State *L)
{
    struct hob_error err;
    struct loop *loop = lua_newuserdatauv(L, sizeof *loop, 0);
    *loop = (struct loop){.L = L, .error = LUA_NOREF};
    luaL_setmetatable(L, LOOP);
    return hob_loop_new(&loop->loop, &err) ? fail(L, &err) : 1;
}

static int loop_free(lua_State *L)
{
    struct loop *loop = luaL_checkudata(L, 1, LOOP);
    loop->L = L;
    hob_loop_free(loop->loop);
    loop->loop = NULL;
    return 0;
}

static struct call *new_call(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TFUNCTION);
    lua_pushvalue(L, index);
    struct call *one = calloc(1, sizeof *one);
    one->loop = to_loop(L);
    one->fn = luaL_ref(L, LUA_REGISTRYINDEX);
    return one;
}

static int loop_defer(lua_State *L)
{
    hob_loop_defer(to_loop(L)->loop, call_once, new_call(L, 2));
    return 0;
}

static int loop_run(lua_State *L)
{
    struct loop *loop = to_loop(L);
    loop->L = L;
    loop->error = LUA_NOREF;
    hob_loop_run(loop->loop);
    if (loop->error == LUA_NOREF)
        return 0;
    lua_rawgeti(L, LUA_REGISTRYINDEX, loop->error);
    luaL_unref(L, LUA_REGISTRYINDEX, loop->error);
    return lua_error(L);
}

static int loop_stop(lua_State *L)
{
    hob_loop_stop(to_loop(L)->loop);
    return 0;
}

static int loop_hold(lua_State *L)
{
    hob_loop_hold(to_loop(L)->loop);
    return 0;
}

static int loop_release(lua_State *L)
{
    hob_loop_release(to_loop(L)->loop);
    return 0;
}

/* loop:timer(fn) -> timer; close it before the loop is freed */
static int loop_timer(lua_State *L)
{
    struct call *one = new_call(L, 2);
    one->timer = hob_timer_new(one->loop->loop, call_timer, one);
    struct call **timer = lua_newuserdatauv(L, sizeof *timer, 1);
    *timer = one;
    luaL_setmetatable(L, TIMER);
    lua_pushvalue(L, 1); /* the loop lives as long */
    lua_setiuservalue(L, -2, 1);
    return 1;
}

static struct call *to_timer(lua_State *L)
{
    struct call *timer = *(struct call **)luaL_checkudata(L, 1, TIMER);
    luaL_argcheck(L, timer, 1, "closed");
    return timer;
}

static int timer_start(lua_State *L)
{
    hob_timer_start(to_timer(L)->timer, (uint64_t)luaL_checkinteger(L, 2));
    return 0;
}

static int timer_stop(lua_State *L)
{
    hob_timer_stop(to_timer(L)->timer);
    return 0;
}

static int timer_active(lua_State *L)
{
    lua_pushboolean(L, hob_timer_active(to_timer(L)->timer));
    return 1;
}

static int timer_close(lua_State *L)
{
    struct call **timer = luaL_checkudata(L, 1, TIMER);
    if (!*timer)
        return 0;
    hob_timer_close((*timer)->timer);
    luaL_unref(L, LUA_REGISTRYINDEX, (*timer)->fn);
    free(*timer);
    *timer = NULL;
    return 0;
}

static const luaL_Reg loop_functions[] = {{"new", loop_new}, {NULL, NULL}};
static const luaL_Reg loop_methods[] = {
    {"defer", loop_defer}, {"run", loop_run},         {"stop", loop_stop}, {"timer", loop_timer},
    {"hold", loop_hold},   {"release", loop_release}, {"free", loop_free}, {NULL, NULL}};
static const luaL_Reg timer_methods[] = {{"start", timer_start},
                                         {"stop", timer_stop},
                                         {"active", timer_active},
                                         {"close", timer_close},
                                         {NULL, NULL}};

int hob_units_open_base(lua_State *L)
{
    new_class(L, BUF, buf_methods, buf_free);
    new_class(L, BACKOFF, backoff_methods, backoff_gc);
    new_class(L, JSON, json_methods, json_gc);
    new_class(L, LOG, log_methods, log_close);
    new_class(L, LOOP, loop_methods, loop_free);
    new_class(L, TIMER, timer_methods, timer_close);
    lua_newtable(L);
    new_unit(L, "error", error_functions);
    new_unit(L, "buf", buf_functions);
    new_unit(L, "backoff", backoff_functions);
    new_unit(L, "clock", clock_functions);
    new_unit(L, "random", random_functions);
    new_unit(L, "utf8", utf8_functions);
    new_unit(L, "mbed", mbed_functions);
    new_unit(L, "module", module_functions);
    new_unit(L, "json", json_functions);
    new_unit(L, "log", log_functions);
    new_unit(L, "loop", loop_functions);
    return 1;
}
