/* hob_units.pty: a program on a terminal of its own; for spec/support/pty.lua.
 *
 * pty.spawn({ "hob", "repl" }, { "TERM=xterm", ... }, rows, columns) -> pty
 * pty:read() -> bytes | "" (nothing yet) | nil (the program's side is closed)
 * pty:write(bytes)   pty:resize(rows, columns)   pty:kill(number)   pty:pid()
 * pty:is_raw()       keys reach the program one by one, and are not shown
 * pty:ended() -> nil | exit code, signal
 * pty:close()        kills what still runs
 */
#include "units.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define CLASS "hob_units.pty"

struct pty {
    int fd;
    pid_t pid; /* 0: it has ended, with this */
    int status;
};

static struct pty *check(lua_State *L)
{
    return luaL_checkudata(L, 1, CLASS);
}

/* In a userdata, which the collector frees; the strings stay in the table. */
static char **strings_of(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    size_t count = lua_rawlen(L, index);
    char **list = lua_newuserdatauv(L, (count + 1) * sizeof *list, 0);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        list[i] = (char *)luaL_checkstring(L, -1);
        lua_pop(L, 1);
    }
    list[count] = NULL;
    return list;
}

static struct winsize size_of(lua_State *L, int index)
{
    return (struct winsize){.ws_row = (unsigned short)luaL_checkinteger(L, index),
                            .ws_col = (unsigned short)luaL_checkinteger(L, index + 1)};
}

static void run_child(char **argv, char **env)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (argv[0])
        execve(argv[0], argv, env);
    _exit(127);
}

static int pty_spawn(lua_State *L)
{
    struct winsize size = size_of(L, 3);
    char **argv = strings_of(L, 1), **env = strings_of(L, 2);
    struct pty *pty = lua_newuserdatauv(L, sizeof *pty, 0);
    *pty = (struct pty){.fd = -1};
    luaL_setmetatable(L, CLASS);
    pid_t pid = forkpty(&pty->fd, NULL, NULL, &size);
    if (pid < 0)
        return luaL_error(L, "forkpty: %s", strerror(errno));
    if (pid == 0)
        run_child(argv, env);
    pty->pid = pid;
    fcntl(pty->fd, F_SETFD, FD_CLOEXEC);
    fcntl(pty->fd, F_SETFL, O_NONBLOCK);
    return 1;
}

static int pty_read(lua_State *L)
{
    char bytes[4096];
    ssize_t n = read(check(L)->fd, bytes, sizeof bytes);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return 0;
    if (n == 0)
        return 0;
    lua_pushlstring(L, bytes, n > 0 ? (size_t)n : 0);
    return 1;
}

static int pty_write(lua_State *L)
{
    size_t len;
    const char *bytes = luaL_checklstring(L, 2, &len);
    ssize_t n = write(check(L)->fd, bytes, len);
    if (n != (ssize_t)len)
        return luaL_error(L, "the terminal took %d of %d bytes", (int)n, (int)len);
    return 0;
}

static int pty_resize(lua_State *L)
{
    struct winsize size = size_of(L, 2);
    if (ioctl(check(L)->fd, TIOCSWINSZ, &size))
        return luaL_error(L, "TIOCSWINSZ: %s", strerror(errno));
    return 0;
}

static int pty_is_raw(lua_State *L)
{
    struct termios mode;
    if (tcgetattr(check(L)->fd, &mode))
        return luaL_error(L, "tcgetattr: %s", strerror(errno));
    lua_pushboolean(L, !(mode.c_lflag & (ICANON | ECHO)));
    return 1;
}

static int pty_ended(lua_State *L)
{
    struct pty *pty = check(L);
    if (pty->pid && waitpid(pty->pid, &pty->status, WNOHANG) == pty->pid)
        pty->pid = 0;
    if (pty->pid)
        return 0;
    lua_pushinteger(L, WIFEXITED(pty->status) ? WEXITSTATUS(pty->status) : -1);
    lua_pushinteger(L, WIFSIGNALED(pty->status) ? WTERMSIG(pty->status) : 0);
    return 2;
}

static int pty_kill(lua_State *L)
{
    struct pty *pty = check(L);
    if (pty->pid)
        kill(pty->pid, (int)luaL_checkinteger(L, 2));
    return 0;
}

static int pty_pid(lua_State *L)
{
    lua_pushinteger(L, check(L)->pid);
    return 1;
}

static int pty_close(lua_State *L)
{
    struct pty *pty = check(L);
    if (pty->pid) {
        kill(pty->pid, SIGKILL);
        waitpid(pty->pid, &pty->status, 0);
        pty->pid = 0;
    }
    if (pty->fd >= 0)
        close(pty->fd);
    pty->fd = -1;
    return 0;
}

static const luaL_Reg methods[] = {
    {"read", pty_read},     {"write", pty_write}, {"resize", pty_resize},
    {"is_raw", pty_is_raw}, {"ended", pty_ended}, {"kill", pty_kill},
    {"pid", pty_pid},       {"close", pty_close}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"spawn", pty_spawn}, {NULL, NULL}};

int hob_units_open_pty(lua_State *L)
{
    hob_units_class(L, CLASS, methods, pty_close);
    lua_newtable(L);
    hob_units_unit(L, "pty", functions);
    return 1;
}
