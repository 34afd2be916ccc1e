#include "work/debug_look_parts.h"

#include <stdio.h>
#include <string.h>

#define VARARGS_MAX 1000

/* ---- of a snapshot ---- */

static bool push_kept(struct hob_debug_look *look, lua_State *L, const struct hob_look_frame *frame,
                      int at)
{
    hob_look_push_part(look, L, SNAPSHOT);
    if (lua_rawgeti(L, -1, frame->level + 1) != LUA_TTABLE) {
        lua_pop(L, 2);
        return false;
    }
    lua_rawgeti(L, -1, at);
    lua_replace(L, -3);
    lua_pop(L, 1);
    return true;
}

static int count_kept(struct hob_debug_look *look, lua_State *L, const struct hob_look_frame *frame)
{
    if (!push_kept(look, L, frame, 0)) {
        return 0;
    }
    int count = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    return count < LOOK_LOCALS_MAX ? count : LOOK_LOCALS_MAX;
}

static bool push_kept_local(struct hob_debug_look *look, lua_State *L,
                            const struct hob_look_frame *frame, int at, char name[64])
{
    if (at > count_kept(look, L, frame) || !push_kept(look, L, frame, at * 2)) {
        return false;
    }
    const char *known = lua_tostring(L, -1);
    snprintf(name, 64, "%s", known ? known : "?");
    lua_pop(L, 1);
    return push_kept(look, L, frame, at * 2 + 1);
}

/* ---- locals ---- */

static bool is_hidden(const char *name)
{
    return strcmp(name, "(for state)") == 0;
}

/* From Lua: those that are active where the coroutine stands. */
static void list_active(const struct hob_look_frame *frame, lua_Debug *ar,
                        struct hob_look_locals *out)
{
    const char *name;
    for (int reg = 1; out->count < LOOK_LOCALS_MAX; reg++) {
        name = lua_getlocal(frame->co, ar, reg);
        if (!name) {
            return;
        }
        lua_pop(frame->co, 1);
        if (strcmp(name, "(temporary)") == 0) {
            return;
        }
        if (!is_hidden(name)) {
            out->regs[out->count++] = reg;
        }
    }
}

static void list_recorded(const struct hob_look_record *record, struct hob_look_locals *out)
{
    for (size_t i = 0; i < record->count && out->count < LOOK_LOCALS_MAX; i++) {
        if (!is_hidden(record->names[i].name)) {
            out->regs[out->count++] = record->names[i].reg;
        }
    }
}

void hob_look_list_locals(struct hob_debug_look *look, lua_State *L,
                          const struct hob_look_frame *frame, struct hob_look_locals *out)
{
    lua_Debug ar;
    out->count = out->varargs = 0;
    if (!frame->co) {
        for (int kept = count_kept(look, L, frame); out->count < kept; out->count++) {
            out->regs[out->count] = out->count + 1;
        }
        return;
    }
    if (!lua_checkstack(frame->co, 1) || !lua_getstack(frame->co, frame->level, &ar)) {
        return;
    }
    const struct hob_look_record *record = hob_look_record_of(look, frame);
    if (record) {
        list_recorded(record, out);
    } else {
        list_active(frame, &ar, out);
    }
    while (out->varargs < VARARGS_MAX && lua_getlocal(frame->co, &ar, -out->varargs - 1)) {
        lua_pop(frame->co, 1);
        out->varargs++;
    }
}

static void name_local(struct hob_debug_look *look, const struct hob_look_frame *frame, int reg,
                       const char *lua_name, char name[64])
{
    const struct hob_look_record *record = hob_look_record_of(look, frame);
    snprintf(name, 64, "%s", lua_name);
    if (reg < 0) {
        snprintf(name, 64, "(vararg) %d", -reg);
    }
    for (size_t i = 0; record && i < record->count; i++) {
        if (record->names[i].reg == reg) {
            snprintf(name, 64, "%s", record->names[i].name);
        }
    }
}

