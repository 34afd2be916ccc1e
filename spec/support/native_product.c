/* native_product.c - a product for spec/integration/native_spec.lua: one C handler and one function
 * for each thing that can become of them. What it does, it says in lines of JSON, as Hob's log has
 * them: {"event":"product.EVENT","text":"..."}.
 *
 * native_product CONFIG [without] [uv]
 *   without  it has registered nothing
 *   uv       it drives the runtime on a uv_loop_t of its own
 */
#define _GNU_SOURCE
#include <hob.h>

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

struct product {
    struct hob_runtime *runtime;
    bool on[8];
    struct hob_run *last; /* that has ended, or was cancelled */
    struct hob_call *kept;
    pthread_mutex_t lock;
    pthread_cond_t gone;
    int threads; /* that will say hob_post */
};

static void say(const char *event, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(const char *event, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *c = text; *c; c++) {
        *c = *c == '"' ? '\'' : *c;
    }
    fprintf(stderr, "{\"event\":\"product.%s\",\"text\":\"%s\"}\n", event, text);
}

/* ---- later, and from another thread ---- */

struct wait {
    struct product *product;
    void *of; /* a run or a call */
    void (*fn)(void *user);
    unsigned ms;
};

static void *wait_and_post(void *user)
{
    struct wait *wait = user;
    nanosleep(&(struct timespec){.tv_sec = wait->ms / 1000, .tv_nsec = wait->ms % 1000 * 1000000},
              NULL);
    struct product *product = wait->product;
    hob_post(product->runtime, wait->fn, wait); /* `wait` may be gone after it */
    pthread_mutex_lock(&product->lock);
    product->threads--;
    pthread_cond_signal(&product->gone);
    pthread_mutex_unlock(&product->lock);
    return NULL;
}

/* Nobody may say hob_post once the runtime is being freed. */
static void wait_for_threads(struct product *product)
{
    pthread_mutex_lock(&product->lock);
    while (product->threads > 0) {
        pthread_cond_wait(&product->gone, &product->lock);
    }
    pthread_mutex_unlock(&product->lock);
}

static void later(struct product *product, void *of, void (*fn)(void *user), unsigned ms)
{
    struct wait *wait = malloc(sizeof *wait);
    *wait = (struct wait){product, of, fn, ms};
    pthread_t thread;
    if (ms == 0) {
        hob_post(product->runtime, fn, wait);
        return;
    }
    pthread_mutex_lock(&product->lock);
    product->threads++;
    pthread_mutex_unlock(&product->lock);
    if (pthread_create(&thread, NULL, wait_and_post, wait)) {
        abort();
    }
    pthread_detach(thread);
}

/* ---- handlers ---- */

static void inside(void *user, struct hob_run *run)
{
    int64_t channel = -1;
    bool on = false;
    bool has_on = hob_run_arg_boolean(run, "on", &on);
    const char *text = "unset";
    double number = 0.5;
    char shown[32];
    hob_run_arg_integer(run, "channel", &channel);
    say("args", "%" PRId64 " %s string=%d %s number=%d", channel,
        has_on ? on ? "true" : "false" : "absent", hob_run_arg_string(run, "channel", &text), text,
        hob_run_arg_number(run, "channel", &number));
    snprintf(shown, sizeof shown, "%" PRId64, channel);
    hob_run_detail(run, "channel", shown);
    hob_run_succeed(run);
}

static void document(void *user, struct hob_run *run)
{
    size_t len = 0, json_len = 0;
    const char *text = hob_run_document(run, &len), *json = NULL, *name = "";
    double ratio = 0;
    int64_t whole = 0;
    hob_run_arg_string(run, "deep.name", &name);
    hob_run_arg_number(run, "ratio", &ratio);
    hob_run_arg_json(run, "list", &json, &json_len);
    say("document", "%s %zu=%zu %s #%" PRId64 " attempt %d", hob_run_thing(run), len, strlen(text),
        hob_run_job_id(run), hob_run_execution_number(run), hob_run_attempt(run));
    say("arguments", "%s %g %d %.*s", name, ratio, hob_run_arg_integer(run, "ratio", &whole),
        (int)json_len, json ? json : "");
    say("directory", "%s %d", hob_run_directory(run), access(hob_run_directory(run), W_OK));
    hob_run_succeed(run);
}

static void finish_run(void *user)
{
    struct wait *wait = user;
    hob_run_detail(wait->of, "how", wait->ms ? "thread" : "loop");
    hob_run_succeed(wait->of);
    free(wait);
}

