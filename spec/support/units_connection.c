/* units_connection.c - a product's own connection, and the things that share it, for specs.
 *
 * What the product is asked for, and what the things hear, is put into one list of words:
 * "publish 1 QOS TOPIC PAYLOAD", "a up", "a down WHY", "a message TOPIC PAYLOAD", "a done 7 0", ...
 */
#include "units.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/loop.h"
#include "host/own_connection.h"
#include "net/mqtt.h"
#include "net/mqtt_share.h"
#include "net/mqtt_trunk_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define CONNECTION  "hob_units.connection"
#define THINGS_MAX  2000
#define FILTERS_MAX 8
#define WORDS_MAX   (4 * 1024 * 1024)

struct world;

struct thing {
    struct world *world;
    char name[32];
    struct hob_mqtt *mqtt;
    bool again; /* publish from inside what it hears */
};

/* A request of a thing, known by a number. */
struct asked {
    struct thing *thing;
    int number;
};

struct world {
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_log_tap tap;
    struct hob_connection *connection;
    unsigned inside; /* the product's functions */
    struct hob_own_connection *own;
    struct thing *things[THINGS_MAX];
    size_t count;
    struct hob_buf words;
    int refuse;   /* what the product answers in the call */
    bool reenter; /* it tells of everything inside the call */
    size_t closing;
};

static struct world *check(lua_State *L)
{
    return *(struct world **)luaL_checkudata(L, 1, CONNECTION);
}

#define SAY(world, ...) hob_buf_printf(&(world)->words, __VA_ARGS__)

/* ---- the product ---- */

static int answer(struct world *world, uint64_t token)
{
    static const int granted[] = {1};
    if (world->reenter) {
        hob_connection_done(world->connection, token, 0);
        hob_connection_subscribed(world->connection, token, 0, granted, 1);
        hob_connection_message(world->connection, "inside", "x", 1, 0, false);
    }
    return world->refuse;
}

static int on_publish(void *user, const char *topic, const void *payload, size_t len, int qos,
                      bool retain, uint64_t token)
{
    struct world *world = user;
    SAY(world, "publish %d %d%s %s %.*s\n", (int)token, qos, retain ? "r" : "", topic, (int)len,
        (const char *)payload);
    return answer(world, token);
}

static void say_filters(struct world *world, const char *const *filters, size_t count)
{
    for (size_t i = 0; i < count; i++)
        SAY(world, " %s", filters[i]);
    SAY(world, "\n");
}

static int on_subscribe(void *user, const char *const *filters, size_t count, int qos,
                        uint64_t token)
{
    struct world *world = user;
    SAY(world, "subscribe %d %d", (int)token, qos);
    say_filters(world, filters, count);
    return answer(world, token);
}

static int on_unsubscribe(void *user, const char *const *filters, size_t count, uint64_t token)
{
    struct world *world = user;
    SAY(world, "unsubscribe %d", (int)token);
    say_filters(world, filters, count);
    return answer(world, token);
}

static void on_doubt(void *user, const char *why)
{
    SAY((struct world *)user, "doubt %s\n", why);
}

/* ---- the things ---- */

static void thing_up(void *user, bool session_present)
{
    struct thing *thing = user;
    SAY(thing->world, "%s up%s\n", thing->name, session_present ? " again" : "");
}

static void thing_down(void *user, const struct hob_error *why, uint64_t retry_ms)
{
    struct thing *thing = user;
    SAY(thing->world, "%s down%s %s\n", thing->name,
        hob_mqtt_is_suspect(thing->mqtt) ? " suspect" : "", why->message);
}

static void thing_message(void *user, const struct hob_mqtt_message *message)
{
    struct thing *thing = user;
    SAY(thing->world, "%s message %s %.*s\n", thing->name, message->topic,
        (int)(message->len < 100 ? message->len : 100), message->payload);
    if (thing->again)
        hob_mqtt_publish(thing->mqtt, "again", "", 0, 1, false, NULL, NULL);
}

static void thing_done(void *user, int status)
{
    struct asked *asked = user;
    SAY(asked->thing->world, "%s done %d %s\n", asked->thing->name, asked->number,
        hob_error_name(status));
    free(asked);
}

