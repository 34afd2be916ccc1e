#include "host/console.h"

#include "base/alloc.h"
#include "device/exec.h"
#include "work/handlers.h"
#include "work/modules.h"
#include "work/sandbox.h"
#include "work/scripts.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>

#define IN_MAX      (1024 * 1024)
#define PENDING_MAX (4 * 1024 * 1024) /* lines of requests that go on, not taken by its Lua yet */

struct hob_console {
    struct hob_console_options options;
    char *kind, *who, *user;
    struct hob_exec_set *children;
    struct hob_sandbox *sandbox;
    struct hob_buf in;
    bool eof, full;
    void (*readable)(void *user);
    void *readable_user;
    int listener;
    size_t pending;        /* bytes of lines that are on their way into its Lua */
    struct hob_timer *end; /* on_end, in a turn of its own */
    bool ended;
    struct hob_error why;
};

/* A line on its way into its Lua. */
struct line {
    struct hob_console *console;
    size_t len;
    char bytes[];
};

/* ---- its end ---- */

static void tell_end(void *user)
{
    struct hob_console *console = user;
    console->options.on_end(console->options.callback_user,
                            console->why.code ? &console->why : NULL);
}

/* The first reason stands. */
static void end(struct hob_console *console, int code, const char *message)
{
    if (!console->ended) {
        console->ended = true;
        if (code) {
            hob_error_set(&console->why, code, "%s", message);
        }
        hob_timer_start(console->end, 0);
    }
}

static void task_ended(void *user, lua_State *L, int status, int results)
{
    struct hob_console *console = user;
    const char *message = "error without a message";
    if (status == LUA_OK) {
        end(console, 0, NULL);
        return;
    }
    if (!hob_task_engine_error(hob_sandbox_scheduler(console->sandbox), &message) &&
        lua_type(L, -1) == LUA_TSTRING) {
        message = lua_tostring(L, -1);
    }
    end(console, HOB_EHANDLER, message ? message : "error without a message");
}

static void callback_failed(void *user, const char *message)
{
    end(user, HOB_EHANDLER, message);
}

/* ---- bytes ---- */

static void tell_readable(struct hob_console *console)
{
    if (console->readable) {
        console->readable(console->readable_user);
    }
}

size_t hob_console_feed(struct hob_console *console, const char *bytes, size_t len)
{
    if (!console->ended && hob_buf_append(&console->in, bytes, len)) {
        end(console, HOB_EMSGSIZE, "the session does not read what it is sent");
    }
    tell_readable(console);
    console->full = hob_buf_len(&console->in) >= HOB_CONSOLE_FULL;
    return hob_buf_len(&console->in);
}

void hob_console_eof(struct hob_console *console)
{
    console->eof = true;
    tell_readable(console);
}

const char *hob_console_bytes(const struct hob_console *console, size_t *len)
{
    *len = hob_buf_len(&console->in);
    return hob_buf_data(&console->in);
}

void hob_console_took(struct hob_console *console, size_t len)
{
    hob_buf_consume(&console->in, len);
    if (console->full && hob_buf_len(&console->in) < HOB_CONSOLE_FULL / 2) {
        console->full = false;
        console->options.on_room(console->options.callback_user);
    }
}

bool hob_console_ended(const struct hob_console *console)
{
    return console->eof;
}

void hob_console_when_readable(struct hob_console *console, void (*fn)(void *user), void *user)
{
    console->readable = fn;
    console->readable_user = user;
}

bool hob_console_is_read(const struct hob_console *console)
{
    return console->readable != NULL;
}

int hob_console_write(struct hob_console *console, const char *bytes, size_t len)
{
    return console->options.write(console->options.callback_user, bytes, len);
}

/* ---- requests ---- */

int hob_console_ask(struct hob_console *console, const char *request, size_t len,
                    struct hob_buf *answer)
{
    return console->options.ask(console->options.callback_user, request, len, answer);
}

void hob_console_set_listener(struct hob_console *console, int ref)
{
    console->listener = ref;
}

static int push_line(lua_State *L, void *op)
{
    const struct line *line = op;
    lua_pushlstring(L, line->bytes, line->len);
    return 1;
}