static void on_loop(void *user, struct hob_run *run)
{
    later(user, run, finish_run, 0);
}

static void on_thread(void *user, struct hob_run *run)
{
    hob_run_progress(run, "half of it");
    later(user, run, finish_run, 30);
}

static void never(void *user, struct hob_run *run)
{
    struct product *product = user;
    product->last = run;
    hob_run_set_data(run, product);
    say("runs", "%s attempt %d", hob_run_job_id(run), hob_run_attempt(run));
}

static void too_late(void *user)
{
    struct wait *wait = user;
    hob_run_progress(wait->of, "nobody hears it");
    hob_run_succeed(wait->of);
    say("late", "%d %s.", hob_run_detail(wait->of, "a", "b"), hob_run_job_id(wait->of));
    free(wait);
}

static void cancelled(void *user, struct hob_run *run, const char *why)
{
    say("cancelled", "%s data=%d: %s", hob_run_job_id(run), hob_run_data(run) == user, why);
    hob_run_succeed(run);
    if (!strstr(why, "given up")) { /* else there may be no runtime by then */
        later(user, run, too_late, 20);
    }
}

static void fail(void *user, struct hob_run *run)
{
    hob_run_detail(run, "channel", "3");
    hob_run_fail(run, "RELAY_STUCK", "relay 3 does not move");
}

static void reject(void *user, struct hob_run *run)
{
    hob_run_reject(run, "there is no channel 9 here");
}

static void retry(void *user, struct hob_run *run)
{
    char attempt[16];
    if (hob_run_attempt(run) < 3) {
        hob_run_retry_later(run, 0.02, "the bus is busy");
        return;
    }
    snprintf(attempt, sizeof attempt, "%d", hob_run_attempt(run));
    hob_run_detail(run, "runs", attempt);
    hob_run_succeed(run);
}

static void bad_retry(void *user, struct hob_run *run)
{
    hob_run_retry_later(run, -1, "when it suits");
}

static void twice(void *user, struct hob_run *run)
{
    hob_run_succeed(run);
    hob_run_fail(run, "NEVER", "told twice");
    hob_run_retry_later(run, 1, "told thrice");
    later(user, run, too_late, 20);
}

static void details(void *user, struct hob_run *run)
{
    const char *names[] = {"reason", "a b", "one", "two", "one", "three", "four", "five"};
    char codes[256] = "";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t len = strlen(codes);
        snprintf(codes + len, sizeof codes - len, "%s=%s ", names[i],
                 hob_error_name(hob_run_detail(run, names[i], i == 4 ? "again" : names[i])));
    }
    say("details", "%s", codes);
    hob_run_succeed(run);
}

/* What no callback may do. */
static void free_inside(void *user, struct hob_run *run)
{
    hob_runtime_free(((struct product *)user)->runtime);
}

static void zero_bytes(void *user, struct hob_run *run)
{
    const char *text = "unset";
    bool has = hob_run_arg_string(run, "path", &text);
    say("zero", "%d %s", has, text);
    hob_run_succeed(run);
}

static void crash(void *user, struct hob_run *run)
{
    char attempt[16];
    if (hob_run_attempt(run) == 1) {
        raise(SIGKILL);
    }
    snprintf(attempt, sizeof attempt, "%d", hob_run_attempt(run));
    hob_run_detail(run, "runs", attempt);
    hob_run_succeed(run);
}

static void crashes(void *user, struct hob_run *run)
{
    say("crashes", "attempt %d", hob_run_attempt(run));
    raise(SIGKILL);
}

/* ---- functions ---- */

static void relay_set(void *user, struct hob_call *call)
{
    struct product *product = user;
    int64_t channel = 0;
    bool on = false;
    if (!hob_call_integer(call, 0, &channel) || !hob_call_boolean(call, 1, &on)) {
        return;
    }
    if (channel < 1 || channel > 8) {
        hob_call_fail(call, "ENOENT", "there is no such channel");
        return;
    }
    product->on[channel - 1] = on;
    say("set", "%" PRId64 " %d %s %s", channel, on, hob_call_thing(call), hob_call_job_id(call));
    hob_call_finish(call);
}

static void relay_get(void *user, struct hob_call *call)
{
    const struct product *product = user;
    int64_t channel = 0;
    if (hob_call_integer(call, 0, &channel)) {
        hob_call_return_boolean(call, product->on[(channel - 1) & 7]);
    }
}

static void finish_call(void *user)
{
    struct wait *wait = user;
    hob_call_return_string(wait->of, "pulsed", 6);
    hob_call_finish(wait->of);
    hob_call_finish(wait->of);
    free(wait);
}

