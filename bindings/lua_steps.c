/* lua_steps.c - hob.steps.core: what the built-in handler of AWS's documents has to know of this
 * gateway. For lib/hob/steps/, not for scripts. */
#include "bindings.h"

#include "base/mbed.h"
#include "device/policy.h"
#include "device/program.h"
#include "work/job.h"

#include <unistd.h>

static struct hob_job *check_job(lua_State *L)
{
    struct hob_job *job = hob_bindings_host(L)->job;
    if (!job) {
        luaL_error(L, "hob.steps.core: there is no job here");
    }
    return job;
}

/** handler_dir() -> path | nil */
static int steps_handler_dir(lua_State *L)
{
    const struct hob_policy *policy = hob_bindings_host(L)->policy;
    if (!policy || !policy->handler_dir[0]) {
        return 0;
    }
    lua_pushstring(L, policy->handler_dir);
    return 1;
}

/** allows(program) -> boolean: may a document name it? */
static int steps_allows(lua_State *L)
{
    lua_pushboolean(
        L, hob_policy_allows_command(hob_bindings_host(L)->policy, luaL_checkstring(L, 1)));
    return 1;
}

/** who(program, user or nil) -> privileged (may it do what Hob may?) | nil, message, code */
static int steps_who(lua_State *L)
{
    struct hob_error err = {0};
    struct hob_policy_grant grant;
    struct hob_policy_wish wish = {
        .program = luaL_checkstring(L, 1), .user = luaL_optstring(L, 2, NULL), .hob = geteuid()};
    if (hob_policy_who(hob_bindings_host(L)->policy, &wish, &grant, &err)) {
        return hob_lua_fail(L, &err);
    }
    lua_pushboolean(L, grant.file[0] != '\0');
    return 1;
}

/** has_privileged() -> boolean: are there programs that run as root? */
static int steps_has_privileged(lua_State *L)
{
    const struct hob_policy *policy = hob_bindings_host(L)->policy;
    lua_pushboolean(L, !policy || policy->privileged[0]);
    return 1;
}

/** handler(name) -> text, path, digest | nil: there is none. Raises if it is broken. */
static int steps_handler(lua_State *L)
{
    struct hob_job_source source;
    struct hob_error err = {0};
    char digest[HOB_SHA256_HEX_MAX];
    int rc = hob_job_other_handler(check_job(L), luaL_checkstring(L, 1), &source, &err);
    if (rc == HOB_ENOENT) {
        return 0;
    }
    if (rc) {
        luaL_where(L, 0);
        lua_pushstring(L, err.message);
        return lua_error(L);
    }
    lua_pushlstring(L, source.text, source.len);
    lua_pushstring(L, source.path);
    lua_pushstring(L, hob_sha256_of(lua_tostring(L, -2), source.len, digest));
    return 3;
}

/** program(path) -> true | nil, message, code: may it be started? */
static int steps_program(lua_State *L)
{
    struct hob_error err = {0};
    if (hob_program_check(luaL_checkstring(L, 1), &err)) {
        return hob_lua_fail(L, &err);
    }
    lua_pushboolean(L, true);
    return 1;
}

/** resumed() -> boolean: was the job begun by an earlier process? */
static int steps_resumed(lua_State *L)
{
    lua_pushboolean(L, hob_job_is_pinned(check_job(L)));
    return 1;
}

int hob_lua_open_steps(lua_State *L)
{
    static const luaL_Reg functions[] = {{"handler_dir", steps_handler_dir},
                                         {"allows", steps_allows},
                                         {"who", steps_who},
                                         {"has_privileged", steps_has_privileged},
                                         {"handler", steps_handler},
                                         {"program", steps_program},
                                         {"resumed", steps_resumed},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
