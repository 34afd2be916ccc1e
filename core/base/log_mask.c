/* log_mask.c - what of a text must not be seen; see log.h */
#include "base/log.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

struct scan {
    const char *text;
    size_t len, at;
};

static bool has(const struct scan *scan, size_t at, const char *word)
{
    size_t n = strlen(word);
    return scan->len - at >= n && strncasecmp(scan->text + at, word, n) == 0;
}

static bool ends_value(char c)
{
    return (unsigned char)c <= ' ' || c == '"' || c == '\'' || c == '<' || c == '>';
}

/* "-----BEGIN RSA PRIVATE KEY-----" up to the end of the END line, or of the text.
 * @return where it ends, `at` if none begins there */
static size_t end_of_key(const struct scan *scan, size_t at)
{
    if (!has(scan, at, "-----BEGIN "))
        return at;
    size_t i = at + strlen("-----BEGIN ");
    while (i < scan->len && scan->text[i] != '-' && !has(scan, i, "PRIVATE KEY"))
        i++;
    if (!has(scan, i, "PRIVATE KEY"))
        return at;
    while (i < scan->len && !has(scan, i, "-----END "))
        i++;
    while (i < scan->len && !has(scan, i, "KEY-----"))
        i++;
    return i < scan->len ? i + strlen("KEY-----") : i;
}

static size_t skip(const struct scan *scan, size_t at, const char *set)
{
    while (at < scan->len && scan->text[at] && strchr(set, scan->text[at]))
        at++;
    return at;
}

/* A quoted value ends at its quote; in JSON within a string, quotes have one backslash, and one
 * with more belongs to the value. */
static size_t end_of_quoted(const struct scan *scan, size_t at, char quote, bool escaped)
{
    while (at < scan->len) {
        size_t slashes = skip(scan, at, "\\") - at;
        bool odd = slashes % 2 == 1;
        size_t next = at + slashes;
        if (next < scan->len && scan->text[next] == quote && (escaped ? slashes <= 1 : !odd))
            return escaped ? at : next;
        at = next + 1;
    }
    return scan->len;
}

static size_t end_of_word(const struct scan *scan, size_t at)
{
    while (at < scan->len && !ends_value(scan->text[at]))
        at++;
    return at;
}

/* "Bearer abc" is one secret. What follows an unknown scheme may be a list of parameters. */
static size_t end_of_bare(const struct scan *scan, size_t at, bool schemes)
{
    static const char *const known[] = {"Bearer ", "Basic ", "Negotiate "};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (has(scan, at, known[i]))
            return end_of_word(scan, skip(scan, at + strlen(known[i]), " \t"));
    if (!schemes || has(scan, at, "***"))
        return end_of_word(scan, at);
    while (at < scan->len && scan->text[at] != '\r' && scan->text[at] != '\n')
        at++;
    return at;
}

