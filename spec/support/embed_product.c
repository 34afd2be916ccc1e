/* embed_product.c - a product for spec/integration/embed_*_spec.lua: one or two runtimes in one
 * process, driven in each of the ways that hob.h has. What it hears of them it says on stderr, in
 * lines of JSON as Hob's log has them: {"event":"product.job_ended","runtime":1,...}.
 *
 * embed_product CONFIG WORD...
 *  - run, poll, uv: how it is driven; by this program's own poll(), or its uv_loop_t
 *  - second=CONFIG: another runtime, on the same thread (poll and uv)
 *  - fifo=FILE: made; each line of it is a command, posted by a thread that reads
 *  - nofile: CONFIG is not used; endpoint= port= thing= ca= cert= key= scripts= data= no_tls
 *  - set=NAME=VALUE: one more of `settings`
 *  - header=none, older, newer, newer-set: as a program compiled with another hob.h
 *  - log, observe, reboot, reboot=fail, restart, signals, no_control, never_start
 *  - decide=accept, defer, refuse: from the beginning
 * Commands: [2:]stop [WHY], reload, drain on|off [WHY], cancel JOB [WHO], decide WORD [REASON],
 * quit, endless, reconsider, add THING [NAME=VALUE...], remove THING, status THING, posts N, free,
 * start, wakes
 */
#define _GNU_SOURCE
#include <hob.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#define PAIRS 64

struct product {
    int number;
    struct hob_runtime *runtime;
    struct hob_runtime_options options;
    const char *settings[2 * PAIRS + 1];
    size_t setting_count;
    enum hob_decision decision;
    char reason[200], watched[129];
    const char *header; /* none, older, newer, newer-set; "": this one */
    bool observes, reboot_fails, never_start, has_decide;
    int posted;
};

static struct product products[2];
static pthread_t main_thread;
static uv_loop_t loop;
static unsigned long wakes; /* of poll() */

/* ---- saying ---- */

static void put_quoted(const char *text)
{
    putc('"', stderr);
    for (const char *c = text ? text : ""; *c; c++) {
        if (*c == '"' || *c == '\\') {
            putc('\\', stderr);
        }
        putc((unsigned char)*c < ' ' ? ' ' : *c, stderr);
    }
    putc('"', stderr);
}

/* Name, text, ..., NULL. */
static void say(const struct product *product, const char *event, ...)
{
    va_list args;
    const char *name;
    flockfile(stderr);
    fprintf(stderr, "{\"event\":\"product.%s\",\"runtime\":%d,\"thread\":\"%s\"", event,
            product->number, pthread_equal(pthread_self(), main_thread) ? "main" : "other");
    va_start(args, event);
    while ((name = va_arg(args, const char *)) != NULL) {
        fprintf(stderr, ",\"%s\":", name);
        put_quoted(va_arg(args, const char *));
    }
    va_end(args);
    fputs("}\n", stderr);
    funlockfile(stderr);
}

static void say_result(const struct product *product, const char *what, int rc,
                       const struct hob_error *err)
{
    say(product, "result", "of", what, "code", rc ? hob_error_name(rc) : "OK", "text",
        rc && err ? err->message : "", NULL);
}

/* ---- what the runtime calls ---- */

static void on_up(void *user, const char *thing)
{
    say(user, "connection_up", "thing", thing, NULL);
}

static void on_down(void *user, const char *thing, const struct hob_error *why)
{
    say(user, "connection_down", "thing", thing, "code", hob_error_name(why->code), "text",
        why->message, NULL);
}

static void say_job(const struct product *product, const char *what,
                    const struct hob_job_event *event)
{
    char number[32];
    snprintf(number, sizeof number, "%" PRId64, event->execution_number);
    say(product, what, "thing", event->thing, "job", event->job_id, "number", number, "handler",
        event->handler, "status", event->status, "code", event->code, "text", event->text, NULL);
}

