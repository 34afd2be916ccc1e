#include "work/debug_look.h"

#include "base/alloc.h"
#include "work/debug_look_parts.h"
#include "work/sandbox.h"

#include <string.h>

/* A person may look into a job that has used all of its memory. */
#define ALLOWANCE_BYTES (4u << 20)
#define REFS_MAX        50000
#define KEPT_MAX        2000 /* over the moments of a job that is not held */
/* A number names its target, too: editors ask for values without saying of which thread. */
#define SERIAL_BITS 21
#define IDLE_MS     30000
#define THREADS     1024

/* ---- calls into the target's state ---- */

struct call {
    lua_CFunction fn;
    void *op;
};

static int run_call(lua_State *L)
{
    const struct call *call = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_pushlightuserdata(L, call->op);
    return call->fn(L);
}

/* What it takes is not what the job has used. */
int hob_look_call(struct hob_debug_look *look, lua_CFunction fn, void *op, struct hob_error *err)
{
    struct hob_scheduler *scheduler = look->scheduler;
    struct call call = {fn, op};
    if (scheduler->executing > 0) {
        return hob_error_set(err, HOB_EBUSY, "the job's own code is at work: pause it first");
    }
    hob_look_refresh(look);
    hob_sandbox_allow_memory(look->sandbox, ALLOWANCE_BYTES);
    hob_timer_start(look->idle, IDLE_MS);
    struct hob_scheduler_usage before = scheduler->usage;
    struct hob_error why = {0};
    int rc = hob_scheduler_call(scheduler, run_call, &call, &why);
    scheduler->usage = before;
    scheduler->shortage[0] = '\0';
    return rc ? hob_error_set(err, HOB_ENOMEM, "the job's memory has no room to look into it: %s",
                              why.message)
              : 0;
}

/* ---- epochs ---- */

static uint64_t resumed_of(const struct hob_task *task)
{
    return task ? task->resumed : 0;
}

static bool is_over(const struct hob_debug_look *look, const struct hob_task *task)
{
    return look->began && (look->task != task || look->resumed != resumed_of(task));
}

static void drop_stack(struct hob_debug_look *look)
{
    hob_look_end_evals(look, false);
    hob_look_drop_frames(look);
    hob_look_drop_record(&look->record);
    hob_look_drop_snapshot(look);
}

/* Of a job that nobody holds, which goes on between any two questions: its frames are of the past,
 * but a table is what it is. */
static void keep_values(struct hob_debug_look *look)
{
    size_t kept = 0;
    drop_stack(look);
    for (size_t i = 0; i < look->ref_count; i++) {
        if (look->refs[i].kind == REF_VALUE) {
            look->refs[kept++] = look->refs[i];
        }
    }
    look->ref_count = kept;
}

void hob_look_refresh(struct hob_debug_look *look)
{
    const struct hob_task *task = hob_debug_target_task(look->target);
    if (is_over(look, task) && look->ref_count < KEPT_MAX) {
        keep_values(look);
    } else if (is_over(look, task)) {
        hob_debug_look_forget(look);
    }
    look->began = true;
    look->task = task;
    look->resumed = resumed_of(task);
}

/* A job that is not held goes on without telling. */
static void on_idle(void *user)
{
    struct hob_debug_look *look = user;
    if (is_over(look, hob_debug_target_task(look->target))) {
        hob_debug_look_forget(look);
    } else {
        hob_timer_start(look->idle, IDLE_MS);
    }
}

int hob_look_stale(struct hob_error *err)
{
    return hob_error_set(err, HOB_ESTALE,
                         "the job has gone on since: ask for its stack and its values again");
}

int hob_look_new_id(struct hob_debug_look *look)
{
    int thread = hob_debug_target_thread(look->target) % THREADS;
    look->serial = look->serial % ((1 << SERIAL_BITS) - 1) + 1;
    return thread << SERIAL_BITS | look->serial;
}

void hob_debug_look_forget(struct hob_debug_look *look)
{
    drop_stack(look);
    look->ref_count = 0;
    look->began = false;
    luaL_unref(look->L, LUA_REGISTRYINDEX, look->table);
    look->table = LUA_NOREF;
    look->slots = 0;
    hob_sandbox_allow_memory(look->sandbox, 0);
}

bool hob_debug_look_knows(struct hob_debug_look *look, int id)
{
    hob_look_refresh(look);
    for (size_t i = 0; i < look->frame_count; i++) {
        if (look->frames[i].id == id) {
            return true;
        }
    }
    return hob_look_find_ref(look, id, NULL) != NULL;
}

/* ---- the look's table in the target's state ---- */

