/* relay.c - a product with a relay board: a job handler in C, "set-relay", and a module "relay"
 * that Lua handlers require (scripts/switch-relay.lua). Everything is on one thread: the board's
 * timer is one more file descriptor in the product's own loop.
 *
 *     cc -o relay relay.c $(pkg-config --cflags --libs hob)
 *     ./relay hob.conf.lua
 */
#define _POSIX_C_SOURCE 200809L
#include <hob.h>

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define RELAYS 8

struct board {
    bool on[RELAYS];
    int timer;              /* a descriptor: readable when the pulse is over */
    struct hob_call *pulse; /* that waits for it; NULL: none */
    int64_t pulsed;
};

/* The driver; channels count from 1. On a real board this writes to the hardware. */
static void board_set(struct board *board, int64_t channel, bool on)
{
    board->on[channel - 1] = on;
    printf("relay %" PRId64 " is %s\n", channel, on ? "on" : "off");
    fflush(stdout);
}

static void board_arm(struct board *board, int64_t ms)
{
    struct itimerspec when = {.it_value = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}};
    timerfd_settime(board->timer, 0, &when, NULL);
}

/* ---- a C handler: {"operation": "set-relay", "channel": 3, "on": true} ---- */

static void set_relay(void *user, struct hob_run *run)
{
    struct board *board = user;
    int64_t channel = 0;
    bool on = false;
    char text[8];
    hob_run_arg_integer(run, "channel", &channel); /* `args` below says that both are there */
    hob_run_arg_boolean(run, "on", &on);
    board_set(board, channel, on);
    snprintf(text, sizeof text, "%" PRId64, channel);
    hob_run_detail(run, "channel", text);
    hob_run_succeed(run);
}

/* ---- the module: relay.set(channel, on), relay.get(channel), relay.pulse(channel, ms) ---- */

/* False: it was said. */
static bool read_channel(struct hob_call *call, int64_t *channel)
{
    if (!hob_call_integer(call, 0, channel)) {
        return false; /* "relay.set: argument 1: expected integer, got nil", in the handler's line
                       */
    }
    if (*channel < 1 || *channel > RELAYS) {
        hob_call_fail(call, "ENOENT", "there are relays 1 to 8");
        return false;
    }
    return true;
}

static void relay_set(void *user, struct hob_call *call)
{
    int64_t channel;
    bool on;
    if (read_channel(call, &channel) && hob_call_boolean(call, 1, &on)) {
        board_set(user, channel, on);
        hob_call_return_boolean(call, on);
    }
}

static void relay_get(void *user, struct hob_call *call)
{
    const struct board *board = user;
    int64_t channel;
    if (read_channel(call, &channel)) {
        hob_call_return_boolean(call, board->on[channel - 1]);
    }
}

/* The handler's job was cancelled, timed out, or Hob stops: `call` is not to be used any more. */
static void pulse_cancelled(void *user, struct hob_call *call)
{
    struct board *board = user;
    (void)call;
    board->pulse = NULL;
    board_arm(board, 0);
    board_set(board, board->pulsed, false);
}

/* The handler waits until the pulse is over; other jobs, and the product, go on. */
static void relay_pulse(void *user, struct hob_call *call)
{
    struct board *board = user;
    int64_t channel, ms;
    if (!read_channel(call, &channel) || !hob_call_integer(call, 1, &ms)) {
        return;
    }
    if (ms < 1 || ms > 60000) {
        hob_call_raise(call, "a pulse is of 1 to 60000 milliseconds");
    } else if (board->pulse) {
        hob_call_fail(call, "EBUSY", "another relay is being pulsed");
    } else {
        hob_call_later(call, pulse_cancelled);
        board->pulse = call;
        board->pulsed = channel;
        board_set(board, channel, true);
        board_arm(board, ms);
    }
}

static void pulse_over(struct board *board)
{
    struct hob_call *call = board->pulse;
    uint64_t times;
    if (read(board->timer, &times, sizeof times) == sizeof times && call) {
        board->pulse = NULL;
        board_set(board, board->pulsed, false);
        hob_call_return_boolean(call, true);
        hob_call_finish(call);
    }
}

/* ---- the product ---- */

static int add(struct hob_runtime *runtime, struct board *board, struct hob_error *err)
{
    static const struct hob_function functions[] = {
        {"set", relay_set}, {"get", relay_get}, {"pulse", relay_pulse}, {NULL, NULL}};
    struct hob_handler handler = {
        .size = sizeof handler,
        .name = "set-relay",
        .description = "Switch one relay",
        .args = "{\"channel\": [\"integer\", {\"min\": 1, \"max\": 8}], \"on\": \"boolean\"}",
        .timeout_s = 10,
        .run = set_relay,
        .user = board};
    struct hob_module module = {
        .size = sizeof module, .name = "relay", .functions = functions, .user = board};
    int rc = hob_runtime_add_handler(runtime, &handler, err);
    return rc ? rc : hob_runtime_add_module(runtime, &module, err);
}

static void drive(struct hob_runtime *runtime, struct board *board)
{
    do {
        struct pollfd fds[] = {{.fd = hob_runtime_fd(runtime), .events = POLLIN},
                               {.fd = board->timer, .events = POLLIN}};
        poll(fds, 2, hob_runtime_timeout_ms(runtime));
        if (fds[1].revents) {
            pulse_over(board);
        }
    } while (hob_runtime_dispatch(runtime));
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s hob.conf.lua\n", argv[0]);
        return 2;
    }
    struct board board = {.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)};
    struct hob_runtime_options options = {
        .size = sizeof options, .config_file = argv[1], .handle_signals = true};
    struct hob_runtime *runtime = NULL;
    struct hob_error err;
    int rc = hob_runtime_new(&options, &runtime, &err);
    rc = rc ? rc : add(runtime, &board, &err);
    rc = rc ? rc : hob_runtime_start(runtime, &err);
    if (rc) {
        fprintf(stderr, "relay: %s\n", err.message);
    } else {
        drive(runtime, &board);
    }
    hob_runtime_free(runtime); /* ends a pulse that is left, so the board goes after it */
    close(board.timer);
    return rc ? 1 : 0;
}
