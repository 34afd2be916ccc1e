/* exec_set.c - see exec.h */
#include "device/exec_set.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>

#define PATIENCE_MS  10000
#define SAY_AGAIN_MS 60000
#define WHO_MAX      400

struct hob_exec_set {
    struct hob_exec_set_options options;
    struct hob_exec_member *members;
    struct hob_timer *turn; /* `gone` is never called inside the call that led to it */
    void (*gone)(void *user);
    void *gone_user;
    struct hob_timer *patience; /* of whoever waits for `gone` */
    uint64_t since_ms;
};

static void add_words(char *out, size_t *len, const char *words)
{
    int n = snprintf(out + *len, WHO_MAX - *len, "%s", words);
    *len = n < (int)(WHO_MAX - *len) ? *len + (size_t)n : WHO_MAX - 1;
}

static void who_is_left(const struct hob_exec_set *set, char out[WHO_MAX])
{
    size_t len = 0;
    out[0] = '\0';
    for (const struct hob_exec_member *member = set->members; member; member = member->next) {
        char one[160];
        snprintf(one, sizeof one, "%s%s (process %d, %s)", len ? ", " : "", member->program,
                 hob_exec_pid(member->exec), hob_exec_ending(member->exec));
        if (len + strlen(one) > WHO_MAX - 16) {
            add_words(out, &len, " and more");
            return;
        }
        add_words(out, &len, one);
    }
}

static void still_waits(void *user)
{
    struct hob_exec_set *set = user;
    char who[WHO_MAX];
    if (!set->gone || !set->members)
        return;
    hob_timer_start(set->patience, SAY_AGAIN_MS);
    who_is_left(set, who);
    if (set->options.on_wait)
        set->options.on_wait(set->options.user, who, hob_clock_mono_ms() - set->since_ms);
}

static void tell_gone(void *user)
{
    struct hob_exec_set *set = user;
    void (*gone)(void *user) = set->gone;
    if (!gone || set->members)
        return;
    set->gone = NULL;
    gone(set->gone_user);
}

struct hob_exec_set *hob_exec_set_new(struct hob_loop *loop,
                                      const struct hob_exec_set_options *options)
{
    struct hob_exec_set *set = hob_calloc(1, sizeof *set);
    if (!set)
        return NULL;
    if (options)
        set->options = *options;
    set->turn = hob_timer_new(loop, tell_gone, set);
    set->patience = hob_timer_new(loop, still_waits, set);
    if (!set->turn || !set->patience) {
        hob_exec_set_free(set);
        return NULL;
    }
    return set;
}

void hob_exec_set_free(struct hob_exec_set *set)
{
    if (!set)
        return;
    while (set->members) {
        struct hob_exec_member *member = set->members;
        set->members = member->next;
        member->set = NULL;
        hob_exec_set_lost(member->exec);
    }
    hob_timer_close(set->turn);
    hob_timer_close(set->patience);
    hob_free(set);
}

size_t hob_exec_set_count(const struct hob_exec_set *set)
{
    size_t count = 0;
    for (const struct hob_exec_member *member = set->members; member; member = member->next)
        count++;
    return count;
}

void hob_exec_set_end(struct hob_exec_set *set)
{
    for (struct hob_exec_member *member = set->members; member; member = member->next)
        hob_exec_end(member->exec);
}

void hob_exec_set_end_within(struct hob_exec_set *set, uint64_t most_ms)
{
    for (struct hob_exec_member *member = set->members; member; member = member->next)
        hob_exec_end_within(member->exec, most_ms);
}

void hob_exec_set_when_gone(struct hob_exec_set *set, void (*gone)(void *user), void *user)
{
    set->gone = gone;
    set->gone_user = user;
    hob_timer_stop(set->patience);
    if (gone && !set->members) {
        hob_timer_start(set->turn, 0);
    } else if (gone) {
        set->since_ms = hob_clock_mono_ms();
        hob_timer_start(set->patience, PATIENCE_MS);
    }
}

void hob_exec_set_add(struct hob_exec_set *set, struct hob_exec_member *member, const char *file)
{
    const char *slash = strrchr(file, '/');
    snprintf(member->program, sizeof member->program, "%s", slash && slash[1] ? slash + 1 : file);
    member->set = set;
    member->next = set->members;
    set->members = member;
    if (set->options.on_child)
        set->options.on_child(set->options.user, hob_exec_pid(member->exec), true);
}

void hob_exec_set_start(const struct hob_exec_set *set, uint64_t out, uint64_t err)
{
    if (set && set->options.on_start)
        set->options.on_start(set->options.user, out, err);
}

void hob_exec_set_remove(struct hob_exec_member *member)
{
    struct hob_exec_set *set = member->set;
    if (!set)
        return;
    struct hob_exec_member **place = &set->members;
    while (*place != member)
        place = &(*place)->next;
    *place = member->next;
    member->set = NULL;
    if (!set->members && set->gone)
        hob_timer_start(set->turn, 0);
    if (set->options.on_child)
        set->options.on_child(set->options.user, hob_exec_pid(member->exec), false);
}

void hob_exec_set_data(const struct hob_exec_member *member, bool is_err, const char *data,
                       size_t len)
{
    const struct hob_exec_set *set = member->set;
    if (set && set->options.on_data)
        set->options.on_data(set->options.user, member->program, is_err, data, len);
}
