#include "base/edit_queue.h"

#include "base/alloc.h"
#include "base/error.h"

#include <string.h>

void hob_edit_queue_init(struct hob_edit_queue *queue)
{
    pthread_mutex_init(&queue->lock, NULL);
    queue->first = NULL;
    queue->end = &queue->first;
}

void hob_edit_queue_clear(struct hob_edit_queue *queue)
{
    struct hob_edit_item *item;
    while ((item = hob_edit_queue_take(queue)) != NULL)
        hob_free(item);
    pthread_mutex_destroy(&queue->lock);
}

int hob_edit_queue_put(struct hob_edit_queue *queue, int kind, const char *text, size_t len,
                       size_t from)
{
    struct hob_edit_item *item = hob_malloc(sizeof *item + len + 1);
    if (!item)
        return HOB_ENOMEM;
    *item = (struct hob_edit_item){.kind = kind, .from = from, .len = len};
    memcpy(item->text, text, len);
    item->text[len] = '\0';
    pthread_mutex_lock(&queue->lock);
    *queue->end = item;
    queue->end = &item->next;
    pthread_mutex_unlock(&queue->lock);
    return 0;
}

struct hob_edit_item *hob_edit_queue_take(struct hob_edit_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    struct hob_edit_item *item = queue->first;
    if (item) {
        queue->first = item->next;
        if (!queue->first)
            queue->end = &queue->first;
    }
    pthread_mutex_unlock(&queue->lock);
    return item;
}
