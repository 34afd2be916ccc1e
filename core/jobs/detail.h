/* detail.h - statusDetails: keys and values made to fit what AWS takes.
 *
 * Facts: API reference of `iot-jobs-data`, UpdateJobExecution (`statusDetails`, DetailsKey,
 * DetailsValue).  Spec: spec/unit/protocol_spec.lua
 */
#ifndef HOB_JOBS_DETAIL_H
#define HOB_JOBS_DETAIL_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define HOB_JOBS_DETAILS_MAX      10
#define HOB_JOBS_DETAIL_KEY_MAX   128
#define HOB_JOBS_DETAIL_VALUE_MAX 1024 /* characters, not bytes */

/** Append `value` as AWS takes it (not quoted): control characters become blanks, invalid UTF-8
 * U+FFFD, and what is over 1024 characters is cut from the front (`keep_tail`) or the end with a
 * note of how much: "[cut 812 characters] ..."; an empty value becomes "-". */
int hob_jobs_detail_fit(struct hob_buf *out, const char *value, size_t len, bool keep_tail);
bool hob_jobs_detail_key_valid(const char *key, size_t len); /* 1-128 of [a-zA-Z0-9:_-] */

struct hob_jobs_detail {
    const char *key;
    const char *value; /* may be NULL if len is 0 */
    size_t len;
    bool keep_tail; /* cut it from the front, as for the output of a program */
};

/** Append one JSON object of at most 10 pairs, each made to fit. An invalid key, one that came
 * before, and what comes after the tenth pair is dropped.
 * @return how many were dropped, or a code and nothing was appended */
int hob_jobs_details_fit(struct hob_buf *out, const struct hob_jobs_detail *details, size_t count);

#endif
