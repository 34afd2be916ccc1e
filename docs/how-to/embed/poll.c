/* poll.c - a product with a poll() loop of its own, which Hob becomes a part of.
 *
 * A pump is run by words on standard input (or on the FIFO that is the second argument): "run",
 * "rest", "stop". While it runs no job is begun: each is deferred, and asked about again when the
 * pump rests. A thread that measures says so with hob_post.
 *
 *     cc -o poll poll.c $(pkg-config --cflags --libs hob) -pthread && ./poll hob.conf.lua
 */
#define _GNU_SOURCE
#include <hob.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct product {
    struct hob_runtime *runtime;
    bool pumping;
    int words; /* where they come from */
    double pressure;
};

/* ---- what Hob asks and tells ---- */

static enum hob_decision decide(void *user, struct hob_offer *offer)
{
    const struct product *product = user;
    if (!product->pumping) {
        return HOB_ACCEPT;
    }
    hob_offer_set_reason(offer, "the pump runs");
    return HOB_DEFER;
}

static void on_up(void *user, const char *thing)
{
    (void)user;
    printf("%s is online\n", thing);
}

static void on_ended(void *user, const struct hob_job_event *job)
{
    (void)user;
    printf("job %s: %s %s\n", job->job_id, job->status, job->text);
}

/* ---- another thread ---- */

/* On the loop's thread again. */
static void measured(void *user)
{
    const struct product *product = user;
    printf("pressure %.1f bar\n", product->pressure);
}

static void *measure(void *user)
{
    struct product *product = user;
    product->pressure = 2.5; /* before hob_post: whoever reads it runs after that */
    hob_post(product->runtime, measured, product);
    return NULL;
}

/* ---- the product's own work ---- */

static void do_word(struct product *product, const char *word)
{
    if (strcmp(word, "stop") == 0) {
        hob_runtime_stop(product->runtime, "somebody said stop", NULL, NULL);
        return;
    }
    product->pumping = strcmp(word, "run") == 0;
    if (!product->pumping) {
        hob_runtime_reconsider(product->runtime);
    }
    printf("the pump %s\n", product->pumping ? "runs" : "rests");
}

static void read_words(struct product *product)
{
    char text[256];
    ssize_t len = read(product->words, text, sizeof text - 1);
    if (len <= 0) {
        product->words = -1; /* poll() passes it over from now on */
        return;
    }
    text[len] = '\0';
    char *save = NULL;
    for (char *word = strtok_r(text, "\n", &save); word; word = strtok_r(NULL, "\n", &save)) {
        do_word(product, word);
    }
}

/* ---- the loop ---- */

static void loop(struct product *product)
{
    do {
        struct pollfd fds[] = {{.fd = product->words, .events = POLLIN},
                               {.fd = hob_runtime_fd(product->runtime), .events = POLLIN}};
        if (poll(fds, 2, hob_runtime_timeout_ms(product->runtime)) < 0 && errno != EINTR) {
            perror("poll");
            return;
        }
        if (fds[0].revents) {
            read_words(product);
        }
    } while (hob_runtime_dispatch(product->runtime));
}

static int begin(struct product *product, const char *config, struct hob_error *err)
{
    const struct hob_runtime_options options = {.size = sizeof options, .config_file = config};
    const struct hob_observer observer = {
        .size = sizeof observer, .connection_up = on_up, .job_ended = on_ended, .user = product};
    int rc = hob_runtime_new(&options, &product->runtime, err);
    if (rc) {
        return rc;
    }
    hob_runtime_observe(product->runtime, &observer);
    hob_runtime_decide(product->runtime, decide, product);
    return hob_runtime_start(product->runtime, err);
}

int main(int argc, char **argv)
{
    struct product product = {.words = argc > 2 ? open(argv[2], O_RDWR) : STDIN_FILENO};
    struct hob_error err;
    pthread_t thread;
    setvbuf(stdout, NULL, _IOLBF, 4096);
    int rc = begin(&product, argc > 1 ? argv[1] : "hob.conf.lua", &err);
    if (rc) {
        fprintf(stderr, "poll: %s\n", err.message);
    } else if (pthread_create(&thread, NULL, measure, &product) == 0) {
        loop(&product);
        pthread_join(thread, NULL); /* nobody posts any more */
    }
    hob_runtime_free(product.runtime);
    return rc ? 1 : 0;
}
