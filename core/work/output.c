/* output.c - see output.h */
#include "work/output.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "work/tally.h"

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

#define LIMIT_DEFAULT (UINT64_C(1) << 20)
#define TOTAL_DEFAULT (UINT64_C(16) << 20)
#define LIMIT_MIN     4096
#define BLOCK_BYTES   4096 /* what even the smallest file takes */
#define PROGRAM_MAX   64
#define MARK_MAX      256
#define MARK_BYTES    (256 * 1024)
#define MARK_MS       5000
#define CURRENT       ".log"
#define FORMER        ".log.1"
#define BUCKETS       128 /* of open files; each event of a job looks for its own */

struct hob_outputs {
    struct hob_log *log;
    char *dir;
    uint64_t limit, total;
    struct hob_tally *tally;
    struct hob_output *open[BUCKETS];
    size_t open_count;
    struct hob_log_tap log_tap;
    struct hob_output_tap *taps, *next_tap; /* the next: to be told of what is written now */
};

struct hob_output {
    struct hob_outputs *outputs;
    struct hob_output *next;    /* of the same bucket */
    struct hob_output_name own; /* points into the path; empty: it is named otherwise */
    int fd;                     /* -1: not made yet */
    uint64_t size;
    uint64_t lost; /* bytes that could not be written */
    bool is_cut;   /* its first bytes are gone: said to the tally */
    int why_lost;  /* errno */
    bool at_line_start, has_said;
    char program[PROGRAM_MAX]; /* whose output came last */
    bool is_due;               /* whose it is, and when, is said again at the next line's start */
    uint64_t marked_size;      /* of the file when that was said */
    uint64_t marked_ms;        /* monotonic: when it was */
    int64_t due_ms;            /* wall clock: since then */
    bool is_err;
    const char *name; /* in the path, */
    size_t stem;      /* so long without its end */
    char path[];
};

/* ---- those that are written ---- */

static uint64_t hash(uint64_t value, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        value = value * 33 + (unsigned char)text[i];
    return value;
}

static size_t bucket_of(const struct hob_output_name *name)
{
    uint64_t value = hash((uint64_t)name->execution, name->thing, name->thing_len);
    return hash(value, name->job, name->job_len) % BUCKETS;
}

static void read_name(const char *name, size_t stem, struct hob_output_name *out)
{
    if (!hob_output_parse_name(name, stem, out))
        *out = (struct hob_output_name){.thing = "", .job = ""};
}

static bool is_part(const char *a, size_t a_len, const char *b, size_t b_len)
{
    return a_len == b_len && memcmp(a, b, a_len) == 0;
}

/* ---- all files together ---- */

struct old_file {
    char name[NAME_MAX + 1];
    uint64_t bytes;
    int64_t queued; /* by the service's clock, since ours may have jumped; from the name */
    struct timespec changed;
};

struct old_files {
    struct old_file *list;
    size_t count, capacity;
    uint64_t bytes;
};

static bool has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name), end = strlen(suffix);
    return len > end && strcmp(name + len - end, suffix) == 0;
}

static bool is_open(const struct hob_outputs *outputs, const char *name, size_t stem)
{
    struct hob_output_name own;
    read_name(name, stem, &own);
    const struct hob_output *output = outputs->open[bucket_of(&own)];
    while (output && !is_part(output->name, output->stem, name, stem))
        output = output->next;
    return output != NULL;
}

static int64_t queued_of(const char *name, size_t stem)
{
    size_t digits = 0;
    while (digits < stem && strchr("0123456789", name[stem - digits - 1]))
        digits++;
    return strtoll(name + stem - digits, NULL, 10);
}

