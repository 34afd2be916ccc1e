/* What an execution leaves on its way: steps, job.state, the sources of its handler, reboots. */
#include "work/store_statement.h"

#include <string.h>

#define SOURCE_LIMIT (1024 * 1024) /* of a handler's file, see handlers.c */

/* ---- steps ---- */

struct step {
    int64_t row;
    const char *name;
    bool failed;
    const char *result, *state;
    int64_t elapsed_ms;
};

static int put_step(struct hob_store *store, const void *args, struct hob_error *err)
{
    const struct step *step = args;
    int rc = hob_store_statement_change(store, HOB_STORE_STEP_ENDED, step->row, err, "ii",
                                        step->row, step->elapsed_ms);
    if (rc == 0)
        rc = hob_store_statement_write(store, HOB_STORE_PUT_STEP, err, "itit", step->row,
                                       step->name, (int64_t)step->failed, step->result);
    if (rc == 0 && step->state)
        rc = hob_store_statement_write(store, HOB_STORE_PUT_STATE, err, "it", step->row,
                                       step->state);
    return rc;
}

int hob_store_put_step(struct hob_store *store, int64_t row, const char *name, bool failed,
                       const char *result, const char *state, int64_t elapsed_ms, bool commits,
                       struct hob_error *err)
{
    struct step step = {row, name, failed, result, state, elapsed_ms};
    int rc =
        hob_store_statement_fits("the result of a step", strlen(result), HOB_STORE_TEXT_LIMIT, err);
    if (rc == 0 && state)
        rc = hob_store_statement_fits("job.state", strlen(state), HOB_STORE_TEXT_LIMIT, err);
    return rc < 0 ? rc
                  : hob_store_statement_transact(
                        store, commits ? HOB_STORE_COMMITS : HOB_STORE_RIDES, put_step, &step, err);
}

/** One that begins again is not finished any more. */
static int begin_step(struct hob_store *store, const void *args, struct hob_error *err)
{
    const struct step *step = args;
    int rc = hob_store_statement_change(store, HOB_STORE_BEGIN_STEP, step->row, err, "it",
                                        step->row, step->name);
    return rc < 0 ? rc
                  : hob_store_statement_write(store, HOB_STORE_DROP_STEP, err, "it", step->row,
                                              step->name);
}

int hob_store_begin_step(struct hob_store *store, int64_t row, const char *name,
                         struct hob_error *err)
{
    struct step step = {.row = row, .name = name};
    return hob_store_statement_transact(store, HOB_STORE_COMMITS, begin_step, &step, err);
}

int hob_store_step_begun(struct hob_store *store, int64_t row, const char *name,
                         struct hob_error *err)
{
    int rc = hob_store_statement_read(store, HOB_STORE_STEP_BEGUN, err, "it", row, name);
    hob_store_statement_release(store);
    return rc;
}

int hob_store_each_step(struct hob_store *store, int64_t row, hob_store_step_fn *fn, void *user,
                        struct hob_error *err)
{
    struct hob_error none; /* the end of the list is no error */
    int rc = hob_store_statement_read(store, HOB_STORE_EACH_STEP, &none, "i", row);
    while (rc == 0) {
        bool failed = sqlite3_column_int(store->held, 1) != 0;
        if (!fn(user, hob_store_statement_text(store->held, 0), failed,
                hob_store_statement_text(store->held, 2)))
            break;
        rc = hob_store_statement_next(store, &none);
    }
    return hob_store_statement_end_list(store, rc, &none, err);
}

int hob_store_get_step(struct hob_store *store, int64_t row, const char *name, bool *failed,
                       const char **result, struct hob_error *err)
{
    int rc = hob_store_statement_read(store, HOB_STORE_GET_STEP, err, "it", row, name);
    if (rc < 0)
        return rc;
    *failed = sqlite3_column_int(store->held, 0) != 0;
    *result = hob_store_statement_text(store->held, 1);
    return 0;
}

int hob_store_get_state(struct hob_store *store, int64_t row, const char **state,
                        struct hob_error *err)
{
    int rc = hob_store_statement_read(store, HOB_STORE_GET_STATE, err, "i", row);
    if (rc == 0)
        *state = hob_store_statement_text(store->held, 0);
    return rc;
}

/* ---- sources ---- */

struct source {
    int64_t row;
    const char *name, *path, *text, *digest;
    size_t len;
    bool there;
};

static int put_source(struct hob_store *store, const void *args, struct hob_error *err)
{
    const struct source *source = args;
    int rc = source->there ? 0
                           : hob_store_statement_write(store, HOB_STORE_PUT_SOURCE, err, "tb",
                                                       source->digest, source->text, source->len);
    return rc < 0 ? rc
                  : hob_store_statement_change(store, HOB_STORE_USE_SOURCE, source->row, err,
                                               "ittt", source->row, source->name, source->path,
                                               source->digest);
}

int hob_store_put_source(struct hob_store *store, int64_t row, const char *name, const char *path,
                         const char *text, size_t len, const char *digest, struct hob_error *err)
{
    struct source source = {row, name, path, text, digest, len, false};
    int rc = hob_store_statement_fits("the source of a handler", len, SOURCE_LIMIT, err);
    if (rc < 0)
        return rc;
    rc = hob_store_statement_read(store, HOB_STORE_SOURCE_THERE, err, "t", digest);
    if (rc < 0 && rc != HOB_ENOENT)
        return rc;
    source.there = rc == 0;
    return hob_store_statement_transact(store, HOB_STORE_RIDES, put_source, &source, err);
}

int hob_store_get_source(struct hob_store *store, int64_t row, const char *name, const char **path,
                         const char **text, size_t *len, struct hob_error *err)
{
    int rc = hob_store_statement_read(store, HOB_STORE_GET_SOURCE, err, "it", row, name);
    if (rc < 0)
        return rc;
    const char *bytes = sqlite3_column_blob(store->held, 1);
    *path = hob_store_statement_text(store->held, 0);
    *text = bytes ? bytes : "";
    *len = (size_t)sqlite3_column_bytes(store->held, 1);
    return 0;
}

/* ---- reboots ---- */

struct reboot {
    int64_t row;
    const char *key, *mark;
    int tries;
};

static int put_reboot(struct hob_store *store, const void *args, struct hob_error *err)
{
    const struct reboot *reboot = args;
    int rc =
        hob_store_statement_change(store, HOB_STORE_PUT_REBOOT, reboot->row, err, "itti",
                                   reboot->row, reboot->key, reboot->mark, (int64_t)reboot->tries);
    return rc < 0 ? rc : hob_store_statement_write(store, HOB_STORE_EXPECT_END, err, "t", "");
}

int hob_store_put_reboot(struct hob_store *store, int64_t row, const char *key, const char *mark,
                         int tries, struct hob_error *err)
{
    struct reboot reboot = {row, key, mark, tries};
    return hob_store_statement_transact(store, HOB_STORE_COMMITS, put_reboot, &reboot, err);
}

int hob_store_get_reboot(struct hob_store *store, int64_t row, const char *key, const char **mark,
                         int *tries, struct hob_error *err)
{
    int rc = hob_store_statement_read(store, HOB_STORE_GET_REBOOT, err, "it", row, key);
    if (rc < 0)
        return rc;
    *mark = hob_store_statement_text(store->held, 0);
    *tries = sqlite3_column_int(store->held, 1);
    return 0;
}
