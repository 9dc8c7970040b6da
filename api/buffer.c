#include "api/buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/secret.h"

enum { CAPACITY_FIRST = 256 };

void buffer_init(struct buffer *buffer, size_t limit)
{
	*buffer = (struct buffer){.limit = limit};
}

/* Moves the contents to memory of at least `needed` bytes. Not realloc: that would leave a copy behind. */
static bool buffer_grow(struct buffer *buffer, size_t needed)
{
	size_t capacity = buffer->capacity == 0 ? CAPACITY_FIRST : buffer->capacity;

	while (capacity < needed)
		capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
	unsigned char *data = malloc(capacity);
	if (data == NULL)
		return false;
	if (buffer->data != NULL) {
		memcpy(data, buffer->data, buffer->len);
		/* All of it: a caller of buffer_reserve may have written more than it counted. */
		secret_wipe(buffer->data, buffer->capacity);
	}
	free(buffer->data);
	buffer->data = data;
	buffer->capacity = capacity;
	return true;
}

unsigned char *buffer_reserve(struct buffer *buffer, size_t len)
{
	if (buffer->failed)
		return NULL;
	if (len > buffer->limit - buffer->len) {
		buffer->failed = true;
		return NULL;
	}
	if (buffer->data == NULL || len > buffer->capacity - buffer->len) {
		if (!buffer_grow(buffer, buffer->len + len)) {
			buffer->failed = true;
			return NULL;
		}
	}
	return buffer->data + buffer->len;
}

void buffer_append(struct buffer *buffer, const void *data, size_t len)
{
	if (len == 0)
		return;
	unsigned char *room = buffer_reserve(buffer, len);
	if (room == NULL)
		return;
	memcpy(room, data, len);
	buffer->len += len;
}

void buffer_text(struct buffer *buffer, const char *text)
{
	buffer_append(buffer, text, strlen(text));
}

void buffer_byte(struct buffer *buffer, unsigned char byte)
{
	buffer_append(buffer, &byte, 1);
}

void buffer_reset(struct buffer *buffer)
{
	secret_wipe(buffer->data, buffer->len);
	buffer->len = 0;
	buffer->failed = false;
}

void buffer_done(struct buffer *buffer)
{
	secret_wipe(buffer->data, buffer->capacity);
	free(buffer->data);
	buffer_init(buffer, buffer->limit);
}
