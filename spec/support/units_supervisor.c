/* hob_units.supervisor: what systemd is to a service, a datagram socket that is told of its state.
 *
 * supervisor.open(name) -> supervisor ("@NAME": in the abstract namespace); supervisor:read() ->
 * the next message, or nil if none is there yet.
 */
#include "units.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CLASS       "hob_units.supervisor"
#define MESSAGE_MAX 4096

static int supervisor_open(lua_State *L)
{
    size_t len;
    const char *name = luaL_checklstring(L, 1, &len);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    luaL_argcheck(L, len < sizeof address.sun_path, 1, "too long");
    memcpy(address.sun_path, name, len);
    if (name[0] == '@') {
        address.sun_path[0] = '\0';
    }
    int *fd = lua_newuserdatauv(L, sizeof *fd, 0);
    *fd = -1;
    luaL_setmetatable(L, CLASS);
    *fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (*fd < 0 || bind(*fd, (struct sockaddr *)&address, size)) {
        return luaL_error(L, "%s: %s", name, strerror(errno));
    }
    return 1;
}

static int supervisor_read(lua_State *L)
{
    int *fd = luaL_checkudata(L, 1, CLASS);
    char text[MESSAGE_MAX];
    ssize_t len = recv(*fd, text, sizeof text, 0);
    if (len < 0) {
        return 0;
    }
    lua_pushlstring(L, text, (size_t)len);
    return 1;
}

static int supervisor_close(lua_State *L)
{
    int *fd = luaL_checkudata(L, 1, CLASS);
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
    return 0;
}

int hob_units_open_supervisor(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"read", supervisor_read}, {"close", supervisor_close}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"open", supervisor_open}, {NULL, NULL}};
    hob_units_class(L, CLASS, methods, supervisor_close);
    lua_newtable(L);
    hob_units_unit(L, "supervisor", functions);
    return 1;
}