#define JOB_CALLBACK(what)                                                                         \
    static void on_##what(void *user, const struct hob_job_event *event)                           \
    {                                                                                              \
        say_job(user, #what, event);                                                               \
    }
JOB_CALLBACK(job_offered)
JOB_CALLBACK(job_started)
JOB_CALLBACK(job_progress)
JOB_CALLBACK(update_accepted)
JOB_CALLBACK(second_observer)

static void on_reloaded(void *user, const char *handler)
{
    say(user, "handler_reloaded", "handler", handler, NULL);
}

/* Observers may call the runtime, and add others. */
static void on_ended(void *user, const struct hob_job_event *event)
{
    struct product *product = user;
    say_job(product, "job_ended", event);
    struct hob_thing_status status = {.size = sizeof status};
    say_result(product, "status inside",
               hob_runtime_thing_status(product->runtime, event->thing, &status), NULL);
    if (strcmp(event->job_id, "adds") == 0) {
        const struct hob_observer second = {
            .size = sizeof second, .job_ended = on_second_observer, .user = product};
        say_result(product, "observe inside", hob_runtime_observe(product->runtime, &second), NULL);
    }
    if (strcmp(event->job_id, "stops") == 0) {
        hob_runtime_stop(product->runtime, "an observer wants it", NULL, NULL);
    }
}

static enum hob_decision decide(void *user, struct hob_offer *offer)
{
    struct product *product = user;
    size_t len = 0;
    const char *document = hob_offer_document(offer, &len);
    char number[32];
    snprintf(number, sizeof number, "%" PRId64, hob_offer_execution_number(offer));
    say(product, "decides", "thing", hob_offer_thing(offer), "job", hob_offer_job_id(offer),
        "number", number, "handler", hob_offer_handler(offer), "document",
        len == strlen(document) ? document : "of another length", NULL);
    if (product->reason[0]) {
        hob_offer_set_reason(offer, product->reason);
    }
    return product->decision;
}

static int on_reboot(void *user, const char *reason, struct hob_error *err)
{
    struct product *product = user;
    say(product, "reboot", "text", reason, NULL);
    if (product->reboot_fails) {
        snprintf(err->message, sizeof err->message, "the watchdog does not let go");
        return HOB_EPERM;
    }
    return 0;
}

static void on_stopped(void *user)
{
    say(user, "stopped", NULL);
}

static void on_removed(void *user)
{
    say(user, "removed", NULL);
}

static void on_restart(void *user, const char *reason)
{
    say(user, "restart", "text", reason, NULL);
}

static void one_post(void *user)
{
    struct product *product = user;
    product->posted++;
}

static void on_log(void *user, const struct hob_log_line *line)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    struct product *product = user;
    char len[32];
    hob_post(product->runtime, one_post, product); /* there is none yet inside hob_runtime_new */
    snprintf(len, sizeof len, "%s", strlen(line->line) == line->len ? "fits" : "does not fit");
    say(user, "log", "of", line->event, "severity", names[line->severity], "thing",
        line->thing ? line->thing : "", "job", line->job ? line->job : "", "line", line->line,
        "len", len, NULL);
}

/* ---- commands ---- */

struct command {
    struct product *product;
    char line[512];
};

static void say_count(const struct product *product, const char *what, unsigned long count)
{
    char text[32];
    snprintf(text, sizeof text, "%lu", count);
    say(product, what, "count", text, NULL);
}

static void say_posted(void *user)
{
    const struct product *product = user;
    say_count(product, "posted", (unsigned long)product->posted);
}

/* Until it is refused. */
static void post_again(void *user)
{
    const struct product *product = user;
    int code = hob_post(product->runtime, post_again, user);
    if (code) {
        say(product, "refused", "code", hob_error_name(code), NULL);
    }
}

static void *post_many(void *user)
{
    const struct command *command = user;
    int count = atoi(command->line);
    for (int i = 0; i < count; i++) {
        hob_post(command->product->runtime, one_post, command->product);
    }
    hob_post(command->product->runtime, say_posted, command->product);
    return NULL;
}

static void post_from_threads(struct product *product, const char *count)
{
    struct command command = {.product = product};
    pthread_t threads[4];
    snprintf(command.line, sizeof command.line, "%s", count);
    for (int i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, post_many, &command);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
}

static enum hob_decision decision_of(const char *word)
{
    return strcmp(word, "defer") == 0    ? HOB_DEFER
           : strcmp(word, "refuse") == 0 ? HOB_REFUSE
                                         : HOB_ACCEPT;
}

