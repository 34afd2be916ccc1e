/* config_place.c - where in the configuration something stands, and what is said when it does not
 * fit: "FILE:LINE: things[2].NAME: expected WHAT, got GOT". See config_value.h */
#include "host/config_value.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* ---- the line on which a key stands ---- */

struct scan {
    const char *at;
    int line;
    int depth;        /* of braces */
    int things_depth; /* where `things =` stood; 0: not in it */
    size_t thing;     /* which of things */
};

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static void skip_to(struct scan *scan, const char *end)
{
    for (; scan->at < end && *scan->at; scan->at++) {
        scan->line += *scan->at == '\n';
    }
}

static void skip_past(struct scan *scan, const char *what)
{
    const char *end = strstr(scan->at, what);
    skip_to(scan, end ? end + strlen(what) : scan->at + strlen(scan->at));
}

static void skip_quoted(struct scan *scan)
{
    const char *end = scan->at + 1;
    while (*end && *end != *scan->at) {
        end += *end == '\\' && end[1] ? 2 : 1;
    }
    skip_to(scan, *end ? end + 1 : end);
}

static void skip_other(struct scan *scan)
{
    char c = *scan->at;
    if (strncmp(scan->at, "--[[", 4) == 0 || strncmp(scan->at, "[[", 2) == 0) {
        skip_past(scan, "]]");
        return;
    }
    if (strncmp(scan->at, "--", 2) == 0) {
        skip_to(scan, scan->at + strcspn(scan->at, "\n"));
        return;
    }
    scan->depth += (c == '{') - (c == '}');
    scan->thing += c == '{' && scan->things_depth && scan->depth == scan->things_depth + 2;
    if (scan->things_depth && c == '}' && scan->depth == scan->things_depth) {
        scan->things_depth = 0;
    }
    skip_to(scan, scan->at + 1);
}

/* The next word or quoted text that is followed by `=`. @return its length, 0 at the end */
static size_t next_key(struct scan *scan, const char **word)
{
    while (*scan->at) {
        bool quoted = *scan->at == '"' || *scan->at == '\'';
        const char *begin = scan->at;
        if (quoted) {
            skip_quoted(scan);
        } else if (is_word(*begin)) {
            skip_to(scan, begin + strspn(begin, "abcdefghijklmnopqrstuvwxyz"
                                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"));
        } else {
            skip_other(scan);
            continue;
        }
        const char *after = scan->at + strspn(scan->at, quoted ? " \t]" : " \t");
        if (after[0] == '=' && after[1] != '=' && scan->at - begin > 2 * quoted) {
            *word = begin + quoted;
            return (size_t)(scan->at - begin) - 2 * quoted;
        }
    }
    return 0;
}

/* The line on which a key gets its value; 0 if the file does not write it so. */
static int line_of(const char *source, const char *name, size_t thing)
{
    struct scan scan = {.at = source, .line = 1};
    const char *word;
    int beside = 0;
    for (size_t len; (len = next_key(&scan, &word)) > 0;) {
        bool is_it = len == strlen(name) && strncmp(word, name, len) == 0;
        if (is_it && scan.things_depth && scan.thing == thing) {
            return scan.line;
        }
        if (is_it && !scan.things_depth && !beside) {
            beside = scan.line;
        }
        if (len == 6 && strncmp(word, "things", len) == 0 && scan.depth > 0) {
            scan.things_depth = scan.depth;
        }
    }
    return beside;
}

/* ---- what is said ---- */

static const char *to_flag(const char *name, char out[64])
{
    snprintf(out, 64, "--%s", name);
    for (char *c = out; *c; c++) {
        *c = *c == '_' ? '-' : *c;
    }
    return out;
}

void hob_config_place(const struct hob_config_origin *origin, const char *name, char *out,
                      size_t len)
{
    char flag[64], at[16] = "", thing[32] = "";
    if (!origin->file) {
        snprintf(out, len, "%s", origin->is_call ? name : to_flag(name, flag));
        return;
    }
    int line = line_of(origin->source, name, origin->thing);
    if (line) {
        snprintf(at, sizeof at, ":%d", line);
    }
    if (origin->thing) {
        snprintf(thing, sizeof thing, "things[%zu].", origin->thing);
    }
    snprintf(out, len, "%s%s: %s%s", origin->file, at, thing, name);
}

static size_t edit_distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);
    if (strlen(a) > 60 || n > 60) {
        return 60;
    }
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t best = row[j] + 1 < row[j - 1] + 1 ? row[j] + 1 : row[j - 1] + 1;
            row[j] = change < best ? change : best;
        }
    }
    return row[n];
}

static const char *nearest(const char *name)
{
    const char *best = NULL;
    size_t distance = 3; /* a typo, not another word */
    const struct hob_config_key *key;
    for (size_t i = 0; (key = hob_config_key_at(i)); i++) {
        size_t d = edit_distance(name, key->name);
        if (d < distance) {
            distance = d;
            best = key->name;
        }
    }
    return best;
}

int hob_config_unknown(const struct hob_config_origin *origin, const char *name,
                       struct hob_error *err)
{
    char where[HOB_CONFIG_PLACE_MAX], flag[64];
    hob_config_place(origin, name, where, sizeof where);
    bool is_flag = !origin->file && !origin->is_call;
    const char *what = is_flag ? "flag" : "key";
    const char *near = nearest(name);
    if (!is_flag && strcmp(name, "no_tls") == 0) { /* as the flag is called, and hob.h */
        near = "tls = false";
    }
    if (near) {
        return hob_error_set(err, HOB_ECONFIG, "%s: unknown %s; did you mean %s?", where, what,
                             is_flag ? to_flag(near, flag) : near);
    }
    return hob_error_set(err, HOB_ECONFIG, "%s: unknown %s; %s", where, what,
                         is_flag ? "hob run --help lists them"
                                 : "docs/reference/config.md lists them");
}

int hob_config_expected(const struct hob_config_origin *origin, const char *name, const char *what,
                        const char *got, struct hob_error *err)
{
    char where[HOB_CONFIG_PLACE_MAX];
    hob_config_place(origin, name, where, sizeof where);
    return hob_error_set(err, HOB_ECONFIG, "%s: expected %s, got %s", where, what, got);
}
