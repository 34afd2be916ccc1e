#include "work/scripts.h"

#include "base/alloc.h"
#include "work/scripts_dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 8 /* of directories in lib: a link may lead back */
#define NS        INT64_C(1000000000)

/* ---- names ---- */

/** @return the length without ".lua", 0: this is none */
static size_t lua_name(const char *file, size_t max)
{
    size_t len = strlen(file);
    bool ours = file[0] != '.' && len > 4 && len <= max + 4 && strcmp(file + len - 4, ".lua") == 0;
    return ours && strspn(file, HOB_SCRIPTS_NAME_CHARS) == len ? len - 4 : 0;
}

/* `require` takes a point for a directory: a name with one could never be asked for. */
static bool fits_module(const char *name, size_t len)
{
    return len > 0 && strcspn(name, ".") >= len && strspn(name, HOB_SCRIPTS_NAME_CHARS) >= len;
}

/* ---- a look ---- */

struct search {
    struct hob_scripts_look *look;
    size_t handlers, modules;
    unsigned layer;
    bool may_miss; /* the directory */
    struct hob_error *err;
};

static int no_memory(struct hob_error *err)
{
    return hob_error_set(err, HOB_ENOMEM, "looking at the scripts: out of memory");
}

static struct hob_scripts_stamp stamp_of(const struct stat *st)
{
    return (struct hob_scripts_stamp){.dev = st->st_dev,
                                      .ino = st->st_ino,
                                      .size = st->st_size,
                                      .mtime_ns = st->st_mtim.tv_sec * NS + st->st_mtim.tv_nsec,
                                      .ctime_ns = st->st_ctim.tv_sec * NS + st->st_ctim.tv_nsec};
}