static void add_thing(struct product *product, char *words)
{
    const char *settings[2 * PAIRS + 1] = {0};
    struct hob_error err = {0};
    size_t count = 0;
    char *save = NULL, *name = strtok_r(words, " ", &save), *word;
    while ((word = strtok_r(NULL, " ", &save)) != NULL && count < 2 * PAIRS) {
        char *equals = strchr(word, '=');
        *equals = '\0';
        settings[count++] = word;
        settings[count++] = equals + 1;
    }
    const struct hob_thing_settings thing = {
        .size = sizeof thing, .thing_name = name, .settings = settings};
    int rc = hob_runtime_add_thing(product->runtime, &thing, &err);
    say_result(product, "add", rc, &err);
}

static void say_status(struct product *product, const char *thing)
{
    struct hob_thing_status status = {.size = sizeof status};
    char running[32], untold[32];
    int rc = hob_runtime_thing_status(product->runtime, thing, &status);
    if (rc) {
        say_result(product, "status", rc, NULL);
        return;
    }
    snprintf(running, sizeof running, "%zu", status.running);
    snprintf(untold, sizeof untold, "%zu", status.untold);
    say(product, "status", "thing", thing, "online", status.online ? "yes" : "no", "why",
        status.why, "running", running, "untold", untold, NULL);
}

/* In each turn, until it is gone. */
static void watch(void *user)
{
    struct product *product = user;
    struct hob_thing_status status = {.size = sizeof status};
    int rc = hob_runtime_thing_status(product->runtime, product->watched, &status);
    if (rc) {
        say_result(product, "watch", rc, NULL);
    } else {
        hob_post(product->runtime, watch, product);
    }
}

static void change(struct product *product, const char *name, char *rest)
{
    struct hob_runtime *runtime = product->runtime;
    struct hob_error err = {0};
    char *second = rest + strcspn(rest, " ");
    if (*second) {
        *second++ = '\0';
    }
    if (strcmp(name, "reload") == 0) {
        say_result(product, name, hob_runtime_reload(runtime, &err), &err);
    } else if (strcmp(name, "drain") == 0) {
        int rc = hob_runtime_drain(runtime, strcmp(rest, "on") == 0, second, &err);
        say_result(product, name, rc, &err);
    } else if (strcmp(name, "cancel") == 0) {
        say_result(product, name, hob_runtime_cancel(runtime, NULL, rest, second, &err), &err);
    } else if (strcmp(name, "remove") == 0) {
        int rc = hob_runtime_remove_thing(runtime, rest, on_removed, product, &err);
        snprintf(product->watched, sizeof product->watched, "%s", rest);
        watch(product);
        say_result(product, name, rc, &err);
    } else if (strcmp(name, "decide") == 0) {
        product->decision = decision_of(rest);
        snprintf(product->reason, sizeof product->reason, "%s", second);
        hob_runtime_decide(runtime, decide, product);
    } else if (strcmp(name, "start") == 0) {
        say_result(product, name, hob_runtime_start(runtime, &err), &err);
    } else {
        say(product, "no_command", "text", name, NULL);
    }
}

static void do_command(void *user)
{
    struct command *command = user;
    struct product *product = command->product;
    char *rest = command->line + strcspn(command->line, " ");
    if (*rest) {
        *rest++ = '\0';
    }
    const char *name = command->line;
    say(product, "command", "text", name, NULL);
    if (strcmp(name, "stop") == 0) {
        hob_runtime_stop(product->runtime, rest, on_stopped, product);
    } else if (strcmp(name, "reconsider") == 0) {
        hob_runtime_reconsider(product->runtime);
    } else if (strcmp(name, "add") == 0) {
        add_thing(product, rest);
    } else if (strcmp(name, "status") == 0) {
        say_status(product, rest);
    } else if (strcmp(name, "posts") == 0) {
        post_from_threads(product, rest);
    } else if (strcmp(name, "endless") == 0) {
        post_again(product);
    } else if (strcmp(name, "free") == 0) {
        hob_runtime_free(product->runtime);
    } else if (strcmp(name, "wakes") == 0) {
        say_count(product, "wakes", wakes);
    } else {
        change(product, name, rest);
    }
    free(command);
}

