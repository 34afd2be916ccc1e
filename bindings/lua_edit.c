/* lua_edit.c - hob.edit: lines from the terminal, with keys, history, completion. For `hob repl`.
 *
 *   open{ complete = function(editor, text) end } -> editor | nil, message, code
 *       `complete`: a task, when Tab is pressed behind `text`; it ends in candidates()
 *   editor:read(prompt) -> line | nil, message, code
 *       waits; "EOF": Ctrl-D; "ECANCELED": Ctrl-C, or interrupt()
 *   editor:print(text)     at once, above the line being typed; it ends in a newline
 *   editor:prompt(text)    another one, for the line that is being typed
 *   editor:remember(line)  for the arrow keys
 *   editor:candidates(words, from)  in place of the text's bytes from `from` on; 1 is the first
 *   editor:interrupt()
 *   editor:resize()
 *   editor:close()
 *
 * Spec: spec/integration/edit_spec.lua
 */
#include "base/alloc.h"
#include "bindings.h"

#include "base/edit.h"
#include "work/task.h"

#include <string.h>

#define NAME      "hob.edit.editor"
#define WORDS_MAX (1024 * 1024)

struct reader;

struct editor {
    struct hob_edit *edit; /* NULL once it is closed */
    struct hob_scheduler *scheduler;
    lua_State *L; /* the main thread: for the references */
    int complete, self;
    struct reader *reader;
};

struct reader {
    struct editor *editor; /* NULL: nothing of it is wanted any more */
    struct hob_task *task;
    enum hob_edit_end end;
    size_t len;
    char *line;
};

static struct editor *check(lua_State *L)
{
    struct editor *editor = luaL_checkudata(L, 1, NAME);
    if (!editor->edit) {
        luaL_error(L, "the editor is closed");
    }
    return editor;
}

