/*
 * A growing byte string. Errors are sticky: after the first failure every append is ignored and
 * `failed` stays true, so that a writer checks once at its end.
 *
 * One buffer belongs to one thread at a time.
 */
#ifndef P11GATE_API_BUFFER_H
#define P11GATE_API_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
	unsigned char *data; /* not NUL-terminated; NULL while empty */
	size_t len; /* bytes used */
	size_t capacity; /* bytes allocated */
	size_t limit; /* ceiling of `len` */
	bool failed; /* the limit or the memory was exhausted */
};

/* An empty buffer that will hold at most `limit` bytes. Allocates nothing. */
void buffer_init(struct buffer *buffer, size_t limit);

/* Appends `len` bytes. */
void buffer_append(struct buffer *buffer, const void *data, size_t len);

/* Appends a NUL-terminated string without its NUL. */
void buffer_text(struct buffer *buffer, const char *text);

/* Appends one byte. */
void buffer_byte(struct buffer *buffer, unsigned char byte);

/* Room for `len` more bytes behind data + len, or NULL (then `failed`); the caller adds to `len` what it wrote. */
unsigned char *buffer_reserve(struct buffer *buffer, size_t len) __attribute__((warn_unused_result));

/* Wipes the contents; keeps the memory, clears `failed`. */
void buffer_reset(struct buffer *buffer);

/* Wipes and frees; the buffer is empty afterwards and keeps its limit. Memory left by growth is wiped too. */
void buffer_done(struct buffer *buffer);

#define BUFFER_AUTO __attribute__((cleanup(buffer_done)))

#endif