static void *read_commands(void *user)
{
    FILE *fifo = fdopen(open(user, O_RDWR | O_CLOEXEC), "r");
    char line[512];
    while (fifo && fgets(line, sizeof line, fifo)) {
        struct command *command = calloc(1, sizeof *command);
        bool of_second = strncmp(line, "2:", 2) == 0;
        command->product = &products[of_second];
        line[strcspn(line, "\n")] = '\0';
        snprintf(command->line, sizeof command->line, "%s", line + (of_second ? 2 : 0));
        if (strcmp(command->line, "quit") == 0) {
            free(command);
            break; /* nobody posts any more */
        }
        if (command->product->runtime) {
            hob_post(command->product->runtime, do_command, command);
        } else {
            free(command);
        }
    }
    if (fifo) {
        fclose(fifo);
    }
    return NULL;
}

/* ---- made ---- */

static void take_setting(struct product *product, char *pair)
{
    char *equals = strchr(pair, '=');
    if (equals) {
        *equals = '\0';
    }
    product->settings[product->setting_count++] = pair;
    product->settings[product->setting_count++] = equals ? equals + 1 : NULL;
}

static bool take_text(struct product *product, const char *word)
{
    struct hob_runtime_options *options = &product->options;
    const struct {
        const char *name;
        const char **slot;
    } texts[] = {{"endpoint=", &options->endpoint},
                 {"thing=", &options->thing_name},
                 {"ca=", &options->ca},
                 {"cert=", &options->cert},
                 {"key=", &options->key},
                 {"scripts=", &options->scripts},
                 {"data=", &options->data},
                 {"lib=", &options->lib_dir},
                 {"modules=", &options->module_dir}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t len = strlen(texts[i].name);
        if (strncmp(word, texts[i].name, len) == 0) {
            *texts[i].slot = word + len;
            return true;
        }
    }
    return false;
}

static void take_word(struct product *product, char *word)
{
    struct hob_runtime_options *options = &product->options;
    if (strncmp(word, "set=", 4) == 0) {
        take_setting(product, word + 4);
    } else if (strncmp(word, "port=", 5) == 0) {
        options->port = atoi(word + 5);
    } else if (strncmp(word, "decide=", 7) == 0) {
        product->decision = decision_of(word + 7);
        product->has_decide = true;
    } else if (strncmp(word, "header=", 7) == 0) {
        product->header = word + 7;
    } else if (strcmp(word, "nofile") == 0) {
        options->config_file = NULL;
    } else if (!take_text(product, word)) {
        options->no_tls = options->no_tls || strcmp(word, "no_tls") == 0;
        options->handle_signals = options->handle_signals || strcmp(word, "signals") == 0;
        options->no_control = options->no_control || strcmp(word, "no_control") == 0;
        options->log = strcmp(word, "log") == 0 ? on_log : options->log;
        options->reboot = strncmp(word, "reboot", 6) == 0 ? on_reboot : options->reboot;
        options->restart = strcmp(word, "restart") == 0 ? on_restart : options->restart;
        product->reboot_fails = product->reboot_fails || strcmp(word, "reboot=fail") == 0;
        product->observes = product->observes || strcmp(word, "observe") == 0;
        product->never_start = product->never_start || strcmp(word, "never_start") == 0;
    }
}

/* As a program would that was compiled with another hob.h. */
static int make_runtime(struct product *product, struct hob_error *err)
{
    struct {
        struct hob_runtime_options options;
        char tail[32];
    } newer = {.options = product->options};
    if (strcmp(product->header, "none") == 0) {
        newer.options.size = 0;
    } else if (strcmp(product->header, "older") == 0) {
        newer.options.size = offsetof(struct hob_runtime_options, reboot);
    } else if (*product->header) {
        newer.options.size = sizeof newer;
        newer.tail[31] = strcmp(product->header, "newer-set") == 0;
    }
    return hob_runtime_new(&newer.options, &product->runtime, err);
}

static int make(struct product *product, int number, const char *config, int count, char **words,
                uv_loop_t *uv)
{
    struct hob_error err = {0};
    *product = (struct product){.number = number,
                                .header = "",
                                .options = {.size = sizeof product->options,
                                            .config_file = config,
                                            .uv_loop = uv,
                                            .user = product}};
    for (int i = 0; i < count; i++) {
        take_word(product, words[i]);
    }
    product->options.settings = product->settings;
    int rc = make_runtime(product, &err);
    say_result(product, "new", rc, &err);
    return rc;
}

