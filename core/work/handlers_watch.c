#include "work/handlers_watch.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "work/handlers_parts.h"
#include "work/scripts_dirs.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUIET_MS    100
#define LOOKS       4 /* while it is waited for */
#define POLL_MS     2000
#define SAFETY_MS   30000 /* for what nobody tells */
#define WRITER_MS   10000 /* quiet, though somebody has the file open for writing */
#define PATIENCE_MS 1000  /* then what is whole goes first, and does not wait for the rest */
#define LINKS_MAX   16    /* on the way to a directory */
#define DIRS_MAX    256

/* One directory that the kernel watches. Outlives the watch until libuv has closed it. */
struct place {
    uv_fs_event_t event;
    struct hob_handlers_watch *watch;
    struct place *next;
    char *path;
    dev_t dev;
    ino_t ino;
    bool wanted;
    char name[NAME_MAX + 1]; /* of what matters in it; "": all */
};

struct hob_handlers_watch {
    struct hob_handlers_watch_options options;
    struct hob_timer *timer; /* the next look, or the next turn of the round */
    struct place *places;
    struct hob_scripts_look *last; /* the latest look */
    struct hob_handlers_round *round;
    uint64_t looked_ms;  /* when the latest look was */
    uint64_t changed_ms; /* since when there is a change that is not loaded; 0: there is none */
    bool anew;           /* a place was added after what it shows was looked at */
    bool failed, said;   /* places that the kernel does not watch */
    unsigned failures;   /* of looks, one after the other */
};

static const char *scripts_of(const struct hob_handlers_watch *watch)
{
    return watch->options.handlers->scripts;
}

/* ---- the kernel tells ---- */

/* At once when it has been quiet, else when the time of the next look has come. */
static void look_soon(struct hob_handlers_watch *watch)
{
    uint64_t since = hob_clock_mono_ms() - watch->looked_ms;
    uint64_t apart = watch->options.quiet_ms / LOOKS;
    if (!watch->round && !watch->changed_ms) {
        hob_timer_start(watch->timer, since < apart ? apart - since : 0);
    }
}

/* The directory of the scripts may be that of the store, where every commit is an event. */
static bool matters(const struct place *place, const char *name)
{
    const char *slash = strrchr(place->path, '/');
    return !name || !place->name[0] || strcmp(name, place->name) == 0 ||
           strcmp(name, slash ? slash + 1 : place->path) == 0;
}

static void on_event(uv_fs_event_t *event, const char *name, int events, int status)
{
    const struct place *place = event->data;
    if (place->watch && matters(place, name)) {
        look_soon(place->watch);
    }
}

static void free_place(uv_handle_t *handle)
{
    struct place *place = handle->data;
    hob_free(place->path);
    hob_free(place);
}

static void close_place(struct place *place)
{
    place->watch = NULL;
    uv_close((uv_handle_t *)&place->event, free_place);
}

static void say_failed(struct hob_handlers_watch *watch, int status, const char *path)
{
    watch->failed = true;
    if (watch->said) {
        return;
    }
    watch->said = true;
    hob_log_write(watch->options.log,
                  &(struct hob_log_record){.level = HOB_LOG_WARN,
                                           .event = "handlers.watch_failed",
                                           .code = hob_error_name(hob_error_from_uv(status)),
                                           .action = "raise fs.inotify.max_user_watches and "
                                                     "fs.inotify.max_user_instances (sysctl)"},
                  "%s cannot be watched: %s; changes of handlers are looked for every %g s", path,
                  uv_strerror(status), (double)watch->options.poll_ms / 1000);
}

static struct place *find_place(struct hob_handlers_watch *watch, const char *path,
                                const struct stat *st)
{
    struct place *place = watch->places;
    while (place && (strcmp(place->path, path) != 0 || place->dev != st->st_dev ||
                     place->ino != st->st_ino)) {
        place = place->next;
    }
    return place;
}

/* A directory that went away just now is looked for again; one on the way that is not ours to read
 * is done without. */