void hob_look_push_table(struct hob_debug_look *look, lua_State *L)
{
    if (look->table == LUA_NOREF) {
        lua_createtable(L, 3, 0);
        for (int part = VALUES; part <= SNAPSHOT; part++) {
            lua_newtable(L);
            lua_rawseti(L, -2, part);
        }
        look->table = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, look->table);
}

void hob_look_push_part(struct hob_debug_look *look, lua_State *L, enum hob_look_table part)
{
    hob_look_push_table(look, L);
    lua_rawgeti(L, -1, part);
    lua_remove(L, -2);
}

/* ---- refs ---- */

struct hob_look_ref *hob_look_find_ref(struct hob_debug_look *look, int id, struct hob_error *err)
{
    hob_look_refresh(look);
    for (size_t i = 0; i < look->ref_count; i++) {
        if (look->refs[i].id == id) {
            return &look->refs[i];
        }
    }
    hob_look_stale(err);
    return NULL;
}

int hob_look_check_room(const struct hob_debug_look *look, struct hob_error *err)
{
    if (look->ref_count + HOB_DEBUG_PAGE_MAX + HOB_DEBUG_SCOPES <= REFS_MAX) {
        return 0;
    }
    return hob_error_set(err, HOB_ENOSPC,
                         "%zu values of this job are looked at already: let it go on first",
                         look->ref_count);
}

static struct hob_look_ref *add_ref(struct hob_debug_look *look)
{
    if (look->ref_count >= REFS_MAX) {
        return NULL;
    }
    if (look->ref_count == look->ref_room) {
        size_t room = look->ref_room ? look->ref_room * 2 : 64;
        struct hob_look_ref *refs = hob_realloc(look->refs, room * sizeof *refs);
        if (!refs) {
            return NULL;
        }
        look->refs = refs;
        look->ref_room = room;
    }
    struct hob_look_ref *ref = &look->refs[look->ref_count++];
    *ref = (struct hob_look_ref){.id = hob_look_new_id(look)};
    return ref;
}

int hob_look_scope_ref(struct hob_debug_look *look, enum hob_look_ref_kind kind, int frame)
{
    for (size_t i = 0; i < look->ref_count; i++) {
        if (look->refs[i].kind == kind && look->refs[i].frame == frame) {
            return look->refs[i].id;
        }
    }
    struct hob_look_ref *ref = add_ref(look);
    if (!ref) {
        return 0;
    }
    ref->kind = kind;
    ref->frame = frame;
    return ref->id;
}

int hob_look_value_ref(struct hob_debug_look *look, lua_State *L, int index, int frame)
{
    int top = lua_gettop(L);
    index = lua_absindex(L, index);
    hob_look_push_part(look, L, SLOTS);
    lua_pushvalue(L, index);
    if (lua_rawget(L, -2) == LUA_TNUMBER) {
        int known = (int)lua_tointeger(L, -1);
        lua_settop(L, top);
        return known;
    }
    hob_look_push_part(look, L, VALUES);
    lua_pushvalue(L, index);
    lua_rawseti(L, -2, look->slots + 1);
    struct hob_look_ref *ref = add_ref(look);
    if (!ref) {
        lua_settop(L, top);
        return 0;
    }
    *ref = (struct hob_look_ref){
        .id = ref->id, .kind = REF_VALUE, .frame = frame, .slot = ++look->slots};
    lua_pushvalue(L, index);
    lua_pushinteger(L, ref->id);
    lua_rawset(L, top + 1);
    lua_settop(L, top);
    return look->refs[look->ref_count - 1].id;
}

/* ---- life ---- */

struct hob_debug_look *hob_debug_look_new(struct hob_debug_target *target)
{
    struct hob_debug_look *look = hob_calloc(1, sizeof *look);
    if (!look) {
        return NULL;
    }
    look->target = target;
    look->L = hob_debug_target_lua(target);
    look->scheduler = hob_debug_target_scheduler(target);
    look->sandbox = hob_scheduler_user(look->L);
    look->table = look->box = LUA_NOREF;
    look->idle = hob_timer_new(look->scheduler->loop, on_idle, look);
    if (!look->idle) {
        hob_free(look);
        return NULL;
    }
    return look;
}

void hob_debug_look_free(struct hob_debug_look *look)
{
    if (!look) {
        return;
    }
    hob_look_end_evals(look, true);
    hob_debug_look_forget(look);
    hob_look_drop_record(&look->kept);
    if (look->boxed) {
        *look->boxed = NULL;
    }
    luaL_unref(look->L, LUA_REGISTRYINDEX, look->box);
    hob_timer_close(look->idle);
    hob_free(look->refs);
    hob_free(look);
}
