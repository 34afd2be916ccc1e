/* hob_units.protocol: core/jobs/protocol for specs. Failures are nil, message, "CODE". */
#include "units.h"

#include "jobs/detail.h"
#include "jobs/protocol.h"

#include <string.h>

static const char *const op_names[] = {"get", "start-next", "describe", "update", NULL};
static const char *const kind_names[] = {"foreign", "accepted", "rejected", "notify",
                                         "notify-next"};

static int fail(lua_State *L, int code, const char *message)
{
    lua_pushnil(L);
    lua_pushstring(L, message);
    lua_pushstring(L, hob_error_name(code));
    return 3;
}

static int topic_request(lua_State *L)
{
    char topic[HOB_JOBS_TOPIC_MAX];
    enum hob_jobs_op op = (enum hob_jobs_op)luaL_checkoption(L, 2, NULL, op_names);
    int rc = hob_jobs_topic_request(topic, luaL_checkstring(L, 1), op, luaL_optstring(L, 3, NULL));
    if (rc < 0)
        return fail(L, rc, "");
    lua_pushstring(L, topic);
    return 1;
}

static int topic_parse(lua_State *L)
{
    struct hob_jobs_topic topic =
        hob_jobs_topic_parse(luaL_checkstring(L, 1), luaL_checkstring(L, 2));
    lua_newtable(L);
    lua_pushstring(L, kind_names[topic.kind]);
    lua_setfield(L, -2, "kind");
    if (topic.kind != HOB_JOBS_ACCEPTED && topic.kind != HOB_JOBS_REJECTION)
        return 1;
    lua_pushstring(L, op_names[topic.op]);
    lua_setfield(L, -2, "op");
    lua_pushstring(L, topic.job_id);
    lua_setfield(L, -2, "job_id");
    return 1;
}

static int filter(lua_State *L)
{
    char text[HOB_JOBS_TOPIC_MAX];
    bool is_event = false;
    int rc =
        hob_jobs_filter(text, luaL_checkstring(L, 1), (size_t)luaL_checkinteger(L, 2), &is_event);
    if (rc < 0)
        return fail(L, rc, "");
    lua_pushstring(L, text);
    lua_pushboolean(L, is_event);
    return 2;
}

static int push_encoded(lua_State *L, struct hob_buf *buf, int rc, const struct hob_error *err)
{
    if (rc == 0)
        lua_pushlstring(L, hob_buf_data(buf), hob_buf_len(buf));
    hob_buf_free(buf);
    return rc < 0 ? fail(L, rc, err->message) : 1;
}

static int64_t member(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    int64_t value = luaL_optinteger(L, -1, 0);
    lua_pop(L, 1);
    return value;
}

static int encode_update(lua_State *L)
{
    struct hob_buf buf;
    struct hob_error err;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 3);
    struct hob_jobs_update update = {
        .expected_version = member(L, "expected_version"),
        .execution_number = member(L, "execution_number"),
        .step_timeout_minutes = (int)member(L, "step_timeout_minutes"),
        .include_state = member(L, "include_state") != 0,
        .include_document = member(L, "include_document") != 0,
    };
    lua_getfield(L, 1, "job_id");
    lua_getfield(L, 1, "status");
    lua_getfield(L, 1, "details");
    update.job_id = lua_tostring(L, -3);
    update.status = hob_jobs_status_parse(lua_tostring(L, -2));
    update.details = lua_tostring(L, -1);
    hob_buf_init(&buf, (size_t)luaL_optinteger(L, 3, 128 * 1024));
    int rc = hob_jobs_encode_update(&buf, &update, luaL_optstring(L, 2, NULL), &err);
    return push_encoded(L, &buf, rc, &err);
}

static int encode_describe(lua_State *L)
{
    struct hob_buf buf;
    struct hob_error err;
    hob_buf_init(&buf, 1024);
    int rc = hob_jobs_encode_describe(&buf, luaL_checkinteger(L, 1), lua_toboolean(L, 2),
                                      luaL_optstring(L, 3, NULL), &err);
    return push_encoded(L, &buf, rc, &err);
}

static int encode_start_next(lua_State *L)
{
    struct hob_buf buf;
    struct hob_error err;
    hob_buf_init(&buf, 1024);
    int rc =
        hob_jobs_encode_start_next(&buf, luaL_optstring(L, 1, NULL), (int)luaL_optinteger(L, 2, 0),
                                   luaL_optstring(L, 3, NULL), &err);
    return push_encoded(L, &buf, rc, &err);
}

static int encode_get(lua_State *L)
{
    struct hob_buf buf;
    struct hob_error err;
    hob_buf_init(&buf, 1024);
    int rc = hob_jobs_encode_get(&buf, luaL_optstring(L, 1, NULL), &err);
    return push_encoded(L, &buf, rc, &err);
}

