/* handlers_load.c - from the files of a scripts directory to the list of handlers, in rounds: read
 * what is there, check what changed, then put all of it in place at once. */
#include "base/alloc.h"
#include "work/handlers_parts.h"

#include "base/buf.h"
#include "base/clock.h"
#include "work/native.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX   (4 * 1024)
#define NAMES_TOLD  3
#define DIGEST_TOLD HOB_HANDLER_DIGEST_TOLD

struct entry {
    struct hob_handlers_entry fresh; /* with the text of now */
    struct hob_handlers_entry *old;  /* in the list; NULL: it is new */
    bool check;
};

struct hob_handlers_round {
    struct hob_handlers *handlers;
    uint64_t generation; /* of the list that it began with */
    bool by_hand;        /* somebody asked for it: what is broken is said again */
    struct hob_scripts_look *look;
    struct hob_scripts_modules *modules, *broken; /* of now; broken: texts that were not taken */
    struct entry *entries;
    size_t count, next, checked;
};

static int no_memory(struct hob_error *err)
{
    return hob_error_set(err, HOB_ENOMEM, "loading handlers: out of memory");
}

/* ---- a handler's parts ---- */

void hob_handlers_free_handler(struct hob_handlers_entry *handler)
{
    hob_script_release(handler->script);
    hob_script_release(handler->newer);
    hob_scripts_modules_release(handler->modules);
    hob_scripts_modules_release(handler->refused_with);
    *handler = (struct hob_handlers_entry){0};
}

/* Takes the script. */
void hob_handlers_set_script(struct hob_handlers_entry *handler, struct hob_script *script,
                             struct hob_scripts_modules *modules)
{
    handler->script = script;
    handler->modules = hob_scripts_modules_hold(modules);
    handler->path = script->path;
    handler->source = script->text;
    handler->source_len = script->len;
    snprintf(handler->digest, sizeof handler->digest, "%s", script->digest);
    if (script->error.code) {
        handler->error = script->error;
    }
}

static void forget_refusal(struct hob_handlers_entry *handler)
{
    hob_script_release(handler->newer);
    hob_scripts_modules_release(handler->refused_with);
    handler->newer = NULL;
    handler->refused_with = NULL;
    handler->refused.code = 0;
}

/* ---- texts ---- */

/* The text that was read last, if the file has the stamp that it had then. */
static struct hob_script *text_of(const struct hob_handlers_round *round,
                                  const struct hob_scripts_file *file, struct hob_script *last)
{
    const struct hob_scripts_file *was = hob_scripts_find(round->handlers->loaded, file->path);
    bool same_file = last && strcmp(last->path, file->path) == 0;
    if (same_file && was && !round->by_hand && hob_scripts_same_stamp(file, was)) {
        return hob_script_hold(last);
    }
    return hob_script_read(file->path, file->name);
}

/* ---- the modules of now ---- */

static struct hob_script *module_before(const struct hob_handlers *handlers, const char *name)
{
    return hob_scripts_modules_find(handlers->modules, name);
}

static void add_broken(struct hob_handlers_round *round, struct hob_script *script)
{
    round->broken->list[round->broken->count++] = hob_script_hold(script);
}

/* One that does not compile is left out while an earlier text of it can be used. */
static struct hob_script *choose_module(struct hob_handlers_round *round,
                                        const struct hob_scripts_file *file)
{
    struct hob_script *before = module_before(round->handlers, file->name);
    struct hob_script *refused = hob_scripts_modules_find(round->handlers->broken, file->name);
    if (file->keep && before) {
        if (refused) {
            add_broken(round, refused);
        }
        return hob_script_hold(before);
    }
    struct hob_script *script = text_of(round, file, refused ? refused : before);
    if (!script) {
        return NULL;
    }
    bool same_file = before && strcmp(before->path, script->path) == 0;
    if (same_file && !before->error.code && hob_script_same_text(before, script)) {
        hob_script_release(script);
        return hob_script_hold(before);
    }
    if (!script->error.code) {
        hob_handlers_compile(round->handlers, script);
    }
    if (!script->error.code) {
        return script;
    }
    add_broken(round, script);
    if (!before) {
        return script; /* `require` says what is wrong with it */
    }
    hob_script_release(script);
    return hob_script_hold(before);
}

