/* timeline.c - see timeline.h */
#include "work/timeline.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"
#include "work/events.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX     (8 * 1024 * 1024) /* of a file, its end; there are two of each */
#define OUTPUTS_MAX  64                /* executions of one job id; the newest */
#define LIMIT        (64 * 1024 * 1024)
#define TS_LEN       24
#define QUOTED_MAX   512
#define OUTPUT_DIR   "output"
#define STDOUT_WORDS ", standard output, "
#define STDERR_WORDS ", standard error, "

enum kind { EVENT, OUTPUT, NOTE };

struct item {
    enum kind kind;
    char ts[TS_LEN + 1];
    const char *text; /* of an event the line, of a note its code */
    size_t len;
    const char *program; /* of output; of a note its text */
    size_t program_len;
    bool is_err;
    size_t lines;
};

/* One list that is in order: the events, or an execution's output. */
struct source {
    char *data[2]; /* of the former half, and of the present one */
    size_t len[2];
    int64_t changed_ms;
    bool is_cut; /* the beginning was not read: it is too much */
    char file[NAME_MAX + 1];
    struct hob_output_name name; /* points into `file` */
    struct item *items;
    size_t count, capacity, at;
};

struct timeline {
    const struct hob_timeline_options *options;
    char thing[QUOTED_MAX], job[QUOTED_MAX]; /* as JSON */
    struct source *sources;                  /* the first one holds the events */
    size_t count;
    struct hob_buf out;
    struct piece {
        size_t begin, len;
    } * pieces;
    size_t piece_count, piece_capacity;
};

/* ---- files ---- */

static int read_fd(int fd, off_t whole, char **data, size_t *len)
{
    size_t size = whole > FILE_MAX ? FILE_MAX : (size_t)whole;
    off_t from = whole - (off_t)size;
    *data = malloc(size + 1);
    if (!*data)
        return ENOMEM;
    while (*len < size) {
        ssize_t n = pread(fd, *data + *len, size - *len, from + (off_t)*len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : 0;
        *len += (size_t)n;
    }
    return 0;
}

/* One that is not there is empty. */
static int read_file(const char *path, struct source *source, int half, ino_t *inode)
{
    struct stat st = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 0 : errno;
    int number = fstat(fd, &st) ? errno : S_ISREG(st.st_mode) ? 0 : EINVAL;
    number = number ? number : read_fd(fd, st.st_size, &source->data[half], &source->len[half]);
    source->is_cut = source->is_cut || st.st_size > FILE_MAX;
    source->changed_ms = (int64_t)st.st_mtim.tv_sec * 1000;
    *inode = st.st_ino;
    close(fd);
    return number;
}

/* The present half first: if it becomes the former one meanwhile it is seen twice, not never. */
static int read_halves(struct source *source, const char *present, const char *former,
                       struct hob_error *err)
{
    ino_t inodes[2] = {0, 0};
    int number = read_file(present, source, 1, &inodes[1]);
    const char *path = present;
    if (!number) {
        path = former;
        number = read_file(former, source, 0, &inodes[0]);
    }
    if (!number && inodes[0] && inodes[0] == inodes[1])
        source->len[1] = 0;
    return number
               ? hob_error_set(err, hob_error_from_errno(number), "%s: %s", path, strerror(number))
               : 0;
}

static struct item *add_item(struct source *source)
{
    if (source->count == source->capacity) {
        size_t capacity = source->capacity ? source->capacity * 2 : 64;
        struct item *items = realloc(source->items, capacity * sizeof *items);
        if (!items)
            return NULL;
        source->items = items;
        source->capacity = capacity;
    }
    struct item *item = &source->items[source->count++];
    *item = (struct item){.lines = 1};
    return item;
}

static int add_note(struct source *source, const char *ts, const char *code, const char *text,
                    size_t len)
{
    struct item *item = add_item(source);
    if (!item)
        return HOB_ENOMEM;
    item->kind = NOTE;
    snprintf(item->ts, sizeof item->ts, "%s", ts);
    item->text = code;
    item->len = strlen(code);
    item->program = text;
    item->program_len = len;
    return 0;
}

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
    if (len < sizeof head + TS_LEN || memcmp(line, head, sizeof head - 1) != 0 ||
        line[len - 1] != '}' || !is_meant(timeline, line, len))
        return 0;
    struct item *item = add_item(&timeline->sources[0]);
    if (!item)
        return HOB_ENOMEM;
    item->kind = EVENT;
    memcpy(item->ts, line + sizeof head - 1, TS_LEN);
    item->text = line;
    item->len = len;
    return 0;
}

