/* log.c - see log.h */
#include "base/log.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define LINE_MAX_BYTES 8192 /* with the newline */
#define VALUE_MAX      640  /* of an identifier as written, quoted */
#define ACTION_MAX     1536

struct hob_log {
    enum hob_log_level level;
    enum hob_log_format format;
    char *path; /* NULL: not a file */
    int fd;     /* -1: syslog, or nowhere */
    bool nowhere;
    uint64_t lost;
    int lost_errno;
    bool torn;                    /* the last write ended in the middle of a line */
    enum hob_log_format writing;  /* of the line in hand */
    struct hob_log_tap *taps;     /* in the order in which they came */
    struct hob_log_tap *next_tap; /* to be told of it */
    bool in_tap;
    struct hob_buf line;
    struct hob_buf masked;
    struct hob_buf piece;
};

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};
static const char *const level_labels[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};

/* ---- open, close ---- */

static int open_file(const char *path, int *fd, struct hob_error *err)
{
    *fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (*fd >= 0)
        return 0;
    return hob_error_set(err, hob_error_from_errno(errno), "opening the log file %s: %s", path,
                         strerror(errno));
}

static int open_target(struct hob_log *log, const char *target, struct hob_error *err)
{
    if (!target || strcmp(target, "stderr") == 0) {
        log->fd = STDERR_FILENO;
        return 0;
    }
    if (strcmp(target, "none") == 0) {
        log->nowhere = true;
        return 0;
    }
    if (strcmp(target, "syslog") == 0) {
        log->fd = -1;
        openlog("hob", LOG_PID, LOG_DAEMON);
        return 0;
    }
    log->path = hob_strdup(target);
    if (!log->path)
        return hob_error_set(err, HOB_ENOMEM, "opening the log file %s: out of memory", target);
    return open_file(target, &log->fd, err);
}

int hob_log_open(const struct hob_log_options *options, struct hob_log **out, struct hob_error *err)
{
    struct hob_log *log = hob_calloc(1, sizeof *log);
    if (!log)
        return hob_error_set(err, HOB_ENOMEM, "opening the log: out of memory");
    log->level = options->level;
    log->format = options->format;
    log->fd = -1;
    hob_buf_init(&log->line, LINE_MAX_BYTES);
    hob_buf_init(&log->masked, 2 * LINE_MAX_BYTES);
    hob_buf_init(&log->piece, 8 * LINE_MAX_BYTES);
    int code = open_target(log, options->target, err);
    if (code) {
        hob_log_close(log);
        return code;
    }
    *out = log;
    return 0;
}

void hob_log_close(struct hob_log *log)
{
    if (!log)
        return;
    if (log->path && log->fd >= 0)
        close(log->fd);
    if (!log->path && log->fd < 0 && !log->nowhere)
        closelog();
    hob_free(log->path);
    hob_buf_free(&log->line);
    hob_buf_free(&log->masked);
    hob_buf_free(&log->piece);
    hob_free(log);
}

void hob_log_configure(struct hob_log *log, enum hob_log_level level, enum hob_log_format format)
{
    log->level = level;
    log->format = format;
}

int hob_log_reopen(struct hob_log *log, struct hob_error *err)
{
    int fd;
    if (!log || !log->path)
        return 0;
    int code = open_file(log->path, &fd, err);
    if (code)
        return code;
    close(log->fd);
    log->fd = fd;
    log->torn = false;
    return 0;
}

enum hob_log_level hob_log_level(const struct hob_log *log)
{
    return log ? log->level : HOB_LOG_OFF;
}

int hob_log_level_parse(const char *name, enum hob_log_level *out)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum hob_log_level)i;
            return 0;
        }
    return HOB_EINVAL;
}

void hob_log_tap(struct hob_log *log, struct hob_log_tap *tap)
{
    struct hob_log_tap **place = &log->taps;
    while (*place)
        place = &(*place)->next;
    tap->next = NULL;
    *place = tap;
}

void hob_log_untap(struct hob_log *log, struct hob_log_tap *tap)
{
    if (!log)
        return;
    for (struct hob_log_tap **place = &log->taps; *place; place = &(*place)->next)
        if (*place == tap) {
            *place = tap->next;
            log->next_tap = log->next_tap == tap ? tap->next : log->next_tap;
            return;
        }
}

/* ---- a line ---- */

/* Appends `text` in the form of the line, without a newline of its own. */
typedef int write_fn(struct hob_buf *out, const char *text, size_t len);

/* @return how many of these bytes stand for themselves */
static size_t plain_run(const char *text, size_t len)
{
    size_t run = 0;
    while (run < len && text[run] >= 0x20 && text[run] < 0x7F)
        run++;
    return run;
}