static bool is_grave(int status, const char *name)
{
    return status != UV_ENOENT && status != UV_ENOTDIR && !(status == UV_EACCES && name[0]);
}

static struct place *add_place(struct hob_handlers_watch *watch, const char *path, const char *name,
                               const struct stat *st)
{
    struct place *place = hob_calloc(1, sizeof *place);
    if (!place || !(place->path = hob_strdup(path))) {
        hob_free(place);
        say_failed(watch, UV_ENOMEM, path);
        return NULL;
    }
    uv_fs_event_init(hob_loop_uv(watch->options.loop), &place->event);
    place->event.data = place;
    place->watch = watch;
    place->dev = st->st_dev;
    place->ino = st->st_ino;
    int rc = uv_fs_event_start(&place->event, on_event, path, 0);
    if (rc) {
        if (is_grave(rc, name)) {
            say_failed(watch, rc, path);
        }
        close_place(place);
        return NULL;
    }
    place->next = watch->places;
    watch->places = place;
    watch->anew = true;
    return place;
}

/* `name`: what matters in it; "": all */
static void want(struct hob_handlers_watch *watch, const char *path, const char *name)
{
    struct stat st;
    if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
        return;
    }
    struct place *place = find_place(watch, path, &st);
    place = place ? place : add_place(watch, path, name, &st);
    if (!place) {
        return;
    }
    bool both = place->wanted && strcmp(place->name, name) != 0;
    snprintf(place->name, sizeof place->name, "%s", both ? "" : name);
    place->wanted = true;
}

/* The directory in which the last part of a path is; "." for a single word. */
static void parent_of(const char *path, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (!slash) {
        snprintf(out, PATH_MAX, ".");
    } else {
        snprintf(out, PATH_MAX, "%.*s", len ? (int)len : 1, path);
    }
}

/* What a link leads to, with the rest of the way. @return false: it is none */
static bool follow(const char *link, const char *rest, char out[PATH_MAX])
{
    char target[PATH_MAX], dir[PATH_MAX];
    ssize_t len = readlink(link, target, sizeof target - 1);
    if (len <= 0) {
        return false;
    }
    target[len] = '\0';
    parent_of(link, dir);
    int n = target[0] == '/' ? snprintf(out, PATH_MAX, "%s%s", target, rest)
                             : snprintf(out, PATH_MAX, "%s/%s%s", dir, target, rest);
    return n > 0 && n < PATH_MAX;
}

static void want_parent(struct hob_handlers_watch *watch, const char *path)
{
    assert(path);
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    parent_of(path, dir);
    want(watch, dir, slash ? slash + 1 : path);
}

/* A link on the way can be made to lead elsewhere, which changes nothing in the directory that it
 * leads to: so the directory is watched in which the link is. */
static void want_way(struct hob_handlers_watch *watch, const char *path, int links)
{
    char part[PATH_MAX], next[PATH_MAX];
    for (const char *end = path; links > 0 && end;) {
        end = strchr(end + 1, '/');
        snprintf(part, sizeof part, "%.*s", (int)(end ? (size_t)(end - path) : strlen(path)), path);
        if (follow(part, end ? end : "", next)) {
            want_parent(watch, part);
            want_way(watch, next, links - 1);
            return;
        }
    }
    want_parent(watch, path); /* where another one could take its place */
}

/* One that is not there yet is made in a directory that is not there yet, perhaps. */
static void want_ancestor(struct hob_handlers_watch *watch, const char *path)
{
    char at[PATH_MAX], above[PATH_MAX];
    snprintf(at, sizeof at, "%s", path);
    while (parent_of(at, above), access(above, F_OK) != 0 && strcmp(at, above) != 0) {
        snprintf(at, sizeof at, "%s", above);
    }
    want_parent(watch, at);
}

static void want_ways(struct hob_handlers_watch *watch, const char *dirs)
{
    char dir[PATH_MAX];
    while (hob_scripts_dirs_next(&dirs, dir)) {
        want_way(watch, dir, LINKS_MAX);
        want_ancestor(watch, dir);
    }
}

