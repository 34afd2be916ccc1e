/* native_call.c - a call of a function of a product's module: what hob.h's hob_call_* do. */
#include "base/alloc.h"
#include "base/json.h"
#include "work/native_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 4096

enum state {
    INSIDE, /* its C function has not returned yet */
    LATER,  /* it ends on its own */
    ENDED,
    LEAVES, /* the product is being told that it is to end */
    DEAD
};

struct hob_call {
    enum state state;
    bool later;    /* it said so */
    bool answered; /* it said something that counts as an end, if it does not end later */
    struct hob_native *native;
    const struct hob_native_function *function;
    char *thing, *job_id;
    struct hob_native_value *args;
    size_t count;
    void *data;
    void (*cancel)(void *user, struct hob_call *call);
    void (*on_end)(void *user);
    void *user;
    /* What it came to. */
    char *raise;          /* the first misuse */
    char *code, *message; /* it failed */
    struct hob_native_value results[HOB_NATIVE_RESULTS];
    size_t result_count, result_bytes;
    bool no_memory; /* for words that were to be kept */
};

/* ---- life ---- */

static bool is_here(const struct hob_call *call)
{
    return call && call->state != DEAD;
}

static void free_value(struct hob_native_value *value)
{
    hob_free(value->text);
    hob_free(value->json);
}

/* All that it holds but itself. */
static void empty(struct hob_call *call)
{
    for (size_t i = 0; i < call->count; i++) {
        free_value(&call->args[i]);
    }
    for (size_t i = 0; i < call->result_count; i++) {
        free_value(&call->results[i]);
    }
    hob_free(call->args);
    hob_free(call->thing);
    hob_free(call->job_id);
    hob_free(call->raise);
    hob_free(call->code);
    hob_free(call->message);
}

struct hob_call *hob_native_call_new(const struct hob_native_call_options *options, size_t count)
{
    struct hob_call *call = hob_calloc(1, sizeof *call);
    if (!call) {
        return NULL;
    }
    call->native = options->native;
    call->function = options->function;
    call->on_end = options->on_end;
    call->user = options->user;
    call->thing = hob_strdup(options->thing);
    call->job_id = hob_strdup(options->job_id);
    call->args = hob_calloc(count + 1, sizeof *call->args);
    if (!call->thing || !call->job_id || !call->args) {
        empty(call);
        hob_free(call);
        return NULL;
    }
    call->count = count;
    return call;
}

struct hob_native_value *hob_native_call_arg(struct hob_call *call, size_t index)
{
    return &call->args[index];
}

static const char *label_of(const struct hob_call *call)
{
    return call->function->label;
}

