/* clock_product.c - a product that has its own clock: CONFIG SECONDS-OFF. */
#include <hob.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t wall_ms(void *user)
{
    const int64_t *off = user;
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + *off * 1000;
}

int main(int argc, char **argv)
{
    int64_t off = argc == 3 ? atoll(argv[2]) : 0;
    struct hob_clock clock = {.size = sizeof clock, .wall_ms = wall_ms, .user = &off};
    struct hob_runtime_options options = {
        .size = sizeof options, .config_file = argv[1], .handle_signals = true};
    struct hob_runtime *hob;
    struct hob_error err;
    if (hob_set_clock(&clock) || hob_runtime_new(&options, &hob, &err) ||
        hob_runtime_start(hob, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    hob_runtime_run(hob);
    hob_runtime_free(hob);
    return 0;
}
