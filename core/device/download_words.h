/* download_words.h - what a server says about its refusal: read out of the body of its answer, for
 * a person. Part of the module hob_download; nobody else includes this.
 * Spec: spec/unit/download_spec.lua
 */
#ifndef HOB_DEVICE_DOWNLOAD_WORDS_H
#define HOB_DEVICE_DOWNLOAD_WORDS_H

#include <stddef.h>

#define HOB_DOWNLOAD_WORDS_MAX 300

/** The code and message of S3's XML, the message of AWS's JSON, the title of a page, or the first
 * line of a text; printable and without queries, since those are secrets. "" if there are none.
 * @return out */
const char *hob_download_words(const char *body, size_t len, char out[HOB_DOWNLOAD_WORDS_MAX]);

#endif
