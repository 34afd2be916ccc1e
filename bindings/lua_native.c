/* lua_native.c - hob.native.core: runs of the product's C handlers. For lib/hob/native.lua, not for
 * scripts. lua_native_module.c has the product's modules. */
#include "bindings.h"

#include "base/alloc.h"
#include "base/json.h"
#include "work/native.h"
#include "work/task.h"

#define GIVEN_UP "it is given up for now: Hob, or its thing, is stopping"

struct run {
    struct hob_task *task;
    struct hob_scheduler *scheduler;
    struct hob_run *run;
};

/* ---- its end ---- */

static void run_ended(void *user)
{
    struct run *op = user;
    hob_task_wake(op->task);
}

static void cancel_run(void *user)
{
    struct run *op = user;
    const char *why = hob_task_ending(op->task);
    hob_native_run_cancel(op->run, why ? why : GIVEN_UP);
}

static void free_run(void *user)
{
    struct run *op = user;
    hob_native_run_free(op->run);
    hob_scheduler_end_outside(op->scheduler);
    hob_free(op);
}

static void push_details(lua_State *L, const struct hob_native_outcome *outcome)
{
    lua_newtable(L);
    for (size_t i = 0; i < outcome->detail_count; i++) {
        lua_pushstring(L, outcome->details[i].value);
        lua_setfield(L, -2, outcome->details[i].name);
    }
}

/* end, reason, code or seconds, details */
static int push_outcome(lua_State *L, void *user)
{
    static const char *const ends[] = {[HOB_NATIVE_UNFINISHED] = "unfinished",
                                       [HOB_NATIVE_SUCCEEDED] = "succeeded",
                                       [HOB_NATIVE_FAILED] = "failed",
                                       [HOB_NATIVE_REJECTED] = "rejected",
                                       [HOB_NATIVE_RETRY] = "retry"};
    const struct run *op = user;
    struct hob_native_outcome outcome;
    hob_native_run_outcome(op->run, &outcome);
    lua_pushstring(L, ends[outcome.end]);
    lua_pushstring(L, outcome.reason);
    if (outcome.end == HOB_NATIVE_RETRY) {
        lua_pushnumber(L, outcome.seconds);
    } else {
        lua_pushstring(L, outcome.code);
    }
    push_details(L, &outcome);
    return 4;
}

/* ---- its beginning ---- */

static struct hob_buf *encode_args(lua_State *L, int index)
{
    struct hob_error err = {0};
    struct hob_buf *text = hob_lua_push_buf(L, HOB_JSON_TEXT_MAX);
    if (hob_json_encode(L, index, text, &err)) {
        luaL_error(L, "args cannot be given to a C handler: %s", err.message);
    }
    return text;
}

/** run(name, args or nil) -> end, reason, code or seconds, details | nil, message, code: there is
 * no such handler (any more). Without args it gets the document. */
static int native_run(lua_State *L)
{
    const struct hob_modules_host *host = hob_bindings_host(L);
    struct hob_native_run_options options = {.native = host->native, .job = host->job};
    struct hob_error err = {0};
    options.name = luaL_checkstring(L, 1);
    if (!host->job) {
        return luaL_error(L, "hob.native.core: there is no job here");
    }
    if (!lua_isnoneornil(L, 2)) {
        const struct hob_buf *args = encode_args(L, 2);
        options.args = hob_buf_data(args);
        options.args_len = hob_buf_len(args);
    }
    struct hob_task *task = hob_task_current(L);
    struct run *op = hob_calloc(1, sizeof *op);
    if (!op) {
        return luaL_error(L, "out of memory");
    }
    op->task = task;
    op->scheduler = hob_scheduler_of(L);
    options.on_end = run_ended;
    options.user = op;
    if (hob_native_run_begin(&options, &op->run, &err)) {
        hob_free(op);
        return hob_lua_fail(L, &err);
    }
    hob_scheduler_begin_outside(op->scheduler);
    return hob_task_suspend(L, &(struct hob_task_wait){.name = hob_native_run_label(op->run),
                                                       .push = push_outcome,
                                                       .cancel = cancel_run,
                                                       .op_free = free_run,
                                                       .op = op});
}

int hob_lua_open_native(lua_State *L)
{
    static const luaL_Reg functions[] = {{"run", native_run}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
