/* load.c - devices for spec/bench/service_bench.lua: a few connections that ask for a thousand
 * things, paced. Open loop: a request is sent when its time has come, whatever the answers do, and
 * its latency counts from that time.
 *
 * Each thing goes through its jobs bench-0, bench-1, ... in CYCLE requests: it looks, starts,
 * reports its progress, looks whether the job was cancelled, ends it. One JSON object on stdout is
 * the result.
 *
 * The first second's requests must be answered, but their latency does not count.
 *
 * usage: hob_load HOST PORT THINGS CONNECTIONS RATE SECONDS */
#include <errno.h>
#include <mosquitto.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CYCLE           10
#define CONNECTIONS_MAX 32
#define FILTERS_MAX     4
#define BATCH           60 /* filters in one SUBSCRIBE */
#define TOPIC_MAX       256
#define NANO            1000000000
#define PATIENCE_NS     (10LL * NANO)
#define TICK_NS                                                                                    \
    1000000 /* what is due within one is sent at its end: it is a fleet, and each                  \
             * wake-up of the generator takes time from the others */

struct load {
    struct mosquitto *clients[CONNECTIONS_MAX];
    int things, connections, rate;
    int64_t total;    /* requests */
    int64_t sent;     /* requests */
    int64_t answered; /* requests that have an answer */
    int64_t rejected; /* of them */
    int64_t unknown;  /* answers to nothing, or a second time */
    int64_t notifications;
    int64_t start_ns, last_ns; /* of the first request, of the last answer */
    int64_t *latency_ns;       /* by request; 0: none yet */
    int subscribed;            /* SUBACKs to come */
    char problem[256];
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NANO + now.tv_nsec;
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "hob_load: %s: %s\n", what, why);
    exit(1);
}

static void check(int rc, const char *what)
{
    if (rc != MOSQ_ERR_SUCCESS)
        die(what, rc == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(rc));
}

/* ---- what comes in ---- */

static int64_t due_ns(const struct load *load, int64_t request)
{
    return load->start_ns + request * NANO / load->rate;
}

/* The answer's clientToken is the number of the request. */
static int64_t token_of(const struct mosquitto_message *message)
{
    static const char key[] = "\"clientToken\":\"";
    const char *at = memmem(message->payload, (size_t)message->payloadlen, key, sizeof key - 1);
    return at ? strtoll(at + sizeof key - 1, NULL, 10) : -1;
}

static void on_message(struct mosquitto *client, void *user,
                       const struct mosquitto_message *message)
{
    struct load *load = user;
    const char *last = strrchr(message->topic, '/');
    (void)client;
    if (strncmp(last, "/notify", 7) == 0) {
        load->notifications++;
        return;
    }
    int64_t request = token_of(message);
    if (request < 0 || request >= load->sent || load->latency_ns[request]) {
        load->unknown++;
        return;
    }
    load->last_ns = now_ns();
    load->latency_ns[request] = load->last_ns - due_ns(load, request);
    load->answered++;
    if (strcmp(last, "/rejected") == 0) {
        load->rejected++;
        snprintf(load->problem, sizeof load->problem, "%.*s",
                 message->payloadlen > 250 ? 250 : message->payloadlen,
                 (const char *)message->payload);
    }
}

static void on_subscribe(struct mosquitto *client, void *user, int mid, int count,
                         const int *granted)
{
    struct load *load = user;
    (void)client;
    (void)mid;
    for (int i = 0; i < count; i++)
        if (granted[i] > 1)
            die("subscribe", "not granted");
    load->subscribed--;
}

/* ---- the connections ---- */