static int result(lua_State *L, int rc, const char *what)
{
    struct hob_error err;
    if (rc) {
        hob_error_set(&err, rc, "%s: %s", what, hob_error_words(rc));
        return hob_lua_fail(L, &err);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- reading ---- */

static void on_line(void *user, enum hob_edit_end end, const char *line, size_t len)
{
    struct editor *editor = user;
    struct reader *reader = editor->reader;
    if (!reader) {
        return; /* its task was ended */
    }
    editor->reader = NULL;
    reader->editor = NULL;
    reader->end = end;
    reader->len = len;
    reader->line = hob_malloc(len + 1);
    if (reader->line) {
        memcpy(reader->line, line, len);
    } else {
        reader->end = HOB_EDIT_EOF;
    }
    hob_task_wake(reader->task);
}

static int push_line(lua_State *L, void *op)
{
    const struct reader *reader = op;
    if (reader->line && reader->end == HOB_EDIT_LINE) {
        lua_pushlstring(L, reader->line, reader->len);
        return 1;
    }
    bool interrupted = reader->end == HOB_EDIT_INTERRUPTED;
    lua_pushnil(L);
    lua_pushstring(L, interrupted ? "interrupted" : "the input has ended");
    lua_pushstring(L, interrupted ? hob_error_name(HOB_ECANCELED) : "EOF");
    return 3;
}

static void reader_free(void *op)
{
    struct reader *reader = op;
    if (reader->editor) {
        reader->editor->reader = NULL;
    }
    hob_free(reader->line);
    hob_free(reader);
}

static int read_line(lua_State *L)
{
    struct editor *editor = check(L);
    const char *prompt = luaL_checkstring(L, 2);
    struct hob_task *task = hob_task_current(L);
    if (editor->reader) {
        return luaL_error(L, "another task reads from this editor");
    }
    struct reader *reader = hob_calloc(1, sizeof *reader);
    if (!reader || hob_edit_read(editor->edit, prompt)) {
        hob_free(reader);
        return luaL_error(L, "out of memory");
    }
    reader->task = task;
    reader->editor = editor;
    editor->reader = reader;
    return hob_task_suspend(
        L, &(struct hob_task_wait){"hob.edit.read", push_line, NULL, reader_free, reader});
}

/* ---- completion ---- */

struct wish {
    int self;
    size_t len;
    char text[];
};

static int push_wish(lua_State *L, void *op)
{
    const struct wish *wish = op;
    lua_rawgeti(L, LUA_REGISTRYINDEX, wish->self);
    lua_pushlstring(L, wish->text, wish->len);
    return 2;
}

static void on_complete(void *user, const char *text, size_t len)
{
    struct editor *editor = user;
    struct wish *wish = hob_malloc(sizeof *wish + len);
    if (!wish || editor->complete == LUA_NOREF) {
        hob_free(wish);
        hob_edit_candidates(editor->edit, "", 0, 0);
        return;
    }
    *wish = (struct wish){.self = editor->self, .len = len};
    memcpy(wish->text, text, len);
    hob_task_call(editor->scheduler, editor->complete, push_wish, wish, hob_free);
}

static int candidates(lua_State *L)
{
    struct editor *editor = check(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Integer from = luaL_checkinteger(L, 3);
    luaL_argcheck(L, from >= 1, 3, "expected the place of a byte, from 1");
    struct hob_buf *words = hob_lua_push_buf(L, WORDS_MAX);
    lua_Integer count = luaL_len(L, 2);
    for (lua_Integer i = 1; i <= count; i++) {
        size_t len;
        lua_geti(L, 2, i);
        const char *word = luaL_checklstring(L, -1, &len);
        if (hob_buf_append(words, word, len + 1)) { /* with its NUL */
            break;                                  /* far more than anybody reads */
        }
        lua_pop(L, 1);
    }
    const char *data = hob_buf_len(words) ? hob_buf_data(words) : "";
    return result(L, hob_edit_candidates(editor->edit, data, hob_buf_len(words), (size_t)from - 1),
                  "candidates");
}

/* ---- the rest ---- */

static int print_text(lua_State *L)
{
    struct editor *editor = check(L);
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    return result(L, hob_edit_print(editor->edit, text, len), "print");
}

static int change_prompt(lua_State *L)
{
    struct editor *editor = check(L);
    return result(L, hob_edit_prompt(editor->edit, luaL_checkstring(L, 2)), "prompt");
}

static int remember_line(lua_State *L)
{
    struct editor *editor = check(L);
    return result(L, hob_edit_remember(editor->edit, luaL_checkstring(L, 2)), "remember");
}

static int interrupt(lua_State *L)
{
    hob_edit_interrupt(check(L)->edit);
    return 0;
}

static int resize(lua_State *L)
{
    hob_edit_resize(check(L)->edit);
    return 0;
}

static int close_editor(lua_State *L)
{
    struct editor *editor = luaL_checkudata(L, 1, NAME);
    if (editor->edit) {
        hob_edit_close(editor->edit);
        editor->edit = NULL;
        on_line(editor, HOB_EDIT_EOF, "", 0);
        luaL_unref(editor->L, LUA_REGISTRYINDEX, editor->complete);
        luaL_unref(editor->L, LUA_REGISTRYINDEX, editor->self);
    }
    return 0;
}

static lua_State *main_thread(lua_State *L)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua_State *main = lua_tothread(L, -1);
    lua_pop(L, 1);
    return main;
}

static int open_editor(lua_State *L)
{
    static const char *const known[] = {"complete", NULL};
    struct hob_error err;
    luaL_checktype(L, 1, LUA_TTABLE);
    hob_lua_check_options(L, 1, known);
    struct hob_loop *loop = hob_scheduler_loop(L);
    struct editor *editor = lua_newuserdatauv(L, sizeof *editor, 0);
    *editor = (struct editor){.scheduler = hob_scheduler_of(L), .L = main_thread(L)};
    luaL_setmetatable(L, NAME);
    struct hob_edit_options options = {
        .loop = loop, .on_line = on_line, .on_complete = on_complete, .user = editor};
    if (hob_edit_open(&options, &editor->edit, &err)) {
        return hob_lua_fail(L, &err);
    }
    editor->complete = hob_lua_opt_function(L, 1, "complete");
    lua_pushvalue(L, -1);
    editor->self = luaL_ref(L, LUA_REGISTRYINDEX); /* until it is closed */
    return 1;
}

static const luaL_Reg functions[] = {{"open", open_editor}, {NULL, NULL}};
static const luaL_Reg meta[] = {
    {"__gc", close_editor}, {"__close", close_editor}, {"__index", NULL}, {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"read", read_line},         {"print", print_text},      {"prompt", change_prompt},
    {"remember", remember_line}, {"candidates", candidates}, {"interrupt", interrupt},
    {"resize", resize},          {"close", close_editor},    {NULL, NULL}};

int hob_lua_open_edit(lua_State *L)
{
    hob_lua_new_metatable(L, NAME);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
