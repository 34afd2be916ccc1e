/* error.h - what went wrong, for the program (a code) and for a person (a sentence).
 *
 * Functions return 0 or a negative HOB_E* code. Where a person will read the reason, the last
 * parameter is a `struct hob_error *`: it may be NULL; on failure it is filled, on success it is
 * left alone. A message names what happened, where, and what was expected; it has no trailing dot
 * and no newline.
 *
 * Plain values, no ownership, any thread.  Spec: spec/unit/error_spec.lua
 */
#ifndef HOB_BASE_ERROR_H
#define HOB_BASE_ERROR_H

/** Every code: its name (as Lua handlers see it, "ETIMEDOUT"), its number, its short words. */
#define HOB_ERROR_CODES(X)                                                                         \
    X(EINVAL, -1, "invalid argument")                                                              \
    X(ENOMEM, -2, "out of memory")                                                                 \
    X(ENOENT, -3, "no such file or entry")                                                         \
    X(EACCES, -4, "permission denied")                                                             \
    X(EEXIST, -5, "exists already")                                                                \
    X(EIO, -6, "input/output error")                                                               \
    X(ETIMEDOUT, -7, "timed out")                                                                  \
    X(ENOTCONN, -8, "not connected")                                                               \
    X(ECONNREFUSED, -9, "connection refused")                                                      \
    X(ECONNRESET, -10, "connection reset")                                                         \
    X(ERESOLVE, -11, "name not resolved")                                                          \
    X(ETLS, -12, "TLS refused")                                                                    \
    X(EPROTO, -13, "protocol error")                                                               \
    X(EMSGSIZE, -14, "too large")                                                                  \
    X(ECANCELED, -15, "cancelled")                                                                 \
    X(EBUSY, -16, "busy")                                                                          \
    X(EJSON, -17, "not valid JSON")                                                                \
    X(ECONFIG, -18, "configuration error")                                                         \
    X(ESTORE, -19, "store error")                                                                  \
    X(EHANDLER, -20, "handler error")                                                              \
    X(EREJECTED, -21, "rejected by the service")                                                   \
    X(EUNSUPPORTED, -22, "not supported")                                                          \
    X(EDIGEST, -23, "digest differs")                                                              \
    X(EHTTP, -24, "HTTP error")                                                                    \
    X(ENOSPC, -25, "no space left")                                                                \
    X(EEXEC, -26, "command failed")                                                                \
    X(EREFUSED, -27, "refused by the broker")                                                      \
    X(ELENGTH, -28, "length differs")                                                              \
    X(ESIGNATURE, -29, "signature refused")                                                        \
    X(EPERM, -30, "not allowed here")                                                              \
    X(ESTALE, -31, "no longer there")                                                              \
    X(EINCOMPLETE, -32, "not finished")

enum hob_error_code {
#define HOB_ERROR_ENUM(name, number, words) HOB_##name = (number),
    HOB_ERROR_CODES(HOB_ERROR_ENUM)
#undef HOB_ERROR_ENUM
};

#define HOB_ERROR_MESSAGE_MAX 1024

struct hob_error {
    int code; /* a HOB_E* code */
    char message[HOB_ERROR_MESSAGE_MAX];
};

/** Fill `err` (may be NULL). A message that does not fit is cut and ends in "...".
 * @return `code`, so that a function can end in `return hob_error_set(err, HOB_EINVAL, ...)` */
int hob_error_set(struct hob_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Put words before an existing message: "opening the store: " + message; the words bring their own
 * ": ". @return err->code, 0 if err is NULL */
int hob_error_prefix(struct hob_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** @return "ETIMEDOUT" for HOB_ETIMEDOUT, "OK" for 0, "EUNKNOWN" for anything else */
const char *hob_error_name(int code);

/** @return the short words for a code; never NULL */
const char *hob_error_words(int code);

/** The HOB_E* code nearest to a positive `errno` value; HOB_EIO where none fits. */
int hob_error_from_errno(int errnum);

/** The same for a negative libuv error code. */
int hob_error_from_uv(int status);

#endif