static bool same_stamp(const struct hob_scripts_stamp *a, const struct hob_scripts_stamp *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

bool hob_scripts_same_stamp(const struct hob_scripts_file *a, const struct hob_scripts_file *b)
{
    return a->gone == b->gone && same_stamp(&a->stamp, &b->stamp);
}

/* Room for a power of two is there already, or is made. */
static void *grown(void *list, size_t count, size_t size)
{
    if (count > 0 && (count & (count - 1)) != 0) {
        return list;
    }
    return hob_realloc(list, (count ? 2 * count : 1) * size);
}

static int add_file(struct search *search, const char *path, const char *name, bool is_module)
{
    struct hob_scripts_look *look = search->look;
    size_t *count = is_module ? &search->modules : &search->handlers;
    struct stat st;
    if (stat(path, &st) && (errno == ENOENT || errno == ELOOP)) {
        return 0; /* gone meanwhile, or a link to nothing */
    }
    if (*count == HOB_SCRIPTS_FILES_MAX) {
        look->left_out++;
        return 0;
    }
    struct hob_scripts_file *files = grown(look->files, look->count, sizeof *files);
    if (!files) {
        return no_memory(search->err);
    }
    look->files = files;
    struct hob_scripts_file *file = &files[look->count];
    *file = (struct hob_scripts_file){.path = hob_strdup(path), .is_module = is_module};
    if (!file->path) {
        return no_memory(search->err);
    }
    file->layer = search->layer;
    file->stamp = stamp_of(&st);
    snprintf(file->name, sizeof file->name, "%s", name);
    look->count++;
    *count += 1;
    return 0;
}

static int add_dir(struct search *search, const char *path)
{
    struct hob_scripts_look *look = search->look;
    char **dirs = grown(look->dirs, look->dir_count, sizeof *dirs);
    if (!dirs) {
        return no_memory(search->err);
    }
    look->dirs = dirs;
    dirs[look->dir_count] = hob_strdup(path);
    return dirs[look->dir_count] ? (look->dir_count++, 0) : no_memory(search->err);
}

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int look_into_lib(struct search *search, const char *dir, const char *prefix, int depth);

static int take_lib_entry(struct search *search, const char *dir, const char *prefix,
                          const char *entry, int depth)
{
    char path[PATH_MAX], name[HOB_SCRIPTS_MODULE_MAX + 1];
    size_t len = lua_name(entry, HOB_SCRIPTS_MODULE_MAX);
    size_t used = len ? len : strlen(entry);
    int a = snprintf(path, sizeof path, "%s/%s", dir, entry);
    int b = snprintf(name, sizeof name, "%s%.*s", prefix, (int)used, entry);
    if (!fits_module(entry, used) || a >= (int)sizeof path || b >= (int)sizeof name) {
        return 0;
    }
    if (len) {
        return add_file(search, path, name, true);
    }
    if (depth == DEPTH_MAX || (size_t)b + 1 >= sizeof name || !is_dir(path)) {
        return 0;
    }
    name[b] = '.';
    name[b + 1] = '\0';
    return look_into_lib(search, path, name, depth + 1);
}

static int cannot_read(struct search *search, const char *dir)
{
    return hob_error_set(search->err, hob_error_from_errno(errno), "scripts directory %s: %s", dir,
                         strerror(errno));
}

static int look_into_lib(struct search *search, const char *dir, const char *prefix, int depth)
{
    DIR *entries = opendir(dir);
    if (!entries) {
        return errno == ENOENT || errno == ENOTDIR ? 0 : cannot_read(search, dir);
    }
    int rc = add_dir(search, dir);
    for (const struct dirent *entry; rc == 0 && (entry = readdir(entries)) != NULL;) {
        rc = take_lib_entry(search, dir, prefix, entry->d_name, depth);
    }
    closedir(entries);
    return rc;
}

static int take_entry(struct search *search, const char *dir, const char *entry)
{
    char path[PATH_MAX], name[HOB_SCRIPTS_NAME_MAX + 1];
    size_t len = lua_name(entry, HOB_SCRIPTS_NAME_MAX);
    int n = snprintf(path, sizeof path, "%s/%s", dir, entry);
    if (len == 0 || n >= (int)sizeof path) {
        return 0;
    }
    snprintf(name, sizeof name, "%.*s", (int)len, entry);
    return add_file(search, path, name, false);
}

static int look_into(struct search *search, const char *dir)
{
    char lib[PATH_MAX];
    DIR *entries = opendir(dir);
    if (!entries) {
        return search->may_miss && errno == ENOENT ? 0 : cannot_read(search, dir);
    }
    int rc = add_dir(search, dir);
    for (const struct dirent *entry; rc == 0 && (entry = readdir(entries)) != NULL;) {
        rc = take_entry(search, dir, entry->d_name);
    }
    closedir(entries);
    if (rc) {
        return rc;
    }
    int n = snprintf(lib, sizeof lib, "%s/lib", dir);
    return n < (int)sizeof lib ? look_into_lib(search, lib, "", 0) : 0;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct hob_scripts_file *)a)->path,
                  ((const struct hob_scripts_file *)b)->path);
}

static void sort(struct hob_scripts_look *look)
{
    if (look->count) {
        qsort(look->files, look->count, sizeof *look->files, by_path);
    }
}

int hob_scripts_look(const char *dirs, struct hob_scripts_look **out, struct hob_error *err)
{
    struct hob_scripts_look *look = hob_calloc(1, sizeof *look);
    if (!look) {
        return no_memory(err);
    }
    struct search search = {.look = look, .err = err};
    size_t count = hob_scripts_dirs_count(dirs);
    char dir[PATH_MAX];
    int rc = 0;
    while (rc == 0 && hob_scripts_dirs_next(&dirs, dir)) {
        search.may_miss = search.layer + 1 < count;
        rc = look_into(&search, dir);
        search.layer++;
    }
    if (rc) {
        hob_scripts_look_free(look);
        return rc;
    }
    sort(look);
    *out = look;
    return 0;
}

void hob_scripts_look_free(struct hob_scripts_look *look)
{
    if (!look) {
        return;
    }
    for (size_t i = 0; i < look->count; i++) {
        hob_free(look->files[i].path);
    }
    for (size_t i = 0; i < look->dir_count; i++) {
        hob_free(look->dirs[i]);
    }
    hob_free(look->files);
    hob_free(look->dirs);
    hob_free(look);
}

struct hob_scripts_file *hob_scripts_find(const struct hob_scripts_look *look, const char *path)
{
    struct hob_scripts_file key = {.path = (char *)(uintptr_t)path};
    return look && look->count
               ? bsearch(&key, look->files, look->count, sizeof *look->files, by_path)
               : NULL;
}

