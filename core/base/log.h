/* log.h - one event a line, as text for people or JSON for machines.
 *
 * Keys: ts mono level event thing job execution step code msg action. `event` is a stable id such
 * as "job.finished" or "conn.refused"; docs/reference/events.md lists them all and a spec compares
 * that list with the source. `action` says what the reader can do.
 *
 * Secrets never appear: every string is masked before it is written (the query of a URL becomes
 * "?...", its user info, PEM private key blocks and what follows a name that ends in password,
 * passphrase, token, secret, signature, credential, authorization, private_key, access_key or
 * api_key and = or : become "***", in JSON too). Control characters and invalid UTF-8 are escaped,
 * a line is at most 8 KB; what does not fit ends in "...".
 *
 * Owner: the runtime. Life: hob_log_open -> hob_log_write -> hob_log_close. A failing sink never
 * fails the caller (a full disk is counted and said when it recovers). Loop thread only.
 * Spec: spec/unit/log_spec.lua
 */
#ifndef HOB_BASE_LOG_H
#define HOB_BASE_LOG_H

#include "base/buf.h"
#include "base/error.h"

#include <stdint.h>

enum hob_log_level { HOB_LOG_DEBUG, HOB_LOG_INFO, HOB_LOG_WARN, HOB_LOG_ERROR, HOB_LOG_OFF };
enum hob_log_format { HOB_LOG_TEXT, HOB_LOG_JSON };

struct hob_log_options {
    enum hob_log_level level;
    enum hob_log_format format;
    const char *target; /* NULL or "stderr", "syslog", "none" (taps only), or a file's path
                         * (appended to) */
};

/** What an event is about; members that do not apply stay NULL or 0. All borrowed. */
struct hob_log_record {
    enum hob_log_level level;
    const char *event;
    const char *thing;
    const char *job;
    int64_t execution;
    const char *step;
    const char *code;
    const char *action;
};

struct hob_log;

int hob_log_open(const struct hob_log_options *options, struct hob_log **out,
                 struct hob_error *err);
void hob_log_close(struct hob_log *log); /* NULL is legal */

/** Open the file again (after rotation). Keeps the old one if that fails. */
int hob_log_reopen(struct hob_log *log, struct hob_error *err);

/** Write one event; `log` may be NULL (nothing is written). */
void hob_log_write(struct hob_log *log, const struct hob_log_record *record, const char *format,
                   ...) __attribute__((format(printf, 3, 4)));

/** Shorthand for an event about nothing but the process. */
#define hob_log_event(log, lvl, name, ...)                                                         \
    hob_log_write((log), &(struct hob_log_record){.level = (lvl), .event = (name)}, __VA_ARGS__)

/** Change what is written, and how. */
void hob_log_configure(struct hob_log *log, enum hob_log_level level, enum hob_log_format format);

enum hob_log_level hob_log_level(const struct hob_log *log);

/** "debug" ... "off". @return 0 or HOB_EINVAL */
int hob_log_level_parse(const char *name, enum hob_log_level *out);

/** Append `text` to `out` with secrets masked, as every line is; what is over its limit is lost. */
void hob_log_mask(struct hob_buf *out, const char *text, size_t len);

/** Somebody who is told of each event besides the log's target, in a form and from a level of its
 * own. Embedded, borrowed from hob_log_tap to hob_log_untap. What a tap itself logs is dropped. */
typedef void
hob_log_tap_fn(void *user, const struct hob_log_record *record, const char *line,
               size_t len); /* a newline follows it; borrowed; `record` is not masked */
struct hob_log_tap {
    hob_log_tap_fn *fn;
    void *user;
    enum hob_log_level level;
    enum hob_log_format format;
    struct hob_log_tap *next; /* the log's */
};
void hob_log_tap(struct hob_log *log, struct hob_log_tap *tap);
/** Legal twice, also inside a tap, and with `log` NULL. */
void hob_log_untap(struct hob_log *log, struct hob_log_tap *tap);

#endif
