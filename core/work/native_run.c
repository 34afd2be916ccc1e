/* native_run.c - a run of a C handler: what hob.h's hob_run_* do. */
#include "base/alloc.h"
#include "base/json.h"
#include "jobs/detail.h"
#include "work/job.h"
#include "work/native_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define REASON_MAX  4096
#define CODE_MAX    64
#define VALUE_MAX   (64 * 1024)
#define RETRY_MAX_S (31 * 86400.0)

/* Hob's own keys among statusDetails: as lib/hob/job/outcome.lua has them. */
static const char *const reserved[] = {"reason",  "code",     "step",          "handler",
                                       "attempt", "progress", "cleanup_error", NULL};

enum state {
    BEGUN, /* the C function is called in the next turn of the loop */
    RUNS,
    ENDED,
    LEAVES, /* the product is being told that it is to end */
    DEAD
};

struct hob_run {
    enum state state;
    bool deferred; /* the loop still has its address, by this: */
    struct hob_loop_soon begin;
    struct hob_native *native;
    const struct hob_native_handler *handler;
    struct hob_job *job;
    struct hob_job_view view;
    char *args; /* NULL: the document is meant */
    size_t args_len;
    struct hob_json *json; /* of one of the two, once it was asked for; */
    bool unreadable;       /* which could not be done */
    void *data;
    void (*on_end)(void *user);
    void *user;
    /* What it came to. */
    enum hob_native_end end;
    char code[CODE_MAX + 1];
    char *reason;
    double seconds;
    struct hob_native_detail details[HOB_NATIVE_DETAILS];
    size_t detail_count;
};

/* ---- life ---- */

static bool is_here(const struct hob_run *run)
{
    return run && run->state != DEAD;
}

static void call_product(void *user)
{
    struct hob_run *run = user;
    run->deferred = false;
    if (run->state == BEGUN) {
        unsigned *inside = run->native->inside;
        run->state = RUNS;
        ++*inside;
        run->handler->given.run(run->handler->given.user, run);
        --*inside;
    } else if (run->state == DEAD) {
        hob_native_bury(&run->native->runs, run);
    }
}

static const struct hob_native_handler *find(const struct hob_native *native, const char *name)
{
    const struct hob_handlers_entry *entry = hob_native_find_handler(native, name);
    return (const struct hob_native_handler *)(const void *)entry; /* its first member */
}

static int not_registered(const char *name, struct hob_error *err)
{
    return hob_error_set(err, HOB_ENOENT,
                         "the handler '%s' is a C function, and the program that runs now has "
                         "registered none of that name (hob_runtime_add_handler)",
                         name);
}

int hob_native_run_begin(const struct hob_native_run_options *options, struct hob_run **out,
                         struct hob_error *err)
{
    const struct hob_native_handler *handler = find(options->native, options->name);
    if (!handler) {
        return not_registered(options->name, err);
    }
    const char *dir;
    int rc = hob_job_use_dir(options->job, &dir, err);
    if (rc) {
        return rc;
    }
    struct hob_run *run = hob_calloc(1, sizeof *run);
    char *args = run && options->args ? hob_malloc(options->args_len + 1) : NULL;
    if (!run || (options->args && !args)) {
        hob_free(run);
        return hob_error_set(err, HOB_ENOMEM, "handler %s: out of memory", options->name);
    }
    if (args) {
        memcpy(args, options->args, options->args_len);
        args[options->args_len] = '\0';
    }
    run->native = options->native;
    run->handler = handler;
    run->job = options->job;
    run->args = args;
    run->args_len = options->args_len;
    run->on_end = options->on_end;
    run->user = options->user;
    hob_job_view(run->job, &run->view);
    run->deferred = true;
    hob_loop_defer(run->native->loop, &run->begin, call_product, run);
    *out = run;
    return 0;
}

const char *hob_native_run_label(const struct hob_run *run)
{
    return run->handler->label;
}

void hob_native_run_outcome(const struct hob_run *run, struct hob_native_outcome *out)
{
    *out = (struct hob_native_outcome){.end = run->end,
                                       .code = run->code,
                                       .reason = run->reason ? run->reason : "out of memory",
                                       .seconds = run->seconds,
                                       .details = run->details,
                                       .detail_count = run->detail_count};
}

