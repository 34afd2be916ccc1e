#include "base/alloc.h"
#include "work/debug_look_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WALK_MAX  200000 /* members of a table that are walked over in one call */
#define NAMED_MAX 20000  /* and those that are sorted */

/* ---- walking through a table ---- */

bool hob_look_is_indexed(lua_State *L, int index, lua_Integer border)
{
    if (!lua_isinteger(L, index)) {
        return false;
    }
    lua_Integer key = lua_tointeger(L, index);
    return key >= 1 && key <= border;
}

/* What Lua keeps as a list it gives out in order, before all else: where the last two of `border`
 * come one after the other, what is left comes behind them. */
void hob_look_push_start(lua_State *L, int index, lua_Integer border)
{
    if (border < 3) {
        lua_pushnil(L);
        return;
    }
    bool is_key = lua_rawgeti(L, index, border - 1) != LUA_TNIL; /* there may be gaps below */
    lua_pop(L, 1);
    if (!is_key) {
        lua_pushnil(L);
        return;
    }
    lua_pushinteger(L, border - 1);
    if (!lua_next(L, index)) {
        lua_pushnil(L);
        return;
    }
    lua_pop(L, 1);
    bool in_order = lua_isinteger(L, -1) && lua_tointeger(L, -1) == border;
    if (!in_order) {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
}

/* ---- what there is, sorted ---- */

enum rank { RANK_STRING, RANK_INTEGER, RANK_NUMBER, RANK_OTHER };

struct key {
    uint32_t seq; /* which it was in the walk */
    enum rank rank;
    size_t len;
    union {
        const char *text; /* the table's own, which does not change meanwhile */
        lua_Integer integer;
        lua_Number number;
    } is;
};

struct listing {
    struct hob_debug_look *look;
    const struct hob_look_ref *ref;
    const struct hob_debug_page *page;
    struct hob_debug_variables *out;
    struct key *keys;
    uint32_t *places; /* of the seq of each: where it is in the page, from 1; 0: it is not */
    size_t named;
    int rc;
    struct hob_error *err;
};

static int compare_keys(const void *left, const void *right)
{
    const struct key *a = left, *b = right;
    int order = 0;
    if (a->rank != b->rank) {
        return a->rank < b->rank ? -1 : 1;
    }
    if (a->rank == RANK_STRING) {
        order = memcmp(a->is.text, b->is.text, a->len < b->len ? a->len : b->len);
        order = order ? order : (a->len > b->len) - (a->len < b->len);
    } else if (a->rank == RANK_INTEGER) {
        order = (a->is.integer > b->is.integer) - (a->is.integer < b->is.integer);
    } else if (a->rank == RANK_NUMBER) {
        order = (a->is.number > b->is.number) - (a->is.number < b->is.number);
    }
    return order ? order : (a->seq > b->seq) - (a->seq < b->seq);
}

static void read_key(lua_State *L, int index, struct key *key)
{
    if (lua_type(L, index) == LUA_TSTRING) {
        key->rank = RANK_STRING;
        key->is.text = lua_tolstring(L, index, &key->len);
    } else if (lua_isinteger(L, index)) {
        key->rank = RANK_INTEGER;
        key->is.integer = lua_tointeger(L, index);
    } else if (lua_type(L, index) == LUA_TNUMBER) {
        key->rank = RANK_NUMBER;
        key->is.number = lua_tonumber(L, index);
    } else {
        key->rank = RANK_OTHER;
    }
}

static void collect(lua_State *L, int table, lua_Integer border, struct listing *list)
{
    hob_look_push_start(L, table, border);
    for (int steps = 0; lua_next(L, table); steps++) {
        lua_pop(L, 1);
        if (steps >= WALK_MAX || list->named >= NAMED_MAX) {
            lua_pop(L, 1);
            list->out->more = true;
            return;
        }
        if (!hob_look_is_indexed(L, -1, border)) {
            struct key *key = &list->keys[list->named];
            memset(key, 0, sizeof *key);
            key->seq = (uint32_t)list->named++;
            read_key(L, -1, key);
        }
    }
}

/* ---- the page ---- */

static struct hob_debug_variable *item_at(struct listing *list, size_t position)
{
    size_t first = list->page->first;
    bool in_page = position >= first && position - first < list->page->count;
    if (in_page && position - first >= list->out->count) {
        list->out->count = position - first + 1;
    }
    return in_page ? &list->out->items[position - first] : NULL;
}

static void fill_item(lua_State *L, struct listing *list, struct hob_debug_variable *item)
{
    hob_look_describe(list->look, L, -1, list->ref->frame, item);
}

static void list_indexed(lua_State *L, int table, lua_Integer border, struct listing *list)
{
    size_t first = list->page->first, end = first + list->page->count;
    for (size_t at = first; at < end && at < (size_t)border; at++) {
        struct hob_debug_variable *item = item_at(list, at);
        lua_pushinteger(L, (lua_Integer)at + 1);
        hob_look_name_key(L, -1, item->name);
        lua_rawgeti(L, table, (lua_Integer)at + 1);
        fill_item(L, list, item);
        lua_pop(L, 2);
    }
}

/* A second walk, in the same order: the keys themselves were not kept. */
static void fill_named(lua_State *L, int table, lua_Integer border, struct listing *list,
                       size_t before)
{
    uint32_t seq = 0;
    hob_look_push_start(L, table, border);
    while (seq < list->named && lua_next(L, table)) {
        if (!hob_look_is_indexed(L, -2, border)) {
            uint32_t place = list->places[seq++];
            struct hob_debug_variable *item = place ? item_at(list, before + place - 1) : NULL;
            if (item) {
                hob_look_name_key(L, -2, item->name);
                fill_item(L, list, item);
            }
        }
        lua_pop(L, 1);
    }
}

static void list_named(lua_State *L, int table, lua_Integer border, struct listing *list,
                       size_t before)
{
    qsort(list->keys, list->named, sizeof *list->keys, compare_keys);
    for (size_t i = 0; i < list->named; i++) {
        bool wanted =
            before + i >= list->page->first && before + i - list->page->first < list->page->count;
        list->places[list->keys[i].seq] = wanted ? (uint32_t)i + 1 : 0;
    }
    fill_named(L, table, border, list, before);
}

static void list_metatable(lua_State *L, int index, struct listing *list, size_t position)
{
    if (!lua_getmetatable(L, index)) {
        return;
    }
    list->out->total++;
    struct hob_debug_variable *item = item_at(list, position);
    if (item) {
        snprintf(item->name, sizeof item->name, "(metatable)");
        fill_item(L, list, item);
    }
    lua_pop(L, 1);
}

static void list_table(lua_State *L, int table, struct listing *list)
{
    lua_Integer border = (lua_Integer)lua_rawlen(L, table);
    size_t before = 0;
    if (list->page->filter != HOB_DEBUG_NAMED) {
        before = (size_t)border;
        list_indexed(L, table, border, list);
    }
    list->out->total = before;
    if (list->page->filter != HOB_DEBUG_INDEXED) {
        collect(L, table, border, list);
        list->out->total += list->named;
        list_named(L, table, border, list, before);
        list_metatable(L, table, list, before + list->named);
    }
}

/* ---- scopes, functions ---- */

static void list_upvalues(lua_State *L, int function, struct listing *list)
{
    const char *name;
    for (int i = 1; (name = lua_getupvalue(L, function, i)) != NULL; i++) {
        struct hob_debug_variable *item = item_at(list, (size_t)i - 1);
        if (item) {
            snprintf(item->name, sizeof item->name, "%s", name[0] ? name : "?");
            fill_item(L, list, item);
        }
        lua_pop(L, 1);
        list->out->total++;
    }
}

static void list_locals(lua_State *L, const struct hob_look_frame *frame, struct listing *list)
{
    struct hob_look_locals locals;
    char name[64];
    hob_look_list_locals(list->look, L, frame, &locals);
    for (int i = 0; i < locals.count + locals.varargs; i++) {
        int reg = i < locals.count ? locals.regs[i] : locals.count - i - 1;
        struct hob_debug_variable *item = item_at(list, (size_t)i);
        if (item && hob_look_push_local(list->look, L, frame, reg, name)) {
            snprintf(item->name, sizeof item->name, "%s", name);
            item->reg = reg > 0 ? reg : 0;
            fill_item(L, list, item);
            lua_pop(L, 1);
        }
        list->out->total++;
    }
}

int hob_look_push_ref(struct hob_debug_look *look, lua_State *L, const struct hob_look_ref *ref)
{
    if (ref->kind == REF_VALUE) {
        hob_look_push_part(look, L, VALUES);
        lua_rawgeti(L, -1, ref->slot);
        lua_remove(L, -2);
        return 0;
    }
    const struct hob_look_frame *frame =
        ref->frame ? hob_look_find_frame(look, ref->frame, NULL) : NULL;
    if (ref->frame && !frame) {
        return HOB_ESTALE;
    }
    hob_look_push_globals(look, L, frame);
    return 0;
}

static void list_scope(lua_State *L, struct listing *list)
{
    const struct hob_look_frame *frame = hob_look_find_frame(list->look, list->ref->frame, NULL);
    if (!frame || list->page->filter == HOB_DEBUG_INDEXED) {
        return;
    }
    if (list->ref->kind == REF_LOCALS) {
        list_locals(L, frame, list);
    } else if (hob_look_push_function(list->look, L, frame)) {
        list_upvalues(L, lua_gettop(L), list);
    }
}

static int list_ref(lua_State *L)
{
    struct listing *list = lua_touserdata(L, 1);
    if (list->ref->kind == REF_LOCALS || list->ref->kind == REF_UPVALUES) {
        list_scope(L, list);
        return 0;
    }
    list->rc = hob_look_push_ref(list->look, L, list->ref);
    if (list->rc) {
        return 0;
    }
    int index = lua_gettop(L);
    if (lua_istable(L, index)) {
        list_table(L, index, list);
    } else if (list->page->filter == HOB_DEBUG_INDEXED) {
        return 0;
    } else if (lua_isfunction(L, index)) {
        list_upvalues(L, index, list);
    } else {
        list_metatable(L, index, list, 0);
    }
    return 0;
}

int hob_debug_look_variables(struct hob_debug_look *look, int ref,
                             const struct hob_debug_page *page, struct hob_debug_variables *out,
                             struct hob_error *err)
{
    const struct hob_look_ref *known = hob_look_find_ref(look, ref, err);
    if (!known) {
        return HOB_ESTALE;
    }
    struct hob_look_ref copy = *known; /* others are added meanwhile */
    struct hob_debug_page wanted = *page;
    if (wanted.count == 0 || wanted.count > HOB_DEBUG_PAGE_MAX) {
        wanted.count = HOB_DEBUG_PAGE_MAX;
    }
    struct listing list = {.look = look, .ref = &copy, .page = &wanted, .out = out, .err = err};
    out->items = hob_calloc(wanted.count, sizeof *out->items);
    list.keys = hob_malloc(NAMED_MAX * sizeof *list.keys);
    list.places = hob_malloc(NAMED_MAX * sizeof *list.places);
    int rc = out->items && list.keys && list.places
                 ? hob_look_check_room(look, err)
                 : hob_error_set(err, HOB_ENOMEM, "out of memory");
    rc = rc ? rc : hob_look_call(look, list_ref, &list, err);
    rc = rc == 0 && list.rc ? hob_look_stale(err) : rc;
    hob_free(list.keys);
    hob_free(list.places);
    return rc;
}

void hob_debug_variables_free(struct hob_debug_variables *variables)
{
    hob_free(variables->items);
    memset(variables, 0, sizeof *variables);
}

/* ---- scopes ---- */

struct scoping {
    struct hob_debug_look *look;
    const struct hob_look_frame *frame;
    struct hob_debug_scope *out;
};

static int count_scopes(lua_State *L)
{
    struct scoping *op = lua_touserdata(L, 1);
    struct hob_look_locals locals;
    hob_look_list_locals(op->look, L, op->frame, &locals);
    op->out[HOB_DEBUG_LOCALS].count = (size_t)locals.count + (size_t)locals.varargs;
    if (hob_look_push_function(op->look, L, op->frame)) {
        int count = 0;
        while (lua_getupvalue(L, -1, count + 1)) {
            lua_pop(L, 1);
            count++;
        }
        op->out[HOB_DEBUG_UPVALUES].count = (size_t)count;
    }
    struct hob_debug_variable globals = {0};
    hob_look_push_globals(op->look, L, op->frame);
    hob_look_describe(op->look, L, -1, op->frame->id, &globals);
    op->out[HOB_DEBUG_GLOBALS].count = globals.indexed + globals.named;
    return 0;
}

int hob_debug_look_scopes(struct hob_debug_look *look, int frame,
                          struct hob_debug_scope out[HOB_DEBUG_SCOPES], struct hob_error *err)
{
    static const enum hob_look_ref_kind kinds[] = {REF_LOCALS, REF_UPVALUES, REF_GLOBALS};
    struct scoping op = {.look = look, .out = out};
    op.frame = hob_look_find_frame(look, frame, err);
    if (!op.frame) {
        return HOB_ESTALE;
    }
    memset(out, 0, HOB_DEBUG_SCOPES * sizeof *out);
    int rc = hob_look_call(look, count_scopes, &op, err);
    for (int i = 0; i < HOB_DEBUG_SCOPES && rc == 0; i++) {
        out[i].kind = (enum hob_debug_scope_kind)i;
        out[i].ref = hob_look_scope_ref(look, kinds[i], frame);
        if (out[i].ref == 0) {
            rc = hob_error_set(err, HOB_ENOSPC, "too many values are looked at: go on first");
        }
    }
    return rc;
}

/* ---- changing one ---- */

/* The key whose name that is, where it is not the key itself. @return false: nothing pushed */
static bool push_named_key(lua_State *L, int table, const char *wanted)
{
    char name[HOB_DEBUG_NAME_MAX];
    lua_pushnil(L);
    for (int steps = 0; lua_next(L, table); steps++) {
        lua_pop(L, 1);
        hob_look_name_key(L, -1, name);
        if (strcmp(name, wanted) == 0) {
            return true;
        }
        if (steps >= WALK_MAX) {
            lua_pop(L, 1);
            return false;
        }
    }
    return false;
}

static bool push_key(lua_State *L, int table, const char *name)
{
    long long number;
    int end = 0;
    lua_pushstring(L, name);
    lua_pushvalue(L, -1);
    bool known = lua_rawget(L, table) != LUA_TNIL;
    lua_pop(L, 1);
    if (known) {
        return true;
    }
    lua_pop(L, 1);
    if (sscanf(name, "[%lld]%n", &number, &end) == 1 && end > 0 && name[end] == '\0') {
        lua_pushinteger(L, number);
        return true;
    }
    return push_named_key(L, table, name);
}

static int set_field(lua_State *L, int table, int value, const char *name, struct hob_error *err)
{
    if (!push_key(L, table, name)) {
        return hob_error_set(err, HOB_ENOENT, "it has no member %s", name);
    }
    lua_pushvalue(L, value);
    lua_rawset(L, table);
    return 0;
}

static int set_upvalue(lua_State *L, int function, int value, const char *name,
                       struct hob_error *err)
{
    const char *known;
    for (int i = 1; (known = lua_getupvalue(L, function, i)) != NULL; i++) {
        lua_pop(L, 1);
        if (strcmp(known, name) == 0) {
            lua_pushvalue(L, value);
            lua_setupvalue(L, function, i);
            return 0;
        }
    }
    return hob_error_set(err, HOB_ENOENT, "it has no upvalue %s", name);
}

static int set_vararg(struct hob_debug_look *look, lua_State *L, const struct hob_look_frame *frame,
                      const char *name)
{
    int number;
    if (sscanf(name, "(vararg) %d", &number) != 1 || number < 1) {
        return HOB_ENOENT;
    }
    return hob_look_set_local(look, L, frame, -number) ? 0 : HOB_ENOENT;
}

static int set_in_scope(struct hob_debug_look *look, lua_State *L, const struct hob_look_ref *ref,
                        int value, const char *name, struct hob_error *err)
{
    const struct hob_look_frame *frame = hob_look_find_frame(look, ref->frame, err);
    if (!frame) {
        return HOB_ESTALE;
    }
    if (!frame->co) {
        return hob_error_set(err, HOB_EINVAL,
                             "the frame is gone: it was left by the error that is looked at");
    }
    if (ref->kind == REF_UPVALUES && hob_look_push_function(look, L, frame)) {
        return set_upvalue(L, lua_gettop(L), value, name, err);
    }
    lua_pushvalue(L, value);
    if (ref->kind == REF_LOCALS &&
        (set_vararg(look, L, frame, name) == 0 || hob_look_set_named_local(look, L, frame, name))) {
        return 0;
    }
    return hob_error_set(err, HOB_ENOENT, "there is no local %s", name);
}

int hob_look_set_member(struct hob_debug_look *look, lua_State *L, const struct hob_look_ref *ref,
                        const char *name, struct hob_error *err)
{
    int value = lua_gettop(L), rc = 0;
    luaL_checkstack(L, 10, NULL);
    if (ref->kind == REF_LOCALS || ref->kind == REF_UPVALUES) {
        rc = set_in_scope(look, L, ref, value, name, err);
    } else if (hob_look_push_ref(look, L, ref)) {
        rc = hob_look_stale(err);
    } else if (lua_istable(L, -1)) {
        rc = set_field(L, lua_gettop(L), value, name, err);
    } else if (lua_isfunction(L, -1)) {
        rc = set_upvalue(L, lua_gettop(L), value, name, err);
    } else {
        rc = hob_error_set(err, HOB_EINVAL, "its members cannot be changed");
    }
    lua_settop(L, value);
    return rc;
}
