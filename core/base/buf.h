/* buf.h - a growable run of bytes with a maximum, used as builder and as first-in-first-out queue.
 *
 * Life: hob_buf_init -> use -> hob_buf_free. The struct is public so that it can be embedded; touch
 * its members only through these functions. Bytes live in one block that is never larger than
 * `limit` and a NUL. Loop thread only.  Spec: spec/unit/buf_spec.lua
 */
#ifndef HOB_BASE_BUF_H
#define HOB_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct hob_buf {
    char *data;
    size_t start; /* first unread byte */
    size_t len;   /* unread bytes */
    size_t capacity;
    size_t limit;
};

/** @param limit  the most bytes it may hold; must be > 0 */
void hob_buf_init(struct hob_buf *buf, size_t limit);
void hob_buf_free(struct hob_buf *buf); /* legal twice; leaves it as after init */
void hob_buf_clear(struct hob_buf *buf);

/** Append bytes. @return 0, or HOB_EMSGSIZE / HOB_ENOMEM and nothing was appended */
int hob_buf_append(struct hob_buf *buf, const void *data, size_t len);
int hob_buf_append_string(struct hob_buf *buf, const char *string);
int hob_buf_append_integer(struct hob_buf *buf, int64_t value); /* in decimal */
int hob_buf_printf(struct hob_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Room for `len` bytes at the end; fill it, then hob_buf_commit. NULL if over the limit. */
void *hob_buf_reserve(struct hob_buf *buf, size_t len);
void hob_buf_commit(struct hob_buf *buf, size_t len);

/** Drop `len` bytes (at most all) from the front. */
void hob_buf_consume(struct hob_buf *buf, size_t len);

/** If it is empty and has become large: gives its memory back, as after init. */
void hob_buf_give_back(struct hob_buf *buf);

/** Keep only the first `len` bytes (at most all): takes back what was appended after them. */
void hob_buf_truncate(struct hob_buf *buf, size_t len);

const char *hob_buf_data(const struct hob_buf *buf); /* not NUL-terminated; valid until a change */
size_t hob_buf_len(const struct hob_buf *buf);
size_t hob_buf_room(const struct hob_buf *buf); /* bytes until the limit */

/** The content as a NUL-terminated string (the NUL is not counted). NULL if out of memory. */
const char *hob_buf_string(struct hob_buf *buf);

#endif
