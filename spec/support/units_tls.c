/* units_tls.c - tls, heap for specs: configurations, what they share, and key providers of every
 * kind. */
#include "base/mbed_pk.h"
#include "net/tls.h"
#include "net/tls_config.h"
#include "units.h"

#include <malloc.h>
#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <string.h>

#define CACHE  "hob_units.tls_cache"
#define CONFIG "hob_units.tls_config"

/* ---- a key provider ---- */

/* How it behaves is its name: "signs", "fails", "says nothing", "garbage", "nothing", "too much",
 * "short", "raw". */
struct keeper {
    const char *how;
    mbedtls_pk_context key;
    struct hob_key_request last; /* what was asked for; of its texts and bytes only: */
    char hash_name[16], thing[64];
    int calls;
};

static int sign_with(struct keeper *k, const struct hob_key_request *r, unsigned char *out,
                     size_t *len)
{
    mbedtls_md_type_t md = mbedtls_md_get_type(mbedtls_md_info_from_string(r->hash_name));
#if MBEDTLS_VERSION_MAJOR >= 3
    return mbedtls_pk_sign(&k->key, md, r->hash, r->hash_len, out, *len, len, hob_mbed_random,
                           NULL);
#else
    return mbedtls_pk_sign(&k->key, md, r->hash, r->hash_len, out, len, hob_mbed_random, NULL);
#endif
}

static int keeper_sign(void *user, const struct hob_key_request *r, unsigned char *out, size_t *len,
                       struct hob_error *err)
{
    struct keeper *k = user;
    const char *how = k->how;
    k->calls++;
    k->last = *r;
    snprintf(k->hash_name, sizeof k->hash_name, "%s", r->hash_name);
    snprintf(k->thing, sizeof k->thing, "%s", r->thing);
    if (strcmp(how, "fails") == 0)
        return hob_error_set(err, HOB_EIO, "the token was taken out");
    if (strcmp(how, "says nothing") == 0)
        return HOB_EBUSY;
    memset(out, 0x5a, *len);
    if (strcmp(how, "signs") == 0)
        return sign_with(k, r, out, len) ? HOB_EIO : 0;
    *len = strcmp(how, "nothing") == 0    ? 0
           : strcmp(how, "too much") == 0 ? *len + 1
           : strcmp(how, "short") == 0    ? 3
           : strcmp(how, "raw") == 0      ? 64
           : *len > 256                   ? 70
                                          : *len;
    return 0;
}

/* ---- configurations ---- */

struct config {
    struct hob_tls_config *config;
    struct keeper keeper;
};

static int config_gc(lua_State *L)
{
    struct config *c = luaL_checkudata(L, 1, CONFIG);
    hob_tls_config_free(c->config);
    mbedtls_pk_free(&c->keeper.key);
    memset(c, 0, sizeof *c);
    mbedtls_pk_init(&c->keeper.key);
    return 0;
}

static const char *text(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    const char *value = lua_tostring(L, -1);
    lua_pop(L, 1); /* the table keeps it */
    return value;
}

static struct hob_tls_cache **check_cache(lua_State *L, int index)
{
    return luaL_checkudata(L, index, CACHE);
}

static struct config *new_config(lua_State *L, struct hob_key_provider *provider)
{
    struct config *c = lua_newuserdatauv(L, sizeof *c, 1);
    memset(c, 0, sizeof *c);
    mbedtls_pk_init(&c->keeper.key);
    luaL_setmetatable(L, CONFIG);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1); /* its texts are borrowed by the keeper */
    *provider = (struct hob_key_provider){
        .size = sizeof *provider, .name = text(L, "name"), .sign = keeper_sign, .user = &c->keeper};
    c->keeper.how = text(L, "provider");
    const char *key = text(L, "keeps");
#if MBEDTLS_VERSION_MAJOR >= 3
    int ret = key ? mbedtls_pk_parse_keyfile(&c->keeper.key, key, NULL, hob_mbed_random, NULL) : 0;
#else
    int ret = key ? mbedtls_pk_parse_keyfile(&c->keeper.key, key, NULL) : 0;
#endif
    return ret ? (luaL_error(L, "the keeper's key: %d", ret), NULL) : c;
}

