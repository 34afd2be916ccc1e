#include "jobs/protocol.h"

#include "base/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MILLISECONDS 100000000000 /* a time over this cannot be in seconds (year 5138) */
#define PATH_SIZE    64

#define EXECUTION_DOCUMENT "execution.jobDocument"
#define UPDATE_DOCUMENT    "jobDocument"

/* ---- names ---- */

static const char *const status_names[] = {
    [HOB_JOBS_STATUS_NONE] = "",
    [HOB_JOBS_QUEUED] = "QUEUED",
    [HOB_JOBS_IN_PROGRESS] = "IN_PROGRESS",
    [HOB_JOBS_SUCCEEDED] = "SUCCEEDED",
    [HOB_JOBS_FAILED] = "FAILED",
    [HOB_JOBS_TIMED_OUT] = "TIMED_OUT",
    [HOB_JOBS_REJECTED] = "REJECTED",
    [HOB_JOBS_REMOVED] = "REMOVED",
    [HOB_JOBS_CANCELED] = "CANCELED",
};

static const char *const code_names[] = {
    [HOB_JOBS_CODE_NONE] = "",
    [HOB_JOBS_INVALID_TOPIC] = "InvalidTopic",
    [HOB_JOBS_INVALID_JSON] = "InvalidJson",
    [HOB_JOBS_INVALID_REQUEST] = "InvalidRequest",
    [HOB_JOBS_INVALID_STATE_TRANSITION] = "InvalidStateTransition",
    [HOB_JOBS_RESOURCE_NOT_FOUND] = "ResourceNotFound",
    [HOB_JOBS_VERSION_MISMATCH] = "VersionMismatch",
    [HOB_JOBS_INTERNAL_ERROR] = "InternalError",
    [HOB_JOBS_REQUEST_THROTTLED] = "RequestThrottled",
    [HOB_JOBS_TERMINAL_STATE_REACHED] = "TerminalStateReached",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *name_at(const char *const *names, size_t count, size_t index)
{
    return index < count ? names[index] : "";
}

static size_t index_of(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 1; name && i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return i;
    }
    return 0;
}

const char *hob_jobs_status_name(enum hob_jobs_status status)
{
    return name_at(status_names, COUNT(status_names), (size_t)status);
}

enum hob_jobs_status hob_jobs_status_parse(const char *name)
{
    return (enum hob_jobs_status)index_of(status_names, COUNT(status_names), name);
}

bool hob_jobs_status_terminal(enum hob_jobs_status status)
{
    return status != HOB_JOBS_STATUS_NONE && status != HOB_JOBS_QUEUED &&
           status != HOB_JOBS_IN_PROGRESS;
}

const char *hob_jobs_code_name(enum hob_jobs_code code)
{
    return name_at(code_names, COUNT(code_names), (size_t)code);
}

enum hob_jobs_code hob_jobs_code_parse(const char *name)
{
    return (enum hob_jobs_code)index_of(code_names, COUNT(code_names), name);
}

bool hob_jobs_code_retryable(enum hob_jobs_code code)
{
    return code == HOB_JOBS_INTERNAL_ERROR || code == HOB_JOBS_REQUEST_THROTTLED;
}

/* ---- requests ---- */

/** An object that is being built; `rc` keeps the first failure. */
struct object {
    struct hob_buf *out;
    int rc;
    bool comma;
};

static void object_text(struct object *object, const char *text)
{
    if (object->rc == 0)
        object->rc = hob_buf_append_string(object->out, text);
}

static void object_key(struct object *object, const char *key)
{
    object_text(object, object->comma ? ",\"" : "{\"");
    object_text(object, key);
    object_text(object, "\":");
    object->comma = true;
}

static void object_raw(struct object *object, const char *key, const char *value)
{
    object_key(object, key);
    object_text(object, value);
}

static void object_string(struct object *object, const char *key, const char *value)
{
    object_key(object, key);
    if (object->rc == 0)
        object->rc = hob_json_quote(object->out, value, strlen(value));
}

static void object_integer(struct object *object, const char *key, int64_t value)
{
    object_key(object, key);
    if (object->rc == 0)
        object->rc = hob_buf_append_integer(object->out, value);
}

static int object_end(struct object *object, const char *token, struct hob_error *err)
{
    if (token && *token)
        object_string(object, "clientToken", token);
    object_text(object, object->comma ? "}" : "{}");
    if (object->rc < 0)
        return hob_error_set(err, object->rc, "the request does not fit: %s (limit %zu bytes)",
                             hob_error_words(object->rc), object->out->limit);
    return 0;
}

