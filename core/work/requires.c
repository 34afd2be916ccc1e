#include "work/requires.h"

#include "base/clock.h"
#include "device/program.h"

#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define YEAR_2023_MS   INT64_C(1672531200000)
#define MINUTES_OF_DAY 1440

/* ---- what the handler says ---- */

static int64_t integer_member(lua_State *L, int index, const char *name, int64_t fallback)
{
    lua_getfield(L, index, name);
    int64_t value = lua_isnumber(L, -1) ? (int64_t)lua_tonumber(L, -1) : fallback;
    lua_pop(L, 1);
    return value;
}

static void read_commands(lua_State *L, int index, struct hob_requires *out)
{
    if (lua_getfield(L, index, "commands") == LUA_TTABLE) {
        for (int i = 0; i < HOB_REQUIRES_COMMANDS && lua_rawgeti(L, -1, i + 1) == LUA_TSTRING;
             i++) {
            snprintf(out->commands[i], sizeof out->commands[i], "%s", lua_tostring(L, -1));
            lua_pop(L, 1);
        }
    }
    lua_settop(L, index);
}

static enum hob_requires_otherwise read_otherwise(lua_State *L, int index)
{
    lua_getfield(L, index, "otherwise");
    const char *word = lua_tostring(L, -1);
    enum hob_requires_otherwise otherwise = !word                       ? HOB_REQUIRES_DEFAULT
                                            : strcmp(word, "wait") == 0 ? HOB_REQUIRES_WAIT
                                                                        : HOB_REQUIRES_REJECT;
    lua_pop(L, 1);
    return otherwise;
}

void hob_requires_read(lua_State *L, int index, struct hob_requires *out)
{
    *out = (struct hob_requires){0};
    lua_pushvalue(L, index);
    if (lua_istable(L, -1)) {
        int table = lua_gettop(L);
        out->max_age_s = integer_member(L, table, "max_age", 0);
        out->disk_bytes = (uint64_t)integer_member(L, table, "disk", 0);
        out->from_min = (int)integer_member(L, table, "from", -1);
        out->to_min = (int)integer_member(L, table, "to", 0);
        out->window = out->from_min >= 0;
        lua_getfield(L, table, "clock");
        out->clock = lua_toboolean(L, -1);
        lua_pop(L, 1);
        out->otherwise = read_otherwise(L, table);
        read_commands(L, table, out);
    }
    lua_pop(L, 1);
}

/* ---- what is so ---- */

bool hob_requires_clock_is_set(int64_t now_ms)
{
    return now_ms >= YEAR_2023_MS;
}

/* Of a clock that is behind nothing can be said. */
static bool is_too_old(const struct hob_requires *requires, const struct hob_requires_facts *facts,
                       struct hob_requires_judgement *out)
{
    char queued[HOB_CLOCK_TEXT_MAX], now[HOB_CLOCK_TEXT_MAX], age[HOB_CLOCK_TEXT_MAX],
        most[HOB_CLOCK_TEXT_MAX];
    int64_t old_ms = facts->now_ms - facts->queued_at_s * 1000;
    if (requires->max_age_s == 0 || facts->queued_at_s <= 0 ||
        !hob_requires_clock_is_set(facts->now_ms) || old_ms <= requires->max_age_s * 1000) {
        return false;
    }
    snprintf(out->reason, sizeof out->reason,
             "too old: queued at %s, and now it is %s: %s; the handler's max_age is %s",
             hob_clock_text(facts->queued_at_s * 1000, queued), hob_clock_text(facts->now_ms, now),
             hob_clock_span(old_ms / 1000, age), hob_clock_span(requires->max_age_s, most));
    return true;
}

static bool is_there(const char *command)
{
    return command[0] == '/' ? access(command, X_OK) == 0 : hob_program_in_path(command);
}

static bool lacks_command(const struct hob_requires *requires, struct hob_requires_judgement *out)
{
    for (int i = 0; i < HOB_REQUIRES_COMMANDS && requires->commands[i][0]; i++) {
        const char *command = requires->commands[i];
        if (!is_there(command)) {
            snprintf(out->reason, sizeof out->reason, "requires.commands: %s%s", command,
                     command[0] == '/' ? " is not there, or not executable"
                                       : ": not found in PATH");
            return true;
        }
    }
    return false;
}

static const char *size_words(uint64_t bytes, char out[32])
{
    static const char *const units[] = {"bytes", "KB", "MB", "GB"};
    size_t i = 0;
    double size = (double)bytes;
    for (; i < 3 && size >= 1024; i++) {
        size /= 1024;
    }
    snprintf(out, 32, i ? "%.1f %s" : "%.0f %s", size, units[i]);
    return out;
}

