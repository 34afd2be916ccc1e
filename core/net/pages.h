/* pages.h - memory of a block that is there for its worst case and mostly not used. */
#ifndef HOB_NET_PAGES_H
#define HOB_NET_PAGES_H

#include <stddef.h>

/** What stands in a block of the C library beyond `keep` bytes is not needed any more: the system
 * may have its pages, and gives them back, zeroed, when they are written to. */
void hob_pages_give_back(void *block, size_t keep);

#endif