static int check_token(const char *token, struct hob_error *err)
{
    if (!token || strlen(token) <= HOB_JOBS_TOKEN_MAX)
        return 0;
    return hob_error_set(err, HOB_EINVAL, "clientToken: %zu bytes, at most %d are allowed",
                         strlen(token), HOB_JOBS_TOKEN_MAX);
}

static int check_details(const char *details, struct hob_error *err)
{
    if (!details || details[strspn(details, " \t\r\n")] == '{')
        return 0;
    return hob_error_set(err, HOB_EINVAL, "statusDetails: expected a JSON object, got '%.20s'",
                         details);
}

/** -1 discards a timer, which only an update can do. */
static int check_minutes(int minutes, bool may_discard, struct hob_error *err)
{
    if ((minutes >= 0 && minutes <= HOB_JOBS_STEP_MINUTES_MAX) || (may_discard && minutes == -1))
        return 0;
    return hob_error_set(err, HOB_EINVAL, "stepTimeoutInMinutes: %d, expected 1 to %d%s", minutes,
                         HOB_JOBS_STEP_MINUTES_MAX, may_discard ? ", or -1" : "");
}

static int check_number(const char *name, int64_t number, struct hob_error *err)
{
    return number >= 0
               ? 0
               : hob_error_set(err, HOB_EINVAL, "%s: %" PRId64 ", expected a number from 0 on",
                               name, number);
}

static int check_update(const struct hob_jobs_update *update, struct hob_error *err)
{
    enum hob_jobs_status status = update->status;
    int rc = 0;
    if (!hob_jobs_id_valid(update->job_id))
        rc = hob_error_set(err, HOB_EINVAL, "jobId: '%.80s', expected 1 to %d of a-z A-Z 0-9 _ -",
                           update->job_id ? update->job_id : "", HOB_JOBS_ID_MAX);
    else if (status != HOB_JOBS_IN_PROGRESS && status != HOB_JOBS_SUCCEEDED &&
             status != HOB_JOBS_FAILED && status != HOB_JOBS_REJECTED)
        rc = hob_error_set(err, HOB_EINVAL,
                           "status: '%s', expected IN_PROGRESS, SUCCEEDED, FAILED or REJECTED",
                           hob_jobs_status_name(status));
    if (rc == 0)
        rc = check_details(update->details, err);
    if (rc == 0)
        rc = check_number("expectedVersion", update->expected_version, err);
    if (rc == 0)
        rc = check_number("executionNumber", update->execution_number, err);
    return rc == 0 ? check_minutes(update->step_timeout_minutes, true, err) : rc;
}

int hob_jobs_encode_update(struct hob_buf *out, const struct hob_jobs_update *update,
                           const char *token, struct hob_error *err)
{
    struct object object = {.out = out};
    int rc = check_update(update, err);
    if (rc == 0)
        rc = check_token(token, err);
    if (rc < 0)
        return rc;
    object_string(&object, "status", hob_jobs_status_name(update->status));
    if (update->details)
        object_raw(&object, "statusDetails", update->details);
    if (update->expected_version)
        object_integer(&object, "expectedVersion", update->expected_version);
    if (update->execution_number)
        object_integer(&object, "executionNumber", update->execution_number);
    if (update->step_timeout_minutes)
        object_integer(&object, "stepTimeoutInMinutes", update->step_timeout_minutes);
    if (update->include_state)
        object_raw(&object, "includeJobExecutionState", "true");
    if (update->include_document)
        object_raw(&object, "includeJobDocument", "true");
    return object_end(&object, token, err);
}

int hob_jobs_encode_describe(struct hob_buf *out, int64_t execution_number, bool include_document,
                             const char *token, struct hob_error *err)
{
    struct object object = {.out = out};
    int rc = check_number("executionNumber", execution_number, err);
    if (rc == 0)
        rc = check_token(token, err);
    if (rc < 0)
        return rc;
    if (execution_number)
        object_integer(&object, "executionNumber", execution_number);
    object_raw(&object, "includeJobDocument", include_document ? "true" : "false");
    return object_end(&object, token, err);
}

