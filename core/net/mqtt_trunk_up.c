/* mqtt_trunk_up.c - the branches of a trunk come up in portions, and go down together; see
 * mqtt_trunk.h */
#include "base/clock.h"
#include "net/mqtt_trunk_parts.h"

/* So fast they come up: each subscribes twice and asks twice, and AWS takes 500 packets a second.
 */
#define PORTION         10
#define PORTION_MS      100
#define LEFT_OUT_MS     5000
#define LEFT_OUT_MAX_MS 600000
#define INNOCENT_AFTER  10 /* times as long as it was left out */
/* What closes a connection does so soon. A request that has no answer by then may never have one
 * (AWS sends no PUBACK for what it throttles), and nobody is to wait for it. */
#define RISKY_MS 5000

static void pace(struct hob_mqtt_trunk *trunk, uint64_t ms)
{
    trunk->pace_is_far = ms > PORTION_MS;
    hob_timer_start(trunk->pace, ms);
}

/* ---- the link is lost ---- */

static void say_left_out(const struct hob_mqtt_trunk *trunk, const struct hob_mqtt_branch *branch)
{
    hob_log_write(trunk->options.log,
                  &(struct hob_log_record){
                      .level = HOB_LOG_WARN,
                      .event = "conn.branch_left_out",
                      .thing = branch->front.options.thing,
                      .code = hob_error_name(trunk->down_why.code),
                      .action = "if this repeats: the policy of the certificate that connects must "
                                "allow what this thing subscribes to and publishes"},
                  "the shared connection closed again while only requests of this thing were on "
                  "their way: it is left out for %.0f s, the others go on",
                  (double)branch->left_out_ms / 1000);
}

/* Once may be chance: then it only comes up last, and alone. */
static void blame(struct hob_mqtt_trunk *trunk, struct hob_mqtt_branch *branch)
{
    uint64_t now = hob_clock_mono_ms();
    uint64_t last = branch->left_out_ms ? branch->left_out_ms : LEFT_OUT_MS;
    bool alone = trunk->count == 1 && !trunk->options.thing;
    branch->blamed = true;
    if (now - branch->up_ms > INNOCENT_AFTER * last)
        branch->strikes = 0;
    branch->left_out_ms = 0;
    if (alone || branch->strikes++ == 0)
        return;
    uint64_t wait = (uint64_t)LEFT_OUT_MS << (branch->strikes < 10 ? branch->strikes - 2 : 8);
    branch->left_out_ms = wait < LEFT_OUT_MAX_MS ? wait : LEFT_OUT_MAX_MS;
    branch->left_out_until_ms = now + branch->left_out_ms;
    say_left_out(trunk, branch);
}

/* Whose risky request was on its way? Of several nobody knows which it was: the next link finds
 * out. */
static void find_cause(struct hob_mqtt_trunk *trunk)
{
    struct hob_mqtt *mqtt = hob_mqtt_share_mqtt(trunk->options.share);
    struct hob_mqtt_branch *only = NULL;
    bool several = false, ours = mqtt->doubted;
    mqtt->doubted = false;
    if (ours)
        return;
    for (const struct hob_mqtt_order *order = trunk->lost.first; order; order = order->next) {
        if (!order->risky || !order->branch)
            continue;
        several = several || (only && only != order->branch);
        only = order->branch;
    }
    if (several)
        trunk->careful = true;
    else if (only)
        blame(trunk, only);
}

static void take_down(const struct hob_mqtt_trunk *trunk, struct hob_mqtt_branch *branch)
{
    struct hob_error why = trunk->down_why;
    bool left_out = branch->blamed && branch->left_out_ms;
    if (left_out)
        hob_error_set(&why, why.code,
                      "left out for %.0f s, since its requests seem to close the connection: %s",
                      (double)branch->left_out_ms / 1000, trunk->down_why.message);
    hob_mqtt_branch_down(branch, &why, left_out ? branch->left_out_ms : trunk->retry_ms);
}

void hob_mqtt_trunk_go_down(struct hob_mqtt_trunk *trunk)
{
    trunk->down_due = false;
    find_cause(trunk);
    hob_mqtt_orders_free(&trunk->lost);
    trunk->own_heard_ms = 0;
    for (struct hob_mqtt_branch *one = trunk->first; one; one = one->next) {
        one->heard_ms = 0;
        if (one->state == HOB_MQTT_BRANCH_UP)
            take_down(trunk, one);
    }
    if (trunk->ready)
        pace(trunk, 0); /* it is up again already */
}

