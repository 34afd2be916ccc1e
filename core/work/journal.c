#include "work/journal.h"

#include "base/alloc.h"
#include "base/mbed.h"
#include "base/utf8.h"

#include <string.h>

#define NAME_MAX_BYTES 128

struct source {
    struct source *next;
    char *name, *path, *text;
    size_t len;
};

struct hob_journal {
    struct hob_store *store;
    int64_t row;
    char *state;            /* as it was last saved; NULL: not looked at yet */
    struct source *sources; /* not handed to the store yet */
};

/* ---- life ---- */

static void free_source(struct source *source)
{
    hob_free(source->name);
    hob_free(source->path);
    hob_free(source->text);
    hob_free(source);
}

struct hob_journal *hob_journal_new(struct hob_store *store, int64_t row)
{
    struct hob_journal *journal = hob_calloc(1, sizeof *journal);
    if (journal) {
        journal->store = store;
        journal->row = row;
    }
    return journal;
}

void hob_journal_free(struct hob_journal *journal)
{
    if (!journal) {
        return;
    }
    struct source *next;
    for (struct source *source = journal->sources; source; source = next) {
        next = source->next;
        free_source(source);
    }
    hob_free(journal->state);
    hob_free(journal);
}

void hob_journal_set_row(struct hob_journal *journal, int64_t row)
{
    journal->row = row;
}

/* ---- steps ---- */

bool hob_journal_is_question(const char *name)
{
    static const char question[] = HOB_JOURNAL_RESERVED "already_done";
    return strncmp(name, question, sizeof question - 1) == 0;
}

bool hob_journal_is_step_name(const char *name, size_t len)
{
    bool fits = len > 0 && len <= NAME_MAX_BYTES && hob_utf8_valid(name, len) == len &&
                strncmp(name, HOB_JOURNAL_RESERVED, sizeof HOB_JOURNAL_RESERVED - 1) != 0;
    for (size_t i = 0; fits && i < len; i++) {
        fits = (unsigned char)name[i] >= 0x20 && name[i] != 0x7f;
    }
    return fits;
}

static bool is_step(void *user, const char *name, bool failed, const char *result)
{
    bool *found = user;
    *found = !hob_journal_is_question(name);
    return !*found;
}

bool hob_journal_has_steps(struct hob_journal *journal)
{
    bool found = false;
    struct hob_error err = {0};
    return journal->row > 0 &&
           hob_store_each_step(journal->store, journal->row, is_step, &found, &err) == 0 && found;
}

int hob_journal_each(struct hob_journal *journal, hob_store_step_fn *fn, void *user,
                     struct hob_error *err)
{
    return hob_store_each_step(journal->store, journal->row, fn, user, err);
}

int hob_journal_get(struct hob_journal *journal, const char *name, bool *failed,
                    const char **result, struct hob_error *err)
{
    return hob_store_get_step(journal->store, journal->row, name, failed, result, err);
}

int hob_journal_put(struct hob_journal *journal, const char *name, bool failed, const char *result,
                    const char *state, int64_t elapsed_ms, bool commits, struct hob_error *err)
{
    const char *saved = state ? hob_journal_state(journal, err) : NULL;
    if (state && !saved) {
        return err->code;
    }
    bool changed = state && strcmp(state, saved) != 0;
    char *copy = changed ? hob_strdup(state) : NULL;
    if (changed && !copy) {
        return hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    int rc = hob_journal_save_sources(journal, err);
    rc = rc ? rc
            : hob_store_put_step(journal->store, journal->row, name, failed, result,
                                 changed ? state : NULL, elapsed_ms, commits, err);
    if (rc || !changed) {
        hob_free(copy);
        return rc;
    }
    hob_free(journal->state);
    journal->state = copy;
    return 0;
}

int hob_journal_commit(struct hob_journal *journal, struct hob_error *err)
{
    return hob_store_flush(journal->store, err);
}

int hob_journal_begin(struct hob_journal *journal, const char *name, struct hob_error *err)
{
    int rc = hob_journal_save_sources(journal, err);
    return rc ? rc : hob_store_begin_step(journal->store, journal->row, name, err);
}

int hob_journal_begun(struct hob_journal *journal, const char *name, struct hob_error *err)
{
    int rc = hob_store_step_begun(journal->store, journal->row, name, err);
    return rc == 0 ? 1 : rc == HOB_ENOENT ? 0 : rc;
}

const char *hob_journal_state(struct hob_journal *journal, struct hob_error *err)
{
    if (journal->state) {
        return journal->state;
    }
    const char *text = NULL;
    int rc = hob_store_get_state(journal->store, journal->row, &text, err);
    if (rc && rc != HOB_ENOENT) {
        return NULL;
    }
    journal->state = hob_strdup(rc ? "{}" : text);
    if (!journal->state) {
        hob_error_set(err, HOB_ENOMEM, "out of memory");
    }
    return journal->state;
}

/* ---- sources ---- */

int hob_journal_add_source(struct hob_journal *journal, const char *name, const char *path,
                           const char *text, size_t len)
{
    struct source *source = hob_calloc(1, sizeof *source);
    if (!source) {
        return HOB_ENOMEM;
    }
    source->name = hob_strdup(name);
    source->path = hob_strdup(path);
    source->text = hob_malloc(len + 1);
    if (!source->name || !source->path || !source->text) {
        free_source(source);
        return HOB_ENOMEM;
    }
    memcpy(source->text, text, len);
    source->text[len] = '\0';
    source->len = len;
    source->next = journal->sources;
    journal->sources = source;
    return 0;
}

int hob_journal_save_sources(struct hob_journal *journal, struct hob_error *err)
{
    while (journal->row > 0 && journal->sources) {
        struct source *source = journal->sources;
        char digest[HOB_SHA256_HEX_MAX];
        hob_sha256_of(source->text, source->len, digest);
        int rc = hob_store_put_source(journal->store, journal->row, source->name, source->path,
                                      source->text, source->len, digest, err);
        if (rc) {
            return rc; /* kept: the next step tries again */
        }
        journal->sources = source->next;
        free_source(source);
    }
    return 0;
}

int hob_journal_source(struct hob_journal *journal, const char *name, const char **path,
                       const char **text, size_t *len, struct hob_error *err)
{
    for (const struct source *source = journal->sources; source; source = source->next) {
        if (strcmp(source->name, name) == 0) {
            *path = source->path;
            *text = source->text;
            *len = source->len;
            return 0;
        }
    }
    if (journal->row <= 0) {
        return HOB_ENOENT;
    }
    return hob_store_get_source(journal->store, journal->row, name, path, text, len, err);
}
