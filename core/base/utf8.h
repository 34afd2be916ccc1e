/* utf8.h - where characters begin and end in bytes that may be anything.
 *
 * Header only: what log, json, error and whoever cuts text share. Valid is what RFC
 * 3629 says: no overlong forms, no surrogates, nothing over U+10FFFF.
 *
 * Any thread.  Spec: spec/unit/json_spec.lua
 */
#ifndef HOB_BASE_UTF8_H
#define HOB_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

static inline bool hob_utf8_is_tail(unsigned char byte)
{
    return (byte & 0xC0) == 0x80;
}

/** @return how many bytes the character at `text` has (1-4), 0 if there is no valid one */
static inline size_t hob_utf8_length(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    if (len == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xC2 || s[0] > 0xF4)
        return 0;
    if (len < 2 || !hob_utf8_is_tail(s[1]))
        return 0;
    if (s[0] < 0xE0)
        return 2;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) ||
        (s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F))
        return 0;
    if (len < 3 || !hob_utf8_is_tail(s[2]))
        return 0;
    if (s[0] < 0xF0)
        return 3;
    return len >= 4 && hob_utf8_is_tail(s[3]) ? 4 : 0;
}

/** @return the first byte that is not part of a valid character, `len` if there is none */
static inline size_t hob_utf8_valid(const char *text, size_t len)
{
    size_t at = 0;
    while (at < len) {
        size_t n = hob_utf8_length(text + at, len - at);
        if (n == 0)
            break;
        at += n;
    }
    return at;
}

/** @return the largest length up to `max` that cuts no character of `text` in two */
static inline size_t hob_utf8_cut(const char *text, size_t len, size_t max)
{
    if (len <= max)
        return len;
    size_t at = max;
    while (at > 0 && max - at < 3 && hob_utf8_is_tail((unsigned char)text[at]))
        at--;
    return hob_utf8_is_tail((unsigned char)text[at]) ? max : at;
}

/** Write the character of that number. @return how many bytes it has (1-4) */
static inline size_t hob_utf8_put(unsigned code, char out[4])
{
    static const unsigned char heads[] = {0, 0xC0, 0xE0, 0xF0};
    if (code < 0x80)
        return out[0] = (char)code, 1;
    int tails = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    out[0] = (char)(heads[tails] | code >> (6 * tails));
    for (int i = 1; i <= tails; i++)
        out[i] = (char)(0x80 | (code >> (6 * (tails - i)) & 0x3F));
    return (size_t)tails + 1;
}

#endif