static int read_modules(struct hob_handlers_round *round, struct hob_error *err)
{
    struct hob_scripts_modules *modules = hob_scripts_modules_new(round->look->count);
    round->modules = modules;
    round->broken = hob_scripts_modules_new(round->look->count);
    if (!modules || !round->broken) {
        return no_memory(err);
    }
    for (size_t i = 0; i < round->look->count; i++) {
        const struct hob_scripts_file *file = &round->look->files[i];
        bool used = file->is_module && !file->shadowed;
        struct hob_script *script = used ? choose_module(round, file) : NULL;
        if (used && !script) {
            return no_memory(err);
        }
        if (script) {
            modules->list[modules->count++] = script;
        }
    }
    if (hob_scripts_modules_same(modules, round->handlers->modules)) {
        round->modules = hob_scripts_modules_hold(round->handlers->modules);
        hob_scripts_modules_release(modules);
    }
    return 0;
}

/* ---- which handlers are to be checked ---- */

static struct hob_handlers_entry *handler_before(struct hob_handlers *handlers, const char *name)
{
    for (size_t i = 0; i < handlers->count; i++) {
        if (strcmp(handlers->list[i].name, name) == 0) {
            return &handlers->list[i];
        }
    }
    return NULL;
}

static bool may_require(const struct hob_handlers_entry *handler)
{
    return handler->source && strstr(handler->source, "require") != NULL;
}

/* The same text from another directory is checked, too: its file is another one. */
static bool is_same_version(const struct hob_script *a, const struct hob_script *b)
{
    return hob_script_same_text(a, b) && strcmp(a->path, b->path) == 0;
}

static bool must_check(const struct hob_handlers_round *round, const struct entry *entry)
{
    const struct hob_handlers_entry *old = entry->old;
    if (!old) {
        return true;
    }
    bool was_broken = old->error.code || old->refused.code;
    const struct hob_script *last = old->newer ? old->newer : old->script;
    const struct hob_scripts_modules *with = old->refused_with ? old->refused_with : old->modules;
    if (!is_same_version(last, entry->fresh.script) || (round->by_hand && was_broken)) {
        return true;
    }
    return with != round->modules && may_require(&entry->fresh);
}

static int add_entry(struct hob_handlers_round *round, const struct hob_scripts_file *file,
                     struct hob_error *err)
{
    struct entry *entry = &round->entries[round->count];
    entry->old = handler_before(round->handlers, file->name);
    snprintf(entry->fresh.name, sizeof entry->fresh.name, "%.*s", HOB_HANDLER_NAME_MAX, file->name);
    if (file->keep) {
        round->count += entry->old != NULL;
        return 0;
    }
    struct hob_script *last = entry->old && entry->old->newer ? entry->old->newer
                              : entry->old                    ? entry->old->script
                                                              : NULL;
    struct hob_script *script = text_of(round, file, last);
    if (!script) {
        return no_memory(err);
    }
    round->count++;
    hob_handlers_set_script(&entry->fresh, script, round->modules);
    entry->check = must_check(round, entry);
    return 0;
}

/* They come by path, and their directories say nothing. */
static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->fresh.name, ((const struct entry *)b)->fresh.name);
}

static int read_handlers(struct hob_handlers_round *round, struct hob_error *err)
{
    int rc = 0;
    round->entries = hob_calloc(round->look->count + 1, sizeof *round->entries);
    if (!round->entries) {
        return no_memory(err);
    }
    for (size_t i = 0; i < round->look->count && rc == 0; i++) {
        const struct hob_scripts_file *file = &round->look->files[i];
        bool in_c = hob_native_find_handler(round->handlers->native, file->name);
        if (!file->is_module && !file->shadowed && !in_c) {
            rc = add_entry(round, file, err);
        }
    }
    qsort(round->entries, round->count, sizeof *round->entries, by_name);
    return rc;
}

/* ---- a round ---- */

