/* executor_turn.c - so many jobs at once in the whole process (max_running_jobs), and whose is
 * next: the thing that has waited longest. See executor_parts.h, "turn". */
#include "base/alloc.h"
#include "work/executor_parts.h"

#define MANY 16 /* jobs, after which what they have left is given back to the system */
#define GRANT_MS                                                                                   \
    5000 /* who does not begin within this time lets the next one in, and waits again */

static void queue_up(struct hob_executor *executor)
{
    struct hob_executor_turn *turn = executor->turn;
    if (executor->queued) {
        return;
    }
    executor->queued = true;
    executor->earlier = turn->last_waiting;
    executor->later = NULL;
    *(turn->last_waiting ? &turn->last_waiting->later : &turn->waiting) = executor;
    turn->last_waiting = executor;
}

static void leave_queue(struct hob_executor *executor)
{
    struct hob_executor_turn *turn = executor->turn;
    if (!executor->queued) {
        return;
    }
    executor->queued = false;
    *(executor->earlier ? &executor->earlier->later : &turn->waiting) = executor->later;
    *(executor->later ? &executor->later->earlier : &turn->last_waiting) = executor->earlier;
}

static void drop_grant(struct hob_executor *executor)
{
    if (executor->granted) {
        executor->granted = false;
        executor->turn->granted--;
        hob_timer_stop(executor->grant_timer);
    }
}

static bool has_room(const struct hob_executor_turn *turn)
{
    return turn->running + turn->granted < turn->limit;
}

static void grant(struct hob_executor_turn *turn)
{
    while (turn->waiting && has_room(turn)) {
        struct hob_executor *executor = turn->waiting;
        leave_queue(executor);
        executor->granted = true;
        turn->granted++;
        hob_timer_start(executor->grant_timer, GRANT_MS);
        hob_timer_start(executor->freed, 0);
    }
}

static void on_grant_over(void *user)
{
    struct hob_executor *executor = user;
    drop_grant(executor);
    queue_up(executor);
    grant(executor->turn);
}

bool hob_executor_turn_is_granted(const struct hob_executor *executor)
{
    return executor->granted;
}

bool hob_executor_turn_waits(const struct hob_executor *executor)
{
    return executor->queued;
}

bool hob_executor_turn_ask(struct hob_executor *executor)
{
    struct hob_executor_turn *turn = executor->turn;
    if (turn->limit == 0 || executor->granted || (!turn->waiting && has_room(turn))) {
        return true;
    }
    if (!executor->grant_timer) {
        executor->grant_timer = hob_timer_new(executor->options.loop, on_grant_over, executor);
    }
    if (executor->grant_timer) { /* else: out of memory; it comes again with the next event */
        queue_up(executor);
        grant(turn); /* the one who waits longest may be this one, and there may be room */
    }
    return executor->granted;
}

void hob_executor_turn_take(struct hob_executor_seat *seat)
{
    seat->wants_turn = false;
    if (!seat->counted) {
        seat->counted = true;
        seat->executor->turn->running++;
        drop_grant(seat->executor);
        leave_queue(seat->executor);
    }
}

void hob_executor_turn_leave(struct hob_executor_seat *seat)
{
    seat->wants_turn = false;
    if (seat->counted) {
        struct hob_executor_turn *turn = seat->executor->turn;
        seat->counted = false;
        turn->running--;
        turn->since++;
        if (turn->running == 0 && turn->since >= MANY) {
            turn->since = 0;
            hob_alloc_trim();
        }
        grant(turn);
    }
}

bool hob_executor_turn_all_stop(const struct hob_executor *executor)
{
    return executor->turn->going == 0;
}

void hob_executor_turn_join(struct hob_executor *executor)
{
    struct hob_executor_turn *turn = executor->turn;
    executor->sibling = turn->executors;
    executor->sibling_link = &turn->executors;
    if (executor->sibling) {
        executor->sibling->sibling_link = &executor->sibling;
    }
    turn->executors = executor;
    turn->going++;
}

void hob_executor_turn_stop(struct hob_executor *executor)
{
    executor->turn->going -= !executor->stopping;
    executor->stopping = true;
    hob_executor_turn_give_up(executor);
}

void hob_executor_turn_part(struct hob_executor *executor)
{
    hob_executor_turn_stop(executor);
    *executor->sibling_link = executor->sibling;
    if (executor->sibling) {
        executor->sibling->sibling_link = executor->sibling_link;
    }
}

bool hob_executor_turn_is_wanted(const struct hob_executor *executor)
{
    bool wanted = executor->resume.count > 0;
    for (size_t i = 0; i < executor->count; i++) {
        wanted = wanted || executor->seats[i].wants_turn;
    }
    return wanted && !executor->stopping;
}

void hob_executor_turn_give_up(struct hob_executor *executor)
{
    if ((executor->granted || executor->queued) && !hob_executor_turn_is_wanted(executor)) {
        drop_grant(executor);
        leave_queue(executor);
        grant(executor->turn);
    }
}
