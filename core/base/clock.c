/* clock.c - see clock.h */
#include "base/clock.h"

#include "base/sized.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The years 0000 to 9999: what the text form has room for. */
#define WALL_MS_MIN INT64_C(-62167219200000)
#define WALL_MS_MAX INT64_C(253402300799999)

/* Global on purpose, as the allocator is (docs/adr): log lines and certificates' dates know of no
 * runtime. Where a function is missing it is the system's. */
static struct hob_clock given;
static atomic_uint holds;

static int64_t read_us(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t read_ms(clockid_t id)
{
    int64_t us = read_us(id);
    return us >= 0 ? us / 1000 : (us - 999) / 1000; /* before 1970, too */
}

uint64_t hob_clock_cpu_us(void)
{
    return (uint64_t)read_us(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t hob_clock_cpu_ms(void)
{
    return (uint64_t)read_ms(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t hob_clock_mono_ms(void)
{
    return given.monotonic_ms ? given.monotonic_ms(given.user) : (uint64_t)read_ms(CLOCK_MONOTONIC);
}

uint64_t hob_clock_mono_us(void)
{
    return given.monotonic_ms ? given.monotonic_ms(given.user) * 1000
                              : (uint64_t)read_us(CLOCK_MONOTONIC);
}

int64_t hob_clock_wall_ms(void)
{
    return given.wall_ms ? given.wall_ms(given.user) : read_ms(CLOCK_REALTIME);
}

static char *put_number(char *out, int64_t value, int digits, char after)
{
    for (int i = digits - 1; i >= 0; i--, value /= 10)
        out[i] = (char)('0' + value % 10);
    out[digits] = after;
    return out + digits + 1;
}

const char *hob_clock_text(int64_t wall_ms, char out[HOB_CLOCK_TEXT_MAX])
{
    if (wall_ms < WALL_MS_MIN)
        wall_ms = WALL_MS_MIN;
    if (wall_ms > WALL_MS_MAX)
        wall_ms = WALL_MS_MAX;
    int64_t ms = wall_ms % 1000;
    if (ms < 0)
        ms += 1000; /* before 1970 the remainder is negative, the text's fraction never */
    time_t seconds = (time_t)((wall_ms - ms) / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    char *at = put_number(out, tm.tm_year + 1900, 4, '-');
    at = put_number(at, tm.tm_mon + 1, 2, '-');
    at = put_number(at, tm.tm_mday, 2, 'T');
    at = put_number(at, tm.tm_hour, 2, ':');
    at = put_number(at, tm.tm_min, 2, ':');
    at = put_number(at, tm.tm_sec, 2, '.');
    *put_number(at, ms, 3, 'Z') = '\0';
    return out;
}

static const struct {
    uint64_t seconds;
    const char *one, *many;
} units[] = {{86400, "day", "days"}, {3600, "h", "h"}, {60, "min", "min"}, {1, "s", "s"}};

const char *hob_clock_span(int64_t seconds, char out[HOB_CLOCK_TEXT_MAX])
{
    uint64_t length = seconds < 0 ? -(uint64_t)seconds : (uint64_t)seconds;
    size_t i = 0;
    while (units[i].seconds > 1 && length < units[i].seconds)
        i++;
    unsigned long long count = length / units[i].seconds;
    snprintf(out, HOB_CLOCK_TEXT_MAX, "%llu %s", count, count == 1 ? units[i].one : units[i].many);
    return out;
}

/* ---- a product's ---- */

int hob_clock_set(const struct hob_clock *clock)
{
    struct hob_clock own;
    if (hob_sized_take(&own, sizeof own, clock, "hob_clock", NULL))
        return HOB_EINVAL;
    if (atomic_load(&holds) > 0)
        return HOB_EBUSY;
    given = own;
    return 0;
}

struct hob_clock hob_clock_get(void)
{
    return given;
}

void hob_clock_adopt(const struct hob_clock *clock)
{
    if (memcmp(&given, clock, sizeof given) != 0)
        given = *clock;
}

bool hob_clock_wall_is_given(void)
{
    return given.wall_ms != NULL;
}

void hob_clock_hold(void)
{
    atomic_fetch_add(&holds, 1);
}

void hob_clock_release(void)
{
    atomic_fetch_sub(&holds, 1);
}
