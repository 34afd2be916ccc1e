#include "base/alloc.h"
#include "work/debug_look_parts.h"

#include <stdio.h>
#include <string.h>

#define RESULTS_MAX 100
#define WALL_MS     10000   /* it shares the processor with everybody */
#define ENDED       "debug" /* the engine error of one that is not wanted any more */
#define TRACE_MAX   20

static const char refused[] = "nothing was changed: this session only looks "
                              "(`:write on` allows assignments; a watch never makes any)";

/* A userdata of the target's state, which keeps it while its task is there. */
struct hob_debug_eval {
    struct hob_debug_look *look; /* NULL: gone */
    struct hob_debug_eval *next;
    struct hob_task *task;
    struct hob_timer *timer;
    int self; /* registry reference */
    enum hob_debug_eval_kind kind;
    int frame;
    bool write;
    struct hob_look_ref ref;
    char name[HOB_DEBUG_NAME_MAX];
    hob_debug_eval_fn *done;
    void *user;
    /* What came of it. */
    int code;
    char *message, *text;
    struct hob_debug_variable *values;
    size_t count;
    bool truth;
};

/* ---- the names in an expression ---- */

/* Upvalues: the box with the look, the frame's id, its globals, whether writing is allowed. What an
 * expression leaves behind (a function that is kept in a table) still finds the globals. */
static const struct hob_look_frame *frame_of_env(lua_State *L, struct hob_debug_look **look)
{
    *look = *(void **)lua_touserdata(L, lua_upvalueindex(1));
    int id = (int)lua_tointeger(L, lua_upvalueindex(2));
    return *look && id ? hob_look_find_frame(*look, id, NULL) : NULL;
}

static int env_index(lua_State *L)
{
    struct hob_debug_look *look;
    const struct hob_look_frame *frame = frame_of_env(L, &look);
    if (frame && lua_type(L, 2) == LUA_TSTRING &&
        hob_look_push_name(look, L, frame, lua_tostring(L, 2))) {
        return 1;
    }
    lua_settop(L, 2);
    lua_gettable(L, lua_upvalueindex(3));
    return 1;
}

static int env_newindex(lua_State *L)
{
    struct hob_debug_look *look;
    if (!lua_toboolean(L, lua_upvalueindex(4))) {
        return luaL_error(L, "%s", refused);
    }
    const struct hob_look_frame *frame = frame_of_env(L, &look);
    lua_pushvalue(L, 3);
    if (frame && lua_type(L, 2) == LUA_TSTRING &&
        hob_look_set_name(look, L, frame, lua_tostring(L, 2))) {
        return 0;
    }
    lua_settop(L, 3);
    lua_settable(L, lua_upvalueindex(3));
    return 0;
}

static void push_box(struct hob_debug_look *look, lua_State *L)
{
    if (look->box == LUA_NOREF) {
        look->boxed = lua_newuserdatauv(L, sizeof *look->boxed, 0);
        *look->boxed = NULL;
        look->box = luaL_ref(L, LUA_REGISTRYINDEX);
        *look->boxed = look;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, look->box);
}

static void push_env_function(lua_State *L, lua_CFunction fn, int first)
{
    for (int i = 0; i < 4; i++) {
        lua_pushvalue(L, first + i);
    }
    lua_pushcclosure(L, fn, 4);
}

static void push_env(struct hob_debug_look *look, lua_State *L, const struct hob_look_frame *frame,
                     bool write)
{
    int first = lua_gettop(L) + 1;
    push_box(look, L);
    lua_pushinteger(L, frame ? frame->id : 0);
    hob_look_push_globals(look, L, frame);
    lua_pushboolean(L, write);
    lua_newtable(L);
    lua_createtable(L, 0, 3);
    push_env_function(L, env_index, first);
    lua_setfield(L, -2, "__index");
    push_env_function(L, env_newindex, first);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_replace(L, first);
    lua_settop(L, first);
}

/* ---- at work ---- */

/* Of the expression alone: where it stands among Hob's own calls, which have no names, interests
 * nobody. */
static void add_trace(lua_State *L, luaL_Buffer *out)
{
    lua_Debug ar;
    char line[LUA_IDSIZE + 120];
    for (int level = 1; level < TRACE_MAX && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Snl", &ar);
        bool is_base = strcmp(ar.source, HOB_LOOK_CHUNK) == 0 && strcmp(ar.what, "main") == 0;
        if ((!ar.name && !is_base) || hob_scheduler_is_own(hob_scheduler_of(L), ar.source)) {
            continue;
        }
        int n = snprintf(line, sizeof line, "\n\t%s:", ar.short_src);
        n += ar.currentline > 0 ? snprintf(line + n, sizeof line - (size_t)n, "%d:", ar.currentline)
                                : 0;
        snprintf(line + n, sizeof line - (size_t)n, " in %s%.80s", is_base ? "" : "function ",
                 is_base ? "the expression" : ar.name);
        luaL_addstring(out, line);
    }
}

