#include "work/sandbox_pattern.h"

#include "base/clock.h"
#include "work/task.h"

#include <assert.h>
#include <ctype.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ESCAPE     '%'
#define DEPTH_MAX  200 /* as Lua's */
#define LOOK_STEPS 20000
#define LIMIT_US   UINT64_C(1000000)

/* ---- what it costs ---- */

static void end_call(const struct hob_sandbox_pattern *m)
{
    char words[160];
    snprintf(words, sizeof words,
             "%s: more than %.10g s of processor time for one pattern (subject of %zu bytes)",
             m->caller, (double)LIMIT_US / 1e6, (size_t)(m->subject_end - m->subject));
    hob_task_raise_limit(m->L, 0, words);
}

/* The clock is dear: most calls end before it is asked the first time. */
static void look(struct hob_sandbox_pattern *m)
{
    uint64_t now = hob_clock_cpu_us();
    m->next_look = m->steps + LOOK_STEPS;
    if (m->began_us == 0) {
        m->began_us = now;
    } else if (now - m->began_us > LIMIT_US) {
        end_call(m);
    }
}

static void count(struct hob_sandbox_pattern *m, size_t steps)
{
    m->steps += steps;
    if (m->steps >= m->next_look) {
        look(m);
    }
}

/* ---- one character ---- */

static bool is_in_class(int c, int class)
{
    bool in;
    switch (tolower(class)) {
    case 'a':
        in = isalpha(c);
        break;
    case 'c':
        in = iscntrl(c);
        break;
    case 'd':
        in = isdigit(c);
        break;
    case 'g':
        in = isgraph(c);
        break;
    case 'l':
        in = islower(c);
        break;
    case 'p':
        in = ispunct(c);
        break;
    case 's':
        in = isspace(c);
        break;
    case 'u':
        in = isupper(c);
        break;
    case 'w':
        in = isalnum(c);
        break;
    case 'x':
        in = isxdigit(c);
        break;
    case 'z': /* of Lua 5.1, which Lua still takes */
        in = c == 0;
        break;
    default:
        return class == c;
    }
    return isupper(class) ? !in : in;
}

/* `set` is at "[", `last` at its "]". */
static bool is_in_set(int c, const char *set, const char *last)
{
    bool found = true;
    const char *p = set + 1;
    if (*p == '^') {
        found = false;
        p++;
    }
    while (p < last) {
        if (*p == ESCAPE) {
            if (is_in_class(c, (unsigned char)p[1])) {
                return found;
            }
            p += 2;
        } else if (p[1] == '-' && p + 2 < last) {
            if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2]) {
                return found;
            }
            p += 3;
        } else if ((unsigned char)*p++ == c) {
            return found;
        }
    }
    return !found;
}

static const char *end_of_set(struct hob_sandbox_pattern *m, const char *p)
{
    p += *p == '^';
    do {
        if (p == m->pattern_end) {
            luaL_error(m->L, "malformed pattern (missing ']')");
        }
        bool escaped = *p++ == ESCAPE;
        p += escaped && p < m->pattern_end;
    } while (*p != ']'); /* a NUL byte is behind the end: once more, to say so */
    return p + 1;
}

/* Behind the single character, class or set that begins at `p`. */
static const char *end_of_single(struct hob_sandbox_pattern *m, const char *p)
{
    char first = *p++;
    if (first == '[') {
        return end_of_set(m, p);
    }
    if (first == ESCAPE) {
        if (p == m->pattern_end) {
            luaL_error(m->L, "malformed pattern (ends with '%%')");
        }
        p++;
    }
    return p;
}

static bool fits(const struct hob_sandbox_pattern *m, const char *at, const char *single,
                 const char *end)
{
    assert(at);
    if (at >= m->subject_end) {
        return false;
    }
    int c = (unsigned char)*at;
    switch (*single) {
    case '.':
        return true;
    case ESCAPE:
        return is_in_class(c, (unsigned char)single[1]);
    case '[':
        return is_in_set(c, single, end - 1);
    default:
        return (unsigned char)*single == c;
    }
}

