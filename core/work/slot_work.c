/* slot_work.c - the job in a slot: made, watched while it works, ended; and what it takes that the
 * store cannot be written. */
#include "base/alloc.h"
#include "work/slot.h"

#include "device/policy.h"
#include "work/blackbox.h"
#include "work/output.h"
#include "work/slot_parts.h"
#include "work/tally.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define STORE_RETRY_MS 2000

/* ---- the store: said once when it fails, and once when that is over ---- */

void hob_slot_store_failed(struct hob_slot *slot, const struct hob_error *err)
{
    struct hob_log_record record = hob_slot_record(slot, HOB_LOG_ERROR, "store.failed");
    if (slot->store_failing) {
        record.level = HOB_LOG_DEBUG;
        record.event = "store.failed_again";
    }
    slot->store_failing = true;
    record.code = hob_error_name(err->code);
    record.action = "no job is taken or ended until the store can be written again";
    hob_log_write(slot->options.log, &record, "%s", err->message);
}

void hob_slot_store_works(struct hob_slot *slot)
{
    if (!slot->store_failing) {
        return;
    }
    slot->store_failing = false;
    struct hob_log_record record = hob_slot_record(slot, HOB_LOG_INFO, "store.works");
    hob_log_write(slot->options.log, &record, "the store can be written again");
}

void hob_slot_try_commit(void *user)
{
    struct hob_slot *slot = user;
    struct hob_error err = {0};
    int rc = slot->commit ? slot->commit(slot, &err) : HOB_EEXIST;
    if (!slot->commit) {
        return;
    }
    if (rc && rc != HOB_EEXIST) {
        hob_slot_store_failed(slot, &err);
        hob_timer_start(slot->store_retry, STORE_RETRY_MS);
        return;
    }
    hob_slot_store_works(slot);
    void (*committed)(struct hob_slot *) = slot->committed;
    slot->commit = NULL;
    committed(slot);
}

void hob_slot_commit(struct hob_slot *slot, hob_slot_commit_fn *commit,
                     void (*committed)(struct hob_slot *slot))
{
    slot->commit = commit;
    slot->committed = committed;
    hob_timer_stop(slot->store_retry);
    hob_slot_try_commit(slot);
}

void hob_slot_uncommit(struct hob_slot *slot)
{
    slot->commit = NULL;
    hob_timer_stop(slot->store_retry);
}

/* ---- its directory ---- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    return remove(path);
}

void hob_slot_remove_dir(const struct hob_slot *slot)
{
    if (slot->dir) {
        nftw(slot->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
}

int hob_slot_own_directory(const char *path, struct hob_error *err)
{
    struct stat info;
    if (mkdir(path, 0700) == 0 ||
        (errno == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode))) {
        return 0;
    }
    return hob_error_set(err, hob_error_from_errno(errno), "work directory %s: %s", path,
                         strerror(errno));
}

static int name_dir(struct hob_slot *slot, struct hob_error *err)
{
    hob_free(slot->dir);
    /* No thing's name has an @, so two things never share one. */
    slot->dir = NULL;
    if (hob_asprintf(&slot->dir, "%s/%s@%s-%lld-%lld", slot->options.work_dir, slot->options.thing,
                     slot->job_id, (long long)slot->execution_number,
                     (long long)slot->queued_at) < 0) {
        slot->dir = NULL;
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    return 0;
}

/* An earlier run may have left it. */
static int on_job_dir(void *user, struct hob_error *err)
{
    struct hob_slot *slot = user;
    int rc = hob_slot_own_directory(slot->dir, err);
    return rc ? rc : hob_policy_give(slot->options.policy, slot->dir, err);
}

/* ---- the black box, and what its programs print ---- */

void hob_slot_on_start(void *user, uint64_t out, uint64_t err)
{
    struct hob_slot *slot = user;
    hob_blackbox_starts(slot->entry, out, err);
}

void hob_slot_on_child(void *user, int pid, bool runs)
{
    struct hob_slot *slot = user;
    hob_blackbox_child(slot->entry, pid, runs);
}

void hob_slot_on_data(void *user, const char *program, bool is_err, const char *data, size_t len)
{
    struct hob_slot *slot = user;
    hob_output_write(slot->output, program, is_err, data, len);
}

void hob_slot_on_wait_for_children(void *user, const char *who, uint64_t waited_ms)
{
    struct hob_slot *slot = user;
    struct hob_log_record record = hob_slot_record(slot, HOB_LOG_WARN, "job.waits_for_processes");
    record.action = "one that got KILL and stays hangs in the kernel (state D in ps: a device or a "
                    "file system), or belongs to a user that Hob may not signal: end it by hand, "
                    "or reboot";
    hob_log_write(slot->options.log, &record,
                  "%s does not end, after %.0f s; nothing goes on in its place before", who,
                  (double)waited_ms / 1000);
}

void hob_slot_at_work(struct hob_slot *slot)
{
    char name[NAME_MAX];
    if (!slot->entry && slot->options.blackbox) {
        slot->entry = hob_blackbox_begin(slot->options.blackbox, slot->row);
    }
    if (!slot->output && slot->options.outputs) {
        snprintf(name, sizeof name, "%s@%s-%lld-%lld", slot->options.thing, slot->job_id,
                 (long long)slot->execution_number, (long long)slot->queued_at);
        slot->output = hob_output_open(slot->options.outputs, name);
    }
    hob_job_mark_executing(slot->job, hob_blackbox_executing(slot->entry));
}

