/* edit_queue.h - messages between two threads, in order. For edit_libedit.c alone. Any thread. */
#ifndef HOB_BASE_EDIT_QUEUE_H
#define HOB_BASE_EDIT_QUEUE_H

#include <pthread.h>
#include <stddef.h>

struct hob_edit_item {
    struct hob_edit_item *next;
    int kind;
    size_t from, len;
    char text[]; /* with a NUL */
};

struct hob_edit_queue {
    pthread_mutex_t lock;
    struct hob_edit_item *first, **end;
};

void hob_edit_queue_init(struct hob_edit_queue *queue);
void hob_edit_queue_clear(struct hob_edit_queue *queue); /* it may be freed then */

/** Copies. @return 0, or HOB_ENOMEM */
int hob_edit_queue_put(struct hob_edit_queue *queue, int kind, const char *text, size_t len,
                       size_t from);
/** @return NULL: nothing is there; free it */
struct hob_edit_item *hob_edit_queue_take(struct hob_edit_queue *queue);

#endif
