/* loop.c - see loop.h */
#include "base/loop.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* A turn of one connection has three in use: what was read, what goes in and what goes out. */
#define CHUNKS_KEPT 3

struct hob_loop {
    uv_loop_t *uv; /* own, or the caller's */
    uv_loop_t own;
    uv_idle_t idle; /* active while something is deferred, so that the poll does not block */
    struct hob_loop_soon *first; /* deferred */
    struct hob_loop_soon **end;
    unsigned holds, writing;
    struct hob_loop_guest *guests;
    char *module_dir;
    char *chunks[CHUNKS_KEPT];
    size_t chunk_count;
};

struct hob_timer {
    uv_timer_t handle;
    hob_loop_fn *fn;
    void *user;
};

/* Only what was deferred before this turn: a function that defers itself lets the others in. */
static void run_deferred(uv_idle_t *idle)
{
    struct hob_loop *loop = idle->data;
    struct hob_loop_soon *batch = loop->first;
    loop->first = NULL;
    loop->end = &loop->first;
    while (batch) {
        struct hob_loop_soon *one = batch;
        batch = one->next;
        one->waiting = false;
        one->fn(one->user); /* it may be gone, or wait again */
    }
    if (!loop->first)
        uv_idle_stop(idle);
}

static struct hob_loop *make(uv_loop_t *uv, struct hob_error *err)
{
    struct hob_loop *loop = hob_calloc(1, sizeof *loop);
    if (!loop) {
        hob_error_set(err, HOB_ENOMEM, "making an event loop: out of memory");
        return NULL;
    }
    loop->uv = uv ? uv : &loop->own;
    loop->end = &loop->first;
    return loop;
}

static void fill(struct hob_loop *loop)
{
    uv_idle_init(loop->uv, &loop->idle);
    loop->idle.data = loop;
    hob_clock_hold();
}

int hob_loop_new(struct hob_loop **out, struct hob_error *err)
{
    struct hob_loop *loop = make(NULL, err);
    if (!loop)
        return HOB_ENOMEM;
    int status = uv_loop_init(loop->uv);
    if (status) {
        hob_free(loop);
        return hob_error_set(err, hob_error_from_uv(status), "making an event loop: %s",
                             uv_strerror(status));
    }
    fill(loop);
    *out = loop;
    return 0;
}

int hob_loop_new_on(uv_loop_t *uv, struct hob_loop **out, struct hob_error *err)
{
    struct hob_loop *loop = make(uv, err);
    if (!loop)
        return HOB_ENOMEM;
    fill(loop);
    *out = loop;
    return 0;
}

bool hob_loop_is_own(const struct hob_loop *loop)
{
    return loop->uv == &loop->own;
}

/* On somebody else's loop SIGPIPE is somebody else's care: ours are but few of its turns. */
void hob_loop_begin_write(struct hob_loop *loop, struct hob_sigpipe *before)
{
    if (hob_loop_is_own(loop) && loop->writing++ == 0)
        hob_sigpipe_block(before);
}

void hob_loop_end_write(struct hob_loop *loop, const struct hob_sigpipe *before)
{
    if (hob_loop_is_own(loop) && --loop->writing == 0)
        hob_sigpipe_restore(before);
}

static void turn(struct hob_loop *loop, uv_run_mode mode)
{
    struct hob_sigpipe before;
    hob_loop_begin_write(loop, &before);
    uv_run(loop->uv, mode);
    hob_loop_end_write(loop, &before);
}

static void close_left_open(uv_handle_t *handle, void *unused)
{
    if (uv_is_closing(handle))
        return;
    fprintf(stderr, "hob: a %s handle was left open\n", uv_handle_type_name(handle->type));
    assert(!"a handle was left open");
    uv_close(handle, NULL); /* without asserts: do not wait for ever */
}

static void ask_to_leave(struct hob_loop *loop)
{
    while (loop->guests) {
        struct hob_loop_guest *guest = loop->guests;
        loop->guests = guest->next;
        guest->leave(guest->user);
    }
}

static void note_closing(uv_handle_t *handle, void *some)
{
    if (uv_is_closing(handle))
        *(bool *)some = true;
}

/* A handle closes in the turn after uv_close, and its callback may close another one. Whose it is
 * cannot be seen; the caller's close in that turn, too. */
static void finish_closing(struct hob_loop *loop)
{
    bool some;
    do {
        some = false;
        uv_walk(loop->uv, note_closing, &some);
        if (some)
            turn(loop, UV_RUN_NOWAIT);
    } while (some);
}

static void finish_own(struct hob_loop *loop)
{
    uv_walk(loop->uv, close_left_open, NULL);
    while (uv_loop_close(loop->uv) == UV_EBUSY)
        turn(loop, UV_RUN_DEFAULT);
}