void hob_native_run_cancel(struct hob_run *run, const char *why)
{
    bool runs = run->state == RUNS;
    if (run->state == RUNS || run->state == BEGUN) {
        run->state = LEAVES;
    }
    if (runs && run->handler->given.cancel) {
        ++*run->native->inside;
        run->handler->given.cancel(run->handler->given.user, run, why);
        --*run->native->inside;
    }
}

void hob_native_run_free(struct hob_run *run)
{
    hob_json_free(run->json);
    hob_free(run->args);
    hob_free(run->reason);
    for (size_t i = 0; i < run->detail_count; i++) {
        hob_free(run->details[i].name);
        hob_free(run->details[i].value);
    }
    *run = (struct hob_run){
        .state = DEAD, .deferred = run->deferred, .begin = run->begin, .native = run->native};
    if (!run->deferred) {
        hob_native_bury(&run->native->runs, run);
    }
}

/* ---- what it is about ---- */

const char *hob_run_thing(const struct hob_run *run)
{
    return is_here(run) ? run->view.thing : "";
}

const char *hob_run_job_id(const struct hob_run *run)
{
    return is_here(run) ? run->view.id : "";
}

int64_t hob_run_execution_number(const struct hob_run *run)
{
    return is_here(run) ? run->view.execution_number : 0;
}

const char *hob_run_document(const struct hob_run *run, size_t *len)
{
    if (len) {
        *len = is_here(run) ? run->view.document_len : 0;
    }
    return is_here(run) ? run->view.document : "";
}

int hob_run_attempt(const struct hob_run *run)
{
    return is_here(run) ? run->view.attempt : 0;
}

const char *hob_run_directory(const struct hob_run *run)
{
    return is_here(run) ? run->view.work_dir : "";
}

void *hob_run_data(const struct hob_run *run)
{
    return is_here(run) ? run->data : NULL;
}

void hob_run_set_data(struct hob_run *run, void *data)
{
    if (is_here(run)) {
        run->data = data;
    }
}

/* ---- arguments ---- */

static const char *text_of(const struct hob_run *run, size_t *len)
{
    *len = run->args ? run->args_len : run->view.document_len;
    return run->args ? run->args : run->view.document;
}

/* Read when somebody asks: many handlers have no arguments, or a parser of their own. */
static struct hob_json *args_of(const struct hob_run *const_run)
{
    struct hob_run *run = (struct hob_run *)(uintptr_t)const_run; /* a cache, no change */
    if (!is_here(run) || run->unreadable) {
        return NULL;
    }
    if (!run->json) {
        size_t len = 0;
        const char *text = text_of(run, &len);
        run->unreadable =
            hob_json_new(&run->json, NULL) || hob_json_parse(run->json, text, len, NULL);
    }
    return run->unreadable ? NULL : run->json;
}

bool hob_run_arg_string(const struct hob_run *run, const char *name, const char **out)
{
    struct hob_json *json = args_of(run);
    size_t len = 0;
    const char *value = json && name ? hob_json_string(json, name, &len) : NULL;
    bool whole = value && strlen(value) == len; /* what was checked is what is used */
    if (whole) {
        *out = value;
    }
    return whole;
}

bool hob_run_arg_integer(const struct hob_run *run, const char *name, int64_t *out)
{
    struct hob_json *json = args_of(run);
    int64_t value = json && name ? hob_json_integer(json, name, INT64_MIN) : INT64_MIN;
    if (value != INT64_MIN) { /* JSON has none of that size here: over 2^53 is refused */
        *out = value;
    }
    return value != INT64_MIN;
}

bool hob_run_arg_number(const struct hob_run *run, const char *name, double *out)
{
    struct hob_json *json = args_of(run);
    if (!json || !name || hob_json_type(json, name) != HOB_JSON_NUMBER) {
        return false;
    }
    *out = hob_json_number(json, name, 0);
    return true;
}

