#include "net/mqtt_requests.h"

#include "base/alloc.h"

#include <assert.h>

struct hob_mqtt_request {
    struct hob_mqtt_request *next;
    int mid;
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
    size_t count, bytes; /* of `pending` */
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

/* Take out the request with this packet id; -1: the first one. */
static struct hob_mqtt_request *queue_take(struct queue *queue, int mid)
{
    for (struct hob_mqtt_request **at = &queue->first; *at; at = &(*at)->next) {
        struct hob_mqtt_request *request = *at;
        if (mid >= 0 && request->mid != mid)
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
    return requests;
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
    if (requests->count >= HOB_MQTT_PENDING_MAX || bytes > HOB_MQTT_PENDING_SIZE - requests->bytes)
        return HOB_EBUSY;
    struct hob_mqtt_request *request = hob_calloc(1, sizeof(*request));
    if (!request)
        return HOB_ENOMEM;
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

static struct hob_mqtt_request *take_pending(struct hob_mqtt_requests *requests, int mid)
{
    struct hob_mqtt_request *request = queue_take(&requests->pending, mid);
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
        hob_free(take_pending(requests, request->mid));
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
    struct hob_mqtt_request *request = take_pending(requests, mid);
    if (!request)
        return;
    request->status = status;
    if (requests->in_call)
        queue_put(&requests->held, request);
    else
        call_done(request, status, granted, count);
}

void hob_mqtt_requests_run_held(struct hob_mqtt_requests *requests)
{
    struct hob_mqtt_request *request;
    while ((request = queue_take(&requests->held, -1)))
        call_done(request, request->status, NULL, 0);
}

void hob_mqtt_requests_end(struct hob_mqtt_requests *requests, int status)
{
    struct hob_mqtt_request *request;
    hob_mqtt_requests_run_held(requests);
    while ((request = take_pending(requests, -1)))
        call_done(request, status, NULL, 0);
}

size_t hob_mqtt_requests_count(const struct hob_mqtt_requests *requests)
{
    return requests->count;
}
