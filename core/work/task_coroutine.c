#include "work/task_internal.h"

#include <string.h>

/* lua_resetthread begins to count the C stack anew, so Lua's own limit does not hold there. */
#define CLOSING_MAX 10

/* The mode of a resume: bits in its continuation's context. */
#define IS_WRAP    1
#define IN_CLOSE   2 /* made by a <close> function of a task that is ending */
#define IS_WATCHED 4 /* of a body: there is a message handler below its results */

/* ---- the body ----
 *
 * A coroutine's function runs under a protected call of ours. Without it an error that leaves a
 * hook would leave its hooks off, and a looping <close> function of it would hang the process. */

static int body_ended(lua_State *co, int status, lua_KContext mode)
{
    if (status == LUA_OK || status == LUA_YIELD) {
        hob_task_check(co);
        return lua_gettop(co) - ((mode & IS_WATCHED) ? 1 : 0);
    }
    hob_task_let_through(co, status, (mode & IN_CLOSE) != 0);
    return lua_error(co);
}

static int body(lua_State *co)
{
    lua_KContext mode = hob_task_is_closing(co) ? IN_CLOSE : 0;
    int handler = 0;
    if (hob_task_watches_errors(co)) {
        lua_pushcfunction(co, hob_task_on_error);
        lua_insert(co, 1);
        handler = 1;
        mode |= IS_WATCHED;
    }
    int status =
        lua_pcallk(co, lua_gettop(co) - 1 - handler, LUA_MULTRET, handler, mode, body_ended);
    return body_ended(co, status, mode);
}

/* ---- resume and wrap, through which our yields pass ---- */

static int resume_again(lua_State *L, int status, lua_KContext mode);

static lua_State *resumer_target(lua_State *L, lua_KContext mode)
{
    return (mode & IS_WRAP) ? lua_tothread(L, lua_upvalueindex(1)) : lua_tothread(L, 1);
}

static int resume_failed(lua_State *L, lua_State *co, int status, lua_KContext mode)
{
    lua_xmove(co, L, 1);
    hob_task_let_through(L, status, (mode & IN_CLOSE) != 0);
    if (!(mode & IS_WRAP)) {
        lua_pushboolean(L, 0);
        lua_insert(L, -2);
        return 2;
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int resume_inner(lua_State *L, lua_State *co, int nargs, lua_KContext mode)
{
    struct hob_scheduler *scheduler = hob_scheduler_of(L);
    bool below = scheduler->now.chain_yieldable;
    scheduler->now.chain_yieldable = below && lua_isyieldable(L);
    int results = 0;
    int status = hob_task_resume(co, L, nargs, &results);
    scheduler->now.chain_yieldable = below;
    if (status == LUA_YIELD && scheduler->passing) {
        hob_task_set_busy(co, true);
        return hob_task_pass_on(L, mode, resume_again);
    }
    if (status != LUA_OK && status != LUA_YIELD) {
        return resume_failed(L, co, status, mode);
    }
    bool room = lua_checkstack(L, results + 1);
    if (!room || hob_task_is_due(L)) {
        lua_pop(co, results); /* with them left there it would not look dead */
        hob_task_check(L);
        return luaL_error(L, "too many results to resume");
    }
    if (!(mode & IS_WRAP)) {
        lua_pushboolean(L, 1);
    }
    lua_xmove(co, L, results);
    return results + ((mode & IS_WRAP) ? 0 : 1);
}

static int resume_again(lua_State *L, int status, lua_KContext mode)
{
    lua_State *co = resumer_target(L, mode);
    hob_task_set_busy(co, false);
    return resume_inner(L, co, 0, mode);
}

static const char *not_resumable(lua_State *L, lua_State *co)
{
    if (co == L || hob_task_is_busy(co)) {
        return "cannot resume non-suspended coroutine";
    }
    if (lua_status(co) == LUA_YIELD) {
        return NULL;
    }
    lua_Debug ar;
    if (lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar)) {
        return "cannot resume non-suspended coroutine"; /* it has resumed another */
    }
    bool dead = lua_status(co) != LUA_OK || lua_gettop(co) == 0;
    return dead ? "cannot resume dead coroutine" : NULL;
}

static int begin_resume(lua_State *L, lua_State *co, lua_KContext mode)
{
    hob_task_check(L);
    mode |= hob_task_is_closing(L) ? IN_CLOSE : 0;
    int nargs = lua_gettop(L) - ((mode & IS_WRAP) ? 0 : 1);
    const char *why = not_resumable(L, co);
    if (!why && !lua_checkstack(co, nargs)) {
        why = "too many arguments to resume";
    }
    if (why && (mode & IS_WRAP)) {
        return luaL_error(L, "%s", why);
    }
    if (why) {
        lua_pushboolean(L, 0);
        lua_pushstring(L, why);
        return 2;
    }
    bool starts = lua_status(co) == LUA_OK;
    lua_xmove(L, co, nargs);
    return resume_inner(L, co, nargs + (starts ? 1 : 0), mode);
}

static lua_State *check_coroutine(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "coroutine");
    return co;
}

