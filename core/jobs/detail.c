#include "jobs/detail.h"

#include "base/json.h"
#include "base/utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define VALUE_BYTES_MAX (HOB_JOBS_DETAIL_VALUE_MAX * 4)

/* ---- one value ---- */

/** @return the bytes of one character; what is not UTF-8 is U+FFFD, one byte at a time */
static size_t next_char(const char *text, size_t len, uint32_t *out)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t count = hob_utf8_length(text, len);
    *out = count == 0 ? 0xFFFD : count == 1 ? s[0] : s[0] & (0xFFu >> (count + 1));
    for (size_t i = 1; i < count; i++)
        *out = *out << 6 | (s[i] & 0x3F);
    return count ? count : 1;
}

/** Of \p{C}: control, format and private characters, and those that are none. (Unassigned ones
 * change with each version of Unicode and are let through.) */
static bool refused(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {{0, 0x1F},          {0x7F, 0x9F},       {0xAD, 0xAD},       {0x600, 0x605},
                  {0x61C, 0x61C},     {0x6DD, 0x6DD},     {0x70F, 0x70F},     {0x890, 0x891},
                  {0x8E2, 0x8E2},     {0x180E, 0x180E},   {0x200B, 0x200F},   {0x202A, 0x202E},
                  {0x2060, 0x206F},   {0xE000, 0xF8FF},   {0xFDD0, 0xFDEF},   {0xFEFF, 0xFEFF},
                  {0xFFF0, 0xFFFB},   {0x110BD, 0x110BD}, {0x110CD, 0x110CD}, {0x13430, 0x1343F},
                  {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE00FF}, {0xE01F0, 0x10FFFF}};
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    }
    return (c & 0xFFFE) == 0xFFFE;
}

/** AWS may count in UTF-16 units, as Java does: what fits so fits by any count. */
static size_t units(uint32_t c)
{
    return c > 0xFFFF && !refused(c) ? 2 : 1;
}

static size_t count_units(const char *value, size_t len)
{
    size_t count = 0;
    uint32_t c;
    for (size_t i = 0; i < len; count += units(c))
        i += next_char(value + i, len - i, &c);
    return count;
}

/** Walk over characters of at most `most` units. @return bytes; *units_out of those */
static size_t walk(const char *value, size_t len, size_t most, size_t *units_out)
{
    size_t at = 0, used = 0;
    uint32_t c;
    while (at < len) {
        size_t bytes = next_char(value + at, len - at, &c);
        if (used + units(c) > most)
            break;
        used += units(c);
        at += bytes;
    }
    *units_out = used;
    return at;
}

static int put_char(struct hob_buf *out, const char *bytes, size_t len, uint32_t c)
{
    if (refused(c))
        return hob_buf_append(out, " ", 1);
    return c == 0xFFFD ? hob_buf_append(out, "\xEF\xBF\xBD", 3) : hob_buf_append(out, bytes, len);
}

static int put_clean(struct hob_buf *out, const char *value, size_t len)
{
    uint32_t c;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < len;) {
        size_t bytes = next_char(value + i, len - i, &c);
        rc = put_char(out, value + i, bytes, c);
        i += bytes;
    }
    return rc;
}

#define CUT_NOTE "[cut %zu characters]"

static int put_tail(struct hob_buf *out, const char *value, size_t len, size_t cut)
{
    size_t skipped;
    size_t at = walk(value, len, cut, &skipped);
    if (skipped < cut) { /* a character of two units stands across the cut */
        uint32_t c;
        at += next_char(value + at, len - at, &c);
        skipped += units(c);
    }
    int rc = hob_buf_printf(out, CUT_NOTE " ", skipped);
    return rc < 0 ? rc : put_clean(out, value + at, len - at);
}

static int put_head(struct hob_buf *out, const char *value, size_t len, size_t total, size_t keep)
{
    size_t kept;
    size_t bytes = walk(value, len, keep, &kept);
    int rc = put_clean(out, value, bytes);
    return rc < 0 ? rc : hob_buf_printf(out, " " CUT_NOTE, total - kept);
}

int hob_jobs_detail_fit(struct hob_buf *out, const char *value, size_t len, bool keep_tail)
{
    if (len == 0)
        return hob_buf_append(out, "-", 1);
    size_t total = count_units(value, len);
    if (total <= HOB_JOBS_DETAIL_VALUE_MAX)
        return put_clean(out, value, len);
    size_t note = (size_t)snprintf(NULL, 0, CUT_NOTE " ", total);
    size_t keep = HOB_JOBS_DETAIL_VALUE_MAX - note;
    return keep_tail ? put_tail(out, value, len, total - keep)
                     : put_head(out, value, len, total, keep);
}

/* ---- pairs ---- */

bool hob_jobs_detail_key_valid(const char *key, size_t len)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789:_-";
    if (!key || len < 1 || len > HOB_JOBS_DETAIL_KEY_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!memchr(allowed, key[i], sizeof(allowed) - 1))
            return false;
    }
    return true;
}

static bool usable(const struct hob_jobs_detail *details, size_t index)
{
    const char *key = details[index].key;
    if (!key || !hob_jobs_detail_key_valid(key, strnlen(key, HOB_JOBS_DETAIL_KEY_MAX + 1)))
        return false;
    for (size_t i = 0; i < index; i++) {
        if (details[i].key && strcmp(details[i].key, key) == 0)
            return false;
    }
    return true;
}

/** Append `"key":"value"`. `scratch` is cleared first. */
static int put_pair(struct hob_buf *out, struct hob_buf *scratch,
                    const struct hob_jobs_detail *detail, bool first)
{
    hob_buf_clear(scratch);
    int rc = hob_jobs_detail_fit(scratch, detail->value ? detail->value : "",
                                 detail->value ? detail->len : 0, detail->keep_tail);
    if (rc == 0)
        rc = hob_buf_append_string(out, first ? "\"" : ",\"");
    if (rc == 0)
        rc = hob_buf_append_string(out, detail->key);
    if (rc == 0)
        rc = hob_buf_append_string(out, "\":");
    return rc < 0 ? rc : hob_json_quote(out, hob_buf_data(scratch), hob_buf_len(scratch));
}

int hob_jobs_details_fit(struct hob_buf *out, const struct hob_jobs_detail *details, size_t count)
{
    struct hob_buf scratch;
    size_t begin = hob_buf_len(out);
    int dropped = 0, used = 0;
    int rc = hob_buf_append_string(out, "{");
    hob_buf_init(&scratch, VALUE_BYTES_MAX);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (used == HOB_JOBS_DETAILS_MAX || !usable(details, i))
            dropped++;
        else
            rc = put_pair(out, &scratch, &details[i], used++ == 0);
    }
    hob_buf_free(&scratch);
    if (rc == 0)
        rc = hob_buf_append_string(out, "}");
    if (rc < 0)
        hob_buf_truncate(out, begin);
    return rc < 0 ? rc : dropped;
}