bool hob_look_push_local(struct hob_debug_look *look, lua_State *L,
                         const struct hob_look_frame *frame, int reg, char name[64])
{
    lua_Debug ar;
    if (!frame->co) {
        return push_kept_local(look, L, frame, reg, name);
    }
    if (!lua_checkstack(frame->co, 1) || !lua_getstack(frame->co, frame->level, &ar)) {
        return false;
    }
    const char *known = lua_getlocal(frame->co, &ar, reg);
    if (!known) {
        return false;
    }
    name_local(look, frame, reg, known, name);
    lua_xmove(frame->co, L, 1);
    return true;
}

bool hob_look_set_local(struct hob_debug_look *look, lua_State *L,
                        const struct hob_look_frame *frame, int reg)
{
    lua_Debug ar;
    if (!frame->co || !lua_checkstack(frame->co, 1) ||
        !lua_getstack(frame->co, frame->level, &ar)) {
        return false;
    }
    lua_xmove(L, frame->co, 1);
    if (!lua_setlocal(frame->co, &ar, reg)) { /* it has popped the value */
        return false;
    }
    return true;
}

/* The newest of the name; 0: none. */
static int find_local(struct hob_debug_look *look, lua_State *L, const struct hob_look_frame *frame,
                      const char *wanted)
{
    struct hob_look_locals locals;
    char name[64];
    hob_look_list_locals(look, L, frame, &locals);
    for (int i = locals.count - 1; i >= 0; i--) {
        if (hob_look_push_local(look, L, frame, locals.regs[i], name)) {
            lua_pop(L, 1);
            if (strncmp(name, wanted, sizeof name - 1) == 0) { /* a long one was cut */
                return locals.regs[i];
            }
        }
    }
    return 0;
}

bool hob_look_set_named_local(struct hob_debug_look *look, lua_State *L,
                              const struct hob_look_frame *frame, const char *name)
{
    int reg = find_local(look, L, frame, name);
    return reg && hob_look_set_local(look, L, frame, reg);
}

/* ---- upvalues, globals ---- */

bool hob_look_push_function(struct hob_debug_look *look, lua_State *L,
                            const struct hob_look_frame *frame)
{
    lua_Debug ar;
    if (!frame->co) {
        return push_kept(look, L, frame, 1);
    }
    if (!lua_checkstack(frame->co, 1) || !lua_getstack(frame->co, frame->level, &ar)) {
        return false;
    }
    lua_getinfo(frame->co, "f", &ar);
    lua_xmove(frame->co, L, 1);
    return true;
}

/* With its function on top. */
static int find_upvalue(lua_State *L, const char *wanted)
{
    const char *name;
    for (int i = 1; (name = lua_getupvalue(L, -1, i)) != NULL; i++) {
        lua_pop(L, 1);
        if (strcmp(name, wanted) == 0) {
            return i;
        }
    }
    return 0;
}

bool hob_look_push_name(struct hob_debug_look *look, lua_State *L,
                        const struct hob_look_frame *frame, const char *name)
{
    char known[64];
    int reg = find_local(look, L, frame, name);
    if (reg && hob_look_push_local(look, L, frame, reg, known)) {
        return true;
    }
    if (!hob_look_push_function(look, L, frame)) {
        return false;
    }
    int upvalue = find_upvalue(L, name);
    if (upvalue) {
        lua_getupvalue(L, -1, upvalue);
        lua_replace(L, -2);
        return true;
    }
    lua_pop(L, 1);
    return false;
}

/* Those of a C function have no names that anybody could write. */
bool hob_look_set_name(struct hob_debug_look *look, lua_State *L,
                       const struct hob_look_frame *frame, const char *name)
{
    int reg = find_local(look, L, frame, name);
    if (reg) {
        return hob_look_set_local(look, L, frame, reg);
    }
    if (!hob_look_push_function(look, L, frame)) {
        return false;
    }
    int upvalue = find_upvalue(L, name);
    if (!upvalue) {
        lua_pop(L, 1);
        return false;
    }
    lua_insert(L, -2);
    lua_setupvalue(L, -2, upvalue);
    lua_pop(L, 1);
    return true;
}

void hob_look_push_globals(struct hob_debug_look *look, lua_State *L,
                           const struct hob_look_frame *frame)
{
    if (frame && hob_look_push_name(look, L, frame, "_ENV")) {
        if (lua_istable(L, -1)) {
            return;
        }
        lua_pop(L, 1);
    }
    lua_pushglobaltable(L);
}
