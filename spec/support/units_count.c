/* units_count.c - metrics_text, tally, mqtt_counts for specs. */
#include "base/buf.h"
#include "host/metrics_text.h"
#include "net/mqtt_counts.h"
#include "units.h"
#include "work/tally.h"

#include <string.h>

#define TALLY    "hob_units.tally"
#define TEXT_MAX 65536
#define LABELS   8

/* ---- metrics_text ---- */

static int push_text(lua_State *L, int rc, struct hob_buf *out)
{
    if (rc == 0) {
        lua_pushlstring(L, hob_buf_data(out), hob_buf_len(out));
    }
    hob_buf_free(out);
    return rc ? hob_units_result(L, rc) : 1;
}

/* metrics.head(name, type, help) -> text */
static int metrics_head(lua_State *L)
{
    struct hob_buf out;
    const char *name = luaL_checkstring(L, 1), *type = luaL_checkstring(L, 2);
    const char *help = luaL_checkstring(L, 3);
    hob_buf_init(&out, TEXT_MAX);
    return push_text(L, hob_metrics_head(&out, name, type, help), &out);
}

/* metrics.sample(name, value, label, value, ...) -> text */
static int metrics_sample(lua_State *L)
{
    struct hob_metrics_label labels[LABELS + 1] = {{NULL, NULL}};
    struct hob_buf out;
    const char *name = luaL_checkstring(L, 1);
    double value = luaL_checknumber(L, 2);
    for (int i = 3, at = 0; i < lua_gettop(L) && at < LABELS; i += 2, at++) {
        labels[at] = (struct hob_metrics_label){luaL_checkstring(L, i), luaL_checkstring(L, i + 1)};
    }
    hob_buf_init(&out, TEXT_MAX);
    return push_text(L, hob_metrics_sample(&out, name, labels, value), &out);
}

static const luaL_Reg metrics_functions[] = {
    {"head", metrics_head}, {"sample", metrics_sample}, {NULL, NULL}};

/* ---- tally ---- */

static struct hob_tally *check_tally(lua_State *L)
{
    return *(struct hob_tally **)luaL_checkudata(L, 1, TALLY);
}

/* tally.new() */
static int tally_new(lua_State *L)
{
    struct hob_tally **tally = lua_newuserdatauv(L, sizeof *tally, 0);
    *tally = hob_tally_new();
    luaL_setmetatable(L, TALLY);
    return 1;
}

static int tally_gc(lua_State *L)
{
    hob_tally_free(check_tally(L));
    return 0;
}

/* tally:ended(handler, status, kind) */
static int tally_ended(lua_State *L)
{
    hob_tally_ended(check_tally(L), luaL_checkstring(L, 2), luaL_checkstring(L, 3),
                    luaL_checkstring(L, 4));
    return 0;
}

/* tally:rows() -> { { handler, status, kind, count }, ... } */
static int tally_rows(lua_State *L)
{
    struct hob_tally_row row;
    lua_newtable(L);
    for (size_t i = 0; hob_tally_at(check_tally(L), i, &row); i++) {
        const char *words[] = {row.handler, row.status, row.kind};
        lua_newtable(L);
        for (int w = 0; w < 3; w++) {
            lua_pushstring(L, words[w]);
            lua_rawseti(L, -2, w + 1);
        }
        lua_pushinteger(L, (lua_Integer)row.count);
        lua_rawseti(L, -2, 4);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static const luaL_Reg tally_functions[] = {{"new", tally_new}, {NULL, NULL}};
static const luaL_Reg tally_methods[] = {
    {"ended", tally_ended}, {"rows", tally_rows}, {NULL, NULL}};

/* ---- mqtt_counts ---- */

/* mqtt_counts.cause("ETLS") -> "tls" */
static int counts_cause(lua_State *L)
{
    const char *wanted = luaL_checkstring(L, 1);
    for (int code = -1; code > -200; code--) {
        if (strcmp(hob_error_name(code), wanted) == 0) {
            lua_pushstring(L, hob_mqtt_cause_name(hob_mqtt_cause_of(code)));
            return 1;
        }
    }
    return luaL_error(L, "no code %s", wanted);
}

static const luaL_Reg counts_functions[] = {{"cause", counts_cause}, {NULL, NULL}};

int hob_units_open_count(lua_State *L)
{
    hob_units_class(L, TALLY, tally_methods, tally_gc);
    lua_newtable(L);
    hob_units_unit(L, "metrics", metrics_functions);
    hob_units_unit(L, "tally", tally_functions);
    hob_units_unit(L, "mqtt_counts", counts_functions);
    return 1;
}