static void thing_subscribed(void *user, int status, const int *granted, size_t count)
{
    struct asked *asked = user;
    SAY(asked->thing->world, "%s subscribed %d %s", asked->thing->name, asked->number,
        hob_error_name(status));
    for (size_t i = 0; i < count && granted; i++)
        SAY(asked->thing->world, " %d", granted[i]);
    SAY(asked->thing->world, "\n");
    free(asked);
}

static struct thing *find(lua_State *L, struct world *world, int index)
{
    const char *name = luaL_checkstring(L, index);
    for (size_t i = 0; i < world->count; i++)
        if (world->things[i] && strcmp(world->things[i]->name, name) == 0)
            return world->things[i];
    luaL_argerror(L, index, "no such thing");
    return NULL;
}

static struct hob_mqtt_share *share_of(struct world *world)
{
    return hob_mqtt_trunk_share(hob_own_connection_trunk(world->own));
}

static void on_line(void *user, const struct hob_log_record *record, const char *line, size_t len)
{
    SAY((struct world *)user, "log %s %s\n", record->event, record->thing ? record->thing : "");
}

/* connection.new(doubts, description): whether the product wants to hear of doubts */
static int new_connection(lua_State *L)
{
    struct hob_error err = {0};
    bool doubts = lua_toboolean(L, 1);
    const char *description = luaL_optstring(L, 2, NULL);
    struct world **object = lua_newuserdatauv(L, sizeof *object, 0);
    struct world *world = *object = calloc(1, sizeof *world);
    hob_buf_init(&world->words, WORDS_MAX);
    struct hob_connection_options options = {.size = sizeof options,
                                             .publish = on_publish,
                                             .subscribe = on_subscribe,
                                             .unsubscribe = on_unsubscribe,
                                             .doubt = doubts ? on_doubt : NULL,
                                             .description = description,
                                             .user = world};
    struct hob_log_options log = {.target = "none", .level = HOB_LOG_DEBUG};
    int rc = hob_loop_new(&world->loop, &err);
    rc = rc ? rc : hob_log_open(&log, &world->log, &err);
    world->tap = (struct hob_log_tap){.fn = on_line, .user = world, .level = HOB_LOG_DEBUG};
    hob_log_tap(world->log, &world->tap);
    rc = rc ? rc : hob_connection_new(&options, &world->connection, &err);
    rc = rc ? rc
            : hob_own_connection_new(world->loop, world->log, world->connection, &world->inside,
                                     &world->own, &err);
    if (rc)
        return luaL_error(L, "%s", err.message);
    hob_own_connection_start(world->own);
    luaL_setmetatable(L, CONNECTION);
    return 1;
}

/* c:thing(name): one more, and it is started */
static int add_thing(lua_State *L)
{
    struct world *world = check(L);
    struct hob_error err;
    struct thing *thing = calloc(1, sizeof *thing);
    thing->world = world;
    snprintf(thing->name, sizeof thing->name, "%s", luaL_checkstring(L, 2));
    struct hob_mqtt_options options = {.trunk = hob_own_connection_trunk(world->own),
                                       .thing = thing->name,
                                       .on_up = thing_up,
                                       .on_down = thing_down,
                                       .on_message = thing_message,
                                       .user = thing};
    int rc = hob_mqtt_new(world->loop, world->log, &options, &thing->mqtt, &err);
    if (rc) {
        free(thing);
        return hob_units_fail(L, &err);
    }
    world->things[world->count++] = thing;
    hob_mqtt_start(thing->mqtt);
    lua_pushboolean(L, 1);
    return 1;
}

static void on_closed(void *user)
{
    struct thing *thing = user;
    SAY(thing->world, "%s closed\n", thing->name);
    for (size_t i = 0; i < thing->world->count; i++)
        if (thing->world->things[i] == thing)
            thing->world->things[i] = NULL;
    thing->world->closing--;
    free(thing);
}

static void remove_one(struct world *world, struct thing *thing)
{
    world->closing++;
    hob_mqtt_close(thing->mqtt, on_closed, thing);
}