/* Misuse, to be raised; the first one stands. */
static void misuse(struct hob_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void misuse(struct hob_call *call, const char *format, ...)
{
    char words[WORDS_MAX];
    bool open = call->state == INSIDE || call->state == LATER;
    if (!open || call->raise || call->no_memory) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    call->raise = hob_strdup(words);
    call->no_memory = !call->raise;
}

static void tell_leaving(struct hob_call *call)
{
    call->state = LEAVES;
    if (call->cancel) {
        ++*call->native->inside;
        call->cancel(call->function->module->user, call);
        --*call->native->inside;
    }
}

bool hob_native_call_invoke(struct hob_call *call)
{
    ++*call->native->inside;
    call->function->fn(call->function->module->user, call);
    --*call->native->inside;
    if (call->state == ENDED) {
        return false;
    }
    if (call->later && !call->raise) {
        call->state = LATER;
        return true;
    }
    if (call->later) { /* it has begun something, and then misread its arguments */
        tell_leaving(call);
    } else if (!call->raise && !call->answered) {
        misuse(call,
               "%s: the product's function gave no result, and did not say that it ends later "
               "(hob_call_return_nil or hob_call_finish, hob_call_later)",
               label_of(call));
    }
    call->state = ENDED;
    return false;
}

bool hob_native_call_result(const struct hob_call *call, struct hob_native_result *out)
{
    *out = (struct hob_native_result){.raise = call->no_memory ? "out of memory" : call->raise,
                                      .code = call->code,
                                      .message = call->message,
                                      .values = call->results,
                                      .count = call->result_count};
    return call->state == ENDED;
}

void hob_native_call_cancel(struct hob_call *call)
{
    if (call && call->state == LATER) {
        tell_leaving(call);
    }
}

void hob_native_call_free(struct hob_call *call)
{
    if (!call) {
        return;
    }
    empty(call);
    if (!call->later && call->answered) { /* else somebody may have kept it */
        hob_free(call);
        return;
    }
    struct hob_native *native = call->native;
    *call = (struct hob_call){.state = DEAD};
    hob_native_bury(&native->calls, call);
}

/* ---- arguments ---- */

static const char *const type_names[] = {"nil",    "boolean", "integer", "number",
                                         "string", "table",   "other"};

static const struct hob_native_value nothing = {.type = HOB_NIL};

static const struct hob_native_value *arg_at(const struct hob_call *call, size_t index)
{
    return is_here(call) && index < call->count ? &call->args[index] : &nothing;
}

static void wrong(struct hob_call *call, size_t index, const char *expected)
{
    const struct hob_native_value *value = arg_at(call, index);
    char got[64];
    snprintf(got, sizeof got, "%s", value->words ? value->words : type_names[value->type]);
    if (value->type == HOB_NUMBER && strcmp(expected, "integer") == 0) {
        snprintf(got, sizeof got, "%.14g", value->number);
    } else if (value->type == HOB_INTEGER) {
        snprintf(got, sizeof got, "number");
    }
    if (is_here(call)) {
        misuse(call, "%s: argument %zu: expected %s, got %s", label_of(call), index + 1, expected,
               got);
    }
}

size_t hob_call_count(const struct hob_call *call)
{
    return is_here(call) ? call->count : 0;
}

enum hob_type hob_call_type(const struct hob_call *call, size_t index)
{
    return arg_at(call, index)->type;
}

bool hob_call_string(struct hob_call *call, size_t index, const char **out, size_t *len)
{
    const struct hob_native_value *value = arg_at(call, index);
    if (value->type != HOB_STRING) {
        wrong(call, index, "string");
        return false;
    }
    *out = value->text;
    if (len) {
        *len = value->len;
    } else if (strlen(value->text) != value->len) {
        misuse(call, "%s: argument %zu: expected a string without a zero byte", label_of(call),
               index + 1);
        return false;
    }
    return true;
}

bool hob_call_integer(struct hob_call *call, size_t index, int64_t *out)
{
    const struct hob_native_value *value = arg_at(call, index);
    if (value->type == HOB_INTEGER) {
        *out = value->integer;
        return true;
    }
    bool whole = value->type == HOB_NUMBER && value->number >= -0x1p63 && value->number < 0x1p63 &&
                 (double)(int64_t)value->number == value->number;
    if (whole) {
        *out = (int64_t)value->number;
    } else {
        wrong(call, index, "integer");
    }
    return whole;
}

bool hob_call_number(struct hob_call *call, size_t index, double *out)
{
    const struct hob_native_value *value = arg_at(call, index);
    if (value->type != HOB_NUMBER && value->type != HOB_INTEGER) {
        wrong(call, index, "number");
        return false;
    }
    *out = value->type == HOB_INTEGER ? (double)value->integer : value->number;
    return true;
}

bool hob_call_boolean(struct hob_call *call, size_t index, bool *out)
{
    const struct hob_native_value *value = arg_at(call, index);
    if (value->type != HOB_BOOLEAN) {
        wrong(call, index, "boolean");
        return false;
    }
    *out = value->boolean;
    return true;
}

static char *json_of(const struct hob_native_value *value)
{
    struct hob_buf text;
    hob_buf_init(&text, HOB_JSON_TEXT_MAX);
    int rc = 0;
    if (value->type == HOB_STRING) {
        rc = hob_json_quote(&text, value->text, value->len);
    } else if (value->type == HOB_BOOLEAN) {
        rc = hob_buf_append_string(&text, value->boolean ? "true" : "false");
    } else if (value->type == HOB_INTEGER) {
        rc = hob_buf_printf(&text, "%lld", (long long)value->integer);
    } else if (value->type == HOB_NUMBER && value->number - value->number == 0) {
        rc = hob_buf_printf(&text, "%.17g", value->number);
    } else {
        rc = value->type == HOB_NIL ? hob_buf_append_string(&text, "null") : HOB_EINVAL;
    }
    const char *whole = rc ? NULL : hob_buf_string(&text);
    char *copy = whole ? hob_strdup(whole) : NULL;
    hob_buf_free(&text);
    return copy;
}

/* A table was made JSON before the call: Lua must not run, or raise, inside the product's code. */
static bool table_json(struct hob_call *call, size_t index, const char **out, size_t *len)
{
    const struct hob_native_value *value = arg_at(call, index);
    if (!value->text) {
        misuse(call, "%s: argument %zu: %s", label_of(call), index + 1,
               value->json ? value->json : "cannot be JSON");
        return false;
    }
    *out = value->text;
    *len = value->len;
    return true;
}

bool hob_call_json(struct hob_call *call, size_t index, const char **out, size_t *len)
{
    size_t unused = 0;
    len = len ? len : &unused;
    if (!is_here(call)) {
        return false;
    } else if (index >= call->count) {
        *out = "null";
        *len = 4;
        return true;
    } else if (call->args[index].type == HOB_TABLE) {
        return table_json(call, index, out, len);
    }
    struct hob_native_value *value = &call->args[index];
    value->json = value->json ? value->json : json_of(value);
    if (!value->json) {
        wrong(call, index, "a value that can be JSON");
        return false;
    }
    *out = value->json;
    *len = strlen(value->json);
    return true;
}

/* ---- results ---- */

static int add_result(struct hob_call *call, const struct hob_native_value *value)
{
    if (!call || (call->state != INSIDE && call->state != LATER)) {
        return HOB_ESTALE;
    } else if (call->result_count == HOB_NATIVE_RESULTS ||
               value->len > HOB_NATIVE_RESULT_MAX - call->result_bytes) {
        return HOB_EMSGSIZE;
    }
    struct hob_native_value *copy = &call->results[call->result_count];
    *copy = *value;
    if (value->text) {
        copy->text = hob_malloc(value->len + 1);
        if (!copy->text) {
            return HOB_ENOMEM;
        }
        memcpy(copy->text, value->text, value->len);
        copy->text[value->len] = '\0';
    }
    call->result_bytes += value->len;
    call->result_count++;
    call->answered = true;
    return 0;
}

int hob_call_return_nil(struct hob_call *call)
{
    return add_result(call, &nothing);
}

int hob_call_return_boolean(struct hob_call *call, bool value)
{
    return add_result(call, &(struct hob_native_value){.type = HOB_BOOLEAN, .boolean = value});
}

int hob_call_return_integer(struct hob_call *call, int64_t value)
{
    return add_result(call, &(struct hob_native_value){.type = HOB_INTEGER, .integer = value});
}

int hob_call_return_number(struct hob_call *call, double value)
{
    return add_result(call, &(struct hob_native_value){.type = HOB_NUMBER, .number = value});
}

static int add_text(struct hob_call *call, enum hob_type type, const char *value, size_t len)
{
    if (!value) {
        return hob_call_return_nil(call);
    }
    struct hob_native_value given = {.type = type, .text = (char *)(uintptr_t)value, .len = len};
    return add_result(call, &given);
}

int hob_call_return_string(struct hob_call *call, const char *value, size_t len)
{
    return add_text(call, HOB_STRING, value, len);
}

int hob_call_return_json(struct hob_call *call, const char *value, size_t len)
{
    return len > HOB_JSON_TEXT_MAX ? HOB_EMSGSIZE : add_text(call, HOB_TABLE, value, len);
}

static bool is_open(const struct hob_call *call)
{
    return call && (call->state == INSIDE || call->state == LATER);
}

void hob_call_fail(struct hob_call *call, const char *code, const char *message)
{
    if (!is_open(call) || call->code || call->no_memory) {
        return;
    }
    call->answered = true;
    call->code = hob_strdup(code && code[0] ? code : "FAILED");
    call->message = hob_strndup(message && message[0] ? message : "it failed", WORDS_MAX);
    call->no_memory = !call->code || !call->message;
}

void hob_call_raise(struct hob_call *call, const char *message)
{
    if (is_open(call)) {
        misuse(call, "%s: %s", label_of(call), message && message[0] ? message : "misuse");
    }
}

/* ---- later ---- */

void hob_call_later(struct hob_call *call, void (*cancel)(void *user, struct hob_call *call))
{
    if (call && call->state == INSIDE) {
        call->later = true;
        call->cancel = cancel;
    }
}

void hob_call_finish(struct hob_call *call)
{
    if (!is_open(call)) {
        return;
    }
    bool later = call->state == LATER;
    call->answered = true;
    call->state = ENDED;
    if (later) {
        call->on_end(call->user);
    }
}

void *hob_call_data(const struct hob_call *call)
{
    return is_here(call) ? call->data : NULL;
}

void hob_call_set_data(struct hob_call *call, void *data)
{
    if (is_here(call)) {
        call->data = data;
    }
}

const char *hob_call_thing(const struct hob_call *call)
{
    return is_here(call) ? call->thing : "";
}

const char *hob_call_job_id(const struct hob_call *call)
{
    return is_here(call) ? call->job_id : "";
}
