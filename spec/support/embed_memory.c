/* embed_memory.c - a product with an allocator of its own, which counts what is about and can
 * refuse one request, for spec/integration/embed_memory_spec.lua. It says what it sees on stderr,
 * in lines of JSON as Hob's log has them.
 *
 * embed_memory CONFIG MODE FROM TO STEP SPAN
 *   balance   made, a job, freed, TO times
 *   new       for each n of FROM..TO: refuse the n-th request, and the SPAN - 1 after it (Lua asks
 *             twice before it gives up); made, started, connected, freed
 *   job       likewise, counted from the moment at which a job has started
 *   none      nothing of Hob is called but hob_set_allocator, hob_set_clock in wrong ways
 */
#define _GNU_SOURCE
#pragma GCC diagnostic ignored "-Wunused-parameter" /* of callbacks */
#include <hob.h>

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static atomic_long live;      /* blocks */
static atomic_long asked;     /* requests since it was set to 0 */
static atomic_long refuse_at; /* that one; 0: none */
static long span = 1;         /* and those after it */
static atomic_long refused;

static bool is_refused(void)
{
    long number = atomic_fetch_add(&asked, 1) + 1;
    long first = atomic_load(&refuse_at);
    if (first == 0 || number < first || number >= first + span) {
        return false;
    }
    atomic_fetch_add(&refused, 1);
    if (getenv("EMBED_MEMORY_ABORT")) {
        abort(); /* to see who asks */
    }
    return true;
}

static void *count(void *block)
{
    if (block) {
        atomic_fetch_add(&live, 1);
    }
    return block;
}

static void *my_malloc(void *user, size_t size)
{
    return is_refused() ? NULL : count(malloc(size));
}

static void *my_calloc(void *user, size_t number, size_t size)
{
    return is_refused() ? NULL : count(calloc(number, size));
}

static void *my_realloc(void *user, void *block, size_t size)
{
    if (is_refused()) {
        return NULL;
    }
    void *moved = realloc(block, size);
    return block ? moved : count(moved);
}

static void my_free(void *user, void *block)
{
    if (block) {
        atomic_fetch_sub(&live, 1);
    }
    free(block);
}

static void refuse_nth(long n)
{
    atomic_store(&asked, 0);
    atomic_store(&refused, 0);
    atomic_store(&refuse_at, n);
}

/* ---- functions for Lua handlers ---- */

/* echo(table, text) */
static void echo(void *user, struct hob_call *call)
{
    const char *json = NULL, *text = NULL;
    size_t json_len = 0, len = 0;
    if (hob_call_json(call, 0, &json, &json_len) && hob_call_string(call, 1, &text, &len)) {
        hob_call_return_json(call, json, json_len);
        hob_call_return_string(call, text, len);
    }
}

static void finish(void *call)
{
    if (hob_call_return_string(call, "later", 5)) {
        hob_call_fail(call, "ENOMEM", "out of memory");
    }
    hob_call_finish(call);
}

static void later(void *user, struct hob_call *call)
{
    struct hob_runtime *const *runtime = user;
    hob_call_later(call, NULL);
    if (hob_post(*runtime, finish, call)) {
        hob_call_fail(call, "ENOMEM", "out of memory");
        hob_call_finish(call);
    }
}

static int add_module(struct hob_runtime **runtime, struct hob_error *err)
{
    static const struct hob_function functions[] = {{"echo", echo}, {"later", later}, {NULL, NULL}};
    const struct hob_module module = {
        .size = sizeof module, .name = "memory", .functions = functions, .user = runtime};
    return hob_runtime_add_module(*runtime, &module, err);
}

/* ---- one life ---- */

struct life {
    struct hob_runtime *runtime;
    long n; /* that is refused once a job has started; 0: none */
    bool wants_job, up, taken, ended, told, stopped, lost;
    char job[80], status[40], code[40], text[200];
};

static enum hob_decision decide(void *user, struct hob_offer *offer)
{
    struct life *life = user;
    const char *id = hob_offer_job_id(offer);
    if (life->taken && strcmp(life->job, id) != 0) {
        return HOB_DEFER; /* one a life */
    }
    life->taken = true;
    snprintf(life->job, sizeof life->job, "%s", id);
    return life->wants_job ? HOB_ACCEPT : HOB_DEFER;
}

static void on_up(void *user, const char *thing)
{
    ((struct life *)user)->up = true;
}

static void on_started(void *user, const struct hob_job_event *event)
{
    const struct life *life = user;
    if (life->n > 0 && atomic_load(&refuse_at) == 0) {
        refuse_nth(life->n);
    }
}

static void on_ended(void *user, const struct hob_job_event *event)
{
    struct life *life = user;
    if (strcmp(event->job_id, life->job) == 0) {
        life->ended = true;
        snprintf(life->status, sizeof life->status, "%s", event->status);
        snprintf(life->code, sizeof life->code, "%s", event->code);
        snprintf(life->text, sizeof life->text, "%s", event->text);
    }
}

static void on_accepted(void *user, const struct hob_job_event *event)
{
    struct life *life = user;
    if (strcmp(event->job_id, life->job) == 0 && strcmp(event->status, "IN_PROGRESS") != 0) {
        life->told = true;
    }
}

/* An observer may hear nothing of it: what there is to be told takes memory, too. */
static void on_log(void *user, const struct hob_log_line *line)
{
    struct life *life = user;
    if (line->job && strcmp(line->job, life->job) == 0 &&
        strcmp(line->event, "job.reported") == 0) {
        life->ended = life->told = true;
    }
}

static void on_stopped(void *user)
{
    ((struct life *)user)->stopped = true;
}

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool is_done(const struct life *life)
{
    return life->wants_job ? life->ended && life->told : life->up;
}