static int add_traceback(lua_State *L)
{
    luaL_Buffer out;
    if (hob_task_is_token(L, 1)) {
        return 1;
    }
    hob_task_add_message(L);
    size_t len;
    const char *message = lua_tolstring(L, -1, &len);
    luaL_buffinit(L, &out);
    luaL_addlstring(&out, message, len < HOB_LOOK_TEXT_MAX ? len : HOB_LOOK_TEXT_MAX);
    add_trace(L, &out);
    luaL_pushresult(&out);
    return 1;
}

/* Of a log point: a string is itself, all else as it is shown. */
static void add_value(lua_State *L, int index, const struct hob_debug_variable *value,
                      struct hob_buf *out)
{
    size_t len;
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &len) : NULL;
    if (!text) {
        text = value->value;
        len = strlen(text);
    }
    size_t room = hob_buf_room(out);
    hob_buf_append(out, text, len < room ? len : room);
}

static void take_text(lua_State *L, struct hob_debug_eval *eval, int first)
{
    struct hob_buf line;
    hob_buf_init(&line, HOB_LOOK_TEXT_MAX);
    for (size_t i = 0; i < eval->count; i++) {
        add_value(L, first + (int)i, &eval->values[i], &line);
    }
    const char *text = hob_buf_string(&line);
    eval->text = hob_strdup(text ? text : "");
    hob_buf_free(&line);
}

static void take_values(lua_State *L, struct hob_debug_eval *eval, int first)
{
    int count = lua_gettop(L) - first + 1;
    /* A log point's text is in as many pieces as it has. */
    int most = eval->kind == HOB_DEBUG_EVAL_LOG ? count : RESULTS_MAX;
    count = count < most ? count : most;
    eval->values = hob_calloc(count > 0 ? (size_t)count : 1, sizeof *eval->values);
    if (!eval->values) {
        eval->code = HOB_ENOMEM;
        return;
    }
    eval->truth = count > 0 && lua_toboolean(L, first);
    for (int i = 0; i < count; i++) {
        memcpy(eval->values[i].name, eval->name, sizeof eval->name);
        hob_look_describe(eval->look, L, first + i, eval->frame, &eval->values[i]);
        eval->count++;
    }
    if (eval->kind == HOB_DEBUG_EVAL_LOG) {
        take_text(L, eval, first);
    } else if (eval->count == 1) {
        eval->text = hob_look_long_string(L, first);
    }
}

static void set_message(struct hob_debug_eval *eval, int code, const char *message)
{
    eval->code = code;
    hob_free(eval->message);
    eval->message = hob_strdup(message);
}

static void set_value(lua_State *L, struct hob_debug_eval *eval, int first)
{
    struct hob_error err = {0};
    lua_settop(L, first); /* one value, nil if there is none */
    int rc = hob_look_set_member(eval->look, L, &eval->ref, eval->name, &err);
    if (rc) {
        set_message(eval, rc, err.message);
    }
}

/* Stack: the eval, the message handler, then results or one error. */
static int expression_ended(lua_State *L, int status, lua_KContext context)
{
    struct hob_debug_eval *eval = lua_touserdata(L, 1);
    const int first = 3;
    if (status != LUA_OK && status != LUA_YIELD) {
        hob_task_let_through(L, status, false);
        const char *message = lua_tostring(L, -1);
        set_message(eval, HOB_EHANDLER, message ? message : "an error without a message");
        return 0;
    }
    hob_task_check(L);
    if (!eval->look) {
        return 0;
    }
    hob_look_refresh(eval->look); /* may end it, if the job has gone on */
    hob_task_check(L);
    if (eval->kind == HOB_DEBUG_EVAL_SET) {
        set_value(L, eval, first);
    }
    if (eval->code == 0) {
        take_values(L, eval, first);
    }
    return 0;
}

static int run_expression(lua_State *L)
{
    int status = lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 2, 0, expression_ended);
    return expression_ended(L, status, 0);
}

/* ---- its end ---- */

