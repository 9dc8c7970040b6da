/*
 * What keeps secrets in this process's memory off the disk (X6): pages that swap never gets, and that no dump holds.
 *
 * All of malloc's memory, the stacks and the programs' data are covered, whichever library uses them; what a vendor module maps
 * by itself is locked and not hidden. With a sanitizer, whose allocator is its own, there is nothing here.
 */
#ifndef P11GATE_COMMON_MEMORY_H
#define P11GATE_COMMON_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Hides what is mapped from dumps, and from now on what malloc maps. First in main, before there are threads: malloc keeps to one heap
 * from here on, because only that one's growth can be followed.
 */
void memory_hide(void);

/* Hides the data of libraries that were loaded since. */
void memory_hide_data(void);

/* Hides the stack of the calling thread. A new thread calls it before it sees a secret. */
void memory_hide_stack(void);

/*
 * Locks all memory of the process that is used or will be. False if the system does not allow that, with a sentence why; then
 * nothing is locked. After the process has become the user that it stays.
 */
bool memory_lock(char *ret_why, size_t why_size) __attribute__((warn_unused_result));

/* Gives unused memory at the end of the heap back to the system, which malloc does not do by itself after memory_hide. */
void memory_trim(void);

/* For the allocator: `memory`, of `size` bytes, is about to be used. */
void memory_used(const void *memory, size_t size);

#endif
