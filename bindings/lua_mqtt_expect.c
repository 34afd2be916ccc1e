/* lua_mqtt_expect.c - answers that a future waits for, found without a task of their own. See
 * lua_mqtt.h
 *
 * An answer is known by its topic and by its token as the service writes it. Whether that is really
 * its clientToken is seen by who decodes it; one that is written in another way goes to the
 * listener, as any message does. */
#include "base/alloc.h"
#include "lua_future.h"
#include "lua_mqtt.h"

#include <string.h>

#define NEEDLE_BEGIN "\"clientToken\":\""

struct hob_lua_mqtt_expected {
    struct hob_lua_mqtt_expected *next;
    struct hob_lua_mqtt_conn *conn;
    struct hob_lua_future *future; /* it tells its end, also as garbage */
    size_t topic_len, needle_len;
    char *needle; /* behind the topic */
    char topic[];
};

static void forget(void *user)
{
    struct hob_lua_mqtt_expected *expected = user;
    struct hob_lua_mqtt_expected **at = &expected->conn->expected;
    while (*at != expected) {
        at = &(*at)->next;
    }
    *at = expected->next;
    hob_free(expected);
}

void hob_lua_mqtt_drop_expected(struct hob_lua_mqtt_conn *conn)
{
    while (conn->expected) {
        hob_lua_future_on_end(conn->expected->future, NULL, NULL);
        forget(conn->expected);
    }
}

/* "accepted" or "rejected", NULL: it is not on one of the two topics */
static const char *ending_of(const struct hob_lua_mqtt_expected *expected, const char *topic)
{
    static const char *const endings[] = {"accepted", "rejected"};
    size_t len = expected->topic_len;
    if (strncmp(topic, expected->topic, len) != 0 || topic[len] != '/') {
        return NULL;
    }
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        if (strcmp(topic + len + 1, endings[i]) == 0) {
            return endings[i];
        }
    }
    return NULL;
}

bool hob_lua_mqtt_take_expected(struct hob_lua_mqtt_conn *conn,
                                const struct hob_mqtt_message *message)
{
    for (struct hob_lua_mqtt_expected *one = conn->expected; one; one = one->next) {
        const char *ending = ending_of(one, message->topic);
        if (ending && message->len > one->needle_len &&
            memmem(message->payload, message->len, one->needle, one->needle_len)) {
            return hob_lua_future_give(one->future, message->payload, message->len, ending);
        }
    }
    return false;
}

int hob_lua_mqtt_expect(lua_State *L)
{
    size_t topic_len, token_len;
    struct hob_lua_mqtt_conn *conn = hob_lua_mqtt_conn_at(L);
    struct hob_lua_future *future = hob_lua_future_check(L, 2);
    const char *topic = luaL_checklstring(L, 3, &topic_len);
    const char *token = luaL_checklstring(L, 4, &token_len);
    size_t needle_len = strlen(NEEDLE_BEGIN) + token_len + 1;
    struct hob_lua_mqtt_expected *expected =
        hob_calloc(1, sizeof *expected + topic_len + 1 + needle_len + 1);
    if (!expected) {
        return luaL_error(L, "out of memory");
    }
    expected->conn = conn;
    expected->future = future;
    expected->topic_len = topic_len;
    expected->needle_len = needle_len;
    expected->needle = expected->topic + topic_len + 1;
    memcpy(expected->topic, topic, topic_len);
    memcpy(expected->needle, NEEDLE_BEGIN, strlen(NEEDLE_BEGIN));
    memcpy(expected->needle + strlen(NEEDLE_BEGIN), token, token_len);
    expected->needle[needle_len - 1] = '"';
    expected->next = conn->expected;
    conn->expected = expected;
    hob_lua_future_on_end(future, forget, expected);
    return 0;
}