/* ---- which of them are used ---- */

static bool is_same_script(const struct hob_scripts_file *a, const struct hob_scripts_file *b)
{
    return a->is_module == b->is_module && strcmp(a->name, b->name) == 0;
}

/* Quick where there is one directory, which has each name once. */
void hob_scripts_shadow(struct hob_scripts_look *look)
{
    for (size_t i = 0; i < look->count; i++) {
        struct hob_scripts_file *file = &look->files[i];
        file->shadowed = false;
        for (size_t k = 0; file->layer > 0 && k < look->count && !file->shadowed; k++) {
            const struct hob_scripts_file *other = &look->files[k];
            file->shadowed = other->layer < file->layer && is_same_script(other, file);
        }
    }
}

const struct hob_scripts_file *hob_scripts_beneath(const struct hob_scripts_look *look,
                                                   const struct hob_scripts_file *file)
{
    const struct hob_scripts_file *next = NULL;
    for (size_t i = 0; i < look->count; i++) {
        const struct hob_scripts_file *other = &look->files[i];
        if (other->layer > file->layer && (!next || other->layer < next->layer) &&
            is_same_script(other, file)) {
            next = other;
        }
    }
    return next;
}

/* ---- compared with an earlier one ---- */

static int add_one_gone(struct hob_scripts_look *look, const struct hob_scripts_file *before)
{
    struct hob_scripts_file *files = grown(look->files, look->count, sizeof *files);
    char *path = files ? hob_strdup(before->path) : NULL;
    look->files = files ? files : look->files;
    if (!path) {
        return HOB_ENOMEM;
    }
    files[look->count] = *before;
    files[look->count].path = path;
    files[look->count].gone = true;
    look->count++;
    return 0;
}

int hob_scripts_add_gone(struct hob_scripts_look *now, const struct hob_scripts_look *before)
{
    struct hob_scripts_look there = *now; /* the part that is sorted */
    int rc = 0;
    for (size_t i = 0; before && i < before->count && rc == 0; i++) {
        if (!hob_scripts_find(&there, before->files[i].path)) {
            rc = add_one_gone(now, &before->files[i]);
            there.files = now->files;
        }
    }
    sort(now);
    return rc;
}

static void leave_out(struct hob_scripts_look *look, size_t index)
{
    hob_free(look->files[index].path);
    look->count--;
    memmove(&look->files[index], &look->files[index + 1],
            (look->count - index) * sizeof *look->files);
}

/* All are judged before anything is changed: the judge may look at the others. */
void hob_scripts_keep(struct hob_scripts_look *now, const struct hob_scripts_look *before,
                      bool (*keep)(void *user, const struct hob_scripts_file *file), void *user)
{
    for (size_t i = 0; i < now->count; i++) {
        now->files[i].keep = keep(user, &now->files[i]);
    }
    for (size_t i = now->count; i-- > 0;) {
        struct hob_scripts_file *file = &now->files[i];
        const struct hob_scripts_file *was =
            file->keep ? hob_scripts_find(before, file->path) : NULL;
        if (was) {
            file->stamp = was->stamp;
            file->gone = false;
        } else if (file->keep || file->gone) {
            leave_out(now, i);
        }
    }
}

/* ---- is it whole? ---- */

/* The kernel grants a lease for reading only while nobody has the file open for writing. Who opens
 * it in the very moment in which we have one waits for that moment, and we get a signal that is
 * ignored by default. */
bool hob_scripts_is_being_written(const char *path)
{
    bool busy = false;
#ifdef F_SETLEASE
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 && fcntl(fd, F_SETSIG, SIGURG) == 0) {
        busy = fcntl(fd, F_SETLEASE, F_RDLCK) != 0 && errno == EAGAIN;
        fcntl(fd, F_SETLEASE, F_UNLCK);
    }
    if (fd >= 0) {
        close(fd);
    }
#endif
    return busy;
}

bool hob_scripts_is_unchanged(const struct hob_scripts_file *file)
{
    struct stat st;
    if (stat(file->path, &st)) {
        return false;
    }
    struct hob_scripts_stamp stamp = stamp_of(&st);
    return same_stamp(&stamp, &file->stamp);
}

