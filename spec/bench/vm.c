/* vm.c - jobs' Lua states for spec/bench/rows/vm.lua: what it takes to make one, to load a handler
 * into it, to run it and to free it; and what one weighs that waits in a step.
 *
 * The job is hob_job, as a slot makes it: sandbox, document, arguments, task, outcome. Nothing of
 * it is stored. Beside it, in turn: a bare Lua state, with the language's libraries, that compiles
 * and loads the same file and is closed. One JSON object on stdout is the result; times are
 * processor time, the median of all jobs.
 *
 * usage: hob_vm LIB SCRIPTS STORE HANDLER RUNS [KEPT WAITS]   KEPT jobs of the handler WAITS wait
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "device/exec.h"
#include "work/handlers.h"
#include "work/job.h"
#include "work/store.h"

#include <lauxlib.h>
#include <lualib.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DOCUMENT  "{\"operation\":\"bench\",\"text\":\"hello\"}"
#define WARM_UP   20
#define TURNS_MAX 100

struct rig {
    struct hob_loop *loop;
    struct hob_log *log;
    struct hob_store *store;
    struct hob_handlers *handlers;
    struct hob_exec_set *children;
    const char *lib;
    bool ended, failed;
};

enum what { MAKE, RUN, FREE, ALL, BARE, WHATS };

struct times { /* of each job, in us */
    double *us[WHATS];
    int count;
};

