/* units_device.c - programs and their sets, boots, the black box and the log of output, for specs.
 * Failures are nil, message, "CODE". */
#include "units.h"

#include "base/buf.h"
#include "base/log.h"
#include "device/exec.h"
#include "device/power.h"
#include "work/blackbox.h"
#include "work/output.h"

#include <inttypes.h>
#include <string.h>

#define SET      "hob_units.exec_set"
#define BLACKBOX "hob_units.blackbox"
#define OUTPUTS  "hob_units.outputs"

static const char *field(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    const char *value = lua_tostring(L, -1);
    lua_pop(L, 1); /* the table keeps it */
    return value;
}

static lua_Integer number(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    lua_Integer value = lua_tointeger(L, -1);
    lua_pop(L, 1);
    return value;
}

/* The list at `index` as words; they stay on the stack. */
static const char **words_at(lua_State *L, int index)
{
    int n = (int)luaL_len(L, index);
    const char **words = lua_newuserdatauv(L, sizeof *words * ((size_t)n + 1), 0);
    for (int i = 1; i <= n; i++) {
        lua_geti(L, index, i);
        words[i - 1] = luaL_checkstring(L, -1);
    }
    words[n] = NULL;
    return words;
}

/* ---- exec_set: a loop of its own, turned by the spec ---- */

#define PROGRAMS_MAX 8

struct set {
    struct hob_loop *loop;
    struct hob_exec_set *set;
    struct hob_exec *programs[PROGRAMS_MAX]; /* NULL once done or cancelled */
    int count;
    struct hob_buf events; /* lines: what was called back */
};

struct watched {
    struct set *set;
    int number;
};

static struct set *to_set(lua_State *L)
{
    return luaL_checkudata(L, 1, SET);
}

static void on_child(void *user, int pid, bool runs)
{
    struct set *set = user;
    hob_buf_printf(&set->events, "%s %d\n", runs ? "started" : "ended", pid);
}

static void on_data(void *user, const char *program, bool is_err, const char *data, size_t len)
{
    struct set *set = user;
    hob_buf_printf(&set->events, "%s of %s: %.*s", is_err ? "err" : "out", program, (int)len, data);
}

static void on_gone(void *user)
{
    struct set *set = user;
    hob_buf_append_string(&set->events, "gone\n");
}

static void on_done(void *user, const struct hob_exec_result *result)
{
    struct watched *watched = user;
    char words[128];
    hob_buf_printf(&watched->set->events, "done %s\n", hob_exec_words(result, words, sizeof words));
    watched->set->programs[watched->number] = NULL;
}

static int set_new(lua_State *L)
{
    struct hob_error err;
    struct set *set = lua_newuserdatauv(L, sizeof *set, 1);
    *set = (struct set){0};
    hob_buf_init(&set->events, 1 << 20);
    luaL_setmetatable(L, SET);
    lua_newtable(L);
    lua_setiuservalue(L, -2, 1);
    if (hob_loop_new(&set->loop, &err))
        return hob_units_fail(L, &err);
    struct hob_exec_set_options options = {.on_child = on_child, .on_data = on_data, .user = set};
    set->set = hob_exec_set_new(set->loop, &options);
    return set->set ? 1 : luaL_error(L, "out of memory");
}

/* set:start({"sh", ...}, {timeout_ms=, grace_ms=, oom_file=, alone=}) -> number, pid */
static int set_start(lua_State *L)
{
    struct hob_error err;
    struct set *set = to_set(L);
    luaL_checktype(L, 3, LUA_TTABLE);
    if (set->count == PROGRAMS_MAX)
        return luaL_error(L, "too many programs");
    struct hob_exec_options options = {.timeout_ms = (uint64_t)number(L, 3, "timeout_ms"),
                                       .grace_ms = (uint64_t)number(L, 3, "grace_ms"),
                                       .oom_file = field(L, 3, "oom_file"),
                                       .set = number(L, 3, "alone") ? NULL : set->set,
                                       .done = on_done};
    lua_getiuservalue(L, 1, 1);
    struct watched *watched = lua_newuserdatauv(L, sizeof *watched, 0);
    lua_rawseti(L, -2, set->count + 1);
    lua_pushvalue(L, 3); /* its oom_file is borrowed */
    lua_rawseti(L, -2, -set->count - 1);
    *watched = (struct watched){.set = set, .number = set->count};
    options.user = watched;
    options.argv = words_at(L, 2);
    if (hob_exec_start(set->loop, &options, &set->programs[set->count], &err))
        return hob_units_fail(L, &err);
    set->count++;
    lua_pushinteger(L, set->count);
    lua_pushinteger(L, hob_exec_pid(set->programs[set->count - 1]));
    return 2;
}

