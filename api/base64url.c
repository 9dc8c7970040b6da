#include "api/base64url.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Value of each character in either alphabet, marked; those that have none are 0. */
enum { MARK = 0x80 };
#define VALUE(v) (MARK | (v))
#define EIGHT(v) \
	VALUE(v), VALUE((v) + 1), VALUE((v) + 2), VALUE((v) + 3), VALUE((v) + 4), VALUE((v) + 5), VALUE((v) + 6), \
		VALUE((v) + 7)
#define DIGITS(v) EIGHT(v), VALUE((v) + 8), VALUE((v) + 9)
#define LETTERS(v) EIGHT(v), EIGHT((v) + 8), DIGITS((v) + 16)

static const unsigned char marked[256] = {
	['A'] = LETTERS(0),
	['a'] = LETTERS(26),
	['0'] = DIGITS(52),
	['-'] = VALUE(62),
	['+'] = VALUE(62),
	['_'] = VALUE(63),
	['/'] = VALUE(63),
};

/* MARK if the character has no value. */
static inline unsigned char value_of(unsigned char character)
{
	return marked[character] ^ MARK;
}

size_t base64url_encoded_len(size_t len)
{
	return len / 3 * 4 + (len % 3 == 0 ? 0 : len % 3 + 1);
}

size_t base64url_decoded_max(size_t len)
{
	return len / 4 * 3 + (len % 4 == 0 ? 0 : len % 4 - 1);
}

void base64url_encode(char *out, const void *data, size_t len)
{
	const unsigned char *in = data;

	for (; len >= 3; in += 3, len -= 3, out += 4) {
		uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
		out[0] = alphabet[bits >> 18];
		out[1] = alphabet[bits >> 12 & 63];
		out[2] = alphabet[bits >> 6 & 63];
		out[3] = alphabet[bits & 63];
	}
	if (len == 0)
		return;
	uint32_t bits = (uint32_t)in[0] << 16 | (len == 2 ? (uint32_t)in[1] << 8 : 0);
	out[0] = alphabet[bits >> 18];
	out[1] = alphabet[bits >> 12 & 63];
	if (len == 2)
		out[2] = alphabet[bits >> 6 & 63];
}

/* Takes off the padding of the last quadruple. False if there is padding and it does not fill the quadruple. */
static bool padding_strip(const char *text, size_t *len)
{
	size_t padding = 0;

	while (padding < 2 && padding < *len && text[*len - 1 - padding] == '=')
		padding++;
	if (padding > 0 && *len % 4 != 0)
		return false;
	*len -= padding;
	return true;
}

bool base64url_decode(unsigned char *out, size_t *ret_len, const char *text, size_t len)
{
	const unsigned char *in = (const unsigned char *)text;
	unsigned char *start = out, seen = 0;

	if (!padding_strip(text, &len) || len % 4 == 1)
		return false;
	for (; len >= 4; in += 4, len -= 4, out += 3) {
		unsigned char a = value_of(in[0]), b = value_of(in[1]), c = value_of(in[2]), d = value_of(in[3]);
		seen |= a | b | c | d;
		out[0] = (unsigned char)(a << 2 | b >> 4);
		out[1] = (unsigned char)(b << 4 | c >> 2);
		out[2] = (unsigned char)(c << 6 | d);
	}
	if (len > 0) {
		unsigned char a = value_of(in[0]), b = value_of(in[1]), c = len == 3 ? value_of(in[2]) : 0;
		seen |= a | b | c;
		if ((len == 2 && (b & 15) != 0) || (len == 3 && (c & 3) != 0))
			return false;
		*out++ = (unsigned char)(a << 2 | b >> 4);
		if (len == 3)
			*out++ = (unsigned char)(b << 4 | c >> 2);
	}
	if (seen & MARK)
		return false;
	*ret_len = (size_t)(out - start);
	return true;
}
