/* lua_verify.c - hob.verify.core: digests of files and texts, one signature, the config's signers.
 * What handlers see of it is lib/hob/verify.lua. */
#include "base/alloc.h"
#include "bindings.h"

#include "device/files.h"
#include "device/policy.h"
#include "device/verify.h"
#include "work/task.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SIGNER_MAX 65536

/* ---- digests ---- */

struct op {
    struct hob_task *task;
    struct hob_verify_digest *digest; /* NULL once it is done */
    struct hob_verify_digest_result result;
};

static int push_digest(lua_State *L, const struct hob_verify_digest_result *result)
{
    char hex[2 * HOB_VERIFY_DIGEST_MAX + 1] = "";
    for (size_t i = 0; i < result->len; i++) {
        snprintf(hex + 2 * i, 3, "%02x", result->bytes[i]);
    }
    lua_pushstring(L, hex);
    lua_pushlstring(L, (const char *)result->bytes, result->len);
    lua_pushinteger(L, (lua_Integer)result->size);
    return 3;
}

static int push_result(lua_State *L, void *user)
{
    struct op *op = user;
    return op->result.error.code ? hob_lua_fail(L, &op->result.error) : push_digest(L, &op->result);
}

static void on_done(void *user, const struct hob_verify_digest_result *result)
{
    struct op *op = user;
    op->digest = NULL;
    op->result = *result;
    hob_task_wake(op->task);
}

static void cancel(void *user)
{
    struct op *op = user;
    if (op->digest) {
        hob_verify_digest_cancel(op->digest);
    }
    op->digest = NULL;
}

/* digest(path, hash) -> hexadecimal, bytes, size of the file */
static int verify_digest(lua_State *L)
{
    struct hob_error err;
    luaL_checkstring(L, 1);
    const char *path = hob_lua_check_path(L, 1);
    const char *hash = luaL_checkstring(L, 2);
    struct hob_task *task = hob_task_current(L);
    struct hob_files_place place = {hob_bindings_host(L)->policy, hob_lua_job_dir(L)};
    if (hob_files_check(&place, path, HOB_FILES_TARGET, &err)) {
        return hob_lua_fail(L, &err);
    }
    struct op *op = hob_calloc(1, sizeof *op);
    if (!op) {
        return luaL_error(L, "out of memory");
    }
    op->task = task;
    if (hob_verify_digest_start(hob_scheduler_loop(L), path, hash, on_done, op, &op->digest,
                                &err)) {
        hob_free(op);
        return hob_lua_fail(L, &err);
    }
    return hob_task_suspend(L, &(struct hob_task_wait){.name = "hob.verify",
                                                       .push = push_result,
                                                       .cancel = cancel,
                                                       .op_free = hob_free,
                                                       .op = op});
}

/* digest_text(text, hash) -> the same */
static int verify_digest_text(lua_State *L)
{
    struct hob_verify_digest_result result;
    struct hob_error err;
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    if (hob_verify_digest_of(luaL_checkstring(L, 2), text, len, &result, &err)) {
        return hob_lua_fail(L, &err);
    }
    return push_digest(L, &result);
}

/* ---- signatures ---- */

static const char *bytes_of(lua_State *L, const char *name, size_t *len)
{
    int type = lua_getfield(L, 1, name);
    if (type != LUA_TSTRING) {
        luaL_error(L, "%s: expected string, got %s", name, luaL_typename(L, -1));
    }
    return lua_tolstring(L, -1, len); /* stays on the stack */
}

/* check{ digest =, hash =, kind =, signature =, key =, key_name =, ca =, ca_name = } -> signer */
static int verify_check(lua_State *L)
{
    struct hob_verify_options options = {0};
    struct hob_verify_signer signer;
    struct hob_error err;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    options.hash = hob_lua_opt_string(L, 1, "hash", "");
    options.kind = hob_lua_opt_string(L, 1, "kind", "");
    options.digest = (const unsigned char *)bytes_of(L, "digest", &options.digest_len);
    options.signature = bytes_of(L, "signature", &options.signature_len);
    options.key.data = bytes_of(L, "key", &options.key.len);
    options.key.name = hob_lua_opt_string(L, 1, "key_name", "key");
    if (hob_lua_opt_string(L, 1, "ca", NULL)) {
        options.ca.data = bytes_of(L, "ca", &options.ca.len);
        options.ca.name = hob_lua_opt_string(L, 1, "ca_name", "ca");
    }
    if (hob_verify_signature(&options, &signer, &err)) {
        return hob_lua_fail(L, &err);
    }
    lua_createtable(L, 0, 2);
    lua_pushstring(L, signer.name);
    lua_setfield(L, -2, "name");
    lua_pushboolean(L, signer.expired);
    lua_setfield(L, -2, "expired");
    return 1;
}

/* ---- the config's signers ---- */

/* @return an errno value; `out` is a buffer that the collector frees */
static int read_file(const char *path, struct hob_buf *out)
{
    char chunk[4096];
    size_t n;
    FILE *file = fopen(path, "re");
    if (!file) {
        return errno;
    }
    int number = 0;
    while (!number && (n = fread(chunk, 1, sizeof chunk, file)) > 0) {
        number = hob_buf_append(out, chunk, n) ? EFBIG : 0;
    }
    number = ferror(file) ? EIO : number;
    fclose(file);
    return number;
}

/* signers() -> { { name = "FILE", text = "PEM" }, ... }: the owner's own, wherever they lie */
static int verify_signers(lua_State *L)
{
    const struct hob_policy *policy = hob_bindings_host(L)->policy;
    lua_newtable(L);
    for (int i = 0; policy && policy->signers && policy->signers[i]; i++) {
        const char *path = policy->signers[i];
        struct hob_buf *text = hob_lua_push_buf(L, SIGNER_MAX);
        int number = read_file(path, text);
        if (number) {
            struct hob_error err;
            hob_error_set(&err, hob_error_from_errno(number), "signers: %s: %s", path,
                          strerror(number));
            return hob_lua_fail(L, &err);
        }
        lua_createtable(L, 0, 2);
        lua_pushlstring(L, hob_buf_data(text), hob_buf_len(text));
        lua_setfield(L, -2, "text");
        lua_pushstring(L, path);
        lua_setfield(L, -2, "name");
        lua_rawseti(L, -3, i + 1);
        lua_pop(L, 1);
    }
    return 1;
}

static const luaL_Reg functions[] = {{"digest", verify_digest},
                                     {"digest_text", verify_digest_text},
                                     {"check", verify_check},
                                     {"signers", verify_signers},
                                     {NULL, NULL}};

int hob_lua_open_verify(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