static int set_cancel(lua_State *L)
{
    struct set *set = to_set(L);
    lua_Integer i = luaL_checkinteger(L, 2);
    luaL_argcheck(L, i >= 1 && i <= set->count && set->programs[i - 1], 2, "it does not run");
    hob_exec_cancel(set->programs[i - 1]);
    set->programs[i - 1] = NULL;
    return 0;
}

/* set:kill(number, signal) */
static int set_kill(lua_State *L)
{
    struct set *set = to_set(L);
    lua_Integer i = luaL_checkinteger(L, 2);
    luaL_argcheck(L, i >= 1 && i <= set->count && set->programs[i - 1], 2, "it does not run");
    hob_exec_kill(set->programs[i - 1], (int)luaL_checkinteger(L, 3));
    return 0;
}

static int set_turn(lua_State *L)
{
    uv_run(hob_loop_uv(to_set(L)->loop), UV_RUN_NOWAIT);
    return 0;
}

static int set_end(lua_State *L)
{
    hob_exec_set_end(to_set(L)->set);
    return 0;
}

static int set_when_gone(lua_State *L)
{
    hob_exec_set_when_gone(to_set(L)->set, lua_toboolean(L, 2) ? on_gone : NULL, to_set(L));
    return 0;
}

static int set_count(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)hob_exec_set_count(to_set(L)->set));
    return 1;
}

static int set_events(lua_State *L)
{
    struct set *set = to_set(L);
    lua_pushlstring(L, hob_buf_data(&set->events), hob_buf_len(&set->events));
    return 1;
}

/* As a slot that is freed. */
static int set_drop(lua_State *L)
{
    struct set *set = to_set(L);
    hob_exec_set_free(set->set);
    set->set = NULL;
    return 0;
}

/* As the end of a process. */
static int set_close(lua_State *L)
{
    struct set *set = to_set(L);
    hob_exec_set_free(set->set);
    for (int i = 0; i < set->count; i++)
        if (set->programs[i])
            hob_exec_cancel(set->programs[i]);
    hob_loop_free(set->loop);
    hob_buf_free(&set->events);
    *set = (struct set){0};
    return 0;
}

static const luaL_Reg set_methods[] = {{"start", set_start}, {"cancel", set_cancel},
                                       {"kill", set_kill},   {"turn", set_turn},
                                       {"end_all", set_end}, {"when_gone", set_when_gone},
                                       {"count", set_count}, {"events", set_events},
                                       {"drop", set_drop},   {"close", set_close},
                                       {NULL, NULL}};
static const luaL_Reg set_functions[] = {{"new", set_new}, {NULL, NULL}};

/* ---- power ---- */

static int power_boot_id(lua_State *L)
{
    struct hob_error err;
    char id[HOB_POWER_BOOT_ID_MAX + 1];
    if (hob_power_boot_id(luaL_optstring(L, 1, NULL), id, &err))
        return hob_units_fail(L, &err);
    lua_pushstring(L, id);
    return 1;
}

struct rebooted {
    int calls;
    char problem[512];
};

static void on_rebooted(void *user, const char *problem)
{
    struct rebooted *rebooted = user;
    rebooted->calls++;
    snprintf(rebooted->problem, sizeof rebooted->problem, "%s", problem ? problem : "");
}

/* power.reboot({"sh", ...}, leave) -> calls of done, the problem. `leave`: the loop ends at once.
 */
static int power_reboot(lua_State *L)
{
    struct hob_error err;
    struct hob_loop *loop;
    struct rebooted rebooted = {0};
    bool leave = lua_toboolean(L, 2);
    const char **command = words_at(L, 1);
    if (hob_loop_new(&loop, &err))
        return hob_units_fail(L, &err);
    int rc = hob_power_reboot(loop, command, on_rebooted, &rebooted, &err);
    if (!rc && !leave)
        hob_loop_run(loop);
    hob_loop_free(loop);
    if (rc)
        return hob_units_fail(L, &err);
    lua_pushinteger(L, rebooted.calls);
    lua_pushstring(L, rebooted.problem);
    return 2;
}

