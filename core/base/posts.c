/* posts.c - see posts.h */
#include "base/posts.h"

#include "base/alloc.h"

struct post {
    struct post *next;
    hob_loop_fn *fn;
    void *user;
};

struct hob_posts {
    uv_async_t async;
    uv_mutex_t mutex;
    unsigned *inside;
    struct post *first; /* under the mutex, as the next two are */
    struct post **end;
    bool closing;
};

static struct post *take_all(struct hob_posts *posts)
{
    uv_mutex_lock(&posts->mutex);
    struct post *batch = posts->first;
    posts->first = NULL;
    posts->end = &posts->first;
    uv_mutex_unlock(&posts->mutex);
    return batch;
}

/* What is posted meanwhile wakes the loop again: others get their turn. */
static void call_all(struct hob_posts *posts, struct post *batch)
{
    while (batch) {
        struct post *one = batch;
        batch = one->next;
        ++*posts->inside;
        one->fn(one->user);
        --*posts->inside;
        hob_free(one);
    }
}

static void on_wake(uv_async_t *async)
{
    call_all(async->data, take_all(async->data));
}

int hob_posts_new(struct hob_loop *loop, unsigned *inside, struct hob_posts **out,
                  struct hob_error *err)
{
    struct hob_posts *posts = hob_calloc(1, sizeof *posts);
    if (!posts)
        return hob_error_set(err, HOB_ENOMEM, "starting: out of memory");
    posts->end = &posts->first;
    posts->inside = inside;
    int status = uv_mutex_init(&posts->mutex);
    if (status == 0) {
        status = uv_async_init(hob_loop_uv(loop), &posts->async, on_wake);
        if (status)
            uv_mutex_destroy(&posts->mutex);
    }
    if (status) {
        hob_free(posts);
        return hob_error_set(err, hob_error_from_uv(status), "starting: a queue into the loop: %s",
                             uv_strerror(status));
    }
    posts->async.data = posts;
    *out = posts;
    return 0;
}

int hob_posts_add(struct hob_posts *posts, hob_loop_fn *fn, void *user)
{
    struct post *one = hob_malloc(sizeof *one);
    if (!one)
        return HOB_ENOMEM;
    *one = (struct post){.fn = fn, .user = user};
    uv_mutex_lock(&posts->mutex);
    bool closing = posts->closing;
    if (!closing) {
        *posts->end = one;
        posts->end = &one->next;
        uv_async_send(&posts->async); /* under the mutex: else it might be closed by now */
    }
    uv_mutex_unlock(&posts->mutex);
    if (closing)
        hob_free(one);
    return closing ? HOB_ECANCELED : 0;
}

void hob_posts_let_go(struct hob_posts *posts)
{
    uv_unref((uv_handle_t *)&posts->async);
}

static void closed(uv_handle_t *handle)
{
    struct hob_posts *posts = handle->data;
    uv_mutex_destroy(&posts->mutex);
    hob_free(posts);
}

void hob_posts_close(struct hob_posts *posts)
{
    if (!posts)
        return;
    uv_mutex_lock(&posts->mutex);
    posts->closing = true; /* one that posts itself again would never end */
    uv_mutex_unlock(&posts->mutex);
    call_all(posts, take_all(posts));
    uv_close((uv_handle_t *)&posts->async, closed);
}