static bool lacks_room(const struct hob_requires *requires, const char *directory,
                       struct hob_requires_judgement *out)
{
    struct statvfs fs;
    char free_words[32], words[32];
    if (requires->disk_bytes == 0) {
        return false;
    }
    if (statvfs(directory, &fs)) {
        snprintf(out->reason, sizeof out->reason, "requires.disk: %.200s: %s", directory,
                 strerror(errno));
        return true;
    }
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    snprintf(out->reason, sizeof out->reason,
             "requires.disk: %s free in the data directory, "
             "needs %s",
             size_words(room, free_words), size_words(requires->disk_bytes, words));
    return room < requires->disk_bytes;
}

/* The next time of day, however long the day is. */
static int64_t until_ms(int64_t now_ms, struct tm day, int minute)
{
    day.tm_hour = minute / 60;
    day.tm_min = minute % 60;
    day.tm_sec = 0;
    day.tm_isdst = -1;
    struct tm next = day;
    int64_t at = (int64_t)mktime(&next) * 1000;
    if (at <= now_ms) {
        day.tm_mday++;
        at = (int64_t)mktime(&day) * 1000;
    }
    return at > now_ms ? at - now_ms : 0;
}

static bool is_outside(const struct hob_requires *requires, int64_t now_ms,
                       struct hob_requires_judgement *out)
{
    struct tm day;
    time_t now = (time_t)(now_ms / 1000);
    if (!requires->window) {
        return false;
    }
    int from = requires->from_min, to = requires->to_min;
    snprintf(out->reason, sizeof out->reason, "requires.window: waits for %02d:%02d-%02d:%02d",
             from / 60, from % 60, to / 60, to % 60);
    size_t len = strlen(out->reason), room = sizeof out->reason - len;
    tzset(); /* the zone may have been changed */
    if (!hob_requires_clock_is_set(now_ms) || !localtime_r(&now, &day)) {
        snprintf(out->reason + len, room, ", and the clock is not set");
        return true;
    }
    int minute = day.tm_hour * 60 + day.tm_min;
    snprintf(out->reason + len, room, ", it is %02d:%02d", day.tm_hour, day.tm_min);
    out->until_ms = until_ms(now_ms, day, from);
    bool inside = from < to ? minute >= from && minute < to : minute >= from || minute < to;
    return !inside;
}

static bool lacks_clock(const struct hob_requires *requires, int64_t now_ms,
                        struct hob_requires_judgement *out)
{
    char text[HOB_CLOCK_TEXT_MAX];
    snprintf(out->reason, sizeof out->reason, "requires.clock: it is not set, it says %s",
             hob_clock_text(now_ms, text));
    return requires->clock && !hob_requires_clock_is_set(now_ms);
}

static bool is_refused(const struct hob_requires *requires, enum hob_requires_kind kind)
{
    return requires->otherwise == HOB_REQUIRES_REJECT ||
           (requires->otherwise == HOB_REQUIRES_DEFAULT && kind == HOB_REQUIRES_COMMANDS_KIND);
}

static enum hob_requires_kind what_lacks(const struct hob_requires *requires,
                                         const struct hob_requires_facts *facts,
                                         struct hob_requires_judgement *out)
{
    if (lacks_command(requires, out)) {
        return HOB_REQUIRES_COMMANDS_KIND;
    }
    if (lacks_clock(requires, facts->now_ms, out)) {
        return HOB_REQUIRES_CLOCK;
    }
    if (lacks_room(requires, facts->directory, out)) {
        return HOB_REQUIRES_DISK;
    }
    return is_outside(requires, facts->now_ms, out) ? HOB_REQUIRES_WINDOW : HOB_REQUIRES_NOTHING;
}

void hob_requires_judge(const struct hob_requires *requires, const struct hob_requires_facts *facts,
                        struct hob_requires_judgement *out)
{
    *out = (struct hob_requires_judgement){.until_ms = -1};
    if (is_too_old(requires, facts, out)) {
        out->verdict = HOB_REQUIRES_TOO_OLD;
        return;
    }
    out->kind = what_lacks(requires, facts, out);
    if (out->kind == HOB_REQUIRES_NOTHING) {
        *out = (struct hob_requires_judgement){.until_ms = -1};
    } else {
        out->verdict = is_refused(requires, out->kind) ? HOB_REQUIRES_NEVER : HOB_REQUIRES_NOT_YET;
    }
}
