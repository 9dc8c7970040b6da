/*
 * Hexadecimal digits, lower case on output.
 */
#ifndef P11GATE_API_HEX_H
#define P11GATE_API_HEX_H

#include <stdbool.h>
#include <stddef.h>

/* Writes 2 * len digits and a NUL to `out`. */
void hex_encode(char *out, const void *data, size_t len);

/* Reads exactly 2 * len digits of either case from the `text_len` characters at `text`; false (and `out` undefined) otherwise. */
bool hex_decode(void *out, size_t len, const char *text, size_t text_len) __attribute__((warn_unused_result));

#endif
