/* lua_console.c - hob.console.core: a session's connection, and requests to the gateway that it
 * runs in. Only in a session's state; what a session calls is lib/hob/console.lua.
 *
 *   core.read([seconds]) -> bytes | nil, message, "EOF" | "ETIMEDOUT"
 *   core.write(text) -> true | nil, message, code
 *   core.ask(text) -> lines as they came | nil, message, code
 *   core.listen(fn)   -- fn(lines) with those of requests that go on
 *   core.kind, core.who, core.pid, core.uid, core.user
 *
 * Spec: spec/integration/control_sessions_spec.lua
 */
#include "base/alloc.h"
#include "bindings.h"

#include "host/console.h"
#include "work/task.h"

#define READ_MAX   65536
#define ANSWER_MAX (1024 * 1024)

struct reader {
    struct hob_console *console;
    struct hob_task *task;
    struct hob_timer *timer; /* NULL: as long as it takes */
};

static struct hob_console *console_of(lua_State *L)
{
    return hob_bindings_host(L)->console;
}

static int fail_with(lua_State *L, const char *message, const char *code)
{
    lua_pushnil(L);
    lua_pushstring(L, message);
    lua_pushstring(L, code);
    return 3;
}

/* ---- reading ---- */

static void on_readable(void *user)
{
    const struct reader *reader = user;
    hob_task_wake(reader->task);
}

static int push_bytes(lua_State *L, void *op)
{
    const struct reader *reader = op;
    size_t len;
    const char *bytes = hob_console_bytes(reader->console, &len);
    if (len) {
        len = len < READ_MAX ? len : READ_MAX;
        lua_pushlstring(L, bytes, len);
        hob_console_took(reader->console, len);
        return 1;
    }
    return hob_console_ended(reader->console) ? fail_with(L, "the other end has said all", "EOF")
                                              : fail_with(L, "nothing came in time", "ETIMEDOUT");
}

static void reader_free(void *op)
{
    struct reader *reader = op;
    hob_console_when_readable(reader->console, NULL, NULL);
    hob_timer_close(reader->timer);
    hob_free(reader);
}

static bool is_ready(const struct hob_console *console)
{
    size_t len;
    hob_console_bytes(console, &len);
    return len > 0 || hob_console_ended(console);
}

static struct reader *new_reader(lua_State *L, struct hob_console *console, bool timed)
{
    struct reader *reader = hob_calloc(1, sizeof *reader);
    if (!reader) {
        return NULL;
    }
    reader->console = console;
    reader->task = hob_task_current(L);
    if (timed) {
        reader->timer = hob_timer_new(hob_bindings_host(L)->loop, on_readable, reader);
        if (!reader->timer) {
            hob_free(reader);
            return NULL;
        }
    }
    return reader;
}

static int console_read(lua_State *L)
{
    struct hob_console *console = console_of(L);
    bool timed = !lua_isnoneornil(L, 1);
    uint64_t ms = timed ? hob_lua_ms(L, luaL_checknumber(L, 1), "seconds") : 0;
    hob_task_current(L); /* raises where nothing can wait */
    if (is_ready(console)) {
        return push_bytes(L, &(struct reader){.console = console});
    }
    if (hob_console_is_read(console)) {
        return luaL_error(L, "console.read: another task of this session reads already");
    }
    struct reader *reader = new_reader(L, console, timed);
    if (!reader) {
        return luaL_error(L, "out of memory");
    }
    hob_console_when_readable(console, on_readable, reader);
    if (timed) {
        hob_timer_start(reader->timer, ms);
    }
    return hob_task_suspend(
        L, &(struct hob_task_wait){"hob.console.read", push_bytes, NULL, reader_free, reader});
}

/* ---- writing and asking ---- */

static int console_write(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    int rc = len ? hob_console_write(console_of(L), text, len) : 0;
    if (rc) {
        return fail_with(L, "the other end does not read, or has gone", hob_error_name(rc));
    }
    lua_pushboolean(L, 1);
    return 1;
}

static int console_ask(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    struct hob_buf *answer = hob_lua_push_buf(L, ANSWER_MAX);
    int rc = hob_console_ask(console_of(L), text, len, answer);
    if (rc) {
        return fail_with(L, "the answer could not be made", hob_error_name(rc));
    }
    lua_pushlstring(L, hob_buf_data(answer), hob_buf_len(answer));
    return 1;
}

static int console_listen(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    hob_console_set_listener(console_of(L), luaL_ref(L, LUA_REGISTRYINDEX));
    return 0;
}

/* ---- the module ---- */

static const luaL_Reg functions[] = {{"ask", console_ask},
                                     {"listen", console_listen},
                                     {"read", console_read},
                                     {"write", console_write},
                                     {NULL, NULL}};

int hob_lua_open_console(lua_State *L)
{
    struct hob_console_view view;
    hob_console_view(console_of(L), &view);
    luaL_newlib(L, functions);
    lua_pushstring(L, view.kind);
    lua_setfield(L, -2, "kind");
    lua_pushstring(L, view.who);
    lua_setfield(L, -2, "who");
    lua_pushstring(L, view.user);
    lua_setfield(L, -2, "user");
    lua_pushinteger(L, view.pid);
    lua_setfield(L, -2, "pid");
    lua_pushinteger(L, view.uid);
    lua_setfield(L, -2, "uid");
    return 1;
}
