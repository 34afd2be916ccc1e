#include "work/bench.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "work/handlers.h"
#include "work/outbox.h"
#include "work/output.h"
#include "work/requires.h"
#include "work/slot.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CLAIMED 2 /* the service's version of an execution that was claimed */

struct hob_bench {
    struct hob_bench_options options;
    char *scripts, *thing, *lib, *work_dir;
    struct hob_log *log;
    struct hob_log_tap tap;
    struct hob_store *store;
    struct hob_outbox *outbox;
    struct hob_outputs *outputs;
    struct hob_output_tap output_tap;
    struct hob_handlers *handlers;
    struct hob_slot *slot;
    struct hob_timer *turn; /* what must not happen inside the handler's own code */
    char boot_id[32], process_id[32];
    int boots;
    int executions;
    int64_t row; /* of the latest */
    int64_t queued_at;
    bool runs;                  /* begun, and nothing told on_state since */
    enum hob_bench_state state; /* to be told in `turn` */
};

/* ---- what the slot says ---- */

static void on_line(void *user, const struct hob_log_record *record, const char *line, size_t len)
{
    struct hob_bench *bench = user;
    bench->options.on_log(bench->options.user, line, len);
}

static void on_said(void *user, const char *text)
{
    struct hob_bench *bench = user;
    bench->options.on_said(bench->options.user, text);
}

static void on_output(void *user, const char *name, const char *program, bool is_err,
                      const char *data, size_t len)
{
    struct hob_bench *bench = user;
    bench->options.on_output(bench->options.user, is_err, data, len);
}

void hob_bench_tell(struct hob_bench *bench, const char *text, size_t len, struct hob_buf *answer)
{
    bench->options.on_tell(bench->options.user, text, len, answer);
}

/* ---- the power ---- */

static void another_boot(struct hob_bench *bench)
{
    bench->boots++;
    snprintf(bench->boot_id, sizeof bench->boot_id, "bench-boot-%d", bench->boots);
    snprintf(bench->process_id, sizeof bench->process_id, "bench-process-%d", bench->boots);
}

static void tell_state(void *user)
{
    struct hob_bench *bench = user;
    bench->runs = false;
    bench->options.on_state(bench->options.user, bench->state);
}

/* A restart of Hob is no boot; for the bench there is no difference that a handler could see, but
 * that job:reboot must not take it for one. */
static void change_ids(struct hob_bench *bench)
{
    char boot_id[sizeof bench->boot_id];
    snprintf(boot_id, sizeof boot_id, "%s", bench->boot_id);
    another_boot(bench);
    if (bench->state == HOB_BENCH_RESTARTED) {
        snprintf(bench->boot_id, sizeof bench->boot_id, "%s", boot_id);
    }
}

static void on_turn(void *user)
{
    struct hob_bench *bench = user;
    if (!bench->runs) {
        return;
    }
    if (bench->state == HOB_BENCH_ENDED) {
        tell_state(bench);
        return;
    }
    if (bench->state != HOB_BENCH_WAITS) {
        change_ids(bench);
    }
    hob_slot_cut(bench->slot, tell_state, bench);
}

static void come_to(struct hob_bench *bench, enum hob_bench_state state)
{
    bench->state = state;
    hob_timer_start(bench->turn, 0);
}

void hob_bench_cut(struct hob_bench *bench)
{
    come_to(bench, HOB_BENCH_CUT);
}

static void on_reboot(void *user, const char *reason)
{
    come_to(user, HOB_BENCH_REBOOTED);
}

static void on_restart(void *user, const char *reason)
{
    come_to(user, HOB_BENCH_RESTARTED);
}

static void on_sound(void *user)
{
    struct hob_bench *bench = user;
    if (hob_slot_state(bench->slot) == HOB_SLOT_WAITING) {
        come_to(bench, HOB_BENCH_WAITS);
    }
}

static void on_free(void *user)
{
    come_to(user, HOB_BENCH_ENDED);
}

