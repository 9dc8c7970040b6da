#include "server/worker/resources/escape.h"

#include <string.h>

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte of two digits, or -1. */
static int digits(const char *text)
{
	int high = digit(text[0]);
	int low = high < 0 ? -1 : digit(text[1]);
	return low < 0 ? -1 : high << 4 | low;
}

const char *hex_encode(struct arena *arena, const unsigned char *data, size_t len)
{
	static const char letters[] = "0123456789abcdef";
	char *text = arena_alloc(arena, 2 * len + 1);
	if (text == NULL)
		return "";
	for (size_t i = 0; i < len; i++) {
		text[2 * i] = letters[data[i] >> 4];
		text[2 * i + 1] = letters[data[i] & 15];
	}
	return text;
}

bool hex_decode(struct arena *arena, const char *text, struct bytes *ret_bytes)
{
	size_t len = strlen(text);
	unsigned char *out = arena_alloc(arena, len / 2 + 1);
	if (out == NULL || len == 0 || len % 2 != 0)
		return false;
	for (size_t i = 0; i < len / 2; i++) {
		int byte = digits(text + 2 * i);
		if (byte < 0)
			return false;
		out[i] = (unsigned char)byte;
	}
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
		int byte = (unsigned char)text[i];
		if (byte == '%') {
			byte = len - i > 2 ? digits(text + i + 1) : -1;
			i += 2;
		}
		if (byte < 0)
			return false;
		out[n++] = (unsigned char)byte;
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
