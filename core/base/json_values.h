/* json_values.h - the values of a text that was read for C code: what json_read.c makes and
 * json_document.c looks into.
 *
 * A value and all within it lie one after the other, so that `next` goes past it. Places in the
 * text are offsets: the list of values may move while it grows.
 *
 * Loop thread only.  Spec: spec/unit/json_spec.lua
 */
#ifndef HOB_BASE_JSON_VALUES_H
#define HOB_BASE_JSON_VALUES_H

#include "base/json.h"

struct hob_json_value {
    uint32_t key, key_len; /* of a member */
    uint32_t from, to;     /* where it stands in the text that came */
    uint32_t next;         /* the value after this one; the document's own: how many there are */
    uint8_t type;          /* an enum hob_json_type */
    bool is_integer;       /* of a number */
    union {
        int64_t integer;
        double number;
        bool boolean;
        uint32_t count; /* of elements or members, each of a name that is there twice, too */
        struct {
            uint32_t at, len; /* a NUL follows */
        } string;
    };
};

struct hob_json_values {
    char *text; /* a copy, with strings unescaped where they stand */
    struct hob_json_value *list;
    size_t text_size;
    uint32_t count, capacity; /* 0: there is no document */
};

/** Read a text of at most HOB_JSON_TEXT_MAX bytes in the place of what was there. What is no JSON
 * is refused without a reason: hob_json_push has the words.
 * @return 0, HOB_EJSON or HOB_ENOMEM; then there is no document */
int hob_json_read(struct hob_json_values *values, const char *text, size_t len);
void hob_json_values_free(struct hob_json_values *values);

#endif