/* ---- what is more than one character ---- */

/* %bxy */
static const char *match_balanced(struct hob_sandbox_pattern *m, const char *at, const char *p)
{
    if (p + 1 >= m->pattern_end) {
        luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    }
    if (at >= m->subject_end || *at != p[0]) {
        return NULL;
    }
    size_t open = 1;
    for (const char *s = at + 1; s < m->subject_end; s++) {
        count(m, 1);
        if (*s == p[1]) {
            if (--open == 0) {
                return s + 1;
            }
        } else if (*s == p[0]) {
            open++;
        }
    }
    return NULL;
}

/* %f[set]. @return behind it, or NULL */
static const char *match_frontier(struct hob_sandbox_pattern *m, const char *at, const char *p)
{
    if (p >= m->pattern_end || *p != '[') {
        luaL_error(m->L, "missing '[' after '%%f' in pattern");
    }
    const char *end = end_of_single(m, p);
    int before = at == m->subject ? '\0' : (unsigned char)at[-1];
    int here = at == m->subject_end ? '\0' : (unsigned char)*at;
    return !is_in_set(before, p, end - 1) && is_in_set(here, p, end - 1) ? end : NULL;
}

/* %1 */
static const char *match_again(struct hob_sandbox_pattern *m, const char *at, char digit)
{
    int index = digit - '1';
    if (index < 0 || index >= m->count || m->captures[index].len == HOB_SANDBOX_CAPTURE_OPEN) {
        luaL_error(m->L, "invalid capture index %%%d", index + 1);
    }
    size_t len = (size_t)m->captures[index].len; /* of a position: larger than what is left */
    if ((size_t)(m->subject_end - at) < len) {
        return NULL;
    }
    count(m, len / 16);
    return memcmp(m->captures[index].begin, at, len) == 0 ? at + len : NULL;
}

static const char *match(struct hob_sandbox_pattern *m, const char *at, const char *p);

/* single* and single+: as many as there are, then fewer. */
static const char *match_most(struct hob_sandbox_pattern *m, const char *at, const char *p,
                              const char *end, size_t least)
{
    size_t n = 0;
    while (fits(m, at + n, p, end)) {
        count(m, 1);
        n++;
    }
    for (;; n--) {
        if (n < least) {
            return NULL;
        }
        const char *rest = match(m, at + n, end + 1);
        if (rest || n == 0) {
            return rest;
        }
    }
}

/* single- */
static const char *match_least(struct hob_sandbox_pattern *m, const char *at, const char *p,
                               const char *end)
{
    for (;; at++) {
        const char *rest = match(m, at, end + 1);
        if (rest) {
            return rest;
        }
        if (!fits(m, at, p, end)) {
            return NULL;
        }
    }
}

static const char *open_capture(struct hob_sandbox_pattern *m, const char *at, const char *p,
                                ptrdiff_t len)
{
    if (m->count >= HOB_SANDBOX_CAPTURES_MAX) {
        luaL_error(m->L, "too many captures");
    }
    m->captures[m->count].begin = at;
    m->captures[m->count].len = len;
    m->count++;
    const char *rest = match(m, at, p);
    if (!rest) {
        m->count--;
    }
    return rest;
}

static const char *close_capture(struct hob_sandbox_pattern *m, const char *at, const char *p)
{
    int index = m->count - 1;
    while (index >= 0 && m->captures[index].len != HOB_SANDBOX_CAPTURE_OPEN) {
        index--;
    }
    if (index < 0) {
        luaL_error(m->L, "invalid pattern capture");
    }
    m->captures[index].len = at - m->captures[index].begin;
    const char *rest = match(m, at, p);
    if (!rest) {
        m->captures[index].len = HOB_SANDBOX_CAPTURE_OPEN;
    }
    return rest;
}

/* ---- all of it ---- */

