/* edit_words.h - what may stand behind a press of Tab: a run of words, each with its NUL. For
 * edit_libedit.c alone.
 */
#ifndef HOB_BASE_EDIT_WORDS_H
#define HOB_BASE_EDIT_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct hob_edit_words {
    const char *text; /* borrowed */
    size_t len;
};

/** How many bytes all words begin with; whole characters of UTF-8. */
size_t hob_edit_words_common(struct hob_edit_words words);

/** Is there only one? */
bool hob_edit_words_single(struct hob_edit_words words);

/** Write them in columns, the first 200 of them. */
void hob_edit_words_show(struct hob_edit_words words, size_t columns, FILE *out);

/** How many characters of UTF-8 there are. */
int hob_edit_words_characters(const char *text, size_t len);

#endif
