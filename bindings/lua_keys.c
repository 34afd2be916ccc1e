/* lua_keys.c - hob.keys: private keys of this device (core/device/keys.h), on a thread of libuv's
 * while the task waits. A task that is ended meanwhile leaves the thread to its end, which is told
 * to hurry. */
#include "base/alloc.h"
#include "lua_fs.h"

#include "device/keys.h"
#include "work/task.h"

#include <string.h>

#define PEM_MAX       65536
#define PEM_BEGIN     "-----BEGIN "
#define SUBJECT_BYTES 1024

struct work {
    uv_work_t request;
    struct hob_loop *loop;
    struct hob_task *task; /* NULL: it was ended */
    bool running;
    void (*run)(struct work *work);                 /* on the thread */
    char *key, *certificate, *passphrase, *subject; /* the key is where it goes, for generate */
    struct hob_keys_options options;
    struct hob_buf csr;
    bool match;
    struct hob_keys_dates dates;
    atomic_bool stop;
    int code;
    struct hob_error err;
};

/* ---- the thread, and the task that waits for it ---- */

static void wipe(char *text)
{
    if (text) {
        explicit_bzero(text, strlen(text));
    }
    hob_free(text);
}

static void free_work(struct work *work)
{
    wipe(work->key);
    wipe(work->passphrase);
    hob_free(work->certificate);
    hob_free(work->subject);
    hob_buf_free(&work->csr);
    hob_free(work);
}

static void on_thread(uv_work_t *request)
{
    struct work *work = request->data;
    work->run(work);
}

static void on_done(uv_work_t *request, int status)
{
    struct work *work = request->data;
    work->running = false;
    hob_loop_release(work->loop);
    if (work->task) {
        hob_task_wake(work->task);
    } else {
        free_work(work);
    }
}

static void cancel(void *user)
{
    struct work *work = user;
    atomic_store(&work->stop, true);
}

static void op_free(void *user)
{
    struct work *work = user;
    work->task = NULL;
    if (!work->running) {
        free_work(work);
    }
}

static int collect_work(lua_State *L)
{
    struct work **slot = lua_touserdata(L, 1);
    if (*slot) {
        free_work(*slot);
    }
    *slot = NULL;
    return 0;
}

