/* lua_doctor_handler.c - hob.doctor.core: the handlers, and what their own `doctor` says.
 *
 * handlers(config, lib) -> handlers | nil, message, code
 * handlers:list() -> { { name =, path =, digest =, error =, note = }, ... }, { broken module, ... }
 * handlers:ask(name, seconds) -> "ok", "none", "no", "failed" or "late", message
 *   calls the handler's `doctor` in a throw-away sandbox: the policy of the configuration, programs
 *   as exec_user. Whatever it has started is ended before this returns.
 */
#include "base/alloc.h"
#include "lua_doctor.h"

#include "device/exec.h"
#include "work/handlers.h"
#include "work/sandbox.h"
#include "work/scripts.h"
#include "work/task.h"

#include <stdio.h>
#include <string.h>

#define HANDLERS "hob.doctor.handlers"
#define END_MS   1000 /* for its programs between TERM and KILL */
#define GONE_MS  3000 /* until they must be gone */

enum uservalues { CONFIG = 1, USERVALUES = 1 };

/* ---- the list ---- */

struct handlers {
    struct hob_handlers *list; /* NULL: closed */
    const struct hob_policy *policy;
    size_t memory_bytes; /* that a job may use */
};

static struct handlers *check_handlers(lua_State *L)
{
    struct handlers *handlers = luaL_checkudata(L, 1, HANDLERS);
    luaL_argcheck(L, handlers->list, 1, "the handlers are closed");
    return handlers;
}

static int doctor_handlers(lua_State *L)
{
    struct hob_error err = {0};
    const struct hob_lua_doctor_config *config = hob_lua_doctor_check_config(L, 1);
    const struct hob_modules_host *host = hob_bindings_host(L);
    struct hob_handlers_options options = {.loop = host->loop,
                                           .log = host->log,
                                           .scripts = config->config.scripts,
                                           .lib = luaL_checkstring(L, 2),
                                           .job_types =
                                               (const char *const *)config->config.job_types,
                                           .routes = (const char *const *)config->config.routes,
                                           .policy = &config->policy};
    struct handlers *handlers = lua_newuserdatauv(L, sizeof *handlers, USERVALUES);
    const struct hob_config_thing *thing =
        config->config.thing_count ? &config->config.things[0] : &config->config.common;
    *handlers = (struct handlers){.policy = &config->policy, .memory_bytes = (size_t)thing->memory};
    luaL_setmetatable(L, HANDLERS);
    lua_pushvalue(L, 1); /* what it borrows of it must live as long */
    lua_setiuservalue(L, -2, CONFIG);
    int rc = hob_handlers_new(&options, &handlers->list, &err);
    rc = rc ? rc : hob_handlers_load(handlers->list, &err);
    return rc ? hob_lua_fail(L, &err) : 1;
}

static int handlers_gc(lua_State *L)
{
    struct handlers *handlers = luaL_checkudata(L, 1, HANDLERS);
    hob_handlers_free(handlers->list);
    handlers->list = NULL;
    return 0;
}

static void set_text(lua_State *L, const char *name, const char *value)
{
    if (value && *value) {
        lua_pushstring(L, value);
        lua_setfield(L, -2, name);
    }
}

