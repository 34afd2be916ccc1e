/* error.h - what went wrong, for the program (a code) and for a person (a sentence).
 *
 * Functions return 0 or a negative HOB_E* code. Where a person will read the reason, the last
 * parameter is a `struct hob_error *`: it may be NULL; on failure it is filled, on success it is
 * left alone. A message names what happened, where, and what was expected; it has no trailing dot
 * and no newline.
 *
 * The codes, struct hob_error and hob_error_name are in hob.h: products read them, too.
 * Plain values, no ownership, any thread.  Spec: spec/unit/error_spec.lua
 */
#ifndef HOB_BASE_ERROR_H
#define HOB_BASE_ERROR_H

#include "hob.h"

/** Fill `err` (may be NULL). A message that does not fit is cut and ends in "...".
 * @return `code`, so that a function can end in `return hob_error_set(err, HOB_EINVAL, ...)` */
int hob_error_set(struct hob_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Put words before an existing message: "opening the store: " + message; the words bring their own
 * ": ". @return err->code, 0 if err is NULL */
int hob_error_prefix(struct hob_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** @return the short words for a code; never NULL */
const char *hob_error_words(int code);

/** The HOB_E* code nearest to a positive `errno` value; HOB_EIO where none fits. */
int hob_error_from_errno(int errnum);

/** The same for a negative libuv error code. */
int hob_error_from_uv(int status);

#endif
