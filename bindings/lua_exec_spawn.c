/* lua_exec_spawn.c - hob.exec.spawn: a process that runs beside the task that started it.
 *
 * `struct process` is shared by the Lua object, by the running child and by the task that gives
 * lines, and is freed with the last of them. The loop holds no reference to the Lua object, so that
 * one which is garbage is collected and its child ended. */
#include "base/alloc.h"
#include "lua_exec.h"

#include "base/buf.h"
#include "work/task.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

#define PROCESS_NAME     "hob.exec.process"
#define QUEUED_LINES_MAX (4 * 1024 * 1024)

static const char *const spawn_options[] = {HOB_LUA_EXEC_OPTIONS, NULL};

struct waiter {
    struct waiter *next;
    struct process *process;
    struct hob_task *task;
    struct hob_timer *timer; /* NULL: waits for ever */
    bool late;
    struct hob_lua_exec_end end; /* of a process that is run, not spawned; else empty */
};

struct process {
    int holders;
    struct hob_loop *loop;
    struct hob_scheduler *scheduler;
    struct hob_exec *exec; /* NULL once it is done or cancelled */
    int pid;
    bool ended;
    struct hob_lua_exec_outcome outcome;
    struct waiter *waiters;
    bool closed;      /* the object is gone */
    bool gives_lines; /* a task is at it */
    int drain_ref;    /* the function drain, in the registry */
    struct hob_task *drainer;
    struct hob_loop_soon drained;
    struct hob_buf lines; /* queue of: is_err byte, size_t length, bytes */
};

static const char drain_key, objects_key; /* their addresses are keys of the registry */

static void release(void *user)
{
    struct process *process = user;
    if (--process->holders > 0) {
        return;
    }
    assert(!process->exec && !process->waiters);
    hob_lua_exec_drop(&process->outcome);
    hob_buf_free(&process->lines);
    hob_free(process);
}

static bool is_over(const struct process *process)
{
    return process->ended && !process->gives_lines;
}

static void wake_waiters(struct process *process)
{
    for (struct waiter *waiter = process->waiters; waiter; waiter = waiter->next) {
        hob_task_wake(waiter->task);
    }
}

/* Push the object of a process, or nil if it was collected. */
static void push_object(lua_State *L, struct process *process)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &objects_key);
    lua_rawgetp(L, -1, process);
    lua_remove(L, -2);
}

static bool take_line(lua_State *L, struct process *process)
{
    size_t len;
    const char *data = hob_buf_data(&process->lines);
    if (hob_buf_len(&process->lines) == 0) {
        return false;
    }
    memcpy(&len, data + 1, sizeof len);
    lua_pushlstring(L, data + 1 + sizeof len, len);
    lua_pushboolean(L, data[0]);
    hob_buf_consume(&process->lines, 1 + sizeof len + len);
    return true;
}

/* drain(process, object): on_line for each queued line, one after the other. */
static int drain_k(lua_State *L, int status, lua_KContext context)
{
    struct process *process = lua_touserdata(L, 1);
    lua_settop(L, 2);
    lua_getiuservalue(L, 2, 1);
    while (take_line(L, process)) {
        lua_callk(L, 2, 0, 0, drain_k);
        lua_getiuservalue(L, 2, 1);
    }
    return 0;
}

static int drain(lua_State *L)
{
    struct process *process = lua_touserdata(L, 1);
    process->drainer = hob_task_current(L);
    return lua_isnil(L, 2) ? 0 : drain_k(L, LUA_OK, 0);
}

static int push_drain_arguments(lua_State *L, void *user)
{
    lua_pushlightuserdata(L, user);
    push_object(L, user);
    return 2;
}

static void drain_ended(void *user);

static void give_lines(struct process *process)
{
    process->gives_lines = true;
    process->drainer = NULL;
    process->holders++;
    hob_task_call(process->scheduler, process->drain_ref, push_drain_arguments, process,
                  drain_ended);
}

/* An error in on_line ends its task, not the lines that follow. */
static void after_drain(void *user)
{
    struct process *process = user;
    process->gives_lines = false;
    if (!process->drainer) { /* no memory for the task */
        hob_buf_clear(&process->lines);
    }
    if (!process->closed && hob_buf_len(&process->lines) > 0) {
        give_lines(process);
    } else if (is_over(process)) {
        wake_waiters(process);
    }
    release(process);
}

/* Perhaps called while the scheduler is being freed: go on when that is over. */
static void drain_ended(void *user)
{
    struct process *process = user;
    hob_loop_defer(process->loop, &process->drained, after_drain, process);
}

static void process_line(void *user, bool is_err, const char *line, size_t len)
{
    struct process *process = user;
    char flag = is_err;
    if (hob_buf_room(&process->lines) < sizeof flag + sizeof len + len ||
        !hob_buf_reserve(&process->lines, sizeof flag + sizeof len + len)) {
        process->outcome.lines_dropped++;
        return;
    }
    hob_buf_append(&process->lines, &flag, sizeof flag); /* there is room: cannot fail */
    hob_buf_append(&process->lines, &len, sizeof len);
    hob_buf_append(&process->lines, line, len);
    if (!process->gives_lines) {
        give_lines(process);
    }
}