static int handlers_list(lua_State *L)
{
    const struct hob_handlers *list = check_handlers(L)->list;
    const struct hob_handlers_entry *handler;
    const struct hob_script *module;
    lua_newtable(L);
    for (size_t i = 0; (handler = hob_handlers_at(list, i)) != NULL; i++) {
        lua_createtable(L, 0, 5);
        set_text(L, "name", handler->name);
        set_text(L, "path", handler->path);
        set_text(L, "digest", handler->digest);
        set_text(L, "error", handler->error.code ? handler->error.message : "");
        set_text(L, "note", handler->note);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_newtable(L);
    for (size_t i = 0; (module = hob_handlers_broken_module(list, i)) != NULL; i++) {
        lua_createtable(L, 0, 3);
        set_text(L, "name", module->name);
        set_text(L, "path", module->path);
        set_text(L, "error", module->error.message);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 2;
}

/* ---- asking one ---- */

struct ask {
    struct hob_task *waiter; /* who asked; NULL: nobody any more, or woken */
    struct hob_task *task;   /* the doctor's; NULL: it has ended */
    struct hob_sandbox *sandbox;
    struct hob_exec_set *children;
    struct hob_timer *timer;
    const struct hob_handlers_entry *handler;
    double seconds;
    bool late;
    char state[16];
    char message[HOB_ERROR_MESSAGE_MAX];
};

static void wake(void *user)
{
    struct ask *ask = user;
    if (ask->waiter) {
        hob_task_wake(ask->waiter);
        ask->waiter = NULL;
    }
}

static void say(struct ask *ask, const char *state, const char *message)
{
    snprintf(ask->state, sizeof ask->state, "%s", state);
    snprintf(ask->message, sizeof ask->message, "%s", message ? message : "");
}

static void ended(void *user, lua_State *L, int status, int results)
{
    struct ask *ask = user;
    const char *why = NULL;
    const char *kind = hob_task_engine_error(hob_sandbox_scheduler(ask->sandbox), &why);
    ask->task = NULL;
    if (kind) {
        say(ask, ask->late ? "late" : "failed", why);
    } else if (status != LUA_OK) {
        say(ask, "failed", lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "it raised");
    } else {
        say(ask, results >= 2 ? lua_tostring(L, -2) : "failed", lua_tostring(L, -1));
    }
    hob_timer_start(ask->timer, GONE_MS);
    hob_exec_set_end_within(ask->children, END_MS);
    hob_exec_set_when_gone(ask->children, wake, ask);
}

static void on_timer(void *user)
{
    struct ask *ask = user;
    char words[64];
    if (!ask->task) {
        wake(ask); /* its programs do not end: nothing more can be done about them here */
        return;
    }
    ask->late = true;
    snprintf(words, sizeof words, "it did not answer within %g s", ask->seconds);
    hob_task_cancel(ask->task, "timeout", words);
}

static int start_task(lua_State *L)
{
    struct ask *ask = lua_touserdata(L, 1);
    hob_sandbox_require(L, "hob.doctor.ask");
    lua_getfield(L, -1, "run");
    lua_pushstring(L, ask->handler->path);
    lua_pushlstring(L, ask->handler->source, ask->handler->source_len);
    ask->task = hob_task_start(L, 2, ended, ask);
    return ask->task ? 0 : luaL_error(L, "out of memory");
}

static int push_answer(lua_State *L, void *user)
{
    const struct ask *ask = user;
    lua_pushstring(L, ask->state);
    lua_pushstring(L, ask->message);
    return 2;
}

static void ask_free(void *user)
{
    struct ask *ask = user;
    ask->waiter = NULL;
    hob_sandbox_free(ask->sandbox);
    hob_exec_set_free(ask->children);
    hob_timer_close(ask->timer);
    hob_free(ask);
}

static int begin(struct ask *ask, const struct handlers *handlers, struct hob_modules_host *host,
                 struct hob_error *err)
{
    struct hob_exec_set_options none = {0};
    ask->timer = hob_timer_new(host->loop, on_timer, ask);
    ask->children = hob_exec_set_new(host->loop, &none);
    if (!ask->timer || !ask->children) {
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    struct hob_sandbox_options options = {.loop = host->loop,
                                          .log = host->log,
                                          .policy = handlers->policy,
                                          .children = ask->children,
                                          .modules = ask->handler->modules,
                                          .script_lib = hob_handlers_script_lib(handlers->list),
                                          .lib = hob_handlers_lib(handlers->list),
                                          .memory_bytes = handlers->memory_bytes};
    int rc = hob_sandbox_new(&options, &ask->sandbox, err);
    return rc ? rc : hob_sandbox_call(ask->sandbox, start_task, ask, err);
}

static int handlers_ask(lua_State *L)
{
    struct hob_error err = {0};
    const struct handlers *handlers = check_handlers(L);
    const char *name = luaL_checkstring(L, 2);
    double seconds = luaL_checknumber(L, 3);
    uint64_t ms = hob_lua_ms(L, seconds, "seconds");
    struct hob_task *waiter = hob_task_current(L);
    const struct hob_handlers_entry *handler = hob_handlers_find(handlers->list, name);
    luaL_argcheck(L, handler && !handler->error.code, 2, "there is no such handler that loads");
    struct ask *ask = hob_calloc(1, sizeof *ask);
    if (!ask) {
        return luaL_error(L, "out of memory");
    }
    *ask = (struct ask){.waiter = waiter, .handler = handler, .seconds = seconds};
    if (begin(ask, handlers, hob_bindings_host(L), &err)) {
        ask_free(ask);
        lua_pushstring(L, "failed");
        lua_pushstring(L, err.message);
        return 2;
    }
    hob_timer_start(ask->timer, ms);
    return hob_task_suspend(
        L, &(struct hob_task_wait){
               .name = "hob.doctor.ask", .push = push_answer, .op_free = ask_free, .op = ask});
}

/* ---- the module ---- */

static const luaL_Reg meta[] = {{"__gc", handlers_gc}, {"__index", NULL}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"list", handlers_list}, {"ask", handlers_ask}, {NULL, NULL}};

const luaL_Reg hob_lua_doctor_handler[] = {{"handlers", doctor_handlers}, {NULL, NULL}};

void hob_lua_doctor_handler_register(lua_State *L)
{
    hob_lua_new_metatable(L, HANDLERS);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
