/* debug_points.c - the breakpoints of a session: checked, moved to a line with code, counted. */
#include "base/alloc.h"
#include "work/debug_parts.h"

#include "base/buf.h"
#include "work/job.h"
#include "work/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOURCE_MAX (4 << 20)
#define CHUNK      (64 << 10)

/* ---- one of them ---- */

static void free_point(struct hob_debug_point *point)
{
    if (point) {
        hob_free(point->file);
        hob_free(point->real);
        hob_free(point->name);
        hob_free(point->condition);
        hob_free(point->log);
        hob_free(point);
    }
}

void hob_debug_free_points(struct hob_debug_session *session)
{
    for (size_t i = 0; i < session->count; i++) {
        free_point(session->points[i]);
    }
    hob_free(session->points);
    session->points = NULL;
    session->count = 0;
}

struct hob_debug_point *hob_debug_find_point(const struct hob_debug_session *session, int id)
{
    for (size_t i = 0; i < session->count; i++) {
        if (session->points[i]->id == id) {
            return session->points[i];
        }
    }
    return NULL;
}

static bool ends_with(const char *path, const char *end)
{
    size_t len = strlen(path), part = strlen(end);
    return part < len && strcmp(path + len - part, end) == 0 && path[len - part - 1] == '/';
}

/* A chunk is named as its file was: perhaps by way of a symbolic link, which an editor has
 * resolved. */
bool hob_debug_is_in(const struct hob_debug_point *point, const char *source)
{
    if (source[0] != '@' || !point->file) {
        return false;
    }
    const char *path = source + 1;
    return strcmp(path, point->file) == 0 || (point->real && strcmp(path, point->real) == 0) ||
           (point->file[0] != '/' && ends_with(path, point->file));
}

bool hob_debug_count_hit(struct hob_debug_point *point)
{
    uint64_t hits = ++point->hits, number = point->hit_number;
    switch (point->hit_op) {
    case '>':
        return hits > number;
    case 'g':
        return hits >= number;
    case '<':
        return hits < number;
    case 'l':
        return hits <= number;
    case '=':
        return hits == number;
    case '%':
        return hits % number == 0;
    default:
        return true;
    }
}

/* "5" as ">=5": from the fifth pass on. */
static bool read_hit(const char *text, struct hob_debug_point *point)
{
    static const struct {
        const char *word;
        char op;
    } words[] = {{">=", 'g'}, {"<=", 'l'}, {"==", '='}, {">", '>'},
                 {"<", '<'},  {"=", '='},  {"%", '%'},  {"", 'g'}};
    text += strspn(text, " ");
    size_t i = 0;
    while (strncmp(text, words[i].word, strlen(words[i].word)) != 0) {
        i++;
    }
    text += strlen(words[i].word);
    text += strspn(text, " ");
    char *end;
    errno = 0;
    long long number = text[0] >= '0' && text[0] <= '9' ? strtoll(text, &end, 10) : -1;
    if (number < 0 || errno || end[strspn(end, " ")] || (words[i].op == '%' && number == 0)) {
        return false;
    }
    point->hit_op = words[i].op;
    point->hit_number = (uint64_t)number;
    return true;
}

static bool copy(char **out, const char *text)
{
    *out = text && *text ? hob_strdup(text) : NULL;
    return *out || !text || !*text;
}

static bool copy_texts(struct hob_debug_point *point, const char *file,
                       const struct hob_debug_break *from)
{
    point->line = from->line;
    point->real = file && file[0] == '/' ? hob_realpath(file) : NULL;
    return copy(&point->file, file) && copy(&point->name, file ? NULL : from->name) &&
           copy(&point->condition, from->condition) && copy(&point->log, from->log);
}

static bool is_wrong(enum hob_debug_eval_kind kind, const char *what, const char *text, char *out,
                     size_t len)
{
    struct hob_error why = {0};
    if (text && hob_debug_eval_check(kind, text, strlen(text), &why)) {
        snprintf(out, len, "%s: %s", what, why.message);
        return true;
    }
    return false;
}

/* What its texts say against it. */
static bool check_texts(struct hob_debug_point *point, const struct hob_debug_break *from,
                        char *message, size_t len)
{
    if (from->hit && *from->hit && !read_hit(from->hit, point)) {
        snprintf(message, len,
                 "hit count %.40s: expected a number, or one behind > >= < <= == or %%", from->hit);
        return false;
    }
    return !is_wrong(HOB_DEBUG_EVAL_TEXT, "condition", point->condition, message, len) &&
           !is_wrong(HOB_DEBUG_EVAL_LOG, "text", point->log, message, len);
}

/* ---- the text of a file, as a job was begun with ---- */

static bool is_path(const char *path, const char *wanted)
{
    return strcmp(path, wanted) == 0 || (wanted[0] != '/' && ends_with(path, wanted));
}

