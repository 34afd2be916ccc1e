/* lua_log.c - hob.log: one event a line in Hob's own log.
 *
 * hob.log.debug|info|warn|error(text [, fields])            event "lua.log"
 * hob.log.debug|info|warn|error(event, text [, fields])     event: "job.created"
 * fields = { thing=, job=, execution=, step=, code=, action= }; any other name raises.
 * Spec: spec/unit/log_spec.lua
 */
#include "bindings.h"

#include <string.h>

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

static void read_fields(lua_State *L, int index, struct hob_log_record *record)
{
    if (lua_isnoneornil(L, index))
        return;
    luaL_checktype(L, index, LUA_TTABLE);
    hob_lua_check_options(L, index, fields);
    record->thing = hob_lua_opt_string(L, index, "thing", NULL);
    record->job = hob_lua_opt_string(L, index, "job", NULL);
    record->execution = (int64_t)hob_lua_opt_number(L, index, "execution", 0);
    record->step = hob_lua_opt_string(L, index, "step", NULL);
    record->code = hob_lua_opt_string(L, index, "code", NULL);
    record->action = hob_lua_opt_string(L, index, "action", NULL);
}

static int write_event(lua_State *L, enum hob_log_level level)
{
    struct hob_log_record record = {.level = level, .event = "lua.log"};
    int text = 1;
    if (lua_type(L, 2) == LUA_TSTRING) {
        record.event = check_event(L, 1);
        text = 2;
    }
    const char *message = luaL_checkstring(L, text);
    read_fields(L, text + 1, &record);
    hob_log_write(hob_bindings_host(L)->log, &record, "%s", message);
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

static const luaL_Reg functions[] = {{"debug", log_debug},
                                     {"info", log_info},
                                     {"warn", log_warn},
                                     {"error", log_error},
                                     {NULL, NULL}};

int hob_lua_open_log(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
