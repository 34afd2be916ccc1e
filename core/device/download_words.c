/* download_words.c - see download_words.h */
#include "device/download_words.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PART_MAX 140

/* Of bytes between two marks; empty if they are not there. */
static void between(const char *text, const char *first, const char *last, char out[PART_MAX])
{
    const char *from = strcasestr(text, first);
    const char *to = from ? strcasestr(from + strlen(first), last) : NULL;
    int len = to ? (int)(to - from - (long)strlen(first)) : 0;
    snprintf(out, PART_MAX, "%.*s", len, from ? from + strlen(first) : "");
}

/* The text of a member, as far as it has no escapes. */
static void json_member(const char *text, const char *name, char out[PART_MAX])
{
    const char *at = strcasestr(text, name);
    out[0] = '\0';
    if (!at)
        return;
    at += strlen(name);
    at += strspn(at, " \t\r\n:");
    if (*at == '"')
        snprintf(out, PART_MAX, "%.*s", (int)strcspn(at + 1, "\"\\"), at + 1);
}

static void of_xml(const char *text, char out[HOB_DOWNLOAD_WORDS_MAX])
{
    char code[PART_MAX], message[PART_MAX];
    between(text, "<Code>", "</Code>", code);
    between(text, "<Message>", "</Message>", message);
    if (!*code && !*message)
        between(text, "<title>", "</title>", message);
    snprintf(out, HOB_DOWNLOAD_WORDS_MAX, "%s%s%s", code, *code && *message ? ": " : "", message);
}

static void of_json(const char *text, char out[HOB_DOWNLOAD_WORDS_MAX])
{
    char message[PART_MAX];
    json_member(text, "\"message\"", message);
    snprintf(out, HOB_DOWNLOAD_WORDS_MAX, "%s", message);
}

static void of_text(const char *text, char out[HOB_DOWNLOAD_WORDS_MAX])
{
    snprintf(out, HOB_DOWNLOAD_WORDS_MAX, "%.*s", (int)strcspn(text, "\r\n") % PART_MAX, text);
}

/* Pages like to repeat the URL that was asked for, with its signature. */
static void hide_queries(char *text)
{
    for (char *c = strchr(text, '?'); c; c = strchr(c + 1, '?')) {
        size_t n = strcspn(c + 1, " \t\"'<>");
        if (!memchr(c + 1, '=', n))
            continue;
        memmove(c + 1, c + 1 + n, strlen(c + 1 + n) + 1);
        *c = '~';
    }
}

static void make_printable(char *text)
{
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f)
            *c = ' ';
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == ' ')
        text[--n] = '\0';
}

const char *hob_download_words(const char *body, size_t len, char out[HOB_DOWNLOAD_WORDS_MAX])
{
    char text[2048];
    size_t n = len < sizeof text - 1 ? len : sizeof text - 1;
    memcpy(text, body, n);
    text[n] = '\0';
    const char *begin = text + strspn(text, " \t\r\n");
    if (strlen(begin) >= 3 && memcmp(begin, "\xef\xbb\xbf", 3) == 0)
        begin += 3;
    if (*begin == '<')
        of_xml(begin, out);
    else if (*begin == '{')
        of_json(begin, out);
    else
        of_text(begin, out);
    hide_queries(out);
    make_printable(out);
    return out;
}
