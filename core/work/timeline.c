/* timeline.c - see timeline.h */
#include "work/timeline.h"

#include "base/alloc.h"
#include "base/json.h"
#include "work/events.h"
#include "work/timeline_source.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX    (8 * 1024 * 1024) /* of a file, its end; there are two of each */
#define OUTPUTS_MAX 16                /* executions of one job id; the newest */
#define LIMIT       (64 * 1024 * 1024)
#define QUOTED_MAX  512
#define OUTPUT_DIR  "output"

struct timeline {
    const struct hob_timeline_options *options;
    char thing[QUOTED_MAX], job[QUOTED_MAX]; /* as JSON */
    struct hob_timeline_source *sources;     /* the first one holds the events */
    size_t count;
    struct hob_buf out;
    struct piece {
        size_t begin, len;
    } * pieces;
    size_t piece_count, piece_capacity;
};

/* ---- events ---- */

static bool is_value(const char *line, size_t len, const char *key, const char *wanted)
{
    size_t n = 0;
    const char *value = *wanted ? hob_json_slice(line, len, key, &n) : NULL;
    return !*wanted || (value && n == strlen(wanted) && memcmp(value, wanted, n) == 0);
}

static bool is_meant(const struct timeline *timeline, const char *line, size_t len)
{
    const struct hob_timeline_options *options = timeline->options;
    char number[32] = "";
    if (*timeline->job && !memmem(line, len, timeline->job, strlen(timeline->job)))
        return false; /* most lines, without parsing them */
    if (options->execution)
        snprintf(number, sizeof number, "%" PRId64, options->execution);
    return is_value(line, len, "job", timeline->job) &&
           is_value(line, len, "thing", timeline->thing) &&
           is_value(line, len, "execution", number);
}

static bool has_words(const char *line, size_t len, const char *words)
{
    return memmem(line, len, words, strlen(words)) != NULL;
}

static int take_event(struct timeline *timeline, const char *line, size_t len)
{
    static const char head[] = "{\"ts\":\"";
    if (len < sizeof head + HOB_TIMELINE_TS_LEN || memcmp(line, head, sizeof head - 1) != 0 ||
        line[len - 1] != '}' || !is_meant(timeline, line, len))
        return 0;
    struct hob_timeline_item *item = hob_timeline_source_add(&timeline->sources[0]);
    if (!item)
        return HOB_ENOMEM;
    item->kind = HOB_TIMELINE_EVENT;
    memcpy(item->ts, line + sizeof head - 1, HOB_TIMELINE_TS_LEN);
    item->text = line;
    item->len = len;
    return 0;
}

/* Of a job that has done something here its claim was kept once. */
static int note_missing_events(struct timeline *timeline)
{
    static const char words[] = "older events of this job are not kept any more";
    struct hob_timeline_source *events = &timeline->sources[0];
    bool began = false, claimed = false;
    for (size_t i = 0; i < events->count && timeline->options->job; i++) {
        const struct hob_timeline_item *item = &events->items[i];
        claimed = claimed || has_words(item->text, item->len, "\"event\":\"job.claimed\"");
        began = began || has_words(item->text, item->len, "\"event\":\"job.step\"") ||
                has_words(item->text, item->len, "\"event\":\"job.finished\"") ||
                has_words(item->text, item->len, "\"event\":\"job.started\"");
    }
    if (!began || claimed || events->len[0] == 0)
        return 0;
    int rc = hob_timeline_source_note(events, "", "ROTATED", words, sizeof words - 1);
    struct hob_timeline_item note = events->items[events->count - 1];
    if (rc == 0) {
        memmove(events->items + 1, events->items, (events->count - 1) * sizeof note);
        events->items[0] = note;
    }
    return rc;
}