/* @return whether it came to what is waited for */
static bool drive(const struct life *life, bool until_stopped, int most_ms)
{
    long long end = now_ms() + most_ms;
    while (until_stopped ? !life->stopped : !is_done(life)) {
        long long left = end - now_ms();
        if (left <= 0) {
            return false;
        }
        int wait = hob_runtime_timeout_ms(life->runtime);
        struct pollfd fd = {.fd = hob_runtime_fd(life->runtime), .events = POLLIN};
        poll(&fd, 1, wait < 0 || wait > left ? (int)left : wait);
        if (hob_runtime_dispatch(life->runtime) == 0) {
            break;
        }
    }
    return true;
}

static void quote(const char *text)
{
    for (; *text; text++) {
        putc(*text == '"' || *text == '\\' || (unsigned char)*text < ' ' ? '\'' : *text, stderr);
    }
}

static void say(const struct life *life, const char *event, long n, int code, const char *text)
{
    fprintf(stderr,
            "{\"event\":\"product.%s\",\"n\":%ld,\"refused\":%ld,\"asked\":%ld,\"live\":%ld,"
            "\"code\":\"%s\",\"job\":\"%s\",\"status\":\"%s\",\"job_code\":\"%s\",\"done\":%s,"
            "\"text\":\"",
            event, n, atomic_load(&refused), atomic_load(&asked), atomic_load(&live),
            code ? hob_error_name(code) : "OK", life->job, life->status, life->code,
            is_done(life) ? "true" : "false");
    quote(text);
    fputs("\"}\n", stderr);
}

static void live_once(const char *config, const char *mode, long n)
{
    struct life life = {.wants_job = strcmp(mode, "new") != 0, .n = strcmp(mode, "job") ? 0 : n};
    const char *const settings[] = {"log_target", "none", NULL};
    const struct hob_runtime_options options = {.size = sizeof options,
                                                .config_file = config,
                                                .no_control = true,
                                                .log = on_log,
                                                .user = &life,
                                                .settings =
                                                    getenv("EMBED_MEMORY_LOG") ? NULL : settings};
    const struct hob_observer observer = {.size = sizeof observer,
                                          .connection_up = on_up,
                                          .job_started = on_started,
                                          .job_ended = on_ended,
                                          .update_accepted = on_accepted,
                                          .user = &life};
    struct hob_error err = {0};
    refuse_nth(strcmp(mode, "new") == 0 ? n : 0);
    int rc = hob_runtime_new(&options, &life.runtime, &err);
    if (rc == 0) {
        rc = hob_runtime_observe(life.runtime, &observer);
        hob_runtime_decide(life.runtime, decide, &life);
        rc = rc ? rc : add_module(&life.runtime, &err);
        rc = rc ? rc : hob_runtime_start(life.runtime, &err);
    }
    bool done = rc == 0 && drive(&life, false, 20000);
    if (life.runtime && rc == 0) {
        hob_runtime_stop(life.runtime, "enough", on_stopped, &life);
        if (!drive(&life, true, 20000)) {
            say(&life, "stuck", n, rc, "it does not stop");
        }
    }
    hob_runtime_free(life.runtime);
    say(&life, "life", n, rc, rc ? err.message : done ? life.text : "in vain");
}

/* ---- what is refused ---- */

static int64_t no_time(void *user)
{
    return 0;
}

static void wrong_ways(const char *config)
{
    struct life life = {0};
    const struct hob_allocator small = {.size = 8, .malloc_fn = my_malloc};
    const struct hob_allocator half = {.size = sizeof half, .malloc_fn = my_malloc};
    const struct hob_allocator whole = {.size = sizeof whole,
                                        .malloc_fn = my_malloc,
                                        .calloc_fn = my_calloc,
                                        .realloc_fn = my_realloc,
                                        .free_fn = my_free};
    const struct hob_clock clock = {.size = sizeof clock, .wall_ms = no_time};
    const struct hob_clock system = {.size = sizeof system};
    const struct hob_clock none = {.size = 1};
    const struct hob_runtime_options options = {.size = sizeof options, .config_file = config};
    say(&life, "small", 0, hob_set_allocator(&small), "");
    say(&life, "half", 0, hob_set_allocator(&half), "");
    say(&life, "null", 0, hob_set_allocator(NULL), "");
    say(&life, "no_clock", 0, hob_set_clock(&none), "");
    say(&life, "clock", 0, hob_set_clock(&clock), "");
    say(&life, "clock_again", 0, hob_set_clock(&system), "");
    struct hob_error err = {0};
    say(&life, "made", 0, hob_runtime_new(&options, &life.runtime, &err), err.message);
    say(&life, "late", 0, hob_set_allocator(&whole), "");
    say(&life, "late_clock", 0, hob_set_clock(&clock), "");
    hob_runtime_free(life.runtime);
    say(&life, "free_clock", 0, hob_set_clock(&system), "");
    say(&life, "still_late", 0, hob_set_allocator(&whole), "");
}

int main(int argc, char **argv)
{
    const struct hob_allocator allocator = {.size = sizeof allocator,
                                            .malloc_fn = my_malloc,
                                            .calloc_fn = my_calloc,
                                            .realloc_fn = my_realloc,
                                            .free_fn = my_free};
    const char *config = argc > 2 ? argv[1] : "", *mode = argc > 2 ? argv[2] : "";
    if (strcmp(mode, "none") == 0) {
        wrong_ways(config);
        return 0;
    }
    if (argc < 7 || hob_set_allocator(&allocator)) {
        return 2;
    }
    span = atol(argv[6]);
    for (long n = atol(argv[3]); n <= atol(argv[4]); n += atol(argv[5])) {
        live_once(config, mode, n);
    }
    return 0;
}
