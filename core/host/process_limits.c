#include "host/process_limits.h"

#include <sys/resource.h>

#define OF_PROCESS 96 /* libraries, store, log, control socket and its clients, watches */
#define OF_THING   5  /* connected: the stream, the pump's pair, libmosquitto's own pair */
#define OF_JOB     8  /* pipes of its programs, its output, a download */

size_t hob_process_limits_needed(size_t things, size_t jobs)
{
    return OF_PROCESS + OF_THING * things + OF_JOB * jobs;
}

/* Whoever may go beyond the hard limit goes no further than is needed. */
static rlim_t raise_to(rlim_t needed, struct rlimit limit)
{
    struct rlimit wanted = {.rlim_cur = needed,
                            .rlim_max = limit.rlim_max < needed ? needed : limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &wanted) == 0) {
        return needed;
    }
    wanted = (struct rlimit){.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    return setrlimit(RLIMIT_NOFILE, &wanted) == 0 ? limit.rlim_max : limit.rlim_cur;
}

static void say(struct hob_log *log, size_t things, size_t needed, size_t allowed)
{
    size_t rest = hob_process_limits_needed(0, 0);
    size_t fit = allowed > rest ? (allowed - rest) / OF_THING : 0;
    hob_log_write(log,
                  &(struct hob_log_record){.level = HOB_LOG_WARN,
                                           .event = "start.few_descriptors",
                                           .action = "allow more: LimitNOFILE= in the unit "
                                                     "(systemctl edit hob), or ulimit -Hn"},
                  "%zu things need %zu file descriptors with their jobs, %zu are allowed: about "
                  "%zu of them can connect",
                  things, needed, allowed, fit < things ? fit : things);
}

bool hob_process_limits_check(struct hob_log *log, size_t things, size_t jobs, bool raise)
{
    struct rlimit limit;
    size_t needed = hob_process_limits_needed(things, jobs);
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= needed) {
        return true;
    }
    rlim_t allowed = raise ? raise_to(needed, limit) : limit.rlim_cur;
    if (allowed >= needed) {
        return true;
    }
    if (log) {
        say(log, things, needed, allowed);
    }
    return false;
}