/* ---- texts ---- */

static ssize_t read_all(int fd, char *text, size_t room)
{
    size_t len = 0;
    while (len < room) {
        ssize_t n = read(fd, text + len, room - len);
        if (n == 0) {
            break;
        }
        if (n < 0 && errno != EINTR) {
            return -1;
        }
        len += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)len;
}

static int fill_from(struct hob_script *script, int fd)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
        return hob_error_set(&script->error, HOB_EINVAL, "%s: is no regular file", script->path);
    }
    script->text = hob_malloc(HOB_SCRIPTS_TEXT_MAX + 1);
    ssize_t len = script->text ? read_all(fd, script->text, HOB_SCRIPTS_TEXT_MAX + 1) : -1;
    if (len < 0) {
        return hob_error_set(&script->error, script->text ? HOB_EIO : HOB_ENOMEM,
                             "%s: cannot be read: %s", script->path,
                             script->text ? strerror(errno) : "out of memory");
    }
    if (len > HOB_SCRIPTS_TEXT_MAX) {
        return hob_error_set(&script->error, HOB_EIO, "%s: larger than 1 MB", script->path);
    }
    char *fitted = hob_realloc(script->text, (size_t)len + 1);
    script->text = fitted ? fitted : script->text;
    script->text[len] = '\0';
    script->len = (size_t)len;
    hob_sha256_of(script->text, script->len, script->digest);
    return 0;
}

struct hob_script *hob_script_read(const char *path, const char *name)
{
    struct hob_script *script = hob_calloc(1, sizeof *script);
    if (!script || !(script->path = hob_strdup(path))) {
        hob_free(script);
        return NULL;
    }
    script->holders = 1;
    snprintf(script->name, sizeof script->name, "%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO must not hold us */
    if (fd < 0) {
        hob_error_set(&script->error, hob_error_from_errno(errno), "%s: %s", path, strerror(errno));
        return script;
    }
    fill_from(script, fd);
    close(fd);
    return script;
}

struct hob_script *hob_script_hold(struct hob_script *script)
{
    script->holders++;
    return script;
}

void hob_script_release(struct hob_script *script)
{
    if (script && --script->holders == 0) {
        hob_free(script->path);
        hob_free(script->text);
        hob_free(script->code);
        hob_free(script);
    }
}

bool hob_script_same_text(const struct hob_script *a, const struct hob_script *b)
{
    if (!a || !b || strcmp(a->digest, b->digest) != 0) {
        return false;
    }
    return a->digest[0] || strcmp(a->error.message, b->error.message) == 0;
}

/* ---- modules ---- */

struct hob_scripts_modules *hob_scripts_modules_new(size_t room)
{
    struct hob_scripts_modules *modules =
        hob_calloc(1, sizeof *modules + room * sizeof modules->list[0]);
    if (modules) {
        modules->holders = 1;
    }
    return modules;
}

struct hob_scripts_modules *hob_scripts_modules_hold(struct hob_scripts_modules *modules)
{
    if (modules) {
        modules->holders++;
    }
    return modules;
}

void hob_scripts_modules_release(struct hob_scripts_modules *modules)
{
    if (!modules || --modules->holders > 0) {
        return;
    }
    for (size_t i = 0; i < modules->count; i++) {
        hob_script_release(modules->list[i]);
    }
    hob_free(modules);
}

struct hob_script *hob_scripts_modules_find(const struct hob_scripts_modules *modules,
                                            const char *name)
{
    for (size_t i = 0; modules && i < modules->count; i++) {
        if (strcmp(modules->list[i]->name, name) == 0) {
            return modules->list[i];
        }
    }
    return NULL;
}

bool hob_scripts_modules_same(const struct hob_scripts_modules *a,
                              const struct hob_scripts_modules *b)
{
    if (!a || !b || a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->list[i]->name, b->list[i]->name) != 0 ||
            strcmp(a->list[i]->path, b->list[i]->path) != 0 ||
            !hob_script_same_text(a->list[i], b->list[i])) {
            return false;
        }
    }
    return true;
}