/* @return where `word` ends if it stands at `at`, 0 if not; "api_key" is also api-key, apiKey */
static size_t end_of_name(const struct scan *scan, size_t at, const char *word)
{
    const char *part;
    while ((part = strchr(word, '_'))) {
        size_t n = (size_t)(part - word);
        if (scan->len - at < n || strncasecmp(scan->text + at, word, n) != 0)
            return 0;
        at += n;
        at += at < scan->len && (scan->text[at] == '_' || scan->text[at] == '-');
        word = part + 1;
    }
    return has(scan, at, word) ? at + strlen(word) : 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

struct secret {
    size_t begin; /* of the value, with its quote; 0: there is none */
    bool schemes; /* a scheme may stand before it */
};

/* "/etc/passwd: not a directory", "signature: expected a string": words of an error, no secret */
static bool is_error(const struct scan *scan, size_t at)
{
    static const char *const words[] = {"not ", "expected ", "No such file", "Permission denied"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (has(scan, at, words[i]))
            return true;
    return false;
}

/* `password=`, `"password": `, `X-Auth-Token: `: any name that ends in one of these words. */
static struct secret secret_after(const struct scan *scan, size_t at)
{
    static const char *const words[] = {
        "authorization", "password",    "passphrase", "passwd",     "token",   "secret",
        "signature",     "private_key", "access_key", "credential", "api_key",
    };
    size_t i = 0, end = 0;
    while (i < sizeof words / sizeof *words &&
           (lower(scan->text[at]) != words[i][0] || (end = end_of_name(scan, at, words[i])) == 0))
        i++;
    if (end == 0)
        return (struct secret){.begin = 0};
    at = skip(scan, end, "\\");
    at += at < scan->len && (scan->text[at] == '"' || scan->text[at] == '\'');
    at = skip(scan, at, "] \t");
    end = skip(scan, at, "=:>");
    if (end == at || scan->text[at] == '>')
        return (struct secret){.begin = 0};
    at = skip(scan, end, " \t");
    return (struct secret){.begin = is_error(scan, at) ? 0 : at, .schemes = i == 0};
}

/* @return where the user info after "://" ends (at its '@'), `at` if there is none */
static size_t end_of_user_info(const struct scan *scan, size_t at)
{
    size_t end = at;
    for (size_t i = at; i < scan->len && !ends_value(scan->text[i]); i++) {
        if (scan->text[i] == '/' || scan->text[i] == '?' || scan->text[i] == '#')
            break;
        if (scan->text[i] == '@')
            end = i;
    }
    return end;
}

static void copy(struct hob_buf *out, struct scan *scan, size_t end)
{
    hob_buf_append(out, scan->text + scan->at, end - scan->at);
    scan->at = end;
}

static void hide(struct hob_buf *out, struct scan *scan, size_t end)
{
    hob_buf_append_string(out, "***");
    scan->at = end;
}

static void mask_url(struct hob_buf *out, struct scan *scan)
{
    copy(out, scan, scan->at + strlen("://"));
    size_t at = end_of_user_info(scan, scan->at);
    if (at > scan->at)
        hide(out, scan, at);
    at = scan->at;
    while (at < scan->len && !ends_value(scan->text[at]) && scan->text[at] != '?')
        at++;
    copy(out, scan, at);
    if (at == scan->len || scan->text[at] != '?')
        return;
    hob_buf_append_string(out, "?...");
    while (scan->at < scan->len && !ends_value(scan->text[scan->at]))
        scan->at++;
}

static void mask_value(struct hob_buf *out, struct scan *scan, struct secret secret)
{
    size_t begin = skip(scan, secret.begin, "\\"), end;
    char quote = begin < scan->len ? scan->text[begin] : 0;
    bool quoted = quote == '"' || quote == '\'';
    bool escaped = quoted && begin > secret.begin;
    copy(out, scan, quoted ? begin + 1 : secret.begin);
    if (quoted)
        end = end_of_quoted(scan, scan->at, quote, escaped);
    else
        end = end_of_bare(scan, scan->at, secret.schemes);
    if (end > scan->at)
        hide(out, scan, end);
}

/* With what all that is looked for begins: the words of secret_after, a key, "://". */
static bool may_begin(const char *text)
{
    char second = lower(text[1]);
    switch (lower(text[0])) {
    case 'a':
        return second == 'c' || second == 'p' || second == 'u';
    case 'c':
        return second == 'r';
    case 'p':
        return second == 'a' || second == 'r';
    case 's':
        return second == 'e' || second == 'i';
    case 't':
        return second == 'o';
    case '-':
        return second == '-';
    case ':':
        return second == '/';
    default:
        return false;
    }
}

static void copy_plain(struct hob_buf *out, struct scan *scan)
{
    size_t end = scan->at;
    while (end + 1 < scan->len && !may_begin(scan->text + end))
        end++;
    copy(out, scan, end + 1 < scan->len ? end : scan->len);
}

void hob_log_mask(struct hob_buf *out, const char *text, size_t len)
{
    struct scan scan = {.text = text, .len = len};
    for (copy_plain(out, &scan); scan.at < len; copy_plain(out, &scan)) {
        size_t end = end_of_key(&scan, scan.at);
        struct secret secret = secret_after(&scan, scan.at);
        if (end > scan.at)
            hide(out, &scan, end);
        else if (has(&scan, scan.at, "://"))
            mask_url(out, &scan);
        else if (secret.begin > 0)
            mask_value(out, &scan, secret);
        else
            copy(out, &scan, scan.at + 1);
    }
}
