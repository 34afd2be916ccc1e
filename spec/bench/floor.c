/* floor.c - the floor of `./dev bench`: the smallest agent on libmosquitto, over its own TLS
 * (OpenSSL), that exchanges the messages of Hob's. It keeps nothing, checks nothing and has no
 * handlers: what it takes is what the exchange takes.
 *
 * It subscribes as Hob does, asks for the next job, ends it as SUCCEEDED, and begins again: in the
 * mode `ops` at once, in the mode `jobs` when the service says that there is a next one. With
 * --exec it first runs a program for each job, with the job's answer as its argument.
 *
 * usage: hob_floor HOST PORT THING ops|jobs [--tls CA CERT KEY] [--exec PROGRAM] [--keep-alive S]
 */
#include <errno.h>
#include <mosquitto.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOPIC_MAX 256

struct agent {
    struct mosquitto *client;
    const char *thing, *program;
    bool by_notice; /* mode `jobs` */
    bool busy;
    char *filters[6];
    int token;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "hob_floor: %s: %s\n", what, why);
    exit(1);
}

static void check(int rc, const char *what)
{
    if (rc != MOSQ_ERR_SUCCESS)
        die(what, rc == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(rc));
}

static void publish(struct agent *agent, const char *rest, const char *payload)
{
    char topic[TOPIC_MAX];
    snprintf(topic, sizeof topic, "$aws/things/%s/jobs/%s", agent->thing, rest);
    check(mosquitto_publish(agent->client, NULL, topic, (int)strlen(payload), payload, 1, false),
          "publishing");
}

static void ask(struct agent *agent)
{
    char payload[64];
    snprintf(payload, sizeof payload, "{\"clientToken\":\"floor-%d\"}", agent->token++);
    agent->busy = true;
    publish(agent, "start-next", payload);
}

static bool run_program(const struct agent *agent, char *answer)
{
    char *words[] = {(char *)agent->program, answer, NULL};
    pid_t child;
    int status = 0;
    if (posix_spawn(&child, agent->program, NULL, NULL, words, environ) != 0)
        die(agent->program, "cannot be run");
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The text of a member, up to its quote. */
static bool text_of(const char *json, const char *key, char *out, size_t size)
{
    const char *at = strstr(json, key);
    size_t len = at ? strcspn(at + strlen(key), "\"") : size;
    if (len >= size)
        return false;
    memcpy(out, at + strlen(key), len);
    out[len] = '\0';
    return true;
}

static void do_job(struct agent *agent, char *answer)
{
    char id[72], rest[96], payload[128];
    const char *version = strstr(answer, "\"versionNumber\":");
    if (!version || !text_of(answer, "\"jobId\":\"", id, sizeof id)) {
        agent->busy = false; /* there is none */
        return;
    }
    bool well = !agent->program || run_program(agent, answer);
    snprintf(rest, sizeof rest, "%s/update", id);
    snprintf(payload, sizeof payload,
             "{\"status\":\"%s\",\"expectedVersion\":%d,\"clientToken\":\"floor-%d\"}",
             well ? "SUCCEEDED" : "FAILED", atoi(version + strlen("\"versionNumber\":")),
             agent->token++);
    publish(agent, rest, payload);
}

static void on_message(struct mosquitto *client, void *user,
                       const struct mosquitto_message *message)
{
    struct agent *agent = user;
    size_t prefix = strlen("$aws/things//jobs/") + strlen(agent->thing);
    const char *rest = message->topic + prefix, *last = strrchr(message->topic, '/');
    (void)client;
    if (strcmp(last, "/rejected") == 0)
        die(message->topic, message->payload);
    if (strcmp(rest, "start-next/accepted") == 0) {
        do_job(agent, message->payload);
    } else if (strcmp(last, "/accepted") == 0) { /* of an update */
        agent->busy = false;
        if (!agent->by_notice)
            ask(agent);
    } else if (strcmp(rest, "notify-next") == 0 && !agent->busy &&
               strstr(message->payload, "\"jobId\"")) {
        ask(agent);
    }
}

static void on_subscribe(struct mosquitto *client, void *user, int mid, int count,
                         const int *granted)
{
    (void)client;
    (void)mid;
    for (int i = 0; i < count; i++)
        if (granted[i] > 1)
            die("subscribing", "not granted");
    if (count > 2)
        ask(user);
}

/* As Hob does: two batches, all at QoS 0. */
static void on_connect(struct mosquitto *client, void *user, int rc)
{
    struct agent *agent = user;
    if (rc)
        die("connecting", mosquitto_connack_string(rc));
    check(mosquitto_subscribe_multiple(client, NULL, 2, agent->filters, 0, 0, NULL), "subscribing");
    check(mosquitto_subscribe_multiple(client, NULL, 4, agent->filters + 2, 0, 0, NULL),
          "subscribing");
}

static void name_filters(struct agent *agent)
{
    static const char *const rests[] = {"notify",       "notify-next", "get/+",
                                        "start-next/+", "+/get/+",     "+/update/+"};
    for (size_t i = 0; i < 6; i++) {
        agent->filters[i] = malloc(TOPIC_MAX);
        if (!agent->filters[i])
            die("starting", "out of memory");
        snprintf(agent->filters[i], TOPIC_MAX, "$aws/things/%s/jobs/%s", agent->thing, rests[i]);
    }
}

int main(int argc, char **argv)
{
    struct agent agent = {0};
    int keep_alive = 60;
    if (argc < 5)
        die("usage", "hob_floor HOST PORT THING ops|jobs [--tls CA CERT KEY] [--exec PROGRAM] "
                     "[--keep-alive S]");
    agent.thing = argv[3];
    agent.by_notice = strcmp(argv[4], "jobs") == 0;
    mosquitto_lib_init();
    agent.client = mosquitto_new(agent.thing, true, &agent);
    if (!agent.client)
        die("starting", "out of memory");
    for (int i = 5; i < argc; i++) {
        if (strcmp(argv[i], "--tls") == 0 && i + 3 < argc) {
            check(
                mosquitto_tls_set(agent.client, argv[i + 1], NULL, argv[i + 2], argv[i + 3], NULL),
                "TLS");
            i += 3;
        } else if (strcmp(argv[i], "--exec") == 0 && i + 1 < argc) {
            agent.program = argv[++i];
        } else if (strcmp(argv[i], "--keep-alive") == 0 && i + 1 < argc) {
            keep_alive = atoi(argv[++i]);
        } else {
            die(argv[i], "no such flag, or a value is missing");
        }
    }
    name_filters(&agent);
    mosquitto_int_option(agent.client, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_connect_callback_set(agent.client, on_connect);
    mosquitto_subscribe_callback_set(agent.client, on_subscribe);
    mosquitto_message_callback_set(agent.client, on_message);
    check(mosquitto_connect(agent.client, argv[1], atoi(argv[2]), keep_alive), "connecting");
    check(mosquitto_loop_forever(agent.client, -1, 1), "the connection");
}