static int read_events(struct timeline *timeline, struct hob_error *err)
{
    char path[PATH_MAX], former[PATH_MAX];
    struct hob_timeline_source *events = &timeline->sources[0];
    snprintf(path, sizeof path, "%s/" HOB_EVENTS_FILE, timeline->options->dir);
    snprintf(former, sizeof former, "%s/" HOB_EVENTS_FORMER, timeline->options->dir);
    int rc = hob_timeline_source_read(events, FILE_MAX, path, former, err);
    for (int half = 0; half < 2; half++) {
        const char *at = events->data[half], *end = at ? at + events->len[half] : NULL;
        while (rc == 0 && at < end) {
            const char *stop = memchr(at, '\n', (size_t)(end - at));
            stop = stop ? stop : end;
            rc = take_event(timeline, at, (size_t)(stop - at));
            at = stop + 1;
        }
    }
    return rc ? rc : note_missing_events(timeline);
}

/* ---- output ---- */

static bool is_part(const char *wanted, const char *part, size_t len)
{
    return !wanted || (strlen(wanted) == len && memcmp(wanted, part, len) == 0);
}

static bool is_wanted(const struct timeline *timeline, const char *file,
                      struct hob_output_name *name)
{
    const struct hob_timeline_options *options = timeline->options;
    size_t len = strlen(file);
    return len > 4 && strcmp(file + len - 4, ".log") == 0 &&
           hob_output_parse_name(file, len - 4, name) &&
           is_part(options->job, name->job, name->job_len) &&
           is_part(options->thing, name->thing, name->thing_len) &&
           (!options->execution || options->execution == name->execution);
}

static int add_source(struct timeline *timeline, const char *file)
{
    struct hob_timeline_source *sources =
        hob_realloc(timeline->sources, (timeline->count + 1) * sizeof *sources);
    if (!sources)
        return HOB_ENOMEM;
    timeline->sources = sources;
    struct hob_timeline_source *source = &sources[timeline->count++];
    *source = (struct hob_timeline_source){0};
    snprintf(source->file, sizeof source->file, "%.*s", (int)strlen(file) - (*file ? 4 : 0), file);
    return 0;
}

static int read_output(struct timeline *timeline, struct hob_timeline_source *source,
                       struct hob_error *err)
{
    char path[PATH_MAX], former[PATH_MAX];
    size_t limit = timeline->options->limit_bytes; /* more of it could not come out */
    int n = snprintf(path, sizeof path, "%s/" OUTPUT_DIR "/%s.log", timeline->options->dir,
                     source->file);
    int m = snprintf(former, sizeof former, "%s.1", path);
    if (n < 0 || m < 0 || (size_t)m >= sizeof former)
        return 0;
    int rc = hob_timeline_source_read(source, limit && limit < FILE_MAX ? limit : FILE_MAX, path,
                                      former, err);
    return rc ? rc : hob_timeline_source_parse(source);
}

static int64_t queued_of(const struct hob_timeline_source *source)
{
    struct hob_output_name name = {0};
    hob_output_parse_name(source->file, strlen(source->file), &name);
    return name.queued_at;
}

static int by_age(const void *a, const void *b)
{
    int64_t x = queued_of(a), y = queued_of(b);
    return (x < y) - (x > y);
}

static int list_outputs(struct timeline *timeline)
{
    char path[PATH_MAX];
    struct hob_output_name name;
    const struct dirent *entry;
    snprintf(path, sizeof path, "%s/" OUTPUT_DIR, timeline->options->dir);
    DIR *dir = timeline->options->job ? opendir(path) : NULL;
    int rc = 0;
    while (dir && rc == 0 && (entry = readdir(dir)))
        if (is_wanted(timeline, entry->d_name, &name))
            rc = add_source(timeline, entry->d_name);
    if (dir)
        closedir(dir);
    if (timeline->count > 1)
        qsort(timeline->sources + 1, timeline->count - 1, sizeof *timeline->sources, by_age);
    if (timeline->count > 1 + OUTPUTS_MAX)
        timeline->count = 1 + OUTPUTS_MAX; /* what was read of the others is nothing */
    return rc;
}