static void die(const char *what, const struct hob_error *err)
{
    fprintf(stderr, "hob_vm: %s: %s\n", what, err->message);
    exit(1);
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void on_end(void *user, const struct hob_job_outcome *outcome)
{
    struct rig *rig = user;
    rig->ended = true;
    if (outcome->status != HOB_JOBS_SUCCEEDED) {
        rig->failed = true;
        fprintf(stderr, "hob_vm: the job failed: %s\n", outcome->details);
    }
    hob_loop_stop(rig->loop);
}

static void open_rig(struct rig *rig, char **words)
{
    struct hob_error err = {0};
    struct hob_log_options log = {.level = HOB_LOG_INFO, .target = "none"};
    struct hob_store_options store = {.path = words[3]};
    struct hob_handlers_options handlers = {.scripts = words[2], .lib = words[1]};
    rig->lib = words[1];
    if (hob_loop_new(&rig->loop, &err) || hob_log_open(&log, &rig->log, &err) ||
        hob_store_open(rig->log, &store, &rig->store, &err)) {
        die("opening", &err);
    }
    handlers.loop = rig->loop;
    handlers.log = rig->log;
    if (hob_handlers_new(&handlers, &rig->handlers, &err) ||
        hob_handlers_load(rig->handlers, &err)) {
        die("loading handlers", &err);
    }
    rig->children = hob_exec_set_new(rig->loop, &(struct hob_exec_set_options){0});
}

static struct hob_job *make(struct rig *rig, const char *handler)
{
    struct hob_error err = {0};
    struct hob_job *job = NULL;
    struct hob_job_options options = {.loop = rig->loop,
                                      .log = rig->log,
                                      .store = rig->store,
                                      .handler = hob_handlers_find(rig->handlers, handler),
                                      .handlers = rig->handlers,
                                      .script_lib = hob_handlers_script_lib(rig->handlers),
                                      .lib = rig->lib,
                                      .modules = hob_handlers_modules(rig->handlers),
                                      .thing = "bench",
                                      .job_id = "job",
                                      .execution_number = 1,
                                      .document = DOCUMENT,
                                      .document_len = strlen(DOCUMENT),
                                      .work_dir = "/nonexistent",
                                      .children = rig->children,
                                      .on_end = on_end,
                                      .user = rig};
    if (hob_job_new(&options, &job, &err)) {
        die(handler, &err);
    }
    return job;
}

static void start(struct hob_job *job)
{
    struct hob_error err = {0};
    struct hob_job_run run = {.row = 1, .attempt = 1};
    if (hob_job_start(job, &run, &err)) {
        die("starting", &err);
    }
}

static void one(struct rig *rig, const char *handler, struct times *times)
{
    double at[4];
    at[0] = now_us();
    struct hob_job *job = make(rig, handler);
    at[1] = now_us();
    rig->ended = false;
    start(job);
    while (!rig->ended) {
        hob_loop_run(rig->loop);
    }
    at[2] = now_us();
    hob_job_free(job);
    at[3] = now_us();
    times->us[MAKE][times->count] = at[1] - at[0];
    times->us[RUN][times->count] = at[2] - at[1];
    times->us[FREE][times->count] = at[3] - at[2];
    times->us[ALL][times->count] = at[3] - at[0];
}

static void bare(struct rig *rig, const char *handler, struct times *times)
{
    const struct hob_handlers_entry *entry = hob_handlers_find(rig->handlers, handler);
    double began = now_us();
    lua_State *L = luaL_newstate();
    if (!L) {
        exit(1);
    }
    luaL_openlibs(L);
    if (luaL_loadbuffer(L, entry->source, entry->source_len, "=handler") || lua_pcall(L, 0, 1, 0)) {
        fprintf(stderr, "hob_vm: %s\n", lua_tostring(L, -1));
        exit(1);
    }
    lua_close(L);
    times->us[BARE][times->count] = now_us() - began;
}

/* ---- memory ---- */

static long resident_kb(void)
{
    long pages = 0, shared = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file || fscanf(file, "%ld %ld", &pages, &shared) != 2) {
        pages = 0;
    }
    if (file) {
        fclose(file);
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void weigh(struct rig *rig, const char *handler, int count)
{
    struct hob_job **jobs = calloc((size_t)count, sizeof(struct hob_job *));
    if (!jobs) {
        exit(1);
    }
    size_t heap = mallinfo2().uordblks;
    long resident = resident_kb();
    for (int i = 0; i < count; i++) {
        jobs[i] = make(rig, handler);
        start(jobs[i]);
        for (int turns = 0; !*hob_job_step(jobs[i]) && turns < TURNS_MAX; turns++) {
            hob_loop_turn(rig->loop);
        }
    }
    printf(",\"kept\":%d,\"heap_kb\":%.2f,\"resident_kb\":%.2f", count,
           (double)(mallinfo2().uordblks - heap) / 1024 / count,
           (double)(resident_kb() - resident) / count);
    for (int i = 0; i < count; i++) {
        if (!*hob_job_step(jobs[i])) {
            fprintf(stderr, "hob_vm: job %d does not wait in a step\n", i);
            rig->failed = true;
        }
        hob_job_free(jobs[i]);
    }
    free(jobs);
}

/* ---- the whole ---- */

static int by_size(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* The middle one: a job in which another program had the caches tells of that. */
static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_size);
    return values[count / 2];
}

static void time_jobs(struct rig *rig, const char *handler, int runs)
{
    static const char *const names[] = {"make_us", "run_us", "free_us", "all_us", "bare_us"};
    struct times times = {0};
    for (int i = 0; i < WHATS; i++) {
        times.us[i] = calloc((size_t)runs, sizeof(double));
        if (!times.us[i]) {
            exit(1);
        }
    }
    for (int i = -WARM_UP; i < runs; i++) {
        times.count = i < 0 ? 0 : i;
        one(rig, handler, &times);
        bare(rig, handler, &times);
    }
    printf("{\"runs\":%d", runs);
    for (int i = 0; i < WHATS; i++) {
        printf(",\"%s\":%.2f", names[i], median(times.us[i], runs));
        free(times.us[i]);
    }
}

int main(int argc, char **argv)
{
    if ((argc != 6 && argc != 8) || atoi(argv[5]) < 1) {
        fprintf(stderr, "usage: hob_vm LIB SCRIPTS STORE HANDLER RUNS [KEPT WAITS]\n");
        return 2;
    }
    struct rig rig = {0};
    open_rig(&rig, argv);
    time_jobs(&rig, argv[4], atoi(argv[5]));
    if (argc == 8) {
        weigh(&rig, argv[7], atoi(argv[6]));
    }
    printf("}\n");
    hob_handlers_free(rig.handlers);
    hob_exec_set_free(rig.children);
    hob_store_close(rig.store);
    hob_log_close(rig.log);
    hob_loop_free(rig.loop);
    return rig.failed;
}
