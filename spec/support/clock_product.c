/* clock_product.c - a product that has its own clock: CONFIG SECONDS-OFF [twice]
 *   twice  when its runtime has stopped it makes another one, with another clock; who asks the
 * first one then ends the process */
#include <hob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static bool gone;

static int64_t wall_ms(void *user)
{
    const int64_t *off = user;
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + *off * 1000;
}

static uint64_t since_start_ms(void *user)
{
    static int64_t off;
    static int64_t start;
    (void)user;
    if (gone) {
        abort();
    }
    start = start ? start : wall_ms(&off);
    return (uint64_t)(wall_ms(&off) - start);
}

static int live(const struct hob_runtime_options *options, const struct hob_clock *clock)
{
    struct hob_runtime *hob = NULL;
    struct hob_error err = {.message = "the clock cannot be set"};
    bool failed = hob_set_clock(clock) || hob_runtime_new(options, &hob, &err) ||
                  hob_runtime_start(hob, &err);
    if (failed) {
        fprintf(stderr, "%s\n", err.message);
    } else {
        hob_runtime_run(hob);
    }
    hob_runtime_free(hob);
    return failed;
}

int main(int argc, char **argv)
{
    int64_t off = argc >= 3 ? atoll(argv[2]) : 0;
    struct hob_clock clock = {.size = sizeof clock, .wall_ms = wall_ms, .user = &off};
    const struct hob_clock system = {.size = sizeof system};
    struct hob_runtime_options options = {
        .size = sizeof options, .config_file = argv[1], .handle_signals = true};
    if (argc < 4) {
        return live(&options, &clock);
    }
    clock.monotonic_ms = since_start_ms;
    int rc = live(&options, &clock);
    gone = true;
    return rc ? rc : live(&options, &system);
}
