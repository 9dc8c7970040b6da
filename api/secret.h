/*
 * Wiping and comparing memory that held a secret.
 */
#ifndef P11GATE_API_SECRET_H
#define P11GATE_API_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* Overwrites `len` bytes at `data` with zeros; never optimised away. NULL with 0 is allowed. */
void secret_wipe(void *data, size_t len);

/* True if the `len` bytes are equal; the time taken depends on `len` alone. */
bool secret_equal(const void *a, const void *b, size_t len) __attribute__((warn_unused_result));

#endif