static int remove_thing(lua_State *L)
{
    struct world *world = check(L);
    remove_one(world, find(L, world, 2));
    return 0;
}

static struct asked *ask(lua_State *L, struct thing *thing, int index)
{
    struct asked *asked = malloc(sizeof *asked);
    asked->thing = thing;
    asked->number = (int)luaL_checkinteger(L, index);
    return asked;
}

static int told(lua_State *L, struct asked *asked, int rc)
{
    if (rc)
        free(asked);
    return hob_units_result(L, rc);
}

/* c:publish(thing, number, topic, payload, qos) */
static int publish(lua_State *L)
{
    struct world *world = check(L);
    struct thing *thing = find(L, world, 2);
    size_t len;
    const char *payload = luaL_checklstring(L, 5, &len);
    struct asked *asked = ask(L, thing, 3);
    return told(L, asked,
                hob_mqtt_publish(thing->mqtt, luaL_checkstring(L, 4), payload, len,
                                 (int)luaL_optinteger(L, 6, 1), false, thing_done, asked));
}

static size_t read_filters(lua_State *L, int index, const char *filters[FILTERS_MAX])
{
    size_t count = 0;
    for (; count < FILTERS_MAX; count++) {
        if (lua_rawgeti(L, index, (lua_Integer)count + 1) != LUA_TSTRING)
            break;
        filters[count] = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    return count;
}

/* c:subscribe(thing, number, {filter, ...}, qos) */
static int subscribe(lua_State *L)
{
    struct world *world = check(L);
    struct thing *thing = find(L, world, 2);
    const char *filters[FILTERS_MAX];
    size_t count = read_filters(L, 4, filters);
    struct asked *asked = ask(L, thing, 3);
    return told(L, asked,
                hob_mqtt_subscribe(thing->mqtt, filters, count, (int)luaL_optinteger(L, 5, 1),
                                   thing_subscribed, asked));
}

static int unsubscribe(lua_State *L)
{
    struct world *world = check(L);
    struct thing *thing = find(L, world, 2);
    const char *filters[FILTERS_MAX];
    size_t count = read_filters(L, 4, filters);
    struct asked *asked = ask(L, thing, 3);
    return told(L, asked, hob_mqtt_unsubscribe(thing->mqtt, filters, count, thing_done, asked));
}

static int reconnect(lua_State *L)
{
    struct world *world = check(L);
    hob_mqtt_reconnect(find(L, world, 2)->mqtt, luaL_checkstring(L, 3));
    return 0;
}

static int set_again(lua_State *L)
{
    struct world *world = check(L);
    find(L, world, 2)->again = true;
    return 0;
}

/* c:held(): how many subscriptions the broker knows */
static int held(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)hob_mqtt_share_held(share_of(check(L))));
    return 1;
}

static int pending(lua_State *L)
{
    struct hob_mqtt_stats stats;
    hob_mqtt_get_stats(hob_mqtt_share_mqtt(share_of(check(L))), &stats);
    lua_pushinteger(L, (lua_Integer)stats.pending);
    return 1;
}

/* ---- what the product tells ---- */

static int tell_up(lua_State *L)
{
    hob_connection_up(check(L)->connection, lua_toboolean(L, 2));
    return 0;
}

static int tell_down(lua_State *L)
{
    hob_connection_down(check(L)->connection, (int)luaL_optinteger(L, 3, 0),
                        luaL_optstring(L, 2, NULL));
    return 0;
}

static int tell_message(lua_State *L)
{
    size_t len;
    const char *payload = luaL_optlstring(L, 3, "", &len);
    hob_connection_message(check(L)->connection, luaL_checkstring(L, 2), payload, len,
                           (int)luaL_optinteger(L, 4, 0), false);
    return 0;
}

static int tell_done(lua_State *L)
{
    hob_connection_done(check(L)->connection, (uint64_t)luaL_checkinteger(L, 2),
                        (int)luaL_optinteger(L, 3, 0));
    return 0;
}