static void turn(struct load *load, int64_t wait_ns)
{
    struct pollfd fds[CONNECTIONS_MAX];
    struct timespec wait = {.tv_sec = wait_ns / NANO, .tv_nsec = wait_ns % NANO};
    for (int i = 0; i < load->connections; i++) {
        struct mosquitto *client = load->clients[i];
        fds[i].fd = mosquitto_socket(client);
        fds[i].events = POLLIN | (mosquitto_want_write(client) ? POLLOUT : 0);
    }
    if (ppoll(fds, (nfds_t)load->connections, &wait, NULL) <= 0)
        return;
    for (int i = 0; i < load->connections; i++) {
        if (fds[i].revents & POLLOUT)
            check(mosquitto_loop_write(load->clients[i], 1), "writing");
        if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
            check(mosquitto_loop_read(load->clients[i], 1), "reading");
    }
}

/* As Hob's own devices do: answers at QoS 0, since a request without one is asked again. */
static const struct {
    int qos, count;
    const char *rests[FILTERS_MAX];
} wanted[] = {{1, 2, {"notify", "notify-next"}},
              {0, 4, {"get/+", "start-next/+", "+/get/+", "+/update/+"}}};

static void subscribe(struct load *load, int index, size_t what)
{
    char text[BATCH][TOPIC_MAX];
    char *filters[BATCH];
    int count = 0;
    for (int thing = index; thing < load->things; thing += load->connections) {
        for (int i = 0; i < wanted[what].count; i++, count++) {
            snprintf(text[count], TOPIC_MAX, "$aws/things/bench-%d/jobs/%s", thing,
                     wanted[what].rests[i]);
            filters[count] = text[count];
        }
        if (count == BATCH || thing + load->connections >= load->things) {
            check(mosquitto_subscribe_multiple(load->clients[index], NULL, count, filters,
                                               wanted[what].qos, 0, NULL),
                  "subscribing");
            load->subscribed++;
            count = 0;
        }
    }
}

static void connect_all(struct load *load, const char *host, int port)
{
    for (int i = 0; i < load->connections; i++) {
        char id[32];
        snprintf(id, sizeof id, "hob-load-%d", i);
        struct mosquitto *client = mosquitto_new(id, true, load);
        if (!client)
            die("connecting", "out of memory");
        load->clients[i] = client;
        mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
        mosquitto_max_inflight_messages_set(client, 0);
        mosquitto_message_callback_set(client, on_message);
        mosquitto_subscribe_callback_set(client, on_subscribe);
        check(mosquitto_connect(client, host, port, 600), "connecting");
        subscribe(load, i, 0);
        subscribe(load, i, 1);
    }
    int64_t until = now_ns() + PATIENCE_NS;
    while (load->subscribed > 0) {
        if (now_ns() > until)
            die("subscribing", "no answer within 10 s");
        turn(load, NANO / 100);
    }
}

/* ---- what goes out ---- */

/* What a device asks for one job, in order; `verb` NULL: not of the job by its id. */
static const struct {
    const char *topic, *verb, *status;
} steps[CYCLE] = {
    {"$next/get", NULL, NULL},     {"start-next", NULL, NULL}, {"", "update", "IN_PROGRESS"},
    {"", "update", "IN_PROGRESS"}, {"", "get", NULL},          {"", "update", "IN_PROGRESS"},
    {"", "update", "IN_PROGRESS"}, {"", "get", NULL},          {"", "update", "IN_PROGRESS"},
    {"", "update", "SUCCEEDED"},
};

static void send_one(struct load *load, int64_t request)
{
    char topic[TOPIC_MAX], payload[256];
    int thing = (int)(request % load->things);
    /* Things are not in step with each other. */
    int64_t round = request / load->things + thing % CYCLE;
    int step = (int)(round % CYCLE);
    int len =
        snprintf(topic, sizeof topic, "$aws/things/bench-%d/jobs/%s", thing, steps[step].topic);
    if (steps[step].verb)
        snprintf(topic + len, sizeof topic - (size_t)len, "bench-%lld/%s",
                 (long long)(round / CYCLE), steps[step].verb);
    len = snprintf(payload, sizeof payload, "{\"clientToken\":\"%lld\"", (long long)request);
    if (steps[step].status)
        len += snprintf(payload + len, sizeof payload - (size_t)len,
                        ",\"status\":\"%s\",\"statusDetails\":{\"progress\":\"%d\"}",
                        steps[step].status, step * 100 / (CYCLE - 1));
    payload[len++] = '}';
    check(mosquitto_publish(load->clients[thing % load->connections], NULL, topic, len, payload, 1,
                            false),
          "publishing");
}