static void unlink_eval(struct hob_debug_eval *eval)
{
    struct hob_debug_eval **at = eval->look ? &eval->look->evals : NULL;
    while (at && *at && *at != eval) {
        at = &(*at)->next;
    }
    if (at && *at) {
        *at = eval->next;
    }
}

static int free_eval(lua_State *L)
{
    struct hob_debug_eval *eval = lua_touserdata(L, 1);
    hob_timer_close(eval->timer);
    hob_free(eval->message);
    hob_free(eval->text);
    hob_free(eval->values);
    memset(eval, 0, sizeof *eval);
    return 0;
}

static void take_engine_error(struct hob_debug_eval *eval, const char *kind, const char *message)
{
    char words[HOB_TASK_MESSAGE_MAX + 64];
    if (strcmp(kind, ENDED) == 0) {
        set_message(eval, HOB_ESTALE, message);
    } else if (strcmp(kind, "memory") == 0) {
        set_message(eval, HOB_ENOMEM, message);
    } else if (strcmp(kind, "limit") == 0) {
        set_message(eval, HOB_ETIMEDOUT, message);
    } else {
        snprintf(words, sizeof words, "an expression cannot end the job (%s: %s)", kind, message);
        set_message(eval, HOB_EPERM, words);
    }
}

static void tell(struct hob_debug_eval *eval)
{
    hob_debug_eval_fn *done = eval->done;
    eval->done = NULL;
    if (!done) {
        return;
    }
    struct hob_debug_variable *values = eval->values;
    char *message = eval->message, *text = eval->text;
    struct hob_debug_result result = {.code = eval->code,
                                      .message = message ? message : "out of memory",
                                      .values = eval->code ? NULL : values,
                                      .count = eval->code ? 0 : eval->count,
                                      .truth = eval->truth,
                                      .text = text};
    eval->values = NULL;
    eval->message = eval->text = NULL; /* `done` may be the end of everything */
    done(eval->user, &result);
    hob_free(values);
    hob_free(message);
    hob_free(text);
}

static void on_ended(void *user, lua_State *L, int status, int results)
{
    struct hob_debug_eval *eval = user;
    struct hob_scheduler *scheduler = hob_scheduler_of(L);
    const char *message = NULL;
    const char *kind = hob_task_engine_error(scheduler, &message);
    if (kind) {
        take_engine_error(eval, kind, message);
    } else if (status != LUA_OK) {
        const char *why = lua_tostring(L, -1);
        set_message(eval, HOB_EHANDLER, why ? why : "an error without a message");
    }
    unlink_eval(eval);
    eval->task = NULL;
    hob_timer_close(eval->timer);
    eval->timer = NULL;
    luaL_unref(scheduler->L, LUA_REGISTRYINDEX, eval->self);
    tell(eval);
}

static void on_wall(void *user)
{
    struct hob_debug_eval *eval = user;
    char words[80];
    snprintf(words, sizeof words, "the expression took more than %d s", WALL_MS / 1000);
    hob_task_cancel(eval->task, "limit", words);
}

/* Its task is still to be unwound: on_ended comes, and tells nobody. */
static void abandon(struct hob_debug_eval *eval)
{
    eval->done = NULL;
    if (eval->task) {
        hob_task_cancel(eval->task, ENDED, "it is not wanted any more");
    }
}

void hob_debug_eval_cancel(struct hob_debug_eval *eval)
{
    abandon(eval);
}

void hob_look_end_evals(struct hob_debug_look *look, bool all)
{
    struct hob_debug_eval *next;
    for (struct hob_debug_eval *eval = look->evals; eval; eval = next) {
        next = eval->next;
        if (all) {
            unlink_eval(eval);
            eval->look = NULL;
            set_message(eval, HOB_ECANCELED, "the job has ended");
            tell(eval);
            abandon(eval);
        } else if (eval->frame && eval->task) {
            hob_task_cancel(eval->task, ENDED, "the job has gone on meanwhile");
        }
    }
}

/* ---- its beginning ---- */

struct start {
    struct hob_debug_look *look;
    const struct hob_debug_eval_options *options;
    const struct hob_look_frame *frame;
    struct hob_look_ref ref; /* of HOB_DEBUG_EVAL_SET */
    hob_debug_eval_fn *done;
    void *user;
    struct hob_debug_eval *eval;
    int rc;
    struct hob_error *err;
};