static int begin(struct product *product)
{
    struct hob_error err = {0};
    const struct hob_observer observer = {.size = sizeof observer,
                                          .connection_up = on_up,
                                          .connection_down = on_down,
                                          .job_offered = on_job_offered,
                                          .job_started = on_job_started,
                                          .job_progress = on_job_progress,
                                          .job_ended = on_ended,
                                          .update_accepted = on_update_accepted,
                                          .handler_reloaded = on_reloaded,
                                          .user = product};
    if (product->observes) {
        hob_runtime_observe(product->runtime, &observer);
    }
    if (product->has_decide) {
        hob_runtime_decide(product->runtime, decide, product);
    }
    int rc = product->never_start ? 0 : hob_runtime_start(product->runtime, &err);
    say_result(product, "start", rc, &err);
    return rc;
}

/* ---- driven ---- */

static void drive_by_poll(int count)
{
    struct pollfd fds[2];
    bool alive[2] = {true, count > 1};
    while (alive[0] || alive[1]) {
        int timeout = -1;
        for (int i = 0; i < count; i++) {
            int one = alive[i] ? hob_runtime_timeout_ms(products[i].runtime) : -1;
            timeout = one >= 0 && (timeout < 0 || one < timeout) ? one : timeout;
            fds[i] = (struct pollfd){.fd = alive[i] ? hob_runtime_fd(products[i].runtime) : -1,
                                     .events = POLLIN};
        }
        if (poll(fds, (nfds_t)count, timeout) < 0 && errno != EINTR) {
            abort();
        }
        for (int i = 0; i < count; i++) {
            alive[i] = alive[i] && hob_runtime_dispatch(products[i].runtime);
        }
        wakes++;
    }
}

static void drive(const char *how, int count)
{
    if (strcmp(how, "uv") == 0) {
        uv_run(&loop, UV_RUN_DEFAULT);
    } else if (strcmp(how, "poll") == 0) {
        drive_by_poll(count);
    } else {
        int rc = hob_runtime_run(products[0].runtime);
        say_result(&products[0], "run", rc, NULL);
    }
}

/* ---- the whole ---- */

static const char *word_of(int argc, char **argv, const char *prefix)
{
    for (int i = 2; i < argc; i++) {
        if (strncmp(argv[i], prefix, strlen(prefix)) == 0) {
            return argv[i] + strlen(prefix);
        }
    }
    return NULL;
}

static bool has_word(int argc, char **argv, const char *word)
{
    const char *rest = word_of(argc, argv, word);
    return rest && !*rest;
}

static int live(int argc, char **argv, const char *how, uv_loop_t *uv)
{
    const char *second = word_of(argc, argv, "second="), *fifo = word_of(argc, argv, "fifo=");
    pthread_t reader;
    int count = second ? 2 : 1;
    if (make(&products[0], 1, argv[1], argc - 2, argv + 2, uv)) {
        return 1;
    }
    if (second && make(&products[1], 2, second, argc - 2, argv + 2, uv)) {
        hob_runtime_free(products[0].runtime);
        return 1;
    }
    if (fifo && ((mkfifo(fifo, 0600) && errno != EEXIST) ||
                 pthread_create(&reader, NULL, read_commands, (void *)fifo))) {
        return 1;
    }
    int rc = begin(&products[0]);
    rc = rc || !second ? rc : begin(&products[1]);
    if (rc == 0) {
        drive(how, count);
    }
    say(&products[0], "driven", NULL);
    if (fifo && rc == 0) {
        pthread_join(reader, NULL);
    }
    for (int i = 0; i < count; i++) {
        hob_runtime_free(products[i].runtime);
    }
    say(&products[0], "freed", NULL);
    return rc ? 1 : 0;
}

int main(int argc, char **argv)
{
    setvbuf(stderr, NULL, _IOLBF, 65536);
    main_thread = pthread_self();
    const char *how = has_word(argc, argv, "uv")     ? "uv"
                      : has_word(argc, argv, "poll") ? "poll"
                                                     : "run";
    uv_loop_init(&loop);
    uv_loop_t *uv = strcmp(how, "uv") == 0 ? &loop : NULL;
    int status = live(argc, argv, how, uv);
    int rc = uv_loop_close(&loop);
    if (rc) {
        say(&products[0], "loop_left", "text", uv_strerror(rc), NULL);
    }
    return rc ? 3 : status;
}
