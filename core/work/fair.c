#include "work/fair.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define TURN_MS  4  /* of slices, then the loop looks at its I/O; as much as one slice at most */
#define HEAVY_MS 2  /* a slice of at least so long: next time behind those that take little */
#define TURN_MAX 16 /* slices, where the clock is too coarse to see them */

struct hob_fair_party {
    struct hob_fair *fair;
    struct hob_fair_party *next; /* of its queue */
    struct hob_fair_entry *head, *tail;
    bool queued;
    bool heavy;      /* its last slice was a long one */
    uint64_t served; /* in which turn last */
};

struct queue {
    struct hob_fair_party *head, *tail;
};

struct hob_fair {
    struct hob_loop *loop;
    struct hob_loop_soon soon;
    struct queue woken, going_on;
    struct hob_fair_party rest; /* of parties that have left */
    struct hob_fair_party *serving;
    uint64_t turn;
};

static void run(void *user);

/* ---- queues ---- */

static void push(struct queue *queue, struct hob_fair_party *party)
{
    party->next = NULL;
    party->queued = true;
    if (queue->tail) {
        queue->tail->next = party;
    } else {
        queue->head = party;
    }
    queue->tail = party;
}

static struct hob_fair_party *pop(struct queue *queue)
{
    struct hob_fair_party *party = queue->head;
    if (party) {
        queue->head = party->next;
        queue->tail = queue->head ? queue->tail : NULL;
        party->queued = false;
    }
    return party;
}

static void take_out(struct queue *queue, const struct hob_fair_party *party)
{
    struct hob_fair_party *one, *all = queue->head;
    *queue = (struct queue){0};
    while ((one = all)) {
        all = one->next;
        if (one != party) {
            push(queue, one);
        }
    }
}

static void line_up(struct hob_fair_party *party)
{
    struct hob_fair *fair = party->fair;
    if (!party->queued) {
        bool is_behind = party->heavy || party->served == fair->turn;
        push(is_behind ? &fair->going_on : &fair->woken, party);
    }
    if (!fair->soon.waiting) {
        hob_loop_defer(fair->loop, &fair->soon, run, fair);
    }
}

/* ---- a turn ---- */

/* @return when it was over, on the monotonic clock */
static uint64_t serve(struct hob_fair_party *party, uint64_t now_ms)
{
    struct hob_fair *fair = party->fair;
    struct hob_fair_entry *entry = party->head;
    party->head = entry->next;
    party->tail = party->head ? party->tail : NULL;
    party->served = fair->turn;
    entry->waiting = false;
    if (party->head) {
        push(&fair->going_on, party);
    }
    fair->serving = party;
    entry->fn(entry->user); /* entry and party may be gone then */
    uint64_t end_ms = hob_clock_mono_ms();
    if (fair->serving) {
        party->heavy = end_ms - now_ms >= HEAVY_MS;
    }
    fair->serving = NULL;
    return end_ms;
}

/* Each once in a turn. */
static struct hob_fair_party *next_going_on(struct hob_fair *fair)
{
    bool is_round = fair->going_on.head && fair->going_on.head->served == fair->turn;
    return is_round ? NULL : pop(&fair->going_on);
}

/* However much those take that are woken: one of those that go on has a slice, too. */
static void run(void *user)
{
    struct hob_fair *fair = user;
    struct hob_fair_party *party;
    uint64_t now_ms = hob_clock_mono_ms(), until_ms = now_ms + TURN_MS;
    int slices = 0;
    fair->turn++;
    for (; slices < TURN_MAX && now_ms < until_ms && (party = pop(&fair->woken)); slices++) {
        now_ms = serve(party, now_ms);
    }
    do {
        party = next_going_on(fair);
        now_ms = party ? serve(party, now_ms) : now_ms;
    } while (party && ++slices < TURN_MAX && now_ms < until_ms);
    bool more = fair->woken.head || fair->going_on.head;
    if (more && !fair->soon.waiting) {
        hob_loop_defer(fair->loop, &fair->soon, run, fair);
    }
}

void hob_fair_want(struct hob_fair_party *party, struct hob_fair_entry *entry, hob_loop_fn *fn,
                   void *user)
{
    assert(!entry->waiting);
    *entry = (struct hob_fair_entry){.fn = fn, .user = user, .waiting = true};
    if (party->tail) {
        party->tail->next = entry;
    } else {
        party->head = entry;
    }
    party->tail = entry;
    line_up(party);
}

/* ---- life ---- */

int hob_fair_new(struct hob_loop *loop, struct hob_fair **out, struct hob_error *err)
{
    struct hob_fair *fair = hob_calloc(1, sizeof *fair);
    if (!fair) {
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    fair->loop = loop;
    fair->turn = 1;
    fair->rest.fair = fair;
    *out = fair;
    return 0;
}

/* What has left may still want a slice, to free itself in it. */
void hob_fair_free(struct hob_fair *fair)
{
    while (fair && fair->rest.head) {
        struct hob_fair_entry *entry = fair->rest.head;
        fair->rest.head = entry->next;
        entry->waiting = false;
        entry->fn(entry->user);
    }
    hob_free(fair);
}

struct hob_fair_party *hob_fair_join(struct hob_fair *fair)
{
    struct hob_fair_party *party = hob_calloc(1, sizeof *party);
    if (party) {
        party->fair = fair;
    }
    return party;
}

void hob_fair_leave(struct hob_fair_party *party)
{
    if (!party) {
        return;
    }
    struct hob_fair_party *rest = &party->fair->rest;
    if (party->fair->serving == party) {
        party->fair->serving = NULL;
    }
    if (party->queued) {
        take_out(&party->fair->woken, party);
        take_out(&party->fair->going_on, party);
    }
    if (party->head) {
        if (rest->tail) {
            rest->tail->next = party->head;
        } else {
            rest->head = party->head;
        }
        rest->tail = party->tail;
        line_up(rest);
    }
    hob_free(party);
}