static void free_line(void *op)
{
    struct line *line = op;
    line->console->pending -= line->len;
    hob_free(line);
}

int hob_console_line(struct hob_console *console, const char *bytes, size_t len)
{
    if (console->ended || console->listener == LUA_NOREF) {
        return HOB_ECANCELED;
    }
    struct line *line =
        console->pending + len > PENDING_MAX ? NULL : hob_malloc(sizeof *line + len);
    if (!line) {
        end(console, HOB_EMSGSIZE, "the session does not keep up with what it follows");
        return HOB_EMSGSIZE;
    }
    line->console = console;
    line->len = len;
    memcpy(line->bytes, bytes, len);
    console->pending += len;
    hob_task_call(hob_sandbox_scheduler(console->sandbox), console->listener, push_line, line,
                  free_line);
    return 0;
}

/* ---- life ---- */

void hob_console_view(const struct hob_console *console, struct hob_console_view *out)
{
    *out = (struct hob_console_view){.kind = console->kind,
                                     .who = console->who,
                                     .user = console->user,
                                     .pid = console->options.pid,
                                     .uid = console->options.uid};
}

static int start(lua_State *L)
{
    struct hob_console *console = lua_touserdata(L, 1);
    char name[64];
    snprintf(name, sizeof name, "hob.%s.server", console->kind);
    hob_sandbox_require(L, "hob.console");
    lua_pushstring(L, name);
    if (lua_getfield(L, -2, "serve_with") != LUA_TFUNCTION) {
        return luaL_error(L, "hob.console: no serve_with");
    }
    lua_insert(L, -2);
    return hob_task_start(L, 1, task_ended, console) ? 0 : luaL_error(L, "out of memory");
}

static int fill(struct hob_console *console, const struct hob_console_options *options,
                struct hob_error *err)
{
    struct hob_exec_set_options set = {.user = console};
    console->kind = hob_strdup(options->kind);
    console->who = hob_strdup(options->who);
    console->user = hob_strdup(options->user);
    console->children = hob_exec_set_new(options->loop, &set);
    console->end = hob_timer_new(options->loop, tell_end, console);
    if (!console->kind || !console->who || !console->user || !console->children || !console->end) {
        return hob_error_set(err, HOB_ENOMEM, "session: out of memory");
    }
    struct hob_sandbox_options sandbox = {
        .loop = options->loop,
        .log = options->log,
        .agent = options->agent,
        .native = hob_handlers_native(options->agent ? options->agent->handlers : NULL),
        .policy = options->policy,
        .children = console->children,
        .debugger = options->debugger,
        .console = console,
        .modules = options->modules,
        .lib = options->lib,
        .memory_bytes = options->memory_bytes ? options->memory_bytes : HOB_CONSOLE_MEMORY};
    int rc = hob_sandbox_new(&sandbox, &console->sandbox, err);
    if (rc) {
        return rc;
    }
    hob_scheduler_on_error(hob_sandbox_scheduler(console->sandbox), callback_failed, console);
    return hob_sandbox_call(console->sandbox, start, console, err);
}

int hob_console_new(const struct hob_console_options *options, struct hob_console **out,
                    struct hob_error *err)
{
    struct hob_console *console = hob_calloc(1, sizeof *console);
    if (!console) {
        return hob_error_set(err, HOB_ENOMEM, "session: out of memory");
    }
    console->options = *options;
    console->listener = LUA_NOREF;
    hob_buf_init(&console->in, IN_MAX);
    int rc = fill(console, options, err);
    if (rc) {
        hob_console_free(console);
        return rc;
    }
    *out = console;
    return 0;
}

void hob_console_free(struct hob_console *console)
{
    if (!console) {
        return;
    }
    console->ended = true;
    hob_sandbox_free(console->sandbox);
    if (console->children) {
        hob_exec_set_end(console->children);
        hob_exec_set_free(console->children);
    }
    hob_timer_close(console->end);
    hob_buf_free(&console->in);
    hob_free(console->kind);
    hob_free(console->who);
    hob_free(console->user);
    hob_free(console);
}
