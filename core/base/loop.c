/* loop.c - see loop.h */
#include "base/loop.h"

#include "base/alloc.h"
#include "base/clock.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct deferred {
    struct deferred *next;
    hob_loop_fn *fn;
    void *user;
};

struct hob_loop {
    uv_loop_t *uv; /* own, or the caller's */
    uv_loop_t own;
    uv_idle_t idle; /* active while something is deferred, so that the poll does not block */
    struct deferred *first;
    struct deferred **end;
    unsigned holds;
    struct hob_loop_guest *guests;
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
    struct deferred *batch = loop->first;
    loop->first = NULL;
    loop->end = &loop->first;
    while (batch) {
        struct deferred *one = batch;
        batch = one->next;
        one->fn(one->user);
        hob_free(one);
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
static void finish_closing(uv_loop_t *uv)
{
    bool some;
    do {
        some = false;
        uv_walk(uv, note_closing, &some);
        if (some)
            uv_run(uv, UV_RUN_NOWAIT);
    } while (some);
}

static void finish_own(uv_loop_t *uv)
{
    uv_walk(uv, close_left_open, NULL);
    while (uv_loop_close(uv) == UV_EBUSY)
        uv_run(uv, UV_RUN_DEFAULT);
}

void hob_loop_free(struct hob_loop *loop)
{
    if (!loop)
        return;
    ask_to_leave(loop);
    while (loop->first || loop->holds)
        uv_run(loop->uv, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    if (hob_loop_is_own(loop))
        finish_own(loop->uv);
    else
        finish_closing(loop->uv);
    assert(!loop->first);
    hob_free(loop);
}

void hob_loop_run(struct hob_loop *loop)
{
    uv_run(loop->uv, UV_RUN_DEFAULT);
}

void hob_loop_stop(struct hob_loop *loop)
{
    uv_stop(loop->uv);
}

uv_loop_t *hob_loop_uv(struct hob_loop *loop)
{
    return loop->uv;
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
    uv_run(loop->uv, UV_RUN_NOWAIT);
}

/* ---- soon ---- */

/* A completion that is lost would hang whoever waits for it: without these few bytes there is no
 * way on, and the supervisor starts a fresh process. */
void hob_loop_defer(struct hob_loop *loop, hob_loop_fn *fn, void *user)
{
    struct deferred *one = hob_malloc(sizeof *one);
    if (!one) {
        fputs("hob: out of memory\n", stderr);
        abort();
    }
    *one = (struct deferred){.fn = fn, .user = user};
    *loop->end = one;
    loop->end = &one->next;
    if (!uv_is_active((uv_handle_t *)&loop->idle))
        uv_idle_start(&loop->idle, run_deferred);
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
