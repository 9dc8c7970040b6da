#include "server/common/escape.h"

#include <string.h>

#include "api/hex.h"

const char *hex_text(struct arena *arena, const unsigned char *data, size_t len)
{
	char *text = arena_alloc(arena, 2 * len + 1);
	if (text == NULL)
		return "";
	hex_encode(text, data, len);
	return text;
}

bool hex_bytes(struct arena *arena, const char *text, struct bytes *ret_bytes)
{
	size_t len = strlen(text);
	unsigned char *out = arena_alloc(arena, len / 2 + 1);
	if (out == NULL || len == 0 || !hex_decode(out, len / 2, text, len))
		return false;
	*ret_bytes = (struct bytes){out, len / 2};
	return true;
}

bool percent_decode(struct arena *arena, const char *text, size_t len, struct bytes *ret_bytes)
{
	unsigned char *out = arena_alloc(arena, len + 1);
	size_t n = 0;
	if (out == NULL)
		return false;
	for (size_t i = 0; i < len; i++) {
		out[n] = (unsigned char)text[i];
		if (text[i] == '%') {
			if (len - i < 3 || !hex_decode(out + n, 1, text + i + 1, 2))
				return false;
			i += 2;
		}
		n++;
	}
	*ret_bytes = (struct bytes){out, n};
	return true;
}

void percent_encode(struct buffer *out, const char *text, size_t len)
{
	static const char letters[] = "0123456789ABCDEF";
	static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c != '\0' && strchr(unreserved, c) != NULL) {
			buffer_byte(out, c);
		} else {
			buffer_byte(out, '%');
			buffer_byte(out, (unsigned char)letters[c >> 4]);
			buffer_byte(out, (unsigned char)letters[c & 15]);
		}
	}
}
