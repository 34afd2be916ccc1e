/* json_values.h - the values of a document that was parsed for C code: what json_values.c makes of
 * its Lua tables and json_document.c looks into.
 *
 * A value and all within it lie one after the other, so that `next` goes past it: an index, since
 * the list may move while it grows. Names and strings are Lua's, borrowed as long as the document
 * stays in its state.
 *
 * Loop thread only.  Spec: spec/unit/json_spec.lua
 */
#ifndef HOB_BASE_JSON_VALUES_H
#define HOB_BASE_JSON_VALUES_H

#include "base/json.h"

struct hob_json_value {
    const char *key; /* of a member */
    uint32_t key_len;
    uint32_t next;   /* the value after this one; the document's own: how many there are */
    uint32_t len;    /* of a string */
    uint8_t type;    /* an enum hob_json_type */
    bool is_integer; /* of a number */
    union {
        int64_t integer;
        double number;
        bool boolean;
        const char *string;
        uint32_t count; /* of elements or members */
    };
};

struct hob_json_values {
    struct hob_json_value *list;
    uint32_t count, capacity; /* 0: there is no document */
};

/** Append the value on top of the stack, as hob_json_push has left it, and all within it; it stays
 * there. Raises an error in L when memory is short: then what was appended is worth nothing. */
void hob_json_values_add(struct hob_json_values *values, struct lua_State *L);
/** Drop all; the memory of a large document is given back. */
void hob_json_values_clear(struct hob_json_values *values);
void hob_json_values_free(struct hob_json_values *values);

#endif