void hob_slot_leave_box(struct hob_slot *slot)
{
    if (slot->job) {
        hob_job_mark_executing(slot->job, NULL);
    }
    hob_blackbox_end(slot->entry);
    slot->entry = NULL;
}

void hob_slot_off_work(struct hob_slot *slot)
{
    hob_slot_leave_box(slot);
    hob_output_close(slot->output);
    slot->output = NULL;
}

/* ---- what the job says ---- */

/* Not inside the job's own code: whoever is told may start another one. */
void hob_slot_is_sound(struct hob_slot *slot)
{
    if (slot->options.on_sound) {
        slot->sound = true;
        hob_timer_start(slot->turn_timer, 0);
    }
}

static void on_job_progress(void *user, const char *text)
{
    hob_slot_say(user, text);
}

static void on_job_step(void *user, const char *name, bool once)
{
    struct hob_slot *slot = user;
    hob_blackbox_step(slot->entry, name);
    if (!name) {
        slot->interrupted = slot->deaths = 0; /* the store counts anew with each finished step */
    }
}

static void count_breach(const struct hob_slot *slot, const struct hob_job_outcome *outcome)
{
    struct hob_tally *tally = slot->options.tally;
    const char *limit = outcome->limit ? outcome->limit : "";
    if (strcmp(limit, "memory") == 0) {
        hob_tally_broke(tally, HOB_TALLY_MEMORY);
    } else if (strcmp(limit, "cpu") == 0) {
        hob_tally_broke(tally, HOB_TALLY_CPU);
    } else if (*limit) {
        hob_tally_broke(tally, HOB_TALLY_HELD);
    } else if (strcmp(outcome->kind, HOB_JOB_TIMED_OUT) == 0 && !slot->ended_there) {
        hob_tally_broke(tally, HOB_TALLY_TIMEOUT);
    }
}

static void on_job_end(void *user, const struct hob_job_outcome *outcome)
{
    struct hob_slot *slot = user;
    count_breach(slot, outcome);
    if (slot->cleaning) {
        hob_slot_on_cleanup_end(slot, outcome);
    } else if (outcome->status == HOB_JOBS_STATUS_NONE) {
        hob_slot_put_off(slot, outcome->details, outcome->retry_ms);
    } else {
        hob_slot_conclude(slot, hob_jobs_status_name(outcome->status), outcome->kind,
                          outcome->details);
    }
}

/* ---- the job ---- */

void hob_slot_end_job(struct hob_slot *slot)
{
    struct hob_job *job = slot->job;
    slot->job = NULL;
    slot->job_ran = false;
    hob_job_free(job);
    hob_exec_set_end_within(slot->children, HOB_SLOT_GRACE_MAX_MS);
}

int hob_slot_new_job(struct hob_slot *slot, const struct hob_handlers_entry *handler,
                     const char *document, size_t len, struct hob_error *err)
{
    struct hob_job_options options = {.loop = slot->options.loop,
                                      .log = slot->options.log,
                                      .store = slot->options.store,
                                      .handler = handler,
                                      .handlers = slot->options.handlers,
                                      .row = slot->row,
                                      .modules = hob_handlers_modules(slot->options.handlers),
                                      .script_lib = hob_handlers_script_lib(slot->options.handlers),
                                      .lib = hob_handlers_lib(slot->options.handlers),
                                      .thing = slot->options.thing,
                                      .job_id = slot->job_id,
                                      .execution_number = slot->execution_number,
                                      .document = document,
                                      .document_len = len,
                                      .memory_bytes = slot->options.memory_bytes,
                                      .cpu_ms = slot->options.cpu_ms,
                                      .policy = slot->options.policy,
                                      .agent = slot->options.agent,
                                      .children = slot->children,
                                      .executing = hob_blackbox_executing(slot->entry),
                                      .bench = slot->options.bench,
                                      .debugger = slot->options.debugger,
                                      .on_hold = hob_slot_on_hold,
                                      .hold_until_ms = hob_slot_hold_until_ms,
                                      .on_debug_cancel = hob_slot_on_debug_cancel,
                                      .on_dir = on_job_dir,
                                      .on_progress = on_job_progress,
                                      .on_step = on_job_step,
                                      .on_reboot = hob_slot_on_reboot,
                                      .on_end = on_job_end,
                                      .user = slot};
    int rc = name_dir(slot, err);
    options.work_dir = slot->dir;
    rc = rc ? rc : hob_job_new(&options, &slot->job, err);
    if (rc == 0) {
        snprintf(slot->handler, sizeof slot->handler, "%s", hob_job_handler(slot->job));
        slot->timeout_ms = hob_job_timeout_ms(slot->job);
        hob_free(slot->broken);
        slot->broken = NULL;
    }
    return rc;
}

int hob_slot_make_job(struct hob_slot *slot, struct hob_error *err)
{
    struct hob_store_execution row;
    int rc = hob_store_get(slot->options.store, slot->row, &row, err);
    if (rc) {
        return rc;
    }
    size_t len = row.document_len;
    char *document = hob_malloc(len + 1); /* the store's copy goes with its next call */
    if (!document) {
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    memcpy(document, row.document, len);
    document[len] = '\0';
    /* For the case that the store has no copy of its source. */
    const struct hob_handlers_entry *handler =
        hob_handlers_find(slot->options.handlers, slot->handler);
    rc = hob_slot_new_job(slot, handler, document, len, err);
    hob_free(document);
    return rc;
}
