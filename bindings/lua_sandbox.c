/* lua_sandbox.c - hob.sandbox: one of Hob's own modules at work in a throw-away sandbox, where
 * handlers are loaded, so that what they do there stays there. For Hob's own commands.
 *
 * call({ module =, lib = [, scripts =, memory =] }, text...) -> text | nil, message, code
 *   the text that require(module).run(text...) gives in a new sandbox; it cannot wait there.
 *   lib: the directory of Hob's own Lua files; scripts: the handlers' one, in whose lib/ `require`
 *   looks; memory: bytes
 * digest(text) -> the SHA-256 by which Hob names a handler of that text, 64 hexadecimal digits
 * Spec: spec/unit/handler_inspect_spec.lua
 */
#include "bindings.h"

#include "base/alloc.h"
#include "base/mbed.h"
#include "work/sandbox.h"
#include "work/scripts_dirs.h"

#define TEXTS_MAX    4
#define ANSWER_LIMIT (4u << 20)

struct call {
    const char *module;
    int count;
    const char *texts[TEXTS_MAX];
    size_t lens[TEXTS_MAX];
    struct hob_buf *answer;
};

static int run_module(lua_State *L)
{
    const struct call *call = lua_touserdata(L, 1);
    hob_sandbox_require(L, call->module);
    lua_getfield(L, -1, "run");
    for (int i = 0; i < call->count; i++) {
        lua_pushlstring(L, call->texts[i], call->lens[i]);
    }
    lua_call(L, call->count, 1);
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    if (!text) {
        return luaL_error(L, "%s: expected a text as its answer", call->module);
    }
    if (hob_buf_append(call->answer, text, len)) {
        return luaL_error(L, "%s: its answer is too long", call->module);
    }
    return 0;
}

static const char *required(lua_State *L, const char *name)
{
    const char *text = hob_lua_opt_string(L, 1, name, NULL);
    luaL_argcheck(L, text, 1, name);
    return text;
}

static void read_texts(lua_State *L, struct call *call)
{
    call->count = lua_gettop(L) - 1;
    luaL_argcheck(L, call->count <= TEXTS_MAX, 2, "too many texts");
    for (int i = 0; i < call->count; i++) {
        call->texts[i] = luaL_checklstring(L, i + 2, &call->lens[i]);
    }
}

static int sandbox_call(lua_State *L)
{
    static const char *const known[] = {"module", "lib", "scripts", "memory", NULL};
    luaL_checktype(L, 1, LUA_TTABLE);
    hob_lua_check_options(L, 1, known);
    struct call call = {.module = required(L, "module")};
    read_texts(L, &call);
    const struct hob_modules_host *host = hob_bindings_host(L);
    struct hob_sandbox_options options = {
        .loop = host->loop, .log = host->log, .lib = required(L, "lib")};
    options.memory_bytes = (size_t)hob_lua_opt_number(L, 1, "memory", 0);
    const char *scripts = hob_lua_opt_string(L, 1, "scripts", NULL);
    if (scripts) {
        char *lib = hob_scripts_dirs_lib(scripts);
        options.script_lib = lua_pushstring(L, lib ? lib : "");
        hob_free(lib);
    }
    call.answer = hob_lua_push_buf(L, ANSWER_LIMIT);
    struct hob_sandbox *sandbox = NULL;
    struct hob_error err = {0};
    int rc = hob_sandbox_new(&options, &sandbox, &err);
    rc = rc ? rc : hob_sandbox_call(sandbox, run_module, &call, &err);
    hob_sandbox_free(sandbox);
    if (rc) {
        return hob_lua_fail(L, &err);
    }
    lua_pushlstring(L, hob_buf_data(call.answer), hob_buf_len(call.answer));
    return 1;
}

static int sandbox_digest(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    char digest[HOB_SHA256_HEX_MAX];
    hob_sha256_of(text, len, digest);
    lua_pushstring(L, digest);
    return 1;
}

static const luaL_Reg functions[] = {
    {"call", sandbox_call}, {"digest", sandbox_digest}, {NULL, NULL}};

int hob_lua_open_sandbox(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