static void set_integer(lua_State *L, const char *name, int64_t value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

static void set_string(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

static void set_bytes(lua_State *L, const char *name, const char *bytes, size_t len)
{
    if (bytes)
        lua_pushlstring(L, bytes, len);
    else
        lua_pushnil(L);
    lua_setfield(L, -2, name);
}

static void push_execution(lua_State *L, const struct hob_jobs_execution *execution)
{
    lua_newtable(L);
    lua_pushboolean(L, execution->present);
    lua_setfield(L, -2, "present");
    set_string(L, "job_id", execution->job_id);
    set_string(L, "status", hob_jobs_status_name(execution->status));
    set_integer(L, "execution_number", execution->execution_number);
    set_integer(L, "version_number", execution->version_number);
    set_integer(L, "queued_at", execution->queued_at);
    set_integer(L, "started_at", execution->started_at);
    set_integer(L, "last_updated_at", execution->last_updated_at);
    set_integer(L, "seconds_before_timeout", execution->seconds_before_timeout);
    set_bytes(L, "document", execution->document, execution->document_len);
    set_bytes(L, "details", execution->details, execution->details_len);
}

static void push_answer(lua_State *L, const struct hob_jobs_answer *answer)
{
    lua_newtable(L);
    set_string(L, "token", answer->token);
    set_integer(L, "timestamp", answer->timestamp);
    set_string(L, "code", hob_jobs_code_name(answer->code));
    set_string(L, "code_text", answer->code_text);
    set_string(L, "message", answer->message);
    push_execution(L, &answer->execution);
    lua_setfield(L, -2, "execution");
    if (answer->state.present) {
        lua_newtable(L);
        set_string(L, "status", hob_jobs_status_name(answer->state.status));
        set_integer(L, "version_number", answer->state.version_number);
        lua_setfield(L, -2, "state");
    }
    lua_newtable(L);
    for (size_t i = 0; i < answer->pending_count; i++) {
        push_execution(L, &answer->pending[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "pending");
}

static int decode(lua_State *L)
{
    size_t len;
    struct hob_json *json;
    struct hob_error err;
    struct hob_jobs_answer *answer = lua_newuserdatauv(L, sizeof(*answer), 0);
    struct hob_jobs_topic topic =
        hob_jobs_topic_parse(luaL_checkstring(L, 1), luaL_checkstring(L, 2));
    const char *payload = luaL_checklstring(L, 3, &len);
    luaL_argcheck(L, topic.kind != HOB_JOBS_FOREIGN, 1, "not a topic of this thing");
    if (hob_json_new(&json, &err) < 0)
        return fail(L, err.code, err.message);
    int rc = hob_jobs_decode(json, &topic, payload, len, answer, &err);
    if (rc == 0)
        push_answer(L, answer);
    hob_json_free(json);
    return rc < 0 ? fail(L, rc, err.message) : 1;
}

static int detail_fit(lua_State *L)
{
    size_t len;
    struct hob_buf buf;
    const char *value = luaL_checklstring(L, 1, &len);
    hob_buf_init(&buf, 8192);
    int rc = hob_jobs_detail_fit(&buf, value, len, lua_toboolean(L, 2));
    return push_encoded(L, &buf, rc, &(struct hob_error){.message = ""});
}

/** ({{key=, value=, keep_tail=}, ...}, limit) -> text, dropped */
static int details_fit(lua_State *L)
{
    struct hob_jobs_detail details[32] = {0};
    struct hob_buf buf;
    size_t count = lua_rawlen(L, 1), room = (size_t)luaL_optinteger(L, 2, 128 * 1024);
    luaL_argcheck(L, count <= 32, 1, "at most 32");
    luaL_checkstack(L, 128, NULL);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, 1, (lua_Integer)i + 1);
        lua_getfield(L, -1, "key"); /* all stay on the stack, which holds the strings */
        lua_getfield(L, -2, "value");
        lua_getfield(L, -3, "keep_tail");
        details[i].key = lua_tostring(L, -3);
        details[i].value = lua_tolstring(L, -2, &details[i].len);
        details[i].keep_tail = lua_toboolean(L, -1);
    }
    hob_buf_init(&buf, room);
    hob_buf_append_string(&buf, "before:");
    int rc = hob_jobs_details_fit(&buf, details, count);
    lua_pushlstring(L, hob_buf_data(&buf), hob_buf_len(&buf));
    hob_buf_free(&buf);
    lua_pushinteger(L, rc);
    return 2;
}

static int key_valid(lua_State *L)
{
    size_t len;
    const char *key = luaL_checklstring(L, 1, &len);
    lua_pushboolean(L, hob_jobs_detail_key_valid(key, len));
    return 1;
}

static int id_valid(lua_State *L)
{
    lua_pushboolean(L, hob_jobs_id_valid(luaL_optstring(L, 1, NULL)));
    return 1;
}

static int thing_valid(lua_State *L)
{
    lua_pushboolean(L, hob_jobs_thing_valid(luaL_optstring(L, 1, NULL)));
    return 1;
}

/** name -> the same name, or "" if it is no status; whether it is terminal */
static int status(lua_State *L)
{
    enum hob_jobs_status value = hob_jobs_status_parse(luaL_optstring(L, 1, NULL));
    lua_pushstring(L, hob_jobs_status_name(value));
    lua_pushboolean(L, hob_jobs_status_terminal(value));
    return 2;
}

/** name -> the same name, or "" if it is no code; whether a further try can help */
static int code(lua_State *L)
{
    enum hob_jobs_code value = hob_jobs_code_parse(luaL_optstring(L, 1, NULL));
    lua_pushstring(L, hob_jobs_code_name(value));
    lua_pushboolean(L, hob_jobs_code_retryable(value));
    return 2;
}

int hob_units_open_jobs(lua_State *L)
{
    static const luaL_Reg functions[] = {{"topic_request", topic_request},
                                         {"topic_parse", topic_parse},
                                         {"filter", filter},
                                         {"encode_update", encode_update},
                                         {"encode_describe", encode_describe},
                                         {"encode_start_next", encode_start_next},
                                         {"encode_get", encode_get},
                                         {"decode", decode},
                                         {"detail_fit", detail_fit},
                                         {"details_fit", details_fit},
                                         {"key_valid", key_valid},
                                         {"id_valid", id_valid},
                                         {"thing_valid", thing_valid},
                                         {"status", status},
                                         {"code", code},
                                         {NULL, NULL}};
    lua_newtable(L);
    luaL_newlib(L, functions);
    lua_setfield(L, -2, "protocol");
    return 1;
}
