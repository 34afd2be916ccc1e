#include "base/edit_words.h"

#include <string.h>

#define SHOWN_MAX 200

static const char *next(const char *word)
{
    return word + strlen(word) + 1;
}

static bool goes_on(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

int hob_edit_words_characters(const char *text, size_t len)
{
    int count = 0;
    for (size_t i = 0; i < len; i++)
        count += !goes_on(text[i]);
    return count;
}

bool hob_edit_words_single(struct hob_edit_words words)
{
    return words.len && next(words.text) >= words.text + words.len;
}

size_t hob_edit_words_common(struct hob_edit_words words)
{
    const char *end = words.text + words.len;
    size_t common = words.len ? strlen(words.text) : 0;
    for (const char *word = words.text; word < end; word = next(word)) {
        size_t n = 0;
        while (n < common && word[n] == words.text[n])
            n++;
        common = n;
    }
    while (common && goes_on(words.text[common]))
        common--;
    return common;
}

static int width_of(const char *word)
{
    return hob_edit_words_characters(word, strlen(word));
}

void hob_edit_words_show(struct hob_edit_words words, size_t columns, FILE *out)
{
    const char *end = words.text + words.len;
    size_t count = 0;
    int widest = 1;
    for (const char *word = words.text; word < end; word = next(word), count++)
        widest = width_of(word) > widest ? width_of(word) : widest;
    size_t each = columns / ((size_t)widest + 2), shown = 0;
    each = each ? each : 1;
    for (const char *word = words.text; word < end && shown < SHOWN_MAX; word = next(word)) {
        bool last = ++shown % each == 0 || shown == SHOWN_MAX || shown == count;
        fputs(word, out);
        fprintf(out, "%*s", last ? 0 : widest + 2 - width_of(word), "");
        fputs(last ? "\n" : "", out);
    }
    if (count > shown)
        fprintf(out, "... and %zu more\n", count - shown);
}