/* Until it begins it belongs to a value on the stack, so that an error leaks nothing. */
static struct work **new_work(lua_State *L, void (*run)(struct work *work))
{
    struct work **slot = lua_newuserdatauv(L, sizeof *slot, 0);
    *slot = NULL;
    if (hob_lua_new_metatable(L, "hob.keys.work")) {
        lua_pushcfunction(L, collect_work);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    struct work *work = *slot = hob_calloc(1, sizeof *work);
    if (!work) {
        luaL_error(L, "out of memory");
    }
    hob_buf_init(&work->csr, PEM_MAX);
    work->run = run;
    work->request.data = work;
    return slot;
}

static int begin(lua_State *L, struct work **slot, const char *name, hob_task_push_fn *push)
{
    struct work *work = *slot;
    work->task = hob_task_current(L);
    work->loop = hob_scheduler_loop(L);
    *slot = NULL;
    work->running = true;
    hob_loop_hold(work->loop);
    uv_queue_work(hob_loop_uv(work->loop), &work->request, on_thread, on_done);
    return hob_task_suspend(
        L, &(struct hob_task_wait){
               .name = name, .push = push, .cancel = cancel, .op_free = op_free, .op = work});
}

/* ---- arguments ---- */

static char *copy(lua_State *L, const char *text)
{
    char *copied = hob_strdup(text);
    if (!copied) {
        luaL_error(L, "out of memory");
    }
    return copied;
}

/* The member at the top of the stack, or the argument, is a path that may be touched or a PEM text.
 * @return 0, or what was pushed */
static int take_source(lua_State *L, int index, const char *name, char **out)
{
    size_t len;
    if (lua_type(L, index) != LUA_TSTRING) {
        return luaL_error(L, "%s: expected the path of a file, or a PEM text, got %s", name,
                          luaL_typename(L, index));
    }
    const char *text = lua_tolstring(L, index, &len);
    if (len == 0 || len > PEM_MAX || strlen(text) != len) {
        return luaL_error(L, "%s: expected the path of a file, or a PEM text", name);
    }
    if (!strstr(text, PEM_BEGIN)) {
        text = hob_lua_check_path(L, index);
        int refused = hob_lua_fs_check(L, text, HOB_FILES_TARGET);
        if (refused) {
            return refused;
        }
    }
    *out = copy(L, text);
    return 0;
}

static void take_passphrase(lua_State *L, int index, struct work *work)
{
    const char *given = hob_lua_opt_string(L, index, "passphrase", NULL);
    work->passphrase = given ? copy(L, given) : NULL;
}

/* ---- generate ---- */

static void run_generate(struct work *work)
{
    work->code = hob_keys_generate(&work->options, &work->err);
}

static int push_true(lua_State *L, void *user)
{
    struct work *work = user;
    if (work->code) {
        return hob_lua_fail(L, &work->err);
    }
    lua_pushboolean(L, 1);
    return 1;
}

static bool is_rsa(lua_State *L)
{
    const char *type = hob_lua_opt_string(L, 1, "type", "ec");
    bool rsa = strcmp(type, "rsa") == 0;
    if (!rsa && strcmp(type, "ec") != 0) {
        luaL_error(L, "type: expected \"ec\" or \"rsa\", got \"%s\"", type);
    }
    return rsa;
}

static int read_bits(lua_State *L, bool rsa)
{
    double bits = hob_lua_opt_number(L, 1, "bits", 0);
    bool given = lua_getfield(L, 1, "bits") != LUA_TNIL;
    lua_pop(L, 1);
    if (given && (!rsa || (bits != 2048 && bits != 3072 && bits != 4096))) {
        luaL_error(L, "bits: expected 2048, 3072 or 4096, for type = \"rsa\"");
    }
    return (int)bits;
}

/* generate{ to =, type =, bits =, replace = } -> true */
static int keys_generate(lua_State *L)
{
    static const char *const known[] = {"to", "type", "bits", "replace", NULL};
    lua_settop(L, 1);
    hob_lua_check_options(L, 1, known);
    struct work **slot = new_work(L, run_generate);
    struct work *work = *slot;
    work->options.rsa = is_rsa(L);
    work->options.bits = read_bits(L, work->options.rsa);
    work->options.replace = hob_lua_opt_boolean(L, 1, "replace", false);
    work->options.stop = &work->stop;
    if (lua_getfield(L, 1, "to") != LUA_TSTRING) {
        return luaL_error(L, "to: expected the path of a file, got %s", luaL_typename(L, -1));
    }
    const char *path = hob_lua_fs_path(L, lua_gettop(L));
    int refused = hob_lua_fs_check(L, path, HOB_FILES_TARGET);
    if (refused) {
        return refused;
    }
    work->options.to = work->key = copy(L, path);
    return begin(L, slot, "hob.keys.generate", push_true);
}

/* ---- csr ---- */

static void run_csr(struct work *work)
{
    work->code = hob_keys_csr(work->key, work->passphrase, work->subject, &work->csr, &work->err);
}

static int push_csr(lua_State *L, void *user)
{
    struct work *work = user;
    if (work->code) {
        return hob_lua_fail(L, &work->err);
    }
    lua_pushlstring(L, hob_buf_data(&work->csr), hob_buf_len(&work->csr));
    return 1;
}

/* csr{ key =, subject =, passphrase = } -> pem */
static int keys_csr(lua_State *L)
{
    static const char *const known[] = {"key", "subject", "passphrase", NULL};
    lua_settop(L, 1);
    hob_lua_check_options(L, 1, known);
    const char *subject = hob_lua_opt_string(L, 1, "subject", "");
    if (!*subject || strlen(subject) > SUBJECT_BYTES) {
        return luaL_error(L, "subject: expected one such as \"CN=gateway-7\"");
    }
    struct work **slot = new_work(L, run_csr);
    struct work *work = *slot;
    take_passphrase(L, 1, work);
    work->subject = copy(L, subject);
    lua_getfield(L, 1, "key");
    int refused = take_source(L, lua_gettop(L), "key", &work->key);
    return refused ? refused : begin(L, slot, "hob.keys.csr", push_csr);
}

/* ---- matches ---- */

static void run_match(struct work *work)
{
    work->code =
        hob_keys_match(work->certificate, work->key, work->passphrase, &work->match, &work->err);
}

static int push_match(lua_State *L, void *user)
{
    struct work *work = user;
    if (work->code) {
        return hob_lua_fail(L, &work->err);
    }
    lua_pushboolean(L, work->match);
    return 1;
}

/* matches(certificate, key, { passphrase = }) -> boolean */
static int keys_matches(lua_State *L)
{
    static const char *const known[] = {"passphrase", NULL};
    lua_settop(L, 3);
    struct work **slot = new_work(L, run_match);
    struct work *work = *slot;
    if (!lua_isnil(L, 3)) {
        hob_lua_check_options(L, 3, known);
        take_passphrase(L, 3, work);
    }
    int refused = take_source(L, 1, "certificate", &work->certificate);
    refused = refused ? refused : take_source(L, 2, "key", &work->key);
    return refused ? refused : begin(L, slot, "hob.keys.matches", push_match);
}

/* ---- dates ---- */

static void run_dates(struct work *work)
{
    work->code = hob_keys_dates(work->certificate, &work->dates, &work->err);
}

static int push_dates(lua_State *L, void *user)
{
    struct work *work = user;
    if (work->code) {
        return hob_lua_fail(L, &work->err);
    }
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, (lua_Integer)work->dates.from_s);
    lua_setfield(L, -2, "not_before");
    lua_pushinteger(L, (lua_Integer)work->dates.to_s);
    lua_setfield(L, -2, "not_after");
    return 1;
}

/* dates(certificate) -> { not_before =, not_after = } */
static int keys_dates(lua_State *L)
{
    lua_settop(L, 1);
    struct work **slot = new_work(L, run_dates);
    int refused = take_source(L, 1, "certificate", &(*slot)->certificate);
    return refused ? refused : begin(L, slot, "hob.keys.dates", push_dates);
}

static const luaL_Reg functions[] = {{"generate", keys_generate},
                                     {"csr", keys_csr},
                                     {"matches", keys_matches},
                                     {"dates", keys_dates},
                                     {NULL, NULL}};

int hob_lua_open_keys(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