/* Of a job that has done something here its claim was kept once. */
static int note_missing_events(struct timeline *timeline)
{
    static const char words[] = "older events of this job are not kept any more";
    struct source *events = &timeline->sources[0];
    bool began = false, claimed = false;
    for (size_t i = 0; i < events->count && timeline->options->job; i++) {
        const struct item *item = &events->items[i];
        claimed = claimed || has_words(item->text, item->len, "\"event\":\"job.claimed\"");
        began = began || has_words(item->text, item->len, "\"event\":\"job.step\"") ||
                has_words(item->text, item->len, "\"event\":\"job.finished\"") ||
                has_words(item->text, item->len, "\"event\":\"job.started\"");
    }
    if (!began || claimed || events->len[0] == 0)
        return 0;
    int rc = add_note(events, "", "ROTATED", words, sizeof words - 1);
    struct item note = events->items[events->count - 1];
    if (rc == 0) {
        memmove(events->items + 1, events->items, (events->count - 1) * sizeof note);
        events->items[0] = note;
    }
    return rc;
}

static int read_events(struct timeline *timeline, struct hob_error *err)
{
    char path[PATH_MAX], former[PATH_MAX];
    struct source *events = &timeline->sources[0];
    snprintf(path, sizeof path, "%s/" HOB_EVENTS_FILE, timeline->options->dir);
    snprintf(former, sizeof former, "%s/" HOB_EVENTS_FORMER, timeline->options->dir);
    int rc = read_halves(events, path, former, err);
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

static bool is_ts(const char *text, size_t len)
{
    static const char form[] = "0000-00-00T00:00:00.000Z";
    if (len != TS_LEN)
        return false;
    for (size_t i = 0; i < TS_LEN; i++)
        if (form[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
            return false;
    return true;
}

/* "--- fw-install, standard error, 2026-11-23T05:59:03.007Z" */
static bool read_mark(const char *line, size_t len, struct item *out)
{
    size_t head = strlen(HOB_OUTPUT_MARK);
    if (len < head + TS_LEN || memcmp(line, HOB_OUTPUT_MARK, head) != 0 ||
        !is_ts(line + len - TS_LEN, TS_LEN))
        return false;
    size_t room = len - TS_LEN;
    for (int is_err = 0; is_err < 2; is_err++) {
        const char *words = is_err ? STDERR_WORDS : STDOUT_WORDS;
        size_t n = strlen(words);
        if (room <= head + n || memcmp(line + room - n, words, n) != 0)
            continue;
        out->is_err = is_err;
        out->program = line + head;
        out->program_len = room - n - head;
        memcpy(out->ts, line + room, TS_LEN);
        return true;
    }
    return false;
}

size_t hob_timeline_piece(const char *text, size_t len)
{
    if (len <= HOB_TIMELINE_PIECE)
        return len;
    const char *end = memrchr(text, '\n', HOB_TIMELINE_PIECE);
    return end ? (size_t)(end - text) + 1 : hob_utf8_cut(text, len, HOB_TIMELINE_PIECE);
}

static size_t count_lines(const char *text, size_t len)
{
    size_t count = 0;
    for (const char *at = text; (at = memchr(at, '\n', (size_t)(text + len - at))); at++)
        count++;
    return count + (len > 0 && text[len - 1] != '\n');
}

static int add_output(struct source *source, const struct item *mark, const char *text, size_t len)
{
    while (len > 0) {
        size_t part = hob_timeline_piece(text, len);
        struct item *item = add_item(source);
        if (!item)
            return HOB_ENOMEM;
        *item = *mark;
        item->kind = OUTPUT;
        item->text = text;
        item->len = part;
        item->lines = count_lines(text, part);
        text += part;
        len -= part;
    }
    return 0;
}

static int take_loss(struct source *source, const struct item *mark, const char *line, size_t len)
{
    size_t head = strlen(HOB_OUTPUT_LOST), n = strlen(HOB_OUTPUT_DROPPED);
    bool is_dropped = len == n && memcmp(line, HOB_OUTPUT_DROPPED, n) == 0;
    return is_dropped ? 0 : add_note(source, mark->ts, "LOST", line + head, len - head);
}

static bool is_dropped(const struct source *source)
{
    size_t n = strlen(HOB_OUTPUT_DROPPED);
    return source->len[1] > n && memcmp(source->data[1], HOB_OUTPUT_DROPPED, n) == 0;
}

/* From mark to mark. What stands before the first one, where the beginning was left out, has no
 * time of its own. */
static int take_half(struct source *source, const char *data, size_t len, struct item *mark)
{
    const char *at = data, *end = data + len, *begin = data;
    int rc = 0;
    while (rc == 0 && at < end) {
        struct item next = {0};
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((stop ? stop : end) - at);
        bool is_mark = n > 4 && at[0] == '-' && read_mark(at, n, &next);
        bool is_loss = !is_mark && n > strlen(HOB_OUTPUT_LOST) &&
                       memcmp(at, HOB_OUTPUT_LOST, strlen(HOB_OUTPUT_LOST)) == 0;
        if (is_mark || is_loss)
            rc = add_output(source, mark, begin, (size_t)(at - begin));
        if (rc == 0 && is_loss)
            rc = take_loss(source, mark, at, n);
        at = stop ? stop + 1 : end;
        begin = is_mark || is_loss ? at : begin;
        *mark = is_mark ? next : *mark;
    }
    return rc ? rc : add_output(source, mark, begin, (size_t)(end - begin));
}

/* What stands before the first mark, since what was before it was left out, has the time of what
 * comes next, or of the last change. */
static void set_missing_times(struct source *source)
{
    char ts[HOB_CLOCK_TEXT_MAX];
    hob_clock_text(source->changed_ms, ts);
    for (size_t i = source->count; i > 0; i--) {
        struct item *item = &source->items[i - 1];
        if (item->ts[0])
            snprintf(ts, sizeof ts, "%s", item->ts);
        else if (item->kind == OUTPUT)
            snprintf(item->ts, sizeof item->ts, "%.*s", TS_LEN, ts);
    }
}

static int read_output(struct timeline *timeline, struct source *source, struct hob_error *err)
{
    static const char dropped[] =
        "older output of this job is not shown: it is not kept, or too much";
    char path[PATH_MAX], former[PATH_MAX];
    struct item mark = {.program = "?", .program_len = 1};
    int n = snprintf(path, sizeof path, "%s/" OUTPUT_DIR "/%s.log", timeline->options->dir,
                     source->file);
    int m = snprintf(former, sizeof former, "%s.1", path);
    if (n < 0 || m < 0 || (size_t)m >= sizeof former)
        return 0;
    int rc = read_halves(source, path, former, err);
    if (rc == 0 && (source->is_cut || is_dropped(source)))
        rc = add_note(source, "", "ROTATED", dropped, sizeof dropped - 1);
    for (int half = 0; half < 2 && rc == 0; half++)
        if (source->data[half])
            rc = take_half(source, source->data[half], source->len[half], &mark);
    set_missing_times(source);
    return rc;
}

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
    struct source *sources = realloc(timeline->sources, (timeline->count + 1) * sizeof *sources);
    if (!sources)
        return HOB_ENOMEM;
    timeline->sources = sources;
    struct source *source = &sources[timeline->count++];
    *source = (struct source){0};
    snprintf(source->file, sizeof source->file, "%.*s", (int)strlen(file) - (*file ? 4 : 0), file);
    return 0;
}

static int find_outputs(struct timeline *timeline, struct hob_error *err)
{
    char path[PATH_MAX];
    struct hob_output_name name;
    const struct dirent *entry;
    snprintf(path, sizeof path, "%s/" OUTPUT_DIR, timeline->options->dir);
    DIR *dir = timeline->options->job ? opendir(path) : NULL;
    int rc = 0;
    while (dir && rc == 0 && timeline->count <= OUTPUTS_MAX && (entry = readdir(dir)))
        if (is_wanted(timeline, entry->d_name, &name))
            rc = add_source(timeline, entry->d_name);
    if (dir)
        closedir(dir);
    for (size_t i = 1; i < timeline->count && rc == 0; i++) {
        struct source *source = &timeline->sources[i];
        hob_output_parse_name(source->file, strlen(source->file), &source->name);
        rc = read_output(timeline, source, err);
    }
    return rc;
}

/* ---- one order ---- */

/* Within a millisecond output goes first: what comes after an event has a later time (output.c). */
static bool is_before(const struct item *a, const struct item *b)
{
    int order = strcmp(a->ts, b->ts);
    return order < 0 || (order == 0 && a->kind == OUTPUT && b->kind == EVENT);
}

static struct source *next_source(struct timeline *timeline)
{
    struct source *best = NULL;
    for (size_t i = 0; i < timeline->count; i++) {
        struct source *source = &timeline->sources[i];
        if (source->at < source->count &&
            (!best || is_before(&source->items[source->at], &best->items[best->at])))
            best = source;
    }
    return best;
}

struct placed {
    const struct item *item;
    const struct source *source;
};

static struct placed *merge(struct timeline *timeline, size_t *count)
{
    struct source *source;
    for (size_t i = 0; i < timeline->count; i++)
        *count += timeline->sources[i].count;
    struct placed *all = calloc(*count + 1, sizeof *all);
    for (size_t n = 0; all && (source = next_source(timeline)); n++)
        all[n] = (struct placed){&source->items[source->at++], source};
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
    const struct item *item = placed->item;
    const char *text = item->text, *end = item->text + item->len;
    if (item->kind == NOTE)
        return put_note(out, item->text, item->program, item->program_len);
    if (item->kind == EVENT) {
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
        struct piece *pieces = realloc(timeline->pieces, capacity * sizeof *pieces);
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
        free(timeline->sources[i].data[0]);
        free(timeline->sources[i].data[1]);
        free(timeline->sources[i].items);
    }
    free(timeline->sources);
    free(timeline->pieces);
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
    free(all);
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
