/* units_events.c - a log whose events are kept, and beside it what programs print, for specs. */
#include "units.h"

#include "base/log.h"
#include "work/events.h"
#include "work/output.h"

#include <stdio.h>

#define KEEPER    "hob_units.keeper"
#define PRINT_MAX 16

struct keeper {
    struct hob_log *log;
    struct hob_events *events;
    struct hob_outputs *outputs;
    struct hob_output *open[PRINT_MAX];
    int count;
};

static struct keeper *to_keeper(lua_State *L)
{
    return luaL_checkudata(L, 1, KEEPER);
}

static const char *field(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    const char *value = lua_tostring(L, -1);
    lua_pop(L, 1); /* the table keeps it */
    return value;
}

/* events.new{dir=, limit=, level=, json=, output_limit=} */
static int events_new(lua_State *L)
{
    struct hob_error err = {0};
    char output[4096];
    struct hob_log_options log = {.target = "/dev/null"};
    const char *level = field(L, 1, "level");
    if (level && hob_log_level_parse(level, &log.level))
        return luaL_error(L, "level");
    lua_getfield(L, 1, "json");
    log.format = lua_toboolean(L, -1) ? HOB_LOG_JSON : HOB_LOG_TEXT;
    struct hob_events_options options = {.dir = field(L, 1, "dir")};
    lua_getfield(L, 1, "limit");
    options.limit_bytes = (uint64_t)lua_tointeger(L, -1);
    lua_getfield(L, 1, "output_limit");
    snprintf(output, sizeof output, "%s/output", options.dir);
    struct hob_output_options outputs = {.dir = output,
                                         .limit_bytes = (uint64_t)lua_tointeger(L, -1)};
    struct keeper *keeper = lua_newuserdatauv(L, sizeof *keeper, 0);
    *keeper = (struct keeper){0};
    luaL_setmetatable(L, KEEPER);
    int rc = hob_log_open(&log, &keeper->log, &err);
    rc = rc ? rc : hob_events_new(keeper->log, &options, &keeper->events, &err);
    rc = rc ? rc : hob_outputs_new(keeper->log, &outputs, &keeper->outputs, &err);
    return rc ? hob_units_fail(L, &err) : 1;
}

static int keeper_close(lua_State *L)
{
    struct keeper *keeper = to_keeper(L);
    hob_outputs_free(keeper->outputs);
    hob_events_free(keeper->events);
    hob_log_close(keeper->log);
    *keeper = (struct keeper){0};
    return 0;
}

/* keeper:say(level, event, message [, { thing=, job=, execution=, step= }]) */
static int keeper_say(lua_State *L)
{
    struct hob_log_record record = {.event = luaL_checkstring(L, 3)};
    luaL_argcheck(L, !hob_log_level_parse(luaL_checkstring(L, 2), &record.level), 2, "level");
    const char *message = luaL_checkstring(L, 4);
    if (lua_istable(L, 5)) {
        record.thing = field(L, 5, "thing");
        record.job = field(L, 5, "job");
        record.step = field(L, 5, "step");
        lua_getfield(L, 5, "execution");
        record.execution = lua_tointeger(L, -1);
    }
    hob_log_write(to_keeper(L)->log, &record, "%s", message);
    return 0;
}

/* keeper:open(name) -> number */
static int keeper_open(lua_State *L)
{
    struct keeper *keeper = to_keeper(L);
    luaL_argcheck(L, keeper->count < PRINT_MAX, 1, "too many");
    keeper->open[keeper->count++] = hob_output_open(keeper->outputs, luaL_checkstring(L, 2));
    lua_pushinteger(L, keeper->count);
    return 1;
}

/* keeper:print(number, program, is_err, data) */
static int keeper_print(lua_State *L)
{
    struct keeper *keeper = to_keeper(L);
    size_t len;
    lua_Integer i = luaL_checkinteger(L, 2);
    const char *data = luaL_checklstring(L, 5, &len);
    luaL_argcheck(L, i >= 1 && i <= keeper->count, 2, "no such output");
    hob_output_write(keeper->open[i - 1], luaL_checkstring(L, 3), lua_toboolean(L, 4), data, len);
    return 0;
}

/* events.parse_name(name) -> thing, job, execution, queued | nil */
static int parse_name(lua_State *L)
{
    struct hob_output_name name;
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    if (!hob_output_parse_name(text, len, &name))
        return 0;
    lua_pushlstring(L, name.thing, name.thing_len);
    lua_pushlstring(L, name.job, name.job_len);
    lua_pushinteger(L, name.execution);
    lua_pushinteger(L, name.queued_at);
    return 4;
}

static const luaL_Reg functions[] = {{"new", events_new}, {"parse_name", parse_name}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"say", keeper_say},
                                   {"open", keeper_open},
                                   {"print", keeper_print},
                                   {"close", keeper_close},
                                   {NULL, NULL}};

int hob_units_open_events(lua_State *L)
{
    hob_units_class(L, KEEPER, methods, keeper_close);
    lua_newtable(L);
    hob_units_unit(L, "events", functions);
    return 1;
}