/* Control characters (C0, DEL, C1) and bytes that are no UTF-8 must not reach a terminal. */
static int write_plain(struct hob_buf *out, const char *text, size_t len)
{
    int code = 0;
    for (size_t at = 0; at < len && code == 0;) {
        unsigned char byte = (unsigned char)text[at];
        size_t run = plain_run(text + at, len - at);
        size_t n = run > 0 ? run : hob_utf8_length(text + at, len - at);
        if (byte == '\n')
            code = hob_buf_append_string(out, "\\n");
        else if (n == 0 || byte < 0x20 || byte == 0x7F)
            code = hob_buf_printf(out, "\\x%02x", byte);
        else if (n == 2 && byte == 0xC2 && (unsigned char)text[at + 1] < 0xA0)
            code = hob_buf_printf(out, "\\u00%02x", (unsigned char)text[at + 1]);
        else
            code = hob_buf_append(out, text + at, n);
        at += n > 0 ? n : 1;
    }
    return code;
}

static bool is_bare(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] <= ' ' || text[i] == '"' || text[i] == '\'' || text[i] == '=' ||
            text[i] == '\\' || text[i] == 0x7F)
            return false;
    return len > 0;
}

static int write_value(struct hob_buf *out, const char *text, size_t len)
{
    return is_bare(text, len) ? write_plain(out, text, len) : hob_json_quote(out, text, len);
}

/* Append to the line what of `text` fits into `max` bytes: masked first, since what is cut off must
 * not be what would have shown that a secret begins. What does not fit ends in "...". */
static void put(struct hob_log *log, const char *text, size_t len, size_t max, write_fn *write)
{
    hob_buf_clear(&log->masked);
    hob_log_mask(&log->masked, text, hob_utf8_cut(text, len, LINE_MAX_BYTES));
    const char *masked = hob_buf_data(&log->masked);
    size_t keep = hob_buf_len(&log->masked);
    const char *dots = "";
    for (;;) {
        hob_buf_clear(&log->piece);
        if (write(&log->piece, masked, keep) == 0 && hob_buf_len(&log->piece) + strlen(dots) <= max)
            break;
        size_t over = hob_buf_len(&log->piece) + 3 > max ? hob_buf_len(&log->piece) + 3 - max : 1;
        over = over / 6 + 1; /* a byte becomes at most six */
        if (keep == 0)
            return;
        keep = hob_utf8_cut(masked, keep, over < keep ? keep - over : 0);
        dots = "...";
    }
    size_t n = hob_buf_len(&log->piece);
    const char *data = hob_buf_data(&log->piece);
    bool quoted = *dots && n > 1 && data[0] == '"' && data[n - 1] == '"' && write != write_plain;
    hob_buf_append(&log->line, data, quoted ? n - 1 : n);
    hob_buf_append_string(&log->line, dots);
    if (quoted)
        hob_buf_append_string(&log->line, "\"");
}

static void put_string(struct hob_log *log, const char *text, size_t max, write_fn *write)
{
    put(log, text, strlen(text), max, write);
}

/* Room for `reserve` more bytes is kept. */
static size_t room(const struct hob_log *log, size_t reserve)
{
    size_t left = hob_buf_room(&log->line);
    return left > reserve ? left - reserve : 0;
}

static void put_pair(struct hob_log *log, const char *key, const char *value)
{
    if (!value || !*value)
        return;
    bool json = log->writing == HOB_LOG_JSON;
    hob_buf_append_string(&log->line, json ? ",\"" : " ");
    hob_buf_append_string(&log->line, key);
    hob_buf_append_string(&log->line, json ? "\":" : "=");
    put_string(log, value, VALUE_MAX, json ? hob_json_quote : write_value);
}

static void put_subject(struct hob_log *log, const struct hob_log_record *record)
{
    bool json = log->writing == HOB_LOG_JSON;
    put_pair(log, "thing", record->thing);
    put_pair(log, "job", record->job);
    if (record->execution != 0) {
        hob_buf_append_string(&log->line, json ? ",\"execution\":" : " execution=");
        hob_buf_append_integer(&log->line, record->execution);
    }
    put_pair(log, "step", record->step);
    put_pair(log, "code", record->code);
}

/* @return where the part begins that syslog is given: it has a time of its own */
static size_t build_text(struct hob_log *log, const struct hob_log_record *record, const char *msg)
{
    char ts[HOB_CLOCK_TEXT_MAX];
    bool action = record->action && *record->action;
    hob_buf_printf(&log->line, "%s %s ", hob_clock_text(hob_clock_wall_ms(), ts),
                   level_labels[record->level]);
    size_t head = hob_buf_len(&log->line);
    put_string(log, record->event ? record->event : "-", VALUE_MAX, write_value);
    put_subject(log, record);
    if (*msg)
        hob_buf_append_string(&log->line, " ");
    put_string(log, msg, room(log, action ? ACTION_MAX + 8 : 1), write_plain);
    if (action) {
        hob_buf_append_string(&log->line, " (");
        put_string(log, record->action, ACTION_MAX, write_plain);
        hob_buf_append_string(&log->line, ")");
    }
    return head;
}