static void process_done(void *user, const struct hob_exec_result *result)
{
    struct process *process = user;
    process->exec = NULL;
    process->ended = true;
    hob_lua_exec_take(&process->outcome, result);
    if (is_over(process)) {
        wake_waiters(process);
    }
    release(process);
}

/* ---- the object ---- */

static struct process **to_process(lua_State *L)
{
    return luaL_checkudata(L, 1, PROCESS_NAME);
}

static struct process *check_process(lua_State *L)
{
    struct process *process = *to_process(L);
    if (!process) {
        luaL_error(L, "the process object is closed");
    }
    return process;
}

static int process_close(lua_State *L)
{
    struct process **slot = to_process(L), *process = *slot;
    if (!process) {
        return 0;
    }
    *slot = NULL;
    process->closed = true;
    if (process->exec) {
        hob_exec_cancel(process->exec);
        process->exec = NULL;
        process->holders--; /* the object's own is left */
    }
    if (!process->ended) {
        wake_waiters(process);
    }
    release(process);
    return 0;
}

static int process_pid(lua_State *L)
{
    lua_pushinteger(L, check_process(L)->pid);
    return 1;
}

static const struct {
    const char *name;
    int number;
} signals[] = {{"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT},
               {"KILL", SIGKILL}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2},
               {"TERM", SIGTERM}, {"CONT", SIGCONT}, {"STOP", SIGSTOP}};

static int check_signal(lua_State *L, int index)
{
    if (lua_type(L, index) == LUA_TNUMBER || lua_isnoneornil(L, index)) {
        lua_Integer number = luaL_optinteger(L, index, SIGTERM);
        luaL_argcheck(L, number >= 1 && number <= 64, index, "no such signal");
        return (int)number;
    }
    const char *name = luaL_checkstring(L, index);
    name += strncmp(name, "SIG", 3) == 0 ? 3 : 0;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        if (strcmp(signals[i].name, name) == 0) {
            return signals[i].number;
        }
    }
    return luaL_argerror(L, index,
                         "expected a signal's number, or HUP, INT, QUIT, KILL, USR1, "
                         "USR2, TERM, CONT or STOP");
}

static int process_kill(lua_State *L)
{
    struct process *process = check_process(L);
    int number = check_signal(L, 2);
    if (process->exec) {
        hob_exec_kill(process->exec, number);
    }
    lua_pushboolean(L, process->exec != NULL);
    return 1;
}

/* ---- wait ---- */

static void wait_late(void *user)
{
    struct waiter *waiter = user;
    waiter->late = true;
    hob_task_wake(waiter->task);
}

static void wait_free(void *user)
{
    struct waiter *waiter = user;
    struct waiter **place = &waiter->process->waiters;
    while (*place != waiter) {
        place = &(*place)->next;
    }
    *place = waiter->next;
    hob_timer_close(waiter->timer);
    if (waiter->end.free) {
        waiter->end.free(waiter->end.user);
    }
    release(waiter->process);
    hob_free(waiter);
}

static int wait_push(lua_State *L, void *user)
{
    struct waiter *waiter = user;
    struct hob_error err;
    if (waiter->process->ended) {
        hob_lua_exec_push(L, &waiter->process->outcome);
        return 1;
    }
    if (waiter->late) {
        hob_error_set(&err, HOB_ETIMEDOUT, "process %d still runs", waiter->process->pid);
    } else {
        hob_error_set(&err, HOB_ECANCELED, "process %d was ended: its object was closed",
                      waiter->process->pid);
    }
    return hob_lua_fail(L, &err);
}

static int process_wait(lua_State *L)
{
    struct process *process = check_process(L);
    double seconds = luaL_optnumber(L, 2, -1);
    uint64_t ms = seconds < 0 ? 0 : hob_lua_ms(L, seconds, "timeout");
    if (is_over(process)) {
        hob_lua_exec_push(L, &process->outcome);
        return 1;
    }
    struct hob_task *task = hob_task_current(L);
    if (process->gives_lines && process->drainer == task) {
        return luaL_error(L, "a process cannot be waited for in its own on_line");
    }
    struct waiter *waiter = hob_calloc(1, sizeof *waiter);
    if (waiter && seconds >= 0) {
        waiter->timer = hob_timer_new(process->loop, wait_late, waiter);
    }
    if (!waiter || (seconds >= 0 && !waiter->timer)) {
        hob_free(waiter);
        return luaL_error(L, "out of memory");
    }
    if (waiter->timer) {
        hob_timer_start(waiter->timer, ms);
    }
    waiter->task = task;
    waiter->process = process;
    waiter->next = process->waiters;
    process->waiters = waiter;
    process->holders++;
    return hob_task_suspend(
        L, &(struct hob_task_wait){
               .name = "hob.exec.wait", .push = wait_push, .op_free = wait_free, .op = waiter});
}

/* ---- spawn ---- */

