#include "host/drain.h"

#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NOTE     "drain"
#define NOTE_MAX 2048

static void take_text(struct hob_json *json, const char *name, char *out, size_t size)
{
    const char *text = hob_json_string(json, name, NULL);
    snprintf(out, size, "%s", text ? text : "");
}

int hob_drain_load(struct hob_store *store, struct hob_drain *out, struct hob_error *err)
{
    const char *text;
    struct hob_json *json = NULL;
    *out = (struct hob_drain){0};
    int rc = hob_store_get_note(store, NOTE, &text, err);
    if (rc) {
        return rc == HOB_ENOENT ? 0 : rc;
    }
    out->on = true; /* whatever else it says */
    rc = hob_json_new(&json, err);
    if (rc == 0 && hob_json_parse(json, text, strlen(text), NULL) == 0) {
        out->since_s = hob_json_integer(json, "since", 0);
        take_text(json, "who", out->who, sizeof out->who);
        take_text(json, "reason", out->reason, sizeof out->reason);
    }
    hob_json_free(json);
    return rc;
}

int hob_drain_write(struct hob_buf *out, const struct hob_drain *drain)
{
    int rc = hob_buf_printf(out, "{\"since\":%" PRId64 ",\"who\":", drain->since_s);
    rc = rc ? rc : hob_json_quote(out, drain->who, strlen(drain->who));
    if (rc == 0 && drain->reason[0]) {
        rc = hob_buf_append_string(out, ",\"reason\":");
        rc = rc ? rc : hob_json_quote(out, drain->reason, strlen(drain->reason));
    }
    return rc ? rc : hob_buf_append_string(out, "}");
}

int hob_drain_save(struct hob_store *store, const struct hob_drain *drain, struct hob_error *err)
{
    struct hob_buf text;
    hob_buf_init(&text, NOTE_MAX);
    int rc = drain->on ? hob_drain_write(&text, drain) : 0;
    rc = rc ? hob_error_set(err, rc, "drain: %s", hob_error_words(rc))
            : hob_store_put_note(store, NOTE, drain->on ? hob_buf_string(&text) : NULL, err);
    hob_buf_free(&text);
    return rc;
}

void hob_drain_say(struct hob_log *log, const struct hob_drain *drain)
{
    char since[32] = "?";
    time_t when = (time_t)drain->since_s;
    struct tm parts;
    if (gmtime_r(&when, &parts)) {
        strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%SZ", &parts);
    }
    hob_log_write(log,
                  &(struct hob_log_record){.level = HOB_LOG_WARN,
                                           .event = "hob.draining",
                                           .action = "`hob drain off` has it take jobs again"},
                  "no new job is begun since %s, by %s%s%s", since, drain->who,
                  drain->reason[0] ? ": " : "", drain->reason);
}