bool hob_run_arg_boolean(const struct hob_run *run, const char *name, bool *out)
{
    struct hob_json *json = args_of(run);
    if (!json || !name || hob_json_type(json, name) != HOB_JSON_BOOLEAN) {
        return false;
    }
    *out = hob_json_boolean(json, name, false);
    return true;
}

bool hob_run_arg_json(const struct hob_run *run, const char *name, const char **out, size_t *len)
{
    size_t whole = 0;
    if (!is_here(run) || !name) {
        return false;
    }
    const char *text = text_of(run, &whole);
    size_t n = whole;
    const char *value = name[0] ? hob_json_slice(text, whole, name, &n) : text;
    if (value) {
        *out = value;
        *len = n;
    }
    return value != NULL;
}

/* ---- on the way ---- */

void hob_run_progress(struct hob_run *run, const char *text)
{
    if (run && run->state == RUNS) {
        hob_job_progress(run->job, text ? text : "");
    }
}

static bool is_reserved(const char *name)
{
    for (const char *const *one = reserved; *one; one++) {
        if (strcmp(*one, name) == 0) {
            return true;
        }
    }
    return false;
}

static struct hob_native_detail *detail_of(struct hob_run *run, const char *name)
{
    for (size_t i = 0; i < run->detail_count; i++) {
        if (strcmp(run->details[i].name, name) == 0) {
            return &run->details[i];
        }
    }
    return NULL;
}

static int add_detail(struct hob_run *run, const char *name, const char *value)
{
    if (run->detail_count == HOB_NATIVE_DETAILS) {
        return HOB_EMSGSIZE;
    }
    struct hob_native_detail detail = {hob_strdup(name), hob_strdup(value)};
    if (!detail.name || !detail.value) {
        hob_free(detail.name);
        hob_free(detail.value);
        return HOB_ENOMEM;
    }
    run->details[run->detail_count++] = detail;
    return 0;
}

int hob_run_detail(struct hob_run *run, const char *name, const char *value)
{
    if (!run || run->state != RUNS) {
        return HOB_ESTALE;
    } else if (!name || !value || !hob_jobs_detail_key_valid(name, strlen(name)) ||
               is_reserved(name)) {
        return HOB_EINVAL;
    } else if (strlen(value) > VALUE_MAX) {
        return HOB_EMSGSIZE;
    }
    struct hob_native_detail *known = detail_of(run, name);
    if (!known) {
        return add_detail(run, name, value);
    }
    char *copy = hob_strdup(value);
    if (copy) {
        hob_free(known->value);
        known->value = copy;
    }
    return copy ? 0 : HOB_ENOMEM;
}

/* ---- its end ---- */

/* Without memory for the words it ends all the same. */
static void end(struct hob_run *run, enum hob_native_end how, const char *code, const char *reason)
{
    if (!run || run->state != RUNS) {
        return; /* it has ended already, or was told that it is to end */
    }
    run->state = ENDED;
    run->end = how;
    snprintf(run->code, sizeof run->code, "%s", code);
    run->reason = hob_strndup(reason && reason[0] ? reason : "it gave no reason", REASON_MAX);
    run->on_end(run->user);
}

void hob_run_succeed(struct hob_run *run)
{
    end(run, HOB_NATIVE_SUCCEEDED, "", "");
}

void hob_run_fail(struct hob_run *run, const char *code, const char *reason)
{
    end(run, HOB_NATIVE_FAILED, code ? code : "FAILED", reason);
}

void hob_run_reject(struct hob_run *run, const char *reason)
{
    end(run, HOB_NATIVE_REJECTED, "", reason);
}

void hob_run_retry_later(struct hob_run *run, double seconds, const char *reason)
{
    char words[160];
    if (run && run->state == RUNS && !(seconds > 0 && seconds <= RETRY_MAX_S)) {
        snprintf(words, sizeof words,
                 "C handler %s: hob_run_retry_later: expected seconds, over 0 and at most %.0f, "
                 "got %g",
                 run->handler->entry.name, RETRY_MAX_S, seconds);
        end(run, HOB_NATIVE_FAILED, "BAD_RESULT", words);
        return;
    }
    if (run && run->state == RUNS) {
        run->seconds = seconds;
    }
    end(run, HOB_NATIVE_RETRY, "", reason);
}