static void run(struct load *load)
{
    load->start_ns = now_ns();
    while (load->sent < load->total) {
        int64_t wait = due_ns(load, load->sent) - now_ns();
        for (; wait <= 0 && load->sent < load->total; wait = due_ns(load, load->sent) - now_ns()) {
            send_one(load, load->sent);
            load->sent++;
            if (load->sent % 16 == 0) /* also when it is late, answers are read at once */
                turn(load, 0);
        }
        turn(load, wait > 0 ? wait + TICK_NS : 0);
    }
    int64_t until = now_ns() + PATIENCE_NS;
    while (load->answered < load->total && now_ns() < until)
        turn(load, NANO / 100);
}

/* ---- the result ---- */

static int compare(const void *a, const void *b)
{
    int64_t one = *(const int64_t *)a, other = *(const int64_t *)b;
    return one < other ? -1 : one > other;
}

/* Of `count` latencies, sorted; those without an answer are zeros, at the front. */
static double ms_at(const int64_t *sorted, int64_t count, double part)
{
    int64_t missing = 0;
    while (missing < count && sorted[missing] == 0)
        missing++;
    if (missing == count)
        return 0;
    return (double)sorted[missing + (int64_t)(part * (double)(count - missing - 1))] / 1e6;
}

static void tell(struct load *load, double seconds)
{
    int64_t warm = load->total > 2 * (int64_t)load->rate ? load->rate : 0;
    int64_t count = load->total - warm, *sorted = load->latency_ns + warm;
    qsort(sorted, (size_t)count, sizeof *sorted, compare);
    printf("{\"requests\":%lld,\"answered\":%lld,\"rejected\":%lld,\"unknown\":%lld,"
           "\"notifications\":%lld,\"seconds\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
           "\"max_ms\":%.3f}\n",
           (long long)load->total, (long long)load->answered, (long long)load->rejected,
           (long long)load->unknown, (long long)load->notifications, seconds,
           ms_at(sorted, count, 0.5), ms_at(sorted, count, 0.99), ms_at(sorted, count, 1));
    if (load->rejected)
        fprintf(stderr, "hob_load: the last rejection: %s\n", load->problem);
}

static int number(const char *text, int low, int high, const char *what)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || value < low || value > high)
        die(what, "not a number in range");
    return (int)value;
}

int main(int argc, char **argv)
{
    struct load load = {0};
    if (argc != 7)
        die("usage", "hob_load HOST PORT THINGS CONNECTIONS RATE SECONDS");
    load.things = number(argv[3], 1, 100000, "THINGS");
    load.connections = number(argv[4], 1, CONNECTIONS_MAX, "CONNECTIONS");
    load.rate = number(argv[5], 1, 1000000, "RATE");
    load.total = (int64_t)load.rate * number(argv[6], 1, 600, "SECONDS");
    load.latency_ns = calloc((size_t)load.total, sizeof *load.latency_ns);
    if (!load.latency_ns)
        die("starting", "out of memory");
    mosquitto_lib_init();
    connect_all(&load, argv[1], number(argv[2], 1, 65535, "PORT"));
    run(&load);
    tell(&load, (double)(load.last_ns - load.start_ns) / NANO);
    for (int i = 0; i < load.connections; i++) {
        mosquitto_disconnect(load.clients[i]);
        mosquitto_destroy(load.clients[i]);
    }
    mosquitto_lib_cleanup();
    free(load.latency_ns);
    return 0;
}