static int co_resume(lua_State *L)
{
    return begin_resume(L, check_coroutine(L), 0);
}

static int wrap_call(lua_State *L)
{
    return begin_resume(L, lua_tothread(L, lua_upvalueindex(1)), IS_WRAP);
}

/* ---- the rest of the library ---- */

static int co_create(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    hob_task_set_busy(co, false); /* copied from the main thread, but said for sure */
    lua_pushcfunction(co, body);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

static int co_wrap(lua_State *L)
{
    co_create(L);
    lua_pushcclosure(L, wrap_call, 1);
    return 1;
}

static bool is_base(lua_State *L)
{
    const struct hob_task *task = hob_scheduler_of(L)->now.current;
    return !task || task->co == L;
}

static int co_yield (lua_State *L)
{
    if (is_base(L)) {
        return luaL_error(L, "attempt to yield from outside a coroutine");
    }
    const struct hob_task *task = hob_scheduler_of(L)->now.current;
    if (task->frames && task->frames->L == L) {
        return luaL_error(L, "attempt to yield out of a %s",
                          task->frames->critical ? "critical section" : "time limit");
    }
    if (hob_task_is_unwinding(L)) {
        return luaL_error(L, "attempt to yield in a <close> function of what is being ended");
    }
    return hob_task_yield(L, lua_gettop(L));
}

static int co_running(lua_State *L)
{
    lua_pushthread(L);
    lua_pushboolean(L, is_base(L));
    return 2;
}

static int co_isyieldable(lua_State *L)
{
    lua_State *co = lua_isnone(L, 1) ? L : check_coroutine(L);
    lua_pushboolean(L, !is_base(co) && lua_isyieldable(co));
    return 1;
}

static const char *co_state(lua_State *L, lua_State *co)
{
    if (co == L) {
        return "running";
    }
    if (hob_task_is_busy(co)) {
        return "normal";
    }
    const char *why = not_resumable(L, co);
    if (!why) {
        return "suspended";
    }
    return strstr(why, "dead") ? "dead" : "normal";
}

static int co_status(lua_State *L)
{
    lua_pushstring(L, co_state(L, check_coroutine(L)));
    return 1;
}

static int reset(struct hob_scheduler *scheduler, lua_State *co)
{
    lua_State *outer = scheduler->now.running;
    scheduler->now.running = co;
    scheduler->closing++;
    int status = lua_resetthread(co);
    scheduler->closing--;
    scheduler->now.running = outer;
    return status;
}

static int co_close(lua_State *L)
{
    lua_State *co = check_coroutine(L);
    struct hob_scheduler *scheduler = hob_scheduler_of(L);
    const char *state = co_state(L, co);
    hob_task_check(L);
    if (strcmp(state, "suspended") != 0 && strcmp(state, "dead") != 0) {
        return luaL_error(L, "cannot close a %s coroutine", state);
    }
    if (scheduler->closing >= CLOSING_MAX) {
        return luaL_error(L, "too many coroutines are closed inside one another");
    }
    bool closing = hob_task_is_closing(L);
    int status = reset(scheduler, co);
    if (status == LUA_OK) {
        hob_task_check(L);
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_xmove(co, L, 1);
    hob_task_let_through(L, status, closing);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

/* ---- for those who look at a task from outside ---- */

lua_State *hob_task_resumed_by(lua_State *L, lua_Debug *ar, bool *is_wrap)
{
    lua_State *co = NULL;
    lua_getinfo(L, "f", ar);
    lua_CFunction fn = lua_tocfunction(L, -1);
    if (is_wrap) {
        *is_wrap = fn == wrap_call;
    }
    if ((fn == wrap_call && lua_getupvalue(L, -1, 1)) ||
        (fn == co_resume && lua_getlocal(L, ar, 1))) {
        co = lua_tothread(L, -1);
        lua_pop(L, 1);
    }
    return co;
}

/* One that has resumed another, or a passing yield has left there, has that call as its innermost.
 */
static lua_State *inner_of(lua_State *co)
{
    lua_Debug ar;
    if (!lua_getstack(co, 0, &ar) || !lua_checkstack(co, 3)) {
        return NULL;
    }
    lua_State *inner = hob_task_resumed_by(co, &ar, NULL);
    lua_pop(co, 1);
    return inner;
}

size_t hob_task_chain(const struct hob_task *task, lua_State **list, size_t max)
{
    size_t count = 0;
    for (lua_State *co = task->co; co && count < max; co = inner_of(co)) {
        list[count++] = co;
    }
    return count;
}

int hob_task_open_coroutine(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"create", co_create}, {"resume", co_resume},           {"wrap", co_wrap},
        {"yield", co_yield },  {"status", co_status},           {"running", co_running},
        {"close", co_close},   {"isyieldable", co_isyieldable}, {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