static int find_outputs(struct timeline *timeline, struct hob_error *err)
{
    int rc = list_outputs(timeline);
    for (size_t i = 1; i < timeline->count && rc == 0; i++) {
        struct hob_timeline_source *source = &timeline->sources[i];
        hob_output_parse_name(source->file, strlen(source->file), &source->name);
        rc = read_output(timeline, source, err);
    }
    return rc;
}

/* ---- one order ---- */

/* Within a millisecond output goes first: what comes after an event has a later time (output.c). */
static bool is_before(const struct hob_timeline_item *a, const struct hob_timeline_item *b)
{
    int order = strcmp(a->ts, b->ts);
    return order < 0 ||
           (order == 0 && a->kind == HOB_TIMELINE_OUTPUT && b->kind == HOB_TIMELINE_EVENT);
}

static struct hob_timeline_source *next_source(struct timeline *timeline)
{
    struct hob_timeline_source *best = NULL;
    for (size_t i = 0; i < timeline->count; i++) {
        struct hob_timeline_source *source = &timeline->sources[i];
        if (source->at < source->count &&
            (!best || is_before(&source->items[source->at], &best->items[best->at])))
            best = source;
    }
    return best;
}

struct placed {
    const struct hob_timeline_item *item;
    const struct hob_timeline_source *source;
};

static struct placed *merge(struct timeline *timeline, size_t *count)
{
    struct hob_timeline_source *source;
    size_t room = 0;
    for (size_t i = 0; i < timeline->count; i++)
        room += timeline->sources[i].count;
    struct placed *all = hob_calloc(room + 1, sizeof *all);
    while (all && *count < room && (source = next_source(timeline)))
        all[(*count)++] = (struct placed){&source->items[source->at++], source};
    return all;
}

/* ---- what comes out ---- */

static int put_text(struct hob_buf *out, const char *key, const char *text, size_t len)
{
    int rc = hob_buf_printf(out, ",\"%s\":", key);
    return rc ? rc : hob_json_quote(out, text, len);
}

int hob_timeline_put_output(struct hob_buf *out, const struct hob_output_name *name, const char *ts,
                            const char *program, size_t program_len, bool is_err, const char *text,
                            size_t len)
{
    int rc = hob_buf_printf(out, "\"output\":{\"ts\":\"%s\"", ts);
    rc = rc ? rc : put_text(out, "thing", name->thing, name->thing_len);
    rc = rc ? rc : put_text(out, "job", name->job, name->job_len);
    rc = rc ? rc : hob_buf_printf(out, ",\"execution\":%" PRId64, name->execution);
    rc = rc ? rc : put_text(out, "program", program, program_len);
    rc = rc ? rc : hob_buf_printf(out, ",\"stream\":\"%s\"", is_err ? "stderr" : "stdout");
    rc = rc ? rc : put_text(out, "text", text, len);
    return rc ? rc : hob_buf_append_string(out, "}");
}

static int put_note(struct hob_buf *out, const char *code, const char *text, size_t len)
{
    int rc = hob_buf_printf(out, "\"note\":{\"code\":\"%s\"", code);
    rc = rc ? rc : put_text(out, "text", text, len);
    return rc ? rc : hob_buf_append_string(out, "}");
}

/* The last `lines` of it. */
static int put_item(struct hob_buf *out, const struct placed *placed, size_t lines)
{
    const struct hob_timeline_item *item = placed->item;
    const char *text = item->text, *end = item->text + item->len;
    if (item->kind == HOB_TIMELINE_NOTE)
        return put_note(out, item->text, item->program, item->program_len);
    if (item->kind == HOB_TIMELINE_EVENT) {
        int rc = hob_buf_append_string(out, "\"event\":");
        return rc ? rc : hob_buf_append(out, item->text, item->len);
    }
    for (size_t over = item->lines > lines ? item->lines - lines : 0; over > 0; over--)
        text = (const char *)memchr(text, '\n', (size_t)(end - text)) + 1;
    return hob_timeline_put_output(out, &placed->source->name, item->ts, item->program,
                                   item->program_len, item->is_err, text, (size_t)(end - text));
}