void hob_loop_free(struct hob_loop *loop)
{
    if (!loop)
        return;
    ask_to_leave(loop);
    while (loop->first || loop->holds)
        turn(loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    if (hob_loop_is_own(loop))
        finish_own(loop);
    else
        finish_closing(loop);
    assert(!loop->first);
    hob_clock_release();
    while (loop->chunk_count > 0)
        hob_free(loop->chunks[--loop->chunk_count]);
    hob_free(loop->module_dir);
    hob_free(loop);
}

void hob_loop_run(struct hob_loop *loop)
{
    turn(loop, UV_RUN_DEFAULT);
}

void hob_loop_stop(struct hob_loop *loop)
{
    uv_stop(loop->uv);
}

uv_loop_t *hob_loop_uv(struct hob_loop *loop)
{
    return loop->uv;
}

int hob_loop_set_module_dir(struct hob_loop *loop, const char *dir)
{
    hob_free(loop->module_dir);
    loop->module_dir = dir ? hob_strdup(dir) : NULL;
    return dir && !loop->module_dir ? HOB_ENOMEM : 0;
}

const char *hob_loop_module_dir(const struct hob_loop *loop)
{
    return loop->module_dir;
}

/* ---- for who waits elsewhere ---- */

int hob_loop_fd(const struct hob_loop *loop)
{
    return uv_backend_fd(loop->uv);
}

/* libuv counts from its latest turn, after which the caller may have worked for long; and it says 0
 * where nothing is awaited at all. */
int hob_loop_timeout_ms(struct hob_loop *loop)
{
    uv_update_time(loop->uv);
    return uv_loop_alive(loop->uv) ? uv_backend_timeout(loop->uv) : -1;
}

void hob_loop_dispatch(struct hob_loop *loop)
{
    turn(loop, UV_RUN_NOWAIT);
}

void hob_loop_turn(struct hob_loop *loop)
{
    turn(loop, UV_RUN_ONCE);
}

/* ---- soon ---- */

void hob_loop_defer(struct hob_loop *loop, struct hob_loop_soon *soon, hob_loop_fn *fn, void *user)
{
    assert(!soon->waiting);
    *soon = (struct hob_loop_soon){.fn = fn, .user = user, .waiting = true};
    *loop->end = soon;
    loop->end = &soon->next;
    if (!uv_is_active((uv_handle_t *)&loop->idle))
        uv_idle_start(&loop->idle, run_deferred);
}

char *hob_loop_take_chunk(struct hob_loop *loop)
{
    return loop->chunk_count > 0 ? loop->chunks[--loop->chunk_count] : hob_malloc(HOB_LOOP_CHUNK);
}

void hob_loop_give_chunk(struct hob_loop *loop, char *chunk)
{
    if (chunk && loop->chunk_count < CHUNKS_KEPT)
        loop->chunks[loop->chunk_count++] = chunk;
    else
        hob_free(chunk);
}

void hob_loop_hold(struct hob_loop *loop)
{
    loop->holds++;
}

void hob_loop_release(struct hob_loop *loop)
{
    assert(loop->holds > 0);
    loop->holds--;
}

void hob_loop_add_guest(struct hob_loop *loop, struct hob_loop_guest *guest)
{
    guest->next = loop->guests;
    loop->guests = guest;
}

void hob_loop_remove_guest(struct hob_loop *loop, struct hob_loop_guest *guest)
{
    for (struct hob_loop_guest **place = &loop->guests; *place; place = &(*place)->next)
        if (*place == guest) {
            *place = guest->next;
            return;
        }
}

static void fire(uv_timer_t *handle)
{
    struct hob_timer *timer = handle->data;
    timer->fn(timer->user);
}

struct hob_timer *hob_timer_new(struct hob_loop *loop, hob_loop_fn *fn, void *user)
{
    struct hob_timer *timer = hob_calloc(1, sizeof *timer);
    if (!timer)
        return NULL;
    uv_timer_init(loop->uv, &timer->handle);
    timer->handle.data = timer;
    timer->fn = fn;
    timer->user = user;
    return timer;
}

/* libuv counts from the turn's beginning: after a long callback a short timer would fire at once.
 */
void hob_timer_start(struct hob_timer *timer, uint64_t ms)
{
    uv_update_time(timer->handle.loop);
    uv_timer_start(&timer->handle, fire, ms, 0);
}

void hob_timer_stop(struct hob_timer *timer)
{
    uv_timer_stop(&timer->handle);
}

bool hob_timer_active(const struct hob_timer *timer)
{
    return uv_is_active((const uv_handle_t *)&timer->handle);
}

static void free_timer(uv_handle_t *handle)
{
    hob_free(handle->data);
}

void hob_timer_close(struct hob_timer *timer)
{
    if (timer)
        uv_close((uv_handle_t *)&timer->handle, free_timer);
}
