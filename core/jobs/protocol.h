/* protocol.h - the AWS IoT Jobs device API as data: messages and their limits. No I/O.
 *
 * Facts: AWS IoT Core Developer Guide, "Jobs device MQTT API operations" and "Jobs notifications",
 * and the API reference of `iot-jobs-data`. Times are seconds since the epoch, as AWS sends them.
 *
 * Decoded strings and documents are borrowed from the parser and the payload: they are valid until
 * the next decode or the end of the payload.  Spec: spec/unit/protocol_spec.lua
 */
#ifndef HOB_JOBS_PROTOCOL_H
#define HOB_JOBS_PROTOCOL_H

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "jobs/topic.h"

#include <stdbool.h>
#include <stdint.h>

#define HOB_JOBS_DOCUMENT_MAX     32768
#define HOB_JOBS_TOKEN_MAX        64
#define HOB_JOBS_STEP_MINUTES_MAX 10080
#define HOB_JOBS_PENDING_MAX      20 /* AWS sends at most 15 */

enum hob_jobs_status {
    HOB_JOBS_STATUS_NONE, /* absent or unknown */
    HOB_JOBS_QUEUED,
    HOB_JOBS_IN_PROGRESS,
    HOB_JOBS_SUCCEEDED,
    HOB_JOBS_FAILED,
    HOB_JOBS_TIMED_OUT,
    HOB_JOBS_REJECTED,
    HOB_JOBS_REMOVED,
    HOB_JOBS_CANCELED
};

enum hob_jobs_code { /* of a rejection */
                     HOB_JOBS_CODE_NONE,
                     HOB_JOBS_INVALID_TOPIC,
                     HOB_JOBS_INVALID_JSON,
                     HOB_JOBS_INVALID_REQUEST,
                     HOB_JOBS_INVALID_STATE_TRANSITION,
                     HOB_JOBS_RESOURCE_NOT_FOUND,
                     HOB_JOBS_VERSION_MISMATCH,
                     HOB_JOBS_INTERNAL_ERROR,
                     HOB_JOBS_REQUEST_THROTTLED,
                     HOB_JOBS_TERMINAL_STATE_REACHED
};

const char *hob_jobs_status_name(enum hob_jobs_status status); /* "IN_PROGRESS"; "" for none */
enum hob_jobs_status hob_jobs_status_parse(const char *name);  /* NULL is legal */
bool hob_jobs_status_terminal(enum hob_jobs_status status);
const char *hob_jobs_code_name(enum hob_jobs_code code); /* "VersionMismatch" */
enum hob_jobs_code hob_jobs_code_parse(const char *name);
bool hob_jobs_code_retryable(enum hob_jobs_code code); /* InternalError, RequestThrottled */

/* ---- requests: each appends one JSON object to `out` ----
 *
 * `token` NULL: none. @return 0, or HOB_EINVAL and the message names the member and its limit, or
 * HOB_EMSGSIZE; then what `out` holds is worth nothing. */

struct hob_jobs_update {
    const char *job_id;
    enum hob_jobs_status status; /* IN_PROGRESS, SUCCEEDED, FAILED or REJECTED */
    const char *details;         /* a JSON object of strings, as text; NULL: unchanged */
    int64_t expected_version;    /* 0: no check */
    int64_t execution_number;    /* 0: latest */
    int step_timeout_minutes;    /* 0: unchanged; 1-10080, or -1 to discard the timer */
    bool include_state;
    bool include_document;
};

int hob_jobs_encode_update(struct hob_buf *out, const struct hob_jobs_update *update,
                           const char *token, struct hob_error *err);
int hob_jobs_encode_describe(struct hob_buf *out, int64_t execution_number, bool include_document,
                             const char *token, struct hob_error *err);
int hob_jobs_encode_start_next(struct hob_buf *out, const char *details, int step_timeout_minutes,
                               const char *token, struct hob_error *err);
int hob_jobs_encode_get(struct hob_buf *out, const char *token, struct hob_error *err);

/* ---- answers and events ---- */

struct hob_jobs_execution {
    bool present; /* false: the answer holds none ("nothing pending") */
    char job_id[HOB_JOBS_ID_MAX + 1];
    enum hob_jobs_status status; /* NONE in a summary */
    int64_t execution_number;
    int64_t version_number;
    int64_t queued_at, started_at, last_updated_at; /* 0: absent */
    int64_t seconds_before_timeout;                 /* -1: no timer */
    const char *document; /* the bytes as they came, not looked into; NULL: none */
    size_t document_len;
    const char *details; /* raw JSON object; NULL: none */
    size_t details_len;
};

struct hob_jobs_state { /* `executionState` of an answer */
    bool present;
    enum hob_jobs_status status;
    int64_t version_number;
};

struct hob_jobs_answer {
    char token[HOB_JOBS_TOKEN_MAX + 1]; /* "" if absent */
    int64_t timestamp;
    /* describe, start-next, notify-next; of an update only `document`, if it was asked for */
    struct hob_jobs_execution execution;
    struct hob_jobs_state state; /* update accepted, and two rejections */
    enum hob_jobs_code code;     /* of a rejection; NONE for an unknown one */
    char code_text[64];
    char message[512];
    /* get and notify: IN_PROGRESS first, then QUEUED; status is filled in */
    struct hob_jobs_execution pending[HOB_JOBS_PENDING_MAX];
    size_t pending_count;
};

/** Decode what came on a topic of kind ACCEPTED, REJECTION, NOTIFY or NOTIFY_NEXT.
 * Unknown members are ignored and null counts as absent; times in milliseconds become seconds. A
 * job document is found but not read: it may be too deep, or no JSON, in a message that is good.
 * @return 0, HOB_EJSON, HOB_EMSGSIZE, or HOB_EPROTO: a wrong type, the message names the member */
int hob_jobs_decode(struct hob_json *json, const struct hob_jobs_topic *topic, const char *payload,
                    size_t len, struct hob_jobs_answer *out, struct hob_error *err);

#endif
