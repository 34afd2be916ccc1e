/* exec_set.c - see exec.h */
#include "device/exec_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hob_exec_set {
    struct hob_exec_set_options options;
    struct hob_exec_member *members;
    struct hob_timer *turn; /* `gone` is never called inside the call that led to it */
    void (*gone)(void *user);
    void *gone_user;
};

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
    struct hob_exec_set *set = calloc(1, sizeof *set);
    struct hob_timer *turn = set ? hob_timer_new(loop, tell_gone, set) : NULL;
    if (!turn) {
        free(set);
        return NULL;
    }
    if (options)
        set->options = *options;
    set->turn = turn;
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
    free(set);
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

void hob_exec_set_when_gone(struct hob_exec_set *set, void (*gone)(void *user), void *user)
{
    set->gone = gone;
    set->gone_user = user;
    if (gone && !set->members)
        hob_timer_start(set->turn, 0);
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
