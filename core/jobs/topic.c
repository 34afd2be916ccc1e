#include "jobs/topic.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

#define NEXT "$next"

/* ---- names ---- */

/** 1 to `max` of [a-zA-Z0-9_-], and ':' where `colon`. */
static bool name_valid(const char *name, size_t len, size_t max, bool colon)
{
    if (len < 1 || len > max)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-' || (colon && c == ':')))
            return false;
    }
    return true;
}

bool hob_jobs_id_valid(const char *id)
{
    return id && name_valid(id, strnlen(id, HOB_JOBS_ID_MAX + 1), HOB_JOBS_ID_MAX, false);
}

bool hob_jobs_thing_valid(const char *thing)
{
    return thing &&
           name_valid(thing, strnlen(thing, HOB_JOBS_THING_MAX + 1), HOB_JOBS_THING_MAX, true);
}

/* ---- what is sent to, and subscribed to ---- */

static int topic_print(char out[HOB_JOBS_TOPIC_MAX], const char *thing, const char *rest)
{
    int len = snprintf(out, HOB_JOBS_TOPIC_MAX, "$aws/things/%s/jobs/%s", thing, rest);
    return len < HOB_JOBS_TOPIC_MAX ? 0 : HOB_EMSGSIZE;
}

int hob_jobs_topic_request(char out[HOB_JOBS_TOPIC_MAX], const char *thing, enum hob_jobs_op op,
                           const char *job_id)
{
    char rest[HOB_JOBS_ID_MAX + 16];
    bool next = op == HOB_JOBS_OP_DESCRIBE && job_id && strcmp(job_id, NEXT) == 0;
    if (!hob_jobs_thing_valid(thing))
        return HOB_EINVAL;
    if (op == HOB_JOBS_OP_GET)
        return topic_print(out, thing, "get");
    if (op == HOB_JOBS_OP_START_NEXT)
        return topic_print(out, thing, "start-next");
    if (!next && !hob_jobs_id_valid(job_id))
        return HOB_EINVAL;
    snprintf(rest, sizeof(rest), "%s/%s", job_id, op == HOB_JOBS_OP_UPDATE ? "update" : "get");
    return topic_print(out, thing, rest);
}

int hob_jobs_filter(char out[HOB_JOBS_TOPIC_MAX], const char *thing, size_t index, bool *is_event)
{
    static const char *const filters[HOB_JOBS_FILTERS] = {"notify-next",  "notify",  "get/+",
                                                          "start-next/+", "+/get/+", "+/update/+"};
    if (index >= HOB_JOBS_FILTERS)
        return HOB_ENOENT;
    if (!hob_jobs_thing_valid(thing))
        return HOB_EINVAL;
    *is_event = index < 2;
    return topic_print(out, thing, filters[index]);
}

/* ---- what comes in ---- */

struct segment {
    const char *text;
    size_t len;
};

static bool is(struct segment segment, const char *name)
{
    return segment.len == strlen(name) && memcmp(segment.text, name, segment.len) == 0;
}

/** @return how many segments, at most `max` are filled in */
static size_t split(const char *topic, struct segment *segments, size_t max)
{
    size_t count = 0;
    for (const char *at = topic; at; count++) {
        const char *end = strchr(at, '/');
        if (count < max)
            segments[count] = (struct segment){at, end ? (size_t)(end - at) : strlen(at)};
        at = end ? end + 1 : NULL;
    }
    return count;
}

/** @return what follows `text`, or NULL; also if `at` is NULL */
static const char *after(const char *at, const char *text)
{
    size_t len = strlen(text);
    return at && strncmp(at, text, len) == 0 ? at + len : NULL;
}

/** What follows "$aws/things/THING/jobs/", or NULL. */
static const char *own_rest(const char *topic, const char *thing)
{
    return after(after(after(topic, "$aws/things/"), thing), "/jobs/");
}

static enum hob_jobs_kind answer_kind(struct segment segment)
{
    if (is(segment, "accepted"))
        return HOB_JOBS_ACCEPTED;
    return is(segment, "rejected") ? HOB_JOBS_REJECTION : HOB_JOBS_FOREIGN;
}

static struct hob_jobs_topic parse_two(const struct segment *segments)
{
    struct hob_jobs_topic out = {.kind = answer_kind(segments[1]), .op = HOB_JOBS_OP_GET};
    if (is(segments[0], "start-next"))
        out.op = HOB_JOBS_OP_START_NEXT;
    else if (!is(segments[0], "get"))
        out.kind = HOB_JOBS_FOREIGN;
    return out;
}

static struct hob_jobs_topic parse_three(const struct segment *segments)
{
    struct hob_jobs_topic out = {.kind = answer_kind(segments[2]), .op = HOB_JOBS_OP_DESCRIBE};
    bool update = is(segments[1], "update");
    if (update)
        out.op = HOB_JOBS_OP_UPDATE;
    if (!(update || is(segments[1], "get")) ||
        !(name_valid(segments[0].text, segments[0].len, HOB_JOBS_ID_MAX, false) ||
          (!update && is(segments[0], NEXT))))
        return (struct hob_jobs_topic){.kind = HOB_JOBS_FOREIGN};
    memcpy(out.job_id, segments[0].text, segments[0].len);
    return out;
}

struct hob_jobs_topic hob_jobs_topic_parse(const char *topic, const char *thing)
{
    struct hob_jobs_topic out = {.kind = HOB_JOBS_FOREIGN};
    struct segment segments[3];
    const char *rest = own_rest(topic, thing);
    size_t count = rest ? split(rest, segments, sizeof(segments) / sizeof(segments[0])) : 0;
    if (count == 1 && is(segments[0], "notify"))
        out.kind = HOB_JOBS_NOTIFY;
    else if (count == 1 && is(segments[0], "notify-next"))
        out.kind = HOB_JOBS_NOTIFY_NEXT;
    else if (count == 2)
        out = parse_two(segments);
    else if (count == 3)
        out = parse_three(segments);
    return out;
}
