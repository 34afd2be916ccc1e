/* job_handlers.c - other handlers that a job runs: the Lua handlers which the steps of one of AWS's
 * documents name. As its own source, theirs is the one that the execution was begun with. */
#include "work/job_parts.h"

#include "work/journal.h"

#include <stdio.h>
#include <string.h>

#define KEY_PREFIX "handlers/" /* no module of scripts/lib can have such a name */

static int find_now(struct hob_job *job, const char *name, const char *key,
                    struct hob_job_source *out, struct hob_error *err)
{
    const struct hob_handlers_entry *handler =
        job->options.handlers ? hob_handlers_find_script(job->options.handlers, name) : NULL;
    if (!handler) {
        return HOB_ENOENT;
    }
    if (handler->error.code) {
        return hob_error_set(err, HOB_EHANDLER, "%s", handler->error.message);
    }
    if (handler->modules) { /* what it requires is what it was checked with */
        hob_sandbox_set_modules(job->sandbox, handler->modules);
    }
    *out = (struct hob_job_source){handler->path, handler->source, handler->source_len};
    if (hob_journal_add_source(job->journal, key, out->path, out->text, out->len)) {
        return hob_error_set(err, HOB_ENOMEM, "handler %s: out of memory", name);
    }
    return 0;
}

static bool make_key(char *key, size_t size, const char *name)
{
    int n = snprintf(key, size, KEY_PREFIX "%s", name);
    return n > 0 && (size_t)n < size;
}

int hob_job_begun_handler(struct hob_job *job, const char *name, struct hob_job_source *out,
                          struct hob_error *err)
{
    char key[sizeof KEY_PREFIX + HOB_HANDLER_NAME_MAX];
    return make_key(key, sizeof key, name)
               ? hob_journal_source(job->journal, key, &out->path, &out->text, &out->len, err)
               : HOB_ENOENT;
}

int hob_job_other_handler(struct hob_job *job, const char *name, struct hob_job_source *out,
                          struct hob_error *err)
{
    char key[sizeof KEY_PREFIX + HOB_HANDLER_NAME_MAX];
    if (!make_key(key, sizeof key, name)) {
        return HOB_ENOENT;
    }
    int rc = hob_job_begun_handler(job, name, out, err);
    if (rc != HOB_ENOENT || job->pinned) {
        return rc; /* one that came later must not take the place of a program */
    }
    return find_now(job, name, key, out, err);
}

bool hob_job_is_pinned(const struct hob_job *job)
{
    return job->pinned;
}