/* config{ ca =, cert =, key =, passphrase =, cache =, thing =, provider = HOW, keeps = KEYFILE,
 * name = } */
static int tls_config(lua_State *L)
{
    struct hob_key_provider provider;
    struct hob_error err;
    luaL_checktype(L, 1, LUA_TTABLE);
    struct config *c = new_config(L, &provider);
    lua_getfield(L, 1, "cache");
    struct hob_tls_options options = {.ca_file = text(L, "ca"),
                                      .cert_file = text(L, "cert"),
                                      .key_file = text(L, "key"),
                                      .key_passphrase = text(L, "passphrase"),
                                      .key_provider = c->keeper.how ? &provider : NULL,
                                      .thing = text(L, "thing"),
                                      .cache =
                                          lua_isnil(L, -1) ? NULL : *check_cache(L, lua_gettop(L))};
    lua_pop(L, 1);
    return hob_tls_config_new(&options, &c->config, &err) ? hob_units_fail(L, &err) : 1;
}

static int config_probe(lua_State *L)
{
    struct config *c = luaL_checkudata(L, 1, CONFIG);
    struct hob_error err;
    if (hob_tls_config_probe(c->config, &err))
        return hob_units_fail(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

static int config_settle(lua_State *L)
{
    struct config *c = luaL_checkudata(L, 1, CONFIG);
    hob_tls_config_settle(c->config);
    return 0;
}

/* asked() -> calls, hash name, length of the hash, scheme, thing */
static int config_asked(lua_State *L)
{
    const struct keeper *k = &((struct config *)luaL_checkudata(L, 1, CONFIG))->keeper;
    static const char *const schemes[] = {"RSA_PKCS1", "RSA_PSS", "ECDSA"};
    lua_pushinteger(L, k->calls);
    lua_pushstring(L, k->hash_name);
    lua_pushinteger(L, (lua_Integer)k->last.hash_len);
    lua_pushstring(L, schemes[k->last.scheme]);
    lua_pushstring(L, k->thing);
    return 5;
}

/* Do these hold one copy of CA and certificate? */
static int config_shares(lua_State *L)
{
    const struct config *a = luaL_checkudata(L, 1, CONFIG), *b = luaL_checkudata(L, 2, CONFIG);
    lua_pushboolean(L, a->config->ca && a->config->ca == b->config->ca);
    lua_pushboolean(L, a->config->own && a->config->own == b->config->own);
    return 2;
}

/* ---- caches ---- */

static int cache_gc(lua_State *L)
{
    struct hob_tls_cache **cache = check_cache(L, 1);
    hob_tls_cache_free(*cache);
    *cache = NULL;
    return 0;
}

static int cache_count(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)hob_tls_cache_count(*check_cache(L, 1)));
    return 1;
}

static int cache_computed(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)hob_tls_cache_computed(*check_cache(L, 1)));
    return 1;
}

static int tls_cache(lua_State *L)
{
    struct hob_tls_cache **cache = lua_newuserdatauv(L, sizeof(struct hob_tls_cache *), 0);
    *cache = hob_tls_cache_new();
    luaL_setmetatable(L, CACHE);
    return 1;
}

/* heap() -> bytes in use, as the C library counts; 0: another allocator is there (sanitizers) */
static int tls_heap(lua_State *L)
{
    struct mallinfo2 info = mallinfo2();
    lua_pushinteger(L, (lua_Integer)info.uordblks + (lua_Integer)info.hblkhd);
    return 1;
}

int hob_units_open_tls(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"cache", tls_cache}, {"config", tls_config}, {"heap", tls_heap}, {NULL, NULL}};
    static const luaL_Reg cache_methods[] = {
        {"count", cache_count}, {"computed", cache_computed}, {"free", cache_gc}, {NULL, NULL}};
    static const luaL_Reg config_methods[] = {{"probe", config_probe},   {"settle", config_settle},
                                              {"asked", config_asked},   {"free", config_gc},
                                              {"shares", config_shares}, {NULL, NULL}};
    hob_units_class(L, CACHE, cache_methods, cache_gc);
    hob_units_class(L, CONFIG, config_methods, config_gc);
    lua_newtable(L);
    hob_units_unit(L, "tls", functions);
    return 1;
}
