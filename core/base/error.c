/* error.c - see error.h */
#include "base/error.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

static const struct {
    int code;
    const char *name;
    const char *words;
} codes[] = {
#define HOB_ERROR_ROW(name, number, words) {(number), #name, (words)},
    HOB_ERROR_CODES(HOB_ERROR_ROW)
#undef HOB_ERROR_ROW
};

static const struct {
    int errnum;
    int code;
} errnos[] = {
    {EINVAL, HOB_EINVAL},
    {ENOMEM, HOB_ENOMEM},
    {ENOENT, HOB_ENOENT},
    {ENOTDIR, HOB_ENOENT},
    {ESRCH, HOB_ENOENT},
    {EACCES, HOB_EACCES},
    {EPERM, HOB_EACCES},
    {EROFS, HOB_EACCES},
    {EEXIST, HOB_EEXIST},
    {ENOTEMPTY, HOB_EEXIST},
    {ETIMEDOUT, HOB_ETIMEDOUT},
    {ENOTCONN, HOB_ENOTCONN},
    {ENETUNREACH, HOB_ENOTCONN},
    {EHOSTUNREACH, HOB_ENOTCONN},
    {ENETDOWN, HOB_ENOTCONN},
    {ECONNREFUSED, HOB_ECONNREFUSED},
    {ECONNRESET, HOB_ECONNRESET},
    {ECONNABORTED, HOB_ECONNRESET},
    {EPIPE, HOB_ECONNRESET},
    {EPROTO, HOB_EPROTO},
    {EMSGSIZE, HOB_EMSGSIZE},
    {E2BIG, HOB_EMSGSIZE},
    {EFBIG, HOB_EMSGSIZE},
    {ENAMETOOLONG, HOB_EMSGSIZE},
    {ECANCELED, HOB_ECANCELED},
    {EBUSY, HOB_EBUSY},
    {EADDRINUSE, HOB_EBUSY},
    {ETXTBSY, HOB_EBUSY},
    {EAGAIN, HOB_EBUSY},
    {ENOSYS, HOB_EUNSUPPORTED},
    {EOPNOTSUPP, HOB_EUNSUPPORTED},
    {EAFNOSUPPORT, HOB_EUNSUPPORTED},
    {ENOSPC, HOB_ENOSPC},
    {EDQUOT, HOB_ENOSPC},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* `text` may be cut anywhere by vsnprintf: end it at a character's end, with "...". */
static void end_in_dots(char *text, size_t size)
{
    size_t at = hob_utf8_cut(text, size - 1, size - sizeof "...");
    memcpy(text + at, "...", sizeof "...");
}

/* Into a buffer of its own first: an argument may be the message that is being replaced. */
int hob_error_set(struct hob_error *err, int code, const char *format, ...)
{
    char text[HOB_ERROR_MESSAGE_MAX];
    va_list args;
    if (!err)
        return code;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0)
        snprintf(text, sizeof text, "%s", hob_error_words(code));
    else if ((size_t)len >= sizeof text)
        end_in_dots(text, sizeof text);
    err->code = code;
    memcpy(err->message, text, strlen(text) + 1);
    return code;
}

int hob_error_prefix(struct hob_error *err, const char *format, ...)
{
    char prefix[HOB_ERROR_MESSAGE_MAX];
    va_list args;
    if (!err)
        return 0;
    va_start(args, format);
    int len = vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    if (len < 0)
        return err->code;
    return hob_error_set(err, err->code, "%s%s", prefix, err->message);
}

const char *hob_error_name(int code)
{
    if (code == 0)
        return "OK";
    for (size_t i = 0; i < COUNT(codes); i++)
        if (codes[i].code == code)
            return codes[i].name;
    return "EUNKNOWN";
}

const char *hob_error_words(int code)
{
    if (code == 0)
        return "no error";
    for (size_t i = 0; i < COUNT(codes); i++)
        if (codes[i].code == code)
            return codes[i].words;
    return "unknown error";
}

int hob_error_from_errno(int errnum)
{
    for (size_t i = 0; i < COUNT(errnos); i++)
        if (errnos[i].errnum == errnum)
            return errnos[i].code;
    return HOB_EIO;
}

/* libuv's codes are negated errno values, but for those that errno does not have. */
int hob_error_from_uv(int status)
{
    if (status == 0)
        return 0;
    if (status <= UV_EAI_ADDRFAMILY && status >= UV_EAI_PROTOCOL)
        return HOB_ERESOLVE;
    if (status == UV_EOF)
        return HOB_ECONNRESET;
    return hob_error_from_errno(-status);
}
