/* exec_output.c - see exec_output.h */
#include "device/exec_output.h"

#include "base/alloc.h"

#include <string.h>

#define LINE_MAX_BYTES (64 * 1024)
#define TAIL_DEFAULT   (64 * 1024)
#define TAIL_MAX       (16 * 1024 * 1024)

/* ---- tails ---- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

void hob_exec_tail_init(struct hob_exec_tail *tail, size_t limit)
{
    *tail = (struct hob_exec_tail){.limit = smaller(limit ? limit : TAIL_DEFAULT, TAIL_MAX)};
}

void hob_exec_tail_free(struct hob_exec_tail *tail)
{
    hob_free(tail->data);
    *tail = (struct hob_exec_tail){0};
}

/* Without memory the tail stays as large as it is: output is never a reason to fail. */
static void tail_grow(struct hob_exec_tail *tail, size_t want)
{
    size_t capacity = tail->capacity ? tail->capacity : 1024;
    while (capacity < want)
        capacity *= 2;
    capacity = smaller(capacity, tail->limit);
    char *data = hob_realloc(tail->data, capacity + 1); /* and a NUL */
    if (data) {
        tail->data = data;
        tail->capacity = capacity;
    } else {
        tail->limit = tail->capacity;
    }
}

static void tail_wrap(struct hob_exec_tail *tail, const char *data, size_t len)
{
    while (len > 0) {
        size_t part = smaller(len, tail->capacity - tail->next);
        memcpy(tail->data + tail->next, data, part);
        tail->next = (tail->next + part) % tail->capacity;
        tail->cut += part;
        data += part;
        len -= part;
    }
}

void hob_exec_tail_add(struct hob_exec_tail *tail, const char *data, size_t len)
{
    if (tail->len + len > tail->capacity && tail->capacity < tail->limit)
        tail_grow(tail, tail->len + len);
    size_t fresh = smaller(len, tail->capacity - tail->len);
    if (fresh > 0) {
        memcpy(tail->data + tail->len, data, fresh);
        tail->len += fresh;
    }
    if (tail->capacity > 0)
        tail_wrap(tail, data + fresh, len - fresh);
    else
        tail->cut += len;
}

static void reverse(char *data, size_t len)
{
    for (size_t i = 0; i < len / 2; i++) {
        char swap = data[i];
        data[i] = data[len - 1 - i];
        data[len - 1 - i] = swap;
    }
}

/* Turned in place, since a second copy of 16 MB may not be there. */
const char *hob_exec_tail_finish(struct hob_exec_tail *tail)
{
    if (!tail->data)
        return "";
    reverse(tail->data, tail->next);
    reverse(tail->data + tail->next, tail->len - tail->next);
    reverse(tail->data, tail->len);
    tail->data[tail->len] = '\0';
    return tail->data;
}

/* ---- lines ---- */

void hob_exec_lines_init(struct hob_exec_lines *lines,
                         bool (*give)(void *user, const char *line, size_t len), void *user)
{
    *lines = (struct hob_exec_lines){.give = give, .user = user};
    hob_buf_init(&lines->line, LINE_MAX_BYTES);
}

void hob_exec_lines_free(struct hob_exec_lines *lines)
{
    hob_buf_free(&lines->line);
}

static bool give(struct hob_exec_lines *lines)
{
    bool more = lines->give(lines->user, hob_buf_data(&lines->line), hob_buf_len(&lines->line));
    hob_buf_clear(&lines->line);
    lines->is_cut = false;
    return more;
}

static void add_to_line(struct hob_exec_lines *lines, const char *data, size_t len)
{
    size_t fits = smaller(len, hob_buf_room(&lines->line));
    if (hob_buf_append(&lines->line, data, fits) || fits < len)
        lines->is_cut = true;
}

void hob_exec_lines_add(struct hob_exec_lines *lines, const char *data, size_t len)
{
    while (len > 0) {
        const char *newline = memchr(data, '\n', len);
        size_t part = newline ? (size_t)(newline - data) : len;
        add_to_line(lines, data, part);
        if (!newline || !give(lines))
            return;
        data += part + 1;
        len -= part + 1;
    }
}

void hob_exec_lines_flush(struct hob_exec_lines *lines)
{
    if (hob_buf_len(&lines->line) > 0 || lines->is_cut)
        give(lines);
}