int hob_handlers_round_new(struct hob_handlers *handlers, struct hob_scripts_look *look,
                           bool by_hand, struct hob_handlers_round **out, struct hob_error *err)
{
    struct hob_handlers_round *round = hob_calloc(1, sizeof *round);
    if (!round) {
        hob_scripts_look_free(look);
        return no_memory(err);
    }
    round->handlers = handlers;
    round->generation = handlers->generation;
    round->by_hand = by_hand;
    round->look = look;
    hob_scripts_shadow(look);
    int rc = read_modules(round, err);
    rc = rc ? rc : read_handlers(round, err);
    if (rc) {
        hob_handlers_round_free(round);
        return rc;
    }
    *out = round;
    return 0;
}

bool hob_handlers_round_check(struct hob_handlers_round *round)
{
    assert(round);
    while (round->next < round->count) {
        struct entry *entry = &round->entries[round->next++];
        if (entry->check) {
            round->checked++;
            hob_handlers_check(round->handlers, &entry->fresh);
            return true;
        }
    }
    return false;
}

bool hob_handlers_round_is_valid(const struct hob_handlers_round *round)
{
    if (round->generation != round->handlers->generation) {
        return false;
    }
    for (size_t i = 0; i < round->look->count; i++) {
        if (!round->look->files[i].keep && !hob_scripts_is_unchanged(&round->look->files[i])) {
            return false;
        }
    }
    return true;
}

void hob_handlers_round_free(struct hob_handlers_round *round)
{
    if (!round) {
        return;
    }
    for (size_t i = 0; i < round->count; i++) {
        hob_handlers_free_handler(&round->entries[i].fresh);
    }
    hob_free(round->entries);
    hob_scripts_modules_release(round->modules);
    hob_scripts_modules_release(round->broken);
    hob_scripts_look_free(round->look);
    hob_free(round);
}

/* ---- what is said of it ---- */

static void say(const struct hob_handlers *handlers, enum hob_log_level level, const char *event,
                const struct hob_error *err, const char *words)
{
    struct hob_log_record record = {.level = level,
                                    .event = event,
                                    .code = err ? hob_error_name(err->code) : NULL,
                                    .action = err ? "mend the file: it is read again by itself, "
                                                    "or by `hob reload`"
                                                  : NULL};
    hob_log_write(handlers->log, &record, "%s", words);
}

static void say_broken(const struct hob_handlers *handlers, const struct hob_error *err,
                       const struct hob_handlers_entry *in_use)
{
    struct hob_buf words;
    hob_buf_init(&words, WORDS_MAX);
    hob_buf_append_string(&words, err->message);
    if (in_use) {
        hob_buf_printf(&words, "; its last good version %s@%.*s stays in use", in_use->name,
                       DIGEST_TOLD, in_use->digest);
    } else {
        hob_buf_append_string(&words, "; no version of it was good, its jobs fail");
    }
    say(handlers, HOB_LOG_ERROR, "handler.broken", err, hob_buf_string(&words));
    hob_buf_free(&words);
}

/* `old`: NULL if there was none. */
static void say_reloaded(const struct hob_handlers *handlers, const struct hob_handlers_entry *now,
                         const struct hob_handlers_entry *old)
{
    bool other_file = old && old->path && strcmp(old->path, now->path) != 0;
    struct hob_buf words;
    hob_buf_init(&words, WORDS_MAX);
    hob_buf_printf(&words, "%s: %s is in use", now->path, now->digest);
    if (!old || !old->digest[0]) {
        hob_buf_append_string(&words, ", a new handler");
    } else if (other_file || strcmp(old->digest, now->digest) != 0) {
        hob_buf_printf(&words, " in place of %.*s%s%s", DIGEST_TOLD, old->digest,
                       other_file ? " of " : "", other_file ? old->path : "");
    } else {
        hob_buf_append_string(&words, ", as before; it is not broken any more");
    }
    say(handlers, HOB_LOG_INFO, "handler.reloaded", NULL, hob_buf_string(&words));
    hob_buf_free(&words);
    if (handlers->on_reloaded) {
        char label[HOB_HANDLER_NAME_MAX + DIGEST_TOLD + 2];
        snprintf(label, sizeof label, "%s@%.*s", now->name, DIGEST_TOLD, now->digest);
        handlers->on_reloaded(handlers->user, label);
    }
}

