/* units_base.c - backoff, budget, buf, clock, error, mbed, module, random, spare for specs. */
#include "units.h"

#include "base/backoff.h"
#include "base/budget.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mbed.h"
#include "base/module.h"
#include "base/random.h"
#include "base/spare.h"
#include "base/utf8.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define BUF     "hob_units.buf"
#define BACKOFF "hob_units.backoff"
#define BUDGET  "hob_units.budget"

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
    return hob_units_result(L, hob_buf_append(to_buf(L), data, len));
}

static int buf_printf(lua_State *L)
{
    return hob_units_result(L, hob_buf_printf(to_buf(L), "%d:%s", (int)luaL_checkinteger(L, 2),
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
    return hob_units_result(L, hob_json_quote(to_buf(L), text, len));
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
        return hob_units_fail(L, &err);
    return hob_units_result(L, 0);
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

static int backoff_raise(lua_State *L)
{
    struct backoff *backoff = luaL_checkudata(L, 1, BACKOFF);
    hob_backoff_raise(&backoff->value, (unsigned)luaL_checkinteger(L, 2));
    return 0;
}

static int backoff_gc(lua_State *L)
{
    return 0;
}

static const luaL_Reg backoff_functions[] = {{"new", backoff_new}, {NULL, NULL}};
static const luaL_Reg backoff_methods[] = {{"next", backoff_next},
                                           {"ceiling", backoff_ceiling},
                                           {"reset", backoff_reset},
                                           {"raise", backoff_raise},
                                           {NULL, NULL}};

/* ---- budget ---- */

/* budget.new(per_minute, now) */
static int budget_new(lua_State *L)
{
    struct hob_budget *budget = lua_newuserdatauv(L, sizeof *budget, 0);
    hob_budget_init(budget, luaL_checknumber(L, 1), (uint64_t)luaL_checkinteger(L, 2));
    luaL_setmetatable(L, BUDGET);
    return 1;
}

/* budget:wait(reserve, now) -> ms */
static int budget_wait(lua_State *L)
{
    struct hob_budget *budget = luaL_checkudata(L, 1, BUDGET);
    lua_pushinteger(L, (lua_Integer)hob_budget_wait_ms(budget, luaL_checknumber(L, 2),
                                                       (uint64_t)luaL_checkinteger(L, 3)));
    return 1;
}

static int budget_take(lua_State *L)
{
    hob_budget_take(luaL_checkudata(L, 1, BUDGET));
    return 0;
}

static const luaL_Reg budget_functions[] = {{"new", budget_new}, {NULL, NULL}};
static const luaL_Reg budget_methods[] = {
    {"wait", budget_wait}, {"take", budget_take}, {NULL, NULL}};

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
    if (!hob_module_open_in(luaL_optstring(L, 2, NULL), luaL_checkstring(L, 1), &err))
        return hob_units_fail(L, &err);
    return hob_units_result(L, 0);
}

static int module_program_dir(lua_State *L)
{
    char out[4096];
    struct hob_error err;
    size_t len = (size_t)luaL_optinteger(L, 1, sizeof out);
    if (hob_module_program_dir(out, len < sizeof out ? len : sizeof out, &err))
        return hob_units_fail(L, &err);
    lua_pushstring(L, out);
    return 1;
}

static const luaL_Reg module_functions[] = {
    {"open", module_open}, {"program_dir", module_program_dir}, {NULL, NULL}};

/* ---- spare ---- */

/* As a library does that seeds rand() and ignores SIGPIPE. */
static void *spoil(void *user)
{
    for (long i = 0; i < *(const long *)user; i++) {
        struct hob_spare kept;
        hob_spare_begin(&kept);
        signal(SIGPIPE, SIG_IGN);
        srand(1);
        hob_spare_end(&kept);
    }
    return NULL;
}

static int second_of(unsigned seed)
{
    srand(seed);
    rand();
    return rand();
}

/* spare.on_two_threads(rounds) -> is SIGPIPE as it was?, is rand()? */
static int spare_on_two_threads(lua_State *L)
{
    struct sigaction before, after;
    pthread_t threads[2];
    long rounds = (long)luaL_checkinteger(L, 1);
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigaction(SIGPIPE, &plain, &before);
    int expected = second_of(7);
    srand(7);
    rand();
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, spoil, &rounds))
            return luaL_error(L, "no thread");
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    sigaction(SIGPIPE, &before, &after);
    lua_pushboolean(L, after.sa_handler == SIG_DFL);
    lua_pushboolean(L, rand() == expected);
    return 2;
}

static const luaL_Reg spare_functions[] = {{"on_two_threads", spare_on_two_threads}, {NULL, NULL}};

int hob_units_open_base(lua_State *L)
{
    hob_units_class(L, BUF, buf_methods, buf_free);
    hob_units_class(L, BACKOFF, backoff_methods, backoff_gc);
    hob_units_class(L, BUDGET, budget_methods, backoff_gc);
    lua_newtable(L);
    hob_units_unit(L, "error", error_functions);
    hob_units_unit(L, "buf", buf_functions);
    hob_units_unit(L, "backoff", backoff_functions);
    hob_units_unit(L, "budget", budget_functions);
    hob_units_unit(L, "clock", clock_functions);
    hob_units_unit(L, "random", random_functions);
    hob_units_unit(L, "utf8", utf8_functions);
    hob_units_unit(L, "mbed", mbed_functions);
    hob_units_unit(L, "module", module_functions);
    hob_units_unit(L, "spare", spare_functions);
    return 1;
}