static void drop_unwanted(struct hob_handlers_watch *watch)
{
    for (struct place **at = &watch->places; *at;) {
        struct place *place = *at;
        if (place->wanted) {
            at = &place->next;
        } else {
            *at = place->next;
            close_place(place);
        }
    }
}

static void watch_places(struct hob_handlers_watch *watch, const struct hob_scripts_look *look)
{
    for (struct place *place = watch->places; place; place = place->next) {
        place->wanted = false;
    }
    watch->failed = false;
    want_ways(watch, scripts_of(watch));
    want_ways(watch, watch->options.handlers->script_lib);
    for (size_t i = 0; look && i < look->dir_count && i < DIRS_MAX; i++) {
        want(watch, look->dirs[i], "");
    }
    drop_unwanted(watch);
    watch->said = watch->said && watch->failed;
}

/* ---- what changed, and is it whole? ---- */

static const struct hob_scripts_look *loaded(const struct hob_handlers_watch *watch)
{
    return watch->options.handlers->loaded;
}

static void carry_times(struct hob_handlers_watch *watch, struct hob_scripts_look *look)
{
    for (size_t i = 0; i < look->count; i++) {
        struct hob_scripts_file *now = &look->files[i];
        const struct hob_scripts_file *before = hob_scripts_find(watch->last, now->path);
        bool same = before && hob_scripts_same_stamp(before, now);
        now->since_ms = same ? before->since_ms : watch->looked_ms;
    }
}

/* Another one than what is loaded? */
static bool is_changed(const struct hob_handlers_watch *watch, const struct hob_scripts_file *now)
{
    const struct hob_scripts_file *was = hob_scripts_find(loaded(watch), now->path);
    return was ? !hob_scripts_same_stamp(now, was) : !now->gone;
}

/* It changed, and may be changing still. */
static bool is_unfinished(void *user, const struct hob_scripts_file *now)
{
    const struct hob_handlers_watch *watch = user;
    uint64_t quiet = watch->looked_ms - now->since_ms;
    if (!is_changed(watch, now)) {
        return false;
    }
    return quiet < watch->options.quiet_ms ||
           (quiet < WRITER_MS && !now->gone && hob_scripts_is_being_written(now->path));
}

struct judgement {
    size_t changed, unfinished;
};

static struct judgement judge(struct hob_handlers_watch *watch, const struct hob_scripts_look *now)
{
    struct judgement judgement = {0};
    for (size_t i = 0; now && i < now->count; i++) {
        judgement.changed += is_changed(watch, &now->files[i]);
        judgement.unfinished += is_unfinished(watch, &now->files[i]);
    }
    return judgement;
}

/* ---- loading ---- */

static void say_load_failed(struct hob_handlers_watch *watch, const struct hob_error *err)
{
    hob_log_write(watch->options.log,
                  &(struct hob_log_record){.level = HOB_LOG_ERROR,
                                           .event = "hob.reload_failed",
                                           .code = hob_error_name(err->code),
                                           .action = "what was loaded before stays in use"},
                  "%s", err->message);
}

static void look_again(struct hob_handlers_watch *watch)
{
    hob_timer_start(watch->timer, watch->options.quiet_ms / LOOKS);
}

static void end_round(struct hob_handlers_watch *watch)
{
    struct hob_error err = {0};
    struct hob_handlers_round *round = watch->round;
    watch->round = NULL;
    watch->changed_ms = 0;
    look_again(watch); /* for what was not whole, or came meanwhile */
    if (!hob_handlers_round_is_valid(round)) {
        hob_handlers_round_free(round);
    } else if (hob_handlers_round_finish(round, &err)) {
        say_load_failed(watch, &err);
    } else {
        watch->options.on_loaded(watch->options.user);
    }
}

/* Takes the look. */
static void begin_round(struct hob_handlers_watch *watch, struct hob_scripts_look *look)
{
    struct hob_error err = {0};
    if (hob_handlers_round_new(watch->options.handlers, look, false, &watch->round, &err)) {
        say_load_failed(watch, &err);
        watch->changed_ms = 0;
        hob_timer_start(watch->timer, watch->options.poll_ms);
        return;
    }
    hob_timer_start(watch->timer, 0);
}