static struct process *new_process(lua_State *L)
{
    struct hob_loop *loop = hob_scheduler_loop(L);
    struct process *process = hob_calloc(1, sizeof *process);
    if (!process) {
        luaL_error(L, "out of memory");
        return NULL;
    }
    process->holders = 1;
    process->loop = loop;
    process->scheduler = hob_scheduler_of(L);
    hob_buf_init(&process->lines, QUEUED_LINES_MAX);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &drain_key);
    process->drain_ref = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    return process;
}

static void remember_object(lua_State *L, int object, struct process *process)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &objects_key);
    lua_pushvalue(L, object);
    lua_rawsetp(L, -2, process);
    lua_pop(L, 1);
}

/* Push the object of a process that is not started yet; its function has the index `on_line`. */
static struct process *push_process(lua_State *L, int on_line)
{
    struct process **slot = lua_newuserdatauv(L, sizeof *slot, 1);
    *slot = NULL;
    luaL_setmetatable(L, PROCESS_NAME);
    lua_pushvalue(L, on_line);
    lua_setiuservalue(L, -2, 1);
    int object = lua_gettop(L);
    struct process *process = *slot = new_process(L);
    remember_object(L, object, process);
    return process;
}

static int start_process(struct process *process, struct hob_exec_options *options,
                         struct hob_error *err)
{
    options->done = process_done;
    options->user = process;
    int code = hob_exec_start(process->loop, options, &process->exec, err);
    if (code == 0) {
        process->holders++;
        process->pid = hob_exec_pid(process->exec);
    }
    return code;
}

int hob_lua_exec_spawn(lua_State *L)
{
    struct hob_exec_options options = {0};
    struct hob_error err;
    hob_lua_check_options(L, 1, spawn_options);
    lua_settop(L, 1);
    int type = lua_getfield(L, 1, "on_line");
    if (type != LUA_TNIL && type != LUA_TFUNCTION) {
        return luaL_error(L, "on_line: expected function, got %s", luaL_typename(L, -1));
    }
    struct process *process = push_process(L, 2);
    int code = hob_lua_exec_options(L, 1, &options, &err);
    options.on_line = type == LUA_TFUNCTION ? process_line : NULL;
    code = code ? code : start_process(process, &options, &err);
    if (code) {
        return hob_lua_fail(L, &err);
    }
    lua_settop(L, 3);
    return 1;
}

/* ---- a process that is waited for while its lines are given ---- */

static int end_push(lua_State *L, void *user)
{
    struct waiter *waiter = user;
    return waiter->end.push(L, waiter->end.user, &waiter->process->outcome);
}

/* Whoever waited is gone, and with him the use of the lines. */
static void end_cancel(void *user)
{
    struct process *process = ((struct waiter *)user)->process;
    process->closed = true;
    hob_buf_clear(&process->lines);
    if (process->exec) {
        hob_exec_cancel(process->exec);
        process->exec = NULL;
        process->holders--; /* the waiter's and the object's own are left */
    }
}

int hob_lua_exec_run_lines(lua_State *L, int on_line, struct hob_exec_options *options,
                           const struct hob_lua_exec_end *end, struct hob_task *task,
                           struct hob_error *err, int *code)
{
    struct process *process = push_process(L, on_line);
    struct waiter *waiter = hob_calloc(1, sizeof *waiter);
    options->on_line = process_line;
    if (!waiter) {
        *code = hob_error_set(err, HOB_ENOMEM, "out of memory");
        return 0;
    }
    *code = start_process(process, options, err);
    if (*code) {
        hob_free(waiter);
        return 0;
    }
    waiter->task = task;
    waiter->process = process;
    waiter->end = *end;
    waiter->next = process->waiters;
    process->waiters = waiter;
    process->holders++;
    return hob_task_suspend(L, &(struct hob_task_wait){.name = end->name,
                                                       .push = end_push,
                                                       .cancel = end_cancel,
                                                       .op_free = wait_free,
                                                       .op = waiter});
}

static int process_tostring(lua_State *L)
{
    struct process *process = *to_process(L);
    if (process) {
        lua_pushfstring(L, "hob.exec.process (pid %d%s)", process->pid,
                        process->ended ? ", ended" : "");
    } else {
        lua_pushliteral(L, "hob.exec.process (closed)");
    }
    return 1;
}

static const luaL_Reg process_meta[] = {{"__gc", process_close},
                                        {"__close", process_close},
                                        {"__tostring", process_tostring},
                                        {NULL, NULL}};
static const luaL_Reg process_methods[] = {{"pid", process_pid},
                                           {"kill", process_kill},
                                           {"wait", process_wait},
                                           {"close", process_close},
                                           {NULL, NULL}};
void hob_lua_exec_open_spawn(lua_State *L)
{
    hob_lua_new_metatable(L, PROCESS_NAME);
    luaL_setfuncs(L, process_meta, 0);
    luaL_newlib(L, process_methods);
    lua_setfield(L, -2, "__index");
    lua_newtable(L); /* process -> its object, weak */
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &objects_key);
    lua_pushcfunction(L, drain);
    lua_pushinteger(L, luaL_ref(L, LUA_REGISTRYINDEX));
    lua_rawsetp(L, LUA_REGISTRYINDEX, &drain_key);
}