int hob_jobs_encode_start_next(struct hob_buf *out, const char *details, int step_timeout_minutes,
                               const char *token, struct hob_error *err)
{
    struct object object = {.out = out};
    int rc = check_details(details, err);
    if (rc == 0)
        rc = check_minutes(step_timeout_minutes, false, err);
    if (rc == 0)
        rc = check_token(token, err);
    if (rc < 0)
        return rc;
    if (details)
        object_raw(&object, "statusDetails", details);
    if (step_timeout_minutes)
        object_integer(&object, "stepTimeoutInMinutes", step_timeout_minutes);
    return object_end(&object, token, err);
}

int hob_jobs_encode_get(struct hob_buf *out, const char *token, struct hob_error *err)
{
    struct object object = {.out = out};
    int rc = check_token(token, err);
    return rc < 0 ? rc : object_end(&object, token, err);
}

/* ---- answers and events ---- */

/** A payload that is being decoded; `rc` keeps the first failure, after which nothing is read. */
struct reader {
    struct hob_json *json;
    const char *payload;
    size_t len;
    struct hob_error *err;
    int rc;
};

static const char *type_name(enum hob_json_type type)
{
    static const char *const names[] = {
        [HOB_JSON_ABSENT] = "nothing", [HOB_JSON_NULL] = "null",     [HOB_JSON_BOOLEAN] = "boolean",
        [HOB_JSON_NUMBER] = "number",  [HOB_JSON_STRING] = "string", [HOB_JSON_OBJECT] = "object",
        [HOB_JSON_ARRAY] = "array"};
    return names[type];
}

/** A place in the message; its path is written only for an error. */
struct spot {
    const struct spot *up; /* NULL: it is the whole */
    const char *name;      /* NULL: an element */
    size_t index;
    const struct hob_json_value *value;
};

static struct spot whole(const struct reader *reader)
{
    return (struct spot){.value = hob_json_whole(reader->json)};
}

static struct spot member(const struct reader *reader, const struct spot *up, const char *name)
{
    return (struct spot){
        .up = up, .name = name, .value = hob_json_member(reader->json, up->value, name)};
}

static size_t write_path(char path[PATH_SIZE], const struct spot *spot)
{
    size_t len = spot->up ? write_path(path, spot->up) : 0;
    if (spot->name)
        snprintf(path + len, PATH_SIZE - len, "%s%s", len > 0 ? "." : "", spot->name);
    else
        snprintf(path + len, PATH_SIZE - len, spot->up ? "[%zu]" : "", spot->index);
    return len + strlen(path + len);
}

/** @return true if the member is there with this type; null counts as absent, any other type is
 * the reader's failure */
static bool has(struct reader *reader, const struct spot *spot, enum hob_json_type expected)
{
    char path[PATH_SIZE];
    enum hob_json_type type = reader->rc < 0 ? HOB_JSON_ABSENT : hob_json_value_type(spot->value);
    if (type == HOB_JSON_ABSENT || type == HOB_JSON_NULL)
        return false;
    if (type != expected) {
        write_path(path, spot);
        reader->rc = hob_error_set(reader->err, HOB_EPROTO, "%s: expected %s, got %s", path,
                                   type_name(expected), type_name(type));
    }
    return type == expected;
}

static int64_t integer_at(struct reader *reader, const struct spot *base, const char *name)
{
    struct spot spot = member(reader, base, name);
    return has(reader, &spot, HOB_JSON_NUMBER) ? hob_json_value_integer(spot.value, 0) : 0;
}

static int64_t time_at(struct reader *reader, const struct spot *base, const char *name)
{
    int64_t time = integer_at(reader, base, name);
    return time > MILLISECONDS ? time / 1000 : time;
}

/** @return "" if absent */
static const char *string_at(struct reader *reader, const struct spot *base, const char *name)
{
    struct spot spot = member(reader, base, name);
    return has(reader, &spot, HOB_JSON_STRING) ? hob_json_value_string(spot.value, NULL) : "";
}

static void copy_cut(char *out, size_t size, const char *text)
{
    size_t len = hob_utf8_cut(text, strlen(text), size - 1);
    memcpy(out, text, len);
    out[len] = '\0';
}

/** The bytes at `path`, where the spot is, as they came; NULL if it is absent. Not from the parser,
 * which was given null in the place of a document. */
static const char *slice(const struct reader *reader, const struct spot *spot, const char *path,
                         size_t *len)
{
    if (hob_json_value_type(spot->value) == HOB_JSON_ABSENT)
        return NULL;
    return hob_json_slice(reader->payload, reader->len, path, len);
}

