/* events.c - see events.h */
#include "work/events.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT_DEFAULT (UINT64_C(1) << 20)
#define LIMIT_MIN     4096
#define LOSS_MAX      256

struct hob_events {
    struct hob_log *log;
    struct hob_log_tap tap;
    char path[PATH_MAX], former[PATH_MAX];
    uint64_t half;
    int fd; /* -1: not open */
    uint64_t size;
    bool torn;     /* its last line has no end */
    uint64_t lost; /* lines that could not be written */
    int why_lost;  /* errno */
};

/* Half a line is left by a process that died, or whose disk got full. */
static bool ends_torn(int fd, uint64_t size)
{
    char last = '\n';
    return size > 0 && pread(fd, &last, 1, (off_t)size - 1) == 1 && last != '\n';
}

static int open_file(struct hob_events *events)
{
    struct stat st;
    if (events->fd >= 0)
        return 0;
    events->fd =
        open(events->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (events->fd < 0)
        return errno;
    events->size = fstat(events->fd, &st) ? 0 : (uint64_t)st.st_size;
    events->torn = ends_torn(events->fd, events->size);
    return 0;
}

/* The former half is taken away first: see output.c. */
static int rotate(struct hob_events *events)
{
    close(events->fd);
    events->fd = -1;
    unlink(events->former);
    if (rename(events->path, events->former))
        return errno;
    return open_file(events);
}

static int put(struct hob_events *events, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(events->fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : ENOSPC;
        events->size += (uint64_t)n;
        events->torn = data[n - 1] != '\n';
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int put_loss(struct hob_events *events)
{
    char line[LOSS_MAX], ts[HOB_CLOCK_TEXT_MAX];
    unsigned long long mono = hob_clock_mono_ms();
    if (!events->lost)
        return 0;
    int len =
        snprintf(line, sizeof line,
                 "{\"ts\":\"%s\",\"mono\":%llu.%03llu,\"level\":\"warn\",\"event\":"
                 "\"log.recovered\",\"msg\":\"%" PRIu64 " lines could not be written: %s\"}\n",
                 hob_clock_text(hob_clock_wall_ms(), ts), mono / 1000, mono % 1000, events->lost,
                 strerror(events->why_lost));
    int number = put(events, line, len < (int)sizeof line ? (size_t)len : sizeof line - 1);
    events->lost = number ? events->lost : 0;
    return number;
}

static int get_ready(struct hob_events *events, size_t len)
{
    int number = open_file(events);
    if (!number && events->size > 0 && events->size + len > events->half)
        number = rotate(events);
    if (!number && events->torn)
        number = put(events, "\n", 1);
    return number ? number : put_loss(events);
}

static void on_event(void *user, const struct hob_log_record *record, const char *line, size_t len)
{
    struct hob_events *events = user;
    int number = get_ready(events, len + 1);
    number = number ? number : put(events, line, len + 1);
    if (number) {
        events->lost++;
        events->why_lost = number;
    }
}

int hob_events_new(struct hob_log *log, const struct hob_events_options *options,
                   struct hob_events **out, struct hob_error *err)
{
    struct hob_events *events = hob_calloc(1, sizeof *events);
    if (!events)
        return hob_error_set(err, HOB_ENOMEM, "the kept events: out of memory");
    uint64_t limit = options->limit_bytes ? options->limit_bytes : LIMIT_DEFAULT;
    events->half = (limit < LIMIT_MIN ? LIMIT_MIN : limit) / 2;
    events->log = log;
    events->fd = -1;
    snprintf(events->path, sizeof events->path, "%s/" HOB_EVENTS_FILE, options->dir);
    snprintf(events->former, sizeof events->former, "%s/" HOB_EVENTS_FORMER, options->dir);
    int number = open_file(events);
    if (number)
        hob_log_write(log,
                      &(struct hob_log_record){.level = HOB_LOG_WARN,
                                               .event = "events.failed",
                                               .code = hob_error_name(hob_error_from_errno(number)),
                                               .action = "make room in the data directory, or make "
                                                         "it writable"},
                      "%s: %s: events are not kept, `hob log` knows nothing of them", events->path,
                      strerror(number));
    events->tap = (struct hob_log_tap){
        .fn = on_event, .user = events, .level = HOB_LOG_INFO, .format = HOB_LOG_JSON};
    hob_log_tap(log, &events->tap);
    *out = events;
    return 0;
}

void hob_events_free(struct hob_events *events)
{
    if (!events)
        return;
    hob_log_untap(events->log, &events->tap);
    if (events->fd >= 0)
        close(events->fd);
    hob_free(events);
}
