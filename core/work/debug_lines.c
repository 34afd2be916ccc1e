/* Where code is in a text: read from what lua_dump writes of it, since Lua itself tells the lines
 * of a function only once that function is there. The form is that of Lua 5.4; its header is
 * compared with that of this build, and anything that does not fit ends the reading. */
#include "base/alloc.h"
#include "work/debug_look_parts.h"

#include <stdlib.h>
#include <string.h>

#define DUMP_MAX      (32u << 20)
#define DEPTH_MAX     210     /* of functions in functions; Lua allows 200 */
#define ABSOLUTE      (-0x80) /* of a line that is written in full elsewhere */
#define OPCODE(i)     ((i)&0x7Fu)
#define ARGUMENT_A(i) (((i) >> 7) & 0xFFu)

enum opcode { OP_SETTABUP = 15, OP_NEWTABLE = 19 }; /* between them: the other assignments */
enum constant { IS_FLOAT = 0x13, IS_INTEGER = 0x03, IS_SHORT = 0x04, IS_LONG = 0x14 };

typedef void line_fn(void *user, int line, uint32_t instruction, size_t pc, bool is_vararg);

struct reader {
    const unsigned char *at, *end;
    bool bad;
    int depth;
    line_fn *each; /* in the order of the code, one function after the other */
    void *user;
};

/* ---- reading ---- */

static const unsigned char *take(struct reader *r, size_t count, size_t size)
{
    const unsigned char *at = r->at;
    if (r->bad || (size_t)(r->end - r->at) / size < count) {
        r->bad = true;
        return NULL;
    }
    r->at += count * size;
    return at;
}

static size_t take_size(struct reader *r)
{
    size_t value = 0;
    const unsigned char *byte;
    do {
        byte = take(r, 1, 1);
        value = byte ? value << 7 | (*byte & 0x7Fu) : 0;
    } while (byte && !(*byte & 0x80u));
    return value;
}

static void skip_string(struct reader *r)
{
    size_t size = take_size(r);
    take(r, size ? size - 1 : 0, 1);
}

static void skip_constants(struct reader *r)
{
    for (size_t n = take_size(r); n > 0 && !r->bad; n--) {
        const unsigned char *type = take(r, 1, 1);
        if (type && *type == IS_FLOAT) {
            take(r, 1, sizeof(lua_Number));
        } else if (type && *type == IS_INTEGER) {
            take(r, 1, sizeof(lua_Integer));
        } else if (type && (*type == IS_SHORT || *type == IS_LONG)) {
            skip_string(r);
        }
    }
}

/* ---- one function ---- */

struct code {
    const unsigned char *instructions;
    size_t count;
    int first_line;
    bool is_vararg;
};

static int absolute_line(struct reader *r, size_t *left)
{
    if (*left == 0) {
        r->bad = true;
        return 0;
    }
    (*left)--;
    take_size(r); /* of which instruction: they come in order */
    return (int)take_size(r);
}

static void tell_lines(struct reader *r, const struct code *code)
{
    size_t deltas = take_size(r);
    const signed char *delta = (const signed char *)take(r, deltas, 1);
    size_t absolutes = take_size(r);
    int line = code->first_line;
    for (size_t pc = 0; pc < deltas && delta && !r->bad; pc++) {
        uint32_t instruction = 0;
        line = delta[pc] == ABSOLUTE ? absolute_line(r, &absolutes) : line + delta[pc];
        if (pc < code->count) {
            memcpy(&instruction, code->instructions + pc * 4, 4);
        }
        r->each(r->user, line, instruction, pc, code->is_vararg);
    }
    while (absolutes > 0 && !r->bad) {
        absolute_line(r, &absolutes);
    }
}

static void skip_names(struct reader *r)
{
    for (size_t n = take_size(r); n > 0 && !r->bad; n--) { /* of locals */
        skip_string(r);
        take_size(r);
        take_size(r);
    }
    for (size_t n = take_size(r); n > 0 && !r->bad; n--) { /* of upvalues */
        skip_string(r);
    }
}

static void read_function(struct reader *r)
{
    struct code code = {0};
    if (++r->depth > DEPTH_MAX) {
        r->bad = true;
    }
    skip_string(r);
    code.first_line = (int)take_size(r);
    take_size(r);
    const unsigned char *shape = take(r, 3, 1); /* parameters, varargs, registers */
    code.is_vararg = shape && shape[1];
    code.count = take_size(r);
    code.instructions = take(r, code.count, 4);
    skip_constants(r);
    take(r, take_size(r), 3); /* upvalues */
    for (size_t n = take_size(r); n > 0 && !r->bad; n--) {
        read_function(r);
    }
    if (!r->bad) {
        tell_lines(r, &code);
        skip_names(r);
    }
    r->depth--;
}

static bool read_header(struct reader *r)
{
    static const char signature[] = LUA_SIGNATURE "\x54\x00\x19\x93\r\n\x1a\n";
    const unsigned char sizes[] = {4, sizeof(lua_Integer), sizeof(lua_Number)};
    const lua_Integer integer = 0x5678;
    const lua_Number number = 370.5;
    lua_Number theirs = 0;
    const unsigned char *at = take(r, sizeof signature - 1, 1);
    bool good = at && memcmp(at, signature, sizeof signature - 1) == 0;
    at = take(r, sizeof sizes, 1);
    good = good && at && memcmp(at, sizes, sizeof sizes) == 0;
    at = take(r, 1, sizeof integer);
    good = good && at && memcmp(at, &integer, sizeof integer) == 0;
    at = take(r, 1, sizeof number);
    if (at) {
        memcpy(&theirs, at, sizeof theirs);
    }
    good = good && theirs == number;
    take(r, 1, 1); /* how many upvalues */
    return good && !r->bad;
}

