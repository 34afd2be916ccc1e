#include "host/config_index.h"

#include "base/alloc.h"

#include <stdint.h>
#include <string.h>

enum key { NAME, CLIENT_ID, KEYS };

/* Things have numbers from 1 here: 0 is none. */
struct hob_config_index {
    const struct hob_config_thing *things;
    size_t buckets; /* a power of two */
    uint32_t *first[KEYS], *next[KEYS];
    uint32_t numbers[];
};

size_t hob_config_hash(const char *text)
{
    size_t value = 5381;
    for (; *text; text++) {
        value = value * 33 + (unsigned char)*text;
    }
    return value;
}

static const char *key_of(const struct hob_config_index *index, enum key key, size_t number)
{
    const struct hob_config_thing *thing = &index->things[number - 1];
    return key == NAME ? thing->thing_name : hob_config_thing_client_id(thing);
}

static uint32_t *bucket_of(const struct hob_config_index *index, enum key key, const char *text)
{
    return &index->first[key][hob_config_hash(text) & (index->buckets - 1)];
}

/* From the last to the first, each before those that were there: so they are in order. */
static void fill(struct hob_config_index *index, enum key key, size_t count)
{
    for (size_t number = count; number > 0; number--) {
        uint32_t *bucket = bucket_of(index, key, key_of(index, key, number));
        index->next[key][number - 1] = *bucket;
        *bucket = (uint32_t)number;
    }
}

struct hob_config_index *hob_config_index_new(const struct hob_config_thing *things, size_t count)
{
    size_t buckets = 1;
    while (buckets < count) {
        buckets *= 2;
    }
    struct hob_config_index *index =
        hob_calloc(1, sizeof *index + KEYS * (buckets + count) * sizeof(uint32_t));
    if (!index) {
        return NULL;
    }
    index->things = things;
    index->buckets = buckets;
    for (enum key key = NAME; key < KEYS; key++) {
        index->first[key] = index->numbers + (size_t)key * (buckets + count);
        index->next[key] = index->first[key] + buckets;
        fill(index, key, count);
    }
    return index;
}

void hob_config_index_free(struct hob_config_index *index)
{
    hob_free(index);
}

static size_t look(const struct hob_config_index *index, enum key key, const char *text,
                   size_t after)
{
    size_t number = after ? index->next[key][after - 1] : *bucket_of(index, key, text);
    while (number && strcmp(key_of(index, key, number), text) != 0) {
        number = index->next[key][number - 1];
    }
    return number;
}

size_t hob_config_index_named(const struct hob_config_index *index, const char *name, size_t after)
{
    return look(index, NAME, name, after);
}

size_t hob_config_index_identified(const struct hob_config_index *index, const char *client_id,
                                   size_t after)
{
    return look(index, CLIENT_ID, client_id, after);
}
