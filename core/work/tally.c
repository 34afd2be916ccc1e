#include "work/tally.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

#define NAME_SIZE 65
#define WORD_SIZE 16

struct row {
    char handler[NAME_SIZE], status[WORD_SIZE], kind[WORD_SIZE];
    uint64_t count;
};

struct hob_tally {
    struct row *rows;
    size_t count, capacity;
    size_t handlers; /* that are told apart */
    uint64_t breaches[HOB_TALLY_BREACHES];
};

struct hob_tally *hob_tally_new(void)
{
    return hob_calloc(1, sizeof(struct hob_tally));
}

void hob_tally_free(struct hob_tally *tally)
{
    if (tally) {
        hob_free(tally->rows);
        hob_free(tally);
    }
}

static struct row *find(const struct hob_tally *tally, const char *handler, const char *status,
                        const char *kind)
{
    for (size_t i = 0; i < tally->count; i++) {
        struct row *row = &tally->rows[i];
        if (strcmp(row->handler, handler) == 0 && strcmp(row->status, status) == 0 &&
            strcmp(row->kind, kind) == 0) {
            return row;
        }
    }
    return NULL;
}

static bool has_handler(const struct hob_tally *tally, const char *handler)
{
    for (size_t i = 0; i < tally->count; i++) {
        if (strcmp(tally->rows[i].handler, handler) == 0) {
            return true;
        }
    }
    return false;
}

static struct row *add(struct hob_tally *tally)
{
    if (tally->count == tally->capacity) {
        size_t capacity = tally->capacity ? tally->capacity * 2 : 8;
        struct row *rows =
            capacity > HOB_TALLY_ROWS ? NULL : hob_realloc(tally->rows, capacity * sizeof *rows);
        if (!rows) {
            return NULL;
        }
        tally->rows = rows;
        tally->capacity = capacity;
    }
    return &tally->rows[tally->count++];
}

void hob_tally_ended(struct hob_tally *tally, const char *handler, const char *status,
                     const char *kind)
{
    if (!tally) {
        return;
    }
    bool is_new = !has_handler(tally, handler);
    if (is_new && tally->handlers >= HOB_TALLY_HANDLERS) {
        handler = HOB_TALLY_OTHER;
        is_new = false;
    }
    struct row *row = find(tally, handler, status, kind);
    if (!row && (row = add(tally)) != NULL) {
        *row = (struct row){.count = 0};
        tally->handlers += is_new;
        snprintf(row->handler, sizeof row->handler, "%s", handler);
        snprintf(row->status, sizeof row->status, "%s", status);
        snprintf(row->kind, sizeof row->kind, "%s", kind);
    }
    if (row) {
        row->count++;
    }
}

void hob_tally_broke(struct hob_tally *tally, enum hob_tally_breach breach)
{
    if (tally) {
        tally->breaches[breach]++;
    }
}

bool hob_tally_at(const struct hob_tally *tally, size_t index, struct hob_tally_row *out)
{
    if (!tally || index >= tally->count) {
        return false;
    }
    const struct row *row = &tally->rows[index];
    *out = (struct hob_tally_row){row->handler, row->status, row->kind, row->count};
    return true;
}

uint64_t hob_tally_breaches(const struct hob_tally *tally, enum hob_tally_breach breach)
{
    return tally ? tally->breaches[breach] : 0;
}

const char *hob_tally_breach_name(enum hob_tally_breach breach)
{
    static const char *const names[HOB_TALLY_BREACHES] = {[HOB_TALLY_MEMORY] = "memory",
                                                          [HOB_TALLY_CPU] = "cpu",
                                                          [HOB_TALLY_HELD] = "held",
                                                          [HOB_TALLY_TIMEOUT] = "timeout",
                                                          [HOB_TALLY_OUTPUT] = "output"};
    return names[breach];
}
