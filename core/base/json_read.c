/* json_read.c - see json_values.h: what RFC 8259 allows, within the limits of json.h.
 *
 * Must take and refuse what hob_json_push does, with the same values; a spec compares the two.
 */
#include "base/alloc.h"
#include "base/json_values.h"
#include "base/utf8.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 32
/* What stays between two documents; more is given back before the next one. */
#define KEPT_VALUES 512
#define KEPT_TEXT   16384

/* The text ends with a NUL, which no rule allows: so nobody need ask where it ends. */
struct reader {
    struct hob_json_values *values;
    char *at;
    const char *end;
    int depth;
    bool no_memory;
};

/* ---- memory ---- */

void hob_json_values_free(struct hob_json_values *values)
{
    hob_free(values->text);
    hob_free(values->list);
    *values = (struct hob_json_values){0};
}

static bool copy_text(struct hob_json_values *values, const char *text, size_t len)
{
    if (values->text_size <= len) {
        hob_free(values->text);
        values->text_size = 0;
        values->text = hob_malloc(len + 1);
        if (!values->text)
            return false;
        values->text_size = len + 1;
    }
    memcpy(values->text, text, len);
    values->text[len] = '\0';
    return true;
}

/* @return the new value, NULL: out of memory. Only its type is set */
static struct hob_json_value *add_value(struct reader *reader, enum hob_json_type type)
{
    struct hob_json_values *values = reader->values;
    if (values->count == values->capacity) {
        uint32_t capacity = values->capacity ? 2 * values->capacity : FIRST_CAPACITY;
        struct hob_json_value *list = hob_realloc(values->list, capacity * sizeof *list);
        if (!list) {
            reader->no_memory = true;
            return NULL;
        }
        values->list = list;
        values->capacity = capacity;
    }
    struct hob_json_value *value = &values->list[values->count++];
    *value = (struct hob_json_value){.type = (uint8_t)type, .next = values->count};
    return value;
}

/* ---- strings ---- */

static bool read_hex4(struct reader *reader, unsigned *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        char c = *reader->at++, letter = (char)(c | 0x20);
        if (c >= '0' && c <= '9')
            *out = *out << 4 | (unsigned)(c - '0');
        else if (letter >= 'a' && letter <= 'f')
            *out = *out << 4 | (unsigned)(letter - 'a' + 10);
        else
            return false;
    }
    return true;
}

/* After "\u". A half of a pair does not stand alone. */
static bool read_code_point(struct reader *reader, unsigned *out)
{
    unsigned low;
    if (!read_hex4(reader, out))
        return false;
    if (*out < 0xD800 || *out > 0xDFFF)
        return true;
    if (*out > 0xDBFF || reader->at[0] != '\\' || reader->at[1] != 'u')
        return false;
    reader->at += 2;
    if (!read_hex4(reader, &low) || low < 0xDC00 || low > 0xDFFF)
        return false;
    *out = 0x10000 + ((*out & 0x3FF) << 10) + (low & 0x3FF);
    return true;
}

/* After the backslash. What is written is never longer than what was read. */
static bool read_escape(struct reader *reader, char **to)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    char c = *reader->at++;
    unsigned code;
    const char *letter = c ? strchr(letters, c) : NULL;
    if (letter) {
        *(*to)++ = meant[letter - letters];
        return true;
    }
    if (c != 'u' || !read_code_point(reader, &code))
        return false;
    *to += hob_utf8_put(code, *to);
    return true;
}

