/*
 * Numbers of 32 bits in decimal, as header fields and application IDs have them.
 */
#ifndef P11GATE_API_DECIMAL_H
#define P11GATE_API_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads `len` bytes at `text`: one to ten digits and nothing else, below 2^32. Any thread. */
bool decimal_parse(const char *text, size_t len, uint64_t *ret_number) __attribute__((warn_unused_result));

#endif
