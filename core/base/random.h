/* random.h - random bytes from the kernel (getrandom). Any thread.  Spec: spec/unit/random_spec.lua
 */
#ifndef HOB_BASE_RANDOM_H
#define HOB_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void hob_random_bytes(void *out, size_t len);
uint64_t hob_random_u64(void);

/** `len - 1` lower-case hexadecimal digits and a NUL. @return out */
const char *hob_random_hex(char *out, size_t len);

#endif
