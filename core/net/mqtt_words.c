#include "net/mqtt_words.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

const char *hob_mqtt_words_place(const struct hob_mqtt_options *o, char *out, size_t len)
{
    snprintf(out, len, strchr(o->host, ':') ? "[%s]:%d" : "%s:%d", o->host, o->port);
    return out;
}

void hob_mqtt_words_log_up(struct hob_log *log, const struct hob_mqtt_options *o, uint64_t took_ms,
                           const char *how)
{
    char place[300];
    struct hob_log_record record = {.level = HOB_LOG_INFO, .event = "conn.up", .thing = o->thing};
    hob_log_write(log, &record, "connected to %s as \"%s\" in %llu ms (%s, MQTT %s)",
                  hob_mqtt_words_place(o, place, sizeof(place)), o->client_id,
                  (unsigned long long)took_ms, how, o->protocol == 5 ? "5" : "3.1.1");
}

void hob_mqtt_words_log_session_lost(struct hob_log *log, const struct hob_mqtt_options *o)
{
    char place[300];
    struct hob_log_record record = {
        .level = HOB_LOG_WARN, .event = "conn.session_lost", .thing = o->thing};
    hob_log_write(log, &record,
                  "%s did not keep the session of \"%s\" (it expired, or the broker was started "
                  "anew): what was sent to it meanwhile is lost; everything is asked for afresh",
                  hob_mqtt_words_place(o, place, sizeof(place)), o->client_id);
}

static const char *action_for(int code)
{
    switch (code) {
    case HOB_ECONNREFUSED:
    case HOB_ERESOLVE:
        return "check host and port, and that the broker runs";
    case HOB_ENOENT:
    case HOB_EACCES:
        return "mend the file; the next try reads it again";
    case HOB_ETLS:
        return "mend the certificates or the clock; the next try reads the files again";
    case HOB_EREFUSED:
        return "check the client id, and what the broker allows it";
    case HOB_ETIMEDOUT:
        return "check the network and firewalls";
    default:
        return NULL;
    }
}

void hob_mqtt_words_log_down(struct hob_log *log, const struct hob_mqtt_options *o,
                             const struct hob_error *why, bool was_up, uint64_t retry_ms)
{
    struct hob_log_record record = {.level = HOB_LOG_WARN,
                                    .event = was_up ? "conn.lost" : "conn.refused",
                                    .thing = o->thing,
                                    .code = hob_error_name(why->code),
                                    .action = was_up ? NULL : action_for(why->code)};
    hob_log_write(log, &record, "%s: %s; next try in %.1f s",
                  was_up ? "connection lost" : "no connection", why->message,
                  (double)retry_ms / 1000);
}

void hob_mqtt_words_log_given_up(struct hob_log *log, const struct hob_mqtt_options *o,
                                 const char *description)
{
    struct hob_log_record record = {.level = HOB_LOG_INFO, .event = "conn.up", .thing = o->thing};
    hob_log_write(log, &record, "the product's own connection is up (%s)", description);
}

void hob_mqtt_words_log_given_down(struct hob_log *log, const struct hob_mqtt_options *o,
                                   const struct hob_error *why)
{
    struct hob_log_record record = {.level = HOB_LOG_WARN,
                                    .event = "conn.lost",
                                    .thing = o->thing,
                                    .code = hob_error_name(why->code)};
    hob_log_write(log, &record, "the product's own connection is lost: %s", why->message);
}

void hob_mqtt_words_log_clock(struct hob_log *log, const struct hob_mqtt_options *o, int64_t by_ms)
{
    char span[HOB_CLOCK_TEXT_MAX];
    struct hob_log_record record = {
        .level = HOB_LOG_INFO, .event = "conn.clock_set", .thing = o->thing};
    hob_log_write(
        log, &record,
        "the clock was set %s by %s; certificates are judged by it, so the next try is now",
        by_ms < 0 ? "back" : "forward", hob_clock_span(by_ms / 1000, span));
}

void hob_mqtt_words_log_dropped(struct hob_log *log, const struct hob_mqtt_options *o,
                                const char *topic, size_t len)
{
    struct hob_log_record record = {.level = HOB_LOG_WARN,
                                    .event = "conn.dropped",
                                    .thing = o->thing,
                                    .code = hob_error_name(HOB_EMSGSIZE)};
    hob_log_write(log, &record, "a message of %zu bytes on %s was dropped: the limit is %zu", len,
                  topic, o->payload_max);
}
