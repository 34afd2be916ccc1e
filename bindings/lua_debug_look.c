/* lua_debug_look.c - methods of a session of hob.debug that look into a job: its stack and values,
 * expressions in the middle of it, its source. Values of a job never come into another state: what
 * is given out is how they look. */
#include "base/alloc.h"
#include "lua_debug.h"

#include "work/task.h"

#include <string.h>

#define SOURCE_MAX (2u << 20)

static void set_flag(lua_State *L, const char *name, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

/* ---- which job is meant ---- */

static struct hob_debug_look *look_of(struct hob_debug_session *session, int thread,
                                      struct hob_error *err)
{
    const struct hob_debug_target *target = hob_debug_target(session, thread, err);
    struct hob_debug_look *look = target ? hob_debug_target_look(target) : NULL;
    if (target && !look) {
        hob_error_set(err, HOB_ENOMEM, "there is no memory left to look into the job");
    }
    return look;
}

struct finding {
    int id;
    int threads[256];
    size_t count;
};

static void note_thread(void *user, const struct hob_debug_info *info)
{
    struct finding *finding = user;
    if (finding->count < sizeof finding->threads / sizeof finding->threads[0]) {
        finding->threads[finding->count++] = info->thread;
    }
}

/* A number of a frame or ref says by itself whose it is. */
static struct hob_debug_look *look_that_knows(struct hob_debug_session *session, int id,
                                              struct hob_error *err)
{
    struct finding finding = {.id = id};
    hob_debug_each_job(session, note_thread, &finding);
    for (size_t i = 0; i < finding.count; i++) {
        struct hob_debug_look *look = look_of(session, finding.threads[i], NULL);
        if (look && hob_debug_look_knows(look, id)) {
            return look;
        }
    }
    hob_error_set(err, HOB_ESTALE,
                  "the job has gone on since, or ended: ask for its stack and its values again");
    return NULL;
}

static int check_id(lua_State *L, int index)
{
    lua_Integer id = luaL_checkinteger(L, index);
    return id > 0 && id <= INT32_MAX ? (int)id : 0;
}

static size_t opt_count(lua_State *L, int index, const char *name, size_t fallback)
{
    double count = hob_lua_opt_number(L, index, name, (double)fallback);
    if (!(count >= 0 && count <= 1e12)) {
        luaL_error(L, "%s: expected a number from 0 on", name);
    }
    return (size_t)count;
}

/* The table at `index`, made if there is none. */
static void need_options(lua_State *L, int index, const char *const *known)
{
    lua_settop(L, index);
    if (lua_isnil(L, index)) {
        lua_newtable(L);
        lua_replace(L, index);
    }
    hob_lua_check_options(L, index, known);
}

/* ---- what the collector frees, if something raises on the way ---- */

struct found {
    struct hob_debug_frames frames;
    struct hob_debug_variables variables;
    struct hob_debug_candidates candidates;
    struct hob_debug_lines lines;
};

static int free_found(lua_State *L)
{
    struct found *found = lua_touserdata(L, 1);
    hob_debug_frames_free(&found->frames);
    hob_debug_variables_free(&found->variables);
    hob_debug_candidates_free(&found->candidates);
    hob_debug_lines_free(&found->lines);
    return 0;
}

static struct found *push_found(lua_State *L)
{
    struct found *found = lua_newuserdatauv(L, sizeof *found, 0);
    memset(found, 0, sizeof *found);
    if (hob_lua_new_metatable(L, "hob.debug.found")) {
        lua_pushcfunction(L, free_found);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return found;
}

/* ---- the stack ---- */

static void push_frame(lua_State *L, const struct hob_debug_frame *frame)
{
    lua_createtable(L, 0, 9);
    hob_lua_debug_set_number(L, "id", frame->id);
    hob_lua_debug_set_text(L, "name", frame->name);
    if (frame->file[0]) {
        hob_lua_debug_set_text(L, "file", frame->file);
    }
    if (frame->line > 0) {
        hob_lua_debug_set_number(L, "line", frame->line);
    }
    if (frame->defined > 0) {
        hob_lua_debug_set_number(L, "defined", frame->defined);
    }
    set_flag(L, "own", frame->own);
    hob_lua_debug_set_text(L, "kind", frame->is_c ? "C" : "Lua");
    hob_lua_debug_set_number(L, "coroutine", frame->coroutine);
}

/** stack(thread, { first =, count =, own = }) -> frames, total, cut */
static int session_stack(lua_State *L)
{
    static const char *const known[] = {"first", "count", "own", NULL};
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct hob_error err = {0};
    int thread = hob_lua_debug_thread(L, 2, false);
    need_options(L, 3, known);
    size_t first = opt_count(L, 3, "first", 0), count = opt_count(L, 3, "count", 50);
    bool own = hob_lua_opt_boolean(L, 3, "own", false);
    struct found *found = push_found(L);
    struct hob_debug_look *look = look_of(self->session, thread, &err);
    if (!look || hob_debug_look_stack(look, first, count, own, &found->frames, &err)) {
        return hob_lua_fail(L, &err);
    }
    lua_createtable(L, (int)found->frames.count, 0);
    for (size_t i = 0; i < found->frames.count; i++) {
        push_frame(L, &found->frames.items[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_pushinteger(L, (lua_Integer)found->frames.total);
    lua_pushboolean(L, found->frames.cut);
    hob_debug_frames_free(&found->frames);
    return 3;
}

/* ---- values ---- */

static void push_variable(lua_State *L, const struct hob_debug_variable *variable)
{
    lua_createtable(L, 0, 8);
    hob_lua_debug_set_text(L, "name", variable->name);
    hob_lua_debug_set_text(L, "value", variable->value);
    hob_lua_debug_set_text(L, "type", variable->type);
    hob_lua_debug_set_number(L, "ref", variable->ref);
    hob_lua_debug_set_number(L, "indexed", (lua_Integer)variable->indexed);
    hob_lua_debug_set_number(L, "named", (lua_Integer)variable->named);
    if (variable->identity[0]) {
        hob_lua_debug_set_text(L, "identity", variable->identity);
    }
    if (variable->reg > 0) {
        hob_lua_debug_set_number(L, "register", variable->reg);
    }
}

static void push_variables(lua_State *L, const struct hob_debug_variable *items, size_t count)
{
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        push_variable(L, &items[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/** scopes(frame) -> { { name = "Locals", ref =, count = }, ... } */
static int session_scopes(lua_State *L)
{
    static const char *const names[] = {"Locals", "Upvalues", "Globals"};
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct hob_error err = {0};
    struct hob_debug_scope scopes[HOB_DEBUG_SCOPES];
    int frame = check_id(L, 2);
    struct hob_debug_look *look = look_that_knows(self->session, frame, &err);
    if (!look || hob_debug_look_scopes(look, frame, scopes, &err)) {
        return hob_lua_fail(L, &err);
    }
    lua_createtable(L, HOB_DEBUG_SCOPES, 0);
    for (int i = 0; i < HOB_DEBUG_SCOPES; i++) {
        lua_createtable(L, 0, 3);
        hob_lua_debug_set_text(L, "name", names[scopes[i].kind]);
        hob_lua_debug_set_number(L, "ref", scopes[i].ref);
        hob_lua_debug_set_number(L, "count", (lua_Integer)scopes[i].count);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static enum hob_debug_filter check_filter(lua_State *L, int index)
{
    const char *filter = hob_lua_opt_string(L, index, "filter", "");
    if (strcmp(filter, "indexed") == 0) {
        return HOB_DEBUG_INDEXED;
    }
    if (strcmp(filter, "named") == 0) {
        return HOB_DEBUG_NAMED;
    }
    if (filter[0]) {
        luaL_error(L, "filter: expected 'indexed' or 'named', got '%s'", filter);
    }
    return HOB_DEBUG_ALL;
}

/** variables(ref, { first =, count =, filter = }) -> list, total, more: a table so large that not
 * all of it was looked at */
static int session_variables(lua_State *L)
{
    static const char *const known[] = {"first", "count", "filter", NULL};
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct hob_error err = {0};
    int ref = check_id(L, 2);
    need_options(L, 3, known);
    struct hob_debug_page page = {.first = opt_count(L, 3, "first", 0),
                                  .count = opt_count(L, 3, "count", 100),
                                  .filter = check_filter(L, 3)};
    struct found *found = push_found(L);
    struct hob_debug_look *look = look_that_knows(self->session, ref, &err);
    if (!look || hob_debug_look_variables(look, ref, &page, &found->variables, &err)) {
        return hob_lua_fail(L, &err);
    }
    push_variables(L, found->variables.items, found->variables.count);
    lua_pushinteger(L, (lua_Integer)found->variables.total);
    lua_pushboolean(L, found->variables.more);
    hob_debug_variables_free(&found->variables);
    return 3;
}

/* ---- expressions ---- */

struct asking {
    struct hob_task *task;
    struct hob_debug_eval *eval;
    bool is_set;
    struct hob_error err; /* its code: 0, or what failed */
    char *message;        /* in place of its own, which may be too short for a traceback */
    char *text;           /* of a single string: more of it */
    struct hob_debug_variables results;
};

static void asking_free(void *op)
{
    struct asking *asking = op;
    hob_free(asking->message);
    hob_free(asking->text);
    hob_debug_variables_free(&asking->results);
    hob_free(asking);
}

static void asking_cancel(void *op)
{
    hob_debug_eval_cancel(((struct asking *)op)->eval);
}

static int asking_push(lua_State *L, void *op)
{
    const struct asking *asking = op;
    if (asking->err.code) {
        lua_pushnil(L);
        lua_pushstring(L, asking->message ? asking->message : "out of memory");
        lua_pushstring(L, hob_error_name(asking->err.code));
        return 3;
    }
    if (asking->is_set && asking->results.count == 1) {
        push_variable(L, &asking->results.items[0]);
        return 1;
    }
    push_variables(L, asking->results.items, asking->results.count);
    if (asking->text && asking->results.count == 1) {
        lua_rawgeti(L, -1, 1);
        hob_lua_debug_set_text(L, "value", asking->text);
        lua_pop(L, 1);
    }
    return 1;
}

static void on_result(void *user, const struct hob_debug_result *result)
{
    struct asking *asking = user;
    size_t size = result->count * sizeof *result->values;
    asking->err.code = result->code;
    asking->message = result->code ? hob_strdup(result->message) : NULL;
    asking->text = result->text ? hob_strdup(result->text) : NULL;
    if (result->count) {
        asking->results.items = hob_malloc(size);
        asking->err.code = asking->results.items ? 0 : HOB_ENOMEM;
    }
    if (asking->results.items) {
        memcpy(asking->results.items, result->values, size);
        asking->results.count = result->count;
    }
    hob_task_wake(asking->task);
}

static int ask(lua_State *L, struct hob_debug_look *look,
               const struct hob_debug_eval_options *options)
{
    struct hob_error err = {0};
    struct hob_task *task = hob_task_current(L);
    struct asking *asking = hob_calloc(1, sizeof *asking);
    if (!asking) {
        return luaL_error(L, "out of memory");
    }
    asking->task = task;
    asking->is_set = options->kind == HOB_DEBUG_EVAL_SET;
    if (hob_debug_look_evaluate(look, options, on_result, asking, &asking->eval, &err)) {
        hob_free(asking);
        return hob_lua_fail(L, &err);
    }
    return hob_task_suspend(L, &(struct hob_task_wait){.name = "hob.debug.evaluate",
                                                       .push = asking_push,
                                                       .cancel = asking_cancel,
                                                       .op_free = asking_free,
                                                       .op = asking});
}

static int fail_write(lua_State *L)
{
    struct hob_error err = {0};
    hob_error_set(&err, HOB_EPERM,
                  "reading is the default: allow assignments first (`:write on` in `hob repl`, "
                  "\"write\": true for an editor)");
    return hob_lua_fail(L, &err);
}

/** evaluate(text, { thread =, frame =, write = }) -> { variable, ... } | nil, message, code. write:
 * by default what the session may */
static int session_evaluate(lua_State *L)
{
    static const char *const known[] = {"thread", "frame", "write", NULL};
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct hob_error err = {0};
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    need_options(L, 3, known);
    int frame = (int)opt_count(L, 3, "frame", 0), thread = (int)opt_count(L, 3, "thread", 0);
    luaL_argcheck(L, frame || thread, 3, "expected a thread or a frame");
    bool may = hob_debug_may_write(self->session);
    bool write = hob_lua_opt_boolean(L, 3, "write", may);
    if (write && !may) {
        return fail_write(L);
    }
    struct hob_debug_look *look =
        frame ? look_that_knows(self->session, frame, &err) : look_of(self->session, thread, &err);
    if (!look) {
        return hob_lua_fail(L, &err);
    }
    return ask(
        L, look,
        &(struct hob_debug_eval_options){.text = text, .len = len, .frame = frame, .write = write});
}

/** set(ref, name, expression) -> variable */
static int session_set(lua_State *L)
{
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct hob_error err = {0};
    size_t len;
    int ref = check_id(L, 2);
    const char *name = luaL_checkstring(L, 3), *text = luaL_checklstring(L, 4, &len);
    if (!hob_debug_may_write(self->session)) {
        return fail_write(L);
    }
    struct hob_debug_look *look = look_that_knows(self->session, ref, &err);
    if (!look) {
        return hob_lua_fail(L, &err);
    }
    return ask(L, look,
               &(struct hob_debug_eval_options){.kind = HOB_DEBUG_EVAL_SET,
                                                .text = text,
                                                .len = len,
                                                .ref = ref,
                                                .name = name,
                                                .write = true});
}

/** complete(text, { thread =, frame = }) -> { word, ... }, from: the first byte of the word */
static int session_complete(lua_State *L)
{
    static const char *const known[] = {"thread", "frame", NULL};
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct hob_error err = {0};
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    need_options(L, 3, known);
    int frame = (int)opt_count(L, 3, "frame", 0), thread = (int)opt_count(L, 3, "thread", 0);
    luaL_argcheck(L, frame || thread, 3, "expected a thread or a frame");
    struct found *found = push_found(L);
    struct hob_debug_look *look =
        frame ? look_that_knows(self->session, frame, &err) : look_of(self->session, thread, &err);
    if (!look || hob_debug_look_complete(look, frame, text, len, &found->candidates, &err)) {
        return hob_lua_fail(L, &err);
    }
    lua_createtable(L, (int)found->candidates.count, 0);
    for (size_t i = 0; i < found->candidates.count; i++) {
        lua_pushstring(L, found->candidates.items[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_pushinteger(L, (lua_Integer)found->candidates.from + 1);
    return 2;
}

/* ---- the source ---- */

/** source([thread], path) -> text, as the job was begun with it */
static int session_source(lua_State *L)
{
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct hob_error err = {0};
    int thread = hob_lua_debug_thread(L, 2, true);
    const char *path = luaL_checkstring(L, 3);
    struct hob_buf *text = hob_lua_push_buf(L, SOURCE_MAX);
    if (hob_debug_source(self->session, thread, path, text, &err)) {
        return hob_lua_fail(L, &err);
    }
    lua_pushlstring(L, hob_buf_data(text), hob_buf_len(text));
    return 1;
}

/** lines([thread], path) -> { 3, 4, 7, ... }: where code is */
static int session_lines(lua_State *L)
{
    struct hob_lua_debug *self = hob_lua_debug_check(L);
    struct hob_error err = {0};
    int thread = hob_lua_debug_thread(L, 2, true);
    const char *path = luaL_checkstring(L, 3);
    struct hob_buf *text = hob_lua_push_buf(L, SOURCE_MAX);
    struct found *found = push_found(L);
    if (hob_debug_source(self->session, thread, path, text, &err) ||
        hob_debug_lines_of(hob_buf_data(text), hob_buf_len(text), &found->lines, &err)) {
        return hob_lua_fail(L, &err);
    }
    lua_createtable(L, (int)found->lines.count, 0);
    for (size_t i = 0; i < found->lines.count; i++) {
        lua_pushinteger(L, found->lines.items[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

const luaL_Reg hob_lua_debug_look_methods[] = {{"complete", session_complete},
                                               {"evaluate", session_evaluate},
                                               {"lines", session_lines},
                                               {"scopes", session_scopes},
                                               {"set", session_set},
                                               {"source", session_source},
                                               {"stack", session_stack},
                                               {"variables", session_variables},
                                               {NULL, NULL}};
