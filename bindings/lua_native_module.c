/* lua_native_module.c - the product's modules, as handlers `require` them: tables of functions that
 * copy their arguments, call the product's, and copy what it gives back. No Lua runs, and nothing
 * is raised, while a function of the product is on the stack. */
#include "bindings.h"

#include "base/alloc.h"
#include "base/json.h"
#include "work/job.h"
#include "work/native.h"
#include "work/task.h"

#include <string.h>

#define HOLDER_NAME "hob.native.call"
#define ARGS_MAX    64
#define DEEPEST     30 /* levels of the stack that are looked at for a place */

struct call {
    struct hob_task *task;
    struct hob_scheduler *scheduler;
    struct hob_call *call;
};

/* ---- errors ---- */

/* FILE:LINE of the script's, not of Hob's own files that are between. */
static void push_place(lua_State *L)
{
    lua_Debug ar;
    for (int level = 1; level < DEEPEST && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0 && !hob_scheduler_is_own(hob_scheduler_of(L), ar.source)) {
            lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

static void push_error(lua_State *L, const char *words)
{
    push_place(L);
    lua_pushstring(L, words);
    lua_concat(L, 2);
}

static int raise_error(lua_State *L, const char *words)
{
    push_error(L, words);
    return lua_error(L);
}

/* ---- results ---- */

static bool push_json(lua_State *L, const struct hob_native_value *value, const char *label)
{
    struct hob_error err = {0};
    if (hob_json_push(L, value->text, value->len, &err)) {
        push_error(L, lua_pushfstring(L, "%s: the product's function gave what is no JSON: %s",
                                      label, err.message));
        return false;
    }
    return true;
}

/* @return false: an error is pushed in its place */
static bool push_value(lua_State *L, const struct hob_native_value *value, const char *label)
{
    switch (value->type) {
    case HOB_BOOLEAN:
        lua_pushboolean(L, value->boolean);
        break;
    case HOB_INTEGER:
        lua_pushinteger(L, value->integer);
        break;
    case HOB_NUMBER:
        lua_pushnumber(L, value->number);
        break;
    case HOB_STRING:
        lua_pushlstring(L, value->text, value->len);
        break;
    case HOB_TABLE:
        return push_json(L, value, label);
    default:
        lua_pushnil(L);
    }
    return true;
}

/* @return how many; negative: an error, to be raised, is on top */
static int push_result(lua_State *L, const struct hob_call *call, const char *label)
{
    struct hob_native_result result;
    hob_native_call_result(call, &result);
    luaL_checkstack(L, HOB_NATIVE_RESULTS + 4, label);
    if (result.raise) {
        push_error(L, result.raise);
        return -1;
    }
    if (result.code) {
        lua_pushnil(L);
        lua_pushstring(L, result.message);
        lua_pushstring(L, result.code);
        return 3;
    }
    for (size_t i = 0; i < result.count; i++) {
        if (!push_value(L, &result.values[i], label)) {
            return -1;
        }
    }
    return (int)result.count;
}

/* ---- later ---- */

static const struct hob_native_function *function_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

static int push_later(lua_State *L, void *user)
{
    const struct call *op = user;
    int results = push_result(L, op->call, hob_native_function_label(function_of(L)));
    return results < 0 ? lua_error(L) : results;
}

static void call_ended(void *user)
{
    struct call *op = user;
    hob_task_wake(op->task);
}

static void cancel_call(void *user)
{
    struct call *op = user;
    hob_native_call_cancel(op->call);
}

static void free_call(void *user)
{
    struct call *op = user;
    hob_native_call_free(op->call);
    hob_scheduler_end_outside(op->scheduler);
    hob_free(op);
}

/* ---- the call ---- */

/* What is raised on the way must not lose it: the collector frees it then. */
static int holder_gc(lua_State *L)
{
    struct call **holder = luaL_checkudata(L, 1, HOLDER_NAME);
    if (*holder) {
        hob_native_call_cancel((*holder)->call);
        hob_native_call_free((*holder)->call);
        hob_free(*holder);
        *holder = NULL;
    }
    return 0;
}

static struct call **push_holder(lua_State *L)
{
    struct call **holder = lua_newuserdatauv(L, sizeof *holder, 0);
    *holder = NULL;
    if (hob_lua_new_metatable(L, HOLDER_NAME)) {
        lua_pushcfunction(L, holder_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return holder;
}

static void copy_text(lua_State *L, struct hob_native_value *value, const char *text, size_t len)
{
    value->text = hob_malloc(len + 1);
    if (!value->text) {
        luaL_error(L, "out of memory");
    }
    memcpy(value->text, text, len);
    value->text[len] = '\0';
    value->len = len;
}

/* One that cannot be JSON is told so only if the function asks for it. */
static void copy_table(lua_State *L, int index, struct hob_native_value *value)
{
    struct hob_error err = {0};
    struct hob_buf *text = hob_lua_push_buf(L, HOB_JSON_TEXT_MAX);
    value->type = HOB_TABLE;
    if (hob_json_encode(L, index, text, &err)) {
        value->json = hob_strdup(err.message);
    } else {
        copy_text(L, value, hob_buf_data(text), hob_buf_len(text));
    }
    lua_pop(L, 1);
}

static void copy_value(lua_State *L, int index, struct hob_native_value *value)
{
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        break;
    case LUA_TBOOLEAN:
        value->type = HOB_BOOLEAN;
        value->boolean = lua_toboolean(L, index);
        break;
    case LUA_TNUMBER:
        value->type = lua_isinteger(L, index) ? HOB_INTEGER : HOB_NUMBER;
        value->integer = lua_tointeger(L, index);
        value->number = lua_tonumber(L, index);
        break;
    case LUA_TSTRING:
        value->type = HOB_STRING;
        copy_text(L, value, lua_tostring(L, index), lua_rawlen(L, index));
        break;
    case LUA_TTABLE:
        copy_table(L, index, value);
        break;
    default: /* hob.json.null is absent, as everywhere */
        value->type =
            lua_touserdata(L, index) || !lua_islightuserdata(L, index) ? HOB_OTHER : HOB_NIL;
        value->words = lua_typename(L, lua_type(L, index));
    }
}

/* Leaves its holder on the stack. */
static struct call *make_call(lua_State *L, int count)
{
    const struct hob_modules_host *host = hob_bindings_host(L);
    struct hob_job_view view = {.thing = host->agent ? host->agent->thing : "", .id = ""};
    if (host->job) {
        hob_job_view(host->job, &view);
    }
    struct call **holder = push_holder(L);
    struct call *op = hob_calloc(1, sizeof *op);
    *holder = op;
    struct hob_native_call_options options = {.native = host->native,
                                              .function = function_of(L),
                                              .thing = view.thing,
                                              .job_id = view.id,
                                              .on_end = call_ended,
                                              .user = op};
    if (op) {
        op->scheduler = hob_scheduler_of(L);
        op->call = hob_native_call_new(&options, (size_t)count);
    }
    if (!op || !op->call) {
        luaL_error(L, "out of memory");
        return NULL; /* never: it has raised */
    }
    for (int i = 1; i <= count; i++) {
        copy_value(L, i, hob_native_call_arg(op->call, (size_t)i - 1));
    }
    return op;
}

/* relay:set(...) passes the module before the arguments. */
static void check_dot(lua_State *L, const char *label)
{
    if (lua_gettop(L) > 0 && lua_rawequal(L, 1, lua_upvalueindex(2))) {
        raise_error(L, lua_pushfstring(L, "%s: call it with a dot, not with a colon", label));
    }
}

static int wait_for(lua_State *L, struct call **holder)
{
    struct call *op = *holder;
    if (!hob_task_can_wait(L)) {
        hob_native_call_cancel(op->call);
    }
    op->task = hob_task_current(L); /* raises where nothing can wait */
    *holder = NULL;
    hob_scheduler_begin_outside(op->scheduler);
    return hob_task_suspend(
        L, &(struct hob_task_wait){.name = hob_native_function_label(function_of(L)),
                                   .push = push_later,
                                   .cancel = cancel_call,
                                   .op_free = free_call,
                                   .op = op});
}

static int call_function(lua_State *L)
{
    const char *label = hob_native_function_label(function_of(L));
    int count = lua_gettop(L);
    if (!hob_task_in_task(L)) {
        return raise_error(L,
                           lua_pushfstring(L,
                                           "%s: a function of the product works only while a job "
                                           "runs, not while its file is loaded, nor in `args`",
                                           label));
    }
    check_dot(L, label);
    if (count > ARGS_MAX) {
        return raise_error(L, lua_pushfstring(L, "%s: more than %d arguments", label, ARGS_MAX));
    }
    luaL_checkstack(L, 8, label);
    if (hob_task_can_wait(L)) {
        hob_task_current(L); /* what is due ends the task before anything has begun */
    }
    struct call *op = make_call(L, count);
    struct call **holder = lua_touserdata(L, count + 1);
    if (hob_native_call_invoke(op->call)) {
        return wait_for(L, holder);
    }
    int results = push_result(L, op->call, label);
    hob_native_call_free(op->call);
    hob_free(op);
    *holder = NULL;
    return results < 0 ? lua_error(L) : results;
}

/* ---- the module ---- */

static int open_module(lua_State *L)
{
    const struct hob_native_module *module = lua_touserdata(L, lua_upvalueindex(1));
    const struct hob_native_function *function;
    lua_newtable(L);
    for (size_t i = 0; (function = hob_native_function_at(module, i)) != NULL; i++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)function);
        lua_pushvalue(L, -2);
        lua_pushcclosure(L, call_function, 2);
        lua_setfield(L, -2, hob_native_function_name(function));
    }
    return 1;
}

int hob_lua_push_native_opener(lua_State *L, const char *name)
{
    const struct hob_native *native = hob_bindings_host(L)->native;
    const struct hob_native_module *module;
    for (size_t i = 0; (module = hob_native_module_at(native, i)) != NULL; i++) {
        if (strcmp(hob_native_module_name(module), name) == 0) {
            lua_pushlightuserdata(L, (void *)(uintptr_t)module);
            lua_pushcclosure(L, open_module, 1);
            return 1;
        }
    }
    return 0;
}
