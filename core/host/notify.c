#include "host/notify.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define SEND_MS         200 /* systemd that does not read its socket must not hold the loop */
#define EXTEND_EVERY_MS 5000
#define EXTEND_BY_MS    20000 /* programs get their grace after the jobs */
#define MESSAGE_MAX     512

/* What systemd says of its wishes. */
static const char *const variables[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};
#define SOCKET    0
#define VARIABLES (sizeof variables / sizeof *variables)

struct hob_notify {
    struct hob_log *log;
    char *given[VARIABLES]; /* their values; NULL: not there */
    int fd;
    struct sockaddr_un address;
    socklen_t address_len;
    uint64_t watchdog_ms; /* between two of its messages; 0: none are wanted */
    struct hob_timer *watchdog;
    struct hob_timer *extend;
    uint64_t stop_limit_ms;
    bool failed; /* and that was said */
};

/* ---- sending ---- */

static void say_failed(struct hob_notify *notify, int code)
{
    if (notify->failed) {
        return;
    }
    notify->failed = true;
    hob_log_write(notify->log,
                  &(struct hob_log_record){.level = HOB_LOG_WARN,
                                           .event = "notify.failed",
                                           .code = hob_error_name(hob_error_from_errno(code)),
                                           .action = "jobs are done all the same; systemd may end "
                                                     "a process that it hears nothing from"},
                  "systemd cannot be told at %s: %s", notify->given[SOCKET], strerror(code));
}

static void send_text(struct hob_notify *notify, const char *text)
{
    ssize_t sent;
    do {
        sent = sendto(notify->fd, text, strlen(text), MSG_NOSIGNAL,
                      (const struct sockaddr *)&notify->address, notify->address_len);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        say_failed(notify, errno);
    } else {
        notify->failed = false;
    }
}

/* One assignment a line: a status is one line. */
static void send_state(struct hob_notify *notify, const char *state, const char *status)
{
    char text[MESSAGE_MAX];
    snprintf(text, sizeof text, "%s\nSTATUS=%.*s", state, (int)strcspn(status, "\n"), status);
    send_text(notify, text);
}

/* ---- timers ---- */

static void tell_watchdog(void *user)
{
    struct hob_notify *notify = user;
    send_text(notify, "WATCHDOG=1");
    hob_timer_start(notify->watchdog, notify->watchdog_ms);
}

static void ask_for_time(void *user)
{
    struct hob_notify *notify = user;
    char text[64];
    if (hob_clock_mono_ms() > notify->stop_limit_ms) {
        return;
    }
    snprintf(text, sizeof text, "EXTEND_TIMEOUT_USEC=%d", EXTEND_BY_MS * 1000);
    send_text(notify, text);
    hob_timer_start(notify->extend, EXTEND_EVERY_MS);
}

/* ---- life ---- */

/* Of another process it is none of ours: a wrapper may have inherited it. */
static uint64_t watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (!usec || (pid && strtol(pid, NULL, 10) != (long)getpid())) {
        return 0;
    }
    uint64_t half = strtoull(usec, NULL, 10) / 2 / 1000;
    return half ? half : strtoull(usec, NULL, 10) > 0;
}

/* "@name": in the abstract namespace, which begins with a NUL byte. */
static bool read_address(struct hob_notify *notify, const char *name)
{
    size_t len = strlen(name);
    if (len < 2 || len >= sizeof notify->address.sun_path || (name[0] != '/' && name[0] != '@')) {
        return false;
    }
    notify->address.sun_family = AF_UNIX;
    memcpy(notify->address.sun_path, name, len);
    if (name[0] == '@') {
        notify->address.sun_path[0] = '\0';
    }
    notify->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    return true;
}

static bool open_socket(struct hob_notify *notify, const char *name)
{
    struct timeval limit = {.tv_usec = SEND_MS * 1000};
    if (!read_address(notify, name)) {
        say_failed(notify, EINVAL);
        return false;
    }
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (notify->fd < 0 ||
        setsockopt(notify->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0) {
        say_failed(notify, errno);
        return false;
    }
    return true;
}

/* They are meant for this process: what a job's program tells systemd is not how Hob is. */
static bool take_variables(struct hob_notify *notify)
{
    for (size_t i = 0; i < VARIABLES; i++) {
        const char *value = getenv(variables[i]);
        notify->given[i] = value ? hob_strdup(value) : NULL;
        if (value && !notify->given[i]) {
            return false;
        }
        unsetenv(variables[i]);
    }
    return true;
}

/* For the process that begins anew in this one's place. */
static void give_back_variables(struct hob_notify *notify)
{
    for (size_t i = 0; i < VARIABLES; i++) {
        if (notify->given[i]) {
            setenv(variables[i], notify->given[i], 1);
        }
        hob_free(notify->given[i]);
    }
}

struct hob_notify *hob_notify_new(struct hob_loop *loop, struct hob_log *log)
{
    const char *name = getenv(variables[SOCKET]);
    struct hob_notify *notify = name && name[0] ? hob_calloc(1, sizeof *notify) : NULL;
    if (!notify) {
        return NULL;
    }
    notify->log = log;
    notify->fd = -1;
    notify->watchdog_ms = watchdog_ms();
    notify->watchdog = hob_timer_new(loop, tell_watchdog, notify);
    notify->extend = hob_timer_new(loop, ask_for_time, notify);
    bool taken = take_variables(notify);
    name = notify->given[SOCKET];
    if (!taken || !name || !notify->watchdog || !notify->extend || !open_socket(notify, name)) {
        hob_notify_close(notify);
        return NULL;
    }
    if (notify->watchdog_ms) {
        tell_watchdog(notify);
    }
    return notify;
}

void hob_notify_close(struct hob_notify *notify)
{
    if (!notify) {
        return;
    }
    hob_timer_close(notify->watchdog);
    hob_timer_close(notify->extend);
    if (notify->fd >= 0) {
        close(notify->fd);
    }
    give_back_variables(notify);
    hob_free(notify);
}

/* ---- what there is to tell ---- */

void hob_notify_ready(struct hob_notify *notify, const char *status)
{
    if (notify) {
        send_state(notify, "READY=1", status);
    }
}

/* The time is systemd's clock, whatever the product's is, and to the microsecond: one that seems to
 * be before systemd's own request is ignored. */
void hob_notify_reloading(struct hob_notify *notify, const char *status)
{
    char state[64];
    if (notify) {
        snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, uv_hrtime() / 1000);
        send_state(notify, state, status);
    }
}

void hob_notify_stopping(struct hob_notify *notify, const char *status, uint64_t limit_ms)
{
    if (notify) {
        send_state(notify, "STOPPING=1", status);
        notify->stop_limit_ms = hob_clock_mono_ms() + limit_ms;
        ask_for_time(notify);
    }
}
