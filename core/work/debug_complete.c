#include "base/alloc.h"
#include "work/debug_look_parts.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define CANDIDATES_MAX 500
#define LINKS_MAX      10    /* tables behind __index, one behind the other */
#define WALK_MAX       50000 /* members of a table that are looked at */
#define CHAIN_MAX      50

struct part { /* of the text: `job` of `job.id` */
    const char *at;
    size_t len;
};

struct completion {
    struct hob_debug_look *look;
    const struct hob_look_frame *frame;
    struct part parts[CHAIN_MAX]; /* the last one first, which is to be completed */
    size_t count;
    bool call; /* behind a colon: functions only */
    struct hob_debug_candidates *out;
};

/* ---- the text before the cursor ---- */

static bool is_letter(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static size_t word_before(const char *text, size_t end)
{
    while (end > 0 && is_letter(text[end - 1])) {
        end--;
    }
    return end;
}

/* "x = job.ar" -> "ar", "job". @return false: there is nothing that could be completed */
static bool read_chain(const char *text, size_t len, struct completion *c)
{
    size_t end = len, begin = word_before(text, len);
    c->out->from = begin;
    if (begin < end && isdigit((unsigned char)text[begin])) {
        return false;
    }
    c->parts[c->count++] = (struct part){text + begin, end - begin};
    while (begin > 0 && (text[begin - 1] == '.' || text[begin - 1] == ':')) {
        c->call = c->call || (c->count == 1 && text[begin - 1] == ':');
        end = begin - 1;
        begin = word_before(text, end);
        if (begin == end) { /* "..", or what an expression of another kind gives */
            return c->count == 1 && end > 0 && text[end - 1] == '.';
        }
        if (c->count == CHAIN_MAX || isdigit((unsigned char)text[begin])) {
            return false;
        }
        c->parts[c->count++] = (struct part){text + begin, end - begin};
    }
    return true;
}

/* ---- candidates ---- */

static void add(struct completion *c, const char *name, size_t len)
{
    const struct part *prefix = &c->parts[0];
    if (len < prefix->len || memcmp(name, prefix->at, prefix->len) != 0 ||
        !hob_look_is_name(name, len) || c->out->count == CANDIDATES_MAX) {
        return;
    }
    if (!c->out->items) {
        c->out->items = hob_calloc(CANDIDATES_MAX, sizeof *c->out->items);
    }
    char *copy = c->out->items ? hob_strndup(name, len) : NULL;
    if (copy) {
        c->out->items[c->out->count++] = copy;
    }
}

static void add_members(lua_State *L, int table, struct completion *c)
{
    size_t len;
    lua_pushnil(L);
    for (int steps = 0; lua_next(L, table); steps++) {
        bool wanted = lua_type(L, -2) == LUA_TSTRING && (!c->call || lua_isfunction(L, -1));
        lua_pop(L, 1);
        if (steps >= WALK_MAX) {
            lua_pop(L, 1);
            return;
        }
        if (wanted) {
            const char *name = lua_tolstring(L, -1, &len);
            add(c, name, len);
        }
    }
}

/* What is behind the value on top, in its place, if that is a table. */
static bool follow_index(lua_State *L)
{
    if (!lua_getmetatable(L, -1)) {
        return false;
    }
    lua_pushliteral(L, "__index");
    lua_rawget(L, -2);
    lua_replace(L, -3);
    lua_pop(L, 1);
    return lua_istable(L, -1);
}

/* Of the value on top. */
static void add_fields(lua_State *L, struct completion *c)
{
    bool more = true;
    for (int links = 0; links < LINKS_MAX && more; links++) {
        if (lua_istable(L, -1)) {
            add_members(L, lua_gettop(L), c);
        }
        more = follow_index(L);
    }
}

static void add_names(lua_State *L, struct completion *c)
{
    struct hob_look_locals locals;
    char name[64];
    const char *upvalue;
    hob_look_list_locals(c->look, L, c->frame, &locals);
    for (int i = 0; i < locals.count; i++) {
        if (hob_look_push_local(c->look, L, c->frame, locals.regs[i], name)) {
            lua_pop(L, 1);
            add(c, name, strlen(name));
        }
    }
    if (!hob_look_push_function(c->look, L, c->frame)) {
        return;
    }
    for (int i = 1; (upvalue = lua_getupvalue(L, -1, i)) != NULL; i++) {
        lua_pop(L, 1);
        add(c, upvalue, strlen(upvalue));
    }
    lua_pop(L, 1);
}

/* ---- along the chain ---- */

/* The value on top becomes its field. @return false: it has none of that name */
static bool step_into(lua_State *L, const struct part *part)
{
    bool more = true;
    for (int links = 0; links < LINKS_MAX && more; links++) {
        if (lua_istable(L, -1)) {
            lua_pushlstring(L, part->at, part->len);
            if (lua_rawget(L, -2) != LUA_TNIL) {
                lua_replace(L, -2);
                return true;
            }
            lua_pop(L, 1);
        }
        more = follow_index(L);
    }
    return false;
}

static bool push_first(lua_State *L, struct completion *c, const struct part *part)
{
    lua_pushlstring(L, part->at, part->len);
    if (c->frame && hob_look_push_name(c->look, L, c->frame, lua_tostring(L, -1))) {
        return true;
    }
    hob_look_push_globals(c->look, L, c->frame);
    return step_into(L, part);
}

static int find_candidates(lua_State *L)
{
    struct completion *c = lua_touserdata(L, 1);
    if (c->count == 1) {
        if (c->frame) {
            add_names(L, c);
        }
        hob_look_push_globals(c->look, L, c->frame);
        add_fields(L, c);
        return 0;
    }
    bool found = push_first(L, c, &c->parts[c->count - 1]);
    for (size_t i = c->count - 1; found && i > 1; i--) {
        found = step_into(L, &c->parts[i - 1]);
    }
    if (found) {
        add_fields(L, c);
    }
    return 0;
}

static int compare_texts(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void sort_candidates(struct hob_debug_candidates *out)
{
    size_t kept = 0;
    if (out->count == 0) {
        return;
    }
    qsort(out->items, out->count, sizeof *out->items, compare_texts);
    for (size_t i = 0; i < out->count; i++) {
        if (kept > 0 && strcmp(out->items[kept - 1], out->items[i]) == 0) {
            hob_free(out->items[i]);
        } else {
            out->items[kept++] = out->items[i];
        }
    }
    out->count = kept;
}

int hob_debug_look_complete(struct hob_debug_look *look, int frame, const char *text, size_t len,
                            struct hob_debug_candidates *out, struct hob_error *err)
{
    struct completion c = {.look = look, .out = out};
    if (frame) {
        c.frame = hob_look_find_frame(look, frame, err);
        if (!c.frame) {
            return HOB_ESTALE;
        }
    }
    if (!read_chain(text, len, &c)) {
        return 0;
    }
    int rc = hob_look_call(look, find_candidates, &c, err);
    sort_candidates(out);
    return rc;
}

void hob_debug_candidates_free(struct hob_debug_candidates *candidates)
{
    for (size_t i = 0; i < candidates->count; i++) {
        hob_free(candidates->items[i]);
    }
    hob_free(candidates->items);
    memset(candidates, 0, sizeof *candidates);
}