/* Said when it is so for the second time: somebody may just put another one in its place. */
static struct hob_scripts_look *look_now(struct hob_handlers_watch *watch)
{
    struct hob_error err = {0};
    struct hob_scripts_look *look = NULL;
    if (hob_scripts_look(scripts_of(watch), &look, &err) == 0) {
        watch->failures = 0;
    } else if (++watch->failures == 2) {
        say_load_failed(watch, &err);
    }
    return look;
}

static void rest(struct hob_handlers_watch *watch)
{
    const struct hob_handlers_watch_options *options = &watch->options;
    bool soon = watch->anew || watch->failures == 1;
    bool poll = watch->failed || watch->failures > 1;
    watch->changed_ms = 0;
    hob_timer_start(watch->timer, soon ? options->quiet_ms : poll ? options->poll_ms : SAFETY_MS);
}

/* @return whether there is something to load that is whole. */
static bool is_time(struct hob_handlers_watch *watch, const struct judgement *judgement)
{
    if (judgement->changed == judgement->unfinished) {
        return false;
    }
    return judgement->unfinished == 0 || watch->looked_ms - watch->changed_ms >= PATIENCE_MS;
}

static void compare(struct hob_handlers_watch *watch, struct hob_scripts_look *now)
{
    struct judgement judgement = judge(watch, now);
    hob_scripts_look_free(watch->last);
    watch->last = now;
    if (judgement.changed == 0) {
        rest(watch);
        return;
    }
    watch->changed_ms = watch->changed_ms ? watch->changed_ms : watch->looked_ms;
    if (is_time(watch, &judgement)) {
        watch->last = NULL; /* it becomes what is loaded */
        hob_scripts_keep(now, loaded(watch), is_unfinished, watch);
        begin_round(watch, now);
    } else {
        look_again(watch);
    }
}

static void look(struct hob_handlers_watch *watch)
{
    watch->looked_ms = hob_clock_mono_ms();
    watch->anew = false;
    struct hob_scripts_look *now = look_now(watch);
    watch_places(watch, now);
    if (now && hob_scripts_add_gone(now, loaded(watch))) {
        hob_scripts_look_free(now); /* no memory: later, perhaps */
        now = NULL;
    }
    if (now) {
        carry_times(watch, now);
    }
    compare(watch, now);
}

static void on_timer(void *user)
{
    struct hob_handlers_watch *watch = user;
    if (!watch->round) {
        look(watch);
    } else if (hob_handlers_round_check(watch->round)) {
        hob_timer_start(watch->timer, 0);
    } else {
        end_round(watch);
    }
}

/* ---- life ---- */

struct hob_handlers_watch *hob_handlers_watch_new(const struct hob_handlers_watch_options *options)
{
    struct hob_handlers_watch *watch = hob_calloc(1, sizeof *watch);
    if (!watch) {
        return NULL;
    }
    watch->options = *options;
    watch->options.quiet_ms = options->quiet_ms ? options->quiet_ms : QUIET_MS;
    watch->options.poll_ms = options->poll_ms ? options->poll_ms : POLL_MS;
    watch->timer = hob_timer_new(options->loop, on_timer, watch);
    if (!watch->timer) {
        hob_free(watch);
        return NULL;
    }
    options->handlers->watched = true;
    look(watch); /* what changed since they were loaded is seen, too */
    return watch;
}

void hob_handlers_watch_close(struct hob_handlers_watch *watch)
{
    if (!watch) {
        return;
    }
    for (struct place *place = watch->places, *next; place; place = next) {
        next = place->next;
        close_place(place);
    }
    watch->options.handlers->watched = false;
    hob_handlers_round_free(watch->round);
    hob_scripts_look_free(watch->last);
    hob_timer_close(watch->timer);
    hob_free(watch);
}

bool hob_handlers_watch_is_told(const struct hob_handlers_watch *watch)
{
    return !watch->failed;
}
