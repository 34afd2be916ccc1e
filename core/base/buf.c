/* buf.c - see buf.h */
#include "base/buf.h"

#include "base/alloc.h"
#include "base/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define FIRST_CAPACITY 64
#define SMALL_CAPACITY 1024 /* what one that is empty may keep */

void hob_buf_init(struct hob_buf *buf, size_t limit)
{
    assert(limit > 0 && limit < SIZE_MAX / 2);
    *buf = (struct hob_buf){.limit = limit};
}

void hob_buf_free(struct hob_buf *buf)
{
    hob_free(buf->data);
    *buf = (struct hob_buf){.limit = buf->limit};
}

void hob_buf_clear(struct hob_buf *buf)
{
    buf->start = buf->len = 0;
}

static void move_to_front(struct hob_buf *buf)
{
    if (buf->data && buf->start > 0)
        memmove(buf->data, buf->data + buf->start, buf->len);
    buf->start = 0;
}

static bool grow(struct hob_buf *buf, size_t need)
{
    size_t most = buf->limit + 1; /* one more, for hob_buf_string's NUL */
    size_t capacity = buf->capacity > most / 2 ? most : buf->capacity * 2;
    if (capacity < FIRST_CAPACITY)
        capacity = FIRST_CAPACITY < most ? FIRST_CAPACITY : most;
    if (capacity < need)
        capacity = need;
    move_to_front(buf);
    char *data = hob_realloc(buf->data, capacity);
    if (!data)
        return false;
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

/* A queue that is read and written by turns is moved rarely: only when half of it has been read, or
 * when it cannot grow. `extra` bytes are not counted against the limit. */
static int make_room(struct hob_buf *buf, size_t len, size_t extra)
{
    if (len > buf->limit - buf->len)
        return HOB_EMSGSIZE;
    size_t need = buf->len + len + extra;
    if (buf->data && buf->start + need <= buf->capacity)
        return 0;
    if (buf->data && need <= buf->capacity &&
        (buf->start >= buf->capacity / 2 || buf->capacity > buf->limit)) {
        move_to_front(buf);
        return 0;
    }
    return grow(buf, need > 0 ? need : 1) ? 0 : HOB_ENOMEM;
}

int hob_buf_append(struct hob_buf *buf, const void *data, size_t len)
{
    if (len == 0)
        return 0;
    int code = make_room(buf, len, 0);
    if (code)
        return code;
    memcpy(buf->data + buf->start + buf->len, data, len);
    buf->len += len;
    return 0;
}

int hob_buf_append_string(struct hob_buf *buf, const char *string)
{
    return hob_buf_append(buf, string, strlen(string));
}

/* Most texts fit into the room that is there: only those that do not are written twice. */
int hob_buf_printf(struct hob_buf *buf, const char *format, ...)
{
    va_list args, again;
    size_t end = buf->start + buf->len, room = buf->data ? buf->capacity - end : 0;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(room > 0 ? buf->data + end : NULL, room, format, args);
    va_end(args);
    int code = len < 0 ? HOB_EINVAL : make_room(buf, (size_t)len, 1);
    if (code == 0) {
        if ((size_t)len >= room)
            vsnprintf(buf->data + buf->start + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    } else if (room > 0) {
        buf->data[end] = '\0'; /* as hob_buf_string may have left it */
    }
    va_end(again);
    return code;
}

int hob_buf_append_integer(struct hob_buf *buf, int64_t value)
{
    char text[24], *at = text + sizeof text;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        *--at = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (value < 0)
        *--at = '-';
    return hob_buf_append(buf, at, (size_t)(text + sizeof text - at));
}

void *hob_buf_reserve(struct hob_buf *buf, size_t len)
{
    return make_room(buf, len, 0) == 0 ? buf->data + buf->start + buf->len : NULL;
}

void hob_buf_commit(struct hob_buf *buf, size_t len)
{
    assert(len <= buf->capacity - buf->start - buf->len && len <= buf->limit - buf->len);
    buf->len += len;
}

void hob_buf_consume(struct hob_buf *buf, size_t len)
{
    assert(len <= buf->len);
    buf->len -= len;
    buf->start = buf->len > 0 ? buf->start + len : 0;
}

void hob_buf_give_back(struct hob_buf *buf)
{
    if (buf->len == 0 && buf->capacity > SMALL_CAPACITY)
        hob_buf_free(buf);
}

void hob_buf_truncate(struct hob_buf *buf, size_t len)
{
    assert(len <= buf->len);
    buf->len = len;
}

const char *hob_buf_data(const struct hob_buf *buf)
{
    return buf->data ? buf->data + buf->start : "";
}

size_t hob_buf_len(const struct hob_buf *buf)
{
    return buf->len;
}

size_t hob_buf_room(const struct hob_buf *buf)
{
    return buf->limit - buf->len;
}

const char *hob_buf_string(struct hob_buf *buf)
{
    if (make_room(buf, 0, 1) != 0)
        return NULL;
    buf->data[buf->start + buf->len] = '\0';
    return buf->data + buf->start;
}
