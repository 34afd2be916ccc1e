#include "base/alloc.h"
#include "work/debug_look_parts.h"
#include "work/debug_parts.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Lua finds a frame by counting from the innermost: of a deep recursion its two ends are listed. */
#define INNER_LEVELS 900
#define OUTER_LEVELS 100
#define FRAMES_MAX   5000
#define STACK_MAX    1000000 /* Lua's own limit, of values */
#define COUNT_MAX    1000
#define TEXT_MAX     (2u << 20)
#define NAMELESS     "function at line"

/* ---- what is where ---- */

static int count_levels(lua_State *co)
{
    lua_Debug ar;
    int low = 0, high = 1; /* there are at least `low`, and fewer than `high` + 1 */
    while (high < STACK_MAX && lua_getstack(co, high - 1, &ar)) {
        low = high;
        high *= 2;
    }
    while (low < high - 1) {
        int middle = low + (high - low) / 2;
        if (lua_getstack(co, middle - 1, &ar)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* ---- the list of an epoch ---- */

static int add_frame(struct hob_debug_look *look, const struct hob_look_frame *frame)
{
    if (look->frame_count % 64 == 0) {
        size_t room = look->frame_count + 64;
        struct hob_look_frame *frames = hob_realloc(look->frames, room * sizeof *frames);
        if (!frames) {
            return HOB_ENOMEM;
        }
        look->frames = frames;
    }
    look->frames[look->frame_count] = *frame;
    look->frames[look->frame_count++].id = hob_look_new_id(look);
    return 0;
}

static int add_level(struct hob_debug_look *look, lua_State *co, int coroutine, int level)
{
    lua_Debug ar;
    if (!lua_getstack(co, level, &ar)) {
        return 0;
    }
    lua_getinfo(co, "S", &ar);
    return add_frame(
        look, &(struct hob_look_frame){.co = co,
                                       .level = level,
                                       .coroutine = coroutine,
                                       .own = hob_scheduler_is_own(look->scheduler, ar.source),
                                       .is_c = ar.what[0] == 'C'});
}

static int list_coroutine(struct hob_debug_look *look, lua_State *co, int coroutine)
{
    int levels = count_levels(co), rc = 0;
    for (int level = 0; level < levels && rc == 0; level++) {
        if (level == INNER_LEVELS && levels > INNER_LEVELS + OUTER_LEVELS) {
            level = levels - OUTER_LEVELS;
            look->cut = true;
        }
        if (look->frame_count >= FRAMES_MAX) {
            look->cut = true;
            break;
        }
        rc = add_level(look, co, coroutine, level);
    }
    return rc;
}

static int list_snapshot(struct hob_debug_look *look)
{
    int rc = 0;
    for (size_t i = 0; i < look->snapshot.count && rc == 0; i++) {
        const struct hob_debug_frame *frame = &look->snapshot.frames[i];
        rc = add_frame(look, &(struct hob_look_frame){.level = (int)i,
                                                      .coroutine = frame->coroutine,
                                                      .own = frame->own,
                                                      .is_c = frame->is_c});
    }
    return rc;
}

static int list_task(struct hob_debug_look *look, struct hob_error *err)
{
    lua_State *chain[HOB_TASK_CHAIN_MAX];
    const struct hob_task *task = hob_debug_target_task(look->target);
    size_t count = task ? hob_task_chain(task, chain, HOB_TASK_CHAIN_MAX) : 0;
    if (count == 0) {
        return hob_error_set(err, HOB_ENOENT, "%s",
                             task ? "the job has not begun to run" : "the job has ended");
    }
    int rc = 0;
    for (size_t i = count; i > 0 && rc == 0; i--) {
        rc = list_coroutine(look, chain[i - 1], (int)i);
    }
    return rc;
}

int hob_look_list_frames(struct hob_debug_look *look, struct hob_error *err)
{
    if (look->scheduler->executing > 0) {
        return hob_error_set(err, HOB_EBUSY, "the job's own code is at work: pause it first");
    }
    hob_look_refresh(look);
    if (look->listed) {
        return 0;
    }
    int rc = look->snapshot.count ? list_snapshot(look) : list_task(look, err);
    look->listed = rc == 0;
    if (rc == HOB_ENOMEM) {
        hob_look_drop_frames(look);
        return hob_error_set(err, rc, "out of memory");
    }
    return rc;
}

void hob_look_drop_frames(struct hob_debug_look *look)
{
    hob_free(look->frames);
    look->frames = NULL;
    look->frame_count = 0;
    look->listed = look->cut = false;
}

const struct hob_look_frame *hob_look_find_frame(struct hob_debug_look *look, int id,
                                                 struct hob_error *err)
{
    hob_look_refresh(look);
    for (size_t i = 0; i < look->frame_count; i++) {
        if (look->frames[i].id == id) {
            return &look->frames[i];
        }
    }
    hob_look_stale(err);
    return NULL;
}

const struct hob_look_frame *hob_look_innermost(struct hob_debug_look *look)
{
    for (size_t i = 0; i < look->frame_count; i++) {
        if (!look->frames[i].own && !look->frames[i].is_c) {
            return &look->frames[i];
        }
    }
    return NULL;
}

/* ---- one of them, for people ---- */

static void copy_end(char *out, size_t size, const char *text)
{
    size_t len = strlen(text);
    snprintf(out, size, "%s", len < size ? text : text + (len - size + 1));
}

static void describe_ar(const lua_Debug *ar, struct hob_debug_frame *out)
{
    out->is_c = ar->what[0] == 'C';
    out->line = ar->currentline > 0 ? ar->currentline : 0;
    out->defined = ar->linedefined > 0 ? ar->linedefined : 0;
    copy_end(out->file, sizeof out->file,
             out->is_c              ? ""
             : ar->source[0] == '@' ? ar->source + 1
                                    : ar->short_src);
    if (strcmp(ar->what, "main") == 0) {
        snprintf(out->name, sizeof out->name, "main chunk");
    } else if (ar->name) {
        snprintf(out->name, sizeof out->name, "%s", ar->name);
    } else if (out->defined) {
        snprintf(out->name, sizeof out->name, NAMELESS " %d", out->defined);
    } else {
        snprintf(out->name, sizeof out->name, "?");
    }
}

static void describe_frame(struct hob_debug_look *look, const struct hob_look_frame *frame,
                           struct hob_debug_frame *out)
{
    lua_Debug ar;
    memset(out, 0, sizeof *out);
    if (!frame->co) {
        *out = look->snapshot.frames[frame->level];
    } else if (lua_getstack(frame->co, frame->level, &ar)) {
        lua_getinfo(frame->co, "nSl", &ar);
        describe_ar(&ar, out);
    }
    const struct hob_look_record *record = hob_look_record_of(look, frame);
    out->line = record ? record->line : out->line;
    out->id = frame->id;
    out->own = frame->own;
    out->coroutine = frame->coroutine;
}

/* ---- a name that only the text knows: what was called through a C function has none for Lua ----
 */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* "local function NAME(", "NAME = function(": of the first function of a line. */
static void find_name(const char *line, size_t len, char *out, size_t size)
{
    static const char word[] = "function";
    const char *at = memmem(line, len, word, sizeof word - 1), *end = line + len;
    if (!at) {
        return;
    }
    const char *from = at + sizeof word - 1;
    while (from < end && isspace((unsigned char)*from)) {
        from++;
    }
    const char *to = from;
    while (to < end && (is_word(*to) || *to == '.' || *to == ':')) {
        from = is_word(*to) ? from : to + 1; /* "M.run" is "run" */
        to++;
    }
    if (from == to) {
        const char *equals = at;
        while (equals > line && isspace((unsigned char)equals[-1])) {
            equals--;
        }
        to = equals > line && equals[-1] == '=' ? equals - 1 : line;
        while (to > line && isspace((unsigned char)to[-1])) {
            to--;
        }
        for (from = to; from > line && is_word(from[-1]);) {
            from--;
        }
    }
    if (from < to && !isdigit((unsigned char)*from)) {
        snprintf(out, size, "%.*s", (int)(to - from), from);
    }
}

static void name_by_text(struct hob_debug_look *look, struct hob_buf *text, const char **of,
                         struct hob_debug_frame *frame)
{
    if (!*of || strcmp(*of, frame->file) != 0) {
        hob_buf_clear(text);
        hob_debug_pinned_source(look->target, frame->file, text);
        *of = frame->file;
    }
    const char *at = hob_buf_data(text), *end = at ? at + hob_buf_len(text) : NULL;
    for (int line = 1; at && at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        if (line == frame->defined) {
            find_name(at, (size_t)(stop - at), frame->name, sizeof frame->name);
            return;
        }
        at = stop + 1;
    }
}

static void name_frames(struct hob_debug_look *look, struct hob_debug_frames *frames)
{
    struct hob_buf text;
    const char *of = NULL;
    hob_buf_init(&text, TEXT_MAX);
    for (size_t i = 0; i < frames->count; i++) {
        struct hob_debug_frame *frame = &frames->items[i];
        if (frame->defined && !frame->own &&
            strncmp(frame->name, NAMELESS, strlen(NAMELESS)) == 0) {
            name_by_text(look, &text, &of, frame);
        }
    }
    hob_buf_free(&text);
}

int hob_debug_look_stack(struct hob_debug_look *look, size_t first, size_t count, bool own,
                         struct hob_debug_frames *out, struct hob_error *err)
{
    int rc = hob_look_list_frames(look, err);
    if (rc) {
        return rc;
    }
    count = count < COUNT_MAX ? count : COUNT_MAX;
    out->items = hob_calloc(count ? count : 1, sizeof *out->items);
    if (!out->items) {
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    out->cut = look->cut;
    for (size_t i = 0; i < look->frame_count; i++) {
        const struct hob_look_frame *frame = &look->frames[i];
        if (!own && (frame->own || frame->is_c)) {
            continue;
        }
        if (out->total >= first && out->count < count) {
            describe_frame(look, frame, &out->items[out->count++]);
        }
        out->total++;
    }
    name_frames(look, out);
    return 0;
}

void hob_debug_frames_free(struct hob_debug_frames *frames)
{
    hob_free(frames->items);
    memset(frames, 0, sizeof *frames);
}

bool hob_debug_look_place(struct hob_debug_look *look, char file[HOB_DEBUG_FILE_MAX], int *line)
{
    struct hob_debug_frame out;
    const struct hob_look_frame *frame =
        hob_look_list_frames(look, NULL) == 0 ? hob_look_innermost(look) : NULL;
    if (!frame) {
        return false;
    }
    describe_frame(look, frame, &out);
    memcpy(file, out.file, sizeof out.file);
    *line = out.line;
    return true;
}

/* ---- what a hook records ---- */

void hob_look_drop_record(struct hob_look_record *record)
{
    hob_free(record->names);
    memset(record, 0, sizeof *record);
}

/* Their values stay in their registers, whatever Lua says later about who is active. */
static size_t read_names(lua_State *L, lua_Debug *ar, struct hob_look_name *names, size_t room)
{
    size_t count = 0;
    const char *name;
    for (int reg = 1; count < room && (name = lua_getlocal(L, ar, reg)) != NULL; reg++) {
        lua_pop(L, 1);
        if (strcmp(name, "(temporary)") == 0) {
            break;
        }
        names[count].reg = reg;
        snprintf(names[count++].name, sizeof names->name, "%s", name);
    }
    return count;
}

static void fill_record(struct hob_debug_look *look, struct hob_look_record *record, lua_State *L,
                        lua_Debug *ar)
{
    struct hob_look_name names[LOOK_LOCALS_MAX];
    const struct hob_task *task = look->scheduler->now.current;
    hob_look_drop_record(record);
    lua_getinfo(L, "l", ar);
    size_t count = read_names(L, ar, names, LOOK_LOCALS_MAX);
    *record = (struct hob_look_record){
        .L = L, .resumed = task ? task->resumed : 0, .line = ar->currentline};
    record->names = hob_malloc(count ? count * sizeof *names : 1);
    if (!record->names) {
        hob_look_drop_record(record);
        return;
    }
    memcpy(record->names, names, count * sizeof *names);
    record->count = count;
}

void hob_debug_look_record(struct hob_debug_look *look, lua_State *L, lua_Debug *ar)
{
    hob_debug_look_forget(look);
    fill_record(look, &look->record, L, ar);
}

void hob_debug_look_keep(struct hob_debug_look *look, lua_State *L, lua_Debug *ar)
{
    fill_record(look, &look->kept, L, ar);
}

void hob_debug_look_use_kept(struct hob_debug_look *look)
{
    hob_look_drop_record(&look->record);
    look->record = look->kept;
    look->kept = (struct hob_look_record){0};
}

const struct hob_look_record *hob_look_record_of(const struct hob_debug_look *look,
                                                 const struct hob_look_frame *frame)
{
    const struct hob_look_record *record = look->record.L ? &look->record : &look->kept;
    bool is_it = record->L && frame->co == record->L && frame->level == 0;
    return is_it && look->resumed == record->resumed ? record : NULL;
}

/* ---- a stack that will be gone ---- */

struct snapshot {
    struct hob_debug_look *look;
    lua_State *L; /* where the error was raised */
    int table;    /* on its stack: of the locals */
    struct hob_debug_frame *frames;
    size_t count;
};

static int keep_value(lua_State *L, int locals, int at, const char *name)
{
    lua_pushstring(L, name);
    lua_rawseti(L, locals, at * 2);
    lua_rawseti(L, locals, at * 2 + 1); /* the value, which was below */
    return at + 1;
}

/* [0] how many, [1] the function, then names and values in turn. */
static void keep_locals(lua_State *L, lua_State *from, lua_Debug *ar)
{
    char vararg[32];
    const char *name;
    int at = 1, locals = lua_gettop(L) + 1;
    lua_createtable(L, 16, 1);
    lua_getinfo(from, "f", ar);
    lua_xmove(from, L, 1);
    lua_rawseti(L, locals, 1);
    for (int reg = 1; reg <= LOOK_LOCALS_MAX && (name = lua_getlocal(from, ar, reg)); reg++) {
        lua_xmove(from, L, 1);
        if (name[0] == '(') {
            lua_pop(L, 1);
        } else {
            at = keep_value(L, locals, at, name);
        }
    }
    for (int n = 1; n <= LOOK_LOCALS_MAX && lua_getlocal(from, ar, -n); n++) {
        lua_xmove(from, L, 1);
        snprintf(vararg, sizeof vararg, "(vararg) %d", n);
        at = keep_value(L, locals, at, vararg);
    }
    lua_pushinteger(L, at - 1);
    lua_rawseti(L, locals, 0);
}

/* From a level of `from` on: L itself, or one that it was resumed in. */
static void take_frames(struct snapshot *taken, lua_State *from, int level, int coroutine)
{
    lua_State *L = taken->L;
    const int all = taken->table;
    lua_Debug ar;
    for (; taken->count < HOB_DEBUG_SNAPSHOT_FRAMES; level++) {
        if (!lua_checkstack(from, 2) || !lua_getstack(from, level, &ar)) {
            return;
        }
        lua_getinfo(from, "nSl", &ar);
        struct hob_debug_frame *frame = &taken->frames[taken->count];
        describe_ar(&ar, frame);
        frame->own = hob_scheduler_is_own(taken->look->scheduler, ar.source);
        frame->coroutine = coroutine;
        keep_locals(L, from, &ar);
        lua_rawseti(L, all, (lua_Integer)++taken->count);
    }
}

static int take_snapshot(lua_State *L)
{
    struct snapshot *taken = lua_touserdata(L, 1);
    lua_State *chain[HOB_TASK_CHAIN_MAX];
    const struct hob_task *task = taken->look->scheduler->now.current;
    luaL_checkstack(L, 10, NULL);
    hob_look_push_part(taken->look, L, SNAPSHOT);
    taken->table = lua_gettop(L);
    size_t at = task ? hob_task_chain(task, chain, HOB_TASK_CHAIN_MAX) : 0;
    while (at > 0 && chain[at - 1] != L) {
        at--;
    }
    /* This function and the message handler stand above the error. */
    take_frames(taken, L, 2, at > 0 ? (int)at : 1);
    for (; at > 1; at--) {
        take_frames(taken, chain[at - 2], 0, (int)at - 1);
    }
    return 0;
}

void hob_debug_look_snapshot(struct hob_debug_look *look, lua_State *L)
{
    struct snapshot taken = {.look = look, .L = L};
    hob_debug_look_forget(look);
    taken.frames = hob_calloc(HOB_DEBUG_SNAPSHOT_FRAMES, sizeof *taken.frames);
    if (!taken.frames || !lua_checkstack(L, LUA_MINSTACK)) {
        hob_free(taken.frames);
        return;
    }
    lua_pushcfunction(L, take_snapshot);
    lua_pushlightuserdata(L, &taken);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) { /* no memory for more: what there is must do */
        lua_pop(L, 1);
    }
    look->snapshot.frames = taken.frames;
    look->snapshot.count = taken.count;
    if (taken.count == 0) {
        hob_look_drop_snapshot(look);
    }
}

void hob_look_drop_snapshot(struct hob_debug_look *look)
{
    hob_free(look->snapshot.frames);
    look->snapshot.frames = NULL;
    look->snapshot.count = 0;
}
