/*
 * Hexadecimal and percent-encoding (RFC 3986, section 2.1).
 */
#ifndef P11GATE_COMMON_ESCAPE_H
#define P11GATE_COMMON_ESCAPE_H

#include <stdbool.h>

#include "api/arena.h"
#include "api/buffer.h"
#include "server/common/message.h"

/* Lower-case digits with a NUL, in the arena; "" without memory. */
const char *hex_text(struct arena *arena, const unsigned char *data, size_t len);

/* An even, non-zero number of digits of either case (NUL-terminated) into the arena. */
bool hex_bytes(struct arena *arena, const char *text, struct bytes *ret_bytes) __attribute__((warn_unused_result));

/*
 * Decodes %XX in `len` bytes at `text` into the arena, with a NUL behind; false for an incomplete escape or without
 * memory.
 */
bool percent_decode(struct arena *arena, const char *text, size_t len, struct bytes *ret_bytes)
	__attribute__((warn_unused_result));

/* Appends `len` bytes as a path segment: everything but unreserved characters is escaped. */
void percent_encode(struct buffer *out, const char *text, size_t len);

#endif