static const char *document_at(const struct reader *reader, const struct spot *base,
                               const char *path, size_t *len)
{
    struct spot spot = member(reader, base, "jobDocument");
    const char *document = slice(reader, &spot, path, len);
    bool none = !document || *len == 0 || (*len == 4 && memcmp(document, "null", 4) == 0);
    return reader->rc < 0 || none ? NULL : document;
}

/** @return false if there is no jobId here, or a wrong one (then the reader has failed) */
static bool read_job_id(struct reader *reader, const struct spot *base,
                        char out[HOB_JOBS_ID_MAX + 1])
{
    char path[PATH_SIZE];
    const char *id = string_at(reader, base, "jobId");
    if (!*id)
        return false;
    if (!hob_jobs_id_valid(id)) {
        write_path(path, base);
        reader->rc = hob_error_set(reader->err, HOB_EPROTO,
                                   "%s.jobId: '%.80s', expected 1 to %d of a-z A-Z 0-9 _ -", path,
                                   id, HOB_JOBS_ID_MAX);
        return false;
    }
    copy_cut(out, HOB_JOBS_ID_MAX + 1, id);
    return true;
}

/** The members that a summary has too. @return whether there is an execution */
static bool read_summary(struct reader *reader, const struct spot *base,
                         struct hob_jobs_execution *out)
{
    out->seconds_before_timeout = -1;
    if (!has(reader, base, HOB_JSON_OBJECT) || !read_job_id(reader, base, out->job_id))
        return false;
    out->execution_number = integer_at(reader, base, "executionNumber");
    out->version_number = integer_at(reader, base, "versionNumber");
    out->queued_at = time_at(reader, base, "queuedAt");
    out->started_at = time_at(reader, base, "startedAt");
    out->last_updated_at = time_at(reader, base, "lastUpdatedAt");
    return reader->rc == 0;
}

static void read_execution(struct reader *reader, const struct spot *message,
                           struct hob_jobs_execution *out)
{
    struct spot execution = member(reader, message, "execution");
    if (!read_summary(reader, &execution, out))
        return;
    out->status = hob_jobs_status_parse(string_at(reader, &execution, "status"));
    struct spot seconds = member(reader, &execution, "approximateSecondsBeforeTimedOut");
    if (has(reader, &seconds, HOB_JSON_NUMBER))
        out->seconds_before_timeout = hob_json_value_integer(seconds.value, 0);
    struct spot details = member(reader, &execution, "statusDetails");
    if (has(reader, &details, HOB_JSON_OBJECT))
        out->details = slice(reader, &details, "execution.statusDetails", &out->details_len);
    out->document = document_at(reader, &execution, EXECUTION_DOCUMENT, &out->document_len);
    out->present = reader->rc == 0;
}

static void read_state(struct reader *reader, const struct spot *message,
                       struct hob_jobs_state *out)
{
    struct spot state = member(reader, message, "executionState");
    if (!has(reader, &state, HOB_JSON_OBJECT))
        return;
    out->status = hob_jobs_status_parse(string_at(reader, &state, "status"));
    out->version_number = integer_at(reader, &state, "versionNumber");
    out->present = reader->rc == 0;
}

static void read_list(struct reader *reader, const struct spot *base, const char *name,
                      enum hob_jobs_status status, struct hob_jobs_answer *out)
{
    struct spot list = member(reader, base, name);
    if (hob_json_value_is_empty(list.value) || !has(reader, &list, HOB_JSON_ARRAY))
        return; /* an empty list looks like an empty object */
    size_t count = hob_json_value_length(list.value);
    struct spot element = {.up = &list};
    for (size_t i = 0; i < count && out->pending_count < HOB_JOBS_PENDING_MAX; i++) {
        struct hob_jobs_execution *execution = &out->pending[out->pending_count];
        element.index = i;
        element.value = hob_json_element(reader->json, list.value, i);
        *execution = (struct hob_jobs_execution){.status = status};
        execution->present = read_summary(reader, &element, execution);
        if (execution->present)
            out->pending_count++;
    }
}

static void read_rejection(struct reader *reader, const struct spot *message,
                           struct hob_jobs_answer *out)
{
    const char *code = string_at(reader, message, "code");
    out->code = hob_jobs_code_parse(code);
    copy_cut(out->code_text, sizeof(out->code_text), code);
    copy_cut(out->message, sizeof(out->message), string_at(reader, message, "message"));
    read_state(reader, message, &out->state);
}

