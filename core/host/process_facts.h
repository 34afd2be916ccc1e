/* process_facts.h - what the kernel and the libraries say of this process.
 *
 * No state. Loop thread only.  Spec: spec/integration/metrics_spec.lua
 */
#ifndef HOB_HOST_PROCESS_FACTS_H
#define HOB_HOST_PROCESS_FACTS_H

#include <stddef.h>
#include <stdint.h>

/* What cannot be learnt is 0. */
uint64_t hob_process_resident_bytes(void);
double hob_process_cpu_seconds(void);
uint64_t hob_process_open_descriptors(void);
uint64_t hob_process_most_descriptors(void);
/** Room that this process may use on the file system of `path`. */
uint64_t hob_process_free_bytes(const char *path);

#define HOB_PROCESS_LIBRARIES 5

struct hob_process_library {
    const char *name, *version; /* "lua", "5.4.4" */
};
/** @param index  below HOB_PROCESS_LIBRARIES. @param room  for a version that is made up here */
struct hob_process_library hob_process_library(size_t index, char *room, size_t size);

#endif
