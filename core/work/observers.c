#include "work/observers.h"

#include "base/alloc.h"

#include <string.h>

enum kind { JOB, UP, DOWN, HANDLER };

/* Each text in order; they follow the struct. */
#define TEXTS 6

struct told {
    struct told *next;
    enum kind kind;
    enum hob_observers_event what;
    int64_t execution_number;
    int code;
    uint64_t since; /* observers that were there by then */
    const char *texts[TEXTS];
};

struct hob_observers {
    struct hob_loop *loop;
    struct hob_observer *list;
    size_t count;
    struct told *first;
    struct told **end;
    struct hob_loop_soon turn;
    unsigned *inside;
    uint64_t lost;
};

struct hob_observers *hob_observers_new(struct hob_loop *loop, unsigned *inside)
{
    struct hob_observers *observers = hob_calloc(1, sizeof *observers);
    if (observers) {
        observers->loop = loop;
        observers->inside = inside;
        observers->end = &observers->first;
    }
    return observers;
}

void hob_observers_free(struct hob_observers *observers)
{
    if (!observers) {
        return;
    }
    while (observers->first) {
        struct told *told = observers->first;
        observers->first = told->next;
        hob_free(told);
    }
    hob_free(observers->list);
    hob_free(observers);
}

int hob_observers_add(struct hob_observers *observers, const struct hob_observer *observer)
{
    size_t size = (observers->count + 1) * sizeof *observers->list;
    struct hob_observer *list = hob_realloc(observers->list, size);
    if (!list) {
        return HOB_ENOMEM;
    }
    observers->list = list;
    list[observers->count++] = *observer;
    return 0;
}

bool hob_observers_any(const struct hob_observers *observers)
{
    return observers && observers->count > 0;
}

uint64_t hob_observers_lost(const struct hob_observers *observers)
{
    return observers ? observers->lost : 0;
}

/* ---- telling ---- */

static void call_job(const struct hob_observer *observer, const struct told *told)
{
    void (*const functions[])(void *, const struct hob_job_event *) = {
        [HOB_OBSERVERS_OFFERED] = observer->job_offered,
        [HOB_OBSERVERS_STARTED] = observer->job_started,
        [HOB_OBSERVERS_PROGRESS] = observer->job_progress,
        [HOB_OBSERVERS_ENDED] = observer->job_ended,
        [HOB_OBSERVERS_ACCEPTED] = observer->update_accepted};
    struct hob_job_event event = {.thing = told->texts[0],
                                  .job_id = told->texts[1],
                                  .execution_number = told->execution_number,
                                  .handler = told->texts[2],
                                  .status = told->texts[3],
                                  .code = told->texts[4],
                                  .text = told->texts[5]};
    if (functions[told->what]) {
        functions[told->what](observer->user, &event);
    }
}

static void call_down(const struct hob_observer *observer, const struct told *told)
{
    struct hob_error why = {.code = told->code};
    hob_error_set(&why, told->code, "%s", told->texts[1]);
    observer->connection_down(observer->user, told->texts[0], &why);
}

static void call(const struct hob_observer *observer, const struct told *told)
{
    if (told->kind == JOB) {
        call_job(observer, told);
    } else if (told->kind == UP && observer->connection_up) {
        observer->connection_up(observer->user, told->texts[0]);
    } else if (told->kind == DOWN && observer->connection_down) {
        call_down(observer, told);
    } else if (told->kind == HANDLER && observer->handler_reloaded) {
        observer->handler_reloaded(observer->user, told->texts[0]);
    }
}

/* One that adds another one moves the list. */
static void call_each(struct hob_observers *observers, const struct told *told)
{
    for (size_t i = 0; i < told->since; i++) {
        struct hob_observer observer = observers->list[i];
        call(&observer, told);
    }
}

void hob_observers_flush(struct hob_observers *observers)
{
    while (observers->first) {
        struct told *told = observers->first;
        observers->first = told->next;
        observers->end = observers->first ? observers->end : &observers->first;
        ++*observers->inside;
        call_each(observers, told);
        --*observers->inside;
        hob_free(told);
    }
}

static void tell_all(void *user)
{
    hob_observers_flush(user);
}

/* ---- keeping ---- */

static struct told *copy(struct hob_observers *observers, const char *const texts[TEXTS])
{
    size_t lengths[TEXTS], size = sizeof(struct told);
    for (size_t i = 0; i < TEXTS; i++) {
        lengths[i] = texts[i] ? strlen(texts[i]) : 0;
        size += lengths[i] + 1;
    }
    struct told *told = hob_malloc(size);
    if (!told) {
        observers->lost++;
        return NULL;
    }
    *told = (struct told){.since = observers->count};
    char *at = (char *)(told + 1);
    for (size_t i = 0; i < TEXTS; i++) {
        memcpy(at, texts[i] ? texts[i] : "", lengths[i] + 1);
        told->texts[i] = at;
        at += lengths[i] + 1;
    }
    return told;
}

static void keep(struct hob_observers *observers, struct told *told)
{
    *observers->end = told;
    observers->end = &told->next;
    if (!observers->turn.waiting) {
        hob_loop_defer(observers->loop, &observers->turn, tell_all, observers);
    }
}

void hob_observers_tell_job(struct hob_observers *observers, enum hob_observers_event what,
                            const struct hob_job_event *event)
{
    const char *const texts[TEXTS] = {event->thing,  event->job_id, event->handler,
                                      event->status, event->code,   event->text};
    struct told *told = hob_observers_any(observers) ? copy(observers, texts) : NULL;
    if (told) {
        told->kind = JOB;
        told->what = what;
        told->execution_number = event->execution_number;
        keep(observers, told);
    }
}

void hob_observers_tell_connection(struct hob_observers *observers, const char *thing,
                                   const struct hob_error *down)
{
    const char *const texts[TEXTS] = {thing, down ? down->message : ""};
    struct told *told = hob_observers_any(observers) ? copy(observers, texts) : NULL;
    if (told) {
        told->kind = down ? DOWN : UP;
        told->code = down ? down->code : 0;
        keep(observers, told);
    }
}

void hob_observers_tell_handler(struct hob_observers *observers, const char *label)
{
    const char *const texts[TEXTS] = {label};
    struct told *told = hob_observers_any(observers) ? copy(observers, texts) : NULL;
    if (told) {
        told->kind = HANDLER;
        keep(observers, told);
    }
}