static void read_accepted(struct reader *reader, const struct spot *message, enum hob_jobs_op op,
                          struct hob_jobs_answer *out)
{
    switch (op) {
    case HOB_JOBS_OP_GET:
        read_list(reader, message, "inProgressJobs", HOB_JOBS_IN_PROGRESS, out);
        read_list(reader, message, "queuedJobs", HOB_JOBS_QUEUED, out);
        return;
    case HOB_JOBS_OP_START_NEXT:
    case HOB_JOBS_OP_DESCRIBE:
        read_execution(reader, message, &out->execution);
        return;
    case HOB_JOBS_OP_UPDATE:
        read_state(reader, message, &out->state);
        out->execution.document =
            document_at(reader, message, UPDATE_DOCUMENT, &out->execution.document_len);
        return;
    }
}

static void read_lists(struct reader *reader, const struct spot *message,
                       struct hob_jobs_answer *out)
{
    struct spot jobs = member(reader, message, "jobs");
    if (!has(reader, &jobs, HOB_JSON_OBJECT))
        return;
    read_list(reader, &jobs, "IN_PROGRESS", HOB_JOBS_IN_PROGRESS, out);
    read_list(reader, &jobs, "QUEUED", HOB_JOBS_QUEUED, out);
}

static void read_members(struct reader *reader, const struct hob_jobs_topic *topic,
                         struct hob_jobs_answer *out)
{
    struct spot message = whole(reader);
    copy_cut(out->token, sizeof(out->token), string_at(reader, &message, "clientToken"));
    out->timestamp = time_at(reader, &message, "timestamp");
    switch (topic->kind) {
    case HOB_JOBS_ACCEPTED:
        read_accepted(reader, &message, topic->op, out);
        return;
    case HOB_JOBS_REJECTION:
        read_rejection(reader, &message, out);
        return;
    case HOB_JOBS_NOTIFY:
        read_lists(reader, &message, out);
        return;
    case HOB_JOBS_NOTIFY_NEXT:
        read_execution(reader, &message, &out->execution);
        return;
    case HOB_JOBS_FOREIGN:
        assert(!"only topics of this thing are decoded");
    }
}

/** @return where such a message has a job document, NULL for nowhere */
static const char *document_path(const struct hob_jobs_topic *topic)
{
    if (topic->kind == HOB_JOBS_NOTIFY_NEXT)
        return EXECUTION_DOCUMENT;
    if (topic->kind != HOB_JOBS_ACCEPTED || topic->op == HOB_JOBS_OP_GET)
        return NULL;
    return topic->op == HOB_JOBS_OP_UPDATE ? UPDATE_DOCUMENT : EXECUTION_DOCUMENT;
}

/** A document may break the parser's limits, which are ours and not the service's. The message
 * is parsed without it, so that such a job can be refused: unread, it would block the queue. */
static int parse_message(const struct reader *reader, const struct hob_jobs_topic *topic)
{
    const char *path = document_path(topic);
    if (!path || reader->len > HOB_JSON_TEXT_MAX)
        return hob_json_parse(reader->json, reader->payload, reader->len, reader->err);
    struct hob_buf rest;
    hob_buf_init(&rest, 2 * HOB_JSON_TEXT_MAX);
    int rc = hob_json_without(reader->payload, reader->len, path, &rest);
    if (rc < 0)
        hob_error_set(reader->err, rc, "reading the message: %s", hob_error_words(rc));
    else
        rc = hob_json_parse(reader->json, hob_buf_data(&rest), hob_buf_len(&rest), reader->err);
    hob_buf_free(&rest);
    return rc;
}

int hob_jobs_decode(struct hob_json *json, const struct hob_jobs_topic *topic, const char *payload,
                    size_t len, struct hob_jobs_answer *out, struct hob_error *err)
{
    struct reader reader = {.json = json, .payload = payload, .len = len, .err = err};
    size_t blanks = 0;
    memset(out, 0, sizeof(*out));
    out->execution.seconds_before_timeout = -1;
    int rc = parse_message(&reader, topic);
    if (rc < 0)
        return rc;
    while (blanks < len && strchr(" \t\r\n", payload[blanks]))
        blanks++;
    if (blanks == len || payload[blanks] != '{') /* an empty list would pass for an object */
        return hob_error_set(err, HOB_EPROTO, "payload: expected a JSON object, got '%.*s'",
                             (int)(len - blanks < 20 ? len - blanks : 20), payload + blanks);
    read_members(&reader, topic, out);
    return reader.rc;
}