/* The store knows a module by its name, which is the end of its path: "a.b" of ".../a/b.lua". */
static int module_source(struct hob_journal *journal, const char *file, struct hob_buf *out)
{
    char name[HOB_DEBUG_FILE_MAX];
    const char *path, *text;
    size_t len = strlen(file), size;
    struct hob_error err = {0};
    if (len < 5 || len >= sizeof name || strcmp(file + len - 4, ".lua") != 0) {
        return HOB_ENOENT;
    }
    for (const char *at = file + len; at > file; at--) {
        if (at[-1] != '/' && at - 1 != file) {
            continue;
        }
        const char *begin = at[-1] == '/' ? at : file;
        snprintf(name, sizeof name, "%.*s", (int)(file + len - 4 - begin), begin);
        for (char *c = name; *c; c++) {
            *c = *c == '/' ? '.' : *c;
        }
        if (name[0] && hob_journal_source(journal, name, &path, &text, &size, &err) == 0 &&
            is_path(path, file)) {
            return hob_buf_append(out, text, size);
        }
    }
    return HOB_ENOENT;
}

static const char *const handler_tails[] = {"", ".sh", NULL}; /* AWS's names often have it */

/* One that a step of AWS's document names: with the name of its file, if not with another. */
static int handler_source(struct hob_job *job, const char *file, struct hob_buf *out)
{
    char name[HOB_DEBUG_FILE_MAX];
    struct hob_job_source source;
    struct hob_error err = {0};
    const char *slash = strrchr(file, '/');
    snprintf(name, sizeof name, "%s", slash ? slash + 1 : file);
    char *end = strstr(name, ".lua");
    for (const char *const *tail = handler_tails; end && *tail; tail++) {
        snprintf(end, sizeof name - (size_t)(end - name), "%s", *tail);
        if (hob_job_begun_handler(job, name, &source, &err) == 0 && is_path(source.path, file)) {
            return hob_buf_append(out, source.text, source.len);
        }
    }
    return HOB_ENOENT;
}

int hob_debug_pinned_source(const struct hob_debug_target *target, const char *file,
                            struct hob_buf *out)
{
    const char *path, *text;
    size_t len;
    struct hob_error err = {0};
    struct hob_journal *journal = hob_job_journal(target->options.job);
    if (hob_journal_source(journal, "", &path, &text, &len, &err) == 0 && is_path(path, file)) {
        return hob_buf_append(out, text, len);
    }
    return module_source(journal, file, out) == 0 ? 0
                                                  : handler_source(target->options.job, file, out);
}

static int read_all(int fd, const char *path, struct hob_buf *out, struct hob_error *err)
{
    for (;;) {
        char *room = hob_buf_reserve(out, CHUNK);
        ssize_t got = room ? read(fd, room, CHUNK) : -1;
        if (!room) {
            return hob_error_set(err, HOB_EMSGSIZE, "%s: over %d MB", path, SOURCE_MAX >> 20);
        }
        if (got <= 0) {
            return got == 0 ? 0
                            : hob_error_set(err, hob_error_from_errno(errno), "%s: %s", path,
                                            strerror(errno));
        }
        hob_buf_commit(out, (size_t)got);
    }
}

static int file_source(const char *path, struct hob_buf *out, struct hob_error *err)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &info)) {
        int rc = hob_error_set(err, hob_error_from_errno(errno), "%s: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return rc;
    }
    int rc = S_ISREG(info.st_mode) ? read_all(fd, path, out, err)
                                   : hob_error_set(err, HOB_EINVAL, "%s: not a file", path);
    close(fd);
    return rc;
}

int hob_debug_source(struct hob_debug_session *session, int thread, const char *path,
                     struct hob_buf *out, struct hob_error *err)
{
    struct hob_debug_target *target = thread ? hob_debug_target(session, thread, err) : NULL;
    if (thread && !target) {
        return HOB_ENOENT;
    }
    if (target && hob_debug_pinned_source(target, path, out) == 0) {
        return 0;
    }
    return file_source(path, out, err);
}

/* ---- all of a file, or all of steps ---- */

/* A job that runs says what the file was when it began; what is on disk may be newer. */
static int find_text(const struct hob_debug_session *session, const char *file, struct hob_buf *out,
                     struct hob_error *err)
{
    const struct hob_debug_target *target = session->debugger->targets;
    for (; target; target = target->next) {
        if (hob_debug_has_seat(target, session) &&
            hob_debug_pinned_source(target, file, out) == 0) {
            return 0;
        }
    }
    return file_source(file, out, err);
}