static void build_json(struct hob_log *log, const struct hob_log_record *record, const char *msg)
{
    char ts[HOB_CLOCK_TEXT_MAX];
    unsigned long long mono = hob_clock_mono_ms();
    bool action = record->action && *record->action;
    hob_buf_printf(&log->line, "{\"ts\":\"%s\",\"mono\":%llu.%03llu,\"level\":\"%s\"",
                   hob_clock_text(hob_clock_wall_ms(), ts), mono / 1000, mono % 1000,
                   level_names[record->level]);
    put_pair(log, "event", record->event);
    put_subject(log, record);
    hob_buf_append_string(&log->line, ",\"msg\":");
    put_string(log, msg, room(log, action ? ACTION_MAX + 24 : 8), hob_json_quote);
    if (action) {
        hob_buf_append_string(&log->line, ",\"action\":");
        put_string(log, record->action, ACTION_MAX, hob_json_quote);
    }
    hob_buf_append_string(&log->line, "}");
}

/* ---- where lines go ---- */

static bool write_all(struct hob_log *log, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(log->fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        log->torn = (size_t)n < len;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static void lose_line(struct hob_log *log)
{
    log->lost++;
    log->lost_errno = errno;
}

/* @return whether lines may be written again */
static bool say_lost(struct hob_log *log)
{
    char ts[HOB_CLOCK_TEXT_MAX], line[512];
    const char *event = "log.recovered";
    unsigned long long lost = log->lost, mono = hob_clock_mono_ms();
    hob_clock_text(hob_clock_wall_ms(), ts);
    if (log->format == HOB_LOG_JSON)
        snprintf(line, sizeof line,
                 "{\"ts\":\"%s\",\"mono\":%llu.%03llu,\"level\":\"warn\",\"event\":\"%s\",\"msg\":"
                 "\"%llu lines could not be written: %s\"}\n",
                 ts, mono / 1000, mono % 1000, event, lost, strerror(log->lost_errno));
    else
        snprintf(line, sizeof line, "%s WARN  %s %llu lines could not be written: %s\n", ts, event,
                 lost, strerror(log->lost_errno));
    if (log->torn && !write_all(log, "\n", 1))
        return false;
    if (!write_all(log, line, strlen(line)))
        return false;
    log->lost = 0;
    return true;
}

static void write_sink(struct hob_log *log, const char *line, size_t len)
{
    if ((log->lost > 0 && !say_lost(log)) || !write_all(log, line, len))
        lose_line(log);
}

static void write_syslog(enum hob_log_level level, const char *line, size_t len)
{
    static const int priorities[] = {LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR};
    syslog(priorities[level], "%.*s", (int)len, line);
}

/* What one does may take off any of them, itself included. */
static void tell_taps(struct hob_log *log, const struct hob_log_record *record,
                      enum hob_log_format format, size_t len)
{
    log->in_tap = true;
    for (struct hob_log_tap *tap = log->taps; tap; tap = log->next_tap) {
        log->next_tap = tap->next;
        if (tap->format == format && record->level >= tap->level)
            tap->fn(tap->user, record, hob_buf_data(&log->line), len);
    }
    log->in_tap = false;
}

static bool has_tap(const struct hob_log *log, enum hob_log_level level, enum hob_log_format format)
{
    const struct hob_log_tap *tap = log->taps;
    while (tap && (tap->format != format || level < tap->level))
        tap = tap->next;
    return tap != NULL;
}

static void write_line(struct hob_log *log, const struct hob_log_record *record, const char *msg,
                       enum hob_log_format format)
{
    size_t head = 0;
    bool to_target = format == log->format && record->level >= log->level && !log->nowhere;
    if (!to_target && !has_tap(log, record->level, format))
        return;
    hob_buf_clear(&log->line);
    log->writing = format;
    if (format == HOB_LOG_JSON)
        build_json(log, record, msg);
    else
        head = build_text(log, record, msg);
    size_t len = hob_buf_len(&log->line);
    if (to_target && log->fd < 0)
        write_syslog(record->level, hob_buf_data(&log->line) + head, len - head);
    hob_buf_append_string(&log->line, "\n");
    if (to_target && log->fd >= 0)
        write_sink(log, hob_buf_data(&log->line), hob_buf_len(&log->line));
    tell_taps(log, record, format, len);
}

static bool is_wanted(const struct hob_log *log, enum hob_log_level level)
{
    if (log->in_tap || level >= HOB_LOG_OFF)
        return false;
    return (level >= log->level && !log->nowhere) || has_tap(log, level, HOB_LOG_TEXT) ||
           has_tap(log, level, HOB_LOG_JSON);
}

/* A tap that logs would overwrite the line that it was given: what it logs is dropped. */
void hob_log_write(struct hob_log *log, const struct hob_log_record *record, const char *format,
                   ...)
{
    char msg[LINE_MAX_BYTES];
    va_list args;
    if (!log || !is_wanted(log, record->level))
        return;
    va_start(args, format);
    int len = vsnprintf(msg, sizeof msg, format, args);
    va_end(args);
    write_line(log, record, len < 0 ? format : msg, HOB_LOG_TEXT);
    write_line(log, record, len < 0 ? format : msg, HOB_LOG_JSON);
}