static void say_removed(const struct hob_handlers *handlers, const struct hob_handlers_entry *gone)
{
    char words[HOB_ERROR_MESSAGE_MAX];
    snprintf(words, sizeof words, "%s is gone, and so is the handler %s@%.*s; jobs that run go on",
             gone->path, gone->name, DIGEST_TOLD, gone->digest);
    say(handlers, HOB_LOG_INFO, "handler.removed", NULL, words);
}

static void count_change(struct hob_buf *words, int *changes, const char *name, const char *how)
{
    if (++*changes <= NAMES_TOLD) {
        hob_buf_printf(words, "%s%s %s", *changes > 1 ? ", " : "", name, how);
    }
}

static void say_modules(const struct hob_handlers_round *round)
{
    const struct hob_scripts_modules *before = round->handlers->modules;
    struct hob_buf words;
    int changes = 0;
    hob_buf_init(&words, WORDS_MAX);
    hob_buf_printf(&words, "modules of %s: ", round->handlers->words);
    for (size_t i = 0; i < round->modules->count; i++) {
        const struct hob_script *now = round->modules->list[i];
        const struct hob_script *old = hob_scripts_modules_find(before, now->name);
        if (now != old) {
            char how[64];
            snprintf(how, sizeof how, "%s %.*s", old ? "is now" : "is new:", DIGEST_TOLD,
                     now->digest);
            count_change(&words, &changes, now->name, how);
        }
    }
    for (size_t i = 0; i < before->count; i++) {
        if (!hob_scripts_modules_find(round->modules, before->list[i]->name)) {
            count_change(&words, &changes, before->list[i]->name, "is gone");
        }
    }
    if (changes > NAMES_TOLD) {
        hob_buf_printf(&words, " and %d more", changes - NAMES_TOLD);
    }
    hob_buf_printf(&words, "; %zu handlers were checked with that", round->checked);
    say(round->handlers, HOB_LOG_INFO, "handlers.lib_reloaded", NULL, hob_buf_string(&words));
    hob_buf_free(&words);
}

static void say_broken_modules(const struct hob_handlers_round *round)
{
    const struct hob_handlers *handlers = round->handlers;
    for (size_t i = 0; i < round->broken->count; i++) {
        const struct hob_script *bad = round->broken->list[i];
        const struct hob_script *known = hob_scripts_modules_find(handlers->broken, bad->name);
        if (round->by_hand || !hob_script_same_text(bad, known)) {
            const struct hob_script *use = hob_scripts_modules_find(round->modules, bad->name);
            char words[HOB_ERROR_MESSAGE_MAX + 128];
            snprintf(words, sizeof words, "%s; %s%.*s%s", bad->error.message,
                     use && use->digest[0] && !use->error.code ? "its last good version " : "",
                     DIGEST_TOLD, use && !use->error.code ? use->digest : "",
                     use && !use->error.code ? " stays in use" : "who requires it fails");
            say(handlers, HOB_LOG_ERROR, "handler.broken", &bad->error, words);
        }
    }
}

/* ---- putting it in place ---- */

/* The text of now is broken, and the one before it is not. */
static void keep_last_good(struct hob_handlers_round *round, struct entry *entry,
                           struct hob_handlers_entry *out)
{
    bool known = entry->old->refused.code &&
                 hob_script_same_text(entry->old->newer, entry->fresh.script) &&
                 strcmp(entry->old->refused.message, entry->fresh.error.message) == 0;
    *out = *entry->old;
    *entry->old = (struct hob_handlers_entry){0};
    forget_refusal(out);
    out->newer = hob_script_hold(entry->fresh.script);
    out->refused = entry->fresh.error;
    out->refused_with = hob_scripts_modules_hold(round->modules);
    if (!known || round->by_hand) {
        say_broken(round->handlers, &out->refused, out);
    }
}

