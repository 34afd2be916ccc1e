/* own_connection.c - a product that has an MQTT connection already, and lends it to Hob.
 *
 * The connection is libmosquitto's, with OpenSSL; product and Hob are driven by one poll() loop.
 * Hob connects to nothing by itself: it asks for publishes and subscriptions, and is told what came
 * of them, what arrives, and when the link comes and goes.
 *
 *     own_connection --config hob.conf.lua --host HOST --port PORT --id CLIENT-ID
 *                    [--cafile FILE [--cert FILE --key FILE]] [--NAME VALUE ...]
 *
 * Other flags are keys of the configuration: --log-level debug is log_level = "debug".
 * Build: cc own_connection.c $(pkg-config --cflags --libs hob libmosquitto)
 */
#define _GNU_SOURCE
#include <hob.h>
#include <mosquitto.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEEP_ALIVE_S 20
#define RETRY_MS     200 /* on a bench; with many devices: more, longer each time, and at random */
#define MISC_MS      1000
#define SETTINGS_MAX 64

struct product {
    const char *host, *id, *ca, *cert, *key;
    int port;
    struct mosquitto *client;
    struct hob_connection *connection;
    bool up;
    bool renew; /* the link is broken, or not to be trusted: make another one */
    int64_t retry_at;
    uint64_t tokens[65536]; /* of what has no answer yet, by packet id */
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- what Hob asks for ---- */

static int hob_code(int rc)
{
    return rc == MOSQ_ERR_SUCCESS ? 0 : rc == MOSQ_ERR_NOMEM ? HOB_ENOMEM : HOB_ENOTCONN;
}

static int publish(void *user, const char *topic, const void *payload, size_t len, int qos,
                   bool retain, uint64_t token)
{
    struct product *product = user;
    int id = 0;
    if (!product->up)
        return HOB_ENOTCONN;
    int rc = mosquitto_publish(product->client, &id, topic, (int)len, payload, qos, retain);
    if (rc == MOSQ_ERR_SUCCESS && qos == 0)
        hob_connection_done(product->connection, token, 0); /* sent: there is no PUBACK */
    else if (rc == MOSQ_ERR_SUCCESS)
        product->tokens[id] = token;
    return hob_code(rc);
}

static int subscribe(void *user, const char *const *filters, size_t count, int qos, uint64_t token)
{
    struct product *product = user;
    int id = 0;
    if (!product->up)
        return HOB_ENOTCONN;
    int rc = mosquitto_subscribe_multiple(product->client, &id, (int)count, (char *const *)filters,
                                          qos, 0, NULL);
    product->tokens[id] = token;
    return hob_code(rc);
}

static int unsubscribe(void *user, const char *const *filters, size_t count, uint64_t token)
{
    struct product *product = user;
    int id = 0;
    if (!product->up)
        return HOB_ENOTCONN;
    int rc = mosquitto_unsubscribe_multiple(product->client, &id, (int)count,
                                            (char *const *)filters, NULL);
    product->tokens[id] = token;
    return hob_code(rc);
}

static void doubt(void *user, const char *why)
{
    struct product *product = user;
    fprintf(stderr, "product: Hob had no answer for long: %s\n", why);
    product->renew = true;
}

/* ---- what the connection brings ---- */

static uint64_t token_of(struct product *product, int id)
{
    uint64_t token = product->tokens[id];
    product->tokens[id] = 0;
    return token;
}

static void on_connect(struct mosquitto *client, void *user, int rc, int flags)
{
    (void)client;
    struct product *product = user;
    if (rc == 0) {
        product->up = true;
        hob_connection_up(product->connection, (flags & 1) != 0);
    }
}

static void on_disconnect(struct mosquitto *client, void *user, int rc)
{
    (void)client, (void)rc;
    ((struct product *)user)->renew = true;
}

static void on_message(struct mosquitto *client, void *user,
                       const struct mosquitto_message *message)
{
    (void)client;
    struct product *product = user;
    /* The product's own topics would be dealt with here. */
    hob_connection_message(product->connection, message->topic, message->payload,
                           (size_t)message->payloadlen, message->qos, message->retain);
}

static void on_publish(struct mosquitto *client, void *user, int id)
{
    (void)client;
    struct product *product = user;
    uint64_t token = token_of(product, id);
    if (token)
        hob_connection_done(product->connection, token, 0);
}

static void on_subscribe(struct mosquitto *client, void *user, int id, int count,
                         const int *granted)
{
    (void)client;
    struct product *product = user;
    hob_connection_subscribed(product->connection, token_of(product, id), 0, granted,
                              (size_t)count);
}

static void on_unsubscribe(struct mosquitto *client, void *user, int id)
{
    (void)client;
    struct product *product = user;
    hob_connection_done(product->connection, token_of(product, id), 0);
}

/* ---- the link ---- */

static void connect_now(struct product *product)
{
    struct mosquitto *client = product->client;
    mosquitto_connect_with_flags_callback_set(client, on_connect);
    mosquitto_disconnect_callback_set(client, on_disconnect);
    mosquitto_message_callback_set(client, on_message);
    mosquitto_publish_callback_set(client, on_publish);
    mosquitto_subscribe_callback_set(client, on_subscribe);
    mosquitto_unsubscribe_callback_set(client, on_unsubscribe);
    mosquitto_int_option(client, MOSQ_OPT_SEND_MAXIMUM, 100); /* as many as AWS IoT takes */
    if (product->ca)
        mosquitto_tls_set(client, product->ca, NULL, product->cert, product->key, NULL);
    if (mosquitto_connect(client, product->host, product->port, KEEP_ALIVE_S) != MOSQ_ERR_SUCCESS)
        product->renew = true;
}

/* A client that begins anew sends nothing by itself that the last one had not got rid of: Hob sends
 * again what must be, and nothing twice. */
static void renew(struct product *product)
{
    product->renew = false;
    if (product->up)
        hob_connection_down(product->connection, HOB_ENOTCONN, "the link was lost");
    product->up = false;
    memset(product->tokens, 0, sizeof product->tokens);
    mosquitto_reinitialise(product->client, product->id, true, product);
    product->retry_at = now_ms() + RETRY_MS;
}

static void look_after(struct product *product)
{
    if (product->renew)
        renew(product);
    if (product->retry_at && now_ms() >= product->retry_at) {
        product->retry_at = 0;
        connect_now(product);
    }
}

/* ---- the loop ---- */

static int wait_ms(const struct product *product, int of_hob)
{
    int most = product->retry_at ? RETRY_MS : MISC_MS;
    return of_hob >= 0 && of_hob < most ? of_hob : most;
}

/* One turn: wait for either, then let both work. @return whether Hob goes on */
static bool turn(struct product *product, struct hob_runtime *runtime)
{
    int fd = mosquitto_socket(product->client);
    struct pollfd fds[] = {{.fd = hob_runtime_fd(runtime), .events = POLLIN},
                           {.fd = fd, .events = POLLIN}};
    if (fd >= 0 && mosquitto_want_write(product->client))
        fds[1].events |= POLLOUT;
    if (poll(fds, 2, wait_ms(product, hob_runtime_timeout_ms(runtime))) < 0)
        return true;
    if (fd >= 0 && (fds[1].revents & (POLLIN | POLLERR | POLLHUP)))
        mosquitto_loop_read(product->client, 1);
    if (fd >= 0)
        mosquitto_loop_misc(product->client);
    int on = hob_runtime_dispatch(runtime);
    if (mosquitto_socket(product->client) >= 0 && mosquitto_want_write(product->client))
        mosquitto_loop_write(product->client, 1);
    look_after(product);
    return on;
}

/* ---- the program ---- */

/* @return false: it is one of Hob's keys */
static bool take_flag(struct product *product, const char **config, const char *name, char *value)
{
    struct {
        const char *name, **place;
    } flags[] = {{"host", &product->host}, {"id", &product->id},   {"cafile", &product->ca},
                 {"cert", &product->cert}, {"key", &product->key}, {"config", config}};
    if (strcmp(name, "port") == 0) {
        product->port = atoi(value);
        return true;
    }
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(flags[i].name, name) == 0) {
            *flags[i].place = value;
            return true;
        }
    }
    return false;
}

