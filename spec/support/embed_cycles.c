/* embed_cycles.c - made, started, one job, stopped, freed, over and over: for
 * spec/integration/embed_cycles_spec.lua and `./dev soak embed`. What the process holds is said, in
 * lines of JSON, after the first tenth of the rounds (at least five, when
 * caches have filled) and at the end.
 *
 * embed_cycles CONFIG ROUNDS
 */
#define _GNU_SOURCE
#pragma GCC diagnostic ignored "-Wunused-parameter" /* of callbacks */
#include <hob.h>

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct hob_runtime *runtime;
static char job[80];

/* One a round: the others wait for theirs. */
static enum hob_decision decide(void *user, struct hob_offer *offer)
{
    if (job[0] && strcmp(job, hob_offer_job_id(offer)) != 0) {
        return HOB_DEFER;
    }
    snprintf(job, sizeof job, "%s", hob_offer_job_id(offer));
    return HOB_ACCEPT;
}

static void on_accepted(void *user, const struct hob_job_event *event)
{
    if (strcmp(event->status, "SUCCEEDED") == 0) {
        ++*(int *)user;
        hob_runtime_stop(runtime, "the round is over", NULL, NULL);
    } else if (strcmp(event->status, "IN_PROGRESS") != 0) {
        hob_runtime_stop(runtime, "the job failed", NULL, NULL);
    }
}

static int open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = -3; /* ".", "..", and its own */
    while (dir && readdir(dir)) {
        count++;
    }
    if (dir) {
        closedir(dir);
    }
    return count;
}

static long resident_kb(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%*d %ld", &pages) != 1) {
        pages = 0;
    }
    if (file) {
        fclose(file);
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void look(int round, int done)
{
    malloc_trim(0);
    struct mallinfo2 heap = mallinfo2();
    fprintf(stderr,
            "{\"event\":\"cycles.look\",\"round\":%d,\"jobs\":%d,\"bytes\":%zu,\"resident_kb\":%ld,"
            "\"descriptors\":%d}\n",
            round, done, heap.uordblks + heap.hblkhd, resident_kb(), open_descriptors());
}

static int one_round(const char *config, int *done)
{
    const char *const settings[] = {"log_target", "none", NULL};
    const struct hob_runtime_options options = {
        .size = sizeof options, .config_file = config, .settings = settings};
    const struct hob_observer observer = {
        .size = sizeof observer, .update_accepted = on_accepted, .user = done};
    struct hob_error err = {0};
    job[0] = '\0';
    int rc = hob_runtime_new(&options, &runtime, &err);
    if (rc == 0) {
        hob_runtime_decide(runtime, decide, NULL);
        rc = hob_runtime_observe(runtime, &observer);
    }
    rc = rc ? rc : hob_runtime_start(runtime, &err);
    rc = rc ? rc : hob_runtime_run(runtime);
    hob_runtime_free(runtime);
    if (rc) {
        fprintf(stderr, "{\"event\":\"cycles.failed\",\"text\":\"%s\"}\n", hob_error_name(rc));
    }
    return rc;
}

int main(int argc, char **argv)
{
    int rounds = argc > 2 ? atoi(argv[2]) : 1, done = 0, rc = 0;
    for (int round = 1; rc == 0 && round <= rounds; round++) {
        rc = one_round(argv[1], &done);
        if (round == (rounds < 50 ? 5 : rounds / 10) || round == rounds) {
            look(round, done);
        }
    }
    return rc ? 1 : 0;
}
