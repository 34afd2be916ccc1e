/* timeline_source.c - see timeline_source.h */
#include "work/timeline_source.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "work/timeline.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STDOUT_WORDS ", standard output, "
#define STDERR_WORDS ", standard error, "

/* ---- files ---- */

static int read_fd(int fd, off_t whole, size_t most, char **data, size_t *len)
{
    size_t size = (uint64_t)whole > most ? most : (size_t)whole;
    off_t from = whole - (off_t)size;
    *data = hob_malloc(size + 1);
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
static int read_file(const char *path, size_t most, struct hob_timeline_source *source, int half,
                     ino_t *inode)
{
    struct stat st = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 0 : errno;
    int number = fstat(fd, &st) ? errno : S_ISREG(st.st_mode) ? 0 : EINVAL;
    number =
        number ? number : read_fd(fd, st.st_size, most, &source->data[half], &source->len[half]);
    source->is_cut = source->is_cut || (uint64_t)st.st_size > most;
    source->changed_ms = (int64_t)st.st_mtim.tv_sec * 1000;
    *inode = st.st_ino;
    close(fd);
    return number;
}

/* The present half first: if it becomes the former one meanwhile it is seen twice, not never. */
int hob_timeline_source_read(struct hob_timeline_source *source, size_t most, const char *present,
                             const char *former, struct hob_error *err)
{
    ino_t inodes[2] = {0, 0};
    int number = read_file(present, most, source, 1, &inodes[1]);
    const char *path = present;
    if (!number) {
        path = former;
        number = read_file(former, most, source, 0, &inodes[0]);
    }
    if (!number && inodes[0] && inodes[0] == inodes[1])
        source->len[1] = 0;
    return number
               ? hob_error_set(err, hob_error_from_errno(number), "%s: %s", path, strerror(number))
               : 0;
}

struct hob_timeline_item *hob_timeline_source_add(struct hob_timeline_source *source)
{
    if (source->count == source->capacity) {
        size_t capacity = source->capacity ? source->capacity * 2 : 64;
        struct hob_timeline_item *items = hob_realloc(source->items, capacity * sizeof *items);
        if (!items)
            return NULL;
        source->items = items;
        source->capacity = capacity;
    }
    struct hob_timeline_item *item = &source->items[source->count++];
    *item = (struct hob_timeline_item){.lines = 1};
    return item;
}

int hob_timeline_source_note(struct hob_timeline_source *source, const char *ts, const char *code,
                             const char *text, size_t len)
{
    struct hob_timeline_item *item = hob_timeline_source_add(source);
    if (!item)
        return HOB_ENOMEM;
    item->kind = HOB_TIMELINE_NOTE;
    snprintf(item->ts, sizeof item->ts, "%s", ts);
    item->text = code;
    item->len = strlen(code);
    item->program = text;
    item->program_len = len;
    return 0;
}

/* ---- output ---- */

static bool is_ts(const char *text, size_t len)
{
    static const char form[] = "0000-00-00T00:00:00.000Z";
    if (len != HOB_TIMELINE_TS_LEN)
        return false;
    for (size_t i = 0; i < HOB_TIMELINE_TS_LEN; i++)
        if (form[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
            return false;
    return true;
}

/* "--- fw-install, standard error, 2026-11-23T05:59:03.007Z" */
static bool read_mark(const char *line, size_t len, struct hob_timeline_item *out)
{
    size_t head = strlen(HOB_OUTPUT_MARK);
    if (len < head + HOB_TIMELINE_TS_LEN || memcmp(line, HOB_OUTPUT_MARK, head) != 0 ||
        !is_ts(line + len - HOB_TIMELINE_TS_LEN, HOB_TIMELINE_TS_LEN))
        return false;
    size_t room = len - HOB_TIMELINE_TS_LEN;
    for (int is_err = 0; is_err < 2; is_err++) {
        const char *words = is_err ? STDERR_WORDS : STDOUT_WORDS;
        size_t n = strlen(words);
        if (room <= head + n || memcmp(line + room - n, words, n) != 0)
            continue;
        out->is_err = is_err;
        out->program = line + head;
        out->program_len = room - n - head;
        memcpy(out->ts, line + room, HOB_TIMELINE_TS_LEN);
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

static int add_output(struct hob_timeline_source *source, const struct hob_timeline_item *mark,
                      const char *text, size_t len)
{
    while (len > 0) {
        size_t part = hob_timeline_piece(text, len);
        struct hob_timeline_item *item = hob_timeline_source_add(source);
        if (!item)
            return HOB_ENOMEM;
        *item = *mark;
        item->kind = HOB_TIMELINE_OUTPUT;
        item->text = text;
        item->len = part;
        item->lines = count_lines(text, part);
        text += part;
        len -= part;
    }
    return 0;
}

static int take_loss(struct hob_timeline_source *source, const struct hob_timeline_item *mark,
                     const char *line, size_t len)
{
    size_t head = strlen(HOB_OUTPUT_LOST), n = strlen(HOB_OUTPUT_DROPPED);
    bool is_dropped = len == n && memcmp(line, HOB_OUTPUT_DROPPED, n) == 0;
    return is_dropped ? 0
                      : hob_timeline_source_note(source, mark->ts, "LOST", line + head, len - head);
}

static bool is_dropped(const struct hob_timeline_source *source)
{
    size_t n = strlen(HOB_OUTPUT_DROPPED);
    return source->len[1] > n && memcmp(source->data[1], HOB_OUTPUT_DROPPED, n) == 0;
}

/* From mark to mark. What stands before the first one, where the beginning was left out, has no
 * time of its own. */
static int take_half(struct hob_timeline_source *source, const char *data, size_t len,
                     struct hob_timeline_item *mark)
{
    const char *at = data, *end = data + len, *begin = data;
    int rc = 0;
    while (rc == 0 && at < end) {
        struct hob_timeline_item next = {0};
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
static void set_missing_times(struct hob_timeline_source *source)
{
    char ts[HOB_CLOCK_TEXT_MAX];
    hob_clock_text(source->changed_ms, ts);
    for (size_t i = source->count; i > 0; i--) {
        struct hob_timeline_item *item = &source->items[i - 1];
        if (item->ts[0])
            snprintf(ts, sizeof ts, "%s", item->ts);
        else if (item->kind == HOB_TIMELINE_OUTPUT)
            snprintf(item->ts, sizeof item->ts, "%.*s", HOB_TIMELINE_TS_LEN, ts);
    }
}

int hob_timeline_source_parse(struct hob_timeline_source *source)
{
    static const char dropped[] =
        "older output of this job is not shown: it is not kept, or too much";
    struct hob_timeline_item mark = {.program = "?", .program_len = 1};
    int rc = 0;
    if (source->is_cut || is_dropped(source))
        rc = hob_timeline_source_note(source, "", "ROTATED", dropped, sizeof dropped - 1);
    for (int half = 0; half < 2 && rc == 0; half++)
        if (source->data[half])
            rc = take_half(source, source->data[half], source->len[half], &mark);
    set_missing_times(source);
    return rc;
}

void hob_timeline_source_free(struct hob_timeline_source *source)
{
    hob_free(source->data[0]);
    hob_free(source->data[1]);
    hob_free(source->items);
}