/* c:tell_subscribed(token, status, granted, ...) */
static int tell_subscribed(lua_State *L)
{
    int granted[FILTERS_MAX], count = 0;
    for (int i = 4; i <= lua_gettop(L) && count < FILTERS_MAX; i++)
        granted[count++] = (int)luaL_checkinteger(L, i);
    hob_connection_subscribed(check(L)->connection, (uint64_t)luaL_checkinteger(L, 2),
                              (int)luaL_checkinteger(L, 3), count ? granted : NULL, (size_t)count);
    return 0;
}

/* c:product{refuse=code, reenter=bool} */
static int set_product(lua_State *L)
{
    struct world *world = check(L);
    lua_getfield(L, 2, "refuse");
    world->refuse = (int)lua_tointeger(L, -1);
    lua_getfield(L, 2, "reenter");
    world->reenter = lua_toboolean(L, -1);
    return 0;
}

/* c:turn(): what can be done without waiting */
static int turn(lua_State *L)
{
    for (int i = 0; i < 20; i++)
        uv_run(hob_loop_uv(check(L)->loop), UV_RUN_NOWAIT);
    return 0;
}

/* c:words(): what was said since the last time, a list */
static int words(lua_State *L)
{
    struct world *world = check(L);
    const char *text = hob_buf_data(&world->words);
    size_t len = hob_buf_len(&world->words);
    lua_newtable(L);
    for (size_t at = 0, n = 1; at < len; n++) {
        const char *end = memchr(text + at, '\n', len - at);
        lua_pushlstring(L, text + at, (size_t)(end - text) - at);
        lua_rawseti(L, -2, (lua_Integer)n);
        at = (size_t)(end - text) + 1;
    }
    hob_buf_free(&world->words);
    hob_buf_init(&world->words, WORDS_MAX);
    return 1;
}

/* c:free_connection(): too early, as a product should not */
static int free_connection(lua_State *L)
{
    struct world *world = check(L);
    hob_connection_free(world->connection);
    world->connection = NULL;
    return 0;
}

/* c:next_runtime(): as after hob_runtime_free, with the same connection; its things are removed */
static int next_runtime(lua_State *L)
{
    struct world *world = check(L);
    struct hob_error err;
    hob_own_connection_close(world->own);
    turn(L);
    if (hob_own_connection_new(world->loop, world->log, world->connection, &world->inside,
                               &world->own, &err))
        return luaL_error(L, "%s", err.message);
    hob_own_connection_start(world->own);
    return 0;
}

static int close_all(lua_State *L)
{
    struct world **object = luaL_checkudata(L, 1, CONNECTION);
    struct world *world = *object;
    if (!world)
        return 0;
    for (size_t i = 0; i < world->count; i++)
        if (world->things[i])
            remove_one(world, world->things[i]);
    while (world->closing)
        uv_run(hob_loop_uv(world->loop), UV_RUN_ONCE);
    hob_own_connection_close(world->own);
    hob_loop_free(world->loop);
    hob_connection_free(world->connection);
    hob_log_close(world->log);
    hob_buf_free(&world->words);
    free(world);
    *object = NULL;
    return 0;
}

static const luaL_Reg methods[] = {{"thing", add_thing},
                                   {"remove", remove_thing},
                                   {"publish", publish},
                                   {"subscribe", subscribe},
                                   {"unsubscribe", unsubscribe},
                                   {"reconnect", reconnect},
                                   {"again", set_again},
                                   {"held", held},
                                   {"pending", pending},
                                   {"tell_up", tell_up},
                                   {"tell_down", tell_down},
                                   {"tell_message", tell_message},
                                   {"tell_done", tell_done},
                                   {"tell_subscribed", tell_subscribed},
                                   {"product", set_product},
                                   {"turn", turn},
                                   {"words", words},
                                   {"free_connection", free_connection},
                                   {"next_runtime", next_runtime},
                                   {"close", close_all},
                                   {NULL, NULL}};

static const luaL_Reg functions[] = {{"new", new_connection}, {NULL, NULL}};

int hob_units_open_connection(lua_State *L)
{
    hob_units_class(L, CONNECTION, methods, close_all);
    lua_newtable(L);
    hob_units_unit(L, "connection", functions);
    return 1;
}
