/* topic.h - the names and topics of the AWS IoT Jobs device API. No I/O.
 *
 * Facts: AWS IoT Core Developer Guide, "Jobs device MQTT API operations" and "Jobs notifications".
 * Spec: spec/unit/protocol_spec.lua
 */
#ifndef HOB_JOBS_TOPIC_H
#define HOB_JOBS_TOPIC_H

#include <stdbool.h>
#include <stddef.h>

#define HOB_JOBS_ID_MAX    64
#define HOB_JOBS_THING_MAX 128
#define HOB_JOBS_TOPIC_MAX 256 /* the longest real one has 226 bytes */

bool hob_jobs_id_valid(const char *id);       /* 1-64 of [a-zA-Z0-9_-] */
bool hob_jobs_thing_valid(const char *thing); /* 1-128 of [a-zA-Z0-9:_-] */

enum hob_jobs_op {
    HOB_JOBS_OP_GET,
    HOB_JOBS_OP_START_NEXT,
    HOB_JOBS_OP_DESCRIBE,
    HOB_JOBS_OP_UPDATE
};
enum hob_jobs_kind {
    HOB_JOBS_FOREIGN, /* not a jobs topic of this thing */
    HOB_JOBS_ACCEPTED,
    HOB_JOBS_REJECTION,
    HOB_JOBS_NOTIFY,
    HOB_JOBS_NOTIFY_NEXT
};

struct hob_jobs_topic {
    enum hob_jobs_kind kind;
    enum hob_jobs_op op;              /* of an answer */
    char job_id[HOB_JOBS_ID_MAX + 1]; /* of describe and update; "$next" is legal */
};

/** The topic a request is published to. `job_id` only for DESCRIBE and UPDATE.
 * @return 0 or HOB_EINVAL */
int hob_jobs_topic_request(char out[HOB_JOBS_TOPIC_MAX], const char *thing, enum hob_jobs_op op,
                           const char *job_id);

/** Parse by counting segments, so that a job may be called "get" or "notify". */
struct hob_jobs_topic hob_jobs_topic_parse(const char *topic, const char *thing);

/** The filters a device subscribes to, in order: notify-next, notify, then the answers
 * (get/+, start-next/+, +/get/+, +/update/+).
 * @return 0, HOB_ENOENT past the last one, HOB_EINVAL: the thing's name is none */
#define HOB_JOBS_FILTERS 6
int hob_jobs_filter(char out[HOB_JOBS_TOPIC_MAX], const char *thing, size_t index, bool *is_event);

#endif