static void take_fresh(struct hob_handlers_round *round, struct entry *entry,
                       struct hob_handlers_entry *out)
{
    const struct hob_handlers_entry *old = entry->old;
    bool was_broken = old && (old->error.code || old->refused.code);
    bool same = old && strcmp(old->digest, entry->fresh.digest) == 0 &&
                strcmp(old->path, entry->fresh.path) == 0;
    *out = entry->fresh;
    entry->fresh = (struct hob_handlers_entry){0};
    out->loaded_at = same && !old->error.code ? old->loaded_at : hob_clock_wall_ms() / 1000;
    bool told = same && !round->by_hand && strcmp(old->error.message, out->error.message) == 0;
    if (out->error.code && !told) {
        say_broken(round->handlers, &out->error, NULL);
    } else if (!out->error.code && round->handlers->generation && (!same || was_broken)) {
        say_reloaded(round->handlers, out, old);
    }
}

/* Nothing of it changed, or what changed cannot matter to it. */
static void take_old(struct hob_handlers_round *round, struct entry *entry,
                     struct hob_handlers_entry *out)
{
    assert(entry->old);
    *out = *entry->old;
    *entry->old = (struct hob_handlers_entry){0};
    if (!out->refused.code && !out->error.code && entry->fresh.script) {
        hob_scripts_modules_release(out->modules);
        out->modules = hob_scripts_modules_hold(round->modules);
    }
}

static void place(struct hob_handlers_round *round, struct entry *entry,
                  struct hob_handlers_entry *out)
{
    bool old_is_good = entry->old && !entry->old->error.code;
    if (!entry->check) {
        take_old(round, entry, out);
    } else if (entry->fresh.error.code && old_is_good) {
        keep_last_good(round, entry, out);
    } else {
        take_fresh(round, entry, out);
    }
}

static void replace_list(struct hob_handlers *handlers, struct hob_handlers_entry *list,
                         size_t count)
{
    for (size_t i = 0; i < handlers->count; i++) {
        hob_handlers_free_handler(&handlers->list[i]);
    }
    hob_free(handlers->list);
    handlers->list = list;
    handlers->count = count;
}

static void say_gone(struct hob_handlers_round *round)
{
    struct hob_handlers *handlers = round->handlers;
    for (size_t i = 0; i < handlers->count; i++) {
        bool there = false;
        for (size_t k = 0; k < round->count && !there; k++) {
            there = round->entries[k].old == &handlers->list[i];
        }
        if (!there) {
            say_removed(handlers, &handlers->list[i]);
        }
    }
}

static void replace_modules(struct hob_handlers_round *round)
{
    struct hob_handlers *handlers = round->handlers;
    if (handlers->modules && round->modules != handlers->modules) {
        say_modules(round);
    }
    say_broken_modules(round);
    hob_scripts_modules_release(handlers->modules);
    hob_scripts_modules_release(handlers->broken);
    handlers->modules = hob_scripts_modules_hold(round->modules);
    handlers->broken = hob_scripts_modules_hold(round->broken);
    if (handlers->steps.script) {
        hob_scripts_modules_release(handlers->steps.modules);
        handlers->steps.modules = hob_scripts_modules_hold(round->modules);
    }
}

int hob_handlers_round_finish(struct hob_handlers_round *round, struct hob_error *err)
{
    struct hob_handlers *handlers = round->handlers;
    struct hob_handlers_entry *list = hob_calloc(round->count + 1, sizeof *list);
    assert(round->generation == handlers->generation && round->next == round->count);
    if (!list) {
        hob_handlers_round_free(round);
        return no_memory(err);
    }
    say_gone(round);
    replace_modules(round);
    for (size_t i = 0; i < round->count; i++) {
        place(round, &round->entries[i], &list[i]);
    }
    replace_list(handlers, list, round->count);
    handlers->generation++;
    hob_scripts_look_free(handlers->loaded);
    handlers->loaded = round->look;
    round->look = NULL;
    bool by_hand = round->by_hand;
    hob_handlers_round_free(round);
    hob_handlers_check_names(handlers, by_hand);
    return 0;
}