/* ---- an execution ---- */

static struct hob_jobs_execution taken(const struct hob_bench *bench, const char *job_id,
                                       enum hob_jobs_status status)
{
    struct hob_jobs_execution execution = {.present = true, .status = status};
    snprintf(execution.job_id, sizeof execution.job_id, "%s", job_id);
    execution.execution_number = 1;
    execution.queued_at = bench->queued_at;
    execution.version_number = status == HOB_JOBS_QUEUED ? 1 : CLAIMED;
    return execution;
}

/* A device might wait, or refuse the job; here it is begun. */
static void say_requires(const struct hob_bench *bench)
{
    const struct hob_requires *requires = hob_slot_requires(bench->slot);
    struct hob_requires_facts facts = {.now_ms = hob_clock_wall_ms(),
                                       .queued_at_s = bench->queued_at,
                                       .directory = bench->work_dir};
    struct hob_requires_judgement judgement = {.verdict = HOB_REQUIRES_MET};
    if (requires) {
        hob_requires_judge(requires, &facts, &judgement);
    }
    if (judgement.verdict != HOB_REQUIRES_MET) {
        hob_log_event(bench->log, HOB_LOG_WARN, "bench.requires",
                      "on a device like this the job would %s: %s",
                      judgement.verdict == HOB_REQUIRES_NOT_YET ? "wait" : "be refused",
                      judgement.reason);
    }
}

static int add_and_run(struct hob_bench *bench, const char *document, size_t len,
                       const char *refusal, struct hob_error *err)
{
    int rc = hob_slot_add(bench->slot, document, len, err);
    if (rc) {
        return rc;
    }
    bench->row = hob_slot_row(bench->slot);
    bench->runs = true;
    if (refusal) {
        hob_slot_end(bench->slot, HOB_JOBS_REJECTED, refusal, "BAD_DOCUMENT");
        return 0;
    }
    rc = hob_slot_run(bench->slot, CLAIMED, err);
    bench->runs = rc == 0;
    return rc;
}

int hob_bench_begin(struct hob_bench *bench, const char *name, const char *document, size_t len,
                    struct hob_error *err)
{
    struct hob_error why = {0};
    char job_id[HOB_JOBS_ID_MAX + 1];
    const struct hob_handlers_entry *handler = hob_handlers_find(bench->handlers, name);
    if (!handler) {
        return hob_error_set(err, HOB_ENOENT, "no handler %s: there is no %s.lua in %s", name, name,
                             bench->scripts);
    }
    if (hob_slot_state(bench->slot) != HOB_SLOT_FREE) {
        return hob_error_set(err, HOB_EBUSY, "the bench runs a handler already");
    }
    snprintf(job_id, sizeof job_id, "bench-%d", ++bench->executions);
    bench->queued_at = hob_clock_wall_ms() / 1000;
    struct hob_jobs_execution execution = taken(bench, job_id, HOB_JOBS_QUEUED);
    hob_slot_take(bench->slot, &execution);
    int rc = hob_slot_prepare(bench->slot, handler, document, len, &why);
    if (hob_slot_is_passing(rc)) {
        hob_slot_release(bench->slot);
        *err = why;
        return rc;
    }
    say_requires(bench);
    return add_and_run(bench, document, len, rc == HOB_EREJECTED ? why.message : NULL, err);
}

const char *hob_bench_choose(struct hob_bench *bench, const char *document, size_t len,
                             struct hob_error *err)
{
    const struct hob_handlers_entry *handler = NULL;
    struct hob_json *json = NULL;
    if (hob_json_new(&json, err) == 0 && hob_json_parse(json, document, len, err) == 0) {
        if (document[strspn(document, " \t\r\n")] == '{') {
            handler = hob_handlers_choose(bench->handlers, json, err);
        } else {
            hob_error_set(err, HOB_EINVAL, "expected an object");
        }
    }
    hob_json_free(json);
    return handler ? handler->name : NULL;
}