static void call_cancelled(void *user, struct hob_call *call)
{
    say("call_cancelled", "%s data=%d", hob_call_job_id(call), hob_call_data(call) == user);
}

/* pulse(ms) */
static void relay_pulse(void *user, struct hob_call *call)
{
    int64_t ms = 0;
    hob_call_set_data(call, user);
    hob_call_later(call, call_cancelled);
    if (hob_call_integer(call, 0, &ms) && ms >= 0) {
        later(user, call, finish_call, (unsigned)ms);
    }
}

static void fail_call(void *user)
{
    struct wait *wait = user;
    hob_call_fail(wait->of, "ETIMEDOUT", "no answer from the relay");
    hob_call_finish(wait->of);
    free(wait);
}

static void relay_fail_later(void *user, struct hob_call *call)
{
    hob_call_later(call, NULL);
    later(user, call, fail_call, 0);
}

/* hang(): never ends. wake(): ends it all the same, if it is not too late */
static void relay_hang(void *user, struct hob_call *call)
{
    ((struct product *)user)->kept = call;
    hob_call_set_data(call, user);
    hob_call_later(call, call_cancelled);
    say("hangs", "%s", hob_call_job_id(call));
}

static void relay_wake(void *user, struct hob_call *call)
{
    struct product *product = user;
    hob_call_return_string(call, hob_call_job_id(product->kept),
                           strlen(hob_call_job_id(product->kept)));
    hob_call_return_integer(call, hob_call_return_nil(product->kept));
    hob_call_finish(product->kept);
}

static void relay_free(void *user, struct hob_call *call)
{
    hob_runtime_free(((struct product *)user)->runtime);
}

static void relay_raise(void *user, struct hob_call *call)
{
    hob_call_raise(call, "not while the door is open");
}

static void relay_nothing(void *user, struct hob_call *call) {}

static void answer_forgotten(void *user)
{
    struct wait *wait = user;
    say("forgotten", "%s %s.", hob_error_name(hob_call_return_nil(wait->of)),
        hob_call_job_id(wait->of));
    hob_call_finish(wait->of);
    free(wait);
}

/* forget(): it answers later, and never said so */
static void relay_forget(void *user, struct hob_call *call)
{
    later(user, call, answer_forgotten, 0);
}

/* huge(): lengths that there cannot be; -1 is what a failed read() gives */
static void relay_huge(void *user, struct hob_call *call)
{
    int whole = hob_call_return_string(call, "x", 1);
    int string = hob_call_return_string(call, "x", (size_t)-1);
    int json = hob_call_return_json(call, "1", (size_t)-1);
    say("huge", "%s %s %s", hob_error_name(whole), hob_error_name(string), hob_error_name(json));
}

/* echo(value, ...): what the arguments are, and the first one by way of JSON */
static void relay_echo(void *user, struct hob_call *call)
{
    char types[128] = "";
    const char *json = NULL;
    size_t len = 0;
    for (size_t i = 0; i < hob_call_count(call); i++) {
        size_t n = strlen(types);
        snprintf(types + n, sizeof types - n, "%d", (int)hob_call_type(call, i));
    }
    if (hob_call_json(call, 0, &json, &len)) {
        hob_call_return_json(call, json, len);
        hob_call_return_string(call, types, strlen(types));
        hob_call_return_string(call, json, len);
    }
}

static void relay_values(void *user, struct hob_call *call)
{
    hob_call_return_nil(call);
    hob_call_return_boolean(call, true);
    hob_call_return_integer(call, INT64_MAX);
    hob_call_return_number(call, 0.25);
    hob_call_return_string(call, "a\0b", 3);
}

static void relay_bad_json(void *user, struct hob_call *call)
{
    hob_call_return_json(call, "{nonsense", 9);
}

/* many(): how it is refused to give back too much */
static void relay_many(void *user, struct hob_call *call)
{
    int code = 0, count = 0;
    while (code == 0) {
        code = hob_call_return_integer(call, ++count);
    }
    say("many", "%d %s", count, hob_error_name(code));
}

/* any(i, kind): reads argument 1 as `kind` */
static void relay_read(void *user, struct hob_call *call)
{
    const char *kind = "", *text = "";
    int64_t integer = 0;
    double number = 0;
    if (!hob_call_string(call, 1, &kind, NULL)) {
        return;
    } else if (strcmp(kind, "integer") == 0 && hob_call_integer(call, 0, &integer)) {
        hob_call_return_integer(call, integer);
    } else if (strcmp(kind, "number") == 0 && hob_call_number(call, 0, &number)) {
        hob_call_return_number(call, number);
    } else if (strcmp(kind, "string") == 0 && hob_call_string(call, 0, &text, NULL)) {
        hob_call_return_string(call, text, strlen(text));
    }
}