static void read_flags(struct product *product, const char **config, const char **settings,
                       int argc, char **argv)
{
    size_t count = 0;
    for (int i = 1; i + 1 < argc && count + 2 < SETTINGS_MAX; i += 2) {
        char *name = argv[i] + strspn(argv[i], "-");
        if (take_flag(product, config, name, argv[i + 1]))
            continue;
        for (char *at = name; *at; at++)
            *at = *at == '-' ? '_' : *at;
        settings[count++] = name;
        settings[count++] = argv[i + 1];
    }
}

static int run(struct product *product, const struct hob_runtime_options *options)
{
    struct hob_runtime *runtime;
    struct hob_error err;
    if (hob_runtime_new(options, &runtime, &err) || hob_runtime_start(runtime, &err)) {
        fprintf(stderr, "product: %s\n", err.message);
        hob_runtime_free(runtime); /* NULL, if it could not be made */
        return err.code == HOB_ECONFIG ? 2 : 1;
    }
    connect_now(product);
    while (turn(product, runtime))
        ;
    mosquitto_disconnect(product->client);
    hob_runtime_free(runtime);
    return 0;
}

static int usage(const char *program)
{
    fprintf(stderr,
            "usage: %s --config hob.conf.lua --host HOST --port PORT --id CLIENT-ID\n"
            "       [--cafile FILE [--cert FILE --key FILE]] [--NAME VALUE ...]\n",
            program);
    return 2;
}

int main(int argc, char **argv)
{
    static struct product product = {.host = "localhost", .port = 8883, .id = "product"};
    const char *settings[SETTINGS_MAX] = {NULL};
    struct hob_connection_options lent = {.size = sizeof lent,
                                          .publish = publish,
                                          .subscribe = subscribe,
                                          .unsubscribe = unsubscribe,
                                          .doubt = doubt,
                                          .description = "libmosquitto, TLS by OpenSSL",
                                          .user = &product};
    struct hob_runtime_options options = {
        .size = sizeof options, .settings = settings, .handle_signals = true};
    struct hob_error err;
    if (argc < 3 || argc % 2 == 0) /* each flag has its value */
        return usage(argv[0]);
    read_flags(&product, &options.config_file, settings, argc, argv);
    if (hob_connection_new(&lent, &product.connection, &err)) {
        fprintf(stderr, "product: %s\n", err.message);
        return 1;
    }
    options.connection = product.connection;
    mosquitto_lib_init();
    product.client = mosquitto_new(product.id, true, &product);
    int status = product.client ? run(&product, &options) : 1;
    hob_connection_free(product.connection);
    mosquitto_destroy(product.client);
    mosquitto_lib_cleanup();
    return status;
}