static bool read_old(const struct hob_outputs *outputs, const char *name, struct old_file *out)
{
    char path[PATH_MAX];
    struct stat st;
    const char *suffix = has_suffix(name, FORMER) ? FORMER : CURRENT;
    if (!has_suffix(name, suffix) || is_open(outputs, name, strlen(name) - strlen(suffix)))
        return false;
    int n = snprintf(path, sizeof path, "%s/%s", outputs->dir, name);
    if (n < 0 || (size_t)n >= sizeof path || lstat(path, &st) || !S_ISREG(st.st_mode))
        return false;
    snprintf(out->name, sizeof out->name, "%s", name);
    out->bytes = ((uint64_t)st.st_size + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    out->queued = queued_of(name, strlen(name) - strlen(suffix));
    out->changed = st.st_mtim;
    return true;
}

static struct old_file *one_more(struct old_files *files)
{
    if (files->count == files->capacity) {
        size_t capacity = files->capacity ? files->capacity * 2 : 64;
        struct old_file *list = hob_realloc(files->list, capacity * sizeof *list);
        if (!list)
            return NULL;
        files->list = list;
        files->capacity = capacity;
    }
    return &files->list[files->count];
}

/* The files that nobody writes any more. */
static void list_old(const struct hob_outputs *outputs, struct old_files *files)
{
    DIR *dir = opendir(outputs->dir);
    const struct dirent *entry;
    struct old_file *next;
    while (dir && (entry = readdir(dir)) && (next = one_more(files)))
        if (read_old(outputs, entry->d_name, next)) {
            files->bytes += next->bytes;
            files->count++;
        }
    if (dir)
        closedir(dir);
}

static int by_age(const void *a, const void *b)
{
    const struct old_file *x = a, *y = b;
    if (x->queued != y->queued)
        return x->queued < y->queued ? -1 : 1;
    if (x->changed.tv_sec != y->changed.tv_sec)
        return x->changed.tv_sec < y->changed.tv_sec ? -1 : 1;
    return (x->changed.tv_nsec > y->changed.tv_nsec) - (x->changed.tv_nsec < y->changed.tv_nsec);
}

/* Those that are written may each grow to their limit. */
static uint64_t room_for_old(const struct hob_outputs *outputs)
{
    uint64_t reserved = outputs->open_count * outputs->limit;
    return reserved < outputs->total ? outputs->total - reserved : 0;
}

static void make_room(const struct hob_outputs *outputs)
{
    char path[PATH_MAX];
    struct old_files files = {0};
    uint64_t room = room_for_old(outputs);
    list_old(outputs, &files);
    if (files.bytes > room)
        qsort(files.list, files.count, sizeof *files.list, by_age);
    for (size_t i = 0; i < files.count && files.bytes > room; i++) {
        snprintf(path, sizeof path, "%s/%s", outputs->dir, files.list[i].name);
        if (!unlink(path))
            files.bytes -= files.list[i].bytes;
    }
    hob_free(files.list);
}

/* ---- one file ---- */

static bool is_bad_in_name(char c)
{
    return c == '/' || (unsigned char)c < ' ' || c == 0x7f;
}

/* Of the files' names nothing but this is a stranger's. */
static struct hob_output *make(const char *dir, const char *name)
{
    size_t at = strlen(dir) + 1, stem = strlen(name), size = at + stem + sizeof CURRENT;
    bool fits = at + stem + sizeof FORMER <= PATH_MAX;
    struct hob_output *output = fits ? hob_calloc(1, sizeof *output + size) : NULL;
    if (!output)
        return NULL;
    snprintf(output->path, size, "%s/%s" CURRENT, dir, name);
    for (char *c = output->path + at; *c; c++)
        *c = is_bad_in_name(*c) ? '_' : *c;
    output->name = output->path + at;
    output->stem = stem;
    output->fd = -1;
    read_name(output->name, stem, &output->own);
    return output;
}

static void say_trouble(struct hob_output *output)
{
    if (output->has_said)
        return;
    output->has_said = true;
    hob_log_write(
        output->outputs->log,
        &(struct hob_log_record){.level = HOB_LOG_WARN,
                                 .event = "output.failed",
                                 .code = hob_error_name(hob_error_from_errno(output->why_lost)),
                                 .action = "make room in the data directory, or make it writable"},
        "%s: %s: what a job's programs print is not kept; the job itself goes on", output->path,
        strerror(output->why_lost));
}

static void lose(struct hob_output *output, size_t len, int number)
{
    output->lost += len;
    output->why_lost = number;
    say_trouble(output);
}

static int open_file(struct hob_output *output)
{
    struct stat st;
    if (output->fd >= 0)
        return 0;
    if (mkdir(output->outputs->dir, 0700) && errno != EEXIST)
        return errno;
    make_room(output->outputs);
    output->fd = open(output->path,
                      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (output->fd < 0)
        return errno;
    output->size = fstat(output->fd, &st) ? 0 : (uint64_t)st.st_size;
    output->at_line_start = output->size == 0;
    output->program[0] = '\0';
    return 0;
}

/* Half a chunk may be written when the disk gets full. @return 0 or the errno; *left was not
 * written */
static int put(struct hob_output *output, const char *data, size_t len, size_t *left)
{
    while (len > 0) {
        ssize_t n = write(output->fd, data, len);
        if (n <= 0 && !(n < 0 && errno == EINTR)) {
            *left = len;
            return n < 0 ? errno : ENOSPC;
        }
        if (n < 0)
            continue;
        output->size += (uint64_t)n;
        output->at_line_start = data[n - 1] == '\n';
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int put_mark(struct hob_output *output, const char *words)
{
    char mark[MARK_MAX];
    size_t left;
    int n = snprintf(mark, sizeof mark, "%s%s\n", output->at_line_start ? "" : "\n", words);
    return put(output, mark, n < (int)sizeof mark ? (size_t)n : sizeof mark - 1, &left);
}

/* The former half is taken away first: a file system may write a file out at once when it is put in
 * the place of another one, and this one may be gone again in a moment. */
static int rotate(struct hob_output *output)
{
    char former[PATH_MAX];
    snprintf(former, sizeof former, "%.*s" FORMER, (int)(strlen(output->path) - strlen(CURRENT)),
             output->path);
    close(output->fd);
    output->fd = -1;
    bool drops = unlink(former) == 0;
    if (drops && !output->is_cut) {
        output->is_cut = true;
        hob_tally_broke(output->outputs->tally, HOB_TALLY_OUTPUT);
    }
    if (rename(output->path, former))
        return errno;
    int number = open_file(output);
    return number || !drops ? number : put_mark(output, HOB_OUTPUT_DROPPED);
}

/* Within the millisecond of the event that made it due, the mark is put into the next one: it is to
 * be seen that it comes after. */
static int64_t time_of_mark(const struct hob_output *output)
{
    int64_t now = hob_clock_wall_ms();
    return output->is_due && now == output->due_ms ? now + 1 : now;
}

/* When something was printed is to be seen of what is printed for long, or comes in masses. */
static bool is_old(const struct hob_output *output)
{
    return output->size - output->marked_size > MARK_BYTES ||
           hob_clock_mono_ms() - output->marked_ms > MARK_MS;
}

static int put_source(struct hob_output *output, const char *program, bool is_err)
{
    char words[MARK_MAX - 8], when[HOB_CLOCK_TEXT_MAX];
    bool is_same = strncmp(output->program, program, sizeof output->program - 1) == 0 &&
                   output->is_err == is_err;
    if (is_same && !(output->at_line_start && (output->is_due || is_old(output))))
        return 0;
    snprintf(words, sizeof words, "--- %.*s, %s, %s", PROGRAM_MAX - 1, program,
             is_err ? "standard error" : "standard output",
             hob_clock_text(time_of_mark(output), when));
    int number = put_mark(output, words);
    if (number)
        return number;
    snprintf(output->program, sizeof output->program, "%s", program);
    output->is_err = is_err;
    output->is_due = false;
    output->marked_size = output->size;
    output->marked_ms = hob_clock_mono_ms();
    return 0;
}

static int put_loss(struct hob_output *output)
{
    char words[MARK_MAX - 8];
    if (!output->lost)
        return 0;
    snprintf(words, sizeof words, "--- hob: %" PRIu64 " bytes were lost here: %s", output->lost,
             strerror(output->why_lost));
    int number = put_mark(output, words);
    if (number)
        return number;
    output->lost = 0;
    output->program[0] = '\0'; /* whose words come next is said again */
    return 0;
}

/* Open, with room for at least a byte, and all said that comes before the next byte. */
static int get_ready(struct hob_output *output, const char *program, bool is_err)
{
    uint64_t half = output->outputs->limit / 2;
    int number = open_file(output);
    if (!number && output->size >= half) {
        number = rotate(output);
    }
    number = number ? number : put_loss(output);
    return number ? number : put_source(output, program, is_err);
}

/* @return how many bytes were taken */
static size_t put_part(struct hob_output *output, const char *program, bool is_err,
                       const char *data, size_t len)
{
    uint64_t half = output->outputs->limit / 2;
    size_t left = len;
    int number = get_ready(output, program, is_err);
    if (!number) {
        size_t room = output->size < half ? (size_t)(half - output->size) : 1;
        left = len = len < room ? len : room;
        number = put(output, data, len, &left);
    }
    if (number)
        lose(output, left, number);
    return len;
}

/* ---- names, and who wants to know ---- */

bool hob_output_parse_name(const char *name, size_t len, struct hob_output_name *out)
{
    int64_t *const numbers[] = {&out->queued_at, &out->execution};
    const char *at = memchr(name, '@', len);
    for (int i = 0; i < 2; i++) {
        size_t digits = 0;
        while (digits < len && name[len - digits - 1] >= '0' && name[len - digits - 1] <= '9')
            digits++;
        if (digits == 0 || digits > 18 || digits == len || name[len - digits - 1] != '-')
            return false;
        *numbers[i] = strtoll(name + len - digits, NULL, 10);
        len -= digits + 1;
    }
    if (!at || at >= name + len)
        return false;
    out->thing = name;
    out->thing_len = (size_t)(at - name);
    out->job = at + 1;
    out->job_len = len - out->thing_len - 1;
    return true;
}

static bool is_about(const struct hob_output_name *a, const struct hob_output_name *b)
{
    return a->execution == b->execution && is_part(a->job, a->job_len, b->job, b->job_len) &&
           is_part(a->thing, a->thing_len, b->thing, b->thing_len);
}

/* What is printed after an event belongs after it. */
static void on_event(void *user, const struct hob_log_record *record, const char *line, size_t len)
{
    const struct hob_outputs *outputs = user;
    if (!record->job || !record->thing || outputs->open_count == 0)
        return;
    struct hob_output_name about = {.thing = record->thing,
                                    .job = record->job,
                                    .thing_len = strlen(record->thing),
                                    .job_len = strlen(record->job),
                                    .execution = record->execution};
    struct hob_output *output = outputs->open[bucket_of(&about)];
    for (; output; output = output->next)
        if (is_about(&output->own, &about)) {
            output->is_due = true;
            output->due_ms = hob_clock_wall_ms();
        }
}

void hob_outputs_tap(struct hob_outputs *outputs, struct hob_output_tap *tap)
{
    tap->next = outputs->taps;
    outputs->taps = tap;
}

void hob_outputs_untap(struct hob_outputs *outputs, struct hob_output_tap *tap)
{
    for (struct hob_output_tap **place = &outputs->taps; *place; place = &(*place)->next)
        if (*place == tap) {
            *place = tap->next;
            outputs->next_tap = outputs->next_tap == tap ? tap->next : outputs->next_tap;
            return;
        }
}

/* ---- public ---- */

int hob_outputs_new(struct hob_log *log, const struct hob_output_options *options,
                    struct hob_outputs **out, struct hob_error *err)
{
    struct hob_outputs *outputs = hob_calloc(1, sizeof *outputs);
    if (outputs)
        outputs->dir = hob_strdup(options->dir);
    if (!outputs || !outputs->dir) {
        hob_free(outputs);
        return hob_error_set(err, HOB_ENOMEM, "%s: out of memory", options->dir);
    }
    outputs->log = log;
    outputs->tally = options->tally;
    outputs->limit = options->limit_bytes ? options->limit_bytes : LIMIT_DEFAULT;
    outputs->limit = outputs->limit < LIMIT_MIN ? LIMIT_MIN : outputs->limit;
    outputs->total = options->total_bytes ? options->total_bytes : TOTAL_DEFAULT;
    make_room(outputs);
    outputs->log_tap = (struct hob_log_tap){
        .fn = on_event, .user = outputs, .level = HOB_LOG_INFO, .format = HOB_LOG_JSON};
    if (log)
        hob_log_tap(log, &outputs->log_tap);
    *out = outputs;
    return 0;
}

uint64_t hob_outputs_bytes(const struct hob_outputs *outputs)
{
    char path[PATH_MAX];
    struct stat st;
    uint64_t bytes = 0;
    const struct dirent *entry;
    DIR *dir = opendir(outputs->dir);
    while (dir && (entry = readdir(dir)) != NULL) {
        int n = snprintf(path, sizeof path, "%s/%s", outputs->dir, entry->d_name);
        if (n > 0 && (size_t)n < sizeof path && !lstat(path, &st) && S_ISREG(st.st_mode))
            bytes += (uint64_t)st.st_size;
    }
    if (dir)
        closedir(dir);
    return bytes;
}

void hob_outputs_free(struct hob_outputs *outputs)
{
    if (!outputs)
        return;
    hob_log_untap(outputs->log, &outputs->log_tap);
    for (size_t i = 0; i < BUCKETS; i++)
        while (outputs->open[i])
            hob_output_close(outputs->open[i]);
    hob_free(outputs->dir);
    hob_free(outputs);
}

struct hob_output *hob_output_open(struct hob_outputs *outputs, const char *name)
{
    struct hob_output *output = outputs ? make(outputs->dir, name) : NULL;
    if (!output)
        return NULL;
    struct hob_output **bucket = &outputs->open[bucket_of(&output->own)];
    output->outputs = outputs;
    output->next = *bucket;
    *bucket = output;
    outputs->open_count++;
    return output;
}

static void tell_taps(struct hob_output *output, const char *program, bool is_err, const char *data,
                      size_t len)
{
    struct hob_outputs *outputs = output->outputs;
    char name[NAME_MAX + 1];
    snprintf(name, sizeof name, "%.*s", (int)output->stem, output->name);
    for (struct hob_output_tap *tap = outputs->taps; tap; tap = outputs->next_tap) {
        outputs->next_tap = tap->next;
        tap->fn(tap->user, name, program, is_err, data, len);
    }
}

void hob_output_write(struct hob_output *output, const char *program, bool is_err, const char *data,
                      size_t len)
{
    if (output && len > 0 && output->outputs->taps)
        tell_taps(output, program, is_err, data, len);
    while (output && len > 0) {
        size_t part = put_part(output, program, is_err, data, len);
        data += part;
        len -= part;
    }
}

const char *hob_output_path(const struct hob_output *output)
{
    return output->path;
}

void hob_output_close(struct hob_output *output)
{
    if (!output)
        return;
    struct hob_output **place = &output->outputs->open[bucket_of(&output->own)];
    while (*place != output)
        place = &(*place)->next;
    *place = output->next;
    output->outputs->open_count--;
    if (output->fd >= 0)
        close(output->fd);
    hob_free(output);
}
