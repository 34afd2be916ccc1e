/* json.h - JSON by lua-cjson, without its traps.
 *
 * What lua-cjson 2.1.0 gets wrong is mended here and only here: integral numbers become integers
 * again, depth is capped at 32, text at 256 KB in and out, integers over 2^53, numbers that are not
 * finite, mixed and sparse tables are refused naming the path ("steps[2].action": indexes in
 * messages count from 1, as Lua does), text must be valid UTF-8 and as strict as RFC 8259 wants it.
 * lua-cjson decodes for Lua; the encoder is ours, because cjson's writes at most 14 digits and ends
 * the process when memory is short. It writes members in the order of their names, and the fewest
 * digits that give the same number again.
 *
 * Two faces:
 *  - hob_json: a parser for C code, one document at a time. It decodes in a Lua state of its own,
 *    then walks the tables once into a list of values, which is asked without Lua.
 *  - hob_json_push / hob_json_encode: Lua values in a caller's state (a job's sandbox).
 * Loop thread only.  Spec: spec/unit/json_spec.lua
 */
#ifndef HOB_BASE_JSON_H
#define HOB_BASE_JSON_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define HOB_JSON_TEXT_MAX    (256 * 1024)
#define HOB_JSON_DEPTH_MAX   32
#define HOB_JSON_INTEGER_MAX (INT64_C(1) << 53)

struct lua_State;
struct hob_json;

int hob_json_new(struct hob_json **out, struct hob_error *err);
void hob_json_free(struct hob_json *json); /* NULL is legal */

/** Parse a text; the former document is dropped, also on failure.
 * @return 0, HOB_EJSON (message says what and at which character), HOB_EMSGSIZE or HOB_ENOMEM */
int hob_json_parse(struct hob_json *json, const char *text, size_t len, struct hob_error *err);

enum hob_json_type {
    HOB_JSON_ABSENT,
    HOB_JSON_NULL,
    HOB_JSON_BOOLEAN,
    HOB_JSON_NUMBER,
    HOB_JSON_STRING,
    HOB_JSON_OBJECT, /* also `{}`; and `[]`, which lua-cjson cannot tell from it */
    HOB_JSON_ARRAY
};

/* A place in the parsed document: a path such as "execution.jobId", "jobs.QUEUED[0].jobId"; ""
 * is the whole. Strings are borrowed until the next parse. Getters never raise: a place that is
 * absent or of another type gives NULL, `fallback` or 0. Keys with '.' or '[' cannot be named. */
enum hob_json_type hob_json_type(struct hob_json *json, const char *path);
const char *hob_json_string(struct hob_json *json, const char *path, size_t *len);
int64_t hob_json_integer(struct hob_json *json, const char *path, int64_t fallback);
double hob_json_number(struct hob_json *json, const char *path, double fallback);
bool hob_json_boolean(struct hob_json *json, const char *path, bool fallback);
size_t hob_json_length(struct hob_json *json, const char *path); /* of an array */

/** Call `fn` for each member of the object at `path`, in key order. Stops when fn returns false.
 * `fn` may ask, but not parse. */
typedef bool hob_json_member_fn(void *user, const char *key, enum hob_json_type type);
void hob_json_each(struct hob_json *json, const char *path, hob_json_member_fn *fn, void *user);

/* The same places by hand, for whoever reads many of them: NULL is a place that is absent, also as
 * `in`. Borrowed until the next parse. */
struct hob_json_value;
const struct hob_json_value *hob_json_whole(const struct hob_json *json);
const struct hob_json_value *hob_json_member(const struct hob_json *json,
                                             const struct hob_json_value *in, const char *name);
const struct hob_json_value *hob_json_element(const struct hob_json *json,
                                              const struct hob_json_value *in, size_t index);
enum hob_json_type hob_json_value_type(const struct hob_json_value *value);
const char *hob_json_value_string(const struct hob_json_value *value, size_t *len);
int64_t hob_json_value_integer(const struct hob_json_value *value, int64_t fallback);
size_t hob_json_value_length(const struct hob_json_value *value); /* of an array */
bool hob_json_value_is_empty(const struct hob_json_value *value); /* `{}` or `[]` */

/* The next two read text that need not be parsed, of any depth and with any numbers: a job document
 * is handed on as it came, and what is wrong in it must not hide the message around it. In text
 * that is no JSON they give some part of it, never bytes outside it. Paths are member names
 * ("execution.jobDocument"); of several members of one name the last one counts, as in parsing. */

/** The bytes of the value at `path`. @return a pointer into `text`, NULL if there is none */
const char *hob_json_slice(const char *text, size_t len, const char *path, size_t *out_len);

/** Append `text` with null in the place of every value at `path`.
 * @return 0, HOB_EMSGSIZE or HOB_ENOMEM; then what `out` holds is worth nothing */
int hob_json_without(const char *text, size_t len, const char *path, struct hob_buf *out);

/** Append `string` as a JSON string, quoted and escaped; invalid UTF-8 becomes U+FFFD. */
int hob_json_quote(struct hob_buf *out, const char *string, size_t len);

/** Push the decoded text on L. null becomes `hob.json.null` (a light userdata, NULL).
 * Memory errors are raised in L: call it inside a protected call.
 * @return 0 and one value pushed, or a code and nothing pushed */
int hob_json_push(struct lua_State *L, const char *text, size_t len, struct hob_error *err);

/** Append the value at `index` as JSON; `nil` is "null". Same rules for memory: when an error was
 * raised, `out` holds a part.
 * @return 0, HOB_EINVAL with the path and the reason ("result.list[3]: function"), or HOB_EMSGSIZE;
 * then nothing was appended */
int hob_json_encode(struct lua_State *L, int index, struct hob_buf *out, struct hob_error *err);

#endif
