/* config_index.h - the things of a configuration by name and by client id: to see whether each is
 * there once takes no look at all others, however many there are.
 *
 * Life: hob_config_index_new -> look -> hob_config_index_free. The things are borrowed for its
 * life, and stay as they are. Spec: spec/integration/config_spec.lua
 */
#ifndef HOB_HOST_CONFIG_INDEX_H
#define HOB_HOST_CONFIG_INDEX_H

#include "host/config.h"

#include <stddef.h>

struct hob_config_index;

/** @return NULL: out of memory */
struct hob_config_index *hob_config_index_new(const struct hob_config_thing *things, size_t count);
void hob_config_index_free(struct hob_config_index *index); /* NULL is legal */

/** Those of this name, or with this client id (hob_config_thing_client_id), in their order.
 * @param after  0: the first one; else its successor
 * @return which of the things, from 1; 0: there is none */
size_t hob_config_index_named(const struct hob_config_index *index, const char *name, size_t after);
size_t hob_config_index_identified(const struct hob_config_index *index, const char *client_id,
                                   size_t after);

/** The same number for the same text. */
size_t hob_config_hash(const char *text);

#endif