static int append_dump(lua_State *L, const void *data, size_t len, void *user)
{
    return hob_buf_append(user, data, len);
}

/* The function on top of L. @return whether it could be read to its end */
static bool read_lines(lua_State *L, line_fn *each, void *user)
{
    struct hob_buf dump;
    hob_buf_init(&dump, DUMP_MAX);
    bool good = lua_dump(L, append_dump, &dump, 0) == 0;
    const unsigned char *data = (const unsigned char *)hob_buf_data(&dump);
    if (good && data) {
        struct reader r = {.at = data, .end = data + hob_buf_len(&dump), .each = each};
        r.user = user;
        good = read_header(&r);
        if (good) {
            read_function(&r);
            good = !r.bad && r.at == r.end;
        }
    }
    hob_buf_free(&dump);
    return good;
}

/* ---- lines with code ---- */

struct gathering {
    struct hob_debug_lines *lines;
    size_t room;
    bool no_memory;
};

/* What a vararg function begins with is no line that a hook would be called for. */
static void gather(void *user, int line, uint32_t instruction, size_t pc, bool is_vararg)
{
    struct gathering *all = user;
    size_t count = all->lines->count;
    if ((pc == 0 && is_vararg) || all->no_memory || line < 1) {
        return;
    }
    if (count > 0 && all->lines->items[count - 1] == line) {
        return;
    }
    if (count == all->room) {
        size_t room = all->room ? all->room * 2 : 256;
        int *items = hob_realloc(all->lines->items, room * sizeof *items);
        if (!items) {
            all->no_memory = true;
            return;
        }
        all->lines->items = items;
        all->room = room;
    }
    all->lines->items[all->lines->count++] = line;
}

static int compare_lines(const void *left, const void *right)
{
    int a = *(const int *)left, b = *(const int *)right;
    return (a > b) - (a < b);
}

static void sort_lines(struct hob_debug_lines *lines)
{
    size_t kept = 0;
    if (lines->count == 0) {
        return;
    }
    qsort(lines->items, lines->count, sizeof *lines->items, compare_lines);
    for (size_t i = 0; i < lines->count; i++) {
        if (kept == 0 || lines->items[kept - 1] != lines->items[i]) {
            lines->items[kept++] = lines->items[i];
        }
    }
    lines->count = kept;
}

static int gather_lines(lua_State *L, struct hob_debug_lines *out, struct hob_error *err)
{
    struct gathering all = {.lines = out};
    if (!read_lines(L, gather, &all)) {
        return hob_error_set(err, HOB_EUNSUPPORTED,
                             "where code is cannot be told: %s writes it in a form that is not "
                             "known",
                             LUA_RELEASE);
    }
    if (all.no_memory) {
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    sort_lines(out);
    return 0;
}

int hob_debug_lines_of(const char *text, size_t len, struct hob_debug_lines *out,
                       struct hob_error *err)
{
    lua_State *L = hob_alloc_lua_state(); /* nothing of it is run */
    if (!L) {
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    int rc = 0;
    if (luaL_loadbufferx(L, text, len, "=text", "t") != LUA_OK) {
        const char *why = lua_tostring(L, -1);
        rc = hob_error_set(err, HOB_EINVAL, "%s", why ? why : "it cannot be compiled");
    } else {
        rc = gather_lines(L, out, err);
    }
    lua_close(L);
    if (rc) {
        hob_debug_lines_free(out);
    }
    return rc;
}

int hob_debug_lines_next(const struct hob_debug_lines *lines, int line)
{
    for (size_t i = 0; i < lines->count; i++) {
        if (lines->items[i] >= line) {
            return lines->items[i];
        }
    }
    return 0;
}

void hob_debug_lines_free(struct hob_debug_lines *lines)
{
    hob_free(lines->items);
    memset(lines, 0, sizeof *lines);
}

/* ---- assignments ---- */

struct search {
    bool fresh[256]; /* registers with a table that was made there, as far as the code is read */
    int line;
};

/* Lua's numbers of those that give no register a new value: metamethods' calls after arithmetic,
 * jumps and comparisons, returns, the filling of a list, and what carries the rest of an argument.
 */
static bool keeps_registers(unsigned opcode)
{
    return (opcode >= 46 && opcode <= 48) || (opcode >= 54 && opcode <= 66) ||
           (opcode >= 70 && opcode <= 72) || opcode == 75 || opcode == 78 || opcode >= 81;
}

/* A table constructor fills the register in which it has made the table. */
static void look_for_assignment(void *user, int line, uint32_t instruction, size_t pc,
                                bool is_vararg)
{
    struct search *search = user;
    unsigned opcode = OPCODE(instruction), reg = ARGUMENT_A(instruction);
    if (pc == 0) {
        memset(search->fresh, 0, sizeof search->fresh);
    }
    if (opcode < OP_SETTABUP || opcode > OP_NEWTABLE) {
        search->fresh[reg] = search->fresh[reg] && keeps_registers(opcode);
    } else if (opcode == OP_NEWTABLE) {
        search->fresh[reg] = true;
    } else if ((opcode == OP_SETTABUP || !search->fresh[reg]) && !search->line) {
        search->line = line > 0 ? line : 1;
    }
}

int hob_look_find_assignment(lua_State *L)
{
    struct search search = {0};
    return read_lines(L, look_for_assignment, &search) ? search.line : 0;
}