/* ---- the product ---- */

static const struct hob_function functions[] = {{"set", relay_set},
                                                {"get", relay_get},
                                                {"pulse", relay_pulse},
                                                {"fail_later", relay_fail_later},
                                                {"hang", relay_hang},
                                                {"wake", relay_wake},
                                                {"raise", relay_raise},
                                                {"nothing", relay_nothing},
                                                {"forget", relay_forget},
                                                {"huge", relay_huge},
                                                {"echo", relay_echo},
                                                {"values", relay_values},
                                                {"bad_json", relay_bad_json},
                                                {"many", relay_many},
                                                {"read", relay_read},
                                                {"free", relay_free},
                                                {NULL, NULL}};

static int add_all(struct product *product, struct hob_error *err)
{
    const char *args = "{\"channel\":[\"integer\",{\"min\":1,\"max\":8}],\"on\":\"boolean?\"}";
    const struct hob_handler handlers[] = {
        {.name = "inside", .run = inside, .args = args, .description = "Ends inside \"run\""},
        {.name = "document", .run = document},
        {.name = "on-loop", .run = on_loop},
        {.name = "on-thread", .run = on_thread},
        {.name = "never", .run = never, .cancel = cancelled},
        {.name = "silent", .run = never},
        {.name = "short", .run = never, .cancel = cancelled, .timeout_s = 0.2},
        {.name = "fail", .run = fail},
        {.name = "reject", .run = reject},
        {.name = "retry", .run = retry},
        {.name = "retry-once", .run = retry, .max_runs = 2},
        {.name = "bad-retry", .run = bad_retry},
        {.name = "twice", .run = twice},
        {.name = "details", .run = details},
        {.name = "free", .run = free_inside},
        {.name = "zero", .run = zero_bytes},
        {.name = "zero-args", .run = zero_bytes, .args = "{\"path\":\"string\"}"},
        {.name = "crash", .run = crash},
        {.name = "crashes", .run = crashes}};
    int rc = 0;
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers && rc == 0; i++) {
        struct hob_handler handler = handlers[i];
        handler.size = sizeof handler;
        handler.user = product;
        rc = hob_runtime_add_handler(product->runtime, &handler, err);
    }
    struct hob_module module = {
        .size = sizeof module, .name = "acme.relay", .functions = functions, .user = product};
    return rc ? rc : hob_runtime_add_module(product->runtime, &module, err);
}

static void try_late(struct product *product)
{
    struct hob_handler handler = {.size = sizeof handler, .name = "late", .run = never};
    struct hob_module module = {.size = sizeof module, .name = "late", .functions = functions};
    struct hob_error err = {0};
    int one = hob_runtime_add_module(product->runtime, &module, NULL);
    int other = hob_runtime_add_handler(product->runtime, &handler, &err);
    say("busy", "%s %s %s", hob_error_name(one), hob_error_name(other), err.message);
}

static bool has_word(int argc, char **argv, const char *word)
{
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], word) == 0) {
            return true;
        }
    }
    return false;
}

static void drive(struct product *product, uv_loop_t *loop)
{
    if (loop) {
        uv_run(loop, UV_RUN_DEFAULT);
    } else {
        hob_runtime_run(product->runtime);
    }
}

int main(int argc, char **argv)
{
    struct product product = {.lock = PTHREAD_MUTEX_INITIALIZER, .gone = PTHREAD_COND_INITIALIZER};
    struct hob_error err = {0};
    uv_loop_t *loop = has_word(argc, argv, "uv") ? uv_default_loop() : NULL;
    struct hob_runtime_options options = {.size = sizeof options,
                                          .config_file = argc > 1 ? argv[1] : NULL,
                                          .handle_signals = true,
                                          .uv_loop = loop};
    int rc = hob_runtime_new(&options, &product.runtime, &err);
    if (rc == 0 && !has_word(argc, argv, "without")) {
        rc = add_all(&product, &err);
    }
    rc = rc ? rc : hob_runtime_start(product.runtime, &err);
    if (rc) {
        fprintf(stderr, "product: %s (%s)\n", err.message, hob_error_name(err.code));
    } else {
        try_late(&product);
        drive(&product, loop);
    }
    wait_for_threads(&product);
    hob_runtime_free(product.runtime);
    return rc ? 1 : 0;
}
