#include "net/mqtt_requests.h"

#include "base/alloc.h"

#include <assert.h>

struct hob_mqtt_request {
    struct hob_mqtt_request *next;
    int mid;
    uint64_t token;
    size_t filters; /* of a SUBSCRIBE */
    size_t bytes;
    hob_mqtt_done_fn *done;
    hob_mqtt_subscribed_fn *subscribed;
    void *user;
    int status; /* once it is in `held` */
};

struct queue {
    struct hob_mqtt_request *first, **end;
};

struct hob_mqtt_requests {
    struct queue pending, held;
    size_t count, bytes; /* of `pending`, */
    size_t count_max, bytes_max;
    uint64_t token; /* of the last one */
    bool in_call;
};

static void queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->end = &queue->first;
}

static void queue_put(struct queue *queue, struct hob_mqtt_request *request)
{
    request->next = NULL;
    *queue->end = request;
    queue->end = &request->next;
}

/* Of two ways to know a request. */
struct name {
    int mid;        /* of the library; -1: by its token */
    uint64_t token; /* 0: any */
};
static const struct name any = {-1, 0};

static bool is_named(const struct hob_mqtt_request *request, struct name name)
{
    return name.mid >= 0 ? request->mid == name.mid : !name.token || request->token == name.token;
}

static struct hob_mqtt_request *queue_take(struct queue *queue, struct name name)
{
    for (struct hob_mqtt_request **at = &queue->first; *at; at = &(*at)->next) {
        struct hob_mqtt_request *request = *at;
        if (!is_named(request, name))
            continue;
        *at = request->next;
        if (!*at)
            queue->end = at;
        return request;
    }
    return NULL;
}

struct hob_mqtt_requests *hob_mqtt_requests_new(void)
{
    struct hob_mqtt_requests *requests = hob_calloc(1, sizeof(*requests));
    if (!requests)
        return NULL;
    queue_init(&requests->pending);
    queue_init(&requests->held);
    requests->count_max = HOB_MQTT_PENDING_MAX;
    requests->bytes_max = HOB_MQTT_PENDING_SIZE;
    return requests;
}

void hob_mqtt_requests_limit(struct hob_mqtt_requests *requests, size_t count, size_t bytes)
{
    requests->count_max = count;
    requests->bytes_max = bytes;
}

void hob_mqtt_requests_go_on_after(struct hob_mqtt_requests *requests, uint64_t token)
{
    requests->token = token;
}

uint64_t hob_mqtt_requests_last_token(const struct hob_mqtt_requests *requests)
{
    return requests->token;
}

void hob_mqtt_requests_free(struct hob_mqtt_requests *requests)
{
    assert(!requests || (!requests->pending.first && !requests->held.first));
    hob_free(requests);
}

int hob_mqtt_requests_add(struct hob_mqtt_requests *requests, size_t bytes, hob_mqtt_done_fn *done,
                          hob_mqtt_subscribed_fn *subscribed, void *user,
                          struct hob_mqtt_request **out)
{
    if (requests->count >= requests->count_max || bytes > requests->bytes_max - requests->bytes)
        return HOB_EBUSY;
    struct hob_mqtt_request *request = hob_calloc(1, sizeof(*request));
    if (!request)
        return HOB_ENOMEM;
    request->token = ++requests->token;
    request->bytes = bytes;
    request->done = done;
    request->subscribed = subscribed;
    request->user = user;
    requests->count++;
    requests->bytes += bytes;
    queue_put(&requests->pending, request);
    requests->in_call = true;
    *out = request;
    return 0;
}

int *hob_mqtt_request_mid(struct hob_mqtt_request *request)
{
    return &request->mid;
}

uint64_t hob_mqtt_request_token(const struct hob_mqtt_request *request)
{
    return request->token;
}

void hob_mqtt_request_expect(struct hob_mqtt_request *request, size_t filters)
{
    request->filters = filters;
}

static struct hob_mqtt_request *take_pending(struct hob_mqtt_requests *requests, struct name name)
{
    struct hob_mqtt_request *request = queue_take(&requests->pending, name);
    if (request) {
        requests->count--;
        requests->bytes -= request->bytes;
    }
    return request;
}

void hob_mqtt_requests_sent(struct hob_mqtt_requests *requests, struct hob_mqtt_request *request,
                            bool taken)
{
    requests->in_call = false;
    if (!taken)
        hob_free(take_pending(requests, (struct name){-1, request->token}));
}

static void call_done(struct hob_mqtt_request *request, int status, const int *granted,
                      size_t count)
{
    if (request->subscribed)
        request->subscribed(request->user, status, status ? NULL : granted, count);
    else if (request->done)
        request->done(request->user, status);
    hob_free(request);
}

void hob_mqtt_requests_complete(struct hob_mqtt_requests *requests, int mid, int status,
                                const int *granted, size_t count)
{
    struct hob_mqtt_request *request = take_pending(requests, (struct name){mid, 0});
    if (!request)
        return;
    request->status = status;
    if (requests->in_call)
        queue_put(&requests->held, request);
    else
        call_done(request, status, granted, count);
}

/* Whoever asked counts on a word for each filter. */
static void call_subscribed(struct hob_mqtt_request *request, const int *granted, size_t count)
{
    int *whole = hob_calloc(request->filters ? request->filters : 1, sizeof(*whole));
    for (size_t i = 0; whole && i < request->filters; i++)
        whole[i] = i < count && granted[i] >= 0 ? granted[i] : HOB_MQTT_NOT_GRANTED;
    call_done(request, whole ? 0 : HOB_ENOMEM, whole, request->filters);
    hob_free(whole);
}

void hob_mqtt_requests_answer(struct hob_mqtt_requests *requests, uint64_t token, int status,
                              const int *granted, size_t count)
{
    assert(!requests->in_call);
    struct hob_mqtt_request *request =
        token ? take_pending(requests, (struct name){-1, token}) : NULL;
    if (!request)
        return;
    if (status == 0 && request->subscribed && granted)
        call_subscribed(request, granted, count);
    else
        call_done(request, status == 0 && request->subscribed ? HOB_EPROTO : status, NULL, 0);
}

void hob_mqtt_requests_run_held(struct hob_mqtt_requests *requests)
{
    struct hob_mqtt_request *request;
    while ((request = queue_take(&requests->held, any)))
        call_done(request, request->status, NULL, 0);
}

void hob_mqtt_requests_end(struct hob_mqtt_requests *requests, int status)
{
    struct hob_mqtt_request *request;
    hob_mqtt_requests_run_held(requests);
    while ((request = take_pending(requests, any)))
        call_done(request, status, NULL, 0);
}

size_t hob_mqtt_requests_count(const struct hob_mqtt_requests *requests)
{
    return requests->count;
}