void hob_mqtt_trunk_on_down(void *user, const struct hob_error *why, uint64_t retry_ms)
{
    struct hob_mqtt_trunk *trunk = user;
    trunk->ready = false;
    trunk->down_due = true;
    trunk->down_why = *why;
    trunk->retry_ms = retry_ms;
    hob_timer_stop(trunk->pace);
    hob_timer_start(trunk->turn, 0);
}

/* ---- they come up ---- */

void hob_mqtt_trunk_on_up(void *user, bool session_present)
{
    struct hob_mqtt_trunk *trunk = user;
    trunk->session_present = session_present;
}

void hob_mqtt_trunk_on_ready(void *user)
{
    struct hob_mqtt_trunk *trunk = user;
    trunk->ready = true;
    pace(trunk, 0);
}

void hob_mqtt_trunk_wake(struct hob_mqtt_trunk *trunk)
{
    if (trunk->ready && (trunk->pace_is_far || !hob_timer_active(trunk->pace)))
        pace(trunk, 0);
}

static void forget_old_risks(struct hob_mqtt_trunk *trunk)
{
    uint64_t now = hob_clock_mono_ms();
    for (struct hob_mqtt_order *order = trunk->on_way.first; order; order = order->next) {
        if (!order->branch || !order->risky || now - order->sent_ms < RISKY_MS)
            continue;
        order->risky = false;
        trunk->risky_on_way--;
        hob_timer_start(trunk->turn, 0); /* others have waited for it */
    }
}

/* Of those that wait for their turn the first request counts: only one of them goes at a time. */
static bool has_risk(const struct hob_mqtt_trunk *trunk)
{
    bool found = trunk->risky_on_way > 0;
    for (const struct hob_mqtt_branch *one = trunk->first_turn; one && !found; one = one->next_turn)
        found = one->orders.first && one->orders.first->risky;
    return found;
}

/* How many more may come up now: none while those before them are at it. */
static size_t room(const struct hob_mqtt_trunk *trunk)
{
    if (trunk->careful)
        return has_risk(trunk) ? 0 : 1;
    return trunk->turns + trunk->on_way_count < HOB_MQTT_INFLIGHT_MAX ? PORTION : 0;
}

static bool may_come_up(const struct hob_mqtt_branch *branch, uint64_t now)
{
    return branch->state == HOB_MQTT_BRANCH_WAITING && branch->left_out_until_ms <= now;
}

/* One that was to blame: alone, when nobody else waits. */
static void bring_up_blamed(struct hob_mqtt_trunk *trunk)
{
    uint64_t now = hob_clock_mono_ms();
    struct hob_mqtt_branch *one = trunk->first;
    while (one && !may_come_up(one, now))
        one = one->next;
    if (one && !has_risk(trunk)) {
        trunk->careful = true;
        hob_mqtt_branch_up(one, trunk->session_present);
    }
}

static void bring_up(struct hob_mqtt_trunk *trunk)
{
    uint64_t now = hob_clock_mono_ms();
    size_t left = room(trunk);
    bool others = false;
    for (struct hob_mqtt_branch *one = trunk->first; one; one = one->next) {
        if (!may_come_up(one, now) || one->strikes)
            continue;
        others = true;
        if (left == 0)
            break;
        left--;
        hob_mqtt_branch_up(one, trunk->session_present);
    }
    if (!others)
        bring_up_blamed(trunk);
}

/* @return the time until one more may come up; UINT64_MAX: nobody waits */
static uint64_t next_wait(const struct hob_mqtt_trunk *trunk)
{
    uint64_t now = hob_clock_mono_ms(), next = UINT64_MAX;
    for (const struct hob_mqtt_branch *one = trunk->first; one; one = one->next) {
        uint64_t wait = one->left_out_until_ms > now ? one->left_out_until_ms - now : PORTION_MS;
        if (one->state == HOB_MQTT_BRANCH_WAITING && wait < next)
            next = wait;
    }
    return next;
}

void hob_mqtt_trunk_on_pace(void *user)
{
    struct hob_mqtt_trunk *trunk = user;
    if (!hob_mqtt_trunk_is_up(trunk) || !trunk->ready)
        return;
    forget_old_risks(trunk);
    bring_up(trunk);
    uint64_t next = next_wait(trunk);
    trunk->careful = trunk->careful && (has_risk(trunk) || next <= PORTION_MS);
    if (trunk->careful && next > PORTION_MS)
        next = PORTION_MS;
    if (next != UINT64_MAX)
        pace(trunk, next);
}
