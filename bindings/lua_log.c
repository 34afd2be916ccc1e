/* lua_log.c - hob.log: one event a line in Hob's own log.
 *
 * hob.log.debug|info|warn|error(text [, fields])            event "lua.log"
 * hob.log.debug|info|warn|error(event, text [, fields])     event: "job.created"
 * hob.log.configure{ level =, format = "text"|"json" }       `hob lua` and Hob's commands only
 * fields = { thing=, job=, execution=, step=, code=, action= }; any other name raises. In a job's
 * sandbox the first four are the job's own unless they are given.
 * Spec: spec/unit/log_spec.lua
 */
#include "bindings.h"

#include "work/job.h"

#include <string.h>

#define EXECUTION_MAX 9007199254740992.0 /* 2^53: what a double holds exactly */

static const char *const fields[] = {"thing", "job", "execution", "step", "code", "action", NULL};

static bool is_event(const char *text)
{
    size_t room = strspn(text, "abcdefghijklmnopqrstuvwxyz_");
    const char *name = text + room + 1;
    return room > 0 && text[room] == '.' && *name &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz_") == strlen(name);
}

static const char *check_event(lua_State *L, int index)
{
    const char *event = luaL_checkstring(L, index);
    if (!is_event(event))
        luaL_error(L, "event: expected an id such as \"job.created\", got \"%s\"", event);
    return event;
}

static int64_t read_execution(lua_State *L, int index, int64_t fallback)
{
    double number = hob_lua_opt_number(L, index, "execution", (double)fallback);
    if (!(number >= 0 && number <= EXECUTION_MAX))
        luaL_error(L, "execution: expected a number from 0, got %f", number);
    return (int64_t)number;
}

static void read_fields(lua_State *L, int index, struct hob_log_record *record)
{
    if (lua_isnoneornil(L, index))
        return;
    luaL_checktype(L, index, LUA_TTABLE);
    hob_lua_check_options(L, index, fields);
    record->thing = hob_lua_opt_string(L, index, "thing", record->thing);
    record->job = hob_lua_opt_string(L, index, "job", record->job);
    record->execution = read_execution(L, index, record->execution);
    record->step = hob_lua_opt_string(L, index, "step", record->step);
    record->code = hob_lua_opt_string(L, index, "code", NULL);
    record->action = hob_lua_opt_string(L, index, "action", NULL);
}

static void be_about(const struct hob_job *job, struct hob_log_record *record)
{
    struct hob_job_view view;
    hob_job_view(job, &view);
    record->thing = view.thing;
    record->job = view.id;
    record->execution = view.execution_number;
    record->step = hob_job_step(job);
}

static int write_event(lua_State *L, enum hob_log_level level)
{
    struct hob_log_record record = {.level = level, .event = "lua.log"};
    int text = 1;
    if (lua_type(L, 2) == LUA_TSTRING) {
        record.event = check_event(L, 1);
        text = 2;
    }
    const struct hob_modules_host *host = hob_bindings_host(L);
    const char *message = luaL_checkstring(L, text);
    if (host->job)
        be_about(host->job, &record);
    read_fields(L, text + 1, &record);
    hob_log_write(host->log, &record, "%s", message);
    return 0;
}

static int log_debug(lua_State *L)
{
    return write_event(L, HOB_LOG_DEBUG);
}

static int log_info(lua_State *L)
{
    return write_event(L, HOB_LOG_INFO);
}

static int log_warn(lua_State *L)
{
    return write_event(L, HOB_LOG_WARN);
}

static int log_error(lua_State *L)
{
    return write_event(L, HOB_LOG_ERROR);
}

static int log_configure(lua_State *L)
{
    static const char *const known[] = {"level", "format", NULL};
    luaL_checktype(L, 1, LUA_TTABLE);
    hob_lua_check_options(L, 1, known);
    const struct hob_modules_host *host = hob_bindings_host(L);
    if (host->job)
        return luaL_error(L, "the log of a job is configured in hob.conf.lua");
    const char *name = hob_lua_opt_string(L, 1, "level", "info");
    const char *format = hob_lua_opt_string(L, 1, "format", "text");
    enum hob_log_level level;
    if (hob_log_level_parse(name, &level))
        return luaL_error(L, "level: expected debug, info, warn, error or off, got \"%s\"", name);
    if (strcmp(format, "json") != 0 && strcmp(format, "text") != 0)
        return luaL_error(L, "format: expected text or json, got \"%s\"", format);
    hob_log_configure(host->log, level, *format == 'j' ? HOB_LOG_JSON : HOB_LOG_TEXT);
    return 0;
}

static const luaL_Reg functions[] = {{"configure", log_configure}, {"debug", log_debug},
                                     {"info", log_info},           {"warn", log_warn},
                                     {"error", log_error},         {NULL, NULL}};

int hob_lua_open_log(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
