/* executor_turn.c - so many jobs at once in the whole process (max_running_jobs), and whose is
 * next: the thing that has waited longest. See executor_parts.h, "turn". */
#include "base/alloc.h"
#include "work/executor_parts.h"

#define MANY 16 /* jobs, after which what they have left is given back to the system */
#define GRANT_MS                                                                                   \
    5000 /* who does not begin within this time lets the next one in, and waits again */

static struct hob_executor *longest_waiting(const struct hob_executor_turn *turn)
{
    struct hob_executor *found = NULL;
    for (struct hob_executor *one = turn->executors; one; one = one->sibling) {
        if (one->ticket && (!found || one->ticket < found->ticket)) {
            found = one;
        }
    }
    return found;
}

static void drop_ticket(struct hob_executor *executor)
{
    if (executor->ticket) {
        executor->ticket = 0;
        executor->turn->waiting--;
    }
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

static void draw_ticket(struct hob_executor *executor)
{
    if (!executor->ticket) {
        executor->ticket = ++executor->turn->tickets;
        executor->turn->waiting++;
    }
}

static void grant(struct hob_executor_turn *turn)
{
    while (turn->waiting > 0 && has_room(turn)) {
        struct hob_executor *executor = longest_waiting(turn);
        drop_ticket(executor);
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
    draw_ticket(executor);
    grant(executor->turn);
}

bool hob_executor_turn_is_granted(const struct hob_executor *executor)
{
    return executor->granted;
}

bool hob_executor_turn_waits(const struct hob_executor *executor)
{
    return executor->ticket != 0;
}

bool hob_executor_turn_ask(struct hob_executor *executor)
{
    struct hob_executor_turn *turn = executor->turn;
    if (turn->limit == 0 || executor->granted || (turn->waiting == 0 && has_room(turn))) {
        return true;
    }
    if (!executor->grant_timer) {
        executor->grant_timer = hob_timer_new(executor->options.loop, on_grant_over, executor);
    }
    if (executor->grant_timer) { /* else: out of memory; it comes again with the next event */
        draw_ticket(executor);
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
        drop_ticket(seat->executor);
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
    const struct hob_executor *one = executor->turn->executors;
    while (one && one->stopping) {
        one = one->sibling;
    }
    return one == NULL;
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
    if ((executor->granted || executor->ticket) && !hob_executor_turn_is_wanted(executor)) {
        drop_grant(executor);
        drop_ticket(executor);
        grant(executor->turn);
    }
}