/* ---- the next process finds it ---- */

static enum hob_slot_past past_of(const struct hob_bench *bench)
{
    return bench->state == HOB_BENCH_CUT ? HOB_SLOT_PAST_POWER : HOB_SLOT_PAST_ORDER;
}

static int prepare_known(struct hob_bench *bench, struct hob_store_execution *known,
                         struct hob_error *err)
{
    size_t len = known->document_len;
    char *document = hob_malloc(len + 1); /* the store's copy goes with its next call */
    if (!document) {
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    memcpy(document, known->document, len);
    document[len] = '\0';
    char name[HOB_HANDLER_NAME_MAX + 1];
    snprintf(name, sizeof name, "%s", known->handler);
    struct hob_jobs_execution execution = taken(bench, known->job_id, HOB_JOBS_IN_PROGRESS);
    known->resume_at_s = 0; /* its time has come at once */
    hob_slot_take(bench->slot, &execution);
    hob_slot_known(bench->slot, known, past_of(bench), "");
    const struct hob_handlers_entry *handler = hob_handlers_find(bench->handlers, name);
    int rc = hob_slot_prepare(bench->slot, handler, document, len, err);
    hob_free(document);
    if (hob_slot_is_passing(rc)) {
        hob_slot_release(bench->slot);
        return rc;
    }
    if (rc) {
        hob_slot_break(bench->slot, err->message);
    }
    return 0;
}

int hob_bench_go_on(struct hob_bench *bench, struct hob_error *err)
{
    struct hob_store_execution known;
    if (hob_slot_state(bench->slot) != HOB_SLOT_FREE || bench->state == HOB_BENCH_ENDED) {
        return hob_error_set(err, HOB_EINVAL, "there is nothing to go on with");
    }
    int rc = hob_store_get(bench->store, bench->row, &known, err);
    rc = rc ? rc : prepare_known(bench, &known, err);
    if (rc) {
        return rc;
    }
    bench->runs = true;
    rc = hob_slot_run(bench->slot, CLAIMED, err);
    bench->runs = rc == 0;
    return rc;
}

void hob_bench_cancel(struct hob_bench *bench, const char *who)
{
    if (bench->runs) {
        hob_slot_cancel(bench->slot, HOB_JOBS_IN_PROGRESS, who);
    }
}

/* ---- what is known ---- */

int hob_bench_execution(struct hob_bench *bench, struct hob_store_execution *out,
                        struct hob_error *err)
{
    return hob_store_get(bench->store, bench->row, out, err);
}

const char *hob_bench_lib(const struct hob_bench *bench)
{
    return bench->lib;
}

/* ---- life ---- */

static int open_log(struct hob_bench *bench, struct hob_error *err)
{
    struct hob_log_options options = {
        .level = HOB_LOG_DEBUG, .format = HOB_LOG_JSON, .target = "/dev/null"};
    int rc = hob_log_open(&options, &bench->log, err);
    if (rc == 0) {
        bench->tap = (struct hob_log_tap){
            .fn = on_line, .user = bench, .level = HOB_LOG_DEBUG, .format = HOB_LOG_JSON};
        hob_log_tap(bench->log, &bench->tap);
    }
    return rc;
}

static int open_store(struct hob_bench *bench, struct hob_error *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/hob.db", bench->options.data);
    struct hob_store_options options = {.path = path};
    int rc = hob_store_open(bench->log, &options, &bench->store, err);
    struct hob_outbox_options telling = {.loop = bench->options.loop,
                                         .log = bench->log,
                                         .store = bench->store,
                                         .thing = bench->thing};
    rc = rc ? rc : hob_outbox_new(&telling, &bench->outbox, err);
    snprintf(path, sizeof path, "%s/output", bench->options.data);
    struct hob_output_options output = {.dir = path};
    rc = rc ? rc : hob_outputs_new(bench->log, &output, &bench->outputs, err);
    if (rc == 0) {
        bench->output_tap = (struct hob_output_tap){.fn = on_output, .user = bench};
        hob_outputs_tap(bench->outputs, &bench->output_tap);
    }
    return rc;
}

static int load_handlers(struct hob_bench *bench, struct hob_error *err)
{
    struct hob_handlers_options options = {.loop = bench->options.loop,
                                           .log = bench->log,
                                           .scripts = bench->scripts,
                                           .lib = bench->lib};
    int rc = hob_handlers_new(&options, &bench->handlers, err);
    return rc ? rc : hob_handlers_load(bench->handlers, err);
}

static int open_slot(struct hob_bench *bench, struct hob_error *err)
{
    static const char *const never[] = {"false", NULL};
    struct hob_slot_options options = {.loop = bench->options.loop,
                                       .log = bench->log,
                                       .store = bench->store,
                                       .outbox = bench->outbox,
                                       .handlers = bench->handlers,
                                       .thing = bench->thing,
                                       .work_dir = bench->work_dir,
                                       .policy = bench->options.policy,
                                       .memory_bytes = bench->options.memory_bytes,
                                       .cpu_ms = bench->options.cpu_ms,
                                       .outputs = bench->outputs,
                                       .debugger = bench->options.debugger,
                                       .boot_id = bench->boot_id,
                                       .process_id = bench->process_id,
                                       .reboot_command = never,
                                       .timeout_ms = bench->options.timeout_ms,
                                       .cleanup_timeout_ms = bench->options.cleanup_timeout_ms,
                                       .bench = bench,
                                       .on_free = on_free,
                                       .on_sound = on_sound,
                                       .on_restart = on_restart,
                                       .on_reboot = on_reboot,
                                       .on_said = on_said,
                                       .user = bench};
    return hob_slot_new(&options, &bench->slot, err);
}

static int make(struct hob_bench *bench, struct hob_error *err)
{
    bench->scripts = hob_strdup(bench->options.scripts);
    bench->thing = hob_strdup(bench->options.thing);
    bench->lib = hob_strdup(bench->options.lib);
    bench->turn = hob_timer_new(bench->options.loop, on_turn, bench);
    if (hob_asprintf(&bench->work_dir, "%s/work", bench->options.data) < 0) {
        bench->work_dir = NULL;
    }
    if (!bench->scripts || !bench->thing || !bench->lib || !bench->turn || !bench->work_dir) {
        return hob_error_set(err, HOB_ENOMEM, "bench: out of memory");
    }
    another_boot(bench);
    int rc = open_log(bench, err);
    rc = rc ? rc : open_store(bench, err);
    rc = rc ? rc : load_handlers(bench, err);
    return rc ? rc : open_slot(bench, err);
}

int hob_bench_new(const struct hob_bench_options *options, struct hob_bench **out,
                  struct hob_error *err)
{
    struct hob_bench *bench = hob_calloc(1, sizeof *bench);
    if (!bench) {
        return hob_error_set(err, HOB_ENOMEM, "bench: out of memory");
    }
    bench->options = *options;
    int rc = make(bench, err);
    bench->options.scripts = bench->options.data = NULL; /* were borrowed for this call only */
    if (rc) {
        hob_bench_free(bench);
        return rc;
    }
    *out = bench;
    return 0;
}

void hob_bench_free(struct hob_bench *bench)
{
    if (!bench) {
        return;
    }
    hob_log_untap(bench->log, &bench->tap);
    hob_slot_free(bench->slot);
    hob_outbox_free(bench->outbox);
    if (bench->outputs) {
        hob_outputs_untap(bench->outputs, &bench->output_tap);
    }
    hob_outputs_free(bench->outputs);
    hob_handlers_free(bench->handlers);
    hob_store_close(bench->store);
    hob_timer_close(bench->turn);
    hob_log_close(bench->log);
    hob_free(bench->scripts);
    hob_free(bench->thing);
    hob_free(bench->lib);
    hob_free(bench->work_dir);
    hob_free(bench);
}