static int add_piece(struct timeline *timeline, size_t begin)
{
    if (timeline->piece_count == timeline->piece_capacity) {
        size_t capacity = timeline->piece_capacity ? timeline->piece_capacity * 2 : 64;
        struct piece *pieces = hob_realloc(timeline->pieces, capacity * sizeof *pieces);
        if (!pieces)
            return HOB_ENOMEM;
        timeline->pieces = pieces;
        timeline->piece_capacity = capacity;
    }
    timeline->pieces[timeline->piece_count++] =
        (struct piece){begin, hob_buf_len(&timeline->out) - begin};
    return 0;
}

/* From the newest back, as far as it may go. */
static int write_back(struct timeline *timeline, const struct placed *all, size_t count)
{
    static const char words[] = "what was before is left out here: it is too much";
    size_t lines = timeline->options->lines ? timeline->options->lines : SIZE_MAX;
    int rc = 0;
    for (size_t i = count; i > 0 && lines > 0 && rc == 0; i--) {
        size_t begin = hob_buf_len(&timeline->out);
        rc = put_item(&timeline->out, &all[i - 1], lines);
        if (rc == HOB_EMSGSIZE) {
            hob_buf_truncate(&timeline->out, begin);
            timeline->out.limit += 256; /* for this one */
            rc = put_note(&timeline->out, "CUT", words, sizeof words - 1);
            return rc ? rc : add_piece(timeline, begin);
        }
        rc = rc ? rc : add_piece(timeline, begin);
        lines -= all[i - 1].item->lines < lines ? all[i - 1].item->lines : lines;
    }
    return rc;
}

static int hand_over(struct timeline *timeline, hob_timeline_fn *fn, void *user)
{
    int rc = 0;
    for (size_t i = timeline->piece_count; i > 0 && rc == 0; i--) {
        const struct piece *piece = &timeline->pieces[i - 1];
        rc = fn(user, hob_buf_data(&timeline->out) + piece->begin, piece->len);
    }
    return rc;
}

/* ---- the whole ---- */

static int quote(const char *text, char out[QUOTED_MAX])
{
    struct hob_buf buf;
    hob_buf_init(&buf, QUOTED_MAX - 1);
    int rc = text ? hob_json_quote(&buf, text, strlen(text)) : 0;
    snprintf(out, QUOTED_MAX, "%s", rc == 0 && text ? hob_buf_string(&buf) : "");
    hob_buf_free(&buf);
    return rc;
}

static void free_timeline(struct timeline *timeline)
{
    for (size_t i = 0; i < timeline->count; i++) {
        hob_timeline_source_free(&timeline->sources[i]);
    }
    hob_free(timeline->sources);
    hob_free(timeline->pieces);
    hob_buf_free(&timeline->out);
}

static int read_all(struct timeline *timeline, hob_timeline_fn *fn, void *user,
                    struct hob_error *err)
{
    size_t count = 0;
    int rc = add_source(timeline, "");
    rc = rc ? rc : read_events(timeline, err);
    rc = rc ? rc : find_outputs(timeline, err);
    struct placed *all = rc ? NULL : merge(timeline, &count);
    if (rc == 0)
        rc = all ? write_back(timeline, all, count) : HOB_ENOMEM;
    hob_free(all);
    return rc ? rc : hand_over(timeline, fn, user);
}

int hob_timeline_read(const struct hob_timeline_options *options, hob_timeline_fn *fn, void *user,
                      struct hob_error *err)
{
    struct timeline timeline = {.options = options};
    *err = (struct hob_error){0};
    if (quote(options->thing, timeline.thing) || quote(options->job, timeline.job))
        return hob_error_set(err, HOB_EINVAL, "a thing or job of such a name there cannot be");
    hob_buf_init(&timeline.out, options->limit_bytes ? options->limit_bytes : LIMIT);
    int rc = read_all(&timeline, fn, user, err);
    free_timeline(&timeline);
    if (rc == HOB_ENOMEM)
        hob_error_set(err, rc, "%s: out of memory", options->dir);
    return rc;
}