static struct hob_debug_eval *push_eval(lua_State *L, const struct start *start)
{
    struct hob_debug_eval *eval = lua_newuserdatauv(L, sizeof *eval, 0);
    *eval = (struct hob_debug_eval){.look = start->look,
                                    .self = LUA_NOREF,
                                    .kind = start->options->kind,
                                    .frame = start->frame ? start->frame->id : 0,
                                    .write = start->options->write,
                                    .done = start->done,
                                    .user = start->user};
    if (start->options->kind == HOB_DEBUG_EVAL_SET) {
        eval->ref = start->ref;
        snprintf(eval->name, sizeof eval->name, "%s", start->options->name);
    }
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, free_eval);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    return eval;
}

static int push_varargs(struct hob_debug_look *look, lua_State *L,
                        const struct hob_look_frame *frame)
{
    struct hob_look_locals locals;
    char name[64];
    int pushed = 0;
    if (!frame || !frame->co) {
        return 0;
    }
    hob_look_list_locals(look, L, frame, &locals);
    for (int n = 1; n <= locals.varargs && lua_checkstack(L, LUA_MINSTACK); n++) {
        pushed += hob_look_push_local(look, L, frame, -n, name) ? 1 : 0;
    }
    return pushed;
}

static int check_write(lua_State *L, const struct hob_debug_eval_options *options,
                       struct hob_error *err)
{
    if (options->write) {
        return 0;
    }
    return hob_look_find_assignment(L) ? hob_error_set(err, HOB_EPERM, "%s", refused) : 0;
}

static int start_expression(lua_State *L)
{
    struct start *start = lua_touserdata(L, 1);
    const struct hob_debug_eval_options *options = start->options;
    struct hob_debug_look *look = start->look;
    start->rc = hob_look_compile(L, options->kind, options->text, options->len, start->err);
    start->rc = start->rc ? start->rc : check_write(L, options, start->err);
    if (start->rc) {
        return 0;
    }
    int chunk = lua_gettop(L);
    push_env(look, L, start->frame, options->write);
    lua_setupvalue(L, chunk, 1);
    lua_pushcfunction(L, run_expression);
    struct hob_debug_eval *eval = push_eval(L, start);
    lua_pushvalue(L, -1);
    eval->self = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushcfunction(L, add_traceback);
    lua_pushvalue(L, chunk);
    int nargs = 3 + push_varargs(look, L, start->frame);
    eval->task = hob_task_start_aside(L, nargs, on_ended, eval);
    if (!eval->task) {
        luaL_unref(L, LUA_REGISTRYINDEX, eval->self);
        start->rc = hob_error_set(start->err, HOB_ENOMEM, "out of memory");
        return 0;
    }
    eval->next = look->evals;
    look->evals = eval;
    start->eval = eval;
    eval->timer = hob_timer_new(look->scheduler->loop, on_wall, eval);
    if (eval->timer) {
        hob_timer_start(eval->timer, WALL_MS);
    }
    return 0;
}

static int find_frame(struct start *start)
{
    bool is_set = start->options->kind == HOB_DEBUG_EVAL_SET;
    int id = is_set ? start->ref.frame : start->options->frame;
    if (id == HOB_DEBUG_INNERMOST) {
        int rc = hob_look_list_frames(start->look, start->err);
        start->frame = rc ? NULL : hob_look_innermost(start->look);
        return rc;
    }
    start->frame = id ? hob_look_find_frame(start->look, id, start->err) : NULL;
    return id && !start->frame ? HOB_ESTALE : 0;
}

static int find_ref(struct start *start)
{
    if (start->options->kind != HOB_DEBUG_EVAL_SET) {
        return 0;
    }
    if (!start->options->write) {
        return hob_error_set(start->err, HOB_EPERM, "%s", refused);
    }
    const struct hob_look_ref *known =
        hob_look_find_ref(start->look, start->options->ref, start->err);
    if (known) {
        start->ref = *known;
    }
    return known ? 0 : HOB_ESTALE;
}

static int begin(struct start *start)
{
    int rc = find_ref(start);
    rc = rc ? rc : hob_look_check_room(start->look, start->err);
    rc = rc ? rc : find_frame(start);
    rc = rc ? rc : hob_look_call(start->look, start_expression, start, start->err);
    return rc ? rc : start->rc;
}

int hob_debug_look_evaluate(struct hob_debug_look *look,
                            const struct hob_debug_eval_options *options, hob_debug_eval_fn *done,
                            void *user, struct hob_debug_eval **out, struct hob_error *err)
{
    struct start start = {.look = look, .options = options, .done = done, .user = user, .err = err};
    int rc = begin(&start);
    if (rc == 0 && out) {
        *out = start.eval;
    }
    return rc;
}