static const luaL_Reg power_functions[] = {
    {"boot_id", power_boot_id}, {"reboot", power_reboot}, {NULL, NULL}};

/* ---- blackbox ---- */

struct box {
    struct hob_blackbox *box;
    struct hob_log *log;
    struct hob_blackbox_entry *entries[HOB_BLACKBOX_ENTRIES + 8];
    int count;
};

static struct box *to_box(lua_State *L)
{
    return luaL_checkudata(L, 1, BLACKBOX);
}

static struct hob_log *open_log(lua_State *L, const char *target)
{
    struct hob_error err;
    struct hob_log *log = NULL;
    struct hob_log_options options = {.format = HOB_LOG_JSON, .target = target};
    if (target && hob_log_open(&options, &log, &err))
        luaL_error(L, "%s", err.message);
    return log;
}

/* blackbox.open(path, boot_id, log_path or nil) */
static int box_open(lua_State *L)
{
    struct hob_error err;
    const char *path = luaL_checkstring(L, 1), *boot_id = luaL_checkstring(L, 2);
    const char *target = luaL_optstring(L, 3, NULL);
    struct box *box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = (struct box){0};
    luaL_setmetatable(L, BLACKBOX);
    box->log = open_log(L, target);
    if (hob_blackbox_open(box->log, path, boot_id, &box->box, &err))
        return hob_units_fail(L, &err);
    return 1;
}

static int box_past(lua_State *L)
{
    const struct hob_blackbox_past *past;
    size_t count = hob_blackbox_past(to_box(L)->box, &past);
    lua_newtable(L);
    for (size_t i = 0; i < count; i++) {
        lua_createtable(L, 0, 3);
        lua_pushinteger(L, past[i].row);
        lua_setfield(L, -2, "row");
        lua_pushboolean(L, past[i].executing);
        lua_setfield(L, -2, "executing");
        lua_pushstring(L, past[i].step);
        lua_setfield(L, -2, "step");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int box_end_children(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)hob_blackbox_end_children(to_box(L)->box));
    return 1;
}

/* -> entry's number, whether it is remembered */
static int box_begin(lua_State *L)
{
    struct box *box = to_box(L);
    luaL_argcheck(L, box->count < HOB_BLACKBOX_ENTRIES + 8, 1, "too many entries");
    box->entries[box->count] = hob_blackbox_begin(box->box, luaL_checkinteger(L, 2));
    lua_pushinteger(L, ++box->count);
    lua_pushboolean(L, box->entries[box->count - 1] != NULL);
    return 2;
}

static struct hob_blackbox_entry *entry_at(lua_State *L)
{
    const struct box *box = to_box(L);
    lua_Integer i = luaL_checkinteger(L, 2);
    luaL_argcheck(L, i >= 1 && i <= box->count, 2, "no such entry");
    return box->entries[i - 1];
}

static int box_step(lua_State *L)
{
    hob_blackbox_step(entry_at(L), luaL_optstring(L, 3, NULL));
    return 0;
}

static int box_child(lua_State *L)
{
    hob_blackbox_child(entry_at(L), (int)luaL_checkinteger(L, 3), lua_toboolean(L, 4));
    return 0;
}

static int box_starts(lua_State *L)
{
    hob_blackbox_starts(entry_at(L), (uint64_t)luaL_checkinteger(L, 3),
                        (uint64_t)luaL_checkinteger(L, 4));
    return 0;
}

static int box_executing(lua_State *L)
{
    volatile int *flag = hob_blackbox_executing(entry_at(L));
    if (flag)
        *flag = lua_toboolean(L, 3);
    lua_pushboolean(L, flag != NULL);
    return 1;
}

static int box_end(lua_State *L)
{
    hob_blackbox_end(entry_at(L));
    return 0;
}

static int box_close(lua_State *L)
{
    struct box *box = to_box(L);
    hob_blackbox_close(box->box);
    hob_log_close(box->log);
    *box = (struct box){0};
    return 0;
}

/* As a death. */
static int box_free(lua_State *L)
{
    struct box *box = to_box(L);
    hob_blackbox_free(box->box);
    hob_log_close(box->log);
    *box = (struct box){0};
    return 0;
}