/* @return whether `lines` can be asked; else `why` says why not */
static bool find_lines(const struct hob_debug_session *session, const char *file,
                       struct hob_debug_lines *lines, struct hob_error *why)
{
    struct hob_buf text;
    hob_buf_init(&text, SOURCE_MAX);
    int rc = find_text(session, file, &text, why);
    rc = rc ? rc : hob_debug_lines_of(hob_buf_data(&text), hob_buf_len(&text), lines, why);
    hob_buf_free(&text);
    return rc == 0;
}

static void place_line(struct hob_debug_point *point, const struct hob_debug_lines *lines,
                       struct hob_debug_set_break *out)
{
    int line = hob_debug_lines_next(lines, point->line);
    if (line == 0) {
        out->verified = false;
        snprintf(out->message, sizeof out->message, "no code at line %d or after it", point->line);
    } else if (line != point->line) {
        snprintf(out->message, sizeof out->message, "no code at line %d: moved to the next",
                 point->line);
        point->line = line;
    }
}

static void check(struct hob_debug_point *point, const struct hob_debug_break *from,
                  const struct hob_debug_lines *lines, const struct hob_error *why,
                  struct hob_debug_set_break *out)
{
    *out = (struct hob_debug_set_break){.id = point->id, .verified = true};
    if (!check_texts(point, from, out->message, sizeof out->message)) {
        out->verified = false;
        point->line = 0; /* never met */
        hob_free(point->name);
        point->name = hob_strdup("");
    } else if (lines) {
        place_line(point, lines, out);
    } else if (point->file) {
        out->verified = false;
        snprintf(out->message, sizeof out->message, "%s", why->message);
    }
    out->line = point->line ? point->line : from->line;
}

static struct hob_debug_point *new_point(struct hob_debugger *debugger, const char *file,
                                         const struct hob_debug_break *from)
{
    struct hob_debug_point *point = hob_calloc(1, sizeof *point);
    if (!point || !copy_texts(point, file, from)) {
        free_point(point);
        return NULL;
    }
    point->id = ++debugger->last_point;
    return point;
}

static bool is_of(const struct hob_debug_point *point, const char *file)
{
    return file ? point->file && strcmp(point->file, file) == 0 : !point->file;
}

static void drop_points(struct hob_debug_session *session, const char *file)
{
    size_t kept = 0;
    for (size_t i = 0; i < session->count; i++) {
        if (is_of(session->points[i], file)) {
            free_point(session->points[i]);
        } else {
            session->points[kept++] = session->points[i];
        }
    }
    session->count = kept;
}

static int add_points(struct hob_debug_session *session, const char *file,
                      const struct hob_debug_break *list, size_t count,
                      struct hob_debug_set_break *out, struct hob_error *err)
{
    struct hob_error why = {0};
    struct hob_debug_lines lines = {0};
    bool known = file && find_lines(session, file, &lines, &why);
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        struct hob_debug_point *point = new_point(session->debugger, file, &list[i]);
        if (point) {
            check(point, &list[i], known ? &lines : NULL, &why, &out[i]);
            session->points[session->count++] = point;
        } else {
            rc = hob_error_set(err, HOB_ENOMEM, "breakpoints: out of memory");
        }
    }
    hob_debug_lines_free(&lines);
    return rc;
}

static int make_room(struct hob_debug_session *session, size_t count, struct hob_error *err)
{
    struct hob_debug_point **points =
        hob_realloc(session->points, (session->count + count + 1) * sizeof *points);
    if (!points) {
        return hob_error_set(err, HOB_ENOMEM, "breakpoints: out of memory");
    }
    session->points = points;
    return 0;
}

static int set_points(struct hob_debug_session *session, const char *file,
                      const struct hob_debug_break *list, size_t count,
                      struct hob_debug_set_break *out, struct hob_error *err)
{
    int rc = 0;
    drop_points(session, file);
    if (session->count + count > HOB_DEBUG_BREAKS_MAX) {
        rc = hob_error_set(err, HOB_EINVAL, "more than %d breakpoints", HOB_DEBUG_BREAKS_MAX);
    } else {
        rc = make_room(session, count, err);
    }
    rc = rc ? rc : add_points(session, file, list, count, out, err);
    struct hob_debug_target *target = session->debugger->targets;
    for (; target; target = target->next) {
        hob_debug_aim(target);
    }
    return rc;
}

int hob_debug_breakpoints(struct hob_debug_session *session, const char *file,
                          const struct hob_debug_break *list, size_t count,
                          struct hob_debug_set_break *out, struct hob_error *err)
{
    if (!file || !*file) {
        return hob_error_set(err, HOB_EINVAL, "breakpoints: expected a file");
    }
    return set_points(session, file, list, count, out, err);
}

int hob_debug_function_breakpoints(struct hob_debug_session *session,
                                   const struct hob_debug_break *list, size_t count,
                                   struct hob_debug_set_break *out, struct hob_error *err)
{
    return set_points(session, NULL, list, count, out, err);
}