/* What takes a fixed way: *p and *at go on, or false. */
static bool match_special(struct hob_sandbox_pattern *m, const char **at, const char **p)
{
    char kind = (*p)[1];
    if (kind == 'f') {
        *p = match_frontier(m, *at, *p + 2);
        return *p != NULL;
    }
    *at = kind == 'b' ? match_balanced(m, *at, *p + 2) : match_again(m, *at, kind);
    *p += kind == 'b' ? 4 : 2;
    return *at != NULL;
}

static bool is_special(const struct hob_sandbox_pattern *m, const char *p)
{
    return *p == ESCAPE && p + 1 < m->pattern_end &&
           (p[1] == 'b' || p[1] == 'f' || isdigit((unsigned char)p[1]));
}

static const char *match_from(struct hob_sandbox_pattern *m, const char *at, const char *p)
{
    while (p != m->pattern_end) {
        count(m, 1);
        if (*p == '(') {
            return p[1] == ')' ? open_capture(m, at, p + 2, HOB_SANDBOX_CAPTURE_POSITION)
                               : open_capture(m, at, p + 1, HOB_SANDBOX_CAPTURE_OPEN);
        } else if (*p == ')') {
            return close_capture(m, at, p + 1);
        } else if (*p == '$' && p + 1 == m->pattern_end) {
            return at == m->subject_end ? at : NULL;
        } else if (is_special(m, p)) {
            if (!match_special(m, &at, &p)) {
                return NULL;
            }
            continue;
        }
        const char *end = end_of_single(m, p);
        char repeat = end < m->pattern_end ? *end : '\0';
        if (repeat == '*' || repeat == '+') {
            return match_most(m, at, p, end, repeat == '+');
        } else if (repeat == '-') {
            return match_least(m, at, p, end);
        }
        bool one = fits(m, at, p, end);
        if (repeat == '?') {
            const char *rest = one ? match(m, at + 1, end + 1) : NULL;
            if (rest) {
                return rest;
            }
            p = end + 1;
        } else if (one) {
            at++;
            p = end;
        } else {
            return NULL;
        }
    }
    return at;
}

static const char *match(struct hob_sandbox_pattern *m, const char *at, const char *p)
{
    if (m->depth-- == 0) {
        luaL_error(m->L, "pattern too complex");
    }
    const char *end = match_from(m, at, p);
    m->depth++;
    return end;
}

void hob_sandbox_pattern_init(struct hob_sandbox_pattern *m, lua_State *L, const char *caller,
                              const char *subject, size_t subject_len, const char *pattern,
                              size_t pattern_len)
{
    m->L = L;
    m->caller = caller;
    m->subject = subject;
    m->subject_end = subject + subject_len;
    m->pattern_end = pattern + pattern_len;
    m->steps = 0;
    m->next_look = LOOK_STEPS;
    m->began_us = 0;
    m->depth = DEPTH_MAX;
    m->count = 0;
}

const char *hob_sandbox_pattern_match(struct hob_sandbox_pattern *m, const char *at,
                                      const char *pattern)
{
    m->count = 0;
    m->depth = DEPTH_MAX;
    return match(m, at, pattern);
}

/* ---- captures ---- */

void hob_sandbox_pattern_push(struct hob_sandbox_pattern *m, int index, const char *begin,
                              const char *end)
{
    if (index >= m->count) {
        if (index != 0) {
            luaL_error(m->L, "invalid capture index %%%d", index + 1);
        }
        lua_pushlstring(m->L, begin, (size_t)(end - begin));
        return;
    }
    ptrdiff_t len = m->captures[index].len;
    if (len == HOB_SANDBOX_CAPTURE_OPEN) {
        luaL_error(m->L, "unfinished capture");
    } else if (len == HOB_SANDBOX_CAPTURE_POSITION) {
        lua_pushinteger(m->L, m->captures[index].begin - m->subject + 1);
    } else {
        lua_pushlstring(m->L, m->captures[index].begin, (size_t)len);
    }
}

int hob_sandbox_pattern_push_all(struct hob_sandbox_pattern *m, const char *begin, const char *end)
{
    int n = m->count == 0 && begin ? 1 : m->count;
    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++) {
        hob_sandbox_pattern_push(m, i, begin, end);
    }
    return n;
}