static const luaL_Reg box_methods[] = {{"past", box_past},   {"end_children", box_end_children},
                                       {"begin", box_begin}, {"step", box_step},
                                       {"child", box_child}, {"executing", box_executing},
                                       {"finish", box_end},  {"close", box_close},
                                       {"free", box_free},   {"starts", box_starts},
                                       {NULL, NULL}};
static const luaL_Reg box_functions[] = {{"open", box_open}, {NULL, NULL}};

/* ---- output ---- */

#define OUTPUTS_MAX 300

struct outputs {
    struct hob_outputs *outputs;
    struct hob_log *log;
    struct hob_output *list[OUTPUTS_MAX];
    int count;
};

static struct outputs *to_outputs(lua_State *L)
{
    return luaL_checkudata(L, 1, OUTPUTS);
}

/* output.new{dir=, limit=, total=, log=} */
static int outputs_new(lua_State *L)
{
    struct hob_error err;
    struct hob_output_options options = {.dir = field(L, 1, "dir"),
                                         .limit_bytes = (uint64_t)number(L, 1, "limit"),
                                         .total_bytes = (uint64_t)number(L, 1, "total")};
    struct outputs *outputs = lua_newuserdatauv(L, sizeof *outputs, 0);
    *outputs = (struct outputs){0};
    luaL_setmetatable(L, OUTPUTS);
    outputs->log = open_log(L, field(L, 1, "log"));
    if (hob_outputs_new(outputs->log, &options, &outputs->outputs, &err))
        return hob_units_fail(L, &err);
    return 1;
}

/* -> number, path */
static int outputs_open(lua_State *L)
{
    struct outputs *outputs = to_outputs(L);
    luaL_argcheck(L, outputs->count < OUTPUTS_MAX, 1, "too many");
    struct hob_output *output = hob_output_open(outputs->outputs, luaL_checkstring(L, 2));
    if (!output)
        return luaL_error(L, "out of memory");
    outputs->list[outputs->count++] = output;
    lua_pushinteger(L, outputs->count);
    lua_pushstring(L, hob_output_path(output));
    return 2;
}

static struct hob_output **output_at(lua_State *L)
{
    struct outputs *outputs = to_outputs(L);
    lua_Integer i = luaL_checkinteger(L, 2);
    luaL_argcheck(L, i >= 1 && i <= outputs->count, 2, "no such output");
    return &outputs->list[i - 1];
}

/* outputs:write(number, program, is_err, data) */
static int outputs_write(lua_State *L)
{
    size_t len;
    const char *data = luaL_checklstring(L, 5, &len);
    hob_output_write(*output_at(L), luaL_checkstring(L, 3), lua_toboolean(L, 4), data, len);
    return 0;
}

static int outputs_finish(lua_State *L)
{
    struct hob_output **output = output_at(L);
    hob_output_close(*output);
    *output = NULL;
    return 0;
}

/* outputs:event(thing, job, execution): Hob's log has one of this execution */
static int outputs_event(lua_State *L)
{
    struct hob_log_record record = {.level = HOB_LOG_INFO,
                                    .event = "job.step",
                                    .thing = luaL_checkstring(L, 2),
                                    .job = luaL_checkstring(L, 3),
                                    .execution = luaL_checkinteger(L, 4)};
    hob_log_write(to_outputs(L)->log, &record, "%s", "");
    return 0;
}

static int outputs_close(lua_State *L)
{
    struct outputs *outputs = to_outputs(L);
    hob_outputs_free(outputs->outputs);
    hob_log_close(outputs->log);
    *outputs = (struct outputs){0};
    return 0;
}

static const luaL_Reg outputs_methods[] = {{"open", outputs_open},     {"write", outputs_write},
                                           {"finish", outputs_finish}, {"event", outputs_event},
                                           {"close", outputs_close},   {NULL, NULL}};
static const luaL_Reg outputs_functions[] = {{"new", outputs_new}, {NULL, NULL}};

int hob_units_open_device(lua_State *L)
{
    hob_units_class(L, SET, set_methods, set_close);
    hob_units_class(L, BLACKBOX, box_methods, box_free);
    hob_units_class(L, OUTPUTS, outputs_methods, outputs_close);
    lua_newtable(L);
    hob_units_unit(L, "exec_set", set_functions);
    hob_units_unit(L, "power", power_functions);
    hob_units_unit(L, "blackbox", box_functions);
    hob_units_unit(L, "output", outputs_functions);
    return 1;
}