/* @return how many bytes from here on stand for themselves; 0: the next one does not, or is none */
static size_t plain_bytes(const struct reader *reader)
{
    const unsigned char *at = (const unsigned char *)reader->at;
    while (*at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\')
        at++;
    size_t n = (size_t)((const char *)at - reader->at);
    if (n == 0 && *at >= 0x80)
        n = hob_utf8_length(reader->at, (size_t)(reader->end - reader->at));
    return n;
}

/* From the quote on. Unescaped where it stands; a NUL takes the place of the last quote, or comes
 * before it. */
static bool read_string(struct reader *reader, uint32_t *at, uint32_t *len)
{
    char *begin = ++reader->at, *to = begin;
    while (*reader->at != '"') {
        size_t n = plain_bytes(reader);
        if (n > 0) {
            if (to != reader->at)
                memmove(to, reader->at, n);
            to += n;
            reader->at += n;
        } else if (*reader->at++ != '\\' || !read_escape(reader, &to)) {
            return false;
        }
    }
    reader->at++;
    *to = '\0';
    *at = (uint32_t)(begin - reader->values->text);
    *len = (uint32_t)(to - begin);
    return true;
}

/* ---- numbers ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool skip_digits(struct reader *reader)
{
    if (!is_digit(*reader->at))
        return false;
    while (is_digit(*reader->at))
        reader->at++;
    return true;
}

/* @return its absolute value, or some number over the largest */
static uint64_t read_digits(struct reader *reader)
{
    uint64_t value = 0;
    for (; is_digit(*reader->at); reader->at++)
        value = value <= HOB_JSON_INTEGER_MAX ? value * 10 + (uint64_t)(*reader->at - '0') : value;
    return value;
}

/* With a point or an exponent, which is where the reader is. */
static bool read_fraction(struct reader *reader, char *begin, struct hob_json_value *value)
{
    if (*reader->at == '.') {
        *reader->at++ = *localeconv()->decimal_point; /* a script may have set a locale */
        if (!skip_digits(reader))
            return false;
    }
    if (*reader->at == 'e' || *reader->at == 'E') {
        reader->at++;
        reader->at += *reader->at == '+' || *reader->at == '-';
        if (!skip_digits(reader))
            return false;
    }
    double number = strtod(begin, NULL);
    value->is_integer = floor(number) == number && fabs(number) <= (double)HOB_JSON_INTEGER_MAX;
    if (value->is_integer)
        value->integer = (int64_t)number;
    else
        value->number = number;
    return isfinite(number);
}

static bool read_number(struct reader *reader)
{
    struct hob_json_value *value = add_value(reader, HOB_JSON_NUMBER);
    char *begin = reader->at;
    bool negative = *begin == '-';
    reader->at += negative;
    if (!value || !is_digit(*reader->at) || (*reader->at == '0' && is_digit(reader->at[1])))
        return false;
    uint64_t digits = read_digits(reader);
    if (*reader->at == '.' || *reader->at == 'e' || *reader->at == 'E')
        return read_fraction(reader, begin, value);
    value->is_integer = true;
    value->integer = negative ? -(int64_t)digits : (int64_t)digits;
    return digits <= HOB_JSON_INTEGER_MAX;
}

/* ---- values ---- */

static void skip_blanks(struct reader *reader)
{
    while (*reader->at == ' ' || *reader->at == '\n' || *reader->at == '\t' || *reader->at == '\r')
        reader->at++;
}

static bool take(struct reader *reader, char c)
{
    skip_blanks(reader);
    if (*reader->at != c)
        return false;
    reader->at++;
    return true;
}

static bool read_value(struct reader *reader);

static bool read_member(struct reader *reader)
{
    uint32_t key, len, place = reader->values->count;
    skip_blanks(reader);
    if (*reader->at != '"' || !read_string(reader, &key, &len) || !take(reader, ':') ||
        !read_value(reader))
        return false;
    reader->values->list[place].key = key;
    reader->values->list[place].key_len = len;
    return true;
}

/* An object or a list, from its bracket on. */
static bool read_all(struct reader *reader, char close, bool (*read)(struct reader *reader))
{
    uint32_t place = reader->values->count, count = 0;
    if (reader->depth == HOB_JSON_DEPTH_MAX || !add_value(reader, HOB_JSON_OBJECT))
        return false;
    reader->depth++;
    reader->at++;
    if (!take(reader, close)) {
        do {
            if (!read(reader))
                return false;
            count++;
        } while (take(reader, ','));
        if (!take(reader, close))
            return false;
    }
    reader->depth--;
    struct hob_json_value *value = &reader->values->list[place];
    value->type = close == ']' && count > 0 ? HOB_JSON_ARRAY : HOB_JSON_OBJECT;
    value->count = count;
    value->next = reader->values->count;
    return true;
}

static bool read_word(struct reader *reader, const char *word, enum hob_json_type type)
{
    size_t len = strlen(word);
    struct hob_json_value *value = add_value(reader, type);
    if (!value || strncmp(reader->at, word, len) != 0)
        return false;
    value->boolean = *word == 't';
    reader->at += len;
    return true;
}

static bool read_text(struct reader *reader)
{
    uint32_t at, len;
    struct hob_json_value *value = add_value(reader, HOB_JSON_STRING);
    if (!value || !read_string(reader, &at, &len))
        return false;
    value->string.at = at;
    value->string.len = len;
    return true;
}

static bool read_kind(struct reader *reader)
{
    switch (*reader->at) {
    case '{':
        return read_all(reader, '}', read_member);
    case '[':
        return read_all(reader, ']', read_value);
    case '"':
        return read_text(reader);
    case 't':
        return read_word(reader, "true", HOB_JSON_BOOLEAN);
    case 'f':
        return read_word(reader, "false", HOB_JSON_BOOLEAN);
    case 'n':
        return read_word(reader, "null", HOB_JSON_NULL);
    default:
        return read_number(reader);
    }
}

static uint32_t place_of(const struct reader *reader)
{
    return (uint32_t)(reader->at - reader->values->text);
}

static bool read_value(struct reader *reader)
{
    skip_blanks(reader);
    uint32_t place = reader->values->count, from = place_of(reader);
    if (!read_kind(reader))
        return false;
    reader->values->list[place].from = from;
    reader->values->list[place].to = place_of(reader);
    return true;
}

int hob_json_read(struct hob_json_values *values, const char *text, size_t len)
{
    if (values->capacity > KEPT_VALUES || values->text_size > KEPT_TEXT)
        hob_json_values_free(values);
    values->count = 0;
    if (!copy_text(values, text, len))
        return HOB_ENOMEM;
    struct reader reader = {.values = values, .at = values->text, .end = values->text + len};
    if (read_value(&reader)) {
        skip_blanks(&reader);
        if (reader.at == reader.end)
            return 0;
    }
    values->count = 0;
    return reader.no_memory ? HOB_ENOMEM : HOB_EJSON;
}
